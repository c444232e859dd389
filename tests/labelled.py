"""Labelled people in photographs, and what a perfect detector makes of them."""

import numpy as np

from engines.skeleton import HEAD
from engines.training.data import lspet

# Ankle to hip and back on the left, wrist to shoulder and back, neck, head top: torso 100 px, head 40.
PERSON = np.array([
    [80, 300], [80, 240], [80, 180], [140, 180], [140, 240], [140, 300], [20, 160], [40, 130], [60, 100], [160, 100],
    [180, 130], [200, 160], [110, 90], [110, 50],
], float)  # fmt: skip
PERSON[3] = PERSON[8] + (60, 80)


def people(count: int) -> np.ndarray:
    """(count, 14, 3) fully visible people side by side."""
    joints = np.concatenate([np.tile(PERSON, (count, 1, 1)), np.ones((count, 14, 1))], -1)
    joints[..., 0] += 10 * np.arange(count)[:, None]
    return joints


def perfect(joints: np.ndarray) -> np.ndarray:
    """(N, 17, 2) what a perfect detector without a head finds."""
    xy, seen = lspet.to_h36m(joints)
    seen[:, HEAD] = False
    return np.where(seen[..., None], xy, np.nan)
