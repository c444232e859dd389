"""People of a recording as skeletons of constant bones, for BVH and glTF: y up, at even times, whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines import skeleton as sk
from engines.articulation import REST, Articulation, articulate
from stream.recordings.markers import Markers
from stream.words import number_of

UP: Final = np.array([0.0, 1, 0])
NODES: Final = (
    "Hips", "RightHipJoint", "RightUpLeg", "RightLeg", "LeftHipJoint", "LeftUpLeg", "LeftLeg", "Spine", "Spine1",
    "Neck", "Head", "LeftShoulder", "LeftArm", "LeftForeArm", "RightShoulder", "RightArm", "RightForeArm",
)  # fmt: skip
"""(17,) names of Mixamo and MotionBuilder, which other programs map by themselves; node ``j`` turns bone ``j`` and lies
where it begins."""
ENDS: Final = {
    sk.R_ANKLE: "RightFoot", sk.L_ANKLE: "LeftFoot", sk.HEAD: "HeadTop_End", sk.L_WRIST: "LeftHand",
    sk.R_WRIST: "RightHand",
}  # fmt: skip
"""The nodes at the ends of the last bones, by the joints that they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """One person, or one hypothesis of them, in every frame."""

    name: str
    """As ``person0``."""
    made: Articulation
    """Of F frames, metres, y up; nothing in it is NaN."""
    notes: tuple[str, ...]
    """What the user should know."""

    @property
    def offsets(self) -> Array:
        """(17, 3) m: where each node lies in the frame of its parent's, the hips at 0."""
        before = sk.PARENTS
        offsets = REST[before] * self.made.lengths[before][:, None]
        offsets[before <= 0] = 0
        return offsets

    def end(self, joint: int) -> Array:
        """(3,) m: where the node at the end of a bone lies in the frame of that bone's."""
        return REST[joint] * self.made.lengths[joint]


def skeleton_of(markers: Markers, person_id: int, name: str, lengths: Array | None = None) -> Skeleton | None:
    """One person's skeleton; None where they are in no frame.

    Args:
        markers: at even times.
        person_id: whose.
        name: what it is called.
        lengths: (17,) m of the bones, where they are known already; None for the median of the take.
    """
    made = articulate(markers.time, markers.of(person_id, UP) / 1000, lengths=lengths)
    there = np.asarray(np.isfinite(made.root).all(-1))
    if not there.any():
        return None
    wrong = 1000 * made.residual[there]
    notes = [
        f"bones of constant length: joints are {np.median(wrong):.0f} mm from where they were in the median, "
        f"{np.percentile(wrong, 95):.0f} at the 95th percentile"
    ]
    if not there.all():
        notes.append(f"{number_of(int((~there).sum()), 'frame')} without them hold the pose before, or the first")
    return Skeleton(name, _held(made, there), tuple(notes))


def _held(made: Articulation, there: Bools) -> Articulation:
    """Frames without the person as the last one with them; before there is one, as the first."""
    last = np.maximum.accumulate(np.where(there, np.arange(len(there)), -1))
    index = np.where(last < 0, int(np.argmax(there)), last)
    return replace(
        made, root=made.root[index], rotations=made.rotations[index], heading=made.heading[index],
        residual=made.residual[index], twist_seen=made.twist_seen[index],
    )  # fmt: skip


def tallest(skeletons: Sequence[Skeleton]) -> float:
    """Metres from the soles of the feet to the hips in the rest pose, of the tallest."""
    return max(float(s.made.lengths[[sk.R_KNEE, sk.R_ANKLE]].sum()) for s in skeletons)
