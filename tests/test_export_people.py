"""Exports of takes with several people: who is in which file, and the rows of some of them alone."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from engines.skeleton import JOINTS
from stream.api.recording import open_recording
from stream.app.inspect import main as inspect
from stream.app.replay import main as list_take
from stream.recordings import schema
from stream.recordings.people import alone, count_merits
from stream.recordings.reading import Reading
from stream.recordings.replay import replay
from stream.recordings.rows import encode_estimates, encode_moments
from stream.recordings.takes import open_take
from stream.selection import Tally, selection
from stream.types import Estimate, StreamError
from tests.exports import read_trc, run
from tests.takes import make_estimates, make_run_info, record, same

COUNT = 40


@pytest.fixture(scope="module")
def estimates() -> list[Estimate]:
    """Three people, 0, 3 and 6, each of whom is absent now and then, as are cameras and everybody."""
    return make_estimates(COUNT, people=3)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory, estimates: list[Estimate]) -> Path:
    return record(tmp_path_factory.mktemp("people"), estimates)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def markers(estimates: list[Estimate], person_id: int) -> np.ndarray:
    """(T, 17, 3) m, y up: what a TRC must hold of a person."""
    found = np.full((len(estimates), 17, 3), np.nan)
    for row, estimate in zip(found, estimates, strict=True):
        for person in estimate.people:
            if person.person_id == person_id and person.pose is not None:
                row[:] = person.pose.joints[:, [1, 2, 0]] / 1000
    return found


def without(estimates: list[Estimate], *gone: int) -> list[Estimate]:
    return [replace(e, people=tuple(p for p in e.people if p.person_id not in gone)) for e in estimates]


def test_several_people_become_a_file_each_in_step(
    take: Path, estimates: list[Estimate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(take, "trc", tmp_path / "out.trc") == 0
    said = capsys.readouterr().out
    count = [sum(p.person_id == k and p.pose is not None for e in estimates for p in e.people) for k in (0, 3, 6)]
    assert "3 people: 0 in {} frames, 3 in {} frames, 6 in {} frames; --select ID".format(*count) in said
    assert said.count("40 frames at 30 Hz") == 1
    assert files(tmp_path) == ["out.person0.trc", "out.person3.trc", "out.person6.trc"]
    for person_id in (0, 3, 6):
        _, names, time, points = read_trc(tmp_path / f"out.person{person_id}.trc")
        assert tuple(names) == JOINTS
        np.testing.assert_allclose(time, [e.t - estimates[0].t for e in estimates], atol=1e-6)
        np.testing.assert_allclose(points, markers(estimates, person_id), atol=1e-6)


def test_one_selected_person_becomes_the_file_that_was_named(
    take: Path, estimates: list[Estimate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(take, "trc", tmp_path / "out.trc", "--select", "3") == 0
    assert "people" not in capsys.readouterr().out
    np.testing.assert_allclose(read_trc(tmp_path / "out.trc")[3], markers(estimates, 3), atol=1e-6)
    assert run(take, "trc", tmp_path / "own.trc", "--select", "3", "--per-person") == 0
    assert files(tmp_path) == ["out.trc", "own.person3.trc"]


def test_prefixed_markers_of_everybody_in_one_file(take: Path, estimates: list[Estimate], tmp_path: Path) -> None:
    assert run(take, "trc", tmp_path / "out.trc", "--prefix") == 0
    head, names, _, points = read_trc(tmp_path / "out.trc")
    assert head["NumMarkers"] == "51"
    assert names[:17] == [f"person0:{joint}" for joint in JOINTS] and names[-1] == "person6:right_wrist"
    everybody = [markers(estimates, person_id) for person_id in (0, 3, 6)]
    np.testing.assert_allclose(points, np.concatenate(everybody, axis=1), atol=1e-6)
    assert run(take, "trc", tmp_path / "one.trc", "--prefix", "--select", "6") == 0
    assert read_trc(tmp_path / "one.trc")[1][0] == "person6:pelvis", "asked for, so done, also of one person"


def test_c3d_names_its_subjects(take: Path, estimates: list[Estimate], tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    assert run(take, "c3d", tmp_path / "out.c3d", "--prefix") == 0
    assert run(take, "c3d", tmp_path / "out.c3d", "--per-person") == 2, "out.c3d is there"
    assert run(take, "c3d", tmp_path / "each.c3d") == 0
    whole = ezc3d.c3d(str(tmp_path / "out.c3d"))
    subjects = whole["parameters"]["SUBJECTS"]
    assert subjects["NAMES"]["value"] == ["person0", "person3", "person6"]
    assert subjects["LABEL_PREFIXES"]["value"] == ["person0:", "person3:", "person6:"]
    assert (subjects["USED"]["value"][0], subjects["USES_PREFIXES"]["value"][0]) == (3, 1)
    labels = whole["parameters"]["POINT"]["LABELS"]["value"]
    assert labels[17] == "person3:pelvis" and len(labels) == 51
    one = ezc3d.c3d(str(tmp_path / "each.person3.c3d"))
    assert one["parameters"]["SUBJECTS"]["NAMES"]["value"] == ["person3"]
    assert tuple(one["parameters"]["POINT"]["LABELS"]["value"]) == JOINTS
    np.testing.assert_array_equal(one["data"]["points"], whole["data"]["points"][:, 17:34])
    there = ~np.isnan(markers(estimates, 3)).any((1, 2))
    assert ((one["data"]["meta_points"]["residuals"][0] == 0).all(0) == there).all()


def test_c3d_holds_more_labels_than_one_parameter_takes(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    take = record(tmp_path / "a", make_estimates(10, people=20))
    assert run(take, "c3d", tmp_path / "out.c3d", "--prefix") == 0
    file = ezc3d.c3d(str(tmp_path / "out.c3d"))
    point = file["parameters"]["POINT"]
    labels = [*point["LABELS"]["value"], *point.get("LABELS2", {"value": []})["value"]]
    assert len(labels) == 20 * 17 == file["data"]["points"].shape[1]
    assert labels[-1] == "person57:right_wrist"
    assert len(point["DESCRIPTIONS"]["value"]) + len(point["DESCRIPTIONS2"]["value"]) == len(labels)


def test_an_earlier_exports_people_do_not_stay(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.trc"
    assert run(take, "trc", out) == 0
    mine = tmp_path / "out.personal.trc"
    mine.write_text("of another program")
    assert run(take, "trc", out, "--select", "3") == 2
    assert "out.person0.trc exists; give another --out, or --force" in capsys.readouterr().err
    assert run(take, "trc", out, "--select", "3", "--force") == 0
    assert f"removed {tmp_path / 'out.person0.trc'} of an earlier export" in capsys.readouterr().out
    assert files(tmp_path) == ["out.personal.trc", "out.trc"]
    assert run(take, "trc", out, "--force") == 0
    assert files(tmp_path) == ["out.person0.trc", "out.person3.trc", "out.person6.trc", "out.personal.trc"]
    assert mine.read_text() == "of another program"


def test_answers_of_one_camera_of_several_people(take: Path, estimates: list[Estimate], tmp_path: Path) -> None:
    assert run(take, "trc", tmp_path / "out.trc", "--camera", "cam1") == 0
    there = [e for e in estimates if e.frames[1]]
    seen = {p.person_id for e in there for p in e.people if p.views[1] and p.views[1].answer is not None}
    assert files(tmp_path) == [f"out.person{k}.trc" for k in sorted(seen)]
    for person_id in seen:
        points = read_trc(tmp_path / f"out.person{person_id}.trc")[3]
        assert len(points) == len(there)
        for estimate, found in zip(there, points, strict=True):
            views = [p.views[1] for p in estimate.people if p.person_id == person_id]
            if not views or views[0] is None or views[0].answer is None:
                assert np.isnan(found).all()


@pytest.mark.parametrize("to", ["npz", "csv", "parquet"])
def test_tables_of_some_people_are_as_if_nobody_else_had_been_seen(
    take: Path, estimates: list[Estimate], tmp_path: Path, to: str
) -> None:
    alone_take = record(tmp_path / "alone", without(estimates, 0))
    out = tmp_path / "some", tmp_path / "other"
    for folder in out:
        folder.mkdir()
    assert run(take, to, out[0] / f"a.{to}", "--select", "3,6") == 0
    assert run(alone_take, to, out[1] / f"a.{to}") == 0
    assert files(out[0]) == files(out[1])
    if to == "npz":
        a, b = (dict(np.load(folder / "a.npz", allow_pickle=False)) for folder in out)
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
        assert set(a["pose_person"]) == {3, 6}
        return
    for name in files(out[0]):
        if to == "csv":
            rows = [list(csv.DictReader((folder / name).read_text().splitlines())) for folder in out]
            assert rows[0] == rows[1]
        else:
            tables = [pyarrow.parquet.read_table(folder / name) for folder in out]
            one, other = (table.drop_columns(["stages"] if "stages" in table.column_names else []) for table in tables)
            for column in one.column_names:
                np.testing.assert_equal(one[column].to_pylist(), other[column].to_pylist(), err_msg=column)


def test_rows_alone_keep_gaps_and_stages_of_their_moment() -> None:
    estimates = make_estimates(30, people=3)
    tables = schema.schemas(make_run_info())
    missed = [k % 3 for k in range(30)]
    assumed = {"cam0": False, "cam1": False}
    for ids in ((0,), (3, 6), (99,), ()):
        gone = [i for i in (0, 3, 6) if i not in ids]
        moments = alone(schema.MOMENTS, encode_moments(tables[schema.MOMENTS], estimates, missed), ids)
        expected = encode_moments(tables[schema.MOMENTS], without(estimates, *gone), missed)
        assert moments.schema == expected.schema
        for name in (
            "moment",
            "time",
            "missed_before",
            "left_out",
            "stages",
            "fused",
            "pose_method",
            "pose_cameras",
            "person_id",
        ):
            assert moments.column(name).to_pylist() == expected.column(name).to_pylist(), name
        views = alone(schema.ESTIMATES, encode_estimates(tables[schema.ESTIMATES], estimates, assumed), ids)
        expected = encode_estimates(tables[schema.ESTIMATES], without(estimates, *gone), assumed)
        for name in ("moment", "camera", "frame_index", "person", "person_id", "detector", "lifted", "track_ids"):
            assert views.column(name).to_pylist() == expected.column(name).to_pylist(), name


@pytest.mark.parametrize("rule", ["largest", "central"])
def test_the_people_of_a_take_are_weighed_as_those_of_its_estimates(take: Path, rule: str) -> None:
    opened = open_take(take)
    by_rows, by_estimates = Tally(selection(rule)), Tally(selection(rule))
    for batch in Reading(opened, bar=False)("estimates"):
        count_merits(by_rows, rule, batch)
    for estimate in replay(opened):
        by_estimates.add(estimate)
    assert by_rows.ids == by_estimates.ids
    assert by_rows._merits == pytest.approx(by_estimates._merits)


def test_a_selection_counts_in_the_part_that_is_exported(
    take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(take, "trc", tmp_path / "out.trc", "--select", "9") == 2
    assert capsys.readouterr().err == "no person 9 in this take: it has 0, 3, 6\n"
    for wrong in ("biggest", "-1", "0;3"):
        with pytest.raises(SystemExit):
            run(take, "trc", tmp_path / "out.trc", f"--select={wrong}")
        assert "selects nobody; give largest, central, all, or ids such as 0,2" in capsys.readouterr().err
    assert files(tmp_path) == []
    assert run(take, "npz", tmp_path / "out.npz", "--select", "largest", "--start", "0.5", "--end", "0.8") == 0
    assert capsys.readouterr().out.startswith("--select largest: person ")
    with np.load(tmp_path / "out.npz") as data:
        assert len(set(data["person_id"]) - {-1}) == 1
        assert set(data["pose_person"]) <= set(data["person_id"]) | {-1}


def test_ways_to_name_markers_are_for_markers(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--per-person", "--prefix"):
        assert run(take, "csv", tmp_path / "out.csv", flag) == 2
        assert ": csv says in every row whose it is" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(take, "trc", tmp_path / "out.trc", "--per-person", "--prefix")
    assert "not allowed with" in capsys.readouterr().err
    assert files(tmp_path) == []


def test_who_is_selected_but_never_fused_is_not_mixed_up_with_a_take_without_fusion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_seen = [
        replace(e, people=tuple(replace(p, pose=None) if p.person_id == 3 else p for p in e.people))
        for e in make_estimates(20, people=2)
    ]
    take = record(tmp_path, only_seen)
    assert run(take, "trc", tmp_path / "out.trc", "--select", "3") == 2
    assert "nothing is fused of --select 3; choose one camera's answer with --camera" in capsys.readouterr().err
    assert run(take, "trc", tmp_path / "out.trc", "--select", "3", "--camera", "cam0") == 0


def test_a_recording_gives_everybody_back(take: Path, estimates: list[Estimate]) -> None:
    assert same(tuple(replay(open_take(take))), tuple(estimates))


def test_a_take_is_told_of_person_by_person(
    take: Path, estimates: list[Estimate], capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect([str(take)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  people: 3, found by thunder in ") for line in said)
    for person_id in (0, 3, 6):
        seen = [e for e in estimates if any(p.person_id == person_id and any(p.views) for p in e.people)]
        there = [e for e in estimates if any(p.person_id == person_id for p in e.people)]
        fused = sum(p.person_id == person_id and p.pose is not None for e in estimates for p in e.people)
        frames = [sum(p.person_id == person_id and p.views[k] is not None for e in estimates for p in e.people)
                  for k in (0, 1)]  # fmt: skip
        first, last = (e.t - estimates[0].t for e in (there[0], there[-1]))
        assert (
            f"    person {person_id}: seen in {len(seen)} of 40 moments from {first:.3f} to {last:.3f} s,"
            f" fused in {fused}; frames: cam0 {frames[0]}, cam1 {frames[1]}"
        ) in said


def test_a_take_is_listed_person_by_person(
    take: Path, estimates: list[Estimate], capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_take([str(take)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == COUNT
    several = next(k for k, e in enumerate(estimates) if sum(p.pose is not None for p in e.people) > 1)
    fused = [f"person {person.person_id}" for person in estimates[several].people if person.pose is not None]
    assert lines[several].endswith(f"{', '.join(fused)} fused by map from 2 cameras")
    assert list_take([str(take), "--select", "3"]) == 0
    alone = capsys.readouterr().out.splitlines()
    assert len(alone) == COUNT, "also moments without them"
    assert not any("person" in line for line in alone) and any("fused by map from 2 cameras" in line for line in alone)
    assert list_take([str(take), "--select", "largest"]) == 0
    assert capsys.readouterr().err.startswith("--select largest: person ")
    assert list_take([str(take), "--select", "9"]) == 2
    assert capsys.readouterr().err == "no person 9 in this take: it has 0, 3, 6\n"


def test_people_of_version_1_are_exported_and_not_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = Path(__file__).parent / "data" / "version-1" / "multi"
    assert inspect([str(take)]) == 0
    assert "    people who are not told apart: seen in " in capsys.readouterr().out
    assert run(take, "trc", tmp_path / "a.trc", "--per-person") == 0
    assert run(take, "trc", tmp_path / "b.trc", "--prefix", "--select", "largest") == 0
    assert run(take, "trc", tmp_path / "c.trc") == 0
    assert files(tmp_path) == ["a.person.trc", "b.trc", "c.trc"]
    assert read_trc(tmp_path / "b.trc")[1][0] == "person:pelvis"
    np.testing.assert_array_equal(read_trc(tmp_path / "c.trc")[3], read_trc(tmp_path / "b.trc")[3])
    assert run(take, "trc", tmp_path / "d.trc", "--select", "0") == 2
    assert "it does not tell who is who" in capsys.readouterr().err


def test_python_gives_the_people_that_are_asked_for(take: Path) -> None:
    recording = open_recording(take)
    arrays = recording.to_numpy(select="3")
    assert set(arrays["person_id"]) == {-1, 3} and set(arrays["pose_person"]) == {-1, 3}
    assert set(recording.to_arrow("poses", select="0,6").column("person_id").to_pylist()) <= {-1, 0, 6}
    for wrong, why in (("biggest", "selects nobody"), ("9", "no person 9 in this take")):
        with pytest.raises(StreamError, match=why):
            recording.to_numpy(select=wrong)


def test_a_part_of_a_take_is_listed(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_take([str(take)]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert list_take([str(take), "--start", "0.1", "--end", "0.2"]) == 0
    assert capsys.readouterr().out.splitlines() == whole[3:6]
    for flags, words in (
        (["--start", "2", "--end", "1"], "--end 1 is not after --start 2"),
        (["--start", "999"], "no moment lies in that part"),
        (["--force"], "are for --snapshot"),
        (["--no-pictures"], "are for --snapshot"),
    ):
        assert list_take([str(take), *flags]) == 2
        said = capsys.readouterr()
        assert words in said.err and not said.out
