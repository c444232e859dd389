"""Motion capture without cameras: ``joints`` (N, 17, 3) mm, z up; ``subject``, ``seq``, ``action`` where known."""

from pathlib import Path

import numpy as np

from engines.training.data.mocap import load_poses
from engines.training.data.sequences import Sequence
from engines.training.data.unpickle import npz_names
from engines.types import EngineError

NAME = "mocap"
LOOKS_LIKE = ".npz with joints (N, 17, 3) mm, z up, Human3.6M-17 order; also a folder of such files"


def sniff(path: Path) -> bool:
    """An .npz with ``joints``, or a folder that holds one."""
    files = path.glob("*.npz") if path.is_dir() else [path]
    return any("joints" in npz_names(file) for file in files)


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """One sequence a person, take and action, in the order of their first frames."""
    if detections:
        raise EngineError(f"{path} is motion capture without cameras; it has no 2D detections")
    files = sorted(f for f in path.glob("*.npz") if "joints" in npz_names(f)) if path.is_dir() else [path]
    out = []
    for file in files:
        poses = load_poses(file)
        labels = np.stack([poses.subject, poses.action, poses.sequence], -1)
        _, first, group = np.unique(labels, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(group.reshape(-1), kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(group.reshape(-1)))[:-1])
        for k in np.argsort(first):
            subject, action, name = labels[first[k]]
            out.append(Sequence(str(subject), str(action), str(name), poses.joints[parts[k]]))
    return out
