"""Cameras that hang on their side: their images, their calibration and what is said of it, by one convention."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.errors import CalibrationError, UserError
from calibration.formats import save_calibration
from calibration.geometry.camera import Camera, camera_to_image, world_to_camera, world_to_image
from calibration.geometry.turning import turn_camera, upright_turn
from calibration.types import Calibration, with_up
from stream.app.build import prepare
from stream.app.command_line import config_of
from stream.app.flags import parser
from stream.sources import make_source, turned
from tests.calibration_scene import look_at
from tests.reading import CaptureDouble, camera_source, following, opened, read_all
from tests.servers import decode, write_video

SIZE = (160, 120)
UP = np.array([0, 0, 1.0])
DISTORTIONS = {
    4: [-0.2, 0.05, 0.002, -0.003],
    5: [-0.2, 0.05, 0.002, -0.003, 0.01],
    8: [-0.2, 0.05, 0.002, -0.003, 0.01, 0.02, 0.01, 0.003],
    12: [-0.2, 0.05, 0.002, -0.003, 0.01, 0.02, 0.01, 0.003, 0.004, -0.002, 0.001, 0.003],
    14: [-0.2, 0.05, 0.002, -0.003, 0.01, 0.02, 0.01, 0.003, 0.004, -0.002, 0.001, 0.003, 0, 0],
}


def carried(xy: np.ndarray, degrees: int, size: tuple[int, int]) -> np.ndarray:
    """Where pixels are after a turn, by the rule that is stated."""
    for _ in range(degrees // 90):
        xy = np.stack([size[1] - 1 - xy[:, 1], xy[:, 0]], 1)
        size = (size[1], size[0])
    return xy


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("coefficients", DISTORTIONS)
def test_a_turned_camera_sees_every_point_where_the_turned_image_has_it(degrees, coefficients):
    camera = look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], dist=DISTORTIONS[coefficients], roll=0.3)
    points = np.random.default_rng(0).normal(0, 600, (50, 3)) + [0, 0, 1000]
    turned = turn_camera(camera, degrees)
    assert turned.size == (camera.size if degrees == 180 else camera.size[::-1])
    np.testing.assert_allclose(
        world_to_image(turned, points), carried(world_to_image(camera, points), degrees, camera.size), atol=1e-8
    )
    np.testing.assert_allclose(world_to_camera(turned, points)[:, 2], world_to_camera(camera, points)[:, 2])
    assert turn_camera(turned, 360 - degrees).size == camera.size
    np.testing.assert_allclose(turn_camera(turned, 360 - degrees).K, camera.K)


def test_a_tilted_sensor_is_refused():
    camera = look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], dist=[0.0] * 12 + [0.1, 0])
    with pytest.raises(CalibrationError, match="tilted sensor"):
        turn_camera(camera, 90)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_images_are_turned_by_the_same_rule(degrees, tmp_path):
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:24, 100:104] = 255
    cv2.imwrite(str(tmp_path / "1.png"), image)
    config = config_of(parser().parse_args(["--camera", f"a={tmp_path}", "--rotate", f"a={degrees}", "--view", "none"]))
    with opened(make_source(config.sources[0])) as source:
        seen = following(source).image
    ys, xs = np.nonzero(seen[..., 0])
    np.testing.assert_allclose([[xs.mean(), ys.mean()]], carried(np.array([[101.5, 21.5]]), degrees, SIZE))


@pytest.mark.parametrize(
    ("mark", "rotate", "size"), [(0, 90, (120, 160)), (90, 270, (160, 120)), (90, 180, (120, 160))]
)
def test_the_flag_comes_after_the_mark_of_the_file(mark, rotate, size, tmp_path):
    write_video(tmp_path / "a.mp4", 3, rotation=mark)
    flags = ["--camera", f"a={tmp_path / 'a.mp4'}", "--view", "none"]
    with opened(make_source(config_of(parser().parse_args(flags)).sources[0])) as plain:
        before = following(plain).image
    config = config_of(parser().parse_args([*flags, "--rotate", str(rotate)]))
    source = make_source(config.sources[0])
    assert source.open().size == size
    after = following(source).image
    assert after.shape == (size[1], size[0], 3)
    np.testing.assert_array_equal(after, np.rot90(before, -rotate // 90))
    assert not after.flags.writeable and len(read_all(source)) == 2
    source.close()


def test_a_live_camera_is_turned_too():
    source = turned(camera_source([CaptureDouble()]), 90)
    assert source.open().size == (120, 160) and source.live
    frame = following(source)
    assert frame.image.shape == (160, 120, 3)
    assert decode(np.rot90(frame.image, 1)) > 0
    source.close()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("askew", [-20, 0, 20])
def test_gravity_tells_how_a_camera_hangs(turn, askew):
    # Rolled counter-clockwise about its axis, a camera shows the world clockwise.
    camera = look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], roll=np.radians(turn + askew))
    hangs = replace(camera, up=UP)
    degrees = upright_turn(hangs)
    up = camera_to_image(
        turn_camera(hangs, degrees),
        world_to_camera(turn_camera(hangs, degrees), np.array([[0, 0, 1000.0], [0, 0, 1400]])),
    )
    assert degrees == (360 - turn) % 360
    assert up[1, 1] < up[0, 1], "what is higher in the world is higher in the image"


def test_no_turn_without_gravity_or_where_no_turn_is_clear():
    camera = look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], roll=np.radians(90))
    assert upright_turn(camera) == 0
    assert upright_turn(replace(look_at("a", np.array([300.0, 5, 3700]), [0, 0, 0], roll=1.6), up=UP)) == 0
    assert (
        upright_turn(replace(look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], roll=np.radians(45)), up=UP))
        == 0
    )


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Two cameras of which the second hangs on its side, their calibration with gravity, and their videos."""
    cameras = (
        look_at("a", np.array([3000.0, 500, 1700]), [0, 0, 1000], f=150, size=SIZE),
        look_at("b", np.array([-500.0, 3000, 1700]), [0, 0, 1000], f=150, size=SIZE, roll=np.radians(90)),
    )
    placed = Calibration(cameras)
    save_calibration(with_up(placed, UP), tmp_path / "lab.toml")
    save_calibration(placed, tmp_path / "noup.toml")
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", 3, size=SIZE)
    write_video(tmp_path / "portrait.mp4", 3, size=SIZE[::-1])
    return tmp_path


def prepared(lab: Path, *flags: str, calibration: str = "lab.toml", b: str = "b.mp4"):
    words = ["--camera", f"a={lab / 'a.mp4'}", "--camera", f"b={lab / b}", "--calibration", str(lab / calibration)]
    config = config_of(parser().parse_args([*words, "--view", "none", "--detector", "movenet-lightning", *flags]))
    with ExitStack() as stack:
        pipeline, _ = prepare(config, stack)
        return pipeline.run_info, [following(o.source) for o in pipeline._sources]


def test_what_hangs_on_its_side_is_turned_by_itself_and_recorded_so(lab, caplog):
    caplog.set_level("INFO")
    info, frames = prepared(lab)
    assert [camera.size for camera in info.cameras] == [SIZE, SIZE[::-1]]
    assert [f.image.shape[:2] for f in frames] == [(120, 160), (160, 120)]
    b = info.cameras[1].calibration
    assert isinstance(b, Camera) and b.size == SIZE[::-1] and upright_turn(b) == 0
    assert info.settings["rotate"] == {"a": 0, "b": 270}
    (line,) = [r.getMessage() for r in caplog.records if "hangs turned" in r.getMessage()]
    assert line.startswith("b: hangs turned by its calibration: its images") and "by 270 degrees clockwise" in line
    np.testing.assert_array_equal(np.rot90(frames[1].image, -1).shape, (120, 160, 3))
    assert decode(np.rot90(frames[1].image, -1)) == 0


def test_the_user_s_word_goes_before_gravity(lab, caplog):
    info, _ = prepared(lab, "--rotate", "b=0", "--speed", "a=8")
    assert [camera.size for camera in info.cameras] == [SIZE, SIZE]
    assert info.settings["speed"] == {"a": 8.0, "b": 1.0} and info.settings["rotate"] == {"a": 0, "b": 0}
    info, _ = prepared(lab, calibration="noup.toml")
    assert [camera.size for camera in info.cameras] == [SIZE, SIZE]


def test_a_calibration_of_images_that_were_not_turned_is_turned_or_named(lab, caplog):
    caplog.set_level("INFO")
    info, frames = prepared(lab, b="portrait.mp4")
    assert info.cameras[1].size == SIZE[::-1] and frames[1].image.shape == (160, 120, 3)
    assert (
        "b: calibrated for 160x120, its images are 120x160 and upright: the calibration is turned by 270" in caplog.text
    )
    with pytest.raises(UserError, match="width and height are exchanged; .* --rotate b=90"):
        prepared(lab, b="portrait.mp4", calibration="noup.toml")
    caplog.clear()
    prepared(lab, "--rotate", "b=180")
    assert "hang turned even after --rotate b=180; if it was calibrated without --rotate, leave that out" in caplog.text
