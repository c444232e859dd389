"""What a walk tells beside where cameras stand: how late each of them is, and by how much their lenses are longer.

A camera that is late sees quick joints where they were; lenses that are longer than was told make all that comes nearer
grow too little. Bundle adjustment as in ``moving``. A number is believed where the joints tell it against its prior,
and it is not nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera
from calibration.geometry.triangulation import reprojection_error, triangulate_robust
from calibration.solving.bones import Bones
from calibration.solving.moving import OWN, Adjustment, adjust_moving
from calibration.solving.sureness import pair_errors

# Standard deviations of the priors.
_TURNED, _MOVED, _LATE_S, _FOCAL = np.radians(3.0), 0.1, 0.1, 0.1
_FIXED = 1e-6
_TOGETHER = 2.0
"""Factor on standard deviations: joints of one body, a tenth of a second apart, are wrong together."""
_LASTING = 3.0
"""The same for how cameras are turned to each other: a detector is wrong in the same way for half a second or more.
By the first and the second half of the four-camera demo, pairs differ by 1.6 to 3.3 degrees; this says 2.8 to 3.7."""
_SURE, _TOLD = 4.0, 0.2
"""Standard deviations from nothing, and a standard deviation in the prior's, from which on a number is believed."""
_LEAST = (0.005, 0.005)
"""Seconds, and a part of the focal length: below it nothing is gained."""
_ROUNDS = 6
_FRAMES, _ALL_FRAMES = 150, 600
"""Moments adjusted to find out what is believed, and in the end."""
_OUTLIER = 5.0
_NEAR_MM = 300.0


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
    pair_degrees: Array
    """(V, V) what the error of each pair's relative rotation stays below in 95 of 100 walks like this one, degrees."""

    @property
    def nothing(self) -> bool:
        """Whether all is as it was told."""
        return self.focal == 1 and not self.late_s.any()


def tell(
    cameras: Sequence[Camera], xy: Array, weight: Array, step_s: float, bones: Bones
) -> tuple[tuple[Camera, ...], Beside]:
    """What is believed, and the cameras placed with it.

    Args:
        cameras: V placed cameras.
        xy: (V, F, J, 2) pixels of the J joints of the bones at F moments, NaN where not seen.
        weight: (V, F, J), 0 where not seen.
        step_s: seconds between moments.
        bones: of the body.
    """
    late, focal = np.arange(len(cameras)) > 0, not any(camera.fisheye for camera in cameras)
    while late.any() or focal:
        found = _settle(cameras, xy, weight, step_s, late, focal, bones, _FRAMES)[1]
        held = np.abs(found.late_s) > np.maximum(_SURE * found.late_sigma, _LEAST[0])
        held &= (found.late_sigma < _TOLD * _LATE_S) & late
        factor = abs(np.log(found.focal))
        lens = factor > max(_SURE * found.focal_sigma, _LEAST[1]) and found.focal_sigma < _TOLD * _FOCAL and focal
        if bool(lens) == focal and bool(np.array_equal(held, late)):
            break
        late, focal = held, bool(lens)
    return _settle(cameras, xy, weight, step_s, late, focal, bones, _ALL_FRAMES)


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
    cameras: Sequence[Camera], xy: Array, weight: Array, step_s: float, late: Bools, focal: bool, bones: Bones,
    most: int,
) -> tuple[tuple[Camera, ...], Beside]:  # fmt: skip
    """Adjusted again and again, the views moved in time each time, until nothing changes."""
    placed, seconds, factor = tuple(cameras), np.zeros(len(cameras)), 0.0
    sigma, focal_sigma, pairs = np.zeros(len(cameras)), 0.0, np.zeros((len(cameras),) * 2)
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
        frames = frames[count[frames] > 0]
        views = np.where(good[..., None], shown, np.nan)[:, frames].reshape(len(placed), -1, 2)
        prior = np.concatenate([
            np.tile([_TURNED] * 3 + [_MOVED * _away(placed, points)] * 3 + [_LATE_S], len(placed)), [_FOCAL]
        ])  # fmt: skip
        prior[: OWN - 1] = _FIXED
        prior[OWN - 1 : -1 : OWN][~late] = _FIXED
        prior[-1] = prior[-1] if focal else _FIXED
        there = _somewhere(points[frames])
        found = adjust_moving(
            placed, there, np.nan_to_num(speed[frames]).reshape(-1, 3), views, prior,
            coarse=_coarse(placed, there), bones=bones,
        )  # fmt: skip
        placed, change = found.cameras, found.change
        seconds, factor = seconds + np.where(late, change[OWN - 1 : -1 : OWN], 0), factor + change[-1] * focal
        deviation = _TOGETHER * _told(found.normal, prior)
        sigma, focal_sigma = deviation[OWN - 1 : -1 : OWN], float(deviation[-1])
        pairs = _LASTING * _pairs(found, prior)
        if np.abs(change[OWN - 1 : -1 : OWN]).max() < 5e-4 and abs(change[-1]) < 5e-4:
            break
    return placed, Beside(seconds, sigma, float(np.exp(factor)), focal_sigma, pairs)


def _somewhere(points: Array) -> Array:
    """Points (F, J, 3) as (F J, 3), those that are not known in the middle of the others of their moment."""
    middle = np.nanmean(points, axis=1, keepdims=True)
    return np.where(np.isfinite(points), points, middle).reshape(-1, 3)


def _coarse(cameras: Sequence[Camera], points: Array) -> Array:
    """(V, P) by what a detector's errors grow with the person in the picture: what is near is seen larger."""
    scale = [camera.K[0, 0] / np.maximum(points @ camera.R[2] + camera.t[2], _NEAR_MM) for camera in cameras]
    return np.stack(scale) / np.median(scale)


def _pairs(found: Adjustment, prior: Array) -> Array:
    """``pair_errors`` by what the pictures and the bones tell: the prior of where cameras are only damped the steps."""
    held = np.ones(len(prior))
    held[:-1].reshape(-1, OWN)[1:, : OWN - 1] = 0.0
    # In units of the prior: radians and millimetres in one matrix.
    normal = found.normal * np.outer(prior, prior) + np.diag(held + 1e-9)
    return pair_errors(found.cameras, np.linalg.inv(normal) * np.outer(prior, prior), OWN)


def _away(cameras: Sequence[Camera], points: Array) -> float:
    """Typical distance of the person, mm."""
    middle = np.nanmedian(points.reshape(-1, 3), axis=0)
    return float(np.median([np.linalg.norm(camera.centre - middle) for camera in cameras]))


def _told(normal: Array, prior: Array) -> Array:
    """Standard deviations of the numbers by what the joints alone say of each, the others being free: without its own
    prior; 0 of what is fixed.
    """
    own = np.diag(np.linalg.inv(normal + np.diag(1 / prior**2)))
    alone = 1 / np.maximum(1 / own - 1 / prior**2, 1e-12)
    return np.sqrt(np.where(prior > _FIXED, alone, 0.0))
