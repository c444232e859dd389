"""Timing several things against each other in one run, so that what else the machine does meets all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles of the time of a call."""

    p50: float
    """Milliseconds."""
    p95: float
    """Milliseconds."""
    p99: float
    """Milliseconds; of fewer than a hundred calls it is little more than the slowest."""
    calls: int
    """How many were timed."""

    @property
    def spread(self) -> float:
        """p95 over p50."""
        return self.p95 / self.p50

    def cells(self) -> tuple[str, str, str]:
        """The three percentiles for a table."""
        return f"{self.p50:.2f}", f"{self.p95:.2f}", f"{self.p99:.2f}"


def times(seconds: Sequence[float]) -> Times:
    """Percentiles of durations in seconds.

    Raises:
        ValueError: if there is none.
    """
    if not len(seconds):
        raise ValueError("there is no duration to take percentiles of")
    p50, p95, p99 = (float(v) * 1e3 for v in np.percentile(seconds, (50, 95, 99)))
    return Times(p50, p95, p99, len(seconds))


def tight(calls: Mapping[str, Call], rounds: int, count: int) -> dict[str, list[list[float]]]:
    """Each in turn, ``count`` calls without a pause; ``rounds`` times over.

    Returns:
        Seconds by name, round and call; a call before each round is not counted.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            found[name].append([_timed(call) for _ in range(count)])
    return found


def paced(calls: Mapping[str, Call], count: int, every_s: float) -> dict[str, list[float]]:
    """One call every ``every_s`` seconds, each in turn, as a camera has it: the processor slept and forgot meanwhile.

    Returns:
        Seconds by name, ``count`` of each.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    due = time.perf_counter()
    for _ in range(count):
        for name, call in calls.items():
            due = max(due + every_s, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            found[name].append(_timed(call))
    return found


def after(before: Call, calls: Mapping[str, Call], count: int) -> dict[str, list[float]]:
    """Each in turn, with ``before`` done before every call and not timed.

    Returns:
        Seconds by name, ``count`` of each.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            before()
            found[name].append(_timed(call))
    return found


def median_ratio(over: Sequence[Sequence[float]], under: Sequence[Sequence[float]]) -> float:
    """Median over the rounds of the ratio of two things' medians: what disturbs a round disturbs both."""
    return float(np.median([np.median(a) / np.median(b) for a, b in zip(over, under, strict=True)]))


def _timed(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
