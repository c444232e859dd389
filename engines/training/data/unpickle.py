"""Read the pickles in which data sets are handed around without running what is in them.

A pickle is a program: whoever wrote the file decides what it does. These files need dictionaries, lists, text, numbers
and numpy arrays; everything else in a pickle is refused, so no flag to trust a file is needed, and there is none.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from engines.types import EngineError


def _text_to_bytes(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2; with any other codec it is no data."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding}")
    return text.encode(encoding)


# By name alone: numpy moved them from numpy.core to numpy._core, and both occur in files.
_NUMPY: Final = {
    "ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.empty(0).__reduce__()[0],
    "scalar": np.float32(0).__reduce__()[0], "_frombuffer": np.empty(1).__reduce_ex__(5)[0],
}  # fmt: skip
_OTHERS: Final = {
    ("collections", "OrderedDict"): OrderedDict, ("_codecs", "encode"): _text_to_bytes,
}  # fmt: skip
_NUMPY_MODULES: Final = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric",
                         "numpy._core.numeric")  # fmt: skip


class _DataOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name in _NUMPY_MODULES and global_name in _NUMPY:
            return _NUMPY[global_name]
        if (module_name, global_name) in _OTHERS:
            return _OTHERS[module_name, global_name]
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def _load(file: BinaryIO, path: Path) -> Any:
    try:
        return _DataOnly(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise EngineError(f"{path} is refused: its pickle holds more than numbers and text ({error})") from error
    except Exception as error:  # a damaged pickle raises whatever its bytes provoke
        raise EngineError(f"cannot read {path}: its pickle is damaged ({error.__class__.__name__})") from error


def load_pickle(path: Path) -> Any:
    """The dictionaries, lists and arrays of a .pkl file.

    Raises:
        EngineError: if it cannot be read, or holds anything but data.
    """
    try:
        with path.open("rb") as file:
            return _load(file, path)
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from error


def npz_names(path: Path) -> list[str]:
    """Names of the arrays of an .npz, without reading them; empty for a file that is no .npz."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))
    except (OSError, zipfile.BadZipFile):
        return []


def load_npz(path: Path) -> dict[str, Any]:
    """The arrays of an .npz; a pickled dictionary in it comes out as the dictionary.

    Raises:
        EngineError: if it cannot be read, or holds anything but data.
    """
    out: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                out[name.removesuffix(".npy")] = _array(io.BytesIO(archive.read(name)), path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise EngineError(f"cannot read {path}: {error}; it must be an .npz file") from error
    return out


def _array(file: io.BytesIO, path: Path) -> Any:
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError:
        # An array of objects: behind its header comes a pickle.
        file.seek(0)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header(file)
    value = _load(file, path)
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
