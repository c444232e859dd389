"""Sinks in a run: they fail alone, come and go, are told of events and record, while the run goes on."""

import gc
import threading
import time
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
import pytest

from engines.argument_types import FAILED
from stream.app import outputs
from stream.config import OutputConfig
from stream.control import Control
from stream.live.metrics import Meter
from stream.recordings.replay import read_events, replay
from stream.recordings.takes import new_take, open_take
from stream.recordings.writer import Recorder
from stream.sinks import SinkOptions, SinkStoppedError, frames, recorder
from stream.types import StreamError
from tests.faults.fault import row
from tests.known import KnownDetector, figure
from tests.pipelines import Collect, Shifted, pipeline
from tests.takes import same

THREADS = ("camera-", "compute", "sink-")


def running_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith(THREADS)]


def explode(n):
    if n == 5:
        raise ZeroDivisionError("at five")


@pytest.mark.parametrize("where", ["detector", "recorder", "recorder's open"])
def test_the_first_error_comes_out_in_the_main_thread_and_everything_is_closed(where):
    source = figure("synthetic:frames=5000")
    bystander = Collect()
    pipe = pipeline([source], KnownDetector(source, fault=explode if where == "detector" else None))
    recorder = Collect(act=explode if where == "recorder" else lambda n: None, broken="open" if "'" in where else "")
    recorder.essential = True
    pipe.add(bystander)
    pipe.add(recorder)
    with pytest.raises(OSError if "open" in where else ZeroDivisionError):
        pipe.run()
    assert bystander.closed == 1
    assert not running_threads()


def leave(n):
    if n == 5:
        raise SystemExit("a library has had enough")


@pytest.mark.parametrize("viewer", [False, True])
@pytest.mark.parametrize("fault", ["open", "write", "exit", "event", "poll", "close"])
@row(
    "a sink that fails: {fault}",
    FAILED,
    "stopped by a fault of its own",
    "the other sinks get every frame set; no thread is left",
)
def test_whatever_a_sink_raises_stops_that_sink_alone_and_is_told(fault, viewer, caplog):
    if fault == "poll" and not viewer:
        pytest.skip("only a viewer is polled")

    def hold(n):
        if n == 5:  # long enough for the viewer to be polled
            pipe.control.pause(True)
            threading.Timer(0.4, pipe.control.pause, (False,)).start()

    acts = {"write": explode, "exit": leave, "event": lambda n: pipe.control.event("user", "a mark"), "poll": hold}
    pipe = pipeline([figure("synthetic:frames=30")])
    broken, good = Collect(act=acts.get(fault, lambda n: None), broken=fault), Collect()
    pipe.add(good)
    if viewer:
        summary = pipe.run(broken, "broken")
    else:
        pipe.add(broken, "broken")
        summary = pipe.run()
    assert [e.index for e in good.got] == list(range(30))
    assert broken.closed == (fault != "open") and good.closed == 1
    (failure,) = summary.failures
    assert failure.startswith("broken stopped by a fault of its own: ")
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [failure], "at once, not only at the end"
    assert not running_threads()


@row("a sink fails while images wait for it", FAILED, "", "no image stays in memory; they are counted as dropped")
def test_a_sink_that_has_failed_keeps_no_images_in_memory_and_they_are_counted():
    def late(n):
        while len(worker.channel) < 2:
            time.sleep(0.01)
        explode(5)

    pipe = pipeline([figure("synthetic:frames=30")])
    broken = Collect(act=late)
    gone = weakref.ref(broken)
    worker = pipe.add(broken, "broken")
    del broken
    summary = pipe.run()
    gc.collect()
    assert gone() is None, "nor the sink itself, with all that it has"
    assert len(worker.channel) == 0 and summary.drops["by broken"] >= 2 and summary.frame_sets == 30


def test_live_even_the_recorder_stops_alone():
    pipe = pipeline([figure("synthetic:frames=20", realtime=True)])
    recorder, other = Collect(act=explode), Collect()
    recorder.essential = True
    pipe.add(recorder)
    pipe.add(other)
    summary = pipe.run()
    assert len(other.got) > 6 and len(summary.failures) == 1


def test_an_exception_before_the_run_leaves_no_thread():
    pipe = pipeline([figure("synthetic:frames=5")])
    pipe.add(Collect())
    assert not running_threads(), "a sink's thread begins with the run"


def test_a_sink_that_comes_after_the_end_is_refused_and_leaves_no_thread():
    pipe, first = pipeline([figure("synthetic:frames=5")]), Collect()
    pipe.add(first)
    pipe.run()
    late = Collect()
    with pytest.raises(StreamError, match="the run is over"):
        pipe.add(late)
    assert (first.closed, late.closed, late.thread) == (1, 0, None)
    assert not running_threads()


def test_a_full_disk_stops_one_sink_and_not_the_run():
    def full(n):
        if n == 3:
            raise SinkStoppedError("the disk is full")

    pipe = pipeline([figure("synthetic:frames=30")])
    broken, good = Collect(act=full), Collect()
    pipe.add(broken)
    pipe.add(good)
    summary = pipe.run()
    assert (len(broken.got), broken.closed, len(good.got)) == (3, 1, 30)
    assert summary.failures == ("the disk is full",)


@row("200 outputs that fail one after another", FAILED, "and 197 more outputs that stopped", "the note stays short")
def test_many_outputs_that_fail_are_all_in_the_summary_and_not_in_the_note():
    def full(n):
        raise SinkStoppedError("the disk is full")

    pipe, notes = pipeline([figure("synthetic:frames=100000", realtime=True)]), []

    def add(n):
        if n > 5:
            return
        for k in range(40):
            worker = pipe.add(Collect(act=full), f"sink{40 * n + k}")
        worker.join()
        notes.append((pipe.note, len(pipe._sinks.workers)))
        if n == 5:
            pipe.control.stop()

    pipe.add(Collect(act=add))
    summary = pipe.run()
    assert summary.failures == ("the disk is full",) * len(summary.failures) and len(summary.failures) > 197
    assert "more outputs that stopped" in pipe.note and len(pipe.note) < 150
    assert max(count for _, count in notes) < 150, "those that have ended are let go"


def test_what_sinks_that_have_ended_wrote_and_lost_is_in_the_summary():
    pipe, first = pipeline([figure("synthetic:frames=100000", realtime=True)]), []

    def act(n):
        if n == 2:
            first.append(pipe.add(Collect(), "short"))
        if n == 4:
            first[0].channel.dropped = 3
            pipe.remove(first[0])
            first[0].join()
            pipe.add(Collect(), "next")
            first.append(len([w for w in pipe._sinks.workers if w.name == "short"]))
            pipe.control.stop()

    pipe.add(Collect(act=act))
    summary = pipe.run()
    assert first[1] == 0 and summary.drops["by short"] == 3
    assert len(summary.lines) == 3 and all(line.endswith(" moments") for line in summary.lines)


def test_events_come_in_the_sinks_own_thread_in_order_and_none_is_lost():
    control = Control()
    control.event("user", "before there is a run")
    pipe = pipeline([figure("synthetic:frames=40")], control=control)

    def tell(n):
        for thread in [threading.Thread(target=control.event, args=("user", f"{n} {k}")) for k in range(3)]:
            thread.start()
            thread.join()

    sink, latest = Collect(act=tell), Collect("latest")
    pipe.add(sink)
    pipe.add(latest)
    pipe.run()
    control.event("user", "after its end")
    texts = [f"{n} {k}" for n in range(40) for k in range(3)]
    assert [e.text for e in sink.events] == texts
    assert [e.text for e in latest.events] == texts[: len(latest.events)] and len(latest.events) > 60, "until it ends"
    assert all(got.event_threads == {got.thread} for got in (sink, latest))
    times = [e.t for e in sink.events]
    assert times == sorted(times) and 0 < times[-1] <= sink.got[-1].t, "in the file's own time"


def test_a_recording_keeps_the_events_of_its_run_and_who_is_seen(tmp_path):
    disk = Recorder(new_take(tmp_path))
    pipe = pipeline([figure("synthetic:frames=20")])
    sink = Collect(act=lambda n: pipe.control.event("user", f"mark {n}") if n % 8 == 0 else None)
    pipe.add(sink)
    pipe.add(disk)
    pipe.run()
    take = open_take(disk.take)
    events = list(read_events(take))
    assert events == sink.events and [e.text for e in events] == ["mark 0", "mark 8", "mark 16"]
    assert same(tuple(replay(take)), tuple(on_disk(estimate) for estimate in sink.got))


def on_disk(estimate):
    """The estimate with all arrays as a recording has them: float32."""
    if isinstance(estimate, np.ndarray):
        return estimate if estimate.dtype == bool else estimate.astype(np.float32)
    if isinstance(estimate, tuple):
        return tuple(map(on_disk, estimate))
    if is_dataclass(estimate):
        return replace(estimate, **{f.name: on_disk(getattr(estimate, f.name)) for f in fields(estimate)})
    return estimate


def test_an_event_of_a_live_run_is_on_the_monotonic_clock_and_does_not_wait_for_a_frame():
    class Stalled(Shifted):
        def read(self):
            frame = super().read()
            if frame is not None and frame.index == 5:
                control.event("user", "now")
                time.sleep(1)
                seen.append([e.text for e in sink.events])
            return frame

    control, seen, sink = Control(), [], Collect()
    source = figure("synthetic:frames=8", realtime=True)
    pipe = pipeline([Stalled(source, 0.0)], KnownDetector(source), control=control)
    pipe._sources = [replace(o, info=replace(o.info, clock="monotonic")) for o in pipe._sources]
    pipe.add(sink)
    before = time.monotonic()
    pipe.run()
    assert seen == [["now"]]
    assert before < sink.events[0].t < time.monotonic()


def test_a_recording_can_begin_and_end_while_the_run_goes_on():
    late = Collect()
    workers = []

    def switch(n):
        if n == 5:
            workers.append(pipe.add(late))
        if n == 20:
            threading.Thread(target=pipe.remove, args=(workers[0],)).start()

    pipe = pipeline([figure("synthetic:frames=60")])
    pipe.add(Collect(act=switch))
    summary = pipe.run()
    assert late.closed == 1
    assert 0 < len(late.got) < 60
    assert f"{len(late.got)} moments" in summary.lines


def test_a_recording_that_cannot_begin_does_not_end_the_run():
    class Full(Collect):
        def open(self, run_info):
            raise StreamError("cannot record: the disk is full")

    other = Collect(act=lambda n: pipe.add(Full()) if n == 5 else None)
    pipe = pipeline([figure("synthetic:frames=40")])
    pipe.add(other)
    summary = pipe.run()
    assert len(other.got) == 40
    assert summary.failures == ("cannot record: the disk is full",)


@pytest.mark.parametrize("images", [False, True])
@row("the recorder stops by itself (images recorded: {images})", FAILED, "", "a new take begins when it is asked for")
def test_the_switch_begins_and_ends_takes_and_a_stopped_one_is_not_being_recorded(images, tmp_path):
    """As the key r does, in a run; also after the recorder stopped by itself, as on a full disk, and images go on."""
    pipe = pipeline([figure("synthetic:frames=100000")])
    states = []

    def press(n):
        record, status = pipe.control.record, told[0]
        if n == 3:
            states.append(status().recording)
            record(True)  # it is recording already
            states.append(len(list(tmp_path.iterdir())))
            for worker in pipe._sinks.workers:
                if worker.name == "recorder":  # as on a full disk
                    worker.channel.close()
            states.append(status().recording)
            record()
            states.append(status().recording)
            record(False)
            states.append(status().recording)
            record(False)
            of_takes = [worker for worker in pipe._sinks.workers if worker.name in ("recorder", "frames")]
            states.append(all(worker.channel.closed for worker in of_takes))
            record()
            states.append(len(list(tmp_path.iterdir())))
        if n == 20:
            pipe.control.stop()

    told = []

    @dataclass(frozen=True)
    class Tell(SinkOptions):
        def make(self, run):
            told.append(run.status)

    config = OutputConfig("none", (Tell(), recorder.Options(tmp_path), frames.Options(images)))
    assert outputs.add(config, pipe, Meter(), "", None, ExitStack()) is None
    pipe.add(Collect(act=press))
    summary = pipe.run()
    assert states == [True, 1, False, True, False, True, 3]
    assert len([line for line in summary.lines if line.startswith("recording: ")]) == 3
    before = len(list(tmp_path.iterdir()))
    pipe.control.record(True)
    assert len(list(tmp_path.iterdir())) == before, "nothing is begun after the end"


class Clocked:
    """A source whose clock is said to be the machine's."""

    def __init__(self, source):
        self._source, self.camera = source, source.camera

    def __getattr__(self, name):
        return getattr(self._source, name)

    def open(self):
        return replace(self._source.open(), clock="monotonic")


@pytest.mark.parametrize(("wrap", "kept"), [(Clocked, True), (lambda source: source, False)])
def test_who_knows_when_an_event_was_says_so_but_of_files_which_have_their_own_time(wrap, kept):
    sink = Collect(act=lambda n: pipe.control.event("lsl-in", "flash", 1234.5) if n == 6 else None)
    pipe = pipeline([wrap(figure("synthetic:frames=12"))])
    pipe.add(sink)
    pipe.run()
    (event,) = sink.events
    assert (event.t == 1234.5) is kept and (kept or 6 / 30 - 1e-6 <= event.t <= 11 / 30)
