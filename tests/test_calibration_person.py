from dataclasses import replace

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.geometry.camera import world_to_image
from calibration.geometry.rotations import angle_degrees, rotation_matrix
from calibration.solving import person
from calibration.solving.beside import at_times
from calibration.solving.body import Body, body_up, bone_spread
from calibration.solving.bones import bone_terms
from calibration.solving.floor import floor_from_ankles, floor_from_board, move_world
from calibration.solving.person import solve_from_person
from calibration.solving.sureness import pair_errors
from tests.calibration_scene import BOARD, aligned_errors, board_walk, pose_errors, room, see, unplaced

BODY = Body(hips=(1, 4), knees=(2, 5), ankles=(3, 6), shoulders=(14, 11), elbows=(15, 12), wrists=(16, 13))
HEIGHT = 1750.0


def walker(frames=150):
    """A made-up walker of average proportions, 1750 mm tall, walking a figure of eight on z = 0; (F, 17, 3) mm."""
    t = np.arange(frames) / 30
    place = np.stack([1300 * np.sin(1.4 * t), 900 * np.sin(2.8 * t), np.zeros(frames)], 1)
    heading = np.arctan2(np.gradient(place[:, 1]), np.gradient(place[:, 0]))
    out = np.zeros((frames, 17, 3))
    H = HEIGHT
    phase = 2 * np.pi * 0.9 * t
    for side, hip, knee, ankle, shoulder, elbow, wrist in ((-1, 1, 2, 3, 14, 15, 16), (1, 4, 5, 6, 11, 12, 13)):
        swing = 0.45 * np.sin(phase + (0 if side < 0 else np.pi))
        bend = swing - np.maximum(0, 0.7 * np.cos(phase + (0 if side < 0 else np.pi)))

        def down(start, angle, length):
            return start + length * np.stack([np.sin(angle), np.zeros(frames), -np.cos(angle)], 1)

        out[:, hip] = [0, side * 0.095 * H, 0.53 * H]
        out[:, knee] = down(out[:, hip], swing, 0.245 * H)
        out[:, ankle] = down(out[:, knee], bend, 0.246 * H)
        out[:, shoulder] = [0, side * 0.129 * H, 0.53 * H + np.sqrt(0.288**2 - 0.034**2) * H]
        out[:, elbow] = down(out[:, shoulder], -0.7 * swing, 0.186 * H)
        out[:, wrist] = down(out[:, elbow], -0.7 * swing + 0.4, 0.146 * H)
    # The lower foot is on the floor, its ankle 80 mm above it.
    out[:, :, 2] += 80 - out[:, [3, 6], 2].min(1)[:, None]
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = out[..., 0].copy(), out[..., 1].copy()
    out[..., 0], out[..., 1] = c * x - s * y, s * x + c * y
    return out + place[:, None]


def look(cameras, joints, rng, noise=2.0, outliers=0.03, missing=0.1):
    xy = np.stack([world_to_image(c, joints) for c in cameras])
    xy += rng.normal(0, noise, xy.shape)
    bad = rng.random(xy.shape[:-1]) < outliers
    xy[bad] += rng.normal(0, 80, (int(bad.sum()), 2))
    inside = ((xy > 0) & (xy < np.array([c.size for c in cameras])[:, None, None])).all(-1)
    score = np.where(inside & (rng.random(bad.shape) > missing), 0.8, 0.0)
    score[:, :, [0, 7, 8, 9, 10]] = 0
    return xy, score


@pytest.mark.parametrize("n", [2, 4])
def test_a_walker_places_the_cameras(n):
    true = room(n, arc=80.0 if n == 2 else 240.0)
    xy, score = look(true, walker(), np.random.default_rng(n))
    result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
    turn, move = pose_errors(result.cameras, true)
    # Joints with 2 px of noise are no board: half a degree, and one per cent of the distances.
    assert turn < 0.5 and move < 60
    assert max(result.rms_px.values()) < 4
    up = result.cameras[0].R.T @ true[0].R @ np.array([0, 0, 1.0])
    assert result.up is not None and np.degrees(np.arccos(result.up @ up)) < 3
    floor = floor_from_ankles(result.cameras, result.joints[:, list(BODY.ankles)], result.up)
    assert floor.cameras[0].up is not None
    for placed, camera in zip(floor.cameras, true, strict=True):
        tilt = np.degrees(np.arccos(np.clip((placed.R[:, 2] @ camera.R[:, 2]), -1, 1)))
        assert tilt < 1.5 and placed.centre[2] == pytest.approx(camera.centre[2], abs=60)


def test_an_adjustment_that_ran_out_of_steps_is_remarked_on(monkeypatch):
    true = room(2, arc=80.0)
    xy, score = look(true, walker(), np.random.default_rng(2))
    said = []
    for steps in (40, 1):
        monkeypatch.setattr(person, "_STEPS", steps)
        result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
        said.append(any("had not settled" in remark for remark in result.remarks))
    assert said == [False, True]


def test_a_real_walk_places_the_cameras(data_folder):
    data = np.load(data_folder / "mocap" / "sequences_30fps_test.npz")
    names = [str(name) for name in data["seq_names"]]
    joints = data["joints"][data["seq"] == names.index("09_12")][::3].astype(float)
    joints[..., :2] -= joints[..., :2].mean((0, 1))
    # The scale under test is the geometry's, so the height is the one whose average body this skeleton is.
    legs = [np.linalg.norm(joints[:, a] - joints[:, b], axis=-1).mean() for a, b in BODY.bones()[0]]
    height = sum(legs[k] for k in (0, 1, 2, 3, 6, 7)) / (2 * (0.245 + 0.246 + 0.288))
    true = room(4, arc=240.0, radius=4500.0)
    xy, score = look(true, joints, np.random.default_rng(0))
    result = solve_from_person(unplaced(true), xy, score, BODY, height)
    turn, move = pose_errors(result.cameras, true)
    assert turn < 0.5 and move < 60


def test_cameras_that_never_see_the_person_together_are_named():
    true = room(3, arc=120)
    xy, score = look(true, walker(), np.random.default_rng(0))
    score[2, 20:] = 0
    score[:2, :20] = 0
    with pytest.raises(CalibrationError, match=r"not linked to camera c0: c2 \(20 frames"):
        solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
    with pytest.raises(CalibrationError, match="--height 1750"):
        solve_from_person(unplaced(true), xy, score, BODY, 1.75)


def test_recordings_out_of_step_do_not_pass_quietly():
    true = room(3, arc=120)
    xy, score = look(true, walker(), np.random.default_rng(0))
    xy[1], score[1] = np.roll(xy[1], 45, axis=0), np.roll(score[1], 45, axis=0)
    try:
        result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
    except CalibrationError:
        return
    assert any("is large" in remark for remark in result.remarks)
    assert any("fits to" in problem for problem in result.problems)


def some_world(cameras):
    A = rotation_matrix(np.array([0.4, -0.8, 1.1]))
    return move_world(cameras, A, np.array([500.0, 100, -900]), None)


@pytest.mark.parametrize("n", [1, 3])
def test_a_board_on_the_floor_makes_the_world(n):
    rng = np.random.default_rng(n)
    true = room(3, arc=120)
    # Face up: the board's z points into the floor.
    R = rotation_matrix(np.array([0, 0, 0.6])) @ np.diag([1.0, -1, -1])
    views = {c.name: see(c, BOARD, R, np.array([120.0, 300, 4.0]), rng, 0.2) for c in true[:n]}
    frame = {name: view for name, view in views.items() if view is not None}
    assert len(frame) == n
    floor = floor_from_board(some_world(true), BOARD, frame, thickness_mm=4.0)
    assert bool(floor.remarks) == (n == 1)
    for placed, camera in zip(floor.cameras, true, strict=True):
        assert placed.centre[2] == pytest.approx(camera.centre[2], abs=25 if n == 1 else 10)
    # The origin is the board's outer corner on the floor.
    expected = move_world(
        true, rotation_matrix(np.array([0, 0, -0.6])), -rotation_matrix(np.array([0, 0, -0.6])) @ [120, 300, 0], None
    )
    for placed, camera in zip(floor.cameras, expected, strict=True):
        assert angle_degrees(placed.R, camera.R) < 0.5
        np.testing.assert_allclose(placed.centre, camera.centre, atol=25 if n == 1 else 10)


def test_a_floor_board_of_another_size_or_unseen_is_refused():
    rng = np.random.default_rng(0)
    true = room(3, arc=120)
    frame = board_walk(true, BOARD, 1, rng)[0]
    with pytest.raises(CalibrationError, match="no camera sees"):
        floor_from_board(true, BOARD, {})
    bad = {k: replace(v, xy=v.xy + 40 * i) for i, (k, v) in enumerate(frame.items())}
    with pytest.raises(CalibrationError, match="disagree on the board"):
        floor_from_board(true, BOARD, bad)


def test_the_floor_of_one_line_keeps_the_bodys_up():
    true = room(2)
    ankles = walker(90)[:, [3, 6]]
    # Walk in place, then slide along x: no width across.
    ankles[..., 1] *= 0.02
    floor = floor_from_ankles(
        true, ankles + np.random.default_rng(0).normal(0, 5, ankles.shape), np.array([0, 0.02, 1.0])
    )
    assert any("one line" in remark for remark in floor.remarks)
    tilt = np.degrees(np.arccos(np.clip(floor.cameras[0].R[:, 2] @ true[0].R[:, 2], -1, 1)))
    assert tilt < 1.5
    with pytest.raises(CalibrationError, match="located 3 times"):
        floor_from_ankles(true, ankles[:3], np.array([0, 0, 1.0]))
    with pytest.raises(CalibrationError, match="located 0 times"):
        floor_from_ankles(true, ankles * np.nan, np.array([0, 0, 1.0]))
    assert aligned_errors(floor.cameras, true)[1] < 1


def test_a_leg_lifted_to_the_side_does_not_tilt_the_floor():
    true = room(2)
    ankles = walker(90)[:, [3, 6]]
    # For a second the right foot swings out to the side and up by half a metre, and back.
    swing = np.sin(np.linspace(0, np.pi, 40))
    ankles[40:80] = ankles[40]
    ankles[40:80, 0] += swing[:, None] * [0, -800, 350]
    floor = floor_from_ankles(true, ankles, np.array([0.03, 0.0, 1.0]))
    assert np.degrees(np.arccos(np.clip(floor.cameras[0].R[:, 2] @ true[0].R[:, 2], -1, 1))) < 2.5


@pytest.mark.parametrize("lean", [6.0, 14.0])
def test_who_leans_into_the_walk_still_tells_up(lean):
    joints = walker(90)
    # A straight way, then every moment turned about the ankles' middle, forwards.
    joints -= joints.mean(1, keepdims=True) * [1, 1, 0]
    heading = joints[:, 4] - joints[:, 1]
    for f in range(90):
        side = heading[f] / np.linalg.norm(heading[f])
        middle = joints[f, [3, 6]].mean(0)
        forward = np.cross(side, [0, 0, 1.0])
        joints[f] = (joints[f] - middle) @ rotation_matrix(-np.radians(lean) * side).T + middle
        turn = np.arctan2(forward[1], forward[0])
        c, s = np.cos(-turn), np.sin(-turn)
        joints[f] = joints[f] @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T + [40.0 * f, 0, 0]
    up = body_up(joints, BODY)
    assert np.degrees(np.arccos(up[2])) < 1.5


def test_limbs_that_change_their_length_are_refused():
    joints = walker(60)
    assert bone_spread(joints, BODY) < 0.01
    wild = joints + np.random.default_rng(0).normal(0, 250, joints.shape)
    assert bone_spread(wild, BODY) > 0.25


def test_up_is_the_bodys_and_a_leaning_body_is_refused():
    joints = walker(90)
    assert np.degrees(np.arccos(body_up(joints, BODY)[2])) < 3
    for f in range(90):
        joints[f] = joints[f] @ rotation_matrix(np.array([0.6 * np.sin(0.1 * f), 0, 0])).T
    with pytest.raises(CalibrationError, match="leans or bends"):
        body_up(joints, BODY)
    joints[:, 3] = np.nan
    with pytest.raises(CalibrationError, match="never located together"):
        body_up(joints, BODY)


def seen_at(cameras, late_s, seconds=10.0, step=0.1):
    """The walker in every camera, each late by its seconds, every ``step`` seconds."""
    fine = walker(round(30 * (seconds + 1)))
    views = []
    for camera, late in zip(cameras, late_s, strict=True):
        at = 30 * (0.5 + np.arange(round(seconds / step)) * step - late)
        k, w = at.astype(int), (at % 1)[:, None, None]
        views.append(look([camera], (1 - w) * fine[k] + w * fine[k + 1], np.random.default_rng(len(views))))
    return np.concatenate([xy for xy, _ in views]), np.concatenate([score for _, score in views])


def test_a_walk_tells_up_to_less_than_a_degree():
    true = room(3, arc=200.0)
    xy, score = seen_at(true, [0.0] * 3, seconds=8.0)
    result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
    up = result.cameras[0].R.T @ true[0].R @ [0, 0, 1.0]
    assert result.up is not None and np.degrees(np.arccos(min(result.up @ up, 1.0))) < 0.7
    assert result.up_degrees < 0.7
    # Nothing is corrected that was right.
    assert not result.late_s and result.focal == 1 and not result.problems


def test_a_late_camera_and_longer_lenses_are_found_and_corrected():
    true = room(3, arc=200.0)
    xy, score = seen_at(true, [0.0, 0.08, 0.0], seconds=6.0)
    told = [replace(c, K=c.K * [[1.05, 1, 1], [1, 1.05, 1], [1, 1, 1]]) for c in unplaced(true)]
    result = solve_from_person(told, xy, score, BODY, HEIGHT)
    assert list(result.late_s) == ["c1"] and result.late_s["c1"] == pytest.approx(0.08, abs=0.005)
    assert result.focal == pytest.approx(1 / 1.05, abs=0.01)
    turn, move = pose_errors(result.cameras, true)
    assert turn < 0.5 and move < 60


def test_lenses_of_another_camera_are_refused():
    true = room(3, arc=200.0)
    xy, score = seen_at(true, [0.0] * 3, seconds=4.0)
    told = [replace(c, K=c.K * [[1.6, 1, 1], [1, 1.6, 1], [1, 1, 1]]) for c in unplaced(true)]
    try:
        result = solve_from_person(told, xy, score, BODY, HEIGHT)
    except CalibrationError:
        return
    assert result.problems


def test_what_a_walk_does_not_tell_is_refused_and_the_prediction_holds():
    true = room(2, arc=80.0)
    errors, predicted, said = [], [], []
    for seed, (frames, noise) in enumerate(((90, 3.0), (90, 3.0), (90, 3.0), (60, 9.0))):
        xy, score = look(true, walker(frames)[::6], np.random.default_rng(seed), noise=noise, outliers=0.0, missing=0.0)
        result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT, step_s=0.2)
        turn = result.cameras[1].R @ result.cameras[0].R.T
        errors.append(float(angle_degrees(turn, true[1].R @ true[0].R.T)))
        predicted.append(float(result.pair_degrees[0, 1]))
        said.append([problem for problem in result.problems if "may be turned to each other by" in problem])
    assert (np.array(errors) < predicted).all() and predicted[-1] > 5 > 2 * max(predicted[:3])
    assert said[:3] == [[], [], []]
    assert result.too_short and "cameras c0 and c1" in said[3][0] and "let the person walk longer" in said[3][0]


def test_the_predicted_error_of_a_pair_is_that_of_95_of_100_cases():
    rng = np.random.default_rng(0)
    true = room(2, arc=80.0)
    A = rng.normal(0, 0.02, (14, 14)) * np.where(np.arange(14) % 7 == 0, 3.0, 1.0)[:, None]
    (_, told), _ = pair_errors(true, A @ A.T, 7)
    drawn = rng.normal(size=(4000, 14)) @ A.T
    R = [rotation_matrix(drawn[:, 7 * v : 7 * v + 3]) @ camera.R for v, camera in enumerate(true)]
    errors = angle_degrees(R[1] @ R[0].transpose(0, 2, 1), true[1].R @ true[0].R.T)
    assert np.mean(errors < told) == pytest.approx(0.95, abs=0.015)


def test_bones_pull_points_to_their_length():
    bones = BODY.tied(HEIGHT)
    rng = np.random.default_rng(0)
    X = walker(8)[:, BODY.limbs].reshape(-1, 3) + rng.normal(0, 30, (96, 3))
    seen, change = rng.random(96) > 0.1, rng.normal(0, 0.05, len(bones.pairs))

    def cost(X, change):
        at = X.reshape(-1, bones.joints, 3)
        length = np.linalg.norm(at[:, bones.pairs[:, 0]] - at[:, bones.pairs[:, 1]], axis=-1)
        there = seen.reshape(-1, bones.joints)[:, bones.pairs].all(-1)
        r = (length - bones.lengths * np.exp(change)) / bones.sigma_mm
        return float((2 * np.log(3 + r**2))[there].sum())

    terms = bone_terms(bones, X, seen, change)
    for way in rng.normal(size=(4, *X.shape)):
        slope = (cost(X + 1e-4 * way, change) - cost(X - 1e-4 * way, change)) / 2e-4
        assert slope == pytest.approx(float((terms.points_gradient.reshape(-1, 3) * way).sum()), rel=1e-4)
    for k, step in enumerate(1e-5 * np.eye(len(change))):
        slope = (cost(X, change + step) - cost(X, change - step)) / 2e-5
        assert slope == pytest.approx(terms.lengths_gradient[k], rel=1e-4, abs=1e-6)


def test_views_are_moved_in_time():
    t = 0.1 * np.arange(30)
    xy = np.stack([np.sin(2 * t), np.cos(3 * t)], -1)[None, :, None]
    moved = at_times(xy, np.array([0.035]), 0.1)
    expected = np.stack([np.sin(2 * (t + 0.035)), np.cos(3 * (t + 0.035))], -1)
    np.testing.assert_allclose(moved[0, 1:-2, 0], expected[1:-2], atol=2e-3)
    assert np.isnan(moved[0, -1]).all()
    assert at_times(xy, np.zeros(1), 0.1) is not xy and np.array_equal(at_times(xy, np.zeros(1), 0.1), xy)
