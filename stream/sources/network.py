"""Network cameras (RTSP, MJPEG or others over HTTP), through PyAV: real timeouts, and no change of size is hidden."""

import re
from collections.abc import Iterator

from stream.config import SourceConfig
from stream.sources import _video
from stream.sources._clock import EnvelopeClock, MediaClock
from stream.sources._live import Capture, LiveSource
from stream.sources._source import SourceInfo
from stream.types import StreamError

SCHEMES = ("rtsp", "rtsps", "http", "https")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What a server may make FFmpeg open: never a file. No playlists (HLS, DASH): they name further addresses, and come a
# segment at a time, which is no live view.
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


class NetworkSource(LiveSource):
    """A network camera. A recording on a web server (a container that knows its duration) is read like a file: every
    frame, with the container's times, and it ends.
    """

    kind = "network"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self._clock = EnvelopeClock()

    def _connect(self) -> "_NetworkConnection":
        self._clock.reset()
        return _NetworkConnection(self.config, self._clock)


class _NetworkConnection:
    def __init__(self, config: SourceConfig, clock: EnvelopeClock) -> None:
        shown = config.shown
        http = config.source.lower().startswith("http")
        self._video = _video.OpenVideo(
            config.source, shown, _HTTP if http else _RTSP, (config.open_s, config.stall_s), low_delay=True
        )
        self._clock = clock
        self._shown = shown
        self._live = not (http and self._video.duration is not None)
        self._images = self._video.images()
        self._undecodable = 0
        try:
            self._first = next(self._images, None)
            if self._first is None:
                raise StreamError(f"{shown}: it ended before there was an image")
        except BaseException:
            self.close()
            raise
        frames = None if self._live else self._video.stream.frames or None
        self.info = SourceInfo(
            name=config.name,
            kind=NetworkSource.kind,
            source=shown,
            size=(self._first.image.shape[1], self._first.image.shape[0]),
            fps=self._video.rate,
            frames=frames,
            live=self._live,
            clock="monotonic" if self._live else "media",
            messages=self._video.notes,
        )

    def captures(self) -> Iterator[Capture]:
        """See ``Connection.captures``."""
        media = MediaClock(1.0 / (self._video.rate or 25.0))
        decoded, self._first = self._first, None
        while decoded is not None:
            pts = None if self._video.untimed else decoded.pts
            for _ in range(self._video.corrupt - self._undecodable):
                yield Capture(decoded.arrival, None, "corrupt")
            self._undecodable = self._video.corrupt
            if not self._live:
                yield Capture(media.time(pts), decoded.image)
            else:
                t = self._clock.time(pts, decoded.arrival)
                if decoded.corrupt:
                    yield Capture(t, None, "corrupt")
                elif not self._clock.settled:
                    yield Capture(t, None, "old")
                else:
                    yield Capture(t, decoded.image)
            decoded = next(self._images, None)
        if self._live:
            raise StreamError(f"{self._shown}: the stream ended; opening it again")

    def close(self) -> None:
        """Release the connection."""
        self._images.close()
        self._video.close()
