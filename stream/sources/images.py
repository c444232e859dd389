"""A folder of images, in natural order (2 before 10)."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.types import StreamError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
_DEFAULT_FPS = 30.0


def claims(source: str) -> bool:
    """Whether it is a folder."""
    return os.path.isdir(source)  # unlike Path.is_dir, no OSError for a name that is too long


def make(config: SourceConfig) -> "ImagesSource":
    """The source of one folder of images."""
    return ImagesSource(config)


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts the numbers in a name by their value."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


class ImagesSource(SequenceSource):
    """A folder of images at a given rate: ``t = index / fps``. One that cannot be read is counted and passed over,
    and leaves a gap in the index and in time. OpenCV turns photographs upright.
    """

    kind = "images"
    _paths: tuple[Path, ...] = ()

    def _begin(self) -> Iterator[Shot]:
        shown, folder = self.config.shown, Path(self.config.source)
        problem = ""
        try:
            found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
        except OSError as error:
            found, problem = [], error.strerror or str(error)
        if problem:
            raise StreamError(f"{shown}: cannot be read: {problem}")
        # A name that starts with a dot is no picture but, for one, the shadow file a Mac leaves beside each.
        self._paths = tuple(sorted((p for p in found if not p.name.startswith(".")), key=natural_key))
        if not self._paths:
            raise StreamError(f"{shown}: there are no images in this folder (jpg, png, bmp, webp, tif ...)")
        return self._run()

    @property
    def _fps(self) -> float:
        return self.config.fps or _DEFAULT_FPS

    def _run(self) -> Iterator[Shot]:
        for index, path in enumerate(self._paths):
            image = _load(path)
            if image is None:
                self.corrupt += 1
                self.note = f"{path.name} cannot be read as an image"
                continue
            yield Shot(index, index / self._fps, image)

    def _describe(self, first: Shot) -> SourceInfo:
        size = (first.image.shape[1], first.image.shape[0])
        shown = self.config.shown
        return SourceInfo(self.name, self.kind, shown, size, self._fps, len(self._paths), self.live, "media")


def _load(path: Path) -> Image | None:
    """(H, W, 3) uint8 BGR, or None. Read by Python because cv2.imread fails on non-ASCII names on Windows."""
    try:
        data = np.fromfile(path, np.uint8)
        if not data.size:
            return None
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # cv2.error: dimensions beyond OpenCV's limit
        return None
    return None if image is None else np.ascontiguousarray(image, np.uint8)
