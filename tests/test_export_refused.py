"""Exports of what is damaged, to where nothing can be written, or stopped: nothing half is left, and it is said."""

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stream.app.report import main as report
from stream.recordings.schema import ESTIMATES
from stream.recordings.segments import read_journal, segments
from tests.exports import rows_of, run
from tests.takes import flip, make_estimates, record


def test_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, make_estimates(5))
    out = tmp_path / "out.csv"
    (tmp_path / "out.poses.csv").write_text("mine")
    assert run(tmp_path, "csv", out) == 2
    assert "out.poses.csv exists" in capsys.readouterr().err
    assert not out.exists()
    assert run(tmp_path, "csv", out, "--force") == 0
    assert (tmp_path / "out.poses.csv").read_text() != "mine"
    assert run(tmp_path, "npz", tmp_path / "no" / "folder.npz") == 2
    assert "cannot write" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["out.csv", "out.poses.csv"]


@pytest.mark.parametrize("to", ["csv", "parquet"])
def test_force_leaves_no_poses_of_another_take(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, poses = tmp_path / f"out.{to}", tmp_path / f"out.poses.{to}"
    assert run(record(tmp_path / "a", make_estimates(5)), to, out) == 0
    assert poses.exists()
    assert run(record(tmp_path / "b", make_estimates(5, fused=False)), to, out, "--force") == 0
    assert f"removed {poses}" in capsys.readouterr().out
    assert out.exists() and not poses.exists()


@pytest.mark.parametrize("to", ["csv", "trc"])
@pytest.mark.parametrize("out", [".", "/", "folder"])
def test_a_folder_is_no_file_to_write(
    tmp_path: Path, to: str, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "r", make_estimates(5))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(Path("r"), to, Path(out), "--force") == 2
    assert capsys.readouterr().err == f"{out} is a folder; give --out a file\n"


def test_damage_is_said_and_the_rest_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path, make_estimates(50))
    part = segments(take, ESTIMATES)[0]
    offset, length, rows, _ = read_journal(part.with_suffix(".journal"))[2]
    flip(part, offset + length // 2)
    for to in ("npz", "csv", "parquet"):
        assert run(take, to, tmp_path / f"out.{to}") == 0
        said = capsys.readouterr().out
        assert said.count(f"estimates-00000.arrows is corrupt at byte {offset}: {rows} rows are left out") == 1
        assert f"{len(rows_of(make_estimates(50))) - rows} rows" in said


def test_a_stream_that_is_gone_is_said_and_the_other_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path, make_estimates(20))
    for path in take.glob("moments-*"):
        path.unlink()
    assert run(take, "csv", tmp_path / "out.csv") == 0
    said = capsys.readouterr().out
    assert said.count("moments-00000.arrows is missing: its rows are left out") == 1
    assert f"{len(rows_of(make_estimates(20)))} rows" in said


def test_a_full_disk_while_exporting_leaves_nothing_half(tmp_path: Path) -> None:
    record(tmp_path / "r", make_estimates(200))
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv.pop(1));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20_000,) * 2);"
        "from stream.app.export import main; sys.exit(main())"
    )
    assert hasattr(signal, "SIGXFSZ")
    (tmp_path / "o").mkdir()
    for to in ("npz", "csv", "parquet", "trc", "c3d"):
        if to == "c3d" and importlib.util.find_spec("ezc3d") is None:
            continue
        arguments = [str(tmp_path / "r"), "--to", to, "--out", str(tmp_path / "o" / f"out.{to}")]
        root = str(Path(__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", code, root, *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2, done.stderr
        assert "cannot write" in done.stderr
        assert "Traceback" not in done.stderr
        assert os.listdir(tmp_path / "o") == []


@pytest.mark.parametrize("tool", ["export", "recover", "replay"])
def test_ctrl_c_while_a_take_is_read_is_no_traceback(tmp_path: Path, tool: str) -> None:
    record(tmp_path / "r", make_estimates(5))
    code = (
        "import signal, sys; sys.path.insert(0, sys.argv.pop(1));"
        # A shell that runs the tests in the background has SIGINT ignored, and Python leaves it so.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"from stream.app.{tool} import main;"
        "sys.addaudithook(lambda event, about: "
        "event == 'open' and str(about[0]).endswith('.journal') and signal.raise_signal(signal.SIGINT));"
        "sys.exit(main())"
    )
    flags = ["--to", "npz", "--out", str(tmp_path / "out.npz")] if tool == "export" else []
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path / "r"), *flags],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 1
    assert not (tmp_path / "out.npz").exists()


def test_ctrl_c_while_packages_are_loaded_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import signal, sys; sys.path.insert(0, sys.argv.pop(1));"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from stream.app.program import verb;"
        "sys.addaudithook(lambda event, about: "
        "event == 'import' and about[0] == 'pyarrow' and signal.raise_signal(signal.SIGINT));"
        "sys.exit(verb())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1]), "export", str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "stream export: stopped before it began\n")


def test_a_name_of_another_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "r", make_estimates(5))
    for to, name in (("trc", "a.c3d"), ("csv", "a.NPZ"), ("npz", "a.csv"), ("parquet", "a.trc")):
        assert run(tmp_path / "r", to, tmp_path / name) == 2
        said = capsys.readouterr().err
        assert f"{name} would hold {to}, but its name is that of {name[2:].lower()}" in said
        assert f"such as {name[0]}.{to}, or --to {name[2:].lower()}" in said
    for to, name, instead in (("pose2sim", "a.trc", "a folder such as a, or"), ("csv", "a.html", "that of a page")):
        assert run(tmp_path / "r", to, tmp_path / name) == 2
        said = capsys.readouterr().err
        assert f"{name} would hold {to}" in said and instead in said and said.count("\n") == 1
    assert report([str(tmp_path / "r"), "--out", str(tmp_path / "a.trc")]) == 2
    assert "a.trc would hold html, but its name is that of trc; give --out a file such as a.html" in (
        capsys.readouterr().err
    )
    assert run(tmp_path / "r", "trc", tmp_path / "a.txt") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "r"]


@pytest.mark.parametrize("to", ["trc", "glb", "mot", "pose2sim"])
def test_of_a_take_of_nobody_nothing_is_written(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "r", [replace(estimate, people=()) for estimate in make_estimates(5)])
    assert run(take, to, tmp_path / "a") == 2
    assert "nobody is in this take, or in that part" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_what_is_damaged_is_said_where_nothing_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path / "r", make_estimates(5))
    (take / "moments-00000.arrows").unlink()
    assert run(take, "trc", tmp_path / "a.trc") == 2
    said = capsys.readouterr().err
    assert "nothing is fused in this take; choose one camera's answer" in said and said.count("\n") == 1
    assert "; the take is damaged: moments-00000.arrows is missing: 5 rows are left out (see " in said


@pytest.mark.parametrize("to", ["pose2sim", "trc", "csv"])
def test_a_name_that_is_too_long(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "r", make_estimates(5))
    assert run(take, to, tmp_path / ("x" * 300)) == 2 and run(tmp_path / ("y" * 300), to, tmp_path / "a") == 2
    assert [line[-20:] for line in capsys.readouterr().err.splitlines()] == [": File name too long"] * 2


def test_a_part_begins_in_the_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "r", make_estimates(5))
    for flag in ("--start=-1", "--end=-0.5"):
        assert run(tmp_path / "r", "csv", tmp_path / "a.csv", flag) == 2
        assert "is no time of the take: seconds count from its first moment, 0\n" in capsys.readouterr().err
    for flag in ("--start=nan", "--end=inf", "--end=soon"):
        with pytest.raises(SystemExit):
            run(tmp_path / "r", "csv", tmp_path / "a.csv", flag)
        assert "is not a number" in capsys.readouterr().err
    assert run(tmp_path / "r", "csv", tmp_path / "a.csv", "--start=0") == 0
