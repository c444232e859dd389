"""Sources that are opened side by side, and how many moments a take will have."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest

from stream.config import SourceConfig
from stream.live.files import FileMatcher, moment_count
from stream.packed import EMPTY
from stream.sources import make_source, open_all
from stream.sources.synthetic import SyntheticSource
from stream.types import Frame, StreamError


class Together(SyntheticSource):
    """Opens when the others do, and in no other case."""

    meeting = threading.Barrier(1)

    def open(self):
        self.meeting.wait(timeout=30)
        return super().open()


def test_sources_are_opened_side_by_side_and_in_their_order():
    Together.meeting = threading.Barrier(3)
    sources = [Together(SourceConfig(f"synthetic:frames={k}", f"cam{k}")) for k in (1, 2, 3)]
    with ExitStack() as stack:
        infos = open_all(sources, stack)
        assert [(info.name, info.frames) for info in infos] == [("cam1", 1), ("cam2", 2), ("cam3", 3)]
    assert all(source.read() is None for source in sources), "closed with the stack"


def test_of_several_that_cannot_be_opened_each_is_named(tmp_path):
    def source(name):
        return make_source(SourceConfig(str(tmp_path / name), name))

    good = make_source(SourceConfig("synthetic:frames=1", "good"))
    with ExitStack() as stack, pytest.raises(StreamError) as raised:
        open_all([source("left.mp4"), good, source("right.mp4")], stack)
    assert "left.mp4" in str(raised.value) and "right.mp4" in str(raised.value) and "; " in str(raised.value)
    assert good.read() is None
    with ExitStack() as stack, pytest.raises(StreamError, match=r"left\.mp4"):
        open_all([source("left.mp4")], stack)


def reader(camera, times):
    frames = iter([Frame(camera, k, float(t), EMPTY) for k, t in enumerate(times)])
    return lambda: next(frames, None)


STEADY = np.arange(0, 4, 1 / 30)


@pytest.mark.parametrize(
    "times",
    [
        (STEADY, STEADY + 0.01),
        (STEADY, STEADY + 1.5),  # the second goes on after the first has ended
        (np.delete(STEADY, slice(40, 70)), STEADY + 0.002),  # unplugged for a second
        (np.delete(STEADY, slice(40, 70)), np.delete(STEADY, slice(60, 90)), STEADY[10:100] + 0.01),
        (STEADY, np.arange(0, 4, 1 / 20)),
        (np.arange(0, 4, 1 / 20), np.delete(STEADY, slice(50, 90))),
        (STEADY,),
    ],
    ids=["at once", "later", "gap", "gaps", "slower", "slower fills", "one"],
)
def test_how_many_moments_there_will_be(times):
    fps = [(len(t) - 1) / (t[-1] - t[0]) for t in times]
    sets = list(FileMatcher([reader(f"cam{k}", t) for k, t in enumerate(times)], fps))
    assert abs(moment_count(times, fps) - len(sets)) <= 2
    assert moment_count(times, fps, 10.0) == round((max(t[-1] for t in times) - min(t[0] for t in times)) * 10) + 1
    assert moment_count([np.empty(0)], [30.0]) == 0
