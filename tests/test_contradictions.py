"""A camera that contradicts the others is named after a second, with what is wrong with it; in one person and two."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines import skeleton as sk
from engines.fusion import Fuser
from stream.live.contradictions import Contradictions
from stream.types import Estimate, FrameReference, Person, View
from tests.fusion_scene import detect, lift, person, ring

FPS = 12.0
FOUR = (0, 80, 170, 260)


class Walk:
    """Somebody who walks an arc with swinging arms and legs, at any time (17, 3) mm."""

    def __init__(self, rng, away=(0.0, 0.0)):
        self.body, self.phase, self.away = person(rng), rng.uniform(0, 6), np.array([*away, 0.0])

    def __call__(self, t):
        a = 0.9 * t + self.phase
        middle = np.array([900 * np.cos(a), 900 * np.sin(a), 0.0])
        turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        joints = (self.body - [*self.body[0, :2], 0]) @ turn.T
        stride = np.array([-np.sin(a), np.cos(a), 0])
        for limb, share in ((sk.R_KNEE, 0.5), (sk.R_ANKLE, 1), (sk.L_WRIST, 1), (sk.L_ELBOW, 0.4)):
            joints[limb] += 220 * share * np.sin(6 * t) * stride
        for limb, share in ((sk.L_KNEE, 0.5), (sk.L_ANKLE, 1), (sk.R_WRIST, 1), (sk.R_ELBOW, 0.4)):
            joints[limb] -= 220 * share * np.sin(6 * t) * stride
        return joints + middle + self.away


def mirrored(found, width):
    xy = np.hstack([width - 1 - found.xy[:, :1], found.xy[:, 1:]])[sk.MIRROR]
    return replace(found, xy=xy.astype(np.float32), score=found.score[sk.MIRROR])


def film(cause, azimuths=FOUR, wrong=1, seconds=1.6, late=0.4, people=1, seed=0):
    """Cameras as calibrated, and estimates of one or two people in which one camera is wrong."""
    rng = np.random.default_rng(seed)
    cameras = ring(azimuths)
    walks = [Walk(rng, away) for away in ((0, 0), (1500, 900))[:people]]
    other, fusers = Walk(rng, (900, 1100)), [Fuser(cameras, "map") for _ in walks]
    turn = cv2.Rodrigues(np.radians(8) * np.array([0.6, 0.8, 0.0]))[0]
    by = dict(enumerate(cameras))
    if "moved" in cause:
        by[wrong] = replace(cameras[wrong], R=turn @ cameras[wrong].R, t=turn @ cameras[wrong].t + [150, 0, 100])
    elif cause == "exchanged":
        by[wrong], by[wrong + 1] = by[wrong + 1], by[wrong]
    estimates = []
    for index in range(int(seconds * FPS)):
        t, found = index / FPS, []
        for walk, fuser in zip(walks, fusers, strict=True):
            shown = {k: walk(t - (late if "late" in cause and k == wrong else 0)) for k in by}
            if cause == "another person":
                shown[wrong] = other(t)
            detections = [detect(by[k], shown[k], rng) for k in by]
            mixtures = [lift(by[k], shown[k], rng) for k in by]
            if "mirrored" in cause:
                detections[wrong] = mirrored(detections[wrong], cameras[wrong].size[0])
            if cause == "mirrored top to bottom":
                upright = detections[wrong]
                turned = (np.array(cameras[wrong].size) - 1 - upright.xy).astype(np.float32)
                detections[wrong] = replace(upright, xy=turned)
            pose = fuser(detections, mixtures, t)
            views = tuple(View(detection=d, mixture=m) for d, m in zip(detections, mixtures, strict=True))
            found.append(Person(person_id=len(found), views=views, pose=pose))
        frames = tuple(FrameReference(c.name, index, t, c.size, "test") for c in cameras)
        estimates.append(Estimate(index=index, t=t, frames=frames, people=tuple(found)))
    return cameras, estimates


def watch(cameras, estimates):
    watching = Contradictions(cameras)
    said = [(estimate.t, line) for estimate in estimates for line in watching(estimate)]
    return watching, said


WORDS = {
    "mirrored": "its picture is mirrored",
    "exchanged": "it shows what cam2 should: the names of two cameras are exchanged",
    "moved": "it was moved since the calibration: turned by ",
    "another person": "it sees another person",
    "late": "it is late by ",
    "mirrored top to bottom": "its picture is mirrored top to bottom",
}


@pytest.mark.parametrize(("cause", "people"), [*((cause, 1) for cause in WORDS), ("moved", 2), ("mirrored", 2)])
def test_the_camera_is_named_after_a_second_with_its_cause(cause, people):
    azimuths = (0, 60, 140, 210, 290) if cause == "exchanged" else FOUR
    cameras, estimates = film(cause, azimuths, people=people)
    watching, said = watch(cameras, estimates)
    assert 0.85 <= said[0][0] <= 1.35, "named when it has lasted for a second"
    ours = [line for _, line in said if line.startswith("cam1 contradicts the other cameras: ")]
    assert ours and WORDS[cause] in ours[-1], said
    named = {line.split()[0] for _, line in said}
    assert named == ({"cam1", "cam2"} if cause == "exchanged" else {"cam1"})
    assert ours[-1] in watching.note
    assert any(line.startswith(f"warning: {ours[-1]} (") and "moments)" in line for line in watching.lines())


@pytest.mark.parametrize(("azimuths", "people"), [(FOUR, 2), ((0, 90), 1), ((0, 20), 2), ((0, 120, 240), 1)])
def test_good_cameras_are_never_named(azimuths, people):
    watching, said = watch(*film("", azimuths, people=people, seconds=1.6))
    assert not said and not watching.note and not watching.lines()


@pytest.mark.parametrize("late", [0.25, -0.5])
def test_how_late_it_is(late):
    _, said = watch(*film("late", late=late, seconds=2.4))
    words = [line for _, line in said if " ms" in line][-1].split()
    assert words[-4] == ("late" if late > 0 else "early")
    assert abs(float(words[-2]) - 1e3 * abs(late)) < 35


def test_how_far_it_was_turned():
    _, said = watch(*film("moved"))
    assert abs(float(said[-1][1].split("turned by ")[1].split()[0]) - 8) < 1.5


@pytest.mark.parametrize(
    ("cause", "words"),
    [("mirrored", "the picture of cam1 is mirrored"), ("exchanged", "the names of cam0 and cam1 are exchanged"),
     ("another person", "one of them sees another person, was moved"),
     ("moved", "one of them sees another person, was moved")],
)  # fmt: skip
def test_of_two_cameras_both_are_named(cause, words):
    cameras, estimates = film(cause, (0, 100), 0 if cause == "exchanged" else 1)
    watching, said = watch(cameras, estimates)
    assert said[-1][1].startswith("cam0 and cam1 contradict each other: ") and words in said[-1][1], said
    assert watching.note == said[-1][1]


def test_it_is_over_when_the_camera_agrees_again():
    cameras, wrong = film("moved")
    _, good = film("")
    good = [replace(e, t=e.t + 1.6, index=e.index + 30) for e in good]
    watching, said = watch(cameras, [*wrong, *good])
    assert said[-1][1] == "cam1 agrees with the others again" and not watching.note
    assert len(watching.lines()) == 1, "the summary still says that it was"


def test_a_moment_is_no_contradiction_and_neither_is_one_after_a_long_absence():
    cameras, wrong = film("moved", seconds=0.4)
    _, good = film("", seconds=1.0)
    later = [replace(e, t=e.t + 1.0) for e in wrong]
    assert not watch(cameras, [*good, *later[:4]])[1]
    much_later = [replace(e, t=e.t + 60.0) for e in wrong]
    assert not watch(cameras, [*wrong, *much_later])[1]


def test_whom_a_camera_sees_instead_of_whom_the_others_see():
    """Where people are told apart first, a wrong camera's detections are people of their own, whom nobody else sees."""
    cameras, estimates = film("moved", seconds=3.2)
    apart = []
    for e in estimates:
        (one,) = e.people
        theirs = Person(person_id=0, views=(one.views[0], None, *one.views[2:]), pose=one.pose)
        pose = replace(one.pose, cameras=("cam1",), method="single")
        own = Person(person_id=7, views=(None, one.views[1], None, None), pose=pose)
        apart.append(replace(e, people=(theirs, own)))
    _, said = watch(cameras, apart)
    assert 2.3 <= said[0][0] <= 3.3 and WORDS["moved"] in said[-1][1]
    alone = [replace(e, people=e.people[:1]) for e in apart]
    assert not watch(cameras, alone)[1], "a camera that sees nobody contradicts nobody"


def test_a_file_that_begins_again_goes_on():
    cameras, estimates = film("moved", seconds=1.5)
    watching, said = watch(cameras, [*estimates, *estimates])
    assert len({line for _, line in said}) == 1


def test_two_exchanged_cameras_that_agree_with_each_other_acquit_neither():
    cameras, estimates = film("exchanged", (0, 60, 140, 210, 290), seconds=2.4)
    watching, said = watch(cameras, estimates[:15])
    assert {line.split()[0] for _, line in said} == {"cam1", "cam2"}
    for estimate in estimates[15:]:
        (one,) = estimate.people
        ours = tuple(view if k not in (1, 2) else None for k, view in enumerate(one.views))
        theirs = tuple(view if k in (1, 2) else None for k, view in enumerate(one.views))
        other = replace(one.pose, cameras=("cam1", "cam2"), joints=one.pose.joints + [900.0, 0, 0])
        people = (replace(one, views=ours), Person(person_id=1, views=theirs, pose=other))
        assert not watching(replace(estimate, people=people))
    assert "cam1" in watching.note and "cam2" in watching.note


def test_a_camera_that_was_moved_and_is_late_is_both():
    cameras, estimates = film("moved and late", seconds=3.0, late=0.35)
    _, said = watch(cameras, estimates)
    line = [line for _, line in said if line.startswith("cam1 contradicts")][-1]
    degrees, late = float(line.split("turned by ")[1].split()[0]), float(line.split("late by ")[1].split()[0])
    assert abs(degrees - 8) < 1.5 and abs(late - 350) < 90
