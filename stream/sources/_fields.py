"""Interlaced video: the two fields of an image are two moments, a half of its time apart."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

from av.error import BlockingIOError as NotYet
from av.error import EOFError as Ended
from av.filter import Graph
from av.video.frame import VideoFrame

_FILTER = "mode=send_field:parity=auto:deint=interlaced"
_KEPT = 64
"""Images whose marks are kept until their fields came out; the filter holds one back."""


class Fields:
    """Makes every field a whole image, in order, by FFmpeg's bwdif: of the lines in between, those that do not move are
    kept from the neighbours. Images that are not interlaced come out as they are.

    Args:
        like: an image as they will come.
        time_base: seconds of a tick of their times.
    """

    def __init__(self, like: VideoFrame, time_base: Fraction) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=time_base)
        bwdif, sink = self._graph.add("bwdif", _FILTER), self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()
        self._base = time_base
        self._size = (like.width, like.height, like.format.name)
        self._of: deque[tuple[float, VideoFrame]] = deque(maxlen=_KEPT)

    def fits(self, frame: VideoFrame) -> bool:
        """Whether an image is of the size and format that the filter was made for."""
        return (frame.width, frame.height, frame.format.name) == self._size

    def add(self, frame: VideoFrame, pts: int) -> Iterator[tuple[VideoFrame, float, VideoFrame]]:
        """An image goes in; (field as an image, its seconds, the image that it is of) as far as they are ready."""
        frame.pts, frame.time_base = pts, self._base
        self._of.append((float(pts * self._base), frame))
        self._graph.push(frame)
        yield from self._ready()

    def end(self) -> Iterator[tuple[VideoFrame, float, VideoFrame]]:
        """Nothing more goes in; what is left."""
        if self._of:
            self._graph.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[tuple[VideoFrame, float, VideoFrame]]:
        while True:
            try:
                field = self._graph.pull()
            except (NotYet, Ended):
                return
            if isinstance(field, VideoFrame) and field.time is not None:
                whole = next((of for t, of in reversed(self._of) if t <= field.time + 1e-6), self._of[0][1])
                yield field, field.time, whole
