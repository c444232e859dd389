"""Rotations as three angles about axes, over time."""

import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from calibration.arrays import Array

_LOCKED = 1e-6


def euler_angles(matrices: Array, order: str) -> Array:
    """(..., 3) radians of rotations (..., 3, 3), intrinsic, each by itself; NaN stays NaN.

    Args:
        matrices: the rotations.
        order: three of X, Y and Z, as scipy takes them.
    """
    flat = matrices.reshape(-1, 3, 3)
    known = np.isfinite(flat).all((-1, -2))
    out = np.full((len(flat), 3), np.nan)
    if known.any():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Gimbal lock", UserWarning)  # one of many answers is as good as another
            out[known] = Rotation.from_matrix(flat[known]).as_euler(order)
    return out.reshape(*matrices.shape[:-2], 3)


def nearest_angles(matrices: Array, order: str) -> Array:
    """(F, 3) radians of rotations (F, 3, 3) about three different axes: of all that mean the same, those nearest to the
    ones before.

    So a knee is flexed through 90 degrees without a jump, and no program turns a limb the long way round.
    """
    angles, before = euler_angles(matrices, order), np.zeros(3)
    sense = 1.0 if order in ("XYZ", "YZX", "ZXY") else -1.0
    for now in angles:
        if not np.isfinite(now).all():
            continue
        if abs(np.cos(now[1])) < _LOCKED:  # only the sum of the outer two, or their difference, is known
            sign = sense * np.sign(np.sin(now[1]))
            now[0] += sign * (now[2] - before[2])
            now[2] = before[2]
        other = np.array([now[0] + np.pi, np.pi - now[1], now[2] + np.pi])
        both = [a + 2 * np.pi * np.round((before - a) / (2 * np.pi)) for a in (now, other)]
        now[:] = min(both, key=lambda a: float(np.abs(a - before).sum()))
        before = now
    return angles


def least_angles(matrices: Array, order: str) -> Array:
    """(F, 3) radians about three different axes, -pi..pi: of all that mean the same, those that are least in sum.

    What a joint can do is near its neutral position, so this is how people would say it; a wrong frame leaves no trace
    in those after it.
    """
    angles = half_turn(euler_angles(matrices, order))
    other = half_turn(np.stack([angles[:, 0] + np.pi, np.pi - angles[:, 1], angles[:, 2] + np.pi], -1))
    return np.where((np.abs(other).sum(-1) < np.abs(angles).sum(-1))[:, None], other, angles)


def half_turn(angles: Array) -> Array:
    """The same angles in -pi..pi."""
    return np.remainder(angles + np.pi, 2 * np.pi) - np.pi
