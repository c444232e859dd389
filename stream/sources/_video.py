"""Containers through PyAV: opened with only what is allowed, decoded to upright BGR images, errors in plain words."""

import errno
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from calibration.arrays import Image
from stream.sources._fields import Fields
from stream.sources._order import PresentationOrder
from stream.sources._timecode import timecode_of
from stream.sources._upright import ToBGR, mark_of
from stream.types import StreamError

# PyAV leaves FFmpeg's own log off, and it must stay off: FFmpeg logs URLs with their passwords.

# Formats whose time stamps the demuxer invents (always 25 a second), so that they mean nothing.
UNTIMED = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo", "obu", "av1", "dirac", "cavsvideo"})
# Formats whose clock may begin at any time.
ANYWHERE = frozenset({"mpegts", "mpeg", "wtv"})
# Formats in which FFmpeg writes the time of the end as how long it is.
_TO_THE_END = frozenset({"matroska", "webm", "flv", "nut", "asf"})
# Each decoder thread holds about a dozen images of its own; four decode 1080p several times faster than real time.
_THREADS = 4
KNOW_THEIR_BEGIN = frozenset({"h264", "hevc", "vvc", "av1", "libdav1d"})
_TOLD = 8
"""So many tracks that are not used are named."""
_LEADING = 300
"""After so many packets without a keyframe they are decoded all the same: some files mark none."""
_ROUNDED_S = 0.0015
"""A time nearer to 0 was 0 before a container that counts milliseconds rounded it."""
_DELAY = 4
"""Frames by which B-frames usually move times at most."""
_IN_VAIN = "no answer in time"
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPUnauthorizedError, "user name or password refused (401); write them as scheme://user:password@host"),
    (av.error.HTTPForbiddenError, "access refused (403)"),
    (av.error.HTTPNotFoundError, "there is nothing at this path (404)"),
    (av.error.HTTPClientError, "the server refuses the request"),
    (av.error.HTTPServerError, "the server has an error (5xx)"),
    (ConnectionRefusedError, "connection refused; is the camera on and the port right?"),
    (PermissionError, "permission denied"),
    (av.error.ExitError, _IN_VAIN),
    (TimeoutError, _IN_VAIN),
    (EOFError, "it ended"),
    (av.error.InvalidDataError, "not a video, or damaged beyond reading"),
    (av.error.ArgumentError, "not a kind of video that is read here"),
    (av.error.ProtocolNotFoundError, "not a kind of address that is read here"),
    (OSError, "cannot be reached, or what answers there does not speak as the address says; check it and the network"),
)


def reason(error: av.error.FFmpegError) -> str:
    """Why FFmpeg failed, in a few words. Never the error's own text: that holds the URL with its password."""
    return next((text for kind, text in _REASONS if isinstance(error, kind)), f"FFmpeg says {type(error).__name__}")


def _named(track: VideoStream, readable: bool) -> str:
    """What a track is called that is not used."""
    if not readable:
        return "one of another codec"
    return f"{track.width}x{track.height}" if track.width and track.height else "one of a size that is not said"


class TransportError(StreamError):
    """An RTSP server that refuses the transport (461)."""


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


class OpenVideo:
    """An open container and its first real video stream.

    Args:
        target: a URL for FFmpeg; use the prefix ``file:`` for files, lest a name is taken for a protocol.
        shown: what to call it in messages.
        options: FFmpeg's, among them ``protocol_whitelist`` and ``format_whitelist``.
        timeout: seconds up to the first image and seconds between two, or None for files.
        asked: whether the second of them is looked after here. It costs a call into Python for each read of a network,
            thousands a second; without it, ``options`` are to bound a read.
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
        *,
        asked: bool = True,
        low_delay: bool = False,
        container_format: str | None = None,
    ) -> None:
        self.shown = shown
        self.end = 0.0
        """Seconds from its start up to which there were packets, of any track, so far."""
        self.read_to = 0
        """Bytes from its beginning up to which there were packets, of any track, so far."""
        self._late: float | None = None
        self._patience, self._between = timeout or (float("inf"), float("inf"))
        self._since = time.monotonic()
        """When the last image came, at first when it began to open."""
        self._errors = 0
        self._tracks = ""
        self._leading: list[Packet] | None = []
        """Packets before the first one that an image can begin with; None once there was one."""
        self._undecodable = 0
        problem, refused = "", False
        try:
            self.container: InputContainer = av.open(
                target, "r", container_format, options=dict(options), metadata_errors="replace",
                timeout=(timeout[0], timeout[1] if asked else None) if timeout else None,
            )  # fmt: skip
        except av.error.FFmpegError as error:
            problem, refused = reason(error), error.errno == errno.EPROTONOSUPPORT
            # An RTSP server that was waited for in vain counts as one that answered something wrong.
            if time.monotonic() - self._since >= self._patience and not isinstance(error, av.error.HTTPError):
                problem = _IN_VAIN
        # Raised out here so that the error with the URL in it is not chained to ours.
        if problem:
            kind = TransportError if refused else StreamError
            raise kind(f"{shown}: {problem}")
        try:
            self.stream = self._choose()
        except StreamError:
            self.container.close()
            raise
        self.format = self.container.format.name
        self.untimed = self.format in UNTIMED
        codec = self.stream.codec_context
        # Matroska keeps AVI's name of a codec where it keeps its way to store frames, too.
        decoding = self.format == "avi" or ("matroska" in self.format and codec.codec_tag.strip("\0") != "")
        self._order = PresentationOrder(self.stream, decoding, patient=timeout is None)
        # Frame threads hold a frame back each, which is nothing in a file and half a second in a live view.
        codec.thread_type = "SLICE" if low_delay else "AUTO"
        codec.thread_count = _THREADS
        self._to_bgr = ToBGR()
        self.interlaced: bool | None = None
        """Whether its images are two fields each; None until there was one."""
        self._mirrored = False
        # Of what is live, the next field would have to be waited for.
        self._by_field = timeout is None and not self.untimed
        self._fields: Fields | None = None

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
            others = [_named(s, s in readable) for s in tracks if s is not chosen]
            more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
            left = ", ".join(others[:_TOLD]) + more
            size = f"{chosen.width}x{chosen.height}"
            self._tracks = f"{self.shown}: of its {len(tracks)} video tracks that of {size} is used; not used: {left}"
        return chosen

    @property
    def corrupt(self) -> int:
        """Images of which nothing could be decoded, so far."""
        return self._errors + self._undecodable + self._order.count

    @property
    def rate(self) -> float | None:
        """Frames a second by the container's time stamps, or None where it has none or they make no sense."""
        # FFmpeg takes the clock of DV for its rate.
        rate = self.stream.base_rate if self.format == "dv" else self.stream.average_rate
        return float(rate) * self.each if rate and not self.untimed and rate > 0 else None

    @property
    def each(self) -> int:
        """Moments an image holds, once there was one: 2 where it is interlaced."""
        return 2 if self.interlaced and self._by_field else 1

    @property
    def duration(self) -> float | None:
        """Seconds, or None where the container does not say."""
        duration, start = self.container.duration or 0, self.container.start_time or 0
        if any(part in _TO_THE_END for part in self.format.split(",")) and 0 < start < duration:
            duration -= start
        return duration / av.time_base if duration > 0 else None

    @property
    def habit(self) -> float:
        """Seconds by which its writer begins late out of habit, once there was an image."""
        return self._late or 0.0

    def _habit(self, pts: int, dts: int | None) -> int:
        # The clock of a transport stream begins anywhere, with FFmpeg at 1.4 s; and where no time of decoding may be
        # below 0 (FLV, MP4 in fragments), B-frames move all times of presentation.
        if self.format in ANYWHERE:
            return self.stream.start_time if self.stream.start_time is not None else pts
        rate, base = self.stream.average_rate, self.stream.time_base or 0
        if dts is None and self.format == "nut":  # it stores none
            early = rate is not None and self.stream.codec_context.has_b_frames and pts * base * rate <= _DELAY
            return pts if early else 0
        return pts if dts is not None and abs(dts * base) < _ROUNDED_S else 0

    @property
    def timecode(self) -> str | None:
        """Of its first frame, such as "01:00:00:00"; None without."""
        chosen = [self.stream, *(s for s in self.container.streams if s.index != self.stream.index)]
        return timecode_of([*(stream.metadata for stream in chosen), self.container.metadata])

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        notes = [self._tracks] if self._tracks else []
        ratio = self.stream.sample_aspect_ratio
        if ratio and ratio > 0 and ratio != 1:
            times = f"{float(ratio):.3f} times"
            notes.append(f"{self.shown}: its pixels are {times} as wide as high; calibrate it as it is")
        if self._mirrored:
            notes.append(
                f"{self.shown}: its display matrix mirrors its images, and they are shown so; where they show people's "
                "right for left then, clear it"
            )
        if self.interlaced:
            rate = f", {self.rate:.4g} a second" if self.rate else ""
            notes.append(
                f"{self.shown}: interlaced; each of its images is taken as two, its fields{rate}"
                if self._by_field
                else f"{self.shown}: interlaced, so what moves has combed edges; set the camera to progressive"
            )
        return tuple(notes)

    def packets(self) -> Generator[tuple[Packet, float], None, None]:
        """Every packet of the track in the order in which they are stored, and the monotonic seconds at which it came.

        Those that end the track are empty.

        Raises:
            StreamError: if reading fails before the end, or ``saw`` is not called in time.
        """
        # Once: a fraction a packet costs as much as all the rest of it.
        bases = {s.index: float(s.time_base) for s in self.container.streams if s.time_base}
        packets = self.container.demux()  # every stream: a wait for video among endless audio would have no timeout
        chosen, live = self.stream, self._between < float("inf")
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
                return
            arrival = time.monotonic()
            if arrival - self._since > self._patience:
                raise StreamError(
                    f"{self.shown}: it sends, but not one image in {self._patience:g} s that can be decoded"
                )
            # Not packet.stream_index: the empty packets that close the streams all say 0.
            stream = packet.stream
            if not live and packet.pts is not None and (base := bases.get(stream.index)) is not None:
                end = (packet.pts + (packet.duration or 0)) * base
                self.end = max(self.end, end - (self.container.start_time or 0) / av.time_base)
                self.read_to = max(self.read_to, (packet.pos or 0) + packet.size)
            if stream is chosen or stream.index == chosen.index:
                yield packet, arrival

    def saw(self, now: float | None = None) -> None:
        """There was an image now; the next one may take as long as is allowed between two."""
        self._since, self._patience = time.monotonic() if now is None else now, self._between

    def try_image(self, packet: Packet) -> Image | None:
        """The image that comes out of the decoder when this packet goes in, None where none does."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return None
        return next((self._to_bgr(frame, frame) for frame in frames if isinstance(frame, VideoFrame)), None)

    def images(self) -> Generator[Decoded, None, None]:
        """Every image in order of presentation. Damaged ones are marked, undecodable packets counted in ``corrupt``.

        Raises:
            StreamError: if reading fails before the end, or what comes gives no image in time.
        """
        for packet, arrival in self.packets():
            for ready in self._decodable(packet):
                for decoded in self._decode(ready, arrival):
                    yield decoded
                    self.saw()  # now: it may have been long before the next one was asked for
        now = time.monotonic()
        for image, pts in self._order.end():
            yield from self._decoded(image, pts, now)
        yield from self._last_fields(now)

    def _decodable(self, packet: Packet) -> list[Packet]:
        """What can be decoded now: from a file that was cut amid a group of pictures, what is before the next keyframe
        comes out as garbage, without an error. H.264 and H.265 know it themselves, also without keyframes.
        """
        if self._leading is None or self.stream.codec_context.name in KNOW_THEIR_BEGIN:
            return [packet]
        if packet.size and not packet.is_keyframe:
            self._leading.append(packet)
            if len(self._leading) < _LEADING:
                return []
        elif packet.size:
            self._undecodable, self._leading = len(self._leading), []
        ready = [*self._leading, *([] if packet in self._leading else [packet])]
        self._leading = None
        return ready

    def _decode(self, packet: Packet, arrival: float) -> Iterator[Decoded]:
        if self._late is None and packet.pts is not None and packet.time_base is not None:
            self._late = float(self._habit(packet.pts, packet.dts) * packet.time_base)
        counted = self._order.expect(packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._errors += not counted
            if not counted:
                self._order.failed()
            return
        for frame in frames:
            if isinstance(frame, VideoFrame):
                for image, pts in self._order.came(frame):
                    yield from self._decoded(image, pts, arrival)

    def _decoded(self, frame: VideoFrame, pts: int | None, arrival: float) -> Iterator[Decoded]:
        base = self.stream.time_base
        if self.interlaced is None:
            self.interlaced, self._mirrored = frame.interlaced_frame, mark_of(frame)[1]
        if self.interlaced and self._by_field and pts is not None and base is not None:
            if self._fields is None or not self._fields.fits(frame):
                yield from self._last_fields(arrival)
                self._fields = Fields(frame, base)
            for field, seconds, of in self._fields.add(frame, pts):
                yield Decoded(seconds, arrival, self._to_bgr(field, of), of.is_corrupt)
            return
        seconds = None if pts is None or base is None else float(pts * base)
        yield Decoded(seconds, arrival, self._to_bgr(frame, frame), frame.is_corrupt)

    def _last_fields(self, arrival: float) -> Iterator[Decoded]:
        if self._fields is not None:
            for field, seconds, of in self._fields.end():
                yield Decoded(seconds, arrival, self._to_bgr(field, of), of.is_corrupt)
            self._fields = None

    def close(self) -> None:
        """Release the container. Idempotent."""
        self.container.close()
