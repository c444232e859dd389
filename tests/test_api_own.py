"""``import stream`` with what is one's own: a loop, pictures, detectors, sources and sinks."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pytest

import stream
from calibration.geometry.camera import camera_from_fov
from stream.sources import unregister as unregister_source
from tests.api import CLIP, Broken, Known, image, opened
from tests.known import figure

pytestmark = pytest.mark.usefixtures("no_thread_stays", "known_detector")


def test_one_image_and_a_picture_of_it():
    estimate = stream.Estimator(detector="known")(image())
    assert estimate.person is not None and estimate.frames[0].size == (640, 480)
    before = image()
    picture = stream.draw(estimate, before)
    np.testing.assert_array_equal(before, image(), "not drawn on")
    assert picture.shape == (720, 1280, 3) and picture.dtype == np.uint8
    png = picture._repr_png_()
    assert png is not None
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, picture)
    assert picture[0]._repr_png_() is None and stream.draw(estimate).shape == (720, 1280, 3)


def test_images_without_a_time_do_not_know_of_each_other():
    poser = stream.Estimator(detector="known")
    one, two, three = poser(image()), poser(image(7)), poser(image())
    np.testing.assert_array_equal(one.person.views[0].answer, three.person.views[0].answer)
    assert one.index < two.index < three.index
    assert poser(np.zeros((100, 300, 3), np.uint8)).frames[0].size == (300, 100), "another size is another camera"


def test_images_with_times_are_followed_as_a_file_is(tmp_path):
    poser = stream.Estimator(detector="known")
    own = [poser(image(k), k / 30) for k in range(12)]
    with opened() as live:
        for a, b in zip(own, live, strict=True):
            np.testing.assert_array_equal(a.person.views[0].answer, b.person.views[0].answer)


def test_an_estimator_does_not_believe_its_caller():
    poser = stream.Estimator(detector="known")
    good = image()
    poser(good, 1.0)
    for wrong, t, words in [
        (good, 1.0, "times must increase; reset"),
        (good, 0.5, "times must increase"),
        (good, float("nan"), "give seconds"),
        (good, "2", "t is '2'; give seconds"),
        (good, np.array([2, 3]), "give seconds"),
        ({0: good}, 2.0, "a camera is called 0"),
        ({None: good}, 2.0, "a camera is called None"),
        (good[:240, :320], 2.0, "320x240, before of 640x480"),
        (good[..., 0], 2.0, "COLOR_GRAY2BGR"),
        (good / 255, 2.0, "astype"),
        (np.dstack([good, good[..., :1]]), 2.0, "alpha"),
        (good[:0], 2.0, "no pixels"),
        ("person.jpg", 2.0, "str is no image"),
        ({}, 2.0, "no image"),
        ({"image": None}, 2.0, "no image"),
        ({"other": good}, 2.0, "images of other, before of image"),
    ]:
        with pytest.raises(stream.UserError, match=words):
            poser(wrong, t)
    assert poser(good, 2.0).person is not None, "a mistake spoils nothing"
    poser.reset()
    assert poser(good[:240, :320], 0.0).frames[0].size == (320, 240)


def rig(size=(640, 480)):
    cameras = []
    for name, angle in (("left", -0.5), ("right", 0.5)):
        c, s = np.cos(angle), np.sin(angle)
        R = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        lens = camera_from_fov(name, size, 60)
        cameras.append(stream.Camera(name, size, lens.K, lens.dist, R, np.array([0, 0, 4000.0])))
    return stream.Calibration(tuple(cameras))


def test_several_cameras_are_fused_and_a_smaller_image_is_scaled():
    with stream.Estimator(detector="known", calibration=rig()) as poser:
        estimate = poser({"left": image(), "right": image()}, 0.0)
        assert estimate.person.pose is not None and [c.name for c in poser.cameras] == ["left", "right"]
        assert poser({"left": image(1), "right": None}, 0.1).person.pose.method == "single"
        with pytest.raises(stream.UserError, match="say whose it is"):
            poser(image(), 0.2)
        with pytest.raises(stream.UserError, match="images of left"):
            poser({"left": image()}, 0.2)
        picture = stream.draw(estimate, {"left": image(), "right": image()}, cameras=poser.cameras)
        assert picture.any()
        poser.reset()
        with pytest.raises(stream.UserError, match="no calibration for camera 'middle'"):
            poser({"middle": image()})
    with stream.Estimator(detector="known", calibration=rig((1280, 960))) as poser:
        poser({"left": image(), "right": image()})
        assert poser.cameras[0].calibration.size == (640, 480), "of the images, so that nobody is half as far away"
    with pytest.raises(stream.UserError, match="is of sources and outputs"):
        stream.Estimator(record="takes")
    mistakes = [{"size": (10, 10)}, {"size": 800}, {"size": "800x600"}, {"size": (800.5, 600)}, {"size": (1, 2, 3)},
                {"pitch": 90}, {"zoom": 0}, {"yaw": "30"}, {"cameras": poser.cameras[:1]}, {"cameras": (1, 2)},
                {"images": {"middle": image()}}]  # fmt: skip
    for mistake in mistakes:
        with pytest.raises(stream.UserError):
            stream.draw(estimate, **mistake)
    for other in (image(), None, [estimate]):
        with pytest.raises(stream.UserError, match="is no estimate"):
            stream.draw(other)


# from outside the tree


@dataclass(frozen=True, slots=True)
class CountOptions(stream.SinkOptions):
    kind: ClassVar[str] = "counts"
    count_to: str = stream.flag("", "count to", example="x")
    seen: ClassVar[list] = []

    def make(self, run):
        return Counter() if self.count_to else None


class Counter(Broken):
    def write(self, estimate, images):
        CountOptions.seen.append(estimate.index)


def test_own_kinds_by_registration():
    from stream.sinks import unregister as unregister_sink

    def make(config):
        return figure(CLIP, config.name)

    stream.register_sink(CountOptions)
    stream.register_source("figures", lambda text: text.startswith("figure:"), make)
    try:
        with opened("figure:1", count_to="twelve") as live:
            assert len(list(live)) == 12
        assert CountOptions.seen == list(range(12))
        assert "known" in stream.detectors()
    finally:
        unregister_sink("counts")
        unregister_source("figures")
    with pytest.raises(stream.UserError, match="is there already"):
        stream.register_detector("movenet-thunder", lambda name, options: Known())
    with pytest.raises(stream.UserError, match="is there already"):
        stream.register_source("file", lambda text: False, make)
    with pytest.raises(stream.UserError, match="is no name"):
        stream.register_source("a b", lambda text: False, make)
    with pytest.raises(stream.UserError, match="are no options of a sink"):
        stream.register_sink(Counter)
    with pytest.raises(stream.UserError, match="are no options of a sink: they lack make"):
        stream.register_sink(dataclass(frozen=True)(type("Unmade", (stream.SinkOptions,), {})))
    with pytest.raises(stream.UserError, match="is there already"):
        stream.register_detector("auto", lambda name, options: Known())
    with pytest.raises(stream.UserError, match="is no name"):
        stream.register_detector(5, lambda name, options: Known())
    with pytest.raises(stream.UserError, match="claims is NoneType; give a function"):
        stream.register_source("figures", None, make)


def broken(*_):
    raise RuntimeError("not today")


class Speechless(Known):
    def describe(self):
        return {}


@pytest.mark.parametrize(
    "load, words",
    [(broken, "RuntimeError: not today"), (lambda name, options: 5, "AttributeError"), (lambda: Known(), "TypeError"),
     (lambda name, options: Speechless(), "lacks model, runtime, sha256")],
)  # fmt: skip
def test_a_detector_of_ones_own_that_cannot_be_made_is_named(load, words):
    stream.register_detector("known", load)
    for make in (opened, lambda: stream.Estimator(detector="known")):
        with pytest.raises(stream.UserError, match=f"detector known.*{words}"):
            make()


@pytest.mark.parametrize("joints, columns, scores", [(5, 2, (5,)), (17, 3, (17,)), (17, 2, (17, 1))])
def test_a_detection_of_another_shape_is_refused(joints, columns, scores):
    wrong = stream.Detection(
        np.ones((joints, columns), np.float32), np.ones(scores, np.float32), np.zeros(joints, bool), "known"
    )
    session = type("Session", (), {"__call__": lambda *_: wrong, "reset": lambda self: None})
    wrong_detector = type("Wrong", (Known,), {"session": lambda self: session()})()
    stream.register_detector("known", lambda name, options: wrong_detector)
    with pytest.raises(stream.UserError, match=r"detector known failed .*they are \(17, 2\)"):
        stream.Estimator(detector="known")(image())


def test_a_source_of_ones_own_that_fails_spoils_no_other(caplog):
    try:
        stream.register_source("figures", broken, broken)
        with opened() as live:
            assert len(list(live)) == 12
        assert "source figures claims nothing: RuntimeError: not today" in caplog.text
        for make, words in [(broken, "RuntimeError: not today"), (lambda config: 5, "int lacks live, open")]:
            stream.register_source("figures", lambda text: text == "figure", make)
            with pytest.raises(stream.UserError, match=f"figure: source figures.*{words}"):
                opened("figure")
    finally:
        unregister_source("figures")
