"""How far a calibration can be believed, by the covariance of its solution."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from scipy.stats import chi2

from calibration.arrays import Array
from calibration.geometry.camera import Camera

SHARE: Final = 0.95
"""Of walks like this one, in which the error stays below what is predicted."""


def pair_errors(cameras: Sequence[Camera], cov: Array, own: int) -> Array:
    """What the error of the relative rotation of each pair of cameras stays below in ``SHARE`` of all cases.

    The square of the error is a sum of three squares of different variance; a chi-square distribution of the same mean
    and variance stands for it (Welch and Satterthwaite).

    Args:
        cameras: V placed cameras.
        cov: covariance of their numbers, ``own`` of each, of which the first three are a rotation vector in its axes.
        own: how many numbers a camera has.

    Returns:
        (V, V) degrees, 0 on the diagonal.
    """
    out = np.zeros((len(cameras),) * 2)
    for a, b in combinations(range(len(cameras)), 2):
        turn = np.zeros((3, len(cov)))
        turn[:, own * b : own * b + 3] = np.eye(3)
        turn[:, own * a : own * a + 3] = -cameras[b].R @ cameras[a].R.T
        C = turn @ cov @ turn.T
        mean, square = np.trace(C), np.trace(C @ C)
        out[a, b] = out[b, a] = np.degrees(np.sqrt(square / mean * chi2.ppf(SHARE, mean**2 / square)))
    return out
