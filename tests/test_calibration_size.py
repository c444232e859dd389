"""A person tells whether a calibration's lengths are millimetres, and its up up."""

import re
from dataclasses import replace

import numpy as np
import pytest

from calibration.geometry.camera import world_to_image
from calibration.solving.check import check_person
from calibration.solving.size import UP_PROBLEM, bone_ratio, size_problem, upside_down
from engines import skeleton as sk
from stream.live.plausibility import BODY
from tests.fusion_scene import UP, person, ring


@pytest.fixture
def walk(rng):
    """Cameras, and a person (40, 17, 3) mm who walks past."""
    cameras = [replace(c, up=UP) for c in ring((0, 80, 160))]
    return cameras, person(rng) + np.linspace(0, 800, 40)[:, None, None] * [1.0, 0.3, 0.0]


def seen(cameras, joints, rng):
    xy = np.stack([world_to_image(camera, joints) for camera in cameras])
    return xy + rng.normal(0, 2, xy.shape), np.full(xy.shape[:-1], 0.9)


@pytest.mark.parametrize(
    ("unit", "said"),
    [(10.0, "too small by 10.*centimetres.*--unit cm"), (1000.0, "too small by 1000.*metres.*--unit m"),
     (25.4, "inches.*--unit 25.4"), (60.0, r"squares of a board of about (5|6)\d mm"),
     (0.1, "too large by 10"), (0.001, "too large by 1000"), (0.4, "too large by about 2"),
     (2.6, "too small by about 2")],
)  # fmt: skip
def test_a_wrong_unit_does_not_pass_and_the_factor_is_named(walk, rng, unit, said):
    cameras, joints = walk
    wrong = [replace(c, t=c.t / unit) for c in cameras]
    result = check_person(wrong, *seen(cameras, joints, rng), BODY)
    assert len(result.problems) == 1
    assert re.search(said, result.problems[0]), result.problems


def test_millimetres_pass_also_of_small_and_tall_people(walk, rng):
    cameras, joints = walk
    for size in (0.7, 1.0, 1.25):
        other = joints * [1, 1, size] if size == 1 else (joints - joints[:, :1]) * size + joints[:, :1]
        assert check_person(cameras, *seen(cameras, other, rng), BODY).problems == ()


def test_an_up_that_is_down_is_named_and_a_handstand_is_not(walk, rng):
    cameras, joints = walk
    inverted = [replace(c, up=-UP) for c in cameras]
    assert check_person(inverted, *seen(cameras, joints, rng), BODY).problems == (UP_PROBLEM,)
    half = joints.copy()
    half[:20, :, 2] = 1800 - half[:20, :, 2]
    assert not upside_down(half, BODY, UP) and upside_down(half[:20], BODY, UP)
    assert not upside_down(joints, BODY, None) and not upside_down(joints[:3], BODY, -UP)


def test_too_little_seen_says_nothing(walk):
    _, joints = walk
    ratio = bone_ratio(joints, BODY)
    assert ratio is not None and 0.8 < ratio < 1.2
    joints[:, [sk.R_KNEE, sk.L_KNEE, sk.R_ELBOW, sk.L_ELBOW]] = np.nan
    assert bone_ratio(joints, BODY) is None and size_problem(None) is None
