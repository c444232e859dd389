"""How sure rotations are, and whatever follows from them: to first order, by moving each coordinate of each joint."""

from collections.abc import Callable

import numpy as np

from calibration.arrays import Array, Ints
from engines.articulation.frames import bone_frames
from engines.articulation.hierarchy import REST, UPPER
from engines.articulation.kinematics import unchained
from engines.articulation.types import Solved
from engines.skeleton import N_JOINTS

OPEN_TURN = np.radians(52.0)
"""One standard deviation of the turn of a straight limb: evenly anything within 90 degrees."""
_AT_ONCE = 128
"""Frames that are computed at a time, 52 poses each."""
_STEP = 1e-4
"""Of the size of the person: by how much a joint is moved."""
_MOVES = 3 * N_JOINTS


def linearised(of: Callable[[Array, Array], Array], solved: Solved, cov: Array) -> Array:
    """The covariance (F, A, A) of A numbers that follow from the frames of the bones; NaN where these are.

    Args:
        of: from frames (n, 1, 17, 3, 3) and such of joints that were moved a little (n, 51, 17, 3, 3) to how much each
            number has changed, (n, 51, A).
        solved: the frames.
        cov: (F, 17, 3, 3) of each joint, in the square of their unit.
    """
    known = np.asarray(np.isfinite(solved.frames).all((1, 2, 3)) & np.isfinite(cov).all((1, 2, 3)))
    first = known & ~np.isfinite(solved.hips_before).all((1, 2))
    parts, rows = [], []
    for group, alone in ((first, True), (known & ~first, False)):
        index = np.flatnonzero(group)
        for part in (index[k : k + _AT_ONCE] for k in range(0, len(index), _AT_ONCE)):
            J = _jacobian(of, solved, part, alone)
            parts.append(np.einsum("fjxa,fjxy,fjyb->fab", J, cov[part], J, optimize=True))
            rows.append(part)
    if not rows:
        size = of(solved.frames[:1, None], np.repeat(solved.frames[:1, None], _MOVES, 1)).shape[-1] if len(known) else 0
        return np.full((len(known), size, size), np.nan)
    out = np.full((len(known), *parts[0].shape[1:]), np.nan)
    out[np.concatenate(rows)] = np.concatenate(parts)
    return out


def _jacobian(of: Callable[[Array, Array], Array], solved: Solved, part: Ints, alone: bool) -> Array:
    """(n, 17, 3, A) change of each number with each coordinate of each joint."""
    joints = solved.joints[part]
    h = _STEP * np.ptp(joints, axis=1).max(-1)
    h = np.where(h > 0, h, 1.0)[:, None, None, None]
    moved = joints[:, None] + h * np.eye(_MOVES).reshape(_MOVES, N_JOINTS, 3)
    hips, uppers, elapsed = (
        np.repeat(a[part], _MOVES, 0) for a in (solved.hips_before, solved.uppers_before, solved.elapsed)
    )
    before = (None, None) if alone else (hips, uppers)
    frames, _ = bone_frames(moved.reshape(-1, N_JOINTS, 3), *before, elapsed)
    change = of(solved.frames[part, None], frames.reshape(len(part), _MOVES, N_JOINTS, 3, 3))
    return change.reshape(len(part), N_JOINTS, 3, -1) / h


def rotation_covariance(solved: Solved, cov: Array) -> Array:
    """``Articulation.cov``."""
    wide = linearised(_local_change, solved, cov)
    wide = wide.reshape(len(wide), N_JOINTS, 3, N_JOINTS, 3)
    out = np.stack([wide[:, j, :, j] for j in range(N_JOINTS)], 1)
    upper = list(UPPER)
    along = REST[upper][:, :, None] * REST[upper][:, None]
    out[:, upper] += (((1 - solved.twist_seen[:, upper]) * OPEN_TURN) ** 2)[..., None, None] * along
    return out


def _local_change(frames: Array, moved: Array) -> Array:
    """(n, 51, 17 * 3) the small rotation of each bone in its own axes, radians."""
    R = np.swapaxes(unchained(frames), -1, -2) @ unchained(moved)
    R = R - np.swapaxes(R, -1, -2)
    return np.stack([R[..., 2, 1], R[..., 0, 2], R[..., 1, 0]], -1).reshape(*R.shape[:2], -1) / 2
