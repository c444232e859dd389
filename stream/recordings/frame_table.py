"""The table ``frames`` of a take, written by several threads: on disk within half a second, whoever goes on."""

import math
import threading
from pathlib import Path

import pyarrow as pa

from stream.recordings.rows import encode_frames
from stream.recordings.schema import FRAMES
from stream.recordings.segments import SegmentWriter


class FrameTable:
    """Rows of frames from any thread; ``flush`` and ``close`` belong to one.

    Args:
        take: the folder.
        schema: of the table.

    Raises:
        OSError: if it cannot be created.
    """

    def __init__(self, take: Path, schema: pa.Schema) -> None:
        self._writer = SegmentWriter(take, FRAMES, schema)
        self._rows: list[tuple[object, ...]] = []
        self._lock = threading.Lock()

    def add(
        self, camera: str, frame_index: int, time: float, file: str, number: int, video_time: float,
        arrival: float = math.nan, device_time: float = math.nan,
    ) -> None:  # fmt: skip
        """One row, in the order of the columns."""
        with self._lock:
            self._rows.append((camera, frame_index, time, file, number, video_time, arrival, device_time))

    def flush(self) -> None:
        """Write what waits. Raises OSError where the disk does not take it."""
        with self._lock:
            rows, self._rows = self._rows, []
        if rows:
            self._writer.append(encode_frames(self._writer.schema, rows))

    def sync(self) -> None:
        """Wait until what was flushed is on the disk itself."""
        self._writer.sync()

    def close(self) -> None:
        """Write what waits, and the end."""
        self.flush()
        self._writer.close()

    @property
    def bytes(self) -> int:
        """Written so far."""
        return self._writer.bytes
