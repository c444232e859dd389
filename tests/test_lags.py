"""A camera that shows what was earlier is named by how people move, and nobody else is; of who stands nothing."""

from dataclasses import replace

import numpy as np
import pytest

import stream
from engines.types import Pose
from stream.live.doubts import Doubts
from stream.live.lags import Lags
from stream.types import Estimate, FrameReference, Person, View
from tests.fusion_scene import detect, person, ring

FPS = 30.0
THREE, FOUR = (0, 100, 230), (0, 80, 170, 260)


class Mover:
    """Somebody who walks about and waves, never twice the same: sums of sines whose periods have nothing in common."""

    def __init__(self, seed=0, still=False):
        rng = np.random.default_rng(seed)
        self.body, self.still = person(rng), still
        self.phase, self.rate = rng.uniform(0, 6, (5, 17, 3)), rng.uniform(0.4, 2.2, (5, 17, 3)) * 2 * np.pi
        self.size = rng.uniform(20, 60, (5, 17, 3))

    def __call__(self, t):
        if self.still:
            return self.body
        waved = (self.size * np.sin(self.rate * t + self.phase)).sum(0)
        along = np.array([500 * np.sin(0.7 * t), 400 * np.sin(1.1 * t + 1), 0.0])
        return self.body + 0.5 * waved + along


def film(late, seconds, *, seed=0, mover=None, phases=True, people=1, azimuths=THREE):
    """Estimates of cameras of which some show what was earlier, by seconds; their frames lie beside each other."""
    rng, cameras = np.random.default_rng(seed), ring(azimuths)
    movers = [mover or Mover(seed + k) for k in range(people)]
    phase = rng.uniform(0, 1 / FPS, len(cameras)) if phases else np.zeros(len(cameras))
    estimates = []
    for index in range(round(seconds * FPS)):
        times = index / FPS + phase
        shown = []
        for k, mover in enumerate(movers):
            found = [
                detect(camera, mover(times[c] - late.get(c, 0.0)) + [1500.0 * k, 0, 0], rng)
                for c, camera in enumerate(cameras)
            ]
            names, joints = tuple(c.name for c in cameras), mover(index / FPS) + [1500.0 * k, 0, 0]
            pose = Pose(joints, np.tile(100 * np.eye(3), (17, 1, 1)), names, "map")
            shown.append(Person(person_id=k, views=tuple(View(detection=one) for one in found), pose=pose))
        frames = tuple(FrameReference(c.name, index, t, c.size, "test") for c, t in zip(cameras, times, strict=True))
        estimates.append(Estimate(index=index, t=float(times.max()), frames=frames, people=tuple(shown)))
    return cameras, estimates


def said_of(late, seconds=22.0, offsets=(0.0,) * 4, **options):
    cameras, estimates = film(late, seconds, **options)
    lags = Lags(cameras, offsets[: len(cameras)], begin=lambda work: work(), rest=0.0)
    lines = [line for estimate in estimates for line in lags(estimate)]
    return lines, lags


@pytest.mark.parametrize("late", [0.04, -0.03])
def test_a_camera_that_is_off_is_named_with_the_flag_that_mends_it(late):
    lines, lags = said_of({2: late})
    (line,) = lines
    found = float(line.split("cam2=")[1].split()[0])
    assert line.startswith("cam2 shows what was ") and ("earlier" if late > 0 else "later") in line
    assert found == pytest.approx(-late, abs=0.005), "it is what must be added to its times"
    assert lags.note == line and lags.lines() == [f"warning: {line}"]


def test_the_flag_that_is_said_has_in_it_what_was_given_already():
    (line,), _ = said_of({2: 0.04}, offsets=(0.0, 0.0, 0.1, 0.0))
    assert float(line.split("cam2=")[1].split()[0]) == pytest.approx(0.06, abs=0.005)


def test_of_two_computers_with_two_cameras_each_the_second_ones_are_named():
    lines, _ = said_of({2: 0.04, 3: 0.04}, azimuths=FOUR)
    assert sorted(line.split()[0] for line in lines) == ["cam2", "cam3"]


def test_with_several_people_it_is_found_as_well():
    (line,), _ = said_of({1: 0.04}, people=2)
    assert line.startswith("cam1 shows what was ")


@pytest.mark.parametrize("options", [{}, {"seed": 3, "people": 2}])
def test_of_cameras_that_are_right_nothing_is_said(options):
    lines, lags = said_of({}, **options)
    assert lines == [] and lags.note == "" and lags.lines() == []


def test_who_stands_still_tells_nothing():
    assert said_of({2: 0.04}, mover=Mover(still=True))[0] == []


def test_it_is_said_once_and_taken_back_when_it_is_over():
    cameras, wrong = film({2: 0.04}, 22)
    _, right = film({}, 22, seed=5)
    lags, shift = Lags(cameras, (0.0,) * 3, begin=lambda work: work(), rest=0.0), wrong[-1].t + 1
    lines = [line for one in wrong for line in lags(one)]
    lines += [line for one in right for line in lags(later(one, shift))]
    assert len(lines) == 2 and "--sync-offset" in lines[0], lines
    assert lines[1] == "cam2 shows the time that the others show again" and lags.note == ""
    assert len(lags.lines()) == 1, "the summary has it"


def later(estimate, seconds):
    frames = tuple(replace(frame, t=frame.t + seconds) for frame in estimate.frames)
    return replace(estimate, t=estimate.t + seconds, frames=frames)


@pytest.mark.slow
@pytest.mark.video
@pytest.mark.parametrize("frames", [0, 3])
def test_of_the_demo_only_what_was_done_to_it_is_said(frames, demo_estimates):
    cameras, moments = demo_estimates
    lags, lines = Lags(cameras, (0.0,) * 4, begin=lambda work: work(), rest=0.0), []
    for turn in range(15):  # it is 1.7 s long
        for k, estimate in enumerate(moments):
            t, before = (turn * len(moments) + k) / 60, moments[max(0, k - frames)]
            people = []
            for somebody in estimate.people:
                then = next((one for one in before.people if one.person_id == somebody.person_id), somebody)
                views = (*somebody.views[:2], then.views[2], *somebody.views[3:])
                people.append(replace(somebody, views=views))
            references = tuple(None if one is None else replace(one, t=t) for one in estimate.frames)
            lines += lags(replace(estimate, t=t, frames=references, people=tuple(people)))
    if not frames:
        assert lines == []
    else:
        (line,) = lines
        assert float(line.split("cam03=")[1].split()[0]) == pytest.approx(-frames / 60, abs=0.010)


@pytest.fixture(scope="module")
def demo_estimates():
    with stream.open_stream(demo="multi", detector="movenet-lightning", runtime="onnx") as live:
        moments = list(live)
        return [camera.calibration for camera in live.run_info.cameras], moments


def test_it_rests_for_long_and_only_one_comparison_is_made_at_a_time():
    cameras, estimates = film({}, 13)
    works = []
    lags = Lags(cameras, (0.0,) * 3, begin=works.append)
    for estimate in estimates:
        lags(estimate)
    assert len(works) == 1, "the first has not been done yet"


def test_a_run_says_it_with_its_other_doubts():
    cameras, estimates = film({2: 0.04}, 22)
    doubts = Doubts(cameras, 0.2, Lags(cameras, (0.0,) * 3, begin=lambda work: work(), rest=0.0))
    lines = [line for estimate in estimates for line in doubts(estimate)]
    assert any("--sync-offset cam2=-0.0" in line for line in lines)
    assert "--sync-offset cam2=-0.0" in doubts.note and any("--sync-offset" in line for line in doubts.lines())
