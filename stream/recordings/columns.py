"""The streams of a take as numpy columns by name, as exports hold them, a few thousand rows at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera
from engines.skeleton import JOINTS, PARENTS
from stream.recordings.extra_joints import extra_arrays, extra_names
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.recordings.takes import Take
from stream.selection import Selection
from stream.words import number_of


class Read(Protocol):
    """A take that is read for an export: ``reading.Reading``."""

    take: Take
    selection: Selection

    def __call__(self, stream: str) -> Iterable[pa.RecordBatch]:
        """The batches of a stream, by its name, a few thousand rows each; at least one, if an empty one."""
        ...

    def batches(self, stream: str) -> Iterable[pa.RecordBatch]:
        """The same as they were recorded, which is cheaper where columns are only looked at; perhaps none."""
        ...


Columns = dict[str, NDArray[Any]]

ESTIMATE_KEYS = (
    "moment", "moment_time", "time", "frame_index", "camera", "detector", "xy", "score", "hypotheses", "weights",
    "sigmas", "track_ids", "answer", "answer_raw", "root", "fov_assumed", "person_id", "cov",
    "track_probabilities", "unix_time", "root_raw",
)  # fmt: skip
EXTRA_KEYS = ("extra_xy", "extra_score", "extra_cov")
POSE_KEYS = (
    "pose_time", "pose_world", "pose_cov", "pose_sigma", "pose_method", "pose_cameras", "pose_person", "pose_inferred",
    "pose_unix_time",
)  # fmt: skip
POSE_EXTRA_KEYS = ("pose_extra", "pose_extra_cov")
REFINED_KEYS = ("answer_cov", "answer_state")
POSE_REFINED_KEYS = ("pose_state",)
"""Columns of takes that were refined."""
EVENT_KEYS = ("event_time", "event_source", "event_text", "event_unix_time")
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
    seen: "SeenJoints"
    """Which joints the cameras saw."""
    unix_offset: float
    """``RunInfo.unix_offset``."""
    refined: bool = False
    """``RunInfo.refined``."""


class SeenJoints:
    """Which of the 17 joints any camera saw of a person in a moment: the others of a pose are inferred."""

    def __init__(self, moment: NDArray[np.int64], person: NDArray[np.int64], seen: Bools) -> None:
        """Of rows (R,) of views, and (R, 17) what is seen in each."""
        self._span = int(person.max(initial=0)) + 2
        keys = self._key(moment, person)
        order = np.argsort(keys, kind="stable")
        self._keys, starts = np.unique(keys[order], return_index=True)
        self._seen = np.logical_or.reduceat(seen[order], starts) if len(keys) else seen

    def _key(self, moment: NDArray[np.int64], person: NDArray[np.int64]) -> NDArray[np.int64]:
        return moment * self._span + np.minimum(person + 1, self._span - 1)

    def of(self, moment: NDArray[np.int64], person: NDArray[np.int64]) -> Bools:
        """(T, 17) of rows of fused poses; False where no view is known."""
        if not len(self._keys):
            return np.zeros((len(moment), self._seen.shape[1]), bool)
        keys = self._key(moment, person)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._seen[at] & ((self._keys[at] == keys) & (person + 1 < self._span))[:, None]


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
    nobody = np.zeros(0, np.int64)
    views: list[tuple[NDArray[np.int64], NDArray[np.int64], Bools]] = [(nobody, nobody, np.zeros((0, 17), bool))]
    for batch in read.batches(ESTIMATES):
        extra |= dict.fromkeys(extra_names(batch.column("extra")))
        there = array_of(batch, "person")
        # Copies, or every batch would stay in memory.
        moment, person = (array_of(batch, name)[there].copy() for name in ("moment", "person_id"))
        views.append((moment, person, array_of(batch, "score")[there] > 0))
    for batch in read.batches(MOMENTS):
        fused |= bool(np.any(array_of(batch, "fused")))
        pose_extra |= dict.fromkeys(extra_names(batch.column("pose_extra")))
    moment, person, seen = (np.concatenate(parts) for parts in zip(*views, strict=True))
    return Contents(
        fused, any_event(read), tuple(extra), tuple(pose_extra), SeenJoints(moment, person, seen),
        read.take.run_info.unix_offset, read.take.run_info.refined,
    )  # fmt: skip


def any_fused(read: Read) -> bool:
    """Whether a moment of the take has a fused person."""
    return any(np.any(array_of(batch, "fused")) for batch in read.batches(MOMENTS))


def any_event(read: Read) -> bool:
    """Whether the take has an event."""
    return any(batch.num_rows for batch in read.batches(EVENTS))


def estimate_columns(batch: pa.RecordBatch, there: Contents) -> Columns:
    """Rows of the ``estimates`` stream as (rows, ...) by column name; 2D joints NaN where there is nobody.

    Args:
        batch: the rows.
        there: what the take holds; its further joints are ``EXTRA_KEYS``, in its order.
    """
    extra = there.extra
    names = (*ESTIMATE_KEYS, *(REFINED_KEYS if there.refined else ()), "person")
    columns = {name: array_of(batch, name) for name in names if name != "unix_time"}
    columns["unix_time"] = columns["moment_time"] + there.unix_offset
    for name in ("xy", "score"):
        columns[name] = columns[name].copy()
        columns[name][~columns["person"]] = np.nan
    further = extra_arrays(batch.column("extra"), extra)
    columns |= {"extra_xy": further["xy"], "extra_score": further["score"]}
    return columns | {"extra_cov": further["cov"].reshape(batch.num_rows, len(extra), 2, 2)}


def pose_columns(batch: pa.RecordBatch, there: Contents) -> Columns:
    """Rows of the ``moments`` stream: ``moment`` and ``missed_before`` (T,), and the ``pose_*`` of the npz.

    Args:
        batch: the rows.
        there: what the take holds; its further joints are ``POSE_EXTRA_KEYS``, in its order.
    """
    extra, fused = there.pose_extra, array_of(batch, "fused")
    moment, person = array_of(batch, "moment"), array_of(batch, "person_id")
    inferred = ~there.seen.of(moment, person) & fused[:, None]
    cov, further = array_of(batch, "pose_cov"), extra_arrays(batch.column("pose_extra"), extra)
    extra_cov = further["cov"].reshape(batch.num_rows, len(extra), 3, 3)
    return {name: array_of(batch, name) for name in (POSE_REFINED_KEYS if there.refined else ())} | {
        "moment": moment,
        "missed_before": array_of(batch, "missed_before"),
        "pose_time": array_of(batch, "time"),
        "pose_world": array_of(batch, "pose_world"),
        "pose_cov": cov,
        "pose_sigma": sigma_of(cov),
        "pose_method": array_of(batch, "pose_method"),
        "pose_cameras": np.array([",".join(names) for names in batch.column("pose_cameras").to_pylist()], object),
        "pose_person": person,
        "pose_inferred": inferred,
        "inferred": np.array([" ".join(JOINTS[j] for j in np.flatnonzero(row)) for row in inferred], object),
        "pose_unix_time": array_of(batch, "time") + there.unix_offset,
        "pose_extra": further["xyz"],
        "pose_extra_cov": extra_cov,
        "pose_extra_sigma": sigma_of(extra_cov),
    }


def sigma_of(cov: NDArray[np.floating]) -> NDArray[np.floating]:
    """One standard deviation an axis, (...) mm, of covariances (..., 3, 3) mm2."""
    with np.errstate(invalid="ignore", over="ignore"):  # NaN of a pose that is not there, or is damaged
        return np.sqrt(np.trace(cov, axis1=-2, axis2=-1) / 3)


def event_columns(batch: pa.RecordBatch, there: Contents) -> Columns:
    """Rows of the ``events`` stream as ``EVENT_KEYS``."""
    columns = {f"event_{key}": array_of(batch, key) for key in ("time", "source", "text")}
    return columns | {"event_unix_time": columns["event_time"] + there.unix_offset}


def static_arrays(read: Read, there: Contents) -> Columns:
    """What is the same in all rows: joints, times of day, cameras and their calibrations; NaN where one has none."""
    info = read.take.run_info
    known = [camera.calibration for camera in info.cameras]
    longest = max((len(camera.dist) for camera in known if camera is not None), default=5)
    ups = [camera.up for camera in known if camera is not None and camera.up is not None]

    def each(shape: tuple[int, ...], of: Callable[[Camera], Array]) -> Array:
        parts = [np.full(shape, np.nan) if camera is None else of(camera) for camera in known]
        return np.array(parts).reshape(-1, *shape)

    further = {"extra_names": there.extra, "pose_extra_names": there.pose_extra}
    return {key: np.array(names) for key, names in further.items() if names} | {
        "joints": np.array(info.joints),
        "parents": np.array(PARENTS),
        "fps": np.array(np.nan if info.fps is None else info.fps),
        "start_utc": np.array(info.start_utc.isoformat()),
        "start_monotonic": np.array(info.start_monotonic),
        "cameras": np.array([camera.name for camera in info.cameras]),
        "camera_size": np.array([camera.size or (0, 0) for camera in info.cameras]).reshape(-1, 2),
        "camera_K": each((3, 3), lambda camera: camera.K),
        "camera_dist": each((longest,), lambda camera: np.pad(camera.dist, (0, longest - len(camera.dist)))),
        "camera_fisheye": np.array([camera is not None and camera.fisheye for camera in known], bool),
        "camera_R": each((3, 3), lambda camera: camera.R),
        "camera_t": each((3,), lambda camera: camera.t),
        "up": np.array(ups[0] if ups else np.full(3, np.nan)),
    }
