"""A recording as markers of a motion capture system: TRC (OpenSim) and C3D (Blender, Mokka, Visual3D).

The markers are the fused person in the world; where nothing is fused, or on request, the answer of one camera, put in
its place.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from calibration.arrays import Array
from engines.skeleton import JOINTS
from stream.recordings.schema import ESTIMATES, MOMENTS, array_of
from stream.recordings.tables import MAIN, any_fused
from stream.recordings.takes import Take
from stream.types import StreamError

# Frames are counted in 16 bits; ezc3d 1.7.2 writes more than that but reads only these.
_C3D_FRAMES = 65535
_Y, _Z = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])


class _Reading(Protocol):
    take: Take

    def __call__(self, stream: str) -> Iterable[pa.RecordBatch]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Markers:
    """The person over time."""

    time: Array
    """(T,) seconds, increasing."""
    points: Array
    """(T, 17, 3) mm; NaN where there is nobody."""
    up: Array
    """(3,) unit vector against gravity in the axes of the points."""
    notes: tuple[str, ...]
    """What the user should know."""


def turn(up: Array, target: Array) -> Array:
    """The rotation (3, 3) that carries ``up`` to ``target``, both (3,) unit vectors.

    From z up to y up it is (x, y, z) -> (y, z, x), which keeps the axes' names and is what Pose2Sim writes.
    """
    axis, cosine = np.cross(up, target), float(up @ target)
    if cosine > 1 - 1e-9:
        return np.eye(3)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1, -1]) if abs(target[0]) < 0.5 else np.diag([-1.0, -1, 1])
    if np.allclose(up, _Z) and np.allclose(target, _Y):
        return np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + K + K @ K / (1 + cosine)  # Rodrigues' formula


def markers_of(reading: _Reading, camera: str | None) -> Markers:
    """The fused person, or one camera's answer where that is asked for or nothing is fused.

    Args:
        reading: the take.
        camera: whose answer; may be None where something is fused or there is only one.

    Raises:
        StreamError: if nothing is fused and it is not clear which camera is meant, or there is nobody at all.
    """
    fused = any_fused(reading)
    if fused and camera is None:
        return _fused(reading)
    names = [c.name for c in reading.take.run_info.cameras]
    if camera is None and len(names) > 1:
        raise StreamError(
            f"nothing is fused in this take; choose one camera's answer with --camera: {', '.join(names)}"
        )
    if camera is not None and camera not in names:
        raise StreamError(f"no camera {camera!r} in this take; it has {', '.join(names)}")
    return _one_camera(reading, camera or names[0], "not the fused pose" if fused else "no fused pose")


def _fused(reading: _Reading) -> Markers:
    batches = list(reading(MOMENTS))
    time = np.concatenate([array_of(b, "time") for b in batches])
    points = np.concatenate([array_of(b, "pose_world") for b in batches]).astype(float)
    ups = [c.calibration.up for c in reading.take.run_info.cameras if c.calibration is not None]
    up = next((u for u in ups if u is not None), None)
    notes = () if up is not None else ("the calibration does not say where up is: z was taken to be up",)
    return Markers(time, points, _Z if up is None else np.asarray(up), ("fused pose, world axes", *notes))


def _one_camera(reading: _Reading, camera: str, instead: str) -> Markers:
    times, points = [np.empty(0)], [np.empty((0, len(JOINTS), 3))]
    for batch in reading(ESTIMATES):
        mine = array_of(batch, "camera") == camera
        times.append(array_of(batch, "moment_time")[mine])  # joints are brought to it; a frame may be in several
        points.append((array_of(batch, "answer").astype(float) + array_of(batch, "root")[:, None])[mine])
    time, where = np.concatenate(times), np.concatenate(points)
    if not np.isfinite(where).any():
        raise StreamError(f"camera {camera!r} has nobody in this take: there are no markers to export")
    calibration = next(c.calibration for c in reading.take.run_info.cameras if c.name == camera)
    up = None if calibration is None else calibration.up_in_camera
    which = "the image's up, the camera being taken to be level" if up is None else "up as calibrated"
    note = f"{instead}: this is the answer of camera {camera!r} at its root, in its own axes, turned to {which}"
    return Markers(time, where, np.array([0.0, -1, 0]) if up is None else up, (note,))


def _rate(time: Array) -> float:
    """Moments a second: the mean of the steps that are no gaps."""
    steps = np.diff(time)
    steps = steps[steps > 0]
    if not len(steps):
        return 30.0
    return float(1 / steps[steps < 1.5 * np.median(steps)].mean())


def write_trc(reading: _Reading, folder: Path, name: str, camera: str | None) -> list[str]:
    """TRC: metres, y up, time from the first row; nan where a joint is missing, as OpenSim writes it.

    OpenSim refuses a file with a row that ends in an empty cell.
    """
    markers = markers_of(reading, camera)
    points = markers.points @ turn(markers.up, _Y).T / 1000
    rate, count = f"{_rate(markers.time):.6g}", len(markers.time)
    head = [
        ["PathFileType", "4", "(X/Y/Z)", name],
        ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
        + ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"],
        [rate, rate, count, len(JOINTS), "m", rate, 1, count],
        ["Frame#", "Time", *"\t\t\t".join(JOINTS).split("\t"), "", ""],
        ["", "", *(f"{axis}{marker}" for marker in range(1, len(JOINTS) + 1) for axis in "XYZ")],
    ]
    with (folder / MAIN).open("w", encoding="ascii", errors="replace", newline="\n") as file:
        for line in head:
            file.write("\t".join(map(str, line)) + "\n")
        for frame, (t, values) in enumerate(zip(markers.time, points.reshape(count, -1), strict=True), 1):
            cells = (f"{v:.6f}" for v in values)
            file.write("\t".join([str(frame), f"{t - markers.time[0]:.6f}", *cells]) + "\n")
    return [
        *markers.notes,
        f"{count} frames at {rate} Hz, metres, y up; time 0 is {_start(markers)} s of the recording",
    ]


def _start(markers: Markers) -> str:
    return f"{markers.time[0]:.6f}" if len(markers.time) else "-"


def write_c3d(reading: _Reading, folder: Path, camera: str | None) -> list[str]:
    """C3D: mm, z up. It knows only a rate, so each row goes to the frame nearest its time; residual -1 = missing.

    Raises:
        StreamError: if the package ezc3d is not installed, the take is too long, or it holds no markers.
    """
    try:
        import ezc3d
    except ImportError:
        raise StreamError("writing C3D needs the package ezc3d: pip install ezc3d==1.7.2") from None
    markers = markers_of(reading, camera)
    rate = _rate(markers.time)
    slot = np.maximum.accumulate(np.round((markers.time - markers.time[:1]) * rate).astype(int))
    if slot.max(initial=0) >= _C3D_FRAMES:
        raise StreamError(
            f"a C3D file holds {_C3D_FRAMES} frames, {_C3D_FRAMES / rate / 60:.0f} minutes of this take: use trc, or"
            " give a part with --start SECONDS and --end SECONDS"
        )
    points = np.full((slot.max(initial=-1) + 1, len(JOINTS), 3), np.nan)
    points[slot] = markers.points @ turn(markers.up, _Z).T
    missing = ~np.isfinite(points).all(-1).T
    values = np.zeros((4, len(JOINTS), len(points)))
    values[:3] = np.where(missing, 0, points.transpose(2, 1, 0))
    values[3] = 1
    file: Any = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(JOINTS)
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    # The floor plan as the axes of a screen, by which Blender and others know that z is up.
    file.add_parameter("POINT", "X_SCREEN", "+X")
    file.add_parameter("POINT", "Y_SCREEN", "+Z")
    file["data"]["points"] = values
    file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0)[None]
    written = folder / f"{MAIN}.c3d"  # ezc3d appends the suffix where it is missing
    file.write(str(written))
    if written.stat().st_size < values.size * 4:
        # ezc3d does not check its writes: on a full disk it leaves a short file and says nothing.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    written.rename(folder / MAIN)
    filled = len(np.unique(slot))
    gaps = f", {len(points) - filled} of them without a row" if len(points) > filled else ""
    gaps += f", {len(slot) - filled} rows too close to another to have one" if len(slot) > filled else ""
    return [
        *markers.notes,
        f"{len(points)} frames at {rate:.6g} Hz{gaps}, mm, z up; frame 1 is {_start(markers)} s of the recording",
    ]
