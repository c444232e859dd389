"""Angles of joints as clinics and OpenSim name them.

Segments have the axes of the International Society of Biomechanics (Wu et al. 2002, 2005): X forward, Y up, Z to the
right, all of them along the axes of the laboratory when a person stands, arms hanging, facing X. Angles of a joint are
those of the lower segment in the axes of the upper one, about Z, then X, then Y, as Grood and Suntay (1983) and OpenSim
take them; those of the left side are of the mirror image, so that signs mean the same on both sides. Where 17 joints do
not allow the ISB's own definition: the pelvis has no tilt of its own, and gets that of the lower trunk; the axes of
knee and elbow are across the plane of the limb; there is no foot, no hand, and no turn of the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.rotations import rotation_matrix
from engines import skeleton as sk
from engines.articulation.euler import euler_angles, half_turn, least_angles
from engines.articulation.hierarchy import UPPER
from engines.articulation.types import Solved
from engines.articulation.uncertainty import OPEN_TURN, linearised

_ISB = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
"""Columns: X, Y and Z of the ISB in our rest axes."""
_HANGING: Final = {
    bone: rotation_matrix(np.array([0, 0, side * np.pi / 2]))
    for side, bones in ((1, (sk.L_ELBOW, sk.L_WRIST)), (-1, (sk.R_ELBOW, sk.R_WRIST)))
    for bone in bones
}
"""From an arm that hangs to the T, in which it points to the side."""
_ANYTHING: Final = 180 / np.sqrt(3)
"""Degrees: one standard deviation of an angle of which nothing is known."""
_MIRROR = np.outer([1.0, 1, -1], [1, 1, -1])


@dataclass(frozen=True, slots=True)
class JointAngles:
    """Three rotations of one joint, one after another."""

    names: tuple[str, str, str]
    """Of the angles; "" where there is none to be had."""
    upper: int
    """The bone in whose axes the rotation is; -1 for the laboratory."""
    lower: int
    """The bone that is rotated."""
    order: str = "ZXY"
    """Of the axes."""
    signs: tuple[int, int, int] = (1, 1, 1)
    """What angles are multiplied by."""


def _right_and_left(
    names: str,
    upper: int | tuple[int, int],
    lower: tuple[int, int],
    order: str = "ZXY",
    signs: tuple[int, int, int] = (1, 1, 1),
) -> list[JointAngles]:
    uppers = upper if isinstance(upper, tuple) else (upper, upper)
    made = []
    for letter, above, below in zip("rl", uppers, lower, strict=True):
        a, b, c = (f"{name}_{letter}" if name != "-" else "" for name in names.split())
        made.append(JointAngles((a, b, c), above, below, order, signs))
    return made


_THIGHS, _ARMS = (sk.R_KNEE, sk.L_KNEE), (sk.R_ELBOW, sk.L_ELBOW)
_JOINTS: Final = (
    JointAngles(("lumbar_extension", "lumbar_bending", "lumbar_rotation"), 0, sk.THORAX),
    JointAngles(("neck_extension", "neck_bending", ""), sk.THORAX, sk.HEAD),
    *_right_and_left("hip_flexion hip_adduction hip_rotation", 0, _THIGHS),
    *_right_and_left("knee_angle - -", _THIGHS, (sk.R_ANKLE, sk.L_ANKLE), signs=(-1, 1, 1)),
    *_right_and_left("arm_flex arm_add arm_rot", sk.THORAX, _ARMS),
    *_right_and_left("elbow_flex - -", _ARMS, (sk.R_WRIST, sk.L_WRIST)),
)
CLINICAL: Final = (
    JointAngles(("pelvis_rotation", "pelvis_list", "pelvis_tilt"), -1, 0, "YXZ"),
    *_JOINTS,
    *_right_and_left("shoulder_plane shoulder_elevation shoulder_rotation", sk.THORAX, _ARMS, order="YXY"),
)
"""The pelvis in the order of Baker (2001), in which a person may face anywhere; arms also in the ISB's own way."""
OPENSIM: Final = (JointAngles(("pelvis_tilt", "pelvis_list", "pelvis_rotation"), -1, 0), *_JOINTS)
"""As the coordinates of Rajagopal's model and its descendants, whose names these are."""


def names_of(joints: Sequence[JointAngles]) -> tuple[str, ...]:
    """The names of the angles that there are."""
    return tuple(name for joint in joints for name in joint.names if name)


def angles_of(solved: Solved, joints: Sequence[JointAngles]) -> Array:
    """(F, A) degrees; those of the pelvis without jumps of a whole turn; NaN where nobody is.

    Args:
        solved: frames of a person in a laboratory with y up.
        joints: whose angles.
    """
    columns = []
    for joint in joints:
        R = _rotation(solved.frames, joint)
        if joint.upper < 0:
            values = _unwrapped(euler_angles(R, joint.order))
        else:
            values = _proper(R) if joint.order == "YXY" else least_angles(R, joint.order)
        columns.append(values * joint.signs)
    return np.degrees(_kept(np.concatenate(columns, -1), joints))


def angle_sigmas(solved: Solved, joints: Sequence[JointAngles], cov: Array) -> Array:
    """(F, A) degrees: one standard deviation of each, to first order; wide where a straight limb tells no turn.

    Args:
        solved: as of ``angles_of``.
        joints: likewise.
        cov: (F, 17, 3, 3) mm2 of the joints.
    """

    def change(frames: Array, moved: Array) -> Array:
        before, after = (
            np.concatenate([euler_angles(_rotation(f, joint), joint.order) for joint in joints], -1)
            for f in (frames, moved)
        )
        return _kept(half_turn(after - before), joints)

    variance = np.diagonal(linearised(change, solved, cov), axis1=-2, axis2=-1).copy()
    names = names_of(joints)
    for joint in joints:
        if joint.lower in UPPER and joint.names[2]:
            open_ = (1 - solved.twist_seen[:, joint.lower]) * OPEN_TURN
            variance[:, names.index(joint.names[2])] += open_**2
    return np.minimum(np.degrees(np.sqrt(variance)), _ANYTHING)


def _rotation(frames: Array, joint: JointAngles) -> Array:
    """(..., 3, 3) of a joint, with the axes of the ISB; of the mirror image on the left."""
    lower = frames[..., joint.lower, :, :] @ _HANGING.get(joint.lower, np.eye(3)) @ _ISB
    if joint.upper < 0:
        return lower
    upper = frames[..., joint.upper, :, :] @ _HANGING.get(joint.upper, np.eye(3)) @ _ISB
    R = np.swapaxes(upper, -1, -2) @ lower
    return R * _MIRROR if joint.lower in sk.LEFT else R


def _proper(R: Array) -> Array:
    """(F, 3) radians: plane of elevation, elevation (0..pi), axial rotation; the outer two in -pi..pi."""
    angles = euler_angles(R, "YXY") + [np.pi, 0, np.pi]
    angles[:, ::2] = half_turn(angles[:, ::2])
    return angles


def _unwrapped(angles: Array) -> Array:
    """A person who turns round and round has no jump in it."""
    known = np.isfinite(angles).all(-1)
    out = angles.copy()
    out[known] = np.unwrap(angles[known], axis=0)
    return out


def _kept(values: Array, joints: Sequence[JointAngles]) -> Array:
    return values[..., [bool(name) for joint in joints for name in joint.names]]
