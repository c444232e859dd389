"""COLMAP's text model: ``cameras.txt`` (lenses) and ``images.txt`` (places), in a folder; its unit is free.

An image stands for a camera, named like its file. Where one camera took several images, all of them are placed, as
COLMAP has it. COLMAP puts pixel centres at 0.5, so its centre lies half a pixel farther than OpenCV's.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from calibration import text
from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.formats._fields import image_size
from calibration.formats._imported import imported
from calibration.formats._units import tell_unit
from calibration.geometry.camera import Camera
from calibration.text import shown
from calibration.types import MOST_CAMERAS, Calibration

FORMAT = "colmap"
TITLE = "COLMAP text model (the folder with cameras.txt and images.txt, or either file)"
_MODELS: Final = {
    "SIMPLE_PINHOLE": "f x y", "PINHOLE": "fx fy x y", "SIMPLE_RADIAL": "f x y k1", "RADIAL": "f x y k1 k2",
    "OPENCV": "fx fy x y k1 k2 p1 p2", "FULL_OPENCV": "fx fy x y k1 k2 p1 p2 k3 k4 k5 k6",
    "OPENCV_FISHEYE": "fx fy x y k1 k2 k3 k4", "SIMPLE_RADIAL_FISHEYE": "f x y k1", "RADIAL_FISHEYE": "f x y k1 k2",
}  # fmt: skip
"""Model -> its parameters in their order."""
_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_MOST_BYTES = 1 << 26
"""``images.txt`` holds every point of every image."""


def _file(path: Path, name: str) -> Path:
    return (path if path.is_dir() else path.parent) / name


def matches(path: Path) -> bool:
    """A folder with cameras.txt, or cameras.txt or images.txt beside it."""
    return _file(path, "cameras.txt").is_file() and (path.is_dir() or path.name in ("cameras.txt", "images.txt"))


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read both; without images.txt only the lenses, named by their numbers.

    Raises:
        CalibrationError: naming the file and the line.
    """
    lenses_at, images_at = _file(path, "cameras.txt"), _file(path, "images.txt")
    lenses = {}
    for number, words in _lines(lenses_at, every=1):
        where = f"{lenses_at}: line {number}"
        if len(words) < 5:
            raise CalibrationError(f"{where}: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS")
        if words[0] in lenses:
            raise CalibrationError(f"{where}: camera {shown(words[0])} is there twice")
        if len(lenses) == MOST_CAMERAS:
            raise CalibrationError(f"{lenses_at}: more than {MOST_CAMERAS:,} cameras")
        lenses[words[0]] = _lens(words, where)
    if not lenses:
        raise CalibrationError(f"{lenses_at}: no camera in it")
    if not images_at.is_file():
        return imported(path, "COLMAP", tuple(lenses.values()), None)
    placed = _images(images_at, lenses)
    places = np.array([-R.T @ t for _, _, R, t in placed])
    told = tell_unit(places, unit, str(path))
    cameras = [
        Camera(name, lenses[of].size, lenses[of].K, lenses[of].dist, R, t * told.mm, None, lenses[of].fisheye)
        for name, of, R, t in placed
    ]
    rest = tuple(lens for key, lens in lenses.items() if key not in {of for _, of, _, _ in placed})
    found = imported(path, "COLMAP", cameras, told, rest)
    if unit is not None:
        return found
    free = "a model of COLMAP has no scale of its own unless it was given one, and no length is right without it"
    return replace(found, remarks=(free, *found.remarks))


def _lines(path: Path, every: int) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line that is no comment, or of every second one; empty ones are passed over."""
    try:
        lines = text.read(path, _MOST_BYTES).splitlines()
    except ValueError as error:
        raise CalibrationError(f"{path}: {error}") from error
    count = -1
    for number, line in enumerate(lines, 1):
        # The second line of an image holds its points, and is empty where it has none.
        if line.startswith("#") or (every == 1 and not line.strip()):
            continue
        count += 1
        if count % every == 0 and line.strip():
            yield number, line.split(maxsplit=64)


def _lens(words: list[str], where: str) -> Camera:
    name, model = words[0], words[1]
    if model not in _MODELS:
        raise CalibrationError(
            f"{where}: the lens model {shown(model)} is not read here; undistort with colmap image_undistorter, or "
            f"calibrate with one of {', '.join(_MODELS)}"
        )
    keys = _MODELS[model].split()
    numbers = _floats(words[4:], where)
    if len(numbers) != len(keys):
        raise CalibrationError(f"{where}: {model} has {len(numbers)} parameters, expected {len(keys)}")
    value = dict(zip(keys, numbers, strict=True))
    fx, fy = (value.get("f", 0.0),) * 2 if "f" in value else (value["fx"], value["fy"])
    K = np.array([[fx, 0, value["x"] - 0.5], [0, fy, value["y"] - 0.5], [0, 0, 1]])
    fisheye = "FISHEYE" in model
    order = ("k1", "k2", "k3", "k4") if fisheye else _ORDER if "k6" in value else _ORDER[:5]
    dist = np.array([value.get(key, 0.0) for key in order])
    size = image_size(_floats(words[2:4], where), where, "WIDTH HEIGHT")
    return Camera(name, size, K, dist, np.eye(3), np.zeros(3), None, fisheye)


def _images(path: Path, lenses: dict[str, Camera]) -> list[tuple[str, str, Array, Array]]:
    """Name, number of its lens, R and t of every image."""
    out = []
    for number, words in _lines(path, every=2):
        where = f"{path}: line {number}"
        if len(words) < 10:
            raise CalibrationError(f"{where}: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        q, t = np.array(_floats(words[1:5], where)), np.array(_floats(words[5:8], where))
        length = float(np.linalg.norm(q)) if np.abs(q).max() < 2 else float(np.abs(q).max())
        if not 0.99 < length < 1.01:
            raise CalibrationError(f"{where}: QW QX QY QZ is not a rotation: its length is {length:.3g}, not 1")
        if words[8] not in lenses:
            raise CalibrationError(f"{where}: camera {shown(words[8])} is not in cameras.txt")
        R = Rotation.from_quat(q, scalar_first=True).as_matrix()
        out.append((" ".join(words[9:]), words[8], R, t))
        if len(out) > MOST_CAMERAS:
            raise CalibrationError(f"{path}: more than {MOST_CAMERAS:,} images; export those of the cameras alone")
    if not out:
        raise CalibrationError(f"{path}: no image in it")
    names = _names([name for name, *_ in out])
    return [(name, of, R, t) for name, (_, of, R, t) in zip(names, out, strict=True)]


def _names(files: list[str]) -> list[str]:
    """A camera each: the name of its file, or of the folder that it alone lies in."""
    paths = [PurePosixPath(file.replace("\\", "/")) for file in files]
    for names in ([p.parent.name for p in paths], [p.stem for p in paths]):
        if all(names) and len(set(names)) == len(names):
            return names
    return ["_".join(p.with_suffix("").parts) for p in paths]


def _floats(words: list[str], where: str) -> list[float]:
    out = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise CalibrationError(f"{where}: {shown(word)} is not a finite number")
        out.append(value)
    return out


def example(folder: Path) -> Path:
    """A folder of two cameras."""
    (folder / "cameras.txt").write_text(
        "# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n1 OPENCV 640 480 600 601 320 240 -0.1 0.01 0 0\n"
        "2 OPENCV_FISHEYE 640 480 600 601 320 240 -0.1 0.01 0 0\n",
        encoding="utf-8",
    )
    (folder / "images.txt").write_text(
        "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n1 1 0 0 0 0 0 3 1 left.png\n1.5 2.5 -1\n"
        "2 0.7071068 0 0.7071068 0 0.5 0 3 2 right.png\n\n",
        encoding="utf-8",
    )
    return folder
