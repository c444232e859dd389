"""Crops of photographs, varied: turned, scaled, shifted, mirrored, recoloured, blurred, compressed, covered."""

from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from engines.training.detector.pseudo_labels import MIRROR

CONTEXT: Final = 1.6
"""Side of a canvas over that of the person's box in its middle: room to turn and to zoom out."""


def affine(canvas: int, side: int, *, turn: float = 0.0, zoom: float = 1.0, shift: Array | None = None) -> Array:
    """The map from a canvas to a crop, both in pixels counted from their edges.

    Args:
        canvas: side of the canvas, pixels.
        side: side of the crop, pixels.
        turn: radians.
        zoom: 1 = the person's box fills the crop.
        shift: (2,) of the middle, in boxes.

    Returns:
        (2, 3) matrix.
    """
    scale = zoom * side * CONTEXT / canvas
    A = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.full(2, canvas / 2) + (0 if shift is None else shift * canvas / CONTEXT)
    return np.column_stack([A, side / 2 - A @ middle])


def draw_affine(canvas: int, side: int, rng: np.random.Generator) -> Array:
    """A random one: mostly within 40 degrees, a tenth any way up (people fall and hang), 0.6 to 1.4 times as large."""
    turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.1 else np.clip(rng.normal(0, 0.3), -0.7, 0.7)
    zoom = np.clip(np.exp(rng.normal(-0.05, 0.2)), 0.6, 1.4)
    return affine(canvas, side, turn=float(turn), zoom=float(zoom), shift=rng.normal(0, 0.05, 2))


def warp(canvas: Image, matrix: Array, side: int) -> Image:
    """Cut a crop (side, side, 3) out of a canvas; black outside."""
    # warpAffine counts from the middle of the first pixel.
    centred = matrix.copy()
    centred[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5
    return np.asarray(cv2.warpAffine(canvas, centred, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def mirror(crop: Image, xy: Array, weight: Array) -> tuple[Image, Array, Array]:
    """The mirror image: crop (S, S, 3), xy (16, 2) pixels from the edge, weight (16,)."""
    flipped = xy[MIRROR] * (-1, 1) + (crop.shape[1], 0)
    return np.ascontiguousarray(crop[:, ::-1]), flipped, weight[MIRROR]


def recolour(crop: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma and a cast of colour; one in twenty is grey."""
    if rng.random() < 0.05:
        crop = np.asarray(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    level = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.2))
    level = (level - 0.5) * np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3)) + 0.5 + rng.normal(0, 0.08)
    table = np.clip(level * 255, 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(crop, np.ascontiguousarray(table.transpose(1, 0, 2))), np.uint8)


def degrade(crop: Image, rng: np.random.Generator) -> Image:
    """Sometimes less resolution, blur, JPEG's artefacts, noise."""
    side = crop.shape[0]
    if rng.random() < 0.15:
        small = max(32, int(side * rng.uniform(0.25, 0.8)))
        crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (side, side))  # pyright: ignore
    if rng.random() < 0.1:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0))  # pyright: ignore[reportAssignmentType]
    if rng.random() < 0.15:
        _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(15, 60))])
        crop = cv2.imdecode(data, cv2.IMREAD_COLOR)  # pyright: ignore[reportAssignmentType]
    if rng.random() < 0.1:
        noise = rng.standard_normal(crop.shape, np.float32) * np.float32(rng.uniform(3, 15))
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    return crop


def cover(crop: Image, rng: np.random.Generator) -> Image:
    """Sometimes one to three patches hide parts: of one colour, or copied from elsewhere in the crop."""
    if rng.random() > 0.3:
        return crop
    side, crop = crop.shape[0], crop.copy()
    for _ in range(rng.integers(1, 4)):
        h, w = (rng.uniform(0.05, 0.3, 2) * side).astype(int) + 1
        y, x, v, u = (rng.random(4) * (side - h, side - w, side - h, side - w)).astype(int)
        crop[y : y + h, x : x + w] = (
            rng.integers(0, 256, 3) if rng.random() < 0.5 else crop[v : v + h, u : u + w].copy()
        )
    return crop


def augment(canvas: Image, xy: Array, weight: Array, side: int, rng: np.random.Generator) -> tuple[Image, Array, Array]:
    """All of it.

    Args:
        canvas: (C, C, 3) uint8 RGB.
        xy: (16, 2) joints in it, pixels from its edge.
        weight: (16,) trust.
        side: of the result, pixels.
        rng: source of randomness.

    Returns:
        The crop (side, side, 3), the joints in it (16, 2) from its edge, and their weights (16,).
    """
    matrix = draw_affine(canvas.shape[0], side, rng)
    crop, xy = warp(canvas, matrix, side), xy @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        crop, xy, weight = mirror(crop, xy, weight)
    return cover(degrade(recolour(crop, rng), rng), rng), xy, weight
