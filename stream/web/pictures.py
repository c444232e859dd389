"""The cameras' pictures as the page shows them: reduced, with everybody's 2D skeleton, as JPEG."""

import struct
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Image
from stream.drawing.scene import ViewState
from stream.drawing.tiles import draw_tile
from stream.types import Estimate

SIDE: Final = 400
"""Pixels: the longer side of a reduced picture."""
_QUALITY: Final = 72
_HEAD: Final = struct.Struct("<II")


def packed_picture(image: Image, estimate: Estimate, camera_index: int, view: ViewState) -> bytes:
    """One picture as a message of the page.

    Args:
        image: (H, W, 3) BGR, not written on.
        estimate: the moment it belongs to.
        camera_index: whose picture it is.
        view: after ``follow``, for the colours of people.

    Returns:
        Two 32-bit integers, little-endian: the camera and ``Estimate.index``; then a JPEG.
    """
    height, width = image.shape[:2]
    scale = min(SIDE / max(width, height), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    draw_tile(canvas, (0, 0, *size), image, estimate, camera_index, view, "")
    _, coded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return _HEAD.pack(camera_index, estimate.index) + coded.tobytes()
