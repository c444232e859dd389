"""Whether the end of a file is missing, by the sizes that its container states: no guess by rate or duration; and
whether another file begins behind it.

MP4 and MOV are boxes, AVI is RIFF chunks, Matroska and WebM are EBML elements; all begin with how long they are.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SEGMENT = 0x18538067  # Matroska's element that holds everything
_FLV = b"FLV\x01"
_LOOKED_AT = 1 << 16
"""Bytes behind the last packet in which another FLV may begin."""
_MOST_PARTS = 10_000  # a fragmented MP4 of hours; what lies after so many parts is not looked at


def missing_bytes(path: Path) -> int | None:
    """Bytes that a file should have and has not: 0 where it is whole, None where it does not say.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
            end = _riff_end(file, size)
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _matroska_end(file, size)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _boxes_end(file, size)
        else:
            end = None
    return None if end is None else max(end - size, 0)


def never_finished(path: Path) -> bool:
    """Whether it is an MP4 or MOV without its index, which is written last; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            boxes = list(_boxes(file, size))
    except OSError:
        return False
    kinds = [kind for kind, _, _ in boxes]
    whole = any(kind == b"moov" and at + length <= size for kind, at, length in boxes)
    return kinds[:1] in ([b"ftyp"], [b"wide"], [b"mdat"]) and b"mdat" in kinds and not whole


def joined_bytes(path: Path, read_to: int) -> int:
    """Bytes of another file that begins behind the one that was read: put together as bytes, only the first is played.

    Of MP4, MOV and FLV; FFmpeg goes on reading where other formats are joined.

    Args:
        path: the file.
        read_to: byte up to which there were images and sound.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        if head[4:] == b"ftyp":
            second = [at for kind, at, _ in _boxes(file, size) if kind == b"ftyp"][1:2]
            return size - second[0] if second and second[0] >= read_to else 0
        if head.startswith(_FLV):
            file.seek(read_to)
            rest = file.read(_LOOKED_AT)
            at = rest.find(_FLV)
            return size - read_to - at if at >= 0 else 0
    return 0


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, place and length of the boxes of an MP4; 0 for what goes to the end."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        if at >= size or len(head) < 8:
            return
        length = struct.unpack(">I", head[:4])[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        yield head[4:8], at, length
        if length < 8:
            return
        at += length


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Where the last RIFF chunk ends: AVI beyond 1 GB has several."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        length = struct.unpack("<I", head[4:])[0]
        if length == 0:  # its writer never came to say
            return None
        at += 8 + length + (length % 2 if at + 8 + length < size else 0)
        if at >= size:
            break
    return at


def _boxes_end(file: BinaryIO, size: int) -> int | None:
    """Where the last box that begins inside the file ends."""
    end = 0
    for _, at, length in _boxes(file, size):
        if length < 8:  # to the end of the file, or no box
            return None
        end = at + length
    return end + 8 if end < size else end


def _matroska_end(file: BinaryIO, size: int) -> int | None:
    """Where the segment ends; None where its writer did not know (a live recording, or one that was killed)."""
    at = 0
    for _ in range(8):  # header, segment, perhaps void elements between
        file.seek(at)
        head = file.read(16)
        name, used = _number(head, keep_mark=True)
        length, more = _number(head[used:])
        if not used or not more:
            return None
        at += used + more
        if length == (1 << 7 * more) - 1:  # all ones: unknown
            return None
        at += length
        if name == _SEGMENT or at >= size:
            return at
    return None


def _number(data: bytes, keep_mark: bool = False) -> tuple[int, int]:
    """An EBML number and its length in bytes; the mark of that length is part of an identifier, not of a size."""
    if not data or data[0] == 0:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_mark else value & ((1 << 7 * length) - 1)), length
