"""Threads: order, completeness and stopping, with real sources and sinks that are slow or impatient."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from stream.control import Control
from stream.live.metrics import Meter, report
from stream.types import StreamError
from tests.known import KnownDetector, figure
from tests.pipelines import Collect, Nobody, Shifted, pipeline


def test_a_file_is_complete_and_in_order_even_for_a_slow_sink():
    pipe = pipeline([figure("synthetic:frames=50")])
    fast, slow = Collect(), Collect(act=lambda n: time.sleep(0.01))
    pipe.add(fast)
    pipe.add(slow)
    summary = pipe.run()
    for sink in (fast, slow):
        assert [e.index for e in sink.got] == list(range(50))
        assert [e.frames[0].frame_index for e in sink.got] == list(range(50))
        assert sink.closed == 1
    assert summary.frame_sets == summary.people == 50
    assert summary.drops == {}
    assert summary.lines == ("50 moments", "50 moments")
    assert summary.detectors == {"known": 50}
    assert 0 < summary.mean_probability <= 1
    assert "50 moments" in report(summary)[0]


def test_the_rate_of_the_first_frame_sets_counts_the_wait_for_them():
    meter = Meter()
    meter.start()
    assert meter.fps is None
    time.sleep(0.05)
    for _ in range(3):  # two of three are nothing but "nobody was looked for"
        meter.done({}, 0.0, [None], [], None, None)
    assert meter.fps is not None and meter.fps <= 3 / 0.05


def test_skew_is_of_frame_sets_with_two_frames_and_the_summary_says_how_views_were_fused():
    meter = Meter()
    assert meter.skew_ms is None
    for skew, fused in ((0.004, ["map"]), (None, ["single"]), (0.008, ["map"]), (None, [])):
        meter.done({}, 0.0, [None, None], [], None, skew, fused)
    assert meter.skew_ms == pytest.approx((6, 7.8, 8))
    lines = report(meter.summary({}, {}))
    assert "fused poses: map 2, single view 1; nobody is fused in 1 moment" in lines
    assert "skew between cameras, ms: p50 6.0, p95 7.8, max 8.0" in lines


class Doubting:
    """Says one thing against the calibration at the sixth frame set."""

    note = ""

    def __call__(self, estimate):
        if estimate.index != 5:
            return []
        self.note = "cam1 contradicts the other cameras"
        return [self.note]

    def lines(self):
        return [f"warning: {self.note} (1 of 10 moments)"]


def test_what_is_wrong_with_the_calibration_is_noted_recorded_and_in_the_summary():
    pipe = pipeline([figure("synthetic:frames=10")], doubts=Doubting())
    sink = Collect()
    pipe.add(sink)
    summary = pipe.run()
    assert [(e.source, e.text) for e in sink.events] == [("calibration", "cam1 contradicts the other cameras")]
    assert sink.events[0].t == pytest.approx(sink.got[4].t, abs=0.05)
    assert pipe.note == "cam1 contradicts the other cameras"
    assert "warning: cam1 contradicts the other cameras (1 of 10 moments)" in summary.lines


def test_the_picture_belongs_to_its_estimate():
    source = figure("synthetic:frames=12")
    pipe, sink = pipeline([source]), Collect()
    pipe.add(sink)
    pipe.run()
    for estimate, images in zip(sink.got, sink.images, strict=True):
        np.testing.assert_array_equal(images["cam0"], source.render(estimate.frames[0].frame_index))
        assert not images["cam0"].flags.writeable


def test_live_the_newest_wins_and_drops_are_counted():
    source = figure("synthetic:frames=60", realtime=True)
    detector = KnownDetector(source, fault=lambda k: time.sleep(0.1))
    pipe, sink = pipeline([source], detector), Collect()
    pipe.add(sink)
    summary = pipe.run()
    indices = [e.frames[0].frame_index for e in sink.got]
    assert indices == sorted(set(indices))
    assert len(indices) < 45, "a detector at 10 fps cannot have seen 60 frames in two seconds"
    dropped = sum(summary.drops.values())
    assert dropped + len(indices) >= 58


def test_live_the_run_ends_with_the_last_of_several_sources():
    sources = [figure(f"synthetic:frames={n}", name, realtime=True) for name, n in (("a", 10), ("b", 40))]
    pipe, sink = pipeline(sources, Nobody()), Collect()
    pipe.add(sink)
    run = threading.Thread(target=pipe.run)
    run.start()
    run.join(30)
    ended = not run.is_alive()
    pipe.control.stop()
    run.join()
    assert ended, "it waits for frames that never come"
    assert sink.got[-1].frames[0] is None, "the one that ended first is not waited for"


def test_a_latest_sink_never_holds_up_the_run():
    pipe = pipeline([figure("synthetic:frames=80")])
    release = threading.Event()
    stuck, every = (
        Collect("latest", act=lambda n: release.wait(20)),
        Collect(act=lambda n: release.set() if n == 79 else None),
    )
    pipe.add(stuck)
    pipe.add(every)
    summary = pipe.run()
    assert len(every.got) == 80
    assert len(stuck.got) < 80
    assert summary.drops == {}, "what a viewer skips is not a loss"
    assert summary.skips == {"by collect": 80 - len(stuck.got)}
    assert f"passed over, because newer ones had come: {80 - len(stuck.got)} by collect" in report(summary)


def test_the_user_can_quit_from_a_viewer_in_the_main_thread():
    control = Control()
    pipe, other = pipeline([figure("synthetic:frames=100000")], control=control), Collect()
    pipe.add(other)
    viewer = Collect("latest", act=lambda n: control.stop() if n == 10 else None)
    summary = pipe.run(viewer)
    assert viewer.thread == "MainThread"
    assert summary.frame_sets == len(other.got) >= 11
    assert viewer.closed == other.closed == 1


def test_a_file_waits_while_it_is_paused_and_every_thread_may_ask():
    control = Control()
    pipe = pipeline([figure("synthetic:frames=60")], control=control)
    counted = []

    def hold(n):
        if n == 10:
            control.pause(True)
            threading.Thread(target=go_on).start()

    def go_on():
        time.sleep(0.5)
        counted.append(len(sink.got))
        time.sleep(0.5)
        counted.append(len(sink.got))
        control.pause()

    sink = Collect(act=hold)
    pipe.add(sink)
    pipe.run()
    assert counted[0] == counted[1] < 30 and len(sink.got) == 60


def test_stop_finishes_what_was_taken():
    pipe = pipeline([figure("synthetic:frames=100000")])
    sink = Collect(act=lambda n: pipe.control.stop() if n == 20 else None)
    pipe.add(sink)
    summary = pipe.run()
    assert len(sink.got) == summary.frame_sets
    assert 21 <= summary.frame_sets < 200


def test_two_files_give_frame_sets_of_both():
    sources = [figure("synthetic:frames=30", name="a"), figure("synthetic:frames=30", name="b")]
    pipe, sink = pipeline(sources), Collect()
    pipe.add(sink)
    summary = pipe.run()
    assert summary.frame_sets == 30
    assert all(frame is not None for e in sink.got for frame in e.frames)
    assert summary.skew_ms == (0, 0, 0)


@pytest.mark.parametrize("seconds", [-50.0, 50.0])
def test_files_that_never_overlap_end_in_one_line(seconds):
    a, b = figure("synthetic:frames=20", name="a"), figure("synthetic:frames=20", name="b")
    pipe, sink = pipeline([a, Shifted(b, seconds)], Nobody()), Collect()
    pipe.add(sink)
    with pytest.raises(StreamError, match="^b has no frame at the time of any of a"):
        pipe.run()
    assert sink.closed == 1


def test_a_stopped_run_is_not_taken_for_one_that_never_overlaps():
    a, b = figure("synthetic:frames=100000", name="a"), figure("synthetic:frames=20", name="b")
    pipe = pipeline([a, Shifted(b, 1e6)], Nobody())
    pipe.add(Collect(act=lambda n: pipe.control.stop() if n == 5 else None))
    assert pipe.run().frame_sets >= 6


def test_skewed_files_are_warned_of_once_and_not_when_the_offset_is_known():
    def run(offset):
        sources = [figure("synthetic:frames=20", name=n) for n in "ab"]
        pipe = pipeline([sources[0], Shifted(sources[1], 0.012)], Nobody())
        pipe._sources = [pipe._sources[0], replace(pipe._sources[1], offset_s=offset)]
        return pipe.run()

    summary = run(0.0)
    assert summary.skew_ms[0] == pytest.approx(12, abs=0.01)
    assert len([line for line in summary.lines if line.startswith("warning: the cameras' frames are 12.0 ms")]) == 1
    assert not [line for line in run(-0.012).lines if "apart" in line]
