"""What every file of another program becomes: cameras with where they come from and, where they stand, in what unit."""

from collections.abc import Sequence
from pathlib import Path

from calibration.formats._fields import unplaced_remarks
from calibration.formats._units import Unit, unit_name
from calibration.geometry.camera import Camera
from calibration.types import Calibration


def imported(
    path: Path, title: str, cameras: Sequence[Camera], unit: Unit | None, lenses: Sequence[Camera] = ()
) -> Calibration:
    """The calibration.

    Args:
        path: the file or folder.
        title: of its format.
        cameras: mm.
        unit: of lengths in the file; None where no camera has a place.
        lenses: cameras without a place beside those.
    """
    made = {"imported_from": path.name, "format": title} | ({"unit_of_file": unit_name(unit.mm)} if unit else {})
    remarks = (*(unit.remarks if unit else ()), *unplaced_remarks(path, lenses))
    return Calibration(tuple(cameras), unit is not None, made=made, remarks=remarks, lenses=tuple(lenses))
