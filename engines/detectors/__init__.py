"""2D joint detectors. The directory is the registry.

A detector is a file here with ``WEIGHTS``, the names a user asks for it by and the file each needs from
engines/weights, and ``load(name, open_network) -> Detector``, with ``open_network`` for its networks. A file imports
what is heavy where it is used.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from engines import runtimes
from engines.types import Detector, EngineError, Runtime


class _Module(Protocol):
    WEIGHTS: Mapping[str, str]

    def load(self, name: str, open_network: runtimes.Open) -> Detector: ...


def names() -> list[str]:
    """Every name that ``load`` knows, sorted."""
    return sorted(_registry())


def weights(name: str) -> str:
    """File name of a detector's weights.

    Raises:
        EngineError: if there is no detector of that name.
    """
    return _find(name).WEIGHTS[name]


def load(
    name: str, runtime: str = "auto", threads: int = 1, precision: str = "auto", say: runtimes.Say = runtimes.silent
) -> Detector:
    """Load a detector.

    Args:
        name: one of ``names()``.
        runtime: one of ``engines.runtimes.names()`` or "auto".
        threads: threads of its networks, >= 1.
        precision: "fp32", "auto", or "int8": that of the networks that have an int8 file; not all have.
        say: told a line where something takes its time.

    Raises:
        EngineError: for an unknown name (listing what there is), a package that is not installed, or weights that
            are missing or damaged.
    """

    def open_network(path: Path) -> Runtime:
        return runtimes.load(path, runtime, threads, runtimes.fitting(path, precision), say)

    return _find(name).load(name, open_network)


def _registry() -> dict[str, _Module]:
    files = [m.name for m in pkgutil.iter_modules(__path__) if m.name != "fallback"]  # the order's owner, no detector
    modules = [cast(_Module, importlib.import_module(f"{__name__}.{file}")) for file in files]
    return {name: module for module in modules for name in module.WEIGHTS}


def _find(name: str) -> _Module:
    registry = _registry()
    if name not in registry:
        raise EngineError(f"unknown detector {name!r}; there are {', '.join(sorted(registry))}")
    return registry[name]
