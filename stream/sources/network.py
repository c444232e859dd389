"""Network cameras (RTSP, HTTP, UDP, RTMP), through PyAV: real timeouts, and no change of size is hidden."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.packed import INTRA
from stream.sources import _http, _video
from stream.sources._clock import EnvelopeClock, MediaClock
from stream.sources._live import Capture, LiveSource
from stream.sources._packets import PacketReader
from stream.sources._snapshot import SnapshotConnection
from stream.sources._source import SourceInfo
from stream.types import StreamError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ASK_S = 2.5
"""Seconds in which a server that gives no video may show what it gives instead."""
_OWN, _FIRST, _ASK = 0.95, 0.35, 0.3
"""Shares of ``SourceConfig.open_s``: for all that is tried, for the first try of a web server, for asking it.

PyAV grants the time of a try twice, to connect and to look at what comes: the first one is over within 0.7."""
_LEAST_S = 0.5
"""So long at least is tried over UDP, and what a web server gives after all."""
_FEW = 3
"""A live stream that breaks after fewer images is not cut by chance."""
# What a server may make FFmpeg open: never a file.
_RTSP = {
    "protocol_whitelist": "rtsp,rtsps,tcp,tls,udp,rtp,srtp,crypto",
    "format_whitelist": "rtsp,rtp,mpegts,asf",
    "rtsp_transport": "tcp",  # over UDP a lost packet smears the picture until the next key frame
    "allowed_media_types": "video",
    "analyzeduration": "500000",
}
_HTTP = {
    "protocol_whitelist": "http,https,httpproxy,tcp,tls",
    "format_whitelist": "mpjpeg,mjpeg,mpegts,h264,hevc,mpeg,flv,mov,matroska,avi,asf,ogg,ivf",
    "analyzeduration": "500000",
    "fpsprobesize": "0",  # else MJPEG is buffered for seconds to guess a rate that is wrong anyway
}
# A playlist names further addresses; they may be of the web and of nothing else. From the newest piece on.
_HLS = {
    "protocol_whitelist": "http,https,httpproxy,tcp,tls",
    "format_whitelist": "hls,mpegts,mov",
    "live_start_index": "-1",
    "analyzeduration": "500000",
}
_UDP = {
    "protocol_whitelist": "udp",
    "format_whitelist": "mpegts,h264,hevc,mpeg",
    "analyzeduration": "500000",
    "overrun_nonfatal": "1",
}
_RTMP = {"protocol_whitelist": "rtmp,rtmps,tcp,tls", "format_whitelist": "flv,live_flv", "analyzeduration": "500000"}
_OPTIONS: dict[str, dict[str, str]] = {
    "rtsp": _RTSP, "rtsps": _RTSP, "http": _HTTP, "https": _HTTP, "udp": _UDP, "rtmp": _RTMP, "rtmps": _RTMP,
}  # fmt: skip
SCHEMES = tuple(_OPTIONS)
_BRIDGE = (
    "; let ffmpeg pass it on: ffmpeg -i ADDRESS -c copy -f mpegts udp://127.0.0.1:5000, and give udp://127.0.0.1:5000"
)
_NOT_READ = {
    "srt": f"the FFmpeg in the package av has no SRT{_BRIDGE}",
    "rist": f"the FFmpeg in the package av has no RIST{_BRIDGE}",
    "rtp": "RTP alone does not say what it carries; give the camera's RTSP address, or send MPEG-TS over UDP",
    "mms": "MMS is not read here; give the camera's RTSP or HTTP address",
    "ws": "WebSockets are a web page's way to show it; give the camera's RTSP or HTTP address",
    "webrtc": "WebRTC is not read here; give the RTSP or HTTP address of the camera or its server",
    "onvif": "ONVIF is not spoken here; give the RTSP address that the camera's ONVIF profile names",
    "ndi": "NDI is not read here; an NDI bridge gives it as RTSP, or as a webcam",
    "ftp": "download it and give the file",
}
"""What is not read, and the way round it."""
_LATE_S = 0.2
"""A piece of a playlist that comes later than this moves all after it, so that they come evenly again."""
_PIECE_S = 12.0
"""A piece of a playlist is at most about so long, and comes at once."""
_IGNORED = "what it writes around its images (boundaries or Content-Length) is wrong and is ignored"
_DATAGRAMS = "its server refuses TCP (461), so it comes over UDP: where packets are lost, images are smeared or missing"
_LATE = "a playlist (HLS): some seconds late, and its images cannot be matched in time with another camera's"


def claims(source: str) -> bool:
    """Whether it is a URL."""
    return _URL.match(source) is not None


def make(config: SourceConfig) -> "NetworkSource":
    """The source of one URL.

    Raises:
        StreamError: if it is of a scheme that is not read here.
    """
    match = _URL.match(config.source)
    scheme = match[1].lower() if match else ""
    if scheme not in SCHEMES:
        known = _NOT_READ.get(scheme.removesuffix("s") if scheme not in _NOT_READ else scheme)
        raise StreamError(
            f"{config.shown}: {known}"
            if known
            else f"{config.shown}: only {', '.join(SCHEMES)} addresses are read; give a file by its path"
        )
    # FFmpeg knows them in small letters only.
    return NetworkSource(replace(config, source=scheme + config.source[len(scheme) :]))


@dataclass(slots=True)
class _Way:
    """How an address is to be opened, as was found out so far."""

    bare: bool = False
    """Whether what is wrapped around its JPEG images is wrong and to be ignored."""
    udp: bool = False
    """Whether RTSP comes over UDP, as TCP was refused."""
    playlist: bool = False
    """Whether it is an HLS playlist."""
    snapshots: bool = False
    """Whether it gives one picture at a time."""


class NetworkSource(LiveSource):
    """A network camera. A recording on a web server (a container that knows its duration) is read like a file: every
    frame, with the container's times, and it ends.
    """

    kind = "network"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self._open_limit_s = config.open_s
        self._clock = EnvelopeClock()
        self._way = _Way()
        self._connection: _NetworkConnection | SnapshotConnection | None = None
        """The one before."""

    def _connect(self) -> "_NetworkConnection | SnapshotConnection":
        self._clock.reset()
        end = time.monotonic() + _OWN * self.config.open_s
        way = self._way
        known = way.bare or way.udp or way.playlist or way.snapshots
        broken = self._connection is not None and self._connection.given < _FEW and not known
        if broken and (answer := self._ask(end)) is not None:
            way.bare = known = _http.is_motion_jpeg(answer)
        try:
            # A web server may give something else, and naming or mending that must be over in time, too.
            self._connection = self._open((_FIRST if self._web and not known else _OWN) * self.config.open_s)
        except _video.TransportError:
            if way.udp:
                raise
            way.udp = True
            self._connection = self._open(max(end - time.monotonic(), _LEAST_S))
        except StreamError:
            answer = None if known else self._ask(end)
            if answer is None:
                raise
            # To name it takes no time; to open it after all does.
            self._connection = self._named(answer, max(end - time.monotonic(), _LEAST_S))
        return self._connection

    def _named(self, answer: _http.Answer, open_s: float) -> "_NetworkConnection | SnapshotConnection":
        """Open what a web server gives, now that it is known what.

        Raises:
            StreamError: with its name, if it is nothing that can be opened.
        """
        playlist = _http.is_playlist(answer)
        self._way = _Way(_http.is_motion_jpeg(answer), False, playlist, _http.is_picture(answer))
        if not (self._way.bare or playlist or self._way.snapshots):
            raise StreamError(f"{self.config.shown}: {_http.name(answer)}") from None
        try:
            return self._open(open_s)
        except StreamError as error:
            self._way = _Way()
            if not playlist:
                raise
            problem = str(error)
        raise StreamError(
            f"{self.config.shown}: {_http.name(answer)} ({problem.removeprefix(self.config.shown + ': ')})"
        )

    def _open(self, open_s: float) -> "_NetworkConnection | SnapshotConnection":
        if self._way.snapshots:
            return SnapshotConnection(self.config, self.kind, open_s)
        return _NetworkConnection(self.config, open_s, self._clock, self._way, self._tap is not None)

    @property
    def _web(self) -> bool:
        return self.config.source.lower().startswith("http")

    def _ask(self, end: float) -> _http.Answer | None:
        """What a web server really gives, None where it is none, says no, or says nothing until ``end``."""
        left = min(_ASK * self.config.open_s, _ASK_S, end - time.monotonic())
        return _http.ask(self.config.source, left) if self._web and left > 0 else None


class _NetworkConnection:
    def __init__(self, config: SourceConfig, open_s: float, clock: EnvelopeClock, way: _Way, packed: bool) -> None:
        shown = config.shown
        scheme = config.source.partition(":")[0].lower()
        http = scheme.startswith("http")
        options = _HLS if way.playlist else _OPTIONS[scheme]
        if way.udp:
            options = {**options, "rtsp_transport": "udp+udp_multicast"}
        # What PyAV asks between two reads is a fifth of what a copy of such a stream costs: FFmpeg gives up by itself.
        unasked = packed and scheme.startswith("rtsp") and not way.udp
        if unasked:
            options = {**options, "timeout": str(round(max(config.open_s, config.stall_s) * 1e6))}
        self._video = _video.OpenVideo(
            config.source,
            shown,
            options,
            (open_s, max(config.stall_s, _PIECE_S if way.playlist else 0.0)),
            asked=not unasked,
            low_delay=True,
            container_format="mjpeg" if way.bare else "hls" if way.playlist else None,
        )
        self._clock = clock
        self._shown = shown
        self._live = not (http and self._video.duration is not None)
        self._paced = way.playlist
        self._images = self._video.images()
        self._undecodable = self._given = 0
        self._first: _video.Decoded | None = None
        self._packets: PacketReader | None = None
        try:
            # What can be decoded image by image is decoded when it is used, and not where a newer one has come.
            intra = self._video.stream.codec_context.name in INTRA
            if (packed or intra) and self._live and not way.playlist:
                self._packets = PacketReader(self._video, clock)
                size = self._packets.size
            else:
                self._first = next(self._images, None)
                if self._first is None:
                    raise StreamError(f"{shown}: it ended before there was an image")
                size = (self._first.image.shape[1], self._first.image.shape[0])
        except BaseException:
            self.close()
            raise
        frames = None if self._live else self._video.stream.frames or None
        self.info = SourceInfo(
            name=config.name,
            kind=NetworkSource.kind,
            source=shown,
            size=size,
            fps=(config.fps if self._live else None) or self._video.rate,
            frames=frames,
            live=self._live,
            clock="monotonic" if self._live else "media",
            messages=(*self._video.notes, *self._said(way)),
        )

    @property
    def given(self) -> int:
        """Images that came."""
        return self._packets.given if self._packets else self._given

    def _said(self, way: _Way) -> Iterator[str]:
        """What the user should know of how it comes."""
        if way.bare:
            yield f"{self._shown}: {_IGNORED}"
        if way.udp:
            yield f"{self._shown}: {_DATAGRAMS}"
        if way.playlist and self._live:
            yield f"{self._shown}: {_LATE}"

    def captures(self) -> Iterator[Capture]:
        """See ``Connection.captures``."""
        return self._decoded() if self._packets is None else self._packets.captures()

    def _decoded(self) -> Iterator[Capture]:
        media: MediaClock[Image] = MediaClock(1.0 / (self._video.rate or 25.0), wait=not self._video.untimed)
        decoded, self._first = self._first, None
        begin: float | None = None
        while decoded is not None:
            self._given += 1
            pts = None if self._video.untimed else decoded.pts
            for _ in range(self._video.corrupt - self._undecodable):
                yield Capture(decoded.arrival, None, "corrupt")
            self._undecodable = self._video.corrupt
            if not self._live:
                yield from (Capture(t, image) for t, image in media.place(pts, decoded.image))
            elif self._paced and pts is not None:
                # Whole pieces of some seconds come at once: shown at the pace at which they were made.
                now = time.monotonic()
                begin = now - pts if begin is None or now > begin + pts + _LATE_S else begin
                time.sleep(min(max(0.0, begin + pts - now), _PIECE_S))
                image, lost = (None, "corrupt") if decoded.corrupt else (decoded.image, "")
                yield Capture(time.monotonic(), image, lost)
            else:
                t = self._clock.time(pts, decoded.arrival)
                if decoded.corrupt:
                    yield Capture(t, None, "corrupt")
                elif not self._clock.settled:
                    yield Capture(t, None, "old")
                else:
                    yield Capture(t, decoded.image)
            decoded = next(self._images, None)
        yield from (Capture(t, image) for t, image in media.rest())
        if self._live:
            raise StreamError(f"{self._shown}: the stream ended; opening it again")

    def close(self) -> None:
        """Release the connection."""
        if self._packets is not None:
            self._packets.close()
        self._images.close()
        self._video.close()
