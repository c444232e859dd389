"""One camera of a capture: every frame that comes is written by a thread of its own, or counted as lost."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.packed import Captured, Packed
from stream.recordings.frame_table import FrameTable
from stream.recordings.gaps import GapCounter
from stream.recordings.losses import Loss
from stream.recordings.video_files import FAULTS, CopiedFile, EncodedFile, VideoFile

QUEUE_BYTES: Final = 96 << 20
"""So much of one camera may wait for the disk: 3 s of 720p images that are not coded, minutes of those that are."""
_BATCH_S: Final = 0.25
"""So long a frame may wait to be written with others: a thread that wakes up costs more than what it writes then."""
_FULL: Final = 1 / 8
"""Of the bytes that may wait: so many are written at once."""
FILE_S: Final = 600.0
"""Age at which a new video begins, seconds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How the capture of one camera goes on."""

    frames: int
    """Written."""
    bytes: int
    """Of its videos on the disk."""
    lost: Mapping[Loss, int]
    """Frames that are not there, by reason."""
    waiting: int
    """Bytes that wait for the disk."""
    first: float | None
    """``Captured.t`` of the first one, None before there is one."""
    last: float | None
    """That of the newest."""
    came: float
    """Monotonic seconds at which the newest came."""
    sizes: tuple[tuple[int, int], ...]
    """Of the images, pixels: more than one where the camera changed it."""
    seen_bytes: int
    """Bytes of all that came since it was made, also before the capture began."""
    seen_frames: int
    """Frames that came since then."""


class CameraWriter:
    """Takes the frames of one camera, from before the capture begins.

    Args:
        name: of the camera.
        queue_bytes: so much may wait to be written.
        codec: what images are coded with that the camera does not code.
    """

    def __init__(self, name: str, codec: str = "h264", queue_bytes: int = QUEUE_BYTES) -> None:
        self.name, self.codec = name, codec
        self._limit = queue_bytes
        # The lock itself where nobody is woken: a condition is entered by a call in Python.
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._waiting: deque[tuple[Captured, bool]] = deque()
        """Frames, and whether they get a row."""
        self._waiting_bytes = 0
        self._before: list[Captured] = []
        """What came before the start, from the last one on that can be decoded by itself."""
        self._start: float | None = None
        self._cut = False
        """Whether what comes cannot be decoded, because something before it was lost."""
        self._gaps = GapCounter()
        self._lost: Counter[Loss] = Counter()
        self._frames = self._ended_bytes = self._seen_bytes = self._seen_frames = 0
        self._until = float("inf")
        self._over = False
        """Whether a frame came that is after the end."""
        self._wanted: float | None = None
        """Time of the last frame from the start on, whether it was written or not."""
        self._newest: Captured | None = None
        self._sizes: dict[tuple[int, int], None] = {}
        self._first: float | None = None
        self._last: float | None = None
        self._came = time.monotonic()
        self._closing = False
        self._file: VideoFile | None = None
        self._numbers = 0
        self._folder, self._stem, self._rate, self._zero = Path(), "", 30.0, 0.0
        self._table: FrameTable | None = None
        self._fault: Callable[[Exception], None] = lambda error: None
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=f"write-{name}", daemon=True)

    # the camera's thread

    def put(self, frame: Captured) -> None:
        """Take the next frame; never waits."""
        with self._lock:
            self._came = frame.arrival
            self._seen_bytes += frame.bytes
            self._seen_frames += 1
            self._newest = frame
            if self._closing:
                return
            if self._over:
                # No more is wanted, but what comes tells whether what was late had only been held up.
                self._gaps.add(frame.arrival, frame.device_t, 0.0)
                return
            if self._start is None or frame.t < self._start:
                self._gaps.add(frame.arrival, frame.device_t)
                self._keep(frame)
                self._gaps.restart()
                return
            # Of what is missing before the first frame and after the last, only what is between start and end counts.
            since = self._start if self._wanted is None else self._wanted
            self._over = frame.t >= self._until
            self._gaps.add(frame.arrival, frame.device_t, min(frame.t, self._until) - since)
            self._wanted = frame.t
            if self._over:
                return
            if self._before:
                before, self._before = self._before, []
                for earlier in before if not _key(frame) else ():
                    self._queue(earlier, False)
            self._queue(frame, True)

    def _keep(self, frame: Captured) -> None:
        """Keep a frame from before the start for as long as others may need it to be decoded."""
        packed = frame.content
        if not isinstance(packed, Packed) or packed.coding.intra:
            return
        if packed.key or sum(f.bytes for f in self._before) > self._limit:
            self._before = []
        if packed.key or self._before:
            self._before.append(frame)

    def _queue(self, frame: Captured, counted: bool) -> None:
        self._cut = self._cut and not _key(frame)
        if self._failed:
            self._lost["disk"] += counted
        elif self._cut or self._waiting_bytes + frame.bytes > self._limit:
            self._cut = True
            self._lost["queue"] += counted
        else:
            self._waiting.append((frame, counted))
            self._waiting_bytes += frame.bytes
            if self._waiting_bytes > _FULL * self._limit:
                self._change.notify()

    # from any thread

    def expect(self, start: float, until: float) -> None:
        """Keep every frame that is taken from ``start`` on, the zero of all videos, and before ``until``."""
        with self._change:
            self._start, self._zero, self._until = start, start, until

    def begin(
        self, folder: Path, stem: str, table: FrameTable, rate: float, fault: Callable[[Exception], None]
    ) -> None:
        """Write what is kept, once it is known from when on.

        Args:
            folder: the take.
            stem: how the names of its videos begin.
            table: gets a row a frame.
            rate: frames a second, about.
            fault: told when the disk does not take it any more.
        """
        self._folder, self._stem, self._table, self._rate, self._fault = folder, stem, table, rate, fault
        self._thread.start()

    @property
    def progress(self) -> Progress:
        """How it goes on."""
        with self._change:
            lost = Counter(self._lost)
            lost["device gap"] += self._gaps.missing
            written = self._ended_bytes + _size(self._file)
            return Progress(
                self._frames, written, dict(+lost), self._waiting_bytes, self._first, self._last, self._came,
                tuple(self._sizes), self._seen_bytes, self._seen_frames,
            )  # fmt: skip

    @property
    def newest(self) -> Captured | None:
        """What came last, written or not."""
        return self._newest

    def sync(self) -> None:
        """Wait until what was written is on the disk itself."""
        file = self._file
        if file is not None:
            file.sync()

    def close(self) -> None:
        """Write what waits, and end the video. What comes afterwards is not wanted."""
        with self._change:
            if not self._closing and self._start is not None:
                self._gaps.end(min(time.monotonic(), self._until), self._start)
            self._closing = True
            self._change.notify()
        if self._thread.ident is not None:
            self._thread.join()

    # the writing thread

    def _run(self) -> None:
        while batch := self._batch():
            for frame, counted in batch:
                try:
                    if self._failed:
                        self._count("disk", counted)
                    else:
                        self._write(frame, counted)
                except FAULTS as error:
                    self._fail(error, counted)
                with self._lock:
                    self._waiting_bytes -= frame.bytes
        if self._file is not None:
            try:
                self._end(self._file)
            except FAULTS as error:
                self._fail(error, False)

    def _batch(self) -> list[tuple[Captured, bool]]:
        """What waits, several frames at once: to wake up for each costs more than to write it. Empty at the end."""
        with self._change:
            while not self._waiting:
                if self._closing:
                    return []
                self._change.wait_for(self._urgent, _BATCH_S)
            batch = list(self._waiting)
            self._waiting.clear()
            return batch

    def _urgent(self) -> bool:
        return self._closing or self._waiting_bytes > _FULL * self._limit

    def _count(self, reason: Loss, counted: bool) -> None:
        with self._lock:
            self._lost[reason] += counted

    def _write(self, frame: Captured, counted: bool) -> None:
        t = frame.t - self._zero
        file = self._file_for(frame)
        number = file.count
        if isinstance(frame.content, Packed):
            if not isinstance(file, CopiedFile):
                raise TypeError("a coded frame goes into a file that is copied")
            video_time = file.write(frame.content, t if counted else min(t, 0.0))
        else:
            if not isinstance(file, EncodedFile):
                raise TypeError("an image goes into a file that is encoded")
            video_time = file.write(frame.content, t)
        if not counted or self._table is None:
            return
        device_t = float("nan") if frame.device_t is None else frame.device_t
        self._table.add(frame.camera, frame.index, frame.t, file.path.name, number, video_time, frame.arrival, device_t)
        with self._lock:
            self._frames += 1
            self._first = frame.t if self._first is None else self._first
            self._last = frame.t
            self._sizes[frame.size] = None

    def _file_for(self, frame: Captured) -> VideoFile:
        packed, file = frame.content, self._file
        if file is not None:
            same = isinstance(packed, Packed) == isinstance(file, CopiedFile) and file.size == frame.size
            if isinstance(packed, Packed) and isinstance(file, CopiedFile):
                same = same and file.coding is packed.coding
            if same and not (time.monotonic() - file.began >= FILE_S and _key(frame)):
                return file
            self._end(file)
        path = self._folder / f"{self._stem}-{self._numbers:05d}.mkv"
        self._numbers += 1
        if isinstance(packed, Packed):
            self._file = file = CopiedFile(path, packed.coding)
        else:
            self._file = file = EncodedFile(path, frame.size, self._rate, self.codec)
        return file

    def _end(self, file: VideoFile) -> None:
        file.close()
        with self._change:
            self._file = None
            self._ended_bytes += _size(file)

    def _fail(self, error: Exception, counted: bool) -> None:
        """The disk is full or gone: what waits is lost, what was written stays."""
        file = self._file
        if file is not None:
            file.abandon()
        with self._change:
            self._file = None
            self._ended_bytes += _size(file)
            self._failed = True
            self._lost["disk"] += counted + sum(wanted for _, wanted in self._waiting)
            self._waiting_bytes -= sum(frame.bytes for frame, _ in self._waiting)
            self._waiting.clear()
        self._fault(error)


def _size(file: VideoFile | None) -> int:
    try:
        return 0 if file is None else file.path.stat().st_size
    except OSError:
        return 0


def _key(frame: Captured) -> bool:
    return not isinstance(frame.content, Packed) or frame.content.key
