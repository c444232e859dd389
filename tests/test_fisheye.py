"""The fisheye model: against OpenCV's own, and through everything that has a camera."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.__main__ import main
from calibration.errors import CalibrationError
from calibration.formats import load_calibration
from calibration.geometry.camera import (
    Camera,
    camera_from_fov,
    camera_to_image,
    check_plausible,
    image_to_ray,
    ray_stretch,
    scale_camera,
    world_to_image,
)
from calibration.geometry.rotations import rotation_matrix
from calibration.geometry.triangulation import reprojection_error, triangulate_linear, triangulate_robust
from calibration.geometry.turning import turn_camera
from calibration.solving.board import Board
from calibration.solving.check import check_board
from calibration.solving.extrinsics import solve_extrinsics
from calibration.solving.intrinsics import solve_intrinsics
from calibration.solving.person import solve_from_person
from calibration.solving.print_board import PIXELS_PER_MM, draw, lay_out
from engines.fusion import fuse
from engines.lifter import lifter_input
from engines.types import Detection
from stream.recordings.schema import run_info_from_json, run_info_to_json
from stream.types import StreamError
from tests import fusion_scene
from tests.calibration_scene import BOARD, board_walk, lens_views, pose_errors, room, unplaced
from tests.takes import make_run_info
from tests.test_calibration_person import BODY, HEIGHT, look, walker

K = np.array([[330.0, 0, 640], [0, 331, 360], [0, 0, 1]])
GOPRO = Camera("g", (1280, 720), K, np.array([-0.02, 0.006, -0.004, 0.0007]), np.eye(3), np.zeros(3), None, True)
"""140 degrees across, as an action camera of 1280x720 has it."""


def points(n=400, widest=75.0):
    """(n, 3) mm in front of the camera, up to so many degrees off its axis."""
    rng = np.random.default_rng(3)
    theta, phi = np.radians(widest) * rng.uniform(0, 1, n), rng.uniform(0, 2 * np.pi, n)
    ray = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    return ray * rng.uniform(500, 6000, (n, 1))


def test_it_projects_and_straightens_as_opencv_does():
    seen = camera_to_image(GOPRO, points())
    theirs, _ = cv2.fisheye.projectPoints(points()[:, None], np.zeros(3), np.zeros(3), GOPRO.K, GOPRO.dist)
    np.testing.assert_allclose(seen, theirs[:, 0], atol=1e-8)
    rays = image_to_ray(GOPRO, seen)
    np.testing.assert_allclose(rays, points() / points()[:, 2:], rtol=1e-7, atol=1e-9)
    near = points(widest=50.0)
    straight = cv2.fisheye.undistortPoints(camera_to_image(GOPRO, near)[:, None], GOPRO.K, GOPRO.dist)[:, 0]
    np.testing.assert_allclose(image_to_ray(GOPRO, camera_to_image(GOPRO, near))[:, :2], straight, atol=1e-4)


def test_the_middle_what_is_beside_it_and_shapes():
    np.testing.assert_allclose(image_to_ray(GOPRO, GOPRO.K[:2, 2]), [0, 0, 1])
    np.testing.assert_allclose(camera_to_image(GOPRO, np.array([0.0, 0, 900])), GOPRO.K[:2, 2])
    beside = np.array([[1000.0, 0, 0], [1000, 0, -10], [0, 0, -1000], [0, 0, 0], [np.nan, 0, 1]])
    assert np.isnan(camera_to_image(replace(GOPRO, dist=np.zeros(4)), beside)[[0, 1, 2, 4]]).all()
    assert image_to_ray(GOPRO, np.empty((3, 0, 2))).shape == (3, 0, 3)
    assert np.isnan(image_to_ray(GOPRO, np.array([[np.nan, 3.0], [9e5, 0]]))).all()
    xy = camera_to_image(GOPRO, points().reshape(4, 100, 3))
    assert xy.shape == (4, 100, 2) and image_to_ray(GOPRO, xy).shape == (4, 100, 3)


def test_an_error_at_the_rim_is_a_longer_piece_of_the_ray():
    xy = np.array([[640.0, 360], [900, 500], [1250, 690], [20, 360]])
    step, rays = 1e-4, image_to_ray(GOPRO, xy)[:, :2]
    moved = [image_to_ray(GOPRO, xy + np.eye(2)[k] * step)[:, :2] for k in (0, 1)]
    numeric = np.stack([(m - rays) / step * GOPRO.K[k, k] for k, m in enumerate(moved)], -1)
    np.testing.assert_allclose(ray_stretch(GOPRO, rays), numeric, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ray_stretch(camera_from_fov("a", (9, 9), 60), rays)[2], np.eye(2))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_it_is_turned_and_scaled_with_its_picture(degrees):
    seen, (width, height) = camera_to_image(GOPRO, points()), GOPRO.size
    turned = turn_camera(GOPRO, degrees)
    expected = seen
    for _ in range(degrees // 90):
        expected = np.stack([height - 1 - expected[:, 1], expected[:, 0]], 1)
        width, height = height, width
    np.testing.assert_allclose(world_to_image(turned, points()), expected, atol=1e-8)
    half = scale_camera(GOPRO, (640, 360))
    np.testing.assert_allclose(camera_to_image(half, points()), (seen + 0.5) / 2 - 0.5, atol=1e-9)


@pytest.mark.parametrize(
    ("dist", "sound"),
    [((0, 0, 0, 0), True), ((-0.2, 0, 0, 0), False), ((0.5, 0, 0, 0), True), ((-0.05, 0, 0, 0), True),
     ((0, 0, 0, -0.5), False), ((1e6, 0, 0, 0), False), ((1e308, 1e308, 0, 0), False)],
)  # fmt: skip
def test_what_turns_back_within_the_picture_is_no_fisheye(dist, sound):
    camera = replace(GOPRO, dist=np.array(dist, float))
    if sound:
        check_plausible(camera)
    else:
        with pytest.raises(CalibrationError, match="of the fisheye turns back or is absurd .* degrees"):
            check_plausible(camera)
    with pytest.raises(CalibrationError, match="has 5 coefficients; a fisheye has 4"):
        replace(GOPRO, dist=np.zeros(5))
    assert replace(GOPRO, dist=np.zeros(0)).dist.shape == (4,)


def test_points_are_placed_from_fisheyes_and_others_mixed():
    placed = room(4)
    mixed = [replace(GOPRO, name=c.name, R=c.R, t=c.t) if k % 2 else c for k, c in enumerate(placed)]
    rng = np.random.default_rng(5)
    world = rng.uniform([-800, -800, 200], [800, 800, 1800], (300, 3))
    xy = np.stack([world_to_image(camera, world) for camera in mixed])
    np.testing.assert_allclose(triangulate_linear(mixed, xy), world, atol=1e-3)
    noisy = xy + rng.normal(0, 1, xy.shape)
    found = triangulate_robust(mixed, noisy, noise_px=1.0)
    error = found.points - world
    # What it says of its own error is true: the squares, each by its covariance, have a mean of 3.
    square = np.einsum("ni,nij,nj->n", error, np.linalg.inv(found.cov), error)
    assert 2.0 < np.mean(square) < 3.6
    assert np.nanmedian(reprojection_error(mixed, found.points, noisy)) < 1.5


def test_a_lens_is_found_from_views_of_a_board():
    views = lens_views(GOPRO, BOARD, 30, np.random.default_rng(2))
    result = solve_intrinsics("g", GOPRO.size, BOARD, views, fisheye=True)
    found = result.camera
    assert found.fisheye and result.rms_px < 0.35 and result.held_out_px < 0.5
    np.testing.assert_allclose(found.K[[0, 1], [0, 1]], GOPRO.K[[0, 1], [0, 1]], rtol=0.015)
    np.testing.assert_allclose(found.K[:2, 2], GOPRO.K[:2, 2], atol=4)
    # What counts is where it shows things, all over the picture.
    near = points(widest=60.0)
    off = np.linalg.norm(camera_to_image(found, near) - camera_to_image(GOPRO, near), axis=1)
    assert np.median(off) < 4 and off.max() < 6
    # Said to be known to a share that the truth is within.
    assert abs(found.K[0, 0] / GOPRO.K[0, 0] - 1) < 4 * result.focal_sigma < 0.04


def test_an_ordinary_model_says_that_the_other_would_describe_a_fisheye_better():
    views = lens_views(GOPRO, BOARD, 30, np.random.default_rng(2))
    result = solve_intrinsics("g", GOPRO.size, BOARD, views)
    assert any("--fisheye describes this wide lens better" in line for line in result.remarks)
    ordinary = room(1)[0]
    result = solve_intrinsics("c", ordinary.size, BOARD, lens_views(ordinary, BOARD, 20, np.random.default_rng(2)))
    assert not any("fisheye" in line for line in result.remarks)


def test_fisheyes_are_placed_by_a_board():
    rig = [replace(GOPRO, name=c.name, R=c.R, t=c.t) for c in room(3)]
    rig[0] = room(3)[0]
    frames = board_walk(rig, BOARD, 20, np.random.default_rng(4))
    result = solve_extrinsics(unplaced(rig), BOARD, frames)
    turn, shift = pose_errors(result.cameras, rig)
    assert turn < 0.15 and shift < 15 and not result.problems
    assert [camera.fisheye for camera in result.cameras] == [False, True, True]
    checked = check_board(result.cameras, BOARD, board_walk(rig, BOARD, 8, np.random.default_rng(6)))
    assert not checked.problems and max(checked.epipolar_px.values()) < 1.5


def test_a_recording_keeps_it():
    info = make_run_info(2)
    cameras = (replace(info.cameras[0], calibration=replace(GOPRO, name="cam0")), info.cameras[1])
    text = run_info_to_json(replace(info, cameras=cameras))
    first, second = (camera.calibration for camera in run_info_from_json(text).cameras)
    assert first is not None and second is not None and first.fisheye and not second.fisheye
    np.testing.assert_array_equal(first.dist, GOPRO.dist)
    # Recordings of before do not say it.
    assert '"fisheye"' not in run_info_to_json(info)
    with pytest.raises(StreamError, match="fisheye is 'yes', expected true or false"):
        run_info_from_json(text.replace('"fisheye": true', '"fisheye": "yes"'))


def test_a_pose_is_lifted_and_fused_in_a_fisheye_as_in_an_ordinary_camera():
    """The same rays into the same virtual camera, whatever lens they came through; none is beside the camera."""
    plain = camera_from_fov("p", (1280, 720), 100)
    xy = np.random.default_rng(1).uniform([500, 200], [800, 550], (17, 2))
    rays = image_to_ray(plain, xy)
    fish = camera_to_image(GOPRO, rays)
    seen, derived = np.full(17, 0.9, np.float32), np.zeros(17, bool)
    a, b = (
        lifter_input(Detection(points.astype(np.float32), seen, derived, "a test"), camera, 0.2)
        for points, camera in ((xy, plain), (fish, GOPRO))
    )
    np.testing.assert_allclose(a.xy, b.xy, atol=1e-3)
    far = fish.copy()
    far[3] = [-4000, 360]
    c = lifter_input(Detection(far.astype(np.float32), seen, derived, "a test"), GOPRO, 0.2)
    assert not c.seen[3] and c.seen.sum() == 16 and np.isfinite(c.xy).all()


def test_the_command_line_calibrates_an_action_camera(tmp_path, capsys):
    """Photographs of a board, rendered through the lens, a ray a pixel."""
    board, size = Board("charuco", (7, 5), 80, 60), (640, 480)
    camera = replace(GOPRO, size=size, K=np.array([[200.0, 0, 322], [0, 200.5, 238], [0, 0, 1]]))
    sheet = lay_out(board)
    scale = 0.2
    image = cv2.resize(draw(sheet), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    origin, per_mm = sheet.rectangles[:, :2].min(0), PIXELS_PER_MM * scale
    rays = image_to_ray(camera, np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1).astype(float))
    rays = np.nan_to_num(rays / np.linalg.norm(rays, axis=-1, keepdims=True), nan=-1.0)  # beside the camera: behind
    rng = np.random.default_rng(0)
    for number in range(14):
        R = rotation_matrix(rng.uniform([-0.6, -0.6, -0.4], [0.6, 0.6, 0.4]))
        side, up = rng.uniform([-0.7, -0.5], [0.7, 0.5])
        towards = rotation_matrix(np.array([up, side, 0]))
        centre, R = towards @ np.array([0, 0, rng.uniform(350, 600)]), towards @ R
        start = centre - R @ np.append(np.array(board.squares) * board.square_mm / 2, 0)
        depth = (start @ R[:, 2]) / (rays @ R[:, 2])
        local = (rays * depth[..., None] - start) @ R
        at = ((local[..., :2] + origin) * per_mm - 0.5).astype(np.float32)
        at[depth <= 0] = -1e4
        shot = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=170)
        noisy = np.clip(shot + rng.normal(0, 2, shot.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(noisy, cv2.COLOR_GRAY2BGR))
    command = ["intrinsics", "--camera", f"gopro={tmp_path}", "--square", "80", "--marker", "60"]
    assert main([*command, "--fisheye", "--k3", "--out", str(tmp_path / "l.toml")]) == 2
    assert "--k3 is of the ordinary lens model, --fisheye is another one" in capsys.readouterr().err
    assert main([*command, "--fisheye", "--out", str(tmp_path / "lens.toml")]) == 0
    found = load_calibration(tmp_path / "lens.toml").cameras[0]
    assert found.fisheye and found.dist.shape == (4,)
    np.testing.assert_allclose(found.K[[0, 1], [0, 1]], camera.K[[0, 1], [0, 1]], rtol=0.02)
    assert main(["convert", str(tmp_path / "lens.toml"), str(tmp_path / "p.toml"), "--to", "pose2sim"]) == 0
    assert "fisheye = true" in (tmp_path / "p.toml").read_text()


@pytest.mark.parametrize("method", ["map", "triangulate"])
def test_views_near_the_rim_of_fisheyes_are_fused_as_well_as_any(method):
    """The same noise in the picture: near its rim a pixel is more of the ray's plane, and must not count for more."""
    ordinary, fish = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        cameras, truth = fusion_scene.ring((0, 80, 170, 260)), fusion_scene.person(rng)
        # Two of them look 45 degrees past the person, as a fisheye may.
        turn = rotation_matrix(np.array([0, np.radians(45), 0]))
        wide = [
            replace(GOPRO, name=c.name, size=(1920, 1080), K=GOPRO.K * [[2.5], [2.5], [1]], up=c.up,
                    R=turn @ c.R if k % 2 else c.R, t=turn @ c.t if k % 2 else c.t)
            for k, c in enumerate(cameras)
        ]  # fmt: skip
        for lenses, errors in ((cameras, ordinary), (wide, fish)):
            noise = np.random.default_rng(seed)
            detections = [fusion_scene.detect(c, truth, noise) for c in lenses]
            mixtures = [fusion_scene.lift(c, truth, noise) for c in lenses]
            pose = fuse(detections, mixtures, lenses, method)
            assert pose is not None and len(pose.cameras) == 4
            errors.append(np.median(fusion_scene.errors(pose, truth)[fusion_scene.MEASURED]))
    # Without that it is 1.10 (map) and 1.15.
    assert np.mean(fish) < 1.08 * np.mean(ordinary)


def test_a_person_places_fisheyes():
    true = [replace(GOPRO, name=c.name, R=c.R, t=c.t) for c in room(3, arc=160.0)]
    xy, score = look(true, walker(90), np.random.default_rng(3), noise=1.0)
    result = solve_from_person(unplaced(true), xy, score, BODY, HEIGHT)
    turn, move = pose_errors(result.cameras, true)
    assert turn < 1.0 and move < 120
