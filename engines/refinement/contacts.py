"""Feet that stand on the floor: slow, and as low as feet are when they stand."""

from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines.refinement.body import N
from engines.refinement.options import RefineOptions
from engines.skeleton import L_ANKLE, R_ANKLE

ANKLES: Final = (R_ANKLE, L_ANKLE)


def standing(times: Array, joints: Array, up: Array, options: RefineOptions = RefineOptions()) -> Bools:
    """From when to when each foot stands.

    Args:
        times: (T,) seconds, increasing.
        joints: (T, 17, 3) mm, world.
        up: (3,) unit vector.
        options: every threshold. Where the floor is follows from the ankles: a foot that is slow for long is on it.

    Returns:
        (T - 1, 2) whether the right and the left ankle stand from each moment to the next.
    """
    ankles = joints[:, ANKLES]
    gaps = np.diff(times)[:, None]
    speed = np.linalg.norm(np.diff(ankles, axis=0), axis=-1) / np.maximum(gaps, 1e-6)
    height = ((ankles[1:] + ankles[:-1]) / 2) @ up
    slow = speed < options.contact_mm_s
    if not slow.any():
        return np.zeros(slow.shape, bool)
    floor = np.percentile(height[slow], 20)
    found = slow & (height < floor + options.contact_height_mm)
    # One moment alone is no step.
    before = np.concatenate([found[:1], found[:-1]])
    after = np.concatenate([found[1:], found[-1:]])
    return found & (before | after)


def as_joints(stands: Bools) -> Bools:
    """The ankles' (T - 1, 2) as rows of the 16 unknown joints (T - 1, 16)."""
    out = np.zeros((len(stands), N), bool)
    out[:, [ankle - 1 for ankle in ANKLES]] = stands
    return out


def sliding(joints: Array, stands: Bools) -> float:
    """How far a standing foot slides from a moment to the next, mm in the mean; NaN where none stands."""
    step = np.linalg.norm(np.diff(joints[:, ANKLES], axis=0), axis=-1)
    return float(step[stands].mean()) if stands.any() else float("nan")
