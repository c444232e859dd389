"""The run that ``benchmarks.endure`` watches, a process of its own, with its faults from inside: the disk, the sinks.

The witness takes every frame set, so that what is in the takes can be held against what there was.
"""

import gc
import json
import re
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import psutil

from calibration.arrays import Image
from engines.runtimes import NetworkOptions
from stream.app import build
from stream.channel import Policy
from stream.config import CameraSetupConfig, Config, DetectConfig, OutputConfig, SourceConfig
from stream.live.heap import limit_arenas
from stream.live.metrics import Summary
from stream.live.pipeline import Pipeline
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import MOMENTS
from stream.recordings.takes import open_take
from stream.sinks import SinkStoppedError, frames, recorder
from stream.types import Estimate, Event, StreamError

DISK_BYTES: Final = (1_000, 10_000, 50_000)
"""A full disk takes no more than one of these of any file: not even a header, or what comes later."""
ERRORS: Final = (ValueError("a fault"), SinkStoppedError("an unplugged stick"), OSError(28, "no space"), SystemExit(3))
CALLS: Final = ("open", "write", "event", "close")


class Witness:
    """Sees every frame set."""

    policy: Policy = "every"
    wants_images = False

    def __init__(self) -> None:
        self.count = 0
        self.out_of_order = 0
        self.used: list[set[int]] = []
        """The frames that were in a frame set, a camera."""

    def open(self, run_info: RunInfo) -> None:
        """See ``Sink``."""
        self.used = [set() for _ in run_info.cameras]

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        self.out_of_order += estimate.index != self.count
        self.count = estimate.index + 1
        for used, frame in zip(self.used, estimate.frames, strict=True):
            if frame is not None:
                used.add(frame.frame_index)

    def close(self) -> None:
        """See ``Sink``."""


class Throwing:
    """A sink that fails in one of its calls."""

    policy: Policy = "every"

    def __init__(self, where: str, error: BaseException, after: int, wants_images: bool) -> None:
        self.wants_images = wants_images
        self._where, self._error, self._left = where, error, after

    def open(self, run_info: RunInfo) -> None:
        """See ``Sink``."""
        self._perhaps("open")

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        self._left -= 1
        if self._left < 0:
            self._perhaps("write")

    def event(self, event: Event) -> None:
        """See ``EventSink``."""
        self._perhaps("event")

    def close(self) -> None:
        """See ``Sink``."""
        self._perhaps("close")

    def _perhaps(self, where: str) -> None:
        if where == self._where:
            raise type(self._error)(*self._error.args)


@dataclass
class Log:
    """What the process had at each look at it."""

    t: list[float] = field(default_factory=list)
    """Seconds since the start."""
    mb: list[float] = field(default_factory=list)
    """Resident memory."""
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    """Open file descriptors."""


def config_of(urls: Sequence[str], folder: Path | None, calibration: Path) -> Config:
    """Every camera, recorded with its images; the small detector, so that the run is light."""
    sources = [SourceConfig(url, f"cam{k}", stall_s=1.5, retry_s=(0.2, 0.5, 1.0)) for k, url in enumerate(urls)]
    outputs = (recorder.Options(folder), frames.Options(True)) if folder else ()
    return Config(
        tuple(sources),
        DetectConfig(("movenet-lightning",)),
        network=NetworkOptions("onnx", "fp32"),
        setup=CameraSetupConfig(calibration),
        output=OutputConfig("none", outputs),
    )


def counts(settle_s: float = 0.0) -> dict[str, int]:
    """Threads and file descriptors of this process, the least within ``settle_s`` seconds."""
    process, until = psutil.Process(), time.monotonic() + settle_s
    gc.collect()
    found = [(process.num_threads(), process.num_fds())]
    while time.monotonic() < until:
        time.sleep(0.1)
        found.append((process.num_threads(), process.num_fds()))
    return {"threads": min(t for t, _ in found), "files": min(f for _, f in found)}


class Operator:
    """Fills and empties the disk, adds sinks that fail, notes events and begins a new take where one has stopped."""

    def __init__(self, pipeline: Pipeline, seconds: float, pace: float, seed: int) -> None:
        self.injected: Counter[str] = Counter()
        self.log = Log()
        self._pipeline, self._seconds, self._pace = pipeline, seconds, pace
        self._rng = np.random.default_rng(seed)
        self._start = time.monotonic()

    def run(self) -> None:
        """Until the time is over; then the run is told to end."""
        disk = sink = sample = record = 0.0
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        full = False
        try:
            while (now := time.monotonic() - self._start) < self._seconds and not self._pipeline.control.stopping:
                if now >= disk:
                    full = bool(disk) and not full
                    limit = int(self._rng.choice(DISK_BYTES)) if full else before[0]
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
                    self.injected["a full disk"] += full
                    disk = now + self._pace * self._rng.uniform(*((0.5, 1.0) if full else (1.0, 4.0)))
                if now >= sink:
                    self._throw()
                    sink = now + self._pace * self._rng.uniform(0.3, 1.5)
                if now >= sample:
                    self._look(now)
                    sample = now + self._pace / 10
                if now >= record:
                    self._pipeline.control.record(True)
                    record = now + self._pace / 5
                time.sleep(0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            for _ in range(10):  # a recorder that the disk has failed may not know it yet
                self._pipeline.control.record(True)
                time.sleep(0.1)
            self._pipeline.control.stop()

    def _throw(self) -> None:
        where = CALLS[self._rng.integers(len(CALLS))]
        error = ERRORS[self._rng.integers(len(ERRORS))]
        sink = Throwing(where, error, int(self._rng.integers(1, 10)), bool(self._rng.integers(2)))
        self.injected[f"a sink that throws {type(error).__name__} in {where}"] += 1
        worker = self._pipeline.add(sink, "thrower")
        self._pipeline.control.event("endure", where)
        if where == "close":
            self._pipeline.remove(worker)

    def _look(self, now: float) -> None:
        process = psutil.Process()
        self.log.t.append(now)
        self.log.mb.append(process.memory_info().rss / 1e6)
        self.log.threads.append(process.num_threads())
        self.log.files.append(process.num_fds())


def endure(
    urls: Sequence[str], seconds: float, pace: float, seed: int, folder: Path, calibration: Path
) -> dict[str, Any]:
    """Run, and say what was left of it.

    Args:
        urls: of the cameras; all are well until "ready" is printed.
        seconds: to run.
        pace: seconds that faults are apart, about.
        seed: of the faults.
        folder: for the takes.
        calibration: of the cameras.
    """
    for again in (False, True):  # what is loaded once, is loaded after the first time
        with ExitStack() as stack:
            pipeline, _ = build.prepare(config_of(urls, folder / f"warm-{again}", calibration), stack)
            threading.Timer(1.0, pipeline.control.stop).start()
            pipeline.run()
        del pipeline
    cv2.resize(np.zeros((1080, 1920, 3), np.uint8), (64, 64))  # OpenCV's threads begin with the first large image
    before = counts(settle_s=2)
    witness = Witness()
    with ExitStack() as stack:
        pipeline, _ = build.prepare(config_of(urls, folder / "takes", calibration), stack)
        pipeline.add(witness)
        print("ready", flush=True)
        operator = Operator(pipeline, seconds, pace, seed)
        thread = threading.Thread(target=operator.run, name="operator")
        thread.start()
        summary = pipeline.run()
        thread.join()
        statuses = [opened.source.status() for opened in pipeline._sources]
    del pipeline
    injected, log = operator.injected, operator.log
    del operator
    return {
        "before": before, "after": counts(settle_s=2), "log": asdict(log), "injected": dict(injected),
        "frame_sets": summary.frame_sets, "seconds": summary.seconds, "witnessed": witness.count,
        "out_of_order": witness.out_of_order, "failures": len(summary.failures),
        "frames": {"read": sum(s.read for s in statuses), "used": sum(map(len, witness.used)),
                   "counted": summary.drops.get("frames between camera and detector", 0)},
        "reconnects": [s.reconnects for s in statuses],
        "takes": held_against(folder / "takes", summary),
    }  # fmt: skip


def held_against(folder: Path, summary: Summary) -> dict[str, Any]:
    """What the takes hold of all frame sets, and where they hold less or other than was said."""
    said = " ".join((*summary.lines, *summary.failures))
    total = Counter[str]()
    wrong: list[str] = []
    end, told = 0, False
    takes = {take: rows(take) for take in folder.iterdir()}
    for take, (moments, missed, faults) in sorted(takes.items(), key=first_moment):
        claimed = re.search(rf"{take} \((\d+) moments?|the (\d+) moments? in {take} (?:is|are)", said)
        number = int(claimed[1] or claimed[2]) if claimed else 0
        total["takes"] += 1
        stopped = f"moments in {take} are readable" in said
        if len(moments) != number or (faults and not stopped):  # what a full disk cut off is damaged, and said to be
            wrong.append(f"{take.name}: {len(moments)} moments are there, {number} were said; {faults} faults")
        if not moments:
            continue
        expected = end
        for moment, gap in zip(moments, missed, strict=True):
            if moment != expected and moment != expected + gap:
                unsaid = moment - expected - gap
                if expected == end and told:
                    total.update({"not recorded, said": unsaid})
                else:
                    wrong.append(f"{take.name}: {unsaid} moments before {moment} are neither recorded nor counted")
            total.update({"recorded": 1, "missed, counted": gap})
            expected = moment + 1
        end = expected
        told = stopped
    if end != summary.frame_sets and told:
        total.update({"not recorded, said": summary.frame_sets - end})
    elif end != summary.frame_sets:
        wrong.append(f"the last take ends at {end} of {summary.frame_sets}")
    return {**total, "wrong": wrong}


def first_moment(one: tuple[Path, tuple[list[int], list[int], int]]) -> tuple[float, str]:
    """Takes, with their ``rows``, in the order of their moments."""
    take, (moments, _, _) = one
    return (moments[0] if moments else float("inf"), take.name)


def rows(take: Path) -> tuple[list[int], list[int], int]:
    """The moments of a take, the gaps before them, and how many places could not be read."""
    faults: list[object] = []
    moments: list[int] = []
    missed: list[int] = []
    try:
        for batch in open_take(take).batches(MOMENTS, faults.append):
            moments += batch.column("moment").to_pylist()
            missed += batch.column("missed_before").to_pylist()
    except StreamError:
        return [], [], 0  # the disk was full before its header
    kept = dict(zip(moments, missed, strict=True))  # a moment has a row a person
    return list(kept), list(kept.values()), len(faults)


def main(arguments: Sequence[str]) -> None:
    """Called by ``benchmarks.endure`` alone."""
    limit_arenas()  # as the program does
    seconds, pace, seed, folder, calibration, *urls = arguments
    result = endure(urls, float(seconds), float(pace), int(seed), Path(folder), Path(calibration))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
