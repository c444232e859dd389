"""Around the network: what it is told of a detection, and what is made of its answer. Without the network."""

import dataclasses

import numpy as np
import pytest

from calibration.geometry.camera import camera_from_fov, camera_to_image
from engines.lifter import Decoding, decode, encode, lifter_input, place_root
from engines.types import Detection

CAMERA = camera_from_fov("c", (1000, 800), 60)


@pytest.fixture
def pose(rng):
    """(17, 3) mm, root-relative."""
    made = rng.normal(size=(17, 3)) * [200, 400, 200]
    made[0] = 0
    return made


def seen_at(pose, root, score=0.9, derived=()):
    xy = camera_to_image(CAMERA, pose + root)
    mask = np.zeros(17, bool)
    mask[list(derived)] = True
    return Detection(xy.astype(np.float32), np.full(17, score, np.float32), mask, "test")


def test_the_input_is_coordinates_visible_bits_and_the_pitch(rng):
    xy, seen = rng.normal(size=(2, 17, 2)), rng.random((2, 17)) > 0.5
    x = encode(xy, seen, np.array([0.3, np.nan]))
    assert x.shape == (2, 54) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, :34], xy.reshape(2, 34), rtol=1e-6)
    np.testing.assert_array_equal(x[:, 34:51], seen)
    np.testing.assert_allclose(x[0, 51:], [1, np.sin(0.3), np.cos(0.3)], rtol=1e-6)
    np.testing.assert_array_equal(x[1, 51:], [0, 0, 0], "a camera that does not know gravity says so")


def test_a_mixture_is_scaled_turned_and_weighted(rng):
    turn = np.array([[[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]])
    mean, sigma = rng.normal(size=(1, 3, 16, 3)), rng.random((1, 3, 16)) + 0.1
    log_weight = np.log([[0.5, 0.3, 0.2]]) + 400.0
    found = decode(mean, sigma, log_weight, turn, Decoding(300.0, 1.5, 0.5))
    np.testing.assert_allclose(
        found[0][:, :, 1:], 300 * np.stack([mean[..., 2], mean[..., 0], mean[..., 1]], -1), rtol=1e-6
    )
    np.testing.assert_allclose(found[1][:, :, 1:], 450 * sigma, rtol=1e-6)
    assert not found[0][:, :, 0].any() and not found[1][:, :, 0].any(), "the root is where it is, surely"
    squared = np.array([0.25, 0.09, 0.04])
    np.testing.assert_allclose(found[2][0], squared / squared.sum())
    plain = decode(mean, sigma, log_weight, turn, Decoding(300.0))
    np.testing.assert_allclose(plain[1][:, :, 1:], 300 * sigma, rtol=1e-6)
    np.testing.assert_allclose(plain[2][0], [0.5, 0.3, 0.2])


def test_a_joint_is_seen_from_the_least_score_on(pose):
    detection = seen_at(pose, [0, 0, 4000.0])
    score = detection.score.copy()
    score[:4] = [0.0, 0.19, np.float32(0.2), 0.21]
    detection = dataclasses.replace(detection, score=score)
    assert lifter_input(detection, CAMERA, float(np.float32(0.2))).seen.tolist() == [False, False, *[True] * 15]
    assert lifter_input(detection, CAMERA, 0.0).seen.tolist() == [False, *[True] * 16], "0 is never seen"
    xy = lifter_input(detection, CAMERA, 0.2).xy
    assert not xy[:2].any() and xy[3:].any(1).all()


def test_the_camera_tells_gravity(pose):
    detection = seen_at(pose, [0, 0, 4000.0])
    assert np.isnan(lifter_input(detection, CAMERA, 0.2).pitch)
    down = np.radians(20)
    tilted = dataclasses.replace(CAMERA, up=np.array([0, -np.cos(down), -np.sin(down)]))
    # About where the person stands in the image: the direction is to the mean of the joints.
    assert lifter_input(detection, tilted, 0.2).pitch == pytest.approx(down, abs=0.1)


@pytest.mark.parametrize("root", [[0, 0, 4000.0], [-900, 300, 2500.0], [1500, -200, 9000.0]])
def test_the_root_stands_where_the_joints_are_seen(pose, root):
    np.testing.assert_allclose(place_root(pose, seen_at(pose, root), CAMERA, 0.2), root, atol=0.5)


def test_joints_that_were_made_up_of_others_do_not_place_the_root(pose):
    root = np.array([300, -100, 4000.0])
    detection = seen_at(pose, root, derived=[0, 8])
    xy = detection.xy.copy()
    xy[[0, 8]] += [80, -120]  # the middle of two wrong joints
    np.testing.assert_allclose(place_root(pose, dataclasses.replace(detection, xy=xy), CAMERA, 0.2), root, atol=0.5)
    measured = dataclasses.replace(detection, xy=xy, derived=np.zeros(17, bool))
    assert np.linalg.norm(place_root(pose, measured, CAMERA, 0.2) - root) > 20, "as measurements they would"


def test_joints_below_the_least_score_do_not_place_the_root_and_the_others_by_their_scores(pose):
    root = np.array([0, 0, 4000.0])
    detection = seen_at(pose, root)
    xy, score = detection.xy.copy(), detection.score.copy()
    xy[5] += 200
    wrong = dataclasses.replace(detection, xy=xy)
    off = []
    for doubt in (0.19, 0.21, 0.9):
        score[5] = doubt
        off.append(np.linalg.norm(place_root(pose, dataclasses.replace(wrong, score=score), CAMERA, 0.2) - root))
    assert off[0] < 0.5 < 10 < off[1] < 0.5 * off[2]


def test_a_root_behind_the_camera_or_of_one_joint_is_none(pose):
    detection = seen_at(pose, [0, 0, 4000.0])
    turned = dataclasses.replace(detection, xy=np.array(CAMERA.K[:2, 2] * 2 - detection.xy, np.float32))
    assert np.isnan(place_root(pose * [1, 1, 0.01], turned, CAMERA, 0.2)).all()
    one = dataclasses.replace(detection, score=np.eye(17, dtype=np.float32)[3])
    assert np.isnan(place_root(pose, one, CAMERA, 0.2)).all()
    assert np.isnan(place_root(pose, dataclasses.replace(detection, score=np.full(17, 0.19)), CAMERA, 0.2)).all()
