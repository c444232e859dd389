"""Flags that cannot be, and tables of times that lie. A row a fault."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.addresses import scrub
from calibration.errors import UserError
from calibration.writing import WriteError, check_target
from engines.argument_types import MISTAKE
from stream.app import command_line, verbs
from stream.recordings.export import export
from stream.recordings.takes import open_take
from tests.faults.fault import Fault, row
from tests.servers import write_video
from tests.takes import make_estimates, make_run_info, record

SECRET = "hush-7"
MISPLACED = [
    ["--rotate", "10.0.0.1/x?p={}"],
    ["--speed", "cam=10.0.0.1:554/x?p={}"],
    ["--sync-offset", "left=10.0.0.1/x?p={}"],
    ["--times", "10.0.0.1/x?p={}"],
    ["--letterbox", "camera.local/x?p={}"],
    ["--control", "camera.local:80/user=u_password={}:exposure=1"],
    ["--select", "10.0.0.1/x?p={}"],
    ["--from-take", "10.0.0.1:554/x?p={}"],
    ["--config", "10.0.0.1/x?p={}"],
    ["export", "10.0.0.1/x?p={}", "--to", "csv", "--out", "x.csv"],
    ["replay", "camera.local:80/user=u_password={}"],
]


@pytest.mark.parametrize("flags", MISPLACED, ids=lambda flags: flags[0])
@row(lambda v: " ".join(v["flags"][:2]).format("***"), MISTAKE, "one line", "the password is not shown")
def test_an_address_without_a_scheme_in_a_wrong_place_shows_no_secret(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [flag.format(SECRET) for flag in flags]
    camera = [] if flags[0] == "--from-take" else ["--camera", "v.mp4"]
    said = refused(given if flags[0] in verbs.VERBS else [*camera, *given], capsys)
    assert SECRET not in said


@pytest.mark.parametrize("text", ["takes/2026/left: 3/s", "1.2.3.4: no answer", "a?b.mp4", "12:30, 5/6", "C:\\a=1"])
def test_other_words_of_a_message_are_shown_are_good(text: str) -> None:
    assert scrub(text) == text


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """One line of at most 300 characters, exit status 2, at once."""
    begun = time.monotonic()
    try:
        code = (verbs.main if arguments[0] in verbs.VERBS else command_line.main)(arguments)
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    assert code == MISTAKE and said.out == "" and said.err.count("\n") == 1, said
    assert len(said.err) < 300 and time.monotonic() - begun < 20
    return said.err


LONG = "9" * 5000
WRONG = [
    (["--start-at", "9999-12-31T23:59:59-23:59"], "is not a time"),
    (["--start-at", "0001-01-01T00:00:00+23:59"], "is not a time"),
    (["--start-at", "2020-01-01T00:00:00Z", "--capture", "c"], "that time is over"),
    (["--countdown", "²"], "is not a number of seconds"),
    (["--seconds", "inf"], "is not a number"),
    (["--size", "²x³"], "is not a size"),
    (["--people", "1.5"], "is not a number of people"),
    (["--select", "-1"], "selects nobody"),
    (["--rotate", "45"], "give 0, 90, 180 or 270"),
    (["--rotate", "nobody=90"], "there is no camera 'nobody'"),
    (["--speed", "nan"], "give how many times slower"),
    (["--speed", "8", "--times", "t.csv"], "give one of them"),
    (["--control", ":exposure=1"], "give NAME=VALUE"),
    (["--control", "exposure=1"], "--control is for local cameras"),
    (["--from-take", "takes"], "leave out --camera"),
]


@pytest.mark.parametrize(("flags", "words"), WRONG, ids=lambda v: "=".join(v) if isinstance(v, list) else "")
@row(lambda v: " ".join(v["flags"]), MISTAKE, lambda v: v["words"], "nothing was begun")
def test_a_flag_that_cannot_be_is_one_line(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(["--camera", "v.mp4", *flags], capsys)


@pytest.mark.parametrize("flag", ["--size", "--countdown", "--people", "--max-people", "--start-at"])
@row("{flag} of 5,000 digits", MISTAKE, "", "nothing was begun")
def test_a_number_of_many_digits_is_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert flag in refused(["--camera", "v.mp4", flag, LONG], capsys)


def text(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def fifo(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs on this system")
    os.mkfifo(path)


TABLES = [
    Fault("frame numbers a hundred million million apart",
          text("camera,frame_index,time\nv,0,0\nv,99999999999999,1\n"), 2, "at most 10000000 are read", ""),
    Fault("a frame number below zero", text("camera,frame_index,time\nv,-5,0\n"), 2, "is no number of a frame", ""),
    Fault("half a frame number", text("camera,frame_index,time\nv,0.5,0\n"), 2, "is no number of a frame", ""),
    Fault("two times of one frame", text("camera,frame_index,time\nv,0,0\nv,0,1\n"), 2, "has two times", ""),
    Fault("a row that is cut off", text("time,camera\n1\n2\n"), 2, "a row has no camera", ""),
    Fault("times that go back", text("camera,time\nv,1\nv,0\n"), 2, "do not increase", ""),
    Fault("an infinite time", text("camera,time\nv,inf\n"), 2, "'inf' is not a number", ""),
    Fault("no time at all", text("camera,time\nv,nan\n"), 2, "not one time in it", ""),
    Fault("a head alone", text("camera,time\n"), 2, "not one time in it", ""),
    Fault("noise", text(b"\x00\xff\xfe" * 900), 2, "not a table", ""),
    Fault("half a character", text(b"\xff\xfea"), 2, "not a table", ""),
    Fault("a field of 200,000 characters", text("camera,time\nv," + "1" * 200_000 + "\n"), 2, "not a table", ""),
    Fault("a camera that commands the terminal", text("camera,time\n\x1b[2J,1\n"), 2, "\\x1b[2J", ""),
    Fault("a FIFO in its place", fifo, 2, "it is a FIFO", ""),
    Fault("a folder in its place", lambda path: path.mkdir(), 2, "it is a folder", ""),
]  # fmt: skip


@pytest.mark.parametrize("fault", TABLES, ids=str)
@row("a table of times: {fault}", intact="nothing was begun")
def test_a_table_of_times_that_lies_is_one_line(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("v.mp4"), 2)
    fault.inject(Path("t.csv"))
    assert fault.words in refused(["--camera", "v.mp4", "--times", "t.csv"], capsys)


@row("an export at a rate of {rate} Hz", MISTAKE, "1000000 are the most", "nothing is written")
@pytest.mark.parametrize("rate", ["1e9", "1e308"])
def test_a_rate_that_would_fill_the_memory_is_refused(
    rate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path / "takes", make_estimates(12), make_run_info())
    given = ["export", str(take), "--to", "trc", "--out", str(tmp_path / "a.trc"), "--rate", rate]
    assert "1000000 are the most" in refused(given, capsys)
    assert not list(tmp_path.glob("*.trc"))


@row("a name that no file can have", MISTAKE, "cannot be written", "nothing is written")
@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "null"])
def test_a_name_that_no_file_can_have_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WriteError, match="cannot be written"):
        check_target(Path(name))
    take = record(tmp_path / "takes", make_estimates(2), make_run_info())
    with pytest.raises(UserError, match="cannot"):
        export(open_take(take), "csv", Path(name))
