"""Frames as they come from a camera, before anything is decoded: what a capture stores."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from calibration.arrays import Image
from stream.types import Frame

INTRA: Final = frozenset({"mjpeg", "ffv1", "rawvideo", "png", "jpeg2000"})
"""Codecs every image of which can be decoded by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """How one stretch of a stream is coded. Where anything of it changes, there is a new one."""

    codec: str
    """FFmpeg's name of the codec."""
    size: tuple[int, int]
    """Width and height of its images, pixels."""
    template: VideoStream
    """Its parameters, for a stream that copies it. Belongs to a container of its own that is never written."""

    @property
    def intra(self) -> bool:
        """Whether every image can be decoded by itself."""
        return self.codec in INTRA


# Named tuples, as is every other thing that is made once a frame of a capture: a frozen dataclass sets each field by a
# call, and eight cameras at 30 fps make some hundreds of them a second.
class Packed(NamedTuple):
    """One coded image."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    data: bytes | Packet
    """As the camera coded it; the packet in which it came, where no copy is needed."""
    key: bool
    """Whether decoding can begin with it."""
    coding: Coding
    """How."""
    delay_s: float = 0.0
    """Seconds from its time of decoding to that of presentation; above 0 with B-frames only."""


class Captured(NamedTuple):
    """One frame of a live camera, as it came."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    camera: str
    """Name of the camera."""
    index: int  # pyright: ignore[reportIncompatibleMethodOverride] - a tuple's method, which nobody asks here
    """``Frame.index``."""
    t: float
    """``Frame.t``: monotonic seconds at which it was taken, as far as is known."""
    arrival: float
    """Monotonic seconds at which it came."""
    device_t: float | None
    """Seconds by the clock of the device, None where it has none."""
    content: Packed | Image
    """As the camera coded it, or (H, W, 3) uint8 BGR of one that does not."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        if isinstance(self.content, Packed):
            return self.content.coding.size
        return self.content.shape[1], self.content.shape[0]

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        if isinstance(self.content, Packed):
            data = self.content.data
            return len(data) if isinstance(data, bytes) else data.size
        return self.content.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class UnseenFrame(Frame):
    """A frame whose image is decoded when it is used; ``image`` is empty until then."""

    look: Callable[[], Image | None]
    """Decodes it: (H, W, 3) uint8 BGR, read-only; None where it is damaged. Any thread may call it."""

    found: list[Frame | None] = field(default_factory=list, init=False, repr=False)
    """What ``seen`` gave, once it was asked."""

    def seen(self) -> Frame | None:
        """The frame with its image, None where that is damaged; always the same one, as it may be in several sets."""
        if not self.found:
            image = self.look()
            self.found.append(None if image is None else Frame(self.camera, self.index, self.t, image))
        return self.found[0]


EMPTY: Final[Image] = np.empty((0, 0, 3), np.uint8)
"""The image of a frame that is not decoded."""
Tap = Callable[[Captured], None]
"""Is handed every frame in the thread that reads the camera, in the order in which they come. It must not wait."""
