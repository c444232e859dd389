"""Runs that begin and end by the clock, and what a user marks meanwhile."""

import io
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from engines.argument_types import DONE, MISTAKE
from stream.app import logs, typed_marks
from stream.app.command_line import main
from stream.config import StartConfig
from stream.control import Control
from stream.live.timed_start import TimedStart, wait_for
from stream.recordings.replay import read_events, replay
from stream.recordings.takes import open_take
from stream.types import StreamError
from tests.faults.fault import row
from tests.mistakes import refused
from tests.program import ROOT
from tests.reading import wait_until
from tests.servers import MjpegServer

FAST = ["--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32", "--view", "none"]


def test_a_recording_begins_and_ends_by_the_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as server:
        timed = ["--countdown", "1", "--seconds", "0.7"]
        assert main(["--camera", server.url(), *FAST, *timed, "--record", str(tmp_path)]) == DONE
    assert "1 ...\n" in capsys.readouterr().err
    take = open_take(tmp_path)
    events = {event.text: event.t for event in read_events(take) if event.source == "run"}
    times = [estimate.t for estimate in replay(take)]
    assert times and times[-1] - times[0] < 0.7, "the run goes on before and after it"
    assert events["start"] < events["end"]


@pytest.mark.parametrize("flags", [("--seconds", "5"), ("--countdown", "5"), ("--start-at", "2099-01-01T00:00:00")])
def test_what_has_its_own_times_is_not_begun_by_the_clock(flags, capsys: pytest.CaptureFixture[str]):
    said = refused(capsys, main, "run_stream", "--camera", "synthetic:frames=3", "--view", "none", *flags)
    assert "are for live cameras, and synthetic:frames=3 is none; leave them out" in said
    said = refused(capsys, main, "run_stream", "--demo", "--view", "none", *flags)
    assert f"{flags[0]} is for live cameras; leave it out, or --demo" in said


def test_a_timed_start_prepares_begins_and_ends():
    control, told, began, noted = Control(), [], [], []
    control.connect(event=lambda source, text, t: noted.append((source, text)))
    timed = TimedStart(StartConfig(countdown=1, seconds=0.2), told.append)
    timed.begins(lambda start, until: began.append((start, until)))
    newest = [0.0]
    timed.start(control, lambda: newest[0])
    wait_until(lambda: noted == [("run", "start")])
    (start, until), now = began[0], time.monotonic()
    assert len(began) == 1 and start <= now and until == pytest.approx(start + 0.2)
    assert told == ["1 ...", ""] and timed.note == ""
    newest[0] = until  # an estimate of the end is there
    wait_until(lambda: control.stopping)
    timed.close()
    assert control.stopping and noted == [("run", "start"), ("run", "end")] and timed.problem == ""


def test_a_timed_start_that_is_stopped_or_fails_begins_nothing():
    control = Control()
    control.stop()
    assert not wait_for(time.monotonic() + 100, 0, control, lambda line: None, lambda: pytest.fail("nothing begins"))

    def full(start: float, until: float) -> None:
        raise StreamError("the disk is full")

    control = Control()
    timed = TimedStart(StartConfig(seconds=1))
    timed.begins(full)
    timed.start(control, lambda: 0.0)
    timed.close()
    assert timed.problem == "the disk is full" and control.stopping


@row(
    "--start-at goes by while cameras open", MISTAKE, "the cameras took so long; give a later time", "nothing is begun"
)
@pytest.mark.parametrize("keeps", ["--record", "--capture"])
def test_a_start_that_goes_by_while_cameras_are_opened_is_refused(
    keeps: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    class Before(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("stream.app.command_line.datetime", Before)  # when the flags were read
    with MjpegServer() as server:
        flags = ["--camera", server.url(), *FAST, "--start-at", "2026-01-02T03:04:05+00:00", keeps, str(tmp_path)]
        assert main(flags) == MISTAKE
    assert "the cameras took so long; give a later time" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_the_countdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    with MjpegServer() as server:
        flags = ["--camera", server.url(), *FAST, "--countdown", "100", "--record", str(tmp_path / "file")]
        assert main(flags) == MISTAKE
    assert "cannot record to" in capsys.readouterr().err


def test_what_is_typed_during_a_capture_is_an_event_of_it(tmp_path: Path):
    keyboard, terminal = os.openpty()
    with ExitStack() as stack, MjpegServer() as server:
        stack.callback(os.close, keyboard)
        keys = stack.enter_context(os.fdopen(terminal, "r"))
        camera = ["--camera", f"left={server.url()}"]
        command = [sys.executable, "run_stream.py", *camera, "--capture", str(tmp_path), "--view", "none"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: any(tmp_path.glob("*/*.mkv")))
            os.write(keyboard, b"jump 1\n\n")
            wait_until(lambda: len(list(read_events(open_take(tmp_path)))) == 3)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == DONE
    events = [(event.source, event.text) for event in read_events(open_take(tmp_path))]
    assert events == [("capture", "start"), ("key", "jump 1"), ("key", "mark"), ("capture", "end")]


def test_what_is_no_terminal_is_not_read(tmp_path: Path):
    assert typed_marks.listen(Control(), None) is None
    with (tmp_path / "keys").open("w+") as file:
        assert typed_marks.listen(Control(), file) is None


def test_a_line_begins_on_its_own_where_another_is_rewritten_in_place(monkeypatch: pytest.MonkeyPatch):
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    for out, begins in ((Tty(), "\r\x1b[K3 ...\n"), (io.StringIO(), "3 ...\n")):
        monkeypatch.setattr("sys.stderr", out)
        with logs.lines_shown():
            logging.getLogger("stream.app.build").info("3 ...")
        assert out.getvalue() == begins
