"""Markers as C3D, for Blender, Mokka and Visual3D: mm, z up. The package ezc3d knows the format."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration.arrays import Array
from engines.skeleton import JOINTS
from stream.recordings.markers import MarkerFile, Markers, person_name, prefix, start_of, utc_of
from stream.recordings.resampling import rate_of
from stream.recordings.run_info import RunInfo
from stream.types import Event, StreamError
from stream.words import number_of

# Frames are counted in 16 bits; ezc3d 1.7.2 writes more than that but reads only these.
_FRAMES = 65535
_TEXT = 127
_MOST = 255
"""Values of a parameter: their number is a byte."""
_UP = np.array([0.0, 0, 1])


def check_ezc3d() -> None:
    """Raises StreamError if the package ezc3d is not installed."""
    try:
        import ezc3d as _  # noqa: F401 - an extra
    except ImportError:
        raise StreamError("writing C3D needs the package ezc3d: pip install ezc3d==1.7.2") from None


def write_c3d(markers: Markers, file: MarkerFile, path: Path, events: Sequence[Event], run_info: RunInfo) -> list[str]:
    """Write one file. It knows only a rate, so each row goes to the frame nearest its time; residual -1 = missing.

    Args:
        markers: of the take.
        file: whose of them.
        path: where to write it.
        events: of the take; those before the first frame and after the last are left out.
        run_info: of the take.

    Returns:
        What to tell the user.

    Raises:
        StreamError: if the take is too long.
        OSError: if the disk is full.
    """
    import ezc3d

    rate, labels = rate_of(markers.time), file.labels
    slot = np.maximum.accumulate(np.round((markers.time - markers.time[:1]) * rate).astype(int))
    if slot.max(initial=0) >= _FRAMES:
        raise StreamError(
            f"a C3D file holds {_FRAMES} frames, {_FRAMES / rate / 60:.0f} minutes of this take: use trc, or"
            " give a part with --start SECONDS and --end SECONDS"
        )
    points = np.full((slot.max(initial=-1) + 1, len(labels), 3), np.nan)
    for k, person_id in enumerate(file.people):
        points[slot, k * len(JOINTS) : (k + 1) * len(JOINTS)] = markers.of(person_id, _UP)
    missing = ~np.isfinite(points).all(-1).T
    values = np.zeros((4, len(labels), len(points)))
    values[:3] = np.where(missing, 0, points.transpose(2, 1, 0))
    values[3] = 1
    made: Any = ezc3d.c3d()
    made["parameters"]["POINT"]["RATE"]["value"] = [rate]
    made["parameters"]["POINT"]["LABELS"]["value"] = labels
    made["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    # The floor plan as the axes of a screen, by which Blender and others know that z is up.
    made.add_parameter("POINT", "X_SCREEN", "+X")
    made.add_parameter("POINT", "Y_SCREEN", "+Z")
    _add_subjects(made, file)
    told_of = [markers.describe(joint) for joint in range(len(JOINTS))] * len(file.people)
    made.add_parameter("POINT", "DESCRIPTIONS", told_of[:_MOST])
    if len(told_of) > _MOST:  # as of labels, which ezc3d itself cuts
        made.add_parameter("POINT", "DESCRIPTIONS2", told_of[_MOST : 2 * _MOST])
    made.add_parameter("MANUFACTURER", "SOFTWARE", run_info.software)
    if len(markers.time):
        made.add_parameter("TRIAL", "START_TIME", [float(markers.time[0])])
    if utc := utc_of(markers, run_info.unix_offset):
        made.add_parameter("TRIAL", "START_UTC", utc)
    made["data"]["points"] = values
    made["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0)[None]
    told = _add_events(made, events, markers.time)
    written = path.with_name(f"{path.name}.c3d")  # ezc3d appends the suffix where it is missing
    made.write(str(written))
    if written.stat().st_size < values.size * 4:
        # ezc3d does not check its writes: on a full disk it leaves a short file and says nothing.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    written.rename(path)
    filled = len(np.unique(slot))
    gaps = f", {len(points) - filled} of them without a row" if len(points) > filled else ""
    gaps += f", {number_of(len(slot) - filled, 'row')} too close to another to have one" if len(slot) > filled else ""
    frames = number_of(len(points), "frame")
    return [*told, f"{frames} at {rate:.6g} Hz{gaps}, mm, z up; frame 1 is {start_of(markers, run_info.unix_offset)}"]


def _add_subjects(made: Any, file: MarkerFile) -> None:
    """Whose markers they are, as Vicon's programs write it and others read it."""
    made.add_parameter("SUBJECTS", "USED", [len(file.people)])
    made.add_parameter("SUBJECTS", "USES_PREFIXES", [int(file.prefixed)])
    made.add_parameter("SUBJECTS", "NAMES", [person_name(i) for i in file.people])
    made.add_parameter("SUBJECTS", "LABEL_PREFIXES", [prefix(i) if file.prefixed else "" for i in file.people])


def _add_events(made: Any, events: Sequence[Event], time: Array) -> list[str]:
    """The take's events, timed from the first frame as C3D wants it; (what to tell the user)."""
    inside = [event for event in events if len(time) and time[0] <= event.t <= time[-1]]
    for event in inside:
        minutes, seconds = divmod(event.t - time[0], 60.0)
        label, source = (text.encode("ascii", "replace").decode()[:_TEXT] for text in (event.text, event.source))
        made.add_event(time=[int(minutes), seconds], context="General", label=label, description=source)
    said = [number_of(len(inside), "event")] if inside else []
    lost = len(events) - len(inside)
    return said + ([f"{number_of(lost, 'event')} before the first frame or after the last left out"] if lost else [])
