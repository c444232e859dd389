"""The table ``clocks`` of a take, which is there where a clock of another computer was read."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from stream.recordings.rows import encode_clocks
from stream.recordings.schema import CLOCKS
from stream.recordings.segments import SegmentWriter
from stream.types import ClockReading


class ClockTable:
    """Readings of clocks, to disk. ``add``, ``flush`` and ``close`` belong to one thread at a time.

    Args:
        take: the folder.
        schema: of the table.
        limits: of a segment.
    """

    def __init__(self, take: Path, schema: pa.Schema, **limits: Any) -> None:
        self._take, self._schema, self._limits = take, schema, limits
        self._waiting: list[ClockReading] = []
        self._writer: SegmentWriter | None = None

    def add(self, reading: ClockReading) -> None:
        """Keep one until it is flushed."""
        self._waiting.append(reading)

    @property
    def waits(self) -> bool:
        """Whether something is to be flushed."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Write what waits. Raises OSError where the disk does not take it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if self._writer is None:
            self._writer = SegmentWriter(self._take, CLOCKS, self._schema, **self._limits)
        self._writer.append(encode_clocks(self._schema, waiting))

    def sync(self) -> None:
        """Wait until what was flushed is on the disk itself; any thread."""
        if self._writer is not None:
            self._writer.sync()

    def close(self) -> None:
        """End it. Raises OSError where the disk does not take it."""
        if self._writer is not None:
            self._writer.close()

    @property
    def bytes(self) -> int:
        """Written so far."""
        return 0 if self._writer is None else self._writer.bytes
