"""Frame sets of files: from the first to the last frame of any of them, in order, the same in every run."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from calibration.arrays import Array
from stream.live.synchronise import EPSILON, Interval, NoOverlapError, SyncConfig, frame_set, match, tolerance
from stream.types import Frame, FrameSet

Reader = Callable[[], Frame | None]

_SAME_RATE = 0.99
"""Rates that agree to this are one rate: phones give 29.98 and 30.02."""
_NEAR = 0.55
"""In frames of a camera: its frame is at a time if it is not further from it. A half, and room for rounded times."""
_GAP = 1.5
"""In frames: two frames further apart leave a place between them where other cameras may have some."""


class _Reel:
    """The frames of one file around the time that is being matched."""

    def __init__(self, read: Reader, fps: float | None) -> None:
        self._read = read
        self._used: set[int] = set()
        self.rate = fps or 0.0
        self.interval = Interval(fps)
        self.frames: deque[Frame] = deque()
        """The last one before the time that was matched last, and all that were read after it."""
        self.first: Frame | None = None
        self.last: Frame | None = None
        """Of those that were read."""
        self.ended = False
        self.together = False
        """Whether a frame of it was in a frame set with one of another camera."""
        self.unused = 0
        """Frames that were in no frame set and will be in none."""

    def _next(self) -> bool:
        frame = None if self.ended else self._read()
        if frame is None:
            self.ended = True
            return False
        self.interval.add(frame.t)
        self.first, self.last = self.first or frame, frame
        self.frames.append(frame)
        return True

    def after(self, t: float) -> Frame | None:
        """The first frame after a time, None where there is none."""
        while not self.frames or self.frames[-1].t <= t + EPSILON:
            if not self._next():
                return None
        return next(frame for frame in self.frames if frame.t > t + EPSILON)

    def around(self, t: float) -> list[Frame]:
        """The frame before a time and the first one at or after it, those that there are."""
        while (not self.frames or self.frames[-1].t < t - EPSILON) and self._next():
            pass
        while len(self.frames) > 1 and self.frames[1].t < t - EPSILON:
            self._forget()
        return list(islice(self.frames, 2))

    def use(self, frame: Frame) -> None:
        """This frame is in a frame set."""
        self._used.add(frame.index)

    def end(self) -> None:
        """Nothing more is matched."""
        while self.frames:
            self._forget()

    def over(self, t: float) -> bool:
        """Whether no frame of it is near this time or comes later."""
        return self.ended and all(frame.t < t - self.interval.seconds / 2 for frame in self.frames)

    def _forget(self) -> None:
        index = self.frames.popleft().index
        self.unused += index not in self._used
        self._used.discard(index)


class FileMatcher:
    """The frame sets of files; iterate over it once.

    There is one a frame of the camera with the highest rate, the first of several. Where it has no frames (it begins
    later, has ended, or has a gap) those of the next fastest camera stand in. A camera that has no frame near enough is
    None in a frame set. With ``SyncConfig.fps`` the frame sets are so many a second instead.

    Args:
        readers: next frame of each camera, None at its end.
        fps: frames a second of each camera, None where not known.
        config: how to match.
    """

    def __init__(
        self, readers: Sequence[Reader], fps: Sequence[float | None], config: SyncConfig | None = None
    ) -> None:
        self._config = config or SyncConfig()
        self._reels = [_Reel(read, rate) for read, rate in zip(readers, fps, strict=True)]
        fastest = max(reel.rate for reel in self._reels)
        # Sorting keeps the order in which equals were given.
        self._order = sorted(self._reels, key=lambda r: -fastest if r.rate >= _SAME_RATE * fastest else -r.rate)
        self._index = 0

    @property
    def unused(self) -> tuple[int, ...]:
        """Frames of each camera that are in no frame set, so far."""
        return tuple(reel.unused for reel in self._reels)

    def __iter__(self) -> Iterator[FrameSet]:
        """The frame sets in order.

        Raises:
            NoOverlapError: as soon as it is known that a camera was and will be in no frame set with another one.
        """
        for target in self._even() if self._config.fps else self._frames():
            candidates = [reel.around(target) for reel in self._reels]
            limits = [tolerance(self._config, reel.interval) for reel in self._reels]
            chosen = match(target, candidates, limits, self._config.interpolate, self._config.max_interpolated_s)
            seen = [reel for reel, frame in zip(self._reels, chosen, strict=True) if frame is not None]
            if not seen:
                continue
            for reel, frame in zip(self._reels, chosen, strict=True):
                if frame is not None:
                    reel.use(frame)
                    reel.together |= len(seen) > 1
            self._check(target)
            yield frame_set(self._index, target, chosen)
            self._index += 1
        for reel in self._reels:
            reel.end()
        self._check(math.inf)

    def _frames(self) -> Iterator[float]:
        """The times of the fastest camera's frames, and of others' where it has none."""
        last, leader = -math.inf, None
        while True:
            target: Frame | None = None
            before: _Reel | None = None
            for reel in self._order:
                near = 0.0 if reel in (leader, self._order[0]) else _NEAR * reel.interval.seconds
                frame = reel.after(last + near)
                if frame is None:
                    continue
                if target is None or before is None or self._fills(reel, frame, last, before, target):
                    target, before = frame, reel
            if target is None:
                return
            last, leader = target.t, before
            yield target.t

    def _fills(self, reel: _Reel, frame: Frame, last: float, before: _Reel, target: Frame) -> bool:
        """Whether a frame lies in a gap between the last target and the next frame of a faster camera."""
        seconds = reel.interval.seconds
        return frame.t < target.t - _NEAR * seconds and target.t - last > _GAP * min(seconds, before.interval.seconds)

    def _even(self) -> Iterator[float]:
        """Times at the rate that was asked for, from the first frame of any camera, where there are frames."""
        starts = [frame.t for reel in self._reels if (frame := reel.after(-math.inf)) is not None]
        if not starts:
            return
        start, step, n = min(starts), 1 / (self._config.fps or 1.0), 0
        while True:
            target = start + n * step
            later = [frame.t for reel in self._reels if (frame := reel.after(target - step / 2)) is not None]
            if not later:
                return
            if min(later) > target + step:
                # Over a gap at once: it may be as long as two clocks are apart.
                n = max(n + 1, math.floor((min(later) - start) / step))
                continue
            yield target
            n += 1

    def _check(self, target: float) -> None:
        """Refuse files that have no time in common.

        Raises:
            NoOverlapError: if a camera was and will be in no frame set with another one.
        """
        if len(self._reels) < 2 or not self._config.overlap or all(reel.first is None for reel in self._reels):
            return
        going = [reel for reel in self._reels if not reel.over(target)]
        for reel in reversed(self._reels):
            # Alone for ever: it is over, or all the others are.
            if not reel.together and (reel not in going or going == [reel]):
                raise NoOverlapError(_apart(reel, [other for other in self._reels if other is not reel]))


def moment_count(times: Sequence[Array], fps: Sequence[float | None], rate: float | None = None) -> int:
    """About how many frame sets there will be, in one pass over the times: for a progress bar.

    Args:
        times: (F,) seconds of the frames of each camera, in order.
        fps: frames a second of each camera, None where not known.
        rate: frame sets a second that are asked for, as in ``SyncConfig.fps``.
    """
    known = [(t, f or 0.0) for t, f in zip(times, fps, strict=True) if len(t)]
    if not known:
        return 0
    if rate:
        return round((max(t[-1] for t, _ in known) - min(t[0] for t, _ in known)) * rate) + 1
    steps = [float(np.median(np.diff(t))) if len(t) > 1 else 1 / 30 for t, _ in known]
    fastest = max(f for _, f in known)
    order = sorted(range(len(known)), key=lambda k: -fastest if known[k][1] >= _SAME_RATE * fastest else -known[k][1])
    targets = known[order[0]][0]
    for k in order[1:]:
        t = known[k][0]
        after = np.searchsorted(targets, t)
        before = np.where(after > 0, t - targets[np.maximum(after - 1, 0)], np.inf)
        ahead = np.where(after < len(targets), targets[np.minimum(after, len(targets) - 1)] - t, np.inf)
        # Of a slower camera only what lies in a gap stands in.
        fills = (np.minimum(before, ahead) > _NEAR * steps[k]) & (before + ahead > _GAP * min(steps))
        targets = np.sort(np.concatenate([targets, t[fills]]))
    return len(targets)


def _apart(reel: _Reel, others: Sequence[_Reel]) -> str:
    """One line: whose times do not meet, and what to do."""
    firsts, lasts = [r.first for r in others if r.first], [r.last for r in others if r.last]
    if reel.first is None or reel.last is None or not firsts or not lasts:
        return "a camera gave no frame; check that its file is whole"
    name, s = (firsts[0].camera, "s") if len(others) == 1 else ("the others", "")
    begin, end = min(frame.t for frame in firsts), max(frame.t for frame in lasts)
    if reel.first.t > end:
        how = f"it begins at {reel.first.t:.2f} s, {name} end{s} at {end:.2f} s"
    elif reel.last.t < begin:
        how = f"it ends at {reel.last.t:.2f} s, {name} begin{s} at {begin:.2f} s"
    else:
        how = "none is near enough"
    camera = reel.first.camera
    return (
        f"{camera} has no frame at the time of any of {name}: {how}; check that the files belong "
        f"together, or move its times with --sync-offset {camera}=SECONDS"
    )
