"""Matroska written by hand, with block times that FFmpeg's writer would refuse."""

import struct
from collections.abc import Sequence
from pathlib import Path

import av
from av.video.stream import VideoStream

from tests import grid


def packets(path: Path) -> tuple[bytes, list[tuple[int, bytes]]]:
    """What a decoder must know first, and each packet of a file's video: its time in milliseconds and its bytes."""
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        assert isinstance(track, VideoStream) and track.time_base is not None
        found = [packet for packet in container.demux(track) if packet.size]
        data = [(round((packet.pts or 0) * track.time_base * 1000), bytes(packet)) for packet in found]
        return bytes(track.codec_context.extradata or b""), data


def write(path: Path, codec: str, private: bytes, blocks: Sequence[tuple[int, bytes]]) -> Path:
    """A file with these blocks of (milliseconds, data); ``codec`` as Matroska calls it."""
    head = _uint("4286", 1) + _uint("42F7", 1) + _uint("42F2", 4) + _uint("42F3", 8)
    head += _element("4282", b"matroska") + _uint("4287", 4) + _uint("4285", 2)
    size = _uint("B0", grid.SIZE[0]) + _uint("BA", grid.SIZE[1])
    track = _uint("D7", 1) + _uint("73C5", 1) + _uint("83", 1) + _element("86", codec.encode())
    track += _element("63A2", private) + _uint("23E383", 33_333_333) + _element("E0", size)
    body = _element("1549A966", _uint("2AD7B1", 1_000_000)) + _element("1654AE6B", _element("AE", track))
    for ms, data in blocks:
        block = b"\x81" + struct.pack(">h", min(ms, 0)) + b"\x80" + data
        body += _element("1F43B675", _uint("E7", max(ms, 0)) + _element("A3", block))
    path.write_bytes(_element("1A45DFA3", head) + _element("18538067", body))
    return path


def of_avi(path: Path, avi: Path, name: bytes) -> Path:
    """An AVI's packets as mkvmerge used to store them: AVI's name of the codec, and times of decoding."""
    extra, found = packets(avi)
    header = struct.pack("<IiiHH4sIiiII", 40 + len(extra), *grid.SIZE, 1, 24, name, 0, 0, 0, 0, 0)
    blocks = [(round(number * 1000 / grid.FPS), data) for number, (_, data) in enumerate(found)]
    return write(path, "V_MS/VFW/FOURCC", header + extra, blocks)


def _element(name: str, payload: bytes) -> bytes:
    return bytes.fromhex(name) + struct.pack(">Q", (1 << 56) | len(payload)) + payload


def _uint(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))
