from dataclasses import replace

import numpy as np
import pytest

from calibration.binding import SourceId, bind
from calibration.errors import CalibrationError
from calibration.fitting import Letterbox, centred_letterbox, fit_camera, parse_letterbox
from calibration.geometry.camera import Camera, camera_from_fov, camera_to_image, resize_pixels
from calibration.names import names_of_source
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


def test_by_order_for_two_cameras_only_with_a_warning_each():
    bound = bind(calibration("ab"), [SourceId("x.mp4"), SourceId("y.mp4")])
    assert names(bound) == ["a", "b"] and bound.by == ("order", "order")
    assert len(bound.warnings) == 2 and "'a', by its order alone" in bound.warnings[0]
    # Of three, the last one is no guess.
    bound = bind(calibration(), [SourceId("x.mp4"), SourceId("y.mp4", "a"), SourceId("z.mp4", "c")])
    assert names(bound) == ["b", "a", "c"] and bound.by == ("order", "name", "name")
    assert len(bound.warnings) == 1 and "'b', the only one left" in bound.warnings[0]


def test_more_than_two_cameras_are_bound_by_order_only_where_that_is_asked_for():
    sources = [SourceId("x.mp4"), SourceId("y.mp4", "a"), SourceId("z.mp4")]
    with pytest.raises(CalibrationError) as caught:
        bind(calibration(), sources)
    said = str(caught.value)
    assert "Given without a name that is known: x.mp4, z.mp4; the calibration has b, c" in said
    assert "--camera b=x.mp4, or --bind order" in said
    bound = bind(calibration(), sources, "order")
    assert names(bound) == ["b", "a", "c"] and "as --bind order says" in bound.warnings[0]
    # What is asked for goes before what the files are called.
    files = [SourceId(f"{name}.mp4", files=(name,)) for name in "cab"]
    assert names(bind(calibration(), files, "order")) == ["a", "b", "c"]
    assert names(bind(calibration(), files)) == ["c", "a", "b"]
    with pytest.raises(CalibrationError, match="--bind random: there are auto, order"):
        bind(calibration(), files, "random")


ELEVEN = [str(number) for number in range(1, 12)]


@pytest.mark.parametrize("known", ["{}", "cam{}", "cam_{:02}", "Camera {}", "port_{}", "{:03}", "C{}", "CAM-{}"])
@pytest.mark.parametrize(
    "file",
    ["port_{}.mp4", "cam{}.avi", "cam_{}.mkv", "Camera-{}.mov", "camera {}.mp4", "{:02}.mp4", "C{:02}.MP4",
     "trial3_cam{}.mp4", "cam{}_trial_7.mp4", "walk 2/cam{}.mp4", "cam{}/video.mp4"],
)  # fmt: skip
def test_eleven_cameras_by_the_numbers_in_the_names_of_their_files(known, file):
    lab = calibration([known.format(number) for number in range(1, 12)])
    order = sorted(ELEVEN)  # 1, 10, 11, 2 ..., as a shell gives them
    sources = [SourceId(f, files=names_of_source(f)) for f in (file.format(int(number)) for number in order)]
    bound = bind(lab, sources)
    assert names(bound) == [known.format(int(number)) for number in order]
    assert set(bound.by) == {"file"} and not bound.warnings and "by the names of their files" in bound.notes[0]


@pytest.mark.parametrize(
    ("known", "given", "wanted"),
    [
        (["26578", "26579", "26585"], ["26585.avi", "26578.avi", "26579.avi"], [2, 0, 1]),
        (["26578", "26579"], ["Walk_Miqus_1_26579.avi", "Walk_Miqus_2_26578.avi"], [1, 0]),
        (["Miqus 1", "Miqus 3", "Miqus 2"], ["Walk_Miqus_3.avi", "walk_miqus_1.avi", "WALK MIQUS 2.avi"], [1, 0, 2]),
        (["left.front", "left.rear", "right"], ["Left-Front.mp4", "right.mp4", "left_rear.mp4"], [0, 2, 1]),
        (["links", "Küche", "rechts"], ["Ku\u0308che.mp4", "rechts.mp4", "links.mp4"], [1, 2, 0]),
        (["カメラ1", "カメラ2", "カメラ3"], ["カメラ3.mp4", "カメラ1.mp4", "カメラ2.mp4"], [2, 0, 1]),
        (["01", "1", "2"], ["1.mp4", "01.mp4", "2.mp4"], [1, 0, 2]),
        (["a", "b", "c"], ["c/", "a/", "b/"], [2, 0, 1]),
        (["int_cam01_img", "int_cam02_img", "int_cam03_img"], ["cam02.mp4", "cam_1.mp4", "x_cam3.mp4"], [1, 0, 2]),
        (["Camera_1 (12345)", "Camera_2 (12346)"], ["Camera-2.mp4", "walk cam 1.mp4"], [1, 0]),
        (["Cam0", "Cam1", "Cam2"], [f"d/Cam{k}/InputMedia/t1/t1.mov" for k in (2, 0, 1)], [2, 0, 1]),
        (["left", "right", "top"], ["left1.mp4", "top_GX01.mp4+top_GX02.mp4", "right.mp4"], None),
    ],
)  # fmt: skip
def test_names_of_files_that_mean_a_camera(known, given, wanted):
    sources = [SourceId(text, files=names_of_source(text)) for text in given]
    if wanted is None:
        # left1 is not left: the one that is left over is no guess, and is said.
        assert names(bind(calibration(known), sources)) == ["left", "top", "right"]
        return
    bound = bind(calibration(known), sources)
    assert names(bound) == [known[k] for k in wanted] and set(bound.by) == {"file"}


@pytest.mark.parametrize(
    ("known", "given", "message"),
    [
        # Takes are counted, too: which number is the camera's?
        (["1", "2", "3"], ["t_1.mp4", "t_2.mp4", "t_3.mp4"], "known: t_1.mp4, t_2.mp4, t_3.mp4; .* has 1, 2, 3"),
        (["1", "2", "3"], ["cam4.mp4", "cam5.mp4", "cam6.mp4"], "known: cam4.mp4, cam5.mp4, cam6.mp4; .* has 1, 2, 3"),
        (["01", "1", "2"], ["cam1.mp4", "cam2.mp4", "x.mp4"], "known: cam1.mp4, x.mp4; the calibration has 01, 1"),
        (["1", "2", "3"], ["c_1.mp4", "c_2.mp4", "c_3.mp4"], "known: c_1.mp4, c_2.mp4, c_3.mp4; .* has 1, 2, 3"),
        # The folder that all lie in is no camera's.
        (["1", "2", "3"], ["cam1/x.mp4", "cam1/y.mp4", "cam1/z.mp4"], "known: cam1/x.mp4, cam1/y.mp4, cam1/z.mp4"),
        # Two that begin at 0 and at 1 would be bound crosswise.
        (["1", "2"], ["cam0.mp4", "cam1.mp4"], "do not go together by their numbers"),
        (["cam01", "cam02"], ["cam03.mp4", "cam07.mp4"], "do not go together by their numbers.*--bind order"),
        (["a", "b", "c"], ["a.mp4", "a.avi", "c.mp4"], "known: a.mp4, a.avi; the calibration has a, b"),
    ],
)  # fmt: skip
def test_what_files_are_called_is_not_guessed(known, given, message):
    with pytest.raises(CalibrationError, match=message):
        bind(calibration(known), [SourceId(text, files=names_of_source(text)) for text in given])


@pytest.mark.parametrize(
    ("known", "given", "wanted"),
    [
        ("10", "port_10", "10"),
        ("port_10", "10", "port_10"),
        ("cam 3", "Cam3", "cam 3"),
        ("Miqus 3", "miqus_3", "Miqus 3"),
    ],
)
def test_a_name_that_is_given_may_be_written_otherwise(known, given, wanted):
    assert names(bind(calibration([known, "x"]), [SourceId("0", given), SourceId("1", "x")])) == [wanted, "x"]


def test_a_name_that_may_be_two_cameras_or_none_is_refused_with_those_there_are():
    with pytest.raises(CalibrationError, match="camera 'cam1': may be 01 or 1; the calibration has 01, 1"):
        bind(calibration(["01", "1"]), [SourceId("0", "cam1")])
    with pytest.raises(CalibrationError, match="no calibration for camera 'door'; the calibration has 01, 1"):
        bind(calibration(["01", "1"]), [SourceId("0", "door")])


@pytest.mark.parametrize("source", [SourceId("c.mp4", files=("c",)), SourceId("x.mp4", "c"), SourceId("x.mp4", "C")])
def test_a_camera_without_a_place_is_named(source):
    lab = calibration("ab")
    lab = replace(lab, lenses=(camera_from_fov("c", (640, 480), 60),))
    with pytest.raises(CalibrationError, match="'[cC]' has a lens in the calibration, but no place; leave it out, "):
        bind(lab, [SourceId("a.mp4", "a"), source])


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
        (
            [SourceId("0"), SourceId("1"), SourceId("2"), SourceId("3")],
            "no calibration for camera 3: given are 0, 1, 2, 3; the calibration has a, b, c",
        ),
        ([SourceId("0", "d"), SourceId("1", "b")], "camera 'd'; given are d, b; the calibration has a, b, c"),
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
        with pytest.raises(CalibrationError, match="another crop of what the lens shows; .* --letterbox a="):
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
