"""Bundle adjustment of cameras that see points which move: also their times, and a factor on all focal lengths.

Every point is free, at a speed that is known; every camera has six numbers and a time; a prior says how far each number
may be from what it was. The prior also holds what no picture tells: where the whole of it stands. Points are eliminated
first (Triggs et al. 2000, 6.1), which gives what the pictures tell of the rest. ``bundle`` is for what stands still.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.rotations import rotation_matrix

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
    """(n, n) what the pictures tell of the numbers, the points eliminated, without the prior."""


def adjust_moving(
    cameras: Sequence[Camera], points: Array, speed: Array, xy: Array, prior: Array, *,
    noise_px: float | None = None, steps: int = 8, settled: float = 1e-4,
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
        steps: Gauss-Newton steps at most.
        settled: a step that changes no number by more, in its prior's standard deviations, is the last.
    """
    rays = np.stack([image_to_ray(camera, seen)[..., :2] for camera, seen in zip(cameras, xy, strict=True)])
    change, X, normal = np.zeros(len(prior)), points.copy(), np.eye(len(prior))
    for _ in range(steps):
        normal, gradient, back = _reduced(cameras, change, X, speed, rays, noise_px)
        step = np.linalg.solve(normal + np.diag(1 / prior**2), gradient + change / prior**2)
        change, X = change - step, X - back(step)
        if np.abs(step / prior).max() < settled:
            break
    numbers, factor = _parts(change, len(cameras))
    adjusted = tuple(_moved(camera, own, factor) for camera, own in zip(cameras, numbers, strict=True))
    return Adjustment(adjusted, change, normal)


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
    cameras: Sequence[Camera], change: Array, X: Array, speed: Array, rays: Array, noise_px: float | None
) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Normal matrix and gradient of the cameras' numbers, points eliminated; and what moves the points by a step."""
    P, n = len(X), len(change)
    numbers, factor = _parts(change, len(cameras))
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
        Jc[:, :, OWN * v : OWN * (v + 1)] = np.concatenate([-D @ _cross(local), -Jp, -Jp @ speed[:, :, None]], -1)
        if n > numbers.size:
            Jc[:, :, -1] = flat
        r = flat - f * rays[v]
        r[~np.isfinite(r).all(-1) | (local[:, 2] <= _NEAR_MM)] = np.nan
        residual.append(r)
        of_point.append(Jp)
        of_camera.append(Jc)
    r = np.stack(residual)
    seen = np.asarray(np.isfinite(r).all(-1))
    noise = _noise(r, seen) if noise_px is None else noise_px
    r = np.where(seen[..., None], r, 0.0) / noise
    # Student's t of three degrees: wrong joints lose their weight.
    robust = np.where(seen, 5.0 / (3.0 + (r**2).sum(-1)), 0.0)
    Hpp, gp = 1e-9 * np.tile(np.eye(3), (P, 1, 1)), np.zeros((P, 3))
    Hcp, Hcc, gc = np.zeros((P, n, 3)), np.zeros((n, n)), np.zeros(n)
    for v in range(len(cameras)):
        Jp, Jc, w = of_point[v] / noise, of_camera[v] / noise, robust[v][:, None, None]
        Hpp += Jp.swapaxes(1, 2) @ (w * Jp)
        gp += np.einsum("pia,pi->pa", w * Jp, r[v])
        Hcp += Jc.swapaxes(1, 2) @ (w * Jp)
        flat = (w * Jc).reshape(-1, n)
        Hcc += flat.T @ Jc.reshape(-1, n)
        gc += flat.T @ r[v].ravel()
    gain = Hcp @ np.linalg.inv(Hpp)
    normal = Hcc - np.tensordot(gain, Hcp, axes=((0, 2), (0, 2)))
    gradient = gc - np.einsum("pnj,pj->n", gain, gp)

    def back(step: Array) -> Array:
        return np.linalg.solve(Hpp, (gp - np.einsum("pnj,n->pj", Hcp, step))[..., None])[..., 0]

    return normal, gradient, back


def _noise(r: Array, seen: Bools) -> float:
    """Standard deviation of a point in the image, pixels, by the residuals (V, P, 2)."""
    # Two views leave less of the noise in the residuals than many: 2 V - 3 of 2 V numbers.
    left = np.sqrt(np.maximum(2 * seen.sum(0) - 3, 1) / np.maximum(2 * seen.sum(0), 1))
    return max(float(np.nanmedian(np.linalg.norm(r, axis=-1) / left)) / 1.18, _LEAST_NOISE_PX)


def _cross(x: Array) -> Array:
    """(P, 3, 3) matrices with ``_cross(x) @ w = x cross w``."""
    out = np.zeros((len(x), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -x[:, 2], x[:, 1], -x[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = x[:, 2], -x[:, 1], x[:, 0]
    return out
