"""What the file of a runtime has, and what all of them need."""

import importlib.metadata
import importlib.util
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from calibration import text
from engines.runtimes._example import Spec
from engines.types import Runtime


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What executes a network; decided once, and handed down whole."""

    runtime: str = "auto"
    """Name of the runtime, or "auto"."""
    precision: str | None = None
    """"fp32", "int8", or "auto" for the faster; None for the very file that is given. A file whose card says
    ``precision = "fp16"`` is neither: it runs with "auto" and None."""
    threads: int = 1
    """For the operators of one call, >= 1."""


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

    def load(self, path: Path, sha256: str, threads: int, precision: str) -> Network:
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


_environment = threading.RLock()


@contextmanager
def told_not_to_report(name: str, value: str) -> Iterator[None]:
    """Within it an environment variable is set, for the one call that reads it; what the host program set stays."""
    with _environment:
        before = os.environ.get(name)
        if before is None:
            os.environ[name] = value
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(name, None)


def one_line(error: BaseException) -> str:
    """What a library says of its failure, on one line and not longer than one; the cause is often at its end."""
    return text.one_line(" ".join(str(error).split()), 200) or type(error).__name__
