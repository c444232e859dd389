"""Human3.6M as VideoPose3D (Pavllo et al., CVPR 2019) stores it.

    data_3d_h36m.npz                   positions_3d {subject: {take: (F, 32, 3) metres, world}}
    data_2d_h36m_gt.npz, ..._cpn_ft_h36m_dbb.npz, ..._detectron_ft_h36m.npz, ..._sh_ft_h36m.npz
                                       positions_2d {subject: {take: [(F', K, 2) pixels] a camera}}, F' >= F
                                       metadata {num_joints, keypoints_symmetry: [left, right]}

The cameras are not in the files; they are Human3.6M's, see ``engines.training.data.h36m``.
"""

from pathlib import Path
from typing import Any

import numpy as np

from engines.skeleton import COCO, JointMap
from engines.training.data import h36m, joint_sets
from engines.training.data.sequences import Sequence, expect, key, pick
from engines.training.data.unpickle import load_npz, npz_names
from engines.types import EngineError

NAME = "human36m-videopose3d"
LOOKS_LIKE = "data_3d_h36m.npz, with data_2d_h36m_*.npz as detections (VideoPose3D)"


def sniff(path: Path) -> bool:
    """By the name of the array."""
    return path.is_file() and bool({"positions_3d", "positions_2d"} & set(npz_names(path)))


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """All takes; a file of 2D alone gives sequences without 3D."""
    table = load_npz(path)
    if "positions_3d" not in table:
        return _only_2d(path, table)
    flat = _flat(table, "positions_3d", path)
    second = load_npz(detections) if detections else None
    joint_map = _joints(second, detections) if second and detections else joint_sets.H36M
    views = _flat(second, "positions_2d", detections) if second and detections else {}
    out = []
    for (subject, take), positions in flat.items():
        cameras = h36m.cameras(subject)
        if not cameras:
            raise EngineError(f"{path} has subject {subject!r}; Human3.6M's with known cameras are S1, S5-S9 and S11")
        where = f"{subject}/{take} in {path}"
        count = np.shape(positions)[1] if np.ndim(positions) == 3 else 32
        metres = expect(positions, (None, 17 if count == 17 else 32, 3), where)
        joints, _ = pick(joint_sets.BY_COUNT[metres.shape[1]], metres * 1000.0)
        xy = seen = None
        if detections:
            if (subject, take) not in views:
                raise EngineError(f"{detections} has no {subject}/{take}")
            xy, seen = _views(
                views[subject, take], joint_map, len(cameras), len(joints), f"{subject}/{take} in {detections}"
            )
        out.append(Sequence(subject, h36m.action(take), take, joints, cameras, xy, seen))
    return out


def _only_2d(path: Path, table: dict[str, Any]) -> list[Sequence]:
    joint_map, out = _joints(table, path), []
    for (subject, take), views in _flat(table, "positions_2d", path).items():
        where, cameras = f"{subject}/{take} in {path}", h36m.cameras(subject)
        frames = min((len(v) for v in views), default=0)
        xy, seen = _views(views, joint_map, len(cameras) or len(views), frames, where)
        out.append(Sequence(subject, h36m.action(take), take, None, cameras, xy, seen))
    return out


def _flat(table: dict[str, Any], name: str, path: Path | None) -> dict[tuple[str, str], Any]:
    nested = key(table, name, str(path))
    if not isinstance(nested, dict) or not all(isinstance(takes, dict) for takes in nested.values()):
        raise EngineError(f"{name} in {path} is no dictionary of subjects and takes")
    return {(str(s), str(t)): value for s, takes in nested.items() for t, value in takes.items()}


def _joints(table: dict[str, Any], path: Path) -> JointMap:
    metadata = key(table, "metadata", str(path))
    count = int(key(metadata, "num_joints", f"metadata of {path}"))
    left = [int(j) for j in key(metadata, "keypoints_symmetry", f"metadata of {path}")[0]]
    if count == 17 and joint_sets.COCO_LEFT in left and 7 in left:
        return COCO
    if count not in joint_sets.BY_COUNT:
        raise EngineError(f"{path} has {count} joints a pose; known are 16 (hourglass), 17 (Human3.6M, COCO) and 32")
    return joint_sets.BY_COUNT[count]


def _views(views: Any, joint_map: JointMap, cameras: int, frames: int, where: str) -> tuple[Any, Any]:
    if not isinstance(views, list | tuple | np.ndarray) or len(views) != cameras:
        raise EngineError(
            f"{where} has {np.shape(views)[:1] or type(views).__name__} views; expected {cameras} cameras"
        )
    k = next((count for count, known in joint_sets.BY_COUNT.items() if known is joint_map), 17)
    xy, seen = np.zeros((cameras, frames, 17, 2), np.float32), np.zeros((cameras, frames, 17), bool)
    for camera, view in enumerate(views):
        pixels = expect(view, (None, k, 2), f"camera {camera} of {where}")
        if len(pixels) < frames:
            raise EngineError(f"camera {camera} of {where} has {len(pixels)} frames; the 3D has {frames}")
        xy[camera], seen[camera] = pick(joint_map, pixels[:frames])
    return xy, seen
