"""Hypotheses drawn to what was seen: how far, which joints, and when not at all."""

import dataclasses

import numpy as np
import pytest

from calibration.geometry.camera import camera_from_fov, camera_to_image
from engines import skeleton as sk
from engines.lifter import MDNLifter, lifter_input
from engines.on_rays import FAR_MM, SHARE, towards_rays
from engines.runtimes import NetworkOptions
from engines.types import Detection
from tests.bodies import standing

PLACE = np.array([300.0, -200.0, 4000.0])
NEVER = [sk.PELVIS, sk.THORAX]


def person():
    """A pose (17, 3) in camera axes whose pelvis and thorax are the middles that they are taken for, and its rays."""
    pose = standing(1)[0][:, [0, 2, 1]] * [1, -1, 1]
    pose[sk.PELVIS] = pose[[sk.R_HIP, sk.L_HIP]].mean(0)
    pose[sk.THORAX] = pose[[sk.R_SHOULDER, sk.L_SHOULDER]].mean(0)
    pose = pose - pose[sk.PELVIS]
    return pose, (pose + PLACE) / (pose + PLACE)[:, 2:]


def drawn(poses, rays, seen=None):
    seen = np.ones(17, bool) if seen is None else seen
    return towards_rays(np.atleast_3d(poses)[None], rays[None], seen[None])[0]


def test_what_lies_on_its_rays_stays():
    pose, rays = person()
    np.testing.assert_allclose(drawn(pose[None], rays)[0], pose, atol=1e-6)
    np.testing.assert_allclose(drawn(1.1 * pose[None], rays)[0], 1.1 * pose, atol=1e-6, err_msg="size stays a guess")


def test_a_joint_goes_half_of_the_way_across_the_line_of_sight_and_keeps_its_depth():
    pose, rays = person()
    off = pose.copy()
    across = np.cross(rays[sk.L_WRIST], [0, 1, 0])
    across /= np.linalg.norm(across)
    off[sk.L_WRIST] += 12 * across + 100 * rays[sk.L_WRIST] / np.linalg.norm(rays[sk.L_WRIST])
    moved = drawn(off[None], rays)[0] - off
    assert moved[sk.L_WRIST] @ across == pytest.approx(-12 * SHARE / (1 + (12 / FAR_MM) ** 2), abs=1.5)
    assert abs(moved[sk.L_WRIST, 2]) < 1.5
    assert np.abs(np.delete(moved, sk.L_WRIST, 0)).max() < 2


def test_a_detectors_error_is_not_followed():
    pose, rays = person()
    wrong = rays.copy()
    wrong[sk.R_ANKLE, 0] += 600 / 4000
    moved = np.linalg.norm(drawn(pose[None], wrong)[0] - pose, axis=-1)
    assert moved.max() < 30
    wrong[sk.R_ANKLE] = np.nan
    np.testing.assert_allclose(drawn(pose[None], wrong)[0], pose, atol=1e-6)


def test_what_was_not_seen_moves_with_what_it_hangs_on():
    pose, rays = person()
    off = pose.copy()
    off[[sk.L_ELBOW, sk.L_WRIST]] += [20, 0, 0]
    seen = np.ones(17, bool)
    seen[[sk.L_WRIST, sk.SPINE, sk.NECK, sk.HEAD]] = False
    moved = drawn(off[None], rays, seen)[0] - off
    np.testing.assert_allclose(moved[sk.L_WRIST], moved[sk.L_ELBOW], atol=1e-9)
    assert moved[sk.L_ELBOW, 0] < -5
    np.testing.assert_allclose(moved[sk.NECK], moved[sk.THORAX], atol=1e-9)
    np.testing.assert_allclose(moved[sk.SPINE], (moved[sk.PELVIS] + moved[sk.THORAX]) / 2, atol=1e-9)
    assert (moved[sk.PELVIS] == 0).all(), "root-relative"


def test_too_little_or_somebody_behind_the_camera_is_left_alone():
    pose, rays = person()
    off = pose + np.random.default_rng(0).normal(size=(17, 3)) * 20
    off -= off[sk.PELVIS]
    one = np.zeros(17, bool)
    one[[*NEVER, sk.L_KNEE]] = True
    np.testing.assert_array_equal(drawn(off[None], rays, one)[0], off)
    np.testing.assert_array_equal(drawn(off[None], rays * [-1, -1, 1])[0], off)
    assert np.abs(drawn(off[None], rays)[0] - off).max() > 1


def test_every_hypothesis_of_everybody_is_drawn_by_itself():
    pose, rays = person()
    rng = np.random.default_rng(1)
    many = pose + rng.normal(size=(3, 5, 17, 3)) * 25
    many -= many[:, :, :1]
    all_rays = np.stack([rays, rays * [1.02, 0.98, 1], rays])
    together = towards_rays(many, all_rays, np.ones((3, 17), bool))
    for n in range(3):
        for m in range(5):
            np.testing.assert_allclose(drawn(many[n, m][None], all_rays[n])[0], together[n, m], atol=1e-9)


def test_the_lifter_draws_where_it_is_given_rays_and_nowhere_else():
    camera = dataclasses.replace(camera_from_fov("c", (1000, 1000), 60), up=np.array([0.0, -1, 0]))
    pose, _ = person()
    xy = camera_to_image(camera, pose + PLACE).astype(np.float32)
    given = lifter_input(Detection(xy, np.ones(17, np.float32), np.zeros(17, bool), "test"), camera, 0.2)
    lifter = MDNLifter(None, NetworkOptions("onnx", "fp32"))
    plain = dataclasses.replace(given, rays=None)
    with_rays, without, again = lifter([given, plain, given])
    np.testing.assert_allclose(with_rays.mean, again.mean, atol=1e-3)
    assert given.rays is not None
    np.testing.assert_allclose(with_rays.mean, drawn(without.mean, given.rays, given.seen), atol=0.05)
    assert np.abs(with_rays.mean - without.mean).max() > 1
    np.testing.assert_allclose(with_rays.sigma, without.sigma, atol=1e-2)
