"""Tables: DeepLabCut's csv and h5, of one animal or several, and csv with columns such as ``left_knee_x``."""

import io
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.text import one_line
from stream.sources._pose_files._joint_sets import BY_COUNT, JointSet, by_names
from stream.sources._pose_files._types import OnePose, PoseFile
from stream.types import StreamError

if TYPE_CHECKING:
    from pandas import DataFrame

TITLE = "a csv or h5 of DeepLabCut; a csv with columns NAME_x, NAME_y and perhaps NAME_score, as of MediaPipe"
_SCORES = ("likelihood", "score", "confidence", "conf", "visibility", "v", "c", "p")
_COLUMN = re.compile(r"^(?:(.+)[_ .](x|y|" + "|".join(_SCORES) + r")|(x|y|v)_?(\d+))$", re.IGNORECASE)


def matches(path: Path) -> bool:
    """A .csv that has such columns, or an .h5."""
    if path.suffix.lower() == ".h5" and path.is_file():
        return True
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(1 << 20)
    cells = [cell.strip() for cell in first.split(",")]
    return cells[0] == "scorer" or sum(_COLUMN.match(cell) is not None for cell in cells) >= 12


def read(path: Path) -> PoseFile:
    """Read it.

    Raises:
        StreamError: if it is damaged, or its joints have no names that are known.
    """
    import pandas  # here, as it is slow to load and every source asks this module whether it is one of its files

    try:
        if path.suffix.lower() == ".h5":
            return _deeplabcut(path, _h5(path))
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = [file.readline(1 << 20) for _ in range(4)]
        if lines[0].split(",")[0].strip() == "scorer":
            levels = 4 if lines[1].startswith("individuals") else 3
            return _deeplabcut(path, pandas.read_csv(path, header=list(range(levels)), index_col=0))
        return _wide(path, pandas.read_csv(path))
    except (ValueError, KeyError, IndexError) as error:
        raise StreamError(f"{path}: cannot be read as a table of 2D joints ({one_line(str(error), 100)})") from None


class _TextOnly(pickle.Unpickler):
    """Column names are pickled in the file, and a pickle is a program: this runs nothing, and makes lists of text."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def _h5(path: Path) -> "DataFrame":
    """The table that pandas writes for DeepLabCut, read without what pandas would run of it."""
    try:
        import h5py
    except ImportError:
        raise StreamError(
            f"{path}: reading h5 needs the package h5py: pip install h5py==3.16.0; or give the csv that DeepLabCut "
            "writes beside it (deeplabcut.analyze_videos_converth5_to_csv)"
        ) from None
    try:
        with h5py.File(path) as file:
            table = next((group["table"] for group in file.values() if "table" in group), None)
            if table is None:
                raise ValueError("it holds no table of pandas")
            names = _TextOnly(io.BytesIO(bytes(table.attrs["values_block_0_kind"]))).load()
            values = np.asarray(table["values_block_0"], float)
    except (OSError, RuntimeError, TypeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise ValueError(str(error)) from error
    import pandas

    columns = pandas.MultiIndex.from_tuples(names)
    return pandas.DataFrame(values, columns=columns)


def _deeplabcut(path: Path, table: "DataFrame") -> PoseFile:
    columns = table.columns.to_frame(index=False)
    columns.columns = ["scorer", "individuals", "bodyparts", "coords"] if columns.shape[1] == 4 else [
        "scorer", "bodyparts", "coords"]  # fmt: skip
    if "individuals" not in columns:
        columns["individuals"] = "single"
    values = table.to_numpy(float)
    names = list(dict.fromkeys(columns["bodyparts"]))
    joints = _named(path, names)
    people = []
    for individual in dict.fromkeys(columns["individuals"]):
        mine = columns["individuals"] == individual
        cells = np.full((len(values), len(names), 3), np.nan)
        for k, (part, coord) in enumerate(zip(columns["bodyparts"], columns["coords"], strict=True)):
            if mine[k] and str(coord) in ("x", "y", "likelihood"):
                cells[:, names.index(part), ("x", "y", "likelihood").index(str(coord))] = values[:, k]
        people.append(cells)
    return PoseFile("deeplabcut", joints, _frames(np.stack(people), len(people) > 1))


def _wide(path: Path, table: "DataFrame") -> PoseFile:
    found: dict[str, dict[str, Any]] = {}
    for name in table.columns:
        if match := _COLUMN.match(str(name).strip()):
            joint, what = (match[1], match[2].lower()) if match[1] else (match[4], match[3].lower())
            found.setdefault(joint, {})[what if what in "xy" else "score"] = table[name].to_numpy(float)
    found = {name: parts for name, parts in found.items() if "x" in parts and "y" in parts}
    numbered = all(name.isdigit() for name in found) and len(found) in BY_COUNT
    names = sorted(found, key=int) if numbered else list(found)
    joints = BY_COUNT[len(found)] if numbered else _named(path, names)
    cells = np.stack([
        np.stack([found[name]["x"], found[name]["y"], found[name].get("score", np.ones(len(table)))], -1)
        for name in names
    ], 1)  # fmt: skip
    # MediaPipe tells shares of the sides; no person fills less than two pixels.
    known = cells[..., :2][np.isfinite(cells[..., :2])]
    shares = bool(len(known) and np.abs(known).max() <= 2)
    return PoseFile("mediapipe" if shares else "csv", joints, _frames(cells[None], False), shares)


def _named(path: Path, names: list[str]) -> JointSet:
    joints = by_names(names)
    if joints is None:
        raise StreamError(
            f"{path}: its joints are {one_line(', '.join(map(str, names)), 150)}; at least six of the limbs are "
            "needed, named as left_shoulder, left_elbow, left_wrist, left_hip, left_knee, left_ankle and right, or LHip"
        )
    return joints


def _frames(people: np.ndarray, tracked: bool) -> dict[int, tuple[OnePose, ...]]:
    """Of (P, F, K, 3) x, y and score; what is not a number is not seen."""
    seen = np.isfinite(people[..., :2]).all(-1)
    score = np.where(seen, np.clip(np.nan_to_num(people[..., 2], nan=1.0), 0, 1), 0.0)
    xy = np.nan_to_num(people[..., :2])
    return {
        frame: tuple(
            OnePose(xy[p, frame], score[p, frame], p if tracked else None)
            for p in range(len(people))
            if score[p, frame].any()
        )
        for frame in range(people.shape[1])
    }
