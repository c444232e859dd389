"""The recording: what goes in comes out, and what a kill, a full disk or a flipped bit leave of it."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest

from calibration.camera import Camera
from engines.types import Detection, Mixture, Pose, nobody
from stream.export import main as export
from stream.recording import ESTIMATES, FRAMES, MOMENTS, header_from_json, header_to_json
from stream.recover import main as recover
from stream.replay import main as list_take
from stream.replay import read_frames, replay
from stream.segments import read_journal, segments
from stream.sinks import CameraHeader, Header, SinkStoppedError
from stream.sinks.frames import FrameRecorder
from stream.sinks.recorder import Recorder
from stream.takes import find_take, new_take, open_take
from stream.types import Estimate, HypothesisTrack, StreamError, View

ROOT = Path(__file__).parents[1]
M = 5


def make_header(cameras: int = 2, calibrated: bool = True) -> Header:
    """A run of several cameras; the last has no calibration unless all of them have."""

    def camera(number: int) -> CameraHeader:
        K = np.array([[900.1, 0, 319.5], [0, 900.2, 239.5], [0, 0, 1]])
        made = Camera(
            f"cam{number}", (640, 480), K, np.arange(5) / 7, np.eye(3), np.arange(3) / 3, np.array([0, 0, 1.0])
        )
        return CameraHeader(
            name=f"cam{number}", source=f"rtsp://user:***@host/{number}", kind="network", size=(640, 480),
            calibration=made if calibrated else None, fov_degrees=None if calibrated else 60.0, serial=f"S{number}",
        )  # fmt: skip

    return Header(
        cameras=tuple(camera(n) for n in range(cameras)),
        kernels=M,
        start_utc=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        start_monotonic=12345.678901234,
        fps=30.0,
        detectors={"thunder": {"model": "t.onnx", "sha256": "ab" * 32, "runtime": "onnx"}},
        lifter={"model": "mdn.onnx", "sha256": "cd" * 32},
        runtime="onnx",
        software="hypothesis-stream 0.1.0",
        settings={"tracks": {"stay": 0.9}, "weights": Path("w.onnx")},
    )


def make_view(rng: np.random.Generator, camera: str, index: int, t: float, kind: str) -> View:
    """A view with a person ("lifted"), with one too little seen to lift ("seen"), or with nobody ("nobody")."""
    if kind == "nobody":
        return View(camera, index, t, (640, 480), nobody("thunder"), None, (), None, None, None)
    draw = lambda *shape: rng.normal(0, 500, shape).astype(np.float32)  # noqa: E731
    detection = Detection(draw(17, 2), rng.random(17, np.float32), rng.random(17) < 0.2, "thunder")
    if kind == "seen":
        return View(camera, index, t, (640, 480), detection, None, (), None, None, None)
    mixture = Mixture(draw(M, 17, 3), np.abs(draw(M, 17)), rng.dirichlet(np.ones(M)).astype(np.float32))
    tracks = tuple(
        HypothesisTrack(int(rng.integers(1, 1 << 40)), t - rng.random(), mixture.mean[k], rng.random())
        for k in range(M)
    )
    return View(camera, index, t, (640, 480), detection, mixture, tracks, draw(17, 3), draw(17, 3), draw(3))


def make_estimates(count: int, cameras: int = 2, fused: bool = True, seed: int = 0) -> list[Estimate]:
    """Random estimates in which everything that can be absent is absent now and then."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        t = index / 30 + 0.1
        views = tuple(
            None
            if (index + c) % 7 == 6
            else make_view(
                rng, f"cam{c}", index * 2, t + c * 1e-3, ("lifted", "seen", "nobody")[max((index + c) % 5 - 2, 0)]
            )
            for c in range(cameras)
        )
        A = rng.normal(0, 10, (17, 3, 3))
        pose = Pose(
            rng.normal(0, 900, (17, 3)).astype(np.float32),
            (A @ A.transpose(0, 2, 1)).astype(np.float32),
            tuple(f"cam{c}" for c in range(cameras)),
            "map",
        )
        stages = {"detect": rng.random(), "lift": rng.random()} if index % 2 else None
        made.append(Estimate(index, t, views, pose if fused and index % 4 else None, 1e-3, stages))
    return made


def same(a: object, b: object) -> bool:
    """Whether two records are equal, arrays bit for bit."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b


def record(
    directory: Path, estimates: list[Estimate], header: Header | None = None, every: int = 10, **limits: Any
) -> Path:
    """A finished take of the estimates, in batches of some moments."""
    take = new_take(directory)
    recorder = Recorder(take, **limits)
    recorder.open(header or make_header())
    for number, estimate in enumerate(estimates):
        recorder.write(estimate, {})
        if number % every == every - 1:
            with recorder._lock:
                recorder._flush()
    summary = recorder.close()
    assert str(take) in summary
    return take


def test_header_comes_back() -> None:
    header = make_header()
    back = header_from_json(header_to_json(header))
    assert all(same(a.calibration, b.calibration) for a, b in zip(back.cameras, header.cameras, strict=True))
    assert back.cameras[0].serial == "S0"
    assert [c.fov_assumed for c in back.cameras] == [False, False]
    assert back.settings["weights"] == "w.onnx"
    for key in ("kernels", "start_utc", "start_monotonic", "fps", "detectors", "lifter", "joints", "units", "axes"):
        assert getattr(back, key) == getattr(header, key)
    assert header_from_json(header_to_json(make_header(1, False))).cameras[0].fov_assumed
    newer = json.loads(header_to_json(header)) | {"version": 99}
    with pytest.raises(StreamError, match="version 99"):
        header_from_json(json.dumps(newer))


def test_round_trip(tmp_path: Path) -> None:
    estimates = make_estimates(60)
    assert {kind for e in estimates for v in e.views if v for kind in [v.mixture is None, v.detection.person]} == {
        True,
        False,
    }
    record(tmp_path, estimates)
    take = open_take(tmp_path)
    assert same(tuple(replay(take)), tuple(estimates))
    assert not same(tuple(make_estimates(60, seed=1)), tuple(estimates))


def test_replay_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, make_estimates(8))
    assert list_take([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert "nobody" in "".join(lines)
    assert "fused by map from 2" in lines[1]
    assert list_take([str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_rotation_and_a_stranger_with_pyarrow_alone(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(100), max_bytes=60_000)
    parts = segments(take, ESTIMATES)
    assert len(parts) > 2
    rows = 0
    for part in parts:
        with pa.OSFile(str(part)) as file:
            reader = pa.ipc.open_stream(file)
            assert json.loads(reader.schema.metadata[b"hypothesis-stream"])["kernels"] == M
            rows += reader.read_all().num_rows
        data, position = part.read_bytes(), 0
        for offset, length, _, crc in read_journal(part.with_suffix(".journal")):
            assert offset == position
            assert zlib.crc32(data[offset : offset + length]) == crc
            position += length
        assert data[position:] == b"\xff\xff\xff\xff\0\0\0\0"
    assert rows == sum(v is not None for e in make_estimates(100) for v in e.views)
    assert same(tuple(replay(open_take(take))), tuple(make_estimates(100)))


def test_what_the_document_tells_a_stranger_works(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(20))
    text = (ROOT / "docs" / "recording.md").read_text("utf-8")
    code = text.split("```python\n")[1].split("```")[0].replace("20260102T030405Z", str(take))
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["hypotheses"].shape[1:] == (M, 17, 3)
    assert found["header"]["kernels"] == M


def test_a_new_segment_begins_with_age(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(30), max_s=0.0)
    assert len(segments(take, MOMENTS)) == 4  # every batch finds the one before too old, the first too
    assert len(list(replay(open_take(take)))) == 30


def test_gaps_are_recorded_and_counted(tmp_path: Path) -> None:
    estimates = make_estimates(40)
    take = new_take(tmp_path)
    recorder = Recorder(take)
    recorder.open(make_header())
    for estimate in estimates[5:10] + estimates[13:20] + estimates[21:]:
        recorder.write(estimate, {})
    assert (recorder.gaps, recorder.missed) == (2, 4)
    assert "4 missed in 2 gaps" in recorder.close()
    missed = [(r["moment"], r["missed_before"]) for b in open_take(take).batches(MOMENTS) for r in b.to_pylist()]
    assert [m for m in missed if m[1]] == [(13, 3), (21, 1)]


def test_takes_never_overwrite(tmp_path: Path) -> None:
    takes = [record(tmp_path, make_estimates(2)) for _ in range(3)]
    assert len(set(takes)) == 3
    with pytest.raises(StreamError, match=f"3 takes.*{takes[2].name}"):
        find_take(tmp_path)
    assert find_take(takes[1]) == takes[1]
    recorder = Recorder(takes[0])
    with pytest.raises(StreamError, match="File exists"):
        recorder.open(make_header())
    with pytest.raises(StreamError, match="no such folder"):
        find_take(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StreamError, match="holds no take"):
        find_take(tmp_path / "empty")


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamError, match="cannot record to"):
        new_take(tmp_path / "file" / "out")
    # Root may write anywhere; /proc refuses even root.
    if Path("/proc/self").exists():
        with pytest.raises(StreamError, match="cannot record to"):
            new_take(Path("/proc/self/takes"))


def test_a_wrong_number_of_hypotheses_is_not_recorded_silently(tmp_path: Path) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_header())
    view = make_estimates(1)[0].views[0]
    assert view is not None
    assert view.mixture is not None
    bad = Mixture(view.mixture.mean[:3], view.mixture.sigma[:3], view.mixture.weight[:3])
    estimate = Estimate(0, 0.0, (replace(view, mixture=bad),), None)
    recorder.write(estimate, {})
    with pytest.raises(ValueError, match="hypotheses has 153 values"):
        recorder.close()
    recorder.close()


# Writes an estimate every 20 ms and prints its index once it was handed over; killed by the test.
WRITE_FOREVER = """
import sys, time
from pathlib import Path
from typing import Any
sys.path[:0] = [{root!r}, {tests!r}]
from tests.test_recording import make_estimates, make_header
from stream.sinks.recorder import Recorder
from stream.sinks.frames import FrameRecorder
from stream.takes import new_take
import numpy as np
take = new_take(Path({out!r}))
sinks = [Recorder(take, max_bytes=200_000), FrameRecorder(take)]
for sink in sinks:
    sink.open(make_header())
image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
began = time.monotonic()
for number, estimate in enumerate(make_estimates(2000)):
    for sink in sinks:
        sink.write(estimate, {{"cam0": np.roll(image, number, 1)}})
    print(number, flush=True)
    if number == {pause_at}:
        time.sleep(60)
    time.sleep(max(began + (number + 1) * 0.02 - time.monotonic(), 0))
"""


def kill_while_recording(tmp_path: Path, at: int, pause: bool) -> tuple[int, float]:
    """Run the recorder in another process, kill -9 it after a moment; (moments handed over, seconds between them)."""
    code = WRITE_FOREVER.format(
        root=str(ROOT), tests=str(ROOT / "tests"), out=str(tmp_path), pause_at=at if pause else -1
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        times = []
        for line in process.stdout:
            times.append(time.monotonic())
            if int(line) == at:
                break
        else:
            pytest.fail("the recording process ended by itself")
        if pause:
            time.sleep(1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return at + 1, (times[-1] - times[0]) / at


@pytest.mark.parametrize("pause", [False, True])
def test_kill_9_loses_at_most_a_second(tmp_path: Path, pause: bool, capsys: pytest.CaptureFixture[str]) -> None:
    written, pace = kill_while_recording(tmp_path, 100, pause)
    take = open_take(tmp_path)
    back = list(replay(take))
    # A spread of 0: the kill came between the writes to the two streams.
    whole = [e for e in back if any(e.views) and e.spread_s > 0]
    assert same(tuple(whole), tuple(make_estimates(len(whole))))
    # Paused, everything is a second old: then nothing at all may be missing.
    lost = (written - len(whole)) * pace
    assert lost <= (0 if pause else 1.0), f"{written - len(whole)} of {written} moments, {lost:.2f} s"
    frames = list(read_frames(take, "cam0"))
    shown = [v for e in make_estimates(written + 1) if (v := e.views[0])]
    assert [(f.index, f.t) for f in frames] == [(v.frame_index, v.t) for v in shown][: len(frames)]
    assert (len(shown) - len(frames)) * pace <= 1.2
    assert recover([str(take.folder)]) == 0
    assert "was not closed" in capsys.readouterr().out
    assert export([str(take.folder), "--to", "npz", "--out", str(tmp_path / "killed.npz")]) == 0
    with np.load(tmp_path / "killed.npz", allow_pickle=False) as data:
        assert len(data["time"]) >= sum(v is not None for e in whole for v in e.views)


def test_a_full_disk_stops_loudly_and_leaves_all_readable(tmp_path: Path) -> None:
    estimates = make_estimates(400)
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_header())
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    written = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        with pytest.raises(SinkStoppedError, match="recording stopped: File too large.*moments in"):
            for estimate in estimates:
                recorder.write(estimate, {})
                written += 1
                if written % 20 == 0:
                    with recorder._lock:
                        recorder._flush()
        with pytest.raises(SinkStoppedError):  # it stays stopped, and says so again
            recorder.write(estimates[written], {})
        summary = recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert f"{recorder.moments} moments" in summary
    assert written - 25 <= recorder.moments < written
    faults = []
    back = list(replay(open_take(tmp_path), faults.append))
    assert not faults
    assert same(tuple(back), tuple(estimates[: recorder.moments]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_no_space_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_header())
    full = os.open("/dev/full", os.O_WRONLY)
    writer = recorder._writers[0]
    os.dup2(full, writer._journal)
    os.close(full)
    recorder.write(make_estimates(1)[0], {})
    with pytest.raises(SinkStoppedError, match="No space left on device"):
        recorder.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_is_full_when_no_moment_comes_any_more_is_said_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_header())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._writers[0]._journal)
    os.close(full)
    recorder.write(make_estimates(1)[0], {})
    until = time.monotonic() + 30
    while recorder._fault is None and time.monotonic() < until:
        time.sleep(0.05)  # the keeper writes what has waited
    with pytest.raises(SinkStoppedError, match="No space left on device; the 0 moments in"):
        recorder.close()
    assert "0 moments" in recorder.close(), "once said, it is said"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_flipped_bit_costs_one_batch_and_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(50))
    part = segments(take, ESTIMATES)[0]
    offset, length, rows, _ = read_journal(part.with_suffix(".journal"))[3]
    flip(part, offset + length - 40)
    faults = []
    back = list(replay(open_take(take), faults.append))
    assert [(f.state, f.rows, f.offset) for f in faults] == [("corrupt", rows, offset)]
    assert [e.index for e in back if not any(e.views)] == list(range(20, 30))
    before = part.read_bytes()
    assert recover([str(take), "--out", str(tmp_path / "clean")]) == 1
    said = capsys.readouterr().out
    assert f"{rows} rows" in said
    assert "corrupt" in said
    assert part.read_bytes() == before
    clean = open_take(tmp_path / "clean")
    assert same(tuple(replay(clean)), tuple(back))
    assert recover([str(clean.folder)]) == 0


def test_a_flipped_bit_in_the_schema(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(50), max_bytes=30_000)
    part = segments(take, ESTIMATES)[0]
    flip(part, 300)
    faults = []
    assert same(tuple(replay(open_take(take), faults.append)), tuple(make_estimates(50)))
    assert [(f.state, f.offset) for f in faults] == [("corrupt", 0)]
    for other in segments(take, ESTIMATES)[1:]:
        flip(other, 300)
    assert same(tuple(replay(open_take(take))), tuple(make_estimates(50)))  # the moments' header tells all
    for other in segments(take, MOMENTS):
        flip(other, 300)
    with pytest.raises(StreamError, match="no file in it begins with a readable header"):
        open_take(take)


@pytest.mark.parametrize("cut", [1, 7, 100, 5000])
@pytest.mark.parametrize("journal", ["whole", "short", "none"])
def test_truncated(tmp_path: Path, cut: int, journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(40)
    take = record(tmp_path / "a", estimates)
    part = segments(take, ESTIMATES)[0]
    part.write_bytes(part.read_bytes()[: -8 - cut])
    lines = part.with_suffix(".journal")
    if journal == "short":
        lines.write_bytes(lines.read_bytes()[:-30])
    elif journal == "none":
        lines.unlink()
    faults = []
    back = list(replay(open_take(take), faults.append))
    whole = [e for e in back if any(e.views)]
    assert same(tuple(whole), tuple(estimates[:30]))
    assert [f.state for f in faults] == ["torn"]
    assert recover([str(take), "--out", str(tmp_path / "clean")]) == 1
    assert "torn" in capsys.readouterr().out
    faults.clear()
    assert same(tuple(replay(open_take(tmp_path / "clean"), faults.append)), tuple(back))
    assert not faults


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("at", [0, 6, -3, -12])
def test_a_damaged_journal_loses_at_most_its_own_batch(tmp_path: Path, line: int, at: int) -> None:
    take = record(tmp_path, make_estimates(50))
    path = segments(take, ESTIMATES)[0].with_suffix(".journal")
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = bytearray(lines[line + 1])
    damaged[at] ^= 0x02
    path.write_bytes(b"".join([*lines[: line + 1], bytes(damaged), *lines[line + 2 :]]))
    back = [e for e in replay(open_take(take)) if any(e.views)]
    expected = {e.index: e for e in make_estimates(50)}
    assert len(back) >= 40
    assert all(same(e, expected[e.index]) for e in back)


def test_a_journal_line_that_points_beyond_the_file_loses_only_its_own_batch(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(50))
    path = segments(take, ESTIMATES)[0].with_suffix(".journal")
    offset, length, rows, _ = read_journal(path)[2]
    lines = path.read_bytes()
    path.write_bytes(lines.replace(b"%d,%d," % (offset, length), b"%d,9%d," % (offset, length)))
    faults = []
    back = [e for e in replay(open_take(take), faults.append) if any(e.views)]
    assert [(f.state, f.offset, f.length, f.rows) for f in faults] == [("corrupt", offset, length, rows)]
    assert len(back) == 40


@pytest.mark.parametrize("journal", [True, False])
def test_zeros_at_the_end_of_a_segment_are_a_fault(tmp_path: Path, journal: bool) -> None:
    take = record(tmp_path, make_estimates(50))
    part = segments(take, ESTIMATES)[0]
    offset = read_journal(part.with_suffix(".journal"))[3][0]
    data = part.read_bytes()
    part.write_bytes(data[:offset] + bytes(len(data) - offset))
    lines = part.with_suffix(".journal")
    if journal:  # as it was before those batches
        lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:4]))
    else:
        lines.unlink()
    faults = []
    back = [e for e in replay(open_take(take), faults.append) if any(e.views)]
    assert [(f.state, f.offset, f.length) for f in faults] == [("torn", offset, len(data) - offset)]
    assert len(back) == 20
    assert recover([str(take)]) == 1


@pytest.mark.parametrize("journal", [True, False])
def test_a_segment_that_is_gone_is_said(tmp_path: Path, journal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(100), max_bytes=60_000)
    part = segments(take, ESTIMATES)[1]
    lines = part.with_suffix(".journal")
    rows = sum(entry[2] for entry in read_journal(lines))
    part.unlink()
    if not journal:
        lines.unlink()
    lost = f"{rows} rows" if journal else "an unknown number of rows"
    assert recover([str(take)]) == 1
    assert f"  {part.name}: missing, {lost} lost\n" in capsys.readouterr().out
    assert export([str(take), "--to", "npz", "--out", str(tmp_path / "out.npz")]) == 0
    lost = f"{rows} rows are" if journal else "its rows are"
    assert f"{part.name} is missing: {lost} left out" in capsys.readouterr().out


@pytest.mark.parametrize("cut", ["to nothing", "to some batches"])
def test_a_segment_without_its_end_lost_something_unless_it_is_the_newest(
    tmp_path: Path, cut: str, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path / "a", make_estimates(100), max_bytes=60_000)
    for number, status in ((-1, 0), (1, 1)):  # the newest first
        part = segments(take, ESTIMATES)[number]
        journal = part.with_suffix(".journal")
        keep, lines = 0, b""
        if cut == "to some batches":
            keep = read_journal(journal)[2][0]
            lines = b"".join(journal.read_bytes().splitlines(keepends=True)[:3])
        part.write_bytes(part.read_bytes()[:keep])
        journal.write_bytes(lines)
        assert recover([str(take)]) == status
        said = f"{part.name}: torn, an unknown number of rows lost (0 bytes at {keep})"
        assert (said in capsys.readouterr().out) == (status == 1)


def test_recover_refuses_to_write_over_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(5))
    assert recover([str(take), "--out", str(take)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert recover([str(tmp_path / "b")]) == 1
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "flags"), [(recover, []), (recover, ["--out", "copy"]), (list_take, [])])
def test_a_segment_that_cannot_be_read_is_one_line(
    tool, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    part = segments(record(tmp_path / "a", make_estimates(5)), ESTIMATES)[0]
    part.unlink()
    part.mkdir()
    assert tool(["a", *flags]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"{part.name} cannot be read: " in lines[0]


def test_a_clean_copy_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(5))
    (tmp_path / "file").write_text("")
    assert recover([str(take), "--out", str(tmp_path / "file" / "copy")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"cannot write {tmp_path / 'file' / 'copy'}: ")


def test_a_folder_that_may_not_be_listed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    for tool in (recover, list_take):
        assert tool([str(tmp_path)]) == 1
        assert capsys.readouterr().err == f"{tmp_path} cannot be read: Permission denied\n"


def moving_picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth BGR picture whose brightness tells its number."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    picture = np.stack([x * 120 // size[0], y * 120 // size[1], np.full_like(x, 40)], -1)
    return (picture + 4 * (number % 30)).astype(np.uint8)


def test_frames_come_back_with_their_times(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    recorder, frames = Recorder(take), FrameRecorder(take)
    header = make_header()
    recorder.open(header)
    frames.open(header)
    estimates = make_estimates(30)
    sizes = {"cam0": (160, 120), "cam1": (97, 63)}
    for estimate in estimates:
        images = {v.camera: moving_picture(estimate.index, sizes[v.camera]) for v in estimate.views if v}
        if estimate.index == 20:
            sizes["cam0"] = (128, 96)
        recorder.write(estimate, images)
        frames.write(estimate, images)
    recorder.close()
    assert "images of 2 cameras" in frames.close()
    opened = open_take(take)
    for camera in ("cam0", "cam1"):
        views = [(e.index, v) for e in estimates for v in e.views if v and v.camera == camera]
        back = list(read_frames(opened, camera))
        assert [(f.index, f.t) for f in back] == [(v.frame_index, v.t) for _, v in views]
        for frame, (index, _) in zip(back, views, strict=True):
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
        sink.open(make_header(1))
    for number in range(count):
        view = make_view(np.random.default_rng(0), "cam0", number, number / 30, "nobody")
        for sink in sinks:
            sink.write(Estimate(number, number / 30, (view,), None), {"cam0": moving_picture(number, (160, 120))})
    for sink in sinks:
        sink.close()
    return take


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
    monkeypatch.setattr("stream.sinks.frames.SYNC_S", 0.0)
    record_video(tmp_path, 3)


def test_an_image_that_is_in_several_moments_is_recorded_once(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    recorder, frames = Recorder(take), FrameRecorder(take)
    recorder.open(make_header())
    recorder.close()
    frames.open(make_header())
    for number in range(10):
        slow = number // 2
        views = tuple(
            make_view(np.random.default_rng(0), camera, index, t, "nobody")
            for camera, index, t in (("cam0", number, number / 60), ("cam1", slow, slow / 30))
        )
        images = {v.camera: moving_picture(v.frame_index, (160, 120)) for v in views}
        frames.write(Estimate(number, number / 60, views, None), images)
    assert frames.close().startswith("frames: 15 images of 2 cameras")
    assert [f.index for f in read_frames(open_take(take), "cam1")] == list(range(5))


def test_images_are_in_the_file_half_a_second_later(tmp_path: Path) -> None:
    frames = FrameRecorder(new_take(tmp_path))
    frames.open(make_header())
    # 0.8 s: less than the second after which a key frame would begin a cluster by itself.
    for number in range(24):
        view = make_view(np.random.default_rng(0), "cam0", number, number / 30, "nobody")
        frames.write(Estimate(number, number / 30, (view,), None), {"cam0": moving_picture(number, (160, 120))})
    with av.open(str(next(frames.take.glob("*.mkv")))) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 24 - 14
    frames.close()


def test_a_video_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    sinks = Recorder(take), FrameRecorder(take)
    for sink in sinks:
        sink.open(make_header())
        sink.write(make_estimates(1)[0], {"cam0": moving_picture(0, (160, 120))})
        sink.close()
    video = next(take.glob("*.mkv"))
    video.write_bytes(b"not a video")
    with pytest.raises(StreamError, match=f"{video.name} cannot be read"):
        list(read_frames(open_take(take), "cam0"))
    assert recover([str(take)]) == 1


def test_a_full_disk_stops_the_frames_loudly(tmp_path: Path) -> None:
    take = new_take(tmp_path)
    frames = FrameRecorder(take)
    frames.open(make_header())
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
    recorder.open(make_header())
    recorder.close()
    assert len(list(read_frames(open_take(take), "cam0"))) >= 1
