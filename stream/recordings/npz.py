"""A recording as npz. ``np.load`` reads it without pickle: strings are fixed-width unicode."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream.recordings.columns import (
    ESTIMATE_KEYS,
    EVENT_KEYS,
    EXTRA_KEYS,
    POSE_EXTRA_KEYS,
    POSE_KEYS,
    POSE_REFINED_KEYS,
    REFINED_KEYS,
    Columns,
    Count,
    Read,
    contents_of,
    estimate_columns,
    event_columns,
    pose_columns,
    static_arrays,
)
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS
from stream.recordings.tables import MAIN


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """What of a stream goes into arrays."""

    stream: str
    columns: Callable[[pa.RecordBatch], Columns]
    keys: Sequence[str]


def _streams(read: Read) -> tuple[list[_Stream], Columns]:
    """The streams of a take as arrays, and the arrays that are the same in all of it."""
    there = contents_of(read)
    keys = (*ESTIMATE_KEYS, *(EXTRA_KEYS if there.extra else ()), *(REFINED_KEYS if there.refined else ()))
    pose_keys = (*POSE_KEYS, *(POSE_EXTRA_KEYS if there.pose_extra else ()))
    pose_keys += POSE_REFINED_KEYS if there.refined else ()
    parts = [_Stream(ESTIMATES, lambda batch: estimate_columns(batch, there), keys)]
    if there.fused:
        parts.append(_Stream(MOMENTS, lambda batch: pose_columns(batch, there), pose_keys))
    if there.events:
        parts.append(_Stream(EVENTS, lambda batch: event_columns(batch, there), EVENT_KEYS))
    return parts, static_arrays(read, there)


def arrays(read: Read) -> Columns:
    """What ``write_npz`` writes, in memory."""
    parts, statics = _streams(read)
    found: Columns = {}
    for part in parts:
        batches = [part.columns(batch) for batch in read(part.stream)]
        for key in part.keys:
            whole = np.concatenate([columns[key] for columns in batches])
            found[key] = whole.astype(str) if whole.dtype == object else whole
    return found | statics


def write_npz(read: Read, folder: Path) -> list[str]:
    """Arrays go through files in the folder, not through memory."""
    parts, statics = _streams(read)
    said = []
    with zipfile.ZipFile(folder / MAIN, "w", allowZip64=True) as archive:
        for part in parts:
            count = Count(part.stream)
            _part(archive, (part.columns(count(batch)) for batch in read(part.stream)), part.keys, folder)
            said.append(str(count))
        for key, value in statics.items():
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
    return [", ".join(said)]


def _part(archive: zipfile.ZipFile, batches: Iterator[Columns], keys: Sequence[str], folder: Path) -> None:
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
