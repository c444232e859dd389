"""Frames that a camera did not give, told by the times of those that it gave."""

from collections import deque
from typing import Final

_RECENT: Final = 9
"""By the clock of a device, the time between two frames is the median of so many."""
_LONG: Final = 100
"""By their arrival, which a busy machine makes uneven, it is the mean of so many ..."""
_KNOWN: Final = 30
"""... and of no fewer than these."""
_LATE: Final = 1.5
"""In frames: two further apart than this have some missing between them."""
_TURNED_S: Final = 1.0
"""A stamp that is further back is of another clock, and not of a B-frame."""
_SILENT_S: Final = 1.0
"""So much of nothing at the end is a camera that is gone, and not a frame that is under way."""
_EARLY: Final = 0.5
"""In frames: one that comes sooner after the last one was held up with it."""
_SETTLED: Final = 10
"""So many frames at their own pace: what was held up has come by then."""
_SLACK: Final = 0.25
"""In frames: times are uneven."""


class GapCounter:
    """Counts the frames that are missing between those of one camera."""

    def __init__(self) -> None:
        self.missing = 0
        """So far."""
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._counted: deque[tuple[float, int]] = deque(maxlen=_LONG)
        """(arrival, frames up to then, those that are missing with them)."""
        self._total = 0
        self._last: tuple[float, float | None] | None = None
        self._owed = 0.0
        """Without a clock of the device: frames that did not come in time, and may be on their way."""
        self._ahead = 0
        """Missing before the last frame by its stamp, of which some may be B-frames."""
        self._early = 0
        """Frames in a row that came faster than they are made."""
        self._since = 0
        """Frames at their own pace since then."""

    def restart(self) -> None:
        """What was missing up to now is not counted."""
        self.missing, self._owed, self._since = 0, 0.0, 0

    def add(self, arrival: float, device_t: float | None, within: float = float("inf")) -> None:
        """A frame came.

        Args:
            arrival: monotonic seconds.
            device_t: seconds by the clock of the device, None where it has none.
            within: seconds before it in which frames were wanted.
        """
        last, self._last = self._last, (arrival, device_t)
        self._total += 1
        if last is not None and device_t is not None and last[1] is not None and 0 <= last[1] - device_t < _TURNED_S:
            # A B-frame: it comes after the one that it is shown before, and was not missing.
            self._last = (arrival, last[1])
            if self._ahead:
                self._ahead -= 1
                self._missed(-1)
            return
        if last is not None and device_t is not None and last[1] is not None and device_t > last[1]:
            # A clock that began anew, as of a connection that was opened again, tells when what its opening held up was
            # made: what is missing before it is known.
            self._settle()
            self._stamped(device_t - last[1], within)
        elif last is not None and (usual := self._usual()) is not None:
            self._unstamped((arrival - last[0]) / usual, within / usual)
        if not self._owed:
            self._counted.append((arrival, self._total))

    def _stamped(self, step: float, within: float) -> None:
        if len(self._steps) == _RECENT and step <= _LATE * min(self._steps):  # nearly always
            self._steps.append(step)
            self._ahead = 0
            return
        usual = sorted(self._steps)[len(self._steps) // 2] if len(self._steps) == _RECENT else step
        self._steps.append(step)
        ahead = round(step / usual) - 1 if step > _LATE * usual > 0 else 0
        self._ahead = min(ahead, _whole(within / usual)) if usual > 0 else ahead
        self._total += ahead - self._ahead
        self._missed(self._ahead)

    def _unstamped(self, steps: float, within: float) -> None:
        if steps > _LATE:
            owed = min(steps - 1, _whole(within))  # whole frames lie in what was wanted of it
            self._owed += owed
            self._total += round(steps - 1 - owed)
        elif self._owed:
            self._owed = max(self._owed - max(1 - steps, 0.0), 0.0)
            self._early = self._early + 1 if steps < _EARLY else 0
            # While several in a row come faster than they are made, more may come.
            self._since = self._since + 1 if self._owed and self._early < 2 else 0
            if self._since >= _SETTLED:
                self._settle()

    def _missed(self, frames: int) -> None:
        self.missing += frames
        self._total += frames

    def _settle(self) -> None:
        if self._owed:
            self._missed(round(self._owed))
        self._owed, self._since = 0.0, 0

    def _usual(self) -> float | None:
        """Seconds between two frames by their arrival, None while that is not known."""
        if len(self._counted) < _KNOWN:
            return None
        (begin, first), (end, last) = self._counted[0], self._counted[-1]
        return (end - begin) / (last - first) or None

    def end(self, now: float, start: float = float("-inf")) -> None:
        """Nothing more is wanted from now on.

        Args:
            now: monotonic seconds.
            start: of what was wanted.
        """
        self._settle()
        usual = self._usual()
        if self._last is None or usual is None or now - self._last[0] < _SILENT_S:
            return
        since = max(self._last[0], start)
        self._missed(max(round((now - since) / usual) - (since > start), 0))


def _whole(steps: float) -> int:
    return int(min(steps + _SLACK, 1e9))
