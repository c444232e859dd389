"""A capture that is told when: every take that is asked for has every frame from its start to its end."""

import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream.config import CaptureConfig
from stream.live.capture import DISK_S, CaptureRun
from stream.live.timed_start import LOOK_S, Told
from stream.packed import Captured, Tap
from stream.recordings.capture import CaptureWriter
from stream.recordings.captured import ENDED
from stream.recordings.takes import new_take
from stream.types import Event, Note, StreamError


def capture_of(config: CaptureConfig, names: tuple[str, ...], seen: str, told: Told) -> CaptureRun:
    """The capture that is wanted, with what ``CaptureRun`` takes."""
    kind = DirectedCapture if config.directed else CaptureRun
    return kind(config, names, seen, told)


class DirectedCapture(CaptureRun):
    """A capture that begins and ends takes as ``record`` says, any number of them; the run goes on between them.

    Beside the writer of the take there is always one that waits for the next: it keeps what that needs to be decoded.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._writers: tuple[CaptureWriter | None, CaptureWriter] = (None, self.writer)
        """That of the take, None where none is being written, and the one of the next."""
        self._change = threading.Lock()
        self._ending: list[threading.Thread] = []
        self._lines: list[str] = []
        self._looked = 0.0

    def _tap_of(self, camera: str) -> Tap:
        def tap(frame: Captured) -> None:
            writing, waiting = self._writers
            if writing is not None:
                writing.cameras[camera].put(frame)
            waiting.cameras[camera].put(frame)

        return tap

    def record(self, on: bool | None = None) -> None:
        """Begin a take (True), end the one that is being written (False), or the other of the two; any thread.

        Raises:
            StreamError: if it cannot be begun; then it leaves no folder.
        """
        with self._change:
            writing = self._writers[0]
            if on is None:
                on = writing is None
            if on and writing is None:
                self._begin_take()
            elif not on and writing is not None:
                self._end_take(writing)

    def recording(self) -> tuple[bool, Path | None]:
        """See ``CaptureRun.recording``."""
        return self._writers[0] is not None, self.take

    def keep(self, note: Note) -> None:
        """See ``CaptureRun.keep``; what is between two takes is in neither."""
        if self._writers[0] is not None:
            super().keep(note)

    def close(self) -> None:
        """See ``CaptureRun.close``."""
        self._control.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self.record(False)
        for thread in self._ending:
            thread.join()

    def line(self) -> str:
        """See ``CaptureRun.line``."""
        return super().line() if self._writers[0] is not None else "not capturing"

    def summary(self) -> list[str]:
        """See ``CaptureRun.summary``."""
        return self._lines or ["capture: none was begun"]

    def _begin_take(self) -> None:
        info = self._run_info
        if info is None:
            raise RuntimeError("a capture was started that is not ready")
        if self._free(self.config.folder) <= self.config.reserve_bytes + self.config.least_s * self._need:
            raise StreamError(f"{self.config.folder} has no room for a minute of these cameras; free some space")
        take = new_take(self.config.folder)
        start = time.monotonic()
        info = replace(info, start_utc=datetime.now(UTC), start_monotonic=start)
        writer = self._writers[1]
        writer.expect(start)
        # At once: no frame may go to one writer twice.
        self._writers = writer, self._another()
        try:
            writer.begin(take, info)
        except StreamError:
            self._writers = None, self._writers[1]
            with suppress(OSError):
                take.rmdir()
            raise
        self.take, self.writer, self._start, self._until = take, writer, start, float("inf")
        self._written.clear()
        writer.event(Event(start, "capture", "start"))

    def _another(self) -> CaptureWriter:
        return CaptureWriter(tuple(self.writer.cameras), self.config.codec)

    def _end_take(self, writer: CaptureWriter) -> None:
        self._writers = None, self._writers[1]
        writer.event(Event(time.monotonic(), *ENDED))
        thread = threading.Thread(target=self._end, args=(writer, self.take), name="capture-end")
        self._ending = [*(one for one in self._ending if one.is_alive()), thread]
        thread.start()

    def _end(self, writer: CaptureWriter, take: Path | None) -> None:
        writer.close()
        self.problem = self.problem or writer.fault
        self._lines += self._summary_of(writer, take)

    def _full(self) -> None:
        self.record(False)

    def _look_on(self) -> None:
        for source in self._tapped:
            source.look_after()
        writing = self._writers[0]
        if writing is None:
            return
        if writing.fault:
            self.record(False)
        elif (now := time.monotonic()) - self._looked >= DISK_S:
            self._looked = now
            self._look_at_disk(now)

    def _set_span(self) -> None:
        """Each take has its own."""

    def _follow(self) -> None:
        while not self._control.stopping:
            self._look_on()
            time.sleep(LOOK_S)
