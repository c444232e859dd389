"""Formats of people and of 2D joints, of takes as they come: of version 1, damaged, killed, stopped, of one camera, of
nobody. What is there is written, what is not is said, and a file is whole or not there."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.argument_types import INTERRUPTED, MISTAKE
from stream.recordings import angles, bvh, glb, pose2sim
from tests.exports import run
from tests.humanoids import take_of
from tests.takes import flip, make_estimates, record

FORMATS = {"bvh": "a.bvh", "glb": "a.glb", "angles": "a.csv", "mot": "a.mot", "pose2sim": "a"}
VERSION_1 = Path(__file__).parent / "data" / "version-1"


def damaged(folder: Path) -> tuple[Path, str]:
    take = take_of(folder, np.arange(40) / 30)
    for name in ("moments-00000.arrows", "estimates-00000.arrows"):
        flip(take / name, (take / name).stat().st_size // 2)
    return take, "see python -m stream recover"


def killed(folder: Path) -> tuple[Path, str]:
    take = take_of(folder, np.arange(40) / 30)
    for path in take.glob("*.arrows"):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - len(data) // 5])
    return take, "see python -m stream recover"


TAKES = {
    "version 1, one camera": lambda folder: (shutil.copytree(VERSION_1 / "single", folder / "t"), ""),
    "version 1, fused": lambda folder: (shutil.copytree(VERSION_1 / "multi", folder / "t"), ""),
    "damaged": damaged,
    "killed": killed,
    "poses that are noise": lambda folder: (record(folder, make_estimates(30, people=2)), ""),
    "one moment": lambda folder: (take_of(folder, np.zeros(1)), ""),
    "one camera": lambda folder: (take_of(folder, np.arange(9) / 30, cameras=1), ""),
    "uneven times": lambda folder: (take_of(folder, np.cumsum([0, 0.03, 0.03, 0.5, 0.03, 0.03, 2.0, 0.03])), ""),
}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", TAKES)
def test_any_take(name: str, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    take, said = TAKES[name](tmp_path / "takes")
    assert run(take, to, tmp_path / "out" / FORMATS[to]) == 0
    out = capsys.readouterr().out
    assert said in out and "wrote" in out
    for path in (tmp_path / "out").rglob("*"):
        if path.is_dir():
            continue
        assert path.stat().st_size > 0
        assert "nan" not in path.read_text("latin-1").lower().split() or to == "angles"


@pytest.mark.parametrize("to", FORMATS)
def test_a_take_of_nobody_is_refused(to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    take = take_of(tmp_path / "takes", np.arange(4) / 30, cameras=1, gone=(0, 1, 2, 3))
    assert run(take, to, tmp_path / "out" / FORMATS[to]) == MISTAKE
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("nobody" in err or "no " in err)
    assert list((tmp_path / "out").iterdir()) == []


STOPPED = {
    "bvh": (bvh, "nearest_angles"), "glb": (glb, "_body"), "angles": (angles, "angle_sigmas"),
    "mot": (angles, "_pelvis"), "pose2sim": (pose2sim, "_points"),
}  # fmt: skip


@pytest.mark.parametrize("to", FORMATS)
def test_ctrl_c_leaves_nothing(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take = take_of(tmp_path / "takes", np.arange(6) / 30)
    (tmp_path / "out").mkdir()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    module, inside = STOPPED[to]
    monkeypatch.setattr(module, inside, stop)
    assert run(take, to, tmp_path / "out" / FORMATS[to]) == INTERRUPTED
    assert capsys.readouterr().err == "stopped; nothing was written\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_the_project_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    take = take_of(tmp_path / "takes", np.arange(6) / 30)
    assert run(take, "pose2sim", tmp_path / "p", "--end", "0.05") == 0
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "p").rglob("*"))
    monkeypatch.setattr(pose2sim, "_points", full)
    assert run(take, "pose2sim", tmp_path / "p", "--force") == MISTAKE
    assert f"cannot write {tmp_path / 'p'}: No space left on device" in capsys.readouterr().err
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / "p").rglob("*")) == before
    assert {path.name for path in tmp_path.iterdir()} == {"takes", "p"}


@pytest.mark.parametrize("to", ["trc", *FORMATS])
def test_a_rate_at_which_nobody_is_met(to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = take_of(tmp_path / "takes", np.arange(30) / 30, (0, 3), gone=(0, 1, 2, 3, 29))
    (tmp_path / "out").mkdir()
    code = run(take, to, tmp_path / "out" / FORMATS.get(to, "a.trc"), "--rate", "0.5")
    err = capsys.readouterr().err
    if to in ("bvh", "glb"):
        assert code == MISTAKE and "nobody is in this take, or in that part" in err
        assert list((tmp_path / "out").iterdir()) == []
    else:
        assert code == (MISTAKE if to == "pose2sim" else 0) and "Traceback" not in err
