"""What int8 saves a whole run, and whether crops are faster in one call: the commands, on small work."""

import json

import pytest

from benchmarks import batching, pipeline, precision
from benchmarks.processor import Usage


def result(wall_s: float, cpu_s: float) -> pipeline.Result:
    return pipeline.Result(100, 1.0, {}, Usage(wall_s, cpu_s, 0.5, 2, {}, 100.0, 1.0))


def test_each_precision_is_a_case_of_its_own_and_the_medians_are_compared(tmp_path, monkeypatch, capsys):
    taken = {"fp32": iter([(8.0, 16.0), (20.0, 16.4), (8.4, 15.6)]), "int8": iter([(4.0, 9.0), (4.4, 8.0), (4.2, 7.9)])}
    cases = []

    def in_process(case: pipeline.Case) -> pipeline.Result:
        cases.append(case)
        return result(*next(taken[case.precision]))

    (tmp_path / "videos").mkdir()
    for k in range(4):
        (tmp_path / "videos" / f"cam{k}.mp4").touch()
    monkeypatch.setattr(precision, "fetch", lambda what: tmp_path)
    monkeypatch.setattr(precision, "in_process", in_process)
    out = tmp_path / "precision.json"
    flags = ["--views", "4", "--detector", "hourglass", "--runtime", "onnx", "--repeat", "3", "--json", str(out)]
    assert precision.main(flags) == 0
    assert [case.precision for case in cases] == ["fp32", "int8"] * 3  # by turns
    assert all((case.detector, case.runtime, len(case.videos), case.record) == ("hourglass", "onnx", 4, True)
               for case in cases)  # fmt: skip
    saved = json.loads(out.read_text())["saved"]["4, hourglass, onnx"]
    assert saved["rate_ratio"] == pytest.approx(8.4 / 4.2)
    assert saved["cpu_ratio"] == pytest.approx(16.0 / 8.0)
    assert "| 2.00 | 160.0, 80.0 | 2.00 | >= 1.9 | met |" in capsys.readouterr().out
    busy = json.loads(out.read_text())["saved"]["4, hourglass, onnx"] | {"others": 1.4}
    assert "| >= 1.9 | not judged | 1.40 |" in precision.markdown({"4, hourglass, onnx": busy})


def test_crops_in_one_call_and_one_by_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batching, "RUNTIMES", ("onnx",))
    out = tmp_path / "batching.json"
    assert batching.main(["--detector", "movenet-lightning", "--crops", "2", "--calls", "2", "--json", str(out)]) == 0
    found = json.loads(out.read_text())["ms"]
    assert list(found) == ["movenet-lightning, onnx, fp32; 2", "movenet-lightning, onnx, int8; 2"]
    assert all(value > 0 for row in found.values() for value in row.values())
    assert "one call / calls" in capsys.readouterr().out
