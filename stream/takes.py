"""Takes: where a recording is put, and how it is found and read again, whole or damaged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from stream.recording import ESTIMATES, header_of
from stream.segments import Span, read_schema, read_segment, segments
from stream.sinks import Header
from stream.types import StreamError


def new_take(directory: Path) -> Path:
    """Make the folder of a new take, named after the time of day (UTC); an existing one is never used again.

    Raises:
        StreamError: if the folder cannot be made or written to.
    """
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            take = directory / (stem if number == 1 else f"{stem}-{number}")
            try:
                take.mkdir()
            except FileExistsError:
                continue
            return take
    except OSError as error:
        why = error.strerror or str(error)
        raise StreamError(f"cannot record to {directory}: {why}; give --record a folder that can be written") from None
    raise StreamError(f"{directory} already holds 999 takes of this second; give --record another folder")


def find_take(path: Path) -> Path:
    """The folder of the one take that is meant: the folder itself, or the only take in it.

    Raises:
        StreamError: if there is none, or if there are several, which are then listed.
    """
    if not path.is_dir():
        raise StreamError(f"{path}: no such folder; give the folder of a take or the one given to --record")
    if segments(path, ESTIMATES):
        return path
    takes = sorted(child for child in path.iterdir() if child.is_dir() and segments(child, ESTIMATES))
    if not takes:
        raise StreamError(f"{path} holds no take: there is no {ESTIMATES}-00000.arrows in it or in a folder of it")
    if len(takes) > 1:
        names = ", ".join(take.name for take in takes)
        raise StreamError(f"{path} holds {len(takes)} takes, name one of them: {names}")
    return takes[0]


def _ignore(_: Span) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Take:
    """A recording on disk. Reading it goes on past what is damaged, and says what was."""

    folder: Path
    """Where it lies."""
    header: Header
    """What was known of the run."""

    def batches(self, stream: str, on_fault: Callable[[Span], None] = _ignore) -> Iterator[pa.RecordBatch]:
        """The batches of a stream ("estimates", "moments", "frames"), one in memory at a time.

        Args:
            stream: which; one that was not recorded has no batches.
            on_fault: called with each span that cannot be read; its rows are left out.
        """
        paths = segments(self.folder, stream)
        if not paths:
            return
        schema = read_schema(paths)
        for path in paths:
            for span, batch in read_segment(path, schema):
                if batch is None:
                    on_fault(span)
                else:
                    yield batch


def open_take(path: Path) -> Take:
    """Open the take that ``find_take`` finds.

    Raises:
        StreamError: if there is none, or its header cannot be read.
    """
    folder = find_take(path)
    try:
        return Take(folder, header_of(read_schema(segments(folder, ESTIMATES))))
    except StreamError as error:
        raise StreamError(f"{folder}: {error}" if str(folder) not in str(error) else str(error)) from None
