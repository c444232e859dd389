"""The unit of a file's lengths where the format leaves it open: the user's word, what the file says, or its size."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError

UNITS: Final = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres a unit."""
SMALLEST_MM: Final = 100.0
LARGEST_MM: Final = 25_000.0
"""Cameras that see a person stand at least so far and at most so far from each other or from the world's origin."""
FARTHEST_MM: Final = 100_000.0
"""Where a format has a usual unit, it is not believed beyond this."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a length of the file is."""

    mm: float
    """Millimetres a unit."""
    remarks: tuple[str, ...] = ()
    """Lines for the user where it was not said but told."""


def unit_name(unit: float) -> str:
    """The unit in words."""
    return next((name for name, mm in UNITS.items() if mm == unit), f"{unit:g} mm")


def tell_unit(places: Array, given: float | None, where: str, usual: str | None = None) -> Unit:
    """The unit of a file.

    Without anybody's word it is the only one of mm, cm and m with which the set-up is of a size for people. Of
    centimetres and millimetres that is often neither: 500 may be 5 m or half a metre. Then it is refused.

    Args:
        places: (V, 3) where the cameras are in the world, in the file's unit.
        given: mm a unit, by the user or by the file, which wins; or None.
        where: the file.
        usual: the unit that files of this format usually have, where there is one.

    Raises:
        CalibrationError: if it cannot be told, or what is given is no length above 0.
    """
    if given is not None:
        if not (np.isfinite(given) and given > 0):
            raise CalibrationError(f"unit of {given} mm; give a length above 0")
        return Unit(float(given))
    size = setup_size(places)
    if size == 0:
        return Unit(UNITS[usual or "mm"])  # one camera, at the origin: no length is in the file
    change = f"python -m calibration convert {where} OUT.toml --unit mm|cm|m"
    if usual:
        if size * UNITS[usual] > FARTHEST_MM:
            raise CalibrationError(
                f"{where}: read in {usual}, as is usual for this format, the cameras are {_metres(size, usual)} apart; "
                f"say the unit with {change}"
            )
        how = "as is usual for this format"
    else:
        fits = [name for name, mm in UNITS.items() if SMALLEST_MM <= size * mm <= LARGEST_MM]
        if len(fits) != 1:
            sizes = ", ".join(f"{_metres(size, name)} in {name}" for name in (fits or UNITS))
            raise CalibrationError(
                f"{where}: the file does not say its unit of length, and the size of the set-up does not tell it "
                f"({sizes}); say it with {change}"
            )
        usual, how = fits[0], "told by its size"
    read = f"{where}: lengths are taken for {usual}, {how}: the set-up is {_metres(size, usual)} across"
    return Unit(UNITS[usual], (f"{read}; if it is not: {change}",))


def setup_size(places: Array) -> float:
    """The largest distance between two cameras, or between a camera and the world's origin: a length of the file."""
    points = np.concatenate([np.zeros((1, 3)), places])
    return float(np.linalg.norm(points[:, None] - points, axis=-1).max())


def _metres(size: float, unit: str) -> str:
    return f"{size * UNITS[unit] / 1000:.3g} m"
