"""What is damaged or gone of a take is said, and all else is read."""

import errno
import os
from pathlib import Path

import pytest

from engines.argument_types import FAILED
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.recordings.replay import replay
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS
from stream.recordings.segments import read_journal, segments
from stream.recordings.takes import open_take
from stream.types import StreamError
from tests.faults.fault import row
from tests.takes import flip, make_estimates, record, same


@row("a flipped bit in a segment", FAILED, "corrupt", "all but the rows of one batch")
def test_a_flipped_bit_costs_one_batch_and_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(50))
    part = segments(take, ESTIMATES)[0]
    offset, length, rows, _ = read_journal(part.with_suffix(".journal"))[3]
    flip(part, offset + length - 40)
    faults = []
    back = list(replay(open_take(take), faults.append))
    assert [(f.state, f.rows, f.offset) for f in faults] == [("corrupt", rows, offset)]
    assert [e.index for e in back if not any(e.frames)] == list(range(20, 30))
    before = part.read_bytes()
    assert recover([str(take), "--out", str(tmp_path / "clean")]) == 1
    said = capsys.readouterr().out
    assert f"{rows} rows" in said
    assert "corrupt" in said
    assert part.read_bytes() == before
    clean = open_take(tmp_path / "clean")
    assert same(tuple(replay(clean)), tuple(back))
    assert recover([str(clean.folder)]) == 0


@row("a flipped bit in every header of a stream", 0, "corrupt", "every row")
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
    for stream in (MOMENTS, EVENTS):
        for other in segments(take, stream):
            flip(other, 300)
    with pytest.raises(StreamError, match="no file in it begins with a readable header"):
        open_take(take)


@pytest.mark.parametrize("cut", [1, 7, 100, 5000])
@pytest.mark.parametrize("journal", ["whole", "short", "none"])
@row("a segment that is {cut} bytes short, journal {journal}", FAILED, "torn", "every whole batch")
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
    whole = [e for e in back if any(e.frames)]
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
    back = [e for e in replay(open_take(take)) if any(e.frames)]
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
    back = [e for e in replay(open_take(take), faults.append) if any(e.frames)]
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
    back = [e for e in replay(open_take(take), faults.append) if any(e.frames)]
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
    assert recover([str(take), "--out", str(take)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert recover([str(tmp_path / "b")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "flags"), [(recover, []), (recover, ["--out", "copy"]), (list_take, [])])
def test_a_segment_that_cannot_be_read_is_one_line(
    tool, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    part = segments(record(tmp_path / "a", make_estimates(5)), ESTIMATES)[0]
    part.unlink()
    part.mkdir()
    assert tool(["a", *flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"{part.name} cannot be read: " in lines[0]


def test_a_clean_copy_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record(tmp_path / "a", make_estimates(5))
    (tmp_path / "file").write_text("")
    assert recover([str(take), "--out", str(tmp_path / "file" / "copy")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"cannot write {tmp_path / 'file' / 'copy'}: ")


def test_a_folder_that_may_not_be_listed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    for tool in (recover, list_take):
        assert tool([str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"{tmp_path} cannot be read: Permission denied\n"
