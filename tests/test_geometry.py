"""Cameras, the virtual camera and the placing of a pose, against known truth."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.geometry import virtual
from calibration.geometry.camera import (
    Camera,
    camera_from_fov,
    camera_to_image,
    camera_to_world,
    image_to_ray,
    resize_pixels,
    scale_camera,
    world_to_camera,
    world_to_image,
)

LENS = replace(camera_from_fov("a", (1280, 720), 70), dist=np.array([-0.3, 0.1, 0.001, -0.002, 0.02]))


def rotation(axis, degrees):
    import cv2

    return cv2.Rodrigues(np.radians(degrees) * np.asarray(axis, float) / np.linalg.norm(axis))[0]


def person(rng, n):
    joints = rng.normal(size=(n, 17, 3)) * [250, 450, 200]
    return joints - joints[:, :1]


def test_pixels_survive_the_way_to_rays_and_back(rng):
    points = rng.uniform([-1200, -600, 2500], [1200, 600, 6000], (500, 3))
    xy = camera_to_image(LENS, points)
    np.testing.assert_allclose(camera_to_image(LENS, image_to_ray(LENS, xy)), xy, atol=1e-3)
    np.testing.assert_allclose(image_to_ray(LENS, xy)[:, :2], points[:, :2] / points[:, 2:], atol=1e-5)


def test_world_and_back(rng):
    camera = replace(LENS, R=rotation([1, 2, 3], 40), t=np.array([100.0, -50, 3000]))
    points = rng.normal(size=(10, 3)) * 500
    np.testing.assert_allclose(camera_to_world(camera, world_to_camera(camera, points)), points, atol=1e-9)
    np.testing.assert_allclose(world_to_camera(camera, camera.centre), 0, atol=1e-9)


def test_a_point_behind_the_camera_has_no_pixel():
    assert np.isnan(camera_to_image(LENS, np.array([[0.0, 0, -1000]]))).all()


def test_half_pixel_rule_agrees_with_the_scaled_camera(rng):
    half = scale_camera(LENS, (640, 360))
    points = rng.uniform([-900, -500, 2500], [900, 500, 6000], (50, 3))
    np.testing.assert_allclose(
        camera_to_image(half, points), resize_pixels(camera_to_image(LENS, points), 0.5), atol=1e-6
    )
    np.testing.assert_allclose(
        resize_pixels(np.array([[-0.5, -0.5], [1279.5, 719.5]]), 0.5), [[-0.5, -0.5], [639.5, 359.5]]
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"K": np.full((3, 3), np.nan)}, "K"),
        ({"R": np.diag([1.0, 1, -1])}, "R"),
        ({"size": (0, 10)}, "size"),
        ({"t": np.zeros(2)}, "t"),
        ({"dist": np.zeros(3)}, "dist"),
        ({"up": np.array([0.0, 0, 2])}, "up"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(change, word):
    with pytest.raises(CalibrationError, match=word):
        replace(LENS, **change)


def test_the_virtual_camera_undoes_roll_and_place_in_the_image(rng):
    """The same person from the same place, seen by a camera that is turned and rolled: the same input."""
    joints = person(rng, 1)[0] + [0, 0, 4000]
    straight = camera_from_fov("s", (1920, 1080), 90)
    up = np.array([0.0, -1, 0])
    views = []
    for turn in (np.eye(3), rotation([0, 0, 1], 25) @ rotation([0, 1, 0], 18) @ rotation([1, 0, 0], -9)):
        camera = replace(straight, R=turn, up=up)
        rays = image_to_ray(camera, world_to_image(camera, joints))
        views.append(virtual.look(rays, np.ones(17, bool), camera.up_in_camera))
    np.testing.assert_allclose(views[0].xy, views[1].xy, atol=1e-6)
    np.testing.assert_allclose(views[0].pitch, views[1].pitch, atol=1e-9)


def test_the_virtual_camera_is_centred_level_and_of_unit_spread(rng):
    camera = Camera("c", (1000, 1000), LENS.K, LENS.dist, rotation([1, 0, 0], 30), np.zeros(3), np.array([0.0, -1, 0]))
    rays = image_to_ray(camera, camera_to_image(camera, person(rng, 1)[0] + [800, -300, 5000]))
    seen = np.ones(17, bool)
    seen[[3, 9]] = False
    view = virtual.look(rays, seen, camera.up_in_camera)
    np.testing.assert_allclose(view.xy[seen].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose((view.xy[seen] ** 2).sum(-1).mean(), 1)
    assert (view.xy[~seen] == 0).all()
    up = view.R_virtual_to_camera.T @ camera.up_in_camera
    assert up[0] == pytest.approx(0, abs=1e-9)
    assert up[1] < 0, "up must be up in the virtual image"
    assert np.sin(view.pitch) == pytest.approx(-up[2])
    np.testing.assert_allclose(np.linalg.det(view.R_virtual_to_camera), 1)


def test_looking_down_is_positive_pitch():
    """World y points down here; a camera turned to look down sees up = -z tilt."""
    down_30 = rotation([1, 0, 0], 30)
    camera = replace(camera_from_fov("d", (100, 100), 60), R=down_30, up=np.array([0.0, -1, 0]))
    ahead = np.array([[0.0, 0, 1]])
    _, pitch = virtual.aim(ahead, np.ones(1, bool), camera.up_in_camera)
    forward_in_world = camera.R.T @ [0, 0, 1]
    assert pitch == pytest.approx(np.arcsin(forward_in_world[1]))
    assert abs(pitch) == pytest.approx(np.radians(30))


def test_without_gravity_pitch_is_nan_and_without_joints_nothing_breaks():
    view = virtual.look(np.full((17, 3), 1.0), np.zeros(17, bool))
    assert np.isnan(view.pitch)
    assert (view.xy == 0).all()
    assert np.isfinite(view.R_virtual_to_camera).all()


def test_a_pose_is_placed_where_it_stands(rng):
    points, roots = person(rng, 50), rng.uniform([-800, -300, 2500], [800, 300, 8000], (50, 3))
    world = points + roots[:, None]
    rays = world / world[..., 2:]
    weight = np.ones((50, 17))
    weight[:, 3] = 0
    rays[:, 3] = 7.0
    np.testing.assert_allclose(virtual.place(points, rays, weight), roots, rtol=1e-6)


def test_a_pose_with_noise_is_placed_nearly_and_with_one_joint_not_at_all(rng):
    points, roots = person(rng, 200), np.tile([100.0, 50, 4000], (200, 1))
    world = points + roots[:, None]
    rays = world / world[..., 2:] + np.pad(rng.normal(size=(200, 17, 2)) * 0.002, ((0, 0), (0, 0), (0, 1)))
    found = virtual.place(points, rays, np.ones((200, 17)))
    assert np.abs(np.median(found, 0) - roots[0]).max() < 15
    weight = np.zeros((200, 17))
    weight[:, 4] = 1
    assert np.isnan(virtual.place(points, rays, weight)).all()
