"""The frame recorder: the cameras' images beside a recording, so that a take can be processed again."""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
from av.error import FFmpegError
from av.video.stream import VideoStream

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import FRAMES, schemas
from stream.recordings.segments import SegmentWriter
from stream.types import Estimate, SinkStoppedError, StreamError
from stream.words import number_of

# Matroska writes a whole cluster at a time, by default 5 s of it: that is what a kill would lose.
_CONTAINER = {"cluster_time_limit": "400", "flush_packets": "1"}
# No look-ahead and no B frames, so that the encoder holds nothing back. 8 ms of CPU a megapixel and 17 Mbit/s for a
# 1768x994 walker at 30 fps; "veryfast" halves the file and doubles the time, which the live pipeline needs more.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
_MILLISECOND = Fraction(1, 1000)  # Matroska's own resolution; the exact times are in the table
FLUSH_S, SYNC_S = 0.4, 0.8
_FAULTS = (OSError, FFmpegError)


def encoder() -> tuple[str, dict[str, str]]:
    """The best video encoder that this build of FFmpeg has, and its options."""
    try:
        av.Codec("libx264", "w")
    except ValueError:  # av.codec.codec.UnknownCodecError is one
        return "mpeg4", {"qscale": "3"}
    return "libx264", _X264


class _Video:
    """One Matroska file of one camera. Raises OSError where the disk does not take it."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        self.path, self.size, self.began, self.count = path, size, time.monotonic(), 0
        self._pts = -1
        path.open("xb").close()  # never overwrites
        # An absolute path, or FFmpeg takes what stands before a colon for a protocol.
        self._container = av.open(str(path.resolve()), "w", format="matroska", container_options=_CONTAINER)
        codec, options = encoder()
        stream = self._container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001), options=options)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec} is no video encoder")
        stream.width, stream.height = size
        # 4:2:0 halves the chroma of both axes; an image of odd size has no half, and must not be cropped or padded.
        odd = codec == "libx264" and (size[0] % 2 or size[1] % 2)
        stream.pix_fmt = "yuv444p" if odd else "yuv420p"
        stream.codec_context.time_base = _MILLISECOND
        stream.codec_context.gop_size = max(round(rate), 1)
        self._stream = stream

    def write(self, image: Image, t: float) -> float:
        """Encode one image taken t seconds after the recording's start; returns its time in the file, seconds."""
        self._pts = max(round(t * 1000), self._pts + 1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.pts, frame.time_base = self._pts, _MILLISECOND
        self._container.mux(self._stream.encode(frame))
        self.count += 1
        return self._pts / 1000

    def sync(self) -> None:
        """Wait until what FFmpeg has written is on the disk itself."""
        # Windows syncs only what is open for writing.
        fd = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Write what the encoder still has, and the index."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Let go of a file that cannot be written any more."""
        with contextlib.suppress(*_FAULTS):
            self._container.close()


class FrameRecorder:
    """Writes ``frames-CAMERA-NAME-00000.mkv`` and the table ``frames`` into a take.

    A new file begins when the size of the images changes or the file is old. Encoding costs a core some 8 ms a
    megapixel; a live source whose frames do not get through loses images here, which the table shows, never estimates.
    """

    policy: Policy = "every"
    wants_images = True

    def __init__(self, take: Path, *, max_s: float = 600.0) -> None:
        """Prepare to record into the folder of a take (``new_take``); a file ends after max_s seconds."""
        self.take, self.max_s = take, max_s
        self.frames = 0
        """Images recorded so far."""
        self._videos: dict[str, _Video] = {}
        self._numbers: dict[str, int] = {}
        self._stems: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._table: SegmentWriter | None = None
        self._rows: list[dict[str, object]] = []
        self._flushed = self._synced = 0.0
        self._start: float | None = None
        self._rate = 30.0
        self._stopped = False

    def open(self, run_info: RunInfo) -> None:
        """Create the table; the videos begin with their first image.

        Raises:
            StreamError: if it cannot be created.
        """
        try:
            self._table = SegmentWriter(self.take, FRAMES, schemas(run_info)[FRAMES])
        except OSError as error:
            raise StreamError(f"cannot record frames to {self.take}: {error.strerror or error}") from None
        self._rate = run_info.fps or 30.0
        self._stems = {
            camera.name: f"{FRAMES}-{number}-{re.sub(r'[^A-Za-z0-9_]+', '_', camera.name)}"
            for number, camera in enumerate(run_info.cameras)
        }
        self._flushed = self._synced = time.monotonic()

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Encode the images of one moment that were not in the one before.

        Raises:
            SinkStoppedError: if the disk is full or gone. The videos are readable up to about half a second before.
        """
        try:
            for frame in estimate.frames:
                image = None if frame is None else images.get(frame.camera)
                if frame is None or image is None or self._last.get(frame.camera) == frame.frame_index:
                    continue  # a slow camera's image is in several moments
                self._last[frame.camera] = frame.frame_index
                if self._start is None:
                    self._start = frame.t
                video = self._video(frame.camera, (image.shape[1], image.shape[0]))
                number, seconds = video.count, video.write(image, frame.t - self._start)
                row = (frame.camera, frame.frame_index, frame.t, video.path.name, number, seconds)
                self._rows.append(dict(zip(self._writer.schema.names, row, strict=True)))
                self.frames += 1
            now = time.monotonic()
            if now - self._flushed >= FLUSH_S:
                self._flush()
            if now - self._synced >= SYNC_S:
                self._writer.sync()
                for video in self._videos.values():
                    video.sync()
                self._synced = time.monotonic()
        except _FAULTS as error:
            raise self._stop(error) from None

    def close(self) -> str:
        """End the files.

        Raises:
            SinkStoppedError: if that fails and ``write`` has not said so before.
        """
        if not self._stopped:
            try:
                for name in list(self._videos):
                    self._end(name)
                self._flush()
                self._writer.close()
            except _FAULTS as error:
                raise self._stop(error) from None
        images, cameras = number_of(self.frames, "image"), number_of(len(self._numbers), "camera")
        return f"frames: {images} of {cameras} in {self.take}"

    @property
    def _writer(self) -> SegmentWriter:
        if self._table is None:
            raise RuntimeError("write before open")
        return self._table

    def _video(self, camera: str, size: tuple[int, int]) -> _Video:
        video = self._videos.get(camera)
        if video is not None and (video.size != size or time.monotonic() - video.began >= self.max_s):
            self._end(camera)
            video = None
        if video is None:
            number = self._numbers.get(camera, 0)
            video = _Video(self.take / f"{self._stems[camera]}-{number:05d}.mkv", size, self._rate)
            self._videos[camera], self._numbers[camera] = video, number + 1
        return video

    def _end(self, camera: str) -> None:
        self._videos.pop(camera).close()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._rows:
            rows, self._rows = self._rows, []
            self._writer.append(pa.RecordBatch.from_pylist(rows, schema=self._writer.schema))

    def _stop(self, error: Exception) -> SinkStoppedError:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._flush()
            self._writer.close()
        for video in self._videos.values():
            video.abandon()
        self._videos.clear()
        why = getattr(error, "strerror", None) or error
        return SinkStoppedError(
            f"recording of frames stopped: {why}; what is in {self.take} up to then is readable:"
            " free some space and record again"
        )
