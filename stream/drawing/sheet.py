"""Part of a picture to write on: text and marks are as large as the picture is, lengths are those of 1280x720."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array, Image
from stream.drawing import primitives as draw
from stream.drawing.primitives import Colour, Rect

_LEAST: Final = 0.8  # of a small picture's text: that of a caption is then 10 px, below which nobody reads it


def text_scale(size: tuple[int, int]) -> float:
    """By what text is larger than in a picture of 1280x720: 3 in 4K; in small pictures less small than these."""
    return max(min(size[0] / 1280, size[1] / 720), _LEAST)


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Writes on an image in place. Its lengths are pixels of a picture of 1280x720, from the top left corner."""

    image: Image
    """(H, W, 3) BGR."""
    scale: float
    """Pixels of the image in one of those."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return int(self.image.shape[1] / self.scale), int(self.image.shape[0] / self.scale)

    def px(self, length: float) -> int:
        """A length in pixels of the image."""
        return round(length * self.scale)

    def text_size(self, words: str, size: int = 15, weight: int = 450) -> int:
        """Width of a line of text."""
        return math.ceil(draw.text_size(words, self.px(size), weight) / self.scale)

    def fit_text(self, words: str, width: float, size: int = 15, weight: int = 450) -> str:
        """The text, shortened with an ellipsis until it fits into a width."""
        return draw.fit_text(words, self.px(width), self.px(size), weight)

    def text(
        self,
        words: str,
        xy: tuple[float, float],
        colour: Colour = draw.TEXT,
        size: int = 15,
        weight: int = 450,
        align: str = "left",
    ) -> int:
        """A line of text; xy is the baseline's left, "centre" or "right" end. Returns its width."""
        at = self.px(xy[0]), self.px(xy[1])
        return math.ceil(draw.text(self.image, words, at, colour, self.px(size), weight, align) / self.scale)

    def tag(
        self, words: str, xy: tuple[float, float], colour: Colour = draw.TEXT, size: int = 14, align: str = "left"
    ) -> Rect:
        """Text in a box of its own, legible on any picture. Returns the box, pixels of the image."""
        return draw.tag(self.image, words, (self.px(xy[0]), self.px(xy[1])), colour, self.px(size), align)

    def badge(
        self, words: str, xy: tuple[float, float], colour: Colour, size: int = 13, framed: bool = False
    ) -> tuple[int, int]:
        """Dark words in a box of a colour, its top left corner at xy. Returns width and height."""
        _, _, w, h = draw.badge(self.image, words, (self.px(xy[0]), self.px(xy[1])), colour, self.px(size), framed)
        return math.ceil(w / self.scale), math.ceil(h / self.scale)

    def disc(self, xy: Array, radius: float, colour: Colour) -> None:
        """An anti-aliased disc."""
        draw.disc(self.image, np.asarray(xy) * self.scale, radius * self.scale, colour)

    def line(self, a: Array, b: Array, colour: Colour, width: float) -> None:
        """An anti-aliased line."""
        draw.line(self.image, np.asarray(a) * self.scale, np.asarray(b) * self.scale, colour, max(self.px(width), 1))

    def blend(self, box: tuple[float, float, float, float], colour: Colour, opacity: float) -> None:
        """A box of a translucent colour."""
        x, y, w, h = (self.px(v) for v in box)
        part = self.image[max(y, 0) : y + h, max(x, 0) : x + w]
        part[:] = np.asarray(part * (1 - opacity) + np.array(colour) * opacity, np.uint8)
