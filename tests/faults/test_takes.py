"""Takes that are damaged, or made to do harm. A row a fault: what is said, and what is still read."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engines.argument_types import FAILED, MISTAKE
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.config import SourceConfig
from stream.recordings.frames import FrameRecorder
from stream.recordings.replay import read_frames, replay
from stream.recordings.schema import ESTIMATES, FRAMES, schemas
from stream.recordings.segments import SegmentWriter, segments
from stream.recordings.takes import open_take
from stream.sources import make_source
from stream.types import StreamError
from tests.captures import coded_frames, write_capture
from tests.faults.commands import run
from tests.faults.fault import Fault, row
from tests.servers import write_video
from tests.takes import make_estimates, make_run_info, record

Said = pytest.CaptureFixture[str]


# files that are not of the take


@pytest.mark.parametrize("number", ["99999999", "999999999", "99999999999999999999999", "9" * 200, "1", "-1", "000001"])
@pytest.mark.parametrize("suffix", ["arrows", "journal"])
@row("a stray file of the number {number}", 0, "estimates: ", "every moment")
def test_a_stray_file_of_any_number_is_passed_soon(number: str, suffix: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    (take / f"estimates-{number}.{suffix}").write_bytes(b"stray")
    began = time.process_time()
    recover([str(take)])
    assert list_take([str(take)]) == 0
    assert time.process_time() - began < 3
    said = capsys.readouterr().out
    assert "estimates: " in said and said.count("\n") < 250
    assert len([e for e in replay(open_take(take)) if any(e.frames)]) == 20


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


SPECIAL: dict[str, Callable[[Path], None]] = {"FIFO": fifo, "folder": folder, "device": device}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("tool", ["recover", "replay", "export"])
@row("a segment that is a {kind}", MISTAKE, lambda values: values["kind"])
def test_a_segment_that_is_no_file_is_not_opened(kind: str, tool: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    path = segments(take, ESTIMATES)[0]
    path.unlink()
    SPECIAL[kind](path)
    assert run(tool, take, tmp_path) == MISTAKE
    said = capsys.readouterr().err
    assert kind in said and path.name in said and said.count("\n") == 1


@pytest.mark.parametrize("kind", SPECIAL)
@row("a journal that is a {kind}", 0, "not verified", "every moment")
def test_a_journal_that_is_no_file_is_as_good_as_none(kind: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    journal = segments(take, ESTIMATES)[0].with_suffix(".journal")
    journal.unlink()
    SPECIAL[kind](journal)
    assert recover([str(take)]) == 0
    assert "not verified" in capsys.readouterr().out


# what is gone


@pytest.mark.parametrize("tool", ["recover", "replay", "export"])
@row(
    "a deleted first segment: {tool}",
    lambda v: FAILED if v["tool"] == "recover" else 0,
    "missing",
    "the other segments",
)
def test_a_deleted_first_segment_leaves_the_rest(tool: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(100), max_bytes=60_000)
    lost = segments(take, ESTIMATES)[0]
    lost.unlink()
    assert run(tool, take, tmp_path) == (1 if tool == "recover" else 0)
    said = "".join(capsys.readouterr())
    assert lost.name in said and "missing" in said
    assert len([e for e in replay(open_take(take)) if any(e.frames)]) > 40


@pytest.mark.parametrize("tool", ["recover", "replay", "export"])
@row(
    "no estimates in the take: {tool}", lambda v: FAILED if v["tool"] == "recover" else 0, "missing", "every fused pose"
)
def test_a_take_without_its_estimates_still_has_its_moments(tool: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    for path in take.glob("estimates-*"):
        path.unlink()
    assert run(tool, take, tmp_path) == (1 if tool == "recover" else 0)
    assert len([e for e in replay(open_take(take)) if any(p.pose for p in e.people)]) == 15


@pytest.mark.parametrize("tool", ["recover", "replay", "export"])
@row("no journals in the take: {tool}", 0, "not verified", "every moment")
def test_a_take_without_journals_says_so_in_every_command(tool: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    assert run(tool, take, tmp_path) == 0
    assert "not verified" not in "".join(capsys.readouterr())
    for path in take.glob("*.journal"):
        path.unlink()
    assert run(tool, take, tmp_path) == 0
    assert "not verified" in "".join(capsys.readouterr())


# the clean copy


def killed(take: Path) -> None:
    for path in take.glob("*.arrows"):
        path.write_bytes(path.read_bytes()[:-8])


def without_journals(take: Path) -> None:
    for path in take.glob("*.journal"):
        path.unlink()


def without_the_last_line(take: Path) -> None:
    for path in take.glob("*.journal"):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def image_not_written(take: Path) -> None:
    """The recorder was killed while FFmpeg still held the last images."""
    killed(take)
    (video,) = take.glob("*.mkv")
    video.write_bytes(video.read_bytes()[:-3000])


DAMAGED = {"whole": lambda _: None, "killed": killed, "without journals": without_journals,
           "without the last journal lines": without_the_last_line,
           "killed before the last image": image_not_written}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
@row("a clean copy of a take: {damage}", 0, "the same as of the original")
def test_recover_finds_the_same_on_the_clean_copy(damage: str, tmp_path: Path, capsys: Said) -> None:
    take = filmed(tmp_path / "a")
    DAMAGED[damage](take)
    codes, found = [], []
    codes.append(recover([str(take), "--out", str(tmp_path / "copy")]))
    found.append(capsys.readouterr().out.splitlines())
    codes.append(recover([str(tmp_path / "copy")]))
    found.append(capsys.readouterr().out.splitlines())
    assert codes == [0, 0]
    assert found[0][1:-1] == found[1][1:]


def filmed(directory: Path, count: int = 30) -> Path:
    """A take of one camera with its images."""
    estimates, run_info = make_estimates(count, cameras=1), make_run_info(1)
    take = record(directory, estimates, run_info)
    frames = FrameRecorder(take)
    frames.open(run_info)
    rng = np.random.default_rng(0)
    for estimate in estimates:
        frames.write(estimate, {"cam0": rng.integers(0, 255, (48, 64, 3), np.uint8)})
    frames.close()
    return take


# videos that a row names


def rename(take: Path, name: str) -> None:
    """Make the table of images name another file."""
    opened = open_take(take)
    (batch,) = opened.batches(FRAMES)
    for path in take.glob(f"{FRAMES}-*.arrows"):
        path.with_suffix(".journal").unlink()
        path.unlink()
    schema = schemas(opened.run_info)[FRAMES]
    writer = SegmentWriter(take, FRAMES, schema)
    rows = [row | {"file": name} for row in batch.to_pylist()]
    writer.append(pa.RecordBatch.from_pylist(rows, schema=schema))
    writer.close()


NAMES = ["../secret.mkv", "/etc/passwd", "frames-0/../../secret.mkv", "", ".", "concat:a.mkv|b.mkv", "http://127.0.0.1/a.mkv",
         "estimates-00000.arrows", "frames-0-cam0-00000.mkv\n", "\x1b[2Jframes-0.mkv", "x" * 5000]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@row("a row that names the video {name!a}", FAILED, "it is not opened", "the file of that name")
def test_a_video_of_another_name_is_not_opened(name: str, tmp_path: Path, capsys: Said) -> None:
    take = filmed(tmp_path / "a", 12)
    (video,) = take.glob("*.mkv")
    (tmp_path / "a" / "secret.mkv").write_bytes(video.read_bytes())
    (tmp_path / "secret.mkv").write_bytes(video.read_bytes())
    rename(take, name)
    with pytest.raises(StreamError, match="not opened") as caught:
        list(read_frames(open_take(take), "cam0"))
    assert str(caught.value).isprintable()
    assert recover([str(take)]) == 1
    said = capsys.readouterr().out
    assert "it is not opened" in said and all(line.isprintable() for line in said.splitlines())


def playlist(video: Path, other: Path) -> str:
    video.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n")
    return ""


def script(video: Path, other: Path) -> str:
    video.write_text(f"ffconcat version 1.0\nfile '{other}'\n")
    return ""


def link(video: Path, other: Path) -> str:
    video.symlink_to(other)
    return "link out of the take"


def pipe(video: Path, _: Path) -> str:
    os.mkfifo(video)
    return "FIFO"


def nothing(video: Path, _: Path) -> str:
    return "missing"


VIDEOS: dict[str, Callable[[Path, Path], str]] = {
    "playlist": playlist, "script": script, "link": link, "FIFO": pipe, "nothing": nothing,
}  # fmt: skip


@pytest.mark.parametrize("kind", VIDEOS)
@row("a video of a take that is a {kind}", FAILED, "cannot be read", "what it points at is not copied")
def test_a_video_that_is_none_is_not_followed(kind: str, tmp_path: Path, capsys: Said) -> None:
    take = filmed(tmp_path / "a", 12)
    (video,) = take.glob("*.mkv")
    other = tmp_path / "other.mkv"
    video.rename(other)
    word = VIDEOS[kind](video, other)
    with pytest.raises(StreamError, match="cannot be read"):
        list(read_frames(open_take(take), "cam0"))
    assert recover([str(take), "--out", str(tmp_path / "copy")]) == 1
    said = capsys.readouterr().out
    assert f"{video.name}: " in said and word in said and "11 images lost" in said
    copied = tmp_path / "copy" / video.name
    assert not copied.exists() or copied.read_bytes() != other.read_bytes()


def half(video: Path) -> None:
    os.truncate(video, video.stat().st_size // 2)


def exchanged(video: Path) -> None:
    write_video(video, 3, codec="mjpeg")


CUT = [
    Fault("half of its video", half, 0, "images that the take names", ""),
    Fault("a shorter video in place of its own", exchanged, 0, "images that the take names", ""),
    Fault("an empty video", lambda video: video.write_bytes(b""), MISTAKE, "cannot be read", ""),
    Fault("half of its table", lambda video: half(video.with_name("frames-00000.arrows")), MISTAKE,
          "its table of frames is", ""),
]  # fmt: skip


@pytest.mark.parametrize("fault", CUT, ids=str)
@row("a captured camera with {fault}", intact="every image that there still is")
def test_what_a_camera_of_a_take_has_lost_is_counted(fault: Fault, tmp_path: Path) -> None:
    take = write_capture(tmp_path, coded_frames(tmp_path, count=20)).folder
    fault.inject(take / "frames-0-left-00000.mkv")
    source = make_source(SourceConfig(str(take / "left"), "left"))
    if fault.code:
        with pytest.raises(StreamError, match=fault.words):
            source.open()
        return
    source.open()
    read = 0
    while source.read() is not None:
        read += 1
    status = source.status()
    source.close()
    assert 0 < read < 20 and read + status.corrupt == 20 and fault.words in status.note


@row("the first of two videos is gone", FAILED, "missing", "the images of the second")
def test_the_images_after_a_lost_video_are_still_read(tmp_path: Path) -> None:
    estimates, run_info = make_estimates(24, cameras=1), make_run_info(1)
    take = record(tmp_path / "a", estimates, run_info)
    frames = FrameRecorder(take)
    frames.open(run_info)
    for k, estimate in enumerate(estimates):  # a new video begins when the size changes
        frames.write(estimate, {"cam0": np.full((48 + 16 * (k >= 12), 64, 3), 90, np.uint8)})
    frames.close()
    sorted(take.glob("*.mkv"))[0].unlink()
    faults = []
    found = list(read_frames(open_take(take), "cam0", faults.append))
    assert len(found) >= 9 and all(frame.image.shape[0] == 64 for frame in found)
    assert [(f.segment, f.state) for f in faults] == [("frames-0-cam0-00000.mkv", "missing")]
