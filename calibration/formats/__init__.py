"""Calibration files. The directory is the registry: a module with ``FORMAT`` is a format.

A format module has ``FORMAT`` (its name), ``TITLE`` (one line for a person), ``matches(path) -> bool`` (decides on
name and content, cheaply) and ``read(path, **options) -> Calibration``; with ``write(calibration, path)`` it can be
written too. The options are ``unit`` (mm a unit of length of the file, None: as the format says) and ``size`` (the
image size where the file has none). Errors name the file and the key. A format that is only read has
``example(folder) -> Path``, which leaves a small file in an empty folder: the contract's tests then try it without
being edited.
"""

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats._fields import peek
from calibration.formats._foreign import foreign
from calibration.geometry.camera import Camera, check_plausible
from calibration.text import one_line
from calibration.types import Calibration
from calibration.writing import special

_LARGEST_UNIT = 1e6  # a kilometre


def formats() -> dict[str, ModuleType]:
    """Every format there is, by name, in alphabetical order."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    return {module.FORMAT: module for module in modules if hasattr(module, "FORMAT")}


def _format(name: str) -> ModuleType:
    known = formats()
    if name not in known:
        raise CalibrationError(f"unknown calibration format {name!r}; there are {', '.join(known)}")
    return known[name]


def _detect(path: Path) -> ModuleType:
    known = formats()
    for module in known.values():
        if module.matches(path):
            return module
    if said := foreign(path):
        raise CalibrationError(f"{path}: {said}")
    raise CalibrationError(
        f"{path}: not a calibration in a format known here ({', '.join(known)}){_what(path)}; name its format with "
        "python -m calibration convert --from"
    )


def _what(path: Path) -> str:
    """A hint of what it is instead."""
    if path.is_dir():
        return ": none of the files in this folder is one"
    words = peek(path)
    if not words.strip():
        return ": it is empty"
    return ": it is not text" if "\0" in words else ""


def _as_fisheye(camera: Camera) -> Camera:
    """The same camera, its coefficients taken for those of a fisheye.

    Raises:
        CalibrationError: if they are not four.
    """
    if camera.dist.size > 4 and camera.dist[4:].any():
        raise CalibrationError(
            f"camera {camera.name!r}: dist has {camera.dist.size} coefficients; a fisheye has 4: leave out --fisheye"
        )
    return replace(camera, dist=camera.dist[:4], fisheye=True)


def load_calibration(
    path: str | Path, name: str | None = None, *, unit: float | None = None, size: tuple[int, int] | None = None,
    fisheye: bool = False,
) -> Calibration:  # fmt: skip
    """Read a calibration file (or, for EasyMocap, COLMAP and OpenCV, the folder it lies in).

    Args:
        path: the file or folder.
        name: the format's name, or None to find it out by extension and content.
        unit: mm a unit of length of the file, or None for what the format says.
        size: image width and height for files that do not hold one.
        fisheye: the coefficients are OpenCV's fisheye's, which the file does not say.

    Raises:
        CalibrationError: if it is missing, of no known format, or holds a value that cannot be right.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise CalibrationError(f"{path}: no such calibration file")
        if not path.is_dir() and (kind := special(path)):
            raise CalibrationError(f"{path}: it is {kind}, not a calibration file")
        module = _format(name) if name else _detect(path)
        if unit is not None and not 0 < unit <= _LARGEST_UNIT:
            raise CalibrationError(f"unit of {unit:g} mm; give a length above 0 and up to {_LARGEST_UNIT:g} mm")
        # What overflows is refused with its value further down.
        with np.errstate(over="ignore", invalid="ignore"):
            calibration = module.read(path, unit=unit, size=size)
        if fisheye:
            calibration = replace(
                calibration, cameras=tuple(map(_as_fisheye, calibration.cameras)),
                lenses=tuple(map(_as_fisheye, calibration.lenses)),
            )  # fmt: skip
        for camera in (*calibration.cameras, *calibration.lenses):
            check_plausible(camera)
        return calibration
    except CalibrationError as error:
        said = str(error).removeprefix(f"{path}: ")
        where = "" if str(path) in said else f"{path}: "
        raise CalibrationError(where + one_line(said)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read ({error})") from error


def save_calibration(calibration: Calibration, path: str | Path, name: str = "native") -> None:
    """Write a calibration file.

    Raises:
        CalibrationError: if the format cannot be written.
        WriteError: if the file cannot; what was there is as it was.
    """
    module, path = _format(name), Path(path)
    if not hasattr(module, "write"):
        writable = [key for key, value in formats().items() if hasattr(value, "write")]
        raise CalibrationError(f"format {name!r} can only be read; writable are {', '.join(writable)}")
    module.write(calibration, path)
