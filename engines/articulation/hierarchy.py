"""The humanoid whose bones the 17 joints become: which bone hangs on which, and how it lies in the rest pose.

Bone ``j`` ends in joint ``j``; bone 0, the hips, is a frame without a length. So a bone's parent is that of its joint
(``skeleton.PARENTS``), and every bone has a rotation of its own: forward kinematics gives back any pose whose bones
keep their lengths. Rest axes are those of glTF and VRM: x to the person's left, y up, z forward. The rest pose is the
T: trunk, neck and head up, arms to the sides with the palms down, so that elbows bend forward; legs down.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engines import skeleton as sk

BONES: Final = (
    "hips", "right_pelvis", "right_upper_leg", "right_lower_leg", "left_pelvis", "left_upper_leg", "left_lower_leg",
    "spine", "chest", "neck", "head", "left_shoulder", "left_upper_arm", "left_lower_arm", "right_shoulder",
    "right_upper_arm", "right_lower_arm",
)  # fmt: skip
"""(17,) names. ``left_shoulder`` is the collar bone, ``left_pelvis`` the half of the pelvis on that side."""
_X, _Y, _Z = np.eye(3)
REST: Final = np.array([
    _Y * 0, -_X, -_Y, -_Y, _X, -_Y, -_Y, _Y, _Y, _Y, _Y, _X, _X, _X, -_X, -_X, -_X,
])  # fmt: skip
"""(17, 3) unit vectors: where each bone points in the rest pose, rest axes; 0 for the hips."""
UPPER: Final = (sk.R_KNEE, sk.L_KNEE, sk.L_ELBOW, sk.R_ELBOW)
"""The bones above a hinge: both thighs, both upper arms."""
LOWER: Final = (sk.R_ANKLE, sk.L_ANKLE, sk.L_WRIST, sk.R_WRIST)
"""The bones below it, in the same order."""
HINGE: Final = np.array([_X, _X, -_Y, _Y])
"""(4, 3) the axis about which each hinge flexes, rest axes: shins swing back, forearms forward."""


@dataclass(frozen=True, slots=True)
class HumanoidBone:
    """A bone of the humanoid of Unity and VRM."""

    name: str
    """As ``HumanBodyBones`` has it; VRM 1.0 writes it with a small first letter."""
    bone: int
    """Which of ours it is; -1 where the 17 joints do not tell, and it keeps its parent's rotation."""
    parent: int
    """Its parent among ``HUMANOID``; -1 = none."""


HUMANOID: Final = (
    HumanoidBone("Hips", 0, -1),
    HumanoidBone("Spine", sk.SPINE, 0),
    HumanoidBone("Chest", sk.THORAX, 1),
    HumanoidBone("Neck", sk.NECK, 2),
    HumanoidBone("Head", sk.HEAD, 3),
    HumanoidBone("LeftShoulder", sk.L_SHOULDER, 2),
    HumanoidBone("LeftUpperArm", sk.L_ELBOW, 5),
    HumanoidBone("LeftLowerArm", sk.L_WRIST, 6),
    HumanoidBone("LeftHand", -1, 7),
    HumanoidBone("RightShoulder", sk.R_SHOULDER, 2),
    HumanoidBone("RightUpperArm", sk.R_ELBOW, 9),
    HumanoidBone("RightLowerArm", sk.R_WRIST, 10),
    HumanoidBone("RightHand", -1, 11),
    HumanoidBone("LeftUpperLeg", sk.L_KNEE, 0),
    HumanoidBone("LeftLowerLeg", sk.L_ANKLE, 13),
    HumanoidBone("LeftFoot", -1, 14),
    HumanoidBone("RightUpperLeg", sk.R_KNEE, 0),
    HumanoidBone("RightLowerLeg", sk.R_ANKLE, 16),
    HumanoidBone("RightFoot", -1, 17),
)
"""Parents come before their children. It has no bone between the hips and a thigh: those two turn with the hips."""
