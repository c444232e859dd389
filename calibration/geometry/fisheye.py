"""OpenCV's fisheye model: Kalibr's "equidistant", COLMAP's OPENCV_FISHEYE (Kannala and Brandt 2006).

A ray ``theta`` off the axis is shown ``theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)`` focal lengths
from the middle. Computed here and not by ``cv2.fisheye``, whose ``undistortPoints`` gives up on rays far from the axis
and whose ``projectPoints`` shows what is behind the camera.
"""

from typing import Final

import numpy as np

from calibration.arrays import Array

WIDEST: Final = float(np.radians(89))
"""Rays with z = 1 end at a right angle to the axis; what a fisheye shows beyond this is seen by nobody."""
_STEPS = 20
_ANGLES = np.linspace(0, WIDEST, 401)


def shown_at(theta: Array, dist: Array) -> Array:
    """How far from the middle a ray is shown, focal lengths.

    Args:
        theta: (...,) radians off the axis.
        dist: (4,) k1 k2 k3 k4.
    """
    k1, k2, k3, k4 = dist
    q = theta * theta
    return theta * (1 + q * (k1 + q * (k2 + q * (k3 + q * k4))))


def _slope(theta: Array, dist: Array) -> Array:
    """(...,) the derivative of ``shown_at`` in theta."""
    k1, k2, k3, k4 = dist * [3, 5, 7, 9]
    q = theta * theta
    return 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))


def stretch(rays: Array, dist: Array) -> Array:
    """(..., 2, 2) what a displacement in the picture, in focal lengths, is on rays (..., 2) with z = 1.

    It grows fast towards the rim: at 70 degrees a pixel of an ideal fisheye is nine of a pinhole's.
    """
    tangent = np.linalg.norm(rays, axis=-1)
    theta = np.arctan(tangent)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (1 + tangent**2) / _slope(theta, dist)
        across = np.where(tangent > 1e-9, tangent / shown_at(theta, dist), 1.0)
        radial = np.where(tangent[..., None] > 1e-9, rays / tangent[..., None], 0.0)
    outer = radial[..., :, None] * radial[..., None, :]
    return across[..., None, None] * np.eye(2) + (along - across)[..., None, None] * outer


def reach(dist: Array) -> float:
    """Up to which angle off the axis the picture grows outwards, radians, at most ``WIDEST``."""
    with np.errstate(over="ignore", invalid="ignore"):
        back = ~(np.diff(shown_at(_ANGLES, dist)) > 0)
    return float(_ANGLES[back.argmax()]) if back.any() else WIDEST


def turns_back(dist: Array, corner: float, stretch: tuple[float, float]) -> float | None:
    """At which angle, radians, the picture stops to grow outwards or is absurd before it reaches the corner, or None.

    Args:
        dist: (4,).
        corner: distance of the farthest corner, focal lengths.
        stretch: how much nearer or farther out a ray may be shown than its angle.
    """
    theta = _ANGLES[1:]
    with np.errstate(over="ignore", invalid="ignore"):
        shown = np.nan_to_num(shown_at(theta, dist), nan=-1.0)
    needed = np.concatenate([[True], np.maximum.accumulate(shown)[:-1] < corner * (1 - 1e-6)])
    absurd = (shown < stretch[0] * theta) | (shown > stretch[1] * theta)
    bad = needed & (absurd | (np.diff(shown, prepend=0) <= 0))
    return float(theta[bad.argmax()]) if bad.any() else None


def project(points: Array, K: Array, dist: Array) -> Array:
    """Camera points (N, 3) to pixels (N, 2); NaN where ``unproject`` has no way back."""
    side = np.hypot(points[:, 0], points[:, 1])
    theta = np.arctan2(side, points[:, 2])
    theta[~(theta <= reach(dist))] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where((side == 0) & (theta == 0), 0.0, shown_at(theta, dist) / side)
    return points[:, :2] * factor[:, None] * K[[0, 1], [0, 1]] + K[:2, 2]


def unproject(xy: Array, K: Array, dist: Array) -> Array:
    """Pixels (..., 2) to rays (..., 3) with z = 1; NaN beyond ``reach``.

    Newton's method on the angle, halving the interval where that leaves it.
    """
    shown = (xy - K[:2, 2]) / K[[0, 1], [0, 1]]
    radius, most = np.linalg.norm(shown, axis=-1), reach(dist)
    radius = np.where(radius <= shown_at(np.array(most), dist), radius, np.nan)
    low, high = np.zeros_like(radius), np.full_like(radius, most)
    theta = np.minimum(radius, most)
    for _ in range(_STEPS):
        miss = shown_at(theta, dist) - radius
        low, high = np.where(miss < 0, theta, low), np.where(miss > 0, theta, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = theta - miss / _slope(theta, dist)
        theta = np.where(miss == 0, theta, np.where((step >= low) & (step <= high), step, (low + high) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(radius == 0, 1.0, np.tan(theta) / radius)
    return np.concatenate([shown * factor[..., None], np.where(np.isfinite(factor), 1.0, np.nan)[..., None]], axis=-1)
