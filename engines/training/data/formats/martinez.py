"""Human3.6M as Martinez et al. (ICCV 2017) prepared it: HDF5 files a take.

cameras.h5                                  subjectS/cameraC/{R, T, f, c, k, p, Name}; R transposed, T the place, mm
S1/MyPoses/3D_positions/Directions 1.h5     3D_positions (96, F): 32 joints, mm, world
S1/StackedHourglass/Directions_1.54138969.h5   poses (F, 16, 2) pixels; also StackedHourglassFineTuned240
"""

from pathlib import Path
from typing import Any

import numpy as np

from calibration.arrays import Array, Bools
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from engines.training.data import h36m, joint_sets
from engines.training.data.sequences import Sequence, expect, key, pick
from engines.types import EngineError

NAME = "human36m-h5"
LOOKS_LIKE = "folder with S1/MyPoses/3D_positions/*.h5 and cameras.h5 (Martinez et al.)"


def sniff(path: Path) -> bool:
    """The folder, or its ``cameras.h5``."""
    if path.is_dir():
        return any(path.glob("S*/MyPoses/3D_positions")) or (path / "cameras.h5").exists()
    return path.name == "cameras.h5"


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """All takes; with the 2D of ``detections``, the name of a folder beside MyPoses such as StackedHourglass."""
    root = path if path.is_dir() else path.parent
    if not (root / "cameras.h5").exists():
        raise EngineError(f"{root} has no cameras.h5; put it beside the folders S1, S5 ...")
    cameras = _cameras(root / "cameras.h5")
    out = []
    for file in sorted(root.glob("S*/MyPoses/3D_positions/*.h5")):
        subject, take = file.parts[-4], file.stem
        if subject not in cameras:
            raise EngineError(f"{root / 'cameras.h5'} has no cameras for {subject}; it has {', '.join(cameras)}")
        table = expect(_read(file, "3D_positions"), (96, None), f"3D_positions in {file}")
        joints, _ = pick(joint_sets.H36M_ALL, table.T.reshape(-1, 32, 3))
        xy = seen = None
        if detections:
            folder = root / subject / detections
            xy, seen = _detections(folder, take, cameras[subject], len(joints))
        out.append(Sequence(subject, h36m.action(take), take, joints, cameras[subject], xy, seen))
    if not out:
        raise EngineError(f"{root} has no S*/MyPoses/3D_positions/*.h5")
    return out


def _detections(folder: Path, take: str, cameras: tuple[Camera, ...], frames: int) -> tuple[Array, Bools]:
    """(C, F, 17, 2) and (C, F, 17); a camera whose file is missing (one is damaged) sees nothing."""
    xy, seen = np.zeros((len(cameras), frames, 17, 2), np.float32), np.zeros((len(cameras), frames, 17), bool)
    files = [folder / f"{take.replace(' ', '_')}.{camera.name}.h5" for camera in cameras]
    if not any(file.exists() for file in files):
        raise EngineError(f"there are no detections {files[0]}")
    for view, file in enumerate(files):
        if file.exists():
            poses = expect(_read(file, "poses"), (None, 16, 2), f"poses in {file}")[:frames]
            if len(poses) < frames:
                raise EngineError(f"poses in {file} has {len(poses)} frames; the 3D has {frames}")
            xy[view], seen[view] = pick(joint_sets.HOURGLASS, poses)
    return xy, seen


def _read(file: Path, name: str) -> Any:
    import h5py

    try:
        with h5py.File(file, "r") as table:
            return key(table, name, str(file))[:]
    except OSError as error:
        raise EngineError(f"cannot read {file}: it is no HDF5 file, or damaged") from error


def _cameras(file: Path) -> dict[str, tuple[Camera, ...]]:
    import h5py

    out = {}
    try:
        with h5py.File(file, "r") as table:
            names = (str(name) for name in table)
            for number in sorted(int(n[7:]) for n in names if n.startswith("subject") and n[7:].isdigit()):
                group, found = table[f"subject{number}"], []
                for camera in range(1, 5):
                    where = f"{file}: subject{number}/camera{camera}"
                    values = key(group, f"camera{camera}", where)
                    R, T, f, c, k, p, name = (
                        np.asarray(key(values, field, where)[:], float)
                        for field in ("R", "T", "f", "c", "k", "p", "Name")
                    )
                    sizes = {"R": (R, 9), "T": (T, 3), "f": (f, 2), "c": (c, 2), "k": (k, 3), "p": (p, 2)}
                    for field, (value, size) in sizes.items():
                        if value.size != size:
                            raise EngineError(f"{where}: {field} has shape {value.shape}; expected {size} numbers")
                    text = "".join(chr(int(code)) for code in name.ravel())
                    flat = (f.ravel(), c.ravel(), k.ravel(), p.ravel())
                    found.append(h36m.make_camera(text, *flat, R.reshape(3, 3).T, T.ravel()))
                out[f"S{number}"] = tuple(found)
    except OSError as error:
        raise EngineError(f"cannot read {file}: it is no HDF5 file, or damaged") from error
    except CalibrationError as error:
        raise EngineError(f"{file}: {error}") from error
    if not out:
        raise EngineError(f"{file} has no groups subject1, subject5 ...")
    return out
