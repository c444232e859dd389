"""The benchmarks: from end to end at their smallest, and their arithmetic on known figures. No time is judged.

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
    timing,
    tracks,
    video,
)
from benchmarks.processor import Usage, measure
from benchmarks.table import ratio
from calibration.errors import UserError
from engines import cards
from engines.lifter import SHIPPED, MDNLifter
from engines.training.data.mocap import Poses
from stream.app import build
from stream.config import SourceConfig
from stream.sources import make_source
from tests.bodies import standing
from tests.mistakes import refused
from tests.reading import wait_until
from tests.servers import decode, write_video


def usage(wall=10.0, cpu=10.0, peak=500.0, cores=2):
    return Usage(wall, cpu, 0.0, cores, {}, peak, 0.0)


def flat(ms, calls=4):
    return timing.Times(ms, ms, ms, calls)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twelve frames without anybody, wide enough for the bars of the virtual cameras."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 12, (320, 240))


# arithmetic


def test_percentiles_of_known_durations():
    found = timing.times([k / 1000 for k in range(1, 102)])
    assert (found.p50, found.p95, found.p99, found.calls) == pytest.approx((51, 96, 100, 101))
    assert found.spread == pytest.approx(96 / 51)
    with pytest.raises(ValueError, match="no duration"):
        timing.times([])


def test_a_ratio_is_taken_within_each_round():
    # The second round was ten times slower for both: 0.5 all the same, where the pooled medians would say otherwise.
    assert timing.median_ratio([[1, 1], [10, 10], [1, 1]], [[2, 2], [20, 20], [2, 8]]) == 0.5


def test_every_subject_is_called_as_often_and_in_turn():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = timing.tight(calls, rounds=2, count=3)
    assert "".join(order) == "aaaabbbb" * 2  # the first of each round is not timed
    assert {n: [len(r) for r in rounds] for n, rounds in found.items()} == {"a": [3, 3], "b": [3, 3]}
    order.clear()
    assert {n: len(s) for n, s in timing.paced(calls, 2, 0.001).items()} == {"a": 2, "b": 2}
    assert "".join(order) == "abab"
    order.clear()
    timing.after(lambda: order.append("!"), calls, 1)
    assert "".join(order) == "!a!b"


@pytest.mark.parametrize(("over", "under", "text"), [(1.0, 4.0, "0.25"), (None, 4.0, "-"), (1.0, None, "-")])
def test_ratio_cells(over, under, text):
    assert ratio(over, under) == text


def test_the_lifters_goals_on_known_rows():
    rows = [
        lifter.Row("onnx", "fp32", "tight", 1, flat(1.0), 0.95),
        lifter.Row("onnx", "int8", "tight", 1, flat(0.4), 0.60),
        lifter.Row("openvino", "int8", "tight", 1, flat(0.1), 0.99),
        lifter.Row("onnx", "fp32", "tight", 4, flat(9.0), None),
        lifter.Row("onnx", "fp32", "paced", 1, flat(2.0), 0.80),
        lifter.Row("onnx", "int8", "paced", 1, flat(0.5), 0.50),
        lifter.Row("limit", "fp32", "tight", 0, flat(0.95), None),
    ]
    found = lifter.summary(rows)
    assert found == pytest.approx({
        "fp32_share_of_limit": 0.95, "int8_share_of_limit": 0.60, "int8_over_fp32": 0.4,
        "paced_fp32_share_of_limit": 0.80, "paced_int8_share_of_limit": 0.50, "paced_int8_over_fp32": 0.25,
    })  # fmt: skip
    share, over = lifter.verdict(found)
    assert share.endswith("95.0% of the limit (goal 90%): met")
    assert over.endswith("0.40 of the time of fp32 (goal 0.35): MISSED")


def test_the_readers_read_every_byte():
    how = lifter.readers(1 << 16)
    assert how["max"]() == 0x02020202
    assert how["or"]() == 0x0202020202020202
    assert how["memchr"]() == -1  # it looked at all of them, and found nothing


def test_detectors_are_compared_with_the_same_number_of_threads():
    rows = [
        detectors.Row("movenet-lightning", "onnx", "fp32", 1, "tight", flat(8.0), 1.0),
        detectors.Row("movenet-lightning", "onnx", "fp32", 2, "tight", flat(5.0), 1.0),
        detectors.Row("movenet-lightning", "openvino", "fp32", 1, "tight", flat(1.0), 1.0),
        detectors.Row("hourglass", "onnx", "int8", 2, "tight", flat(10.0), 1.0),
        detectors.Row("mediapipe", detectors.OWN, "-", 0, "tight", flat(15.0), 1.0),
    ]
    assert detectors.reference(rows) == {("tight", 1): 8.0, ("tight", 2): 5.0, ("tight", 0): 5.0}
    lines = bench.detector_lines({"rows": [detectors.asdict(r) for r in rows]})
    by = {what.split(" on ")[0]: value for what, value, _, _ in lines}
    assert by == {"movenet-lightning fp32": "0.12", "hourglass int8": "2.00", "mediapipe -": "3.00"}


def test_int8_of_the_hourglass_is_compared_at_the_best_of_each(monkeypatch):
    rows = [
        detectors.Row("hourglass", "onnx", "fp32", 1, "tight", flat(20.0), 1.0),
        detectors.Row("hourglass", "openvino", "fp32", 2, "tight", flat(10.0), 1.0),
        detectors.Row("hourglass", "onnx", "fp32", 2, "paced", flat(1.0), 1.0),
        detectors.Row("hourglass", "onnx", "int8", 1, "tight", flat(5.0), 1.0),
        detectors.Row("hourglass", "onnx", "int8", 2, "tight", flat(9.0), 1.0),
        detectors.Row("movenet-lightning", "onnx", "fp32", 1, "tight", flat(0.1), 1.0),
    ]
    monkeypatch.setattr(detectors, "int8_loss", lambda name: 1.25)
    what = "hourglass int8 on onnx, 1 thread / fp32 on openvino, 2 threads"
    assert bench.int8_lines(rows) == [
        (what, "0.50", "<= 0.45", "MISSED"),
        ("hourglass int8: points of PCK@0.2 lost, as its build measured", "1.25", "<= 1", "MISSED"),
    ]
    lines = bench.detector_lines({"rows": [detectors.asdict(r) for r in rows]})
    assert lines[-2:] == bench.int8_lines(rows)
    monkeypatch.setattr(detectors, "int8_loss", lambda name: None)
    rows[3] = detectors.Row("hourglass", "onnx", "int8", 1, "tight", flat(4.5), 1.0)
    assert bench.int8_lines(rows) == [(what, "0.45", "<= 0.45", "met")]
    assert bench.int8_lines(rows[:3]) == []


def test_what_int8_costs_is_read_from_the_card():
    known = cards.load_card(cards.WEIGHTS / "movenet_thunder.int8.onnx").values
    assert detectors.int8_loss("movenet-thunder") == pytest.approx(known["float_lspet_pck"] - known["lspet_pck"])
    assert detectors.int8_loss("mediapipe") is None


def test_the_pipelines_goals_on_known_results():
    found = {
        "record": pipeline.Result(100, 8.0, {}, usage(wall=10.3, cpu=20.0, peak=601.0)),
        "views1": pipeline.Result(100, 10.0, {}, usage(wall=10.0, cpu=12.0)),
        "views2": pipeline.Result(50, 10.0, {}, usage(wall=10.5, cpu=17.0)),
        "live-detector": pipeline.Result(100, 0.0, {}, usage(), timing.Times(50, 60, 70, 100)),
        "live1": pipeline.Result(100, 5.0, {}, usage(), timing.Times(60, 90, 99, 100)),
    }
    cases = pipeline.cases(Path("walk.mp4"), Path("long.mp4"), [Path(f"{k}.mp4") for k in range(8)], ["http://a"])
    assert [len(cases[f"views{n}"].videos) for n in (1, 2, 4, 8)] == [1, 2, 4, 8]
    assert cases["views2"].videos == ("cam0=0.mp4", "cam1=1.mp4")
    assert pipeline.figures(found, cases) == pytest.approx(
        {"wall_over_bound": 1.05, "latency_spread_over_detector": 1.25, "second_camera": 2.1, "peak_mb": 601.0}
    )
    said = pipeline.verdict(found, cases)
    assert [line.endswith("MISSED") for line in said] == [False, True, True, True, True]
    assert "record 1.030 met, views1 1.000 met, views2 1.050 met" in said[0]
    assert len(pipeline.table(found, cases).splitlines()) == 2 + len(found)


def test_memory_that_grows_is_seen():
    every = 30.0
    steady = [400.0] * 4 + [450.0] * 20
    assert memory.slope(steady, every) == pytest.approx(0, abs=1e-9)  # what it took to warm up does not count
    rising = [400 + 3 * k * every / 60 for k in range(1, 25)]
    assert memory.slope(rising, every) == pytest.approx(3)
    assert memory.slope(rising[:6], every) is None
    known = {"peak_mb": 590.0, "slope_mb_a_minute": 3.0, "minutes": 12.0, "moments": 21600}
    assert [line.rpartition(" ")[2] for line in memory.verdict(known)] == ["met", "MISSED"]


def test_ours_over_theirs():
    ours = peers.Result(100, 90, usage(wall=4.0, cpu=6.0, peak=300.0), timing.Times(40, 60, 70, 100))
    theirs = peers.Result(100, 95, usage(wall=2.0, cpu=4.0, peak=600.0), timing.Times(80, 100, 120, 100))
    assert peers.ratios(ours, theirs) == pytest.approx(
        {"fps": 0.5, "latency_p50": 0.5, "latency_p95": 0.6, "cpu": 1.5, "memory": 0.5}
    )
    text = peers.report({"theirs mediapipe": theirs, "ours mediapipe": ours}, {"another": "it is not there"})
    assert "| ours, mediapipe | 25.0 | 0.50 | 40, 60 | 0.50 | 60.0 | 1.50 | 300 | 0.50 | 90% |" in text
    assert "not measured: another: it is not there" in text


# end to end


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


def test_the_age_of_an_image_counts_from_when_it_was_last_sent():
    sent = [(0, 1.0), (1, 1.1), (0, 1.2), (1, 1.3)]
    assert camera_server.age(sent, 0, 1.25) == pytest.approx(0.05)
    assert camera_server.age(sent, 0, 1.15) == pytest.approx(0.15)  # the later one was not there yet
    assert camera_server.age(sent, 7, 1.25) is None


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
    assert 0 < result["best of M"]["mpjpe_mm"] < result["most probable"]["mpjpe_mm"]
    assert result["track, filtered"]["jitter"] < result["most probable"]["jitter"]
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(result)
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


def test_parts_that_did_not_run_keep_their_figures(tmp_path, monkeypatch, capsys):
    def peer(fps):
        return {"ours_over_theirs": {"mediapipe": {"fps": fps}}}

    def run(*flags):
        assert bench.main([*flags, "--json", str(path), "--out", str(table)]) == 0
        return json.loads(path.read_text()), table.read_text()

    def part(name, *_):
        data, why = answers.get(name, (None, f"no {name} here"))
        return data and dict(data), why

    answers = {"pipeline": ({"peak_mb": 1.0, "cases": {}}, ""), "peers": (peer(1.5), "")}
    monkeypatch.setattr(bench, "run_part", part)
    path, table = tmp_path / "results.json", tmp_path / "table.md"
    run()
    answers["peers"] = peer(2.5), ""
    data, text = run("--only", "peers")
    assert (data["pipeline"], data["peers"]) == (
        {"peak_mb": 1.0, "cases": {}, "seconds": 0},
        peer(2.5) | {"seconds": 0},
    )
    assert data["missing"] == {"lifter": "no lifter here", "detectors": "no detectors here"}
    assert text.index("peak memory of one camera") < text.index("| 2.50 |") < text.index("lifter: no lifter here")
    # Other versions are named.
    assert "measured earlier" not in text
    path.write_text(json.dumps(data | {"machine": data["machine"] | {"packages": {"numpy": "1.0"}}}))
    for _ in range(2):
        _, text = run("--only", "peers")
        assert f"pipeline was measured earlier, on {data['machine']['cpu']}" in text
        assert text.count("numpy 1.0") == 1
    # What ran and failed keeps its figures, and nothing is written where nothing was measured.
    del answers["peers"]
    before = path.read_text(), table.read_text()
    assert bench.main(["--only", "peers", "--json", str(path), "--out", str(table)]) == 1
    assert (path.read_text(), table.read_text()) == before
    for flags in ((), ("--only", "pipeline,peers")):
        data, text = run(*flags)
        assert data["peers"]["ours_over_theirs"] == peer(2.5)["ours_over_theirs"]
        assert set(data["missing"]) == {"lifter", "detectors", "peers"}
        assert "| 2.50 |" in text
        assert "- peers: no peers here; its figures are of an earlier run\n" in text
        assert "- lifter: no lifter here\n" in text
    # Those of another processor are not this one's.
    answers["peers"] = peer(2.5), ""
    path.write_text(json.dumps(data | {"machine": data["machine"] | {"cpu": "another"}}))
    data, _ = run("--only", "peers")
    assert "pipeline" not in data
    capsys.readouterr()
    path.write_text("damaged")
    assert bench.main(["--only", "peers", "--json", str(path)]) == 2
    said = capsys.readouterr().err
    assert "run them all, or give another --json" in said
    assert said.count("\n") == 1
    assert path.read_text() == "damaged"
    run()  # all of them, as it says


def test_the_one_table_of_known_figures():
    rows = [
        lifter.Row("onnx", "fp32", "tight", 1, flat(1.0), 0.91),
        lifter.Row("openvino", "fp32", "tight", 1, flat(0.5), 0.99),
    ]
    data = {**lifter.summary(rows), "rows": [lifter.asdict(r) for r in rows]}
    assert bench.lifter_lines(data) == [
        ("lifter fp32, batch 1, one thread, tight: share of the limit of reading its weights", "91%", ">= 90%", "met"),
        ("lifter fp32 on openvino / onnx fp32", "0.50", "0.50 ms", "-"),
    ]
    found = {"peak_mb": 650.0, "second_camera": 1.5, "cases": {}}
    assert [line[1:] for line in bench.pipeline_lines(found)] == [
        ("1.50", "<= 2", "met"), ("650", "<= 600", "MISSED")
    ]  # fmt: skip
    assert bench.main(["--only", "tea"]) == 2


def test_the_table_goes_to_its_place_in_a_document(tmp_path):
    path = tmp_path / "performance.md"
    path.write_text("# Before\n\n<!-- bench -->\nold\n<!-- /bench -->\n\nAfter\n")
    bench.put("new", path)
    assert path.read_text() == "# Before\n\n<!-- bench -->\nnew\n<!-- /bench -->\n\nAfter\n"
    other = tmp_path / "other.md"
    for text in ("alone", "again"):
        bench.put(text, other)
        assert other.read_text() == f"<!-- bench -->\n{text}\n<!-- /bench -->\n"


@pytest.mark.parametrize("text", ["# Ours\n", "<!-- bench -->\nold\n", "<!-- /bench --> <!-- bench -->"])
def test_a_document_without_a_place_for_the_table_stays_as_it_is(tmp_path, monkeypatch, capsys, text):
    path, parts = tmp_path / "document.md", []
    path.write_text(text)
    monkeypatch.setattr(bench, "run_part", lambda name, *_: parts.append(name))
    said = refused(capsys, bench.main, "benchmarks", "--out", path, "--json", tmp_path / "results.json")
    assert "is not empty and has no place for the table: write <!-- bench --> and <!-- /bench --> into it" in said
    assert path.read_text() == text
    assert not parts, "it is said before anything is measured"
    assert "cannot be read" in refused(capsys, bench.main, "benchmarks", "--out", tmp_path)


def test_the_machine_is_described_without_its_name():
    found = machine.describe()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["packages"]["numpy"] == np.__version__
    assert socket.gethostname() not in (found["cpu"], found["system"], machine.slug(found))
    assert all(c.isalnum() or c == "-" for c in machine.slug(found))


def test_every_weight_of_the_lifter_is_counted():
    onnx = pytest.importorskip("onnx")
    held = sum(w.dims and int(np.prod(w.dims)) or 1 for w in onnx.load(SHIPPED).graph.initializer)
    assert lifter.count_weights(SHIPPED) == held
