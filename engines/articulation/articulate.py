"""Joints to rotations: of a whole take as live, but for the lengths of the bones."""

from dataclasses import fields, replace

import numpy as np

from calibration.arrays import Array
from engines.articulation.kinematics import continued, forward, quaternions_of, unchained
from engines.articulation.lengths import Lengths, lengths_of
from engines.articulation.solve import solve
from engines.articulation.types import Articulation, Memory, Solved
from engines.articulation.uncertainty import rotation_covariance

_UP = np.array([0.0, 1, 0])


def articulate(
    time: Array, joints: Array, cov: Array | None = None, *, lengths: Array | None = None, up: Array = _UP
) -> Articulation:
    """A whole take of one person.

    Args:
        time: (F,) seconds, not falling.
        joints: (F, 17, 3) in any axes and unit, NaN where the person is not there; in a world with y up the rotations
            are those that engines expect.
        cov: (F, 17, 3, 3) covariance of each joint, in the square of that unit.
        lengths: (17,) of the bones; None for the median of all frames.
        up: (3,) unit vector against gravity in the axes of the joints, for the heading alone.
    """
    solved, _ = solve(np.asarray(time), np.asarray(joints, np.float64), np.asarray(up, np.float64), None)
    return articulation_of(solved, lengths_of(solved.joints) if lengths is None else lengths, cov)


def articulation_of(
    solved: Solved, lengths: Array, cov: Array | None = None, before: Memory | None = None
) -> Articulation:
    """The same of what is solved already; arguments as of ``articulate``, and the memory of the frame before."""
    rotations = continued(quaternions_of(unchained(solved.frames)), None if before is None else before.rotations)
    known = np.asarray(np.isfinite(solved.frames).all((1, 2, 3)))
    root = np.where(known[:, None], solved.joints[:, 0], np.nan)
    residual = np.linalg.norm(forward(root, rotations, lengths) - solved.joints, axis=-1)
    covs = None if cov is None else rotation_covariance(solved, np.asarray(cov, np.float64))
    return Articulation(root, rotations, lengths, solved.heading, residual, solved.twist_seen, covs)


class Articulator:
    """One person, live: frame after frame, with a running estimate of the lengths of the bones (``Lengths``)."""

    def __init__(self, up: Array = _UP) -> None:
        """Up is as of ``articulate``."""
        self._up = np.asarray(up, np.float64)
        self._memory: Memory | None = None
        self._lengths = Lengths()

    def __call__(self, t: float, joints: Array, cov: Array | None = None) -> Articulation:
        """The next frame; without the leading axis, as the arguments.

        Args:
            t: seconds; not before those of the last frame.
            joints: (17, 3) as of ``articulate``.
            cov: (17, 3, 3).
        """
        joints = np.asarray(joints, np.float64)
        self._lengths = self._lengths.add(joints)
        before = self._memory
        solved, self._memory = solve(np.array([t]), joints[None], self._up, before)
        made = articulation_of(solved, self._lengths.value, None if cov is None else np.asarray(cov)[None], before)
        one = {f.name: getattr(made, f.name) for f in fields(made) if f.name != "lengths"}
        return replace(made, **{name: None if value is None else value[0] for name, value in one.items()})
