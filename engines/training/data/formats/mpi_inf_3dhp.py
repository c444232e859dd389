"""MPI-INF-3DHP (Mehta et al., 3DV 2017).

    S1/Seq1/annot.mat (MATLAB 5)        annot2 {14, 1} (F, 56) pixels, annot3 and univ_annot3 {14, 1} (F, 84) mm,
                                        a camera each, 28 joints; camera.calibration beside it, world y up
    TS1/annot_data.mat (MATLAB 7.3)     annot2 (F, 1, 17, 2), annot3 and univ_annot3 (F, 1, 17, 3) mm, camera axes,
                                        valid_frame (F, 1); read as HDF5, so with MATLAB's axes reversed
    data_train_3dhp.npz                 data {"S1 Seq1": [{camera: {data_2d (F, 17, 2), data_3d (F, 17, 3)}}]}
    data_test_3dhp.npz                  data {"TS1": {data_2d, data_3d, valid (F,)}}

The test set is scored on ``univ_annot3``, which is scaled to one body's height; it stands at the place of annot3's
pelvis here. The test cameras are not in the files: their focal length and centre are fitted to 2D and 3D.
"""

from pathlib import Path
from typing import Any

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, camera_to_world
from engines.training.data import joint_sets
from engines.training.data.sequences import Sequence, expect, key, pick
from engines.training.data.unpickle import load_npz, npz_names
from engines.types import EngineError

NAME = "mpi-inf-3dhp"
LOOKS_LIKE = "annot.mat with camera.calibration, annot_data.mat, a folder of them, or data_{train,test}_3dhp.npz"
SCENES = {"TS1": "studio, green screen", "TS2": "studio, green screen", "TS3": "studio", "TS4": "studio",
          "TS5": "outdoor", "TS6": "outdoor"}  # fmt: skip


def sniff(path: Path) -> bool:
    """By name, or by the arrays of an .npz."""
    if path.is_dir():
        return bool(_files(path))
    return path.name in ("annot.mat", "annot_data.mat") or npz_names(path) == ["data"]


def _files(path: Path) -> list[Path]:
    return sorted([*path.glob("**/annot.mat"), *path.glob("**/annot_data.mat")])


def load(path: Path, detections: Path | None) -> list[Sequence]:
    """All takes of a file or folder."""
    if detections:
        raise EngineError(f"{path}: MPI-INF-3DHP has its 2D in the same file; no detections are read for it")
    if path.suffix == ".npz":
        return _npz(path)
    files = _files(path) if path.is_dir() else [path]
    return [_test(file) if file.name == "annot_data.mat" else _train(file) for file in files]


def _train(path: Path) -> Sequence:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        table = loadmat(path)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise EngineError(f"cannot read {path}: it is no MATLAB 5 file, or damaged") from error
    cells = {name: np.asarray(key(table, name, str(path)), object).ravel() for name in ("annot2", "annot3")}
    cameras = _calibration(path.with_name("camera.calibration"))
    count = len(cells["annot3"])
    if len(cells["annot2"]) != count or count > len(cameras):
        raise EngineError(
            f"{path} has {count} views in 3D, {len(cells['annot2'])} in 2D; {len(cameras)} are calibrated"
        )
    frames = min(map(len, [*cells["annot2"], *cells["annot3"]]))
    local = expect(cells["annot3"][0], (None, 84), f"annot3 of camera 0 in {path}")[:frames].reshape(-1, 28, 3)
    joints, _ = pick(joint_sets.MPI_28, camera_to_world(cameras[0], local))
    xy, seen = np.zeros((count, frames, 17, 2), np.float32), np.zeros((count, frames, 17), bool)
    for view, pixels in enumerate(cells["annot2"]):
        points = expect(pixels, (None, 56), f"annot2 of camera {view} in {path}")[:frames].reshape(-1, 28, 2)
        xy[view], _ = pick(joint_sets.MPI_28, points)
        seen[view] = ((xy[view] >= 0) & (xy[view] < cameras[view].size)).all(-1)
    subject, take = (path.parts[-3], path.parts[-2]) if len(path.parts) > 2 else ("S?", path.stem)
    return Sequence(subject, "all", take, joints, cameras[:count], xy, seen, "studio, green screen")


def _calibration(path: Path) -> tuple[Camera, ...]:
    """A header line, then for each camera: name, sensor, size, animated, intrinsic (4x4), extrinsic (4x4), radial."""
    try:
        lines = path.read_text(encoding="latin1").splitlines()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}; it belongs beside annot.mat") from error
    out: list[Camera] = []
    values: dict[str, list[str]] = {}
    for line in lines:
        word, *rest = line.split() or [""]
        values[word] = rest
        if word != "extrinsic":
            continue
        where = f"camera {len(out)} in {path}"
        try:
            K, E = (np.array(key(values, k, where), float).reshape(4, 4) for k in ("intrinsic", "extrinsic"))
            width, height = map(int, key(values, "size", where))
            R, up = _orthogonal(E[:3, :3]), np.array([0.0, 1.0, 0.0])
            out.append(Camera(f"cam{len(out)}", (width, height), K[:3, :3], np.zeros(5), R, E[:3, 3], up))
        except (ValueError, CalibrationError) as error:
            raise EngineError(f"{where} cannot be right: {error}") from error
    return tuple(out)


def _orthogonal(R: Array) -> Array:
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt if np.abs(R @ R.T - np.eye(3)).max() < 1e-2 else R


def _test(path: Path) -> Sequence:
    import h5py

    try:
        with h5py.File(path, "r") as table:
            arrays = {k: key(table, k, str(path))[:] for k in ("annot2", "annot3", "univ_annot3", "valid_frame")}
    except OSError as error:
        raise EngineError(f"cannot read {path}: it is no MATLAB 7.3 file, or damaged") from error
    pixels = expect(arrays["annot2"], (None, 1, 17, 2), f"annot2 in {path}")[:, 0]
    local = expect(arrays["annot3"], (len(pixels), 1, 17, 3), f"annot3 in {path}")[:, 0]
    scaled = expect(arrays["univ_annot3"], (len(pixels), 1, 17, 3), f"univ_annot3 in {path}")[:, 0]
    valid = np.asarray(arrays["valid_frame"]).ravel()
    return _view(path.parent.name, pixels, local, scaled, valid, path)


def _view(name: str, pixels: Array, local: Array, scaled: Array, valid: Array, path: Path) -> Sequence:
    """One test camera; ``scaled`` is what is scored."""
    if len(valid) != len(pixels):
        raise EngineError(f"{path}: {len(valid)} marks of valid frames for {len(pixels)} frames of {name}")
    good = valid > 0
    if not good.any():
        raise EngineError(f"{path}: {name} has no valid frame")
    pixels, local, scaled = pixels[good], local[good], scaled[good]
    camera = _fit(name, pixels, local, (1920, 1080) if name in ("TS5", "TS6") else (2048, 2048), path)
    root = local[:, 14:15]
    joints, _ = pick(joint_sets.MPI_17, scaled - scaled[:, 14:15] + root)
    xy, _ = pick(joint_sets.MPI_17, pixels)
    return Sequence(
        name, "all", name, joints, (camera,), xy[None], np.ones((1, *xy.shape[:-1]), bool), SCENES.get(name, "")
    )


def _fit(name: str, pixels: Array, local: Array, size: tuple[int, int], path: Path) -> Camera:
    """Focal lengths and centre by least squares: ``u z = f x + c z``, linear in f and c."""
    K = np.eye(3)
    for axis in (0, 1):
        z = local[..., 2].ravel()
        table = np.stack([local[..., axis].ravel(), z], -1)
        (K[axis, axis], K[axis, 2]), *_ = np.linalg.lstsq(table, pixels[..., axis].ravel() * z, rcond=None)
    try:
        return Camera(name, size, K, np.zeros(5), np.eye(3), np.zeros(3))
    except CalibrationError as error:
        raise EngineError(f"{path}: 2D and 3D of {name} do not belong to one camera ({error})") from error


def _npz(path: Path) -> list[Sequence]:
    data = key(load_npz(path), "data", str(path))
    if not isinstance(data, dict):
        raise EngineError(f"data in {path} is no dictionary of takes")
    out = []
    for name, take in data.items():
        where = f"{name} in {path}"
        views: Any = take[0] if isinstance(take, list | tuple | np.ndarray) and len(take) else {"": take}
        if not isinstance(views, dict):
            raise EngineError(f"{where} is no dictionary of cameras")
        for camera, view in views.items():
            pixels = expect(key(view, "data_2d", where), (None, 17, 2), f"data_2d of {where}")
            local = expect(key(view, "data_3d", where), (len(pixels), 17, 3), f"data_3d of {where}")
            valid = np.asarray(view["valid"] if "valid" in view else np.ones(len(pixels))).ravel()
            part = _view(str(name).split(" ")[0], pixels, local, local, valid, path)
            shown = f"{name} {camera}".strip()
            out.append(Sequence(part.subject, "all", shown, part.joints, part.cameras, part.xy, part.seen, part.scene))
    return out
