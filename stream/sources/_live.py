"""What cameras and network streams share: a thread that drains the device, a slot for the newest frame, reopening."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol

from calibration.arrays import Image
from stream.channel import Channel, Closed
from stream.config import SourceConfig
from stream.packed import EMPTY, Captured, Packed, Tap, UnseenFrame
from stream.sources._clock import RateMeter
from stream.sources._source import SourceInfo, SourceStatus
from stream.sources._unpack import Follower, Unpacker
from stream.types import Frame, StreamError

_HANGS: Final = 2.0
"""A connection that has given nothing for so many times ``stall_s`` hangs."""
_MOST_HANGING: Final = 3
Seen = Literal["all", "keys", "none"]


class Capture(NamedTuple):
    """What a device gave, before it has a name and a number."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    t: float
    """``Frame.t``, seconds."""
    image: Image | None
    """(H, W, 3) uint8 BGR, or None where there is none to hand out."""
    lost: Literal["", "corrupt", "old", "same"] = ""
    """Why there is none: damaged, old when it came, or to the last bit the one before. Empty where no frame was lost,
    only time passed.
    """
    packed: Packed | None = None
    """The coded image in its place, of a device whose images are decoded when they are wanted."""
    arrival: float | None = None
    """Monotonic seconds at which it came; None where that is ``t``."""
    device_t: float | None = None
    """Seconds by the clock of the device, None where it has none."""


class Connection(Protocol):
    """A device while it is open. Made, used and closed in the drain thread."""

    @property
    def info(self) -> SourceInfo:
        """What it gives. With ``live`` false it is a recording: it ends, and every frame of it comes."""
        ...

    def captures(self) -> Iterator[Capture]:
        """What comes, with at most a few seconds between two. It ends where a recording ends.

        Raises:
            StreamError: when a live stream is lost.
        """
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class LiveSource(ABC):
    """A source that goes on until it is closed.

    A thread of its own drains the device, so that nothing waits in anybody's buffer (a consumer of 10 frames a second
    is otherwise 10 s behind a 30 fps RTSP stream after 16 s), and so that a device that hangs in a system call stops
    neither ``status`` nor ``close``. ``read`` hands out the newest frame; those that were overtaken are counted.
    """

    kind: str
    live = True

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.name = config.name
        self._info: SourceInfo | None = None
        self._slot: Channel[tuple[float, Frame | Captured]] = Channel("latest", 1)
        """(monotonic seconds at which it came, frame or one that is not decoded yet)."""
        self._tap: Tap | None = None
        self._seen: Seen = "all"
        self._unpacker = Unpacker()
        self._bad_since: float | None = None
        """Monotonic seconds since which no image that was used could be decoded."""
        self._follower: Follower | None = None
        self._stop = threading.Event()
        self._ready = threading.Event()
        """Set when the first attempt to open it has succeeded or failed."""
        self._open_limit_s = 30.0
        """What hangs in a driver is given up then. Windows takes up to half of it to open a good camera."""
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._turn = 0
        """Number of the thread that drains the device now; those before it were left with what hung."""
        self._hanging = 0
        """Of those, how many have not come back."""
        self._heard: float | None = None
        """Monotonic seconds at which the connection gave something last, None while there is none."""
        self._rate = RateMeter()
        # Each count has one thread that writes it.
        self._index = self._refused = self._corrupt = self._reconnects = 0
        self._read = self._expired = self._damaged = self._undecoded = 0
        self._last_new: float | None = None
        self._since = 0.0
        """Monotonic seconds at which the present connection began."""
        self._note = ""
        self._same = False
        """Whether the note is that the image does not change."""
        self._other_size = float("-inf")
        """Monotonic seconds at which an image of another size came."""
        self._ended = False

    @abstractmethod
    def _connect(self) -> Connection:
        """Open the device and see one image.

        Raises:
            StreamError: if it is not there.
        """

    def tap(self, tap: Tap, seen: "Seen") -> None:
        """Hand out every frame as it comes, before it is decoded, besides what ``read`` gives; before it is opened.

        Args:
            tap: is handed them, in the thread that reads the device.
            seen: which frames ``read`` gives the newest of: all, those that can be decoded by themselves, or none.
        """
        self._tap, self._seen = tap, seen

    def open(self) -> SourceInfo:
        """See ``Source.open``."""
        if self._thread is not None:
            raise RuntimeError(f"source {self.name!r} was opened twice")
        # A daemon, because a driver that never returns must not keep the process from ending.
        self._start_draining()
        if not self._ready.wait(self._open_limit_s):
            self.close()
            raise StreamError(f"{self.config.shown}: hangs; it did not open in {self._open_limit_s:g} s")
        if self._failure is not None:
            raise self._failure
        if self._info is None:
            raise StreamError(f"{self.config.shown}: closed before it was open")
        return self._info

    def read(self) -> Frame | None:
        """See ``Source.read``."""
        while (frame := self.read_unseen()) is not None:
            if not isinstance(frame, UnseenFrame):
                return frame
            if (seen := frame.seen()) is not None:
                return seen
            self._read -= 1
        return None

    def read_unseen(self) -> Frame | None:
        """As ``read``, but an image that can be decoded by itself is decoded when it is used: an ``UnseenFrame``."""
        if self._info is None:
            raise RuntimeError(f"source {self.name!r} was read before it was opened")
        while True:
            try:
                came, frame = self._slot.get()
            except Closed:
                if self._failure is not None and not self._stop.is_set():
                    raise self._failure from None
                return None
            if self._stop.is_set():
                return None
            if self.live and time.monotonic() - came > self.config.stall_s:
                self._expired += 1  # it waited for its reader: a camera that died meanwhile must not look alive
                continue
            self._read += 1
            if isinstance(frame, Captured):
                return UnseenFrame(self.name, frame.index, frame.t, EMPTY, partial(self._look, frame))
            return frame

    def _look(self, frame: Captured) -> Image | None:
        """Decode an image; in the thread that uses it."""
        image = self._unpacker.image(frame.content) if isinstance(frame.content, Packed) else frame.content
        if image is None:
            self._damaged += 1
            self._bad_since = self._bad_since or time.monotonic()
        else:
            self._bad_since = None
        return image

    def status(self) -> SourceStatus:
        """See ``Source.status``."""
        age = None if not self.live or self._last_new is None else time.monotonic() - self._last_new
        stalled = age is not None and age > self.config.stall_s and not self._ended and not self._stop.is_set()
        note = self._note or (f"{self.config.shown}: no new frame for {age:.0f} s" if stalled else "")
        dropped = self._refused + self._expired + self._slot.dropped
        if self._follower is not None:
            dropped += self._follower.passed_over
        corrupt = self._corrupt + self._damaged + self._undecoded
        return SourceStatus(self._read, dropped, corrupt, self._reconnects, self._rate.fps, age, stalled, note)

    def close(self) -> None:
        """See ``Source.close``. A device that hangs is left to its thread, which releases it when it comes back."""
        self._stop.set()
        self._slot.close()
        self._ready.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def look_after(self) -> None:
        """Leave a connection that hangs to its thread, which ends when it comes back, and open another one.

        To be called now and then by whoever captures: then nothing interrupts a read in which bytes come and never an
        image. Of those that hang no more than ``_MOST_HANGING`` are left.
        """
        heard, now = self._heard, time.monotonic()
        if heard is None or now - heard < _HANGS * self.config.stall_s or self._hanging >= _MOST_HANGING:
            return
        if not (self._stop.is_set() or self._ended):
            self._turn += 1
            self._hanging += 1
            self._heard = None
            self._note = f"{self.config.shown}: nothing that can be used for {now - heard:.0f} s; opening it again"
            self._start_draining()

    def _start_draining(self) -> None:
        self._thread = threading.Thread(target=self._drain, args=(self._turn,), name=f"drain-{self.name}", daemon=True)
        self._thread.start()

    def _drain(self, turn: int) -> None:
        """The thread: open, hand out until it is lost, wait a little longer each time, open again."""
        try:
            attempt = 0
            while not self._stop.is_set() and turn == self._turn:
                before = self._last_new
                try:
                    self._one_connection(turn)
                    break
                except StreamError as error:
                    if self._info is None or not self.live:
                        raise
                    if turn != self._turn:
                        break
                    self._note = str(error)
                attempt = 0 if self._last_new != before else attempt + 1
                self._stop.wait(self.config.retry_s[min(attempt, len(self.config.retry_s) - 1)])
        except Closed:
            pass
        except BaseException as error:  # whatever it is, the thread that reads must hear of it
            self._failure = error if turn == self._turn else self._failure
        if turn == self._turn:
            self._end()
        else:
            self._hanging -= 1

    def _end(self) -> None:
        self._ended = True
        if self._follower is not None:
            self._follower.close()
        self._slot.close()
        self._ready.set()

    def _one_connection(self, turn: int) -> None:
        """One stretch of an open device; returns when it is at its end for good."""
        connection = self._connect()
        try:
            if self._info is None:
                self.live = connection.info.live
                if not self.live:
                    self._slot = Channel("every", 2)
                self._last_new = time.monotonic()  # the connection has seen an image
                self._info = connection.info
                self._ready.set()
            else:
                self._reconnects += 1
            self._since = self._heard = time.monotonic()
            for capture in connection.captures():
                if self._stop.is_set() or turn != self._turn:
                    return
                self._take(capture, self._info)
        finally:
            if turn == self._turn:
                self._heard = None
            connection.close()

    def _take(self, capture: Capture, info: SourceInfo) -> None:
        """Hand out what came, or count why not.

        Raises:
            StreamError: if nothing new came for too long, or what comes has another size.
        """
        self._heard = now = time.monotonic()
        if capture.image is None and capture.packed is None:
            self._corrupt += capture.lost == "corrupt"
            self._refused += capture.lost == "old"
            self._index += capture.lost in ("corrupt", "old")
            if capture.lost == "same":
                self._still(info, now)
            elif self.live and now - max(self._since, self._last_new or 0.0) > self.config.stall_s:
                raise StreamError(f"{info.source}: no new frame for {self.config.stall_s:g} s; opening it again")
            return
        frame = self._captured(capture, now)
        if self._tap is not None:
            self._tap(frame)
        if capture.lost:
            self._refused += 1
            return
        if frame.size != info.size:
            self._refused += 1
            self._refuse_size("{}x{}".format(*frame.size), info, now)
            return
        if self._bad_since is not None and now - self._bad_since > self.config.stall_s and self._tap is None:
            self._bad_since = None
            raise StreamError(
                f"{info.source}: no image that can be decoded for {self.config.stall_s:g} s; opening it again"
            )
        self._last_new = now
        if self._same:
            self._same, self._note = False, ""
        self._rate.add(now)
        if now - self._other_size > self.config.stall_s:
            self._note = ""
        self._show(frame, now)

    def _captured(self, capture: Capture, now: float) -> Captured:
        content = capture.image if capture.packed is None else capture.packed
        if content is None:
            raise RuntimeError("a capture without an image has no frame")
        if not isinstance(content, Packed):
            content.flags.writeable = False
        index = self._index
        self._index += 1
        arrival = now if capture.arrival is None else capture.arrival
        return Captured(self.name, index, capture.t, arrival, capture.device_t, content)

    def _show(self, frame: Captured, now: float) -> None:
        """Hand out what ``read`` is to give."""
        packed = frame.content
        if not isinstance(packed, Packed):
            self._slot.put((now, Frame(self.name, frame.index, frame.t, packed)))
        elif self._seen == "keys" or (self._seen == "all" and packed.coding.intra):
            if packed.key:
                self._slot.put((now, frame))
        elif self._seen == "all":
            if self._follower is None:
                self._follower = Follower(self.name, self._decoded)
            self._follower.put(frame)

    def _decoded(self, frame: Captured, image: Image | None) -> None:
        """Called by the follower's thread."""
        if image is None:
            self._undecoded += 1
            return
        with suppress(Closed):
            self._slot.put((frame.arrival, Frame(self.name, frame.index, frame.t, image)))

    def _still(self, info: SourceInfo, now: float) -> None:
        """Say that the device goes on giving one image. It stays open: opened again, it would give the same."""
        since = now - max(self._since, self._last_new or 0.0)
        if since > self.config.stall_s:
            self._same = True
            self._note = (
                f"{info.source}: every image has been the same to the last bit for {since:.0f} s (a privacy shutter, a "
                "paused virtual camera, a test card?); it is used again when it moves"
            )

    def _refuse_size(self, size: str, info: SourceInfo, now: float) -> None:
        """Say that an image has another size than the first one.

        Raises:
            StreamError: if there was none of the right size for too long; opening it again may bring it back.
        """
        right = f"{info.size[0]}x{info.size[1]}"
        since, self._other_size = self._other_size, now
        if (self._last_new or 0.0) > since > float("-inf"):
            self._note = (
                f"{info.source}: its images change between {right} and {size}, and a calibration holds for one size; "
                f"those of {right} are used, make it give one size"
            )
            return
        self._note = (
            f"{info.source}: now gives {size} instead of {right}, which a calibration does not hold for; waiting for "
            "the old size (or start again)"
        )
        # A capture goes on with what comes: to open it again would lose some of it.
        if self._tap is None and now - max(self._since, self._last_new or 0.0) > self.config.stall_s:
            raise StreamError(self._note)
