"""Are a calibration's lengths millimetres, and is its up up? A person who walks about tells both.

Nothing else in a set-up does: rays meet in any unit, and on either side of the floor.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from calibration.solving.body import Body, limb_lengths

PLAUSIBLE: Final = (0.6, 1.6)
"""Long bones of people, in those of an adult of 1.7 m."""
_ADULT_MM: Final = 1700.0
_ROOM_MM: Final = 4000.0
_UNITS: Final = ((10.0, 1.45, "centimetres", "cm"), (1000.0, 1.45, "metres", "m"), (25.4, 1.2, "inches", "25.4"))
"""Millimetres, how far off a person makes them, and their names."""
_SHARE: Final = 0.9
"""Of the moments in which a head is below the ankles, for up to be wrong: a handstand does not last a take."""


def in_a_room(cameras: Sequence[Camera]) -> tuple[tuple[Camera, ...], float]:
    """The cameras 4 m around their middle, and by how much they were moved apart for that.

    In whatever unit they stand, nothing is then too near to be seen, as it would be where metres pass for millimetres.
    """
    centres = np.array([camera.centre for camera in cameras])
    apart = float(np.linalg.norm(centres - centres.mean(0), axis=1).max())
    scale = _ROOM_MM / apart if apart > 0 else 1.0
    return tuple(replace(c, t=c.t * scale) for c in cameras), scale


def bone_ratio(joints: Array, body: Body) -> float | None:
    """Median length of the long bones, in those of an adult of 1.7 m.

    Args:
        joints: (F, J, 3) mm, NaN where not located.
        body: which joints are which.

    Returns:
        The ratio, or None where too few bones were located.
    """
    lengths, part = limb_lengths(joints, body)
    ratio = lengths / (part * _ADULT_MM)
    return float(np.nanmedian(ratio)) if np.isfinite(ratio).sum() >= 2 else None


def size_problem(ratio: float | None) -> str | None:
    """What is wrong with the unit of the lengths, in one line; None where bones are as long as people's.

    Args:
        ratio: see ``bone_ratio``.
    """
    if ratio is None or PLAUSIBLE[0] <= ratio <= PLAUSIBLE[1]:
        return None
    small = ratio < 1
    factor = 1 / ratio if small else ratio
    said = f"bones are {ratio:.3g} times as long as an adult's: the calibration's lengths are"
    for value, slack, name, unit in _UNITS:
        if value / slack < factor < value * slack:
            if small:
                return (
                    f"{said} too small by {value:g}, so they may be {name}; say so with python -m calibration convert "
                    f"FILE OUT.toml --unit {unit}"
                )
            return f"{said} too large by {value:g}; was a length given in mm that was read as {name}?"
    way = "small" if small else "large"
    if small and 5 < factor < 200:
        return (
            f"{said} too small by about {factor:.2g}, so they may be in squares of a board of about {factor:.2g} mm; "
            "give what a square measures: python -m calibration convert FILE OUT.toml --unit MM"
        )
    return f"{said} too {way} by about {factor:.2g}; are --square (of the board) and --height (of the person) right?"


def upside_down(joints: Array, body: Body, up: Array | None) -> bool:
    """Whether heads are below ankles in nearly all moments.

    Args:
        joints: (F, J, 3) mm, NaN where not located. Shoulders stand for the head, which few detectors have.
        body: which joints are which.
        up: (3,) unit vector against gravity, None where it is not known.
    """
    if up is None:
        return False
    stands = (joints[:, list(body.shoulders)].mean(1) - joints[:, list(body.ankles)].mean(1)) @ up
    stands = stands[np.isfinite(stands)]
    return len(stands) >= 5 and bool((stands < 0).mean() >= _SHARE)


UP_PROBLEM: Final = (
    "the person's head is below the ankles: the calibration's up is down; give it with --up X,Y,Z (the other way round)"
)
