"""Bones of one body: they keep their length, and what that adds to a bundle adjustment of points that move."""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Bools, Ints

_TAILS = 3.0
"""Degrees of freedom of Student's t, as of the pictures'."""


@dataclass(frozen=True, slots=True, eq=False)
class Bones:
    """The bones of one body, of which every moment has the same ``joints`` points."""

    joints: int
    """J: the points are moment by moment, J of each."""
    pairs: Ints
    """(B, 2) indexes below J."""
    lengths: Array
    """(B,) mm, as expected."""
    cov: Array
    """(B, B) of the logarithms of the lengths: how bodies differ from what is expected."""
    sigma_mm: Array
    """(B,) by how much each changes from moment to moment: what a detector calls a hip is no point of the body."""


@dataclass(frozen=True, slots=True, eq=False)
class BoneTerms:
    """Normal equations of the bones: those of the points, of the lengths, and of both."""

    points: Array
    """(F, 3 J, 3 J)"""
    points_gradient: Array
    """(F, 3 J)"""
    both: Array
    """(F, B, 3 J)"""
    lengths: Array
    """(B,) diagonal."""
    lengths_gradient: Array
    """(B,)"""


def bone_terms(bones: Bones, X: Array, seen: Bools, change: Array) -> BoneTerms:
    """What the bones say.

    Args:
        bones: of the body.
        X: (F J, 3) mm, the points.
        seen: (F J,) which of them pictures tell; a bone with another end says nothing.
        change: (B,) of the logarithms of the lengths.
    """
    J, B = bones.joints, len(bones.pairs)
    at, there = X.reshape(-1, J, 3), seen.reshape(-1, J)
    F = len(at)
    length = bones.lengths * np.exp(change)
    out = BoneTerms(
        np.zeros((F, 3 * J, 3 * J)), np.zeros((F, 3 * J)), np.zeros((F, B, 3 * J)), np.zeros(B), np.zeros(B)
    )
    for b, (i, k) in enumerate(bones.pairs):
        d = at[:, i] - at[:, k]
        norm = np.maximum(np.linalg.norm(d, axis=-1), 1.0)
        u = d / norm[:, None] / bones.sigma_mm[b]
        r = (norm - length[b]) / bones.sigma_mm[b]
        w = np.where(there[:, i] & there[:, k], (_TAILS + 1) / (_TAILS + r**2), 0.0)
        own = -length[b] / bones.sigma_mm[b]
        first, second = slice(3 * i, 3 * i + 3), slice(3 * k, 3 * k + 3)
        square = w[:, None, None] * u[:, :, None] * u[:, None]
        out.points[:, first, first] += square
        out.points[:, second, second] += square
        out.points[:, first, second] -= square
        out.points[:, second, first] -= square
        out.points_gradient[:, first] += (w * r)[:, None] * u
        out.points_gradient[:, second] -= (w * r)[:, None] * u
        out.both[:, b, first] += own * w[:, None] * u
        out.both[:, b, second] -= own * w[:, None] * u
        out.lengths[b] = own**2 * w.sum()
        out.lengths_gradient[b] = own * (w * r).sum()
    return out
