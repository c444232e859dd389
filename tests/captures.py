"""Captures to test with: of loopback cameras, and of frames that no camera gave."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import av

from stream.config import CaptureConfig, SourceConfig, StartConfig
from stream.control import Control
from stream.live.capture import CaptureRun
from stream.packed import Captured, Packed
from stream.recordings.capture import CaptureWriter
from stream.recordings.space import free_bytes
from stream.recordings.takes import Take, new_take, open_take
from stream.sinks import CameraInfo, RunInfo
from stream.sources._packets import coding_of
from stream.types import Event
from tests.reading import FAST
from tests.servers import write_video


def info_of(names, size=(160, 120), calibrated=None) -> RunInfo:
    """What a take says of cameras, some of which are calibrated."""
    known = calibrated or {}
    cameras = tuple(CameraInfo(name, f"http://host/{name}", "network", size, known.get(name)) for name in names)
    settings = {"capture": {"codec": "h264"}}
    return RunInfo(cameras, 1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 1000.0, 30.0, settings=settings)


def coded_frames(folder, name="left", count=30, codec="mjpeg", size=(160, 120), start=1000.0, step=0.033):
    """Frames as a camera codes them, each with its number in it; one every ``step`` seconds."""
    path = write_video(Path(folder) / f"{name}-{codec}.mkv", count=count, size=size, codec=codec)
    return frames_of(path, name, size, start, step)


def frames_of(path, name, size, start=1000.0, step=0.033):
    """Those of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        coding = coding_of(stream, size)
        packets = [(bytes(p), p.is_keyframe) for p in container.demux(stream) if p.size]
    return [
        Captured(name, k, start + k * step, start + k * step + 0.01, k * step, Packed(data, key, coding))
        for k, (data, key) in enumerate(packets)
    ]


def write_capture(folder, frames, names=("left",), start=1000.0, cameras=None, notes=(), **settings) -> Take:
    """A take of these frames, closed; with events, and readings of clocks."""
    take = new_take(Path(folder))
    writer = CaptureWriter(tuple(names), **settings)
    writer.expect(start, max(frame.t for frame in frames) + 1e-3)
    writer.begin(take, info_of(names, frames[0].size, cameras))
    for note in notes:
        writer.event(note) if isinstance(note, Event) else writer.clock(note)
    for frame in frames:
        writer.tap(frame.camera)(frame)
    writer.close()
    assert not writer.fault
    return open_take(take)


class StartedRun(CaptureRun):
    """A capture, and what it was started with."""

    control: Control


@contextmanager
def capturing(folder, urls, seconds=None, countdown=0, free=free_bytes, told=lambda line: None, **settings):
    """A capture of live cameras at work; closed in the end."""
    config = CaptureConfig(Path(folder), start=StartConfig(None, countdown, seconds), probe_s=0.2, **settings)
    run = StartedRun(config, tuple(urls), "none", told, free)
    run.control, sources = Control(), []
    try:
        for name, url in urls.items():
            source = run.source(SourceConfig(url, name, **FAST))
            sources.append((source, source.open()))
        run.ready(info_of(urls), [info for _, info in sources])
        run.start(run.control)
        yield run
    finally:
        for source, _ in sources:
            source.close()
        run.close()


def ended(control, timeout=30.0):
    """Wait until the capture ends by itself."""
    end = time.monotonic() + timeout
    while not control.stopping:
        assert time.monotonic() < end, "it did not end"
        threading.Event().wait(0.02)
