"""Files that survive a crash: Arrow IPC stream segments, each with a journal beside it.

Arrow's *stream* format needs no footer, so after ``kill -9`` every batch that was written can be read; its *file*
format and Parquet cannot be read at all. But Arrow does not notice a flipped bit, hence the journal: one line
``offset,length,rows,crc32`` a message, the schema's first.
"""

import errno
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.ipc

from calibration.writing import special
from stream.types import StreamError

JOURNAL_HEAD = b"offset,length,rows,crc32\n"
_JOURNAL_LINE = re.compile(rb"(\d{1,18}),(\d{1,18}),(\d{1,18}),([0-9a-f]{8})")
_NAMED = 100
"""Missing segments in a row that are named one by one."""
# Ends an Arrow stream. A stream that was cut off lacks it and is read to its last whole batch.
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def _write_all(fd: int, data: bytes | memoryview) -> None:
    # A write to a disk that is filling up returns short, without an error; only the next one fails.
    rest = memoryview(data)
    while rest:
        written = os.write(fd, rest)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)


def load_arrow() -> None:
    """With its first array pyarrow loads pandas where there is one, for seconds on a busy machine: now, while nothing
    waits to be written.
    """
    pa.array([0])


class SegmentWriter:
    """Appends record batches to ``STEM-00000.arrows``, ``STEM-00001.arrows`` ... in one folder.

    ``append`` and ``close`` belong to one thread at a time; ``sync`` may be called from another.
    Every error of the disk is raised as the OSError it is, after the files were cut back to the last whole batch.
    """

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, *, max_bytes: int = 1 << 28, max_s: float = 600.0):
        self.folder, self.stem, self.schema = folder, stem, schema
        self.max_bytes, self.max_s = max_bytes, max_s
        self.rows = 0
        """Rows written so far, all segments."""
        self.bytes = 0
        """Bytes written so far, all segments."""
        self._number = self._synced = 0
        self._fd = self._journal = -1
        self._size = self._journal_size = 0
        self._began = 0.0
        load_arrow()
        self._files = threading.Lock()  # held while file descriptors change, so that sync never sees a closed one
        self._open_segment()

    def append(self, batch: pa.RecordBatch, verified: bool = True) -> None:
        """Write one batch, with its journal line if ``verified``, in a new segment when this one is full or old."""
        if self._size >= self.max_bytes or time.monotonic() - self._began >= self.max_s:
            self._end_segment()
            self._number += 1
            self._open_segment()
        self._message(batch.serialize(), batch.num_rows, verified)
        self.rows += batch.num_rows

    def sync(self) -> None:
        """Wait until everything written is on the disk itself, not only in the system's memory."""
        with self._files:
            written = self.bytes
            if self._fd < 0 or written == self._synced:
                return
            # Duplicates, so that a slow disk holds up this thread and not the one that appends.
            copies = [os.dup(self._fd), os.dup(self._journal)]
        try:
            for fd in copies:
                os.fsync(fd)
        finally:
            for fd in copies:
                os.close(fd)
        self._synced = written

    def close(self) -> None:
        """End the last segment. Does nothing the second time, or after an error."""
        if self._fd >= 0:
            self._end_segment()

    def leave(self) -> None:
        """Let go of the last segment without an end, as a killed recorder does."""
        if self._fd >= 0:
            self.sync()
            self._release()

    def _open_segment(self) -> None:
        path = self.folder / f"{self.stem}-{self._number:05d}.arrows"
        fd = _create(path)
        try:
            journal = _create(path.with_suffix(".journal"))
        except OSError:
            os.close(fd)
            raise
        with self._files:
            self._fd, self._journal = fd, journal
        self._size = self._journal_size = 0
        self._began = time.monotonic()
        try:
            _write_all(journal, JOURNAL_HEAD)
        except OSError:
            self._abandon()
            raise
        self._journal_size = len(JOURNAL_HEAD)
        self._message(self.schema.serialize(), 0)

    def _message(self, buffer: pa.Buffer, rows: int, verified: bool = True) -> None:
        data = memoryview(buffer)
        line = f"{self._size},{len(data)},{rows},{zlib.crc32(data):08x}\n".encode() if verified else b""
        try:
            _write_all(self._fd, data)
            _write_all(self._journal, line)
        except OSError:
            self._abandon()
            raise
        self._size += len(data)
        self._journal_size += len(line)
        self.bytes += len(data) + len(line)

    def _end_segment(self) -> None:
        try:
            _write_all(self._fd, END)
            os.fsync(self._fd)
            os.fsync(self._journal)
        except OSError:
            self._abandon()
            raise
        self._release()

    def _abandon(self) -> None:
        """Cut both files back to the last whole batch, which a full disk allows, and let go of them."""
        try:
            os.ftruncate(self._fd, self._size)
            os.ftruncate(self._journal, self._journal_size)
        except OSError:
            pass  # the disk is gone; a torn last batch is what the journal is for
        self._release()

    def _release(self) -> None:
        with self._files:
            fds, self._fd, self._journal = (self._fd, self._journal), -1, -1
        for fd in fds:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Span:
    """One message of a segment as it was found."""

    segment: str
    """File name of the segment."""
    offset: int
    """Bytes from the start of the file."""
    length: int
    """Bytes."""
    rows: int
    """Rows, as far as they are known: 0 where neither journal nor message tells."""
    state: Literal["good", "unverified", "corrupt", "torn", "missing"]
    """good: as the journal says. unverified: readable, but no journal line. corrupt: the checksum or the content is
    wrong. torn: cut off. missing: the segment is not there."""


def segments(folder: Path, stem: str) -> list[Path]:
    """The segments of one stream, in order."""
    return sorted(p for p in folder.glob(f"{stem}-*.arrows") if _is_of(p, stem))


def _is_of(path: Path, stem: str) -> bool:
    """Whether a file has the name of a segment or journal of a stream, as the writer writes it."""
    number = path.stem.removeprefix(f"{stem}-")
    return re.fullmatch(r"[0-9]{5,9}", number) is not None and number == f"{int(number):05d}"


def read_journal(path: Path) -> list[tuple[int, int, int, int]]:
    """(offset, length, rows, crc32) of each whole line of a journal; [] without one. Senseless lines are skipped."""
    if special(path):
        return []  # a FIFO would be waited for
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    found = (_JOURNAL_LINE.fullmatch(line) for line in lines)
    return [(int(m[1]), int(m[2]), int(m[3]), int(m[4], 16)) for m in found if m]


def read_schema(paths: list[Path]) -> pa.Schema:
    """The schema of a stream, from the first of its segments whose schema is intact.

    Raises:
        StreamError: if no segment has one.
    """
    for path in paths:
        entries = read_journal(path.with_suffix(".journal"))
        try:
            _must_be_file(path)
            with pa.OSFile(str(path)) as file:
                if entries and entries[0][0] == 0 and entries[0][2] == 0:
                    _, length, _, crc = entries[0]
                    if zlib.crc32(file.read(length)) != crc:
                        continue
                    file.seek(0)
                return pa.ipc.read_schema(pa.ipc.read_message(file))
        except (pa.ArrowException, OSError, EOFError):
            continue
    raise StreamError("no segment begins with a readable Arrow schema")


def is_ended(path: Path) -> bool:
    """Whether a segment has its end marker; one without was cut off, or its recorder was.

    Raises:
        OSError: if it cannot be read.
    """
    _must_be_file(path)
    with path.open("rb") as file:
        file.seek(-min(len(END), path.stat().st_size), os.SEEK_END)
        return file.read() == END


def read_stream(folder: Path, stem: str, schema: pa.Schema) -> Iterator[tuple[Span, pa.RecordBatch | None]]:
    """Every batch of a stream in order, as ``read_segment`` gives them, and what is gone of its segments.

    A segment is ended before the next one begins, so one that is not there or lacks its end has lost rows; only the
    newest may be cut off, or empty, without a loss.

    Args:
        folder: the take.
        stem: name of the stream.
        schema: from ``read_schema``.

    Yields:
        The span and its batch, or None where the span cannot be used.

    Raises:
        StreamError: if a file cannot be read at all.
    """
    paths = {_number(path): path for path in segments(folder, stem)}
    journals = {_number(p): p for p in folder.glob(f"{stem}-*.journal") if _is_of(p, stem)}
    newest, expected = max((*paths, *journals), default=-1), 0
    for number in sorted({*paths, *journals}):
        # Only so many are named: a stray file may have any number.
        for lost in range(expected, min(number, expected + _NAMED)):
            yield Span(f"{stem}-{lost:05d}.arrows", 0, 0, 0, "missing"), None
        if number > expected + _NAMED:
            yield Span(f"{stem}-{number - 1:05d}.arrows and those before it", 0, 0, 0, "missing"), None
        expected = number + 1
        path = paths.get(number)
        if path is None:
            yield Span(f"{stem}-{number:05d}.arrows", 0, 0, _rows_of(journals[number]), "missing"), None
            continue
        torn = False
        for span, batch in read_segment(path, schema):
            torn |= span.state == "torn"
            yield span, batch
        if number < newest and not torn and not is_ended(path):
            yield Span(path.name, path.stat().st_size, 0, 0, "torn"), None


def _rows_of(journal: Path) -> int:
    return sum(entry[2] for entry in read_journal(journal))


def _must_be_file(path: Path) -> None:
    if kind := special(path):
        raise OSError(errno.EINVAL, f"it is {kind}")


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def read_segment(path: Path, schema: pa.Schema) -> Iterator[tuple[Span, pa.RecordBatch | None]]:
    """Every batch of a segment in order, as much as there is of it; one batch in memory at a time.

    A batch whose checksum is wrong is skipped and those after it are still read: the journal says where they begin.

    Args:
        path: the segment; its journal lies beside it.
        schema: from ``read_schema``.

    Yields:
        The span and its batch, or None where the span cannot be used.

    Raises:
        StreamError: if the file or its journal cannot be read at all.
    """
    try:
        yield from _read_segment(path, schema)
    except OSError as error:
        raise StreamError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_segment(path: Path, schema: pa.Schema) -> Iterator[tuple[Span, pa.RecordBatch | None]]:
    _must_be_file(path)
    end_of_file = path.stat().st_size
    with pa.OSFile(str(path)) as file:
        position = 0
        entries = read_journal(path.with_suffix(".journal"))
        for entry, (offset, length, rows, crc) in enumerate(entries):
            if offset < position:
                continue  # a damaged line
            if offset > position:
                yield from _walk(file, path.name, schema, position, min(offset, end_of_file))
            # Where the next batch begins, as far as it can be believed: it may be this line's length that is wrong.
            after = entries[entry + 1][0] if entry + 1 < len(entries) else end_of_file
            if not offset < after < end_of_file:
                after = end_of_file
            if offset + length > end_of_file:
                state = "torn" if after == end_of_file else "corrupt"
                yield Span(path.name, offset, max(after - offset, 0), rows, state), None
                position = max(position, after)
                continue
            file.seek(offset)
            data = file.read_buffer(length)
            position = offset + length
            if zlib.crc32(memoryview(data)) != crc:
                yield Span(path.name, offset, length, rows, "corrupt"), None
                position = min(position, after)
            elif offset > 0:
                try:
                    batch = pa.ipc.read_record_batch(data, schema)
                except (pa.ArrowException, OSError, ValueError):  # whole, but not of this schema
                    yield Span(path.name, offset, length, rows, "corrupt"), None
                    continue
                yield Span(path.name, offset, length, rows, "good"), batch
        yield from _walk(file, path.name, schema, position, end_of_file)


def _walk(
    file: pa.NativeFile, name: str, schema: pa.Schema, start: int, stop: int
) -> Iterator[tuple[Span, pa.RecordBatch | None]]:
    """The messages that no journal line speaks of: written in the last instant, or the journal is lost."""
    position = start
    while position < stop:
        file.seek(position)
        if stop - position <= len(END) and END.startswith(file.read(stop - position)):
            return
        file.seek(position)
        try:
            message = pa.ipc.read_message(file)
            batch = None if message.type == "schema" else pa.ipc.read_record_batch(message, schema)
            if batch is not None:
                batch.validate(full=True)
        except (EOFError, pa.ArrowException, OSError, ValueError):
            # Zeros are Arrow's old end marker, hence EOFError; here they are what a power cut left of a batch.
            state = "torn" if stop == file.size() else "corrupt"
            yield Span(name, position, stop - position, 0, state), None
            return
        length = file.tell() - position
        if position + length > stop:
            yield Span(name, position, stop - position, 0, "corrupt"), None
            return
        if batch is not None:
            yield Span(name, position, length, batch.num_rows, "unverified"), batch
        position += length
