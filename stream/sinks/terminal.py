"""What the terminal says while a run goes on: one line for a live source, a progress bar for a file."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from calibration.arrays import Image
from stream.bars import Bar
from stream.channel import Policy
from stream.drawing.facts import Status, status_facts
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions
from stream.types import Estimate, HypothesisTrack, Person
from stream.words import people

_TTY_S = 0.2
_LOG_S = 5.0
_UNFUSED: Final = {"single": "single view", "disputed": "views contradict each other"}
"""What is said of poses that no cameras agree on, by their method."""
_IDLE_S = 1.0
"""Where no frame set came for so long, what is wrong is said without one."""


def status_line(status: Status, estimate: Estimate | None) -> str:
    """The state of the run in one line; without an estimate, of what goes on while none comes."""
    values = {what: value for what, value in status_facts(status) if value not in ("", "–")}
    words = [f"{values.pop('fps')} fps"] if "fps" in values else []
    words += [f"{what} {value}" for what, value in values.items()]
    if estimate is None:
        # First what is wrong: a terminal cuts the rest off.
        return ", ".join([status.note, "no new frames", *words, *(["recording"] if status.recording else [])])
    words.append(_people(estimate))
    if status.recording:
        words.append("recording")
    if status.note:
        words.insert(0, status.note)
    return ", ".join(words)


def _people(estimate: Estimate) -> str:
    """Who is seen, and how sure that is: one person's views one by one, of several what there is of each."""
    if len(estimate.people) > 1:
        alike: dict[str, list[str]] = {}
        for person in estimate.people:
            alike.setdefault(_briefly(person, len(estimate.frames)), []).append(str(person.person_id))
        said = "; ".join(f"{', '.join(ids)} {what}" for what, ids in alike.items())
        return f"{people(len(estimate.people))}: {said}{_more(estimate)}"
    words = []
    answers = [f"{track.probability:.2f}" for person in estimate.people for track in _answers(person)]
    poses = [person.pose for person in estimate.people if person.pose is not None]
    if answers:
        words.append("p " + "/".join(answers))
    elif not poses:
        words.append("nobody in view")
    for pose in poses:
        how = _UNFUSED.get(pose.method, f"fused by {pose.method}")
        words.append(f"{how}, {len(pose.cameras)} of {len(estimate.frames)} cameras")
    return ", ".join(words) + _more(estimate)


def _more(estimate: Estimate) -> str:
    return f", {estimate.left_out} more not followed" if estimate.left_out else ""


def _answers(person: Person) -> list[HypothesisTrack]:
    tracks = [view.best_track for view in person.views if view is not None]
    return [track for track in tracks if track is not None]


def _briefly(person: Person, cameras: int) -> str:
    if person.pose is not None:
        return _UNFUSED.get(person.pose.method, f"{person.pose.method} of {len(person.pose.cameras)}/{cameras}")
    answers = "/".join(f"{track.probability:.2f}" for track in _answers(person))
    return f"p {answers}" if answers else "too little seen"


class Terminal:
    """A line rewritten in place on a terminal, a new line every 5 s in a log; a bar where the end is known."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(
        self,
        status: Callable[[], Status] = Status,
        *,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is written before the first frame set, but what is wrong.

        Args:
            status: gives the facts to show; with ``total`` known there is a bar.
            out: where to; None for standard error.
            clock: seconds, for how often a line is written.
        """
        self._status, self._clock = status, clock
        self._out = sys.stderr if out is None else out
        self._bar: Bar | None = None
        self._last: float | None = None
        self._said = ""
        """The note of the last line."""
        self._written = clock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._idle = threading.Thread(target=self._watch, name="terminal-idle", daemon=True)
        self._in_place = False
        self._quiet = False

    def open(self, run_info: RunInfo) -> None:
        """Begin."""
        self._tty = self._out.isatty()
        self._idle.start()

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Say how the run goes, at most five times a second on a terminal and every 5 s in a log."""
        status = self._status()
        with self._lock:
            self._written = self._clock()
            self._say(estimate, status)

    def _watch(self) -> None:
        """Say what is wrong while no frame set comes: the only camera may be gone."""
        while not self._closing.wait(_IDLE_S / 2):
            status = self._status()
            with self._lock:
                if status.note and self._clock() - self._written >= _IDLE_S:
                    self._say(None, status)

    def _say(self, estimate: Estimate | None, status: Status) -> None:
        if self._quiet:
            return
        if self._tty and status.total:
            with self._going_quiet():
                self._progress(estimate, status)
            return
        now = self._clock()
        due = self._last is None or now - self._last >= (_TTY_S if self._tty else _LOG_S)
        if not due and not (estimate is None and not self._said):
            return
        self._last, self._said = now, status.note
        line = status_line(status, estimate)
        if status.total and estimate is not None:
            line = f"{estimate.index + 1}/{max(status.total, estimate.index + 1)} frames, {line}"
        with self._going_quiet():
            if self._tty:
                width = shutil.get_terminal_size().columns - 1
                self._out.write("\r" + line[:width] + "\x1b[K")
                self._in_place = True
            else:
                self._out.write(line + "\n")
            self._out.flush()

    def close(self) -> str | None:
        """End the line, so that what comes next begins on its own."""
        self._closing.set()
        if self._idle.ident is not None:
            self._idle.join()
        with self._going_quiet():
            if self._bar is not None:
                self._bar.close()
                self._bar = None
            elif self._in_place:
                self._out.write("\n")
                self._out.flush()
                self._in_place = False
        return None

    @contextmanager
    def _going_quiet(self) -> Iterator[None]:
        """Where nobody can read it any more (a log on a full disk, ``| tee`` gone), the run is no less good for it."""
        try:
            yield
        except OSError:
            self._quiet, self._in_place = True, False
            if self._bar is not None:
                self._bar.disable = True  # or it would try once more when it is freed
                self._bar = None

    def _progress(self, estimate: Estimate | None, status: Status) -> None:
        if self._bar is None:
            self._bar = Bar(total=status.total, unit=" frames", file=self._out, dynamic_ncols=True, mininterval=_TTY_S)
        # This sink skips frame sets, so the number comes from the frame set, not from counting calls.
        if estimate is not None:
            # How many there will be is about known.
            self._bar.total = max(self._bar.total or 0, estimate.index + 1)
            self._bar.update(max(estimate.index + 1 - self._bar.n, 0))
        words = [people(len(estimate.people))] if estimate is not None else []
        words += [f"drops {status.drops}"] if status.drops else []
        words += [status.detector] if status.detector else []
        words += [status.note] if status.note else []
        self._bar.set_postfix_str(", ".join(words), refresh=estimate is None)


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """None: a run always says how it goes on."""

    def make(self, run: Run) -> Terminal:
        """The terminal's line or bar."""
        return Terminal(run.status)
