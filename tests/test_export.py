"""Exports of a recording, read back by other programs' readers and compared with what was recorded."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from engines.skeleton import JOINTS
from stream.recordings import markers
from stream.recordings.takes import new_take
from stream.recordings.writer import Recorder
from stream.types import Estimate, Event
from tests.exports import poses_of, rows_of, run
from tests.takes import M, make_estimates, make_run_info, record


def test_npz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(50)
    record(tmp_path, estimates)
    assert run(tmp_path, "npz", tmp_path / "out.npz") == 0
    said = capsys.readouterr().out
    rows, poses = rows_of(estimates), poses_of(estimates)
    F, T = len(rows), len(poses)
    fused = sum(pose is not None for *_, pose in poses)
    assert f"{F} rows, {fused} fused poses, {T - fused} moments without one" in said
    with np.load(tmp_path / "out.npz", allow_pickle=False) as data:
        shapes = {key: data[key].shape for key in data.files}
        assert shapes == {
            "moment": (F,), "moment_time": (F,), "time": (F,), "frame_index": (F,),
            "camera": (F,), "detector": (F,), "xy": (F, 17, 2), "score": (F, 17),
            "hypotheses": (F, M, 17, 3), "weights": (F, M), "sigmas": (F, M, 17), "track_ids": (F, M),
            "answer": (F, 17, 3), "answer_raw": (F, 17, 3), "root": (F, 3), "root_raw": (F, 3), "fov_assumed": (F,),
            "pose_time": (T,), "pose_world": (T, 17, 3), "pose_cov": (T, 17, 3, 3), "pose_sigma": (T, 17),
            "pose_method": (T,), "pose_cameras": (T,), "person_id": (F,), "pose_person": (T,), "cov": (F, 17, 2, 2),
            "extra_names": (3,), "extra_xy": (F, 3, 2), "extra_score": (F, 3), "extra_cov": (F, 3, 2, 2),
            "pose_extra_names": (2,), "pose_extra": (T, 2, 3), "pose_extra_cov": (T, 2, 3, 3),
            "track_probabilities": (F, M), "unix_time": (F,), "pose_unix_time": (T,), "pose_inferred": (T, 17),
            "joints": (17,), "parents": (17,), "fps": (), "start_utc": (), "start_monotonic": (), "cameras": (2,),
            "camera_size": (2, 2), "camera_K": (2, 3, 3), "camera_dist": (2, 5), "camera_R": (2, 3, 3),
            "camera_t": (2, 3), "camera_fisheye": (2,), "up": (3,),
        }  # fmt: skip
        assert data["camera"].dtype.kind == data["detector"].dtype.kind == data["pose_method"].dtype.kind == "U"
        assert not data["fov_assumed"].any()
        assert list(zip(data["moment"], data["moment_time"], strict=True)) == [(e.index, e.t) for e, *_ in rows]
        for i, (_, frame, person_id, view) in enumerate(rows):
            where = data["time"][i], data["frame_index"][i], data["camera"][i]
            assert where == (frame.t, frame.frame_index, frame.camera)
            assert data["person_id"][i] == person_id
            if view is not None:
                np.testing.assert_array_equal(data["xy"][i], view.detection.xy)
                np.testing.assert_array_equal(data["score"][i], view.detection.score)
            else:
                assert np.isnan(data["xy"][i]).all()
                assert np.isnan(data["score"][i]).all()
            if view is None or view.mixture is None:
                for key in ("hypotheses", "weights", "sigmas", "answer", "answer_raw", "root", "root_raw"):
                    assert np.isnan(data[key][i]).all()
                assert (data["track_ids"][i] == -1).all()
                continue
            np.testing.assert_array_equal(data["hypotheses"][i], view.mixture.mean)
            np.testing.assert_array_equal(data["weights"][i], view.mixture.weight)
            np.testing.assert_array_equal(data["sigmas"][i], view.mixture.sigma)
            np.testing.assert_array_equal(data["track_ids"][i], [track.id for track in view.tracks])
            for key in ("answer", "answer_raw", "root", "root_raw"):
                np.testing.assert_array_equal(data[key][i], getattr(view, key))
        for i, (estimate, person_id, pose) in enumerate(poses):
            assert (data["pose_time"][i], data["pose_person"][i]) == (estimate.t, person_id)
            if pose is None:
                assert np.isnan(data["pose_world"][i]).all()
                assert data["pose_cameras"][i] == data["pose_method"][i] == ""
                continue
            np.testing.assert_array_equal(data["pose_world"][i], pose.joints)
            sigma = np.sqrt(np.trace(pose.cov, axis1=1, axis2=2) / 3)
            np.testing.assert_allclose(data["pose_sigma"][i], sigma, rtol=1e-6)
            assert data["pose_cameras"][i] == "cam0,cam1"


def test_npz_of_a_single_camera_has_no_poses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, make_estimates(20, 1, fused=False), make_run_info(1, calibrated=False))
    assert run(tmp_path, "npz", tmp_path / "out.npz") == 0
    assert "field of view was assumed" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz", allow_pickle=False) as data:
        assert not [key for key in data.files if key.startswith("pose")]
        assert data["fov_assumed"].all()
        assert np.isnan(data["camera_K"]).all() and np.isnan(data["up"]).all(), "nobody calibrated it"


@pytest.mark.parametrize("to", ["npz", "csv", "parquet"])
def test_a_take_without_a_single_row(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
    recorder.event(Event(0.0, "user", "a mark"))  # without one the take would not be kept
    recorder.close()
    assert run(tmp_path, to, tmp_path / "out") == 0
    assert "0 rows" in capsys.readouterr().out
    if to == "npz":
        with np.load(tmp_path / "out", allow_pickle=False) as data:
            assert data["hypotheses"].shape == (0, M, 17, 3)
            assert data["camera"].shape == (0,)
    for marker in ("trc", "c3d"):
        assert run(tmp_path, marker, tmp_path / "out2", "--camera", "cam0") == 2
    assert not (tmp_path / "out2").exists()


def test_csv(tmp_path: Path) -> None:
    estimates = make_estimates(30)
    record(tmp_path, estimates)
    assert run(tmp_path, "csv", tmp_path / "out.csv") == 0
    expected = rows_of(estimates)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, (estimate, frame, person_id, view) in zip(rows, expected, strict=True):
        assert (int(row["moment"]), float(row["moment_time_s"])) == (estimate.index, estimate.t)
        assert float(row["time_s"]) == frame.t
        assert (row["camera"], int(row["frame_index"])) == (frame.camera, frame.frame_index)
        assert int(row["person_id"] or -1) == person_id
        assert (row["image_head_x_px"] != "") == (view is not None)
        if view is None or view.mixture is None:
            assert row["hypothesis_3_left_knee_z_mm"] == row["answer_head_x_mm"] == ""
            assert row["track_id_0"] == ""
            continue
        knee = JOINTS.index("left_knee")
        assert np.float32(row["hypothesis_3_left_knee_z_mm"]) == view.mixture.mean[3, knee, 2]
        assert np.float32(row["sigma_4_left_knee_mm"]) == view.mixture.sigma[4, knee]
        assert np.float32(row["weight_2"]) == view.mixture.weight[2]
        assert int(row["track_id_1"]) == view.tracks[1].id
        assert float(row["track_probability_1"]) == view.tracks[1].probability
        assert view.answer is not None
        assert view.root is not None
        assert np.float32(row["answer_head_x_mm"]) == view.answer[10, 0]
        assert np.float32(row["root_z_mm"]) == view.root[2]
        assert np.float32(row["image_head_y_px"]) == view.detection.xy[10, 1]
    with (tmp_path / "out.poses.csv").open(newline="") as file:
        poses = list(csv.DictReader(file))
    for row, (_, person_id, pose) in zip(poses, poses_of(estimates), strict=True):
        assert (row["method"] == "map") == (pose is not None)
        assert int(row["person_id"] or -1) == person_id
        if pose is not None:
            assert np.float32(row["world_head_y_mm"]) == pose.joints[10, 1]
            assert np.float32(row["cov_head_xz_mm2"]) == pose.cov[10, 0, 2]


def test_parquet(tmp_path: Path) -> None:
    estimates = make_estimates(30)
    record(tmp_path, estimates)
    assert run(tmp_path, "parquet", tmp_path / "out.parquet") == 0
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    views = [view for *_, view in rows_of(estimates)]
    assert table.num_rows == len(views)
    assert b"hypothesis-stream" in table.schema.metadata
    assert table.schema.field("hypotheses").metadata[b"shape"] == b"5,17,3"
    for row, view in zip(table.to_pylist(), views, strict=True):
        if view is not None and view.mixture is not None:
            np.testing.assert_array_equal(np.float32(row["hypotheses"]), view.mixture.mean.ravel())
        assert np.isnan(row["xy"]).all() == (view is None)
    poses = pyarrow.parquet.read_table(tmp_path / "out.poses.parquet").to_pylist()
    first, _, pose = next(row for row in poses_of(estimates) if row[2] is not None)
    assert pose is not None
    sigma = np.sqrt(np.trace(pose.cov, axis1=1, axis2=2) / 3)
    np.testing.assert_allclose(poses[first.index]["pose_sigma"], sigma, rtol=1e-6)


@pytest.mark.parametrize("to", ["npz", "csv", "parquet", "trc"])
def test_a_part_of_a_take(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(60)
    take = record(tmp_path / "a", estimates)
    rows = []
    for part in (["--end", "0.5"], ["--start", "0.5", "--end", "1.5"], ["--start", "1.5"]):
        assert run(take, to, tmp_path / f"{to}{len(rows)}", *part) == 0
        said = capsys.readouterr().out
        rows.append(int(re.search(r"(\d+) (rows|frames)", said)[1]))  # type: ignore[index]
    frame_sets = [estimates[:15], estimates[15:45], estimates[45:]]
    assert rows == [len(part) if to == "trc" else len(rows_of(part)) for part in frame_sets]
    if to == "npz":
        with np.load(tmp_path / "npz1", allow_pickle=False) as data:
            assert data["moment"].min() == 15
            assert data["moment"].max() == 44
            np.testing.assert_array_equal(data["pose_time"], [e.t for e in estimates[15:45]])
    for part, why in (
        (["--start", "1", "--end", "1"], "--end 1 is not after --start 1\n"),
        (["--start", "2"], "no moment lies in that part: the take lasts 1.967 s; change --start or --end\n"),
    ):
        assert run(take, to, tmp_path / "none", *part) == 2
        assert capsys.readouterr().err == why
    assert not (tmp_path / "none").exists()


def test_memory_does_not_grow_with_the_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, make_estimates(60), every=1)
    monkeypatch.setattr("stream.recordings.reading._ROWS", 7)
    sizes = []
    convert = markers.array_of
    monkeypatch.setattr("stream.recordings.columns.array_of", lambda b, n: sizes.append(b.num_rows) or convert(b, n))
    for to in ("npz", "csv", "parquet"):
        assert run(tmp_path, to, tmp_path / f"out.{to}") == 0
    assert 0 < max(sizes) < 10


def unseen(estimate: Estimate, person_id: int) -> np.ndarray:
    """(17,) which joints no camera sees of a person."""
    views = [view for p in estimate.people if p.person_id == person_id for view in p.views if view is not None]
    return ~np.any([view.detection.score > 0 for view in views] or [np.zeros(17, bool)], axis=0)


def hidden(estimates: list[Estimate]) -> list[Estimate]:
    """The same, the head seen by one camera in odd moments only, and spine and neck never."""
    made = []
    for e in estimates:
        people = []
        for person in e.people:
            views = []
            for k, view in enumerate(person.views):
                if view is not None:
                    score = view.detection.score.copy()
                    score[[7, 9] if e.index % 2 and k == 0 else [7, 9, 10]] = 0
                    view = replace(view, detection=replace(view.detection, score=score))
                views.append(view)
            people.append(replace(person, views=tuple(views)))
        made.append(replace(e, people=tuple(people)))
    return made


def test_joints_that_no_camera_sees_are_marked_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estimates = hidden(make_estimates(40, people=2))
    take = record(tmp_path / "r", estimates)
    expected = [np.zeros(17, bool) if pose is None else unseen(e, i) for e, i, pose in poses_of(estimates)]
    assert any(row[10] for row in expected) and not all(
        row[10] for row, (*_, p) in zip(expected, poses_of(estimates), strict=True) if p
    )  # noqa: E501
    assert run(take, "npz", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        np.testing.assert_array_equal(data["pose_inferred"], expected)
    assert run(take, "parquet", tmp_path / "a.parquet") == 0
    table = pyarrow.parquet.read_table(tmp_path / "a.poses.parquet")
    assert table.column("pose_inferred").to_pylist() == [row.tolist() for row in expected]
    assert run(take, "csv", tmp_path / "a.csv") == 0
    rows = csv.DictReader((tmp_path / "a.poses.csv").read_text().splitlines())
    assert [row["inferred"] for row in rows] == [" ".join(JOINTS[j] for j in np.flatnonzero(row)) for row in expected]
    capsys.readouterr()
    assert run(take, "trc", tmp_path / "a.trc") == 0
    assert "inferred, seen by no camera: spine, neck_nose\n" in capsys.readouterr().out
    ezc3d = pytest.importorskip("ezc3d")
    assert run(take, "c3d", tmp_path / "a.c3d", "--prefix") == 0
    said = ezc3d.c3d(str(tmp_path / "a.c3d"))["parameters"]["POINT"]["DESCRIPTIONS"]["value"]
    sigmas = [np.sqrt(np.trace(p.cov, axis1=1, axis2=2) / 3) for *_, p in poses_of(estimates) if p is not None]
    sigma = np.median(sigmas, axis=0)
    assert said[7] == said[24] == f"inferred, no camera sees it; 1 sigma {sigma[7]:.0f} mm"
    assert said[0] == f"seen; 1 sigma {sigma[0]:.0f} mm"


@pytest.mark.parametrize("kind", ["network", "file"])
def test_every_format_tells_the_time_of_day_of_what_is_live(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_info = make_run_info()
    run_info = replace(run_info, cameras=tuple(replace(camera, kind=kind) for camera in run_info.cameras))
    estimates = [replace(e, t=e.t + run_info.start_monotonic) for e in make_estimates(40)]
    take = record(tmp_path / "r", estimates, run_info)
    offset = run_info.start_utc.timestamp() - run_info.start_monotonic if kind == "network" else np.nan
    times = np.array([e.t for e in estimates]) + offset
    assert run(take, "npz", tmp_path / "a.npz", "--start", "0.5") == 0
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        np.testing.assert_array_equal(data["pose_unix_time"], times[15:])
        np.testing.assert_array_equal(data["unix_time"], data["moment_time"] + offset)
        assert data["pose_time"][0] == estimates[15].t, "the clock of the take, also of a part"
        assert data["start_utc"] == "2026-01-02T03:04:05.678901+00:00"
        assert data["start_monotonic"] == run_info.start_monotonic
    assert run(take, "parquet", tmp_path / "a.parquet") == 0
    np.testing.assert_array_equal(pyarrow.parquet.read_table(tmp_path / "a.poses.parquet")["unix_time"], times)
    assert run(take, "csv", tmp_path / "a.csv") == 0
    rows = list(csv.DictReader((tmp_path / "a.poses.csv").read_text().splitlines()))
    found = [float(row["unix_time_s"] or "nan") for row in rows]
    np.testing.assert_array_equal(found, times)
    capsys.readouterr()
    assert run(take, "trc", tmp_path / "a.trc") == 0
    said = "2026-01-02T03:04:05.778901+00:00" if kind == "network" else ""
    start = f"time 0 is {estimates[0].t:.6f} s of the recording"
    assert (f"{start}, {said}\n" if said else f"{start}\n") in capsys.readouterr().out
    ezc3d = pytest.importorskip("ezc3d")
    assert run(take, "c3d", tmp_path / "a.c3d") == 0
    trial = ezc3d.c3d(str(tmp_path / "a.c3d"))["parameters"]["TRIAL"]
    assert trial["START_TIME"]["value"][0] == pytest.approx(estimates[0].t, rel=1e-6)
    assert trial["START_UTC"]["value"] == [said] if said else "START_UTC" not in trial


def test_npz_holds_what_is_needed_to_use_it_alone(tmp_path: Path) -> None:
    run_info = make_run_info()
    first, second = run_info.cameras
    assert first.calibration is not None
    eight = replace(first.calibration, dist=np.arange(8) / 9)
    run_info = replace(run_info, cameras=(replace(first, calibration=eight), replace(second, calibration=None)))
    record(tmp_path, make_estimates(10), run_info)
    assert run(tmp_path, "npz", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert tuple(data["joints"]) == JOINTS and data["parents"][2] == 1
        assert data["fps"] == 30 and list(data["cameras"]) == ["cam0", "cam1"]
        np.testing.assert_array_equal(data["camera_size"], [[640, 480]] * 2)
        np.testing.assert_array_equal(data["camera_K"][0], eight.K)
        np.testing.assert_array_equal(data["camera_dist"][0], eight.dist)
        assert data["camera_fisheye"].tolist() == [False, False]
        np.testing.assert_array_equal(data["camera_t"][0], eight.t)
        assert np.isnan(data["camera_R"][1]).all()
        np.testing.assert_array_equal(data["up"], [0, 0, 1])
