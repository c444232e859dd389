"""Computers that record for whoever fuses, as a user starts them: processes, cameras, kills, and one take of all."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

for package in ("zenoh", "msgpack", "pythonosc"):
    pytest.importorskip(package, reason=f"needs {package}, of requirements-cluster.txt and requirements-live.txt")

from stream.app.gather import main as gather  # noqa: E402
from stream.recordings.captured import held  # noqa: E402
from stream.recordings.replay import read_clocks, read_events, read_frames, replay  # noqa: E402
from stream.recordings.takes import open_take  # noqa: E402
from tests.cluster_node import free_group  # noqa: E402
from tests.servers import MjpegServer, decode  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 90.0
NEAR_S = 0.3
"""Beyond the jitter of a loaded machine."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Computer:
    """The program in a folder of its own, and what it says."""

    def __init__(self, folder, *flags):
        self.folder, self.lines, self.osc = folder, [], None
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.osc = free.getsockname()[1]
        given = [*map(str, flags), "--view", "none", "--people", "1", "--detector", "movenet-lightning",
                 "--runtime", "onnx", "--osc-in", str(self.osc)]  # fmt: skip
        command = [sys.executable, str(ROOT / "run_stream.py"), *given]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self._thread.start()

    def said(self, text, times=1):
        """Wait until it has said this so often; the last line with it."""
        end = time.monotonic() + PATIENCE_S
        while len(found := [line.strip() for line in list(self.lines) if text in line]) < times:
            assert time.monotonic() < end and self.process.poll() is None, (text, self.lines)
            time.sleep(0.05)
        return found[-1]

    def asks(self, address, *texts):
        def pad(data):
            return data + bytes(4 - len(data) % 4)

        message = pad(address.encode()) + pad(b"," + b"s" * len(texts)) + b"".join(pad(t.encode()) for t in texts)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(message, ("127.0.0.1", self.osc))
        return time.monotonic()

    def takes(self):
        return [open_take(path) for path in sorted((self.folder / "takes").iterdir())]

    def finish(self):
        """Ask it to end; what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        return "".join(self.lines)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()


@pytest.fixture
def lab(tmp_path):
    """Starts computers, and ends them with the test."""
    with ExitStack() as stack:

        def start(name, *flags):
            computer = Computer(tmp_path / name, *flags)
            stack.callback(computer.close)
            return computer

        yield start


@pytest.fixture
def camera():
    with ExitStack() as stack:
        yield lambda: stack.enter_context(MjpegServer(fps=10)).url()


def texts(take):
    return [(event.source, event.text) for event in read_events(take)]


def test_takes_of_several_computers_are_commanded_marked_and_gathered(lab, camera, tmp_path, capsys):
    group = free_group()
    urls = camera(), camera()
    left = lab("left", f"--camera=left={urls[0]}", "--publish", group, "--capture", "takes")
    right_flags = (f"--camera=right={urls[1]}", "--publish", group, "--record", "takes", "--record-video")
    right = lab("right", *right_flags)
    for node in (left, right):
        node.said(f"recording: {group} begins it there")
        node.said("publish: ")
    assert not list((tmp_path / "right" / "takes").iterdir()), "it waits"

    fuses = lab("fuses", "--from", group, "--record", "takes")
    fuses.said("records into", 2)
    left_id, right_id = (node.said(" as ").rpartition(" ")[2] for node in (left, right))
    who = left.said("begins a recording").split()[1]
    time.sleep(2)
    jump = fuses.asks("/event", "jump")
    here = left.asks("/event", "here")
    time.sleep(2)
    fuses.asks("/record/stop")
    fuses.said("has ended its recording", 2)

    # Another take, in which one computer dies and comes back.
    fuses.asks("/record/start")
    fuses.said("records into", 4)
    time.sleep(2)
    right.process.kill()
    right.process.wait()
    fuses.said(f"{right_id} does not record: it does not answer")
    again = lab("right", *right_flags)
    again.said("begins a recording")
    fuses.said("records into", 5)
    time.sleep(2)
    last = fuses.finish()
    assert fuses.process.returncode == 0 and "Traceback" not in last
    assert f"{left_id}: recorded there: " in last and f"{right_id}: recorded there: " in last and "it is gone" in last
    for node in (left, again):
        node.said("ends the recording", 1 if node is again else 2)
        said = node.finish()
        assert node.process.returncode == 0 and "Traceback" not in said

    # What stands in the takes.
    (first, second), (left1, left2), (right1, right2, right3) = fuses.takes(), left.takes(), right.takes()
    assert ("osc-in", "jump") in texts(first) and (f"{left_id}: osc-in", "here") in texts(first)
    for take, name in ((left1, left_id), (right1, right_id)):
        assert (f"{who}: osc-in", "jump") in texts(take) and (who, "began this take") in texts(take)
        assert {reading.clock for reading in read_clocks(take)} == {name}
        t = next(event.t for event in read_events(take) if event.text == "jump")
        assert abs(t - jump) < NEAR_S, "one machine has one monotonic clock"
    assert ("osc-in", "here") in texts(left1) and not any("here" in text for _, text in texts(right1))
    assert abs(next(e.t for e in read_events(first) if e.text == "here") - here) < NEAR_S
    assert held(left1)["left"].lost == {} and held(left1)["left"].frames > 30
    assert (right_id, "does not answer") in texts(second)
    assert [camera.source for camera in first.run_info.cameras] == [f"node:{group}/left", f"node:{group}/right"]
    assert max(len(e.frames) - e.frames.count(None) for e in replay(second)) == 2
    inside = [e for e in replay(second) if e.frames[1] is None]
    assert len(inside) > 5, "it went on with the other one while that was away"

    # One take of all.
    capsys.readouterr()
    for out, takes in (("one", (first, left1, right1)), ("two", (second, left2, right2, right3))):
        assert gather([*(str(take.folder) for take in takes), "--out", str(tmp_path / out)]) == 0, capsys.readouterr()
        whole = open_take(tmp_path / out)
        for name in ("left", "right"):
            frames = list(read_frames(whole, name))
            assert [f.t for f in frames] == sorted(f.t for f in frames)
            assert len({f.index for f in frames}) == len(frames)
            numbers = [decode(frame.image) for frame in frames]
            assert numbers == sorted(numbers) and len(numbers) > 3
    assert texts(open_take(tmp_path / "one")).count(("osc-in", "jump")) == 1


def test_one_that_may_not_record_says_so_and_nothing_is_left_behind(lab, camera, tmp_path):
    group = free_group()
    plain = lab("plain", f"--camera=left={camera()}", "--publish", group)
    plain.said("publish: ")
    fuses = lab("fuses", "--from", group, "--record", "takes")
    fuses.said("does not record: it was begun without --record and --capture")
    said = fuses.finish()
    assert "nothing was recorded there: it was begun without --record and --capture" in said
    plain.finish()
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == []
