"""The frames of the bones over time, each with the memory of the one before.

What depends on the frame before is only the turn of a limb that is not wholly seen: four angles a frame, which are
followed one frame after another; everything else is computed for all frames at once.
"""

import numpy as np

from calibration.arrays import Array
from engines.articulation.frames import Hinges, carried_turn, flexed, next_turn, swing, trunk
from engines.articulation.hierarchy import LOWER, UPPER
from engines.articulation.kinematics import continued, matrices_of, quaternions_of, unchained
from engines.articulation.types import Memory, Solved
from engines.skeleton import N_JOINTS

_LEVEL = 0.2
"""Share of the line of the hips that must be level for it to tell the heading."""
_Y = np.array([0.0, 1, 0])
_UPPER, _LOWER = list(UPPER), list(LOWER)


def solve(time: Array, joints: Array, up: Array, memory: Memory | None) -> tuple[Solved, Memory | None]:
    """Frames of one person, and what the next ones must know.

    Args:
        time: (F,) seconds, not falling.
        joints: (F, 17, 3); NaN where the person is not there.
        up: (3,) unit vector against gravity, for the heading alone.
        memory: of the frame before the first; None: there was none.
    """
    count = len(joints)
    there = np.flatnonzero(np.isfinite(joints).all((1, 2)))
    frames, seen = np.full((count, N_JOINTS, 3, 3), np.nan), np.full((count, N_JOINTS), np.nan)
    hips, uppers = np.full((count, 3, 3), np.nan), np.full((count, 4, 3, 3), np.nan)
    heading, elapsed = np.full(count, np.nan), np.zeros(count)
    solved = Solved(joints, frames, seen, heading, hips, uppers, elapsed)
    if not len(there):
        return solved, memory
    first = time[there[0]] if memory is None else memory.t
    elapsed[there] = np.maximum(np.diff(time[there], prepend=first), 0.0)
    made, sure, hinges = _trunks(joints[there], memory)
    made[:, _UPPER], made[:, _LOWER], sure[:, _UPPER] = _followed(hinges, elapsed[there], memory)
    frames[there], seen[there] = made, sure
    heading[there] = _headings(made[:, 0], up, None if memory is None else memory.heading)
    rotations = continued(quaternions_of(unchained(made)), None if memory is None else memory.rotations)
    # Back from unit quaternions: rounding would grow from frame to frame.
    local = matrices_of(rotations)
    if memory is not None:
        hips[there[0]], uppers[there[0]] = memory.hips, memory.uppers
    hips[there[1:]], uppers[there[1:]] = local[:-1, 0], local[:-1, _UPPER]
    last = Memory(float(time[there[-1]]), local[-1, 0], local[-1, _UPPER], rotations[-1], float(heading[there[-1]]))
    return solved, last


def _trunks(joints: Array, memory: Memory | None) -> tuple[Array, Array, Hinges]:
    """``trunk`` of frames in a row; where the hips' turn is not wholly seen, with those of the frame before."""
    before = None if memory is None else memory.hips
    frames, seen, hinges = trunk(joints, before)
    for k in np.flatnonzero(seen[:, 0] < 1):
        before = frames[k - 1, 0] if k else before
        one, told, its = trunk(joints[k : k + 1], before)
        frames[k], seen[k] = one[0], told[0]
        for whole, part in zip(hinges, its, strict=True):
            whole[k] = part[0]
    return frames, seen, hinges


def _followed(hinges: Hinges, elapsed: Array, memory: Memory | None) -> tuple[Array, Array, Array]:
    """Frames of the limbs, and how far the turns of the upper ones are seen.

    A turn is carried along by swinging the limb from frame to frame. How much that adds to it, counted from neutral,
    does not depend on the turn itself.
    """
    count = len(elapsed)
    neutral = np.swapaxes(hinges.parents, -1, -2) @ hinges.neutral
    added = np.zeros((count, 4))
    later = Hinges(*(part[1:] for part in hinges))
    added[1:] = carried_turn(later, neutral[:-1])
    turns, seen = np.zeros((count, 4)), np.zeros((count, 4))
    turn = None if memory is None else carried_turn(Hinges(*(part[:1] for part in hinges)), memory.uppers)[0]
    for k in range(count):
        # Only what the turn depends on is looked at.
        now = hinges._replace(flexion=hinges.flexion[k], turn=hinges.turn[k], tells=hinges.tells[k],
                              returns=hinges.returns[k])  # fmt: skip
        carried = turn if k == 0 else turn + added[k]
        turn, seen[k] = next_turn(carried, now, elapsed[k])
        turns[k] = turn
    upper, lower = flexed(hinges, turns)
    return upper, lower, seen


def _headings(hips: Array, up: Array, before: float | None) -> Array:
    """(F,) which way the hips face on the ground: across their line, so that somersaults do not change it."""
    left, ahead = swing(_Y, up)[:, [0, 2]].T
    forward = np.cross(hips[:, :, 0], up)
    told = np.linalg.norm(forward, axis=-1) >= _LEVEL
    angles = np.arctan2(forward @ left, forward @ ahead)
    start = 0.0 if before is None else before
    # What is not told is as in the last frame that was.
    last = np.maximum.accumulate(np.where(told, np.arange(len(told)), -1))
    angles = np.where(last < 0, start, angles[np.maximum(last, 0)])
    return _unwrapped(angles, before)


def _unwrapped(angles: Array, before: float | None) -> Array:
    if before is None:
        return np.unwrap(angles)
    return np.unwrap(np.concatenate([[before], angles]))[1:]
