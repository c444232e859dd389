"""``--config run.toml`` and ``--print-config``: the flags of a run in a file, and every threshold.

The keys are those of the flags, without the dashes in front; a flag that may be repeated takes a list. Thresholds that
have no flag are in tables below ``thresholds``, one a part of ``stream.config.Config``. A flag that is given wins.
"""

import argparse
import dataclasses
import difflib
import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from calibration.addresses import HIDDEN, redact
from calibration.text import decode
from engines.argument_types import Parser
from stream.app.flags import REPEATED
from stream.config import Config
from stream.sources import parse_source
from stream.types import StreamError

_NOT_IN_A_FILE: Final = ("help", "version", "config", "print_config", "list_cameras", "make_keys")
_THRESHOLDS: Final[Mapping[str, Collection[str]]] = {
    "detect": ("names",), "top_down": (), "fallback": (), "sync": (), "fusion": (), "identity": (), "tracks": (),
}  # fmt: skip
"""Parts of a Config whose fields may be set, but for those that a flag sets."""
_MOST_BYTES: Final = 1_000_000


def merged(make: Callable[[str], Parser], arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags that were given, over those of the file of --config, over the defaults.

    Args:
        make: makes the parser, told what its mistakes begin with.
        arguments: of the command line.

    Raises:
        UserError: for a file that cannot be read or used.
    """
    args = make("").parse_args(arguments)
    args.thresholds = {}
    if args.config is None:
        return args
    values = _read(args.config)
    thresholds = values.pop("thresholds", {})
    _check_thresholds(thresholds, args.config)
    known = {_key(dest): dest for dest in vars(args) if dest not in _NOT_IN_A_FILE and dest != "thresholds"}
    _refuse_unknown(values, known, str(args.config))
    _check_sources(values.get("camera", []), args.config)
    words = [word for key, value in values.items() for word in _words(key, value, args.config)]
    from_file = make(f"{args.config}: ").parse_args(words)
    parser = make("")
    # A flag whose default is None says whether it was given.
    parser.set_defaults(**dict.fromkeys(vars(args)))
    given = {dest: value for dest, value in vars(parser.parse_args(arguments)).items() if value is not None}
    return argparse.Namespace(**{**vars(from_file), **given, "thresholds": thresholds})


def with_thresholds(config: Config, thresholds: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration with these in place of its own; they have been checked."""
    for part, values in thresholds.items():
        name = part.replace("-", "_")
        fields = {key.replace("-", "_"): tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        config = dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **fields)})
    return config


def as_toml(args: argparse.Namespace, config: Config) -> list[str]:
    """The lines of a file that --config reads back to the same run.

    The password of a camera is left out; the line says so.
    """
    lines = []
    for dest, value in sorted(vars(args).items()):
        if dest in (*_NOT_IN_A_FILE, "thresholds") or value in (None, False, []):
            continue
        if dest == "camera":
            lines += _cameras(value)
        elif isinstance(value, tuple):
            lines.append(f"{_key(dest)} = {json.dumps(('x' if dest == 'size' else ',').join(map(_plain, value)))}")
        else:
            lines.append(f"{_key(dest)} = {_toml(value)}")
    for part, taken in _THRESHOLDS.items():
        lines += ["", f"[thresholds.{_key(part)}]"]
        values = dataclasses.asdict(getattr(config, part))
        lines += [f"{_key(k)} = {_toml(v)}" for k, v in values.items() if k not in taken and v is not None]
    return lines


def _cameras(texts: Sequence[str]) -> list[str]:
    lines = ["camera = ["]
    for text in texts:
        shown = text if parse_source(text, 0).given else redact(text)
        why = "" if shown == text else "  # its password is left out: write env:VARIABLE, or the whole address"
        lines.append(f"    {_toml(shown)},{why}")
    return [*lines, "]"]


def _read(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise StreamError(f"{path}: not a file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise StreamError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise StreamError(f"{path}: too large for a configuration")
    try:
        return tomllib.loads(decode(data))
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
    # Raised out here: what a parser quotes may be a part of an address.
    raise StreamError(f"{path}: not TOML ({problem})")


def _check_sources(texts: object, path: Path) -> None:
    """Refuse a file with passwords that others may read, and one whose passwords were left out.

    Raises:
        StreamError: with what to do.
    """
    cameras = [text for text in (texts if isinstance(texts, list) else [texts]) if isinstance(text, str)]
    secret = [text for text in cameras if redact(text) != text]
    if hidden := next((text for text in cameras if HIDDEN in text), None):
        raise StreamError(f"{path}: the password of {redact(hidden)} was left out when it was printed; write it in its "
                          "place, or env:VARIABLE")  # fmt: skip
    if not secret or os.name != "posix":
        return
    status = os.stat(path)
    if status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
        raise StreamError(f"{path}: holds an address with a password, and others may read it: chmod 600 {path}")


def _check_thresholds(thresholds: object, path: Path) -> None:
    """Refuse tables and keys that there are not, and values of another kind.

    Raises:
        StreamError: naming the nearest.
    """
    if not isinstance(thresholds, dict):
        raise StreamError(f"{path}: thresholds is to be a table of tables, as --print-config prints it")
    _refuse_unknown(thresholds, [_key(part) for part in _THRESHOLDS], f"{path}: [thresholds]")
    for part, values in thresholds.items():
        name = part.replace("-", "_")
        default = getattr(Config(()), name)
        fields = {_key(f.name): getattr(default, f.name) for f in dataclasses.fields(default)}
        where = f"{path}: [thresholds.{part}]"
        if not isinstance(values, dict):
            raise StreamError(f"{where}: is to be a table")
        _refuse_unknown(values, [key for key in fields if key not in _THRESHOLDS[name]], where)
        for key, value in values.items():
            if not _fits(value, fields[key]):
                raise StreamError(f"{where}: {key} = {value!r} is not of the kind of {_toml(fields[key])}")


def _fits(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, list) and bool(value) and all(_fits(v, default[0]) for v in value)
    whole = isinstance(value, int) and value >= 0
    if isinstance(default, int):
        return whole
    return whole or (isinstance(value, float) and math.isfinite(value) and value >= 0)


def _refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            raise StreamError(f"{where}: unknown key {redact(key)!r}; {meant}")


def _words(key: str, value: Any, path: Path) -> list[str]:
    """The flag as on the command line."""
    if isinstance(value, bool):
        return [f"--{key}"] if value else []
    if isinstance(value, dict):
        raise StreamError(f"{path}: {key} is to be a value, not a table")
    if isinstance(value, list):
        if key in ("camera", *map(_key, REPEATED)):
            return [f"--{key}={_plain(part)}" for part in value]
        return [f"--{key}={('x' if key == 'size' else ',').join(map(_plain, value))}"]
    return [f"--{key}={_plain(value)}"]


def _key(dest: str) -> str:
    return dest.replace("_", "-")


def _plain(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
