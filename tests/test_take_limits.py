"""What a take may say of itself, and what is made of the little that a damaged one has: each bound from both sides."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engines.argument_types import DONE
from stream.app.recover import main as recover
from stream.recordings import takes
from stream.recordings.extra_joints import decode_image, encode_extra
from stream.recordings.inspect import inspect_take
from stream.recordings.markers import markers_of
from stream.recordings.npz import arrays
from stream.recordings.reading import Reading
from stream.recordings.recover import _unwritten
from stream.recordings.resampling import rate_of
from stream.recordings.schema import IMAGE_TYPE, MOMENTS, run_info_from_json, run_info_to_json
from stream.recordings.segments import END, read_schema, read_segment, segments
from stream.recordings.takes import new_take, open_take
from stream.types import StreamError
from tests.captures import coded_frames, write_capture
from tests.takes import make_estimates, make_run_info, record

GOOD = json.loads(run_info_to_json(make_run_info()))


def cameras(count: int, **changes: Any) -> dict[str, Any]:
    return {"cameras": [GOOD["cameras"][0] | {"name": f"c{k}"} | changes for k in range(count)]}


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        (cameras(1, name="x" * 200), True), (cameras(1, name="x" * 201), False), (cameras(1, name="a\x1b"), False),
        (cameras(1, name=7), False), (cameras(1, name=None), False), (cameras(2, name="same"), False),
        (cameras(1000), True), (cameras(1001), False),
        (cameras(1, size=[1, 1]), True), (cameras(1, size=[0, 1]), False), (cameras(1, size=[1, 0]), False),
        (cameras(1, size=[(1 << 20) - 1, 1]), True), (cameras(1, size=[1 << 20, 1]), False),
        (cameras(1, size=[True, 1]), False), (cameras(1, size=[1.5, 1]), False), (cameras(1, size=None), True),
        (cameras(1, source=3), False), (cameras(1, kind=None), False),
        ({"kernels": 1}, True), ({"kernels": 0}, False), ({"kernels": 1000}, True), ({"kernels": 1001}, False),
        ({"kernels": True}, False), ({"kernels": 5.0}, False),
        ({"fps": None}, True), ({"fps": 9e14}, True), ({"fps": -9e14}, True), ({"fps": 1.1e15}, False),
        ({"fps": -1.1e15}, False), ({"fps": "30"}, False), ({"start_monotonic": None}, False),
        ({"start_monotonic": 1.1e15}, False), ({"start_monotonic": 3}, True),
        *(({key: value}, False) for key in ("detectors", "lifter", "settings", "units", "axes") for value in ([], "x")),
        ({"joints": "pelvis"}, False), ({"joints": ["pelvis", 3]}, False), ({"joints": ["pelvis"]}, True),
        ({"runtime": 3}, False), ({"software": None}, False), ({"version": 1}, True), ({"version": 0}, False),
        ({"version": GOOD["version"] + 1}, False), ({"version": "2"}, False), ({"format": "other"}, False),
    ],
    ids=lambda v: f"{json.dumps(v):.60}",
)  # fmt: skip
def test_what_a_header_may_hold(change: dict[str, Any], allowed: bool) -> None:
    text = json.dumps(GOOD | change)
    if allowed:
        assert json.loads(run_info_to_json(run_info_from_json(text)))["cameras"][0]["name"]
    else:
        with pytest.raises(StreamError):
            run_info_from_json(text)


@pytest.mark.parametrize(
    ("absent", "found", "held"),
    [([100], [0, 50], True), ([9999], [0, 50], True), ([50, 1050], [0, 50], True), ([50, 1051], [0, 50], False),
     ([40], [0, 50], False), ([40, 60], [0, 50], False), ([60, 70, 80], [0, 50], True), ([0, 900], [], True),
     ([0, 1001], [], False), ([7], [], True)],
)  # fmt: skip
def test_images_that_ffmpeg_still_held_are_a_second_at_the_end_or_one(absent, found, held) -> None:
    assert _unwritten(absent, found) == held


def damaged(take: Path, tail: bytes) -> list[str]:
    """The states that are found in the last segment of the moments when this stands behind it, without its journal."""
    path = segments(take, MOMENTS)[-1]
    path.with_suffix(".journal").unlink()
    data = path.read_bytes().removesuffix(END)
    path.write_bytes(data + tail)
    return [span.state for span, _ in read_segment(path, read_schema([path]))]


@pytest.mark.parametrize(
    ("tail", "fault"),
    [(END, False), (b"", False), *((END[:n], False) for n in (1, 4, 7)), (END + b"\0" * 8, True), (b"\xfe" * 8, True),
     (b"\xff\xff\xff\xff\x00\x00\x00\x01", True)],
)  # fmt: skip
def test_an_end_that_was_cut_off_is_no_fault_and_anything_else_is(tmp_path: Path, tail: bytes, fault: bool) -> None:
    states = damaged(record(tmp_path, make_estimates(20)), tail)
    assert states[:2] == ["unverified"] * 2 and bool(states[2:]) == fault


def test_a_null_in_a_column_of_further_joints_is_none(tmp_path: Path) -> None:
    column = encode_extra([None, None], IMAGE_TYPE)
    assert decode_image(column) == [None, None]
    nulls = pa.array([None, [], None], column.type)
    assert decode_image(nulls) == [None, None, None]


def test_arrays_hold_the_names_beside_the_numbers(tmp_path: Path) -> None:
    found = arrays(Reading(open_take(record(tmp_path, make_estimates(12)))))
    assert [str(name) for name in found["joints"]] == list(make_run_info().joints)
    names = {key for key, value in found.items() if value.dtype.kind == "U" and "extra" in key}
    assert names and all(len(found[key]) in (found["extra_xy"].shape[1], found["pose_extra"].shape[1]) for key in names)


def test_markers_of_a_camera_say_so_and_where_there_is_one_moment_the_rate_is_thirty(tmp_path: Path) -> None:
    reading = Reading(open_take(record(tmp_path, make_estimates(40))))
    assert markers_of(reading, "cam0").of_camera and not markers_of(reading, None).of_camera
    assert rate_of(np.array([5.0])) == rate_of(np.zeros(0)) == rate_of(np.zeros(2)) == 30
    assert rate_of(np.array([0.0, 0.1, 0.2, 0.9, 1.0])) == pytest.approx(10), "a gap is no step"
    assert rate_of(np.array([0.0, 0.1, 0.24, 0.35])) == pytest.approx(3 / 0.35), "and a late frame is"


def test_the_first_person_is_number_0(tmp_path: Path) -> None:
    said = "\n".join(inspect_take(record(tmp_path, make_estimates(30, people=2))))
    assert "  person 0: seen in " in said and "  person 3: seen in " in said and "not told apart" not in said


def test_an_error_without_a_reason_of_the_system_is_said_all_the_same(tmp_path: Path, monkeypatch) -> None:
    def fail(self: Path, **_: object) -> None:
        raise OSError("the folder is odd")

    monkeypatch.setattr(takes.Path, "mkdir", fail)
    with pytest.raises(StreamError, match="the folder is odd"):
        new_take(tmp_path / "a")


def test_every_video_is_told_of_whatever_became_of_those_before_it(tmp_path: Path, capsys) -> None:
    names = ("a", "b", "c", "d", "e")
    frames = [frame for name in names for frame in coded_frames(tmp_path, name, count=4)]
    take = write_capture(tmp_path / "takes", frames, names)
    gone, odd, cut, noise, _ = sorted(take.folder.glob("*.mkv"))
    gone.unlink()
    odd.write_bytes(b"no video")
    cut.unlink()
    noise.write_bytes(bytes(range(256)) * 20)
    assert recover([str(take.folder)]) != DONE
    said = capsys.readouterr().out
    told = ("missing, 4 images lost", "cannot be read", "missing, 4 images lost", "cannot be read", ": 4 images")
    for name, words in zip(names, told, strict=True):
        (line,) = [line for line in said.splitlines() if f"-{name}-00000.mkv" in line]
        assert words in line
