"""Pose2Sim and aniposelib TOML: a table a camera, Rodrigues rotation, metres or board units.

Pose2Sim writes metres, aniposelib the unit its board was given in (mostly mm), and neither says so in the file. So
the unit is the user's ``--unit``; else the one in [metadata], as we write it; else told by size (``_units``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration import writing
from calibration.errors import CalibrationError
from calibration.formats._fields import (
    array,
    boolean,
    image_size,
    peek,
    read_toml,
    rotation,
    write_table,
)
from calibration.formats._imported import imported
from calibration.formats._units import UNITS, tell_unit
from calibration.geometry.camera import Camera
from calibration.geometry.rotations import rotation_vector
from calibration.types import Calibration

FORMAT = "pose2sim"
TITLE = "Pose2Sim / aniposelib TOML"
_DIST = [(n,) for n in (0, 1, 4, 5, 8, 12, 14)]
_FISHEYE = [(0,), (4,)]


def matches(path: Path) -> bool:
    """A .toml with a matrix and distortions in top-level tables."""
    if path.suffix.lower() != ".toml":
        return False
    text = peek(path)
    return "matrix" in text and "distortions" in text and "[cameras." not in text and "hypothesis-stream" not in text


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it.

    Raises:
        CalibrationError: naming the key.
    """
    data = read_toml(path)
    metadata = data.get("metadata", {})
    tables = {key: value for key, value in data.items() if key != "metadata" and isinstance(value, dict)}
    if unit is None and isinstance(metadata, dict) and "unit" in metadata:
        unit = UNITS.get(str(metadata["unit"]))
        if unit is None:
            raise CalibrationError(
                f"{path}: [metadata] unit is {metadata['unit']!r}, not one of {', '.join(UNITS)}; say it with "
                f"python -m calibration convert {path} OUT.toml --unit MM, in millimetres"
            )
    return from_tables(path, tables, unit, size, "Pose2Sim/aniposelib TOML")


def from_tables(
    path: Path,
    tables: dict[str, dict[str, Any]],
    unit: float | None,
    size: tuple[int, int] | None,
    title: str,
    usual: str | None = None,
) -> Calibration:
    """Cameras from tables of size, matrix, distortions, rotation, translation: this format's and caliscope's."""
    wheres = {name: f"{path}: [{name}]" for name in tables}
    poses = {name: _pose(table, wheres[name]) for name, table in tables.items() if _has_place(table, wheres[name])}
    told = tell_unit(np.array([-R.T @ t for R, t in poses.values()]), unit, str(path), usual) if poses else None
    cameras, lenses = [], []
    for key, table in tables.items():
        where = wheres[key]
        fisheye = boolean(table, "fisheye", where)
        lens = (_FISHEYE, f"{where} (fisheye = true)") if fisheye else (_DIST, where)
        dist = array(table, "distortions", *lens)
        # aniposelib writes one coefficient when only k1 was fitted.
        dist = np.pad(dist, (0, 4 - dist.size)) if dist.size == 1 else dist
        R, t = poses.get(key, (np.eye(3), np.zeros(3)))
        name = str(table.get("name", table.get("cam_id", key)))
        K = array(table, "matrix", [(3, 3)], where)
        size_of = image_size(table.get("size", size), where)
        camera = Camera(name, size_of, K, dist, R, t * told.mm if told else t, None, fisheye)
        (cameras if key in poses or not poses else lenses).append(camera)
    return imported(path, title, cameras, told, lenses)


def _has_place(table: Mapping[str, Any], where: str) -> bool:
    """Whether rotation and translation are there; both are left out, empty, or the word null where they are not.

    Raises:
        CalibrationError: if only one of them is.
    """
    turn, move = (table.get(key) not in (None, "", "null", "None", "nan", []) for key in ("rotation", "translation"))
    if turn != move:
        raise CalibrationError(f"{where}: {'translation' if turn else 'rotation'} is missing")
    return turn


def _pose(table: dict[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    vectors = [(3,), (3, 1), (1, 3)]
    R = rotation(array(table, "rotation", [*vectors, (3, 3)], where), where, "rotation")
    return R, array(table, "translation", vectors, where).ravel()


def write(calibration: Calibration, path: Path) -> None:
    """Write what Pose2Sim reads: metres. Gravity, devices, how it was made and cameras without a place are left out.

    Raises:
        CalibrationError: for a camera named "metadata", which the format keeps for itself.
    """
    if "metadata" in calibration.names:
        raise CalibrationError("a camera named 'metadata' cannot be written in this format; rename it")
    parts = []
    for camera in calibration.cameras:
        values = {
            "name": camera.name,
            "size": list(camera.size),
            "matrix": camera.K,
            "distortions": camera.dist,
        }
        if calibration.placed:
            values |= {"rotation": rotation_vector(camera.R), "translation": camera.t / 1000}
        parts.append(write_table([camera.name], values | {"fisheye": camera.fisheye}))
    parts.append(write_table(["metadata"], {"adjusted": False, "error": 0.0, "unit": "m"}))
    writing.write_text(path, "\n".join(parts))
