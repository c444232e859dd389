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
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from engines.skeleton import JOINTS
from stream.recordings.columns import any_fused
from stream.recordings.rows import decode_events
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.recordings.tables import MAIN
from stream.recordings.takes import Take
from stream.types import StreamError

# Frames are counted in 16 bits; ezc3d 1.7.2 writes more than that but reads only these.
_C3D_FRAMES = 65535
_C3D_TEXT = 127
_X, _Y, _Z = np.eye(3)


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
    of_camera: bool
    """Whether the points are in a camera's axes, not in the world's."""
    notes: tuple[str, ...]
    """What the user should know."""

    def turned(self, target: Array) -> Array:
        """(T, 17, 3) mm: the points with up along ``target``, (3,) y or z."""
        right = camera_right(self.up) if self.of_camera else world_right(self.up, target)
        return self.points @ turn(self.up, right, target).T


def turn(up: Array, right: Array, target: Array) -> Array:
    """The rotation (3, 3) that carries ``up`` to ``target`` and ``right``, made level, to x.

    Args:
        up: (3,) unit vector.
        right: (3,) not along ``up``.
        target: (3,) y or z.
    """
    level = right - (right @ up) * up
    level = level / np.linalg.norm(level)
    return np.outer(_X, level) + np.outer(target, up) + np.outer(np.cross(_X, target), np.cross(level, up))


def world_right(up: Array, target: Array) -> Array:
    """Which way of a world becomes x: continuous in ``up`` but where it is x itself, as no choice is everywhere.

    To z up it is x. To y up it is x as long as up is about level with y, and y where up is z: then (x, y, z) becomes
    (y, z, x), which keeps the axes' names and is what Pose2Sim writes.
    """
    share = max(float(up[2]), 0.0) ** 2 if target[1] > 0.5 else 0.0
    return _not_along(up, np.array([1 - share, share, 0]), -up[0] * target)


def camera_right(up: Array) -> Array:
    """Which way of a camera's axes becomes x: its right, however it is rolled, so that it looks along -z or y.

    Continuous in ``up`` but where the camera looks straight up or down.
    """
    return _not_along(up, np.cross(_Z, up), _X)


def _not_along(up: Array, right: Array, instead: Array) -> Array:
    level = right - (right @ up) * up
    return right if np.linalg.norm(level) > 1e-6 else instead


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
    time, moment, person, there, points = (
        np.concatenate([array_of(b, name) for b in batches])
        for name in ("time", "moment", "person_id", "fused", "pose_world")
    )
    keep, points, who = _one_person(moment, person, there, points.astype(float))
    ups = [c.calibration.up for c in reading.take.run_info.cameras if c.calibration is not None]
    up = next((u for u in ups if u is not None), None)
    notes = () if up is not None else ("the calibration does not say where up is: z was taken to be up",)
    notes = ("fused pose, world axes", *who, *notes)
    return Markers(time[keep], points, _Z if up is None else np.asarray(up), False, notes)


def _one_camera(reading: _Reading, camera: str, instead: str) -> Markers:
    parts = []
    for batch in reading(ESTIMATES):
        mine = array_of(batch, "camera") == camera
        # The moment's time: joints are brought to it; a frame may be in several.
        part = [array_of(batch, name)[mine] for name in ("moment_time", "moment", "person_id", "lifted")]
        parts.append([*part, (array_of(batch, "answer").astype(float) + array_of(batch, "root")[:, None])[mine]])
    time, moment, person, there, where = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep, where, who = _one_person(moment, person, there, where)
    if not np.isfinite(where).any():
        raise StreamError(f"camera {camera!r} has nobody in this take: there are no markers to export")
    calibration = next(c.calibration for c in reading.take.run_info.cameras if c.name == camera)
    up = None if calibration is None else calibration.up_in_camera
    which = "the image's up, the camera being taken to be level" if up is None else "up as calibrated"
    note = f"{instead}: this is the answer of camera {camera!r} at its root, in its own axes, turned to {which}"
    return Markers(time[keep], where, np.array([0.0, -1, 0]) if up is None else up, True, (note, *who))


def _one_person(
    moment: NDArray[np.int64], person: NDArray[np.int64], there: Bools, points: Array
) -> tuple[NDArray[np.intp], Array, tuple[str, ...]]:
    """The rows of the person who is there in most moments, and one of each moment in which that person is not.

    Args:
        moment: (R,) numbers of the moments; rows of one moment follow each other.
        person: (R,) ids.
        there: (R,) whether the row has a pose.
        points: (R, 17, 3) mm.

    Returns:
        (T,) indices of the rows, (T, 17, 3) mm with NaN where that person is not, and what to tell the user.
    """
    ids, counts = np.unique(person[there], return_counts=True)
    if len(ids) < 2:
        return np.arange(len(moment), dtype=np.intp), points, ()
    chosen = ids[counts.argmax()]
    mine = person == chosen
    first = np.concatenate([[True], moment[1:] != moment[:-1]])
    keep = np.flatnonzero(mine | (first & ~np.isin(moment, moment[mine])))
    alone = np.where(mine[:, None, None], points, np.nan)[keep]
    return keep, alone, (f"{len(ids)} people are in it: these are the markers of person {chosen}, who is there most",)


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
    points = markers.turned(_Y) / 1000
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
    points[slot] = markers.turned(_Z)
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
    told = _add_events(file, reading, markers.time)
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
        *told,
        f"{len(points)} frames at {rate:.6g} Hz{gaps}, mm, z up; frame 1 is {_start(markers)} s of the recording",
    ]


def _add_events(file: Any, reading: _Reading, time: Array) -> list[str]:
    """The take's events, timed from the first frame as C3D wants it; (what to tell the user)."""
    events = [event for batch in reading(EVENTS) for event in decode_events(batch)] if len(time) else []
    inside = [event for event in events if time[0] <= event.t <= time[-1]]
    for event in inside:
        minutes, seconds = divmod(event.t - time[0], 60.0)
        label, source = (text.encode("ascii", "replace").decode()[:_C3D_TEXT] for text in (event.text, event.source))
        file.add_event(time=[int(minutes), seconds], context="General", label=label, description=source)
    said = [f"{len(inside)} events"] if inside else []
    lost = len(events) - len(inside)
    return said + ([f"{lost} events before the first frame or after the last left out"] if lost else [])
