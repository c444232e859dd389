"""What cameras in rooms and streets do to a person, on top of ``engines.training.detector.augment``.

Bodies cut off by the edge of the image, others in front of them, night, motion blur, people of sixty pixels.
"""

from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from engines.training.data.lspet import PAD
from engines.training.detector import augment as plain
from engines.training.detector.augment import CONTEXT

LEAST: Final = 4
"""Joints that are left of a body that the edge of the image cuts off."""
CLOSEST: Final = 2.5
"""Most that such a body is enlarged by."""


def cut_off(canvas: Image, xy: Array, weight: Array, rng: np.random.Generator) -> tuple[Image, Array, Array, Array]:
    """The edge of an image through a body: what lies beyond is black, and the box is that of what is left.

    A body is cut below (a desk, the lower edge), above (legs only) or at a side.

    Args:
        canvas: (C, C, 3).
        xy: (K, 2) joints in it.
        weight: (K,) trust.
        rng: source of randomness.

    Returns:
        The canvas, the weights, the middle of the new box (2,) and its side, pixels of the canvas; the old box where
        too little would be left.
    """
    C = canvas.shape[0]
    old = canvas, weight, np.full(2, C / 2), np.array(C / CONTEXT)
    axis, sign = ((1, 1), (1, 1), (1, -1), (0, 1), (0, -1))[rng.integers(5)]
    known = weight > 0
    if known.sum() < 2 * LEAST:
        return old
    along = sign * xy[known, axis]
    edge = sign * float(np.quantile(along, rng.uniform(0.35, 0.85)))
    kept = known & (sign * xy[:, axis] < sign * edge)
    if kept.sum() < LEAST:
        return old
    low, high = xy[kept].min(0), xy[kept].max(0)
    (high if sign > 0 else low)[axis] = edge
    side = max(PAD * float((high - low).max()), C / CONTEXT / CLOSEST)
    canvas, at = canvas.copy(), int(np.clip(round(edge), 0, C))
    beyond = slice(at, None) if sign > 0 else slice(None, at)
    canvas[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
    return canvas, np.where(kept, weight, 0), (low + high) / 2, np.array(side)


def occlude(crop: Image, other: Image, rng: np.random.Generator) -> Image:
    """An ellipse out of another photograph in front."""
    side = crop.shape[0]
    mask = np.zeros(crop.shape[:2], np.uint8)
    axes = (rng.uniform(0.06, 0.22, 2) * side).astype(int)
    centre = (rng.uniform(0.1, 0.9, 2) * side).astype(int)
    cv2.ellipse(mask, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    patch = cv2.resize(other, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.where(mask[..., None] > 0, patch, crop).astype(np.uint8)


def night(crop: Image, rng: np.random.Generator) -> Image:
    """Little light: dark, noisy, of one cast."""
    dark = crop * (rng.uniform(0.1, 0.4) * np.exp(rng.normal(0, 0.12, 3)))
    noise = rng.standard_normal(crop.shape, np.float32) * np.float32(rng.uniform(2, 10))
    return np.clip(dark + noise, 0, 255).astype(np.uint8)


def motion_blur(crop: Image, rng: np.random.Generator) -> Image:
    """The mean along a short line, up to a fifteenth of the crop."""
    length = int(rng.uniform(5, max(crop.shape[0] / 15, 6)))
    angle = rng.uniform(0, np.pi)
    kernel, middle = np.zeros((length, length), np.float32), (length - 1) / 2
    for t in np.linspace(-middle, middle, 2 * length):
        kernel[round(middle + t * np.sin(angle)), round(middle + t * np.cos(angle))] = 1
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)


def far_away(crop: Image, rng: np.random.Generator) -> Image:
    """A person of some 40 to 90 pixels, enlarged."""
    side = crop.shape[0]
    small = int(rng.uniform(40, 90) * PAD)
    return np.asarray(
        cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (side, side)), np.uint8
    )


def augment(
    canvas: Image, xy: Array, weight: Array, side: int, mirrored: list[int], other: Image, rng: np.random.Generator
) -> tuple[Image, Array, Array]:
    """All of it, and all of ``engines.training.detector.augment``.

    Args:
        canvas: (C, C, 3) uint8 RGB.
        xy: (K, 2) joints in it, pixels from its edge.
        weight: (K,) trust.
        side: of the result, pixels.
        mirrored: (K,) the joint that each becomes in the mirror image.
        other: a canvas of somebody else.
        rng: source of randomness.

    Returns:
        The crop (side, side, 3), the joints in it (K, 2) from its edge, and their weights (K,); 0 outside.
    """
    if rng.random() < 0.1:
        canvas, weight, middle, box = cut_off(canvas, xy, weight, rng)
        turn, zoom = rng.normal(0, 0.1), np.exp(rng.normal(-0.05, 0.1)) * canvas.shape[0] / CONTEXT / box
        shift = (middle - canvas.shape[0] / 2) * CONTEXT / canvas.shape[0] + rng.normal(0, 0.03, 2)
        matrix = plain.affine(canvas.shape[0], side, turn=float(turn), zoom=float(zoom), shift=shift)
    else:
        matrix = plain.draw_affine(canvas.shape[0], side, rng)
    crop, xy = plain.warp(canvas, matrix, side), xy @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
        xy, weight = xy[mirrored] * (-1, 1) + (side, 0), weight[mirrored]
    if rng.random() < 0.07:
        crop = occlude(crop, other, rng)
    crop = plain.recolour(crop, rng)
    if rng.random() < 0.05:
        crop = motion_blur(crop, rng)
    if rng.random() < 0.05:
        crop = far_away(crop, rng)
    if rng.random() < 0.05:
        crop = night(crop, rng)
    crop = plain.cover(plain.degrade(crop, rng), rng)
    inside = ((xy > 0) & (xy < side)).all(-1)
    return crop, xy, np.where(inside, weight, 0)
