"""A person who is ten times too small, or upside down, is said to be: once, while the run goes on and at its end."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.solving.size import UP_PROBLEM
from engines.fusion import Fuser
from stream.live.doubts import Doubts
from stream.live.plausibility import Plausibility
from stream.types import Estimate, FrameReference, Person, View
from tests.fusion_scene import UP, detect, lift, ring
from tests.test_contradictions import Walk


def film(unit=1.0, up=UP, seconds=4.0, flipped=False, alone=False, fps=5.0):
    rng = np.random.default_rng(0)
    cameras = ring((0, 80, 160))
    given = [replace(c, t=c.t / unit, up=up) for c in cameras]
    walk, fuser, estimates = Walk(rng), Fuser(given, "map"), []
    for index in range(int(seconds * fps)):
        joints = walk(index / fps)
        if flipped:
            joints = joints * [1, 1, -1] + [0, 0, 1800]
        detections = [detect(c, joints, rng) for c in cameras]
        mixtures = [lift(c, joints, rng) for c in cameras]
        views = [View(detection=d, mixture=m) for d, m in zip(detections, mixtures, strict=True)]
        pose = fuser(detections, mixtures, index / fps)
        people = (Person(person_id=0, views=tuple(views), pose=pose),)
        if alone:  # nobody is found to be the same person in two cameras
            people = tuple(
                Person(person_id=k, views=tuple(v if i == k else None for i, v in enumerate(views)), pose=None)
                for k in range(3)
            )
        frames = tuple(FrameReference(c.name, index, index / fps, c.size, "test") for c in cameras)
        estimates.append(Estimate(index=index, t=index / fps, frames=frames, people=people))
    return given, estimates


def watch(cameras, estimates):
    doubts = Doubts(cameras, 0.2)
    return doubts, [(e.t, line) for e in estimates for line in doubts(e)]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("unit", "word"), [(10, "centimetres"), (1000, "metres"), (60, "squares of a board")])
def test_a_wrong_unit_is_named_once_and_nothing_else_with_it(unit, word, alone):
    doubts, said = watch(*film(unit, alone=alone))
    named = [(t, line) for t, line in said if word in line]
    assert len(named) == 1 and 2.9 <= named[0][0] <= 3.5 and said[-1] == named[0]
    assert word in doubts.note and len(doubts.lines()) == 1


def test_a_person_as_people_are_is_left_alone():
    doubts, said = watch(*film())
    assert not said and not doubts.note and not doubts.lines()


def test_up_that_is_down_is_named_and_a_handstand_of_some_seconds_is_not():
    doubts, said = watch(*film(up=-UP))
    assert [line for _, line in said] == [UP_PROBLEM] and doubts.lines() == [f"warning: {UP_PROBLEM}"]
    assert "--up" in doubts.note
    cameras, upright = film(seconds=4.0)
    _, handstand = film(seconds=2.0, flipped=True)
    plausible = Plausibility(cameras)
    for e in [*upright, *(replace(e, t=e.t + 4.0) for e in handstand)]:
        assert plausible(e) == []
    assert plausible.lines() == []
    unknown, estimates = film(up=None, seconds=3.4)
    assert watch(unknown, estimates)[1] == []
