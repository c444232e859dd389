"""The benchmarks, from end to end at their smallest. No time is judged.

The real four-camera recording is not measured here: of fusion the synthetic scenes are tested, and of the detectors'
agreement across views the arithmetic, in test_detector_views.py.
"""

import json
import socket
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest

from benchmarks import (
    __main__ as bench,
)
from benchmarks import (
    camera_server,
    detectors,
    fusion,
    latency,
    lifter,
    machine,
    memory,
    peers,
    pipeline,
    processor,
    tracks,
    video,
)
from benchmarks.processor import measure
from calibration.errors import UserError
from engines import cards
from engines.lifter import MDNLifter
from engines.training.data.mocap import Poses
from stream.app import build
from stream.config import SourceConfig
from stream.sources import make_source
from tests.bodies import standing
from tests.measured import flat, usage
from tests.mistakes import refused
from tests.reading import wait_until
from tests.servers import decode, write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twelve frames without anybody, wide enough for the bars of the virtual cameras."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 12, (320, 240))


@pytest.fixture
def order(monkeypatch) -> list[str]:
    """What is loaded, and between "begin" and "end" what is measured, as it happens."""
    found = []

    def note(where, name, before, after=()):
        real = getattr(where, name)

        def noted(*args):
            found.append(before)
            result = real(*args)
            found.extend(after)
            return result

        monkeypatch.setattr(where, name, noted)

    for module in (peers, pipeline):
        note(module, "measure", "begin", ["end"])
    note(peers, "open_mediapipe", "mediapipe")
    note(build, "prepare", "pipeline")
    note(build, "open_sources", "sources")
    return found


def test_the_lifter(tmp_path, capsys):
    out = tmp_path / "lifter.json"
    small = ["--runtimes", "onnx", "--rounds", "1", "--calls", "2", "--paced-calls", "1", "--cold-calls", "0"]
    assert lifter.main([*small, "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    fp32 = [r for r in data["rows"] if (r["precision"], r["mode"], r["batch"]) == ("fp32", "tight", 1)]
    limit = [r for r in data["rows"] if (r["runtime"], r["precision"], r["mode"]) == ("limit", "fp32", "tight")]
    assert data["fp32_share_of_limit"] == pytest.approx(limit[0]["time"]["p50"] / fp32[0]["time"]["p50"])
    assert ("int8_over_fp32" in data) == ("int8" not in data["left_out"])
    assert data["weights"] > 1_000_000
    assert {(r["mode"], r["batch"]) for r in data["rows"] if r["runtime"] == "onnx"} == {
        (mode, batch) for mode in ("tight", "paced") for batch in (1, 4, 16)
    }
    assert data["machine"]["cores"] >= 1
    assert "| onnx | fp32 | tight | 1 |" in capsys.readouterr().out


SMALLEST = ("--runtimes", "onnx", "--rounds", "1", "--calls", "1", "--paced-calls", "0", "--cold-calls", "0")


def test_a_lifter_of_another_width(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    ends = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", n])]
        for name, n in (("x", 32), ("y", 4))
    ]
    weight = onnx.numpy_helper.from_array(np.ones((32, 4), np.float32), "w")
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "lifter", *ends, [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "narrow.onnx")
    assert lifter.main(["--weights", str(tmp_path / "narrow.onnx"), *SMALLEST]) == 0
    assert "| onnx | fp32 | tight | 16 |" in capsys.readouterr().out
    said = refused(capsys, lifter.main, "benchmarks.lifter", "--weights", cards.WEIGHTS / "hourglass.onnx", *SMALLEST)
    assert "hourglass.onnx is not a lifter" in said


@pytest.mark.parametrize(
    ("main", "flag"),
    [
        (lifter.main, "--rounds"), (lifter.main, "--calls"), (detectors.main, "--frames"), (detectors.main, "--rounds"),
        (detectors.main, "--calls"), (pipeline.main, "--repeat"), (pipeline.main, "--live-frames"),
        (peers.main, "--live-frames"),
    ],
)  # fmt: skip
def test_nothing_cannot_be_measured(main, flag, capsys):
    with pytest.raises(SystemExit) as ended:
        main([flag, "0"])
    assert ended.value.code == 2
    assert f"argument {flag}: '0'; give a whole number from 1 up" in capsys.readouterr().err


def test_missing_weights_are_one_line(tmp_path, capsys):
    assert lifter.main(["--weights", str(tmp_path / "nowhere.onnx")]) == 2
    said = capsys.readouterr().err
    assert "nowhere.onnx" in said
    assert said.count("\n") == 1


def test_the_detectors(clip, tmp_path, capsys):
    out = tmp_path / "detectors.json"
    small = ["--video", str(clip), "--only", "movenet-lightning,hourglass", "--runtimes", "onnx", "--threads", "1"]
    small += ["--frames", "4", "--rounds", "1", "--calls", "3", "--paced-calls", "1"]
    assert detectors.main([*small, "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    rows = [r for r in data["rows"] if r["detector"] == "movenet-lightning" and r["precision"] == "fp32"]
    assert [(r["mode"], r["threads"], r["time"]["calls"], r["people"]) for r in rows] == [
        ("tight", 1, 3, 0.0), ("paced", 1, 1, 0.0)
    ]  # fmt: skip
    assert "| movenet-lightning | onnx | fp32 | 1 | tight |" in capsys.readouterr().out


def test_a_mark_survives_jpeg():
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    for number in (0, 1, 341, 682, 1023):
        data = cv2.imencode(".jpg", camera_server.mark(image, number), [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
        assert camera_server.read_mark(cv2.imdecode(data, cv2.IMREAD_COLOR)) == number


def test_virtual_cameras_send_their_video_in_a_loop(clip):
    with camera_server.Cameras([clip, clip], fps=60.0, frames=8) as cameras:
        source = make_source(SourceConfig(cameras.urls[1], "virtual"))
        source.open()
        try:
            seen = [camera_server.read_mark(source.read().image) for _ in range(6)]
        finally:
            source.close()
        log = camera_server.sent(cameras.urls[1])
        assert [number for number, _ in log] == [k % 8 for k in range(len(log))]
        assert set(seen) <= set(range(8))
        assert camera_server.sent(cameras.urls[0]) == []
    with pytest.raises(UserError, match="does not answer"):
        camera_server.sent(cameras.urls[1])


@pytest.mark.slow
def test_the_pipeline_on_a_file_and_on_a_virtual_camera(clip, tmp_path, monkeypatch, order):
    plain = pipeline.run_case(pipeline.Case("file", "pipeline", (str(clip),), True), tmp_path)
    assert plain.moments == 12
    assert plain.latency is None
    assert plain.bound_s == max(plain.busy_s, plain.usage.cpu_s / plain.usage.cores)
    alone = pipeline.run_case(pipeline.Case("alone", "detector", (str(clip),)), tmp_path)
    assert (alone.moments, set(alone.stage_ms)) == (12, {"read", "detect"})
    monkeypatch.setattr(latency, "WARM_S", 0.2)
    with camera_server.Cameras([clip], fps=30.0, frames=12) as cameras:
        for part in ("live-detector", "live"):
            live = pipeline.run_case(pipeline.Case("live", part, (cameras.urls[0],), seconds=1.0), tmp_path)
            assert 0 < live.latency.p50 <= live.latency.p95
            assert live.latency.calls < live.moments  # the warm-up does not count
    loaded = {"pipeline": ["pipeline", "sources"], "detector": ["sources"]}
    parts = ("pipeline", "detector", "detector", "pipeline")
    assert order == [step for part in parts for step in (*loaded[part], "begin", "end")]


def test_the_recording_of_several_views_is_fetched_only_for_them(tmp_path, monkeypatch, capsys):
    def fetch(what):
        if what != pipeline.SINGLE:
            raise UserError(f"{what} is not here")
        return tmp_path

    result = pipeline.Result(100, 8.0, {}, usage())
    monkeypatch.setattr(pipeline, "fetch", fetch)
    monkeypatch.setattr(pipeline, "in_process", lambda case: result)
    out = tmp_path / "pipeline.json"
    assert pipeline.main(["--only", "record", "--json", str(out)]) == 0
    assert list(json.loads(out.read_text())["cases"]) == ["detector", "record"]
    capsys.readouterr()
    assert pipeline.main(["--only", "record,views2"]) == 2
    assert f"{pipeline.MULTI} is not here" in capsys.readouterr().err
    assert pipeline.main(["--only", "tea"]) == 2
    assert "no case tea; there are detector, plain, record, all, long, views1, views2" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_one_line(tmp_path, monkeypatch, capsys):
    result = pipeline.Result(100, 8.0, {}, usage())
    monkeypatch.setattr(pipeline, "in_process", lambda case: result)
    answer = peers.Result(100, 90, usage(), flat(9.0))
    monkeypatch.setattr(peers, "in_process", lambda *_: answer)
    monkeypatch.setattr(peers, "Cameras", lambda *_: nullcontext(SimpleNamespace(urls=["http://a"])))
    for main, flags in ((pipeline.main, ["--only", "plain"]), (peers.main, ["--only", "movenet-lightning"])):
        assert main([*flags, "--video", "walk.mp4", "--json", str(tmp_path)]) == 2
        said = capsys.readouterr().err.splitlines()
        assert "it is a folder" in said[-1]
        assert all(line.endswith("...") for line in said[:-1])


def test_a_run_without_frame_sets_says_so():
    with pytest.raises(UserError, match="too busy"):
        latency.summarise([], ())


@pytest.mark.slow
def test_memory_of_a_looped_video(clip, tmp_path):
    result = memory.measure(clip, minutes=1.0 / 60, every_s=0.3, folder=tmp_path)
    assert result["moments"] == 36  # three times 0.4 s
    assert len(result["mb"]) == 3
    assert all(0 < mb < result["peak_mb"] + 0.1 for mb in result["mb"])
    assert "too short to say" in memory.report(result)


def test_a_repeated_video_has_every_frame_in_order(clip, tmp_path):
    long = video.repeat(clip, 3, tmp_path / "long.mp4")
    assert video.duration(long) == pytest.approx(3 * video.duration(clip), abs=0.02)
    assert [decode(i) for i in detectors.frames_of(long, 100)] == list(range(12)) * 3


@pytest.mark.slow
def test_mediapipes_loop(clip):
    pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    seen = []
    model = cards.WEIGHTS / peers.PEERS["mediapipe-lite"]
    with ExitStack() as stack:
        opened = peers.open_mediapipe(str(clip), model, stack)
        assert peers.mediapipe_loop(*opened, lambda: False, lambda image: seen.append(decode(image))) == (12, 0)
        assert seen == list(range(12))
        with pytest.raises(UserError, match="cannot read"):
            peers.open_mediapipe("nowhere.mp4", model, stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measured", "name", "loaded"),
    [
        (peers.measure_peer, "mediapipe-lite", ["mediapipe"]),
        (peers.measure_ours, "movenet-lightning", ["pipeline", "sources"]),
    ],
)
def test_neither_side_pays_for_loading_and_memory_is_of_the_file(clip, monkeypatch, order, measured, name, loaded):
    if measured is peers.measure_peer:
        pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    monkeypatch.setattr(latency, "WARM_S", 0.2)
    monkeypatch.setattr(peers, "LIVE_S", 0.8)
    with camera_server.Cameras([clip], fps=30.0, frames=12) as cameras:
        result = measured(name, clip, cameras.urls[0])
    assert (result.frames, result.people) == (12, 0)
    assert 0 < result.latency.p50 <= result.latency.p95
    assert order == [*loaded, "begin", "end", *loaded]


def test_tracks_of_a_sequence(tmp_path, capsys):
    walk = standing(1) + np.linspace(0, 1000, 31)[:, None, None] * [1, 0, 0] + [0, 0, 900]
    np.savez(tmp_path / "sequences_30fps_test.npz", joints=walk)
    out = tmp_path / "tracks.json"
    assert tracks.main(["--data", str(tmp_path), "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    for ways in result.values():
        assert 0 < ways["best of M"]["mpjpe_mm"] < ways["most probable"]["mpjpe_mm"]
        assert ways["track, filtered"]["jitter"] < ways["most probable"]["jitter"]
    before, over_time = (result[name]["track, filtered"] for name in ("single frames", "with the frames before"))
    assert over_time["jitter"] < before["jitter"]
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 2 + 10 + 1 + 2 and "goal 0.4: met" in said
    more = ["--rate", "15", "--missing", "0.2", "--detector-noise", "1", "--honest", "--temporal", "off"]
    assert tracks.main(["--data", str(tmp_path), *more]) == 0
    said = capsys.readouterr().out
    assert "with the frames before" not in said and "| single frames | 0." in said
    assert "--missing 2: it is 0 to 0.9" in refused(capsys, tracks.main, "benchmarks.tracks", "--data", tmp_path,
                                                    "--missing", "2")  # fmt: skip
    assert tracks.main(["--data", str(tmp_path), "--validation"]) == 2
    assert tracks.main(["--data", str(tmp_path), "--json", str(tmp_path)]) == 2


def test_fusion_of_synthetic_scenes():
    poses = Poses(standing(2).astype(np.float32), np.array(["a", "b"]), np.array(["s", "s"]), np.array(["f", "f"]))
    results = fusion.synthetic(poses, MDNLifter(), 2, 0)
    assert set(fusion.LAYOUTS) < set(results)
    assert results["1"]["plain"]["seen"] is None  # one view triangulates nothing
    assert results["4, 90 apart, exact"]["plain"]["seen"] < 1
    assert results["8, 45 apart"]["map"]["seen"] < results["8, 45 apart"]["plain"]["seen"]  # of outliers
    assert "| 4, 90 apart, exact |" in fusion.table(results)


def test_usage_counts_the_work():
    result, used = measure(lambda: sum(range(3_000_000)))
    assert result == sum(range(3_000_000))
    assert used.cpu_s > 0
    assert used.cores == machine.cores()


def test_on_windows_the_peak_is_that_of_the_working_set(monkeypatch):
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=600e6))
    monkeypatch.setattr(processor, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(processor, "psutil", SimpleNamespace(Process=lambda: process))
    assert processor.peak_mb() == 600


def test_a_part_that_fails_is_named_and_the_others_stay(tmp_path):
    part = bench.Part(("--weights", str(tmp_path / "nowhere.onnx")), bench.lifter_lines, 60)
    data, why = bench.run_part("lifter", part, tmp_path)
    assert data is None
    assert "nowhere.onnx" in why
    peer = {"ours_over_theirs": {"mediapipe": {"fps": 1.5}}, "left_out": {"rtmlib": "not reachable"}}
    text = bench.report({"peers": peer}, {"lifter": why}, machine.describe())
    assert "| ours / MediaPipe's loop, mediapipe: frames a second (more is better) | 1.50 | - | - |" in text
    assert f"- lifter: {why}" in text
    assert "- rtmlib: not reachable" in text


@pytest.mark.skipif(sys.platform == "win32", reason="a script of the shell")
def test_a_part_that_takes_too_long_ends_with_its_cases(tmp_path, monkeypatch):
    number, program = tmp_path / "number", tmp_path / "python"
    program.write_text(f"#!/bin/sh\nsleep 300 &\necho $! > {number}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    data, why = bench.run_part("lifter", bench.Part((), bench.lifter_lines, 3), tmp_path)
    assert (data, why) == (None, "it was not done after 3 s")

    def gone() -> bool:
        try:
            return psutil.Process(int(number.read_text())).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(gone, 5)


def test_the_machine_is_described_without_its_name():
    found = machine.describe()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["packages"]["numpy"] == np.__version__
    assert socket.gethostname() not in (found["cpu"], found["system"], machine.slug(found))
    assert all(c.isalnum() or c == "-" for c in machine.slug(found))
