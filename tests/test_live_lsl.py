"""Lab Streaming Layer with inlets and outlets in other processes: what is sent, whose clock it is, who can hear it."""

import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from engines.skeleton import JOINTS
from stream.control import Control
from stream.drawing.facts import Status
from stream.sinks import Run
from stream.sinks._people import Space
from stream.sinks.lsl import Lsl
from stream.types import Event, StreamError
from tests.faults.fault import row
from tests.live_peers import Peer
from tests.sockets import beyond, printed
from tests.walker import KERNELS, crowd, multi, single

pytest.importorskip("pylsl", reason="needs pylsl, of requirements-live.txt")
NAME = f"test-{os.getpid()}"


def live(info):
    """The header of a run of cameras that began now."""
    cameras = tuple(replace(camera, kind="camera") for camera in info.cameras)
    return replace(info, cameras=cameras, start_utc=datetime.now(UTC), start_monotonic=time.monotonic(),
                   settings={"people": 2})  # fmt: skip


class Told(Control):
    def __init__(self):
        super().__init__()
        self.events = []
        self.connect(event=lambda *what: self.events.append(what))


@pytest.fixture
def opened():
    made = []

    def open_(info, name=NAME, listen_to=None, control=None, **run):
        sink = Lsl(name, listen_to, None, Run(Status, control or Control(), **run))
        sink.open(info)
        made.append(sink)
        return sink

    yield open_
    for sink in made:
        sink.close()


def test_an_inlet_gets_every_person_in_the_clock_of_the_capture(opened):
    """Times are within 2 ms of those of the capture, measured by two processes with a clock in common."""
    estimate, _, info = crowd([4, 9], cameras=2)
    sink = opened(live(info))
    times, index = {}, 0
    with Peer("lsl", f"{NAME}-2") as peer:

        def write():
            nonlocal index
            index += 1
            times[index] = time.monotonic() - 0.05
            first, second = estimate.people
            moved = replace(second, pose=replace(second.pose, joints=second.pose.joints + [1000 * index, 0, 0]))
            sink.write(replace(estimate, t=times[index], people=(first, moved)), {})

        told = peer.until(lambda got: "labels" in got, act=write)
        got = [peer.until(lambda got: "sample" in got, act=write) for _ in range(10)]
    labels = [label for label, *_ in told["labels"]]
    assert labels[:2] == ["person", "probability"] and labels[2:] == [
        f"{joint}_{what}" for joint in JOINTS for what in ("x", "y", "z", "sigma")
    ]
    assert told["labels"][2] == ["pelvis_x", "meters", "PositionX"]
    (_, someone) = Space(info).people(estimate)
    errors = []
    for one in got:
        sample = dict(zip(labels, one["sample"], strict=True))
        number = round(sample["pelvis_x"] - someone.joints[0, 0])
        errors.append(one["t"] - times[number])
        assert sample["person"] == 9 and sample["probability"] == pytest.approx(someone.probability)
        assert sample["left_wrist_sigma"] == pytest.approx(someone.sigma[13])
        assert sample["left_wrist_z"] == pytest.approx(someone.joints[13, 2], abs=1e-5)
    assert abs(np.median(errors)) < 0.002, errors


def test_events_and_hypotheses_are_streams_and_channels_too(opened):
    estimate, _, info = multi(2)
    sink = opened(live(info), hypotheses=True)
    with Peer("lsl", f"{NAME}-events") as peer:
        now = time.monotonic()
        act = lambda: (sink.event(Event(now, "lsl-in", "came by LSL")), sink.event(Event(now, "user", "jump")))  # noqa: E731
        got = peer.until(lambda got: "sample" in got, act=act)
        assert got["sample"] == ["user: jump"] and abs(got["t"] - now) < 0.02, "no echo"
    labels = sink._labels()
    sample = sink._sample(Space(info, guesses=True).people(estimate)[0])
    assert len(labels) == len(sample) == 2 + 4 * 17 + 2 * KERNELS * (1 + 3 * 17)
    assert labels[70][0] == "cam01_1_probability" and sample[70] == pytest.approx(0.62)
    assert sink._outlets[0].get_info().channel_count() == len(labels)


def test_a_person_keeps_their_slot_and_another_gets_it_when_they_are_gone():
    sink = Lsl(NAME, None, None, Run(Status, Control()))
    sink._reserve = lambda count: None
    assert [sink._slot_of(*seen) for seen in ((7, 0.0), (3, 0.0), (7, 0.1), (5, 0.2), (3, 1.0))] == [0, 1, 0, 2, 1]
    assert sink._slot_of(8, 2.5) == 0, "7 was last seen 2.4 s ago"
    assert sink._slot_of(7, 2.6) == 2, "and comes back into what is free by then"


def test_markers_of_another_program_become_events_at_their_own_time(opened):
    control = Told()
    opened(live(single()[2]), name=None, listen_to=f"{NAME}-markers", control=control)
    with Peer("lsl_markers", f"{NAME}-markers") as peer:
        peer.until(lambda got: len(control.events) >= 5)
        sent = {got["number"]: got["t"] for got in peer.got if "number" in got}
    for source, text, t in control.events[:5]:
        word, number = text.split()
        assert (source, word) == ("lsl-in", "stimulus") and abs(t - sent[int(number)]) < 0.02


@row(
    "a second program with the same --lsl name",
    words="another program sends streams called",
    intact="both runs and their streams",
)
def test_a_second_program_of_the_same_name_is_a_line(opened, caplog):
    first = opened(live(single()[2]))
    for _ in range(5):  # it looks for a second, in which a busy machine may find nothing
        other = opened(live(single()[2]))
        if caplog.records:
            break
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith(f"lsl: another program sends streams called {NAME}")
    assert first._source != other._source, "whoever follows one is not handed to the other"


def test_a_missing_package_and_an_address_of_nobody_are_lines(monkeypatch):
    with pytest.raises(StreamError, match=r"lsl: 192\.0\.2\.99 is no address of this machine"):
        Lsl(NAME, None, "192.0.2.99", Run(Status, Control())).open(single()[2])
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(StreamError, match="--lsl needs the package pylsl: pip install pylsl=="):
        Lsl(NAME, None, None, Run(Status, Control())).open(single()[2])


@pytest.mark.slow
def test_nothing_listens_or_is_announced_beyond_this_machine():
    """It would: the library's own settings join multicast groups on every interface, and its ports are everybody's."""
    code = (
        "from tests.sockets import show\n"
        "from tests.test_live_lsl import *\n"
        "sink = Lsl('net', None, {}, Run(Status, Control()))\n"
        "sink.open(live(single()[2]))\n"
        "show()\n"
        "sink.close()\n"
    )
    lines = printed(code.format(None))
    assert sum(line.startswith("tcp 0.0.0.0%lo:") for line in lines) == 3, "two people and the events"
    assert beyond(lines) == []
    named = beyond(printed(code.format("'198.51.100.9'")))
    assert sum(line.startswith("tcp 0.0.0.0:") for line in named) == 3, "who names an address is heard there"
    assert any(line.startswith("group ") and line.endswith(" on lan") for line in named)
