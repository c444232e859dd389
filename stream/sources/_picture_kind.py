"""What a node of a local camera shows: some devices have one for colour, one for infrared and one for depth."""

import os
import re
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

_ENUM_FMT: Final = 0xC0405602  # VIDIOC_ENUM_FMT
_FORMAT: Final = struct.Struct("III32s4s16s")  # v4l2_fmtdesc: index, type, flags, description, format, the rest
_CAPTURE: Final = 1
_MOST: Final = 64
_DEPTH: Final = frozenset({"Z16 ", "INVZ", "D16 "})
_GREY: Final = frozenset(
    {"GREY", "Y8  ", "Y8I ", "Y10 ", "Y12 ", "Y12I", "Y14 ", "Y16 ", "Y16I", "INVI", "INZI", "INRI", "Y10P", "Y10B"}
)
"""Formats without colour."""
_NAMED: Final = ((re.compile(r"depth", re.I), "depth"), (re.compile(r"\b(?:IR|infra-?red)\b", re.I), "infrared"))


def formats_of(node: Path) -> list[str]:
    """The pixel formats that a device offers, four letters each; empty where that cannot be known."""
    import fcntl  # not on Windows

    found: list[str] = []
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return found
    try:
        for index in range(_MOST):
            buffer = bytearray(_FORMAT.pack(index, _CAPTURE, 0, b"", b"", b""))
            fcntl.ioctl(descriptor, _ENUM_FMT, buffer)
            found.append(_FORMAT.unpack(buffer)[4].decode("latin-1"))
    except OSError:  # there are no more
        pass
    finally:
        os.close(descriptor)
    return found


def kind_of_picture(formats: Collection[str], name: str) -> str:
    """``depth``, ``infrared`` or ``infrared or monochrome``, and empty for a colour picture.

    Args:
        formats: as ``formats_of`` gives them.
        name: what the device calls itself, which counts where its formats are not known or are those of both.
    """
    named = next((kind for pattern, kind in _NAMED if pattern.search(name)), "")
    if not formats:
        return named
    if set(formats) <= _DEPTH | _GREY:
        grey = named if named == "infrared" else "infrared or monochrome"
        return "depth" if set(formats) & _DEPTH else grey
    return named if named == "infrared" and set(formats) & _GREY else ""
