"""2D joints that another program has found, in place of images: OpenPose, RTMPose, AlphaPose, DeepLabCut, MediaPipe.

``--detections FOLDER`` reads every camera in it, ``--camera NAME=FOLDER/cam01_json`` one. Images are black.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources._pose_files import PoseFile, cameras_of, is_poses, read
from stream.sources._pose_files._types import Follower
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.types import Frame, KnownFrame, StreamError

_FPS: Final = 30.0
_SPARSE: Final = 100
"""Numbers a frame beyond which they are none of frames."""
_MOST: Final = 16384
_USUAL: Final = ((640, 480), (1280, 720), (1920, 1080), (2704, 1520), (3840, 2160))
"""Sizes one of which is taken where nothing tells, lying or standing."""


def claims(source: str) -> bool:
    """Whether it is a file or folder of 2D joints."""
    return os.path.exists(source) and is_poses(Path(source))


def example(folder: Path) -> str:
    """A folder of twelve frames of OpenPose in which somebody stands."""
    target = folder / "cam_json"
    target.mkdir()
    for index in range(12):
        points = [[200 + 10 * (k % 5), 60 + 12 * k, 0.9] for k in range(25)]
        people = [{"person_id": [-1], "pose_keypoints_2d": [x for point in points for x in point]}]
        (target / f"cam_{index:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return str(target)


def make(config: SourceConfig) -> "DetectionsSource":
    """The source of one camera's 2D joints."""
    return DetectionsSource(config)


def sources_of_detections(folder: Path) -> tuple[str, ...]:
    """What to give to ``--camera`` for every camera whose 2D joints are in a folder.

    Raises:
        StreamError: if there is none.
    """
    return tuple(f"{name}={path}" for name, path in cameras_of(folder).items())


class DetectionsSource(SequenceSource):
    """Frames whose people are known. All share one black image, as large as the calibration or --size says."""

    kind = "detections"
    _file: PoseFile | None = None
    _follower: Follower | None = None
    _size = (0, 0)
    _assumed: tuple[str, ...] = ()

    def _begin(self) -> Iterator[Shot]:
        self._file = file = read(Path(self.config.source))
        if not file.frames:
            raise StreamError(f"{self.config.shown}: there is no frame in it")
        self._size, said = (self.config.size, ()) if self.config.size else _assumed_size(file)
        fps = self.config.fps or _FPS
        rate = () if self.config.fps else (f"its rate is not known: {_FPS:g} Hz is taken (--fps N)",)
        self._assumed = (*said, *rate)
        self._follower = Follower(file, self._size)
        image: Image = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        image.flags.writeable = False
        numbers = sorted(file.frames)
        if numbers[-1] - numbers[0] > _SPARSE * len(numbers):
            # Times of day, and not numbers of frames.
            self._assumed = (
                *self._assumed,
                "its frames are numbered with large gaps: they are taken one after another",
            )
            file = self._file = replace(file, frames={k: file.frames[n] for k, n in enumerate(numbers)})
            self._follower, numbers = Follower(file, self._size), list(range(len(numbers)))
        # A number that is missing is a frame in which nobody was found.
        return (Shot(k, k / fps, image) for k in range(numbers[0], numbers[-1] + 1))

    def _frame_of(self, shot: Shot) -> Frame:
        if self._follower is None:
            raise RuntimeError("read before it was opened")
        return KnownFrame(self.name, shot.index, shot.t, shot.image, self._follower.seen(shot.index))

    def _describe(self, first: Shot) -> SourceInfo:
        file = self._file
        if file is None:
            raise RuntimeError("described before it was opened")
        frames = max(file.frames) - min(file.frames) + 1
        return SourceInfo(
            self.name, self.kind, self.config.shown, self._size, self.config.fps or _FPS, frames, self.live, "media",
            messages=self._assumed, people_known=True,
        )  # fmt: skip


def _assumed_size(file: PoseFile) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The smallest usual size that holds all joints, and what to say about it.

    Raises:
        StreamError: for shares of the sides, of which no size follows.
    """
    if file.shares:
        raise StreamError(
            "its joints are shares of the image's sides: say its size with --size WxH, or give a --calibration"
        )
    x, y = file.reach()
    long, short = max(x, y), min(x, y)
    if long >= _MOST:
        raise StreamError(f"a joint lies at {long:.6g} pixels, beyond any image; is it a file of 2D joints?")
    size = next(((w, h) for w, h in _USUAL if w > long and h > short), (int(long) + 1, int(short) + 1))
    size = size if x >= y else (size[1], size[0])
    return size, (f"the size of its images is not known: {size[0]}x{size[1]} is taken (--size WxH, or a calibration)",)
