"""Video files as people have them: containers x tracks x codecs, made once a session, every image with its number."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.video.stream import VideoStream

from tests.servers import coded

COUNT: Final = 60
FPS: Final = 30
SIZE: Final = (160, 120)
SECOND_SIZE: Final = (80, 64)
_RATE: Final = 48000
_ASS: Final = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\nFormat: Start, End, Text\n"
)
"""What FFmpeg's encoders of subtitles ask for, whatever they write."""

VIDEO: Final = {
    "h264": ("libx264", "yuv420p", {"g": "15", "preset": "ultrafast", "threads": "1"}),
    "h264-b": ("libx264", "yuv420p", {"g": "15", "preset": "veryfast", "bf": "3", "threads": "1"}),
    "hevc-b": ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:pools=1"}),
    "mpeg4": ("mpeg4", "yuv420p", {"g": "15", "qscale": "3"}),
    "mpeg4-b": ("mpeg4", "yuv420p", {"g": "15", "qscale": "3", "bf": "2"}),
    "mpeg2-b": ("mpeg2video", "yuv420p", {"g": "15", "bf": "2", "qscale": "3"}),
    "mjpeg": ("mjpeg", "yuvj420p", {}),
    "vp8": ("libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
    "vp9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", "yuv420p", {"preset": "12", "svtav1-params": "lp=1"}),
    "prores": ("prores_ks", "yuv422p10le", {}),
}
"""Name -> encoder, pixel format, options. ``-b``: with B-frames, which are stored in another order than they show."""

AUDIO: Final = {"mov": "aac", "mp4": "aac", "ts": "aac", "mkv": "aac", "webm": "libopus", "avi": "mp3"}
SUBTITLE: Final = {"mp4": "mov_text", "mov": "mov_text", "mkv": "srt", "webm": "webvtt"}


@dataclass(frozen=True, slots=True)
class Case:
    """One file of the grid."""

    container: str
    """Suffix of the file."""
    codec: str
    """Key of ``VIDEO``."""
    tracks: tuple[str, ...] = ("video",)
    """In the order of the file, of: video, audio, data (no decoder), timecode, subtitle, second (a smaller video)."""

    def __str__(self) -> str:
        return f"{self.container}-{self.codec}-{'+'.join(self.tracks)}"


CODECS: Final = {
    "mov": ("h264", "h264-b", "hevc-b", "mjpeg", "prores"),
    "mp4": ("h264", "h264-b", "hevc-b", "mpeg4-b", "vp9", "av1"),
    "ts": ("h264", "h264-b", "hevc-b", "mpeg2-b"),
    "mkv": ("h264", "h264-b", "hevc-b", "mpeg4-b", "vp9", "mjpeg"),
    "webm": ("vp8", "vp9", "av1"),
    "avi": ("h264", "h264-b", "mpeg4", "mpeg4-b", "mjpeg"),
}
TRACKS: Final = {
    "mov": (("audio", "video"), ("video", "audio"), ("data", "video"), ("video", "audio", "data"),
            ("video", "timecode"), ("audio", "video", "timecode", "data"), ("subtitle", "video"), ("video", "second")),
    "mp4": (("audio", "video"), ("video", "audio"), ("data", "video"), ("video", "data"), ("video", "timecode"),
            ("subtitle", "audio", "video"), ("video", "second", "audio")),
    "ts": (("audio", "video"), ("video", "audio"), ("data", "video"), ("video", "second")),
    "mkv": (("audio", "video"), ("video", "audio"), ("subtitle", "video", "audio"), ("video", "second")),
    "webm": (("audio", "video"), ("subtitle", "video", "audio"), ("video", "second")),
    "avi": (("audio", "video"), ("video", "audio"), ("video", "second")),
}  # fmt: skip


def cases() -> Iterator[Case]:
    """The grid: every codec of a container alone, every set of tracks with its first two codecs."""
    for container, codecs in CODECS.items():
        yield from (Case(container, codec) for codec in codecs)
        yield from (Case(container, codec, tracks) for tracks in TRACKS[container] for codec in codecs[:2])


def write(path: Path, case: Case, count: int = COUNT, fps: int = FPS, sound: float = 1.0) -> Path:
    """Write a file of ``count`` coded images with the tracks of a case.

    What is beside the video lasts as long, the sound ``sound`` times.
    """
    timecode = {"timecode": "01:00:00:00"} if "timecode" in case.tracks else {}
    # FFmpeg's MOV writer has no data tracks; its reader is the same one for both.
    with av.open(str(path), "w", format="mp4" if case.container == "mov" and "data" in case.tracks else None) as out:
        tracks: dict[str, Stream] = {}
        for kind in case.tracks:
            if kind == "video":
                tracks[kind] = _video(out, case.codec, SIZE, fps)
                tracks[kind].metadata.update(timecode)
            elif kind == "second":
                tracks[kind] = _video(out, case.codec, SECOND_SIZE, fps)
            elif kind == "audio":
                tracks[kind] = out.add_stream(AUDIO[case.container], rate=_RATE, layout="mono")
            elif kind == "subtitle":
                tracks[kind] = stream = out.add_stream(SUBTITLE[case.container])
                cast(SubtitleCodecContext, stream.codec_context).subtitle_header = _ASS
            elif kind == "data":
                tracks[kind] = out.add_data_stream("bin_data")
        wave = (np.sin(np.arange(_RATE) * 0.05) * 8000).astype(np.int16)
        for number in range(round(count * max(sound, 1.0))):
            for kind, size in (("video", SIZE), ("second", SECOND_SIZE)):
                if number < count and isinstance(stream := tracks.get(kind), VideoStream):
                    frame = av.VideoFrame.from_ndarray(coded(number, size), format="bgr24")
                    frame.pts = number
                    out.mux(stream.encode(frame))
            if isinstance(stream := tracks.get("audio"), AudioStream):
                samples = _RATE // fps
                chunk = av.AudioFrame.from_ndarray(wave[None, :samples], format="s16", layout="mono")
                chunk.sample_rate, chunk.pts, chunk.time_base = _RATE, number * samples, Fraction(1, _RATE)
                out.mux(stream.encode(chunk))
            for kind in ("data", "subtitle"):
                if number < count and (stream := tracks.get(kind)) is not None and number % 10 == 0:
                    packet = Packet(b"\0\x05hello" if case.container in ("mov", "mp4") else b"hello")
                    packet.stream, packet.time_base = stream, Fraction(1, fps)
                    packet.pts = packet.dts = number
                    packet.duration = 10
                    out.mux(packet)
        for stream in tracks.values():
            if isinstance(stream, VideoStream | AudioStream):
                out.mux(stream.encode(None))
    return path


def _video(out, codec: str, size: tuple[int, int], fps: int) -> VideoStream:
    encoder, pixels, options = VIDEO[codec]
    stream = out.add_stream(encoder, rate=fps, options=dict(options))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    return stream


def file(folder: Path, case: Case) -> Path:
    """The file of a case in a folder, made if it is not there yet."""
    path = folder / f"{case}.{case.container}"
    return path if path.exists() else write(path, case)
