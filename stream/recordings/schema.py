"""The format of a recording: its header and its tables.

A take is a folder with streams of segments (``stream.recordings.segments``): ``estimates``, one row a moment, camera
and person; ``moments``, one row a moment and fused person; ``events``; where images are recorded, ``frames``, one row
an image; and in a group of computers ``clocks``. The header is JSON in the metadata of every segment's schema.
``docs/recording.md`` tells a stranger how to read it. ``stream.recordings.rows`` turns estimates into rows and back.

Version 2 added ``events`` and the columns in ``_SINCE_2``; version 1 is read as if they said nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.text import one_line, parse_json, shown
from stream.recordings.extra_joints import IMAGE_TYPE, WORLD_TYPE
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.types import StreamError

_MOST_CAMERAS, _MOST_KERNELS = 1000, 1000
FORMAT = "hypothesis-stream"
VERSION = 2
ESTIMATES, MOMENTS, EVENTS, FRAMES, CLOCKS = "estimates", "moments", "events", "frames", "clocks"
STREAMS = (ESTIMATES, MOMENTS, EVENTS, FRAMES, CLOCKS)
_SINCE_2 = {ESTIMATES: ("person_id", "cov", "extra", "root_raw"), MOMENTS: ("person_id", "pose_extra", "left_out")}


def _camera_to_json(camera: Camera) -> dict[str, Any]:
    arrays = {key: getattr(camera, key) for key in ("K", "dist", "R", "t", "up")}
    lists = {key: None if value is None else value.tolist() for key, value in arrays.items()}
    # Only of a fisheye, so that a program which does not know it reads all others as before.
    lens = {"fisheye": True} if camera.fisheye else {}
    return {"name": camera.name, "size": list(camera.size), **lists, **lens}


def _camera_from_json(data: Mapping[str, Any]) -> Camera:
    size = (data["size"][0], data["size"][1])
    # The camera turns the lists into arrays and checks them.
    fisheye = data.get("fisheye", False)
    if not isinstance(fisheye, bool):
        raise CalibrationError(f"camera {shown(data['name'])}: fisheye is {shown(fisheye)}, expected true or false")
    return Camera(data["name"], size, data["K"], data["dist"], data["R"], data["t"], data["up"], fisheye)


def run_info_to_json(run_info: RunInfo, version: int = VERSION) -> str:
    """The header as JSON, every number exact."""
    cameras = [
        asdict(replace(camera, calibration=None))
        | {"calibration": None if camera.calibration is None else _camera_to_json(camera.calibration)}
        | {"fov_assumed": camera.fov_assumed}
        for camera in run_info.cameras
    ]
    data = asdict(replace(run_info, cameras=())) | {"cameras": cameras, "start_utc": run_info.start_utc.isoformat()}
    # Settings may hold a Path or a numpy number; their text is what a reader needs.
    return json.dumps({"format": FORMAT, "version": version} | data, default=str)


def run_info_from_json(text: str | bytes) -> RunInfo:
    """Read a header.

    Raises:
        StreamError: if it is of another format or a newer version, or damaged.
    """
    try:
        return _run_info(parse_json(text))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, CalibrationError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StreamError(f"the header of the recording cannot be read: {one_line(what, 200)}") from error


def _run_info(data: Any) -> RunInfo:
    if not isinstance(data, dict):
        raise TypeError("it is no table")
    if data.get("format") != FORMAT or data.get("version") not in range(1, VERSION + 1):
        raise StreamError(
            f"a recording of format {shown(data.get('format'))} version {shown(data.get('version'))}; this program"
            f" reads {FORMAT!r} up to version {VERSION}: use the program that wrote it"
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
    _check(data, cameras)
    return RunInfo(
        cameras=cameras,
        start_utc=datetime.fromisoformat(data["start_utc"]),
        joints=tuple(data["joints"]),
        axes=data["axes"],
        **{key: data[key] for key in same},
    )


def _check(data: Mapping[str, Any], cameras: Sequence[CameraInfo]) -> None:
    """Refuse what reading the take would fail at, or what would garble a terminal."""
    names = [camera.name for camera in cameras]
    if not all(isinstance(name, str) and name.isprintable() and len(name) <= 200 for name in names):
        raise ValueError(f"cameras are named {shown(names)}, expected short text")
    if len(set(names)) < len(names) or len(names) > _MOST_CAMERAS:
        raise ValueError(f"{len(names)} cameras with {len(set(names))} names, expected up to {_MOST_CAMERAS}")
    for camera in cameras:
        if not (camera.size is None or all(type(n) is int and 0 < n < 1 << 20 for n in camera.size)):
            raise ValueError(f"the size of camera {camera.name} is {shown(camera.size)}")
        if not (isinstance(camera.source, str) and isinstance(camera.kind, str)):
            raise TypeError(f"source or kind of camera {camera.name} is no text")
    if type(data["kernels"]) is not int or not 0 < data["kernels"] <= _MOST_KERNELS:
        raise ValueError(f"kernels is {shown(data['kernels'])}, expected 1 to {_MOST_KERNELS}")
    for key in ("fps", "start_monotonic"):
        value = data[key]
        number = isinstance(value, int | float) and abs(value) < 1e15
        if not number and (value is not None or key != "fps"):
            raise ValueError(f"{key} is {shown(value)}, expected a number")
    for key in ("detectors", "lifter", "settings", "units", "axes"):
        if not isinstance(data[key], dict):
            raise TypeError(f"{key} is {shown(data[key])}, expected a table")
    if not (isinstance(data["joints"], list) and all(isinstance(joint, str) for joint in data["joints"])):
        raise TypeError(f"joints is {shown(data['joints'])}, expected names")
    if not (isinstance(data["runtime"], str) and isinstance(data["software"], str)):
        raise TypeError("runtime or software is no text")


def _field(name: str, kind: pa.DataType, shape: Sequence[int] = (), **said: str) -> pa.Field:
    """A column; arrays are flat fixed-size lists whose metadata tells shape, unit and frame of reference."""
    if shape:
        kind, said = pa.list_(kind, prod(shape)), {"shape": ",".join(map(str, shape))} | said
    return pa.field(name, kind, metadata=said or None)


def schemas(run_info: RunInfo, version: int = VERSION) -> dict[str, pa.Schema]:
    """The schema of each stream, by its name, as a version of the format has it."""
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
        _field("person_id", i64, what="the same in all cameras and moments; -1 = nobody, or not known"),
        _field("cov", f32, (17, 2, 2), unit="px2", what="covariance of xy"),
        _field("extra", IMAGE_TYPE, unit="px", what="further 2D joints"),
        _field("root_raw", f32, (3,), unit="mm", axes="camera", what="where the frame alone puts the pelvis"),
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
        _field("pose_cameras", pa.list_(text), what="cameras that were used: those that the pose does not contradict"),
        _field("stages", pa.map_(text, f64), unit="s", what="what each stage took"),
        _field("person_id", i64, what="as in the estimates; -1 = nobody is fused, or not known"),
        _field("pose_extra", WORLD_TYPE, unit="mm", axes="world", what="further joints"),
        _field("left_out", i64, what="how many more people were found than are followed; -1 = not known"),
    ]
    events = [
        _field("time", f64, unit="s", what="in the time of the moments"),
        _field("source", text, what="who says so"),
        _field("text", text),
    ]
    frames = [
        _field("camera", text),
        _field("frame_index", i64, what="number of the frame in its source"),
        _field("time", f64, unit="s", what="as in the estimates"),
        _field("file", text, what="video file in this folder"),
        _field("number", i64, what="which image of that file, from 0"),
        _field("video_time", f64, unit="s", what="its presentation time in that file"),
        _field("arrival", f64, unit="s", what="when it came, by the clock of time; NaN where that is not known"),
        _field("device_time", f64, unit="s", what="by the clock of the device; NaN where it has none"),
    ]
    clocks = [
        _field("time", f64, unit="s", what="in the time of the moments"),
        _field("clock", text, what="whose time that is"),
        _field("other", text, what="whose the other clock is"),
        _field("ahead", f64, unit="s", what="the other clock minus this one"),
        _field("within", f64, unit="s", what="it is not further off than this"),
    ]
    if run_info.refined:
        state = {"what": "0 measured, 1 filled in, 2 extrapolated; -1 = nobody"}
        estimates.append(_field("answer_cov", f32, (17, 3, 3), **camera | {"unit": "mm2"}))
        estimates.append(_field("answer_state", pa.int8(), (17,), **state))
        frame_sets.append(_field("pose_state", pa.int8(), (17,), **state))
    metadata = {FORMAT: run_info_to_json(run_info, version)}
    tables = {ESTIMATES: estimates, MOMENTS: frame_sets, EVENTS: events, FRAMES: frames, CLOCKS: clocks}
    if version < 2:
        tables |= {stream: [f for f in tables[stream] if f.name not in new] for stream, new in _SINCE_2.items()}
    return {stream: pa.schema(fields, metadata) for stream, fields in tables.items()}


def believed(found: pa.Schema, expected: pa.Schema) -> pa.Schema:
    """The schema to read a segment's batches with.

    Args:
        found: the segment's own; it may be damaged where no journal vouches for it.
        expected: that of its version.

    Returns:
        The one that was found, with the shapes that its version gives its columns; the expected one where a column has
        another type or name.
    """
    try:
        kinds = {field.name: field.type for field in found}
    except UnicodeDecodeError:
        return expected
    known = {field.name: field for field in expected}
    missing, others = known.keys() - kinds.keys(), kinds.keys() - known.keys()
    if len(kinds) < len(found) or (missing and others) or any(kinds[n] != known[n].type for n in known if n in kinds):
        return expected
    return pa.schema([known.get(field.name, field) for field in found], found.metadata)


def completed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns that an older version lacks, filled with what says that nothing is known."""
    for field in schema:
        if field.name not in batch.schema.names:
            batch = batch.append_column(field, unknown(field.type, batch.num_rows))
    return batch


def holds_nulls(column: pa.Array) -> bool:
    """Whether a value is null, or one inside a value; a map may be."""
    kind = column.type
    if pa.types.is_map(kind):
        return False
    if column.null_count:
        return True
    if pa.types.is_struct(kind):
        return any(map(holds_nulls, column.flatten()))
    nested = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and holds_nulls(column.flatten())


def unknown(kind: pa.DataType, rows: int) -> pa.Array:
    """Integers -1, numbers NaN, texts and lists empty, flags False, maps null."""
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(unknown(kind.value_type, rows * kind.list_size), kind.list_size)
    if pa.types.is_map(kind):
        return pa.nulls(rows, kind)
    value = [] if pa.types.is_list(kind) else "" if pa.types.is_string(kind) else False
    value = -1 if pa.types.is_integer(kind) else np.nan if pa.types.is_floating(kind) else value
    return pa.array([value] * rows, kind)


def run_info_of(schema: pa.Schema) -> tuple[RunInfo, int]:
    """The header in a segment's schema, and the version of its format.

    Raises:
        StreamError: if the file is not of this program, or of a newer one.
    """
    text = (schema.metadata or {}).get(FORMAT.encode())
    if text is None:
        raise StreamError("an Arrow file, but no recording of this program: its schema has no header")
    return run_info_from_json(text), json.loads(text)["version"]


def array_of(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """A column as numpy: (rows,) of values, or (rows, *shape) for arrays, the shape being the one in its metadata."""
    field, column = batch.schema.field(name), batch.column(name)
    if not pa.types.is_fixed_size_list(field.type):
        return column.to_numpy(zero_copy_only=False)
    shape = [int(n) for n in (field.metadata or {})[b"shape"].split(b",")]
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)
