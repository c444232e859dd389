"""A person as the VMC protocol has it: root and humanoid bones of an avatar in Unity's axes.

https://protocol.vmc.info, "Performer to marionette". Unity is left-handed: x to the right of an avatar that faces along
z, y up, metres. A person who faces along -y of the live axes, as to the one camera, faces along z. The root stands on
the floor below the pelvis and has the heading; the hips have the height and what is left of the rotation.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array
from engines.articulation import HUMANOID, REST, Articulator, humanoid_rotations, left_handed
from engines.skeleton import PARENTS
from stream.sinks._people import Someone

_Y_UP: Final = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From live axes (z up) to right-handed ones with y up, whose z points to the camera."""
_START: Final = [
    PARENTS[bone.bone] if bone.bone > 0 else 0 if bone.bone == 0 else HUMANOID[bone.parent].bone for bone in HUMANOID
]
"""The joint that a bone begins in."""
_OFFSET: Final = [
    start if bone.parent >= 0 and start != _START[bone.parent] else 0
    for bone, start in zip(HUMANOID, _START, strict=True)
]
"""Which of our bones lies between the beginning of a bone's parent and its own; 0, of no length, where none does."""
_GONE_S: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Avatar:
    """One moment of an avatar, Unity's axes, metres; quaternions x, y, z, w."""

    root: tuple[Array, Array]
    """(3,) position and (4,) rotation in the world."""
    bones: tuple[tuple[str, Array, Array], ...]
    """Name, (3,) position and (4,) rotation in the parent's frame, in the order of ``HUMANOID``."""


class Marionette:
    """One person over time: whom it shows is kept as long as they are there.

    Args:
        centred: whether the place where somebody is first seen becomes the middle; without a calibration it is far off.
    """

    def __init__(self, *, centred: bool) -> None:
        self._centred = centred
        self._whom: int | None = None
        self._seen = -np.inf
        self._articulator = Articulator()
        self._middle = np.zeros(3)

    def choose(self, people: list[Someone], t: float) -> Someone | None:
        """Whom to show of those who are there: the same as before, and somebody else a second after they left."""
        there = {someone.person_id: someone for someone in people if np.isfinite(someone.joints).all()}
        gone = not 0 <= t - self._seen < _GONE_S
        if self._whom not in there and there and gone:
            self._whom, self._articulator = min(there), Articulator()
            self._middle = there[self._whom].joints[0] * [1.0, 1, 0] if self._centred else np.zeros(3)
        someone = there.get(self._whom) if self._whom is not None else None
        if someone is not None:
            self._seen = t
        return someone

    def pose(self, someone: Someone, floor: float, t: float) -> Avatar | None:
        """The avatar of the one who was chosen.

        Args:
            someone: the person.
            floor: m, the height of the floor below them.
            t: seconds.
        """
        made = self._articulator(t, (someone.joints - self._middle - [0, 0, floor]) @ _Y_UP.T)
        if not np.isfinite(made.rotations).all():
            return None
        half = float(made.heading) / 2
        turn = np.array([0.0, np.sin(half), 0.0, np.cos(half)])
        rotations = humanoid_rotations(made.rotations)
        rotations[0] = _times(turn * [-1, -1, -1, 1], rotations[0])
        offsets = (REST * made.lengths[:, None])[_OFFSET]
        offsets[0] = [0, made.root[1], 0]
        ground, turn = left_handed(made.root * [1.0, 0, 1], turn)
        offsets, rotations = left_handed(offsets, rotations)
        names = [bone.name for bone in HUMANOID]
        return Avatar((ground, turn), tuple(zip(names, offsets, rotations, strict=True)))


def _times(a: Array, b: Array) -> Array:
    """The product of two quaternions x, y, z, w: the rotation b and then a."""
    xyz = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(xyz, a[3] * b[3] - a[:3] @ b[:3])
