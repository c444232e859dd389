"""The frames of the bones over time, each with the memory of the one before."""

import numpy as np

from calibration.arrays import Array
from engines.articulation.frames import bone_frames, swing
from engines.articulation.hierarchy import UPPER
from engines.articulation.kinematics import continued, matrices_of, quaternions_of, unchained
from engines.articulation.types import Memory, Solved
from engines.skeleton import N_JOINTS

_LEVEL = 0.2
"""Share of the line of the hips that must be level for it to tell the heading."""
_Y = np.array([0.0, 1, 0])


def solve(time: Array, joints: Array, up: Array, memory: Memory | None) -> tuple[Solved, Memory | None]:
    """Frames of one person, and what the next ones must know.

    Args:
        time: (F,) seconds, not falling.
        joints: (F, 17, 3); NaN where the person is not there.
        up: (3,) unit vector against gravity, for the heading alone.
        memory: of the frame before the first; None: there was none.
    """
    count = len(joints)
    frames, seen = np.full((count, N_JOINTS, 3, 3), np.nan), np.full((count, N_JOINTS), np.nan)
    hips, uppers = np.full((count, 3, 3), np.nan), np.full((count, 4, 3, 3), np.nan)
    heading, elapsed = np.full(count, np.nan), np.zeros(count)
    for k in np.flatnonzero(np.isfinite(joints).all((1, 2))):
        before: tuple[Array, Array] | tuple[None, None] = (None, None)
        if memory is not None:
            before = hips[k], uppers[k] = memory.hips, memory.uppers
            elapsed[k] = max(float(time[k]) - memory.t, 0.0)
        (frames[k],), (seen[k],) = bone_frames(joints[k : k + 1], *before, elapsed[k])
        heading[k] = _heading(frames[k, 0], up, None if memory is None else memory.heading)
        rotations = quaternions_of(unchained(frames[k]))
        rotations = continued(rotations[None], None if memory is None else memory.rotations)[0]
        # Back from unit quaternions: rounding would grow from frame to frame.
        local = matrices_of(rotations)
        memory = Memory(float(time[k]), local[0], local[list(UPPER)], rotations, float(heading[k]))
    return Solved(joints, frames, seen, heading, hips, uppers, elapsed), memory


def _heading(hips: Array, up: Array, before: float | None) -> float:
    """Which way the hips face on the ground: across their line, so that somersaults do not change it."""
    left, ahead = swing(_Y, up)[:, [0, 2]].T
    across = hips[:, 0]
    forward = np.cross(across, up)
    if np.linalg.norm(forward) < _LEVEL:
        return 0.0 if before is None else before
    heading = float(np.arctan2(forward @ left, forward @ ahead))
    return heading if before is None else before + float(np.remainder(heading - before + np.pi, 2 * np.pi) - np.pi)
