"""Cameras that hang on their side or upside down: their pictures turned upright, and people that are known in them."""

from dataclasses import replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Image
from engines.top_down.turning import turned_clockwise
from stream.packed import UnseenFrame
from stream.sources._source import LazySource, Source, SourceInfo, SourceStatus
from stream.types import Frame, KnownFrame

_CLOCKWISE: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Turned:
    """A source whose every image is turned clockwise by 90, 180 or 270 degrees. May be put around an open one.

    All that comes after it, the detector, the window, the calibration and what is recorded, is of the turned images.
    """

    def __init__(self, source: Source, degrees: int) -> None:
        self._source = source
        self._code = _CLOCKWISE[degrees]
        self._quarter = degrees // 90
        self._sides = degrees in (90, 270)
        self.kind = source.kind
        self.name = source.name
        self.live = source.live

    def open(self) -> SourceInfo:
        """See ``Source.open``."""
        info = self._source.open()
        self.live = info.live
        return self.turned(info)

    def turned(self, info: SourceInfo) -> SourceInfo:
        """What is known of the source, for turned images."""
        return replace(info, size=(info.size[1], info.size[0])) if self._sides else info

    def read(self) -> Frame | None:
        """See ``Source.read``."""
        frame = self._source.read()
        return None if frame is None else self._turned(frame)

    def read_unseen(self) -> Frame | None:
        """As that of a live source."""
        frame = self._source.read_unseen() if isinstance(self._source, LazySource) else self._source.read()
        if frame is None:
            return None
        if isinstance(frame, UnseenFrame):
            return replace(frame, look=partial(self._look, frame))
        return self._turned(frame)

    def _turned(self, frame: Frame) -> Frame:
        image = self._rotated(frame.image)
        if not isinstance(frame, KnownFrame):
            return replace(frame, image=image)
        size = (image.shape[1], image.shape[0])
        people = tuple(
            replace(one, detection=turned_clockwise(one.detection, self._quarter, size)) for one in frame.seen.people
        )
        return replace(frame, image=image, seen=replace(frame.seen, people=people))

    def _look(self, frame: UnseenFrame) -> Image | None:
        image = frame.look()
        return None if image is None else self._rotated(image)

    def _rotated(self, image: Image) -> Image:
        turned = np.asarray(cv2.rotate(image, self._code), np.uint8)
        turned.flags.writeable = False
        return turned

    def status(self) -> SourceStatus:
        """See ``Source.status``."""
        return self._source.status()

    def close(self) -> None:
        """See ``Source.close``."""
        self._source.close()
