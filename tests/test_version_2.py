"""What version 2 of the format added: people with ids, covariances, further joints and events; and what comes after."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from engines.types import ExtraJoints
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.replay import main as list_take
from stream.recordings.extra_joints import encode_extra
from stream.recordings.replay import read_events, replay
from stream.recordings.rows import encode_estimates, encode_events, encode_moments
from stream.recordings.schema import ESTIMATES, EVENTS, IMAGE_TYPE, MOMENTS, schemas
from stream.recordings.segments import SegmentWriter, segments
from stream.recordings.takes import new_take, open_take
from stream.recordings.writer import Recorder
from stream.types import Estimate, Event
from tests.takes import NAMES, flip, make_estimates, make_run_info, record, same

SAID = [Event(0.5, "user", "left foot"), Event(0.9, "osc-in", 'sprung \u00fcber, "hoch"'), Event(99.0, "user", "end")]


def record_with_events(folder: Path, estimates: list[Estimate]) -> Path:
    recorder = Recorder(new_take(folder))
    recorder.open(make_run_info())
    for estimate in estimates:
        recorder.write(estimate, {})
        for event in SAID:
            if estimate.t <= event.t < estimate.t + 1 / 30:
                recorder.event(event)
    recorder.event(SAID[-1])
    recorder.close()
    return recorder.take


@pytest.mark.parametrize("people", [2, 3])
def test_several_people_come_back(people: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(60, people=people)
    assert {len(e.people) for e in estimates} >= {people - 1, people}
    take = record(tmp_path, estimates)
    assert same(tuple(replay(open_take(take))), tuple(estimates))
    # Where a stream is gone, who is who is still known by the other.
    part = segments(take, MOMENTS)[0]
    part.with_suffix(".journal").unlink()
    part.unlink()
    for back, estimate in zip(replay(open_take(take)), (e for e in estimates if any(e.frames)), strict=True):
        seen = [(p.person_id, p.views) for p in estimate.people if any(p.views)]
        assert same(tuple((p.person_id, p.views) for p in back.people), tuple(seen))
    assert list_take([str(take)]) == 0
    assert " and " in capsys.readouterr().out


def test_several_people_in_the_tables(tmp_path: Path) -> None:
    estimates = make_estimates(40, people=3)
    record(tmp_path, estimates)
    assert export([str(tmp_path), "--to", "npz", "--out", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as data:
        assert set(data["person_id"]) - {-1} == {0, 3, 6} == set(data["pose_person"]) - {-1}
        rows = {key: k for k, key in enumerate(zip(data["moment"], data["camera"], data["person_id"], strict=True))}
        assert len(rows) == len(data["moment"])
        poses = {key: k for k, key in enumerate(zip(data["pose_time"], data["pose_person"], strict=True))}
        for e in estimates:
            for person in e.people:
                for c, view in enumerate(person.views):
                    row = rows.get((e.index, f"cam{c}", person.person_id))
                    assert (row is None) == (view is None)
                    if view is not None:
                        np.testing.assert_array_equal(data["xy"][row], view.detection.xy)
                if person.pose is not None:
                    row = poses[e.t, person.person_id]
                    np.testing.assert_array_equal(data["pose_world"][row], person.pose.joints)
    assert export([str(tmp_path), "--to", "csv", "--out", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.poses.csv").open(newline="") as file:
        fused = [row["person_id"] for row in csv.DictReader(file)]
    assert set(fused) - {""} == {"0", "3", "6"}


def test_further_joints_and_covariances_in_the_tables(tmp_path: Path) -> None:
    estimates = make_estimates(40)
    record(tmp_path, estimates)
    views = [
        view
        for e in estimates
        for k, frame in enumerate(e.frames)
        if frame
        for view in (e.views_of(k) or [None])
    ]  # fmt: skip
    for to in ("npz", "csv"):
        assert export([str(tmp_path), "--to", to, "--out", str(tmp_path / f"out.{to}")]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    with (tmp_path / "out.poses.csv").open(newline="") as file:
        fused = list(csv.DictReader(file))
    with np.load(tmp_path / "out.npz") as data:
        names = data["extra_names"].tolist()
        assert sorted(names) == sorted(NAMES)
        for k, view in enumerate(views):
            cov = None if view is None else view.detection.cov
            np.testing.assert_array_equal(data["cov"][k], np.full((17, 2, 2), np.nan) if cov is None else cov)
            assert (table[k]["image_cov_head_xy_px2"] != "") == (cov is not None)
            extra = None if view is None else view.detection.extra
            for j, name in enumerate(names):
                if extra is None or name not in extra.names:
                    assert np.isnan(data["extra_xy"][k, j]).all() and np.isnan(data["extra_score"][k, j])
                    assert table[k][f"image_{name}_x_px"] == ""
                    continue
                at = extra.names.index(name)
                np.testing.assert_array_equal(data["extra_xy"][k, j], extra.xy[at])
                np.testing.assert_array_equal(data["extra_cov"][k, j], extra.cov[at])
                assert data["extra_score"][k, j] == extra.score[at] == np.float32(table[k][f"score_{name}"])
                assert np.float32(table[k][f"image_cov_{name}_xy_px2"]) == extra.cov[at, 0, 1]
        for k, estimate in enumerate(estimates):
            pose = estimate.person.pose if estimate.person else None
            there = pose is not None and pose.extra is not None
            assert np.isfinite(data["pose_extra"][k]).all() == there
            if pose is not None and pose.extra is not None:
                at = [pose.extra.names.index(name) for name in data["pose_extra_names"]]
                np.testing.assert_array_equal(data["pose_extra"][k], pose.extra.joints[at])
                np.testing.assert_array_equal(data["pose_extra_cov"][k], pose.extra.cov[at])
                assert np.float32(fused[k]["world_left_heel_y_mm"]) == pose.extra.joints[0, 1]
                sigma = np.sqrt(np.trace(pose.extra.cov[0]) / 3)
                assert float(fused[k]["sigma_left_heel_mm"]) == pytest.approx(sigma, rel=1e-5)


def test_a_further_joint_without_its_numbers_is_not_recorded_silently() -> None:
    view = next(v for e in make_estimates(20) for v in e.views_of(0) if v.detection.extra)
    extra = view.detection.extra
    assert extra is not None
    bad = ExtraJoints(extra.names, extra.xy[:, :1], extra.score, extra.cov)
    with pytest.raises(ValueError, match="further joints have"):
        encode_extra([bad], IMAGE_TYPE)


def test_events_come_back_and_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(60)
    take = record_with_events(tmp_path, estimates)
    assert list(read_events(open_take(take))) == SAID
    for to in ("npz", "csv", "parquet"):
        assert export([str(take), "--to", to, "--out", str(tmp_path / f"out.{to}")]) == 0
        assert "3 events" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as data:
        keys = ("event_time", "event_source", "event_text")
        assert [Event(*row) for row in zip(*(data[key].tolist() for key in keys), strict=True)] == SAID
    with (tmp_path / "out.events.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Event(float(row["time_s"]), row["source"], row["text"]) for row in rows] == SAID
    rows = pyarrow.parquet.read_table(tmp_path / "out.events.parquet").to_pylist()
    assert [Event(row["time"], row["source"], row["text"]) for row in rows] == SAID
    # A part of the take has the events of that part, and the tables of an earlier export go.
    part = ["--start", "0.5", "--end", "1"]
    assert export([str(take), "--to", "npz", "--out", str(tmp_path / "part.npz"), *part]) == 0
    with np.load(tmp_path / "part.npz") as data:
        assert data["event_time"].tolist() == [0.9]
    assert export([str(take), "--to", "csv", "--out", str(tmp_path / "out.csv"), "--end", "0.2", "--force"]) == 0
    assert "out.events.csv of an earlier export: there are no events here" in capsys.readouterr().out
    assert not (tmp_path / "out.events.csv").exists()


def test_events_in_c3d(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    estimates = make_estimates(60)
    take = record_with_events(tmp_path, estimates)
    assert export([str(take), "--to", "c3d", "--out", str(tmp_path / "out.c3d")]) == 0
    assert "2 events\n1 event before the first frame or after the last left out" in capsys.readouterr().out
    events = ezc3d.c3d(str(tmp_path / "out.c3d"))["parameters"]["EVENT"]
    assert events["USED"]["value"] == [2]
    assert events["LABELS"]["value"] == ["left foot", 'sprung ?ber, "hoch"']
    assert events["DESCRIPTIONS"]["value"] == ["user", "osc-in"]
    minutes, seconds = np.array(events["TIMES"]["value"])
    np.testing.assert_allclose(60 * minutes + seconds, [0.5 - 0.1, 0.9 - 0.1], atol=1e-6)


def test_an_event_is_on_disk_within_a_second_also_when_no_frame_set_comes(tmp_path: Path) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
    recorder.event(SAID[0])
    time.sleep(1.0)
    assert list(read_events(open_take(recorder.take))) == SAID[:1]
    recorder.close()


def test_a_lost_stream_of_events_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = record_with_events(tmp_path / "a", make_estimates(10))
    assert recover([str(take)]) == 0
    assert "events: 1 row readable" in capsys.readouterr().out
    part = segments(take, EVENTS)[0]
    flip(part, part.stat().st_size - 60)
    assert recover([str(take)]) == 1
    assert f"{part.name}: corrupt, 1 row lost" in capsys.readouterr().out
    part.with_suffix(".journal").unlink()
    part.unlink()
    assert recover([str(take)]) == 1
    assert "events: missing" in capsys.readouterr().out
    assert export([str(take), "--to", "csv", "--out", str(tmp_path / "out.csv")]) == 0
    assert "events-00000.arrows is missing: its rows are left out" in capsys.readouterr().out


def write_as(folder: Path, change, version: int = 2) -> Path:
    """A take whose schemas and batches are changed."""
    take, run_info, estimates = new_take(folder), make_run_info(), make_estimates(20)
    known = schemas(run_info)
    batches = {
        ESTIMATES: encode_estimates(known[ESTIMATES], estimates, {"cam0": False, "cam1": False}),
        MOMENTS: encode_moments(known[MOMENTS], estimates, [0] * len(estimates)),
        EVENTS: encode_events(known[EVENTS], SAID),
    }
    for stream, batch in batches.items():
        batch = change(batch)
        header = json.loads(batch.schema.metadata[b"hypothesis-stream"]) | {"version": version, "weather": "fine"}
        schema = batch.schema.with_metadata({"hypothesis-stream": json.dumps(header)})
        writer = SegmentWriter(take, stream, schema)
        writer.append(pa.record_batch(batch.columns, schema=schema))
        writer.close()
    return take


def test_unknown_columns_and_streams_are_ignored(tmp_path: Path) -> None:
    def more(batch: pa.RecordBatch) -> pa.RecordBatch:
        n = batch.num_rows
        batch = batch.append_column("mood", pa.array([{"joy": k} for k in range(n)]))
        batch = batch.append_column("numbers", pa.array([[1.0, 2.0]] * n, pa.list_(pa.float64(), 2)))
        return batch.select(batch.schema.names[::-1])

    take = write_as(tmp_path / "a", more)
    (take / "weather-00000.arrows").write_bytes(b"something")
    assert same(tuple(replay(open_take(take))), tuple(make_estimates(20)))
    assert list(read_events(open_take(take))) == SAID
    for to in ("npz", "csv", "parquet", "trc"):
        assert export([str(take), "--to", to, "--out", str(tmp_path / f"out.{to}")]) == 0
    assert recover([str(take), "--out", str(tmp_path / "clean")]) == 0


@pytest.mark.parametrize(
    "column", ["person_id", "cov", "extra", "pose_extra", "stages", "track_births", "pose_cov", "left_out"]
)
def test_an_absent_column_reads_as_unknown(column: str, tmp_path: Path) -> None:
    def less(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select([name for name in batch.schema.names if name != column])

    back = list(replay(open_take(write_as(tmp_path, less))))
    assert [e.index for e in back] == list(range(20))
    views = [view for e in back for view in e.views_of(0)]
    poses = [p.pose for e in back for p in e.people if p.pose]
    assert views and poses
    unknown = {
        "person_id": lambda: all(p.person_id == -1 for e in back for p in e.people),
        "cov": lambda: all(view.detection.cov is None for view in views),
        "extra": lambda: all(view.detection.extra is None for view in views),
        "pose_extra": lambda: all(pose.extra is None for pose in poses),
        "stages": lambda: all(e.stages is None for e in back),
        "left_out": lambda: all(e.left_out == 0 for e in back),
        "track_births": lambda: all(np.isnan(track.birth) for view in views for track in view.tracks),
        "pose_cov": lambda: all(np.isnan(pose.cov).all() for pose in poses),
    }
    assert unknown[column]()


@pytest.mark.parametrize("tool", [export, recover, list_take])
def test_a_newer_version_is_refused_in_one_line(tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = write_as(tmp_path, lambda batch: batch, version=3)
    more = ["--to", "npz", "--out", str(tmp_path / "out.npz")] if tool is export else []
    assert tool([str(take), *more]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "version 3; this program reads 'hypothesis-stream' up to version 2" in line
