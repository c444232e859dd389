"""EasyMocap ``intri.yml`` and ``extri.yml``: K_x, dist_x, R_x (Rodrigues) or Rot_x, T_x usually in metres."""

from pathlib import Path
from typing import Any

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats._fields import array, image_size, rotation
from calibration.formats._imported import imported
from calibration.formats._units import tell_unit
from calibration.formats._yaml import read_yaml
from calibration.geometry.camera import Camera
from calibration.types import Calibration

FORMAT = "easymocap"
TITLE = "EasyMocap intri.yml + extri.yml (the folder or either file)"


def _files(path: Path) -> tuple[Path, Path]:
    folder = path if path.is_dir() else path.parent
    return folder / "intri.yml", folder / "extri.yml"


def matches(path: Path) -> bool:
    """A folder with intri.yml, or one of the two files."""
    return _files(path)[0].is_file() and (path.is_dir() or path.name in ("intri.yml", "extri.yml"))


def read(path: Path, *, unit: float | None = None, size: tuple[int, int] | None = None) -> Calibration:
    """Read both files; without extri.yml only the intrinsics.

    EasyMocap writes no image size in most versions (H_x and W_x where it does), so ``size`` may be needed.

    Raises:
        CalibrationError: naming the file and the key.
    """
    intri_path, extri_path = _files(path)
    intri = read_yaml(intri_path)
    listed = intri.get("names")
    listed = listed if isinstance(listed, list) else []
    names = [name if isinstance(name, str) else f"{name:g}" for name in listed if isinstance(name, str | float)]
    keys = [key.removeprefix("K_") for key in intri if key.startswith("K_")]
    if not keys:
        raise CalibrationError(f"{intri_path}: no K_<camera> in it")
    # Pose2Sim's converter numbers the keys 1..N whatever the names are.
    names = names if len(names) == len(keys) else keys
    pairs = [(name, name if name in keys else keys[i]) for i, name in enumerate(names)]
    placed = extri_path.is_file()
    extri = read_yaml(extri_path) if placed else {}
    poses = [_place(extri, key, str(extri_path)) if placed else (np.eye(3), np.zeros(3)) for _, key in pairs]
    places = np.array([-R.T @ t for R, t in poses])
    told = tell_unit(places, unit, str(extri_path), usual="m") if placed else None
    cameras = []
    for (name, key), (R, t) in zip(pairs, poses, strict=True):
        K = array(intri, f"K_{key}", [(3, 3)], str(intri_path))
        dist_key = f"dist_{key}" if f"dist_{key}" in intri else f"D_{key}"
        dist = array(intri, dist_key, [s for n in (4, 5, 8) for s in ((1, n), (n, 1))], str(intri_path)).ravel()
        size_of = _size(intri, key, size, str(intri_path))
        cameras.append(Camera(name, size_of, K, dist, R, t * told.mm if told else t))
    return imported(path, "EasyMocap yml", cameras, told)


def _place(extri: dict[str, Any], key: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    if f"Rot_{key}" in extri:
        R = rotation(array(extri, f"Rot_{key}", [(3, 3)], where), where, f"Rot_{key}")
    else:
        R = rotation(array(extri, f"R_{key}", [(3, 1), (1, 3)], where), where, f"R_{key}")
    return R, array(extri, f"T_{key}", [(3, 1), (1, 3)], where).ravel()


def _size(intri: dict[str, Any], key: str, size: tuple[int, int] | None, where: str) -> tuple[int, int]:
    if f"W_{key}" in intri and f"H_{key}" in intri:
        return image_size((intri[f"W_{key}"], intri[f"H_{key}"]), where, f"W_{key}, H_{key}")
    if size is None:
        raise CalibrationError(
            f"{where}: W_{key} and H_{key} are missing, as EasyMocap leaves them out; say them with "
            "python -m calibration convert --size WxH"
        )
    return size
