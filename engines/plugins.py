"""Detectors, sources and sinks from outside this tree: entry points of installed packages, and calls that register.

An entry point names what a file of the directory is: a module with the same names in it. One that cannot be used is
logged and passed over, so that a broken package spoils nothing but itself.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from calibration.errors import UserError
from engines.types import EngineError

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Plugins:
    """Those of one kind. Registering is asked for by a program, so there is one list a process."""

    group: str
    """The entry-point group."""
    needs: Sequence[str]
    """What each must have, as a module of the directory does."""
    check: Callable[[Any], None] | None = None
    """Raises a UserError for one that has it all and is still of no use."""
    _registered: dict[str, Any] = field(default_factory=dict)
    _installed: dict[str, Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, name: str, plugin: Any, taken: Collection[str]) -> None:
        """Add one for this process; the same name registered again replaces it, as a notebook's cell does.

        Args:
            name: what it is called by.
            plugin: has all that is in ``needs``.
            taken: names that are not to be had.

        Raises:
            EngineError: for a name that is taken or none, or where something is missing.
        """
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise EngineError(f"{name!r} is no name: letters, digits, - and _, beginning with a letter")
        if name in taken and name not in self._registered:
            raise EngineError(f"{name!r} is there already; choose another name")
        self._check(plugin, name)
        self._registered[name] = plugin

    def unregister(self, name: str) -> None:
        """Take out one that was registered; nothing happens where there is none of that name."""
        self._registered.pop(name, None)

    def found(self) -> dict[str, Any]:
        """All there are, by name: what was registered first, then what installed packages bring."""
        with self._lock:
            if self._installed is None:
                self._installed = self._load()
        return {**self._installed, **self._registered}

    def _load(self) -> dict[str, Any]:
        loaded: dict[str, Any] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            try:
                plugin = point.load()
                self._check(plugin, point.name)
            except Exception as error:  # whatever another package does at import
                said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                _log.warning("%s cannot be used: %s", _place(point), said)
                continue
            loaded[point.name] = plugin
        return loaded

    def _check(self, plugin: Any, name: str) -> None:
        if missing := [need for need in self.needs if not hasattr(plugin, need)]:
            raise EngineError(f"{name} of {self.group} lacks {' and '.join(missing)}")
        if self.check is not None:
            self.check(plugin)


def _place(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"{point.name} ({point.value}){package}"
