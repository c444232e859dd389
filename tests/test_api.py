"""``import stream`` as a programmer uses it: streams, recordings, an own loop, pictures."""

import gc
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

import stream
from calibration.geometry.camera import camera_from_fov
from stream import sinks
from stream.app.flags import parser
from stream.channel import Policy
from stream.sources import unregister as unregister_source
from tests import takes
from tests.known import KnownDetector, figure
from tests.servers import MjpegServer

ROOT = Path(__file__).resolve().parents[1]
CLIP = "synthetic:frames=12"


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [t for t in threading.enumerate() if t not in before]
    for thread in left:
        thread.join(5)
    assert not [t for t in left if t.is_alive()]


@pytest.fixture(autouse=True)
def known_detector():
    stream.register_detector("known", lambda name, options: Known())
    yield
    from engines.detectors import unregister

    for name in ("known", "faulty"):
        unregister(name)


class Known(KnownDetector):
    def __init__(self):
        super().__init__(figure(CLIP))


def opened(*sources, **keywords):
    return stream.open_stream(*(sources or (CLIP,)), **{"detector": "known", **keywords})


# the interface as a whole


def test_every_name_is_there_documented_and_costs_nothing_before_it_is_used():
    assert sorted(stream.__all__) == sorted(set(stream.__all__))
    for name in stream.__all__:
        thing = getattr(stream, name)
        assert name == "__version__" or isinstance(thing, tuple) or thing.__doc__, name
    code = "import sys, stream; assert stream.__all__; assert not {'cv2', 'numpy', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'opne_stream'"):
        stream.opne_stream  # noqa: B018


def test_every_flag_of_the_program_is_a_keyword_that_is_documented():
    no_keyword = {"camera", "quiet", "verbose", "log_file", "list_cameras", "print_config", "capture", "live",
                  "capture_codec", "start_at", "countdown", "seconds"}  # fmt: skip
    flags = set(vars(parser().parse_args([]))) - no_keyword
    of_sinks = {field.name for kind in sinks.kinds().values() for field in fields(kind)}
    documented = set(stream.Flags.__annotations__)
    assert flags - of_sinks <= documented <= flags, "a sink that is added brings its own"
    for name in no_keyword:
        with pytest.raises(stream.UserError, match=f"{name} is no keyword: "):
            opened(**{name: True})


# streams


def test_a_file_gives_every_estimate_and_says_what_it_did(capfd):
    with opened() as live:
        assert (live.live, live.policy, live.summary) == (False, "every", None)
        indices = [estimate.index for estimate in live]
        assert indices == list(range(12)) and next(live, None) is None
    assert live.summary.frame_sets == 12 and live.run_info.cameras[0].name == "cam0"
    assert capfd.readouterr() == ("", "")


def test_latest_passes_over_and_every_waits():
    with opened("synthetic:frames=40", policy="latest") as live:
        first = next(live)
        while live.summary is None:
            time.sleep(0.01)
        rest = [estimate.index for estimate in live]
        assert first.index < 39 and rest[-1] == 39 and len(rest) <= 2
    with opened("synthetic:frames=40", policy="every") as live:
        time.sleep(0.5)
        assert live.summary is None and [estimate.index for estimate in live] == list(range(40))


def test_images_belong_to_their_estimate():
    source = figure(CLIP)
    with opened(images=True) as live:
        for estimate in live:
            np.testing.assert_array_equal(live.images["cam0"], source.render(estimate.index))
    with opened() as live:
        next(live)
        assert live.images == {}


def test_a_live_camera_hands_out_the_newest():
    with MjpegServer(fps=60) as server, opened(server.url(), detector="known") as live:
        assert live.live and live.policy == "latest"
        estimates = [next(live) for _ in range(3)]
        assert all(0 <= time.monotonic() - e.t < 5 for e in estimates)


@pytest.mark.parametrize("how", ["twice", "collected", "unused", "in another order", "by an error", "half way"])
def test_closing_leaves_no_thread(how):
    if how == "twice":
        live = opened()
        live.close()
        live.close()
        assert list(live) == []
    elif how == "collected":
        live = opened("synthetic:frames=100000")
        next(live)
        del live
    elif how == "unused":
        opened("synthetic:frames=100000")
    elif how == "in another order":
        one, two = opened(), opened()
        next(one)
        next(two)
        one.close()
        assert next(two).index == 1
        two.close()
        one.close()
    elif how == "by an error":
        with pytest.raises(ZeroDivisionError), opened("synthetic:frames=100000") as live:
            next(live)
            raise ZeroDivisionError
    else:
        with opened("synthetic:frames=100000") as live:
            next(live)
        assert 1 <= live.summary.frame_sets < 1000
    gc.collect()
    start = time.monotonic()
    while any(t.name.startswith(("stream", "compute", "camera-", "sink-")) for t in threading.enumerate()):
        assert time.monotonic() - start < 5
        time.sleep(0.01)


def test_a_program_that_ends_without_closing_ends():
    code = (
        "import stream\nlive = stream.open_stream('synthetic:frames=1000000', detector='movenet-lightning', "
        "runtime='onnx', precision='fp32')\nprint(next(live).index)"  # nothing is measured first
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_two_streams_at_once_do_not_mix():
    with opened("a=synthetic:frames=12") as one, opened("b=synthetic:frames=12,yaw=90", policy="every") as two:
        for left, right in zip(one, two, strict=True):
            assert left.frames[0].camera == "a" and right.frames[0].camera == "b" and left.index == right.index


def test_whatever_cannot_be_right_is_a_user_error(tmp_path):
    class Hasty(Broken):
        policy = "newest"  # pyright: ignore[reportAssignmentType] - the mistake

    twice, captures = Broken(), tmp_path / "captures.toml"
    captures.write_text('capture = "frames"\n')
    for mistake, words in [
        ({"fpss": 3}, "no keyword 'fpss'; did you mean fps"),
        ({"fps": "fast"}, "fps: 'fast' is not a number"),
        ({"policy": "all"}, "give 'latest' or 'every'"),
        ({"detector": "openpose"}, "unknown detector 'openpose'"),
        ({"fusion": "map"}, "needs --calibration"),
        ({"calibration": tmp_path / "no.toml"}, "no.toml"),
        ({"view": "hologram"}, "unknown view"),
        ({"size": (0, 3)}, "not a size"),
        ({"record": object()}, "give text, a path or a number"),
        ({"config": tmp_path / "no.toml"}, "cannot be read"),
        ({"config": captures}, "capture, in .* is no keyword"),
        ({"calibration": {"left": 1}}, "calibration is dict; give a file or a stream.Calibration"),
        ({"realtime": "yes"}, "realtime is 'yes'; give True or False"),
        ({"record_video": 1}, "record_video is 1; give True or False"),
        ({"sinks": None}, "give a list of sinks"),
        ({"sinks": [5]}, "int is no sink: it lacks open, write, close, policy, wants_images"),
        ({"sinks": [Broken]}, "is a class"),
        ({"sinks": [Hasty()]}, "its policy is 'newest'"),
        ({"sinks": [twice, twice]}, "given twice"),
    ]:
        with pytest.raises(stream.UserError, match=words):
            opened(**mistake)
    for sources in [("nowhere.mp4",), (), (object(),), (image(),), ("a=synthetic:", "a=synthetic:frames=3")]:
        with pytest.raises(stream.UserError):
            stream.open_stream(*sources)


def test_a_fault_of_the_run_is_raised_where_it_is_iterated():
    class Faulty(KnownDetector):
        def __init__(self):
            super().__init__(figure(CLIP), fault=lambda index: 1 // (index - 5))

    stream.register_detector("faulty", lambda name, options: Faulty())
    with pytest.raises(stream.UserError, match="no detector is left|faulty"), opened(detector="faulty") as live:
        list(live)


class Broken:
    policy: Policy = "every"
    wants_images = False

    def open(self, run_info):
        pass

    def write(self, estimate, images) -> None:
        raise OSError("disk full")

    def close(self):
        return None


def test_what_a_sink_lost_is_raised_once():
    with pytest.raises(stream.SinkStoppedError, match="disk full"), opened(sinks=[Broken()]) as live:
        list(live)
    live.close()
    live = opened(sinks=[Broken()])
    next(live)
    with pytest.raises(stream.SinkStoppedError, match="disk full"):
        live.close()
    live.close()


def test_control_stops_and_records(tmp_path):
    with opened("synthetic:frames=100000", record=tmp_path) as live:
        for estimate in live:
            if estimate.index == 3:
                live.control.event("user", "the jump")
                live.control.stop()
    recording = stream.open_recording(tmp_path)
    assert [e.text for e in recording.events()] == ["the jump"]
    assert len(list(recording)) == live.summary.frame_sets


def test_a_calibration_may_be_an_object():
    camera = camera_from_fov("left", (640, 480), 50)
    with opened(f"left={CLIP}", calibration=stream.Calibration((camera,), placed=False)) as live:
        next(live)
        assert live.run_info.cameras[0].calibration.K[0, 0] == camera.K[0, 0]


# recordings


def test_a_recording_is_the_same_estimates(tmp_path):
    with opened(record=tmp_path, record_video=True) as live:
        seen = list(live)
    recording = stream.open_recording(str(tmp_path))
    for _ in range(2):
        assert [e.index for e in recording] == [e.index for e in seen]
    for a, b in zip(seen, recording, strict=True):
        np.testing.assert_array_equal(a.person.views[0].answer.astype(np.float32), b.person.views[0].answer)
    assert len(list(recording.frames("cam0"))) == 12
    assert recording.faults == () and recording.path.parent == tmp_path
    with pytest.raises(stream.UserError, match="no images of camera"):
        list(recording.frames("cam7"))


def test_tables_are_those_of_the_exports(tmp_path, capfd):
    pd = pytest.importorskip("pandas")
    take = takes.record(tmp_path, takes.make_estimates(60))
    recording = stream.open_recording(take)
    arrays, frame, table = recording.to_numpy(), recording.to_pandas(), recording.to_arrow()
    rows = sum(1 for e in recording for f in e.frames if f is not None)
    assert len(arrays["moment"]) == len(frame) == table.num_rows == rows
    np.testing.assert_array_equal(frame["answer_left_wrist_x_mm"], arrays["answer"][:, 13, 0])
    np.testing.assert_array_equal(np.array(table["answer"].to_pylist(), np.float32).reshape(rows, 17, 3),
                                  arrays["answer"])  # fmt: skip
    poses = recording.to_pandas("poses")
    fused = sum(p.pose is not None for e in recording for p in e.people)
    assert (
        np.count_nonzero(poses["world_pelvis_x_mm"].notna())
        == fused
        == np.isfinite(arrays["pose_world"][:, 0, 0]).sum()
    )
    assert isinstance(recording.to_pandas("events"), pd.DataFrame) and recording.to_arrow("events").num_rows == 0
    part = recording.to_pandas(start=0.5, end=1.0)
    assert 0 < len(part) < rows and min(part["moment"]) == 15
    for mistake in (lambda: recording.to_arrow("answers"), lambda: recording.to_numpy(start=2, end=1),
                    lambda: recording.to_numpy(start=99)):  # fmt: skip
        with pytest.raises(stream.UserError):
            mistake()
    assert capfd.readouterr() == ("", "")


def test_what_a_recording_is_asked_for_is_checked(tmp_path):
    for wrong in (None, 5, b"take", ""):
        with pytest.raises(stream.UserError, match="is no folder of a take"):
            stream.open_recording(wrong)
    with opened(record=tmp_path) as live:
        next(live)
    recording = stream.open_recording(tmp_path)
    for asked, words in [
        ({"start": "1"}, "start is '1'; give seconds"),
        ({"end": float("nan")}, "end is nan"),
        ({"select": 0}, "select is 0; give text"),
        ({"table": ["poses"]}, "there is no table"),
    ]:
        with pytest.raises(stream.UserError, match=words):
            recording.to_pandas(**asked)


def test_a_damaged_recording_gives_what_is_left_and_says_so(tmp_path):
    take = takes.record(tmp_path, takes.make_estimates(60))
    data = bytearray((take / "estimates-00000.arrows").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (take / "estimates-00000.arrows").write_bytes(data)
    recording = stream.open_recording(take)
    assert len(list(recording)) == 60 and len(recording.faults) == 1
    recording.to_numpy()
    assert len(recording.faults) == 1, "each once"


def test_an_estimate_is_plain_values(tmp_path):
    for estimate in takes.make_estimates(8, people=2):
        said = json.loads(json.dumps(estimate.to_dict(), allow_nan=False))
        assert said["joints"] == list(stream.JOINTS) and said["index"] == estimate.index
        assert [p["person_id"] for p in said["people"]] == [p.person_id for p in estimate.people]
        for person, back in zip(estimate.people, said["people"], strict=True):
            for view, plain in zip(person.views, back["views"], strict=True):
                assert (view is None) == (plain is None)
                if view is not None and view.answer is not None:
                    np.testing.assert_array_equal(np.float32(plain["answer"]), view.answer)
    assert len(repr(estimate)) < 100


# an own loop


def image(index=0):
    return figure(CLIP).render(index)


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
