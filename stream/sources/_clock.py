"""Times of frames: pure rules, given the time stamps and, for live sources, when they arrived."""

from collections import deque
from typing import Final, Generic, TypeVar

_WAITED_S: Final = 0.005
"""Frames of a buffer follow each other faster than this, those of a camera slower."""
_JOINED: Final = 3
"""So many stamps that increase, all before the last: the file goes on with another clock."""
_BACK_S: Final = 1.0
"""A stamp that is further back is another clock at once."""
_HELD: Final = 32
"""So many images wait for a stamp: 200 MB of full HD."""

Item = TypeVar("Item")


class MediaClock(Generic[Item]):
    """Makes a file's time stamps strictly increasing and fills in the missing ones, also those before the first.

    The first time stamp is kept as it is in the container. Images without a time of their own (no stamp, or none after
    that of the image before) wait for the next that has one and share what lies between, at most a frame's time each.

    Args:
        step_s: seconds between two images, where no stamp says so.
        wait: whether stamps are to be waited for; without, an image without one follows the last.
    """

    def __init__(self, step_s: float, wait: bool = True) -> None:
        self._step = step_s
        self._last: float | None = None
        self._stamp: float | None = None
        self._shift = 0.0
        self._most = _HELD if wait else 0
        self._held: list[tuple[float | None, Item]] = []
        self.filled = 0
        """Images in a row, up to the last one, that no stamp placed."""

    def place(self, pts: float | None, item: Item) -> list[tuple[float, Item]]:
        """Images whose time is known now, in order of presentation, with their seconds.

        Args:
            pts: seconds of the next image by its stamp, or None where there is none.
            item: the image.
        """
        t = None if pts is None else pts + self._shift
        again, self._stamp = pts is not None and pts == self._stamp, self._stamp if pts is None else pts
        if t is not None and (self._last is None or t > self._last):
            return [*self._between(t), self._found(t, item)]
        self._held.append((pts, item))
        if self._last is not None and not again and (start := self._joined()) is not None:
            return self._from(start)
        if len(self._held) <= self._most:
            return []
        self._most = 0  # nor is one waited for again: the next stamp that is ahead is taken all the same
        return self.rest()

    def rest(self) -> list[tuple[float, Item]]:
        """At the end: the images that still wait, each a frame's time after the one before."""
        held, self._held = self._held, []
        return [self._follow(item) for _, item in held]

    def _between(self, t: float) -> list[tuple[float, Item]]:
        held, self._held = self._held, []
        if self._last is None:
            return [(t - (len(held) - k) * self._step, item) for k, (_, item) in enumerate(held)]
        step = min((t - self._last) / (len(held) + 1), self._step)
        start = self._last
        return [(start + (k + 1) * step, item) for k, (_, item) in enumerate(held)]

    def _found(self, t: float, item: Item) -> tuple[float, Item]:
        if self._last is not None and t - self._last < 1.0 and not self.filled:
            self._step = t - self._last
        self._last, self.filled = t, 0
        return t, item

    def _follow(self, item: Item) -> tuple[float, Item]:
        self._last = 0.0 if self._last is None else self._last + self._step
        self.filled += 1
        return self._last, item

    def _joined(self) -> int | None:
        """Where among the images that wait another clock begins, if it is known: a file joined from several."""
        last, stamps = self._last or 0.0, [pts for pts, _ in self._held]
        newest = stamps[-1]
        if newest is not None and newest + self._shift < last - _BACK_S:
            return len(stamps) - 1
        few = [pts for pts in stamps[-_JOINED:] if pts is not None]
        return len(stamps) - _JOINED if len(few) == _JOINED and few == sorted(set(few)) else None

    def _from(self, start: int) -> list[tuple[float, Item]]:
        """The images that wait, those from ``start`` on by another clock that goes on from here."""
        held, self._held = self._held, []
        placed = [self._follow(item) for _, item in held[: start + 1]]
        first = held[start][0]
        if first is None or self._last is None:
            raise RuntimeError("a clock begins at an image without a stamp")
        self._shift, self.filled = self._last - first, 0
        return placed + [self._found(pts + self._shift, item) for pts, item in held[start + 1 :] if pts is not None]


class EnvelopeClock:
    """Maps a live stream's PTS to the monotonic clock on the lower envelope of (arrival - PTS).

    A network only ever delays, so the least delay of the last seconds is the best guess of the constant between the
    two clocks. A sliding window lets it follow their drift. A PTS that goes back is a new clock; one that leaps
    ahead is the least delay at once.
    """

    def __init__(self, window_s: float = 10.0, leap_s: float = 1.0, burst_s: float = 2.0) -> None:
        self._window = window_s
        self._leap = leap_s
        self._burst = burst_s
        self._last_t = float("-inf")
        self.reset()

    def reset(self) -> None:
        """Forget the clock of the sender, as after a reconnect. The times handed out still only increase."""
        self._least: deque[tuple[float, float]] = deque()
        """(arrival, offset) of the window's running minima, offsets increasing."""
        self._previous: tuple[float, float] | None = None
        """(pts, arrival) of the last stamped frame."""
        self._first_arrival: float | None = None
        self.settled = False
        """Whether frames come no faster than they were made. Before that they are what a server or a probe had
        buffered: they are old, and when they were made is not known yet."""

    def time(self, pts: float | None, arrival: float) -> float:
        """Monotonic seconds at which the frame was made: not after its arrival, and later than the last one's.

        Args:
            pts: the frame's time stamp, seconds of the sender's clock, or None where it has none.
            arrival: monotonic seconds at which it came.
        """
        t = arrival
        if pts is None:
            # Without stamps a burst shows only in that a network was not waited for.
            self.settled |= self._previous is not None and arrival - self._previous[1] > _WAITED_S
            self._begin(arrival)
            self._previous = (0.0, arrival)
        else:
            if self._previous is not None:
                pts_step, arrival_step = pts - self._previous[0], arrival - self._previous[1]
                if pts_step <= 0:
                    self.reset()
                elif arrival_step >= 0.5 * pts_step:
                    self.settled = True
            t = self._map(pts, arrival)
            if arrival - t > self._leap:
                # Either the sender paused its clock, or the network held everything up and what comes now is old:
                # fitted anew, and unsettled until frames come at their own pace again.
                self.reset()
                t = self._map(pts, arrival)
        # 0.1 ms: the envelope may fall by more than a frame when a late stretch ends.
        self._last_t = max(t, self._last_t + 1e-4)
        return self._last_t

    def at(self, pts: float) -> float:
        """Monotonic seconds at which a frame of this stamp was made, by what is known now."""
        return pts + self._least[0][1] if self._least else pts

    def _begin(self, arrival: float) -> None:
        """No burst lasts for long: what still comes fast after that is a fast camera."""
        if self._first_arrival is None:
            self._first_arrival = arrival
        elif arrival - self._first_arrival > self._burst:
            self.settled = True

    def _map(self, pts: float, arrival: float) -> float:
        """PTS plus the least offset of the window that ends with this frame. Amortised O(1)."""
        self._begin(arrival)
        self._previous = (pts, arrival)
        offset = arrival - pts
        while self._least and self._least[-1][1] >= offset:
            self._least.pop()
        self._least.append((arrival, offset))
        while self._least[0][0] < arrival - self._window:
            self._least.popleft()
        return pts + self._least[0][1]


class RateMeter:
    """Frames a second over the last ones."""

    def __init__(self, frames: int = 30) -> None:
        self._times: deque[float] = deque(maxlen=frames + 1)

    def add(self, t: float) -> None:
        """A frame came at ``t`` seconds."""
        self._times.append(t)

    @property
    def fps(self) -> float | None:
        """Frames a second, or None before two frames."""
        times = tuple(self._times)
        if len(times) < 2 or times[-1] <= times[0]:
            return None
        return (len(times) - 1) / (times[-1] - times[0])
