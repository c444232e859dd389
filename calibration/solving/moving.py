"""Bundle adjustment of cameras that see points which move: also their times, and a factor on all focal lengths.

Every point is free, at a speed that is known; every camera has six numbers and a time; a prior says how far each number
may be from what it was. The prior also holds what no picture tells: where the whole of it stands. Points may be those
of one body, whose bones keep their lengths. Points are eliminated first (Triggs et al. 2000, 6.1), which gives what the
pictures tell of the rest. ``bundle`` is for what stands still.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.rotations import rotation_matrix, skew
from calibration.solving.bones import Bones, bone_terms

OWN: Final = 7
"""Numbers of a camera: rotation vector in its axes, translation of its centre in the world, seconds of being late."""
_NEAR_MM = 100.0
_LEAST_NOISE_PX = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Adjustment:
    """Cameras that were adjusted."""

    cameras: tuple[Camera, ...]
    """V, with their places, turns and focal lengths; times are in ``change`` alone."""
    change: Array
    """(n,) of all numbers, in the order of the prior."""
    normal: Array
    """(n, n) what the pictures tell of the numbers, points and bones eliminated, without the prior."""
    lengths: Array
    """(B,) mm of the bones; empty without."""


def adjust_moving(
    cameras: Sequence[Camera], points: Array, speed: Array, xy: Array, prior: Array, *,
    noise_px: float | None = None, coarse: Array | None = None, bones: Bones | None = None, steps: int = 8,
    settled: float = 1e-4,
) -> Adjustment:  # fmt: skip
    """Minimise the reprojection errors, heavy-tailed, and the change against its prior.

    Args:
        cameras: V of them, placed.
        points: (P, 3) mm, world.
        speed: (P, 3) mm/s.
        xy: (V, P, 2) pixels, NaN where not seen.
        prior: (7 V,) standard deviations: radians, mm and seconds of each camera; or (7 V + 1,) with the logarithm of
            the factor on all focal lengths.
        noise_px: standard deviation of a point in the image; None to take it from the residuals, step by step.
        coarse: (V, P) factors on the noise; None for 1.
        bones: of the body whose points these are, moment by moment; None for points that have nothing to do with each
            other.
        steps: Gauss-Newton steps at most.
        settled: a step that changes no number by more, in its prior's standard deviations, is the last.
    """
    rays = np.stack([image_to_ray(camera, seen)[..., :2] for camera, seen in zip(cameras, xy, strict=True)])
    n, B = len(prior), 0 if bones is None else len(bones.pairs)
    known = np.zeros((n + B, n + B))
    known[:n, :n] = np.diag(1 / prior**2)
    if bones is not None:
        known[n:, n:] = np.linalg.inv(bones.cov)
    change, X, normal = np.zeros(n + B), points.copy(), np.eye(n + B)
    for _ in range(steps):
        normal, gradient, back = _reduced(cameras, change, X, speed, rays, noise_px, coarse, bones)
        step = np.linalg.solve(normal + known, gradient + known @ change)
        change, X = change - step, X - back(step)
        if np.abs(step[:n] / prior).max() < settled:
            break
    numbers, factor = _parts(change[:n], len(cameras))
    adjusted = tuple(_moved(camera, own, factor) for camera, own in zip(cameras, numbers, strict=True))
    lengths = np.empty(0) if bones is None else bones.lengths * np.exp(change[n:])
    # Lengths are eliminated with what is known of them.
    told = normal[:n, :n] - normal[:n, n:] @ np.linalg.solve(normal[n:, n:] + known[n:, n:], normal[n:, :n])
    return Adjustment(adjusted, change[:n], told, lengths)


def _parts(change: Array, cameras: int) -> tuple[Array, float]:
    """The numbers of each camera (V, 7), and the logarithm of the factor on the focal lengths."""
    own = cameras * OWN
    return change[:own].reshape(-1, OWN), float(change[own]) if len(change) > own else 0.0


def _moved(camera: Camera, own: Array, factor: float) -> Camera:
    R = rotation_matrix(own[:3]) @ camera.R
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= np.exp(factor)
    return replace(camera, K=K, R=R, t=-R @ (camera.centre + own[3:6]))


def _reduced(
    cameras: Sequence[Camera], change: Array, X: Array, speed: Array, rays: Array, noise_px: float | None,
    coarse: Array | None, bones: Bones | None,
) -> tuple[Array, Array, Callable[[Array], Array]]:  # fmt: skip
    """Normal matrix and gradient of the numbers and the bones' lengths, points eliminated; and what moves the points
    by a step.
    """
    P, B = len(X), 0 if bones is None else len(bones.pairs)
    n = len(change) - B
    numbers, factor = _parts(change[:n], len(cameras))
    residual, of_point, of_camera = [], [], []
    for v, (camera, own) in enumerate(zip(cameras, numbers, strict=True)):
        moved = _moved(camera, own, factor)
        # Late by s: it shows where the point was s ago.
        local = (X - speed * own[6]) @ moved.R.T + moved.t
        z = np.maximum(local[:, 2], _NEAR_MM)
        f = (camera.K[0, 0] + camera.K[1, 1]) / 2
        flat = f * np.exp(factor) * local[:, :2] / z[:, None]
        D = np.zeros((P, 2, 3))
        D[:, 0, 0] = D[:, 1, 1] = f * np.exp(factor) / z
        D[:, :, 2] = -flat / z[:, None]
        Jp = D @ moved.R
        Jc = np.zeros((P, 2, n))
        Jc[:, :, OWN * v : OWN * (v + 1)] = np.concatenate([-D @ skew(local), -Jp, -Jp @ speed[:, :, None]], -1)
        if n > numbers.size:
            Jc[:, :, -1] = flat
        r = flat - f * rays[v]
        r[~np.isfinite(r).all(-1) | (local[:, 2] <= _NEAR_MM)] = np.nan
        residual.append(r)
        of_point.append(Jp)
        of_camera.append(Jc)
    r = np.stack(residual)
    scale = np.ones(r.shape[:-1]) if coarse is None else coarse
    r = r / scale[..., None]
    seen = np.asarray(np.isfinite(r).all(-1))
    noise = _noise(r, seen) if noise_px is None else noise_px
    r = np.where(seen[..., None], r, 0.0) / noise
    # Student's t of three degrees: wrong joints lose their weight.
    robust = np.where(seen, 5.0 / (3.0 + (r**2).sum(-1)), 0.0)
    Hpp, gp = 1e-9 * np.tile(np.eye(3), (P, 1, 1)), np.zeros((P, 3))
    Hcp, Hcc, gc = np.zeros((P, n, 3)), np.zeros((n + B, n + B)), np.zeros(n + B)
    for v in range(len(cameras)):
        own = (noise * scale[v])[:, None, None]
        Jp, Jc, w = of_point[v] / own, of_camera[v] / own, robust[v][:, None, None]
        Hpp += Jp.swapaxes(1, 2) @ (w * Jp)
        gp += np.einsum("pia,pi->pa", w * Jp, r[v])
        Hcp += Jc.swapaxes(1, 2) @ (w * Jp)
        flat = (w * Jc).reshape(-1, n)
        Hcc[:n, :n] += flat.T @ Jc.reshape(-1, n)
        gc[:n] += flat.T @ r[v].ravel()
    if bones is not None:
        Hpp, gp, Hcp = _by_body(Hpp, gp, Hcp, bones)
        terms = bone_terms(bones, X, seen.sum(0) >= 2, change[n:])
        Hpp, gp, Hcp = Hpp + terms.points, gp + terms.points_gradient, np.concatenate([Hcp, terms.both], 1)
        Hcc[n:, n:] += np.diag(terms.lengths)
        gc[n:] += terms.lengths_gradient
    gain = Hcp @ np.linalg.inv(Hpp)
    normal = Hcc - np.tensordot(gain, Hcp, axes=((0, 2), (0, 2)))
    gradient = gc - np.einsum("pnj,pj->n", gain, gp)

    def back(step: Array) -> Array:
        return np.linalg.solve(Hpp, (gp - np.einsum("pnj,n->pj", Hcp, step))[..., None]).reshape(P, 3)

    return normal, gradient, back


def _by_body(Hpp: Array, gp: Array, Hcp: Array, bones: Bones) -> tuple[Array, Array, Array]:
    """Equations of points (P, 3, 3), (P, 3), (P, n, 3) as those of bodies (F, 3 J, 3 J), (F, 3 J), (F, n, 3 J)."""
    J = bones.joints
    F, n = len(gp) // J, Hcp.shape[1]
    blocks = np.zeros((F, J, 3, J, 3))
    each = np.arange(J)
    blocks[:, each, :, each] = Hpp.reshape(F, J, 3, 3).swapaxes(0, 1)
    both = Hcp.reshape(F, J, n, 3).swapaxes(1, 2)
    return blocks.reshape(F, 3 * J, 3 * J), gp.reshape(F, 3 * J), both.reshape(F, n, 3 * J)


def _noise(r: Array, seen: Bools) -> float:
    """Standard deviation of a point in the image, pixels, by the residuals (V, P, 2)."""
    # Two views leave less of the noise in the residuals than many: 2 V - 3 of 2 V numbers.
    left = np.sqrt(np.maximum(2 * seen.sum(0) - 3, 1) / np.maximum(2 * seen.sum(0), 1))
    return max(float(np.nanmedian(np.linalg.norm(r, axis=-1) / left)) / 1.18, _LEAST_NOISE_PX)
