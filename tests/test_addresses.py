"""What may be shown of an address, and that nothing else is: in messages, exceptions and argparse's own errors."""

import argparse
import traceback

import pytest

from calibration.addresses import is_address, redact, scrub
from calibration.errors import UserError
from engines.argument_types import MISTAKE, Parser
from stream.app import command_line, export, verbs
from stream.app.calibrate import command_line as calibrate
from stream.config import SourceConfig
from stream.sources import make_source, parse_source, parse_sources
from stream.types import StreamError
from tests.faults.fault import row

SECRET = "hush-7"
HIDING = [
    f"rtsp://admin:{SECRET}@10.0.0.1:554/stream",
    f"rtsp://admin:a@{SECRET}@10.0.0.1/stream",
    f"rtsp://admin:a/{SECRET}@10.0.0.1/stream",
    f"rtsp://admin:a?{SECRET}@10.0.0.1/stream",
    f"rtsp://admin:a#{SECRET}@10.0.0.1/stream",
    f"rtsp://admin:a;{SECRET}@10.0.0.1/stream",
    f"rtsp://admin:a:{SECRET}@[::1]:8554/stream",
    f"rtsp://{SECRET}@10.0.0.1/stream",
    f"http://10.0.0.1/video.cgi?user=admin&pwd={SECRET}&channel=1",
    f"http://10.0.0.1/video?loginpas={SECRET}",
    f"http://10.0.0.1/video?p=a@{SECRET}",
    f"http://10.0.0.1/video?{SECRET}",
    f"http://10.0.0.1/video#{SECRET}",
    f"http://10.0.0.1/video;pw={SECRET}/x",
    f"rtsp://10.0.0.1/user=admin_password={SECRET}_channel=1_stream=0.sdp",
    f"rtsp://10.0.0.1/admin:{SECRET}/x",
    f"admin:{SECRET}@10.0.0.1/stream",
    f"admin:a/{SECRET}@10.0.0.1/stream",
    f"10.0.0.1/user=admin&password={SECRET}",
    f"10.0.0.1:554/live?{SECRET}",
]  # fmt: skip
AMBIGUOUS = [
    f"rtsp://admin:12/{SECRET}@10.0.0.1/stream",
    f"http://host/video?p=a@{SECRET}",
    f"rtsp://admin:a@b/{SECRET}@host",
    f"rtsp://admin:{SECRET}",
    f"rtsp:/admin:{SECRET}@host",
]
"""Where the host cannot be told from a part of the password."""


@pytest.mark.parametrize("address", HIDING + AMBIGUOUS)
@row("a password: {address}", 0, lambda values: redact(values["address"]), "the password is not shown")
def test_no_secret_is_shown_of_an_address(address: str) -> None:
    assert SECRET not in redact(address)
    assert redact(redact(address)) == redact(address), "what was shown once may be shown again"
    assert SECRET not in repr(SourceConfig(address, "cam")) and SECRET not in SourceConfig(address, "cam").shown
    for message in (f"cannot open {address}", f"[Errno 5] {address!r}: no answer", f"--camera left={address} (failed)"):
        assert SECRET not in scrub(message, [f"left={address}"])


@pytest.mark.parametrize("address", HIDING)
def test_the_host_is_shown(address: str) -> None:
    assert "10.0.0.1" in redact(address) or "[::1]:8554" in redact(address)


def test_harmless_segments_of_the_path_are_shown() -> None:
    address = f"rtsp://u:{SECRET}@host:554/live/p={SECRET}/track1?{SECRET}"
    assert redact(address) == "rtsp://***@host:554/live/***/track1?***"


@pytest.mark.parametrize(
    "text",
    ["0", "/dev/video0", "C:\\a.mp4", "C:\\Users\\a@b\\c.mp4", "a@b.mp4", "a=1/x.mp4", "synthetic:frames=3", "a?b.mp4",
     "http://host:80/a/b", "rtsp://[::1]/x"],
)  # fmt: skip
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text and scrub(f"{text}: no such file") == f"{text}: no such file"


@pytest.mark.parametrize("address", [a for a in HIDING + AMBIGUOUS if is_address(a)])
@pytest.mark.parametrize(
    ("flags", "main", "name"),
    [
        ([], command_line.main, "run_stream"),
        (["--camera", "0", "--fps"], command_line.main, "run_stream"),
        (["--camera", "0", "--record"], command_line.main, "run_stream"),
        (["--camera", "0", "--detector"], command_line.main, "run_stream"),
        (["--camera", "0", "--demo"], command_line.main, "run_stream"),
        (["--camera", "0", "--colour"], command_line.main, "run_stream"),
        (["takes", "--to", "csv", "--out"], export.main, "stream export"),
        (["check", "--camera", "0", "--calibration"], calibrate.main, "calibration"),
    ],
)
@row(
    lambda values: " ".join([values["name"], *values["flags"], "rtsp://user:password@host"]),
    MISTAKE,
    "one line",
    "the password is not shown",
)
def test_a_misplaced_address_is_refused_without_its_secret(capsys, address, flags, main, name) -> None:
    for given in ([*flags, address], [*flags[:-1], f"{flags[-1]}={address}"] if flags else [f"left={address}"]):
        with pytest.raises(SystemExit) as left:
            main(given)
        said = capsys.readouterr()
        assert left.value.code == 2 and said.out == ""
        assert SECRET not in said.err and said.err.startswith(name) and said.err.count("\n") == 1


@row("an address with a password in place of a verb", MISTAKE, "", "the password is not shown")
def test_an_address_in_place_of_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for address in HIDING:
        assert verbs.main([address]) == 2
        assert SECRET not in capsys.readouterr().err


@row("an address that argparse complains of", MISTAKE, "rtsp://***@host/x", "the password is not shown")
def test_argparse_s_own_errors_show_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="x", addresses=("--camera",))
    parser.add_argument("--camera", type=int)
    with pytest.raises(SystemExit):
        parser.parse_args(["--camera", f"rtsp://u:a b'{SECRET}@host/x\n"])
    said = capsys.readouterr().err
    assert "rtsp://***@host/x" in said and SECRET not in said and said.count("\n") == 1


@row("an address in any of our exceptions", MISTAKE, "rtsp://***@host/x: no answer", "the password is not shown")
def test_a_user_s_error_shows_no_secret_whoever_made_it() -> None:
    for kind in (UserError, StreamError):
        assert str(kind(f"rtsp://u:{SECRET}@host/x: no answer")) == "rtsp://***@host/x: no answer"


@pytest.mark.parametrize("address", [f"u:{SECRET}@host/x", f"u:{SECRET}@host/\0", f"u:{SECRET}@{'h' * 5000}"])
@row("an address in a chained exception: {address!a:.40}", MISTAKE, "", "the password is not shown")
def test_no_secret_in_the_chain_of_an_error(address: str) -> None:
    with pytest.raises(StreamError) as caught:
        make_source(SourceConfig(address, "cam")).open()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@row("--camera NAME=env:VARIABLE, not set", MISTAKE, "is not set, or empty", "ps shows no password")
def test_a_camera_by_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"rtsp://u:{SECRET}@host/x"
    monkeypatch.setenv("LEFT", address)
    source = parse_source("left=env:LEFT", 0)
    assert (source.source, source.name, source.given) == (address, "left", "env:LEFT")
    assert source.shown == "rtsp://***@host/x" and SECRET not in repr(source)
    with pytest.raises(StreamError, match="given twice"):
        parse_sources(["a=env:LEFT", f"b={address}"])
    monkeypatch.setenv("LEFT", " ")
    for text in ("env:LEFT", "a=env:NO_SUCH_CAMERA"):
        with pytest.raises(StreamError, match="is not set, or empty"):
            parse_source(text, 0)


def test_the_parser_is_argparse_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert issubclass(Parser, argparse.ArgumentParser)
    with pytest.raises(SystemExit) as left:
        command_line.main(["--camera", "0", "--fps", "fast"])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "run_stream: argument --fps: 'fast' is not a number of frames a second such as 30 (--help lists every flag)\n"
    )
