"""Runtimes: what executes a network. The directory is the registry, and this file is the one place that chooses.

A runtime is a file here with three things: ``PREFERENCE`` (an int, the highest that is available is "auto"),
``available() -> bool`` (cheap, imports nothing heavy) and ``load(path, sha256, threads) -> Runtime``.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from engines import cards
from engines.types import EngineError, Runtime


class _Module(Protocol):
    PREFERENCE: int

    def available(self) -> bool: ...

    def load(self, path: Path, sha256: str, threads: int) -> Runtime: ...


def names() -> list[str]:
    """Every runtime there is a file for, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(path: Path, name: str = "auto", threads: int = 1) -> Runtime:
    """Load a network.

    Args:
        path: the ONNX file. Where it has a card beside it the file is checked against it.
        name: one of ``names()``, or "auto" for the most preferred one that is available.
        threads: threads for the operators of one call, >= 1.

    Returns:
        The runtime, warmed up; ``describe()`` says what really bound.

    Raises:
        EngineError: for an unknown or unavailable runtime, and for a missing or broken file.
    """
    path = Path(path)
    sha256 = cards.verify(path).sha256 if path.with_suffix(".toml").is_file() else cards.digest(path)
    return _choose(name).load(path, sha256, threads)


def _choose(name: str) -> _Module:
    if name == "auto":
        modules = [m for m in map(_module, names()) if m.available()]
        if not modules:
            raise EngineError(f"no runtime is installed of {', '.join(names())}: pip install -r requirements.txt")
        return max(modules, key=lambda m: m.PREFERENCE)
    if name not in names():
        raise EngineError(f"unknown runtime {name!r}; there are auto, {', '.join(names())}")
    module = _module(name)
    if not module.available():
        raise EngineError(f"runtime {name!r} is not installed here; use --runtime auto or one of the others: "
                          f"{', '.join(n for n in names() if _module(n).available())}")  # fmt: skip
    return module


def _module(name: str) -> _Module:
    return cast(_Module, importlib.import_module(f"{__name__}.{name}"))
