"""Recording estimates: what is written comes back, also after a kill and on a full disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engines.argument_types import FAILED
from engines.types import Mixture
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.recordings.replay import read_frames, replay
from stream.recordings.schema import ESTIMATES, MOMENTS, run_info_from_json, run_info_to_json, schemas
from stream.recordings.segments import read_journal, segments
from stream.recordings.takes import find_take, new_take, open_take
from stream.recordings.writer import Recorder
from stream.sinks import SinkStoppedError
from stream.types import Event, StreamError
from tests.faults.fault import row
from tests.takes import M, make_estimates, make_run_info, record, same
from tests.walker import alone, only_view

ROOT = Path(__file__).parents[1]


def test_header_comes_back() -> None:
    run_info = make_run_info()
    back = run_info_from_json(run_info_to_json(run_info))
    assert all(same(a.calibration, b.calibration) for a, b in zip(back.cameras, run_info.cameras, strict=True))
    assert back.cameras[0].serial == "S0"
    assert [c.fov_assumed for c in back.cameras] == [False, False]
    assert back.settings["weights"] == "w.onnx"
    for key in ("kernels", "start_utc", "start_monotonic", "fps", "detectors", "lifter", "joints", "units", "axes"):
        assert getattr(back, key) == getattr(run_info, key)
    assert run_info_from_json(run_info_to_json(make_run_info(1, False))).cameras[0].fov_assumed
    newer = json.loads(run_info_to_json(run_info)) | {"version": 99}
    with pytest.raises(StreamError, match="version 99"):
        run_info_from_json(json.dumps(newer))


def test_round_trip(tmp_path: Path) -> None:
    estimates = make_estimates(60)
    views = [view for e in estimates for k in range(2) for view in e.views_of(k)]
    assert {v.mixture is None for v in views} == {v.detection.cov is None for v in views} == {True, False}
    assert {v.detection.extra is None for v in views} == {not e.people for e in estimates} == {True, False}
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
    assert list_take([str(tmp_path / "none")]) == 2
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
    assert rows == sum(f is not None for e in make_estimates(100) for f in e.frames)
    assert same(tuple(replay(open_take(take))), tuple(make_estimates(100)))


def test_what_the_document_tells_a_stranger_works(tmp_path: Path) -> None:
    estimates = make_estimates(20, people=2)
    take = record(tmp_path, estimates, every=20)
    text = (ROOT / "docs" / "recording.md").read_text("utf-8")
    code = text.split("```python\n")[1].split("```")[0].replace("20260102T030405Z", str(take))
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["hypotheses"].shape[1:] == (M, 17, 3)
    assert found["header"]["kernels"] == M
    views = [
        (person.person_id, view)
        for e in estimates
        for k, frame in enumerate(e.frames)
        if frame is not None
        for person, view in [(p, p.views[k]) for p in e.people if p.views[k]]
    ]
    shown = found["people"] >= 0
    assert found["people"][shown].tolist() == [person_id for person_id, _ in views]
    further = [extra for extra, here in zip(found["further"], shown, strict=True) if here]
    for (_, view), extra in zip(views, further, strict=True):
        known = view.detection.extra
        assert [joint["name"] for joint in extra] == list(known.names if known else ())
        for k, joint in enumerate(extra):
            assert (joint["xy"], joint["cov"]) == (known.xy[k].tolist(), known.cov[k].ravel().tolist())


def test_the_document_names_every_column() -> None:
    text = (ROOT / "docs" / "recording.md").read_text("utf-8")
    for stream, schema in schemas(make_run_info()).items():
        for name in schema.names:
            assert f"`{name}`" in text, f"{stream}: {name}"


def test_a_new_segment_begins_with_age(tmp_path: Path) -> None:
    take = record(tmp_path, make_estimates(30), max_s=0.0)
    assert len(segments(take, MOMENTS)) == 4  # every batch finds the one before too old, the first too
    assert len(list(replay(open_take(take)))) == 30


def test_gaps_are_recorded_and_counted(tmp_path: Path) -> None:
    estimates = make_estimates(40)
    take = new_take(tmp_path)
    recorder = Recorder(take)
    recorder.open(make_run_info())
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
        recorder.open(make_run_info())
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
    recorder.open(make_run_info())
    view = only_view(make_estimates(1)[0])
    assert view.mixture is not None
    bad = Mixture(view.mixture.mean[:3], view.mixture.sigma[:3], view.mixture.weight[:3])
    estimate = alone(replace(view, mixture=bad))
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
from tests.takes import make_estimates, make_run_info
from stream.recordings.writer import Recorder
from stream.recordings.frames import FrameRecorder
from stream.recordings.takes import new_take
import numpy as np
take = new_take(Path({out!r}))
sinks = [Recorder(take, max_bytes=200_000), FrameRecorder(take)]
for sink in sinks:
    sink.open(make_run_info())
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
@row(
    "kill -9 while recording (paused: {pause})",
    -9,
    "was not closed",
    "all but the last second; paused, everything",
    process=True,
)
def test_kill_9_loses_at_most_a_second(tmp_path: Path, pause: bool, capsys: pytest.CaptureFixture[str]) -> None:
    written, pace = kill_while_recording(tmp_path, 100, pause)
    take = open_take(tmp_path)
    back = list(replay(take))
    # A spread of 0: the kill came between the writes to the two streams.
    whole = [e for e in back if any(e.frames) and e.spread_s > 0]
    assert same(tuple(whole), tuple(make_estimates(len(whole))))
    # Paused, everything is a second old: then nothing at all may be missing.
    lost = (written - len(whole)) * pace
    assert lost <= (0 if pause else 1.0), f"{written - len(whole)} of {written} moments, {lost:.2f} s"
    frames = list(read_frames(take, "cam0"))
    shown = [f for e in make_estimates(written + 1) if (f := e.frames[0])]
    assert [(f.index, f.t) for f in frames] == [(f.frame_index, f.t) for f in shown][: len(frames)]
    assert (len(shown) - len(frames)) * pace <= 1.2
    assert recover([str(take.folder)]) == 0
    assert "was not closed" in capsys.readouterr().out
    assert export([str(take.folder), "--to", "npz", "--out", str(tmp_path / "killed.npz")]) == 0
    with np.load(tmp_path / "killed.npz", allow_pickle=False) as data:
        assert len(data["time"]) >= sum(f is not None for e in whole for f in e.frames)


@row("a full disk while recording", FAILED, "recording stopped: File too large", "every moment written up to then")
def test_a_full_disk_stops_loudly_and_leaves_all_readable(tmp_path: Path) -> None:
    estimates = make_estimates(400)
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
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
    assert f"{recorder.frame_sets} moments" in summary
    assert written - 25 <= recorder.frame_sets < written
    faults = []
    back = list(replay(open_take(tmp_path), faults.append))
    assert not faults
    assert same(tuple(back), tuple(estimates[: recorder.frame_sets]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@row("no space for the journal", FAILED, "No space left on device", "what was written before")
def test_no_space_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
    full = os.open("/dev/full", os.O_WRONLY)
    writer = recorder._writers[0]
    os.dup2(full, writer._journal)
    os.close(full)
    recorder.write(make_estimates(1)[0], {})
    with pytest.raises(SinkStoppedError, match="No space left on device"):
        recorder.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@row("a full disk while nothing comes", FAILED, "No space left on device; the 0 moments", "what was written before")
def test_a_disk_that_is_full_when_no_frame_set_comes_any_more_is_said_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
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


@pytest.mark.parametrize("marked", [False, True])
def test_a_take_into_which_nothing_came_is_not_kept(tmp_path: Path, marked: bool) -> None:
    """As of ``r`` and ``q`` while the picture is held; a mark of the user's is something."""
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
    if marked:
        recorder.event(Event(1.0, "key", "mark"))
    said = recorder.close()
    assert ("no take is kept" in said) is not marked
    assert [path.name for path in tmp_path.iterdir()] == ([recorder.take.name] if marked else [])
