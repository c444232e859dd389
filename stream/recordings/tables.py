"""A recording as csv, parquet and npz. One pass over the take, a few thousand rows in memory at a time."""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from engines.skeleton import JOINTS
from stream.recordings.schema import ESTIMATES, MOMENTS, array_of

Read = Callable[[str], Iterable[pa.RecordBatch]]
Columns = dict[str, NDArray[Any]]

MAIN, POSES = "main", "poses"
"""Names of the files that the writers leave in the folder they are given; POSES only where something is fused."""
_ESTIMATE_KEYS = (
    "moment", "moment_time", "time", "frame_index", "camera", "detector", "xy", "score", "hypotheses", "weights",
    "sigmas", "track_ids", "answer", "answer_raw", "root", "fov_assumed", "person_id", "cov",
)  # fmt: skip
_ESTIMATE_COLUMNS = (*_ESTIMATE_KEYS, "person", "track_probabilities")
_IDS = ("track_ids", "person_id", "pose_person")
"""Columns in which -1 is none."""
_POSE_KEYS = ("pose_time", "pose_world", "pose_cov", "pose_sigma", "pose_method", "pose_cameras", "pose_person")


def estimate_columns(batch: pa.RecordBatch) -> Columns:
    """Rows of the ``estimates`` stream as numpy, (rows, ...), by column name; 2D joints NaN where there is nobody."""
    columns = {name: array_of(batch, name) for name in _ESTIMATE_COLUMNS}
    for name in ("xy", "score"):
        columns[name] = columns[name].copy()
        columns[name][~columns["person"]] = np.nan
    return columns


def pose_columns(batch: pa.RecordBatch) -> Columns:
    """Rows of the ``moments`` stream as numpy: ``moment`` and ``missed_before`` (T,), and the ``pose_*`` of the npz."""
    cov = array_of(batch, "pose_cov")
    return {
        "moment": array_of(batch, "moment"),
        "missed_before": array_of(batch, "missed_before"),
        "pose_time": array_of(batch, "time"),
        "pose_world": array_of(batch, "pose_world"),
        "pose_cov": cov,
        "pose_sigma": np.sqrt(np.trace(cov, axis1=-2, axis2=-1) / 3),
        "pose_method": array_of(batch, "pose_method"),
        "pose_person": array_of(batch, "person_id"),
        "pose_cameras": np.array([",".join(names) for names in batch.column("pose_cameras").to_pylist()], object),
    }


def any_fused(read: Read) -> bool:
    """Whether a moment of the take has a fused person."""
    return any(np.any(array_of(batch, "fused")) for batch in read(MOMENTS))


def write_npz(read: Read, folder: Path) -> list[str]:
    """``np.load`` reads it without pickle: strings are fixed-width unicode. Arrays go through files, not memory."""
    parts: list[tuple[str, Callable[[pa.RecordBatch], Columns], Sequence[str]]]
    parts = [(ESTIMATES, estimate_columns, _ESTIMATE_KEYS)]
    if any_fused(read):
        parts.append((MOMENTS, pose_columns, _POSE_KEYS))
    rows = []
    with zipfile.ZipFile(folder / MAIN, "w", allowZip64=True) as archive:
        for stream, columns_of, keys in parts:
            rows.append(_npz_part(archive, (columns_of(batch) for batch in read(stream)), keys, folder))
    return [f"{rows[0]} rows" + (f", {rows[1]} fused poses" if rows[1:] else "")]


def _npz_part(archive: zipfile.ZipFile, batches: Iterator[Columns], keys: Sequence[str], folder: Path) -> int:
    files: dict[str, IO[bytes]] = {}
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    strings: dict[str, list[NDArray[Any]]] = {}
    rows = 0
    try:
        for columns in batches:
            rows += len(columns[keys[0]])
            for key in keys:
                values = columns[key]
                if values.dtype == object:
                    strings.setdefault(key, []).append(values.astype(str))
                    continue
                if key not in files:
                    files[key] = (folder / f"{key}.raw").open("w+b")
                    kinds[key] = (values.dtype, values.shape[1:])
                files[key].write(np.ascontiguousarray(values).data)
        for key in keys:
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                if key in files:
                    kind, shape = kinds[key]
                    about = {"fortran_order": False, "shape": (rows, *shape)}
                    about["descr"] = np.lib.format.dtype_to_descr(kind)
                    np.lib.format.write_array_header_1_0(member, about)
                    files[key].seek(0)
                    while block := files[key].read(1 << 20):
                        member.write(block)
                else:
                    np.lib.format.write_array(member, np.concatenate(strings[key]), allow_pickle=False)
    finally:
        for file in files.values():
            file.close()
    return rows


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
            arrays.append(pa.array(column, mask=column < 0 if key in _IDS else None, from_pandas=True))
        names += labels
    return pa.record_batch(arrays, names)


def _estimates_layout(kernels: int) -> list[tuple[str, list[str]]]:
    xyz, numbers = "xyz", [str(k) for k in range(kernels)]
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
        ("cov", _names("image_cov", JOINTS, [a + b for a in "xy" for b in "xy"], unit="px2")),
    ]


def _poses_layout() -> list[tuple[str, list[str]]]:
    return [
        ("moment", ["moment"]),
        ("pose_time", ["time_s"]),
        ("missed_before", ["missed_before"]),
        ("pose_method", ["method"]),
        ("pose_cameras", ["cameras"]),
        ("pose_world", _names("world", JOINTS, "xyz", unit="mm")),
        ("pose_sigma", _names("sigma", JOINTS, unit="mm")),
        ("pose_cov", _names("cov", JOINTS, [a + b for a in "xyz" for b in "xyz"], unit="mm2")),
        ("pose_person", ["person_id"]),
    ]


_Table = Callable[[str, pa.RecordBatch], pa.RecordBatch]


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def _write(read: Read, folder: Path, table: _Table, open_: Callable[[Path, pa.Schema], _Writer]) -> list[str]:
    """Write the estimates and, where something is fused, the moments, each batch turned into a table's by ``table``."""
    notes = []
    parts = [(ESTIMATES, MAIN, "rows"), *([(MOMENTS, POSES, "fused poses")] if any_fused(read) else [])]
    for stream, name, what in parts:
        batches = (table(stream, batch) for batch in read(stream))
        rows, first = 0, next(batches)  # there is always one, if an empty one
        writer = open_(folder / name, first.schema)
        try:
            for batch in chain([first], batches):
                writer.write_batch(batch)
                rows += batch.num_rows
        finally:
            writer.close()
        notes.append(f"{rows} {what}")
    return notes


def _csv_table(stream: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    if stream == MOMENTS:
        return _flat(pose_columns(batch), _poses_layout())
    columns = estimate_columns(batch)
    return _flat(columns, _estimates_layout(columns["weights"].shape[1]))


def write_csv(read: Read, folder: Path) -> list[str]:
    """One row a moment and camera, one column a number, its unit ending its name; empty where there is nobody."""
    return _write(read, folder, _csv_table, pyarrow.csv.CSVWriter)


def _parquet_table(stream: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    def lists(values: NDArray[Any]) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, prod(values.shape[1:]))

    if stream == MOMENTS:
        sigma = lists(pose_columns(batch)["pose_sigma"])
        about = {"shape": str(len(JOINTS)), "unit": "mm", "what": "sqrt(trace(pose_cov) / 3)"}
        fields = [*batch.schema, pa.field("pose_sigma", sigma.type, metadata=about)]
        return pa.record_batch([*batch.columns, sigma], pa.schema(fields, batch.schema.metadata))
    columns = estimate_columns(batch)
    for name in ("xy", "score"):
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), lists(columns[name]))
    return batch


def write_parquet(read: Read, folder: Path) -> list[str]:
    """The recording's own columns, header, units and shapes; 2D joints NaN where there is nobody; ``pose_sigma``."""
    return _write(read, folder, _parquet_table, pyarrow.parquet.ParquetWriter)
