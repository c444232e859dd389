"""Pipelines to run in tests: sinks that keep what they get, a source that is late, a detector that sees nobody."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

from engines.lifter import MDNLifter
from engines.types import empty_detection
from stream.live.estimator import Estimator
from stream.live.metrics import Meter
from stream.live.pipeline import OpenSource, Pipeline
from stream.sinks import CameraInfo, RunInfo
from tests.known import KnownDetector

LIFTER = None


def lifter():
    global LIFTER
    LIFTER = LIFTER or MDNLifter()
    return LIFTER


class Collect:
    """A sink that keeps what it gets, and does something on the way."""

    wants_images = True
    essential = False

    def __init__(self, policy="every", act=lambda n: None, broken=""):
        self.policy, self.act, self.broken = policy, act, broken
        self.got, self.images, self.events, self.event_threads = [], [], [], set()
        self.closed, self.thread = 0, None

    def open(self, run_info):
        if self.broken == "open":
            raise OSError("cannot open")
        self.thread = threading.current_thread().name

    def write(self, estimate, images):
        self.act(len(self.got))
        self.got.append(estimate)
        self.images.append(images)

    def event(self, event):
        if self.broken == "event":
            raise KeyError("no such event")
        self.events.append(event)
        self.event_threads.add(threading.current_thread().name)

    def poll(self):
        if self.broken == "poll":
            raise RuntimeError("no display any more")

    def close(self):
        self.closed += 1
        if self.broken == "close":
            raise OSError("cannot close")
        return f"{len(self.got)} moments"


def pipeline(sources, detector=None, **kwargs):
    opened = [OpenSource(source, source.open()) for source in sources]
    estimator = Estimator([s.camera for s in sources], detector or KnownDetector(sources[0]), lifter())
    run_info = RunInfo(
        tuple(CameraInfo(o.info.name, o.info.source, o.info.kind, o.info.size) for o in opened),
        5,
        datetime.now(UTC),
        0.0,
        30.0,
    )
    return Pipeline(opened, estimator, run_info, Meter(), **kwargs)


class Shifted:
    """A source whose times are moved."""

    def __init__(self, source, seconds):
        self._source, self.seconds, self.camera = source, seconds, source.camera

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self):
        frame = self._source.read()
        return None if frame is None else replace(frame, t=frame.t + self.seconds)


class Nobody:
    name = "nobody"

    def session(self):
        return self

    def __call__(self, image, t):
        return empty_detection("nobody")

    def reset(self):
        pass
