"""The streams of a take as numpy columns by name, as exports hold them, a few thousand rows at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream.recordings.extra_joints import extra_arrays, extra_names
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.words import number_of

Read = Callable[[str], Iterable[pa.RecordBatch]]
"""The batches of a stream, by its name."""
Columns = dict[str, NDArray[Any]]

ESTIMATE_KEYS = (
    "moment", "moment_time", "time", "frame_index", "camera", "detector", "xy", "score", "hypotheses", "weights",
    "sigmas", "track_ids", "answer", "answer_raw", "root", "fov_assumed", "person_id", "cov",
)  # fmt: skip
EXTRA_KEYS = ("extra_xy", "extra_score", "extra_cov")
POSE_KEYS = ("pose_time", "pose_world", "pose_cov", "pose_sigma", "pose_method", "pose_cameras", "pose_person")
POSE_EXTRA_KEYS = ("pose_extra", "pose_extra_cov")
EVENT_KEYS = ("event_time", "event_source", "event_text")
IDS = ("track_ids", "person_id", "pose_person")
"""Columns in which -1 is none."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a take holds besides its estimates."""

    fused: bool
    """Whether a moment has a fused person."""
    events: bool
    """Whether there is an event."""
    extra: tuple[str, ...]
    """Names of the further 2D joints that are in it."""
    pose_extra: tuple[str, ...]
    """Names of those of them that are in fused poses."""


class Count:
    """Counts the rows of a stream as they pass, and says of what there were how many."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._rows = self._fused = 0

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Count a batch and hand it on."""
        self._rows += batch.num_rows
        if self._stream == MOMENTS:
            self._fused += int(np.sum(array_of(batch, "fused")))
        return batch

    def __str__(self) -> str:
        if self._stream == MOMENTS:
            nobody = self._rows - self._fused
            without = f", {number_of(nobody, 'moment')} without one" if nobody else ""
            return number_of(self._fused, "fused pose") + without
        return number_of(self._rows, "event" if self._stream == EVENTS else "row")


def contents_of(read: Read) -> Contents:
    """Go through a take once."""
    fused, extra, pose_extra = False, dict[str, None](), dict[str, None]()
    for batch in read(ESTIMATES):
        extra |= dict.fromkeys(extra_names(batch.column("extra")))
    for batch in read(MOMENTS):
        fused |= bool(np.any(array_of(batch, "fused")))
        pose_extra |= dict.fromkeys(extra_names(batch.column("pose_extra")))
    return Contents(fused, any_event(read), tuple(extra), tuple(pose_extra))


def any_fused(read: Read) -> bool:
    """Whether a moment of the take has a fused person."""
    return any(np.any(array_of(batch, "fused")) for batch in read(MOMENTS))


def any_event(read: Read) -> bool:
    """Whether the take has an event."""
    return any(batch.num_rows for batch in read(EVENTS))


def estimate_columns(batch: pa.RecordBatch, extra: tuple[str, ...] = ()) -> Columns:
    """Rows of the ``estimates`` stream as (rows, ...) by column name; 2D joints NaN where there is nobody.

    Args:
        batch: the rows.
        extra: further joints to give as ``EXTRA_KEYS``, in this order.
    """
    columns = {name: array_of(batch, name) for name in (*ESTIMATE_KEYS, "person", "track_probabilities")}
    for name in ("xy", "score"):
        columns[name] = columns[name].copy()
        columns[name][~columns["person"]] = np.nan
    further = extra_arrays(batch.column("extra"), extra)
    columns |= {"extra_xy": further["xy"], "extra_score": further["score"]}
    return columns | {"extra_cov": further["cov"].reshape(batch.num_rows, len(extra), 2, 2)}


def pose_columns(batch: pa.RecordBatch, extra: tuple[str, ...] = ()) -> Columns:
    """Rows of the ``moments`` stream: ``moment`` and ``missed_before`` (T,), and the ``pose_*`` of the npz.

    Args:
        batch: the rows.
        extra: further joints to give as ``POSE_EXTRA_KEYS``, in this order.
    """
    cov, further = array_of(batch, "pose_cov"), extra_arrays(batch.column("pose_extra"), extra)
    extra_cov = further["cov"].reshape(batch.num_rows, len(extra), 3, 3)
    return {
        "moment": array_of(batch, "moment"),
        "missed_before": array_of(batch, "missed_before"),
        "pose_time": array_of(batch, "time"),
        "pose_world": array_of(batch, "pose_world"),
        "pose_cov": cov,
        "pose_sigma": _sigma(cov),
        "pose_method": array_of(batch, "pose_method"),
        "pose_cameras": np.array([",".join(names) for names in batch.column("pose_cameras").to_pylist()], object),
        "pose_person": array_of(batch, "person_id"),
        "pose_extra": further["xyz"],
        "pose_extra_cov": extra_cov,
        "pose_extra_sigma": _sigma(extra_cov),
    }


def _sigma(cov: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.sqrt(np.trace(cov, axis1=-2, axis2=-1) / 3)


def event_columns(batch: pa.RecordBatch) -> Columns:
    """Rows of the ``events`` stream as ``EVENT_KEYS``."""
    return {key: array_of(batch, key.removeprefix("event_")) for key in EVENT_KEYS}
