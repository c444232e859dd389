"""The one length that each bone of a person has."""

from dataclasses import dataclass, field, replace

import numpy as np

from calibration.arrays import Array
from engines.skeleton import PARENTS

_MOST = 512
"""Frames that are kept: their median is within 3 % of the spread of one frame's lengths."""


def bone_lengths(joints: Array) -> Array:
    """(..., 17) the distance of each joint (..., 17, 3) to its parent; 0 for the root."""
    lengths = np.linalg.norm(joints - joints[..., np.maximum(PARENTS, 0), :], axis=-1)
    lengths[..., 0] = 0
    return lengths


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """A running estimate: the median of up to 512 frames, spread evenly over all that were seen.

    It moves less and less, and a stretch of wrong frames shorter than half of all does not carry it away. Noise of
    sigma an axis in both ends lengthens a bone of length l by 2 sigma^2 / l: 3 mm in 250 at 20 mm.
    """

    kept: Array = field(default_factory=lambda: np.empty((0, len(PARENTS))))
    """(K, 17) lengths in some of the frames."""
    stride: int = 1
    """Of how many frames one is kept."""
    seen: int = 0
    """Frames that were seen."""

    def add(self, joints: Array) -> "Lengths":
        """The estimate after one more frame of joints (17, 3); one with a joint that is not finite tells nothing."""
        if not np.isfinite(joints).all():
            return self
        kept, stride = self.kept, self.stride
        if self.seen % stride == 0:
            kept = np.concatenate([kept, bone_lengths(joints)[None]])
            if len(kept) > _MOST:
                kept, stride = kept[::2], stride * 2
        return replace(self, kept=kept, stride=stride, seen=self.seen + 1)

    @property
    def value(self) -> Array:
        """(17,) in the unit of the joints; NaN before the first frame."""
        return np.median(self.kept, axis=0) if len(self.kept) else np.full(len(PARENTS), np.nan)


def lengths_of(joints: Array) -> Array:
    """(17,) the median length of each bone over frames (F, 17, 3) that may be NaN; NaN where all of them are."""
    there = joints[np.isfinite(joints).all((1, 2))]
    return np.median(bone_lengths(there), axis=0) if len(there) else np.full(len(PARENTS), np.nan)
