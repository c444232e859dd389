"""One camera of an estimator: what is seen in its frames, each looked at once, at the times of frame sets."""

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.types import CrowdSession, Seen, TimedSession
from stream.live.cuts import Cuts
from stream.live.interpolation import interpolate_all
from stream.live.known import followed
from stream.types import Frame, KnownFrame, StreamError


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one camera gave to one frame set."""

    seen: Seen | None
    fresh: bool = False
    """Whether the frame had not been looked at before."""
    anew: bool = False
    """Whether its clock went back, so that nothing of before is of use."""
    cut: bool = False
    """Whether it shows another scene than before, so that nobody is who was there."""
    start: float = np.inf
    end: float = -np.inf


@dataclass(slots=True, eq=False)
class Eye:
    """What is kept of one camera."""

    session: CrowdSession
    most: int
    """People who are followed of those that a frame knows itself."""
    max_interpolated_s: float
    """Joints are not interpolated between frames further apart."""
    watchers: Sequence[Callable[[Frame, Seen], None]]
    """They are told what is seen in each frame."""
    clock: Callable[[], float]
    """Seconds; only to measure."""
    timed: TimedSession | None = field(init=False)
    """The session, if it wants to know how long it took."""
    free: threading.Lock = field(default_factory=threading.Lock)
    """Its frames are looked at one after another: a session takes no two at once."""
    frame_index: int = -1
    t: float = -np.inf
    image: Callable[[], object] = lambda: None
    """The image that was looked at last, while anybody else keeps it."""
    cuts: Cuts = field(default_factory=Cuts)
    seen: Seen | None = None
    before: tuple[float, Seen] | None = None

    def __post_init__(self) -> None:
        """Asking whether it is a protocol's takes long."""
        self.timed = self.session if isinstance(self.session, TimedSession) else None

    def look(self, frame: Frame | None, target: float) -> Look:
        """Detect, once a frame, and interpolate to the target time where a frame before it is known.

        Raises:
            StreamError: for two images that are said to be one frame.
        """
        with self.free:
            return self._look(frame, target)

    def _look(self, frame: Frame | None, target: float) -> Look:
        if frame is None:
            return Look(None)
        start, anew, cut = self.clock(), False, False
        # A slow camera's frame is in several frame sets.
        fresh = (frame.index, frame.t) != (self.frame_index, self.t) or self.seen is None
        if not fresh and self.image() is not frame.image:
            raise StreamError(
                f"camera {frame.camera}: two images are frame {frame.index} at {frame.t:g} s; give each its own index"
            )
        if fresh:
            anew, cut = self._take(frame)
        return Look(self._at(target), fresh, anew, cut, start, self.clock())

    def _take(self, frame: Frame) -> tuple[bool, bool]:
        """Look at a new frame; whether its clock went back, and whether it shows another scene."""
        if self.seen is not None:
            self.before = (self.t, self.seen)
        anew = frame.t <= self.t
        if anew:
            # A file that begins again, or a reconnected camera.
            self.cuts.reset()
        known = isinstance(frame, KnownFrame)
        cut = not known and self.cuts(frame.image, frame.t)
        if anew or cut:
            self.session.reset()
            self.before = None
        if known:
            self.seen = followed(frame.seen, self.most, None if anew else self.seen)
        else:
            self.seen = self.session(frame.image, frame.t)
        self.frame_index, self.t, self.image = frame.index, frame.t, weakref.ref(frame.image)
        for watcher in self.watchers:
            watcher(frame, self.seen)
        return anew, cut

    def _at(self, target: float) -> Seen | None:
        """What is seen at a time: between the last two frames, or as in the last one."""
        before, now = self.before, self.seen
        if (
            now is not None
            and before is not None
            and before[0] < target < self.t - 1e-6
            and self.t - before[0] <= self.max_interpolated_s + 1e-6  # 10 fps, give or take rounding
        ):
            return interpolate_all(before[1], now, (target - before[0]) / (self.t - before[0]))
        return now
