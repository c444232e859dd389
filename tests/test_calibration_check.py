"""The verdict on a calibration: just good enough passes, a little worse does not."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.geometry.camera import camera_to_image, world_to_camera
from calibration.solving.check import check_board, check_person, epipolar_error
from calibration.solving.lengths import Lengths, corner_pixels, measure_lengths
from tests.calibration_scene import BOARD, board_walk, room

CAMERAS = room(3)


@pytest.fixture(scope="module")
def frames():
    return board_walk(CAMERAS, BOARD, 12, np.random.default_rng(1), noise=0.0)


def moved(frames, name, shift):
    """The frames as a camera sees them that is turned a little: all its pixels moved."""
    return [{k: replace(v, xy=v.xy + shift) if k == name else v for k, v in frame.items()} for frame in frames]


def shift_for(error, wanted):
    """How many pixels a camera must be off for an error of so many; it grows nearly in step."""
    px = wanted
    for _ in range(8):
        px *= wanted / error(px)
    assert error(px) == pytest.approx(wanted, rel=0.02)
    return px


def test_exact_views_pass_with_nothing_to_say(frames):
    check = check_board(CAMERAS, BOARD, frames)
    assert check.problems == () and max(check.error_px.values()) < 1e-3
    assert max(check.epipolar_px.values()) < 1e-3 and check.lengths.passed
    assert all(np.abs(residual).max() < 1e-3 for _, residual in check.scatter.values())


def test_a_board_passes_up_to_a_pixel_and_a_half(frames):
    def checked(px):
        return check_board(CAMERAS, BOARD, moved(frames, "c1", np.array([0.0, px])))

    for wanted, passes in ((1.4, True), (1.6, False)):
        check = checked(shift_for(lambda px: checked(px).error_px["c1"], wanted))
        said = [line for line in check.problems if line.startswith("camera c1: reprojection error")]
        assert bool(said) != passes, check.problems
    assert "more than 1.5" in said[0]
    assert check_board(CAMERAS, BOARD, frames).limit_px == {"c0": 1.5, "c1": 1.5, "c2": 1.5}


def test_a_person_passes_up_to_three_quarters_of_a_percent_of_the_images_long_side(rng):
    points = rng.uniform([-800, -800, 100], [800, 800, 1800], (40, 17, 3))
    xy = np.stack([camera_to_image(c, world_to_camera(c, points)) for c in CAMERAS])
    score = np.full(xy.shape[:-1], 0.9)
    assert check_person(CAMERAS, xy, score).problems == ()
    limit = 0.0075 * 1920
    assert check_person(CAMERAS, xy, score).limit_px["c0"] == pytest.approx(limit)

    def checked(px):
        return check_person(CAMERAS[:2], xy[:2] + np.array([[0, 0], [0, px]])[:, None, None], score[:2])

    for part, passes in ((0.9, True), (1.1, False)):
        check = checked(shift_for(lambda px: max(checked(px).error_px.values()), part * limit))
        assert bool([line for line in check.problems if "more than 14.4" in line]) != passes
    for doubt, joints in ((0.29, 8), (0.31, 17)):
        score[0, :, :9] = doubt
        assert len(check_person(CAMERAS[:2], xy[:2], score[:2]).scatter["c0"][0]) == 40 * joints


def test_a_camera_that_saw_nothing_together_is_named(frames):
    alone = [{k: v for k, v in frame.items() if k != "c2"} for frame in frames]
    check = check_board(CAMERAS, BOARD, alone)
    assert "camera c2 saw the board never together with another camera" in check.problems
    assert [line.split()[1] for line in check.lines() if line.startswith("c2 ")] == ["-"]
    assert set(check.epipolar_px) == {("c0", "c1")}


@pytest.mark.parametrize(
    ("count", "bias", "p95", "passes"),
    [(9, 0.0099, 0.0199, True), (9, -0.0099, 0.0199, True), (9, 0.0101, 0.0199, False), (9, -0.0101, 0.0199, False),
     (9, 0.0, 0.0201, False), (0, np.nan, np.nan, False), (1, 0.01, 0.02, True)],
)  # fmt: skip
def test_lengths_pass_up_to_one_percent_on_average_and_two_of_most(count, bias, p95, passes):
    assert Lengths(count, bias, p95, 1.0).passed == passes


def test_lengths_of_a_board_that_is_larger_than_it_is_said_to_be(frames):
    measured = measure_lengths(CAMERAS, replace(BOARD, square_mm=BOARD.square_mm / 1.015), frames)
    assert measured.bias == pytest.approx(0.015, abs=1e-4) and measured.p95 == pytest.approx(0.015, abs=1e-4)
    assert not measured.passed and measured.count > 100
    assert "+1.50 % on average, 95 % of them within 1.50 %" in measured.line()
    assert measure_lengths(CAMERAS, BOARD, frames).error_mm < 0.01
    wrong = check_board(CAMERAS, replace(BOARD, square_mm=BOARD.square_mm / 1.015), frames)
    assert [line for line in wrong.problems if line.startswith("known lengths are wrong by +1.5 % on average")]


def test_corner_pixels_are_each_corners_own(frames):
    xy = corner_pixels(CAMERAS, BOARD, frames)
    assert xy.shape == (3, len(frames), len(BOARD.points), 2)
    for f, frame in enumerate(frames):
        for c, camera in enumerate(CAMERAS):
            seen = np.flatnonzero(np.isfinite(xy[c, f, :, 0]))
            if camera.name in frame:
                np.testing.assert_array_equal(seen, frame[camera.name].ids)
                np.testing.assert_array_equal(xy[c, f, seen], frame[camera.name].xy)
            else:
                assert not len(seen)


def test_the_distance_from_the_epipolar_line_is_in_pixels(frames):
    a, b = (replace(c, dist=np.zeros(5)) for c in CAMERAS[:2])
    points = np.random.default_rng(0).uniform([-800, -800, 100], [800, 800, 1800], (50, 3))
    xa, xb = (camera_to_image(c, world_to_camera(c, points)) for c in (a, b))
    deeper = [camera_to_image(b, world_to_camera(b, points + 0.1 * (points - a.centre)))][0]
    along = (deeper - xb) / np.linalg.norm(deeper - xb, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    assert epipolar_error(a, b, xa, xb).max() < 1e-6
    np.testing.assert_allclose(epipolar_error(a, b, xa, xb + 5 * along), 0, atol=1e-6, err_msg="along the line")
    np.testing.assert_allclose(epipolar_error(a, b, xa, xb + 5 * across), 5, rtol=0.01)
