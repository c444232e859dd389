"""What the file of a runtime has, and what all of them need."""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from engines.runtimes._example import Spec
from engines.types import Runtime

Say = Callable[[str], None]


def silent(_line: str) -> None:
    """Say nothing."""


class Network(Runtime, Protocol):
    """A loaded network that is warm; may be called by several threads at once."""

    @property
    def inputs(self) -> Mapping[str, Spec]:
        """Name -> what it takes."""
        ...


class RuntimeModule(Protocol):
    """A file of engines/runtimes."""

    ACCELERATOR: bool
    """Whether "auto" takes it wherever it works; the others are measured against each other."""
    INSTALL: str
    """The command that installs it."""
    PRECISIONS: tuple[str, ...]
    """Of "fp32", "fp16" and "int8", the files that it runs."""

    def available(self) -> bool:
        """Whether it is installed; imports nothing heavy."""
        ...

    def obstacle(self) -> str | None:
        """Why "auto" need not try it on this machine, in a few words; quick, and quiet where it does not know."""
        ...

    def version(self) -> str:
        """Of what is installed, without importing it."""
        ...

    def load(self, path: Path, sha256: str, threads: int, precision: str, say: Say) -> Network:
        """Load an ONNX file, or raise EngineError."""
        ...


def installed(*packages: str) -> bool:
    """Whether these can be imported, without importing them."""
    try:
        return all(importlib.util.find_spec(package) is not None for package in packages)
    except ImportError:  # the parent of a dotted name is missing, or an import hook forbids it
        return False


def version(*distributions: str) -> str:
    """Name and version of the first of these distributions that is installed, without importing it."""
    for name in distributions:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def one_line(error: BaseException) -> str:
    """What a library says of its failure, on one line and not longer than one."""
    return " ".join(str(error).split())[:200] or type(error).__name__
