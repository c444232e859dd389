"""Boxes cut out of images and brought back: which pixel becomes which, and what is black."""

import cv2
import numpy as np
import pytest

from engines.preprocess import Box, cut, doubt_outside, letterbox, square, to_image


@pytest.fixture
def image(rng):
    return rng.integers(1, 256, (40, 60, 3), dtype=np.uint8)


def test_a_box_is_cut_out_as_it_is_with_red_first(image):
    np.testing.assert_array_equal(cut(image, Box(10, 5, 20, 30), (20, 30)), image[5:35, 10:30, ::-1])


@pytest.mark.parametrize(
    "box", [Box(-7, 5, 20, 20), Box(50, 5, 20, 20), Box(10, -6, 20, 20), Box(10, 33, 20, 20), Box(-3, -4, 70, 50)]
)
def test_what_reaches_outside_is_black_where_it_does(image, box):
    found = cut(image, box, (box.width, box.height))
    wide = np.zeros((140, 160, 3), np.uint8)
    wide[50:90, 50:110] = image
    top, left = 50 + box.top, 50 + box.left
    np.testing.assert_array_equal(found, wide[top : top + box.height, left : left + box.width, ::-1])


@pytest.mark.parametrize(
    "box", [Box(60, 0, 9, 9), Box(-9, 0, 9, 9), Box(0, 40, 9, 9), Box(0, -9, 9, 9), Box(5, 5, 0, 9)]
)
def test_a_box_beside_the_image_is_black_and_of_the_size_that_is_asked_for(image, box):
    found = cut(image, box, (12, 7))
    assert found.shape == (7, 12, 3) and not found.any()


def test_shrinking_is_the_mean_of_what_is_under_a_pixel_and_growing_is_between(image):
    small = cut(image, Box(0, 0, 60, 40), (30, 20)).astype(int)
    mean = image.reshape(20, 2, 30, 2, 3).mean((1, 3))[..., ::-1]
    assert np.abs(small - mean).max() <= 1
    ramp = np.repeat(np.arange(60, dtype=np.uint8)[None, :, None] * 4, 40, 0).repeat(3, 2)
    large = cut(ramp, Box(0, 0, 60, 40), (120, 80)).astype(int)
    np.testing.assert_allclose(large[0, 2:-2, 0], ((np.arange(2, 118) + 0.5) / 2 - 0.5) * 4, atol=1)


@pytest.mark.parametrize(("centre", "side"), [((100.0, 50.0), 40.0), ((100.4, 49.6), 41.0), ((3.0, 700.0), 12.0)])
def test_a_square_lies_around_its_centre(centre, side):
    box = square(np.array(centre), side)
    assert box.width == box.height == round(side)
    middle = np.array([box.left, box.top]) + (box.width - 1) / 2
    assert np.abs(middle - centre).max() <= 0.5


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1920), (640, 480), (4000, 30), (33, 900)])
def test_an_image_fits_into_whole_steps_and_keeps_its_shape(width, height):
    box, size = letterbox(width, height, 256, 32)
    assert (box.left, box.top) == (0, 0) and box.width >= width and box.height >= height
    assert max(size) == 256 and all(n % 32 == 0 and n > 0 for n in size)
    assert size[0] / box.width == pytest.approx(size[1] / box.height, rel=0.02)
    assert size[0] / box.width == pytest.approx(256 / max(width, height), rel=0.02)
    assert min(size) - min(width, height) * 256 / max(width, height) < 32, "no step too many"


def test_points_of_a_box_come_back_to_the_image():
    box = Box(100, 50, 40, 20)
    uv = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25], [1.5, -0.5]])
    np.testing.assert_allclose(
        to_image(box, uv), [[99.5, 49.5], [139.5, 69.5], [119.5, 54.5], [159.5, 39.5]], err_msg="0 is the box's edge"
    )


def test_a_joint_outside_the_image_is_doubted_from_the_edge_on():
    image = np.zeros((40, 60, 3), np.uint8)
    xy = np.array([[-0.4, 5], [-0.6, 5], [5, -0.6], [59.4, 5], [59.6, 5], [5, 39.4], [5, 39.6], [30, 20]])
    score = np.full(8, 0.8)
    found = doubt_outside(xy, score, image)
    kept = np.array([0, 3, 5, 7])
    np.testing.assert_array_equal(found[kept], 0.8)
    assert (np.delete(found, kept) < 0.4).all() and (score == 0.8).all()


def test_what_is_halved_first_is_nearly_the_same_and_exactly_in_the_same_place(rng):
    image = np.clip(rng.normal(0, 40, (600, 900, 3)).cumsum(0).cumsum(1) / 60 + 128, 0, 255).astype(np.uint8)
    for box, size in ((Box(40, 20, 560, 560), (192, 192)), (Box(40, 20, 561, 561), (192, 192))):
        want = cv2.resize(image[20 : 20 + box.height, 40 : 40 + box.width], size, interpolation=cv2.INTER_AREA)
        assert np.abs(cut(image, box, size).astype(int) - want[..., ::-1]).mean() < 1
    twice = cut(image, Box(0, 0, 800, 600), (100, 75)).astype(int)
    np.testing.assert_allclose(twice, image[:600, :800].reshape(75, 8, 100, 8, 3).mean((1, 3))[..., ::-1], atol=2)


def test_a_large_square_can_be_halved(rng):
    sides = rng.uniform(400, 1500, 50)
    assert all(square(np.zeros(2), side).width % 2 == 0 for side in sides)
