"""The order of the detectors and the hand-over between them: the only place that knows either.

It has no clock: frames bring their own time, and who runs it measures how long a detection took and reports it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Generic, TypeVar

import numpy as np

from calibration import text
from calibration.arrays import Image
from engines import cards, detectors
from engines.detectors._crowd import crowd
from engines.detectors._options import DetectorOptions
from engines.skeleton import N_JOINTS
from engines.types import CrowdDetector, CrowdSession, Detection, Detector, DetectorSession, EngineError, Seen

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FallbackOptions:
    """When a detector is passed over, and for how long. Times are in the frames' own."""

    skip: int = 2
    """Reports a session that do not count after a detector takes over: loading, warm-up, looking for the person."""
    sample: int = 10
    """Reports after which the median of the last ones decides whether a detector keeps up."""
    share: float = 0.8
    """Share of the time between frames that detection may take, all cameras together; the rest lifts and tracks."""
    retry_s: float = 10.0
    """After this long a detector that failed is tried again; doubles with each failure."""
    retry_slow_s: float = 60.0
    """The same for one that was too slow."""
    room_s: float = 5.0
    """One that was too slow is tried again before that if there has been room for it for so long; doubles, too."""
    longest_retry_s: float = 600.0
    """What the doubling ends at."""


Load = Callable[[str], Detector]
_Session = TypeVar("_Session", DetectorSession, CrowdSession)


def order(names: Sequence[str]) -> tuple[str, ...]:
    """The fallback order of what a user asked for.

    ``auto`` is every detector whose weights and card are shipped, the most accurate first: by the mean of ``lspet_pck``
    (Leeds Sports Pose) and ``demo_pck`` (the four-camera demo) of its card. Never by speed, so that a file gives the
    same recording everywhere.

    Raises:
        EngineError: for an unknown name, listing what there is.
    """
    known = detectors.names()
    wanted: list[str] = []
    for name in names:
        if name == "auto":
            wanted += sorted((n for n in known if _accuracy(n)), key=_accuracy, reverse=True)
        elif name in known:
            wanted.append(name)
        else:
            raise EngineError(f"unknown detector {name!r}; there are auto, {', '.join(known)}")
    if not wanted:
        raise EngineError(f"no detector was asked for; there are auto, {', '.join(known)}")
    return tuple(dict.fromkeys(wanted))


def _accuracy(name: str) -> float:
    """The mean of its PCK on photographs of sport and on the four-camera demo, of the card; unmeasured counts as 0."""
    values = _card_values(name)
    return sum(float(values.get(measured, 0)) for measured in ("lspet_pck", "demo_pck")) / 2


def _card_values(name: str) -> Mapping[str, Any]:
    """The numbers of a detector's card; none of one that is not of the registry, has no weights, or a damaged card.

    Loading that detector says what is wrong with its card, and the others can answer.
    """
    weights = detectors.weights(name) if name in detectors.names() else None
    if weights is None:
        return {}
    try:
        return cards.load_card(cards.WEIGHTS / weights).values
    except EngineError:
        return {}


@dataclass(slots=True)
class _Candidate:
    """What is known of one detector of the order."""

    detector: Detector | None = None
    retry_at: float = -np.inf
    """Frame time before which it is not used; inf = never again."""
    wait: float = 0.0
    """How long the last retry_at was put off, seconds of frame time."""
    cost: float | None = None
    """Seconds a view, measured or guessed, of one that was too slow; None otherwise."""
    room_since: float | None = None
    """Frame time since which there has been room for one that was too slow."""
    patience: float = 0.0
    """How long there must be room for it, seconds."""


class Fallback:
    """A detector made of several: the first that works and, for live sources, keeps up, answers.

    All sessions hand over together, so who answers is one fact of the run; a detector is loaded once it is needed.

    Args:
        names: the order, or ("auto",).
        rate: frames a second of a live source; None for files, for which speed never counts.
        options: when one is passed over.
        detector: how each runs and follows.
        load: makes a detector from its name; the registry's by default.

    Raises:
        EngineError: if no detector of the order can be loaded.
    """

    def __init__(
        self,
        names: Sequence[str] = ("auto",),
        *,
        rate: float | None = None,
        options: FallbackOptions = FallbackOptions(),
        detector: DetectorOptions = DetectorOptions(),
        load: Load | None = None,
    ) -> None:
        self._order = order(names) if load is None else tuple(names)
        self.name = ",".join(self._order)
        self.messages: list[str] = []
        """Every hand-over and its reason, once; the same lines are logged."""
        self._load: Load = load or (lambda name: detectors.load(name, detector))
        self._options, self._rate = options, rate
        self._candidates = {name: _Candidate() for name in self._order}
        self._times: deque[float] = deque(maxlen=3 * options.sample)
        self._said: set[str] = set()
        self._sessions = self._skip = 0
        self._lock = threading.Lock()  # sessions may be called side by side, one a view
        self._active = self.choose(-np.inf)[0]

    def session(self) -> "FallbackSession":
        """A new session, one a camera."""
        self._count()
        return FallbackSession(self, lambda detector: detector.session())

    def crowd(self, most: int, tracks: Iterator[int]) -> "FallbackCrowd":
        """A new session, one a camera, that follows up to ``most`` people where the one that answers can."""
        self._count()
        return FallbackCrowd(self, lambda detector: self._crowd(detector, most, tracks))

    def _crowd(self, detector: Detector, most: int, tracks: Iterator[int]) -> CrowdSession:
        if most > 1 and not isinstance(detector, CrowdDetector):
            line = f"detector {detector.name} follows one person in a picture, and looks for nobody else"
            self._tell(f"one {detector.name}", line)
        return crowd(detector, most, tracks)

    def _count(self) -> None:
        self._sessions += 1
        self._skip = self._options.skip * self._sessions

    def describe(self) -> Mapping[str, str]:
        """What the detector that answers now is and runs on, and the order."""
        return {**self._describe(self._active), "order": self.name}

    def describe_all(self) -> dict[str, Mapping[str, str]]:
        """What each detector is, in the order; of those not loaded (yet), what their cards say."""
        return {name: self._describe(name) for name in self._order}

    def choose(self, t: float) -> tuple[str, Detector]:
        """Who is to answer at t seconds: the first that may and loads, else the fastest of those that are too slow.

        Raises:
            EngineError: if there is none.
        """
        with self._lock:
            return self._choose(t)

    def _choose(self, t: float) -> tuple[str, Detector]:
        reasons = []
        for name, candidate in self._candidates.items():
            if candidate.retry_at > t:
                continue
            try:
                candidate.detector = candidate.detector or self._load(name)
            except EngineError as error:
                # A damaged file or a missing package does not mend itself during a run.
                candidate.retry_at = np.inf
                reasons.append(str(error))
                if len(self._order) > 1:
                    self._tell(f"load {name}", f"detector {name} cannot be loaded ({error})")
                continue
            return name, candidate.detector
        slow = [(c.cost, n, c.detector) for n, c in self._candidates.items() if c.cost is not None and c.detector]
        if slow:
            return min(slow, key=lambda item: item[0])[1:]
        raise EngineError("; ".join(reasons or self.messages[-len(self._order) :]))

    def answered(self, name: str) -> None:
        """A detector has answered; when it is another one than before, that is said."""
        with self._lock:
            if name == self._active:
                return
            self._tell(f"{self._active} {name}", f"detector {name} takes over from {self._active}")
            self._active = name
            self._times.clear()
            self._skip = self._options.skip * self._sessions

    def failed(self, name: str, why: str, t: float) -> None:
        """A detector failed on the frame of t seconds: it is not used for a while."""
        with self._lock:
            candidate = self._candidates[name]
            if candidate.cost is not None or candidate.retry_at <= t:  # else another view told of the same failure
                self._put_off(name, t, self._options.retry_s)
            candidate.cost = None
            self._tell(f"failed {name}", f"detector {name} failed ({why})")

    def report(self, name: str, seconds: float, t: float) -> None:
        """A detection by ``name`` of the frame of t seconds took this long."""
        if self._rate is None or len(self._order) == 1 or name != self._active:
            return
        if self._skip > 0:
            self._skip -= 1
            return
        self._times.append(seconds)
        cost = median(self._times)
        if len(self._times) < self._options.sample:
            return
        if cost <= self._budget:
            self._look_for_room(name, cost, t)
            return
        if self._candidates[name].retry_at <= t:  # else it is already known as too slow, and still the fastest
            speed = f"{cost * 1e3:.0f} ms a view, too slow for {self._sessions} x {self._rate:.3g} frames a second"
            self._tell(f"slow {name}", f"detector {name} takes {speed}")
            self._too_slow(name, cost, t)

    def at_rate(self, rate: float) -> None:
        """Live frame sets come at this rate now, measured; it decides who keeps up. Nothing for files."""
        with self._lock:
            if self._rate is not None and rate > 0:
                self._rate = rate

    @property
    def _budget(self) -> float:
        """Seconds that a detection may take."""
        return self._options.share / (self._rate or 1.0) / max(1, self._sessions)

    def _look_for_room(self, name: str, cost: float, t: float) -> None:
        """Let a better detector try again for which there has been room for some seconds: the camera gives fewer frames
        than it did, or the machine has less to do. What it would take is told by what the one that answers takes now.
        """
        own = float(_card_values(name).get("cost_ms", 0))
        for other in self._order[: self._order.index(name)]:
            candidate = self._candidates[other]
            if candidate.cost is None or candidate.retry_at <= t:
                continue
            ratio = float(_card_values(other).get("cost_ms", 0)) / own if own else 0.0
            if (cost * ratio if ratio else candidate.cost) > self._budget:
                candidate.room_since = None
            elif candidate.room_since is None:
                candidate.room_since = t
            elif t - candidate.room_since >= max(candidate.patience, self._options.room_s):
                candidate.retry_at, candidate.room_since = t, None
                candidate.patience = min(
                    2 * max(candidate.patience, self._options.room_s), self._options.longest_retry_s
                )

    def _too_slow(self, name: str, cost: float, t: float) -> None:
        """Put off a detector, and those that its card says are no faster: trying them would stall the stream."""
        own = float(_card_values(name).get("cost_ms", 0))
        for other in self._order:
            candidate = self._candidates[other]
            ratio = float(_card_values(other).get("cost_ms", 0)) / own if own else 0.0
            if other == name or (ratio >= 1 and candidate.retry_at <= t):
                self._put_off(other, t, self._options.retry_slow_s)
                candidate.cost = cost if other == name else cost * ratio

    def _put_off(self, name: str, t: float, wait: float) -> None:
        candidate = self._candidates[name]
        candidate.wait = min(max(wait, 2 * candidate.wait), self._options.longest_retry_s)
        candidate.retry_at, candidate.room_since = t + candidate.wait, None

    def _tell(self, what: str, line: str) -> None:
        """Say a line, the first time only that this happens."""
        if what not in self._said:
            self._said.add(what)
            self.messages.append(line)
            _log.warning(line)

    def _describe(self, name: str) -> Mapping[str, str]:
        detector = self._candidates[name].detector
        if detector is not None:
            return detector.describe()
        weights = detectors.weights(name)
        if weights is None:
            return {"model": "", "sha256": "", "runtime": "not loaded"}
        try:
            card = cards.load_card(cards.WEIGHTS / weights)
        except EngineError:
            return {"model": "", "sha256": "", "runtime": "not available"}
        return {"model": card.path.name, "sha256": card.sha256, "runtime": "not loaded"}


class _Sessions(Generic[_Session]):
    """Sessions of one camera, one a detector that has answered.

    Args:
        owner: knows who is to answer.
        start: a new session of a detector.
    """

    def __init__(self, owner: Fallback, start: Callable[[Detector], _Session]) -> None:
        self._owner, self._start = owner, start
        self._inner: dict[str, _Session] = {}
        self._used: str | None = None
        self._t = -np.inf

    def _ask(self, image: Image, t: float) -> Any:
        """The answer of the first detector that can.

        Raises:
            EngineError: if every detector of the order fails.
        """
        self._t = t
        while True:
            name, detector = self._owner.choose(t)
            try:
                if name not in self._inner:
                    self._inner[name] = self._start(detector)
                elif name != self._used:
                    self._inner[name].reset()  # it has not watched for a while
                self._used = name
                answer = self._inner[name](image, t)
                reason = next(filter(None, map(_fault, _detections(answer))), "")
            except Exception as error:  # whatever a network raises: the next one answers, and the reason is said
                reason = text.one_line(" ".join(f"{type(error).__name__}: {error}".split()), 200)
                self._inner.pop(name, None)
            else:
                if not reason:
                    self._owner.answered(name)
                    return answer
                self._inner[name].reset()
            self._owner.failed(name, reason, t)

    def reset(self) -> None:
        """Forget everybody."""
        for session in self._inner.values():
            session.reset()

    def report(self, seconds: float) -> None:
        """Say how long the last call took."""
        if self._used is not None:
            self._owner.report(self._used, seconds, self._t)


def _detections(answer: Detection | Seen) -> Sequence[Detection]:
    return [answer] if isinstance(answer, Detection) else [sighting.detection for sighting in answer.people]


def _fault(detection: Detection) -> str:
    """Why a detection cannot be used; empty where it can."""
    shapes = np.shape(detection.xy), np.shape(detection.score), np.shape(detection.derived)
    if shapes != ((N_JOINTS, 2), (N_JOINTS,), (N_JOINTS,)):
        return f"xy, score and derived have shapes {shapes}; they are ({N_JOINTS}, 2), ({N_JOINTS},) and ({N_JOINTS},)"
    if not (np.isfinite(detection.xy).all() and np.isfinite(detection.score).all()):
        return "joints that are not finite"
    return ""


class FallbackSession(_Sessions[DetectorSession]):
    """A session of whichever detector answers."""

    def __call__(self, image: Image, t: float) -> Detection:
        """Detect in a BGR image at t seconds with the first detector that can.

        Raises:
            EngineError: if every detector of the order fails.
        """
        return self._ask(image, t)


class FallbackCrowd(_Sessions[CrowdSession]):
    """The same, following everybody."""

    def __call__(self, image: Image, t: float) -> Seen:
        """Detect everybody in a BGR image at t seconds with the first detector that can.

        Raises:
            EngineError: if every detector of the order fails.
        """
        return self._ask(image, t)
