"""The run under continuous faults: a few seconds of it, and that its verdict sees what it is there to see."""

import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import endure, endure_run
from benchmarks.faulty_cameras import FAULTS
from stream.live.metrics import Meter
from tests.servers import write_video
from tests.takes import make_estimates, record

GOOD: dict[str, Any] = {
    "before": {"threads": 5, "files": 4}, "after": {"threads": 5, "files": 4},
    "log": {"t": list(range(0, 300, 2)), "mb": [400.0] * 150, "threads": [20] * 150, "files": [12] * 150},
    "frame_sets": 100, "witnessed": 100, "out_of_order": 0, "reconnects": [3, 4], "tracebacks": 0,
    "frames": {"read": 200, "used": 180, "counted": 15}, "injected": {"dead": 3},
    "takes": {"takes": 2, "recorded": 80, "missed, counted": 5, "not recorded, said": 15, "wrong": []},
    "minutes": 5.0, "seed": 0, "cameras": 2, "fps": 5.0, "slope_mb_a_minute": 0.0,
}  # fmt: skip


def more_each_look(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda result: result["log"].update({key: [20 + k // 10 for k in range(150)]})


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "memory grows": lambda result: result.update(slope_mb_a_minute=2.0),
    "a thread is left": lambda result: result["after"].update(threads=6),
    "a file is left open": lambda result: result["after"].update(files=5),
    "ever more threads": more_each_look("threads"),
    "ever more files": more_each_look("files"),
    "a frame set is nowhere": lambda result: result["takes"].update(recorded=79),
    "a take holds less than it says": lambda result: result["takes"].update(wrong=["it is wrong"]),
    "the witness saw less": lambda result: result.update(witnessed=99),
    "a frame set came twice": lambda result: result.update(out_of_order=1),
    "frames are lost in silence": lambda result: result["frames"].update(read=400),
    "frames are counted twice": lambda result: result["frames"].update(counted=40),
    "a camera never came back": lambda result: result.update(reconnects=[0, 4]),
    "a traceback": lambda result: result.update(tracebacks=1),
}


def test_a_good_run_holds() -> None:
    assert endure.report(GOOD).endswith("verdict: everything holds")


@pytest.mark.parametrize("wrong", WRONG)
def test_the_verdict_names_what_does_not_hold(wrong: str) -> None:
    result = copy.deepcopy(GOOD)
    WRONG[wrong](result)
    assert sum(not holds for *_, holds in endure.verdict(result)) == 1
    assert "verdict: does not hold: " in endure.report(result).splitlines()[-1]


def test_memory_that_grows_is_measured_after_it_has_settled() -> None:
    t = [float(k) for k in range(0, 600, 5)]
    assert endure.slope(t, [300 + 3 * s / 60 for s in t]) == pytest.approx(3)
    assert endure.slope(t, [300 + min(s, 100.0) for s in t]) == pytest.approx(0, abs=1e-9)
    assert endure.slope(t[:20], [400.0] * 20) is None


TAKES: dict[str, tuple[int, str, int, int]] = {
    "whole": (20, "recording: {} (20 moments, 0.1 MB)", 0, 0),
    "one less than was said": (20, "recording: {} (21 moments, 0.1 MB)", 0, 1),
    "it ended in silence": (25, "recording: {} (20 moments, 0.1 MB)", 0, 1),
    "it ended and said so": (25, "recording stopped: full; the 20 moments in {} are readable, nothing more", 5, 0),
}
"""Frame sets there were, what was said of the take of twenty; frame sets counted as not recorded, and complaints."""


@pytest.mark.parametrize("case", TAKES)
def test_takes_are_held_against_what_was_said_of_them(case: str, tmp_path: Path) -> None:
    count, line, counted, complaints = TAKES[case]
    take = record(tmp_path / "takes", make_estimates(20))
    summary = Meter().summary({}, {}, (line.format(take),))
    found = endure_run.held_against(tmp_path / "takes", replace(summary, frame_sets=count))
    assert (found["recorded"], found.get("not recorded, said", 0), len(found["wrong"])) == (20, counted, complaints)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's limits and signals")
@pytest.mark.slow  # a quarter of a minute, in which a busy machine is one fault more
def test_a_few_seconds_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mp4", 12, (320, 240))
    assert endure.main(["--minutes", "0.1", "--pace", "1", "--fps", "10", "--video", str(clip)]) == 0
    said = capsys.readouterr().out
    assert said.endswith("verdict: everything holds\n") and "a full disk" in said
    assert any(fault in said for fault in FAULTS)
