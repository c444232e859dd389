"""Takes that are damaged, or made to do harm. A row a fault: what is said, and what is still read."""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engines.argument_types import FAILED, MISTAKE
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.config import SourceConfig
from stream.recordings.frames import FrameRecorder
from stream.recordings.npz import arrays
from stream.recordings.reading import Reading
from stream.recordings.replay import read_frames, replay
from stream.recordings.schema import ESTIMATES, FRAMES, MOMENTS, run_info_from_json, run_info_to_json, schemas
from stream.recordings.segments import SegmentWriter, read_journal, segments
from stream.recordings.takes import open_take
from stream.sources import make_source
from stream.types import StreamError
from tests.captures import coded_frames, write_capture
from tests.faults.fault import Fault, row
from tests.faults.mutations import mutate
from tests.servers import write_video
from tests.takes import make_estimates, make_run_info, record

MUTATIONS = range(200)
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


def run(tool: str, take: Path, tmp_path: Path) -> int:
    if tool == "recover":
        return recover([str(take)])
    if tool == "replay":
        return list_take([str(take)])
    return export([str(take), "--to", "csv", "--out", str(tmp_path / "out.csv"), "--force"])


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


# the run info


def header(change: Callable[[dict[str, Any]], object]) -> bytes:
    data = json.loads(run_info_to_json(make_run_info()))
    change(data)
    return json.dumps(data).encode()


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.pop(key)


def as_(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.update({key: value})


def of_camera(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda data: data["cameras"][0].update({key: value})


HEADERS: dict[str, bytes] = {
    "not JSON": b"not JSON",
    "nothing": b"",
    "a list": b"[]",
    "a number of 5,000 digits": b"9" * 5000,
    "nested": b"[" * 100_000,
    "no text": b"\xff\xfe\xfd",
    **{f"without {key}": header(without(key)) for key in ("cameras", "kernels", "start_utc", "joints", "fps")},
    **{f"kernels is {v!r}": header(as_("kernels", v)) for v in (-5, 10**9, "5", 2.5, None, float("nan"), True)},
    **{f"camera's name is {v!r:.20}": header(of_camera("name", v)) for v in ("a\n", 3, None, "cam1", "x" * 300)},
    **{f"camera's size is {v!r:.20}": header(of_camera("size", v)) for v in ([1], "ab", [-1, 2], [1e21, 1], 5)},
    "camera's calibration is text": header(of_camera("calibration", "K")),
    "cameras is a number": header(as_("cameras", 3)),
    "start_utc is no time": header(as_("start_utc", "yesterday")),
    "start_monotonic is NaN": header(as_("start_monotonic", float("nan"))),
    "version 99": header(as_("version", 99)),
}  # fmt: skip


@pytest.mark.parametrize("fault", HEADERS)
@row("a header: {fault}", MISTAKE, "the take, and what is wrong")
def test_a_damaged_header_is_one_line(fault: str, tmp_path: Path, capsys: Said) -> None:
    take = record(tmp_path / "a", make_estimates(5))
    for stream in (ESTIMATES, MOMENTS, "events"):
        schema = schemas(make_run_info())[stream].with_metadata({"hypothesis-stream": HEADERS[fault]})
        for path in segments(take, stream):
            path.with_suffix(".journal").unlink()
            path.unlink()
            SegmentWriter(take, stream, schema).close()
    for tool in ("recover", "replay", "export"):
        assert run(tool, take, tmp_path) == MISTAKE
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and len(said) < 500 and str(take) in said


@row("200 random mutations of a header", MISTAKE, "one line, or the header is read")
def test_no_mutation_of_a_header_raises_anything_else() -> None:
    good, read = run_info_to_json(make_run_info()).encode(), 0
    for seed in MUTATIONS:
        try:
            schemas(run_info_from_json(mutate(good, seed)))
            read += 1
        except StreamError as error:
            assert str(error).isprintable() and len(str(error)) < 400, f"mutation {seed}"
    assert 5 < read < 150, "a mutation that never or always breaks it tests nothing"


# the Arrow schema, where no journal vouches for it


def read_all(take: Path) -> None:
    """By everything that reads a take."""
    for work in (lambda: list(replay(open_take(take))), lambda: arrays(Reading(open_take(take), bar=False))):
        with suppress(StreamError):
            work()
    recover([str(take)])


@row("30 random mutations of a segment without its journal", 0, "", "no other exception; what is still whole is read")
def test_no_mutation_of_an_arrow_file_raises_anything_else(tmp_path: Path, capsys: Said) -> None:
    good = record(tmp_path / "good", make_estimates(8), every=4)
    for seed in range(30):
        rng, take = np.random.default_rng(seed), tmp_path / f"{seed}"
        shutil.copytree(good, take)
        path = segments(take, (ESTIMATES, MOMENTS, "events")[seed % 3])[0]
        head = read_journal(path.with_suffix(".journal"))[0][1]
        data = bytearray(path.read_bytes())
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(head if seed % 2 else len(data))] = rng.integers(256)
        path.write_bytes(data)
        path.with_suffix(".journal").unlink()
        read_all(take)
        shutil.rmtree(take)
    capsys.readouterr()


def changed(change: Callable[[list[pa.Field]], list[pa.Field]]) -> Callable[[pa.Schema], pa.Schema]:
    return lambda schema: pa.schema(change(list(schema)), schema.metadata)


def deep(depth: int) -> pa.DataType:
    kind: pa.DataType = pa.int64()
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


SCHEMAS: dict[str, Callable[[pa.Schema], pa.Schema]] = {
    "another type": changed(lambda fields: [pa.field(fields[0].name, pa.string()), *fields[1:]]),
    "every type another": changed(lambda fields: [pa.field(f.name, pa.list_(pa.string())) for f in fields]),
    "a column twice": changed(lambda fields: [*fields, fields[0]]),
    "another name": changed(lambda fields: [pa.field("x", fields[0].type), *fields[1:]]),
    "no column": changed(lambda fields: []),
    "5,000 columns": changed(lambda fields: [*fields, *(pa.field(f"x{k}", pa.int8()) for k in range(5000))]),
    "a deep type": changed(lambda fields: [*fields, pa.field("deep", deep(60))]),
    "a list of no size": changed(lambda fields: [*fields, pa.field("none", pa.list_(pa.float32(), 0))]),
    "a shape that is none": changed(lambda fields: [f.with_metadata({"shape": "x,-3"}) for f in fields]),
    "a dictionary": changed(lambda fields: [pa.field(f.name, pa.dictionary(pa.int8(), pa.string())) for f in fields]),
    "a name that commands the terminal": changed(lambda fields: [*fields, pa.field("\x1b[2J\n", pa.int8())]),
}


@pytest.mark.parametrize("fault", SCHEMAS)
@pytest.mark.parametrize("stream", [ESTIMATES, MOMENTS])
@row("a segment whose Arrow schema has {fault}", 0, "", "the other streams")
def test_a_hostile_schema_is_read_by_what_its_version_has(
    fault: str, stream: str, tmp_path: Path, capsys: Said
) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    schema = SCHEMAS[fault](schemas(make_run_info())[stream])
    for path in segments(take, stream):
        path.with_suffix(".journal").unlink()
        path.unlink()
    writer = SegmentWriter(take, stream, schema)
    if len(schema):
        with suppress(pa.ArrowException):
            writer.append(pa.record_batch([pa.nulls(3, field.type) for field in schema], schema=schema))
    writer.close()
    read_all(take)
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and "Traceback" not in said.err
    other = MOMENTS if stream == ESTIMATES else ESTIMATES
    assert sum(batch.num_rows for batch in open_take(take).batches(other)) >= 20


@row("a flipped bit in the name of a column, and no journal", 0, "", "every value of the column")
def test_a_column_of_a_damaged_name_is_not_lost(tmp_path: Path) -> None:
    take = record(tmp_path / "a", make_estimates(20))
    (path,) = segments(take, MOMENTS)
    before = [tuple(e.frames) for e in replay(open_take(take))]
    times = [batch.column("time").to_pylist() for batch in open_take(take).batches(MOMENTS)]
    path.with_suffix(".journal").unlink()
    data = path.read_bytes()
    at = data.index(b"spread_s") if b"spread_s" in data else data.index(b"missed_before")
    path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    assert [batch.column("time").to_pylist() for batch in open_take(take).batches(MOMENTS)] == times
    assert [tuple(e.frames) for e in replay(open_take(take))] == before
