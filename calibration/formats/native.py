"""This project's own TOML: mm, the rotation as a matrix, gravity, what each camera is attached to, how it was made."""

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
    unplaced_remarks,
    write_table,
)
from calibration.geometry.camera import Camera
from calibration.text import shown
from calibration.types import Calibration

FORMAT = "native"
TITLE = "this project's TOML (mm; gravity, devices and how it was made included)"
VERSION = 2
"""Version 2 has fisheyes, and cameras without a place beside placed ones; files with neither are of version 1."""
_DIST = [(n,) for n in (4, 5, 8, 12, 14)]


def matches(path: Path) -> bool:
    """A .toml with our marker."""
    return path.suffix.lower() == ".toml" and "hypothesis-stream calibration" in peek(path)


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it; ``unit`` and ``size`` are refused, since the file holds both.

    Raises:
        CalibrationError: naming the key.
    """
    if unit is not None or size is not None:
        raise CalibrationError(f"{path}: a native file holds its own unit (mm) and sizes; leave --unit and --size out")
    data = read_toml(path)
    if data.get("format") != "hypothesis-stream calibration" or data.get("version") not in (1, VERSION):
        raise CalibrationError(
            f"{path}: format/version are {shown(data.get('format'))} {shown(data.get('version'))}, "
            f"expected 'hypothesis-stream calibration' 1 or {VERSION}"
        )
    if data.get("unit", "mm") != "mm":
        raise CalibrationError(f"{path}: unit is {data['unit']!r}; a native file is in mm")
    placed = boolean(data, "placed", str(path), missing=True)
    made = data.get("made", {})
    if not (isinstance(made, dict) and all(isinstance(value, str | int | float) for value in made.values())):
        raise CalibrationError(f"{path}: made is {shown(made)}, expected a table [made] of text and numbers")
    up = array(data, "up", [(3,)], str(path)) if "up" in data else None
    tables = data.get("camera", [])
    if not (isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)):
        raise CalibrationError(f"{path}: no [[camera]] in it")
    known, others = [], []
    for i, table in enumerate(tables):
        where = f"{path}: camera {i + 1}"
        (known if not placed or boolean(table, "placed", where, missing=True) else others).append((table, where))
    lenses = tuple(_camera(table, False, None, where) for table, where in others)
    if not known:
        raise CalibrationError(f"{path}: placed is true, and no camera has a place")
    return Calibration(
        tuple(_camera(table, placed, up, where) for table, where in known),
        placed,
        tuple(_text(table, "device", where) for table, where in known),
        tuple(_text(table, "serial", where) for table, where in known),
        made,
        unplaced_remarks(path, lenses),
        lenses,
    )


def _text(table: dict[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise CalibrationError(f"{where}: {key} is {shown(value)}, expected text in quotes")
    return value


def _camera(table: dict[str, Any], placed: bool, up: np.ndarray | None, where: str) -> Camera:
    name = _text(table, "name", where)
    if not name:
        raise CalibrationError(f"{where}: name is missing")
    where = f"{where} ({name})"
    K = array(table, "K", [(3, 3)], where)
    fisheye = boolean(table, "fisheye", where)
    dist = array(table, "dist", [(4,)] if fisheye else _DIST, where)
    R, t = np.eye(3), np.zeros(3)
    if placed:
        R = rotation(array(table, "R", [(3, 3)], where), where, "R")
        t = array(table, "t", [(3,)], where)
    return Camera(name, image_size(table.get("size"), where), K, dist, R, t, up, fisheye)


def write(calibration: Calibration, path: Path) -> None:
    """Write it, every number with all its digits."""
    head = [
        "# Cameras as OpenCV has them: x right, y down, z forward, pixel centres at whole numbers.",
        "# Lengths are mm; X_camera = R X_world + t; up is the unit vector against gravity in the world.",
        'format = "hypothesis-stream calibration"',
        f"version = {VERSION if calibration.lenses or any(camera.fisheye for camera in calibration.cameras) else 1}",
        'unit = "mm"',
        f"placed = {'true' if calibration.placed else 'false'}",
    ]
    if calibration.up is not None:
        head.append(f"up = {calibration.up.tolist()}")
    parts = ["\n".join(head) + "\n", write_table(["made"], calibration.made)]
    for camera, device, serial in zip(calibration.cameras, calibration.devices, calibration.serials, strict=True):
        values = _lens(camera) | ({"R": camera.R, "t": camera.t} if calibration.placed else {})
        parts.append(_table(values | {"device": device, "serial": serial}))
    parts += [_table(_lens(camera) | {"placed": False}) for camera in calibration.lenses]
    writing.write_text(path, "\n".join(parts))


def _lens(camera: Camera) -> dict[str, Any]:
    values = {"name": camera.name, "size": list(camera.size), "K": camera.K, "dist": camera.dist}
    return values | ({"fisheye": True} if camera.fisheye else {})


def _table(values: dict[str, Any]) -> str:
    return "[" + write_table(["camera"], values).replace("]", "]]", 1)
