"""OpenCV's own YAML (its calibration sample, ROS camera_info): one camera a file, or a folder of such files.

A file usually holds intrinsics only; with a rotation and a translation in every file the cameras are placed. The
unit of the translation is the user's ``--unit``, else told by size (``_units``).
"""

from pathlib import Path
from typing import Any

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats._fields import array, image_size, peek, rotation
from calibration.formats._units import Unit, tell_unit, unit_name
from calibration.formats._yaml import read_yaml
from calibration.geometry.camera import Camera
from calibration.types import Calibration

FORMAT = "opencv"
TITLE = "OpenCV / ROS camera yaml (a file, or a folder with one a camera)"
_SUFFIXES = (".yml", ".yaml")
_K = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "mtx")
_DIST = ("distortion_coefficients", "distCoeffs", "Distortion_Coefficients", "dist", "D")
_R = ("rotation_matrix", "rotation", "R", "rvec")
_T = ("translation_vector", "translation", "T", "t", "tvec")
_SIZES = (("image_width", "image_height"), ("image_Width", "image_Height"), ("width", "height"))


def _files(path: Path) -> list[Path]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in _SUFFIXES and any(f"{key}:" in peek(file) for key in _K)]


def matches(path: Path) -> bool:
    """A .yml/.yaml with a camera matrix, or a folder with one."""
    return bool(_files(path))


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it.

    Raises:
        CalibrationError: naming the file and the key.
    """
    files = _files(path)
    if not files:
        raise CalibrationError(f"{path}: no camera_matrix in it")
    read_files = [(file, read_yaml(file)) for file in files]
    placed = [file for file, data in read_files if _first(data, _R) and _first(data, _T)]
    if placed and len(placed) < len(files):
        missing = next(file for file in files if file not in placed)
        raise CalibrationError(f"{missing}: rotation and translation are missing, but other cameras have them")
    poses = [_pose(data, str(file)) if placed else (np.eye(3), np.zeros(3)) for file, data in read_files]
    told = tell_unit(np.array([-R.T @ t for R, t in poses]), unit, str(path)) if placed else Unit(1.0)
    cameras = [
        _camera(file, data, R, t * told.mm, size) for (file, data), (R, t) in zip(read_files, poses, strict=True)
    ]
    made = {"imported_from": path.name, "format": "OpenCV yaml"}
    made |= {"unit_of_file": unit_name(told.mm)} if placed else {}
    return Calibration(tuple(cameras), bool(placed), made=made, remarks=told.remarks)


def _first(data: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if data.get(key) is not None), None)


def _pose(data: dict[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    turn, move = _first(data, _R) or _R[0], _first(data, _T) or _T[0]
    R = rotation(array(data, turn, [(3, 3), (3,), (3, 1), (1, 3)], where), where, turn)
    return R, array(data, move, [(3,), (3, 1), (1, 3)], where).ravel()


def _camera(file: Path, data: dict[str, Any], R: np.ndarray, t: np.ndarray, size: tuple[int, int] | None) -> Camera:
    where = str(file)
    if str(data.get("distortion_model", "plumb_bob")) in ("equidistant", "fisheye") or data.get("fisheye_model") == 1:
        raise CalibrationError(f"{where}: distortion_model is a fisheye's, which is not supported; recalibrate without")
    K = array(data, _first(data, _K) or _K[0], [(3, 3)], where)
    shapes = [s for n in (4, 5, 8, 12, 14) for s in ((n,), (1, n), (n, 1))]
    dist = array(data, _first(data, _DIST) or _DIST[0], shapes, where).ravel()
    for keys in _SIZES:
        if all(key in data for key in keys):
            size = image_size([data[key] for key in keys], where, "image_width, image_height")
    if size is None:
        raise CalibrationError(
            f"{where}: image_width and image_height are missing; say them with python -m calibration convert --size WxH"
        )
    return Camera(str(data.get("camera_name") or file.stem), size, K, dist, R, t)
