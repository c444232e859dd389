"""Where the lines go: to the terminal as they are, to a file with times, and with library use nowhere."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stream.app import command_line, console
from stream.app.command_line import main
from stream.app.logs import PACKAGES, lines_shown
from stream.types import StreamError

SECRET = "hush-7"
FIGURE = ["--camera", "synthetic:frames=3", "--view", "none", "--detector", "movenet-lightning"]


def test_the_terminal_gets_the_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("engines.runtimes.x")
    log.error("before")
    with lines_shown():
        log.info("building 3 %")
        log.debug("detail")
    log.error("after")
    assert capsys.readouterr() == ("", "building 3 %\n")
    with lines_shown(logging.WARNING):
        log.info("chatter")
        log.warning(f"no answer of rtsp://u:{SECRET}@host/x")
    assert capsys.readouterr() == ("", "no answer of rtsp://***@host/x\n")


def test_a_traceback_shows_no_password(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    with lines_shown(file=file):
        try:
            try:
                raise OSError(5, "Input/output error", f"rtsp://u:{SECRET}@host/x")
            except OSError as error:
                raise RuntimeError(f"cannot go on with http://host/x?{SECRET}") from error
        except RuntimeError:
            logging.getLogger("stream.x").critical("a fault", exc_info=True)
    for said in (capsys.readouterr().err, file.read_text()):
        assert "RuntimeError" in said and "rtsp://***@host/x" in said and SECRET not in said


def test_a_run_s_lines_and_summary_are_kept_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.log"
    assert main([*FIGURE, "--log-file", str(file)]) == 0
    said = capsys.readouterr()
    lines = file.read_text().splitlines()
    assert any(" INFO stream.app.build: detector movenet_lightning." in line for line in lines)
    assert any("3 moments in" in line for line in lines) and "3 moments in" in said.out
    assert said.err.count("detector movenet_lightning.") == 1 and "moments in" not in said.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main([*FIGURE, "--log-file", str(file), "--quiet"]) == 0
    again = file.read_text().splitlines()
    assert again[: len(lines)] == lines and len(again) > len(lines) + 2, "it is added to"
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_what_the_summary_warns_of(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    line = "warning: cam02 contradicts the other cameras: its picture is mirrored (9 of 9 moments)"
    whole = command_line.report
    monkeypatch.setattr(command_line, "report", lambda summary: [*whole(summary), line])
    assert main([*FIGURE, "--quiet"]) == 0
    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize("name", [".", "file/run.log", "\0"])
def test_a_log_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys, name: str) -> None:
    (tmp_path / "file").touch()
    assert main([*FIGURE, "--log-file", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be written" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_log_file_that_is_full_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_shown(file=Path("/dev/full")):
        logging.getLogger("stream").info("one")
    assert capsys.readouterr().err == "one\n"


def test_a_fault_of_ours_is_a_traceback_and_exit_code_1(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> None:
        raise RuntimeError(f"rtsp://u:{SECRET}@host/x")

    monkeypatch.setattr(command_line.build, "run", broken)
    assert main(FIGURE) == 1
    said = capsys.readouterr().err
    assert "RuntimeError: rtsp://***@host/x" in said and SECRET not in said


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (MemoryError(), "run_stream: out of memory", 2), (OSError(5, "I/O"), "cannot go on", 1),
        (KeyboardInterrupt(), "run_stream: stopped before it began", 130),
        (RuntimeError("can't start new thread"), "run_stream: no more threads", 2),
        (StreamError("no such camera"), "run_stream: no such camera", 2), (OSError(24, "Too many"), "no more files", 2),
        (ImportError("libGL.so.1: cannot open"), "libGL.so.1 is missing", 2),
    ],
)  # fmt: skip
def test_what_ended_a_run_is_on_the_terminal_and_in_the_file_once(
    error: BaseException, says: str, code: int, monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise error

    monkeypatch.setattr(command_line.build, "run", broken)
    file = tmp_path / "run.log"
    assert main([*FIGURE, "--log-file", str(file)]) == code
    for said in (capsys.readouterr().err, file.read_text()):
        assert said.count(says) == 1 and said.count("\n") == 1 and "Traceback" not in said


def test_results_that_cannot_be_printed_are_said_in_the_file(monkeypatch, tmp_path: Path) -> None:
    with lines_shown(file=tmp_path / "run.log"):
        console.say("run_stream: what is printed cannot be written")
        console.say(f"rtsp://u:{SECRET}@host/x")
    said = (tmp_path / "run.log").read_text()
    assert "what is printed cannot be written" in said and SECRET not in said


def test_a_run_that_was_asked_to_end_says_so_in_the_file(tmp_path: Path) -> None:
    # In a process of its own: tests that run side by side are not in the main thread, where alone signals are taken.
    file = tmp_path / "run.log"
    code = (
        "import signal, sys; from pathlib import Path; from stream.app.logs import lines_shown;"
        "from stream.app.signals import finish_on_interrupt; from stream.control import Control\n"
        "with lines_shown(file=Path(sys.argv[1])), finish_on_interrupt(Control()): signal.raise_signal(signal.SIGTERM)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, timeout=60)
    assert "asked to finish by a signal" in file.read_text()


HOST = """
import logging, os, sys
import numpy as np, cv2
def state():
    modules = {name: sys.modules.get(name, "absent") for name in ("openvino_telemetry",)}
    files = [(status.st_dev, status.st_ino) for status in map(os.fstat, (1, 2))]
    root = logging.root
    return (dict(os.environ), files, modules, root.manager.disable, list(root.handlers), list(root.filters), root.level,
            cv2.utils.logging.getLogLevel(), list(sys.path), sys.excepthook, sys.stdout, sys.stderr)
before = state()
import stream, engines, calibration
from engines import detectors, runtimes
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from stream.live.estimator import Estimator
from stream.config import SourceConfig
from stream.sources import make_source
from stream.types import FrameSet
from calibration.geometry.camera import camera_from_fov
for a, b in zip(before, state()):
    assert a == b, ("importing", a, b)
lifter = MDNLifter()
for name in runtimes.names():
    if runtimes.module(name).available() and not runtimes.module(name).obstacle():
        runtimes.load(engines.lifter.SHIPPED, NetworkOptions(name))
for name in ("movenet-lightning", "mediapipe-lite"):
    try:
        detector = detectors.load(name)
    except engines.types.EngineError:
        continue
    source = make_source(SourceConfig("synthetic:frames=2", "cam"))
    info = source.open()
    estimator = Estimator([camera_from_fov("cam", info.size, 60)], detector, lifter)
    while (frame := source.read()) is not None:
        estimator(FrameSet(frame.index, frame.t, (frame,), 0.0))
    source.close()
after = state()
for a, b in zip(before, after):
    assert a == b, (a, b)
"""


def test_a_host_program_is_left_as_it_was_and_nothing_is_printed(tmp_path: Path) -> None:
    """Importing and using the library changes no environment, descriptor, module, logger or warning of its host."""
    root = Path(__file__).resolve().parents[1]
    env = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "QT_LOGGING_RULES")}
    done = subprocess.run(
        [sys.executable, "-c", HOST],
        cwd=tmp_path, env={**env, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


def test_no_logger_keeps_a_handler_of_ours() -> None:
    main(["--camera", "no-such-file.mp4", "--view", "none"])
    for name in PACKAGES:
        assert all(isinstance(handler, logging.NullHandler) for handler in logging.getLogger(name).handlers)
