"""What a run counts and times, by a clock that is set."""

import math

import pytest

from stream.live import metrics
from stream.live.crowding import Crowding
from stream.live.metrics import Meter, Presence, report
from stream.types import Estimate


class Clock:
    def __init__(self):
        self.t = 1000.0

    def monotonic(self):
        return self.t


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(metrics, "time", made)
    return made


def done(meter, n=1, **what):
    given = {"stages": {}, "busy": 0.0, "origins": [None], "probability": [], "latency": None, "skew": None} | what
    for _ in range(n):
        meter.done(**given)


def test_the_skew_that_is_shown_is_of_the_last_300_frame_sets_and_the_summarys_of_all():
    meter = Meter()
    done(meter, 100, skew=0.100)
    done(meter, 299, skew=0.004)
    assert meter.skew_ms == pytest.approx((4, 4, 100)), "one of the early ones still counts"
    done(meter, skew=0.004)
    assert meter.skew_ms == pytest.approx((4, 4, 4))
    assert meter.summary({}, {}).skew_ms == pytest.approx((4, 100, 100))


def test_the_latency_that_is_shown_is_of_the_last_30_frame_sets_and_the_summarys_of_all():
    meter = Meter()
    assert meter.latency_ms is None and meter.summary({}, {}).latency_ms is None
    done(meter, 35, latency=0.5)
    done(meter, 14, latency=0.1)
    assert meter.latency_ms == pytest.approx(500)
    done(meter, 2, latency=0.1)
    assert meter.latency_ms == pytest.approx(100)
    assert meter.summary({}, {}).latency_ms == pytest.approx((500, 500))
    meter = Meter()
    for k in range(101):
        done(meter, latency=k / 1000)
    assert meter.summary({}, {}).latency_ms == pytest.approx((50, 95))
    meter = Meter()
    for k in range(101):
        done(meter, skew=k / 1000)
    assert meter.skew_ms == meter.summary({}, {}).skew_ms == pytest.approx((50, 95, 100))


def test_the_rate_is_that_of_the_last_two_seconds_and_0_when_nothing_comes_for_so_long(clock):
    meter = Meter()
    assert meter.fps is None
    meter.start()
    clock.t += 3.0
    assert meter.fps is None, "nothing has come yet"
    for _ in range(30):  # a slow start that must be forgotten
        clock.t += 1.0
        done(meter)
    assert meter.fps == pytest.approx(1)
    assert Meter().fps is None
    for _ in range(40):
        clock.t += 0.1
        done(meter)
    assert meter.fps == pytest.approx(10)
    clock.t += 1.9
    assert meter.fps == pytest.approx(10)
    clock.t += 0.2
    assert meter.fps == 0


def test_nothing_before_the_start_is_timed(clock):
    meter = Meter()
    clock.t += 100  # loading
    meter.start()
    clock.t += 4
    done(meter, busy=1.5)
    summary = meter.summary({}, {})
    assert (summary.seconds, summary.busy_s, summary.frame_sets) == (4, 1.5, 1)
    assert summary.fps == pytest.approx(0.25)
    assert Meter().summary({}, {}).fps == 0


def test_the_summary_adds_up_what_each_frame_set_was():
    meter = Meter()
    assert math.isnan(meter.summary({}, {}).mean_probability)
    done(
        meter, stages={"detect": 0.010, "lift": 0.002}, busy=0.5, origins=["a", None], probability=[0.5], fused=["map"]
    )
    done(meter, stages={"detect": 0.030}, busy=0.25, origins=["b", "a"], probability=[0.9, 0.7], fused=[])
    done(meter, origins=[None, None], fused=[])
    assert (meter.frame_sets, meter.detector) == (3, "b"), "who last found somebody"
    summary = meter.summary({"here": 3, "there": 0}, {"viewer": 2, "other": 0}, ("a line",), ("a failure",))
    assert (summary.frame_sets, summary.people, summary.views, summary.busy_s) == (3, 3, 6, 0.75)
    assert summary.stage_ms == pytest.approx({"detect": 40 / 3, "lift": 2 / 3})
    assert summary.detectors == {"a": 2, "b": 1} and summary.fused == {"map": 1, "none": 2}
    assert summary.mean_probability == pytest.approx(0.7)
    assert (summary.drops, summary.skips) == ({"here": 3}, {"viewer": 2})
    assert (summary.lines, summary.failures) == (("a line",), ("a failure",))
    assert summary.skew_ms is None


def test_the_report_says_what_there_was_and_nothing_else(clock):
    meter = Meter()
    meter.start()
    clock.t += 2
    done(meter)
    assert report(meter.summary({}, {})) == ["1 moment in 2.0 s (0.5 fps); a person in 0 of 1 view", "drops: none"]
    clock.t += 2
    done(meter, stages={"detect": 0.01, "lift": 0.002}, origins=["a", "a"], probability=[0.5, 0.7], latency=0.04,
         skew=0.0031, fused=["single"])  # fmt: skip
    done(meter, fused=[])
    lines = report(meter.summary({"frames by cameras": 3, "corrupt": 1}, {"window": 2}, ("a line",)))
    assert lines == [
        "3 moments in 4.0 s (0.8 fps); a person in 2 of 4 views",
        "stages, ms a moment: detect 3.3, lift 0.7",
        "detector: a (2 views)",
        "mean probability of the answer: 0.60",
        "fused poses: single view 1; nobody is fused in 1 moment",
        "latency, ms: p50 40, p95 40",
        "skew between cameras, ms: p50 3.1, p95 3.1, max 3.1",
        "drops: 3 frames by cameras, 1 corrupt",
        "passed over, because newer ones had come: 2 window",
        "a line",
    ]


def test_several_people_are_counted_once_each_and_in_views_not_by_answers():
    meter = Meter()
    meter.start()
    for k, people in enumerate(([0], [0, 3], [3], [])):
        done(meter, origins=["a" if people else None], probability=[0.5] * len(people), fused=["map"] * len(people),
             lifted=bool(people), people=people, t=7 + 0.5 * k)  # fmt: skip
    summary = meter.summary({}, {})
    assert (summary.people, summary.views, len(summary.persons), summary.most_at_once) == (3, 4, 2, 2)
    assert summary.mean_probability == 0.5 and summary.fused == {"map": 4, "none": 1}
    assert summary.persons[3] == Presence(2, 0.5, 1.0)
    lines = report(summary)
    assert "a person in 3 of 4 views" in lines[0]
    assert lines[1] == "2 people, 2 at once: person 0 in 2 moments (0.0 to 0.5 s), person 3 in 2 moments (0.5 to 1.0 s)"
    assert "fused poses: map 4; nobody is fused in 1 moment" in lines
    meter = Meter()
    for people in ([0], [3]):
        done(meter, people=people)
    said = "2 people, one after another: person 0 in 1 moment (0.0 to 0.0 s)"
    assert any(line.startswith(said) for line in report(meter.summary({}, {})))
    meter = Meter()
    done(meter, people=[0])
    assert not any("people" in line for line in report(meter.summary({}, {}))), "one needs no counting"


def test_of_a_crowd_those_are_listed_who_are_there_most():
    meter = Meter()
    for k in range(20):
        done(meter, people=range(k, 20))
    (line,) = [line for line in report(meter.summary({}, {})) if line.startswith("20 people")]
    assert "20 at once: person 12 in 13 moments" in line and line.endswith("12 more for less long")


def test_who_was_not_followed_is_counted():
    meter = Meter()
    for left_out in (0, 3, 1):
        done(meter, people=[0], left_out=left_out)
    assert "up to 3 more at once were not followed (--people, --max-people)" in report(meter.summary({}, {}))
    meter = Meter()
    done(meter, people=[0])
    assert not any("followed" in line for line in report(meter.summary({}, {})))


def test_who_was_not_followed_is_in_the_summary_once_and_in_the_note_now():
    meter, crowding = Meter(), Crowding()
    for left_out in (3, 1):
        done(meter, people=[0], left_out=left_out)
        crowding.add(Estimate(index=0, t=0.0, frames=(), people=(), left_out=left_out, too_small=2))
    lines = report(meter.summary({}, {}, tuple(crowding.lines())))
    assert [line for line in lines if "--max-people" in line] == [
        "up to 3 more at once were not followed (--people, --max-people)"
    ]
    assert "up to 2 people too small in the picture to be lifted, in 2 moments" in lines
    assert crowding.note.startswith("1 person more than are followed")
