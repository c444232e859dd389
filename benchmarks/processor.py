"""What a piece of work takes of the machine: time, processor time by group of threads, and memory."""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import psutil

from benchmarks.machine import cores

T = TypeVar("T")
_SAMPLE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Usage:
    """What it took."""

    wall_s: float
    """Seconds."""
    cpu_s: float
    """Processor time of this process, all threads."""
    others_s: float
    """Processor time of every other program meanwhile. Those of low priority take only what is left to them."""
    cores: int
    """Processors this process may use."""
    thread_s: dict[str, float]
    """Processor time by group of threads, sampled: the last fifth of a second of one that ended is missing."""
    peak_mb: float
    """Most memory the process has had since it began (resident)."""
    growth_mb: float
    """Median memory in the last quarter of the time less that in the second: after everything is warm."""


def measure(work: Callable[[], T]) -> tuple[T, Usage]:
    """Do some work, and say what it took."""
    process = psutil.Process()
    before = frozenset(thread.id for thread in process.threads())
    names: dict[int, str] = {}
    times: dict[int, float] = {}
    memory: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        python = {thread.native_id: thread.name for thread in threading.enumerate()}
        memory.append(process.memory_info().rss / 1e6)
        for thread in process.threads():
            names.setdefault(thread.id, _group(thread.id, python, thread.id in before))
            times[thread.id] = thread.user_time + thread.system_time

    def watch() -> None:
        while not stop.wait(_SAMPLE_S):
            sample()

    sample()
    first = dict(times)
    watcher = threading.Thread(target=watch, name="watch")
    machine, cpu, wall = _machine_s(), time.process_time(), time.perf_counter()
    watcher.start()
    try:
        result = work()
        wall, cpu, machine = time.perf_counter() - wall, time.process_time() - cpu, _machine_s() - machine
    finally:
        stop.set()
        watcher.join()
    groups: defaultdict[str, float] = defaultdict(float)
    for thread, seconds in times.items():
        groups[names[thread]] += seconds - first.get(thread, 0.0)
    groups.pop("watch", None)
    quarters = np.array_split(np.array(memory), 4)
    growth = float(np.median(quarters[3]) - np.median(quarters[1])) if len(memory) >= 8 else 0.0
    return result, Usage(wall, cpu, max(machine - cpu, 0.0), cores(), dict(groups), peak_mb(), growth)


def _group(thread: int, python: dict[int | None, str], old: bool) -> str:
    if name := python.get(thread):
        return "cameras" if name.startswith(("camera-", "drain-")) else name
    try:
        comm = Path(f"/proc/self/task/{thread}/comm").read_text()
    except OSError:
        comm = ""
    if comm.startswith("av:"):  # FFmpeg names its decoders' threads, ONNX Runtime and x264 do not
        return "decoders"
    return "networks" if old else "encoder"


def _machine_s() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)


def peak_mb() -> float:
    """Most memory this process has had (resident), MB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    try:  # not ru_maxrss on Linux: a child's begins with what its parent had
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
