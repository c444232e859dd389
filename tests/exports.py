"""Exports of takes to be compared with what was recorded, and a reader of TRC of its own."""

from pathlib import Path

import numpy as np

from engines.types import Pose
from stream.app.export import main as export
from stream.types import Estimate, FrameReference, View


def rows_of(estimates: list[Estimate]) -> list[tuple[Estimate, FrameReference, int, View | None]]:
    """(estimate, frame, person_id, view) of each row: a frame and whom it shows, or nobody."""
    return [
        (estimate, frame, person_id, view)
        for estimate in estimates
        for k, frame in enumerate(estimate.frames)
        if frame is not None
        for person_id, view in [(p.person_id, p.views[k]) for p in estimate.people if p.views[k]] or [(-1, None)]
    ]


def poses_of(estimates: list[Estimate]) -> list[tuple[Estimate, int, Pose | None]]:
    """(estimate, person_id, pose) of each row: a moment and who is fused, or nobody."""
    return [
        (estimate, person_id, pose)
        for estimate in estimates
        for person_id, pose in [(p.person_id, p.pose) for p in estimate.people if p.pose] or [(-1, None)]
    ]


def run(take: Path, to: str, out: Path, *more: str) -> int:
    return export([str(take), "--to", to, "--out", str(out), *more])


def read_trc(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """A reader of its own: (fields of the head, names, time (T,), points (T,N,3))."""
    lines = path.read_text("ascii").split("\n")
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", path.name]
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [name for name in lines[3].split("\t")[2:] if name]
    assert len(lines[3].split("\t")) == len(lines[4].split("\t")) == 2 + 3 * len(names)
    assert lines[4].split("\t")[2:6] == ["X1", "Y1", "Z1", "X2"]
    # OpenSim splits at white space and drops what is empty at the end of a row.
    cells = [[float(c) for c in line.split()] for line in lines[5:] if line]
    assert {len(row) for row in cells} <= {2 + 3 * len(names)}
    assert not any(line.endswith("\t") for line in lines[5:])
    table = np.array(cells)
    assert [int(n) for n in table[:, 0]] == list(range(1, len(table) + 1))
    return head, names, table[:, 1], table[:, 2:].reshape(len(table), -1, 3)
