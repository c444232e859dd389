"""caliscope's ``camera_array.toml`` (and its older ``config.toml``): ``[cameras.<id>]``, metres.

``rotation_count`` turns frames only for caliscope's display and its trackers; the intrinsics belong to the frames as
they are in the file, so it is not applied.
"""

from pathlib import Path

from calibration.errors import CalibrationError
from calibration.formats._fields import peek, read_toml
from calibration.formats.pose2sim import from_tables
from calibration.types import Calibration

FORMAT = "caliscope"
TITLE = "caliscope camera_array.toml"


def matches(path: Path) -> bool:
    """A .toml with [cameras.N] or [cam_N] tables."""
    return path.suffix.lower() == ".toml" and "[cameras." in peek(path)


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it; cameras that caliscope was told to ignore are left out.

    Raises:
        CalibrationError: naming the key.
    """
    cameras = read_toml(path).get("cameras")
    if not (isinstance(cameras, dict) and all(isinstance(table, dict) for table in cameras.values())):
        raise CalibrationError(f"{path}: no [cameras.<id>] tables in it")
    used = {f"cameras.{key}": table for key, table in cameras.items() if not table.get("ignore")}
    for key, table in used.items():
        table.setdefault("cam_id", key.removeprefix("cameras."))
    return from_tables(path, used, unit, size, "caliscope TOML", usual="m")
