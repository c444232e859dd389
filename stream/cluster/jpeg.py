"""What a JPEG of another computer says of itself, found out before anything decodes it."""

from typing import Final

_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE, _SCAN = 0xC0, 0xDA
_TABLES = (0xDB, 0xC4, 0xDD, 0xE0)
"""Quantisation, Huffman, restart interval, JFIF. No Exif, which would have the decoder turn it."""
_MOST_MARKERS: Final = 64


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a baseline JPEG of 8 bits and three components; None for what is anything else.

    Its markers are followed up to the first scan (ITU-T T.81, annex B); what comes in it is the decoder's to judge.
    """
    if not (data.startswith(_START) and data.endswith(_END)):
        return None
    at, size = 2, None
    for _ in range(_MOST_MARKERS):
        if len(data) < at + 4 or data[at] != 0xFF:
            return None
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            return None
        if marker == _SCAN:
            return size
        if marker == _BASELINE:
            if size is not None or len(body) != 15 or body[0] != 8 or body[5] != 3:
                return None
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        elif marker not in _TABLES:
            return None
        at += 2 + length
    return None
