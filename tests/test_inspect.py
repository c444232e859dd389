"""What is made of files and takes, without running anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stream.app.inspect import main
from tests import grid
from tests.remux import copied, moved
from tests.servers import write_video
from tests.takes import make_estimates, record

ROOT = Path(__file__).resolve().parents[1]
SECRET = "hush-7"


def lines(capsys: pytest.CaptureFixture[str], *flags: object, code: int = 0) -> list[str]:
    assert main([str(flag) for flag in flags]) == code
    return capsys.readouterr().out.splitlines()


def test_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a.mp4", 30)
    head, images, times, container, track = lines(capsys, tmp_path / "a.mp4")
    assert head.endswith("a.mp4: file, a recording")
    assert images == "  images: 160x120 upright, 30 frames a second, about 30 frames, 1.00 s"
    assert times == "  times: the first image at 0.000 s"
    assert container.startswith("  container: mov,") and "1.000 s, times from 0.000 s" in container
    assert track.startswith("  track 0: video, h264, 160x120 yuv420p, 30 frames a second on average")


def test_a_timecode_and_a_late_start_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid.write(tmp_path / "a.mov", grid.Case("mov", "h264", ("video", "timecode")))
    said = lines(capsys, tmp_path / "a.mov")
    assert "  times: the first image at 0.000 s, timecode 01:00:00:00" in said
    assert any(line.startswith("  track 1: data, no decoder") for line in said)
    copied(tmp_path / "a.ts", grid.write(tmp_path / "s.mp4", grid.Case("mp4", "h264-b")), moved(1.4))
    (times,) = [line for line in lines(capsys, tmp_path / "a.ts") if line.startswith("  times")]
    assert times.startswith("  times: the first image at 1.4") and times.endswith("s of it a habit of the container")


def test_other_sources_and_what_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(capsys, "--camera", "synthetic:frames=3", tmp_path / "none.mp4", code=2)
    assert said[0] == "synthetic:frames=3: synthetic, a recording" and "about 3 frames" in said[1]
    assert main([str(tmp_path / "none.mp4")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("stream inspect: ") and said.err.count("\n") == 1
    with pytest.raises(SystemExit) as left:
        main([f"rtsp://u:{SECRET}@host/x"])
    assert left.value.code == 2 and SECRET not in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2


def test_a_rotation_and_a_track_without_a_decoder_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "turned.mp4", 5, rotation=90)
    said = lines(capsys, tmp_path / "turned.mp4")
    assert "120x160 upright" in said[1]
    assert any("160x120" in line and "to be turned by" in line for line in said)


def test_a_file_cut_off_and_one_joined_behind_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_video(tmp_path / "a.mp4", 20, options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:-100])
    (tmp_path / "joined.mp4").write_bytes(data + data)
    assert main([str(tmp_path / name) for name in ("a.mp4", "cut.mp4", "joined.mp4")]) == 0
    whole, cut, joined = capsys.readouterr().out.split(str(tmp_path))[1:]
    assert "missing" not in whole and "behind" not in whole
    assert "cut off: its last 100 bytes are missing" in cut and "behind" not in cut
    assert f"another file begins behind it ({len(data)} bytes), which is not read" in joined


def test_a_take_whole_and_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "takes", make_estimates(12))
    said = lines(capsys, tmp_path / "takes")
    assert said[0].startswith(f"{take}: a take, version 2, begun 2026-01-02 03:04:05 UTC by hypothesis-stream")
    assert said[1] == "  camera cam0: rtsp://user:***@host/0 (network), 640x480, calibrated"
    assert any(line.startswith("  frame sets: 12 in ") for line in said)
    assert any(line.startswith("  people: 1, found by thunder in ") for line in said)
    assert "  detector thunder: t.onnx on onnx" in said and "  lifter: mdn.onnx on onnx, 5 hypotheses" in said
    assert said[-1] == "  faults: none"
    (take / "moments-00000.arrows").unlink()
    assert any(line.startswith("  fault: moments are missing") for line in lines(capsys, take))


def test_a_take_of_version_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(Path(__file__).parent / "data" / "version-1" / "multi", tmp_path / "multi")
    said = lines(capsys, tmp_path / "multi")
    assert "a take, version 1" in said[0] and said[-1] == "  faults: none"


def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    inspect = f"{sys.executable} -u -m stream inspect --camera synthetic:frames=3 --camera synthetic:frames=4"
    command = f"{inspect} | true; exit ${{PIPESTATUS[0]}}"  # -u: each line is printed at once, and fails at once
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a\n\x1b[31m.mp4", 3)
    assert lines(capsys, tmp_path / "a\n\x1b[31m.mp4")[0].endswith("a\\n\\x1b[31m.mp4: file, a recording")
