"""Reduced images of the cameras, made when they are asked for: what ``--publish-images`` allows."""

import argparse
import re
import threading
import time
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Image
from stream.cluster.messages import Look, Picture
from stream.cluster.wire import MOST_FPS, MOST_JPEG, MOST_PICTURE
from stream.types import Frame

_QUALITIES: Final = (70, 40, 15)
_HALVES: Final = 3
"""A picture that has to take fewer bytes is coded more coarsely, then half as large, and a quarter as large."""
_LEAST_PX: Final = 32
_EARLY: Final = 0.8
"""A request that comes after so much of the time between two is not too early: clocks and ways jitter."""
_FORM: Final = re.compile(r"\s*([0-9]{1,4}(?:\.[0-9]{1,4})?)\s*fps\s*,\s*([0-9]{1,5})\s*px\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What may be asked for."""

    fps: float
    """Pictures a second of each camera."""
    px: int
    """Of the longer side."""

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.fps:g}fps,{self.px}px"


def picture_limits(text: str) -> PictureLimits:
    """Read ``5fps,320px``; raises argparse.ArgumentTypeError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate and size of pictures such as 5fps,320px")
    fps, px = float(match[1]), int(match[2])
    if not (0.1 <= fps <= MOST_FPS and _LEAST_PX <= px <= MOST_PICTURE):
        raise argparse.ArgumentTypeError(
            f"{text!r}: pictures are to be looked at: 0.1 to {MOST_FPS:g} a second, {_LEAST_PX} to {MOST_PICTURE} "
            "pixels; --record-video keeps all of them where the camera is"
        )
    return PictureLimits(fps, px)


class Thumbnails:
    """The newest image of each camera, reduced when somebody asks.

    Args:
        limits: how often, and how large.
    """

    def __init__(self, limits: PictureLimits) -> None:
        self.fps, self._px = limits.fps, limits.px
        self._newest: dict[str, Frame] = {}
        self._made: dict[str, float] = {}
        self._lock = threading.Lock()
        self.count = 0
        """Made so far."""

    def put(self, frame: Frame) -> None:
        """The next image of a camera; it is kept until the one after it."""
        with self._lock:
            self._newest[frame.camera] = frame

    def __call__(self, look: Look) -> Picture | None:
        """See ``stream.cluster.node.Pictures``."""
        now = time.monotonic()
        with self._lock:
            frame = self._newest.get(look.camera)
            early = now - self._made.get(look.camera, float("-inf")) < _EARLY / self.fps
            if frame is None or frame.index == look.after or early:
                return None
            self._made[look.camera] = now
        for px, quality in ((self._px >> half, quality) for half in range(_HALVES) for quality in _QUALITIES):
            image = _reduced(frame.image, px)
            done, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(coded) <= min(look.most, MOST_JPEG):
                self.count += 1
                return Picture(frame.camera, frame.index, (image.shape[1], image.shape[0]), coded.tobytes())
        return None


def _reduced(image: Image, px: int) -> Image:
    height, width = image.shape[:2]
    scale = min(px / max(width, height), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return image if scale == 1.0 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
