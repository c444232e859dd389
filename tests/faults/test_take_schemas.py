"""Headers and schemas of takes that are damaged, or made to do harm. A row a fault."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engines.argument_types import MISTAKE
from stream.app.recover import main as recover
from stream.recordings.npz import arrays
from stream.recordings.reading import Reading
from stream.recordings.replay import replay
from stream.recordings.schema import ESTIMATES, MOMENTS, run_info_from_json, run_info_to_json, schemas
from stream.recordings.segments import SegmentWriter, read_journal, segments
from stream.recordings.takes import open_take
from stream.types import StreamError
from tests.faults.commands import run
from tests.faults.fault import row
from tests.faults.mutations import MUTATIONS, mutate
from tests.takes import make_estimates, make_run_info, record

Said = pytest.CaptureFixture[str]


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
