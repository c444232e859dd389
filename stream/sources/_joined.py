"""Whether another file begins behind the one that is played: files put together as bytes (``cat a b > c``).

FFmpeg goes on reading where MPEG-TS, MPEG-PS, Matroska, AVI and Ogg are joined. Of FLV, ASF and IVF it plays the first.
MP4 and MOV in fragments and NUT it mixes up, or reads none, so of those the first is all that it is given.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from stream.sources._truncation import ASF, boxes

_FIRST_ONLY: Final = (b"FLV\x01", ASF)
"""How those begin of which FFmpeg plays the first."""
_IVF: Final = b"DKIF\0\0\x20\0"
_NUT: Final = b"nut/multimedia container\0"
_LOOKED_AT: Final = 1 << 16
"""Bytes behind the last packet in which another one may begin."""
_PIECE: Final = 1 << 22


def end_of_first(path: Path) -> int | None:
    """Where the first of several MP4, MOV or NUT ends; None of other kinds, and where there is no other.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(len(_NUT))
        if head[4:8] == b"ftyp":
            return _second_mp4(file, size)
        return _find(file, _NUT, len(_NUT)) if head == _NUT else None


def joined_bytes(path: Path, read_to: int) -> int:
    """Bytes of another file that begins behind the one that was read; 0 where none does.

    Args:
        path: the file.
        read_to: byte up to which there were images and sound.

    Raises:
        OSError: if it cannot be read.
    """
    end = end_of_first(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if end is not None:
            return size - end
        head = file.read(len(ASF))
        if head.startswith(_IVF):  # FFmpeg takes the other one for a frame
            begins = _find(file, _IVF, len(_IVF))
            return 0 if begins is None else size - begins
        for begin in _FIRST_ONLY:
            if head.startswith(begin):
                file.seek(read_to)
                at = file.read(_LOOKED_AT).find(begin)
                return size - read_to - at if at >= 0 else 0
    return 0


def _second_mp4(file: BinaryIO, size: int) -> int | None:
    """Where another MP4 begins behind a whole one; one in fragments whose times go on has a header for each piece."""
    times: dict[int, int] = {}
    kinds: set[bytes] = set()
    second: int | None = None
    for kind, at, length in boxes(file, size):
        if kind == b"ftyp" and {b"moov", b"mdat"} <= kinds:
            second = at if second is None else second
        elif kind == b"moof":
            own = dict(_times(file, at, length))
            if second is not None and any(t <= times.get(track, t) for track, t in own.items()):
                return second
            times |= own
            second = None
        kinds.add(kind)
    return second


def _times(file: BinaryIO, at: int, length: int) -> Iterator[tuple[int, int]]:
    """Track and first time of decoding of each part of a fragment (ISO 14496-12, 8.8.12)."""
    for kind, part, long in boxes(file, at + length, at + 8):
        if kind != b"traf":
            continue
        track, time = 0, None
        for inner, place, _ in boxes(file, part + long, part + 8):
            file.seek(place + 8)
            data = file.read(12)
            if inner == b"tfhd" and len(data) >= 8:
                track = struct.unpack(">I", data[4:8])[0]
            elif inner == b"tfdt" and len(data) == 12:
                time = struct.unpack(">Q", data[4:])[0] if data[0] else struct.unpack(">I", data[4:8])[0]
        if time is not None:
            yield track, time


def _find(file: BinaryIO, wanted: bytes, begin: int) -> int | None:
    """Where it stands from ``begin`` on, None where nowhere."""
    file.seek(begin)
    at, before = begin, b""
    while piece := file.read(_PIECE):
        found = (before + piece).find(wanted)
        if found >= 0:
            return at - len(before) + found
        at, before = at + len(piece), piece[-len(wanted) + 1 :]
    return None
