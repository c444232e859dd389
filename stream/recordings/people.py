"""Who is in a take, and the rows of some of the people alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream.recordings.schema import ESTIMATES, MOMENTS, array_of, unknown
from stream.selection import MEASURES, Tally

# Of a frame, not of whom it shows; and of a moment.
_OF_FRAME: Final = {
    ESTIMATES: ("moment", "moment_time", "camera", "frame_index", "time", "width", "height", "detector", "fov_assumed"),
    MOMENTS: ("moment", "time", "spread_s"),
}
_OF_FIRST_ROW: Final = ("missed_before", "stages", "left_out")
"""Columns of the moments that are said in a moment's first row only."""
_THERE: Final = {ESTIMATES: "person", MOMENTS: "fused"}


@dataclass(slots=True)
class Presence:
    """When and where one person is in a take."""

    moments: int = 0
    """In how many moments a camera sees them."""
    fused: int = 0
    """In how many they are fused."""
    first: float = np.inf
    """Seconds: time of the first moment."""
    last: float = -np.inf
    """Seconds: time of the last."""
    views: Counter[str] = field(default_factory=Counter)
    """Frames in which they are seen, by camera."""


class People:
    """Everybody in a take, by ``person_id``; -1 is whom a take of version 1 does not tell apart."""

    def __init__(self) -> None:
        self.by_id: dict[int, Presence] = {}

    def add(self, stream: str, batch: pa.RecordBatch) -> None:
        """Take rows of the estimates or of the moments into account."""
        there = array_of(batch, _THERE[stream])
        if not there.any():
            return
        person, moment = array_of(batch, "person_id")[there], array_of(batch, "moment")[there]
        time = array_of(batch, "moment_time" if stream == ESTIMATES else "time")[there]
        camera = array_of(batch, "camera")[there] if stream == ESTIMATES else None
        for one in np.unique(person):
            presence, mine = self.by_id.setdefault(int(one), Presence()), person == one
            presence.first = min(presence.first, float(time[mine].min()))
            presence.last = max(presence.last, float(time[mine].max()))
            if camera is None:
                presence.fused += int(mine.sum())
            else:
                presence.moments += len(np.unique(moment[mine]))
                presence.views.update(camera[mine].tolist())


def count_merits(tally: Tally, rule: str, batch: pa.RecordBatch) -> None:
    """Take rows of the estimates into account, for the people of a selection: ``selection.merit`` of each, summed."""
    there = array_of(batch, "person")
    person = array_of(batch, "person_id")
    values = np.zeros(len(there))
    if rule in MEASURES and len(there):
        size = np.stack([array_of(batch, "width"), array_of(batch, "height")], -1).astype(float)
        frames = _groups(batch, ("moment", "camera"))
        moments = _groups(batch, ("moment",))
        first = np.concatenate([[True], frames[1:] != frames[:-1]])
        seen_by = np.bincount(moments, weights=first)[moments]
        values = MEASURES[rule](array_of(batch, "xy"), array_of(batch, "score"), size) / seen_by
    for one in np.unique(person[there]):
        tally.count(int(one), float(values[there & (person == one)].sum()))


def alone(stream: str, batch: pa.RecordBatch, ids: Iterable[int]) -> pa.RecordBatch:
    """The rows of some people, and where none of them is there, one row that says so, as if nobody else had been seen.

    Args:
        stream: "estimates" or "moments"; others tell of nobody and stay as they are.
        batch: of that stream, whole moments.
        ids: of the people.
    """
    if stream not in _THERE or not batch.num_rows:
        return batch
    mine = array_of(batch, _THERE[stream]) & np.isin(array_of(batch, "person_id"), list(ids))
    group = _groups(batch, ("moment", "camera") if stream == ESTIMATES else ("moment",))
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    empty = starts[~np.isin(group[starts], group[mine])]
    rows = np.sort(np.concatenate([np.flatnonzero(mine), empty]))
    # One past the end: what says that nothing is known.
    whose = np.where(mine[rows], rows, batch.num_rows)
    first = np.concatenate([[True], group[rows][1:] != group[rows][:-1]])
    said = np.where(first, starts[group[rows]], batch.num_rows)
    columns = []
    for field_, column in zip(batch.schema, batch.columns, strict=True):
        index = rows if field_.name in _OF_FRAME[stream] else said if field_.name in _OF_FIRST_ROW else whose
        value = 0 if field_.name in ("missed_before", "left_out") else None
        nothing = unknown(field_.type, 1) if value is None else pa.array([value], field_.type)
        columns.append(pa.concat_arrays([column, nothing]).take(pa.array(index)))
    return pa.record_batch(columns, schema=batch.schema)


def _groups(batch: pa.RecordBatch, keys: Iterable[str]) -> NDArray[np.int64]:
    """(rows,) number of each row's group, from 0: a new one begins where a key is another than in the row before."""
    change = np.zeros(batch.num_rows, bool)
    for key in keys:
        values = array_of(batch, key)
        change[1:] |= values[1:] != values[:-1]
    return np.cumsum(change)
