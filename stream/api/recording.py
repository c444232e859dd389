"""A take as something to iterate over, and as arrays and tables: ``open_recording``."""

import logging
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import pyarrow as pa
from numpy.typing import NDArray

from stream.api.checks import finite
from stream.recordings import npz, tables
from stream.recordings.captured import must_hold_estimates
from stream.recordings.reading import Reading, fault_line
from stream.recordings.replay import read_events, read_frames, replay
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS
from stream.recordings.segments import Span
from stream.recordings.takes import Take, open_take
from stream.selection import selection
from stream.types import Estimate, Event, Frame, StreamError

if TYPE_CHECKING:
    import pandas

_log = logging.getLogger(__name__)

Table = Literal["estimates", "poses", "events"]
_STREAMS: Final = {"estimates": ESTIMATES, "poses": MOMENTS, "events": EVENTS}


class Recording(Iterable[Estimate]):
    """A take on disk; ``open_recording`` makes it.

    It can be iterated over as often as wanted, from several places at once. Of a damaged take everything is given that
    can be read, and ``faults`` says what could not. It keeps no file open but while something of it is read.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._faults: dict[tuple[str, int], Span] = {}

    @property
    def path(self) -> Path:
        """The folder of the take."""
        return self._take.folder

    @property
    def run_info(self) -> RunInfo:
        """What was known of the run: cameras, networks, settings."""
        return self._take.run_info

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be read so far, a line each; empty when all could."""
        return tuple(map(fault_line, self._faults.values()))

    def __iter__(self) -> Iterator[Estimate]:
        """Every estimate, in order, arrays bit for bit as they were recorded (float32)."""
        return replay(self._take, self._fault)

    def events(self) -> Iterator[Event]:
        """What happened in the run, in order: marks of the user, sinks that stopped."""
        return read_events(self._take, self._fault)

    def frames(self, camera: str) -> Iterator[Frame]:
        """The images of a camera that were recorded with ``record_video``.

        Args:
            camera: its name.

        Raises:
            StreamError: if there are none.
        """
        return read_frames(self._take, camera, self._fault)

    def to_numpy(
        self, *, start: float | None = None, end: float | None = None, select: str = "all"
    ) -> dict[str, NDArray[Any]]:
        """All of it, by the keys of the npz export: one row a moment, camera and person, and ``pose_*`` of fused poses.

        Args:
            start: seconds after the first moment at which the part begins; None for all before ``end``.
            end: seconds after it at which the part ends, itself not in it; None for the rest.
            select: of whom: "all", "largest", "central", or ids as "0,2".

        Raises:
            StreamError: if no moment lies in that part, or a person is selected who is not in it.
        """
        reading = self._reading(start, end, select)
        found = npz.arrays(reading)
        self._keep(reading)
        return found

    def to_arrow(
        self, table: Table = "estimates", *, start: float | None = None, end: float | None = None, select: str = "all"
    ) -> pa.Table:
        """A table with the columns of the parquet export, arrays as lists of fixed length.

        Args:
            table: "estimates" (one row a moment, camera and person), "poses" (fused) or "events".
            start: as in ``to_numpy``.
            end: as in ``to_numpy``.
            select: as in ``to_numpy``.

        Raises:
            StreamError: for another table, or if no moment lies in that part.
        """
        reading = self._reading(start, end, select)
        found = tables.arrow_table(reading, _stream(table))
        self._keep(reading)
        return found

    def to_pandas(
        self, table: Table = "estimates", *, start: float | None = None, end: float | None = None, select: str = "all"
    ) -> "pandas.DataFrame":
        """A table with the columns of the csv export: one a number, such as ``answer_left_wrist_x_mm``.

        Args:
            table: as in ``to_arrow``.
            start: as in ``to_numpy``.
            end: as in ``to_numpy``.
            select: as in ``to_numpy``.

        Raises:
            StreamError: as ``to_arrow``.
        """
        reading = self._reading(start, end, select)
        found = tables.flat_table(reading, _stream(table)).to_pandas()
        self._keep(reading)
        return found

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        names = ", ".join(camera.name for camera in self.run_info.cameras)
        return f"<recording {self.path} of {names}>"

    def _reading(self, start: float | None, end: float | None, select: str) -> Reading:
        for name, value in (("start", start), ("end", end)):
            if value is not None and not finite(value):
                raise StreamError(f"{name} is {value!r}; give seconds after the first moment")
        if not isinstance(select, str):
            raise StreamError(f"select is {select!r}; give text: largest, central, all, or ids such as '0,2'")
        if start is not None and end is not None and start >= end:
            raise StreamError(f"end {end:g} is not after start {start:g}")
        try:
            chosen = selection(select)
        except ArgumentTypeError as error:
            raise StreamError(str(error)) from None
        return Reading(self._take, start, end, chosen, bar=False)

    def _keep(self, reading: Reading) -> None:
        for span in reading.faults:
            self._fault(span)

    def _fault(self, span: Span) -> None:
        if (span.segment, span.offset) not in self._faults:
            _log.warning(f"{self.path}: {fault_line(span)}")
        self._faults[span.segment, span.offset] = span


def _stream(table: str) -> str:
    if not isinstance(table, str) or table not in _STREAMS:
        raise StreamError(f"there is no table {table!r}; there are {', '.join(_STREAMS)}")
    return _STREAMS[table]


def open_recording(path: str | PathLike[str]) -> Recording:
    """Open a take::

        for estimate in stream.open_recording("takes/20260102T030405Z"):
            print(estimate.t, estimate.person)

    Args:
        path: folder of the take, or one with a single take in it.

    Raises:
        StreamError: if there is none, there are several, or it cannot be read.
    """
    if not isinstance(path, str | PathLike) or not str(path):
        raise StreamError(f"{path!r} is no folder of a take; give its path")
    take = open_take(Path(path))
    must_hold_estimates(take)
    return Recording(take)
