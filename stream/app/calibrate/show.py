"""What a person sees while calibrating: a line that replaces itself, a window, pictures side by side."""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from calibration.arrays import Image
from calibration.errors import CalibrationError
from calibration.writing import write_bytes

PICTURES = (".png", ".jpg")
"""Kinds of picture that are written."""


def progress(line: str | None) -> None:
    """Show one line in place of the last; None ends it. Nothing where nobody looks (no terminal)."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line or ''}", end="", file=sys.stderr, flush=True)


def show(title: str, image: Image) -> bool:
    """Show a picture in a window, where one can be opened; whether the user has had enough (q or escape)."""
    cv2.imshow(title, image)
    return cv2.waitKey(1) & 0xFF in (ord("q"), 27)


def beside(pictures: Sequence[Image]) -> Image:
    """Pictures of any size in one, up to four in a row."""
    if not pictures:
        return np.full((60, 60, 3), 255, np.uint8)
    height, width = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    columns = min(4, len(pictures))
    rows = -(-len(pictures) // columns)
    out = np.zeros((rows * height, columns * width, 3), np.uint8)
    for k, p in enumerate(pictures):
        y, x = k // columns * height, k % columns * width
        out[y : y + p.shape[0], x : x + p.shape[1]] = p
    return out


def write_picture(path: Path, image: Image) -> None:
    """Write a PNG or JPEG.

    Raises:
        CalibrationError: for another kind of picture.
        WriteError: if it cannot be written.
    """
    if path.suffix.lower() not in PICTURES:
        raise CalibrationError(f"{path}: pictures are written as {' or '.join(PICTURES)}")
    write_bytes(path, cv2.imencode(path.suffix, image)[1].tobytes())
