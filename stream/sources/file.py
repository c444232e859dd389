"""Video files, through PyAV: every frame, in order, with the container's own times."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources._clock import MediaClock
from stream.sources._joined import end_of_first, joined_bytes
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import NAME, NAME_IN_WORDS, SourceInfo, Start
from stream.sources._truncation import missing, never_finished
from stream.sources._video import OpenVideo
from stream.types import StreamError

# Self-contained formats only. Playlists (HLS, DASH, concat, SDP ...) make FFmpeg open whatever other file or address
# their text names, so a video from a stranger could read files here or call home.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,mjpeg,mpjpeg,h264,hevc,m4v,obu,av1,ivf,flv,asf,ogg,gif,nut,mxf,dv,rm,"
    "yuv4mpegpipe,3gp,wtv,dhav,apng"
)
_DEFAULT_FPS = 25.0
_MEASURED = 4
"""Further images that are looked at for the rate."""


def claims(source: str) -> bool:
    """Whether it can only be a file. What no other kind claims is taken for one."""
    return False


def make(config: SourceConfig) -> "FileSource":
    """The source of one video file."""
    return FileSource(config)


class FileSource(SequenceSource):
    """A video file. Turned upright by its rotation mark. Damaged images are handed out as far as they decode."""

    kind = "file"
    _video: OpenVideo | None = None
    _measured: float | None = None
    """Frames a second by the first two times, where the container has times and says no rate."""

    def _begin(self) -> Iterator[Shot]:
        shown = self.config.shown
        path = Path(self.config.source)
        problem, status = "", None
        try:
            status = os.stat(path)
        except FileNotFoundError:
            problem = f"there is no such file{_no_name(shown)}"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except ValueError as error:  # a NUL in the name
            problem = f"cannot be read: {error}"
        # Raised out here so that the error with the whole name in it, perhaps a password, is not chained to ours.
        if status is None:
            raise StreamError(f"{shown}: {problem}")
        if not stat.S_ISREG(status.st_mode):
            raise StreamError(f"{shown}: not a file")
        if status.st_size == 0:
            raise StreamError(f"{shown}: the file is empty")
        options = {"protocol_whitelist": "subfile,file", "format_whitelist": FORMATS}
        try:
            self._video = OpenVideo(_address(path), shown, options)
        except StreamError:
            if not never_finished(path):
                raise
            problem = "its index (moov) is missing: the recording was cut off before it was finished; a repair tool "
            problem += "such as untrunc makes one by a good file of the same camera"
        if self._video is None:
            raise StreamError(f"{shown}: {problem}")
        return self._run(self._video)

    def _fps(self, video: OpenVideo) -> float:
        return self._measured or video.rate or self.config.fps or _DEFAULT_FPS

    def _run(self, video: OpenVideo) -> Iterator[Shot]:
        shown = self.config.shown
        clock: MediaClock[tuple[int, Image]] = MediaClock(1.0 / self._fps(video), wait=not video.untimed)
        damaged = 0
        index = 0
        try:
            for decoded in video.images():
                damaged += decoded.corrupt
                self.corrupt = damaged + video.corrupt
                placed = clock.place(None if video.untimed else decoded.pts, (index + video.corrupt, decoded.image))
                index += 1
                yield from (Shot(number, t, image) for t, (number, image) in placed)
        except StreamError as error:
            if index == 0:
                raise
            # What came so far is good: it ends here, and says so.
            self.note = f"{error}, after {index} frames"
        yield from (Shot(number, t, image) for t, (number, image) in clock.rest())
        self.corrupt = damaged + video.corrupt
        if clock.filled > 1 and not video.untimed and not self.note:
            self.note = (
                f"{shown}: its last {clock.filled} frames have no times of their own; taken as "
                f"{self._fps(video):g} frames a second"
            )
        if not self.note and (lacks := self._missing(video)):
            self.note = f"{shown}: ends after {index} frames: {lacks}; is the file cut off?"
        if not self.note and (behind := joined_bytes(Path(self.config.source), video.read_to)):
            self.note = (
                f"{shown}: ends after {index} frames; behind them another file begins ({behind} bytes), which is not "
                "read: files joined as bytes are to be split again and given as A+B"
            )

    def _missing(self, video: OpenVideo) -> str:
        """What is missing at the end: FFmpeg takes the end of a truncated file for the end of the video."""
        try:
            said = missing(Path(self.config.source))
        except OSError:
            return ""  # gone by now; what was read was whole
        duration = video.duration
        # Durations are not exact, but where nothing better is known.
        if said is None and duration and not video.untimed and video.end < 0.95 * duration - 1.5 / self._fps(video):
            return f"it has {video.end:.2f} of {duration:.2f} s"
        return said or ""

    def _expected(self, video: OpenVideo) -> int | None:
        """About how many frames there are, by the container's header."""
        stream, fps = video.stream, self._fps(video)
        if stream.frames > 0:
            # An edit list may leave out some of them.
            shown = round(stream.duration * stream.time_base * fps) if stream.duration and stream.time_base else 0
            return min(stream.frames * video.each, shown) or stream.frames * video.each
        return round(video.duration * fps) if video.duration is not None and not video.untimed else None

    def _describe(self, first: Shot) -> SourceInfo:
        video = self._video
        if video is None:
            raise RuntimeError("described before it was opened")
        if not video.untimed and (video.rate is None or video.format == "avi"):
            self._measure(first)
        messages = list(video.notes)
        fps = self._fps(video)
        if video.untimed:
            messages.append(f"{self.config.shown}: it holds no times; taken as {fps:g} frames a second (--fps)")
        return SourceInfo(
            name=self.name,
            kind=self.kind,
            source=self.config.shown,
            size=(first.image.shape[1], first.image.shape[0]),
            fps=fps,
            frames=self._expected(video),
            live=self.live,
            clock="media",
            start=None if video.untimed else Start(first.t, video.habit, video.format),
            timecode=video.timecode,
            messages=tuple(messages),
        )

    def _measure(self, first: Shot) -> None:
        """The rate by the first times where the container says none, or, AVI, counts places that are empty."""
        shots, rate = self._shots, self._video.rate if self._video else None
        few = [first, *islice(shots, _MEASURED)]
        self._shots = _before(few[1:], shots)
        steps = [after.t - before.t for before, after in zip(few, few[1:], strict=False)]
        if steps and (rate is None or min(steps) > 1.5 / rate):
            self._measured = 1 / min(steps)

    def _release(self) -> None:
        if self._video is not None:
            self._video.close()


def _address(path: Path) -> str:
    """What FFmpeg is to open: of files joined as bytes that it would mix up, the first."""
    try:
        end = end_of_first(path)
    except OSError:
        end = None  # it will say why
    file = f"file:{path.resolve()}"
    return file if end is None else f"subfile,,start,0,end,{end},,:{file}"


def _before(few: Sequence[Shot], shots: Iterator[Shot]) -> Iterator[Shot]:
    yield from few
    yield from shots


def _no_name(shown: str) -> str:
    """What to add of a missing file whose = was meant to come after a name, and did not."""
    name, mark, _ = shown.partition("=")
    if not mark or re.fullmatch(NAME, name):
        return ""
    return f"; {name!r} is no name of a camera either: a name is {NAME_IN_WORDS}"
