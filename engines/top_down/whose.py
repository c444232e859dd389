"""Whose joint it is, where boxes overlap: a network that is shown two people mixes them into one body."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines.skeleton import LIMBS, derive
from engines.types import Detection

_LIMBS: Final = np.array(LIMBS)
_COINCIDE: Final = 0.04
"""Two joints nearer than this, a share of the person's size, are one."""
_MOVED: Final = 0.1
"""A joint further than this from where it was to be ..."""
_NEAR: Final = 0.15
"""... and nearer than this to where that of somebody else was to be, is theirs."""


def own_joints(poses: Sequence[Detection], expected: Array, size: Array) -> list[Detection]:
    """The poses without the joints of somebody else.

    A joint of one who was to have it elsewhere, which lies where somebody else was to have theirs, is the other's. Of
    two people who show a joint in one place it is that of the one who was expected to have it there.

    Args:
        poses: K of them, of K people.
        expected: (K, 17, 2) pixels: where their joints were to be.
        size: (K,) pixels: the longer side of each person's box.
    """
    if len(poses) < 2:
        return list(poses)
    xy, score = np.stack([p.xy for p in poses]), np.stack([p.score for p in poses])
    size = np.maximum(np.asarray(size, np.float64), 1.0)[:, None]
    # (K, K, 17): from the joints of one to where those of another were to be, in sizes of the one.
    off = np.linalg.norm(xy[:, None] - expected[None], axis=-1) / size[..., None]
    own = np.diagonal(off).T
    theirs = np.where(np.eye(len(poses), dtype=bool)[..., None], np.inf, off).min(1)
    lost = (own > _MOVED) & (theirs < np.minimum(_NEAR, 0.5 * own))
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1) / np.maximum(size, size.T)[..., None]
    shown = score > 0
    one_place = (apart < _COINCIDE) & shown[:, None] & shown[None] & ~np.eye(len(poses), dtype=bool)[..., None]
    lost |= (one_place & (own[:, None] > own[None])).any(1)
    return [without(pose, mine) for pose, mine in zip(poses, lost, strict=True)]


def without_others(pose: Detection, others: Sequence[Detection], size: float) -> Detection:
    """The pose of somebody new without the joints that people who are followed show in the same place."""
    if not others:
        return pose
    apart = np.linalg.norm(pose.xy - np.stack([p.xy for p in others]), axis=-1) / max(size, 1.0)
    shown = np.stack([p.score for p in others]) > 0
    return without(pose, ((apart < _COINCIDE) & shown).any(0))


def without(pose: Detection, lost: Bools) -> Detection:
    """The pose where these joints (17,) are not seen; pelvis and thorax follow from their own."""
    lost = lost & np.isin(np.arange(len(lost)), _LIMBS) & (pose.score > 0)
    if not lost.any():
        return pose
    xy, score, derived = derive(pose.xy, np.where(lost, 0, pose.score).astype(np.float32))
    cov = None if pose.cov is None else np.where((score > 0)[:, None, None], pose.cov, np.nan).astype(np.float32)
    return replace(pose, xy=xy, score=score, derived=derived, cov=cov)
