"""Network cameras (RTSP, MJPEG or others over HTTP), through PyAV: real timeouts, and no change of size is hidden."""

import re
import time
from collections.abc import Iterator

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources import _http, _video
from stream.sources._clock import EnvelopeClock, MediaClock
from stream.sources._live import Capture, LiveSource
from stream.sources._packets import PacketReader
from stream.sources._source import SourceInfo
from stream.types import StreamError

SCHEMES = ("rtsp", "rtsps", "http", "https")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What a server may make FFmpeg open: never a file. No playlists (HLS, DASH): they name further addresses, and come a
# segment at a time, which is no live view.
_ASK_S = 1.0
"""Seconds in which a server that gives no video may show what it gives instead."""
_OWN, _FIRST, _ASK = 0.95, 0.55, 0.15
"""Shares of ``SourceConfig.open_s``: for all that is tried, for the first try of a web server, for asking it."""
_FEW = 3
"""A live stream that breaks after fewer images is not cut by chance."""
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


def claims(source: str) -> bool:
    """Whether it is a URL."""
    return _URL.match(source) is not None


def make(config: SourceConfig) -> "NetworkSource":
    """The source of one URL.

    Raises:
        StreamError: if it is of a scheme that is not read here.
    """
    match = _URL.match(config.source)
    if match is None or match[1].lower() not in SCHEMES:
        raise StreamError(f"{config.shown}: only {', '.join(SCHEMES)} addresses are read; give a file by its path")
    return NetworkSource(config)


_IGNORED = "what it writes around its images (boundaries or Content-Length) is wrong and is ignored"


class NetworkSource(LiveSource):
    """A network camera. A recording on a web server (a container that knows its duration) is read like a file: every
    frame, with the container's times, and it ends.
    """

    kind = "network"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self._open_limit_s = config.open_s
        self._clock = EnvelopeClock()
        self._bare = False
        """Whether what is wrapped around its JPEG images is wrong and to be ignored."""
        self._connection: _NetworkConnection | None = None
        """The one before."""

    def _connect(self) -> "_NetworkConnection":
        self._clock.reset()
        end = time.monotonic() + _OWN * self.config.open_s
        broken = self._connection is not None and self._connection.given < _FEW and not self._bare
        if broken and (answer := self._ask()) is not None:
            self._bare = _http.is_motion_jpeg(answer)
        try:
            # A web server may give something else, and naming or mending that must be over in time, too.
            first_s = (_FIRST if self._web and not self._bare else _OWN) * self.config.open_s
            self._connection = _NetworkConnection(self.config, first_s, self._clock, self._bare, self._packed)
        except StreamError:
            answer = None if self._bare else self._ask()
            left_s = end - time.monotonic()
            if answer is None or left_s <= 0:
                raise
            if not _http.is_motion_jpeg(answer):
                raise StreamError(f"{self.config.shown}: {_http.name(answer)}") from None
            self._bare = True
            self._connection = _NetworkConnection(self.config, left_s, self._clock, self._bare, self._packed)
        return self._connection

    @property
    def _packed(self) -> bool:
        """Whether packets are wanted as they come."""
        return self._tap is not None

    @property
    def _web(self) -> bool:
        return self.config.source.lower().startswith("http")

    def _ask(self) -> _http.Answer | None:
        """What a web server really gives, None where it is none or says no."""
        return _http.ask(self.config.source, min(_ASK * self.config.open_s, _ASK_S)) if self._web else None


class _NetworkConnection:
    def __init__(self, config: SourceConfig, open_s: float, clock: EnvelopeClock, bare: bool, packed: bool) -> None:
        shown = config.shown
        http = config.source.lower().startswith("http")
        self._video = _video.OpenVideo(
            config.source,
            shown,
            _HTTP if http else _RTSP,
            (open_s, config.stall_s),
            low_delay=True,
            container_format="mjpeg" if bare else None,
        )
        self._clock = clock
        self._shown = shown
        self._live = not (http and self._video.duration is not None)
        self._images = self._video.images()
        self._undecodable = self._given = 0
        self._first: _video.Decoded | None = None
        self._packets: PacketReader | None = None
        try:
            if packed and self._live:
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
            messages=(*self._video.notes, *([f"{shown}: {_IGNORED}"] if bare else [])),
        )

    @property
    def given(self) -> int:
        """Images that came."""
        return self._packets.given if self._packets else self._given

    def captures(self) -> Iterator[Capture]:
        """See ``Connection.captures``."""
        if self._packets is not None:
            yield from self._packets.captures()
            return
        media: MediaClock[Image] = MediaClock(1.0 / (self._video.rate or 25.0), wait=not self._video.untimed)
        decoded, self._first = self._first, None
        while decoded is not None:
            self._given += 1
            pts = None if self._video.untimed else decoded.pts
            for _ in range(self._video.corrupt - self._undecodable):
                yield Capture(decoded.arrival, None, "corrupt")
            self._undecodable = self._video.corrupt
            if not self._live:
                yield from (Capture(t, image) for t, image in media.place(pts, decoded.image))
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
