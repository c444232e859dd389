"""How unsure a 2D joint is: a covariance from the shape of its heatmap and its score, calibrated on photographs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from calibration.arrays import Array
from engines.skeleton import DERIVED_FROM, LIMBS, JointMap

FLOOR: Final = 0.1
"""Share of a heatmap's peak below which a cell counts for nothing: a little in thousands of cells is no second peak."""
_LEAST: Final = 1e-6
"""Added to the variance of a heatmap's shape, in squared sides of the crop: a fifteenth of a cell of 64."""
_SURE: Final = 0.999
_LIKELY: Final = 0.15
_KEYS: Final = ("cov_level", "cov_spread", "cov_surety", "cov_round")


@dataclass(frozen=True, slots=True)
class EllipseCalibration:
    """From the shape of a heatmap and its score to the covariance of the joint.

    With ``v`` the mean variance of the shape and ``L`` the score's logit, the mean variance of the joint is
    ``exp(level + spread log v + surety L)``; its directions are those of the shape, ``round`` of them made round.
    """

    level: float
    spread: float
    surety: float
    round: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "EllipseCalibration | None":
        """Of a card's values; None where it has none, such as one of before."""
        found = [values.get(key) for key in _KEYS]
        if not all(isinstance(value, int | float) for value in found):
            return None
        return cls(*(float(value) for value in found))  # pyright: ignore[reportArgumentType]

    def values(self) -> dict[str, float]:
        """As the card names them."""
        numbers = (self.level, self.spread, self.surety, self.round)
        return {key: round(value, 4) for key, value in zip(_KEYS, numbers, strict=True)}

    def covariance(self, shape: Array, score: Array) -> Array:
        """(..., 2, 2) from the shapes of the heatmaps (..., 2, 2) and scores (...), in the shapes' unit."""
        mean = np.trace(shape, axis1=-2, axis2=-1)[..., None, None] / 2
        chance = np.clip(score, 1 - _SURE, _SURE)
        logit = np.log(chance / (1 - chance))[..., None, None]
        variance = np.exp(self.level + self.spread * np.log(mean) + self.surety * logit)
        return variance * ((1 - self.round) * shape / mean + self.round * np.eye(2))


def shapes(maps: Array, uv: Array) -> Array:
    """Second moments of heatmaps about the joints that were found on them.

    Args:
        maps: (K, h, w) heights; a map that is the same everywhere is as wide as the crop.
        uv: (K, 2) joints, 0..1 across the crop.

    Returns:
        (K, 2, 2) in squared sides of the crop.
    """
    height, width = maps.shape[1:]
    with np.errstate(invalid="ignore"):  # a map that is not finite gives NaN, as its score is
        mass = np.maximum(maps - FLOOR * maps.max((1, 2), keepdims=True), 0)
    total = mass.sum((1, 2))
    mass = np.where((total > 0)[:, None, None], mass, 1)
    dx = (np.arange(width, dtype=np.float32) + 0.5) / width - uv[:, :1]
    dy = (np.arange(height, dtype=np.float32) + 0.5) / height - uv[:, 1:]
    rows, columns = mass.sum(2), mass.sum(1)
    xx, yy = (columns * dx**2).sum(1), (rows * dy**2).sum(1)
    xy = ((mass @ dx[..., None])[..., 0] * dy).sum(1)
    moments = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2) / mass.sum((1, 2))[:, None, None]
    return moments + _LEAST * np.eye(2)


def extent(xy: Array, score: Array) -> float:
    """Long side of the box around the limb joints (17, 2) that are likely, pixels; at least 1."""
    limbs = xy[list(LIMBS)][score[list(LIMBS)] >= _LIKELY]
    return max(float(np.ptp(limbs, axis=0).max()), 1.0) if len(limbs) else 1.0


def to_h36m(joint_map: JointMap, cov: Array) -> Array:
    """Carry covariances (K, 2, 2) to the 17 joints, float32; NaN for joints that the set does not have.

    Those of pelvis and thorax are of the middle of two joints whose errors have nothing to do with each other.
    """
    index = np.array(joint_map.source)
    out = np.where((index >= 0)[:, None, None], cov[index], np.nan)
    for joint, (a, b) in DERIVED_FROM.items():
        out[joint] = (out[a] + out[b]) / 4
    return out.astype(np.float32)
