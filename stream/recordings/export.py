"""Recordings as tables for other programs: ``python -m stream export DIR --to csv|parquet|npz|trc|c3d --out FILE``.

Whole or damaged, closed or killed takes are read alike; what cannot be read is said and left out.
``docs/recording.md`` lists the columns.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from calibration import writing
from stream.recordings import markers, npz, tables
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.recordings.segments import Span, read_journal, segments
from stream.recordings.takes import Take, belongs_to
from stream.types import StreamError

# Batches of a live recording hold half a second; row groups and CSV blocks want to be larger.
_ROWS = 4096
_TIMES = {ESTIMATES: "moment_time", MOMENTS: "time", EVENTS: "time"}


class Reading:
    """A take being exported, or a part of it: shows progress and remembers what could not be read.

    Args:
        take: from ``open_take``.
        start: seconds after the take's first moment from which on moments are read.
        end: seconds after it from which on they are not.
        bar: whether a terminal is shown how far it is.

    Raises:
        StreamError: if there is no moment in that part.
    """

    def __init__(self, take: Take, start: float | None = None, end: float | None = None, *, bar: bool = True) -> None:
        self.take = take
        self._bar = bar
        self._faults: dict[tuple[str, int], Span] = {}
        self._unverified: dict[tuple[str, int], Span] = {}
        self._whole = start is None and end is None
        self._first, self._start, self._end = 0.0, start or 0.0, math.inf if end is None else end
        if self._whole:
            return
        # Copies, or every batch would stay in memory.
        times = [
            array_of(batch, _TIMES[stream]).copy()
            for stream in (ESTIMATES, MOMENTS)
            for batch in take.batches(stream, self._fault)
        ]
        time = np.concatenate([np.empty(0), *times])
        self._first = time.min(initial=math.inf)
        if not self._inside(time).any():
            lasts = f"lasts {time.max() - self._first:.3f} s" if len(time) else "is empty"
            raise StreamError(f"no moment lies in that part: the take {lasts}; change --start or --end")

    def __call__(self, stream: str) -> Iterator[pa.RecordBatch]:
        """The batches of a stream, gathered to a few thousand rows each."""
        journals = [path.with_suffix(".journal") for path in segments(self.take.folder, stream)]
        total = sum(entry[2] for journal in journals for entry in read_journal(journal))
        with self._progress(total, stream) as bar:
            # The empty one tells the columns of a take in which nothing was recorded.
            waiting = [self.take.empty_batch(stream)]
            if not journals and stream in self.take.streams:
                self._fault(Span(f"{stream}-00000.arrows", 0, 0, 0, "missing"))
            for batch in self.take.batches(stream, self._fault, self._not_verified):
                if bar is not None:
                    bar.update(batch.num_rows)
                if not self._whole:
                    batch = batch.filter(pa.array(self._inside(array_of(batch, _TIMES[stream]))))
                if batch.num_rows:
                    waiting.append(batch)
                if sum(b.num_rows for b in waiting) >= _ROWS:
                    yield pa.concat_batches(waiting)
                    waiting.clear()
            if waiting:
                yield pa.concat_batches(waiting)

    def _progress(self, total: int, stream: str) -> AbstractContextManager[tqdm | None]:
        # disable=None: no bar where nobody looks at a terminal. Even a bar that is not shown leaves a thread of tqdm's.
        return tqdm(total=total, unit="rows", desc=stream, disable=None, leave=False) if self._bar else nullcontext()

    @property
    def faults(self) -> list[Span]:
        """What could not be read, each once, however often the take was gone through."""
        return list(self._faults.values())

    @property
    def unverified(self) -> int:
        """Rows that were read though no line of a journal vouches for them."""
        return sum(span.rows for span in self._unverified.values())

    def _not_verified(self, span: Span) -> None:
        self._unverified[span.segment, span.offset] = span

    def _inside(self, time: NDArray[np.floating]) -> NDArray[np.bool_]:
        after = np.round(time - self._first, 6)  # so that rounding moves no moment to the other part
        return (self._start <= after) & (after < self._end)

    def _fault(self, span: Span) -> None:
        self._faults[span.segment, span.offset] = span


def fault_line(fault: Span) -> str:
    """What cannot be read, for the user."""
    gone = fault.state == "missing"
    rows = f"{fault.rows} rows are" if fault.rows else "its rows are" if gone else "what follows is"
    where = "" if gone else f" at byte {fault.offset}"
    return f"{fault.segment} is {fault.state}{where}: {rows} left out"


def export(
    take: Take, to: str, out: Path, *,
    camera: str | None = None, start: float | None = None, end: float | None = None, force: bool = False,
) -> list[str]:  # fmt: skip
    """Write a take as one file, with tables of fused poses and of events beside that of the views.

    Args:
        take: from ``open_take``.
        to: "csv", "parquet", "npz", "trc" or "c3d".
        out: the file; of csv and parquet, fused poses go to ``STEM.poses.SUFFIX`` and events to ``STEM.events.SUFFIX``
            beside it, where there are any.
        camera: whose answer becomes the markers of trc and c3d; None for the fused person, or for the only camera.
        start: seconds after the take's first moment at which the part to export begins; None for all before ``end``.
        end: seconds after it at which that part ends, itself not in it; None for the rest.
        force: write over existing files, and remove an earlier export's fused poses or events where there are none.

    Returns:
        Lines that tell the user what was written and what to know about it.

    Raises:
        StreamError: if there is nothing to export, a file exists or is the take's own, or it cannot be written; if a
            camera is given to a table, or the end is not after the start.
        WriteError: if a file is a folder, a device or the like.
    """
    if start is not None and end is not None and start >= end:
        raise StreamError(f"--end {end:g} is not after --start {start:g}")
    if camera is not None and to not in ("trc", "c3d"):
        raise StreamError(f"--camera is for trc and c3d: {to} holds all cameras, drop it")
    if out.is_dir():
        raise StreamError(f"{out} is a folder; give --out a file")
    if not out.parent.is_dir():
        raise StreamError(f"cannot write {out}: there is no folder {out.parent}")
    beside = {}
    if to in ("csv", "parquet"):
        beside = {part: out.with_name(f"{out.stem}.{part}{out.suffix}") for part in (tables.POSES, tables.EVENTS_FILE)}
    for target in (out, *beside.values()):
        writing.check_target(target)
        if belongs_to(take.folder, target):
            raise StreamError(f"{target} is part of the take that is read; give another --out")
        if target.exists() and not force:
            raise StreamError(f"{target} exists; give another --out, or --force to write over it")
    reading = Reading(take, start, end)
    writers: dict[str, Callable[[Reading, Path], list[str]]] = {
        "csv": tables.write_csv,
        "parquet": tables.write_parquet,
        "npz": npz.write_npz,
        "trc": lambda reading, folder: markers.write_trc(reading, folder, out.name, camera),
        "c3d": lambda reading, folder: markers.write_c3d(reading, folder, camera),
    }
    try:
        # Written beside its place and then renamed: a file that is there is whole.
        with writing.scratch(out.resolve().parent) as folder:
            notes = writers[to](reading, folder)
            for part, target in beside.items():
                if (folder / part).exists():
                    writing.put(folder / part, target.resolve())
                    notes.append(f"wrote {target}")
                elif target.exists():
                    target.unlink()
                    why = "nothing is fused" if part == tables.POSES else "there are no events"
                    notes.append(f"removed {target} of an earlier export: {why} here")
            writing.put(folder / tables.MAIN, out.resolve())
            notes.append(f"wrote {out}")
    except OSError as error:
        raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    notes += [f"{fault_line(fault)} (see python -m stream recover)" for fault in reading.faults]
    if reading.unverified:
        notes.append(f"{reading.unverified} rows have no line in the journal: read, but not verified")
    if any(camera.fov_assumed for camera in take.run_info.cameras):
        notes.append("a field of view was assumed (fov_assumed): positions and sizes are only as good as that guess")
    return notes
