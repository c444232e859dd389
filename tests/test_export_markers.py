"""Markers of a recording, TRC and C3D, read back by other programs' readers and compared with what was recorded."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.skeleton import JOINTS
from engines.types import Pose
from tests.exports import poses_of, read_trc, rows_of, run
from tests.takes import make_estimates, make_run_info, record


def test_trc_of_the_fused_pose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(40)
    record(tmp_path, estimates)
    assert run(tmp_path, "trc", tmp_path / "out.trc") == 0
    assert "fused pose, world axes" in capsys.readouterr().out
    head, names, time, points = read_trc(tmp_path / "out.trc")
    assert tuple(names) == JOINTS
    assert (head["Units"], head["NumFrames"], head["NumMarkers"]) == ("m", "40", "17")
    assert float(head["DataRate"]) == pytest.approx(30, rel=1e-4)
    np.testing.assert_allclose(time, [e.t - estimates[0].t for e in estimates], atol=1e-6)
    for (_, _, pose), found in zip(poses_of(estimates), points, strict=True):
        if pose is None:
            assert np.isnan(found).all()
        else:  # z up becomes y up: (x, y, z) -> (y, z, x)
            np.testing.assert_allclose(found, pose.joints[:, [1, 2, 0]] / 1000, atol=1e-6)


@pytest.mark.parametrize("to", ["trc", "c3d"])
def test_a_take_at_times_of_day_is_exported_from_0_and_says_its_start(
    tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if to == "c3d":
        pytest.importorskip("ezc3d")
    start = 1.7e9
    estimates = [replace(e, t=start + e.index / 240) for e in make_estimates(40)]
    record(tmp_path, estimates)
    assert run(tmp_path, to, tmp_path / f"out.{to}") == 0
    said = capsys.readouterr().out
    assert "240 Hz" in said and "is 1700000000.000000 s of the recording" in said
    if to == "trc":
        head, _, time, _ = read_trc(tmp_path / "out.trc")
        assert float(head["DataRate"]) == pytest.approx(240, rel=1e-4)
        np.testing.assert_allclose(time, np.arange(40) / 240, atol=1e-6)


def test_trc_of_one_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimates = make_estimates(30, fused=False)
    record(tmp_path, estimates, make_run_info(2, calibrated=False))
    assert run(tmp_path, "trc", tmp_path / "out.trc") == 2
    assert "choose one camera's answer with --camera: cam0, cam1" in capsys.readouterr().err
    assert run(tmp_path, "trc", tmp_path / "out.trc", "--camera", "cam7") == 2
    assert "no camera 'cam7'" in capsys.readouterr().err
    assert run(tmp_path, "trc", tmp_path / "out.trc", "--camera", "cam1") == 0
    assert "no fused pose: this is the answer of camera 'cam1'" in capsys.readouterr().out
    _, _, _, points = read_trc(tmp_path / "out.trc")
    views = [view for _, frame, _, view in rows_of(estimates) if frame.camera == "cam1"]
    assert len(points) == len(views)
    for view, found in zip(views, points, strict=True):
        if view is None or view.answer is None:
            assert np.isnan(found).all()
        else:  # x right, y down, z forward becomes y up, still right-handed
            assert view.root is not None
            np.testing.assert_allclose(found, (view.answer + view.root) * [1, -1, -1] / 1000, atol=2e-6)


def test_camera_asks_for_its_answer_instead_of_the_fused_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, make_estimates(30))
    assert run(tmp_path, "trc", tmp_path / "out.trc", "--camera", "cam1") == 0
    assert "not the fused pose: this is the answer of camera 'cam1'" in capsys.readouterr().out
    for to in ("csv", "npz", "parquet"):
        assert run(tmp_path, to, tmp_path / "out", "--camera", "cam1") == 2
        err = capsys.readouterr().err
        assert err.startswith("--camera is for trc, c3d, ") and err.endswith(f": {to} holds all cameras, drop it\n")


def test_trc_of_a_slow_camera_has_the_times_of_its_poses(tmp_path: Path) -> None:
    # A frame of 30 fps is in two moments of 60, its joints interpolated to each.
    estimates = [
        replace(e, t=e.index / 60, frames=tuple(f and replace(f, t=(e.index + 1) // 2 / 30) for f in e.frames))
        for e in make_estimates(30, fused=False)
    ]
    record(tmp_path, estimates)
    assert run(tmp_path, "trc", tmp_path / "out.trc", "--camera", "cam1") == 0
    head, _, time, _ = read_trc(tmp_path / "out.trc")
    there = [e.t for e in estimates if e.frames[1]]
    np.testing.assert_allclose(time, np.array(there) - there[0], atol=1e-6)
    assert float(head["DataRate"]) == pytest.approx(60, rel=1e-4)


def test_c3d(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    estimates = [e for e in make_estimates(40) if e.index not in (10, 11)]
    record(tmp_path, estimates)
    assert run(tmp_path, "c3d", tmp_path / "out.c3d") == 0
    assert "40 frames at 30 Hz, 2 of them without a row" in capsys.readouterr().out
    file = ezc3d.c3d(str(tmp_path / "out.c3d"))
    point = file["parameters"]["POINT"]
    assert tuple(point["LABELS"]["value"]) == JOINTS
    assert point["UNITS"]["value"] == ["mm"]
    assert point["RATE"]["value"][0] == pytest.approx(30, rel=1e-5)
    points, residuals = file["data"]["points"], file["data"]["meta_points"]["residuals"]
    assert points.shape == (4, 17, 40)
    poses = {e.index: pose for e, _, pose in poses_of(estimates)}
    for frame in range(40):
        pose = poses.get(frame)
        if pose is None:
            assert (residuals[0, :, frame] == -1).all()
        else:
            assert (residuals[0, :, frame] == 0).all()
            np.testing.assert_allclose(points[:3, :, frame].T, pose.joints, rtol=1e-6)


def test_a_take_too_long_for_c3d(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ezc3d")
    estimates = make_estimates(3, fused=True)
    late = replace(estimates[2], index=80_000, t=estimates[1].t + 70_000 / 30)
    record(tmp_path, [*estimates[:2], late])
    assert run(tmp_path, "c3d", tmp_path / "out.c3d") == 2
    assert "holds 65535 frames, 36 minutes" in (said := capsys.readouterr().err)
    assert "--start SECONDS and --end SECONDS" in said
    assert run(tmp_path, "c3d", tmp_path / "out.c3d", "--end", "1") == 0
    assert "2 frames at 30 Hz" in capsys.readouterr().out


def test_c3d_without_its_package_tells_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, make_estimates(5))
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    assert run(tmp_path, "c3d", tmp_path / "out.c3d") == 2
    assert "pip install ezc3d" in capsys.readouterr().err


def test_markers_get_the_names_of_pose2sim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "r", make_estimates(10, people=2))
    assert run(tmp_path / "r", "trc", tmp_path / "a.trc", "--names", "pose2sim", "--select", "0") == 0
    names = read_trc(tmp_path / "a.trc")[1]
    assert names[:4] == ["Hip", "RHip", "RKnee", "RAnkle"] and (names[8], names[16]) == ("Neck", "RWrist")
    for joint, name in zip(JOINTS, names, strict=True):
        side, _, part = joint.partition("_")
        if side in ("left", "right"):
            assert name == side[0].upper() + part.capitalize()
    assert run(tmp_path / "r", "trc", tmp_path / "b.trc", "--names", "pose2sim", "--prefix") == 0
    assert read_trc(tmp_path / "b.trc")[1][17] == "person3:Hip"
    assert run(tmp_path / "r", "csv", tmp_path / "a.csv", "--names", "pose2sim") == 2
    assert "--names is for trc and c3d" in capsys.readouterr().err


def test_uneven_times_are_said_and_resampled_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Most of the moments 33 ms apart, a third 100 ms, and one gap of a second; the person walks along x.
    steps = np.tile([1 / 30, 1 / 30, 0.1], 14)
    steps[20] = 1.0
    times = np.concatenate([[0.0], np.cumsum(steps)])
    made = []
    for k, (e, t) in enumerate(zip(make_estimates(len(times)), times, strict=True)):
        (person,) = e.people or make_estimates(1)[0].people
        joints = np.zeros((17, 3), np.float32) + [1000 * t, 5, 7]
        pose = Pose(
            joints.astype(np.float32), np.tile(np.eye(3, dtype=np.float32), (17, 1, 1)), ("cam0", "cam1"), "map"
        )
        made.append(replace(e, index=k, t=float(t), people=(replace(person, pose=pose),)))
    record(tmp_path / "r", made)
    assert run(tmp_path / "r", "trc", tmp_path / "a.trc") == 0
    mean = len(steps) / times[-1]
    said = f"its times are uneven: 30 Hz without the gaps, {mean:.6g} Hz on the whole; --rate HZ resamples"
    assert said in capsys.readouterr().out
    np.testing.assert_allclose(read_trc(tmp_path / "a.trc")[2], times, atol=1e-6)
    assert run(tmp_path / "r", "trc", tmp_path / "b.trc", "--rate", "50") == 0
    assert f"resampled from 43 to {int(times[-1] * 50) + 1} frames at 50 Hz" in (said := capsys.readouterr().out)
    assert "are uneven" not in said
    head, _, time, points = read_trc(tmp_path / "b.trc")
    assert float(head["DataRate"]) == pytest.approx(50) and np.allclose(np.diff(time), 0.02)
    before, after = times[20], times[21]
    gap = (time > before + 1e-6) & (time < after - 1e-6)
    assert gap.sum() > 40 and np.isnan(points[gap]).all(), "nobody was seen in the gap"
    np.testing.assert_allclose(points[~gap, 0, 2], time[~gap], atol=2e-6, err_msg="on the line between the rows")
    assert run(tmp_path / "r", "csv", tmp_path / "a.csv", "--rate", "50") == 2
    assert ": csv holds what was recorded" in capsys.readouterr().err
    for wrong in ("0", "-5", "fast"):
        with pytest.raises(SystemExit):
            run(tmp_path / "r", "trc", tmp_path / "c.trc", f"--rate={wrong}")
    ezc3d = pytest.importorskip("ezc3d")
    assert run(tmp_path / "r", "c3d", tmp_path / "b.c3d", "--rate", "50") == 0
    file = ezc3d.c3d(str(tmp_path / "b.c3d"))
    assert file["parameters"]["POINT"]["RATE"]["value"][0] == pytest.approx(50)
    assert ((file["data"]["meta_points"]["residuals"][0] == -1).all(0) == gap).all()


def test_even_times_are_not_called_uneven_and_one_moment_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "r", make_estimates(60))
    assert run(tmp_path / "r", "trc", tmp_path / "a.trc") == 0
    assert "are uneven" not in capsys.readouterr().out
    assert run(tmp_path / "r", "trc", tmp_path / "b.trc", "--rate", "30") == 0
    a, b = (read_trc(tmp_path / name)[3] for name in ("a.trc", "b.trc"))
    np.testing.assert_allclose(a, b, atol=2e-6)
    assert run(tmp_path / "r", "trc", tmp_path / "c.trc", "--rate", "30", "--start", "0.03", "--end", "0.05") == 0
    assert len(read_trc(tmp_path / "c.trc")[3]) == 1
