"""Angles of joints: a table of each with its standard deviation, and a motion for OpenSim."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from calibration.arrays import Array
from engines import skeleton as sk
from engines.articulation.angles import CLINICAL, OPENSIM, angle_sigmas, angles_of, names_of
from engines.articulation.lengths import lengths_of
from engines.articulation.solve import solve
from stream.recordings.markers import MarkerFile, Markers, start_of
from stream.recordings.skeletons import UP
from stream.words import number_of

_LUMBAR: Final = {
    "lumbar_extension": "L5_S1_Flex_Ext", "lumbar_bending": "L5_S1_Lat_Bending",
    "lumbar_rotation": "L5_S1_axial_rotation", "neck_extension": "neck_flexion",
}  # fmt: skip
"""What the model of Pose2Sim calls these coordinates of Rajagopal's; a motion has both, and a model takes its own."""
_PELVIS: Final = np.array([0.0707, 0.0661, 0.0835])
"""m: the origin of that model's pelvis before the middle of its hips, above it; and half the distance of its hips."""


def write_angles(markers: Markers, file: MarkerFile, path: Path, unix_offset: float) -> list[str]:
    """Write one person's angles, a row a moment, as csv or, by the suffix that was asked for, as parquet.

    Args:
        markers: of the take.
        file: whose, and the name that the file shall have.
        path: where to write it.
        unix_offset: ``RunInfo.unix_offset``.

    Returns:
        What to tell the user.
    """
    (person_id,) = file.people
    solved, _ = solve(markers.time, markers.of(person_id, UP), UP, None)
    names = names_of(CLINICAL)
    values, sigmas = angles_of(solved, CLINICAL), angle_sigmas(solved, CLINICAL, markers.cov_of(person_id, UP))
    columns = {"time_s": markers.time, "unix_time_s": markers.time + unix_offset}
    for k, name in enumerate(names):
        columns |= {f"{name}_deg": values[:, k], f"{name}_sigma_deg": sigmas[:, k]}
    table = pa.table({name: pa.array(column, from_pandas=True) for name, column in columns.items()})
    if file.path.suffix.lower() == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)
    rows, there = len(markers.time), int(np.isfinite(values).any(1).sum())
    empty = f", {rows - there} of them empty: nobody is there" if there < rows else ""
    return [f"{len(names)} angles, degrees, each with one standard deviation; {number_of(rows, 'row')}{empty}"]


def write_mot(markers: Markers, file: MarkerFile, path: Path, unix_offset: float) -> list[str]:
    """Write one person's angles as a motion of OpenSim's models: degrees and metres, time from the first row."""
    (person_id,) = file.people
    points = markers.of(person_id, UP)
    solved, _ = solve(markers.time, points, UP, None)
    names, values = list(names_of(OPENSIM)), angles_of(solved, OPENSIM)
    place = _pelvis(points / 1000, solved.frames[:, 0])
    names[3:3] = ["pelvis_tx", "pelvis_ty", "pelvis_tz"]
    values = np.concatenate([values[:, :3], place, values[:, 3:]], -1)
    for own, theirs in _LUMBAR.items():
        values = np.concatenate([values, values[:, [names.index(own)]]], -1)
        names.append(theirs)
    there = np.isfinite(values).all(1)
    rows = np.column_stack([markers.time - markers.time[:1], values])[there]
    head = ["Coordinates", "version=1", f"nRows={len(rows)}", f"nColumns={rows.shape[1]}", "inDegrees=yes", "endheader"]
    with path.open("w", encoding="ascii", newline="\n") as out:
        out.write("\n".join([*head, "\t".join(["time", *names])]) + "\n")
        np.savetxt(out, rows, fmt="%.6f", delimiter="\t")
    left = number_of(int((~there).sum()), "moment")
    gone = f", {left} without them left out" if not there.all() else ""
    return [
        f"{number_of(len(rows), 'row')}{gone}: degrees, metres, y up; coordinates of Rajagopal's model and Pose2Sim's; "
        f"time 0 is {start_of(markers, unix_offset)}"
    ]


def _pelvis(points: Array, hips: Array) -> Array:
    """(F, 3) m: the origin of OpenSim's pelvis, before and above the middle of the hips as in the model."""
    scale = lengths_of(points)[[sk.R_HIP, sk.L_HIP]].mean() / _PELVIS[2]
    offset = hips @ (scale * np.array([0.0, _PELVIS[1], _PELVIS[0]]))
    return points[:, 0] + offset


def suffixes(to: str) -> Sequence[str]:
    """The suffixes that a file of angles may have."""
    return (".csv", ".parquet") if to == "angles" else (f".{to}",)
