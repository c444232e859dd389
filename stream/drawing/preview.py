"""Cameras side by side, with a line below: what a capture shows, which looks for nobody."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from calibration.arrays import Image
from stream.drawing import primitives as draw

_LINE: Final = 40  # px: height of the line below
_GAP: Final = 8


def draw_preview(images: Mapping[str, Image | None], names: Sequence[str], line: str, size: tuple[int, int]) -> Image:
    """The newest image of every camera, as large as fits.

    Args:
        images: camera name -> (H, W, 3) BGR, None or absent where there is none yet. Not written on.
        names: of the cameras, in their order.
        line: written below.
        size: width and height of the picture, pixels.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    width, height = size
    canvas = np.empty((height, width, 3), np.uint8)
    draw.fill(canvas, draw.PANEL)
    columns = math.ceil(math.sqrt(len(names)))
    rows = math.ceil(len(names) / columns)
    tile_width = (width - _GAP * (columns - 1)) // columns
    tile_height = (height - _LINE - _GAP * (rows - 1)) // rows
    for k, name in enumerate(names):
        x, y = k % columns * (tile_width + _GAP), k // columns * (tile_height + _GAP)
        image = images.get(name)
        if image is not None:
            left, top, w, h = draw.fit((image.shape[1], image.shape[0]), (x, y, tile_width, tile_height))
            canvas[top : top + h, left : left + w] = draw.shrink(image, (w, h))
        draw.tag(canvas, name if image is not None else f"{name}: no image yet", (x + 6, y + 6))
    draw.text(canvas, draw.fit_text(line, width - 32, 15), (16, height - 14), draw.SIDE_RIGHT, 15, 600)
    return canvas
