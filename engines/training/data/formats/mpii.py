"""MPII Human Pose as Xiao et al. (ECCV 2018) and MMPose annotate it: train.json, valid.json. 2D only.

A list of {image, joints: 16 x [x, y], joints_vis: 16 x 0/1, center, scale}; pixels count from 1, as in MATLAB.
"""

import json
from pathlib import Path

import numpy as np

from engines.skeleton import MPII
from engines.training.data.sequences import Sequence, expect, key, pick
from engines.types import EngineError

NAME = "mpii"
LOOKS_LIKE = ".json list of people with image, joints (16 x 2) and joints_vis (16)"


def sniff(path: Path) -> bool:
    """A .json that begins as a list."""
    if not path.is_file() or path.suffix != ".json":
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"[")


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """One sequence of unrelated pictures, without cameras and without 3D."""
    if detections:
        raise EngineError(f"{path}: MPII's joints are in the file itself; no detections are read for it")
    try:
        people = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot read {path}: {error}") from error
    if not isinstance(people, list) or not people:
        raise EngineError(f"{path} is no list of people")
    points, seen = [], []
    for index, person in enumerate(people):
        where = f"person {index} in {path}"
        points.append(expect(key(person, "joints", where), (16, 2), f"joints of {where}"))
        seen.append(expect(key(person, "joints_vis", where), (16,), f"joints_vis of {where}") > 0)
    xy, has = pick(MPII, np.array(points, float) - 1)
    visible = np.array(seen)[:, list(MPII.source)] & has
    return [Sequence("MPII", "all", path.stem, None, (), np.where(visible[..., None], xy, 0)[None], visible[None])]
