"""OpenPose's folders, and those of Pose2Sim and rtmlib: one JSON file a frame, ``cam_000012_keypoints.json``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calibration.text import one_line, parse_json
from stream.sources._pose_files._joint_sets import BY_COUNT
from stream.sources._pose_files._types import OnePose, PoseFile
from stream.types import StreamError

TITLE = "a folder of one JSON file a frame as OpenPose, Pose2Sim and rtmlib write it"
_NUMBER = re.compile(r"(\d+)(_keypoints)?\.json$")


def matches(path: Path) -> bool:
    """A folder with JSON files that end with a number."""
    return path.is_dir() and any(_NUMBER.search(file.name) for file in path.iterdir() if file.is_file())


def read(path: Path) -> PoseFile:
    """Read it; the number in a name is that of the frame.

    Raises:
        StreamError: naming the file that is damaged, or of another joint set than those before.
    """
    frames: dict[int, tuple[OnePose, ...]] = {}
    count: int | None = None
    for file in sorted(path.iterdir()):
        number = _NUMBER.search(file.name)
        if number is None or file.name.startswith(".") or not file.is_file():
            continue
        people = tuple(_people(file))
        for one in people:
            count = len(one.score) if count is None else count
            if len(one.score) != count or count not in BY_COUNT:
                known = ", ".join(map(str, BY_COUNT))
                raise StreamError(
                    f"{file}: a person of {len(one.score)} joints"
                    + (f" where others have {count}" if len(one.score) != count else "")
                    + f"; joint sets of {known} are known"
                )
        frames[int(number[1])] = people
    return PoseFile("openpose", BY_COUNT[count or 25], frames)


def _people(file: Path) -> Iterator[OnePose]:
    try:
        data = parse_json(file.read_bytes())
        for person in data["people"]:
            values = np.array(person["pose_keypoints_2d"], float).reshape(-1, 3)
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
            if len(values):
                yield OnePose(values[:, :2], np.clip(values[:, 2], 0, 1), _number(person.get("person_id")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StreamError(f"{file}: no file of OpenPose ({one_line(str(error), 100)})") from None


def _number(said: Any) -> int | None:
    """Of whom it is; OpenPose writes [-1] where it does not tell."""
    value = said[0] if isinstance(said, list) and said else said
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
