"""Which time belongs to an image that comes out of a decoder, and which images never came out.

The decoder knows the order of presentation from the stream itself; containers do not always. AVI, and Matroska made
from it, store only the order of decoding, and FFmpeg makes presentation times up, which are wrong where B-frames refer
to B-frames. Other writers put the times of decoding where those of presentation belong. Then the n-th image to come out
has the n-th time that went in.
"""

import heapq
from collections.abc import Iterator

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

_REACH = 16
"""No image comes out later than so many that were decoded after it: the most that H.264 and H.265 hold back."""
_COUNTED = ("h264", "hevc")
"""Their decoders drop most of what they cannot make sense of without an error, and give one image a packet."""


class _Own(int):
    """A number that is an object of its own. PyAV finds what a packet carries by its address, and small numbers are one
    object for all: a decoder of another file that was done with its 5 took away that of this one.
    """


class PresentationOrder:
    """The times and losses of one track.

    Args:
        stream: the track; its decoder is set to carry a number from every packet to its image.
        decoding: whether the container is known to store the order of decoding only.
        patient: whether images may be held back until it is known what their times mean.
    """

    def __init__(self, stream: VideoStream, decoding: bool, patient: bool) -> None:
        self.count = 0
        """Images that went in and never came out."""
        self._codec = stream.codec_context
        self._codec.copy_opaque = True
        self._counts = self._codec.name in _COUNTED
        self._stamped = not decoding
        """Whether the time of a packet is that of presentation, or said to be."""
        self._decoding = decoding
        """Whether the times are those of decoding."""
        self._patient = patient
        self._number = self._newest = 0
        self._inside: dict[int, int | None] = {}
        """Number in decoding order -> time, of each packet whose image is not out yet; of some codecs, never comes."""
        self._times: list[int] = []
        """The times that went in and were not handed out."""
        self._rising = True
        """Whether the times rose from packet to packet so far: with B-frames, they are those of decoding."""
        self._last: int | None = None
        self._held: list[tuple[VideoFrame, int]] = []

    def expect(self, packet: Packet) -> bool:
        """A packet goes in; whether it will be counted here if it is lost."""
        if packet.is_discard or not packet.size:  # cut away by an edit list, or the end
            return False
        if self._number == 0 and packet.pts is None and packet.dts is not None:
            self._stamped, self._decoding = False, True
        if not self._stamped:
            packet.pts = packet.dts
        time = packet.pts
        if time is not None:
            self._rising &= self._last is None or time > self._last
            self._last = time
            if self._patient or self._decoding:
                heapq.heappush(self._times, time)
        packet.opaque = _Own(self._number)
        self._inside[self._number] = time
        self._number += 1
        return self._counts

    def came(self, frame: VideoFrame) -> Iterator[tuple[VideoFrame, int | None]]:
        """An image came out; what may be handed out now, with its time in the stream's units."""
        number = frame.opaque if isinstance(frame.opaque, int) else -1
        time = self._inside.pop(number, frame.pts)
        turned = number < self._newest
        self._newest = max(self._newest, number)
        for other in [other for other in self._inside if other < self._newest - _REACH]:
            self._lost(other, frame)
        if self._decoding:
            yield frame, self._next(frame.pts)
            return
        before = (
            [] if time is None else [n for n, t in self._inside.items() if n < number and t is not None and t < time]
        )
        if self._held or (before and self._unclear(frame)):
            self._held.append((frame, number))
            if turned and self._rising:
                self._decoding = True
            if self._decoding or not self._rising or not self._missing():
                yield from self._release()
            return
        for other in before:
            self._lost(other, frame)
        yield frame, self._own(frame.pts)

    def failed(self) -> None:
        """The last packet gave an error instead of an image."""
        self._inside.pop(self._number - 1, None)
        self._forget()

    def _forget(self) -> None:
        if self._decoding and self._times:
            heapq.heappop(self._times)

    def end(self) -> Iterator[tuple[VideoFrame, int | None]]:
        """Nothing more comes out of the decoder; what was held back."""
        self.count += len(self._inside) if self._counts else 0
        self._inside.clear()
        yield from self._release()

    def _unclear(self, frame: VideoFrame) -> bool:
        """Whether an image that should have been out before may still come: the times are those of decoding."""
        return self._patient and self._rising and self._codec.has_b_frames and not frame.interlaced_frame

    def _missing(self) -> bool:
        """Whether something is still inside that was decoded before the first image that is held back."""
        return any(number < self._held[0][1] for number in self._inside)

    def _release(self) -> Iterator[tuple[VideoFrame, int | None]]:
        held, self._held = self._held, []
        for frame, number in held:
            if not self._decoding:
                for other in [other for other in self._inside if other < number]:
                    self._lost(other, frame)
            yield frame, self._next(frame.pts) if self._decoding else self._own(frame.pts)

    def _next(self, otherwise: int | None) -> int | None:
        return heapq.heappop(self._times) if self._times else otherwise

    def _own(self, time: int | None) -> int | None:
        while self._times and time is not None and self._times[0] <= time:
            heapq.heappop(self._times)
        return time

    def _lost(self, number: int, frame: VideoFrame) -> None:
        del self._inside[number]
        # Where B-frames are packed, a packet holds two images and the next one none: nothing is lost.
        if self._counts:
            self.count += not frame.interlaced_frame  # which may come as two packets, one a field
            self._forget()
