"""Flags that say something of one camera: ``NAME=VALUE``, or only the value for all of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from stream.app.time_table import read_times, times_of
from stream.config import SourceConfig
from stream.sources import kind_of, parse_control
from stream.types import StreamError

Value = TypeVar("Value")


def with_settings(
    sources: Sequence[SourceConfig], speed: Sequence[str], rotate: Sequence[str], times: Path | None
) -> tuple[SourceConfig, ...]:
    """The sources with what --speed, --rotate and --times say of them.

    Raises:
        StreamError: for a value that is none, a camera that there is not, or a table without its times.
    """
    names = [source.name for source in sources]
    speeds = by_camera("--speed", speed, names, _factor)
    turns = by_camera("--rotate", rotate, names, _turn)
    if speed and times is not None:
        raise StreamError("--times has true seconds, so there is nothing for --speed to change; give one of them")
    table = None if times is None else read_times(times)
    return tuple(
        replace(
            source,
            speed=speeds.get(source.name, 1.0),
            rotate=turns.get(source.name, source.rotate),
            times=None if table is None or times is None else times_of(table, source, times),
        )
        for source in sources
    )


def with_controls(sources: Sequence[SourceConfig], texts: Sequence[str]) -> tuple[SourceConfig, ...]:
    """The sources with what --control says of each: those for one camera after those for all.

    Raises:
        StreamError: for what is no control, a camera that there is not, or one that is not local.
    """
    asked = [parse_control(text) for text in texts]
    names = [source.name for source in sources]
    for camera, name, value in asked:
        if camera is not None and camera not in names:
            raise StreamError(
                f"--control {camera}:{name}={value}: there is no camera {camera!r}; there are {', '.join(names)}"
            )
    out = []
    for source in sources:
        general = [(name, value) for camera, name, value in asked if camera is None]
        own = [(name, value) for camera, name, value in asked if camera == source.name]
        if (general or own) and kind_of(source.source) != "camera":
            raise StreamError(
                f"--control is for local cameras, and {source.shown} is none; CAMERA:NAME=VALUE names one"
            )
        out.append(replace(source, controls=(*general, *own)))
    return tuple(out)


def by_camera(flag: str, texts: Sequence[str], names: Sequence[str], value: Callable[[str], Value]) -> dict[str, Value]:
    """What ``[NAME=]VALUE`` says of each camera; one with a name goes before one without.

    Args:
        flag: as in messages.
        texts: as given.
        names: of all cameras.
        value: reads a value; raises ValueError with what would be one.

    Raises:
        StreamError: for a value that is none or a camera that there is not.
    """
    everybody: dict[str, Value] = {}
    own: dict[str, Value] = {}
    for text in texts:
        name, mark, said = text.rpartition("=")
        if mark and name not in names:
            raise StreamError(f"{flag} {text}: there is no camera {name!r}; there are {', '.join(names)}")
        try:
            one = value(said)
        except ValueError as error:
            raise StreamError(f"{flag} {text}: {error}") from None
        if mark:
            own[name] = one
        else:
            everybody = dict.fromkeys(names, one)
    return everybody | own


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1e-3 <= value <= 1e4:
        raise ValueError("give how many times slower than life it plays, as in left=8 for 240 fps stored as 30")
    return value


def _turn(text: str) -> int:
    turns = {"0": 0, "90": 90, "180": 180, "270": 270, "-90": 270}
    if text not in turns:
        raise ValueError("give 0, 90, 180 or 270, degrees clockwise")
    return turns[text]
