"""The format of a recording: its header, its two tables and how estimates become rows and back.

A take is a folder with streams of segments (``stream.recordings.segments``): ``estimates``, one row a moment and
camera; ``moments``, one row a moment with the fused person; and, where images are recorded, ``frames``, one row an
image. The header is JSON in the metadata of every segment's schema.
``docs/recording.md`` tells a stranger how to read it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calibration.geometry.camera import Camera
from engines.types import Detection, Mixture, Pose
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.types import Estimate, HypothesisTrack, StreamError, View

FORMAT = "hypothesis-stream"
VERSION = 1
ESTIMATES, MOMENTS, FRAMES = "estimates", "moments", "frames"


def _camera_to_json(camera: Camera) -> dict[str, Any]:
    arrays = {key: getattr(camera, key) for key in ("K", "dist", "R", "t", "up")}
    lists = {key: None if value is None else value.tolist() for key, value in arrays.items()}
    return {"name": camera.name, "size": list(camera.size), **lists}


def _camera_from_json(data: Mapping[str, Any]) -> Camera:
    size = (data["size"][0], data["size"][1])
    # The camera turns the lists into arrays and checks them.
    return Camera(data["name"], size, data["K"], data["dist"], data["R"], data["t"], data["up"])


def run_info_to_json(run_info: RunInfo) -> str:
    """The header as JSON, every number exact."""
    cameras = [
        asdict(replace(camera, calibration=None))
        | {"calibration": None if camera.calibration is None else _camera_to_json(camera.calibration)}
        | {"fov_assumed": camera.fov_assumed}
        for camera in run_info.cameras
    ]
    data = asdict(replace(run_info, cameras=())) | {"cameras": cameras, "start_utc": run_info.start_utc.isoformat()}
    # Settings may hold a Path or a numpy number; their text is what a reader needs.
    return json.dumps({"format": FORMAT, "version": VERSION} | data, default=str)


def run_info_from_json(text: str | bytes) -> RunInfo:
    """Read a header.

    Raises:
        StreamError: if it is of another format or a newer version.
    """
    data = json.loads(text)
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        raise StreamError(
            f"a recording of format {data.get('format')!r} version {data.get('version')!r}; this program reads"
            f" {FORMAT!r} version {VERSION}: use the program that wrote it"
        )
    cameras = tuple(
        CameraInfo(
            **{key: camera[key] for key in ("name", "source", "kind", "fov_degrees", "device", "serial")},
            size=None if camera["size"] is None else (camera["size"][0], camera["size"][1]),
            calibration=None if camera["calibration"] is None else _camera_from_json(camera["calibration"]),
        )
        for camera in data["cameras"]
    )
    same = ("kernels", "start_monotonic", "fps", "detectors", "lifter", "runtime", "software", "settings", "units")
    return RunInfo(
        cameras=cameras,
        start_utc=datetime.fromisoformat(data["start_utc"]),
        joints=tuple(data["joints"]),
        axes=data["axes"],
        **{key: data[key] for key in same},
    )


def _field(name: str, kind: pa.DataType, shape: Sequence[int] = (), **said: str) -> pa.Field:
    """A column; arrays are flat fixed-size lists whose metadata tells shape, unit and frame of reference."""
    if shape:
        kind, said = pa.list_(kind, prod(shape)), {"shape": ",".join(map(str, shape))} | said
    return pa.field(name, kind, metadata=said or None)


def schemas(run_info: RunInfo) -> dict[str, pa.Schema]:
    """The schema of each stream, by its name."""
    m, camera = run_info.kernels, {"unit": "mm", "axes": "camera", "origin": "pelvis"}
    i64, f64, f32, text = pa.int64(), pa.float64(), pa.float32(), pa.string()
    estimates = [
        _field("moment", i64, what="index of the moment, joins the two streams"),
        _field("moment_time", f64, unit="s"),
        _field("camera", text),
        _field("frame_index", i64, what="number of the frame in its source"),
        _field("time", f64, unit="s", what="PTS of a file, monotonic clock at grab of a live source"),
        _field("width", pa.int32(), unit="px"),
        _field("height", pa.int32(), unit="px"),
        _field("detector", text, what="which detector answered"),
        _field("person", pa.bool_()),
        _field("lifted", pa.bool_(), what="whether there are hypotheses"),
        _field("fov_assumed", pa.bool_(), what="the lens is a guess: distances are too"),
        _field("xy", f32, (17, 2), unit="px", what="2D joints, 0 where score is 0"),
        _field("score", f32, (17,), what="0..1, 0 = not seen"),
        _field("derived", pa.bool_(), (17,), what="computed from other joints"),
        _field("hypotheses", f32, (m, 17, 3), **camera),
        _field("weights", f32, (m,), what="mixing coefficients, sum 1"),
        _field("sigmas", f32, (m, 17), unit="mm", what="one standard deviation an axis"),
        _field("track_ids", i64, (m,), what="track of each hypothesis, -1 = none"),
        _field("track_births", f64, (m,), unit="s"),
        _field("track_probabilities", f64, (m,), what="smoothed over time, sum 1"),
        _field("answer", f32, (17, 3), **camera),
        _field("answer_raw", f32, (17, 3), **camera),
        _field("root", f32, (3,), unit="mm", axes="camera", what="position of the pelvis"),
    ]
    frame_sets = [
        _field("moment", i64),
        _field("time", f64, unit="s", what="the time the frames were matched to"),
        _field("spread_s", f64, unit="s", what="between the earliest and the latest frame"),
        _field("missed_before", i64, what="a gap: moments just before this one that were not recorded"),
        _field("fused", pa.bool_(), what="whether there is a fused person"),
        _field("pose_world", f32, (17, 3), unit="mm", axes="world"),
        _field("pose_cov", f32, (17, 3, 3), unit="mm2", axes="world"),
        _field("pose_method", text),
        _field("pose_cameras", pa.list_(text), what="cameras that were used"),
        _field("stages", pa.map_(text, f64), unit="s", what="what each stage took"),
    ]
    frames = [
        _field("camera", text),
        _field("frame_index", i64, what="number of the frame in its source"),
        _field("time", f64, unit="s", what="as in the estimates"),
        _field("file", text, what="video file in this folder"),
        _field("number", i64, what="which image of that file, from 0"),
        _field("video_time", f64, unit="s", what="its presentation time in that file"),
    ]
    metadata = {FORMAT: run_info_to_json(run_info)}
    return {
        name: pa.schema(fields, metadata)
        for name, fields in ((ESTIMATES, estimates), (MOMENTS, frame_sets), (FRAMES, frames))
    }


def run_info_of(schema: pa.Schema) -> RunInfo:
    """The header in a segment's schema.

    Raises:
        StreamError: if the file is not of this program, or of a newer one.
    """
    text = (schema.metadata or {}).get(FORMAT.encode())
    if text is None:
        raise StreamError("an Arrow file, but no recording of this program: its schema has no header")
    return run_info_from_json(text)


def _column(field: pa.Field, values: Sequence[Any]) -> pa.Array:
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
    """Estimates to rows of the ``estimates`` stream, one a camera that had a frame.

    Args:
        schema: of that stream.
        estimates: in order.
        assumed: camera -> whether its field of view is assumed.

    Raises:
        ValueError: if an array has not the size that the schema says.
    """
    rows = []
    for estimate in estimates:
        for view in estimate.views:
            if view is None:
                continue
            seen, mixture, tracks = view.detection, view.mixture, view.tracks or None
            rows.append((
                estimate.index, estimate.t, view.camera, view.frame_index, view.t, *view.size,
                seen.origin, seen.person, mixture is not None, assumed[view.camera],
                seen.xy, seen.score, seen.derived,
                *((None,) * 3 if mixture is None else (mixture.mean, mixture.weight, mixture.sigma)),
                tracks and [track.id for track in tracks],
                tracks and [track.birth for track in tracks],
                tracks and [track.probability for track in tracks],
                view.answer, view.answer_raw, view.root,
            ))  # fmt: skip
    return _batch(schema, rows)


def encode_moments(schema: pa.Schema, estimates: Sequence[Estimate], missed: Sequence[int]) -> pa.RecordBatch:
    """Estimates to rows of the ``moments`` stream; ``missed`` says how many were lost just before each."""
    rows = []
    for estimate, gap in zip(estimates, missed, strict=True):
        pose = estimate.pose
        fused = (None, None, "", []) if pose is None else (pose.joints, pose.cov, pose.method, list(pose.cameras))
        stages = None if estimate.stages is None else list(estimate.stages.items())
        rows.append((estimate.index, estimate.t, estimate.spread_s, gap, pose is not None, *fused, stages))
    return _batch(schema, rows)


def array_of(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """A column as numpy: (rows,) of values, or (rows, *shape) for arrays, the shape being the one in its metadata."""
    field, column = batch.schema.field(name), batch.column(name)
    if not pa.types.is_fixed_size_list(field.type):
        return column.to_numpy(zero_copy_only=False)
    shape = [int(n) for n in (field.metadata or {})[b"shape"].split(b",")]
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)


def decode_estimates(batch: pa.RecordBatch) -> Iterator[tuple[int, float, View]]:
    """Rows of the ``estimates`` stream back to (moment index, moment time, view); arrays bit for bit as recorded."""
    c = {name: array_of(batch, name) for name in batch.schema.names}
    for i in range(batch.num_rows):
        mixture, tracks = None, ()
        if c["lifted"][i]:
            mixture = Mixture(c["hypotheses"][i], c["sigmas"][i], c["weights"][i])
        if c["track_ids"][i, 0] >= 0:
            poses = c["hypotheses"][i]
            ids, births, chances = c["track_ids"][i], c["track_births"][i], c["track_probabilities"][i]
            tracks = tuple(
                HypothesisTrack(int(ids[k]), float(births[k]), poses[k], float(chances[k])) for k in range(len(ids))
            )
        view = View(
            camera=str(c["camera"][i]), frame_index=int(c["frame_index"][i]), t=float(c["time"][i]),
            size=(int(c["width"][i]), int(c["height"][i])),
            detection=Detection(c["xy"][i], c["score"][i], c["derived"][i], str(c["detector"][i])),
            mixture=mixture, tracks=tracks,
            **{k: None if np.isnan(c[k][i]).all() else c[k][i] for k in ("answer_raw", "answer", "root")},
        )  # fmt: skip
        yield int(c["moment"][i]), float(c["moment_time"][i]), view


def decode_moments(batch: pa.RecordBatch) -> Iterator[Estimate]:
    """Rows of the ``moments`` stream back to estimates that still lack their views."""
    joints, cov = array_of(batch, "pose_world"), array_of(batch, "pose_cov")
    plain = [n for n in batch.schema.names if n not in ("pose_world", "pose_cov")]
    for i, row in enumerate(batch.select(plain).to_pylist()):
        pose = Pose(joints[i], cov[i], tuple(row["pose_cameras"]), row["pose_method"]) if row["fused"] else None
        stages = None if row["stages"] is None else dict(row["stages"])
        yield Estimate(row["moment"], row["time"], (), pose, row["spread_s"], stages)
