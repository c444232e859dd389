"""Several takes on one clock: what their readings of each other's clocks prove, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array
from stream.cluster.clock import DRIFT
from stream.recordings.replay import read_clocks
from stream.recordings.run_info import LIVE_KINDS
from stream.recordings.takes import Take
from stream.types import ClockReading, StreamError

_MOST_SAID: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """From the times of a take to the common ones."""

    at: Array
    """(N,) seconds of the take's clock, N at least 1."""
    ahead: Array
    """(N,) seconds by which the common clock is ahead then; on the line in between."""
    within: float
    """Seconds: it is not further off; NaN where nobody knows."""

    def __call__(self, t: Array) -> Array:
        """(M,) seconds of the common clock, of seconds of the take's."""
        return t + np.interp(t, self.at, self.ahead)

    def moved(self, seconds: float) -> "Shift":
        """The same, and so many seconds more."""
        return Shift(self.at, self.ahead + seconds, self.within)


def no_shift(within: float = 0.0) -> Shift:
    """Of a take whose times are the common ones."""
    return Shift(np.zeros(1), np.zeros(1), within)


def shift_of(readings: Sequence[ClockReading]) -> Shift:
    """What readings of one other clock prove together: each holds a little less with its age, as clocks drift.

    Args:
        readings: at least one.
    """
    ordered = sorted(readings, key=lambda reading: reading.t)
    t, ahead, within = (np.array([getattr(r, name) for r in ordered]) for name in ("t", "ahead", "within"))
    low, high = ahead - within, ahead + within
    steps = DRIFT * np.diff(t)
    for k in range(1, len(t)):
        low[k], high[k] = max(low[k], low[k - 1] - steps[k - 1]), min(high[k], high[k - 1] + steps[k - 1])
    for k in range(len(t) - 2, -1, -1):
        low[k], high[k] = max(low[k], low[k + 1] - steps[k]), min(high[k], high[k + 1] + steps[k])
    if (low > high).any():  # a clock was set meanwhile: what was proved before holds no more
        return Shift(t, ahead, float(within.max()))
    return Shift(t, (low + high) / 2, float((high - low).max() / 2))


def common_time(takes: Sequence[Take], first: int | None, given: Mapping[int, float]) -> tuple[list[Shift], str]:
    """How the times of several takes become those of one clock.

    Args:
        takes: as they were given.
        first: which of them has the common clock, where that is clear.
        given: seconds that are added to the times of a take, by its number; one without readings needs it.

    Returns:
        A shift each, and whose clock is the common one; empty where it is that of files.

    Raises:
        StreamError: naming those of which nothing is known.
    """
    readings = [list(read_clocks(take)) for take in takes]
    own = [next((r.clock for r in theirs), "") for theirs in readings]
    if not any(readings) and not any(map(_live, takes)):
        return [no_shift().moved(given.get(k, 0.0)) for k in range(len(takes))], ""
    candidates = list(dict.fromkeys(r.other for theirs in readings for r in theirs))
    if first is None:
        candidates = [*filter(None, own), *candidates]
    elif own[first] or len(candidates) != 1:  # of a take that ended before it had a reading, the others tell
        candidates = [own[first]]
    found: list[Shift | None] = [None] * len(takes)
    common = ""
    for clock in dict.fromkeys(candidates):
        related = [_related(k, clock, own, readings) for k in range(len(takes))] if clock else found
        if sum(s is not None for s in related) > sum(s is not None for s in found):
            found, common = related, clock
    if first is not None and found[first] is None:
        found[first] = no_shift()
    elif not any(found):
        found[0] = no_shift()
    unknown = [k for k, shift in enumerate(found) if shift is None and k not in given]
    if unknown:
        raise StreamError(_missing(takes, unknown, next(k for k, s in enumerate(found) if s is not None)))
    shifts = [(s or no_shift(float("nan"))).moved(given.get(k, 0.0)) for k, s in enumerate(found)]
    return shifts, common


def _live(take: Take) -> bool:
    return any(camera.kind in LIVE_KINDS for camera in take.run_info.cameras)


def _related(k: int, clock: str, own: Sequence[str], readings: Sequence[Sequence[ClockReading]]) -> Shift | None:
    """From the clock of a take to one, by the readings of the take, or else by those of a take of that clock."""
    if own[k] == clock:
        return no_shift()
    if mine := [r for r in readings[k] if r.other == clock]:
        return shift_of(mine)
    theirs = [r for other in readings for r in other if own[k] and r.clock == clock and r.other == own[k]]
    return (
        shift_of([ClockReading(r.t + r.ahead, r.other, r.clock, -r.ahead, r.within) for r in theirs])
        if theirs
        else None
    )


def _missing(takes: Sequence[Take], unknown: Sequence[int], known: int) -> str:
    names = [_named(takes[k]) for k in unknown[:_MOST_SAID]]
    more = f" and {len(unknown) - _MOST_SAID} more" if len(unknown) > _MOST_SAID else ""
    first, info = takes[unknown[0]].run_info, takes[known].run_info
    camera = first.cameras[0].name if first.cameras else "NAME"
    days = ""
    if np.isfinite(first.unix_offset) and np.isfinite(info.unix_offset):
        days = (
            f"; by their times of day it would be {first.unix_offset - info.unix_offset:.3f}, as right as NTP keeps "
            "the computers"
        )
    return (
        f"{', '.join(names)}{more}: no reading of a clock says how far it was from that of {_named(takes[known])}: "
        "they were not recorded in one group (--publish, --from) while one run fused; leave out what was not, or give "
        f"--offset {camera}=SECONDS, which is added to its times{days}"
    )


def _named(take: Take) -> str:
    return f"{take.folder} ({', '.join(camera.name for camera in take.run_info.cameras)})"
