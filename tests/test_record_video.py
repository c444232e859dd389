"""The images that are recorded with a take."""

import errno
import fcntl
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from engines.argument_types import FAILED
from stream.app.recover import main as recover
from stream.recordings.frames import FrameRecorder
from stream.recordings.replay import read_frames
from stream.recordings.schema import FRAMES
from stream.recordings.segments import read_schema, read_segment, segments
from stream.recordings.takes import new_take, open_take
from stream.recordings.writer import FLUSH_S, Recorder
from stream.sinks import SinkStoppedError
from stream.types import Estimate, StreamError
from tests.faults.fault import row
from tests.takes import make_estimates, make_run_info
from tests.walker import alone, frame_of


def moving_picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth BGR picture whose brightness tells its number."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    picture = np.stack([x * 120 // size[0], y * 120 // size[1], np.full_like(x, 40)], -1)
    return (picture + 4 * (number % 30)).astype(np.uint8)


def test_frames_come_back_with_their_times(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    recorder, frames = Recorder(take), FrameRecorder(take)
    run_info = make_run_info()
    recorder.open(run_info)
    frames.open(run_info)
    estimates = make_estimates(30)
    sizes = {"cam0": (160, 120), "cam1": (97, 63)}
    for estimate in estimates:
        images = {f.camera: moving_picture(estimate.index, sizes[f.camera]) for f in estimate.frames if f}
        if estimate.index == 20:
            sizes["cam0"] = (128, 96)
        recorder.write(estimate, images)
        frames.write(estimate, images)
    recorder.close()
    assert "images of 2 cameras" in frames.close()
    opened = open_take(take)
    for camera in ("cam0", "cam1"):
        shown = [(e.index, f) for e in estimates for f in e.frames if f and f.camera == camera]
        back = list(read_frames(opened, camera))
        assert [(f.index, f.t) for f in back] == [(f.frame_index, f.t) for _, f in shown]
        for frame, (index, _) in zip(back, shown, strict=True):
            size = ((160, 120) if index <= 20 else (128, 96)) if camera == "cam0" else (97, 63)
            error = np.abs(frame.image.astype(int) - moving_picture(index, size))
            assert error.mean() < 3, (camera, index)
    assert len(list(take.glob("frames-0-cam0-*.mkv"))) == 2
    with pytest.raises(StreamError, match="no images of camera 'cam9'"):
        next(read_frames(opened, "cam9"))


def record_video(directory: Path, count: int = 90) -> Path:
    """A take with a video of one camera, 0.4 s a cluster."""
    take = new_take(directory)
    sinks = Recorder(take), FrameRecorder(take)
    for sink in sinks:
        sink.open(make_run_info(1))
    for number in range(count):
        for sink in sinks:
            sink.write(alone(None, (160, 120), number, number / 30), {"cam0": moving_picture(number, (160, 120))})
    for sink in sinks:
        sink.close()
    return take


@row("4 kB of zeros in a recorded video", FAILED, "that the table names are lost", "the other images, with their times")
def test_images_after_damage_keep_their_own_index_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record_video(tmp_path)
    assert recover([str(take)]) == 0
    video = next(take.glob("*.mkv"))
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    video.write_bytes(data)
    back = list(read_frames(open_take(take), "cam0"))
    assert 40 < len(back) < 90
    assert back[-1].index == 89
    for frame in (*back[:15], *back[-15:]):
        assert frame.t == frame.index / 30
        assert np.abs(frame.image.astype(int) - moving_picture(frame.index, (160, 120))).mean() < 3
    assert recover([str(take)]) == 1
    assert "that the table names are lost" in capsys.readouterr().out


@row("a recorded video cut off, or gone", FAILED, "that the table names are lost", "what is left of it")
def test_a_video_that_is_gone_or_cut_is_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record_video(tmp_path)
    video = next(take.glob("*.mkv"))
    data = video.read_bytes()
    table = segments(take, FRAMES)[0]
    for whole in (True, False):
        if not whole:  # killed: the last second may not have been written yet, more may not be missing
            table.write_bytes(table.read_bytes()[:-8])
        video.write_bytes(data[: len(data) // 2])
        assert recover([str(take)]) == 1
        assert "that the table names are lost" in capsys.readouterr().out
    video.write_bytes(data[: len(data) * 9 // 10])
    assert recover([str(take)]) == 0
    assert "more were not on the disk yet when the recorder was stopped" in capsys.readouterr().out
    video.unlink()
    assert recover([str(take)]) == 1
    assert f"{video.name}: missing, 90 images lost" in capsys.readouterr().out


def test_a_video_is_synced_through_a_descriptor_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        """As on Windows."""
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("stream.recordings.frames.SYNC_S", 0.0)
    record_video(tmp_path, 3)


def test_an_image_that_is_in_several_frame_sets_is_recorded_once(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    frames = FrameRecorder(take)
    frames.open(make_run_info())
    for number in range(10):
        slow = number // 2
        shown = tuple(
            frame_of(camera, (160, 120), index, t)
            for camera, index, t in (("cam0", number, number / 60), ("cam1", slow, slow / 30))
        )
        images = {f.camera: moving_picture(f.frame_index, (160, 120)) for f in shown}
        frames.write(Estimate(index=number, t=number / 60, frames=shown, people=()), images)
    assert frames.close().startswith("frames: 15 images of 2 cameras")
    assert [f.index for f in read_frames(open_take(take), "cam1")] == list(range(5))


def test_images_are_in_the_file_half_a_second_later(tmp_path: Path) -> None:
    frames = FrameRecorder(new_take(tmp_path))
    frames.open(make_run_info())
    # 0.8 s: less than the second after which a key frame would begin a cluster by itself.
    for number in range(24):
        frames.write(alone(None, (160, 120), number, number / 30), {"cam0": moving_picture(number, (160, 120))})
    with av.open(str(next(frames.take.glob("*.mkv")))) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 24 - 14
    frames.close()


def test_rows_that_come_soon_after_each_other_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("stream.recordings.frames.time", SimpleNamespace(monotonic=lambda: now[0]))
    frames = FrameRecorder(new_take(tmp_path))
    frames.open(make_run_info())
    for number, t in enumerate((0.2, 0.5, 0.98, 1.01, 1.2, 1.9, 2.05)):
        now[0] = 1000.0 + t * FLUSH_S
        frames.write(alone(None, (160, 120), number, t), {"cam0": moving_picture(number, (160, 120))})
    frames.close()
    (segment,) = segments(frames.take, FRAMES)
    rows = [batch.num_rows for _, batch in read_segment(segment, read_schema([segment])) if batch is not None]
    assert rows == [4, 3]


def test_a_video_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    sinks = Recorder(take), FrameRecorder(take)
    for sink in sinks:
        sink.open(make_run_info())
        sink.write(make_estimates(1)[0], {"cam0": moving_picture(0, (160, 120))})
        sink.close()
    video = next(take.glob("*.mkv"))
    video.write_bytes(b"not a video")
    with pytest.raises(StreamError, match=f"{video.name} cannot be read"):
        list(read_frames(open_take(take), "cam0"))
    assert recover([str(take)]) == 1


@row(
    "a full disk while images are recorded",
    FAILED,
    "frames stopped: File too large",
    "the images before, and the estimates",
)
def test_a_full_disk_stops_the_frames_loudly(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    frames = FrameRecorder(take)
    frames.open(make_run_info())
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
        with pytest.raises(SinkStoppedError, match="frames stopped: File too large"):
            for estimate in make_estimates(300, cameras=1):
                frames.write(estimate, {"cam0": noise})
        frames.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    recorder = Recorder(take)
    recorder.open(make_run_info())
    recorder.close()
    assert len(list(read_frames(open_take(take), "cam0"))) >= 1


def test_pictures_of_other_computers_are_not_recorded_as_images(tmp_path: Path) -> None:
    info = make_run_info(2)
    here, there = info.cameras
    recorder = FrameRecorder(tmp_path)
    recorder.open(replace(info, cameras=(here, replace(there, source="node:lab/cam1"))))
    for estimate in make_estimates(6):
        recorder.write(estimate, {name: np.zeros((48, 64, 3), np.uint8) for name in ("cam0", "cam1")})
    assert "6 images of 1 camera" in recorder.close()
    assert [path.name for path in tmp_path.glob("*.mkv")] == ["frames-0-cam0-00000.mkv"]
