"""A source: images in a NumPy file, (N, H, W, 3) uint8 BGR, as a high-speed camera's program may save them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream import SequenceSource, Shot, SourceConfig, SourceInfo, StreamError

DEFAULT_FPS = 30.0


def claims(source: str) -> bool:
    """Whether what stands after --camera can only be ours."""
    return source.endswith(".npy")


def make(config: SourceConfig) -> "NpySource":
    """The source of one --camera, not open."""
    return NpySource(config)


def example(folder: Path) -> str:
    """Twelve frames, for the contract's tests."""
    images = np.zeros((12, 48, 64, 3), np.uint8)
    images += np.arange(12, dtype=np.uint8)[:, None, None, None]
    np.save(folder / "twelve.npy", images)
    return str(folder / "twelve.npy")


class NpySource(SequenceSource):
    """Its base plays the images, with --realtime at their own pace; a camera would follow the protocol Source."""

    kind = "npy"

    def _begin(self) -> Iterator[Shot]:
        shown = self.config.shown  # without passwords, unlike config.source
        try:
            self.images = np.load(self.config.source, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StreamError(f"{shown}: cannot be read: {error}") from None
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise StreamError(f"{shown}: {self.images.shape} of {self.images.dtype}; give (N, H, W, 3) uint8 BGR")
        return (Shot(k, k / self.fps, np.array(image)) for k, image in enumerate(self.images))

    def _describe(self, first: Shot) -> SourceInfo:
        height, width = first.image.shape[:2]
        return SourceInfo(
            self.name, self.kind, self.config.shown, (width, height), self.fps, len(self.images), self.live, "media"
        )

    @property
    def fps(self) -> float:
        """Frames a second: the file has no times, --fps says them."""
        return self.config.fps or DEFAULT_FPS
