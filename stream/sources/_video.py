"""Containers through PyAV: opened with only what is allowed, decoded to upright BGR images, errors in plain words."""

import heapq
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import cast

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from calibration.arrays import Image
from stream.types import StreamError

# PyAV leaves FFmpeg's own log off, and it must stay off: FFmpeg logs URLs with their passwords.

# Formats whose time stamps the demuxer invents (always 25 a second), so that they mean nothing.
UNTIMED = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo", "obu", "av1", "dirac", "cavsvideo"})
# Each decoder thread holds about a dozen images of its own; four decode 1080p several times faster than real time.
_THREADS = 4
_ROTATE = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPUnauthorizedError, "user name or password refused (401); write them as scheme://user:password@host"),
    (av.error.HTTPForbiddenError, "access refused (403)"),
    (av.error.HTTPNotFoundError, "there is nothing at this path (404)"),
    (av.error.HTTPClientError, "the server refuses the request"),
    (av.error.HTTPServerError, "the server has an error (5xx)"),
    (ConnectionRefusedError, "connection refused; is the camera on and the port right?"),
    (PermissionError, "permission denied"),
    (av.error.ExitError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (EOFError, "it ended"),
    (av.error.InvalidDataError, "not a video, or damaged beyond reading"),
    (av.error.ArgumentError, "not a kind of video that is read here"),
    (av.error.ProtocolNotFoundError, "not a kind of address that is read here"),
    (OSError, "cannot be reached; check the address and the network"),
)


def reason(error: av.error.FFmpegError) -> str:
    """Why FFmpeg failed, in a few words. Never the error's own text: that holds the URL with its password."""
    return next((text for kind, text in _REASONS if isinstance(error, kind)), f"FFmpeg says {type(error).__name__}")


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One decoded image."""

    pts: float | None
    """Seconds in the container's clock, or None."""
    arrival: float
    """Monotonic seconds at which the packet came that completed it, before it was decoded."""
    image: Image
    """(H, W, 3) uint8 BGR, turned upright."""
    corrupt: bool
    """Whether the decoder had to fill in damaged parts."""


class _Lost:
    """Counts the images that went in and never came out.

    The H.264 decoder drops most of what it cannot make sense of without an error. Its images come out in order of
    presentation, so that a packet is lost once a later one is out. Only for codecs that give one image a packet.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[int] = []

    def expect(self, packet: Packet) -> bool:
        """A packet goes in; whether it will be counted here if it is lost."""
        if packet.stream.codec_context.name not in ("h264", "hevc") or packet.pts is None or packet.is_discard:
            return False
        heapq.heappush(self._waiting, packet.pts)
        return True

    def came(self, frame: VideoFrame) -> None:
        """An image came out."""
        while self._waiting and frame.pts is not None and self._waiting[0] <= frame.pts:
            # Interlaced images may come as two packets, one a field.
            self.count += heapq.heappop(self._waiting) < frame.pts and not frame.interlaced_frame

    def end(self) -> None:
        """Nothing more comes out."""
        self.count += len(self._waiting)
        self._waiting.clear()


class _DecodingOrder:
    """The times and losses of a container that stores only the order of decoding (AVI, and Matroska made from it).

    FFmpeg makes presentation times up for it, which are wrong where B-frames refer to B-frames. But the decoder knows
    the order of presentation from the stream itself, so the n-th image to come out has the n-th time that went in.
    """

    _REACH = 16
    """No image comes out later than so many that were decoded after it: the most that H.264 and H.265 hold back."""

    def __init__(self) -> None:
        self.count = 0
        """Images that went in and never came out."""
        self._times: list[int] = []
        self._inside: dict[int, int] = {}
        """Number in decoding order of each packet that is not out yet, by its mark."""
        self._number = self._newest = 0

    def expect(self, packet: Packet) -> bool:
        """A packet goes in and is marked; whether it will be counted here if it is lost."""
        if packet.dts is None:
            return False
        heapq.heappush(self._times, packet.dts)
        packet.pts = packet.dts
        if packet.stream.codec_context.name not in ("h264", "hevc"):
            return False
        self._inside[packet.dts] = self._number
        self._number += 1
        return True

    def came(self, frame: VideoFrame) -> int | None:
        """An image came out; its time in the stream's units, or None where there is none for it."""
        number = self._inside.pop(frame.pts, -1) if frame.pts is not None else -1
        self._newest = max(self._newest, number)
        for mark in [mark for mark, number in self._inside.items() if number < self._newest - self._REACH]:
            self._gone(mark, frame)
        return heapq.heappop(self._times) if self._times else None

    def failed(self) -> None:
        """A packet gave an error instead of an image."""
        if self._times:
            heapq.heappop(self._times)

    def end(self) -> None:
        """Nothing more comes out."""
        self.count += len(self._inside)
        self._inside.clear()

    def _gone(self, mark: int, frame: VideoFrame) -> None:
        del self._inside[mark]
        self.count += not frame.interlaced_frame  # which may come as two packets, one a field
        self.failed()


class OpenVideo:
    """An open container and its first real video stream.

    Args:
        target: a URL for FFmpeg; use the prefix ``file:`` for files, lest a name is taken for a protocol.
        shown: what to call it in messages.
        options: FFmpeg's, among them ``protocol_whitelist`` and ``format_whitelist``.
        timeout: seconds up to the first image and seconds between two, or None for files.
        low_delay: trade speed for frames that come out as soon as they are in.
        container_format: FFmpeg's name of the format, where it is not to find out.

    Raises:
        StreamError: if it cannot be opened or has no video.
    """

    def __init__(
        self,
        target: str,
        shown: str,
        options: Mapping[str, str],
        timeout: tuple[float, float] | None = None,
        low_delay: bool = False,
        container_format: str | None = None,
    ) -> None:
        self.shown = shown
        self.end = 0.0
        """Seconds from its start up to which there were packets, of any track, so far."""
        self._timeout = timeout
        self._since = time.monotonic()
        """When the last image came, at first when it began to open."""
        self._errors = 0
        self._tracks = ""
        self._lost = _Lost()
        problem = ""
        try:
            self.container: InputContainer = av.open(
                target, "r", container_format, options=dict(options), timeout=timeout, metadata_errors="replace"
            )
        except av.error.FFmpegError as error:
            problem = reason(error)
        # Raised out here so that the error with the URL in it is not chained to ours.
        if problem:
            raise StreamError(f"{shown}: {problem}")
        try:
            self.stream = self._choose()
        except StreamError:
            self.container.close()
            raise
        self.format = self.container.format.name
        self.untimed = self.format in UNTIMED
        self._order = _DecodingOrder() if self.format == "avi" else None
        codec = self.stream.codec_context
        # Frame threads hold a frame back each, which is nothing in a file and half a second in a live view.
        codec.thread_type = "SLICE" if low_delay else "AUTO"
        codec.thread_count = _THREADS
        self._reformatter = VideoReformatter()
        """Kept: VideoFrame.to_ndarray would set up a new converter for every frame."""

    def _choose(self) -> VideoStream:
        """The track that is marked as default, the largest of several."""
        tracks = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not tracks:
            raise StreamError(f"{self.shown}: there is no video in it")
        # None where FFmpeg has no decoder, which PyAV's types do not say.
        readable = [stream for stream in tracks if cast(object, stream.codec_context) is not None]
        if not readable:
            raise StreamError(f"{self.shown}: its codec is not one that is read here; convert it to H.264")
        chosen = max(readable, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))
        if len(tracks) > 1:
            others = (f"{s.width}x{s.height}" if s in readable else "one of another codec" for s in tracks)
            left = ", ".join(name for s, name in zip(tracks, others, strict=True) if s is not chosen)
            size = f"{chosen.width}x{chosen.height}"
            self._tracks = f"{self.shown}: of its {len(tracks)} video tracks that of {size} is used; not used: {left}"
        return chosen

    @property
    def corrupt(self) -> int:
        """Images of which nothing could be decoded, so far."""
        return self._errors + self._lost.count + (self._order.count if self._order else 0)

    @property
    def rate(self) -> float | None:
        """Frames a second by the container's time stamps, or None where it has none or they make no sense."""
        rate = self.stream.average_rate
        return float(rate) if rate and not self.untimed and 0.1 <= rate <= 1000 else None

    @property
    def duration(self) -> float | None:
        """Seconds, or None where the container does not say."""
        duration, start = self.container.duration or 0, self.container.start_time or 0
        if "matroska" in self.format and 0 < start < duration:
            duration -= start  # FFmpeg writes the time of the end into it
        return duration / av.time_base if duration > 0 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        notes = [self._tracks] if self._tracks else []
        ratio = self.stream.sample_aspect_ratio
        if ratio and ratio > 0 and ratio != 1:
            times = f"{float(ratio):.3f} times"
            notes.append(f"{self.shown}: its pixels are {times} as wide as high; calibrate it as it is")
        return tuple(notes)

    def images(self) -> Generator[Decoded, None, None]:
        """Every image in order of presentation. Damaged ones are marked, undecodable packets counted in ``corrupt``.

        Raises:
            StreamError: if reading fails before the end, or what comes gives no image in time.
        """
        to_open, between = self._timeout or (float("inf"), float("inf"))
        patience = to_open
        packets = self.container.demux()  # every stream: a wait for video among endless audio would have no timeout
        first = True
        while True:
            problem = ""
            packet: Packet | None = None
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                problem = reason(error)
            if problem:
                raise StreamError(f"{self.shown}: {problem}")
            if packet is None:
                (self._order or self._lost).end()
                return
            if time.monotonic() - self._since > patience:
                raise StreamError(f"{self.shown}: it sends, but not one image in {patience:g} s that can be decoded")
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.end = max(self.end, end - (self.container.start_time or 0) / av.time_base)
            # Not packet.stream_index: the empty packets that close the streams all say 0.
            if packet.stream.index != self.stream.index:
                continue
            arrival = time.monotonic()
            if first and packet.pts is None and packet.dts is not None:
                self._order = _DecodingOrder()
            first = False
            counted = (self._order or self._lost).expect(packet)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._errors += not counted
                if self._order and not counted:
                    self._order.failed()
                frames = []
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield Decoded(self._seconds(frame), arrival, self._bgr(frame), frame.is_corrupt)
                    # Now: it may have been long before the next one was asked for.
                    self._since, patience = time.monotonic(), between

    def _seconds(self, frame: VideoFrame) -> float | None:
        """The time of an image that came out of the decoder."""
        if self._order is None:
            self._lost.came(frame)
            return frame.time
        pts, base = self._order.came(frame), self.stream.time_base
        return None if pts is None or base is None else float(pts * base)

    def _bgr(self, frame: VideoFrame) -> Image:
        image = np.asarray(self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
        turn = round(frame.rotation / 90) % 4 * 90
        return np.asarray(cv2.rotate(image, _ROTATE[turn]), np.uint8) if turn else image

    def close(self) -> None:
        """Release the container. Idempotent."""
        self.container.close()
