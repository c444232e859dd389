"""Where estimates go. The directory is the registry: each module without an underscore is one kind of sink.

A module has a frozen dataclass ``Options``, a ``SinkOptions``: its fields are the sink's flags, and its ``make`` makes
the sink. What holds for the sinks themselves, their threads and their exceptions, is said in ``stream/sinks/_sink.py``.

Sinks from elsewhere are found too: modules like these that an entry point of ``GROUP`` names, and ``Options`` that a
program registers.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from inspect import isabstract
from types import SimpleNamespace
from typing import Any, Final

from engines.plugins import Plugins
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.sinks._options import Looks, Role, Run, SinkOptions, Watcher, flag
from stream.sinks._sink import ClockSink, EventSink, MainSink, Sink
from stream.types import SinkStoppedError, StreamError

__all__ = [
    "GROUP",
    "CameraInfo",
    "ClockSink",
    "EventSink",
    "Looks",
    "MainSink",
    "Role",
    "Run",
    "RunInfo",
    "Sink",
    "SinkOptions",
    "SinkStoppedError",
    "Watcher",
    "add_flags",
    "flag",
    "kinds",
    "options_of",
    "register",
    "unregister",
]

GROUP: Final = "hypothesis_stream.sinks"
"""The entry-point group of sinks in other packages."""


def _check(plugin: SimpleNamespace) -> None:
    kind = plugin.Options
    if not (isinstance(kind, type) and issubclass(kind, SinkOptions) and is_dataclass(kind)):
        raise StreamError(f"{kind!r} are no options of a sink: a dataclass that inherits SinkOptions")
    if isabstract(kind):
        raise StreamError(f"{kind!r} are no options of a sink: they lack make, which makes it")


_PLUGINS: Final = Plugins(GROUP, ("Options",), _check)


def kinds() -> dict[str, type[SinkOptions]]:
    """The kinds of sink there are, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    ours = {name: importlib.import_module(f"{__name__}.{name}").Options for name in names}
    others = {plugin.Options.name(): plugin.Options for plugin in _PLUGINS.found().values()}
    return {**ours, **{name: kind for name, kind in others.items() if name not in ours}}


def register(kind: type[SinkOptions]) -> None:
    """Make a kind of sink known, for this process; its fields are flags and keywords from then on.

    Args:
        kind: its options; the same name again replaces it.

    Raises:
        StreamError: for what are no options of a sink, or a flag that another sink has.
        EngineError: for a name that is taken or none.
    """
    _check(SimpleNamespace(Options=kind))
    name, there = kind.name(), kinds()
    other_flags = {field.name: other for other, its in there.items() if other != name for field in fields(its)}
    if twice := [field.name for field in fields(kind) if field.name in other_flags]:
        raise StreamError(f"sink {name!r}: the sink {other_flags[twice[0]]} has the flag {twice[0]} already")
    _PLUGINS.register(name, SimpleNamespace(Options=kind), there)


def unregister(name: str) -> None:
    """Take out a kind of sink that was registered."""
    _PLUGINS.unregister(name)


def add_flags(group: argparse._ArgumentGroup, kinds: Iterable[type[SinkOptions]]) -> None:
    """Add the flags of all kinds to a command line.

    Raises:
        StreamError: for a field that is no ``flag``, or one that is there already.
    """
    for kind in kinds:
        for field in fields(kind):
            said = field.metadata
            if "help" not in said:
                raise StreamError(f"sink {kind.name()!r}: its field {field.name} is no flag(...), as all must be")
            name = "--" + field.name.replace("_", "-")
            settings: dict[str, Any] = {"type": said["parse"], "default": field.default, "metavar": said["metavar"]}
            if field.default is False:
                settings = {"action": "store_true"}
            elif said["bare"]:
                settings |= {"nargs": "?", "const": said["parse"](said["bare"])}
            try:
                group.add_argument(name, help=said["help"], **settings)
            except argparse.ArgumentError:
                raise StreamError(f"sink {kind.name()!r}: there is a flag {name} already; call it otherwise") from None


def options_of(values: Mapping[str, object], kinds: Iterable[type[SinkOptions]]) -> tuple[SinkOptions, ...]:
    """The options of every kind, from parsed flags by the names of their fields."""
    return tuple(kind(**{field.name: values[field.name] for field in fields(kind)}) for kind in kinds)
