"""Videos of a take: Matroska that is readable up to its last half second whenever the writing stops."""

import contextlib
import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from calibration.arrays import Image
from stream.packed import Coding, Packed

# Matroska writes a whole cluster at a time, by default 5 s of it: that is what a kill would lose.
_CONTAINER = {"cluster_time_limit": "400", "flush_packets": "1"}
# No look-ahead and no B frames, so that the encoder holds nothing back. 8 ms of CPU a megapixel and 17 Mbit/s for a
# 1768x994 walker at 30 fps; "veryfast" halves the file and doubles the time, which the live pipeline needs more.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
ENCODERS: Final = {
    "h264": (("libx264", _X264), ("mpeg4", {"qscale": "3"})),
    "mjpeg": (("mjpeg", {"qmin": "2", "qmax": "3"}),),
    "ffv1": (("ffv1", {"level": "3", "slices": "4"}),),
}
"""What images are coded with: FFmpeg's encoders and their options, the first that there is."""
FAULTS = (OSError, FFmpegError)
"""What a disk that does not take a video raises."""
_MILLISECOND = Fraction(1, 1000)  # Matroska's own resolution; the exact times are in the table


def encoder(codec: str = "h264") -> tuple[str, dict[str, str]]:
    """The best encoder of a codec that this build of FFmpeg has, and its options."""
    *better, last = ENCODERS[codec]
    for name, options in better:
        with contextlib.suppress(ValueError):  # av.codec.codec.UnknownCodecError is one
            av.Codec(name, "w")
            return name, options
    return last


_LATER: Final = {"h264": 0.4}
"""How large an image is that follows another of the same scene, of one that stands alone, where a codec uses that."""


def coded_bytes(image: Image, codec: str) -> float:
    """About how many bytes an image takes once it is coded, on the average of a video."""
    name, options = encoder(codec)
    context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context.height, context.width = image.shape[:2]
    context.pix_fmt, context.options, context.time_base = pixels_of(name, image.shape), options, _MILLISECOND
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24").reformat(format=context.pix_fmt)
    frame.pts = 0
    return sum(p.size for p in (*context.encode(frame), *context.encode(None))) * _LATER.get(codec, 1.0)


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of a video by its header, pixels; None where it cannot be read."""
    with contextlib.suppress(*FAULTS), av.open(str(path), metadata_errors="replace") as container:
        for stream in container.streams.video:
            return stream.width, stream.height
    return None


def pixels_of(name: str, shape: tuple[int, ...]) -> str:
    """The pixel format for an encoder and images (H, W, ...)."""
    # 4:2:0 halves the chroma of both axes; an image of odd size has no half, and must not be cropped or padded.
    odd = name == "libx264" and (shape[0] % 2 or shape[1] % 2)
    return {"ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(name, "yuv444p" if odd else "yuv420p")


class VideoFile:
    """One Matroska file of one camera. Raises OSError where the disk does not take it."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path, self.size, self.began, self.count = path, size, time.monotonic(), 0
        path.open("xb").close()  # never overwrites
        # An absolute path, or FFmpeg takes what stands before a colon for a protocol.
        self._container = av.open(str(path.resolve()), "w", format="matroska", container_options=_CONTAINER)

    def sync(self) -> None:
        """Wait until what FFmpeg has written is on the disk itself."""
        # Windows syncs only what is open for writing.
        fd = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Write the index."""
        self._container.close()

    def abandon(self) -> None:
        """Let go of a file that cannot be written any more."""
        with contextlib.suppress(*FAULTS):
            self._container.close()


class EncodedFile(VideoFile):
    """Of images, which are coded here."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float, codec: str = "h264") -> None:
        super().__init__(path, size)
        self._pts = -1
        name, options = encoder(codec)
        stream = self._container.add_stream(name, rate=Fraction(rate).limit_denominator(1001), options=options)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{name} is no video encoder")
        stream.width, stream.height = size
        stream.pix_fmt = pixels_of(name, size)
        stream.codec_context.time_base = _MILLISECOND
        if name not in ("ffv1", "mjpeg"):
            stream.codec_context.gop_size = max(round(rate), 1)
        self._stream = stream

    def write(self, image: Image, t: float) -> float:
        """Encode one image taken t seconds after the recording's start; returns its time in the file, seconds."""
        self._pts = max(round(t * 1000), self._pts + 1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.pts, frame.time_base = self._pts, _MILLISECOND
        self._container.mux(self._stream.encode(frame))
        self.count += 1
        return self._pts / 1000

    def close(self) -> None:
        """Write what the encoder still has, and the index."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            super().close()


class CopiedFile(VideoFile):
    """Of images that the camera has coded."""

    def __init__(self, path: Path, coding: Coding) -> None:
        super().__init__(path, coding.size)
        self.coding = coding
        self._stream = self._container.add_stream_from_template(coding.template, opaque=True)
        self._dts = -1

    def write(self, packed: Packed, t: float) -> float:
        """Add one image, to be shown t seconds after the recording's start; returns its time in the file, seconds.

        One from before the start is only there to decode those after it.
        """
        self._dts = max(round((t - packed.delay_s) * 1000), self._dts + 1)
        packet = packed.data if isinstance(packed.data, Packet) else Packet(packed.data)
        packet.duration = 0  # that of the stream it came in
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, _MILLISECOND, packed.key
        packet.dts = self._dts
        packet.pts = pts = max(round(t * 1000), self._dts)
        self._container.mux(packet)
        self.count += 1
        return pts / 1000
