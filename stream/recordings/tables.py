"""A recording as csv and parquet. A few thousand rows in memory at a time."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from engines.skeleton import JOINTS
from stream.recordings.columns import (
    IDS,
    Columns,
    Contents,
    Count,
    Read,
    contents_of,
    estimate_columns,
    event_columns,
    pose_columns,
)
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS

MAIN, POSES, EVENTS_FILE = "main", "poses", "events"
"""Names of the files that the writers leave in the folder they are given; POSES only where something is fused, and
EVENTS_FILE only where there is an event."""


def _names(prefix: str, *axes: Sequence[str], unit: str = "") -> list[str]:
    """Every combination of the axes' labels, the last varying fastest, as ``prefix_a_b_unit``."""
    names = [prefix]
    for axis in axes:
        names = [f"{name}_{label}" for name in names for label in axis]
    return [f"{name}_{unit}" if unit else name for name in names]


def _flat(columns: Columns, layout: Sequence[tuple[str, list[str]]]) -> pa.RecordBatch:
    """One column a number; NaN, and a track that is none, become empty cells."""
    arrays, names = [], []
    for key, labels in layout:
        values = columns[key].reshape(len(columns[key]), len(labels))
        for column in np.ascontiguousarray(values.T):
            arrays.append(pa.array(column, mask=column < 0 if key in IDS else None, from_pandas=True))
        names += labels
    return pa.record_batch(arrays, names)


def _estimates_layout(kernels: int, there: Contents) -> list[tuple[str, list[str]]]:
    extra, refined = there.extra, []
    if there.refined:
        refined = [("answer_cov", _names("answer_cov", JOINTS, [a + b for a in "xyz" for b in "xyz"], unit="mm2")),
                   ("answer_state", _names("state", JOINTS))]  # fmt: skip
    xyz, numbers, pairs = "xyz", [str(k) for k in range(kernels)], [a + b for a in "xy" for b in "xy"]
    return [
        ("moment", ["moment"]),
        ("moment_time", ["moment_time_s"]),
        ("time", ["time_s"]),
        ("frame_index", ["frame_index"]),
        ("camera", ["camera"]),
        ("detector", ["detector"]),
        ("person", ["person"]),
        ("fov_assumed", ["fov_assumed"]),
        ("root", _names("root", xyz, unit="mm")),
        ("answer", _names("answer", JOINTS, xyz, unit="mm")),
        ("answer_raw", _names("answer_raw", JOINTS, xyz, unit="mm")),
        ("xy", _names("image", JOINTS, "xy", unit="px")),
        ("score", _names("score", JOINTS)),
        ("weights", _names("weight", numbers)),
        ("track_ids", _names("track_id", numbers)),
        ("track_probabilities", _names("track_probability", numbers)),
        ("hypotheses", _names("hypothesis", numbers, JOINTS, xyz, unit="mm")),
        ("sigmas", _names("sigma", numbers, JOINTS, unit="mm")),
        ("person_id", ["person_id"]),
        ("cov", _names("image_cov", JOINTS, pairs, unit="px2")),
        ("extra_xy", _names("image", extra, "xy", unit="px")),
        ("extra_score", _names("score", extra)),
        ("extra_cov", _names("image_cov", extra, pairs, unit="px2")),
        ("unix_time", ["unix_time_s"]),
        ("root_raw", _names("root_raw", xyz, unit="mm")),
        *refined,
    ]


def _poses_layout(there: Contents) -> list[tuple[str, list[str]]]:
    extra = there.pose_extra
    pairs = [a + b for a in "xyz" for b in "xyz"]
    return [
        ("moment", ["moment"]),
        ("pose_time", ["time_s"]),
        ("missed_before", ["missed_before"]),
        ("pose_method", ["method"]),
        ("pose_cameras", ["cameras"]),
        ("pose_world", _names("world", JOINTS, "xyz", unit="mm")),
        ("pose_sigma", _names("sigma", JOINTS, unit="mm")),
        ("pose_cov", _names("cov", JOINTS, pairs, unit="mm2")),
        ("pose_person", ["person_id"]),
        ("pose_extra", _names("world", extra, "xyz", unit="mm")),
        ("pose_extra_sigma", _names("sigma", extra, unit="mm")),
        ("pose_extra_cov", _names("cov", extra, pairs, unit="mm2")),
        ("inferred", ["inferred"]),
        ("pose_unix_time", ["unix_time_s"]),
        *([("pose_state", _names("state", JOINTS))] if there.refined else []),
    ]


_EVENTS_LAYOUT = [
    ("event_time", ["time_s"]), ("event_source", ["source"]), ("event_text", ["text"]),
    ("event_unix_time", ["unix_time_s"]),
]  # fmt: skip
_Table = Callable[[str, pa.RecordBatch], pa.RecordBatch]


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def _write(
    read: Read, folder: Path, fused: bool, events: bool, table: _Table, open_: Callable[[Path, pa.Schema], _Writer]
) -> list[str]:
    """Write the estimates and, where there are any, fused poses and events, each batch turned into a table's."""
    notes, parts = [], [(ESTIMATES, MAIN)]
    parts += [(MOMENTS, POSES)] if fused else []
    parts += [(EVENTS, EVENTS_FILE)] if events else []
    for stream, name in parts:
        count = Count(stream)
        batches = (table(stream, count(batch)) for batch in read(stream))
        first = next(batches)  # there is always one, if an empty one
        writer = open_(folder / name, first.schema)
        try:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        finally:
            writer.close()
        notes.append(str(count))
    return notes


def _csv_table(there: Contents, stream: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    if stream == MOMENTS:
        return _flat(pose_columns(batch, there), _poses_layout(there))
    if stream == EVENTS:
        return _flat(event_columns(batch, there), _EVENTS_LAYOUT)
    columns = estimate_columns(batch, there)
    return _flat(columns, _estimates_layout(columns["weights"].shape[1], there))


def write_csv(read: Read, folder: Path) -> list[str]:
    """One row a moment, camera and person, one column a number, its unit ending its name; empty where nobody is."""
    there = contents_of(read)
    return _write(read, folder, there.fused, there.events, partial(_csv_table, there), pyarrow.csv.CSVWriter)


def _parquet_table(there: Contents, stream: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    def lists(values: NDArray[Any]) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, prod(values.shape[1:]))

    more: dict[str, tuple[pa.Array, dict[str, str]]] = {}
    about = {"unit": "s", "what": "since 1970-01-01 UTC; NaN where files tell no time of day"}
    if stream == EVENTS:
        more["unix_time"] = pa.array(event_columns(batch, there)["event_unix_time"]), about
    elif stream == MOMENTS:
        columns, shape = pose_columns(batch, there), {"shape": str(len(JOINTS))}
        said = shape | {"unit": "mm", "what": "sqrt(trace(pose_cov) / 3)"}
        more["pose_sigma"] = lists(columns["pose_sigma"]), said
        more["pose_inferred"] = lists(columns["pose_inferred"]), shape | {"what": "whether no camera saw the joint"}
        more["unix_time"] = pa.array(columns["pose_unix_time"]), about
    else:
        columns = estimate_columns(batch, there)
        for name in ("xy", "score"):
            k = batch.schema.get_field_index(name)
            batch = batch.set_column(k, batch.schema.field(name), lists(columns[name]))
        more["unix_time"] = pa.array(columns["unix_time"]), about
    fields = [*batch.schema, *(pa.field(name, column.type, metadata=said) for name, (column, said) in more.items())]
    arrays = [*batch.columns, *(column for column, _ in more.values())]
    return pa.record_batch(arrays, pa.schema(fields, batch.schema.metadata))


def arrow_table(read: Read, stream: str) -> pa.Table:
    """What ``write_parquet`` writes of a stream, in memory."""
    there = contents_of(read)
    return pa.Table.from_batches([_parquet_table(there, stream, batch) for batch in read(stream)])


def flat_table(read: Read, stream: str) -> pa.Table:
    """What ``write_csv`` writes of a stream, in memory: one column a number."""
    there = contents_of(read)
    return pa.Table.from_batches([_csv_table(there, stream, batch) for batch in read(stream)])


def write_parquet(read: Read, folder: Path) -> list[str]:
    """The recording's own columns, header, units and shapes; 2D joints NaN where there is nobody; and further ones."""
    there = contents_of(read)
    table = partial(_parquet_table, there)
    return _write(read, folder, there.fused, there.events, table, pyarrow.parquet.ParquetWriter)
