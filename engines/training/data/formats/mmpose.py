"""MMPose's 3D body annotations: Human3.6M and MPI-INF-3DHP, .npz or pickled.

h36m_train.npz, h36m_test.npz   imgname (N,) S1/S1_Directions_1.54138969/S1_Directions_1.54138969_000001.jpg
mpi_inf_3dhp_*.npz              imgname (N,) S1_Seq1_Cam0_000001.jpg or TS1_000001.jpg
                                S (N, 17, 4) x, y, z in metres in the camera's axes, visible;  part (N, 17, 3) pixels
cameras.pkl, cameras_train.pkl  beside them: (subject, camera) or name -> R, T, f, c, [k, p], w, h; R is camera to world
*_detection*.npy                as detections: (N, 17, 3) pixels and score
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from engines.skeleton import JointMap
from engines.training.data import h36m, joint_sets
from engines.training.data.sequences import Sequence, expect, key, pick
from engines.training.data.unpickle import load_npz, load_pickle, npz_names
from engines.types import EngineError

NAME = "mmpose"
LOOKS_LIKE = ".npz or .pkl with imgname, S (N, 17, 4) and part (N, 17, 3), its cameras*.pkl beside it (MMPose)"

_H36M = re.compile(r"(?P<subject>S\d+)_(?P<take>.+)\.(?P<camera>\d+)_(?P<frame>\d+)\.\w+$")
_MPI = re.compile(r"(?P<subject>S\d+)_(?P<take>Seq\d+)_(?P<camera>Cam\d+)_(?P<frame>\d+)\.\w+$|"
                  r"(?P<test>TS\d+)_(?P<number>\d+)\.\w+$")  # fmt: skip


def sniff(path: Path) -> bool:
    """By its arrays; a pickle by its name, because reading it to look is reading it."""
    if path.suffix == ".pkl":
        return path.is_file() and not path.name.startswith("cameras")
    return path.is_file() and {"imgname", "S"} <= set(npz_names(path))


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """One sequence a person, take and camera: the 3D is in each camera's own axes."""
    table = load_pickle(path) if path.suffix == ".pkl" else load_npz(path)
    names = [Path(str(n)).name for n in np.asarray(key(table, "imgname", str(path))).ravel()]
    joints = expect(key(table, "S", str(path)), (len(names), 17, 4), f"S in {path}")[..., :3] * 1000.0
    part = expect(key(table, "part", str(path)), (len(names), 17, 3), f"part in {path}")
    if detections:
        part = expect(_detections(detections), (len(names), 17, 3), str(detections))
    cameras = _camera_file(path)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(_parse(name, path), []).append(index)
    out = []
    for (subject, take, view), index in groups.items():
        mpi = view.startswith("Cam") or subject.startswith("TS")
        joint_map: JointMap = joint_sets.MPI_17 if mpi else joint_sets.H36M
        camera = _camera(cameras, subject, take, view, mpi, joints[index], part[index])
        xyz, _ = pick(joint_map, joints[index])
        xy, _ = pick(joint_map, part[index])
        action = "all" if mpi else h36m.action(take)
        shown = f"{take} {view}".strip()
        out.append(Sequence(subject, action, shown, xyz, (camera,), xy[None, ..., :2], xy[None, ..., 2] > 0))
    return out


def _parse(name: str, path: Path) -> tuple[str, str, str]:
    """(subject, take, camera) of an image's name."""
    if match := _H36M.match(name):
        return match["subject"], match["take"], match["camera"]
    if match := _MPI.match(name):
        return (
            (match["test"], match["test"], "") if match["test"] else (match["subject"], match["take"], match["camera"])
        )
    raise EngineError(f"{path}: image name {name!r} is neither Human3.6M's nor MPI-INF-3DHP's")


def _detections(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EngineError(f"cannot read {path}: {error}; it must be an .npy file (N, 17, 3)") from error


def _camera_file(path: Path) -> dict:
    files = sorted(path.parent.glob("cameras*.pkl")) or sorted(path.parent.parent.glob("cameras*.pkl"))
    kind = "test" if "test" in path.stem else "train"
    for file in sorted(files, key=lambda f: kind not in f.stem):
        return load_pickle(file)
    raise EngineError(f"there is no cameras.pkl (cameras_{kind}.pkl) beside {path}, nor in the folder above it")


def _camera(table: dict, subject: str, take: str, view: str, mpi: bool, joints: Any, part: Any) -> Camera:
    """The camera at the origin of its own axes; up where the file tells how it stands in the world."""
    name = subject if subject.startswith("TS") else f"{subject}_{take}_{view}" if mpi else (subject, view)
    where = f"cameras.pkl: {name}"
    values = key(table, name, "cameras.pkl")
    f, c = (np.asarray(key(values, k, where), float).ravel() for k in ("f", "c"))
    k, p = (np.asarray(values.get(k, np.zeros(n)), float).ravel() for k, n in (("k", 3), ("p", 2)))
    for field, value, size in (("f", f, 2), ("c", c, 2), ("k", k, 3), ("p", p, 2)):
        if value.size != size:
            raise EngineError(f"{where}: {field} has {value.size} numbers; expected {size}")
    K = np.array([[f[0], 0, c[0]], [0, f[1], c[1]], [0, 0, 1]])
    up = None
    if "R" in values:
        R = np.asarray(values["R"], float).reshape(3, 3)
        # Human3.6M's R is camera to world, z up; MPI-INF-3DHP's is world to camera, y up.
        up = R[:, 1] if mpi else R[2]
        up = up / np.linalg.norm(up)
    size = int(key(values, "w", where)), int(key(values, "h", where))
    label = view or subject
    try:
        return Camera(label, size, K, np.array([k[0], k[1], p[0], p[1], k[2]]), np.eye(3), np.zeros(3), up)
    except CalibrationError as error:
        raise EngineError(f"{where}: {error}") from error
