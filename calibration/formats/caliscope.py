"""caliscope's ``camera_array.toml``, ``[cameras.<id>]``, and its older ``config.toml``, ``[cam_<port>]``; metres.

The older file holds boards, pairs and points besides, which are passed over, and its oldest form calls things
``camera_matrix``, ``distortion`` and ``resolution``. ``rotation_count`` turns frames only for caliscope's display and
its trackers; the intrinsics belong to the frames as they are in the file, so it is not applied.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration import text
from calibration.errors import CalibrationError
from calibration.formats._fields import peek
from calibration.formats.pose2sim import from_tables
from calibration.text import one_line, shown
from calibration.types import Calibration

FORMAT = "caliscope"
TITLE = "caliscope camera_array.toml, and its older config.toml"

_OLD = re.compile(r"^\[cam_\d+\]", re.MULTILINE)
_POINTS = re.compile(r"^\[point_estimates\]$.*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_MOST_BYTES = 1 << 26
"""Of a file with its points, which are not read."""
_NAMES = {"camera_matrix": "matrix", "distortion": "distortions", "resolution": "size"}


def matches(path: Path) -> bool:
    """A .toml with [cameras.N] tables, or with [cam_N] tables that hold a port."""
    if path.suffix.lower() != ".toml":
        return False
    head = peek(path)
    return "[cameras." in head or bool(_OLD.search(head) and re.search(r"^port\s*=", head, re.MULTILINE))


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it; cameras that caliscope was told to ignore, or that have no lens yet, are left out, and those without a
    place are lenses.

    Raises:
        CalibrationError: naming the key.
    """
    try:
        data = text.parse_toml(_POINTS.sub("", text.read(path, _MOST_BYTES)))
    except ValueError as error:
        raise CalibrationError(f"{path}: not a TOML file: {error}") from error
    if "cameras" in data:
        tables, prefix = data["cameras"], "cameras."
    else:
        tables, prefix = {key[4:]: value for key, value in data.items() if re.fullmatch(r"cam_\d+", key)}, "cam_"
    if not (isinstance(tables, dict) and tables and all(isinstance(table, dict) for table in tables.values())):
        raise CalibrationError(f"{path}: no [cameras.<id>] and no [cam_<port>] tables in it")
    used = {prefix + key: _renamed(key, table) for key, table in tables.items() if not table.get("ignore")}
    if not used:
        raise CalibrationError(f"{path}: caliscope was told to ignore every camera in it")
    unknown = [
        key for key, table in used.items() if any(_nothing(table.get(name)) for name in ("matrix", "distortions"))
    ]
    known = {key: table for key, table in used.items() if key not in unknown}
    if not known:
        raise CalibrationError(f"{path}: no lens in it is calibrated yet ({', '.join(unknown)}); do that in caliscope")
    found = from_tables(path, known, unit, size, "caliscope TOML", usual="m")
    lines = _turned(path, known)
    if unknown:
        left = ", ".join(used[key]["cam_id"] for key in unknown)
        lines = (*lines, f"{path}: left out, as its lens is not calibrated yet: {left}")
    return replace(found, remarks=(*found.remarks, *lines))


def _turned(path: Path, tables: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """What is said of cameras that caliscope shows turned."""
    counts = {table["cam_id"]: table.get("rotation_count", 0) for table in tables.values()}
    turned = [f"{name} by {shown(count)}" for name, count in counts.items() if count not in (0, "0")]
    if not turned:
        return ()
    return (
        one_line(
            f"{path}: caliscope shows pictures turned (rotation_count: {', '.join(turned)} quarter turns); the lenses "
            "in the file are those of the pictures as they are saved, unturned, and so used; with --up X,Y,Z pictures "
            "of cameras that hang turned are turned upright, the calibration along with them",
            most=600,
        ),
    )


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str | list) and value in ("", "null", "None", []))


def _renamed(key: str, table: dict[str, Any]) -> dict[str, Any]:
    """A table with the names of today; the oldest holds numbers as text, and one list too many."""
    out = {_NAMES.get(name, name): value for name, value in table.items()}
    out["cam_id"] = str(out.get("cam_id", key))
    for name in ("matrix", "distortions"):
        if isinstance(out.get(name), list):
            out[name] = _numbers(out[name], f"[{key}] {name}")
    distortions = out.get("distortions")
    if isinstance(distortions, list) and len(distortions) == 1 and isinstance(distortions[0], list):
        out["distortions"] = distortions[0]
    return out


def _numbers(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_numbers(item, where) for item in value]
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise CalibrationError(f"{where}: {shown(value)} is not a number") from None
