"""Stage timers, drops and percentiles. The only place besides the sources that reads a clock."""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from stream.words import number_of, people

_RECENT = 300  # frame sets that the status looks back on
_LISTED = 8  # people in the summary
_FRESH_S = 2.0  # seconds that the rate looks back on


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    frame_sets: int
    """Frame sets that were estimated."""
    people: int
    """Views in which enough of a person was seen to lift, of several people as of one."""
    views: int
    """Views in all."""
    seconds: float
    """From the first frame to the last estimate."""
    busy_s: float
    """Time the compute thread worked."""
    stage_ms: Mapping[str, float]
    """Mean milliseconds a frame set of each stage."""
    detectors: Mapping[str, int]
    """Views in which each detector saw a person."""
    mean_probability: float
    """Mean probability of the track that was the answer; NaN without a person."""
    drops: Mapping[str, int]
    """What was lost, by where; only what is not 0."""
    skips: Mapping[str, int]
    """Frame sets that sinks of the policy "latest" passed over, of files too, by sink; only what is not 0."""
    latency_ms: tuple[float, float] | None
    """Median and 95th percentile from grab to estimate of live sources; None for files."""
    skew_ms: tuple[float, float, float] | None
    """p50, p95 and maximum of the time between the frames of a frame set; None where no frame set had two frames."""
    fused: Mapping[str, int] = field(default_factory=dict)
    """Fused poses by ``Pose.method``, and "none": frame sets in which nobody was fused; empty without fusion."""
    persons: Mapping[int, "Presence"] = field(default_factory=dict)
    """Everybody who was seen, by their ids."""
    most_at_once: int = 0
    """People in the frame set with the most of them."""
    left_out: int = 0
    """How many more people were found than were followed, at most."""
    lines: tuple[str, ...] = ()
    """What the sinks say of what they wrote."""
    failures: tuple[str, ...] = ()
    """Sinks that had to stop, and why; the exit code is then not 0."""

    @property
    def fps(self) -> float:
        """Frame sets a second."""
        return self.frame_sets / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Presence:
    """When one person was there."""

    frame_sets: int
    """In how many frame sets."""
    first_s: float
    """Seconds from the first frame set to the first with them."""
    last_s: float
    """Seconds from the first frame set to the last with them."""


class Meter:
    """Counts and times, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, float] = defaultdict(float)
        self._recent: deque[float] = deque(maxlen=60)
        # A float an hour-long run records a frame set: 16 bytes x 108,000 is nothing, but all day is not nothing.
        self._latency: deque[float] = deque(maxlen=100_000)
        self._skew: deque[float] = deque(maxlen=100_000)
        self._probability = 0.0
        self._detectors: Counter[str] = Counter()
        self._fused: Counter[str] = Counter()
        self._frame_sets = self._people = self._views = self._answers = self._most = 0
        self._persons: dict[int, Presence] = {}
        self._left_out = 0
        self._first_t: float | None = None
        self._busy = 0.0
        self._detector = ""
        self._start = time.monotonic()

    def start(self) -> None:
        """The first frame is about to come; loading is not counted."""
        self._start = time.monotonic()
        # The rate counts from here: two frame sets that follow each other at once would alone be thousands a second.
        self._recent.append(self._start)

    def done(
        self, stages: Mapping[str, float], busy: float, origins: list[str | None], probability: list[float],
        latency: float | None, skew: float | None, fused: Sequence[str] | None = None, lifted: int | None = None,
        people: Collection[int] = (), t: float = 0.0, left_out: int = 0,
    ) -> None:  # fmt: skip
        """A frame set was estimated.

        Args:
            stages: seconds of each stage.
            busy: seconds the compute thread worked on it.
            origins: detector that answered each view with a frame, None for a view without a person.
            probability: of the answer, of each person in each view that was lifted.
            latency: seconds since the oldest frame of the frame set was grabbed; None for files.
            skew: seconds between the earliest and latest frame; None with one frame.
            fused: the method of each fused person; None where nothing is fused.
            lifted: in how many views somebody was lifted; None for as many as there are probabilities.
            people: ids of those who are there.
            t: seconds, ``Estimate.t``.
            left_out: ``Estimate.left_out``.
        """
        with self._lock:
            for name, seconds in stages.items():
                self._stages[name] += seconds
            self._busy += busy
            self._recent.append(time.monotonic())
            self._frame_sets += 1
            self._views += len(origins)
            self._people += len(probability) if lifted is None else lifted
            self._answers += len(probability)
            self._first_t = t if self._first_t is None else self._first_t
            for person_id in people:
                there = self._persons.get(person_id) or Presence(0, t - self._first_t, 0)
                self._persons[person_id] = replace(there, frame_sets=there.frame_sets + 1, last_s=t - self._first_t)
            self._most = max(self._most, len(people))
            self._left_out = max(self._left_out, left_out)
            self._probability += sum(probability)
            self._detectors.update(o for o in origins if o)
            if fused is not None:
                self._fused.update(fused or ["none"])
            self._detector = next((o for o in origins if o), self._detector)
            if latency is not None:
                self._latency.append(latency)
            if skew is not None:
                self._skew.append(skew)

    @property
    def frame_sets(self) -> int:
        """Frame sets estimated so far."""
        return self._frame_sets

    @property
    def detector(self) -> str:
        """Which detector last found a person; "" before."""
        return self._detector

    @property
    def fps(self) -> float | None:
        """Frame sets a second over the last two seconds at most; 0 where none came for so long."""
        with self._lock:
            if len(self._recent) > 1 and time.monotonic() - self._recent[-1] > _FRESH_S:
                return 0.0
            recent = [t for t in self._recent if t > self._recent[-1] - _FRESH_S] if self._recent else []
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else None

    @property
    def latency_ms(self) -> float | None:
        """Median over the last 30 frame sets."""
        with self._lock:
            recent = list(islice(reversed(self._latency), 30))
        return float(np.median(recent)) * 1e3 if recent else None

    @property
    def skew_ms(self) -> tuple[float, float, float] | None:
        """p50, p95 and maximum of the last 300 frame sets with two frames or more."""
        with self._lock:
            recent = deque(islice(reversed(self._skew), _RECENT))
        return _percentiles(recent, 50, 95, 100) if recent else None

    def summary(
        self, drops: Mapping[str, int], skips: Mapping[str, int], lines: tuple[str, ...] = (),
        failures: tuple[str, ...] = (),
    ) -> Summary:  # fmt: skip
        """What the run did so far."""
        with self._lock:
            n = max(self._frame_sets, 1)
            end = self._recent[-1] if self._recent else self._start
            return Summary(
                frame_sets=self._frame_sets,
                people=self._people,
                views=self._views,
                seconds=end - self._start,
                busy_s=self._busy,
                stage_ms={name: seconds / n * 1e3 for name, seconds in self._stages.items()},
                detectors=dict(self._detectors),
                mean_probability=self._probability / self._answers if self._answers else float("nan"),
                drops={name: count for name, count in drops.items() if count},
                skips={name: count for name, count in skips.items() if count},
                latency_ms=_percentiles(self._latency, 50, 95) if self._latency else None,
                skew_ms=_percentiles(self._skew, 50, 95, 100) if self._skew else None,
                fused=dict(self._fused),
                persons=dict(self._persons),
                most_at_once=self._most,
                left_out=self._left_out,
                lines=lines,
                failures=failures,
            )


def _percentiles(seconds: deque[float], *which: float) -> tuple:
    return tuple(float(v) * 1e3 for v in np.percentile(np.array(seconds), which))


def report(summary: Summary) -> list[str]:
    """The summary as lines for a terminal."""
    moments, views = number_of(summary.frame_sets, "moment"), number_of(summary.views, "view")
    lines = [f"{moments} in {summary.seconds:.1f} s ({summary.fps:.1f} fps); "
             f"a person in {summary.people} of {views}"]  # fmt: skip
    if len(summary.persons) > 1:
        lines.append(_people(summary))
    if summary.left_out:
        lines.append(f"up to {summary.left_out} more at once were not followed (--people, --max-people)")
    if summary.stage_ms:
        lines.append("stages, ms a moment: " + ", ".join(f"{k} {v:.1f}" for k, v in summary.stage_ms.items()))
    if summary.detectors:
        lines.append("detector: " + ", ".join(f"{k} ({number_of(n, 'view')})" for k, n in summary.detectors.items()))
    if summary.people:
        lines.append(f"mean probability of the answer: {summary.mean_probability:.2f}")
    if summary.fused:
        named = {"single": "single view", "disputed": "disputed (views contradict each other)"}
        poses = {named.get(k, k): n for k, n in summary.fused.items() if k != "none"}
        nobody = summary.fused.get("none", 0)
        said = ["fused poses: " + ", ".join(f"{k} {n}" for k, n in poses.items())] if poses else []
        said += [f"nobody is fused in {number_of(nobody, 'moment')}"] if nobody else []
        lines.append("; ".join(said))
    if summary.latency_ms:
        lines.append("latency, ms: p50 {:.0f}, p95 {:.0f}".format(*summary.latency_ms))
    if summary.skew_ms:
        lines.append("skew between cameras, ms: p50 {:.1f}, p95 {:.1f}, max {:.1f}".format(*summary.skew_ms))
    lines.append(f"drops: {_counted(summary.drops) or 'none'}")
    if summary.skips:
        lines.append("passed over, because newer ones had come: " + _counted(summary.skips))
    return [*lines, *summary.lines]


def _people(summary: Summary) -> str:
    """How many people there were, and when; those who were there most, by their ids."""
    at_once = f"{summary.most_at_once} at once" if summary.most_at_once > 1 else "one after another"
    longest = sorted(summary.persons, key=lambda person_id: -summary.persons[person_id].frame_sets)[:_LISTED]
    said = [
        f"person {person_id} in {number_of(there.frame_sets, 'moment')} ({there.first_s:.1f} to {there.last_s:.1f} s)"
        for person_id, there in sorted(summary.persons.items())
        if person_id in longest
    ]
    more = len(summary.persons) - len(said)
    said += [f"{more} more for less long"] if more else []
    return f"{people(len(summary.persons))}, {at_once}: {', '.join(said)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {where}" for where, count in counts.items())
