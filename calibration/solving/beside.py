"""What a walk tells beside where cameras stand: how late each of them is, and by how much their lenses are longer.

A camera that is late sees quick joints where they were; lenses that are longer than was told make all that comes nearer
grow too little. Bundle adjustment as in ``bundle``, with joints that move at their speed, one time a camera and one
factor on all focal lengths. A number is believed where the joints tell it against its prior, and it is not nothing.
Points are eliminated first (Triggs et al. 2000, 6.1), which gives the covariance of the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.rotations import rotation_matrix
from calibration.geometry.triangulation import reprojection_error, triangulate_robust

_OWN = 7
"""Numbers of a camera: rotation vector, translation of its centre, seconds."""
# Standard deviations of the priors.
_TURNED, _MOVED, _LATE_S, _FOCAL = np.radians(3.0), 0.1, 0.1, 0.1
_FIXED = 1e-6
_TOGETHER = 2.0
"""Factor on standard deviations: joints of one body, a tenth of a second apart, are wrong together."""
_SURE, _TOLD = 4.0, 0.2
"""Standard deviations from nothing, and a standard deviation in the prior's, from which on a number is believed."""
_LEAST = (0.005, 0.005)
"""Seconds, and a part of the focal length: below it nothing is gained."""
_ROUNDS, _STEPS = 6, 8
_FRAMES, _ALL_FRAMES = 150, 600
"""Moments adjusted to find out what is believed, and in the end."""
_OUTLIER = 5.0
_NEAR_MM = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What was found; all 0 and 1 where nothing is believed."""

    late_s: Array
    """(V,) seconds by which each camera is later than the first."""
    late_sigma: Array
    """(V,)"""
    focal: float
    """Factor on all focal lengths."""
    focal_sigma: float

    @property
    def nothing(self) -> bool:
        """Whether all is as it was told."""
        return self.focal == 1 and not self.late_s.any()


def tell(cameras: Sequence[Camera], xy: Array, weight: Array, step_s: float) -> tuple[tuple[Camera, ...], Beside]:
    """What is believed, and the cameras placed with it.

    Args:
        cameras: V placed cameras.
        xy: (V, F, J, 2) pixels at F moments, NaN where not seen.
        weight: (V, F, J), 0 where not seen.
        step_s: seconds between moments.
    """
    late, focal = np.arange(len(cameras)) > 0, not any(camera.fisheye for camera in cameras)
    while late.any() or focal:
        found = _settle(cameras, xy, weight, step_s, late, focal, _FRAMES)[1]
        held = np.abs(found.late_s) > np.maximum(_SURE * found.late_sigma, _LEAST[0])
        held &= (found.late_sigma < _TOLD * _LATE_S) & late
        factor = abs(np.log(found.focal))
        lens = factor > max(_SURE * found.focal_sigma, _LEAST[1]) and found.focal_sigma < _TOLD * _FOCAL and focal
        if bool(lens) == focal and bool(np.array_equal(held, late)):
            break
        late, focal = held, bool(lens)
    return _settle(cameras, xy, weight, step_s, late, focal, _ALL_FRAMES)


def at_times(xy: Array, late_s: Array, step_s: float) -> Array:
    """Joints (V, F, J, 2) as cameras that are late by ``late_s`` (V,) would have seen them in time, by cubics.

    NaN where a neighbour that is needed was not seen.
    """
    out = xy.copy()
    count = xy.shape[1]
    for v, late in enumerate(late_s / step_s):
        if abs(late) < 1e-9:
            continue
        at = np.arange(count) + late
        k = np.floor(at).astype(int)
        w = (at - k)[:, None, None]
        p = [np.where(((k + d >= 0) & (k + d < count))[:, None, None], xy[v, np.clip(k + d, 0, count - 1)], np.nan)
             for d in (-1, 0, 1, 2)]  # fmt: skip
        line = (1 - w) * p[1] + w * p[2]
        # Catmull and Rom's; the line alone where a farther neighbour is missing.
        a, b = p[2] - p[0], p[3] - p[1]
        bend = w * (1 - w) * ((1 - w) * (a / 2 - p[2] + p[1]) - w * (b / 2 - p[2] + p[1]))
        out[v] = np.where(np.isfinite(bend), line + bend, line)
    return out


def _settle(
    cameras: Sequence[Camera], xy: Array, weight: Array, step_s: float, late: Bools, focal: bool, most: int
) -> tuple[tuple[Camera, ...], Beside]:
    """Adjusted again and again, the views moved in time each time, until nothing changes."""
    placed, seconds, factor = tuple(cameras), np.zeros(len(cameras)), 0.0
    sigma, focal_sigma = np.zeros(len(cameras)), 0.0
    for _ in range(_ROUNDS):
        shown = at_times(xy, seconds, step_s)
        points = triangulate_robust(placed, shown, weight).points
        speed = np.full(points.shape, np.nan)
        speed[1:-1] = (points[2:] - points[:-2]) / (2 * step_s)
        error = reprojection_error(placed, points, shown)
        good = error < _OUTLIER * max(float(np.nanmedian(error)), 1.0)
        good &= np.isfinite(speed).all(-1) | ~late.any()
        good &= good.sum(0) >= 2
        # The moments that say most.
        count = good.sum((0, 2))
        frames = np.sort(np.argsort(-count, kind="stable")[:most])
        use = good[:, frames].any(0)
        views = np.where(good[..., None], shown, np.nan)[:, frames][:, use]
        prior = np.concatenate([
            np.tile([_TURNED] * 3 + [_MOVED * _away(placed, points)] * 3 + [_LATE_S], len(placed)), [_FOCAL]
        ])  # fmt: skip
        prior[: _OWN - 1] = _FIXED
        prior[_OWN - 1 : -1 : _OWN][~late] = _FIXED
        prior[-1] = prior[-1] if focal else _FIXED
        placed, change, cov = _adjust(placed, points[frames][use], np.nan_to_num(speed[frames][use]), views, prior)
        seconds, factor = seconds + np.where(late, change[_OWN - 1 : -1 : _OWN], 0), factor + change[-1] * focal
        deviation = _TOGETHER * np.sqrt(np.diag(cov))
        sigma, focal_sigma = deviation[_OWN - 1 : -1 : _OWN], float(deviation[-1])
        if np.abs(change[_OWN - 1 : -1 : _OWN]).max() < 5e-4 and abs(change[-1]) < 5e-4:
            break
    return placed, Beside(seconds, sigma, float(np.exp(factor)), focal_sigma)


def _away(cameras: Sequence[Camera], points: Array) -> float:
    """Typical distance of the person, mm."""
    middle = np.nanmedian(points.reshape(-1, 3), axis=0)
    return float(np.median([np.linalg.norm(camera.centre - middle) for camera in cameras]))


def _adjust(
    cameras: tuple[Camera, ...], X: Array, speed: Array, xy: Array, prior: Array
) -> tuple[tuple[Camera, ...], Array, Array]:
    """The cameras, the change (7 V + 1,) of all numbers and its covariance.

    Args:
        cameras: V.
        X: (P, 3) mm.
        speed: (P, 3) mm/s.
        xy: (V, P, 2) pixels, NaN where not seen.
        prior: (7 V + 1,) standard deviations.
    """
    rays = np.stack([image_to_ray(camera, seen)[..., :2] for camera, seen in zip(cameras, xy, strict=True)])
    f = np.array([(camera.K[0, 0] + camera.K[1, 1]) / 2 for camera in cameras])
    change, X, noise = np.zeros(len(prior)), X.copy(), 0.0
    S = np.eye(len(prior))
    for _ in range(_STEPS):
        S, g, noise, back = _reduced(cameras, change, X, speed, rays, f, noise)
        step = np.linalg.solve(S + np.diag(1 / prior**2), g + change / prior**2)
        change, X = change - step, X - back(step)
        if np.abs(step / prior).max() < 1e-4:
            break
    # What the joints alone say of a number, the others being free: without its own prior.
    cov = np.linalg.inv(S + np.diag(1 / prior**2))
    own = np.diag(cov)
    alone = 1 / np.maximum(1 / own - 1 / prior**2, 1e-12)
    own = np.where(prior > _FIXED, alone, 0.0)
    numbers = change[:-1].reshape(-1, _OWN)
    out = tuple(_moved(camera, own_, change[-1]) for camera, own_ in zip(cameras, numbers, strict=True))
    return out, change, np.diag(own)


def _moved(camera: Camera, own: Array, factor: float = 0.0) -> Camera:
    R = rotation_matrix(own[:3]) @ camera.R
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= np.exp(factor)
    return replace(camera, K=K, R=R, t=-R @ (camera.centre + own[3:6]))


def _reduced(
    cameras: Sequence[Camera], change: Array, X: Array, speed: Array, rays: Array, f: Array, noise: float
) -> tuple[Array, Array, float, Callable[[Array], Array]]:
    """Normal matrix and gradient of the cameras' numbers, points eliminated; noise in pixels; what moves points."""
    P, n = len(X), len(change)
    stretch = np.exp(change[-1])
    residual, of_point, of_camera = [], [], []
    for v, (camera, own) in enumerate(zip(cameras, change[:-1].reshape(-1, _OWN), strict=True)):
        moved = _moved(camera, own)
        # Late by s: it sees where the joint was s ago.
        local = (X - speed * own[6]) @ moved.R.T + moved.t
        z = np.maximum(local[:, 2], _NEAR_MM)
        flat = f[v] * stretch * local[:, :2] / z[:, None]
        D = np.zeros((P, 2, 3))
        D[:, 0, 0] = D[:, 1, 1] = f[v] * stretch / z
        D[:, :, 2] = -flat / z[:, None]
        Jp = D @ moved.R
        Jc = np.zeros((P, 2, n))
        Jc[:, :, _OWN * v : _OWN * (v + 1)] = np.concatenate([-D @ _cross(local), -Jp, -Jp @ speed[:, :, None]], -1)
        Jc[:, :, -1] = flat
        r = flat - f[v] * rays[v]
        r[~np.isfinite(r).all(-1) | (local[:, 2] <= _NEAR_MM)] = np.nan
        residual.append(r)
        of_point.append(Jp)
        of_camera.append(Jc)
    r = np.stack(residual)
    seen = np.asarray(np.isfinite(r).all(-1))
    size = np.linalg.norm(r, axis=-1)
    # Two views leave less of the noise in the residuals than many: 2 V - 3 of 2 V numbers.
    left = np.sqrt(np.maximum(2 * seen.sum(0) - 3, 1) / np.maximum(2 * seen.sum(0), 1))
    noise = max(float(np.nanmedian(size / left)) / 1.18, 0.2)
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
    S = Hcc - np.tensordot(gain, Hcp, axes=((0, 2), (0, 2)))
    g = gc - np.einsum("pnj,pj->n", gain, gp)

    def back(step: Array) -> Array:
        return np.linalg.solve(Hpp, (gp - np.einsum("pnj,n->pj", Hcp, step))[..., None])[..., 0]

    return S, g, noise, back


def _cross(x: Array) -> Array:
    """(P, 3, 3) matrices with ``_cross(x) @ w = x cross w``."""
    out = np.zeros((len(x), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -x[:, 2], x[:, 1], -x[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = x[:, 2], -x[:, 1], x[:, 0]
    return out
