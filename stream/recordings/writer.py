"""The recorder: every estimate, with all its hypotheses, to disk, so that at most one second is ever lost."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.clock_table import ClockTable
from stream.recordings.rows import encode_estimates, encode_events, encode_moments
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import CLOCKS, ESTIMATES, EVENTS, MOMENTS, schemas
from stream.recordings.segments import SegmentWriter
from stream.types import ClockReading, Estimate, Event, SinkStoppedError, StreamError
from stream.words import number_of

# Rows are batched for this long, so that a kill loses less than a second even when writing takes a while.
FLUSH_S = 0.4
SYNC_S = 0.8
# 16 cameras at 60 fps and 2.5 kB a row: 256 moments are 10 MB.
MAX_FRAME_SETS = 256


class Recorder:
    """Writes a take. See ``stream.sinks`` for which thread calls what.

    A thread of its own writes out what has waited ``FLUSH_S`` also when no estimate comes any more (a paused or
    stalled source), and waits for the disk (fsync), which on a slow one may take longer than a frame.
    """

    policy: Policy = "every"
    wants_images = False
    essential = True

    def __init__(self, take: Path, *, max_bytes: int = 1 << 28, max_s: float = 600.0) -> None:
        """Prepare to record.

        Args:
            take: the empty folder of the take, from ``new_take``.
            max_bytes: size at which a new segment begins.
            max_s: age at which a new segment begins, seconds.
        """
        self.take = take
        self.frame_sets = 0
        """Moments on disk so far."""
        self.missed = 0
        """Moments that never came here because the recorder had fallen behind, in all gaps."""
        self.gaps = 0
        """Runs of missed moments."""
        self._limits = {"max_bytes": max_bytes, "max_s": max_s}
        self._writers: tuple[SegmentWriter, ...] = ()
        self._clocks: ClockTable | None = None
        self._assumed: dict[str, bool] = {}
        self._pending: list[tuple[Estimate, int]] = []
        self._events: list[Event] = []
        self._noted = 0
        self._oldest = 0.0
        self._next: int | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="recorder-flush", daemon=True)
        self._fault: Exception | None = None
        self._told = False

    def open(self, run_info: RunInfo) -> None:
        """Create the first segments, so that even an empty take has its header.

        Raises:
            StreamError: if they cannot be created.
        """
        self._assumed = {camera.name: camera.fov_assumed for camera in run_info.cameras}
        columns = schemas(run_info)
        writers: list[SegmentWriter] = []
        try:
            for stream in (ESTIMATES, MOMENTS, EVENTS):
                writers.append(SegmentWriter(self.take, stream, columns[stream], **self._limits))
        except OSError as error:
            for writer in writers:
                writer.close()
            raise StreamError(f"cannot record to {self.take}: {error.strerror or error}") from None
        self._writers = tuple(writers)
        self._clocks = ClockTable(self.take, columns[CLOCKS], **self._limits)
        self._keeper.start()

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Take one moment; it is on disk within a second.

        Raises:
            SinkStoppedError: if the disk is full or gone. Everything written up to then stays readable.
        """
        with self._lock:
            self._raise_fault()
            missed = 0 if self._next is None else max(estimate.index - self._next, 0)
            self._next = estimate.index + 1
            self.gaps += missed > 0
            self.missed += missed
            self._begin_waiting()
            self._pending.append((estimate, missed))
            if len(self._pending) >= MAX_FRAME_SETS or time.monotonic() - self._oldest >= FLUSH_S:
                self._flush()
            self._raise_fault()

    def event(self, event: Event) -> None:
        """Take an event; it is on disk within a second.

        Raises:
            SinkStoppedError: as ``write``.
        """
        with self._lock:
            self._raise_fault()
            self._begin_waiting()
            self._events.append(event)

    def clock(self, reading: ClockReading) -> None:
        """Take a reading of another computer's clock; it is on disk within a second.

        Raises:
            SinkStoppedError: as ``write``.
        """
        with self._lock:
            self._raise_fault()
            self._begin_waiting()
            if self._clocks is not None:
                self._clocks.add(reading)

    def close(self) -> str:
        """Write what is left and end the files.

        Raises:
            SinkStoppedError: if that fails and ``write`` has not said so before.
        """
        self._stop.set()
        self._keeper.join()
        with self._lock:
            self._flush()
            for writer in self._all:
                try:
                    writer.close()
                except OSError as error:
                    self._fail(error)
            if not self._told:
                self._raise_fault()
        if not self.frame_sets and not self._noted and self._fault is None:
            self._remove()
            return "recording: no moment came to be recorded, and no take is kept"
        gaps = f", {self.missed} missed in {number_of(self.gaps, 'gap')}" if self.gaps else ""
        size = sum(writer.bytes for writer in self._all) / 1e6
        return f"recording: {self.take} ({number_of(self.frame_sets, 'moment')}{gaps}, {size:.1f} MB)"

    @property
    def _all(self) -> tuple[SegmentWriter | ClockTable, ...]:
        return (*self._writers, *([] if self._clocks is None else [self._clocks]))

    @property
    def _waits(self) -> bool:
        """Whether something waits for the disk; the lock is held."""
        return bool(self._pending or self._events or (self._clocks is not None and self._clocks.waits))

    def _remove(self) -> None:
        """Leave nothing of a take in which there is nothing: beside other files it would seem to be one."""
        with suppress(OSError):
            stems = [*(writer.stem for writer in self._writers), CLOCKS]
            for path in [path for stem in stems for path in self.take.glob(f"{stem}-*")]:
                path.unlink(missing_ok=True)
            self.take.rmdir()  # unless something else is in it, such as images

    def _begin_waiting(self) -> None:
        """Something is about to wait for the disk; the lock is held."""
        if not self._waits:
            self._oldest = time.monotonic()

    def _keep(self) -> None:
        """The thread that keeps the promise of one second."""
        synced = time.monotonic()
        try:
            while not self._stop.wait(FLUSH_S / 2):
                with self._lock:
                    if self._waits and time.monotonic() - self._oldest >= FLUSH_S:
                        self._flush()
                if time.monotonic() - synced >= SYNC_S:
                    for writer in self._all:
                        writer.sync()
                    synced = time.monotonic()
        except OSError as error:
            with self._lock:
                self._fail(error)
        except Exception as error:  # raised again by the next write, in the sink's own thread
            with self._lock:
                self._fault = self._fault or error

    def _flush(self) -> None:
        """Write the pending rows as one batch a stream; the lock is held."""
        if self._fault is not None:
            return
        estimates, missed = [e for e, _ in self._pending], [m for _, m in self._pending]
        said, self._events = self._events, []
        self._pending.clear()
        views, frame_sets, events = self._writers
        try:
            if self._clocks is not None:
                self._clocks.flush()
            if said:
                events.append(encode_events(events.schema, said))
                self._noted += len(said)
            if estimates:
                views.append(encode_estimates(views.schema, estimates, self._assumed))
                frame_sets.append(encode_moments(frame_sets.schema, estimates, missed))
        except OSError as error:
            self._fail(error)
        else:
            self.frame_sets += len(estimates)

    def _fail(self, error: OSError) -> None:
        kept = f"{number_of(self.frame_sets, 'moment')} in {self.take} {'is' if self.frame_sets == 1 else 'are'}"
        self._fault = self._fault or SinkStoppedError(
            f"recording stopped: {error.strerror or error}; the {kept} readable, nothing more is being recorded:"
            " free some space and record again"
        )

    def _raise_fault(self) -> None:
        if self._fault is not None:
            self._told = True
            raise self._fault
