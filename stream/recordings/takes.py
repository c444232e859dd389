"""Takes: where a recording is put, and how it is found and read again, whole or damaged."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from calibration.writing import scratch, special, sync
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import (
    ESTIMATES,
    EVENTS,
    FRAMES,
    MOMENTS,
    STREAMS,
    believed,
    completed,
    holds_nulls,
    run_info_of,
    schemas,
)
from stream.recordings.segments import Span, read_schema, read_stream, segments
from stream.types import StreamError

_KINDS = (".arrows", ".journal", ".mkv")
"""Suffixes of the files in a take."""
CALIBRATION: Final = "calibration.toml"
"""In a refined take: its cameras, where they were refined too."""


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
        raise StreamError(f"cannot record to {directory}: {why}; give a folder that can be written") from None
    raise StreamError(f"{directory} already holds 999 takes of this second; give --record another folder")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write a take to, which gets its name when the block ends well: else nothing is left of it.

    Raises:
        StreamError: if there is something of that name, or nothing can be written there.
        OSError: if the block cannot write, or the folder gets no name.
    """
    try:
        there = path.exists() or path.is_symlink()
    except OSError as error:  # a name that is too long
        raise StreamError(f"cannot write {path}: {error.strerror}; give another --out") from None
    if there:
        raise StreamError(f"{path} exists already, and no take is written over; give another --out")
    try:
        place = scratch(path.parent)
        part = place.__enter__() / path.name
        part.mkdir()
    except OSError as error:
        raise StreamError(f"cannot write to {path.parent}: {error.strerror or error}; give another --out") from None
    try:
        yield part
        sync(part)
        part.rename(path)
    finally:
        place.__exit__(None, None, None)


def find_take(path: Path) -> Path:
    """The folder of the one take that is meant: the folder itself, or the only take in it.

    Raises:
        StreamError: if there is none, if there are several, which are then listed, or if it cannot be read.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long
        raise StreamError(f"{path}: {error.strerror}") from None
    if not is_folder:
        raise StreamError(f"{path}: no such folder; give the folder of a take or the one given to --record")
    if _is_take(path):
        return path
    try:
        takes = sorted(child for child in path.iterdir() if child.is_dir() and _is_take(child))
    except OSError as error:
        raise StreamError(f"{path} cannot be read: {error.strerror or error}") from None
    if not takes:
        begins = f"{ESTIMATES}-00000.arrows or {FRAMES}-00000.arrows"
        raise StreamError(f"{path} holds no take: there is no {begins} in it or in a folder of it")
    if len(takes) > 1:
        names = ", ".join(take.name for take in takes)
        raise StreamError(f"{path} holds {len(takes)} takes, name one of them: {names}")
    return takes[0]


def holds(path: Path, *streams: str) -> bool:
    """Whether a folder is a take that has one of these streams, or holds such takes."""
    try:
        folders = [path, *(child for child in path.iterdir() if child.is_dir())] if path.is_dir() else []
        return any(segments(folder, stream) for folder in folders for stream in streams)
    except OSError:
        return False


def _is_take(folder: Path) -> bool:
    return any(segments(folder, stream) for stream in (ESTIMATES, MOMENTS, FRAMES))


def video_stem(number: int, camera: str) -> str:
    """How the names of the videos of a camera begin.

    Args:
        number: of the camera, from 0.
        camera: its name.
    """
    return f"{FRAMES}-{number}-{re.sub(r'[^A-Za-z0-9_]+', '_', camera)}"


def video_of(take: Path, name: str) -> Path:
    """The video of a take that a row or a listing names.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: for what the recorder never writes: another place, a link out of the take, no regular file. Nothing
            is opened then.
    """
    if not re.fullmatch(rf"{FRAMES}-[A-Za-z0-9_\-]{{1,200}}\.mkv", name):
        raise ValueError("no name of a video in a take; it is not opened")
    path = take / name
    if kind := special(path):
        raise ValueError(f"it is {kind}, not a video; it is not opened")
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if path.resolve().parent != take.resolve():
        raise ValueError("it is a link out of the take; it is not opened")
    return path.resolve()


def calibration_file(take: Path) -> Path | None:
    """The calibration that a take was refined with; None where there is none, or what has its name is no such file."""
    path = take / CALIBRATION
    there = path.is_file() and path.resolve().parent == take.resolve()
    return path if there else None


def belongs_to(take: Path, path: Path) -> bool:
    """Whether a path is a file of a take, by whatever name it is reached, or would be taken for one of its files."""
    if path.suffix in _KINDS and path.resolve().parent == take.resolve():
        return True
    return path.exists() and any(path.samefile(own) for own in take.iterdir() if own.suffix in _KINDS)


def _ignore(_: Span) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """A recording on disk. Reading it goes on past what is damaged, and says what was."""

    folder: Path
    """Where it lies."""
    run_info: RunInfo
    """What was known of the run."""
    version: int
    """Of its format."""

    @property
    def captured(self) -> bool:
        """Whether it holds what cameras gave, and no estimates."""
        return "capture" in self.run_info.settings

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that every take of its version has; ``frames`` are there with images, ``clocks`` in a group."""
        if self.captured:
            return (EVENTS, FRAMES)
        return (ESTIMATES, MOMENTS) if self.version < 2 else (ESTIMATES, MOMENTS, EVENTS)

    def schema(self, stream: str) -> pa.Schema:
        """The schema of a stream; where no copy of it can be believed, the one that its version has."""
        expected = schemas(self.run_info, self.version)[stream]
        try:
            return believed(read_schema(segments(self.folder, stream)), expected)
        except StreamError:
            return expected

    def batches(
        self, stream: str, on_fault: Callable[[Span], None] = _ignore, on_unverified: Callable[[Span], None] = _ignore
    ) -> Iterator[pa.RecordBatch]:
        """The batches of a stream, one in memory at a time, with all columns of today's version.

        Args:
            stream: "estimates", "moments", "events", "frames" or "clocks"; one that was not recorded has no batches.
            on_fault: called with each span that cannot be read or is missing; its rows are left out.
            on_unverified: called with each span that is read though no journal line vouches for it.
        """
        columns = schemas(self.run_info)[stream]
        for span, batch in read_stream(self.folder, stream, self.schema(stream)):
            if batch is None:
                on_fault(span)
            elif any(map(holds_nulls, batch.columns)):
                on_fault(replace(span, state="corrupt"))  # the recorder writes none: NaN, -1 and "" say so
            else:
                if span.state == "unverified":
                    on_unverified(span)
                yield completed(batch, columns)

    def empty_batch(self, stream: str) -> pa.RecordBatch:
        """A batch of a stream without a row, which tells its columns."""
        schema = self.schema(stream)
        empty = pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)
        return completed(empty, schemas(self.run_info)[stream])


def open_take(path: Path) -> Take:
    """Open the take that ``find_take`` finds. The header is in every segment, so one intact segment is enough.

    Raises:
        StreamError: if there is none, or its header cannot be read.
    """
    folder = find_take(path)
    for stream in STREAMS:
        try:
            schema = read_schema(segments(folder, stream))
        except StreamError:
            continue
        try:
            return Take(folder, *run_info_of(schema))
        except StreamError as error:
            raise StreamError(f"{folder}: {error}") from None
    raise StreamError(f"{folder}: no file in it begins with a readable header; this take cannot be read")
