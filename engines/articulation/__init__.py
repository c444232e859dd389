"""People as humanoids: the 17 joints as rotations of a fixed hierarchy with constant bone lengths.

``articulate`` is for whole takes, ``Articulator`` for live ones. ``frames`` says what is assumed of turns that 17
joints leave open.
"""

from engines.articulation.articulate import Articulator, articulate
from engines.articulation.hierarchy import BONES, HUMANOID, REST, HumanoidBone
from engines.articulation.kinematics import forward, humanoid_rotations, left_handed
from engines.articulation.types import Articulation

__all__ = [
    "BONES",
    "HUMANOID",
    "REST",
    "Articulation",
    "Articulator",
    "HumanoidBone",
    "articulate",
    "forward",
    "humanoid_rotations",
    "left_handed",
]
