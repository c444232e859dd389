"""A camera of a take: ``TAKE/CAMERA``, every recorded image with the time at which it was taken, gaps included."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from calibration.geometry.camera import Camera
from calibration.geometry.turning import turn_camera
from calibration.types import Calibration
from stream.config import SourceConfig
from stream.packed import Captured
from stream.recordings.capture import CaptureWriter
from stream.recordings.captured import frame_times
from stream.recordings.replay import read_frames
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.recordings.schema import FRAMES
from stream.recordings.segments import Span
from stream.recordings.takes import Take, holds, new_take, open_take
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.types import StreamError


def claims(source: str) -> bool:
    """Whether what stands before the last part is a take with images, or a folder of takes."""
    path = Path(source)
    if path.name == source:
        return False  # a name alone, which was meant for a file that there is not, whatever lies beside it
    return path.name not in ("", "..") and not os.path.lexists(source) and holds(path.parent, FRAMES)


def example(folder: Path) -> str:
    """A camera of a take that is written into the folder."""
    names, start = ("cam",), time.monotonic()
    info = RunInfo((CameraInfo("cam", "none", "synthetic"),), 1, datetime.now(UTC), start, 30.0)
    take = new_take(folder)
    writer = CaptureWriter(names, "mjpeg")
    writer.expect(start)
    writer.begin(take, info)
    for index in range(12):
        t = start + index / 30
        writer.tap("cam")(Captured("cam", index, t, t, None, np.full((48, 64, 3), 20 * index, np.uint8)))
    writer.close()
    return str(take / "cam")


def make(config: SourceConfig) -> "TakeSource":
    """The source of one camera of a take."""
    return TakeSource(config)


def sources_of_take(path: Path) -> tuple[str, ...]:
    """What to give to ``--camera`` for every camera of a take, in its order.

    Raises:
        StreamError: if there is no take, or it holds no images.
    """
    take = open_take(path)
    if not holds(take.folder, FRAMES):
        raise StreamError(f"{take.folder} holds no images: it was recorded without --capture or --record-video")
    return tuple(f"{camera.name}={take.folder / camera.name}" for camera in take.run_info.cameras)


def rotation_of(source: str) -> int | None:
    """Degrees clockwise by which the images of a camera were to be turned when they were captured; None: not said."""
    path = Path(source)
    try:
        settings = open_take(path.parent).run_info.settings.get("capture", {})
    except StreamError:
        return None  # opening it will say so
    rotate = settings.get("rotate", {}) if isinstance(settings, dict) else {}
    degrees = rotate.get(path.name) if isinstance(rotate, dict) else None
    return degrees if degrees in (90, 180, 270) else None


def calibration_of_take(
    sources: Sequence[SourceConfig], flag: str = "--calibration", whole: bool = False
) -> Calibration | None:
    """The calibration that a take holds, of the cameras that are read from it; None where one of them has none there.

    Its cameras are named like the sources, and turned as their images will be.

    Args:
        sources: what is read.
        flag: what would give another one, for the remark.
        whole: with it come the take's other cameras, named as there, and turned as they were to be.

    Raises:
        CalibrationError: for a lens that cannot be turned.
    """
    folders = {Path(source.source).parent for source in sources if claims(source.source)}
    if len(folders) != 1 or not all(claims(source.source) for source in sources):
        return None
    try:
        take = open_take(folders.pop())
    except StreamError:
        return None  # opening it will say so
    stored = {camera.name: camera for camera in take.run_info.cameras}
    read = [(source.name, stored.get(Path(source.source).name), source.rotate or 0) for source in sources]
    if any(camera is None or camera.calibration is None for _, camera, _ in read):
        return None
    taken = {source.name for source in sources} | {Path(source.source).name for source in sources}
    others = [c for c in stored.values() if whole and c.calibration is not None and c.name not in taken]
    read += [(camera.name, camera, rotation_of(str(take.folder / camera.name)) or 0) for camera in others]
    cameras: list[Camera] = []
    known: list[CameraInfo] = []
    for name, camera, turn in read:
        if camera is not None and camera.calibration is not None:
            cameras.append(replace(turn_camera(camera.calibration, turn), name=name))
            known.append(camera)
    placed = any(np.any(camera.t) or not np.array_equal(camera.R, np.eye(3)) for camera in cameras)
    said = f"the calibration that {take.folder} was captured with is used ({flag} FILE gives another)"
    devices, serials = tuple(camera.device for camera in known), tuple(camera.serial for camera in known)
    return Calibration(tuple(cameras), placed or len(cameras) == 1, devices, serials, remarks=(said,))


class TakeSource(SequenceSource):
    """One camera of a take. Images that cannot be decoded are left out, and those of another size than the first."""

    kind = "take"
    _take: Take | None = None
    _other = 0

    def _begin(self) -> Iterator[Shot]:
        path = Path(self.config.source)
        self._take = take = open_take(path.parent)
        names = [camera.name for camera in take.run_info.cameras]
        if path.name not in names:
            raise StreamError(f"{take.folder} has no camera {path.name!r}; there are {', '.join(names)}")
        return self._shots_of(take, path.name)

    def _shots_of(self, take: Take, camera: str) -> Iterator[Shot]:
        size, last = None, float("-inf")
        for frame in read_frames(take, camera, self._damaged):
            size = size or frame.image.shape
            if frame.image.shape != size:
                self._other += 1
                self.note = (
                    f"{self.config.shown}: {self._other} of its images have another size than {size[1]}x{size[0]} "
                    "and are left out: a calibration holds for one size"
                )
            elif frame.t > last:
                last = frame.t
                yield Shot(frame.index, frame.t, frame.image)

    def _damaged(self, span: Span) -> None:
        self.corrupt += span.rows
        if span.state == "torn" and not span.segment.endswith(".arrows"):
            self.note = f"{self.config.shown}: {span.segment} lacks {span.rows} images that the take names"
        else:
            self.note = f"{self.config.shown}: {span.segment} is {span.state}; what is in it is left out"

    def _describe(self, first: Shot) -> SourceInfo:
        take = self._take
        if take is None:
            raise RuntimeError("described before it was opened")
        name = Path(self.config.source).name
        known = next(camera for camera in take.run_info.cameras if camera.name == name)
        times = frame_times(take, name)
        long = float(times[-1] - times[0])
        return SourceInfo(
            name=self.name,
            kind=self.kind,
            source=self.config.shown,
            size=(first.image.shape[1], first.image.shape[0]),
            fps=(len(times) - 1) / long if long > 0 else take.run_info.fps,
            frames=len(times),
            live=self.live,
            clock="media",
            times=tuple(times.tolist()),
            device=known.device,
            serial=known.serial,
            taken=(take.run_info.start_utc, take.run_info.start_monotonic),
        )
