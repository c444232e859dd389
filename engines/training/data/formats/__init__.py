"""Recorded people from the files data sets come in. The directory is the registry.

A format is a file here with ``NAME``, ``sniff(path) -> bool`` by what is inside the file, and
``load(path, detections) -> list[Sequence]``. A file imports what is heavy (h5py, scipy) where it is used.

    python -m engines.training.data inspect FILE
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from engines.training.data.sequences import Sequence
from engines.types import EngineError


class _Format(Protocol):
    NAME: str
    """What it is called in messages."""
    LOOKS_LIKE: str
    """What a user must have, in half a line."""

    def sniff(self, path: Path) -> bool:
        """Whether this file or folder is of the format."""
        ...

    def load(self, path: Path, detections: Path | None) -> list[Sequence]:
        """Its sequences, with these 2D detections instead of its own 2D where the format has such files."""
        ...


def formats() -> Mapping[str, _Format]:
    """Every format that ``load`` knows."""
    files = [m.name for m in pkgutil.iter_modules(__path__) if m.name != "__main__"]
    modules = [cast(_Format, importlib.import_module(f"{__name__}.{file}")) for file in sorted(files)]
    return {module.NAME: module for module in modules}


def find(path: Path) -> _Format:
    """The format of a file or folder.

    Raises:
        EngineError: if it is missing or of none of the formats, listing them.
    """
    if not path.exists():
        raise EngineError(f"{path} does not exist")
    known = formats()
    for form in known.values():
        if form.sniff(path):
            return form
    there = "; ".join(f"{name}: {form.LOOKS_LIKE}" for name, form in known.items())
    raise EngineError(f"{path} is of no format that can be read here; there are {there}")


def load(path: Path, detections: Path | None = None) -> list[Sequence]:
    """Read a data set.

    Args:
        path: its file or folder.
        detections: a file or folder of 2D detections, for formats that keep them apart.

    Raises:
        EngineError: if it cannot be read, a key is missing or a shape is wrong: one line that names it.
    """
    return find(path).load(path, detections)
