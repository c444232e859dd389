"""Defaults and thresholds, each where it decides: what is a little below it and what is a little above."""

import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from engines.lifter import MDNLifter
from engines.skeleton import LIMBS
from engines.types import Detection
from stream.app import build
from stream.app.command_line import config_of
from stream.app.flags import parser
from stream.channel import Channel
from stream.config import CameraSetupConfig, Config, DetectConfig, SourceConfig
from stream.live.estimator import Estimator
from stream.live.synchronise import frame_set
from stream.sources import make_source
from stream.sources._live import Capture, LiveSource
from stream.sources._source import SourceInfo
from stream.types import Frame, StreamError
from tests.known import figure

IMAGE = np.zeros((480, 640, 3), np.uint8)


class Scores:
    """Detects the figure, some limb joints of it with one score and nothing else."""

    def __init__(self, source, count, score):
        self.source, self.count, self.score = source, count, score

    def session(self):
        return self

    def reset(self):
        pass

    def __call__(self, image, t):
        score = np.zeros(17, np.float32)
        score[list(LIMBS)[: self.count]] = self.score
        return Detection(self.source.joints(0).astype(np.float32), score, np.zeros(17, bool), "known")


@pytest.fixture(scope="module")
def lifter():
    return MDNLifter()


@pytest.mark.parametrize(
    ("count", "score", "lifted"), [(6, 0.9, True), (5, 0.9, False), (6, 0.21, True), (12, 0.19, False)]
)
def test_a_person_is_lifted_from_six_limb_joints_of_a_fifth_on(lifter, count, score, lifted):
    source = figure()
    estimator = Estimator([source.camera], Scores(source, count, score), lifter)
    estimate = estimator(frame_set(0, 0.0, [Frame("cam0", 0, 0.0, IMAGE)]))
    (view,) = estimate.people[0].views
    assert (view.mixture is not None) == lifted
    assert (view.root is not None and np.isfinite(view.root).all()) == lifted, "placed by the same joints"


def test_the_field_of_view_without_a_calibration_is_sixty_degrees():
    with ExitStack() as stack:
        config = config_of(parser().parse_args(["--camera", "synthetic:frames=2", "--view", "none"]))
        config = replace(config, detect=DetectConfig(("movenet-lightning",)))
        pipeline, _ = build.prepare(config, stack)
        (camera,) = pipeline.run_info.cameras
        assert camera.fov_degrees == 60
        (lens,) = pipeline._estimator._cameras
        assert 2 * np.degrees(np.arctan(max(lens.size) / 2 / lens.K[0, 0])) == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize(("cores", "views", "threads"), [(2, 1, 2), (16, 1, 4), (16, 8, 2), (4, 8, 1)])
def test_a_detector_gets_the_cores_that_are_there_and_four_threads_at_most(monkeypatch, cores, views, threads):
    monkeypatch.setattr(build.os, "cpu_count", lambda: cores)
    sources = tuple(SourceConfig("synthetic:frames=3", f"cam{k}") for k in range(views))
    given = {}
    monkeypatch.setattr(build.fallback, "Fallback", lambda names, **what: given.update(what))
    build.load_detector(Config(sources), None)
    assert given["detector"].network.threads == threads


def test_a_live_camera_that_does_not_say_its_rate_is_taken_for_one_of_thirty():
    assert build.frame_set_rate([None], DetectConfig().assumed_fps) == 30
    assert build.frame_set_rate([None, 60.0], DetectConfig().assumed_fps) == 30
    assert build.frame_set_rate([None, 10.0], DetectConfig().assumed_fps) == 10


@pytest.mark.parametrize(("apart", "taken"), [(4.9, True), (5.1, False)])
def test_live_times_are_moved_apart_by_five_seconds_at_most(apart, taken):
    sources = tuple(SourceConfig("synthetic:frames=3", name, realtime=True) for name in "ab")
    config = Config(sources, setup=CameraSetupConfig(sync_offset=(f"b={apart}",)))
    with ExitStack() as stack:
        if taken:
            assert [o.offset_s for o in build.open_sources(config, stack)] == [0, apart]
        else:
            with pytest.raises(StreamError, match="for 5 s at most"):
                build.open_sources(config, stack)


class Dying(LiveSource):
    """A camera that gives one image and then is not there any more; nothing is waited for."""

    kind = "test"

    def __init__(self):
        super().__init__(SourceConfig("test", "cam"))
        self.waits, self.tries = [], 0
        self._stop = self

    def _connect(self):
        self.tries += 1
        if self.tries > 1:
            raise StreamError("it is not there")
        return self

    info = SourceInfo("cam", "test", "test", (4, 4), None, None, True, "monotonic")

    def captures(self):
        yield Capture(time.monotonic(), np.zeros((4, 4, 3), np.uint8))
        raise StreamError("it died")

    def is_set(self):
        return len(self.waits) == 7

    def set(self):
        pass

    def wait(self, seconds):
        self.waits.append(seconds)

    def close(self):
        pass


def test_a_camera_that_died_is_asked_for_less_and_less_often():
    source = Dying()
    source._drain(0)
    assert source.waits == [0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0]


@pytest.mark.parametrize(("age", "stalled"), [(2.9, False), (3.1, True)])
def test_a_live_source_is_stalled_after_three_seconds_and_hands_out_nothing_older(age, stalled):
    source = Dying()
    source._info, source._last_new = source.info, time.monotonic() - age
    assert source.status().stalled == stalled and bool(source.status().note) == stalled
    source._slot = Channel("latest", 1)
    source._slot.put((time.monotonic() - age, Frame("cam", 0, 0.0, IMAGE)))
    source._slot.close()
    assert (source.read() is None) == stalled and source.status().dropped == stalled


@pytest.mark.parametrize(("image", "lost"), [(None, "corrupt"), (np.zeros((2, 2, 3), np.uint8), "")])
@pytest.mark.parametrize(("age", "again"), [(2.9, False), (3.1, True)])
def test_a_camera_that_sends_nothing_of_use_for_three_seconds_is_opened_again(age, again, image, lost):
    source = Dying()
    source._last_new = source._other_size = time.monotonic() - age
    if again:
        with pytest.raises(StreamError):
            source._take(Capture(0.0, image, lost), source.info)
    else:
        source._take(Capture(0.0, image, lost), source.info)
    assert source.status().corrupt == (lost == "corrupt") and source.status().dropped == (lost == "")


def test_a_live_recorder_may_fall_ten_seconds_behind():
    with ExitStack() as stack:
        config = config_of(parser().parse_args(["--camera", "synthetic:frames=2", "--view", "none"]))
        pipeline, _ = build.prepare(replace(config, detect=DetectConfig(("movenet-lightning",))), stack)
        assert pipeline._sinks.ahead == 300


def test_a_network_source_is_given_up_after_eight_seconds_whatever_it_does():
    source = make_source(SourceConfig("rtsp://127.0.0.1/x", "cam"))
    assert isinstance(source, LiveSource) and source._open_limit_s == 8
