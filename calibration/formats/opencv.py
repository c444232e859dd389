"""OpenCV's own YAML, XML and JSON (its calibration sample, ROS camera_info): one camera a file, or a folder of such
files, or OpenCV's stereo sample with two cameras in one.

A file usually holds intrinsics only; with a rotation and a translation the camera is placed. The unit of the
translation is the user's ``--unit``, else told by size (``_units``).
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats._fields import array, image_size, peek, rotation
from calibration.formats._foreign import of_gyroflow
from calibration.formats._imported import imported
from calibration.formats._storage import SUFFIXES, read_storage
from calibration.formats._units import tell_unit
from calibration.geometry.camera import Camera
from calibration.text import natural_key, shown
from calibration.types import Calibration

FORMAT = "opencv"
TITLE = "OpenCV / ROS camera yaml, xml or json (a file, or a folder with one a camera)"
_K = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "CameraMatrix", "intrinsic_matrix", "K", "k", "mtx")
_DIST = ("distortion_coefficients", "distCoeffs", "Distortion_Coefficients", "DistCoeffs", "dist_coeffs", "dist_coeff",
         "distortion_coeffs", "distortion", "distortions", "dist", "D", "d")  # fmt: skip
_R = ("rotation_matrix", "rotation", "R", "rvec")
_T = ("translation_vector", "translation", "T", "t", "tvec")
_SIZES = (
    ("image_width", "image_height"), ("image_Width", "image_Height"), ("imageWidth", "imageHeight"), ("width", "height")
)  # fmt: skip
_SIZE = ("image_size", "imageSize", "size", "resolution")
_STEREO = (("M", "D"), ("K", "D"), ("cameraMatrix", "distCoeffs"), ("camera_matrix", "distortion_coefficients"))
_MODELS = ("plumb_bob", "rational_polynomial", "thin_prism", "tilted", "pinhole", "radtan", "brown", "opencv", "none")
_FISHEYES = ("equidistant", "fisheye", "opencv_fisheye", "kannala_brandt", "kannala_brandt4")


def _files(path: Path) -> list[Path]:
    files = sorted(path.iterdir(), key=natural_key) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in SUFFIXES and _has_camera(file)]


def _has_camera(file: Path) -> bool:
    """Whether a file looks like one of OpenCV's with a camera: a key of its matrix, where keys stand."""
    words, suffix = peek(file), file.suffix.lower()
    # ROS 2's small k is a camera's only beside its model.
    keys = [key for key in _K if key != "k" or "distortion_model" in words]
    name = "|".join([*keys, *(first + number for first, _ in _STEREO for number in "12")])
    if suffix == ".xml":
        return "opencv_storage" in words and bool(re.search(rf"<(?:{name})[\s>]", words))
    if suffix == ".json":
        # Other programs' JSON has a K, too; OpenCV says what its matrices are.
        return (
            bool(re.search(rf'"(?:{name})"\s*:', words))
            and bool(re.search(r'"opencv-matrix"|"camera_?matrix"', words, re.IGNORECASE))
            and not of_gyroflow(words)
        )
    return bool(re.search(rf"""^["']?(?:{name})["']?[ \t]*:""", words, re.MULTILINE))


def matches(path: Path) -> bool:
    """A .yml, .yaml, .xml or .json with a camera matrix, or a folder with one."""
    return bool(_files(path))


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read it.

    Raises:
        CalibrationError: naming the file and the key.
    """
    files = _files(path)
    if not files:
        raise CalibrationError(f"{path}: no camera_matrix in it")
    entries = [entry for file in files for entry in _entries(file, read_storage(file))]
    # ROS' calibrator calls every camera the same where it was not told.
    named = Counter(name for name, _, _ in entries)
    stems = [file.stem for file in files]
    if len(stems) == len(entries):
        entries = [
            (stem if named[entry[0]] > 1 else entry[0], entry[1], entry[2])
            for stem, entry in zip(stems, entries, strict=True)
        ]
    poses = [_pose(data, where) for _, data, where in entries]
    places = np.array([-R.T @ t for R, t in filter(None, poses)])
    told = tell_unit(places, unit, str(path)) if len(places) else None
    cameras, lenses = [], []
    for (name, data, where), pose in zip(entries, poses, strict=True):
        R, t = pose or (np.eye(3), np.zeros(3))
        camera = _camera(name, data, where, R, t * told.mm if told else t, size)
        (cameras if pose or not told else lenses).append(camera)
    return imported(path, "OpenCV", cameras, told, lenses)


def _entries(file: Path, data: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Name, keys and place in the file of each camera: one, or the two of a stereo pair."""
    for lens, distortion in _STEREO:
        if f"{lens}1" in data and f"{lens}2" in data and _first(data, _K) is None:
            common = {key: value for key, value in data.items() if not re.search(r"[12]$", key)}
            # X2 = R X1 + T; the first camera's axes are the world's.
            rest = {key: common.pop(key) for key in (*_R, *_T) if key in common} or _beside(file)
            first = {"R": np.eye(3), "T": np.zeros(3)} if _first(rest, _R) and _first(rest, _T) else {}
            out = []
            for number, pose in (("1", first), ("2", rest)):
                own = {"K": data[f"{lens}{number}"], "D": data.get(f"{distortion}{number}")}
                out.append((f"{file.stem}{number}", common | own | pose, f"{file} (camera {number})"))
            return out
    name = data.get("camera_name")
    # ROS writes "stereo/left", and a name has no slash.
    name = name.rsplit("/")[-1] if isinstance(name, str) else name
    # ROS' R is that of the rectified picture. It never has a place.
    ros = "distortion_model" in data and _first(data, _T) is None
    return [(str(name if isinstance(name, str) and name else file.stem), {k: v for k, v in data.items()
             if not (ros and k in _R)}, str(file))]  # fmt: skip


def _beside(file: Path) -> dict[str, Any]:
    """Rotation and translation in the ``extrinsics`` that OpenCV's stereo sample writes beside its ``intrinsics``."""
    other = file.with_stem("extrinsics")
    if file.stem != "intrinsics" or not other.is_file():
        return {}
    return {key: value for key, value in read_storage(other).items() if key in (*_R, *_T)}


def _first(data: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if data.get(key) is not None and not _nothing(data[key])), None)


def _nothing(value: Any) -> bool:
    """An empty matrix, as OpenCV writes one that is not known."""
    return isinstance(value, np.ndarray | list) and not np.size(value)


def _pose(data: dict[str, Any], where: str) -> tuple[np.ndarray, np.ndarray] | None:
    turn, move = _first(data, _R), _first(data, _T)
    if turn is None and move is None:
        return None
    if turn is None or move is None:
        raise CalibrationError(f"{where}: {'rotation' if turn is None else 'translation'} is missing")
    R = array(data, turn, [(3, 3), (3,), (3, 1), (1, 3), (9,)], where)
    return rotation(R.reshape(3, 3) if R.size == 9 else R, where, turn), array(
        data, move, [(3,), (3, 1), (1, 3)], where
    ).ravel()


def _camera(
    name: str, data: dict[str, Any], where: str, R: np.ndarray, t: np.ndarray, size: tuple[int, int] | None
) -> Camera:
    fisheye = _fisheye(data, where)
    K = array(data, _first(data, _K) or _K[0], [(3, 3), (9,)], where).reshape(3, 3)
    shapes = [s for n in ((4,) if fisheye else (4, 5, 8, 12, 14)) for s in ((n,), (1, n), (n, 1))]
    key = _first(data, _DIST)
    # An empty list says that there is none.
    none = key is None and any(data.get(key) is not None for key in _DIST)
    dist = np.zeros(4 if fisheye else 5) if none else array(data, key or _DIST[0], shapes, where).ravel()
    for keys in _SIZES:
        if all(key in data for key in keys):
            size = image_size([data[key] for key in keys], where, "image_width, image_height")
    if (key := _first(data, _SIZE)) is not None:
        size = image_size(data[key], where, key)
    if size is None:
        raise CalibrationError(
            f"{where}: image_width and image_height are missing; say them with python -m calibration convert --size WxH"
        )
    return Camera(name, size, K, dist, R, t, None, fisheye)


def _fisheye(data: dict[str, Any], where: str) -> bool:
    model = data.get("distortion_model", data.get("camera_model", "plumb_bob"))
    word = str(model).lower()
    if word not in (*_MODELS, *_FISHEYES, ""):
        raise CalibrationError(
            f"{where}: distortion_model is {shown(model)}, which is not read here; calibrate it as plumb_bob, "
            "rational_polynomial or equidistant"
        )
    return word in _FISHEYES or data.get("fisheye_model") == 1 or data.get("fisheye") in (1, True)
