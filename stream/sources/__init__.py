"""Where frames come from. The directory is the registry: each module without an underscore is one kind of source.

A module has ``claims(source) -> bool``, whether a text can only be of its kind, and ``make(config) -> Source``. It may
have ``example(folder) -> str``, what to give to ``--camera`` for a source of twelve frames that needs nothing but an
empty folder: the contract's tests then try it without being edited.

Sources from elsewhere are found too, and asked first what they claim: modules like these that an entry point of
``GROUP`` names, and what a program registers.
"""

import importlib
import logging
import os
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Protocol, cast

from calibration.errors import UserError
from engines.plugins import Plugins
from stream.config import SourceConfig
from stream.sources._container import container_lines
from stream.sources._controls import CameraControl, Controls, parse_control
from stream.sources._devices import CameraDevice, list_cameras
from stream.sources._opening import open_all
from stream.sources._source import NAME, LazySource, Source, SourceInfo, SourceStatus, Start
from stream.sources._timecode import DAY_S, timecode_seconds
from stream.sources._turn import Turned
from stream.sources.chapters import files_of
from stream.types import StreamError

__all__ = [
    "GROUP",
    "CameraControl",
    "CameraDevice",
    "DAY_S",
    "LazySource",
    "Source",
    "SourceInfo",
    "SourceStatus",
    "Turned",
    "Start",
    "example",
    "files_of",
    "container_lines",
    "controls_of",
    "kind_of",
    "kinds",
    "list_cameras",
    "make_source",
    "open_all",
    "parse_control",
    "parse_source",
    "parse_sources",
    "place_of",
    "timecode_seconds",
    "turned",
    "register",
    "unregister",
]

GROUP: Final = "hypothesis_stream.sources"
"""The entry-point group of sources in other packages."""
_PLUGINS: Final = Plugins(GROUP, ("claims", "make"))

_log = logging.getLogger(__name__)
_NAMED = re.compile(rf"({NAME})=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


class _Module(Protocol):
    def claims(self, source: str) -> bool: ...
    def make(self, config: SourceConfig) -> Source: ...


def example(kind: str, folder: Path) -> str | None:
    """What to give to ``--camera`` to try a kind of source in an empty folder; None where its module does not say."""
    maker = getattr(_module(kind), "example", None)
    return maker(folder) if maker else None


def kinds() -> tuple[str, ...]:
    """The kinds of source there are."""
    return tuple(sorted({*_own(), *_PLUGINS.found()}))


def _own() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}


def _module(kind: str) -> _Module:
    return _our_module(kind) if kind in _own() else cast(_Module, _PLUGINS.found()[kind])


def _our_module(kind: str) -> _Module:
    return cast(_Module, importlib.import_module(f"{__name__}.{kind}"))


def kind_of(source: str) -> str:
    """The kind of a source's text: of other packages' kinds the first that claims it, then of ours, else a file."""
    own = _own()  # once: the folder is read for it
    for kind, module in sorted(_PLUGINS.found().items(), key=lambda plugin: plugin[0]):
        if kind not in own and _claims(kind, module, source):
            return kind
    return next((kind for kind in sorted(own) if _our_module(kind).claims(source)), "file")


def _claims(kind: str, module: _Module, source: str) -> bool:
    """Whether the module of another package claims a text."""
    try:
        return bool(module.claims(source))
    except Exception as error:  # whatever another's code does spoils no source but its own
        _log.warning("source %s claims nothing: %s: %s", kind, type(error).__name__, error)
        return False


def _make(kind: str, config: SourceConfig) -> Source:
    if kind in _own():
        return _module(kind).make(config)
    try:
        source = _module(kind).make(config)
    except UserError:
        raise
    except Exception as error:  # whatever another's code does
        raise StreamError(f"{config.shown}: source {kind} cannot be made ({type(error).__name__}: {error})") from error
    if lacks := [what for what in ("live", "open", "read", "status", "close") if not hasattr(source, what)]:
        raise StreamError(f"{config.shown}: source {kind} makes no source: {type(source).__name__} lacks "
                          f"{', '.join(lacks)}")  # fmt: skip
    return source


def register(
    kind: str,
    claims: Callable[[str], bool],
    make: Callable[[SourceConfig], Source],
    *,
    example: Callable[[Path], str] | None = None,
) -> None:
    """Make a kind of source known, for this process; the same kind again replaces it.

    Args:
        kind: its name, as in ``SourceInfo.kind``.
        claims: whether a text can only be of its kind. It is asked before the kinds that are here.
        make: the source of a ``--camera``, not open.
        example: what to give to ``--camera`` for twelve frames of it, in an empty folder.

    Raises:
        EngineError: for a name that is taken or none.
        StreamError: for what cannot be called.
    """
    for what, given in (("claims", claims), ("make", make)):
        if not callable(given):
            raise StreamError(f"source {kind!r}: {what} is {type(given).__name__}; give a function")
    has_example = {} if example is None else {"example": example}
    _PLUGINS.register(kind, SimpleNamespace(claims=claims, make=make, **has_example), kinds())


def unregister(kind: str) -> None:
    """Take out a kind of source that was registered."""
    _PLUGINS.unregister(kind)


def make_source(config: SourceConfig) -> Source:
    """The source of a ``--camera``, not yet open.

    Raises:
        StreamError: if its text cannot be right, or if it is to be played in real time and is live by itself.
    """
    kind = kind_of(config.source)
    for flag, given in (("--speed", config.speed != 1), ("--times", config.times is not None)):
        if given and kind in ("camera", "network", "node"):
            raise StreamError(f"{flag} is for files and folders of images, and {config.shown} is none; leave it out")
    if config.realtime and _make(kind, replace(config, realtime=False)).live:
        raise StreamError(
            f"--realtime plays files at their own pace, and {config.shown} is live by itself; leave out --realtime"
        )
    return turned(_make(kind, config), config.rotate or 0)


def controls_of(camera: CameraDevice) -> list[CameraControl]:
    """What can be set of a local camera; nothing where the system does not tell."""
    try:
        return Controls(camera.path).all()
    except StreamError:
        return []


def turned(source: Source, degrees: int) -> Source:
    """The source with its images turned clockwise by 0, 90, 180 or 270 degrees."""
    return Turned(source, degrees) if degrees else source


def parse_source(text: str, position: int) -> SourceConfig:
    """Read ``[NAME=]SOURCE``, where SOURCE may be ``env:VARIABLE``: what that environment variable holds.

    NAME is what ``stream.sources._source.NAME`` allows. The ``=`` of a URL is none of ours, because ``http://`` is no
    name, and a file or folder that exists under the whole text is that file.

    Args:
        text: what was given.
        position: number of this source among all, from 0; the name is "cam" and this unless one is given.

    Raises:
        StreamError: if there is no source in it, or no such variable.
    """
    match = None if os.path.exists(text) else _NAMED.fullmatch(text)
    name, source = (match[1].strip(), match[2]) if match else (f"cam{position}", text)
    if not source.strip():
        raise StreamError(
            f"--camera {text!r}: no source in it; give an index, a file, a folder, or an rtsp:// or http:// address"
        )
    named = match is not None
    if kind_of(source) == "take":
        from stream.sources.take import rotation_of

        return SourceConfig(source, name if named else Path(source).name, rotate=rotation_of(source))
    if (variable := _VARIABLE.fullmatch(source)) is None or os.path.exists(source):
        return SourceConfig(source, name, named=named)
    # The command line of a process is there for everybody to read; its environment is not.
    address = os.environ.get(variable[1], "")
    if not address.strip():
        raise StreamError(f"--camera {text}: the environment variable {variable[1]} is not set, or empty")
    return SourceConfig(address, name, given=source, named=named)


def parse_sources(texts: Sequence[str]) -> tuple[SourceConfig, ...]:
    """Read every ``--camera``, in order.

    Raises:
        StreamError: also if two have one name, or are the same camera, file or address.
    """
    configs = tuple(parse_source(text, position) for position, text in enumerate(texts))
    names: dict[str, SourceConfig] = {}
    places: dict[str, SourceConfig] = {}
    for config in configs:
        # Without case: a recording's files are called after them, and not every file system tells case apart.
        other = names.setdefault(config.name.casefold(), config)
        if other is not config:
            raise StreamError(
                f"two cameras are called {config.name}: {other.shown} and {config.shown}; name them, as in left=..."
            )
        its = [place_of(file) for file in files_of(config.source)]
        for place in its:
            other = places.setdefault(place, config)
            if other is not config:
                raise StreamError(f"{config.shown} is given twice, as {other.name} and as {config.name}")
            if its.count(place) > 1:
                raise StreamError(f"{config.shown}: it names one file twice")
    return configs


def place_of(source: str) -> str:
    """The same text for two ways to write the same source."""
    kind = kind_of(source)
    if kind == "camera" and source.isdecimal():
        source = f"/dev/video{int(source)}"
    return f"{kind} {Path(source).resolve() if kind in ('camera', 'file', 'images', 'take') else source}"
