"""Whether the last packet of a file is whole, of formats that are a stream of packets and say nothing of their end.

A file that was cut between two packets looks like one that ends there; only Ogg, NUT and the pictures of GIF and APNG
have something that always comes last.
"""

import struct
from typing import BinaryIO, Final

_TAIL: Final = 1 << 17
"""Bytes at the end that are looked at: twice the longest packet of MPEG-PS, and of Ogg."""
_CUT: Final = "its last packet is not whole"
_TS_PACKETS: Final = (188, 192, 204)
"""Bytes of a packet of MPEG-TS: as broadcast, behind a time (M2TS), before a check sum."""
_TS_LOOKED_AT: Final = 5
_SYNC: Final = 0x47
_OGG_HEAD: Final = 27
_LAST_PAGE: Final = 4
"""Flag of the last page of a track."""
_FLV_TYPES: Final = (8, 9, 18)
_NUT_INDEX: Final = b"NX\xdd\x67\x2f\x23\xe6\x4e"
_IVF_MOST: Final = 100_000


def cut_packet(file: BinaryIO, head: bytes, size: int) -> str | None:
    """What a file lacks at its end, in words: empty where it is whole, None where that cannot be told.

    Args:
        file: open for reading.
        head: its first 16 bytes.
        size: of the file, bytes.
    """
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    if head.startswith(b"OggS"):
        return _ogg(tail)
    if head.startswith(b"FLV\x01"):
        return _flv(tail)
    if head.startswith(b"\x00\x00\x01\xba"):
        return _program_stream(tail)
    if head.startswith(b"nut/multimedia"):
        return _nut(file, tail, size)
    if head.startswith(b"DKIF"):
        return _ivf(file, size)
    if head.startswith((b"GIF8", b"\x89PNG")):
        end = b";" if head.startswith(b"GIF8") else b"IEND\xae\x42\x60\x82"
        return "" if tail.rstrip(b"\0").endswith(end) else "its last picture is not whole"
    if head.startswith(b"\xff\xd8\xff"):
        return None if tail.rstrip(b"\0\r\n").endswith(b"\xff\xd9") else "its last picture is not whole"
    return _transport_stream(file, size)


def _ogg(tail: bytes) -> str | None:
    """By its pages, of which the last of a track says so (RFC 3533)."""
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return None
    page = tail[at:]
    lengths = page[_OGG_HEAD : _OGG_HEAD + page[26]] if len(page) > _OGG_HEAD else b""
    if len(page) <= _OGG_HEAD or len(lengths) < page[26] or _OGG_HEAD + len(lengths) + sum(lengths) > len(page):
        return _CUT
    if _OGG_HEAD + len(lengths) + sum(lengths) < len(page):
        return None  # something else behind it
    return "" if page[5] & _LAST_PAGE else "its last page is missing"


def _flv(tail: bytes) -> str | None:
    """By the length of the last tag, which stands behind it."""
    length = struct.unpack(">I", tail[-4:])[0]
    tag = tail[-4 - length :] if 11 <= length <= len(tail) - 4 else b""
    if length > len(tail) - 4 and length < 1 << 24:
        return None  # longer than what was looked at
    whole = len(tag) > 4 and tag[0] in _FLV_TYPES and int.from_bytes(tag[1:4], "big") == length - 11
    return None if whole else _CUT


def _program_stream(tail: bytes) -> str | None:
    """By the packs and packets behind the last pack that begins (ISO 13818-1, 2.5.3)."""
    at = tail.rfind(b"\x00\x00\x01\xba")
    while 0 <= at < len(tail):
        start, code = tail[at : at + 3], tail[at + 3] if at + 3 < len(tail) else 0
        if start != b"\x00\x00\x01" or code < 0xB9:
            return None if tail[at:].strip(b"\0") else _CUT if tail[at:] and len(tail) - at < 4 else None
        if code == 0xB9:
            return ""
        if code == 0xBA:
            two = at + 13 < len(tail) and tail[at + 4] & 0xC0 == 0x40
            at += 14 + (tail[at + 13] & 7) if two else 12
        elif at + 6 > len(tail):
            return _CUT
        else:
            at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
    return _CUT if at > len(tail) else None


def _nut(file: BinaryIO, tail: bytes, size: int) -> str | None:
    """By the index at its end, before whose check sum it says how long it is."""
    length = struct.unpack(">Q", tail[-12:-4])[0] if len(tail) >= 12 else 0
    if not 12 <= length <= size:
        return "its index, which comes last, is missing"
    file.seek(size - length)
    return "" if file.read(8) == _NUT_INDEX else "its index, which comes last, is missing"


def _ivf(file: BinaryIO, size: int) -> str | None:
    """By the length of each frame, and how many there are to be."""
    file.seek(0)
    head = file.read(32).ljust(32, b"\0")
    at, count = struct.unpack("<H", head[6:8])[0] or 32, struct.unpack("<I", head[24:28])[0]
    for frames in range(_IVF_MOST):
        if at == size:
            short = count - frames
            return f"its last {short} frames are missing" if 0 < short < count else None
        file.seek(at)
        frame = file.read(12)
        if frame.startswith(b"DKIF"):
            return None  # another file
        if len(frame) < 12:
            return _CUT
        at += 12 + struct.unpack("<I", frame[:4])[0]
        if at > size:
            return _CUT
    return None


def _transport_stream(file: BinaryIO, size: int) -> str | None:
    """By the length of packets, which is always the same; None for what is no transport stream."""
    file.seek(0)
    head = file.read(max(_TS_PACKETS) * (_TS_LOOKED_AT + 1))
    for length in _TS_PACKETS:
        for first in range(length):
            marks = head[first : first + length * _TS_LOOKED_AT : length]
            if len(marks) == _TS_LOOKED_AT and set(marks) == {_SYNC}:
                # The mark of M2TS stands behind four bytes of a time.
                begin = first - 4 if length == 192 and first >= 4 else first
                return _CUT if (size - begin) % length else None
    return None
