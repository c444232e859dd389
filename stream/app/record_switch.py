"""The recording of a run, which can be switched on and off while it goes on: one take each time."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from calibration.errors import UserError
from stream.live.pipeline import Pipeline
from stream.live.sink_worker import ALWAYS, SinkWorker, Span
from stream.recordings.takes import new_take
from stream.sinks import Sink

_log = logging.getLogger(__name__)

TakeSinks = Sequence[tuple[str, Sink]]
"""The sinks that write one take, with their names."""


class RecordSwitch:
    """Begins and ends takes, from any thread.

    Args:
        pipeline: the run.
        folder: the takes are made in it.
        make: the sinks that write into the folder of a take.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, make: Callable[[Path], TakeSinks]) -> None:
        self._pipeline, self._folder, self._make = pipeline, folder, make
        self.changed: list[Callable[[bool, float], None]] = []
        """Told whether it goes on from now on, and from which time on, monotonic seconds. They do not wait."""
        self.problem = ""
        """Why the last take could not be begun; empty where it was."""
        self._workers: list[SinkWorker] = []
        self._takes: list[Path] = []
        self._lock = threading.Lock()

    @property
    def recording(self) -> bool:
        """Whether a take is being written; one whose recorder stopped by itself, on a full disk, is not.

        Images without their estimates are no take, so one whose images go on alone is begun anew.
        """
        needed = [worker for worker in self._workers if worker.essential]
        return any(not worker.channel.closed for worker in needed or self._workers)

    @property
    def take(self) -> Path | None:
        """The folder of the take that is being written; None where none is."""
        return self._takes[-1] if self._takes and self.recording else None

    @property
    def newest(self) -> Path | None:
        """The folder of the newest take; None before there is one."""
        return self._takes[-1] if self._takes else None

    def begin(self, span: Span = ALWAYS) -> None:
        """Begin a take.

        Args:
            span: seconds from and before which estimates are in it, by ``Estimate.t``.

        Raises:
            UserError: if it cannot be begun; then it leaves no folder.
        """
        try:
            take = new_take(self._folder)
            self._takes.append(take)
            try:
                self._workers = [self._pipeline.add(sink, name, span) for name, sink in self._make(take)]
            except UserError:
                self.close()
                raise
        except UserError as error:
            self.problem = str(error)
            raise
        self.problem = ""
        now = time.monotonic()
        self._tell(True, span[0] if span[0] > now else now)

    def begin_timed(self, start: float, until: float) -> None:
        """Begin a take of what is seen from a time on and before another; one that a user has begun goes on.

        Raises:
            UserError: if it cannot be begun.
        """
        with self._lock:
            if not self.recording:
                self.begin((start, until))

    def try_folder(self) -> None:
        """Find out whether a take can be begun later.

        Raises:
            UserError: if it cannot.
        """
        new_take(self._folder).rmdir()

    def close(self) -> None:
        """Leave no folder of a take into which nothing was written: nothing came to be recorded."""
        for take in self._takes:
            with suppress(OSError):  # not empty
                take.rmdir()
        self._takes = []

    def switch(self, on: bool | None = None) -> None:
        """Begin a new take (True), end the one that is being written (False), or the other of the two."""
        with self._lock:
            recording = self.recording
            if on and recording:
                return
            for worker in self._workers:
                self._pipeline.remove(worker)
            self._workers = []
            if recording or on is False:
                self._tell(False, time.monotonic())
                return
            try:
                self.begin()
            except UserError as error:
                _log.error(str(error))
            else:
                _log.info(f"recording into {self._takes[-1]}")

    def _tell(self, on: bool, since: float) -> None:
        for told in self.changed:
            told(on, since)
