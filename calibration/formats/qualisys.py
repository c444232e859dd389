"""Qualisys ``.qca.txt``: XML with focal lengths and centres in 1/64 pixel and positions in mm.

The distortion coefficients are plain numbers and are *not* divided by 64. The transform holds the camera's axes in the
world as rows, x right, y *up*, z *backwards*, so OpenCV's are its rows times (1, -1, -1).
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calibration import text
from calibration.errors import CalibrationError
from calibration.formats._fields import image_size, peek, rotation
from calibration.formats._xml import parse_xml
from calibration.geometry.camera import Camera
from calibration.text import one_line, shown
from calibration.types import Calibration

FORMAT = "qualisys"
TITLE = "Qualisys .qca.txt"
_SUBPIXEL = 64.0


def matches(path: Path) -> bool:
    """XML with a <calibration> of <cameras>."""
    head = peek(path)
    return "<calibration" in head and ("<camera " in head or "<cameras" in head)


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read the video cameras (model "video" or "none"), or all where none is marked so.

    Raises:
        CalibrationError: naming the camera and the key.
    """
    try:
        root = parse_xml(text.read(path))
    except ValueError as error:
        raise CalibrationError(f"{path}: not XML that is read here: {error}") from error
    nodes = root.findall("cameras/camera")
    video = [node for node in nodes if any(m in node.get("model", "").lower() for m in ("video", "none"))]
    nodes = [node for node in video or nodes if node.get("active", "1") != "0"]
    if not nodes:
        raise CalibrationError(f"{path}: no active <camera> in <cameras>")
    mm = 1.0 if unit is None else unit
    cameras = [_camera(node, mm, f"{path}: camera {node.get('serial', i + 1)}") for i, node in enumerate(nodes)]
    made = {"imported_from": path.name, "format": "Qualisys qca", "source": root.get("source", "")}
    serials = tuple(camera.name for camera in cameras)
    return Calibration(tuple(cameras), serials=serials, made=made, remarks=_turned(path, nodes))


def _turned(path: Path, nodes: list[ElementTree.Element]) -> tuple[str, ...]:
    """QTM turns only what it shows by ``viewrotation``; lens, place and the videos that it saves are unturned."""
    turned = [f"{node.get('serial')} by {node.get('viewrotation')}" for node in nodes
              if node.get("viewrotation", "0") not in ("0", "0.0", "")]  # fmt: skip
    if not turned:
        return ()
    return (
        one_line(
            f"{path}: Qualisys shows pictures turned (viewrotation: {', '.join(turned)} degrees); the lenses in the "
            "file are those of the pictures as they are saved, unturned, and so used; with --up 0,0,1 (Qualisys' z) "
            "pictures of cameras that hang turned are turned upright, the calibration along with them",
            most=600,
        ),
    )


def _number(node: ElementTree.Element, tag: str, key: str, where: str) -> float:
    child = node.find(tag)
    found = None if child is None else child.get(key)
    if found is None:
        raise CalibrationError(f"{where}: {tag} {key} is missing")
    try:
        value = float(found)
    except ValueError as error:
        raise CalibrationError(f"{where}: {tag} {key} is {shown(found)}, expected a number") from error
    if not np.isfinite(value):
        raise CalibrationError(f"{where}: {tag} {key} is not finite")
    return value


def _camera(node: ElementTree.Element, mm: float, where: str) -> Camera:
    name = node.get("serial")
    if not name:
        raise CalibrationError(f"{where}: serial is missing")
    fov = "fov_video" if node.find("fov_video") is not None else "fov_marker"
    left, right, top, bottom = (_number(node, fov, key, where) for key in ("left", "right", "top", "bottom"))
    size = image_size((right - left + 1, bottom - top + 1), where, fov)
    fx, fy, cx, cy = (
        _number(node, "intrinsic", key, where) / _SUBPIXEL
        for key in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    )
    # "tangental" is Qualisys' own spelling.
    keys = (
        "radialDistortion1",
        "radialDistortion2",
        "tangentalDistortion1",
        "tangentalDistortion2",
        "radialDistortion3",
    )
    dist = np.array([_number(node, "intrinsic", key, where) for key in keys])
    rows = [[_number(node, "transform", f"r{i}{j}", where) for j in (1, 2, 3)] for i in (1, 2, 3)]
    centre = np.array([_number(node, "transform", key, where) for key in "xyz"]) * mm
    R = np.diag([1.0, -1.0, -1.0]) @ rotation(np.array(rows), where, "transform r11..r33")
    K = np.array([[fx, 0, cx - left], [0, fy, cy - top], [0, 0, 1]])
    return Camera(name, size, K, dist, R, -R @ centre)
