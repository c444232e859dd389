"""The frame recorder: the cameras' images beside a recording, so that a take can be processed again."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.frame_table import FrameTable
from stream.recordings.run_info import NODE, RunInfo
from stream.recordings.schema import FRAMES, schemas
from stream.recordings.takes import video_stem
from stream.recordings.video_files import FAULTS, EncodedFile
from stream.recordings.writer import FLUSH_S, SYNC_S
from stream.types import Estimate, SinkStoppedError, StreamError
from stream.words import number_of


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
        self._videos: dict[str, EncodedFile] = {}
        self._numbers: dict[str, int] = {}
        self._stems: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._opened: FrameTable | None = None
        self._flushed = self._synced = 0.0
        self._start: float | None = None
        self._rate = 30.0
        self._elsewhere: set[str] = set()
        self._stopped = False

    def open(self, run_info: RunInfo) -> None:
        """Create the table; the videos begin with their first image.

        Raises:
            StreamError: if it cannot be created.
        """
        try:
            self._opened = FrameTable(self.take, schemas(run_info)[FRAMES])
        except OSError as error:
            raise StreamError(f"cannot record frames to {self.take}: {error.strerror or error}") from None
        self._rate = run_info.fps or 30.0
        # Of them there are at most small pictures here; the images are kept where they are taken.
        self._elsewhere = {camera.name for camera in run_info.cameras if camera.source.startswith(NODE)}
        self._stems = {camera.name: video_stem(number, camera.name) for number, camera in enumerate(run_info.cameras)}
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
                if frame.camera in self._elsewhere:
                    continue
                self._last[frame.camera] = frame.frame_index
                if self._start is None:
                    self._start = frame.t
                video = self._video(frame.camera, (image.shape[1], image.shape[0]))
                number, seconds = video.count, video.write(image, frame.t - self._start)
                self._table.add(frame.camera, frame.frame_index, frame.t, video.path.name, number, seconds)
                self.frames += 1
            now = time.monotonic()
            if now - self._flushed >= FLUSH_S:
                self._flush()
            if now - self._synced >= SYNC_S:
                self._table.sync()
                for video in self._videos.values():
                    video.sync()
                self._synced = time.monotonic()
        except FAULTS as error:
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
                self._table.close()
            except FAULTS as error:
                raise self._stop(error) from None
        images, cameras = number_of(self.frames, "image"), number_of(len(self._numbers), "camera")
        return f"frames: {images} of {cameras} in {self.take}"

    @property
    def _table(self) -> FrameTable:
        if self._opened is None:
            raise RuntimeError("write before open")
        return self._opened

    def _video(self, camera: str, size: tuple[int, int]) -> EncodedFile:
        video = self._videos.get(camera)
        if video is not None and (video.size != size or time.monotonic() - video.began >= self.max_s):
            self._end(camera)
            video = None
        if video is None:
            number = self._numbers.get(camera, 0)
            video = EncodedFile(self.take / f"{self._stems[camera]}-{number:05d}.mkv", size, self._rate)
            self._videos[camera], self._numbers[camera] = video, number + 1
        return video

    def _end(self, camera: str) -> None:
        self._videos.pop(camera).close()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        self._table.flush()

    def _stop(self, error: Exception) -> SinkStoppedError:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._table.close()
        for video in self._videos.values():
            video.abandon()
        self._videos.clear()
        why = getattr(error, "strerror", None) or error
        return SinkStoppedError(
            f"recording of frames stopped: {why}; what is in {self.take} up to then is readable:"
            " free some space and record again"
        )
