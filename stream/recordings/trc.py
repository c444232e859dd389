"""Markers as TRC, for OpenSim: metres, y up."""

from pathlib import Path

import numpy as np

from stream.recordings.markers import MarkerFile, Markers, start_of
from stream.recordings.resampling import rate_of
from stream.words import number_of

_UP = np.array([0.0, 1, 0])


def write_trc(
    markers: Markers, file: MarkerFile, path: Path, unix_offset: float, origin: float | None = None
) -> list[str]:
    """Write one file: time from the first row; nan where a joint is missing, as OpenSim writes it.

    OpenSim refuses a file with a row that ends in an empty cell.

    Args:
        markers: of the take.
        file: whose of them, and the name that stands in the file.
        path: where to write it.
        unix_offset: ``RunInfo.unix_offset``.
        origin: seconds that time 0 is; None for the first row.

    Returns:
        What to tell the user.
    """
    labels, count = file.labels, len(markers.time)
    points = np.concatenate([markers.of(person_id, _UP) for person_id in file.people], axis=1) / 1000
    rate = f"{rate_of(markers.time):.6g}"
    zero = markers.time[:1].sum() if origin is None else origin
    head = [
        ["PathFileType", "4", "(X/Y/Z)", file.path.name],
        ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
        + ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"],
        [rate, rate, count, len(labels), "m", rate, 1, count],
        ["Frame#", "Time", *"\t\t\t".join(labels).split("\t"), "", ""],
        ["", "", *(f"{axis}{marker}" for marker in range(1, len(labels) + 1) for axis in "XYZ")],
    ]
    with path.open("w", encoding="ascii", errors="replace", newline="\n") as out:
        for line in head:
            out.write("\t".join(map(str, line)) + "\n")
        for frame, (t, values) in enumerate(zip(markers.time, points.reshape(count, -1), strict=True), 1):
            cells = (f"{v:.6f}" for v in values)
            out.write("\t".join([str(frame), f"{t - zero:.6f}", *cells]) + "\n")
    frames = number_of(count, "frame")
    return [f"{frames} at {rate} Hz, metres, y up; time 0 is {start_of(markers, unix_offset)}"]
