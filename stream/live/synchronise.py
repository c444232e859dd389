"""Frames of several cameras to frame sets: by their times, never in lock-step, and never with a stale frame.

Files (``stream.live.files``) are matched in order and completely, so that the same files always give the same frame
sets. Live cameras are matched to the newest time that every living camera has reached, once a frame of the slowest:
when all of them have a new frame, and these lie about as near together as they ever do.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from stream.config import SyncConfig
from stream.live.phases import Phases
from stream.types import Frame, FrameSet, StreamError

EPSILON: Final = 1e-6
"""Seconds. Times of one clock read twice differ by rounding; half a frame must still count as half a frame."""


class NoOverlapError(StreamError):
    """A file of which no frame is at the time of a frame of any other."""


_DEFAULTS: Final = SyncConfig()
_NEAR: Final = 1 / 8
"""Frames of live cameras need not lie nearer together than they do at best and so many frames of the slowest."""


def match(
    target: float,
    frames: Sequence[Sequence[Frame]],
    tolerance: Sequence[float],
    after: bool,
    within: float = _DEFAULTS.max_interpolated_s,
) -> list[Frame | None]:
    """Choose one frame a camera for a target time.

    Args:
        target: seconds.
        frames: the candidates of each camera in order of time; may be empty.
        tolerance: seconds a frame may differ from the target, one a camera.
        after: prefer the first frame at or after the target, within *one frame* (twice the tolerance), to the nearest,
            where that is not further than ``within`` before it.
        within: seconds; 2D joints are not interpolated between frames further apart.

    Returns:
        One frame a camera, None where there is none near enough.
    """
    chosen: list[Frame | None] = []
    for candidates, limit in zip(frames, tolerance, strict=True):
        best = min(candidates, key=lambda f: abs(f.t - target), default=None)
        if best is not None and abs(best.t - target) > limit + EPSILON:
            best = None
        if after and best is not None and best.t < target - EPSILON:
            latest = min(target + 2 * limit, best.t + within) + EPSILON
            best = next((f for f in candidates if target - EPSILON <= f.t <= latest), best)
        chosen.append(best)
    return chosen


def frame_set(index: int, target: float, frames: Sequence[Frame | None]) -> FrameSet:
    """A frame set of these frames."""
    times = [frame.t for frame in frames if frame is not None]
    return FrameSet(index, target, tuple(frames), max(times) - min(times) if times else 0.0)


class Interval:
    """The time between two frames of a camera, from its frames: the median of the last few."""

    def __init__(self, fps: float | None) -> None:
        self._steps: deque[float] = deque([1 / fps] if fps else [], maxlen=15)
        self._last: float | None = None
        self.seconds = self._median()
        """Of one frame; 1/30 s until two frames are known."""

    def add(self, t: float) -> None:
        """A frame of t seconds came."""
        if self._last is not None and t > self._last:
            self._steps.append(t - self._last)
            self.seconds = self._median()
        self._last = t

    def _median(self) -> float:
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else 1 / 30


def skew_warning(fps: Sequence[float | None], p50_ms: float) -> str | None:
    """A line for files of one frame rate whose frames are not at the same times; None where all is well.

    Args:
        fps: frames a second of each, None where not known.
        p50_ms: median time between the frames of a frame set.
    """
    rates = [rate for rate in fps if rate]
    if len(rates) < max(2, len(fps)) or max(rates) > 1.01 * min(rates):
        return None
    frame_ms = 1e3 / max(rates)
    # The frame after the target is taken for interpolation, so a time that was rounded down shows as a whole frame.
    apart_ms = min(p50_ms, abs(frame_ms - p50_ms))
    if apart_ms <= frame_ms / 4:
        return None
    return (
        f"warning: the cameras' frames are {apart_ms:.1f} ms apart at the median, more than a quarter of a frame, "
        "though the files' rates agree; find their offsets with python -m calibration sync"
    )


class LiveMatcher:
    """The buffer of live cameras: frames in as they come, the newest complete frame set out.

    Args:
        fps: frames a second of each camera, None where not known.
        config: how to match.
        offsets: seconds that each camera's times have been moved by. They say which frames belong together; which
            camera is alive is judged without them.
    """

    def __init__(
        self, fps: Sequence[float | None], config: SyncConfig | None = None, offsets: Sequence[float] | None = None
    ) -> None:
        self._config = config or SyncConfig()
        self._frames: list[deque[Frame]] = [deque() for _ in fps]
        self._intervals = [Interval(f) for f in fps]
        self._offsets = [0.0] * len(fps) if offsets is None else list(offsets)
        # A camera whose times were moved ahead waits for the others with so many seconds of frames.
        self._span = max(self._offsets) - min(self._offsets)
        self._used = [-math.inf] * len(fps)
        self._first = math.inf
        self._last = -math.inf
        self._index = 0
        self._phases = Phases(len(fps))
        self._had = [-math.inf] * len(fps)
        """The newest frames there were at the frame set before, seconds; some of them may be for the next one."""
        self._ready: dict[int, float] | None = None
        """The newest frame of each camera that is alive, seconds, which say when the next frame set is."""
        self._held = math.inf
        """Seconds: the newest frame when all had a new one, which has waited for a better time since."""
        self.superseded = 0
        """Frames that a newer one overtook before they were in a frame set."""

    def add(self, camera: int, frame: Frame) -> None:
        """A new frame of the camera with this number."""
        frames = self._frames[camera]
        frames.append(frame)
        while len(frames) > self._config.history and frames[self._config.history].t <= frame.t - self._span:
            self.superseded += frames.popleft().t > self._used[camera]
        self._intervals[camera].add(frame.t)
        self._first = min(self._first, frame.t - self._offsets[camera])
        self._look(camera)

    def next(self) -> FrameSet | None:
        """The newest frame set all living cameras have reached, or None until each has a new frame."""
        if self._ready is None:
            return None
        living, self._ready = self._ready, None
        target = self._last = min(living.values())
        for k, t in living.items():
            self._had[k] = t
        candidates = [list(frames) if k in living else [] for k, frames in enumerate(self._frames)]
        limits = [tolerance(self._config, interval) for interval in self._intervals]
        interpolate = self._config.interpolate and len(living) > 1
        chosen = match(target, candidates, limits, interpolate, self._config.max_interpolated_s)
        for k, frame in enumerate(chosen):
            if frame is not None:
                self.superseded += sum(self._used[k] < f.t < frame.t for f in self._frames[k])
                self._used[k] = frame.t
                while self._frames[k] and self._frames[k][0].t < frame.t:
                    self._frames[k].popleft()
        result = frame_set(self._index, target, chosen)
        self._index += 1
        return result

    def _look(self, camera: int) -> None:
        """Whether now is the time for a frame set, as a frame of this camera came.

        It is asked after every frame, also of those that come while nobody asks for a frame set: the last good time
        counts.
        """
        times = [frames[-1].t if frames else None for frames in self._frames]
        now = max(t - by for t, by in zip(times, self._offsets, strict=True) if t is not None)
        if None in times and now - self._first <= self._config.stale_s:
            return  # at the start: give every camera the time to come
        living = {
            k: t for k, t in enumerate(times)
            if t is not None and now - (t - self._offsets[k]) <= self._stale(k)
        }  # fmt: skip
        target = min(living.values())
        spread = max(living.values()) - target
        self._phases.add(camera, spread)
        # Where a camera lags and is back, the others had gone on without it.
        if target <= self._last or any(t <= self._had[k] for k, t in living.items()):
            return
        self._held = min(self._held, now)
        slowest = max(self._intervals[k].seconds for k in living)
        if spread <= self._phases.least(living) + _NEAR * slowest or now - self._held >= slowest:
            self._ready, self._held = living, math.inf

    def _stale(self, camera: int) -> float:
        return max(self._config.stale_frames * self._intervals[camera].seconds, self._config.stale_s)


def tolerance(config: SyncConfig, interval: Interval) -> float:
    """Seconds that a frame of a camera may be from the target time."""
    return interval.seconds / 2 if config.tolerance_s is None else config.tolerance_s
