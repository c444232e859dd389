"""What lies in a video file: its format, its times and its tracks, of which one is used."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stream.sources._joined import joined_bytes
from stream.sources._truncation import missing
from stream.sources._upright import HDR, mark_of
from stream.sources._video import reason
from stream.sources.file import FORMATS
from stream.types import StreamError

_HEAD = 16
"""Bytes behind which another file may begin: without reading all of it, that is seen in MP4 and MOV."""


def container_lines(path: Path) -> Iterator[str]:
    """A line for the file, and one a track.

    Raises:
        StreamError: if it cannot be opened.
    """
    problem, lines = "", []
    try:
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        with av.open(f"file:{path.resolve()}", options=options, metadata_errors="replace") as container:
            start, duration = container.start_time, container.duration
            long = "of a length that it does not say" if not duration or duration < 0 else f"{duration / 1e6:.3f} s"
            begin = "" if start is None else f", times from {start / 1e6:.3f} s"
            lines = [f"container: {container.format.name}, {long}{begin}"]
            turn = _rotation(next((s for s in container.streams.video if s.codec_context is not None), None))
            lines += [_track(stream, turn) for stream in container.streams]
    except av.error.FFmpegError as error:
        problem = reason(error)
    if problem:
        raise StreamError(f"{path}: {problem}")
    yield from lines
    if lacks := missing(path):
        yield f"cut off: {lacks}"
    if behind := joined_bytes(path, _HEAD):
        yield f"another file begins behind it ({behind} bytes), which is not read"


def _track(stream: Stream, mark: tuple[int, bool]) -> str:
    turn, mirrored = mark
    codec = stream.codec_context
    parts = [f"track {stream.index}: {stream.type}", "no decoder for it" if codec is None else codec.name]
    if isinstance(stream, VideoStream) and codec is not None:
        parts += [f"{stream.width}x{stream.height} {stream.pix_fmt or ''}".rstrip()]
        kind = HDR.get(int(stream.codec_context.color_trc or 0))
        parts += [f"high dynamic range ({kind}), tone-mapped"] if kind else []
        parts += ["a cover picture, not used"] if stream.disposition & Disposition.attached_pic else []
        parts += ["to be mirrored"] if mirrored else []
        parts += [f"to be turned by {turn} degrees"] if turn else []
        parts += [f"{float(stream.average_rate):.4g} frames a second on average"] if stream.average_rate else []
    if stream.frames:
        parts.append(f"{stream.frames} frames by its header")
    return ", ".join(parts)


def _rotation(stream: VideoStream | None) -> tuple[int, bool]:
    """Degrees by which the first image is to be turned, and whether it is mirrored; 0 where none can be decoded."""
    if stream is None:
        return 0, False
    try:
        for frame in stream.container.decode(stream):  # pyright: ignore[reportAttributeAccessIssue]
            return mark_of(frame) if isinstance(frame, VideoFrame) else (0, False)
    except av.error.FFmpegError:
        pass
    return 0, False
