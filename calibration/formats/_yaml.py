"""OpenCV's YAML, read through ``cv2.FileStorage``."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration.errors import CalibrationError


def read_yaml(path: Path) -> dict[str, Any]:
    """Top-level keys with numbers, text, lists or arrays; nested maps with ``data`` (as ROS writes) become arrays.

    Raises:
        CalibrationError: if OpenCV cannot parse it.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.lstrip().startswith("%YAML"):
        # OpenCV knows the file type by this line alone, and ROS leaves it out.
        text = "%YAML:1.0\n---\n" + text.removeprefix("---\n")
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        root = storage.root()
        return {key: _value(root.getNode(key)) for key in root.keys()}  # noqa: SIM118 - a FileNode, not a dict
    except (cv2.error, SystemError) as error:
        raise CalibrationError(f"{path}: OpenCV cannot parse it as YAML") from error


def _value(node: Any) -> Any:
    if node.isString():
        return node.string()
    if node.isInt() or node.isReal():
        return node.real()
    if node.isSeq():
        return [_value(node.at(i)) for i in range(node.size())]
    if node.isMap():
        data = node.getNode("data")
        if not data.empty():
            rows, cols = (int(node.getNode(key).real()) for key in ("rows", "cols"))
            numbers = np.array([data.at(i).real() for i in range(data.size())])
            return numbers.reshape(rows, cols) if numbers.size == rows * cols else numbers
        return {key: _value(node.getNode(key)) for key in node.keys()}  # noqa: SIM118 - a FileNode, not a dict
    return None
