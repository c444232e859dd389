"""Computers of a group that fail, as real processes: the others go on, nothing wrong is used, they come back."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

for package in ("zenoh", "msgpack"):
    pytest.importorskip(package, reason=f"needs {package}, of requirements-cluster.txt")

from stream.cluster.system_clock import SystemClock  # noqa: E402
from stream.cluster.wire import VERSION  # noqa: E402
from stream.config import SourceConfig  # noqa: E402
from stream.sources import open_all  # noqa: E402
from stream.sources.node import NodeSource  # noqa: E402
from tests.cluster_node import free_group  # noqa: E402
from tests.faults.fault import row  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
FAR_S = 0.25
"""Beyond the jitter of a loaded machine, and far below the offsets that are injected."""


class Cable:
    """Between a node and whoever fuses: can be cut, and made slow. What is sent into a cut one waits in the system."""

    def __init__(self, to, delay_s=0.0):
        self._to, self._delay, self.whole = to, delay_s, threading.Event()
        self.whole.set()
        self._random = random.Random(0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.group = replace(to, port=self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                here = self._server.accept()[0]
                try:
                    there = socket.create_connection((self._to.host, self._to.port))
                except OSError:
                    here.close()
                    continue
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, one, other):
        with suppress(OSError):
            while self.whole.wait() and (data := one.recv(65536)):
                self.whole.wait()
                time.sleep(self._random.uniform(0, self._delay))
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        self.whole.set()
        self._server.close()


@pytest.fixture
def cable():
    made = []

    def cable(*args):
        made.append(Cable(*args))
        return made[-1]

    yield cable
    for one in made:
        one.close()


class Fusion:
    """Cameras of a group, read as a run reads them."""

    def __init__(self, group, *names, by_system=False):
        self.stack, self.group = ExitStack(), group
        configs = [SourceConfig(f"node:{group}/{n}", n, open_s=PATIENCE_S, system_clock=by_system) for n in names]
        self.sources = {config.name: NodeSource(config, group, config.name) for config in configs}
        open_all(list(self.sources.values()), self.stack)
        self.frames = {name: [] for name in names}
        self.threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in names]
        for thread in self.threads:
            thread.start()

    def _read(self, name):
        while (frame := self.sources[name].read()) is not None:
            self.frames[name].append((time.monotonic(), frame))

    def new(self, name, count=5, within=PATIENCE_S):
        """That many frames that come from now on, and how long the first one took."""
        have, start = len(self.frames[name]), time.monotonic()
        first = None
        while len(self.frames[name]) < have + count:
            assert time.monotonic() < start + within, (name, self.sources[name].status())
            if first is None and len(self.frames[name]) > have:
                first = time.monotonic() - start
            time.sleep(0.01)
        return [frame for _, frame in self.frames[name][have:]], first

    def close(self):
        self.stack.close()
        for thread in self.threads:
            thread.join(PATIENCE_S)

    def until(self, told):
        end = time.monotonic() + PATIENCE_S
        while not told():
            assert time.monotonic() < end, {name: s.status() for name, s in self.sources.items()}
            time.sleep(0.02)


@pytest.fixture
def start():
    """Starts nodes, and ends them with the test."""
    started = []

    def start(group, *cameras, **options):
        flags = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "tests.cluster_node", str(group), *cameras, *flags]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        process.node = process.stdout.readline().strip()  # pyright: ignore[reportAttributeAccessIssue]
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def fusion():
    opened = []

    def fusion(*args, **options):
        opened.append(Fusion(*args, **options))
        return opened[-1]

    yield fusion
    for one in opened:
        one.close()


def true(frames):
    """Every frame is at the time of this computer at which it was made, which its person tells; in order, once."""
    for frame in frames:
        made = (float(frame.seen.people[0].detection.xy[0, 0]) - 100) / 10
        assert abs(made - frame.t) < FAR_S, (made, frame.t)
    times, numbers = [frame.t for frame in frames], [frame.index for frame in frames]
    assert times == sorted(set(times)) and numbers == sorted(set(numbers))


@row("clocks of computers that differ by 1000 s",
     intact="each frame is where it belongs")  # fmt: skip
def test_clocks_of_others_are_known(start, fusion):
    group = free_group()
    start(group, "left", offset=3.0)
    start(group, "right", offset=-1000.0)
    run = fusion(group, "left", "right")
    for name in ("left", "right"):
        true(run.new(name, 20)[0])
        assert run.sources[name].status().note == ""


@row("--clock system, and a clock that is wrong by 0.5 s though it is said to be right",
     words="its system's clock is 500.0 ms ahead of that",
     intact="each frame is where it belongs")  # fmt: skip
def test_clocks_of_systems_are_used_and_checked(start, fusion, monkeypatch):
    monkeypatch.setattr("stream.cluster.listener.SystemClock", lambda: SystemClock(kept=lambda: 1e-3))
    group = free_group()
    start(group, "left", offset=3.0, kept=0.002)
    start(group, "right", offset=-1000.0, kept=0.002, wrong=0.5)
    start(group, "third", offset=7.0)
    run = fusion(group, "left", "right", "third", by_system=True)
    for name in ("left", "right", "third"):
        true(run.new(name, 20)[0])
    notes = {name: source.status().note for name, source in run.sources.items()}
    assert notes["left"] == ""
    ahead = re.search(r"its system's clock is ([\d.]+) ms ahead of that of this computer", notes["right"])
    assert ahead is not None and float(ahead[1]) == pytest.approx(500, abs=20)
    assert notes["third"].startswith("nothing keeps its clock right (PTP or NTP), so that messages compare them")


@row("a computer with cameras dies, and is started again with another clock",
     words="does not answer; it is used again when it comes back",
     intact="the others go on; no id is used twice")  # fmt: skip
def test_one_that_dies_comes_back_with_another_clock_and_nothing_wrong_is_used(start, fusion):
    group = free_group()
    dies = start(group, "left", offset=2.0)
    start(group, "right")
    run = fusion(group, "left", "right")
    run.new("left")
    dies.kill()
    dies.wait()
    true(run.new("right", 30)[0])  # the others go on
    run.until(lambda: "does not answer" in run.sources["left"].status().note)
    start(group, "left", offset=-77.0)
    frames, first = run.new("left", 20)
    status = run.sources["left"].status()
    assert status.reconnects == 1 and status.note == "" and first is not None
    true([frame for _, frame in run.frames["left"]])
    assert len({one.track for one in frames[0].seen.people} | {0}) == 2, "nobody is taken for who was there before"


@row("a computer with cameras hangs", words="does not answer; it is used again when it comes back",
     intact="the others go on; nothing old is used")  # fmt: skip
def test_one_that_hangs_is_used_again_when_it_goes_on(start, fusion):
    group = free_group()
    hangs = start(group, "left", offset=1.0)
    start(group, "right")
    run = fusion(group, "left", "right")
    run.new("left")
    os.kill(hangs.pid, signal.SIGSTOP)
    true(run.new("right", 60)[0])
    run.until(lambda: "does not answer" in run.sources["left"].status().note)
    os.kill(hangs.pid, signal.SIGCONT)
    run.new("left", 20)
    run.until(lambda: run.sources["left"].status().note == "")
    true([frame for _, frame in run.frames["left"]])


@row("a computer sends each frame twice",
     intact="each is used once; the rest is counted")  # fmt: skip
def test_what_is_sent_twice_is_used_once(start, fusion):
    group = free_group()
    start(group, "left", fault="twice")
    run = fusion(group, "left")
    true(run.new("left", 30)[0])
    assert run.sources["left"].status().dropped >= 30


@row("a computer sends what is no message", words="messages of NODE were none of this program",
     intact="the frames between them")  # fmt: skip
def test_garbage_is_counted_and_goes_nowhere(start, fusion):
    group = free_group()
    start(group, "left", fault="garbage")
    run = fusion(group, "left")
    true(run.new("left", 30)[0])
    status = run.sources["left"].status()
    assert status.corrupt >= 20 and "none of this program" in status.note


@row("a second computer publishes a camera while the first one does",
     words="NODE publishes a camera of this name, too, and is not heard",
     intact="the first one is used until it is gone")  # fmt: skip
def test_a_second_publisher_of_a_camera_is_refused_and_named(start, fusion):
    group = free_group()
    first = start(group, "left")
    run = fusion(group, "left")
    run.new("left")
    second = start(group, "left", offset=50.0)
    run.until(lambda: f"{second.node} publishes a camera of this name, too" in run.sources["left"].status().note)
    true(run.new("left", 20)[0])
    first.kill()
    run.until(lambda: run.sources["left"].status().reconnects == 1)  # it may take the place of one that is gone
    true(run.new("left", 20)[0])


@row("a computer of another version publishes to the group",
     2, "it speaks version 77, this program VERSION; install the same",
     "nothing was begun", process=True)  # fmt: skip
def test_another_version_says_what_to_do(start):
    group = free_group()
    process = start(group, "left", fault="version")
    command = [sys.executable, "run_stream.py", "--from", str(group), "--view", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    said = f"{process.node} is not heard: it speaks version 77, this program {VERSION}; install the same"
    assert done.returncode == 2 and said in done.stderr


@row("the computer that fuses ends, and is started again",
     intact="those with cameras go on")  # fmt: skip
def test_one_that_begins_before_whoever_fuses_and_sees_it_come_back(start, fusion):
    group = free_group()
    start(group, "left")
    first = Fusion(group, "left")
    first.new("left")
    first.close()
    run = fusion(group, "left")
    true(run.new("left", 20)[0])


@row("a slow way between computers, 0 to 80 ms more each way",
     intact="each frame is where it belongs")  # fmt: skip
def test_over_a_slow_cable_each_frame_is_where_it_belongs(start, fusion, cable):
    group = free_group()
    start(cable(group, 0.08).group, "left", offset=5.0)
    run = fusion(group, "left")
    true(run.new("left", 40)[0])


@pytest.mark.slow
@row("a way between computers that is cut for 10 s", words="does not answer; it is used again when it comes back",
     intact="the others go on; it is used again by itself")  # fmt: skip
def test_a_cable_that_was_cut_for_ten_seconds_is_used_again_by_itself(start, fusion, cable):
    group = free_group()
    between = cable(group)
    start(between.group, "left", offset=5.0)
    start(group, "right")
    run = fusion(group, "left", "right")
    run.new("left")
    between.whole.clear()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        true(run.new("right", 10)[0])
    assert "does not answer" in run.sources["left"].status().note
    between.whole.set()
    _, first = run.new("left", 20)
    print(f"used again after {first:.2f} s")
    run.until(lambda: run.sources["left"].status().note == "")
    true([frame for _, frame in run.frames["left"]])
