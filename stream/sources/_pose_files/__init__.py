"""2D joints that other programs have found, in the files that they write. Each module here is one kind of file.

A module has ``TITLE``, ``matches(path) -> bool`` and ``read(path) -> PoseFile``.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, cast

from calibration.text import natural_key
from stream.sources._pose_files._types import PoseFile
from stream.types import StreamError

__all__ = ["PoseFile", "cameras_of", "is_poses", "read"]

_SUFFIXES: Final = (".json", ".csv", ".h5")
_CALIBRATION: Final = ("calibration", "calib")


class _Module(Protocol):
    TITLE: str

    def matches(self, path: Path) -> bool: ...
    def read(self, path: Path) -> PoseFile: ...


def _modules() -> list[_Module]:
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    return [cast(_Module, importlib.import_module(f"{__name__}.{name}")) for name in sorted(names)]


def is_poses(path: Path) -> bool:
    """Whether a file or folder holds the 2D joints of one camera."""
    try:
        return any(module.matches(path) for module in _modules())
    except OSError:
        return False


def read(path: Path) -> PoseFile:
    """The 2D joints of one camera.

    Raises:
        StreamError: if it is none of the kinds, or cannot be read.
    """
    try:
        for module in _modules():
            if module.matches(path):
                return module.read(path)
    except OSError as error:
        raise StreamError(f"{path}: cannot be read: {error.strerror or error}") from None
    raise StreamError(f"{path} holds no 2D joints in a way that is known: {', '.join(m.TITLE for m in _modules())}")


def cameras_of(folder: Path) -> dict[str, Path]:
    """The cameras of a folder by name: its files and folders of 2D joints, or itself where it is one camera's.

    A project of Pose2Sim or OpenPose is looked into: its folder ``pose``, and names without ``_json``.

    Raises:
        StreamError: if there is none, two would have one name, or a file holds none.
    """
    if not folder.exists():
        raise StreamError(f"{folder}: there is no such folder; give --detections the folder of the 2D joints")
    if folder.is_file():
        if not is_poses(folder):
            read(folder)  # says what is wrong with it
        return {_name(folder): folder}
    places = [folder / "pose"] if (folder / "pose").is_dir() else [folder]
    found: dict[str, Path] = {}
    for path in sorted(_inside(places[0]), key=natural_key):
        other = found.setdefault(_name(path), path)
        if other is not path:
            raise StreamError(f"{other} and {path} are both of a camera {_name(path)!r}; rename one")
    if not found and is_poses(folder):
        return {_name(folder): folder}
    if not found:
        titles = "; ".join(module.TITLE for module in _modules())
        raise StreamError(f"{folder}: there are no 2D joints in it. One file or folder a camera is read: {titles}")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    try:
        for path in folder.iterdir():
            kind = path.is_dir() or path.suffix.lower() in _SUFFIXES
            if kind and not path.name.startswith(".") and path.name not in _CALIBRATION and is_poses(path):
                yield path
    except OSError as error:
        raise StreamError(f"{folder}: cannot be read: {error.strerror or error}") from None


def _name(path: Path) -> str:
    stem = path.name if path.is_dir() else path.stem
    stem = re.sub(r"(_json|_keypoints|_poses?|DLC_.*)$", "", stem)
    stem = re.sub(r"[^\w -]", "_", stem)
    return stem if re.match(r"\w", stem) else f"cam{stem}"
