"""Where estimates go. The directory is the registry: each module without an underscore is one kind of sink.

A module has a frozen dataclass ``Options``, a ``SinkOptions``: its fields are the sink's flags, and its ``make`` makes
the sink. What holds for the sinks themselves, their threads and their exceptions, is said in ``stream/sinks/_sink.py``.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields

from stream.recordings.run_info import CameraInfo, RunInfo
from stream.sinks._options import Role, Run, SinkOptions, flag
from stream.sinks._sink import EventSink, MainSink, Sink
from stream.types import SinkStoppedError

__all__ = [
    "CameraInfo",
    "EventSink",
    "MainSink",
    "Role",
    "Run",
    "RunInfo",
    "Sink",
    "SinkOptions",
    "SinkStoppedError",
    "add_flags",
    "flag",
    "kinds",
    "options_of",
]


def kinds() -> dict[str, type[SinkOptions]]:
    """The kinds of sink there are here, by name. Whoever has more of them adds them to what he hands on."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}").Options for name in names}


def add_flags(group: argparse._ArgumentGroup, kinds: Iterable[type[SinkOptions]]) -> None:
    """Add the flags of all kinds to a command line."""
    for kind in kinds:
        for field in fields(kind):
            said = field.metadata
            name = "--" + field.name.replace("_", "-")
            if isinstance(field.default, bool):
                group.add_argument(name, action="store_true", help=said["help"])
            else:
                group.add_argument(
                    name, type=said["parse"], default=field.default, metavar=said["metavar"], help=said["help"]
                )


def options_of(values: Mapping[str, object], kinds: Iterable[type[SinkOptions]]) -> tuple[SinkOptions, ...]:
    """The options of every kind, from parsed flags by the names of their fields."""
    return tuple(kind(**{field.name: values[field.name] for field in fields(kind)}) for kind in kinds)
