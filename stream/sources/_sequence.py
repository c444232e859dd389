"""What files, folders and the synthetic figure share: every frame, in order, at the reader's pace or at their own."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources._clock import RateMeter
from stream.sources._source import SourceInfo, SourceStatus
from stream.types import Frame, StreamError

# In real time, a frame this many frames late is passed over; but never more than ten in a row, so that a machine
# that cannot even decode fast enough still shows something.
_LATE_FRAMES = 2.0
_MOST_SKIPPED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One image of a sequence, before it has a name."""

    index: int
    """Its number in the sequence; gaps are images that could not be read."""
    t: float
    """Seconds, strictly increasing."""
    image: Image
    """(H, W, 3) uint8 BGR."""


class SequenceSource(ABC):
    """A source that ends. With ``SourceConfig.realtime`` it is played at its own pace and late frames are dropped;
    ``Frame.t`` stays the sequence's own time.
    """

    kind: str

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.name = config.name
        self.live = config.realtime
        self.corrupt = 0
        self.note = ""
        self._info: SourceInfo | None = None
        self._shots: Iterator[Shot] = iter(())
        self._first: Shot | None = None
        self._reading = threading.Lock()
        self._closed = threading.Event()
        self._rate = RateMeter()
        self._read = self._dropped = 0
        self._start: float | None = None
        self._last_new: float | None = None
        self._ended = False

    @abstractmethod
    def _begin(self) -> Iterator[Shot]:
        """Open what it is read from (raising StreamError) and return its images; they are drawn one at a time."""

    @abstractmethod
    def _describe(self, first: Shot) -> SourceInfo:
        """What there is to say once the first image is known."""

    # Not abstract: most have nothing to release.
    def _release(self) -> None:
        """Let go of what was opened; the iterator is closed already."""
        return

    def open(self) -> SourceInfo:
        """See ``Source.open``."""
        if self._info is not None:
            raise RuntimeError(f"source {self.name!r} was opened twice")
        with self._reading:
            try:
                self._shots = self._begin()
                self._first = next(self._shots, None)
                if self._first is None:
                    why = f" ({self.note})" if self.note else ""
                    raise StreamError(f"{self.config.shown}: there is not one image in it that can be read{why}")
                self._info = self._settled(self._describe(self._first))
            except BaseException:
                self._finish()
                raise
        return self._info

    def _settled(self, info: SourceInfo) -> SourceInfo:
        """What there is to say after --speed and --times."""
        speed, times = self.config.speed, self.config.times
        fps, start = info.fps and info.fps * speed, info.start
        if times is not None:
            known = [t for t in times if t is not None]
            fps = (len(known) - 1) / (known[-1] - known[0]) if len(known) > 1 else fps
            start = None
        elif start is not None:
            start = replace(start, t=start.t / speed, habit=start.habit / speed)
        self._shots = self._timed(self._first, self._shots)
        self._first = next(self._shots, None)
        if self._first is None:
            raise StreamError(f"{self.config.shown}: --times has no time for any of its frames")
        return replace(info, fps=fps, start=start)

    def _timed(self, first: Shot | None, shots: Iterator[Shot]) -> Iterator[Shot]:
        """The images at their true times."""
        times, left = self.config.times, 0
        try:
            while (shot := first or next(shots, None)) is not None:
                first, t = None, shot.t / self.config.speed
                if times is not None:
                    given = times[shot.index] if shot.index < len(times) else None
                    left += given is None
                    if given is None:
                        continue
                    t = given
                yield Shot(shot.index, t, shot.image)
        finally:
            if isinstance(shots, Generator):
                shots.close()
        if left:
            said = f"{self.config.shown}: {left} of its frames have no time in --times and are left out"
            self.note = f"{self.note}; {said}" if self.note else said

    def read(self) -> Frame | None:
        """See ``Source.read``."""
        if self._info is None:
            raise RuntimeError(f"source {self.name!r} was read before it was opened")
        with self._reading:
            shot = self._next()
            if shot is None:
                self._finish()
                return None
            height, width = shot.image.shape[:2]
            if (width, height) != self._info.size:
                self._finish()
                old = "{}x{}".format(*self._info.size)
                raise StreamError(
                    f"{self.config.shown}: its images change from {old} to {width}x{height} at {shot.t:.2f} s; "
                    "split it there, a calibration holds for one size"
                )
            self._last_new = time.monotonic()
            self._rate.add(self._last_new)
            self._read += 1
            image = shot.image
            image.flags.writeable = False
            return self._frame_of(Shot(shot.index, shot.t, image))

    def _frame_of(self, shot: Shot) -> Frame:
        """What is handed out of an image."""
        return Frame(self.name, shot.index, shot.t, shot.image)

    def _next(self) -> Shot | None:
        """The next image, waiting for its time and passing over late ones when it is played in real time."""
        for skipped in range(_MOST_SKIPPED + 1):
            if self._closed.is_set():
                return None
            shot, self._first = self._first or next(self._shots, None), None
            if shot is None or not self.config.realtime:
                return shot
            now = time.monotonic()
            if self._start is None:
                self._start = now - shot.t
            late = now - (self._start + shot.t)
            fps = (self._info.fps if self._info else None) or 30.0
            if late > _LATE_FRAMES / fps and skipped < _MOST_SKIPPED:
                self._dropped += 1
                continue
            return None if late < 0 and self._closed.wait(-late) else shot
        return None

    def status(self) -> SourceStatus:
        """See ``Source.status``."""
        age = None if not self.live or self._last_new is None else time.monotonic() - self._last_new
        stalled = age is not None and age > self.config.stall_s and not self._ended
        return SourceStatus(self._read, self._dropped, self.corrupt, 0, self._rate.fps, age, stalled, self.note)

    def close(self) -> None:
        """See ``Source.close``. Waits for the image that is being read."""
        self._closed.set()
        with self._reading:
            self._finish()

    def _finish(self) -> None:
        """Release everything; the caller holds the lock."""
        self._ended = True
        self._first = None
        close = getattr(self._shots, "close", None)
        self._shots = iter(())
        if close is not None:
            close()
        self._release()
