"""The arithmetic of the benchmarks and their one table, on known figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    __main__ as bench,
)
from benchmarks import (
    camera_server,
    detectors,
    lifter,
    memory,
    peers,
    pipeline,
    timing,
)
from benchmarks.table import ratio
from engines import cards
from engines.lifter import SHIPPED
from tests.measured import flat, usage
from tests.mistakes import refused


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


def test_the_age_of_an_image_counts_from_when_it_was_last_sent():
    sent = [(0, 1.0), (1, 1.1), (0, 1.2), (1, 1.3)]
    assert camera_server.age(sent, 0, 1.25) == pytest.approx(0.05)
    assert camera_server.age(sent, 0, 1.15) == pytest.approx(0.15)  # the later one was not there yet
    assert camera_server.age(sent, 7, 1.25) is None


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


def test_every_weight_of_the_lifter_is_counted():
    onnx = pytest.importorskip("onnx")
    held = sum(w.dims and int(np.prod(w.dims)) or 1 for w in onnx.load(SHIPPED).graph.initializer)
    assert lifter.count_weights(SHIPPED) == held
