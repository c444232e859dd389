"""2D joint detectors. The directory is the registry.

A detector is a file here with ``WEIGHTS``, the names a user asks for it by and the file each needs from
engines/weights (None: it needs none), and ``load(name, options) -> Detector``, with DetectorOptions. One that really
sees the spine or the neck says so with ``AXIAL``, those joints' indexes. A file imports what is heavy where it is used.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Protocol, cast

from calibration.errors import UserError
from engines import cards
from engines.detectors._crowd import OnePersonSession, crowd
from engines.detectors._options import DetectorOptions
from engines.plugins import Plugins
from engines.types import Detector, EngineError

__all__ = [
    "GROUP", "DetectorOptions", "OnePersonSession", "axial", "crowd", "load", "names", "register", "unregister",
    "weights", "weights_file",
]  # fmt: skip

GROUP: Final = "hypothesis_stream.detectors"
"""The entry-point group of detectors in other packages."""
_PLUGINS: Final = Plugins(GROUP, ("WEIGHTS", "load"))


class _Module(Protocol):
    WEIGHTS: Mapping[str, str | None]

    def load(self, name: str, options: DetectorOptions) -> Detector: ...


def names() -> list[str]:
    """Every name that ``load`` knows, sorted."""
    return sorted(_registry())


def weights(name: str) -> str | None:
    """File name of a detector's weights; None for one that needs none.

    Raises:
        EngineError: if there is no detector of that name.
    """
    return _find(name).WEIGHTS[name]


def weights_file(name: str) -> Path:
    """Where the weights of a detector that has some are.

    Raises:
        EngineError: if there is no detector of that name, or it needs none.
    """
    if (file := weights(name)) is None:
        raise EngineError(f"the detector {name} has no weights")
    return cards.WEIGHTS / file


def axial(name: str) -> tuple[int, ...]:
    """Which of spine and neck (indexes of engines.skeleton) a detector really sees.

    Raises:
        EngineError: if there is no detector of that name.
    """
    return tuple(getattr(_find(name), "AXIAL", ()))


def load(name: str, options: DetectorOptions | None = None) -> Detector:
    """Load a detector.

    Args:
        name: one of ``names()``.
        options: how it runs and follows.

    Raises:
        EngineError: for an unknown name (listing what there is), a package that is not installed, or weights that
            are missing or damaged.
    """
    module = _find(name)
    if module not in _PLUGINS.found().values():
        return module.load(name, options or DetectorOptions())
    try:
        detector = module.load(name, options or DetectorOptions())
        lacks = {"model", "sha256", "runtime"} - set(detector.describe())
    except UserError:
        raise
    except Exception as error:  # whatever another's code does
        raise EngineError(f"detector {name} cannot be made ({type(error).__name__}: {error})") from error
    if lacks:
        raise EngineError(f"detector {name}: what describe() gives lacks {', '.join(sorted(lacks))}")
    return detector


def register(name: str, load: Callable[[str, DetectorOptions], Detector], *, axial: Sequence[int] = ()) -> None:
    """Make a detector known by a name, for this process; the same name again replaces it.

    Args:
        name: what a user asks for it by.
        load: makes it, of its name and how it is to run.
        axial: which of spine and neck (indexes of ``engines.skeleton``) it really sees.

    Raises:
        EngineError: for a name that is taken or none, or for what cannot be called.
    """
    if not callable(load):
        raise EngineError(f"detector {name!r}: load is {type(load).__name__}; give what makes it: load(name, options)")
    _PLUGINS.register(name, SimpleNamespace(WEIGHTS={name: None}, load=load, AXIAL=tuple(axial)), ["auto", *names()])


def unregister(name: str) -> None:
    """Take out a detector that was registered."""
    _PLUGINS.unregister(name)


def _registry() -> dict[str, _Module]:
    files = [
        m.name for m in pkgutil.iter_modules(__path__) if m.name != "fallback" and not m.name.startswith("_")
    ]  # the order's owner, no detector
    modules = [cast(_Module, importlib.import_module(f"{__name__}.{file}")) for file in files]
    # Ours last: a package takes no name of theirs away.
    return {name: module for module in (*_PLUGINS.found().values(), *modules) for name in module.WEIGHTS}


def _find(name: str) -> _Module:
    registry = _registry()
    if name not in registry:
        raise EngineError(f"unknown detector {name!r}; there are {', '.join(sorted(registry))}")
    return registry[name]
