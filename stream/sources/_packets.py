"""The packets of an open stream as captures: placed in time, and decoded by whoever wants to see them."""

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import av
import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from stream.packed import INTRA, Coding, Packed
from stream.sources._clock import EnvelopeClock
from stream.sources._live import Capture
from stream.sources._video import OpenVideo
from stream.types import StreamError

_STEP_S: Final = 1e-4
"""Times increase by this at least, as those of ``EnvelopeClock`` do."""
_PARAMETERS: Final = {"h264": (0x1F, 7), "hevc": (0x7E, 33 << 1)}
"""Of the first byte of a unit: the bits that tell its type, and the type of the parameters of a sequence."""


def coding_of(stream: VideoStream, size: tuple[int, int]) -> Coding:
    """The coding of an open stream, which outlives the stream."""
    container = av.open(io.BytesIO(), "w", format="matroska")
    return Coding(stream.codec_context.name, size, container.add_stream_from_template(stream, opaque=True))


def jpeg_coding(data: bytes) -> Coding | None:
    """The coding of a JPEG image, None where it is none."""
    size = jpeg_size(data)
    if size is None:
        return None
    try:
        with av.open(io.BytesIO(data), "r", format="mjpeg") as container:
            return coding_of(container.streams.video[0], size)
    except (av.error.FFmpegError, IndexError):
        return None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG image by its header, None where there is none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return (width, height) if width and height else None
        if marker == 0xDA:
            return None
        at += 1 if marker == 0xFF else 2 + length  # a fill byte may stand before a marker
    return None


def sequence_parameters(codec: str, data: bytes) -> bytes:
    """What a packet says of the size and kind of its pictures (H.264 and H.265), empty where it says nothing."""
    if codec not in _PARAMETERS:
        return b""
    mask, wanted = _PARAMETERS[codec]
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 4:
        after = data.find(b"\x00\x00\x01", at + 3)
        if data[at + 3] & mask == wanted:
            return data[at + 3 : after if after > 0 else len(data)].rstrip(b"\0")
        at = after
    return b""


class PacketReader:
    """Reads a live stream without decoding more of it than its first image.

    Args:
        video: open, nothing read.
        clock: maps its times to the monotonic clock.

    Raises:
        StreamError: if there is no image in it.
    """

    def __init__(self, video: OpenVideo, clock: EnvelopeClock) -> None:
        self._video, self._clock = video, clock
        self._packets = video.packets()
        self._opening: list[tuple[Packet, float]] = []
        self.given = 0
        """Images that came."""
        self.size = self._look()
        """Width and height of the first image."""
        self._coding = coding_of(video.stream, self.size)
        self._base = float(video.stream.time_base or 0)
        self._parameters = b""
        self._delay = 0.0
        self._last = float("-inf")
        self._before = b""
        """The JPEG image before."""
        self._held: list[tuple[Capture, float | None]] = []
        """What came while it was not known when it was made, with its stamp."""

    def _look(self) -> tuple[int, int]:
        for packet, arrival in self._packets:
            self._opening.append((packet, arrival))
            if (image := self._video.try_image(packet)) is not None:
                return image.shape[1], image.shape[0]
        raise StreamError(f"{self._video.shown}: it ended before there was an image")

    def captures(self) -> Iterator[Capture]:
        """Every packet with an image, in the order in which they come.

        Raises:
            StreamError: when the stream is lost, or goes on as another.
        """
        opening, self._opening = self._opening, []
        for packet, arrival in chain(opening, self._packets):
            if not packet.size:
                continue
            if self._coding.codec == "mjpeg":
                data = bytes(packet)
                if jpeg_size(data) is None:
                    yield Capture(arrival, None, "corrupt")  # not even the beginning of an image
                    continue
                self.given += data.rstrip(b"\0\r\n").endswith(b"\xff\xd9")
                if data == self._before:  # a camera that stands still, or a server faster than its camera
                    self._video.saw(arrival)
                    yield Capture(arrival, None, "same")
                    continue
                self._before = data
            else:
                self.given += 1
            self._video.saw(arrival)
            yield from self._placed(packet, arrival)
        raise StreamError(f"{self._video.shown}: the stream ended; opening it again")

    def _placed(self, packet: Packet, arrival: float) -> Sequence[Capture]:
        """What can be handed out, now that a packet has come."""
        base = self._base
        pts = None if packet.pts is None or self._video.untimed else packet.pts * base
        stamp = pts if packet.dts is None or pts is None else packet.dts * base
        delay = 0.0 if pts is None or stamp is None else max(pts - stamp, 0.0)
        # With B-frames, one that others refer to comes first, and is shown last: the one that waits longest has just
        # been made when it comes.
        self._delay = max(self._delay, delay)
        t = self._clock.time(stamp, arrival)
        packed = self._packed(packet, delay)
        if self._clock.settled and not self._held:
            self._last = max(t, self._last + _STEP_S)
            return (Capture(self._last + delay - self._delay, None, "", packed, arrival, pts),)
        self._held.append((Capture(t, None, "", packed, arrival, pts), stamp))
        return self._let_go() if self._clock.settled else ()

    def _let_go(self) -> Sequence[Capture]:
        """What was held, now that it is known when it was made."""
        held, self._held = self._held, []
        out = []
        for (capture, _), t in zip(held, self._times(held), strict=True):
            self._last = max(t, self._last + _STEP_S)
            shown = self._last + (capture.packed.delay_s if capture.packed else 0.0) - self._delay
            lost = "" if capture is held[-1][0] else "old"
            out.append(Capture(shown, None, lost, capture.packed, capture.arrival, capture.device_t))
        return out

    def _times(self, held: Sequence[tuple[Capture, float | None]]) -> list[float]:
        """When they were made, the newest of them known. The first of an RTSP stream have no stamp yet."""
        times = [held[-1][0].t]
        step = 0.0
        for k in range(len(held) - 2, -1, -1):
            capture, stamp = held[k]
            if stamp is not None:
                t = self._clock.at(stamp)
                step = times[-1] - t
            else:
                t = times[-1] - step if step > 0 else capture.t
            times.append(t)
        return times[::-1]

    def _packed(self, packet: Packet, delay: float) -> Packed:
        if self._coding.codec == "mjpeg":
            data = bytes(packet)
            size = jpeg_size(data)
            if size not in (None, self._coding.size):
                self._coding = jpeg_coding(data) or self._coding
            return Packed(data, True, self._coding, delay)
        key = packet.is_keyframe
        if key and (parameters := sequence_parameters(self._coding.codec, bytes(packet))):
            if self._parameters and parameters != self._parameters:
                raise StreamError(f"{self._video.shown}: it goes on as another stream; opening it again")
            self._parameters = parameters
        return Packed(packet, key or self._coding.codec in INTRA, self._coding, delay)

    def close(self) -> None:
        """Stop reading."""
        self._packets.close()
