import numpy as np
import pytest

from calibration.binding import Letterbox, SourceId, bind, centred_letterbox, fit_camera, parse_letterbox
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, camera_from_fov, camera_to_image, resize_pixels
from calibration.types import Calibration


def calibration(names="abc", devices=(), serials=()):
    return Calibration(tuple(camera_from_fov(n, (640, 480), 60) for n in names), devices=devices, serials=serials)


def names(binding):
    return [camera.name for camera in binding.cameras]


def test_by_name_whatever_the_order():
    bound = bind(calibration(), [SourceId("2", "c"), SourceId("0", "a"), SourceId("1", "b")])
    assert names(bound) == ["c", "a", "b"] and set(bound.by) == {"name"} and not bound.warnings


def test_swapped_webcams_are_found_by_serial_then_by_device():
    lab = calibration("ab", ("/dev/v4l/by-path/x", "/dev/v4l/by-path/y"), ("111", "222"))
    swapped = [SourceId("0", serial="222", device="/dev/video0"), SourceId("1", serial="111", device="/dev/video1")]
    assert names(bind(lab, swapped)) == ["b", "a"]
    by_path = [SourceId("0", device="/dev/v4l/by-path/y"), SourceId("1", device="/dev/v4l/by-path/x")]
    bound = bind(lab, by_path)
    assert names(bound) == ["b", "a"] and bound.by == ("device", "device") and not bound.warnings


def test_one_serial_shared_by_two_webcams_identifies_nobody():
    lab = calibration("ab", ("/dev/video0", "/dev/video2"), ("0001", "0001"))
    sources = [SourceId("2", serial="0001", device="/dev/video2"), SourceId("0", serial="0001", device="/dev/video0")]
    bound = bind(lab, sources)
    assert names(bound) == ["b", "a"] and len(bound.warnings) == 2 and "may change" in bound.warnings[0]


def test_by_order_only_with_a_warning_each():
    bound = bind(calibration(), [SourceId("x.mp4"), SourceId("y.mp4", "a"), SourceId("z.mp4")])
    assert names(bound) == ["b", "a", "c"] and bound.by == ("order", "name", "order")
    assert len(bound.warnings) == 2 and "'b' by its order alone" in bound.warnings[0]


def test_a_named_subset_is_allowed_and_said():
    bound = bind(calibration(), [SourceId("1", "b")])
    assert names(bound) == ["b"] and "also has a, c" in bound.warnings[0]


def test_another_serial_under_the_given_name_is_said():
    bound = bind(calibration("a", serials=("1",)), [SourceId("0", "a", serial="2")])
    assert "serial 1" in bound.warnings[0] and "serial 2" in bound.warnings[0]


def test_channels_of_one_recorder_that_differ_only_behind_the_password_are_two_cameras():
    address = "rtsp://h/user=admin_password=***"
    bound = bind(calibration("ab"), [SourceId(address, "b"), SourceId(address, "a")])
    assert names(bound) == ["b", "a"] and not bound.warnings


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([SourceId("0", "d")], "no calibration for camera 'd'; the calibration has a, b, c"),
        ([SourceId("0"), SourceId("1"), SourceId("2"), SourceId("3")], "no calibration for camera 3"),
        ([SourceId("0"), SourceId("1")], "say which is which"),
        ([SourceId("0", device="/d"), SourceId("/d", device="/d")], "given twice"),
        ([SourceId("0", "a"), SourceId("1", "a")], "two cameras are named 'a'"),
        ([SourceId("0", "a"), SourceId("1", serial="S")], "both 'a'"),
        ([SourceId("0", serial="T"), SourceId("1", "b"), SourceId("2", "c")], "insist with --camera a=0"),
    ],
)
def test_bad_sets_of_cameras(sources, message):
    with pytest.raises(CalibrationError, match=message):
        bind(calibration(serials=("S", None, None)), sources)


POINTS = np.array([[100.0, -200, 3000], [-800, 300, 4000], [0, 0, 2000]])


def test_an_exact_scale_scales_the_pixels():
    camera = Camera("a", (1920, 1080), np.array([[1500.0, 0, 930], [0, 1490, 560], [0, 0, 1]]), [0.1, 0, 0, 0],  # type: ignore[arg-type]
                    np.eye(3), np.zeros(3))  # fmt: skip
    fitted, message = fit_camera(camera, (1280, 720))
    assert message is not None and "1920x1080" in message and "1280x720" in message and fitted.size == (1280, 720)
    expected = resize_pixels(camera_to_image(camera, POINTS), 2 / 3)
    np.testing.assert_allclose(camera_to_image(fitted, POINTS), expected, atol=1e-9)
    assert fit_camera(camera, (1920, 1080)) == (camera, None)
    assert fit_camera(camera, (854, 480))[0].size == (854, 480)
    for size in ((1440, 1080), (1920, 1088)):
        with pytest.raises(CalibrationError, match="--letterbox a="):
            fit_camera(camera, size)
    for size in ((1080, 1920), (540, 960)):
        with pytest.raises(CalibrationError, match="width and height are exchanged; .* --rotate a=90 "):
            fit_camera(camera, size)


def test_the_letterbox_of_the_four_camera_demo():
    camera = Camera("cam01", (1088, 1920), np.array([[1681.0, 0, 533], [0, 1681, 948], [0, 0, 1]]), np.zeros(5),
                    np.eye(3), np.zeros(3))  # fmt: skip
    name, box = parse_letterbox("cam01=0.99265,0,7.05")
    assert name == "cam01" and box == Letterbox(0.99265, 0, 7.05)
    fitted, message = fit_camera(camera, (1080, 1920), box)
    assert fitted.size == (1080, 1920) and message is not None and "letterbox" in message
    np.testing.assert_allclose(
        fitted.K[:2].ravel(), [1681 * 0.99265, 0, 533 * 0.99265, 0, 1681 * 0.99265, 948.08], atol=0.01
    )
    fit = centred_letterbox(camera, (1080, 1920))
    assert fit.scale == pytest.approx(0.99265, abs=1e-5) and fit.dy == pytest.approx(7.05, abs=0.01)
    assert parse_letterbox("fit") == (None, None)
    for bad in ("a=1,2", "a=0,0,0", "a=nan,0,0", "x"):
        with pytest.raises(CalibrationError, match="letterbox"):
            parse_letterbox(bad)
