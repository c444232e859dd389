"""How old an image is when its estimate is there: virtual cameras at their own pace, through the whole pipeline.

Compared with a bare loop in the same run: the same camera and the same detector, read and detect, and nothing else.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from benchmarks.camera_server import age, read_mark, sent
from benchmarks.timing import Times, times
from calibration.arrays import Image
from calibration.errors import UserError
from engines import detectors
from engines.detectors import fallback
from engines.types import CrowdSession
from stream.app import build
from stream.channel import Policy
from stream.config import Config
from stream.control import Control
from stream.live.metrics import Summary
from stream.recordings.run_info import RunInfo
from stream.types import Estimate

WARM_S: Final = 2.0
"""What comes before is not counted: connecting, finding the person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that was estimated."""

    camera: int
    number: int
    at: float
    """Monotonic seconds at which its estimate was handed out."""


class Watch:
    """A sink that notes when each frame set's images are estimated, and ends the run after a while."""

    policy: Policy = "every"
    wants_images = True

    def __init__(self, cameras: tuple[str, ...], seconds: float, control: Control) -> None:
        self._control = control
        self.moments: list[list[Seen]] = []
        self._cameras = {name: k for k, name in enumerate(cameras)}
        self._seconds = seconds
        self._end: float | None = None

    def open(self, run_info: RunInfo) -> None:
        """See ``Sink``."""

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        now = time.monotonic()
        self.moments.append(
            [Seen(self._cameras[name], read_mark(i), now) for name, i in images.items() if i is not None]
        )
        # From the first estimate on: connecting to a busy camera is no part of it.
        self._end = self._end or now + self._seconds
        if now > self._end:
            self._control.stop()

    def close(self) -> None:
        """See ``Sink``."""


def steady(config: Config) -> Config:
    """The same run with the first detector of its order alone: a hand-over would measure two detectors as one."""
    return replace(config, detect=replace(config.detect, names=fallback.order(config.detect.names)[:1]))


def following(config: Config) -> CrowdSession:
    """What the pipeline's detector does with each image of a camera, and nothing else: it follows as many people."""
    return detectors.crowd(build.load_detector(config, None), config.people.limit, count())


def pipeline_watch(config: Config, stack: ExitStack, seconds: float) -> Callable[[], tuple[Summary, list[list[Seen]]]]:
    """Load everything; what is returned runs the pipeline on virtual cameras for a while."""
    pipeline, viewer = build.prepare(config, stack)
    watch = Watch(tuple(source.name for source in config.sources), seconds, pipeline.control)
    pipeline.add(watch)
    return lambda: (pipeline.run(viewer), watch.moments)


def detector_watch(config: Config, stack: ExitStack, seconds: float) -> Callable[[], list[list[Seen]]]:
    """Load the detector; what is returned reads the first camera and detects, for a while."""
    session = following(config)
    source = build.open_sources(config, stack)[0].source

    def run() -> list[list[Seen]]:
        found: list[list[Seen]] = []
        while (frame := source.read()) is not None:
            session(frame.image, frame.t)
            found.append([Seen(0, read_mark(frame.image), time.monotonic())])
            if found[-1][0].at > found[0][0].at + seconds:
                break
        return found

    return run


def summarise(moments: list[list[Seen]], urls: tuple[str, ...], warm_s: float | None = None) -> Times:
    """Ages of the oldest image of each frame set; asks the cameras what they sent when.

    Raises:
        UserError: if there was no frame set after the warm-up.
    """
    logs = [sent(url) for url in urls]
    warm_s = WARM_S if warm_s is None else warm_s
    start = moments[0][0].at + warm_s if moments else 0.0
    ages = [
        max(known)
        for seen in moments
        if seen and seen[0].at >= start
        and (known := [a for s in seen if (a := age(logs[s.camera], s.number, s.at)) is not None])
    ]  # fmt: skip
    if not ages:
        raise UserError("no image of the virtual cameras was estimated; the machine is too busy to measure latency")
    return times(ages)
