"""What an articulation is, and what is remembered of a person from frame to frame."""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array


@dataclass(frozen=True, slots=True, eq=False)
class Articulation:
    """A person as a humanoid of constant bone lengths, in one frame, or in F of them (then ``...`` is F).

    Rotations carry rest axes (x left, y up, z forward, ``hierarchy``) to the axes of the joints that were given. All of
    a frame in which a joint was not known is NaN.
    """

    root: Array
    """(..., 3) where the pelvis is, in the unit of the joints."""
    rotations: Array
    """(..., 17, 4) unit quaternions x, y, z, w: each bone's rotation in its parent's frame, of the hips in the axes of
    the joints. Their sign is the nearer one to the frame before, so that they can be interpolated."""
    lengths: Array
    """(17,) the length of each bone, the same in all frames; 0 for the hips."""
    heading: Array
    """(...) radians about up: which way the hips face on the ground, through whole turns. 0 is along z where up is y,
    and along -y where up is z; it grows as the person turns left."""
    residual: Array
    """(..., 17) how far each joint is from what forward kinematics makes of this, in the unit of the joints."""
    twist_seen: Array
    """(..., 17) 0..1: how far the turn of a bone about itself follows from joints. 0: it is assumed."""
    cov: Array | None = None
    """(..., 17, 3, 3) rad2: of the small rotation d in L exp(d), d in the bone's own axes. What is assumed of twists
    counts as known, but for thighs and upper arms while the limb is straight. None where none was given."""

    @property
    def sigma(self) -> Array | None:
        """(..., 17) radians: one standard deviation an axis of each bone's rotation."""
        return None if self.cov is None else np.sqrt(np.trace(self.cov, axis1=-2, axis2=-1) / 3)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the next frame needs to know of the last one."""

    t: float
    """Seconds."""
    hips: Array
    """(3, 3) their rotation."""
    uppers: Array
    """(4, 3, 3) rotations of thighs and upper arms in the frames of their parents."""
    rotations: Array
    """(17, 4) as in ``Articulation``."""
    heading: float
    """Radians."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The frames of all bones over F frames, and what each was solved with."""

    joints: Array
    """(F, 17, 3)."""
    frames: Array
    """(F, 17, 3, 3) rotation of each bone in the axes of the joints; NaN where a joint is not known."""
    twist_seen: Array
    """(F, 17) as in ``Articulation``."""
    heading: Array
    """(F,) as in ``Articulation``."""
    hips_before: Array
    """(F, 3, 3) ``Memory.hips`` that a frame was solved with; NaN where there was none."""
    uppers_before: Array
    """(F, 4, 3, 3) ``Memory.uppers`` that it was solved with."""
    elapsed: Array
    """(F,) seconds since then."""
