"""What is left between the cameras' clocks, from how people move while a run goes on. It is said, and never applied.

As ``python -m calibration sync`` does with recordings, two cameras at a time are compared over some seconds: by their
epipolar lines, and by the movement alone, which must not contradict that. What two windows, one after the other, agree
on is brought together with the other pairs. A pair is looked at once in a while and beside everything else, so that it
costs about a thirtieth of a core, however many cameras there are.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.geometry.triangulation import facing_pairs
from calibration.solving.offsets import reconcile
from calibration.solving.timing import Offset, estimate_offset, refused
from calibration.solving.timing_epipolar import refine_offset
from calibration.text import word
from engines.skeleton import LIMBS
from engines.types import Detection
from stream.types import Estimate

_WINDOW_S: Final = 10.0
"""Seconds of moments that one comparison is made of, at least."""
_KEPT_S: Final = 20.0
_KEPT_FPS: Final = 40.0
_SEEN: Final = 0.5
"""Share of a window in which both cameras must see somebody."""
_MOST_S: Final = 0.2
"""The largest offset that is looked for: what is further off contradicts the other cameras, and is named for that."""
_LEAST_S: Final = 0.018
"""Less is not said: shutters, detectors and calibrations make 12 ms of it, as on the four-camera demo."""
_SIGMAS: Final = 4.0
_FLOOR_S: Final = 0.004
"""One standard deviation of what they make of it."""
_REST: Final = 30.0
"""A comparison is followed by a rest so many times as long as it kept a core busy."""
_REST_S: Final = 0.5
"""And by one of so many seconds at least."""
_LIMBS: Final = np.array(LIMBS)

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """What is kept of an estimate."""

    t: float
    times: tuple[float, ...]
    """Seconds, one a camera: when it saw what is said of it; NaN where it has no frame."""
    people: Mapping[int, tuple[Detection | None, ...]]
    """Person -> what each camera saw."""


def beside(work: Callable[[], None]) -> None:
    """Do something in a thread that is waited for by nobody."""
    threading.Thread(target=work, name="sync", daemon=True).start()


class Lags:
    """Watches the estimates of calibrated cameras that are live.

    Args:
        cameras: in the order of the estimates' views, with their place in the world.
        offsets: seconds that have been added to the times of each already (``--sync-offset``).
        min_score: a joint below it counts as not seen.
        begin: starts a comparison.
        rest: after a comparison none is made for so many times the processor time that it took.
    """

    def __init__(
        self, cameras: Sequence[Camera], offsets: Sequence[float], min_score: float = 0.2,
        begin: Callable[[Callable[[], None]], None] = beside, rest: float = _REST,
    ) -> None:  # fmt: skip
        self._cameras, self._offsets, self._min_score = tuple(cameras), tuple(offsets), min_score
        self._begin, self._rest = begin, rest
        self._kept: deque[_Moment] = deque()
        self._looked: dict[Pair, float] = dict.fromkeys(facing_pairs(cameras), -np.inf)
        """The end of the last window of each pair."""
        self._found: dict[Pair, list[Offset]] = {pair: [] for pair in self._looked}
        """The last two that can be trusted."""
        self._done: SimpleQueue[tuple[Pair, Offset, float]] = SimpleQueue()
        self._busy = False
        self._next = -np.inf
        self._seeing: set[int] = set()
        """Cameras that have seen somebody together with another one."""
        self._said: dict[int, Offset] = {}
        self._worst: dict[int, Offset] = {}

    def __call__(self, estimate: Estimate) -> list[str]:
        """Take the next estimate; what is to be said now, a line each."""
        if self._kept and estimate.t < self._kept[-1].t:
            self._kept.clear()  # a recording in real time that begins again
            self._looked = dict.fromkeys(self._looked, -np.inf)
            self._next = -np.inf
        self._keep(estimate)
        said: list[str] = []
        try:
            pair, offset, took = self._done.get_nowait()
        except Empty:
            pass
        else:
            self._busy = False
            self._next = estimate.t + max(_REST_S, self._rest * took)
            said = self._learn(pair, offset)
        if not self._busy and estimate.t >= self._next:
            self._look(estimate.t)
        return said

    @property
    def note(self) -> str:
        """What is off now, in a few words; empty when nothing is."""
        return "; ".join(self._line(k, offset) for k, offset in sorted(self._said.items()))

    def lines(self) -> list[str]:
        """What was found, a line each."""
        return [f"warning: {self._line(k, offset)}" for k, offset in sorted(self._worst.items())]

    # what is kept

    def _keep(self, estimate: Estimate) -> None:
        while self._kept and estimate.t - self._kept[0].t > _KEPT_S:
            self._kept.popleft()
        if self._kept and estimate.t - self._kept[-1].t < 1 / _KEPT_FPS:
            return
        # A frame after the moment was brought to it; one before it was taken as it is.
        times = tuple(np.nan if frame is None else min(frame.t, estimate.t) for frame in estimate.frames)
        people = {
            person.person_id: tuple(None if view is None else view.detection for view in person.views)
            for person in estimate.people
        }
        self._kept.append(_Moment(estimate.t, times, people))

    def _look(self, now: float) -> None:
        """Begin with the pair that was looked at the longest ago, if there is enough of it."""
        self._next = now + _REST_S
        for pair in sorted(self._looked, key=lambda one: self._looked[one]):
            moments = [moment for moment in self._kept if moment.t > self._looked[pair]]
            if not moments or now - moments[0].t < _WINDOW_S:
                return
            self._looked[pair] = now
            who = _most_seen(moments, pair)
            if who is not None:
                self._seeing.update(pair)
                self._busy = True
                self._begin(lambda: self._compare(pair, moments, who))  # noqa: B023  # of this turn: it returns
                return

    def _compare(self, pair: Pair, moments: Sequence[_Moment], who: int) -> None:
        """Beside the run."""
        begun = time.thread_time()  # of its own work: on a busy machine it waits much longer than that
        try:
            tracks = [_track(moments, k, who, self._min_score) for k in pair]
            found = _offset([self._cameras[k] for k in pair], tracks)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            found = refused(str(error))
        self._done.put((pair, found, time.thread_time() - begun))

    # what is found

    def _learn(self, pair: Pair, offset: Offset) -> list[str]:
        if not offset.trusted:
            return []
        self._found[pair] = [*self._found[pair][-1:], offset]
        sure = {one: mean for one, two in self._found.items() if (mean := _agreed(two)) is not None}
        solved = self._solved(sure)
        said = []
        for k, (seconds, sigma) in solved.items():
            now = Offset(seconds, sigma, 1.0, np.nan, np.nan, 0.0)
            before = self._said.get(k)
            if abs(seconds) < _LEAST_S / 2 and before is not None:
                del self._said[k]
                said.append(f"{self._cameras[k].name} shows the time that the others show again")
            elif abs(seconds) >= max(_LEAST_S, _SIGMAS * sigma) and (
                before is None or abs(before.seconds - seconds) > _LEAST_S
            ):
                said.append(self._line(k, now))
                self._said[k] = self._worst[k] = now
        return said

    def _solved(self, pairs: Mapping[Pair, Offset]) -> dict[int, tuple[float, float]]:
        """Camera -> seconds to be added to its times so that it shows what most of the others do, and sigma.

        Empty while others than those that are known yet may be most of them.
        """
        linked = _largest(len(self._cameras), pairs)
        if len(linked) < 2:
            return {}
        inside = {(linked.index(i), linked.index(j)): o for (i, j), o in pairs.items() if i in linked and j in linked}
        try:
            found = reconcile([self._cameras[k].name for k in linked], inside)
        except CalibrationError:
            return {}  # they do not agree with each other: nothing of it is believed
        alike = np.abs(found.seconds[:, None] - found.seconds) < _LEAST_S / 2
        most = alike[int(alike.sum(1).argmax())]  # of groups as large as each other that of the first camera
        if set(linked) != self._seeing and 2 * most.sum() <= len(self._seeing):
            return {}
        middle = float(found.seconds[most].mean())
        sigma = np.hypot(found.sigma, _FLOOR_S)
        return {k: (float(s) - middle, float(u)) for k, s, u in zip(linked, found.seconds, sigma, strict=True)}

    def _line(self, k: int, offset: Offset) -> str:
        name, s = self._cameras[k].name, offset.seconds
        flag = word(f"{name}={self._offsets[k] + s:.3f}")
        when = f"{1e3 * abs(s):.0f} ms (+-{2e3 * offset.sigma:.0f}) {'earlier' if s < 0 else 'later'}"
        return (
            f"{name} shows what was {when} than what the other cameras show, by how people move; --sync-offset {flag} "
            "puts it right"
        )


def _most_seen(moments: Sequence[_Moment], pair: Pair) -> int | None:
    """The person whom both cameras see in most of the moments; None where that is nobody for long enough."""
    count: dict[int, int] = {}
    for moment in moments:
        for person, seen in moment.people.items():
            if all(seen[k] is not None for k in pair):
                count[person] = count.get(person, 0) + 1
    best = max(count, key=lambda person: count[person], default=None)
    return None if best is None or count[best] < _SEEN * len(moments) else best


def _track(moments: Sequence[_Moment], k: int, who: int, min_score: float) -> tuple[Array, Array, Array]:
    """Times (F,), limb joints (F, 12, 2) and scores (F, 12) of a person in a camera, each frame once."""
    times, xy, score, last = [], [], [], -np.inf
    for moment in moments:
        seen = moment.people.get(who, ())
        detection = seen[k] if seen else None
        if detection is None or not moment.times[k] > last + 1e-6:
            continue
        last = moment.times[k]
        times.append(last)
        xy.append(detection.xy[_LIMBS])
        score.append(
            np.where(detection.derived[_LIMBS] | (detection.score[_LIMBS] < min_score), 0, detection.score[_LIMBS])
        )
    return np.array(times), np.array(xy, float).reshape(-1, len(_LIMBS), 2), np.array(score).reshape(-1, len(_LIMBS))


def _offset(cameras: Sequence[Camera], tracks: Sequence[tuple[Array, Array, Array]]) -> Offset:
    """What must be added to the second camera's times; not to be trusted where movement and calibration disagree."""
    (times_a, xy_a, score_a), (times_b, xy_b, score_b) = tracks
    a, b = cameras
    placed = refine_offset(a, b, times_a, xy_a, score_a, times_b, xy_b, score_b, _MOST_S)
    if not placed.trusted:
        return placed
    moved = estimate_offset(times_a, xy_a, score_a, times_b, xy_b, score_b, _MOST_S)
    apart = abs(placed.seconds - moved.seconds)
    if moved.trusted and apart > 0.02 + _SIGMAS * np.hypot(placed.sigma, moved.sigma):
        return refused("calibration and movement disagree")
    return placed


def _agreed(two: Sequence[Offset]) -> Offset | None:
    """Two windows' offsets as one; None where there are not two, or they do not agree."""
    if len(two) < 2:
        return None
    seconds, variance = np.array([o.seconds for o in two]), np.array([o.sigma**2 + _FLOOR_S**2 for o in two])
    if abs(seconds[0] - seconds[1]) > _SIGMAS * np.sqrt(variance.sum()):
        return None
    mean = float((seconds / variance).sum() / (1 / variance).sum())
    least = min(two, key=lambda o: o.confidence)
    return Offset(mean, float(np.sqrt(1 / (1 / variance).sum())), least.confidence, np.nan, np.nan, 0.0)


def _largest(count: int, pairs: Iterable[Pair]) -> list[int]:
    """The most cameras that pairs link with each other, in order."""
    group = list(range(count))
    for i, j in pairs:
        old, new = group[j], group[i]
        group = [new if one == old else one for one in group]
    return max(([k for k in range(count) if group[k] == one] for one in dict.fromkeys(group)), key=len, default=[])
