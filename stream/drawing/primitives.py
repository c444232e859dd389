"""Paint: the palette, text that stays legible, and translucent layers. All drawing with OpenCV goes through here."""

import math
import threading
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image
from engines.skeleton import LEFT, RIGHT

Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]
"""x, y, width, height, pixels."""

# BGR. Left and right are blue and orange because these stay apart for every kind of colour blindness.
BACK: Colour = (20, 16, 13)
PANEL: Colour = (32, 26, 21)
FLOOR: Colour = (46, 38, 31)
GRID: Colour = (92, 78, 66)
TEXT: Colour = (240, 234, 228)
DIM: Colour = (168, 154, 140)
SIDE_LEFT: Colour = (255, 168, 72)
SIDE_RIGHT: Colour = (56, 146, 255)
MIDDLE: Colour = (236, 230, 226)
RED: Colour = (72, 72, 240)
# Six that stay apart on the panel for every kind of colour blindness: of all on a grid of lightness above 0.6, those
# whose least distance (OKLab, with Machado's 2009 simulations) is the largest: 0.18, the six best known have 0.08.
PEOPLE: tuple[Colour, ...] = (
    (0, 187, 255), (255, 204, 17), (255, 51, 170), (221, 255, 221), (17, 51, 255), (153, 153, 0),
)  # fmt: skip

_SHIFT = 4  # OpenCV's fixed point: 1/16 px, so that a slowly moving skeleton does not jump from pixel to pixel


def side_colour(joint: int) -> Colour:
    """The colour of a joint's side of the body, and of the bone that ends in it."""
    return SIDE_LEFT if joint in LEFT else SIDE_RIGHT if joint in RIGHT else MIDDLE


def side_mark(joint: int, own: Colour) -> Colour:
    """The colour of a joint of somebody who has a colour of their own: white on the left, black on the right."""
    return (255, 255, 255) if joint in LEFT else BACK if joint in RIGHT else mix(own, (255, 255, 255), 0.45)


@cache
def score_colours() -> NDArray[np.uint8]:
    """(256, 3) BGR: the perceptually even colour map of scores 0..1, violet to green."""
    # Viridis without its ends: the darkest tenth is lost on a dark photograph, the yellow beside the right's orange.
    ramp = np.linspace(25, 205, 256).astype(np.uint8).reshape(-1, 1)
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS), np.uint8)[:, 0]


def score_colour(score: float) -> Colour:
    """The colour of a score in 0..1; values outside are clipped."""
    b, g, r = score_colours()[round(255 * min(max(score, 0.0), 1.0))]
    return int(b), int(g), int(r)


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """From colour a (amount 0) to colour b (amount 1)."""
    return (
        round(a[0] + (b[0] - a[0]) * amount),
        round(a[1] + (b[1] - a[1]) * amount),
        round(a[2] + (b[2] - a[2]) * amount),
    )


def fit(size: tuple[int, int], box: Rect) -> Rect:
    """The largest rectangle of a size's shape in the middle of a box."""
    x, y, w, h = box
    scale = min(w / size[0], h / size[1])
    fw, fh = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    return x + (w - fw) // 2, y + (h - fh) // 2, fw, fh


def fill(image: Image, colour: Colour) -> None:
    """Fill an image in place; 20 times faster than numpy's assignment of a colour."""
    cv2.rectangle(image, (0, 0), (image.shape[1], image.shape[0]), colour, -1)


def shrink(image: Image, size: tuple[int, int]) -> Image:
    """Resize to (width, height) without aliasing: halve exactly while possible (0.3 ms at 1080p), then bilinear."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1] and not (image.shape[0] | image.shape[1]) & 1:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    # Odd sizes cannot be halved exactly; plain area averaging costs 5 ms there and is rare.
    kind = cv2.INTER_AREA if image.shape[1] >= 2 * size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)


def point(xy: Array) -> tuple[int, int]:
    """A pixel position (2,) as OpenCV's fixed point, clipped far outside of any image."""
    x, y = float(xy[0]), float(xy[1])
    unit = 1 << _SHIFT
    return round(min(max(x, -8000.0), 8000.0) * unit), round(min(max(y, -8000.0), 8000.0) * unit)


def _finite(*points: Array) -> bool:
    return all(math.isfinite(p[0]) and math.isfinite(p[1]) for p in points)


def line(image: Image, a: Array, b: Array, colour: Colour | int, width: int) -> None:
    """An anti-aliased line between two pixel positions (2,), sub-pixel exact. Nothing where one is NaN."""
    if _finite(a, b):
        cv2.line(image, point(a), point(b), colour, width, cv2.LINE_AA, _SHIFT)


def disc(image: Image, xy: Array, radius: float, colour: Colour | int, width: int = -1) -> None:
    """An anti-aliased disc, or with a width a ring, at a pixel position (2,). Nothing where it is NaN."""
    if _finite(xy):
        cv2.circle(image, point(xy), max(round(radius * (1 << _SHIFT)), 1), colour, width, cv2.LINE_AA, _SHIFT)


def polylines(image: Image, lines: Array, colour: Colour, width: int = 1, closed: bool = False) -> None:
    """N anti-aliased polylines (N, K, 2) of K pixel positions each, in one call. Those with a NaN are left out."""
    lines = lines[np.isfinite(lines).all((1, 2))]
    if len(lines):
        fixed = np.round(np.clip(lines, -8000, 8000) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(image, list(fixed), closed, colour, width, cv2.LINE_AA, _SHIFT)


def polygon(image: Image, corners: Array, colour: Colour | int) -> None:
    """A filled anti-aliased polygon (K, 2) pixels. Nothing where a corner is NaN."""
    if np.isfinite(corners).all():
        fixed = np.round(np.clip(corners, -8000, 8000) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, _SHIFT)


_fonts = threading.local()


def _font() -> cv2.FontFace:
    # One a thread: OpenCV says nothing of sharing one, and the window and the video each draw in their own thread.
    if not hasattr(_fonts, "sans"):
        _fonts.sans = cv2.FontFace("sans")
    return _fonts.sans


@lru_cache(maxsize=256)
def text_size(words: str, size: int = 15, weight: int = 450) -> int:
    """Width in pixels of a line of text."""
    _, _, width, _ = cv2.getTextSize((10_000, 100), words, (0, 0), _font(), size, weight)
    return width


def text(
    image: Image,
    words: str,
    xy: tuple[int, int],
    colour: Colour = TEXT,
    size: int = 15,
    weight: int = 450,
    align: str = "left",
) -> int:
    """A line of text on a plain ground; xy is the baseline's left, "centre" or "right" end. Returns its width, px."""
    width = text_size(words, size, weight)
    x = xy[0] - {"left": 0, "centre": width // 2, "right": width}[align]
    cv2.putText(image, words, (x, xy[1]), colour, _font(), size, weight)
    return width


def fit_text(words: str, width: int, size: int = 15, weight: int = 450) -> str:
    """The text, shortened with an ellipsis until it fits into a width in pixels."""
    if text_size(words, size, weight) <= width:
        return words
    while words and text_size(words + "…", size, weight) > width:
        words = words[:-1]
    return words + "…"


def tag(
    image: Image, words: str, xy: tuple[int, int], colour: Colour = TEXT, size: int = 14, align: str = "left"
) -> Rect:
    """Text in a box of its own, legible on any picture; xy is the box's top left, "centre" or "right" corner."""
    pad = round(0.57 * size)
    width, height = text_size(words, size) + 2 * pad, round(1.8 * size)
    x = xy[0] - {"left": 0, "centre": width // 2, "right": width}[align]
    x, y = max(x, 0), max(xy[1], 0)
    box = image[y : y + height, x : x + width]
    box[:] = cv2.addWeighted(box, 0.25, np.full_like(box, BACK), 0.75, 0)
    text(image, words, (x + pad, y + round(1.23 * size)), colour, size)
    return x, y, width, height


def free_place(box: Rect, taken: list[Rect], area: Rect) -> tuple[int, int]:
    """Where a box of text may stand so that it covers no other: in the area, as near as it gets above or below."""
    x, y, w, h = box
    x = min(max(x, area[0]), area[0] + area[2] - w)
    low, high = area[1], area[1] + area[3] - h

    def free(y: int) -> bool:
        return all(x + w <= r[0] or r[0] + r[2] <= x or y + h <= r[1] or r[1] + r[3] <= y for r in taken)

    y = min(max(y, low), high)
    steps = (y + sign * k for k in range(0, h * (len(taken) + 1), 3) for sign in (-1, 1))
    return x, next((at for at in steps if low <= at <= high and free(at)), y)


def badge_size(words: str, size: int) -> tuple[int, int]:
    """Width and height of a badge, pixels."""
    return text_size(words, size, 650) + size - 2, size + 5


def badge(image: Image, words: str, xy: tuple[int, int], colour: Colour, size: int = 13, framed: bool = False) -> Rect:
    """Dark words in a box of a colour, its top left corner at xy; framed in white where they are the chosen one's."""
    width, height = badge_size(words, size)
    x, y = xy
    cv2.rectangle(image, (x - 1, y - 1), (x + width, y + height), TEXT if framed else BACK, -1)
    cv2.rectangle(image, (x + framed, y + framed), (x + width - 1 - framed, y + height - 1 - framed), colour, -1)
    text(image, words, (x + width // 2, y + height - 5), BACK, size, 650, "centre")
    return x, y, width, height


@dataclass(slots=True, eq=False)
class Layer:
    """What is translucent, collected and then blended once, so that overlaps do not add up and the cost is one pass."""

    colour: Image
    """(H, W, 3) BGR; only read where ``alpha`` is not 0."""
    alpha: NDArray[np.uint8]
    """(H, W) opacity, 0..255."""

    @classmethod
    def like(cls, image: Image) -> "Layer":
        """An empty layer of an image's size."""
        return cls(np.zeros_like(image), np.zeros(image.shape[:2], np.uint8))

    def line(self, a: Array, b: Array, colour: Colour, width: int, opacity: float) -> None:
        """An anti-aliased line. Drawn later covers drawn earlier."""
        if not _finite(a, b):
            return
        # The colour is drawn wider and hard-edged: the soft edge is the alpha's alone, or it would fade to black.
        cv2.line(self.colour, point(a), point(b), colour, width + 2, cv2.LINE_8, _SHIFT)
        line(self.alpha, a, b, round(255 * opacity), width)

    def disc(self, xy: Array, radius: float, colour: Colour, opacity: float) -> None:
        """An anti-aliased disc."""
        self.ellipse(xy, (radius, radius), 0.0, colour, opacity)

    def ellipse(self, xy: Array, axes: tuple[float, float], angle: float, colour: Colour, opacity: float) -> None:
        """An anti-aliased filled ellipse: half axes in pixels, angle of the first in degrees."""
        if not (_finite(xy) and math.isfinite(sum(axes))):
            return
        half = tuple(round(min(a, 2000) * (1 << _SHIFT)) for a in axes)
        wide = tuple(h + (2 << _SHIFT) for h in half)
        for image, size, paint, kind in (
            (self.colour, wide, colour, cv2.LINE_8),
            (self.alpha, half, round(255 * opacity), cv2.LINE_AA),
        ):
            cv2.ellipse(image, point(xy), size, angle, 0, 360, paint, -1, kind, _SHIFT)

    def onto(self, image: Image) -> None:
        """Blend onto an image of the same size, in the rectangle that was drawn on only."""
        x, y, w, h = cv2.boundingRect(self.alpha)
        if w == 0:
            return
        part = image[y : y + h, x : x + w]
        over = self.alpha[y : y + h, x : x + w].astype(np.float32) * np.float32(1 / 255)
        part[:] = cv2.blendLinear(self.colour[y : y + h, x : x + w], np.ascontiguousarray(part), over, 1 - over)
