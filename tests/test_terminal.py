"""The line in the terminal, and the log where it is none."""

import errno
import gc
import io
import os
import time
from dataclasses import replace

import pytest

from stream.drawing.facts import Status
from stream.recordings.run_info import RunInfo
from stream.sinks.terminal import Terminal, status_line
from stream.types import View
from tests.faults.fault import row
from tests.reading import wait_until
from tests.walker import alone, crowd, multi, only_pose, photograph, single, with_person


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_terminal(out: io.StringIO, status: Status, seconds: float, run_info: RunInfo) -> str:
    now = [0.0]
    estimate = single()[0]
    terminal = Terminal(lambda: status, out=out, clock=lambda: now[0])
    terminal.open(run_info)
    for k in range(round(seconds * 30)):
        now[0] = k / 30
        terminal.write(replace(estimate, index=k), {})
    assert terminal.close() is None
    return out.getvalue()


STATUS = Status(fps=29.83, latency_ms=41.2, drops=3, detector="movenet-thunder", runtime="onnxruntime", recording=True)


def test_a_log_gets_a_line_every_five_seconds_and_no_carriage_returns() -> None:
    said = run_terminal(io.StringIO(), STATUS, 12, single()[2])
    assert "\r" not in said and "\x1b" not in said
    assert said.count("\n") == 3
    assert "29.8 fps" in said and "latency 41 ms" in said and "drops 3" in said and "recording" in said
    assert "12/300" not in said
    assert (
        run_terminal(io.StringIO(), replace(STATUS, total=300), 6, single()[2])
        .splitlines()[1]
        .startswith("151/300 frames")
    )


def test_a_terminal_gets_one_line_rewritten_in_place() -> None:
    said = run_terminal(Tty(), STATUS, 3, single()[2])
    assert said.count("\n") == 1 and said.endswith("\n")
    assert 10 <= said.count("\r") <= 16
    assert all(len(part.split("\x1b")[0]) < 200 for part in said.split("\r"))


def test_a_file_gets_a_bar_that_counts_frame_sets_and_not_calls() -> None:
    out = Tty()
    terminal = Terminal(lambda: replace(STATUS, total=230), out=out)
    terminal.open(single()[2])
    for k in (0, 5, 100, 229):
        terminal.write(replace(single()[0], index=k), {})
    terminal.close()
    assert "230/230" in out.getvalue() and "100%" in out.getvalue()


@pytest.mark.parametrize(("tty", "total"), [(False, None), (True, None), (True, 300)])
@pytest.mark.parametrize("after", [0, 1])
def test_an_output_that_breaks_ends_no_run(tty: bool, total: int | None, after: int) -> None:
    class Broken(io.StringIO):
        broken = False

        def isatty(self) -> bool:
            return tty

        def write(self, text: str) -> int:
            if self.broken:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            return super().write(text)

    out, now = Broken(), [0.0]
    terminal = Terminal(lambda: replace(STATUS, total=total), out=out, clock=lambda: now[0])
    terminal.open(single()[2])
    for k in range(4):
        out.broken = k >= after
        now[0] = 6.0 * k
        terminal.write(replace(single()[0], index=60 * k), {})
        time.sleep(0.25 if total else 0)  # the bar has its own clock
    assert terminal.close() is None
    terminal.close()
    del terminal
    gc.collect()


@pytest.mark.parametrize("tty", [False, True])
@row("the only camera dies", 0, "no new frame for 3 s", "the run, and what it has recorded")
def test_what_is_wrong_is_said_while_no_frame_set_comes(tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sinks.terminal._IDLE_S", 0.1)
    out, status = (Tty if tty else io.StringIO)(), [STATUS]
    terminal = Terminal(lambda: status[0], out=out)
    terminal.open(single()[2])
    terminal.write(single()[0], {})
    time.sleep(0.3)
    assert "no new frames" not in out.getvalue(), "nothing is wrong"
    status[0] = replace(STATUS, note="cam0: no new frame for 3 s")
    wait_until(lambda: "cam0: no new frame for 3 s, no new frames" in out.getvalue(), timeout=5)
    time.sleep(0.3)
    terminal.close()
    assert tty or out.getvalue().count("no new frames") == 1, "a log hears of it once in 5 s"


def test_the_line_says_nobody_and_what_went_wrong() -> None:
    empty_detection = alone(None, (64, 48))
    line = status_line(replace(STATUS, note="recording stopped: the disk is full"), empty_detection)
    assert "nobody in view" in line and "the disk is full" in line
    assert "p 0.62" in status_line(STATUS, single()[0])
    assert photograph((64, 48)).any()


def test_the_line_says_how_many_cameras_are_fused_and_when_only_one_is_left() -> None:
    count = 3
    estimate = multi(count)[0]
    pose = only_pose(estimate)
    assert f"fused by map, {len(pose.cameras)} of {count} cameras" in status_line(STATUS, estimate)
    one = with_person(estimate, pose=replace(pose, method="single", cameras=pose.cameras[:1]))
    assert f"single view, 1 of {count} cameras" in status_line(STATUS, one)
    assert "single view" not in status_line(STATUS, single()[0])


def test_the_line_tells_several_people_apart() -> None:
    assert "2 people: 0, 4 p 0.62" in status_line(STATUS, crowd([0, 4])[0])
    estimate = crowd([0, 4, 9], 4)[0]
    assert "3 people: 0, 4, 9 map of 4/4" in status_line(STATUS, estimate)
    first, second, third = estimate.people
    assert second.pose is not None and third.views[0] is not None
    seen = View(detection=third.views[0].detection)
    some = (
        first,
        replace(second, pose=replace(second.pose, method="single", cameras=("cam01",))),
        replace(third, pose=None, views=(seen, None, None, None)),
    )
    line = status_line(replace(STATUS, note="cam02 contradicts"), replace(estimate, people=some))
    assert "0 map of 4/4; 4 single view; 9 too little seen" in line
    assert status_line(Status(), replace(crowd([0, 4])[0], left_out=2)).endswith("p 0.62, 2 more not followed")
    assert "4 cameras, 1 more not followed" in status_line(STATUS, replace(multi(4)[0], left_out=1))
    assert line.startswith("cam02 contradicts"), "a terminal cuts the end off"


def test_a_bar_counts_people() -> None:
    out = Tty()
    terminal = Terminal(lambda: replace(STATUS, total=230), out=out)
    terminal.open(single()[2])
    for k, estimate in enumerate((alone(None), single()[0], crowd([0, 1])[0])):
        terminal.write(replace(estimate, index=k * 60), {})
        time.sleep(0.25)
    terminal.close()
    for said in ("nobody", "1 person", "2 people"):
        assert said in out.getvalue()
