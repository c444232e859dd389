"""Whether the end of a file is missing, by what its container states: no guess by rate or duration.

MP4 and MOV are boxes, AVI is RIFF chunks, Matroska and WebM are EBML elements; all begin with how long they are. ASF
says how long the file is. What is a stream of packets says nothing of the kind: ``_last_packet`` looks at its last one.
"""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from stream.sources._last_packet import cut_packet

_SEGMENT = 0x18538067  # Matroska's element that holds everything
ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Of the header's object that says how long the file is."""
_BROADCAST = 1
"""Flag of a file that was not known to end when its header was written."""
_MOST_PARTS = 10_000  # a fragmented MP4 of hours; what lies after so many parts is not looked at


def missing(path: Path) -> str | None:
    """What a file lacks at its end, in words: empty where it is whole, None where it does not say.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        end_of = _end_of(head)
        if end_of is None:
            return cut_packet(file, head, size)
        end = end_of(file, size)
    if end is None:
        return None
    return f"its last {end - size} bytes are missing" if end > size else ""


def _end_of(head: bytes) -> "Callable[[BinaryIO, int], int | None] | None":
    """What finds where a file ends, by how it begins; None for those that do not say."""
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return _riff_end
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska_end
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _boxes_end
    return _asf_end if head == ASF else None


def never_finished(path: Path) -> bool:
    """Whether it is an MP4 or MOV without its index, which is written last; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = list(boxes(file, size))
    except OSError:
        return False
    kinds = [kind for kind, _, _ in found]
    whole = any(kind == b"moov" and at + length <= size for kind, at, length in found)
    return kinds[:1] in ([b"ftyp"], [b"wide"], [b"mdat"]) and b"mdat" in kinds and not whole


def boxes(file: BinaryIO, end: int, at: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Type, place and length of the boxes of an MP4 from ``at`` to ``end``; length 0 for what goes to the end."""
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        if at >= end or len(head) < 8:
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
    for _, at, length in boxes(file, size):
        if length < 8:  # to the end of the file, or no box
            return None
        end = at + length
    return end + 8 if end < size else end


def _asf_end(file: BinaryIO, size: int) -> int | None:
    """Where the file ends by its header (objects: a name of 16 bytes, a length of 8); None of what was broadcast."""
    file.seek(16)
    header_end = min(struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0], size)
    at = 30
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(24 + 68)
        if at >= header_end or len(head) < 24 + 68:
            return None
        if head[:16] == _ASF_FILE:
            length, flags = struct.unpack("<Q", head[40:48])[0], struct.unpack("<I", head[88:92])[0]
            return None if flags & _BROADCAST or length == 0 else length
        at += max(struct.unpack("<Q", head[16:24])[0], 24)
    return None


def _matroska_end(file: BinaryIO, size: int) -> int | None:
    """Where the segment ends, or the last of its elements where its writer did not know (a live recording, or one that
    was killed); None where neither is known.
    """
    at = 0
    for _ in range(8):  # header, segment, perhaps void elements between
        name, begin, end = _element(file, at)
        if not begin:
            return None
        if end is None:
            return _last_element_end(file, begin, size) if name == _SEGMENT else None
        if name == _SEGMENT or end >= size:
            return end
        at = end
    return None


def _last_element_end(file: BinaryIO, at: int, size: int) -> int | None:
    """Where the last element that begins inside the file ends: more than that may be missing."""
    for _ in range(_MOST_PARTS):
        _, begin, end = _element(file, at)
        if not begin or end is None:
            return None
        if end >= size:
            return end if end > size else None
        at = end
    return None


def _element(file: BinaryIO, at: int) -> tuple[int, int, int | None]:
    """Name of an EBML element, where its content begins and ends; 0 where there is none, None where it does not say."""
    file.seek(at)
    head = file.read(16)
    name, used = _number(head, keep_mark=True)
    length, more = _number(head[used:])
    if not used or not more:
        return 0, 0, None
    begin = at + used + more
    return name, begin, None if length == (1 << 7 * more) - 1 else begin + length  # all ones: unknown


def _number(data: bytes, keep_mark: bool = False) -> tuple[int, int]:
    """An EBML number and its length in bytes; the mark of that length is part of an identifier, not of a size."""
    if not data or data[0] == 0:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_mark else value & ((1 << 7 * length) - 1)), length
