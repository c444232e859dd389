"""Reading fields with errors that name the file and the key, and writing the little TOML that is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration import text
from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.geometry.rotations import rotation_matrix
from calibration.text import shown

_MOST_RADIANS = 20.0  # three times round; solvers hand on more than one


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        CalibrationError: with the line where it is not TOML, or the limit that it exceeds.
    """
    try:
        return text.parse_toml(text.read(path))
    except ValueError as error:
        raise CalibrationError(f"{path}: not a TOML file: {error}") from error


def peek(path: Path) -> str:
    """The first 20000 bytes as text of a file, "" for a folder or what is not text."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(20000)
    return text.line_ends(head.decode(text.encoding(head), "replace"))


def array(table: Mapping[str, Any], key: str, shapes: Sequence[tuple[int, ...]], where: str) -> Array:
    """A numeric array of one of the shapes.

    Raises:
        CalibrationError: naming where and key when it is missing, not numbers, not finite or of another shape.
    """
    if key not in table:
        raise CalibrationError(f"{where}: {key} is missing")
    try:
        value = np.array(table[key], np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise CalibrationError(f"{where}: {key} is not an array of numbers") from error
    if value.shape not in shapes:
        raise CalibrationError(f"{where}: {key} has shape {value.shape}, expected {' or '.join(map(str, shapes))}")
    if not np.isfinite(value).all():
        raise CalibrationError(f"{where}: {key} holds values that are not finite")
    return value


def boolean(table: Mapping[str, Any], key: str, where: str, missing: bool = False) -> bool:
    """True or false, ``missing`` where it is not there.

    Raises:
        CalibrationError: if it is something else.
    """
    value = table.get(key, missing)
    if not isinstance(value, bool):
        raise CalibrationError(f"{where}: {key} is {shown(value)}, expected true or false")
    return value


def unplaced_remarks(path: Path, lenses: Sequence[Camera]) -> tuple[str, ...]:
    """A line that names the cameras without a place, where there are some among those that have one."""
    if not lenses:
        return ()
    names = ", ".join(camera.name for camera in lenses)
    return (
        f"{path}: not placed: {names}; the others are used, and their lenses are there for "
        "python -m calibration extrinsics --intrinsics",
    )


def image_size(value: Any, where: str, key: str = "size") -> tuple[int, int]:
    """Width and height as positive whole numbers.

    Raises:
        CalibrationError: if they are not.
    """
    try:
        if isinstance(value, str):
            raise TypeError("text")
        width, height = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise CalibrationError(f"{where}: {key} is {shown(value)}, expected [width, height]") from error
    if not (width > 0 and height > 0 and width.is_integer() and height.is_integer()):
        raise CalibrationError(f"{where}: {key} is [{width:g}, {height:g}], expected two whole numbers above 0")
    return int(width), int(height)


def rotation(value: Array, where: str, key: str) -> Array:
    """A (3, 3) rotation from a Rodrigues vector or a matrix; a matrix of few digits is made orthogonal.

    Raises:
        CalibrationError: if the matrix is no rotation to 1e-3, or the vector turns many times round.
    """
    largest = float(np.abs(value).max())
    if value.size == 3:
        if largest > _MOST_RADIANS:
            raise CalibrationError(f"{where}: {key} is a turn by {largest:.3g} rad; at most {_MOST_RADIANS:g} are read")
        return rotation_matrix(value.ravel())
    if largest > 1.01:
        raise CalibrationError(f"{where}: {key} is not a rotation: it holds {largest:.3g}, above 1")
    if np.abs(value @ value.T - np.eye(3)).max() > 1e-3 or np.linalg.det(value) < 0:
        raise CalibrationError(
            f"{where}: {key} is not a rotation (R R^T = 1, det R = 1; det is {np.linalg.det(value):.3f})"
        )
    U, _, V = np.linalg.svd(value)
    return U @ V


def write_value(value: Any) -> str:
    """One value as TOML."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        return text.quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(write_value(v) for v in value) + "]"
    return repr(value)


def write_table(name: Sequence[str], values: Mapping[str, Any]) -> str:
    """One table as TOML; None values are left out."""
    rows = [f"{text.quoted_key(key)} = {write_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join([f"[{'.'.join(map(text.quoted_key, name))}]", *rows]) + "\n"
