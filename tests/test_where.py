"""Recorded people: every command is told where they lie, by a flag or by one variable, and looks nowhere else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import fusion, tracks
from engines import build
from engines.build import __main__ as build_main
from engines.cards import WEIGHTS
from engines.training.data import where
from engines.training.detector import train as train_detector
from engines.training.evaluation import detector as evaluate_detector
from engines.training.evaluation import lifter as evaluate_lifter
from engines.training.lifter import train as train_lifter
from tests.mistakes import refused
from tests.test_build import lifter_checkpoint, lifter_network

ROOT = Path(build.__file__).parents[2]
HOURGLASS = str(WEIGHTS / "hourglass.onnx")
COMMANDS = [
    (build_main.main, "build", ("--checkpoint", "{tmp}/lifter.pt", "--out", "{tmp}/x.onnx"), "--data"),
    (build_main.main, "build", ("--checkpoint", "{tmp}/detector.pt", "--out", "{tmp}/x.onnx"), "--images"),
    (build_main.main, "build", ("--int8", str(WEIGHTS / "lifter.onnx"), "--out", "{tmp}/x.int8.onnx"), "--data"),
    (build_main.main, "build", ("--int8", HOURGLASS, "--out", "{tmp}/x.int8.onnx"), "--images"),
    (train_lifter.main, "engines.training.lifter.train", ("--out", "{tmp}"), "--data"),
    (train_detector.main, "engines.training.detector.train", ("--out", "{tmp}"), "--images"),
    (evaluate_lifter.main, "evaluate", (), "--data"),
    (evaluate_detector.main, "evaluate_detector", ("--detector", "hourglass"), "--images"),
    (fusion.main, "fusion", (), "--data"),
    (tracks.main, "benchmarks.tracks", (), "--data"),
]


@pytest.mark.parametrize(("main", "program", "flags", "lacks"), COMMANDS, ids=[f"{c[1]}{c[3]}" for c in COMMANDS])
def test_a_command_says_what_it_lacks_or_looks_where_the_variable_says(
    main: Callable[[list[str]], int], program: str, flags: tuple[str, ...], lacks: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lifter_checkpoint(tmp_path / "lifter.pt", lifter_network(width=32))
    torch.save({"settings": {"stacks": 2}}, tmp_path / "detector.pt")
    given = [flag.format(tmp=tmp_path) for flag in flags]
    monkeypatch.delenv(where.VARIABLE, raising=False)
    said = refused(capsys, main, program, *given)
    assert f"{lacks} is needed" in said and where.VARIABLE in said and "docs/results.md" in said
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv(where.VARIABLE, str(nowhere))
    assert str(nowhere / "data") in refused(capsys, main, program, *given)


def test_nothing_looks_beside_the_checkout() -> None:
    beside = re.compile(r"""\.\./shared|["']shared["']""")
    packages = ("benchmarks", "calibration", "engines", "stream", "tests")
    files = [path for name in packages for path in (ROOT / name).rglob("*.py") if path != Path(__file__)]
    assert len(files) > 200
    assert [str(path) for path in files if beside.search(path.read_text(encoding="utf-8"))] == []
