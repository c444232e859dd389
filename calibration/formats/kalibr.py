"""Kalibr's ``camchain.yaml``: ``cam0``, ``cam1`` ... each placed against the one before it; metres.

``T_cn_cnm1`` takes points from the axes of the camera before to this one's; the first camera's are the world's. Without
it, ``T_cam_imu`` of every camera places them in the axes of the inertial sensor. Kalibr's "radtan" is OpenCV's k1 k2 p1
p2, its "equidistant" OpenCV's fisheye.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.formats._fields import array, image_size, peek, rotation
from calibration.formats._imported import imported
from calibration.formats._units import tell_unit
from calibration.formats._yaml import read_yaml
from calibration.geometry.camera import Camera
from calibration.text import natural_key, shown
from calibration.types import Calibration

FORMAT = "kalibr"
TITLE = "Kalibr camchain.yaml"
_LENSES = {"radtan": (False, 4), "equidistant": (True, 4), "none": (False, 0)}
"""Model: whether it is a fisheye's, and its number of coefficients."""
_CALIBRATE = "calibrate it in Kalibr with --models pinhole-radtan or pinhole-equi"


def matches(path: Path) -> bool:
    """A .yaml with cam0: and intrinsics of four numbers and a model."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    head = peek(path)
    return bool(re.search(r"^cam\d+:", head, re.MULTILINE) and "intrinsics:" in head and "distortion_model:" in head)


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it; the cameras are called cam0, cam1 ... as there.

    Raises:
        CalibrationError: naming the camera and the key.
    """
    data = read_yaml(path)
    names = sorted((key for key in data if re.fullmatch(r"cam\d{1,4}", key)), key=lambda key: natural_key(Path(key)))
    if not names:
        raise CalibrationError(f"{path}: no cam0 in it")
    tables = {name: data[name] for name in names}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise CalibrationError(f"{path}: {name} is {shown(table)}, expected keys of a camera")
    placed = _places(tables, path) if len(tables) > 1 else {}
    places = np.array([-R.T @ t for R, t in placed.values()])
    told = tell_unit(places, unit, str(path), usual="m") if placed else None
    cameras, lenses = [], []
    for name, table in tables.items():
        R, t = placed.get(name, (np.eye(3), np.zeros(3)))
        camera = _camera(name, table, R, t * told.mm if told else t, size, f"{path}: {name}")
        (cameras if name in placed or not placed else lenses).append(camera)
    return imported(path, "Kalibr", cameras, told, lenses)


def _places(tables: dict[str, dict[str, Any]], path: Path) -> dict[str, tuple[Array, Array]]:
    """World to camera of every camera that is linked to the first; none where no other is."""
    names = list(tables)
    if "T_cn_cnm1" not in tables[names[1]] and all("T_cam_imu" in table for table in tables.values()):
        return {name: _transform(tables[name], "T_cam_imu", f"{path}: {name}") for name in names}
    out: dict[str, tuple[Array, Array]] = {names[0]: (np.eye(3), np.zeros(3))}
    for before, name in zip(names, names[1:], strict=False):
        if "T_cn_cnm1" not in tables[name]:
            break
        R, t = _transform(tables[name], "T_cn_cnm1", f"{path}: {name}")
        out[name] = (R @ out[before][0], R @ out[before][1] + t)
    return out if len(out) > 1 else {}


def _transform(table: dict[str, Any], key: str, where: str) -> tuple[Array, Array]:
    T = array(table, key, [(4, 4), (3, 4)], where)
    return rotation(T[:3, :3], where, key), T[:3, 3]


def _camera(name: str, table: dict[str, Any], R: Array, t: Array, size: tuple[int, int] | None, where: str) -> Camera:
    model, lens = str(table.get("camera_model", "pinhole")), str(table.get("distortion_model", "none"))
    if model != "pinhole":
        raise CalibrationError(f"{where}: camera_model is {shown(model)}, which is not read here; {_CALIBRATE}")
    if lens not in _LENSES:
        raise CalibrationError(f"{where}: distortion_model is {shown(lens)}, which is not read here; {_CALIBRATE}")
    fisheye, count = _LENSES[lens]
    fx, fy, cx, cy = array(table, "intrinsics", [(4,)], where)
    dist = array(table, "distortion_coeffs", [(count,)], where) if count else np.zeros(0)
    dist = dist if fisheye or not count else np.append(dist, 0)  # k3, so that it can be written anywhere
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return Camera(name, image_size(table.get("resolution", size), where, "resolution"), K, dist, R, t, None, fisheye)


def example(folder: Path) -> Path:
    """Two cameras, the second one a fisheye."""
    text, path = "", folder / "camchain.yaml"
    for number, lens in enumerate(("radtan", "equidistant")):
        text += (
            f"cam{number}:\n  camera_model: pinhole\n  intrinsics: [600.5, 601.0, 320.0, 240.0]\n"
            f"  distortion_model: {lens}\n  distortion_coeffs: [-0.1, 0.01, 0.0, 0.0]\n  resolution: [640, 480]\n"
            f"  rostopic: /cam{number}/image_raw\n"
        )
    text += "  T_cn_cnm1:\n  - [1.0, 0.0, 0.0, -0.5]\n  - [0.0, 1.0, 0.0, 0.0]\n  - [0.0, 0.0, 1.0, 0.0]\n"
    path.write_text(text + "  - [0.0, 0.0, 0.0, 1.0]\n", encoding="utf-8")
    return path
