"""Rotations, triangulation and the virtual camera against formulas written another way."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from calibration.geometry import virtual
from calibration.geometry.camera import camera_from_fov, camera_to_image, image_to_ray, world_to_image
from calibration.geometry.rotations import angle_degrees, mean_rotation, rotation_matrix, rotation_vector, skew
from calibration.geometry.triangulation import (
    reprojection_error,
    triangulate_linear,
    triangulate_robust,
)
from tests.test_calibration_triangulate import ring, scene

# rotations


@pytest.mark.parametrize("length", [0.0, 1e-9, 1e-3, 1.0, 3.0, np.pi - 1e-6])
def test_rotations_are_opencvs(rng, length):
    v = rng.normal(size=(2, 3, 3))
    v *= length / np.linalg.norm(v, axis=-1, keepdims=True)
    R = rotation_matrix(v)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(R[index], cv2.Rodrigues(v[index])[0], atol=1e-12)
    np.testing.assert_allclose(rotation_vector(R), v, atol=1e-7)
    assert R.shape == (2, 3, 3, 3)


def test_skew_is_the_cross_product(rng):
    v, u = rng.normal(size=(4, 3)), rng.normal(size=3)
    np.testing.assert_allclose(skew(v) @ u, np.cross(v, u))


def test_the_angle_between_rotations_is_theirs_and_not_their_product_s(rng):
    for degrees in (0.0, 1.0, 90.0, 179.0):
        axis = rng.normal(size=3)
        A = rotation_matrix(rng.normal(size=(5, 3)))
        B = rotation_matrix(np.radians(degrees) * axis / np.linalg.norm(axis)) @ A
        np.testing.assert_allclose(angle_degrees(A, B), degrees, atol=1e-6)


def test_the_mean_rotation_is_between_and_is_a_rotation(rng):
    v = np.array([0.3, -0.5, 0.2])
    R = rotation_matrix(np.stack([0.5 * v, v, 1.5 * v]))
    np.testing.assert_allclose(mean_rotation(R), R[1], atol=1e-9)
    wild = mean_rotation(rng.normal(size=(3, 3, 3)))
    assert np.linalg.det(wild) == pytest.approx(1)
    np.testing.assert_allclose(wild @ wild.T, np.eye(3), atol=1e-12)


# triangulation


CAMERAS = [replace(c, K=c.K * [[1 + 0.3 * k], [1 + 0.2 * k], [1]]) for k, c in enumerate(ring(4))]


def ideal(camera, xy):
    return (image_to_ray(camera, xy) @ camera.K.T)[..., :2] - camera.K[:2, 2]


def residuals(X, xy, weight):
    """(V, 2) undistorted pixels of one point, times the root of its weight; ``xy`` (V, 2)."""
    out = []
    for camera, seen, w in zip(CAMERAS, xy, weight, strict=True):
        local = camera.R @ X + camera.t
        out.append(w**0.5 * (ideal(camera, seen) - local[:2] / local[2] * np.diag(camera.K)[:2]))
    return np.concatenate(out)


@pytest.fixture
def seen():
    """Points (40, 3), what is seen of them (4, 40, 2) with noise of 3 px and some far off, weights (4, 40)."""
    X, xy, rng = scene(CAMERAS, (40,), noise=3.0, seed=3)
    xy[0, ::4] += [60, -90]
    return X, xy, rng.uniform(0.3, 1.0, xy.shape[:-1])


def test_linear_is_nearly_the_least_reprojection_error_by_weight():
    """It weighs by depth once, so it is not exact; without the depths or focal lengths it is ten times further off."""
    X, xy, rng = scene(CAMERAS, (30,), noise=5.0, seed=1)
    weight = rng.uniform(0.05, 1.0, xy.shape[:-1])
    found = triangulate_linear(CAMERAS, xy, weight)
    best = np.array([
        least_squares(residuals, X[n], args=(xy[:, n], weight[:, n])).x for n in range(30)
    ])  # fmt: skip
    off, error = np.linalg.norm(found - best, axis=-1), np.linalg.norm(best - X, axis=-1)
    assert off.max() < 0.02 * np.median(error)


@pytest.mark.parametrize("noise_px", [3.0, 8.0])
def test_robust_is_the_least_cauchy_loss(seen, noise_px):
    X, xy, weight = seen
    found = triangulate_robust(CAMERAS, xy, weight, noise_px=noise_px)

    def loss(point, n):
        r = residuals(point, xy[:, n], weight[:, n]).reshape(-1, 2)
        return np.log1p((r**2).sum(-1) / (2.385 * noise_px) ** 2).sum()

    for n in range(len(X)):
        here = loss(found.points[n], n)
        for step in np.concatenate([np.eye(3), -np.eye(3)]) * 0.5:
            assert here <= loss(found.points[n] + step, n) + 1e-4, "half a millimetre aside it is no better"
        assert here <= loss(X[n], n) + 1e-6, "nor at the truth"


def test_robust_says_what_weight_and_error_each_view_has(seen):
    _, xy, weight = seen
    found = triangulate_robust(CAMERAS, xy, weight, noise_px=3.0)
    for n in range(len(found.points)):
        r = residuals(found.points[n], xy[:, n], np.ones(4)).reshape(-1, 2)
        error = np.linalg.norm(r, axis=-1)
        np.testing.assert_allclose(found.error[:, n], error, rtol=1e-3, atol=1e-3)
        wanted = weight[:, n] / (1 + weight[:, n] * error**2 / (2.385 * 3.0) ** 2)
        np.testing.assert_allclose(found.weight[:, n], wanted, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("noise_px", [0.5, 20.0])
def test_the_covariance_is_the_inverse_normal_matrix_times_the_larger_of_stated_and_found_variance(seen, noise_px):
    _, xy, weight = seen
    xy[0, ::4] -= [60, -90]
    found = triangulate_robust(CAMERAS, xy, weight, noise_px=noise_px)
    for n in range(0, len(found.points), 5):
        w = found.weight[:, n]
        J = np.stack([
            residuals(found.points[n] + step, xy[:, n], w) - residuals(found.points[n] - step, xy[:, n], w)
            for step in np.eye(3) * 0.01
        ], -1) / 0.02  # fmt: skip
        r = residuals(found.points[n], xy[:, n], w)
        variance = max(noise_px**2, (r**2).sum() / max(2 * w.sum() - 3, 1))
        np.testing.assert_allclose(found.cov[n], np.linalg.inv(J.T @ J) * variance, rtol=1e-2, atol=1e-6)


def test_what_too_few_views_see_is_unknown_in_every_answer():
    X, xy, _ = scene(CAMERAS, (2, 3), noise=0.5)
    xy[1:, 0, 0] = np.nan
    found = triangulate_robust(CAMERAS, xy)
    assert found.points.shape == (2, 3, 3) and found.cov.shape == (2, 3, 3, 3)
    assert found.error.shape == found.weight.shape == (4, 2, 3)
    assert np.isnan(found.points[0, 0]).all() and np.isnan(found.cov[0, 0]).all()
    np.testing.assert_allclose(found.points[1], X[1], atol=6)
    assert np.isnan(found.error[1:, 0, 0]).all() and not found.weight[1:, 0, 0].any()
    with pytest.raises(ValueError, match="4 cameras and 3 views"):
        triangulate_linear(CAMERAS, xy[:3])
    weight = np.ones(xy.shape[:-1])
    weight[:3, 1, 1], weight[0, 1, 2] = -1.0, np.nan
    assert np.isnan(triangulate_linear(CAMERAS, xy, weight)[1, 1]).all(), "weights below 0 and NaN are none"
    assert np.isfinite(triangulate_linear(CAMERAS, xy, weight)[1, 2]).all()


def test_a_point_nearly_at_a_camera_is_not_what_it_sees():
    """From a view whose ray passes by behind it, or within a centimetre, nothing is measured."""
    a, b = CAMERAS[:2]
    behind = a.centre - 500 * a.R[2]
    xy = np.stack([[[960.0, 540.0]], world_to_image(b, behind[None])])
    assert not np.linalg.norm(triangulate_robust([a, b], xy).points - behind) < 1


def test_reprojection_error_counts_the_lens():
    X, xy, _ = scene(CAMERAS, (6,))
    moved = xy + np.array([3.0, 4.0])
    moved[1, 2] = np.nan
    error = reprojection_error(CAMERAS, X, moved)
    assert np.isnan(error[1, 2])
    np.testing.assert_allclose(np.delete(error, 2, 1), 5)
    assert np.isnan(reprojection_error(CAMERAS, np.full((6, 3), np.nan), xy)).all()


# the virtual camera


@pytest.fixture
def crowd(rng):
    """(2, 3) people: points (2, 3, 17, 3), where they stand, rays with noise, weights with zeros."""
    points = rng.normal(size=(2, 3, 17, 3)) * [250, 450, 200]
    roots = rng.uniform([-900, -300, 2500], [900, 300, 8000], (2, 3, 3))
    world = points + roots[..., None, :]
    rays = world / world[..., 2:]
    rays[..., :2] += rng.normal(size=(2, 3, 17, 2)) * 0.01
    weight = rng.uniform(0, 1, (2, 3, 17)) * (rng.random((2, 3, 17)) > 0.3)
    return points, roots, rays, weight


def test_a_pose_is_placed_by_weighted_least_squares_of_what_is_seen(crowd):
    """Two solves: of the metric error, then of it divided by the depth that the first one found."""
    points, roots, rays, weight = crowd
    rays[0, 0, 3, 0] = np.nan
    points[0, 1, 4] = np.nan
    points[1, 0, 5, 2], weight[1, 0, 5] = 20 - roots[1, 0, 2], 1.0  # 2 cm before the camera: counted as at a decimetre
    found = virtual.place(points, rays, weight)
    for index in np.ndindex(2, 3):
        X, r, w = points[index], rays[index][:, :2], weight[index]
        ok = (w > 0) & np.isfinite(r).all(1) & np.isfinite(X).all(1)
        X, r, w = X[ok], r[ok], w[ok]
        T, depth = np.zeros(3), np.ones(len(X))
        for _ in range(2):
            A = np.concatenate([np.stack([np.eye(2)[axis, 0] + 0 * w, np.eye(2)[axis, 1] + 0 * w, -r[:, axis]], 1)
                                for axis in (0, 1)])  # fmt: skip
            b = np.concatenate([r[:, axis] * X[:, 2] - X[:, axis] for axis in (0, 1)])
            root = np.tile(np.sqrt(w) / depth, 2)
            T = np.linalg.lstsq(A * root[:, None], b * root, rcond=None)[0]
            depth = np.maximum(X[:, 2] + T[2], 100.0)
        np.testing.assert_allclose(found[index], T, rtol=1e-6)


def test_two_joints_place_a_pose_and_one_does_not(crowd):
    points, roots, _, _ = crowd
    world = points + roots[..., None, :]
    rays, weight = world / world[..., 2:], np.zeros((2, 3, 17))
    weight[..., [2, 9]] = [0.5, 0.1]
    np.testing.assert_allclose(virtual.place(points, rays, weight), roots, rtol=1e-6)
    weight[1, 2, 9] = 0
    found = virtual.place(points, rays, weight)
    assert np.isnan(found[1, 2]).all() and np.isfinite(found[:, :2]).all()


def test_people_are_seen_each_for_itself(crowd):
    _, _, rays, weight = crowd
    seen = weight > 0
    up = np.array([0.1, -0.98, 0.17]) / np.linalg.norm([0.1, -0.98, 0.17])
    many = virtual.look(rays, seen, up)
    for index in np.ndindex(2, 3):
        for one, all_ in zip(virtual.look(rays[index], seen[index], up), many, strict=True):
            np.testing.assert_allclose(one, all_[index], atol=1e-12)
        mean = (rays[index] / np.linalg.norm(rays[index], axis=1, keepdims=True))[seen[index]].sum(0)
        z = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(many.R_virtual_to_camera[index][:, 2], z)
        assert many.pitch[index] == pytest.approx(np.arcsin(-z @ up))
        x = np.cross(z, up)
        np.testing.assert_allclose(many.R_virtual_to_camera[index][:, 0], x / np.linalg.norm(x), atol=1e-9)
        local = rays[index] @ many.R_virtual_to_camera[index]
        xy = (local[:, :2] / local[:, 2:])[seen[index]]
        xy = xy - xy.mean(0)
        np.testing.assert_allclose(many.xy[index][seen[index]], xy / np.sqrt((xy**2).sum(1).mean()), atol=1e-9)


def test_without_gravity_the_images_top_is_up_and_straight_down_keeps_the_cameras_x():
    ahead = np.array([[0.2, 0.1, 1.0], [0.25, 0.2, 1.0]])
    R, pitch = virtual.aim(ahead, np.ones(2, bool))
    known, angle = virtual.aim(ahead, np.ones(2, bool), np.array([0.0, -1.0, 0.0]))
    np.testing.assert_array_equal(R, known)
    assert np.isnan(pitch) and angle > 0
    for up in ([0.0, 0, -1], [0, 9e-4, -1]):  # within a thousandth of straight down there is no level
        R, pitch = virtual.aim(np.array([[0.0, 0, 1]]), np.ones(1, bool), np.array(up))
        np.testing.assert_allclose(R, np.eye(3), atol=1e-12)
        assert pitch == pytest.approx(np.pi / 2, abs=2e-3)
    R, _ = virtual.aim(np.array([[0.0, 0, 1]]), np.ones(1, bool), np.array([2e-3, 0, -1]))
    np.testing.assert_allclose(R[:, 0], [0, 1, 0], atol=1e-9)


def test_a_ray_away_from_where_the_person_is_is_no_farther_out_than_ten():
    rays = np.ones((17, 3)) * [2.0, 0, 1]
    rays[:16, 1] = np.linspace(-0.1, 0.1, 16)
    rays[16] = [-1.0, 0, 1]
    view = virtual.look(rays, np.ones(17, bool))
    local = rays @ view.R_virtual_to_camera
    assert local[16, 2] < 0, "it points backwards"
    xy = local[:, :2] / np.maximum(local[:, 2:], 0.1)
    xy -= xy.mean(0)
    np.testing.assert_allclose(view.xy, xy / np.sqrt((xy**2).sum(1).mean()), atol=1e-9)


def test_one_joint_or_none_is_all_zeros():
    rays = np.ones((17, 3))
    for count in (0, 1):
        view = virtual.look(rays, np.arange(17) < count)
        assert not view.xy.any() and np.isfinite(view.R_virtual_to_camera).all()


def test_pixels_of_a_ray_are_where_a_pinhole_and_its_lens_show_it(rng):
    camera = replace(camera_from_fov("a", (800, 600), 60), dist=np.array([0.05, 0.0, 0.0, 0.0, 0.0]))
    points = rng.uniform([-500, -400, 1500], [500, 400, 3000], (20, 3))
    p = points[:, :2] / points[:, 2:]
    p = p * (1 + 0.05 * (p**2).sum(1, keepdims=True))
    np.testing.assert_allclose(camera_to_image(camera, points), p * camera.K[0, 0] + camera.K[:2, 2], atol=1e-6)
