"""2D joints as a project of Pose2Sim: OpenPose's JSON files, one a camera and moment, and the calibration beside them.

The joints are those of OpenPose's BODY_25; what a detector has not found is 0, 0, 0.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.formats import pose2sim
from calibration.types import Calibration
from engines import skeleton as sk
from stream.recordings.columns import Read
from stream.recordings.extra_joints import extra_arrays
from stream.recordings.schema import ESTIMATES, array_of
from stream.types import StreamError
from stream.words import number_of

_BODY_25: Final[tuple[int | str, ...]] = (
    "nose", sk.THORAX, sk.R_SHOULDER, sk.R_ELBOW, sk.R_WRIST, sk.L_SHOULDER, sk.L_ELBOW, sk.L_WRIST, sk.PELVIS,
    sk.R_HIP, sk.R_KNEE, sk.R_ANKLE, sk.L_HIP, sk.L_KNEE, sk.L_ANKLE, "right_eye", "left_eye", "right_ear",
    "left_ear", "left_toe", "", "left_heel", "right_toe", "", "right_heel",
)  # fmt: skip
"""Our joint, the name of a further one, or "" where there is none: the small toes."""
_EXTRA: Final = tuple(name for name in _BODY_25 if isinstance(name, str) and name)


def write_pose2sim(reading: Read, folder: Path) -> list[str]:
    """Write the project into an empty folder: ``pose/CAMERA_json/CAMERA_000000.json`` ..., ``calibration/Calib.toml``.

    Frames are numbered by the take's moments, so that files of the same number are of the same time in all cameras.

    Returns:
        What to tell the user.

    Raises:
        StreamError: if no camera has a name of its own there.
    """
    names = {camera.name: _plain(camera.name) for camera in reading.take.run_info.cameras}
    if len(set(names.values())) < len(names):
        raise StreamError(f"cameras {', '.join(names)} cannot be told apart by the names of their folders")
    places = {camera: folder / "pose" / f"{name}_json" for camera, name in names.items()}
    for place in places.values():
        place.mkdir(parents=True)
    first: int | None = None
    moments: set[int] = set()
    people = 0
    for batch in reading(ESTIMATES):
        for moment, camera, found in _frames(batch):
            first = moment if first is None else first
            moments.add(moment - first)
            people += len(found)
            file = places[camera] / f"{names[camera]}_{moment - first:06d}.json"
            file.write_text(json.dumps({"version": 1.3, "people": found}), "ascii")
    if not people:
        raise StreamError("nobody is in this take, or in that part: there are no 2D joints to export")
    # A camera that had no frame in a moment saw nobody: all folders have the same numbers.
    for camera, place in places.items():
        there = {path.name for path in place.iterdir()}
        for number in range(max(moments) + 1):
            name = f"{names[camera]}_{number:06d}.json"
            if name not in there:
                (place / name).write_text(json.dumps({"version": 1.3, "people": []}), "ascii")
    frames = number_of(max(moments) + 1, "frame")
    said = f"{frames} of {number_of(len(places), 'camera')}, joints of BODY_25, {number_of(people, 'pose')}"
    return [said, *_calibration(reading, names, folder)]


def _frames(batch: Any) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Moment, camera and people of each frame of a batch; rows of one frame follow each other."""
    moment, camera, there = (array_of(batch, name) for name in ("moment", "camera", "person"))
    person, xy, score = (array_of(batch, name) for name in ("person_id", "xy", "score"))
    extra = extra_arrays(batch.column("extra"), _EXTRA)
    start = 0
    for row in range(1, len(moment) + 1):
        if row < len(moment) and moment[row] == moment[start] and camera[row] == camera[start]:
            continue
        rows = [k for k in range(start, row) if there[k]]
        points = [_points(xy[k], score[k], extra["xy"][k], extra["score"][k]) for k in rows]
        found = [{"person_id": [int(person[k])], "pose_keypoints_2d": one} for k, one in zip(rows, points, strict=True)]
        yield int(moment[start]), str(camera[start]), found
        start = row


def _points(xy: NDArray[Any], score: NDArray[Any], extra: NDArray[Any], extra_score: NDArray[Any]) -> list[float]:
    out = np.zeros((len(_BODY_25), 3))
    for k, joint in enumerate(_BODY_25):
        if isinstance(joint, int):
            out[k] = (*xy[joint], score[joint])
        elif joint:
            at = _EXTRA.index(joint)
            out[k] = (*extra[at], extra_score[at])
    out[~np.isfinite(out).all(1) | (out[:, 2] <= 0)] = 0
    return np.round(out, 4).ravel().tolist()


def _calibration(reading: Read, names: dict[str, str], folder: Path) -> list[str]:
    known = [c.calibration for c in reading.take.run_info.cameras if c.calibration is not None]
    if len(known) < len(names):
        return ["no calibration beside them: the take has none of every camera"]
    (folder / "calibration").mkdir()
    cameras = tuple(replace(camera, name=names[camera.name]) for camera in known)
    placed = any(camera.t.any() or not np.array_equal(camera.R, np.eye(3)) for camera in known)
    pose2sim.write(Calibration(cameras, placed), folder / "calibration" / "Calib.toml")
    return ["the calibration is in calibration/Calib.toml" + ("" if placed else ", lenses only")]


def _plain(name: str) -> str:
    """The name of a camera as that of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
