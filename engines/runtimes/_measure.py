"""Which of several runtimes is the fastest for a network on this machine: measured once, kept in the user's cache."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calibration import text
from engines import user_cache
from engines.runtimes import _example, _gpu
from engines.runtimes._module import Network

ROUNDS: Final = 40
"""Calls of each candidate, in turns, if there is time."""
LEAST: Final = 5
"""Rounds, however long they take."""
ENOUGH_S: Final = 0.25
"""No round is begun later than this, once there are LEAST: a lifter takes 0.1 s, a detector a second."""
MARGIN: Final = 1.1
"""An earlier one in the order is kept unless a later one is faster by more: a result should not hang on chance."""
RETRY_S: Final = 86_400
"""After this long something that failed is tried again: drivers and permissions get mended."""

_CPU_INFO: Final = Path("/proc/cpuinfo")
_GRAPHICS: Final = Path("/dev/dri")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a network."""

    runtime: str
    """Name of the runtime."""
    precision: str
    """"fp32", "fp16" or "int8"."""
    path: Path
    """The ONNX file."""
    sha256: str
    """Of the file."""
    version: str
    """Of the runtime."""

    @property
    def label(self) -> str:
        """What it is called in the reason of a choice."""
        return f"{self.runtime} {self.precision}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of measuring."""

    ms: Mapping[str, float]
    """Label -> milliseconds of a call with one view, the least of all rounds: what other programs add is chance."""
    failed: Mapping[str, str]
    """Label -> why it could not be measured."""

    def order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates as they are to be tried: the first that is within MARGIN of the fastest, then by time."""
        timed = sorted((c for c in candidates if c.label in self.ms), key=lambda c: self.ms[c.label])
        if not timed:
            return [c for c in candidates if c.label not in self.failed]
        best = next(c for c in candidates if self.ms.get(c.label, float("inf")) <= MARGIN * self.ms[timed[0].label])
        return [best, *(c for c in timed if c is not best)]


def key(candidates: Sequence[Candidate], threads: int) -> dict[str, object]:
    """What a measurement belongs to: the files, the processor, the graphics, the threads and the runtimes' versions."""
    return {
        "candidates": [[c.runtime, c.version, c.precision, c.sha256] for c in candidates],
        "cpu": cpu_name(), "cores": os.cpu_count() or 1, "threads": threads,
        "gpu": _gpu.describe(), "graphics": graphics(),
    }  # fmt: skip


def graphics() -> list[str]:
    """The nodes of graphics devices that this user may open, sorted; empty where the system has no such nodes."""
    return sorted(node.name for node in _GRAPHICS.glob("*[0-9]") if os.access(node, os.R_OK | os.W_OK))


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def read(candidates: Sequence[Candidate], threads: int) -> Measured | None:
    """What was measured before; None where nothing was, or it is damaged or of other versions.

    Raises:
        CacheError: if the cache cannot be used.
    """
    data = user_cache.read("runtimes", key(candidates, threads))
    if data is None:
        return None
    try:
        found = json.loads(data)
        report = Measured(
            {str(k): float(v) for k, v in found["ms"].items()}, {str(k): str(v) for k, v in found["failed"].items()}
        )
        if report.failed and not 0 <= time.time() - float(found["at"]) < RETRY_S:
            return None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return report if set(report.ms) | set(report.failed) == {c.label for c in candidates} else None


def write(candidates: Sequence[Candidate], threads: int, report: Measured) -> None:
    """Keep what was measured.

    Raises:
        CacheError: if the cache cannot be written.
    """
    data = json.dumps({"ms": dict(report.ms), "failed": dict(report.failed), "at": time.time()}).encode()
    user_cache.write("runtimes", key(candidates, threads), data)


def race(networks: Mapping[str, Network]) -> tuple[dict[str, float], dict[str, str]]:
    """Time networks against each other, one view a call, in turns.

    Args:
        networks: label -> a network that is warm; all are given the same input.

    Returns:
        Least milliseconds of a call by label, and why by label of those that failed.
    """
    times: dict[str, list[float]] = {label: [] for label in networks}
    failed: dict[str, str] = {}
    feeds = {label: _example.feed(network.inputs) for label, network in networks.items()}
    begin = time.perf_counter()
    for round_ in range(ROUNDS + 1):  # the first warms up and is not counted
        for label, network in networks.items():
            if label in failed:
                continue
            start = time.perf_counter()
            try:
                network(**feeds[label])
            except Exception as error:  # whatever a runtime raises: it is passed over, and the reason said
                failed[label] = text.one_line(" ".join(f"{type(error).__name__}: {error}".split()), 200)
                continue
            if round_:
                times[label].append((time.perf_counter() - start) * 1e3)
        if round_ >= LEAST and time.perf_counter() - begin > ENOUGH_S:
            break
    return {label: min(values) for label, values in times.items() if label not in failed}, failed
