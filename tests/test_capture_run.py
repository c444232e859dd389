"""A capture at work: the disk, its start and end, the estimates beside it, and how lost frames are told."""

import logging
import os
import resource
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import stream
from benchmarks import capture as capture_benchmark
from engines.argument_types import DONE, FAILED, MISTAKE
from stream.app.calibrate.command_line import main as calibrate
from stream.app.command_line import main
from stream.app.flags import moment
from stream.app.tone import tone
from stream.config import StartConfig
from stream.drawing.preview import draw_preview
from stream.live.timed_start import span_of
from stream.packed import Captured
from stream.recordings import camera_writer
from stream.recordings.camera_writer import CameraWriter
from stream.recordings.capture import CaptureWriter
from stream.recordings.gaps import GapCounter
from stream.recordings.replay import read_events, read_frames
from stream.recordings.rows import encode_events
from stream.recordings.schema import EVENTS, schemas
from stream.recordings.segments import SegmentWriter
from stream.recordings.space import free_bytes, writing_speed
from stream.recordings.takes import new_take, open_take
from stream.sources import _packets
from stream.types import Event, StreamError
from tests.captures import capturing, coded_frames, ended, info_of, write_capture
from tests.faults.fault import row
from tests.mistakes import refused
from tests.reading import wait_until
from tests.servers import MjpegServer, coded


@row("a disk that is full amid a capture", FAILED, "capture stopped: File too large", "all before, of every camera")
def test_a_full_disk_ends_the_capture_and_what_is_there_is_readable(tmp_path: Path):
    start = time.monotonic()
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(40)]
    frames = [Captured("left", k, start + k / 30, start + k / 30, None, image) for k, image in enumerate(noise)]
    writer = CaptureWriter(("left", "right"), "mjpeg")
    take = new_take(tmp_path)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        writer.expect(start)
        writer.begin(take, info_of(["left", "right"], (320, 240)))
        for frame in frames:
            writer.tap("left")(frame)
        wait_until(lambda: writer.fault != "")
        writer.tap("left")(frames[-1])
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert writer.fault.startswith("capture stopped: File too large; what is in")
    lost = writer.progress["left"].lost
    assert lost["disk"] > 1 and len(list(read_frames(open_take(take), "left"))) > 3


@row("a disk that gets full during a capture", FAILED, "because the disk is nearly full", "every file, whole")
def test_a_capture_ends_before_the_disk_is_full_and_warns_before(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    room = [1 << 30]
    with (
        MjpegServer(size=(320, 240)) as server,
        caplog.at_level(logging.WARNING),
        capturing(tmp_path, {"left": server.url()}, free=lambda folder: room[0], reserve_bytes=1 << 20) as run,
    ):
        wait_until(lambda: run.writer.progress["left"].frames > 5)
        wait_until(lambda: "GB free" in run.line())
        assert run.note == ""
        room[0] = (1 << 20) + 60_000_000
        wait_until(lambda: "room for" in run.note)
        room[0] = 1 << 20
        ended(run.control)
    assert "capture ended because the disk is nearly full" in run.problem
    assert any("minutes of capture" in record.getMessage() for record in caplog.records)
    take = open_take(tmp_path)
    assert len(list(read_frames(take, "left"))) == run.writer.progress["left"].frames
    assert [event.text for event in read_events(take)] == ["start", "end"]


@row("a folder without room for a minute of capture", MISTAKE, "has room for", "nothing is begun")
def test_a_folder_that_cannot_hold_a_minute_is_refused(tmp_path: Path):
    with (
        MjpegServer(size=(320, 240)) as server,
        pytest.raises(StreamError, match=r"has room for \d+ s of these"),
        capturing(tmp_path, {"left": server.url()}, free=lambda folder: (256 << 20) + 9_999),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match="cannot record to .*give a folder that can be written"):
        writing_speed(tmp_path / "file")
    assert writing_speed(tmp_path / "new") > 1e5 and list((tmp_path / "new").iterdir()) == []
    with pytest.raises(StreamError, match="gone"):
        free_bytes(tmp_path / "gone")


@row("a camera that connects and gives nothing, to be captured", MISTAKE, "no answer in time", "nothing is begun")
def test_a_camera_that_gives_nothing_begins_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as server:
        server.stalled.set()
        flags = "--camera", server.url(), "--capture", tmp_path / "takes", "--view", "none"
        assert server.url() in refused(capsys, main, "run_stream", *flags)
    assert not (tmp_path / "takes").exists()


def test_live_estimates_beside_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as server:
        flags = ["--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32", "--view", "none"]
        command = ["--camera", f"left={server.url()}", *flags, "--capture", str(tmp_path / "takes"), "--live"]
        assert main([*command, "--seconds", "1", "--record", str(tmp_path / "poses")]) == DONE
    said = capsys.readouterr().out
    assert "moments in" in said and "capture: " in said and "left: " in said
    frames = {frame.index for frame in read_frames(open_take(tmp_path / "takes"), "left")}
    assert len(frames) > 5 and frames == set(range(min(frames), max(frames) + 1)), "every one, whatever was estimated"


def test_the_preview_shows_every_camera_and_the_line_below():
    images = {"left": np.full((240, 320, 3), (0, 0, 255), np.uint8), "right": None}
    picture = draw_preview(images, ["left", "right", "back"], "captured 5 s, lost 0", (1280, 720))
    assert picture.shape == (720, 1280, 3)
    assert (picture[170, 300] == (0, 0, 255)).all() and not (picture[170, 900] == (0, 0, 255)).all()
    assert picture[690:710, 16:200].max() > 100, "the line"
    assert images["left"].min() == 0 and (images["left"][0, 0] == (0, 0, 255)).all(), "not written on"


def test_a_window_of_estimates_has_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flags = "--camera", "http://127.0.0.1:9/x", "--capture", tmp_path / "takes", "--view", "open3d"
    assert "--view open3d shows estimates" in refused(capsys, main, "run_stream", *flags)


def test_a_take_is_a_source_of_the_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = write_capture(tmp_path / "takes", coded_frames(tmp_path, count=3))
    for source in (("--from-take", take.folder), ("--camera", take.folder / "left")):
        said = refused(capsys, calibrate, "calibration intrinsics", "intrinsics", *source, "--out", tmp_path / "l.toml")
        assert "left" in said and "board" in said
    said = refused(capsys, calibrate, "calibration sync", "sync", "--from-take", take.folder)
    assert "compares cameras" in said


def test_python_is_told_that_a_capture_holds_no_estimates(tmp_path: Path):
    take = write_capture(tmp_path / "takes", coded_frames(tmp_path, count=3))
    with pytest.raises(StreamError, match="holds frames of cameras"):
        stream.open_recording(take.folder)


def test_when_a_capture_starts(tmp_path: Path):
    now = datetime.now().astimezone()
    assert span_of(StartConfig(countdown=3, seconds=2), 100.0) == (103.0, 105.0)
    assert span_of(StartConfig(now + timedelta(seconds=9)), 100.0)[0] == pytest.approx(109.0, abs=1.0)
    with pytest.raises(StreamError, match="s ago; the cameras took so long"):
        span_of(StartConfig(now - timedelta(seconds=9)), 100.0)
    later = moment(f"{now + timedelta(minutes=2):%H:%M:%S}")
    assert timedelta(0) < later - now < timedelta(minutes=3)
    tomorrow = moment(f"{now - timedelta(minutes=2):%H:%M:%S}")
    assert timedelta(hours=23) < tomorrow - now < timedelta(hours=26)
    assert moment("2026-01-02T03:04:05+01:00").utcoffset() is not None
    assert tone()[:4] == b"RIFF" and len(tone()) > 10_000


def test_a_countdown_is_told_and_its_end_is_the_first_frame(tmp_path: Path):
    told = []
    with (
        MjpegServer() as server,
        capturing(tmp_path, {"left": server.url()}, seconds=0.5, countdown=1, told=told.append) as run,
    ):
        ended(run.control)
    take = open_take(tmp_path)
    start = next(event for event in read_events(take) if event.text == "start")
    assert told == ["1 ...", ""]
    assert all(start.t <= frame.t < start.t + 0.5 for frame in read_frames(take, "left"))


def test_gaps_by_the_clock_of_a_device_and_by_arrival():
    stamped, arrived = GapCounter(), GapCounter()
    for k in range(200):
        if not 100 <= k < 104:
            stamped.add(k / 30 + (k % 7) * 0.02, k / 30)
            arrived.add(k / 30 + (0.03 if k % 10 == 0 else 0.0), None)  # every tenth comes late
    assert stamped.missing == 4 and arrived.missing == 4
    arrived.end(200 / 30 + 0.05)
    assert arrived.missing == 4, "the next one is not due yet"
    arrived.end(200 / 30 + 10)
    assert arrived.missing == pytest.approx(304, abs=3)
    turned = GapCounter()
    for k in range(0, 90, 3):
        for shown in (k + 2, k, k + 1):  # two B-frames before each
            turned.add(k / 30, shown / 30)
    assert turned.missing == 0
    burst = GapCounter()
    for k in range(100):
        burst.add(3.0 if 30 <= k < 91 else k / 30, None)
    assert burst.missing == 0, "held up, and none is missing"
    again = GapCounter()
    for k in range(60):
        again.add(k / 30, k / 30)
    for k in range(30):
        # Opened again, with a clock that begins anew; the first half a second comes at once. The first is of 4.5 s.
        again.add(5 + max(k - 15, 0) / 30, k / 30, 4.5 - 59 / 30 if k == 0 else 1 / 30)
        assert again.missing == (76 if k else 0), "it is told at once"


def test_what_tells_the_size_of_coded_images(tmp_path: Path):
    for size in ((160, 120), (320, 240)):
        frame = coded_frames(tmp_path, count=1, size=size)[0]
        assert _packets.jpeg_size(frame.content.data) == size == frame.size
        assert _packets.jpeg_coding(frame.content.data).size == size
    assert _packets.jpeg_size(b"\xff\xd8\xff") is None and _packets.jpeg_coding(b"no") is None
    small, large = (
        _packets.sequence_parameters("h264", b"\x00\x00\x00\x01\x67" + body + b"\x00\x00\x01\x68\x01")
        for body in (b"abc", b"abd")
    )
    assert small == b"\x67abc" and small != large
    assert _packets.sequence_parameters("mjpeg", b"\x00\x00\x01\x67abc") == b""


def test_memory_that_waits_is_bounded():
    writer = CameraWriter("left", queue_bytes=200_000)
    writer.expect(0.0, float("inf"))
    for k in range(30):
        writer.put(Captured("left", k, float(k), time.monotonic(), None, coded(k)))
    progress = writer.progress
    assert progress.waiting <= 200_000 and progress.lost["queue"] == 30 - progress.waiting // coded(0).nbytes


def test_many_large_images_are_written_before_they_wait_for_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(camera_writer, "_BATCH_S", 1000.0)
    writer = CameraWriter("left", queue_bytes=10 * coded(0).nbytes)
    writer.expect(0.0, float("inf"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(writer._batch)
        try:
            for k in range(2):
                writer.put(Captured("left", k, float(k), time.monotonic(), None, coded(k)))
            assert waiting.result(30)
        finally:
            writer.close()


def test_what_is_on_the_disk_already_is_not_waited_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    writer = SegmentWriter(tmp_path, EVENTS, schemas(info_of(("left",)))[EVENTS])
    writer.sync()
    assert len(synced) == 2, "the segment and its journal"
    writer.sync()
    assert len(synced) == 2
    writer.append(encode_events(writer.schema, [Event(1.0, "user", "jump")]))
    writer.sync()
    assert len(synced) == 4
    writer.close()


@pytest.mark.slow
def test_the_benchmark_counts_what_is_on_disk():
    (case,) = capture_benchmark.run("mjpeg", (320, 240), [2], 3.0, None)
    assert case["lost"] == 0 and case["frames"] > 60 and case["cpu_percent_a_camera"] > 0
    (case,) = capture_benchmark.run("h264", (320, 240), [1], 3.0, None)
    assert case["lost"] == 0 and case["frames"] > 30
