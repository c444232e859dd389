"""Accuracy beside peers, and the noise model beside detectors: arithmetic, with people and cameras that are known.

The recordings themselves are not fetched here.
"""

import numpy as np
import pytest

from benchmarks import accuracy, accuracy_parts, detector_noise, peers
from engines.skeleton import HEAD, JOINTS, L_HIP, L_WRIST, LIMBS, NECK, PELVIS, R_HIP, R_KNEE, SPINE, THORAX
from engines.types import Detection, EngineError
from tests.mistakes import refused
from tests.test_detector_views import facing_x, ring, seen_by


def detections(cameras, poses):
    """Of each frame set, what every camera sees."""
    xy = seen_by(cameras, poses).xy
    return [
        [Detection(xy[view, k].copy(), np.ones(17), np.zeros(17, bool), "known") for view in range(len(cameras))]
        for k in range(len(poses))
    ]


def test_an_exact_answer_costs_nothing_and_a_shifted_joint_what_it_is_off():
    cameras, poses = ring(), facing_x(20)
    answers = [(poses - poses[:, :1]) @ camera.R.T + [10, 20, 3000] for camera in cameras]
    assert np.abs(accuracy.compare(answers, cameras, poses)).max() < 1e-6
    off = [answer.copy() for answer in answers]
    off[2][:, L_WRIST] += [0, 0, 120]
    off[1] = off[1] * 1.2
    off[3][5:] = np.nan
    found = accuracy.compare(off, cameras, poses)
    assert found[2][0] == pytest.approx(120 / len(LIMBS))
    assert found[2][1] > 1
    assert found[1][0] > 50
    assert max(found[1][1], found[3][0]) < 1e-6


def test_what_was_kept_is_there_and_a_damaged_file_is_named(tmp_path):
    kept = accuracy.load_kept()
    assert kept.xy.shape == (4, 100, 17, 2)
    assert all(points.shape == (100, 17, 3) for points in kept.references.values())
    np.savez(tmp_path / "a.npz", xy=kept.xy)
    with pytest.raises(EngineError, match=r"a\.npz cannot be read"):
        accuracy.load_kept(tmp_path / "a.npz")


def test_the_report_and_the_picture(tmp_path):
    whose = ("MediaPipe lite", "MediaPipe full", "ours, a", "ours, a, with the frames before", "ours, c")
    row = {who: [100.0, 200.0, 300.0, 400.0 + k] for k, who in enumerate(whose)}
    results = {"frames": 7, "mpjpe": {"fused": row}, "p_mpjpe": {"fused": row}}
    text = accuracy.markdown(results)
    assert "| ours, a | 100 (100) | 200 (200) | 300 (300) | 402 (402) | 250.5 (250.5) |" in text
    accuracy.plot(tmp_path / "a.png", results)
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(EngineError, match=r"ends in \.png"):
        accuracy.plot(tmp_path / "a.xyz", results)


def test_flags_that_do_not_go_together_are_refused(capsys):
    for flags in (["--plot", "a.png"], ["--weights", "a.onnx"], ["--accuracy", "--only", "mediapipe"]):
        with pytest.raises(SystemExit):
            peers.main(flags)
        assert "--accuracy" in capsys.readouterr().err
    assert "no one.onnx" in refused(capsys, peers.main, "benchmarks.peers", "--only", "no one.onnx")


def test_people_of_several_views_are_told_apart():
    cameras, here = ring(), facing_x(3)
    there = here + [900, 300, 0]
    one, other = detections(cameras, here), detections(cameras, there)
    for k in range(3):
        views = [[b, a] if view % 2 else [a, b] for view, (a, b) in enumerate(zip(one[k], other[k], strict=True))]
        found = detector_noise.one_person(cameras, views)
        assert len(found) == 2
        for person in found:
            assert person in (one[k], other[k])
    assert detector_noise.one_person(cameras, [[*one[0][:1]], [], [], []]) == []


def test_errors_are_found_as_they_were_made():
    cameras, poses = ring(), facing_x(40)
    found = detections(cameras, poses)
    off, absent = detector_noise.errors(cameras, found)
    assert np.nanmax(np.abs(off)) < 1e-5
    assert not absent.any()
    for views in found[:20]:
        views[0].xy[R_KNEE] += [30.0, 0.0]
        views[0].xy[:] += [0.0, 50.0]  # what a calibration that is off does: no error of a joint
        views[1].score[L_WRIST] = 0.1
    off, absent = detector_noise.errors(cameras, found)
    table_of = detector_noise.quantiles(off, absent)
    assert table_of["wrist"]["missing"] > 0
    assert table_of["knee"]["99%"] > 1 > table_of["hip"]["50%"]
    assert set(table_of) == {"hip", "knee", "ankle", "shoulder", "elbow", "wrist"}
    simulated = detector_noise.quantiles(*detector_noise.simulated(1.0))
    assert simulated["wrist"]["50%"] > simulated["ankle"]["50%"]
    assert JOINTS[detector_noise.PAIRS["knee"][0]] == "right_knee"
    assert "| knee | " in detector_noise.markdown({"x": simulated})


def test_each_row_takes_its_own_kind_of_error_away_and_nothing_else():
    one = facing_x(1)[0]
    one[[PELVIS, SPINE, THORAX, NECK, HEAD]] = [[0, 0, z] for z in (900, 1150, 1400, 1500, 1650)]
    angle = np.linspace(0, 1, 20)
    around = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(20, 2, 2)
    truth = np.tile(one, (20, 1, 1))
    truth[..., :2] = truth[..., :2] @ around
    truth = accuracy_parts.hip_centred(truth)
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    frame, shift = accuracy_parts.body_axes(truth), np.random.default_rng(0).normal(size=(17, 3)) * 20
    shift[[L_HIP, R_HIP, PELVIS, THORAX]] = 0  # else the axes would move with them
    growing = np.linspace(0, 1, 20)[:, None, None]
    spoiled = {
        "one factor on the size": truth * 1.1,
        "the person's own bone lengths": truth * 0.9,
        "a constant shift of each joint in the body's axes": truth + np.einsum("tij,kj->tki", frame, shift),
        "one turn for the whole take": truth @ turn.T,
        "the best turn of each frame": truth @ turn.T,
        "a constant shift of each joint in the camera's axes": truth + shift,
        "depth known": truth + growing * [0, 0, 200],
        "all but depth known": truth + growing * [200, 100, 0],
    }
    assert set(spoiled) == set(accuracy_parts.ROWS) - {"as it is"}
    for name, answer in spoiled.items():
        assert np.abs(answer - truth).max() > 10
        np.testing.assert_allclose(accuracy_parts.ROWS[name](answer, truth), truth, atol=1e-6, err_msg=name)
    left = accuracy_parts.ROWS["the best turn of each frame"](truth * 1.2, truth)
    np.testing.assert_allclose(left, truth * 1.2, atol=1e-6, err_msg="turning does not change the size")
    only = accuracy_parts.ROWS["depth known"](truth + [0, 50, 200], truth)
    np.testing.assert_allclose(only - truth, np.broadcast_to([0, 50, 0], truth.shape), atol=1e-9)


def test_parts_of_the_error_as_a_table():
    row = {"as it is": [90.0, 60.0, 90.0, 80.0]}
    text = accuracy_parts.markdown([row, {"as it is": [50.0] * 4}])
    assert text.splitlines()[-1] == "| as it is | 90 | 60 | 90 | 80 | 80.0 | 50.0 |"
