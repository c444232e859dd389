"""Which way is up where nobody says it: decided once, and said in the same words everywhere."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from calibration.geometry.upright import up_of
from stream.drawing.compose import captions
from stream.drawing.scene import ViewState, gravity_known, world_axes
from stream.recordings.run_info import CameraInfo, RunInfo, up_in_words
from stream.web.scene import header
from tests.walker import UP, ring, single

SIZE = (1280, 720)


def info(up: np.ndarray | None) -> RunInfo:
    cameras = tuple(CameraInfo(c.name, "synthetic", "synthetic", SIZE, c) for c in ring(3, SIZE, up))
    return RunInfo(cameras, 5, datetime.now(UTC), 0.0)


@pytest.mark.parametrize("up", [UP, None])
def test_one_decision_and_one_statement(up: np.ndarray | None) -> None:
    run = info(up)
    cameras = [c.calibration for c in run.cameras if c.calibration is not None]
    which, known = up_of(cameras)
    view = ViewState(cameras=run.cameras)
    assert known == (up is not None) == gravity_known(view)
    np.testing.assert_allclose(which, UP, atol=1e-6)
    np.testing.assert_allclose(world_axes(cameras)[0][2], which)
    assert run.up == ("up by calibration" if known else "up assumed: the image's up")
    assert captions(view)[0].startswith(run.up + " ")
    assert header(view)["floor"] == run.up == up_in_words(run.cameras)


def test_cameras_without_a_calibration_assume_it_too() -> None:
    run = single()[2]
    assert run.up == "up assumed: the image's up"
    assert up_in_words(()) == run.up


def test_one_camera_that_knows_is_enough_and_one_on_its_side_is_outvoted() -> None:
    known, *others = ring(3, SIZE, UP)
    assert up_of([*(replace(c, up=None) for c in others), known])[1]
    cameras = ring(5, SIZE, None)
    roll = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    cameras[0] = replace(cameras[0], R=roll @ cameras[0].R, t=roll @ cameras[0].t)
    which, known_now = up_of(cameras)
    assert not known_now and which @ UP > 0.95
