"""--capture: every frame of live cameras to disk, and what is read of it again."""

import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from engines.argument_types import DONE, MISTAKE
from stream.app.command_line import main
from stream.app.export import main as export
from stream.app.inspect import main as inspect
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.config import SourceConfig
from stream.packed import Captured
from stream.recordings.capture import CaptureWriter
from stream.recordings.captured import held
from stream.recordings.replay import read_events, read_frames, replay
from stream.recordings.schema import FRAMES
from stream.recordings.takes import new_take, open_take
from stream.sources import make_source, parse_source
from stream.sources.synthetic import SyntheticSource
from tests.captures import capturing, coded_frames, ended, frames_of, info_of, write_capture
from tests.faults.fault import row
from tests.mistakes import refused
from tests.reading import read_all, wait_until
from tests.servers import MjpegServer, RtspServer, coded, decode, system_python_with_gstreamer
from tests.takes import same


def rows_of(take, camera):
    return [r for batch in take.batches(FRAMES) for r in batch.to_pylist() if r["camera"] == camera]


def numbers(take, camera="left"):
    return [decode(frame.image) for frame in read_frames(take, camera)]


def test_every_frame_of_two_cameras_is_on_disk_with_its_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as left, MjpegServer(fps=20, size=(200, 150)) as right:
        cameras = ["--camera", f"left={left.url()}", "--camera", f"right={right.url()}"]
        began = time.monotonic()
        assert main([*cameras, "--capture", str(tmp_path), "--seconds", "1.5", "--view", "none"]) == DONE
    said = capsys.readouterr()
    assert "frames of 160x120 in 1." in said.out and "frames of 200x150 in 1." in said.out
    assert "disk: " in said.err and "the cameras send" in said.err
    take = open_take(tmp_path)
    for name in ("left", "right"):
        seen, rows = numbers(take, name), rows_of(take, name)
        assert seen == list(range(seen[0], seen[0] + len(seen))), "nothing is missing"
        assert len(seen) > 5 and len(rows) == len(seen)
        times = np.array([r["time"] for r in rows])
        assert began < times[0] and times[-1] - times[0] < 1.5 and (np.diff(times) > 0).all()
        assert all(np.isnan(r["device_time"]) and abs(r["arrival"] - r["time"]) < 1 for r in rows)
    events = [(event.source, event.text) for event in read_events(take)]
    assert events[0] == ("capture", "start") and events[-1] == ("capture", "end")
    assert recover([str(tmp_path)]) == DONE


def test_a_capture_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = write_capture(tmp_path / "takes", coded_frames(tmp_path))
    assert inspect([str(take.folder)]) == DONE
    said = capsys.readouterr().out
    assert "frames as the cameras gave them, no estimates" in said and "left: 30 frames in 0.957 s" in said
    assert "a second; lost 0\n" in said and "lens not stated" in said and "faults: none" in said
    assert list_take([str(take.folder)]) == DONE
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 30
    assert listed[3] == "     3      0.099 s  left: frames-0-left-00000.mkv, image 3"
    to_csv = ["--to", "csv", "--out", str(tmp_path / "a.csv")]
    for command, flags in ((list_take, ["--web"]), (list_take, ["--select", "largest"]), (export, to_csv)):
        assert command([str(take.folder), *flags]) == MISTAKE
        assert "holds frames of cameras (left 30) and no estimates" in capsys.readouterr().err
    assert recover([str(take.folder), "--out", str(tmp_path / "copy")]) == DONE
    assert numbers(open_take(tmp_path / "copy")) == list(range(30))


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_a_camera_of_a_take_is_a_source_with_its_own_times_and_gaps(tmp_path: Path, codec: str):
    frames = [f for f in coded_frames(tmp_path, codec=codec) if not (codec == "mjpeg" and 10 <= f.index < 15)]
    take = write_capture(tmp_path / "takes", frames)
    for text in (f"{take.folder}/left", f"{tmp_path / 'takes'}/left"):
        config = parse_source(text, 3)
        assert config.name == "left" and config.named
        source = make_source(config)
        info = source.open()
        back = read_all(source)
        source.close()
        assert [(f.index, f.t, decode(f.image)) for f in back] == [(f.index, f.t, f.index) for f in frames]
        assert info.kind == "take" and not info.live and info.size == (160, 120)
        assert info.taken == (take.run_info.start_utc, 1000.0)
    said = held(take)["left"]
    assert said.gaps.missing == said.unwritten == (5 if codec == "mjpeg" else 0)
    assert said.lost == ({"device gap": 5} if codec == "mjpeg" else {})


def test_estimates_of_a_take_are_those_of_the_same_frames_from_files(tmp_path: Path):
    frames = []
    for name, yaw in (("left", 0), ("right", 60)):
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("mjpeg", rate=30)
            stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
            figure = SyntheticSource(SourceConfig(f"synthetic:yaw={yaw}", name))
            for number in range(8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(figure.render(number), format="bgr24")))
            container.mux(stream.encode(None))
        frames += frames_of(tmp_path / f"{name}.mkv", name, (640, 480), start=0.0)
    take = write_capture(tmp_path / "takes", frames, ("left", "right"), start=0.0)
    files = sorted(take.folder.glob("*.mkv"))
    flags = ["--view", "none", "--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32"]
    assert main(["--from-take", str(take.folder), *flags, "--record", str(tmp_path / "a")]) == DONE
    cameras = ["--camera", f"left={files[0]}", "--camera", f"right={files[1]}"]
    assert main([*cameras, *flags, "--record", str(tmp_path / "b")]) == DONE
    a, b = open_take(tmp_path / "a"), open_take(tmp_path / "b")
    ours, theirs = list(replay(a)), list(replay(b))
    assert len(ours) == 8 and ours[-1].people
    for one, other in zip(ours, theirs, strict=True):
        assert one.t == other.t and same(one.people, other.people) and same(one.frames, other.frames)
    assert a.run_info.start_utc == take.run_info.start_utc, "the time of day is that of the capture"


@row("kill -9 during a capture", DONE, "it was not closed", "all but the last second of every camera", process=True)
def test_what_is_killed_lacks_a_second_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    python, _ = system_python_with_gstreamer()
    with MjpegServer() as left, RtspServer(python) if python else MjpegServer() as right:
        command = [
            sys.executable,
            "run_stream.py",
            "--camera",
            f"left={left.url()}",
            "--camera",
            f"right={right.url()}",
        ]
        process = subprocess.Popen([*command, "--capture", str(tmp_path), "--view", "none"], stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: any(p.stat().st_size > 150_000 for p in tmp_path.glob("*/frames-0-left-*.mkv")))
        finally:
            killed = time.monotonic()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    take = open_take(tmp_path)
    for name in ("left", "right"):
        frames = list(read_frames(take, name))
        assert len(frames) > 20 and killed - frames[-1].t < 1.0
        assert [b.index - a.index for a, b in pairwise(frames)] == [1] * (len(frames) - 1)
    assert (seen := numbers(take)) == list(range(seen[0], seen[0] + len(seen)))
    assert recover([str(tmp_path)]) == DONE
    assert "it was not closed" in capsys.readouterr().out


@pytest.mark.skipif(system_python_with_gstreamer()[0] is None, reason=system_python_with_gstreamer()[1])
def test_an_rtsp_stream_is_copied_with_the_clock_of_its_camera(tmp_path: Path):
    python, _ = system_python_with_gstreamer()
    with RtspServer(python) as server, capturing(tmp_path, {"left": server.url()}, seconds=1.0) as run:
        ended(run.control)
    take = open_take(tmp_path)
    rows = rows_of(take, "left")
    stamps = np.array([r["device_time"] for r in rows])
    assert len(rows) > 10 and np.allclose(np.diff(stamps), 1 / 30, atol=1e-3)
    assert np.median(np.diff([r["time"] for r in rows])) == pytest.approx(1 / 30, abs=0.01)
    frames = list(read_frames(take, "left"))
    assert len(frames) == len(rows), "the first one can be decoded, too: what it needs from before is there"
    assert frames[0].image.std() > 5 and run.problem == ""


def test_frames_that_do_not_fit_are_counted_and_what_needs_them_is_not_written(tmp_path: Path):
    start = time.monotonic()
    frames = coded_frames(tmp_path, codec="libx264", count=30, start=start)  # a key frame every 10
    small = max(f.bytes for f in frames) + 10
    writer = CaptureWriter(("left",), queue_bytes=small)
    camera = writer.cameras["left"]
    writer.expect(start, frames[-1].t + 1e-3)
    writer.begin(new_take(tmp_path / "takes"), info_of(["left"]))
    for frame in frames[:5]:
        camera.put(frame)
        wait_until(lambda: camera.progress.waiting == 0)
    camera._limit = 0
    camera.put(frames[5])
    camera._limit = small
    for frame in frames[6:]:
        camera.put(frame)
        wait_until(lambda: camera.progress.waiting == 0)
    writer.close()
    assert camera.progress.lost["queue"] == 5, "the one that did not fit, and four that need it"
    take = open_take(tmp_path / "takes")
    assert numbers(take) == [*range(5), *range(10, 30)]
    assert held(take)["left"].unwritten == 5 and held(take)["left"].lost == {"queue": 5}
    assert any("frames lost so far: 5 (queue 5)" in event.text for event in read_events(take))


@row(
    "a camera that changes its size during a capture", 0, "another size than", "all of it; estimates of the first size"
)
def test_a_changed_size_goes_on_in_another_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as server, capturing(tmp_path, {"left": server.url()}) as run:
        wait_until(lambda: run.writer.progress["left"].frames > 10)
        server.size = (320, 240)
        wait_until(lambda: len(run.writer.progress["left"].sizes) == 2)
        wait_until(lambda: run.writer.progress["left"].frames > 40)
    take = open_take(tmp_path)
    assert len(list(take.folder.glob("*.mkv"))) == 2
    seen = numbers(take)
    assert seen == list(range(seen[0], seen[0] + len(seen))), "not one is missing"
    source = make_source(SourceConfig(f"{take.folder}/left", "left"))
    source.open()
    assert {f.image.shape for f in read_all(source)} == {(120, 160, 3)}
    assert "have another size than 160x120" in source.status().note
    source.close()
    capsys.readouterr()
    assert inspect([str(take.folder)]) == DONE
    assert re.search(r"left: it changed its size: \d+ of 160x120, \d+ of 320x240;", capsys.readouterr().out)


@row("a camera unplugged during a capture", 0, "lost so far", "all before, and all after it is back")
def test_an_unplugged_camera_comes_back_and_its_gap_is_counted(tmp_path: Path):
    with MjpegServer() as server:
        port = server.port
        run = capturing(tmp_path, {"left": server.url()})
        at_work = run.__enter__()
        wait_until(lambda: at_work.writer.progress["left"].frames > 40)
    time.sleep(1.0)
    with MjpegServer(port=port):
        before = at_work.writer.progress["left"].frames
        wait_until(lambda: at_work.writer.progress["left"].frames > before + 20)
        run.__exit__(None, None, None)
    lost = at_work.writer.progress["left"].lost
    assert lost["device gap"] >= 25 and set(lost) == {"device gap"}
    take = open_take(tmp_path)
    assert recover([str(take.folder)]) == DONE
    assert any("device gap" in event.text for event in read_events(take))
    assert len(list(read_frames(take, "left"))) == at_work.writer.progress["left"].frames


def test_what_comes_before_the_start_is_there_to_decode_and_is_no_frame(tmp_path: Path):
    frames = coded_frames(tmp_path, codec="libx264", count=30)
    take = write_capture(tmp_path / "takes", frames, start=frames[15].t)
    assert numbers(take) == list(range(15, 30))
    assert [f.t for f in read_frames(take, "left")] == [f.t for f in frames[15:]]
    intra = coded_frames(tmp_path, count=30)
    take = write_capture(tmp_path / "b", intra, start=intra[15].t)
    assert numbers(take) == list(range(15, 30))


def test_images_of_a_camera_that_codes_none_are_coded(tmp_path: Path):
    for codec, exact in (("mjpeg", False), ("h264", False), ("ffv1", True)):
        frames = [Captured("left", k, 1000 + k / 30, 1000 + k / 30, None, coded(k)) for k in range(12)]
        take = write_capture(tmp_path / codec, frames, codec=codec)
        back = list(read_frames(take, "left"))
        assert [decode(f.image) for f in back] == list(range(12))
        worst = max(np.abs(f.image.astype(int) - coded(f.index)).mean() for f in back)
        assert worst == 0 if exact else worst < 6


CAPTURE = "--capture", "takes"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--camera", "synthetic:frames=3", *CAPTURE), "is drawn as it is asked for; leave out --capture"),
        (("--camera", "walk.mkv", *CAPTURE), "walk.mkv is on disk already; leave out --capture"),
        (("--demo", *CAPTURE), "leave out --demo"),
        (("--camera", "0", "--live"), "--live is of --capture DIR"),
        (("--camera", "synthetic:frames=3", "--seconds", "5"), "--seconds are for live cameras, and synthetic:"),
        (("--from-take", "takes", "--countdown", "5"), "--countdown is for live cameras; leave it out, or --from-take"),
        (("--camera", "0", *CAPTURE, "--record", "x"), "--capture makes none; add --live"),
        (("--camera", "0", *CAPTURE, "--start-at", "2020-01-01T00:00:00"), "that time is over"),
        (("--from-take", "nothing"), "no such folder"),
        (("--from-take", "takes", "--camera", "0"), "--from-take brings its own cameras"),
        (("--camera", "takes/up"), "has no camera 'up'; there are left"),
    ],
)
def test_what_cannot_be_captured_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_capture("takes", coded_frames(tmp_path, count=3))
    assert words in refused(capsys, main, "run_stream", *flags, "--view", "none")
    assert len(list(Path("takes").iterdir())) == 1


@row("two captures of one camera", MISTAKE, "is being captured already, by process", "the first one")
def test_a_camera_is_captured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with MjpegServer() as server:
        command = [sys.executable, "run_stream.py", "--camera", server.url(), "--view", "none", "--capture"]
        first = subprocess.Popen([*command, str(tmp_path / "a")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: any((tmp_path / "a").glob("*/*.mkv")))
            said = refused(capsys, main, "run_stream", "--camera", server.url(), "--view", "none", "--capture", "b")
            assert f"is being captured already, by process {first.pid}" in said and not Path("b").exists()
        finally:
            first.send_signal(signal.SIGINT)
            assert first.wait(20) == DONE
