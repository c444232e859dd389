"""The program with its live outputs: those that cannot begin, all at once, and the receivers of examples/."""

import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from engines.argument_types import DONE, FAILED, MISTAKE
from stream.app.command_line import main
from stream.control import Control
from stream.drawing.facts import Status
from stream.recordings.schema import EVENTS, MOMENTS
from stream.recordings.takes import open_take
from stream.sinks import Run, kinds
from stream.sinks._token import VARIABLE
from stream.types import Event
from tests.faults.fault import row
from tests.sockets import beyond, printed
from tests.walker import single

for package in ("websockets", "pythonosc", "pylsl", "cyclonedds"):
    pytest.importorskip(package, reason=f"needs {package}, of requirements-live.txt")
ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--view", "none", "--detector", "movenet-lightning", "--camera"]


def rows(take, stream):
    return [one for batch in open_take(take).batches(stream) for one in batch.to_pylist()]


@row(
    "live outputs that cannot begin: a port that is taken, a host that is not known, a package that is missing", 1,
    "is taken by another program; is not known; pip install", "the run, its recording and all other outputs",
)  # fmt: skip
def test_what_cannot_begin_is_a_line_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "a-token-of-the-tests")
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        ports = [s.getsockname()[1] for s in (tcp, udp)]
        outputs = ["--websocket", str(ports[0]), "--osc-in", str(ports[1]), "--udp", "nowhere.invalid:9000",
                   "--lsl", "x", "--ros2", "nowhere0", "--record", "takes"]  # fmt: skip
        assert main([*FLAGS, "synthetic:frames=5", *outputs]) == FAILED
    said = capsys.readouterr().err
    for words in (f"websocket: port {ports[0]} of 127.0.0.1 is taken by another program",
                  f"osc-in: port {ports[1]} of 127.0.0.1 is taken by another program",
                  "udp: the host nowhere.invalid is not known", "--lsl needs the package pylsl: pip install pylsl==",
                  "ros2: no DDS in the network of 'nowhere0'"):  # fmt: skip
        assert len(re.findall(f"^{re.escape(words)}", said, re.MULTILINE)) == 1, said
    assert "Traceback" not in said
    assert len(rows(tmp_path / "takes", MOMENTS)) == 5


@row("a live output whose value is no address", 2, "no address such as 127.0.0.1:9000")
@pytest.mark.parametrize(
    "flags",
    [("--udp", "nowhere"), ("--udp", "1:2:3"), ("--osc", "x y:1"), ("--websocket", "70000"), ("--osc-in", "http://a:1"),
     ("--lsl-address", "lan"), ("--lsl", "bob's"), ("--ros2", "a b")],
)  # fmt: skip
def test_what_is_no_address_is_refused_before_anything_is_opened(flags, capsys):
    with pytest.raises(SystemExit) as left:
        main([*FLAGS, "gone.mp4", *flags])
    assert left.value.code == MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert flags[0] in line and "gone.mp4" not in line


def test_all_of_them_at_once_leave_their_lines_and_events_their_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "a-token-of-the-tests")
    outputs = ["--websocket", "0", "--osc", "9", "--osc-in", "0", "--udp", "9", "--lsl", f"all-{os.getpid()}",
               "--ros2", "--hypotheses", "--record", "takes", "--log-file", "log.txt"]  # fmt: skip
    monkeypatch.setenv("ROS_DOMAIN_ID", str(os.getpid() % 100 + 100))
    assert main([*FLAGS, "synthetic:frames=20", *outputs]) == DONE
    said = capsys.readouterr()
    for words in ("lsl: [0-9]+ samples", "osc: [1-9]", "ros2: [1-9]", "udp: [1-9]"):  # lsl looks around first
        assert re.search(f"^{words}", said.out, re.MULTILINE), said.out
    assert len(rows(tmp_path / "takes", MOMENTS)) == 20 and not rows(tmp_path / "takes", EVENTS)
    everything = said.out + said.err + (tmp_path / "log.txt").read_text()
    everything += "".join(path.read_bytes().decode("latin-1") for path in (tmp_path / "takes").rglob("*.*"))
    assert "a-token-of-the-tests" not in everything


def test_the_token_is_printed_once_and_kept_nowhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    outputs = ["--websocket", "0", "--record", "takes", "--log-file", "log.txt", "--verbose"]
    assert main([*FLAGS, "synthetic:frames=3", *outputs]) == DONE
    said = capsys.readouterr()
    (token,) = re.findall(r"^token of this run, for commands over the network: (\S{22,})$", said.err, re.MULTILINE)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert (said.out + said.err).count(token) == 1 and not any(token.encode() in data for data in kept)


RECEIVERS = {
    "udp": ("47811", "person 0, p = 0.62: left wrist"), "websocket": ("ws://127.0.0.1:47812/", "person 0, p = 0.62"),
    "osc": ("47813", "LeftLowerArm"), "lsl": ("examples", "person 0, p = 0.62: left wrist"),
    "ros2": ("", "person_0/left_wrist"),
}  # fmt: skip
SENDERS = {"udp": "47811", "websocket": "47812", "osc": "47813", "lsl": "examples", "ros2": "lo"}


def test_there_is_a_receiver_for_each_output():
    there = {path.stem for path in (ROOT / "examples" / "receivers").glob("*.py")}
    assert there == {*RECEIVERS, "ros2_node"}
    for path in (ROOT / "examples" / "receivers").glob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert (
            len(path.read_text().splitlines()) <= 60 and f"receivers/{path.name}" in (ROOT / "docs/live.md").read_text()
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", RECEIVERS)
def test_a_receiver_of_the_examples_prints_what_is_sent(name, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "a-token-of-the-tests")
    estimate, _, info = single()
    kind = kinds()[name]
    flag = fields(kind)[0]
    options = kind(**{flag.name: flag.metadata["parse"](SENDERS[name])})
    sink = options.make(Run(Status, Control()))
    sink.open(info)
    where, words = RECEIVERS[name]
    out = tmp_path / "said.txt"
    with out.open("w") as file:
        command = [sys.executable, ROOT / "examples" / "receivers" / f"{name}.py", *filter(None, [where])]
        receiver = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    try:
        end = time.monotonic() + 60
        while words not in out.read_text():
            assert receiver.poll() is None and time.monotonic() < end, out.read_text()
            sink.write(estimate, {})
            sink.event(Event(0.1, "user", "jump"))  # pyright: ignore[reportAttributeAccessIssue] - all of these do
            time.sleep(0.05)
    finally:
        receiver.kill()
        receiver.wait()
        sink.close()


@pytest.mark.parametrize("flags", [("--websocket",), ("--osc-in", "0"), ("--ros2",), ("--video-out", "v.mp4")])
def test_a_capture_without_estimates_has_no_outputs_of_them(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--camera", "0", "--capture", "takes", *flags]) == MISTAKE
    assert f"{flags[0]} is of a run with estimates, and --capture makes none; add --live" in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_them_at_once_listen_to_this_machine_alone():
    code = (
        "from tests.sockets import show\n"
        "from tests.test_live_outputs import *\n"
        "options = [kinds()[name] for name in ('websocket', 'osc', 'osc_in', 'lsl', 'ros2', 'udp')]\n"
        "given = dict(websocket='8765', osc='9', osc_in='9001', lsl='x', ros2='lo', udp='9')\n"
        "sinks = [kind(**{f.name: f.metadata['parse'](given[f.name]) for f in fields(kind) if f.name in given})"
        ".make(Run(Status, Control())) for kind in options]\n"
        "for sink in sinks:\n"
        "    sink.open(single()[2])\n"
        "    sink.write(single()[0], {})\n"
        "show()\n"
        "for sink in sinks:\n"
        "    sink.close()\n"
    )
    lines = printed(code)
    assert {"tcp 127.0.0.1:8765", "udp 127.0.0.1:9001"} <= set(lines) and len(lines) > 6
    assert beyond(lines) == []
