"""Runtimes: what executes a network. The directory is the registry; which one a network gets is decided in _choose.py.

A runtime is a file here (without a leading underscore) that has what ``_module.RuntimeModule`` says.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from engines.runtimes import _choose
from engines.runtimes._expect import expect
from engines.runtimes._module import Network, RuntimeModule, Say, silent
from engines.types import Runtime

__all__ = ["Network", "Open", "Say", "expect", "fitting", "has_int8", "load", "module", "names", "silent"]

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


def fitting(path: Path, precision: str) -> str:
    """The precision to load a network with where int8 is wanted of those that have an int8 file, and not all have."""
    return "auto" if precision == "int8" and not has_int8(path) else precision


def load(path: Path, name: str = "auto", threads: int = 1, precision: str | None = None, say: Say = silent) -> Network:
    """Load a network.

    "auto" is TensorRT where it and a GPU are there and work, else the fastest of those that are installed and, where
    that is asked for, of the precisions that there are files of: measured once for the file, the processor, the
    graphics, the number of threads and the versions, and kept in the user's cache. It passes over what is broken. One
    that is asked for by name is used or refused.

    Args:
        path: the ONNX file. Where it has a card beside it the file is checked against it; ``NAME.int8.onnx`` beside
            ``NAME.onnx`` is its int8 file if its card says ``accepted`` and ``of`` this very file.
        name: one of ``names()``, or "auto".
        threads: threads for the operators of one call, >= 1.
        precision: "fp32", "int8", or "auto" for the faster; None for the very file that is given. A file whose card
            says ``precision = "fp16"`` is neither: it runs with "auto" and None.
        say: told a line where something takes its time.

    Returns:
        The network, warmed up; ``describe()`` says what really bound, and under ``choice`` why.

    Raises:
        EngineError: for an unknown or unavailable runtime or precision, and for a missing or broken file.
    """
    return _choose.load({n: module(n) for n in names()}, Path(path), name, threads, precision, say)
