"""A take being read for an export, as tables for programs: a part of it, some of its people, and what is damaged."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream.bars import Bar
from stream.recordings.people import alone, count_merits
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.recordings.segments import Span, read_journal, segments
from stream.recordings.takes import Take
from stream.selection import ALL, Selection, Tally
from stream.types import StreamError
from stream.words import number_of

# Batches of a live recording hold half a second; row groups and CSV blocks want to be larger.
_ROWS = 4096
_TIMES = {ESTIMATES: "moment_time", MOMENTS: "time", EVENTS: "time"}


class Reading:
    """A take being exported, or a part of it: shows progress and remembers what could not be read.

    Args:
        take: from ``open_take``.
        start: seconds after the take's first moment from which on moments are read.
        end: seconds after it from which on they are not.
        select: whose rows are read, of the people in that part; where none of them is, a row says that nobody is.
        bar: whether a terminal is shown how far it is.

    Raises:
        StreamError: if a time is below 0, there is no moment in that part, or a person is asked for who is not in it.
    """

    def __init__(
        self, take: Take, start: float | None = None, end: float | None = None, select: Selection | None = None, *,
        bar: bool = True,
    ) -> None:  # fmt: skip
        self.take = take
        self.selection = select or Selection()
        self.ids: tuple[int, ...] | None = None
        """Of the people whose rows are read; None for everybody's."""
        for name, value in (("start", start), ("end", end)):
            if value is not None and not 0 <= value < math.inf:
                raise StreamError(f"{name} {value:g} is no time of the take: seconds count from its first moment, 0")
        self._bar = bar
        self._faults: dict[tuple[str, int], Span] = {}
        self._unverified: dict[tuple[str, int], Span] = {}
        self._whole = start is None and end is None
        self.first = 0.0
        """Seconds: time of the take's first moment; only where a part is read."""
        self._start, self._end = start or 0.0, math.inf if end is None else end
        if not self._whole:
            self._find_part()
        if self.selection.rule != ALL:
            tally = Tally(self.selection)
            for stream in (ESTIMATES, MOMENTS):
                for batch in self.batches(stream):
                    self._tally(tally, stream, batch)
            self.ids = tally.ids

    def _find_part(self) -> None:
        # Copies, or every batch would stay in memory.
        times = [
            array_of(batch, _TIMES[stream]).copy()
            for stream in (ESTIMATES, MOMENTS)
            for batch in self.take.batches(stream, self._fault)
        ]
        time = np.concatenate([np.empty(0), *times])
        self.first = time.min(initial=math.inf)
        if not self._inside(time).any():
            lasts = f"lasts {time.max() - self.first:.3f} s" if len(time) else "is empty"
            raise StreamError(f"no moment lies in that part: the take {lasts}; change --start or --end")

    def _tally(self, tally: Tally, stream: str, batch: pa.RecordBatch) -> None:
        if stream == ESTIMATES:
            count_merits(tally, self.selection.rule, batch)
        else:  # who is fused is there, also where what the cameras saw is lost
            for person_id in np.unique(array_of(batch, "person_id")[array_of(batch, "fused")]):
                tally.count(int(person_id), 0.0)

    def __call__(self, stream: str) -> Iterator[pa.RecordBatch]:
        """The batches of a stream, gathered to a few thousand rows each; at least one, which may be empty."""
        # The empty one tells the columns of a take in which nothing was recorded.
        waiting = [self.take.empty_batch(stream)]
        for batch in self.batches(stream):
            if batch.num_rows:
                waiting.append(batch)
            if sum(b.num_rows for b in waiting) >= _ROWS:
                yield pa.concat_batches(waiting)
                waiting.clear()
        if waiting:
            yield pa.concat_batches(waiting)

    def batches(self, stream: str) -> Iterator[pa.RecordBatch]:
        """The batches of a stream as they were recorded, without what is not to be read; perhaps none."""
        journals = [path.with_suffix(".journal") for path in segments(self.take.folder, stream)]
        total = sum(entry[2] for journal in journals for entry in read_journal(journal))
        with self._progress(total, stream) as bar:
            if not journals and stream in self.take.streams:
                self._fault(Span(f"{stream}-00000.arrows", 0, 0, 0, "missing"))
            for batch in self.take.batches(stream, self._fault, self._not_verified):
                if bar is not None:
                    bar.update(batch.num_rows)
                if not self._whole:
                    batch = batch.filter(pa.array(self._inside(array_of(batch, _TIMES[stream]))))
                yield batch if self.ids is None else alone(stream, batch, self.ids)

    def _progress(self, total: int, stream: str) -> AbstractContextManager[Bar | None]:
        # disable=None: no bar where nobody looks at a terminal. Even a bar that is not shown leaves a thread of tqdm's.
        return Bar(total=total, unit="rows", desc=stream, disable=None, leave=False) if self._bar else nullcontext()

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

    def holds(self, time: float) -> bool:
        """Whether a moment, seconds in the clock of the take, lies in the part that is read."""
        return self._whole or bool(self._inside(np.array([time]))[0])

    def _inside(self, time: NDArray[np.floating]) -> NDArray[np.bool_]:
        after = np.round(time - self.first, 6)  # so that rounding moves no moment to the other part
        return (self._start <= after) & (after < self._end)

    def _fault(self, span: Span) -> None:
        self._faults[span.segment, span.offset] = span


def fault_line(fault: Span) -> str:
    """What cannot be read, for the user."""
    gone = fault.state == "missing"
    rows = (
        f"{number_of(fault.rows, 'row is', 'rows are')}"
        if fault.rows
        else "its rows are"
        if gone
        else "what follows is"
    )
    where = "" if gone else f" at byte {fault.offset}"
    return f"{fault.segment} is {fault.state}{where}: {rows} left out"
