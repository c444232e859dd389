"""Runtimes: what executes a network. The directory is the registry; which one a network gets is decided in _choose.py.

A runtime is a file here (without a leading underscore) that has what ``_module.RuntimeModule`` says.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from engines.runtimes import _choose
from engines.runtimes._expect import expect
from engines.runtimes._module import Network, NetworkOptions, RuntimeModule
from engines.types import Runtime

__all__ = ["Network", "NetworkOptions", "Open", "expect", "fitting", "has_int8", "load", "module", "names"]

Open = Callable[[Path], Runtime]
"""Opens a network by its file: ``load`` with everything else decided. What detectors are given."""


def names() -> list[str]:
    """Every runtime there is a file for, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def module(name: str) -> RuntimeModule:
    """The file of a runtime, one of ``names()``."""
    return cast(RuntimeModule, importlib.import_module(f"{__name__}.{name}"))


def has_int8(path: Path) -> bool:
    """Whether there is an int8 file beside a network's file."""
    return path.with_suffix(_choose.INT8).is_file()


def fitting(path: Path, options: NetworkOptions) -> NetworkOptions:
    """The options to load a network with where int8 is wanted of those that have an int8 file, and not all have."""
    return replace(options, precision="auto") if options.precision == "int8" and not has_int8(path) else options


def load(path: Path, options: NetworkOptions | None = None) -> Network:
    """Load a network.

    "auto" is TensorRT where it and a GPU are there and work, else the fastest of those that are installed and, where
    that is asked for, of the precisions that there are files of: measured once for the file, the processor, the
    graphics, the number of threads and the versions, and kept in the user's cache. It passes over what is broken. One
    that is asked for by name is used or refused.

    Args:
        path: the ONNX file. Where it has a card beside it the file is checked against it; ``NAME.int8.onnx`` beside
            ``NAME.onnx`` is its int8 file if its card says ``accepted`` and ``of`` this very file.
        options: what is to execute it.

    Returns:
        The network, warmed up; ``describe()`` says what really bound, and under ``choice`` why.

    Raises:
        EngineError: for an unknown or unavailable runtime or precision, and for a missing or broken file.
    """
    return _choose.load({n: module(n) for n in names()}, Path(path), options or NetworkOptions())
