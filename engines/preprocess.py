"""Cutting an image for a network: the one place that crops, resizes and turns BGR into RGB, and the way back."""

from typing import NamedTuple

import cv2
import numpy as np

from calibration.arrays import Array, Image

_LEAST = 192
"""The smallest side of a network's input, pixels."""


class Box(NamedTuple):
    """A rectangle of whole pixels: columns left..left+width-1, rows top..top+height-1. May reach outside the image."""

    left: int
    top: int
    width: int
    height: int


def square(centre: Array, side: float) -> Box:
    """The square Box of about ``side`` pixels around a point (2,) in pixels."""
    n = max(int(round(side)), 8)
    n += n % 2 * (n > 2 * _LEAST)  # so that it can be halved
    left, top = np.round(np.asarray(centre) + 0.5 - n / 2).astype(int)
    return Box(int(left), int(top), n, n)


def letterbox(width: int, height: int, long_side: int, multiple: int) -> tuple[Box, tuple[int, int]]:
    """How to fit a whole image into a network of free size.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        long_side: of the network's input, pixels, a multiple of ``multiple``.
        multiple: both sides of the input must be multiples of this.

    Returns:
        The Box to cut (the image and what is missing to the right and below) and the input's width and height.
    """
    scale = long_side / max(width, height)
    size = tuple(multiple * max(1, int(np.ceil(n * scale / multiple - 1e-6))) for n in (width, height))
    return Box(0, 0, max(width, round(size[0] / scale)), max(height, round(size[1] / scale))), (size[0], size[1])


def cut(image: Image, box: Box, size: tuple[int, int]) -> Image:
    """Cut a box out of an image for a network.

    Args:
        image: (H, W, 3) uint8 BGR.
        box: what to cut; black where it reaches outside the image.
        size: width and height of the result, pixels.

    Returns:
        (height, width, 3) uint8 RGB, resized by cv2.resize, which keeps the half-pixel rule. What shrinks to less than
        half is halved first, by the mean of four pixels, as often as it can be: that takes half the time.
    """
    height, width = image.shape[:2]
    x0, y0 = np.clip((box.left, box.top), 0, (width, height))
    x1, y1 = np.clip((box.left + box.width, box.top + box.height), 0, (width, height))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((size[1], size[0], 3), np.uint8)
    part = image[y0:y1, x0:x1]
    if part.shape[:2] != (box.height, box.width):
        part = cv2.copyMakeBorder(
            part, y0 - box.top, box.top + box.height - y1, x0 - box.left, box.left + box.width - x1, cv2.BORDER_CONSTANT
        )
    # Averaging when shrinking: bilinear sampling of a 1000 px crop at 192 px sees one pixel in 27.
    shrinks = size[0] < box.width
    while all(n % 2 == 0 and n >= 2 * least for n, least in zip(part.shape, (size[1], size[0]), strict=False)):
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def to_image(box: Box, uv: Array) -> Array:
    """Carry points (..., 2) from 0..1 across a box (0 = its left or top *edge*) to pixels of the full image."""
    return np.asarray(uv) * (box.width, box.height) + (box.left - 0.5, box.top - 0.5)


def doubt_outside(xy: Array, score: Array, image: Image) -> Array:
    """Scores (...,) with those of joints (..., 2) outside the image quartered: the detector only guesses there."""
    height, width = image.shape[:2]
    outside = (xy < -0.5).any(-1) | (xy > (width - 0.5, height - 0.5)).any(-1)
    return np.where(outside, score / 4, score)
