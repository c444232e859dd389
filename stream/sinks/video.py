"""The composed picture as an MP4 that keeps the frames' own times, and one of its frames as a PNG."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from calibration.arrays import Image
from calibration.writing import WriteError, check_target, put, write_bytes
from engines.skeleton import LIMBS
from stream.channel import Policy
from stream.config import Config
from stream.drawing.compose import compose
from stream.drawing.facts import Status
from stream.drawing.figures import follow
from stream.drawing.scene import ViewState
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, SinkStoppedError, flag
from stream.sources import files_of
from stream.types import Estimate, StreamError, View
from stream.words import number_of

_CLOCK: Final = 90_000  # ticks a second: MPEG's own, exact for 24, 25, 30, 50 and 60 frames a second
_SHORTEST: Final = _CLOCK // 1000
# Fragments of a second are written as they come, so that a killed run leaves what it had; when the file is closed
# well, FFmpeg (7.1 and later) turns it into a plain MP4 that every player can seek in.
_MOVFLAGS: Final = {"movflags": "hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"}
_X264: Final = {"preset": "veryfast", "crf": "20", "bf": "0", "rc-lookahead": "0", "sc_threshold": "0"}
# FFmpeg's own errors, such as of a muxer, are no OSError; those of the disk are both.
_FAULTS: Final = (OSError, FFmpegError)


def _writable(path: Path, suffix: str, what: str) -> Path:
    """Check where an output goes before anything is captured, without making anything."""
    if path.suffix.lower() != suffix:
        raise StreamError(f"{what} {path}: give a file that ends in {suffix}")
    try:
        check_target(path)
    except WriteError as error:
        raise StreamError(f"{what} {error}") from error
    return path


def representative(estimate: Estimate) -> float:
    """How well a frame set shows what this is about: all limbs seen well inside the image, and ghosts to be seen.

    The sum over all people, averaged over the cameras, of a product of three shares: the mean limb score cubed (a joint
    out of the image counts 0), the person's height in the image (best from half of it on), and how far the hypotheses
    are apart (0.5 at 60 mm).
    """
    values = [
        0.0 if frame is None else sum(_shows(view, frame.size) for view in estimate.views_of(k))
        for k, frame in enumerate(estimate.frames)
    ]
    return float(np.mean(values)) if values else 0.0


def _shows(view: View, size: tuple[int, int]) -> float:
    seen = view.detection
    if view.mixture is None:
        return 0.0
    limbs = list(LIMBS)
    w, h = size
    xy = seen.xy[limbs]
    inside = ((xy > [0.01 * w, 0.01 * h]) & (xy < [0.99 * w, 0.99 * h])).all(-1)
    score = float(np.where(inside, seen.score[limbs], 0).mean())
    tall = min(float(np.ptp(xy[inside, 1])) / (0.5 * h), 1.0) if inside.any() else 0.0
    apart = np.linalg.norm(view.mixture.mean - view.mixture.mean.mean(0), axis=-1).mean()
    # A cube, because one missing foot spoils a still more than a little less spread.
    return score**3 * tall * float(apart / (apart + 60.0))


class VideoSink:
    """Writes every frame set's composed picture, and at the end the most representative one as a still."""

    policy: Policy = "every"
    wants_images = True

    def __init__(
        self,
        video: Path | None,
        still: Path | None = None,
        status: Callable[[], Status] = Status,
        *,
        size: tuple[int, int] = (1280, 720),
        view: ViewState | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Check that the files can be written.

        Args:
            video: an .mp4, or None for only a still. Written as ``NAME.part.mp4``, which plays to where a killed run
                came; when it is whole it takes the place of an existing file.
            still: a .png, or None.
            status: gives the facts to show.
            size: of the picture, pixels; made even, as 4:2:0 colour needs it.
            view: from where one looks.
            look: called with every frame set.

        Raises:
            StreamError: if a file cannot be written.
        """
        self._video = None if video is None else _writable(video, ".mp4", "video")
        self._part = None if video is None else _writable(video.with_suffix(f".part{video.suffix}"), ".mp4", "video")
        self._still = None if still is None else _writable(still, ".png", "still")
        self._status, self._look = status, look
        self._view = replace(view or ViewState(), size=(size[0] // 2 * 2, size[1] // 2 * 2))
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._first: float | None = None
        self._pts = -1
        self._frames = 0
        self._best: tuple[float, Image] | None = None
        self._failed = False

    def open(self, run_info: RunInfo) -> None:
        """Begin the file. Raises StreamError when it cannot."""
        self._view = replace(self._view, cameras=run_info.cameras)
        if self._part is None:
            return
        rate = Fraction(run_info.fps or 30.0).limit_denominator(1001)
        self._step = max(round(_CLOCK / float(rate)), 1)
        x264 = "libx264" in av.codecs_available
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            # An absolute path, or FFmpeg takes what stands before a colon for a protocol.
            self._container = av.open(str(self._part.resolve()), "w", format="mp4", options=dict(_MOVFLAGS))
            stream = self._container.add_stream("libx264" if x264 else "mpeg4", rate=rate)
            stream.width, stream.height = self._view.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = stream.time_base = Fraction(1, _CLOCK)
            stream.codec_context.gop_size = max(round(float(rate)), 1)
            if x264:
                stream.options = dict(_X264)
            else:
                stream.bit_rate = 6_000_000
            self._stream = stream
        except (*_FAULTS, ValueError) as error:
            raise StreamError(f"video {self._video} cannot be written: {_why(error)}") from error

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Add a frame set. Raises SinkStoppedError when the file cannot take it."""
        self._view = follow(self._view, estimate)
        self._look()
        picture = compose(images, estimate, self._status(), self._view)
        if self._still is not None:
            value = representative(estimate)
            if self._best is None or value > self._best[0]:
                self._best = (value, picture)
        if self._container is None or self._stream is None:
            return
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts = self._time(estimate.t)
        frame.time_base = Fraction(1, _CLOCK)
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except _FAULTS as error:
            self._failed = True
            raise SinkStoppedError(
                f"video {self._video} stopped: {_why(error)}; its first part is {self._part}"
            ) from error
        self._frames += 1

    def close(self) -> str | None:
        """Finish the file and write the still.

        Raises:
            SinkStoppedError: if the end of the video or the still cannot be written.
        """
        lines = [line for line in (self._close_video(), self._write_still()) if line]
        return "; ".join(lines) or None

    def _time(self, t: float) -> int:
        """The frame's time in ticks from the first, always later than the last one's."""
        if self._first is None:
            self._first = t
        pts = round((t - self._first) * _CLOCK)
        # A clock that stands or jumps back (a looping file, a reconnect): go on at the expected pace from there.
        if pts < self._pts + _SHORTEST and self._pts >= 0:
            pts = self._pts + self._step
            self._first = t - pts / _CLOCK
        self._pts = pts
        return pts

    def _close_video(self) -> str | None:
        if self._container is None or self._part is None or self._video is None:
            return None
        try:
            if not self._failed and self._stream is not None and self._frames:
                for packet in self._stream.encode(None):
                    self._container.mux(packet)
            self._container.close()
        except _FAULTS as error:
            if not self._failed:
                raise SinkStoppedError(
                    f"video {self._video} has no proper end: {_why(error)}; it stays as {self._part}"
                ) from error
        finally:
            self._container = None
        if self._failed:
            return f"video: {self._part} ({number_of(self._frames, 'frame')}, cut short)"
        try:
            if not self._frames:
                self._part.unlink(missing_ok=True)
                return f"video: no frames, {self._video} is not written"
            put(self._part.resolve(), self._video.resolve())
        except OSError as error:
            raise SinkStoppedError(f"video {self._video}: {_why(error)}; it stays as {self._part}") from error
        return f"video: {self._video} ({number_of(self._frames, 'frame')})"

    def _write_still(self) -> str | None:
        if self._still is None or self._best is None:
            return None
        _, data = cv2.imencode(".png", self._best[1])
        try:
            write_bytes(self._still, data.tobytes())
        except WriteError as error:
            raise SinkStoppedError(f"still {error}") from error
        return f"still: {self._still}"


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Which files to write."""

    video_out: Path | None = flag(None, "write what the window shows", metavar="MP4", parse=Path, example="v.mp4")
    still_out: Path | None = flag(
        None, "write one representative picture at the end", metavar="PNG", parse=Path, example="s.png"
    )

    force: bool = flag(False, "--video-out and --still-out may replace files that are there")

    def check(self, config: Config) -> None:
        """Refuse a file that would destroy what is read, or what nobody has said may be replaced."""
        for name, path in (("--video-out", self.video_out), ("--still-out", self.still_out)):
            if path is None or not os.path.isfile(path):
                continue
            self._not_read(name, path, config)
        self.refuse_existing()

    def refuse_existing(self) -> None:
        """Refuse files that are there, unless they may be replaced.

        Raises:
            StreamError: naming the first.
        """
        for name, path in (("--video-out", self.video_out), ("--still-out", self.still_out)):
            if path is not None and os.path.isfile(path) and not self.force:
                raise StreamError(f"{name} {path} exists already; give another file, or --force to replace it")

    @staticmethod
    def _not_read(name: str, path: Path, config: Config) -> None:
        for source in config.sources:
            # By inode, as a file has many names. A still could lie in the folder of images that is read.
            read = filter(os.path.exists, files_of(source.source))
            if any(os.path.samefile(one, place) for one in read for place in (path, path.parent)):
                raise StreamError(f"{name} {path} is what --camera {source.shown} reads; give another file")

    def make(self, run: Run) -> VideoSink | None:
        """The writer of both."""
        if self.video_out is None and self.still_out is None:
            return None
        return VideoSink(self.video_out, self.still_out, run.status, view=run.view, look=run.look)


def _why(error: Exception) -> str:
    """What the system says, without FFmpeg's decorations."""
    return getattr(error, "strerror", None) or str(error)
