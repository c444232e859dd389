"""Which joints are in the files of other programs: by their number, or by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engines import skeleton as sk
from engines.skeleton import JointMap

_COCO_FACE: Final = (("nose", 0), ("left_eye", 1), ("right_eye", 2), ("left_ear", 3), ("right_ear", 4))
_LIMBS: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_OTHERS: Final = {"head": "head", "headtop": "head", "tophead": "head"}
_EXTRA: Final = {
    "nose": "nose", "lefteye": "left_eye", "righteye": "right_eye", "leftear": "left_ear", "rightear": "right_ear",
    "leftheel": "left_heel", "rightheel": "right_heel", "leftbigtoe": "left_toe", "rightbigtoe": "right_toe",
    "lefttoe": "left_toe", "righttoe": "right_toe", "leftfootindex": "left_toe", "rightfootindex": "right_toe",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JointSet:
    """The joints of a file."""

    map: JointMap
    """How they fill the 17."""
    extra: tuple[tuple[str, int], ...]
    """Further joints: our name, and their number."""


def _set(name: str, limbs: Sequence[int], extra: Sequence[tuple[str, int]] = (), head: int = -1) -> JointSet:
    """Limbs in the order right hip, knee, ankle, left, left shoulder, elbow, wrist, right."""
    order = (sk.R_HIP, sk.R_KNEE, sk.R_ANKLE, sk.L_HIP, sk.L_KNEE, sk.L_ANKLE,
             sk.L_SHOULDER, sk.L_ELBOW, sk.L_WRIST, sk.R_SHOULDER, sk.R_ELBOW, sk.R_WRIST)  # fmt: skip
    index = dict(zip(order, limbs, strict=True)) | {sk.HEAD: head}
    return JointSet(JointMap(name, tuple(index.get(joint, -1) for joint in range(sk.N_JOINTS))), tuple(extra))


_COCO = (12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10)
BY_COUNT: Final = {
    17: _set("coco17", _COCO, _COCO_FACE),
    18: _set("openpose18", (8, 9, 10, 11, 12, 13, 5, 6, 7, 2, 3, 4),
             (("nose", 0), ("right_eye", 14), ("left_eye", 15), ("right_ear", 16), ("left_ear", 17))),
    25: _set("body25", (9, 10, 11, 12, 13, 14, 5, 6, 7, 2, 3, 4),
             (("nose", 0), ("right_eye", 15), ("left_eye", 16), ("right_ear", 17), ("left_ear", 18),
              ("left_toe", 19), ("left_heel", 21), ("right_toe", 22), ("right_heel", 24))),
    26: _set("halpe26", _COCO, (*_COCO_FACE, ("left_toe", 20), ("right_toe", 21), ("left_heel", 24),
                                ("right_heel", 25)), head=17),
    33: _set("blazepose33", (24, 26, 28, 23, 25, 27, 11, 13, 15, 12, 14, 16),
             (("nose", 0), ("left_eye", 2), ("right_eye", 5), ("left_ear", 7), ("right_ear", 8), ("left_heel", 29),
              ("right_heel", 30), ("left_toe", 31), ("right_toe", 32))),
    133: _set("coco133", _COCO, (*_COCO_FACE, ("left_toe", 17), ("left_heel", 19), ("right_toe", 20),
                                 ("right_heel", 22))),
    136: _set("halpe136", _COCO, (*_COCO_FACE, ("left_toe", 20), ("right_toe", 21), ("left_heel", 24),
                                  ("right_heel", 25)), head=17),
}  # fmt: skip
"""The joint sets of OpenPose, AlphaPose, RTMPose and MediaPipe, no two of which have as many joints."""


def by_names(names: Sequence[str]) -> JointSet | None:
    """The joint set of a file that names its joints: ``LKnee``, ``left_knee``, ``Knee L`` and the like.

    Returns:
        None where fewer than six limb joints are found.
    """
    index = {_plain(name): k for k, name in reversed(list(enumerate(names)))}
    joints = dict.fromkeys(range(sk.N_JOINTS), -1)
    for joint in sk.LIMBS:
        joints[joint] = index.get(sk.JOINTS[joint].replace("_", ""), -1)
    joints[sk.HEAD] = next((index[name] for name in _OTHERS if name in index), -1)
    if sum(joints[joint] >= 0 for joint in sk.LIMBS) < 6:
        return None
    extra = {ours: index[theirs] for theirs, ours in reversed(_EXTRA.items()) if theirs in index}
    return JointSet(JointMap("by name", tuple(joints.values())), tuple(extra.items()))


def _plain(name: str) -> str:
    """Without case and signs, the side first and whole."""
    text = re.sub(r"[^a-z0-9]", "", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip()).lower().replace(" ", "_"))
    for side, letter in (("left", "l"), ("right", "r")):
        for part in (*_LIMBS, "heel", "bigtoe", "toe", "eye", "ear", "footindex"):
            if text in (f"{side}{part}", f"{part}{side}", f"{letter}{part}", f"{part}{letter}"):
                return f"{side}{part}"
    return text
