"""Times of frames: pure rules, given the time stamps and, for live sources, when they arrived."""

from collections import deque
from typing import Final

_WAITED_S: Final = 0.005
"""Frames of a buffer follow each other faster than this, those of a camera slower."""
_JOINED: Final = 3
"""So many stamps that increase, all before the last: the file goes on with another clock."""


class MediaClock:
    """Makes a file's time stamps strictly increasing and fills in the missing ones.

    The first time stamp is kept as it is in the container.
    """

    def __init__(self, step_s: float) -> None:
        self._step = step_s
        self._last: float | None = None
        self._shift = 0.0
        self._back: list[float] = []
        """The stamps that came after the last one that was ahead."""

    def time(self, pts: float | None) -> float:
        """Seconds of the next frame in order of presentation; ``pts`` (seconds) is None where there is none.

        A missing stamp follows the last one at the last known distance. A stamp more than a second before the last
        is a file joined from several: it goes on from there, and so it does after three in a row that increase and are
        before the last. A smaller step back, or none, becomes a hundredth of a frame, so that one bad stamp does not
        move all those after it.
        """
        last = self._last
        if last is None:
            self._last = 0.0 if pts is None else pts
            return self._last
        if pts is None:
            self._last = last + self._step
            return self._last
        t = pts + self._shift
        self._back = [*self._back, pts] if t < last else []
        joined = len(self._back) == _JOINED and self._back == sorted(set(self._back))
        if t < last - 1.0 or joined:
            self._shift += last + self._step - t
            t = pts + self._shift
            self._back = []
        elif len(self._back) == _JOINED:
            self._back = self._back[1:]
        if t <= last:
            t = last + 0.01 * self._step
        elif t - last < 1.0:
            self._step = t - last
        self._last = t
        return t


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
