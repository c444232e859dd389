"""The one joint order (Human3.6M-17), its edges and mirror pairs, and the maps from every other joint set."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools

JOINTS: Final = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
    "neck_nose", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
N_JOINTS: Final = len(JOINTS)
PELVIS, SPINE, THORAX, NECK, HEAD = 0, 7, 8, 9, 10
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE = 1, 2, 3, 4, 5, 6
L_SHOULDER, L_ELBOW, L_WRIST, R_SHOULDER, R_ELBOW, R_WRIST = 11, 12, 13, 14, 15, 16

PARENTS: Final = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15])
"""(17,) parent of each joint; -1 for the root joint (the pelvis)."""
EDGES: Final = tuple((int(PARENTS[j]), j) for j in range(1, N_JOINTS))
"""The 16 bones as (parent, child)."""
MIRROR: Final = np.array([0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13])
"""(17,) the joint each joint becomes when left and right are exchanged."""
RIGHT: Final = (R_HIP, R_KNEE, R_ANKLE, R_SHOULDER, R_ELBOW, R_WRIST)
LEFT: Final = (L_HIP, L_KNEE, L_ANKLE, L_SHOULDER, L_ELBOW, L_WRIST)
LIMBS: Final = tuple(sorted(LEFT + RIGHT))
"""The twelve limb joints: those that every detector has."""
DERIVED_FROM: Final = {PELVIS: (R_HIP, L_HIP), THORAX: (L_SHOULDER, R_SHOULDER)}
"""Joints that are always the middle of two others, whatever a detector says of them."""


@dataclass(frozen=True, slots=True)
class JointMap:
    """How another joint set fills the 17 joints."""

    name: str
    """Name of the joint set."""
    source: tuple[int, ...]
    """(17,) index in the other set, -1 where it has no such joint."""


def _joint_map(name: str, limbs: dict[int, int], others: dict[int, int] | None = None) -> JointMap:
    filled = limbs | (others or {})
    return JointMap(name, tuple(filled.get(j, -1) for j in range(N_JOINTS)))


COCO: Final = _joint_map(
    "coco17",
    {L_SHOULDER: 5, R_SHOULDER: 6, L_ELBOW: 7, R_ELBOW: 8, L_WRIST: 9, R_WRIST: 10,
     L_HIP: 11, R_HIP: 12, L_KNEE: 13, R_KNEE: 14, L_ANKLE: 15, R_ANKLE: 16},
)  # fmt: skip
BLAZEPOSE: Final = _joint_map(
    "blazepose33",
    {L_SHOULDER: 11, R_SHOULDER: 12, L_ELBOW: 13, R_ELBOW: 14, L_WRIST: 15, R_WRIST: 16,
     L_HIP: 23, R_HIP: 24, L_KNEE: 25, R_KNEE: 26, L_ANKLE: 27, R_ANKLE: 28},
)  # fmt: skip
LSP: Final = _joint_map(
    "lsp14",
    {R_ANKLE: 0, R_KNEE: 1, R_HIP: 2, L_HIP: 3, L_KNEE: 4, L_ANKLE: 5,
     R_WRIST: 6, R_ELBOW: 7, R_SHOULDER: 8, L_SHOULDER: 9, L_ELBOW: 10, L_WRIST: 11},
    {HEAD: 13},
)  # fmt: skip
MPII: Final = _joint_map(
    "mpii16",
    {R_ANKLE: 0, R_KNEE: 1, R_HIP: 2, L_HIP: 3, L_KNEE: 4, L_ANKLE: 5,
     R_WRIST: 10, R_ELBOW: 11, R_SHOULDER: 12, L_SHOULDER: 13, L_ELBOW: 14, L_WRIST: 15},
    {HEAD: 9},
)  # fmt: skip

POSE2SIM: Final = (
    "Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Neck", "Nose", "Head",
    "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
)  # fmt: skip
"""What the 17 joints are called by OpenPose's BODY_25, by Pose2Sim and in its marker sets for OpenSim. Its neck is the
middle of the shoulders, so our thorax is it; it has no spine."""

FACE_AND_FEET: Final = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel", "left_toe", "right_toe",
)  # fmt: skip
"""Joints that a detector may have beside those of MPII and that no pose here has: the toe is the tip of the foot."""
MPII_FACE_FEET: Final = JointMap("mpii16+face+feet", MPII.source)
"""MPII's joints, then FACE_AND_FEET."""


def derive(xy: Array, score: Array) -> tuple[Array, Array, Bools]:
    """Put pelvis and thorax in the middle of the hips and of the shoulders.

    Args:
        xy: (..., 17, 2) joints.
        score: (..., 17) confidence, 0 = not seen.

    Returns:
        xy and score with the derived joints replaced (a derived score is the smaller of its two sources';
        0 where one of them is not seen), and derived (..., 17) bool.
    """
    xy, score = xy.copy(), score.copy()
    derived = np.zeros(score.shape, bool)
    for joint, (a, b) in DERIVED_FROM.items():
        score[..., joint] = np.minimum(score[..., a], score[..., b])
        xy[..., joint, :] = (xy[..., a, :] + xy[..., b, :]) / 2
        derived[..., joint] = True
    xy[score <= 0] = 0
    return xy, score, derived


def to_h36m(joint_map: JointMap, xy: Array, score: Array) -> tuple[Array, Array, Bools]:
    """Carry another joint set to the 17 joints.

    Args:
        joint_map: which set it is.
        xy: (..., K, 2) joints of that set.
        score: (..., K) their confidence, 0 = not seen.

    Returns:
        xy (..., 17, 2) float32, score (..., 17) float32 with 0 for joints the set does not have, and
        derived (..., 17) bool: pelvis and thorax, always the middle of the hips and of the shoulders.
    """
    index = np.array(joint_map.source)
    out_xy = np.where(index[:, None] >= 0, xy[..., index, :], 0).astype(np.float32)
    out_score = np.where(index >= 0, score[..., index], 0).astype(np.float32)
    return derive(out_xy, out_score)


def mirror(points: Array) -> Array:
    """Exchange left and right (..., 17, d): negates the first coordinate and permutes the joints."""
    flipped = points[..., MIRROR, :].copy()
    flipped[..., 0] *= -1
    return flipped
