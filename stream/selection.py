"""Who matters, where several people are seen: all, the largest, the most central, or some by their ids.

Live the largest person is chosen moment by moment (``select``); of a recording, which can be gone through beforehand,
it is one and the same person throughout (``Tally``).
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array
from stream.types import Estimate, FrameReference, Person, StreamError

ALL, LARGEST, CENTRAL, IDS = "all", "largest", "central", "ids"
METAVAR: Final = "largest|central|all|ID[,ID]"
"""How the flags that take a selection show it."""
_BETTER: Final = 1.25


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom to take."""

    rule: str = ALL
    """"all", "largest", "central" or "ids"."""
    ids: tuple[int, ...] = ()
    """``Person.person_id`` of those whom the rule "ids" takes."""

    def __str__(self) -> str:
        return ",".join(map(str, self.ids)) if self.rule == IDS else self.rule


def selection(text: str) -> Selection:
    """A selection as a user writes it: a rule, or ids joined by commas. The type of a flag."""
    rule = text.strip().lower()
    if rule in (ALL, LARGEST, CENTRAL):
        return Selection(rule)
    parts = [part.strip() for part in rule.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} selects nobody; give largest, central, all, or ids such as 0,2")
    return Selection(IDS, tuple(sorted({int(part) for part in parts})))


def largeness(xy: Array, score: Array, size: Array) -> Array:
    """The diagonal of the seen joints' box, a share of the image's; 0 where none is seen.

    The diagonal, so that who lies counts as much as who stands.

    Args:
        xy: (..., 17, 2) pixels.
        score: (..., 17), 0 = not seen.
        size: (..., 2) width and height of the image, pixels.

    Returns:
        (...,) shares.
    """
    low, high = _box(xy, score)
    return _length(high - low) / _length(size) * (score > 0).any(-1)


def centrality(xy: Array, score: Array, size: Array) -> Array:
    """1 where the seen joints' box lies in the middle of the image, 0 in its corners and where none is seen.

    Args and returns as those of ``largeness``.
    """
    low, high = _box(xy, score)
    off = (low + high) / 2 - size / 2
    return np.maximum(1 - _length(off) / (_length(size) / 2), 0) * (score > 0).any(-1)


def _box(xy: Array, score: Array) -> tuple[Array, Array]:
    seen = (score > 0)[..., None]
    none = ~seen.any(-2)
    low, high = np.where(seen, xy, np.inf).min(-2), np.where(seen, xy, -np.inf).max(-2)
    return np.where(none, 0, low), np.where(none, 0, high)


def _length(vector: Array) -> Array:
    return np.hypot(vector[..., 0], vector[..., 1])


MEASURES: Final = {LARGEST: largeness, CENTRAL: centrality}
"""How much of what a rule looks for somebody has in one image."""


def merit(person: Person, frames: Sequence[FrameReference | None], rule: str) -> float:
    """How large, or how central, a person is: the mean over all cameras with a frame, 0 in one that does not see them.

    Args:
        person: the person.
        frames: ``Estimate.frames``, of their cameras.
        rule: "largest" or "central".
    """
    measure = MEASURES[rule]
    values = [
        0.0 if view is None else float(measure(view.detection.xy, view.detection.score, np.array(frame.size)))
        for view, frame in zip(person.views, frames, strict=True)
        if frame is not None
    ]
    return float(np.mean(values)) if values else 0.0


def select(
    people: Sequence[Person], frames: Sequence[FrameReference | None], selection: Selection, before: int | None = None
) -> tuple[Person, ...]:
    """Those of a moment's people who are selected, in their order.

    Args:
        people: ``Estimate.people``.
        frames: ``Estimate.frames``.
        selection: whom to take.
        before: whom "largest" or "central" took in the moment before; they stay while nobody is a quarter better, so
            that the choice does not flicker between two who are nearly alike.
    """
    if selection.rule == ALL:
        return tuple(people)
    if selection.rule == IDS:
        return tuple(person for person in people if person.person_id in selection.ids)

    def value(person: Person) -> float:
        return merit(person, frames, selection.rule) * (_BETTER if person.person_id == before else 1.0)

    return (max(people, key=value),) if people else ()


class Tally:
    """Chooses people of a whole recording: goes through it once, then tells their ids."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._merits: dict[int, float] = defaultdict(float)

    def add(self, estimate: Estimate) -> None:
        """Take a moment into account."""
        rule = self._selection.rule
        for person in estimate.people:
            self.count(person.person_id, merit(person, estimate.frames, rule) if rule in MEASURES else 0.0)

    def count(self, person_id: int, value: float) -> None:
        """Take a person into account by what ``merit`` says of them, of one moment or summed over several."""
        self._merits[person_id] += value

    @property
    def ids(self) -> tuple[int, ...]:
        """Who is selected. The largest is who is so over all moments, those count 0 in which they are not there.

        Raises:
            StreamError: if an id is asked for that nobody has.
        """
        there = sorted(self._merits)
        if self._selection.rule == ALL:
            return tuple(there)
        if self._selection.rule != IDS:
            return (max(there, key=lambda person_id: self._merits[person_id]),) if there else ()
        absent = [person_id for person_id in self._selection.ids if person_id not in self._merits]
        if absent:
            has = f"it has {', '.join(map(str, there))}" if there else "nobody is in it"
            has = "it does not tell who is who" if there == [-1] else has
            raise StreamError(f"no person {', '.join(map(str, absent))} in this take: {has}")
        return self._selection.ids
