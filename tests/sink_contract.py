"""What every sink must keep to, tried on a run; a viewer by ``python -m tests.sink_contract KIND``.

Qt aborts the process whose display goes away, so a window cannot be opened in the tests' own.
"""

import sys
import threading
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from engines.lifter import MDNLifter
from stream.app.command_line import config_of, parser
from stream.control import Control
from stream.drawing.facts import Status
from stream.live.estimator import Estimator
from stream.live.metrics import Meter
from stream.live.pipeline import OpenSource, Pipeline
from stream.recordings.takes import new_take
from stream.sinks import CameraInfo, Run, RunInfo, SinkOptions, kinds
from tests.known import KnownDetector, figure

FRAMES = 12


class Spy:
    """A sink with a record of who called what; its ``write`` fails at a frame, if it is to."""

    def __init__(self, sink, fail_at=None):
        self._sink, self._fail_at = sink, fail_at
        self.calls, self.threads, self.indices = [], set(), []

    def __getattr__(self, name):
        return getattr(self._sink, name)

    def _note(self, what):
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)

    def open(self, run_info):
        self._note("open")
        self._sink.open(run_info)

    def write(self, estimate, images):
        self._note("write")
        assert bool(images) == self._sink.wants_images
        before = {name: image.copy() for name, image in images.items() if image is not None}
        self._sink.write(estimate, images)
        for name, image in before.items():
            np.testing.assert_array_equal(images[name], image, "a sink does not draw on what others share")
        self.indices.append(estimate.index)
        if len(self.indices) == self._fail_at:
            raise ZeroDivisionError("on purpose")

    def poll(self):
        self._note("poll")
        self._sink.poll()

    def close(self):
        self._note("close")
        return self._sink.close()


class Count:
    """A bystander."""

    policy = "every"
    wants_images = False

    def __init__(self):
        self.indices, self.closed = [], 0

    def open(self, run_info):
        pass

    def write(self, estimate, images):
        self.indices.append(estimate.index)

    def close(self):
        self.closed += 1


def example(kind: type[SinkOptions]) -> SinkOptions:
    """The options that the examples of its flags, and of those it needs, give on the command line."""
    flags = ["--camera", "synthetic:frames=3", "--view", "none"]
    for other in {kind, *(k for k in kinds().values() if k.role == "take" and kind.role == "take")}:
        for field in fields(other):
            flags.append("--" + field.name.replace("_", "-"))
            if not isinstance(field.default, bool):
                assert field.metadata["example"], f"give {field.name} of {kind.name()} an example"
                flags.append(field.metadata["example"])
    config = config_of(parser().parse_args(flags))
    (options,) = (o for o in config.output.sinks if type(o) is kind)
    options.check(config)
    return options


def made(kind: type[SinkOptions], control: Control):
    """A sink of this kind."""
    options = example(kind)
    take = new_take(Path("takes")) if kind.role == "take" else None
    sink = options.make(Run(Status, control, take))
    assert sink is not None, "the examples of its flags ask for it"
    return sink


def run(kind: type[SinkOptions], fail_at=None, control=None, other=None):
    """One run over a made-up file; returns the spy, the bystander and the summary."""
    source = figure(f"synthetic:frames={FRAMES}")
    opened = OpenSource(source, source.open())
    info = RunInfo((CameraInfo("cam0", "synthetic", "synthetic", opened.info.size),), 5, datetime.now(UTC), 0.0, 30.0)
    pipe = Pipeline(
        [opened], Estimator([source.camera], KnownDetector(source), MDNLifter()), info, Meter(), control=control
    )
    spy, other = Spy(made(kind, pipe.control), fail_at), other or Count()
    assert spy.policy in ("latest", "every") and isinstance(spy.wants_images, bool)
    pipe.add(other)
    if kind.role == "viewer":
        summary = pipe.run(spy, kind.name())
    else:
        pipe.add(spy, kind.name())
        summary = pipe.run()
    assert other.indices == list(range(FRAMES)) and other.closed == 1, "no sink spoils it for another"
    assert [t.name for t in threading.enumerate() if t.name.startswith(("sink-", "compute", "camera-"))] == []
    return spy, other, summary


def whole(kind: type[SinkOptions]) -> None:
    """A run that goes well."""
    spy, _, summary = run(kind)
    calls = [c for c in spy.calls if c != "poll"]
    assert calls == ["open", *["write"] * len(spy.indices), "close"]
    assert spy.threads == {"MainThread" if kind.role == "viewer" else f"sink-{kind.name()}"}
    if spy.policy == "every":
        assert spy.indices == list(range(FRAMES)) and not summary.skips
    else:
        assert spy.indices == sorted(set(spy.indices)) and spy.indices[-1] == FRAMES - 1, "the newest is always shown"
        assert summary.skips.get(f"by {kind.name()}", 0) == FRAMES - len(spy.indices)
    assert summary.failures == () and not summary.drops
    assert all("\n" not in line for line in summary.lines)


def broken(kind: type[SinkOptions]) -> None:
    """A run in which the sink fails."""
    spy, _, summary = run(kind, fail_at=1)
    assert [c for c in spy.calls if c != "poll"] == ["open", "write", "close"], "closed once, and not written to again"
    (failure,) = summary.failures
    assert kind.name() in failure and "on purpose" in failure


if __name__ == "__main__":
    for check in (whole, broken):
        check(kinds()[sys.argv[1]])
    print("kept")
