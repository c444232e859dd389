"""A capture: every frame of every camera into a take, with the times at which it was taken and came."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stream.packed import Tap
from stream.recordings.camera_writer import CameraWriter, Progress
from stream.recordings.clock_table import ClockTable
from stream.recordings.frame_table import FrameTable
from stream.recordings.losses import Loss, loss_event
from stream.recordings.rows import encode_events
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import CLOCKS, EVENTS, FRAMES, schemas
from stream.recordings.segments import SegmentWriter
from stream.recordings.takes import video_stem
from stream.recordings.video_files import FAULTS
from stream.recordings.writer import FLUSH_S, SYNC_S
from stream.types import ClockReading, Event, StreamError

_TOLD_S: Final = 1.0
"""Losses are noted in the events this often."""


class CaptureWriter:
    """Writes the take of a capture.

    Args:
        names: of the cameras, in their order.
        codec: what images are coded with that a camera does not code: a key of ``ENCODERS``.
        queue_bytes: so much of one camera may wait for the disk.
    """

    def __init__(self, names: tuple[str, ...], codec: str = "h264", queue_bytes: int | None = None) -> None:
        limit = {} if queue_bytes is None else {"queue_bytes": queue_bytes}
        self.cameras = {name: CameraWriter(name, codec, **limit) for name in names}
        self.fault = ""
        """Why nothing more is written; empty while all is well."""
        self._events: list[Event] = []
        self._readings: list[ClockReading] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._table: FrameTable | None = None
        self._said: SegmentWriter | None = None
        self._clocks: ClockTable | None = None
        self._told: dict[str, Mapping[Loss, int]] = {}
        self._noted = 0.0
        # Two threads: a disk that others keep busy may take seconds to sync, and rows must be written meanwhile.
        self._keepers = [
            threading.Thread(target=self._keep, args=work, name=f"capture-{work[0].__name__.strip('_')}", daemon=True)
            for work in ((self._flush, FLUSH_S), (self._sync, SYNC_S))
        ]
        self._take = Path()

    def tap(self, camera: str) -> Tap:
        """What is to be handed every frame of a camera."""
        return self.cameras[camera].put

    def expect(self, start: float, until: float = float("inf")) -> None:
        """Keep what is taken from ``start`` on and before ``until``, monotonic seconds, also before ``begin``."""
        for camera in self.cameras.values():
            camera.expect(start, until)

    def begin(self, take: Path, run_info: RunInfo) -> None:
        """Create the tables, and write what is expected.

        Raises:
            StreamError: if they cannot be created.
        """
        columns = schemas(run_info)
        self._take = take
        try:
            self._said = SegmentWriter(take, EVENTS, columns[EVENTS])
            self._table = FrameTable(take, columns[FRAMES])
            self._clocks = ClockTable(take, columns[CLOCKS])
        except OSError as error:
            raise StreamError(f"cannot record to {take}: {error.strerror or error}") from None
        rate = run_info.fps or 30.0
        for number, (name, camera) in enumerate(self.cameras.items()):
            camera.begin(take, video_stem(number, name), self._table, rate, self._failed)
        for keeper in self._keepers:
            keeper.start()

    def event(self, event: Event) -> None:
        """Take an event; it is on disk within a second."""
        with self._lock:
            self._events.append(event)

    def clock(self, reading: ClockReading) -> None:
        """Take a reading of another computer's clock; it is on disk within a second."""
        with self._lock:
            self._readings.append(reading)

    @property
    def progress(self) -> dict[str, Progress]:
        """How each camera goes on."""
        return {name: camera.progress for name, camera in self.cameras.items()}

    def close(self) -> None:
        """Write what waits and end the files; then ``fault`` says whether all of it could be."""
        for camera in self.cameras.values():
            camera.close()
        self._stop.set()
        for keeper in self._keepers:
            if keeper.ident is not None:
                keeper.join()
        try:
            self._noted = 0.0
            self._flush()
            for writer in (self._table, self._said, self._clocks):
                if writer is not None:
                    writer.close()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.fault = self.fault or (
            f"capture stopped: {getattr(error, 'strerror', None) or error}; what is in {self._take} up to then is"
            " readable: free some space and capture again"
        )

    def _keep(self, work: Callable[[], None], every_s: float) -> None:
        """A thread that keeps the promise of one second."""
        while not self._stop.wait(every_s):
            try:
                work()
            except FAULTS as error:
                self._failed(error)
                return

    def _flush(self) -> None:
        if time.monotonic() - self._noted >= _TOLD_S:
            self._noted = time.monotonic()
            self._note_losses()
        with self._lock:
            events, self._events = self._events, []
            readings, self._readings = self._readings, []
        if self._table is not None and self._said is not None:
            self._table.flush()
            if events:
                self._said.append(encode_events(self._said.schema, events))
        if self._clocks is not None:
            for reading in readings:
                self._clocks.add(reading)
            self._clocks.flush()

    def _sync(self) -> None:
        for writer in (self._table, self._said, self._clocks, *self.cameras.values()):
            if writer is not None:
                # A video that ends at this moment was closed by its own thread.
                with contextlib.suppress(FileNotFoundError):
                    writer.sync()

    def _note_losses(self) -> None:
        for name, progress in self.progress.items():
            if dict(progress.lost) != dict(self._told.get(name, {})):
                self._told[name] = progress.lost
                self.event(loss_event(time.monotonic(), name, progress.lost))
