"""Frames that a capture lacks are counted once and told alike: in the summary, in the events and by inspect."""

import time
from pathlib import Path

import pytest

from engines.argument_types import DONE
from stream.app.inspect import main as inspect
from stream.packed import Captured
from stream.recordings.capture import CaptureWriter
from stream.recordings.captured import ENDED, held
from stream.recordings.gaps import GapCounter
from stream.recordings.losses import loss_event, losses, told_losses
from stream.recordings.replay import read_events
from stream.recordings.takes import new_take, open_take
from stream.types import Event
from tests.captures import info_of
from tests.faults.fault import row
from tests.reading import wait_until
from tests.servers import coded

STEP = 1 / 30


def frame(k: int, zero: float) -> Captured:
    return Captured("left", k, zero + k * STEP, zero + k * STEP, None, coded(k))


def test_what_was_lost_is_told_and_read_again():
    for lost in ({"device gap": 10, "queue": 2}, {"disk": 1}, {}):
        assert told_losses([loss_event(1.0, "left", {"queue": 1}), loss_event(2.0, "left", lost)]) == {"left": lost}
    assert losses({"device gap": 10, "queue": 2}) == "12 (device gap 10, queue 2)" and losses({}) == "0"
    others = [Event(1.0, "user", "frames lost so far: 3 (queue 3)"), Event(1.0, "capture", "start")]
    assert told_losses(others) == {}


@row("frames lost at the start and the end of a capture", DONE, "lost 20 (device gap 14, queue 6)", "all the others")
@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_losses_before_the_first_and_after_the_last_frame_are_the_same_number_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], killed: bool
):
    zero = time.monotonic()
    writer = CaptureWriter(("left",))
    camera = writer.cameras["left"]
    for k in range(60):
        writer.tap("left")(frame(k, zero))
    # Nothing for half a second before the start, and for 10 frames after it.
    writer.expect(zero + 75 * STEP - STEP / 2, zero + 200 * STEP - STEP / 2)
    writer.begin(take := new_take(tmp_path), info_of(["left"]))

    def give(begin: int, end: int, room: bool = True) -> None:
        limit, camera._limit = camera._limit, camera._limit if room else 0
        for k in range(begin, end):
            writer.tap("left")(frame(k, zero))
        wait_until(lambda: camera.progress.waiting == 0)
        camera._limit = limit

    give(85, 88, room=False)
    give(88, 193)
    give(193, 196, room=False)
    give(200, 203)  # four frames are missing up to the end, and three come after it
    if not killed:
        writer.event(Event(zero + 200 * STEP, *ENDED))
    writer.close()
    assert losses(camera.progress.lost) == "20 (device gap 14, queue 6)"
    found = held(open_take(take))["left"]
    assert found.frames == 105 and found.lost == camera.progress.lost and found.ended is not killed
    assert told_losses(read_events(open_take(take))) == {"left": camera.progress.lost}
    assert inspect([str(take)]) == DONE
    assert "left: 105 frames in 3.467 s, 30.00 a second; lost 20 (device gap 14, queue 6)" in capsys.readouterr().out


def test_a_camera_that_is_gone_before_the_start_lost_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    zero = time.monotonic() - 100.0
    writer = CaptureWriter(("left",))
    for k in range(60):
        writer.tap("left")(frame(k, zero))
    writer.expect(zero + 10.0, zero + 13.0)
    writer.begin(take := new_take(tmp_path), info_of(["left"]))
    writer.close()
    assert writer.progress["left"].lost == {"device gap": 90}
    assert inspect([str(take)]) == DONE
    assert "left: no frames; lost 90 (device gap 90)" in capsys.readouterr().out


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "by arrival"])
def test_only_what_was_wanted_is_missing(stamped: bool):
    gaps = GapCounter()
    for k in range(60):
        gaps.add(k * STEP, k * STEP if stamped else None)
    gaps.restart()
    gaps.add(90 * STEP, 90 * STEP if stamped else None, within=10.4 * STEP)
    for k in range(91, 120):
        gaps.add(k * STEP, k * STEP if stamped else None, within=1e9)
    assert gaps.missing == 10
    gaps.add(150 * STEP, 150 * STEP if stamped else None, within=20.4 * STEP)
    gaps.end(130 * STEP, 80 * STEP)
    assert gaps.missing == 30
    gone = GapCounter()
    for k in range(60):
        gone.add(k * STEP, k * STEP if stamped else None)
    gone.restart()
    gone.end(130 * STEP, 100 * STEP)
    assert gone.missing == 30


def test_a_killed_capture_is_counted_by_its_table(tmp_path: Path):
    zero = time.monotonic()
    writer = CaptureWriter(("left",))
    writer.expect(zero, zero + 59.5 * STEP)
    writer.begin(take := new_take(tmp_path), info_of(["left"]))
    for k in (*range(40), *range(45, 60)):  # five that came and were not written
        writer.tap("left")(frame(k, zero))
    writer.close()
    found = held(open_take(take))["left"]
    found.told = {}
    assert found.lost == {"not written": 5}
    found.told = {"queue": 3}
    assert found.lost == {"queue": 3, "not written": 2}
    found.told = {"device gap": 5}
    assert found.lost == {"device gap": 5}


def test_a_frame_that_is_held_up_at_the_end_is_not_missing(tmp_path: Path):
    zero = time.monotonic()
    writer = CaptureWriter(("left",))
    writer.expect(zero, zero + 59.95 * STEP)
    writer.begin(new_take(tmp_path), info_of(["left"]))
    for k in range(75):
        came = zero + (k + {60: 1.3, 61: 0.6}.get(k, 0.0)) * STEP
        writer.tap("left")(frame(k, zero)._replace(t=came, arrival=came, device_t=None))
    writer.close()
    assert writer.progress["left"].lost == {} and writer.progress["left"].frames == 60
