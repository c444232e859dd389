"""Object keypoint similarity: how alike two 2D poses are (the COCO keypoint challenge's measure)."""

from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines.skeleton import (
    L_ANKLE,
    L_ELBOW,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    LIMBS,
    R_ANKLE,
    R_ELBOW,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)  # fmt: skip

_SIGMA: Final = {
    L_SHOULDER: 0.079, R_SHOULDER: 0.079, L_ELBOW: 0.072, R_ELBOW: 0.072, L_WRIST: 0.062, R_WRIST: 0.062,
    L_HIP: 0.107, R_HIP: 0.107, L_KNEE: 0.087, R_KNEE: 0.087, L_ANKLE: 0.089, R_ANKLE: 0.089,
}  # fmt: skip
_LIMBS: Final = np.array(LIMBS)
_TWO_SIGMA: Final = 2 * np.array([_SIGMA[joint] for joint in LIMBS])
LEAST_SCORE: Final = 0.15
"""A joint below it is not compared."""


def seen_limbs(score: Array) -> Bools:
    """(..., 12) which limb joints of scores (..., 17) are compared."""
    return score[..., _LIMBS] >= LEAST_SCORE


def oks(a: Array, a_score: Array, b: Array, b_score: Array) -> Array:
    """How alike poses are, of the limb joints that both show; the size is that of the larger one's box.

    Args:
        a: (A, 17, 2) pixels.
        a_score: (A, 17).
        b: (B, 17, 2) pixels.
        b_score: (B, 17).

    Returns:
        (A, B) 0..1; 0 where they have fewer than three joints in common.
    """
    shown = seen_limbs(a_score)[:, None] & seen_limbs(b_score)[None]
    # COCO's area of the person, which its box is about twice.
    area = np.maximum(_area(a, a_score)[:, None], _area(b, b_score)[None]) / 2
    square = ((a[:, None, _LIMBS] - b[None, :, _LIMBS]) ** 2).sum(-1)
    alike = np.exp(-square / (2 * np.maximum(area, 1.0)[..., None] * _TWO_SIGMA**2))
    count = shown.sum(-1)
    return np.where(count >= 3, (alike * shown).sum(-1) / np.maximum(count, 1), 0.0)


def _area(xy: Array, score: Array) -> Array:
    """(N,) px2 of the box of the seen limb joints; of one who stands straight in a line, as wide as a person is."""
    seen = seen_limbs(score)[..., None]
    limbs = xy[:, _LIMBS]
    with np.errstate(invalid="ignore"):
        size = np.where(seen, limbs, -np.inf).max(1) - np.where(seen, limbs, np.inf).min(1)
    size = np.where(np.isfinite(size), size, 0.0)
    size = np.maximum(size, 0.4 * size.max(-1, keepdims=True))
    return size.prod(-1)
