"""The user's cache folder: small files that cost time to make again, private to their owner.

Engines of TensorRT are native code, so nothing is read that somebody else could have written. Every fault here is a
CacheError, and who uses the cache goes on without it.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from calibration import writing
from engines.types import EngineError


class CacheError(EngineError):
    """A cached file that cannot be read or written, or must not be trusted."""


def folder() -> Path:
    """``hypothesis-stream`` in ``$XDG_CACHE_HOME``, or in the system's own place for caches.

    Raises:
        CacheError: where the user has no home.
    """
    try:
        if sys.platform == "win32":
            own = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            own = Path.home() / "Library" / "Caches"
        else:
            own = Path.home() / ".cache"
    except RuntimeError as error:
        raise CacheError(f"there is no cache folder ({error})") from error
    # The XDG rule: a relative path is to be ignored.
    asked = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (asked if asked.is_absolute() else own) / "hypothesis-stream"


def key_name(key: Mapping[str, object]) -> str:
    """A file name for what is cached under a key: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def write(kind: str, key: Mapping[str, object], data: bytes) -> None:
    """Keep bytes under a key, whole or not at all; only the owner can read them.

    Args:
        kind: folder inside the cache, such as "engines".
        key: what the data belongs to, in JSON's types.
        data: the bytes.

    Raises:
        CacheError: for a folder that cannot be written or is not the user's own, or a full disk.
    """
    place = folder() / kind
    # The key and a checksum come first: a file of another key or with a flipped bit is as good as none.
    head = json.dumps({"key": key, "sha256": hashlib.sha256(data).hexdigest()}, sort_keys=True).encode() + b"\n"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _must_be_private(place, os.lstat(place))
        with writing.scratch(place) as scratch:
            part = scratch / key_name(key)
            # Its owner's alone from the start.
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
                file.write(head)
                file.write(data)
            writing.sync(part)
            os.replace(part, place / key_name(key))
    except OSError as error:
        raise CacheError(f"cannot write to {place} ({error.strerror or error})") from error


def read(kind: str, key: Mapping[str, object]) -> bytes | None:
    """What is kept under a key; None where there is nothing, or what is there is damaged or of another key.

    Raises:
        CacheError: if it cannot be read, or somebody else could have written it.
    """
    place = folder() / kind
    try:
        _must_be_private(place, os.lstat(place))
        # Opened first and judged afterwards, so that what is judged is what is read; never through a link.
        handle = os.open(place / key_name(key), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            _must_be_private(place / key_name(key), os.fstat(file.fileno()))
            head, data = file.readline(), file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(f"cannot read from {place} ({error.strerror or error})") from error
    try:
        said = json.loads(head)
    except ValueError:
        return None
    whole = {"key": json.loads(json.dumps(key)), "sha256": hashlib.sha256(data).hexdigest()}
    return data if said == whole else None


def _must_be_private(path: Path, found: os.stat_result) -> None:
    """Refuse what others could have written. Windows has no such bits; its cache lies inside the user's profile."""
    if sys.platform == "win32":
        return
    if found.st_uid != os.geteuid():
        raise CacheError(f"{path} belongs to another user and is not used; remove it")
    if stat.S_ISLNK(found.st_mode):
        raise CacheError(f"{path} is a link and is not used; remove it")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheError(f"{path} can be written by others and is not used; chmod go-w it, or remove it")
