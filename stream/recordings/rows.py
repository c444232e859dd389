"""Estimates and events to rows of a recording's tables, and back, arrays bit for bit (float32)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from engines.types import Detection, Mixture, Pose, empty_detection
from stream.recordings.extra_joints import decode_image, decode_world, encode_extra
from stream.recordings.schema import array_of
from stream.types import ClockReading, Estimate, Event, FrameReference, HypothesisTrack, View


def _column(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return encode_extra(values, field.type)
    if not pa.types.is_fixed_size_list(field.type):
        return pa.array(values, field.type)
    kind = field.type.value_type
    missing = -1 if pa.types.is_integer(kind) else np.nan
    size = field.type.list_size
    flat = np.empty((len(values), size), kind.to_pandas_dtype())
    for row, value in enumerate(values):
        if value is None:
            flat[row] = missing
            continue
        value = np.asarray(value)
        if value.size != size:
            raise ValueError(f"{field.name} has {value.size} values, the recording's schema says {size}")
        flat[row] = value.reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1), kind), size)


def _batch(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.record_batch([_column(f, c) for f, c in zip(schema, columns, strict=True)], schema=schema)


def encode_estimates(schema: pa.Schema, estimates: Sequence[Estimate], assumed: Mapping[str, bool]) -> pa.RecordBatch:
    """Estimates to rows of the ``estimates`` stream: one a frame and person whom the camera sees, or nobody.

    Args:
        schema: of that stream.
        estimates: in order.
        assumed: camera -> whether its field of view is assumed.

    Raises:
        ValueError: if an array has not the size that the schema says.
    """
    rows = []
    for estimate in estimates:
        for k, frame in enumerate(estimate.frames):
            if frame is None:
                continue
            seen = [(p.person_id, view) for p in estimate.people if (view := p.views[k]) is not None]
            for person_id, view in seen or [(-1, View(detection=empty_detection(frame.detector)))]:
                detection, mixture, tracks = view.detection, view.mixture, view.tracks or None
                rows.append((
                    estimate.index, estimate.t, frame.camera, frame.frame_index, frame.t, *frame.size,
                    detection.origin, bool(seen), mixture is not None, assumed[frame.camera],
                    detection.xy, detection.score, detection.derived,
                    *((None,) * 3 if mixture is None else (mixture.mean, mixture.weight, mixture.sigma)),
                    tracks and [track.id for track in tracks],
                    tracks and [track.birth for track in tracks],
                    tracks and [track.probability for track in tracks],
                    view.answer, view.answer_raw, view.root, person_id, detection.cov, detection.extra, view.root_raw,
                    *((view.answer_cov, view.answer_state) if _REFINED_VIEW[0] in schema.names else ()),
                ))  # fmt: skip
    return _batch(schema, rows)


def encode_moments(schema: pa.Schema, estimates: Sequence[Estimate], missed: Sequence[int]) -> pa.RecordBatch:
    """Estimates to rows of the ``moments`` stream: one a fused person, or nobody.

    Args:
        schema: of that stream.
        estimates: in order.
        missed: how many were lost just before each; said in its first row, as are the stages and who was left out.
    """
    rows = []
    for estimate, gap in zip(estimates, missed, strict=True):
        stages = None if estimate.stages is None else list(estimate.stages.items())
        fused = [(p.person_id, p.pose) for p in estimate.people if p.pose is not None]
        for number, (person_id, pose) in enumerate(fused or [(-1, None)]):
            said = (None, None, "", []) if pose is None else (pose.joints, pose.cov, pose.method, list(pose.cameras))
            rows.append((
                estimate.index, estimate.t, estimate.spread_s, 0 if number else gap, pose is not None, *said,
                None if number else stages, person_id, None if pose is None else pose.extra,
                0 if number else estimate.left_out,
                *((None if pose is None else pose.state,) if _REFINED_POSE in schema.names else ()),
            ))  # fmt: skip
    return _batch(schema, rows)


def encode_events(schema: pa.Schema, events: Sequence[Event]) -> pa.RecordBatch:
    """Events to rows of the ``events`` stream."""
    return _batch(schema, [(event.t, event.source, event.text) for event in events])


def encode_clocks(schema: pa.Schema, readings: Sequence[ClockReading]) -> pa.RecordBatch:
    """Readings to rows of the ``clocks`` stream."""
    return _batch(schema, [(r.t, r.clock, r.other, r.ahead, r.within) for r in readings])


def encode_frames(schema: pa.Schema, frames: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Rows of the ``frames`` stream, whose values are in the order of the columns."""
    return _batch(schema, frames)


class ViewRow(NamedTuple):
    """A row of the ``estimates`` stream."""

    moment: int
    """``Estimate.index``."""
    t: float
    """``Estimate.t``, seconds."""
    frame: FrameReference
    """The camera's frame."""
    person_id: int
    """-1 = nobody, or not known."""
    view: View | None
    """None where the camera sees nobody."""


class PoseRow(NamedTuple):
    """A row of the ``moments`` stream."""

    moment: int
    """``Estimate.index``."""
    t: float
    """``Estimate.t``, seconds."""
    spread_s: float
    """``Estimate.spread_s``."""
    stages: dict[str, float] | None
    """``Estimate.stages``, in a moment's first row."""
    person_id: int
    """-1 = nobody is fused, or not known."""
    pose: Pose | None
    """None where nobody is fused."""
    left_out: int
    """``Estimate.left_out``, in a moment's first row."""


_VIEW_COLUMNS = (
    "moment", "moment_time", "camera", "frame_index", "time", "width", "height", "detector", "person", "lifted", "xy",
    "score", "derived", "hypotheses", "weights", "sigmas", "track_ids", "track_births", "track_probabilities",
    "answer", "answer_raw", "root", "person_id", "cov", "root_raw",
)  # fmt: skip
_REFINED_VIEW, _REFINED_POSE = ("answer_cov", "answer_state"), "pose_state"
"""Columns of takes that were refined."""
_POSE_COLUMNS = (
    "moment", "time", "spread_s", "stages", "person_id", "fused", "pose_method", "pose_cameras",
    "left_out",
)  # fmt: skip


_FLOATS = ("answer_raw", "answer", "root", "root_raw", "cov")
"""What is None where it is not known."""


def decode_estimates(batch: pa.RecordBatch) -> Iterator[ViewRow]:
    """Rows of the ``estimates`` stream, completed (``schema.completed``)."""
    refined = [name for name in _REFINED_VIEW if name in batch.schema.names]
    c = {name: array_of(batch, name) for name in (*_VIEW_COLUMNS, *refined)}
    extra = decode_image(batch.column("extra"))
    for i in range(batch.num_rows):
        frame = FrameReference(
            str(c["camera"][i]), int(c["frame_index"][i]), float(c["time"][i]),
            (int(c["width"][i]), int(c["height"][i])), str(c["detector"][i]),
        )  # fmt: skip
        view = None
        if c["person"][i]:
            mixture, tracks = None, ()
            if c["lifted"][i]:
                mixture = Mixture(c["hypotheses"][i], c["sigmas"][i], c["weights"][i])
            if c["track_ids"][i, 0] >= 0:
                poses = c["hypotheses"][i]
                ids, births, chances = c["track_ids"][i], c["track_births"][i], c["track_probabilities"][i]
                tracks = tuple(
                    HypothesisTrack(int(ids[k]), float(births[k]), poses[k], float(chances[k])) for k in range(len(ids))
                )
            known = {k: None if np.isnan(c[k][i]).all() else c[k][i] for k in _FLOATS}
            known |= {k: None if (c[k][i] == -1).all() else c[k][i] for k in refined}
            cov = known.pop("cov")
            detection = Detection(c["xy"][i], c["score"][i], c["derived"][i], frame.detector, cov=cov, extra=extra[i])
            view = View(detection=detection, mixture=mixture, tracks=tracks, **known)
        yield ViewRow(int(c["moment"][i]), float(c["moment_time"][i]), frame, int(c["person_id"][i]), view)


def decode_moments(batch: pa.RecordBatch) -> Iterator[PoseRow]:
    """Rows of the ``moments`` stream, completed (``schema.completed``)."""
    joints, cov = array_of(batch, "pose_world"), array_of(batch, "pose_cov")
    state = array_of(batch, _REFINED_POSE) if _REFINED_POSE in batch.schema.names else None
    extra = decode_world(batch.column("pose_extra"))
    for i, row in enumerate(batch.select(_POSE_COLUMNS).to_pylist()):
        pose = None
        if row["fused"]:
            pose = Pose(
                joints[i], cov[i], tuple(row["pose_cameras"]), row["pose_method"], extra=extra[i],
                state=None if state is None else state[i],
            )  # fmt: skip
        stages = None if row["stages"] is None else dict(row["stages"])
        left_out = max(row["left_out"], 0)
        yield PoseRow(row["moment"], row["time"], row["spread_s"], stages, row["person_id"], pose, left_out)


def decode_clocks(batch: pa.RecordBatch) -> list[ClockReading]:
    """Rows of the ``clocks`` stream."""
    return [ClockReading(r["time"], r["clock"], r["other"], r["ahead"], r["within"]) for r in batch.to_pylist()]


def decode_events(batch: pa.RecordBatch) -> list[Event]:
    """Rows of the ``events`` stream."""
    return [Event(row["time"], row["source"], row["text"]) for row in batch.to_pylist()]
