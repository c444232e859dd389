"""What a camera may be: each bound from both sides."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.geometry.camera import camera_from_fov, camera_to_image, check_plausible, image_to_ray
from tests.test_geometry import LENS, rotation

PLAIN = camera_from_fov("a", (1000, 500), 60)


def K(fx=800.0, fy=800.0, cx=500.0, cy=250.0, skew=0.0, **cells):
    made = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1.0]])
    for cell, value in cells.items():
        made[int(cell[1]), int(cell[2])] = value
    return made


def lens(**first):
    """Fourteen coefficients of which some are not 0."""
    names = ["k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "s1", "s2", "s3", "s4", "tx", "ty"]
    return np.array([first.get(name, 0.0) for name in names])


ALMOST_ONE = np.array([0.0, 0, 1 + 0.9e-3])


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"K": K(fx=1e9)}, True), ({"K": K(fx=1.1e9)}, False), ({"K": K(cx=-1.1e9)}, False),
        ({"K": K(fx=0.0)}, False), ({"K": K(fx=-1.0)}, False), ({"K": K(fy=0.0)}, False), ({"K": K(fy=-1.0)}, False),
        ({"K": K(fx=1e-9, fy=1e-9)}, True),
        ({"K": K(skew=0.79)}, True), ({"K": K(skew=0.81)}, False), ({"K": K(skew=-0.81)}, False),
        *(({"K": K(**{cell: 0.9e-6})}, True) for cell in ("c10", "c20", "c21")),
        *(({"K": K(**{cell: -1.1e-6})}, False) for cell in ("c10", "c20", "c21")),
        ({"K": K(c22=1 + 0.9e-6)}, True), ({"K": K(c22=1 + 1.1e-6)}, False), ({"K": K(c22=0.0)}, False),
        ({"R": np.eye(3) * (1 + 0.4e-4)}, True), ({"R": np.eye(3) * (1 + 0.6e-4)}, False),
        ({"R": np.diag([1.0, 1, -1])}, False), ({"R": np.diag([-1.0, 1, -1])}, True), ({"R": -np.eye(3)}, False),
        ({"up": ALMOST_ONE}, True), ({"up": ALMOST_ONE + [0, 0, 0.2e-3]}, False), ({"up": ALMOST_ONE * 0.998}, False),
        ({"up": np.zeros(2)}, False), ({"up": np.array([0, np.nan, 1])}, False),
        ({"size": (1, 1)}, True), ({"size": (0, 1)}, False), ({"size": (1, 0)}, False), ({"size": (1, -1)}, False),
        *(({"dist": np.zeros(n)}, n in (0, 4, 5, 8, 12, 14)) for n in range(16)),
        ({"dist": np.array([0, 0, np.inf, 0])}, False), ({"t": np.array([0, np.nan, 0])}, False),
        ({"t": np.zeros((3, 1))}, False), ({"K": np.eye(4)}, False),
    ],
)  # fmt: skip
def test_a_camera_of_numbers_that_hold_together(change, allowed):
    if allowed:
        made = replace(PLAIN, **change)
        assert not made.K.flags.writeable and made.dist.size >= 4
    else:
        with pytest.raises(CalibrationError, match="^camera 'a': "):
            replace(PLAIN, **change)


def test_a_number_too_large_is_said_with_the_largest_that_there_can_be():
    with pytest.raises(CalibrationError, match="R holds 2; it can be 1.01 at most"):
        replace(PLAIN, R=np.eye(3) * 2)
    with pytest.raises(CalibrationError, match="up holds 1e.08; it can be 1.01 at most"):
        replace(PLAIN, up=np.array([0, -1e8, 0]))


@pytest.mark.parametrize(
    ("change", "plausible"),
    [
        ({"K": K(fx=101.0, fy=101.0)}, True), ({"K": K(fx=99.0)}, False), ({"K": K(fy=99.0)}, False),
        ({"K": K(fx=99_900.0, fy=99_900.0)}, True), ({"K": K(fx=100_100.0)}, False), ({"K": K(fy=100_100.0)}, False),
        ({"K": K(cx=499.5 + 9_990)}, True), ({"K": K(cx=499.5 + 10_010)}, False),
        ({"K": K(cx=499.5 - 9_990)}, True), ({"K": K(cx=499.5 - 10_010)}, False),
        ({"K": K(cy=249.5 + 9_990)}, True), ({"K": K(cy=249.5 + 10_010)}, False),
        ({"size": (65_535, 65_535), "K": K(10_000, 10_000)}, True), ({"size": (65_536, 9), "K": K(10_000)}, False),
        ({"size": (9, 65_536), "K": K(10_000, 10_000)}, False),
        ({"t": np.array([0, 0.99e6, 0])}, True), ({"t": np.array([0.8e6, 0, 0.8e6])}, False),
        ({"t": np.array([1e200, 0, 0])}, False),
        *(({"dist": lens(**{name: v})}, False) for name in ("p1", "p2", "s1", "s4", "tx", "ty") for v in (1.1, -1.1)),
        *(({"dist": lens(**{name: 0.9})}, True) for name in ("p1", "p2", "s1", "ty")),
        ({"dist": lens(k1=-0.3, k2=0.1)}, True), ({"dist": lens(k1=0.5)}, True), ({"dist": lens(k1=-1.0)}, False),
        ({"dist": lens(k1=1e6)}, False), ({"dist": lens(k1=-1e6)}, False), ({"dist": lens(k4=1e6)}, False),
        # r = 0.7 in the corner: it turns back where 1 + 3 k1 r^2 = 0.
        ({"dist": lens(k1=-1 / (3 * 0.8**2) * 0.5)}, True), ({"dist": lens(k3=-5.0)}, False),
        ({"dist": lens(k2=-1.5)}, False), ({"dist": lens(k6=50.0)}, False), ({"dist": lens(k5=9.0)}, False),
        # A rational lens is what its two polynomials divided say, not each of them.
        ({"dist": lens(k1=30.0, k4=30.0)}, True), ({"dist": lens(k2=30.0, k5=30.0)}, True),
        ({"dist": lens(k3=30.0, k6=30.0)}, True),
    ],
)  # fmt: skip
def test_a_camera_that_there_is(change, plausible):
    camera = replace(PLAIN, **change)
    if plausible:
        check_plausible(camera)
    else:
        with pytest.raises(CalibrationError, match="^camera 'a': "):
            check_plausible(camera)


@pytest.mark.parametrize("stretch", [0.045, 0.055, 4.9, 5.1])
def test_a_lens_shows_a_ray_at_a_twentieth_to_five_times_of_where_a_pinhole_would(stretch):
    """A rational lens that reaches ``stretch`` near its middle and keeps it, in two steps that both grow outwards."""
    near, far = (1 / 4.5, 4.5 * stretch) if stretch < 1 else (stretch, 1.0)
    c, d = 1e6, 1e2
    camera = replace(PLAIN, dist=lens(k1=near * c + far * d, k2=near * c * far * d, k4=c + d, k5=c * d))
    if 0.05 < stretch < 5:
        check_plausible(camera)
    else:
        with pytest.raises(CalibrationError, match="is absurd"):
            check_plausible(camera)


@pytest.mark.parametrize(("k1", "sound"), [(-0.34, True), (-0.40, False)])
@pytest.mark.parametrize("corner", ["left", "right"])
def test_a_lens_must_grow_outwards_up_to_the_farther_corner(k1, sound, corner):
    """A principal point in a corner has the image's diagonal of 1118 pixels before it: r = 1 at f = 1118.

    In focal lengths r (1 + k1 r^2) rises up to 1 / sqrt(-3 k1), to two thirds of that; the corner at 0.65 is reached
    with k1 = -0.34 (at most 0.66) and not with -0.40 (0.61).
    """
    f = 1118.0 / 0.65
    middle = (0.0, 0.0) if corner == "left" else (999.0, 499.0)
    camera = replace(PLAIN, K=K(f, f, *middle), dist=lens(k1=k1))
    if sound:
        check_plausible(camera)
    else:
        with pytest.raises(CalibrationError, match="turns back"):
            check_plausible(camera)
    check_plausible(replace(camera, K=K(f, f, 500, 250)))


@pytest.mark.parametrize(("degrees", "allowed"), [(0.99, False), (1.0, True), (157.0, True), (157.1, False)])
def test_fields_of_view(degrees, allowed):
    if not allowed:
        with pytest.raises(CalibrationError, match="between 1 and 157"):
            camera_from_fov("a", (400, 300), degrees)
        return
    for size in ((400, 300), (300, 400)):
        camera = camera_from_fov("a", size, degrees)
        assert camera.K[0, 0] == camera.K[1, 1] == pytest.approx(200 / np.tan(np.radians(degrees / 2)))
        assert camera.K[:2, 2].tolist() == [(size[0] - 1) / 2, (size[1] - 1) / 2]
        assert not camera.dist.any() and camera.up is None and camera.up_in_camera is None
        check_plausible(camera)


def test_what_is_up_is_turned_into_the_camera():
    turned = replace(LENS, R=rotation([0, 0, 1], 90), up=np.array([0, -1.0, 0]))
    up = turned.up_in_camera
    assert up is not None
    np.testing.assert_allclose(up, [1, 0, 0], atol=1e-12)


def test_a_wide_lens_is_inverted_to_a_thousandth_of_a_pixel_in_the_corner():
    wide = replace(camera_from_fov("a", (1280, 720), 90), dist=np.array([-0.2, 0.03, 0.0, 0.0, 0.0]))
    check_plausible(wide)
    corners = np.array([[0.0, 0], [1279, 0], [0, 719], [1279, 719]])
    assert np.abs(camera_to_image(wide, image_to_ray(wide, corners)) - corners).max() < 2e-3


def test_no_points_are_no_pixels_and_a_point_in_the_plane_of_the_camera_has_none():
    assert camera_to_image(PLAIN, np.empty((4, 0, 3))).shape == (4, 0, 2)
    assert image_to_ray(PLAIN, np.empty((4, 0, 2))).shape == (4, 0, 3)
    xy = camera_to_image(PLAIN, np.array([[[1.0, 1, 0], [0, 0, 1e-3]]]))
    assert np.isnan(xy[0, 0]).all() and np.allclose(xy[0, 1], PLAIN.K[:2, 2])
    assert np.isnan(image_to_ray(PLAIN, np.array([np.nan, 3.0]))[:2]).all()
