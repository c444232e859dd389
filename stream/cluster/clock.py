"""How far the clock of another computer is ahead: exchanges of four time stamps, and what each of them proves.

A message takes some time and never less than none. So an exchange (sent at t1 of ours, received at t2 and answered at
t3 of theirs, back at t4 of ours) proves that their clock is ahead by t3 - t4 at least and t2 - t1 at most (RFC 5905 has
the middle of the two as offset and half of the round trip as its bound). What several exchanges prove holds together,
each a little less with its age, as clocks drift: the least delay of *each way* counts, and not only the exchange with
the smallest round trip. So the drift is followed, and nothing is assumed of it but that it is no more than ``DRIFT``.
"""

from dataclasses import dataclass
from typing import Final

DRIFT: Final = 200e-6
"""Seconds a second by which two clocks may part: quartz is good for 50 ppm, and a clock that is being set is slewed."""
FEWEST: Final = 3
"""Exchanges before an offset is used: the first messages of a connection may be slow."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far their clock is ahead."""

    seconds: float
    """Theirs minus ours."""
    uncertainty: float
    """Seconds: the true offset is not further from it than this, however unequal the ways there and back are."""


class OffsetFilter:
    """The offset of one other clock, from exchanges with it."""

    def __init__(self) -> None:
        self._low, self._high, self._at = float("-inf"), float("inf"), float("-inf")
        """What is proved, and at which time of ours."""
        self.exchanges = 0
        """How many there were."""

    def add(self, t1: float, t2: float, t3: float, t4: float) -> None:
        """An exchange: sent, received, answered, back; seconds, t1 and t4 of our clock. One that cannot be is ignored.

        They are given in the order in which they came back.
        """
        if not (t4 >= t1 and t3 >= t2) or t3 - t4 > t2 - t1:
            return
        self.exchanges += 1
        low, high = self._proved(t4)
        low, high = max(low, t3 - t4), min(high, t2 - t1)
        if low > high:
            # It was set, or went to sleep: what was proved before holds no more.
            low, high = t3 - t4, t2 - t1
        self._low, self._high, self._at = low, high, t4

    def at(self, t: float) -> Offset | None:
        """The offset at t seconds of our clock; None before there were ``FEWEST`` exchanges."""
        if self.exchanges < FEWEST:
            return None
        low, high = self._proved(t)
        return Offset((low + high) / 2, (high - low) / 2)

    def _proved(self, t: float) -> tuple[float, float]:
        if self._at == float("-inf"):
            return float("-inf"), float("inf")
        older = DRIFT * abs(t - self._at)
        return self._low - older, self._high + older


def by_systems(measured: Offset, said: Offset) -> Offset | None:
    """The offset as the systems' clocks have it, which is right only if the exchanges do not prove otherwise.

    Args:
        measured: what the exchanges prove.
        said: the difference of the systems' clocks, and how far both are off at most.

    Returns:
        The one nearest to what is said that the exchanges allow, as sure as both together; None where they contradict
        each other.
    """
    low, high = measured.seconds - measured.uncertainty, measured.seconds + measured.uncertainty
    if said.seconds + said.uncertainty < low or said.seconds - said.uncertainty > high:
        return None
    seconds = min(max(said.seconds, low), high)
    allowed = said.uncertainty + abs(seconds - said.seconds)
    return Offset(seconds, min(allowed, max(high - seconds, seconds - low)))
