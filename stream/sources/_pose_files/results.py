"""One JSON file for all frames: AlphaPose's list of people, and the instances that MMPose and RTMPose write."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from calibration.text import one_line, parse_json
from stream.sources._pose_files._joint_sets import BY_COUNT
from stream.sources._pose_files._types import OnePose, PoseFile
from stream.types import StreamError

TITLE = "a JSON file of AlphaPose, MMPose or RTMPose"
_BEGIN = re.compile(rb'\s*(\[\s*\{\s*"image_id"|\{\s*"(meta_info|instance_info)")')
_LOOK = 4096


def matches(path: Path) -> bool:
    """A JSON file that begins as theirs do, or a folder with nothing but such a one."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix == ".json"]
        return len(files) == 1 and matches(files[0])
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return _BEGIN.match(file.read(_LOOK)) is not None


def read(path: Path) -> PoseFile:
    """Read it.

    Raises:
        StreamError: if it is damaged, or of a joint set that is not known.
    """
    path = next(file for file in path.iterdir() if file.suffix == ".json") if path.is_dir() else path
    frames: dict[int, list[OnePose]] = {}
    try:
        data = parse_json(path.read_bytes())
        if isinstance(data, list):
            origin = "alphapose"
            for entry in data:
                values = np.array(entry["keypoints"], float).reshape(-1, 3)
                frames.setdefault(_frame(entry["image_id"]), []).append(
                    OnePose(values[:, :2], np.clip(values[:, 2], 0, 1), _track(entry.get("idx")))
                )
        else:
            origin = "mmpose"
            for entry in data["instance_info"]:
                poses = [
                    OnePose(np.array(one["keypoints"], float)[:, :2], np.clip(one["keypoint_scores"], 0, 1),
                            _track(one.get("track_id")))
                    for one in entry["instances"]
                ]  # fmt: skip
                frames[int(entry["frame_id"]) - 1] = poses  # MMPose counts from 1
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StreamError(f"{path}: no results of AlphaPose or MMPose ({one_line(repr(error), 100)})") from None
    counts = {len(one.score) for people in frames.values() for one in people} or {17}
    if len(counts) > 1 or not counts <= BY_COUNT.keys():
        known = ", ".join(map(str, BY_COUNT))
        raise StreamError(f"{path}: people of {', '.join(map(str, counts))} joints; joint sets of {known} are known")
    return PoseFile(origin, BY_COUNT[counts.pop()], {k: tuple(v) for k, v in frames.items()})


def _frame(image: Any) -> int:
    """AlphaPose names images: the last number in it is that of the frame."""
    digits = re.findall(r"\d+", Path(str(image)).stem)
    if not digits:
        raise ValueError(f"no number in the image {image!r}")
    return int(digits[-1])


def _track(said: Any) -> int | None:
    value = said[0] if isinstance(said, list) and said else said
    return int(value) if isinstance(value, int | float) and value >= 0 else None
