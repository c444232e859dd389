"""Files that are written: whole or not there, and nothing else is ever replaced. A row a fault."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import writing
from calibration.errors import UserError
from calibration.formats import load_calibration, save_calibration
from engines.argument_types import MISTAKE
from stream.app.calibrate.command_line import main as calibration
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.sinks.video import VideoSink
from tests.faults import lens
from tests.faults.fault import row
from tests.takes import make_estimates, record
from tests.walker import single

OLD = b"the old one"


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("take"), make_estimates(30))


def make_still(out: Path, _: Path) -> int:
    estimate, images, run_info = single()
    try:
        sink = VideoSink(None, out)
        sink.open(run_info)
        sink.write(estimate, images)
        sink.close()
    except UserError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    return 0


def make_video(out: Path, _: Path) -> int:
    estimate, images, run_info = single(size=(640, 360))
    try:
        sink = VideoSink(out, size=(640, 360))
        sink.open(run_info)
        noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
        for k in range(5):
            sink.write(replace(estimate, index=k, t=k / 30), {"cam0": noise})
        sink.close()
    except UserError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    return 0


def make_calibration(out: Path, _: Path) -> int:
    source = out.parents[1] / "source.toml"
    if not source.exists():
        save_calibration(lens(6), source)
    return calibration(["convert", str(source), str(out), "--force"])


def make_text(out: Path, _: Path) -> int:
    """What reports, offsets, cards and benchmarks are written with."""
    try:
        writing.write_text(out, "a line\n" * 500)
    except UserError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    return 0


def exported(to: str) -> Callable[[Path, Path], int]:
    return lambda out, take: export([str(take), "--to", to, "--out", str(out), "--force"])


WRITERS: dict[str, tuple[str, Callable[[Path, Path], int]]] = {
    "calibration": ("c.toml", make_calibration),
    "board": ("b.pdf", lambda out, _: calibration(["board", "--out", str(out), "--force"])),
    "still": ("s.png", make_still),
    "video": ("v.mp4", make_video),
    "csv": ("t.csv", exported("csv")),
    "npz": ("t.npz", exported("npz")),
    "trc": ("t.trc", exported("trc")),
    "bvh": ("t.bvh", exported("bvh")),
    "glb": ("t.glb", exported("glb")),
    "angles": ("t.parquet", exported("angles")),
    "mot": ("t.mot", exported("mot")),
    "report": ("r.json", make_text),
}
"""What is written -> its name, and what writes it; the exit code is that of the command."""


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """A disk that takes 1,000 bytes a file."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("there", [True, False])
@row("a full disk while a {kind} is written", MISTAKE, "the name of the file", "what was there before")
def test_a_full_disk_leaves_what_was_there(
    kind: str, there: bool, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, write = WRITERS[kind]
    out = tmp_path / "out" / name
    out.parent.mkdir()
    if there:
        out.write_bytes(OLD)
    if kind == "calibration":
        save_calibration(lens(6), tmp_path / "source.toml")
    with small_files():
        assert write(out, take) == MISTAKE
    assert "Traceback" not in (said := capsys.readouterr().err) and name in said
    assert (out.read_bytes() if out.exists() else None) == (OLD if there else None)
    # A video that was cut short is kept under its own name, as far as it came.
    assert {p.name for p in out.parent.iterdir()} - {"v.part.mp4"} == ({name} if there else set())


@pytest.mark.parametrize("kind", WRITERS)
@row("an old file of mode 600 where a {kind} is to be written", 0, "", "its mode; nothing is left beside it")
def test_a_finished_file_replaces_the_old_one_and_nothing_is_left_beside_it(
    kind: str, take: Path, tmp_path: Path
) -> None:
    name, write = WRITERS[kind]
    out = tmp_path / "out" / name
    out.parent.mkdir()
    out.write_bytes(OLD)
    out.chmod(0o600)
    assert write(out, take) == 0
    assert len(out.read_bytes()) > 1000
    assert out.stat().st_mode & 0o777 == 0o600
    beside = {"b.png"} if kind == "board" else {"t.poses.csv"} if kind == "csv" else set()
    assert {path.name for path in out.parent.iterdir()} == {name} | beside


def device(path: Path) -> str:
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))  # another /dev/null
    return "device"


def fifo(path: Path) -> str:
    os.mkfifo(path)
    return "FIFO"


def folder(path: Path) -> str:
    path.mkdir()
    return "folder"


def linked(make: Callable[[Path], str]) -> Callable[[Path], str]:
    def link(path: Path) -> str:
        target = path.with_name("target")
        word = make(target)
        path.symlink_to(target)
        return word

    return link


TARGETS: dict[str, Callable[[Path], str]] = {
    "device": device, "FIFO": fifo, "folder": folder,
    "link to a device": linked(device), "link to a FIFO": linked(fifo), "link to a folder": linked(folder),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("target", TARGETS)
@row("a {target} where a file is to be written", MISTAKE, lambda v: v["target"].rsplit(" ", 1)[-1], "it")
def test_only_regular_files_are_replaced(
    kind: str, target: str, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, write = WRITERS[kind]
    out = tmp_path / "out" / name
    out.parent.mkdir()
    try:
        word = TARGETS[target](out)
    except PermissionError:
        pytest.skip("only root may make a device")
    before = {path.name: path.lstat().st_mode for path in out.parent.iterdir()}
    assert write(out, take) == MISTAKE
    said = capsys.readouterr().err
    assert word in said and name in said and said.count("\n") == 1
    assert {path.name: path.lstat().st_mode for path in out.parent.iterdir()} == before


@row("a link where a file is to be written", 0, "", "the link; its file is replaced")
def test_a_link_to_a_file_stays_one_and_the_file_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "a" / "real.txt", tmp_path / "link.txt"
    real.parent.mkdir()
    link.symlink_to(real)
    for text in ("first", "second"):  # the first time it names nothing yet
        writing.write_text(link, text)
        assert real.read_text() == text and link.is_symlink()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


KILLED = """
import os, signal, sys
from pathlib import Path
from calibration import writing
with writing.aside(Path(sys.argv[1])) as part:
    part.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@row("kill -9 while a file is written", -9, "", "the old file; the next run removes the half one", process=True)
def test_what_a_killed_program_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "c.toml"
    out.write_bytes(OLD)
    (tmp_path / ".writing-mine").write_text("a file of somebody's")
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert out.read_bytes() == OLD
    assert len(list(tmp_path.iterdir())) == 3
    with writing.scratch(tmp_path) as other:  # a program that still writes keeps its own
        writing.write_text(tmp_path / "another.txt", "whole")
        assert other.is_dir()
    assert {p.name for p in tmp_path.iterdir()} == {"c.toml", "another.txt", ".writing-mine"}


@row("four writers of one file at once", 0, "", "one whole file")
def test_two_programs_may_write_the_same_file(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    failed: list[Exception] = []

    def write(word: str) -> None:
        try:
            for _ in range(20):
                writing.write_text(out, word * 1000)
        except UserError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(word,)) for word in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert out.read_text() in [word * 1000 for word in "abcd"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@row("a read-only file where one is to be written", MISTAKE, "read-only", "it")
def test_a_read_only_file_is_kept(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write to every file")
    out = tmp_path / "c.toml"
    save_calibration(lens(), out)
    out.chmod(0o400)
    with pytest.raises(UserError, match="read-only"):
        save_calibration(lens(), out)
    assert load_calibration(out).names == lens().names


# the take that is read


def hard_link(take: Path, outside: Path) -> Path:
    os.link(take / "estimates-00000.arrows", outside / "link.npz")
    return outside / "link.npz"


def symlink(take: Path, outside: Path) -> Path:
    (outside / "link.npz").symlink_to(take / "moments-00000.journal")
    return outside / "link.npz"


OWN: dict[str, Callable[[Path, Path], Path]] = {
    "segment": lambda take, _: take / "estimates-00000.arrows",
    "journal": lambda take, _: take / "moments-00000.journal",
    "segment that is not there yet": lambda take, _: take / "estimates-00001.arrows",
    "by dots": lambda take, outside: take / ".." / take.name / "estimates-00000.arrows",
    "hard link": hard_link,
    "symlink": symlink,
}


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("to", ["csv", "npz"])
@row("export --force onto the take that is read: {own}", MISTAKE, "part of the take", "the take")
def test_force_never_destroys_the_take_that_is_read(
    own: str, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path / "takes", make_estimates(5))
    out = OWN[own](take, tmp_path)
    before = {path.name: path.read_bytes() for path in take.iterdir()}
    assert export([str(take), "--to", to, "--out", str(out), "--force"]) == MISTAKE
    assert "part of the take" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in take.iterdir()} == before


@pytest.mark.parametrize("out", ["copy", "a/b/copy", "../{}/copy"])
@row("recover --out into its take: {out}", MISTAKE, "lies in the take", "the take")
def test_recover_never_writes_into_the_take(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "takes", make_estimates(5))
    before = sorted(take.rglob("*"))
    assert recover([str(take), "--out", str(take / out.format(take.name))]) == MISTAKE
    assert "lies in the take" in capsys.readouterr().err
    assert sorted(take.rglob("*")) == before


@row("a full disk during recover --out", MISTAKE, "cannot write", "no half copy")
def test_a_copy_that_cannot_be_finished_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "takes", make_estimates(30))
    (tmp_path / "o").mkdir()
    with small_files():
        assert recover([str(take), "--out", str(tmp_path / "o" / "copy")]) == MISTAKE
    assert "cannot write" in capsys.readouterr().err
    assert list((tmp_path / "o").iterdir()) == []
