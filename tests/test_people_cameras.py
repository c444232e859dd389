"""Several people in front of several calibrated cameras: one id each, whatever happens to them and to the cameras."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import crowd
from benchmarks.scenes import Faults, camera_at
from calibration.geometry.camera import Camera, image_to_ray
from engines.fusion import Fuser
from engines.lifter import MDNLifter
from stream.config import DetectConfig, PeopleConfig
from stream.live.estimator import Estimator
from stream.types import Estimate, Frame, FrameSet
from tests.walker import walker

FPS = 15.0
FAULTS = Faults(noise=0.6, outliers=0.0, missing=(0, 1))
Where = Callable[[float], tuple[float, float] | None]
"""Seconds -> place on the floor, mm; None = high above, where no camera looks."""


@pytest.fixture(scope="module")
def lifter() -> MDNLifter:
    return MDNLifter()


def ring(count: int, distance: float = 4500.0) -> tuple[Camera, ...]:
    return tuple(
        camera_at(f"cam{k + 1}", 0.4 + k * 2 * np.pi / count, distance, 1900, np.array([0, 0, 900.0]))
        for k in range(count)
    )


def at(x: float, y: float) -> Where:
    return lambda t: (x, y)


def people(seconds: float, *where: Where) -> np.ndarray:
    """(T, K, 17, 3) mm: walkers, each a little out of step with the others."""
    frames = []
    for t in np.arange(round(seconds * FPS)) / FPS:
        places = [(*(one(t) or (0.0, 0.0)), 0.0 if one(t) else 1e5) for one in where]
        frames.append([walker(t + 0.3 * k) + place for k, place in enumerate(places)])
    return np.array(frames)


def run(
    joints: np.ndarray,
    cameras: Sequence[Camera],
    lifter: MDNLifter,
    believed: Sequence[Camera] | None = None,
    absent: Callable[[int, int], bool] = lambda t, camera: False,
    who: PeopleConfig | None = None,
    image: Callable[[int, np.ndarray], np.ndarray] = lambda t, image: image,
) -> list[Estimate]:
    """The estimates; ``believed`` is what the calibration says of the cameras."""
    scene = crowd.make(joints, cameras, 0, FAULTS)
    detector = crowd.CrowdOfDetector(scene)
    believed = believed or cameras
    fuse = Fuser(believed, "map", 0.1) if len(cameras) > 1 else None
    estimator = Estimator(
        believed, detector, lifter, DetectConfig(min_score=0.1), fuse=fuse, people=who or PeopleConfig()
    )
    out = []
    for frame_set in crowd.frame_sets(scene, detector):
        frames = tuple(
            None
            if f is None or absent(frame_set.index, k)
            else Frame(f.camera, f.index, f.index / FPS, image(f.index, f.image))
            for k, f in enumerate(frame_set.frames)
        )
        out.append(estimator(FrameSet(frame_set.index, frame_set.index / FPS, frames, 0.0)))
    return out


def ids(estimates: Sequence[Estimate]) -> set[int]:
    return {person.person_id for estimate in estimates for person in estimate.people}


def places(estimate: Estimate) -> dict[int, np.ndarray]:
    """Where each id's pelvis is, mm."""
    return {p.person_id: p.pose.joints[0] for p in estimate.people if p.pose is not None}


def test_two_cross_and_everybody_is_one_person_in_all_cameras(lifter: MDNLifter) -> None:
    joints = people(2.4, lambda t: (-1200 + 1000 * t, 250), lambda t: (1200 - 1000 * t, -250))
    estimates = run(joints, ring(3), lifter)
    assert ids(estimates[3:]) == {0, 1}
    first, last = places(estimates[5]), places(estimates[-1])
    for person in (0, 1):
        truth = int(np.argmin([np.linalg.norm(first[person] - joints[5, k, 0]) for k in (0, 1)]))
        assert np.linalg.norm(last[person] - joints[-1, truth, 0]) < 80, "nobody has become the other"
    assert all(len(estimate.people) == 2 for estimate in estimates[3:])
    assert np.mean([len(p.pose.cameras) for e in estimates[3:] for p in e.people if p.pose]) > 2.5


def test_hidden_for_a_second_and_out_of_one_camera(lifter: MDNLifter) -> None:
    """One walks out of the room and back within two seconds; the other passes out of one camera's picture."""
    joints = people(3.2, lambda t: (0.0, 0.0) if not 1 < t < 2.4 else None, lambda t: (600 + 1300 * min(t, 2), 900))
    estimates = run(joints, ring(3), lifter)
    seen_by = [{k for k, v in enumerate(p.views) if v is not None} for e in estimates for p in e.people]
    assert {len(cameras) for cameras in seen_by} >= {3, 2} and ids(estimates[3:]) == {0, 1}
    assert len(estimates[25].people) == 1 and len(estimates[-1].people) == 2


def test_who_is_gone_for_longer_is_somebody_new(lifter: MDNLifter) -> None:
    joints = people(4, at(-800, 0), lambda t: (800.0, 0.0) if not 1 < t < 3.3 else None)
    estimates = run(joints, ring(2), lifter)
    assert ids(estimates[-5:]) - ids(estimates[:14]) == {max(ids(estimates))} and len(ids(estimates)) == 3


def test_a_camera_fails_and_comes_back(lifter: MDNLifter) -> None:
    joints = people(2, at(-700, 300), at(700, -300))
    estimates = run(joints, ring(3), lifter, absent=lambda t, camera: camera == 0 and 8 <= t < 18)
    assert ids(estimates[3:]) == {0, 1} and all(len(e.people) == 2 for e in estimates[3:])
    assert all(p.views[0] is None for e in estimates[8:18] for p in e.people)
    assert all(p.views[0] is not None for e in estimates[22:] for p in e.people)


def test_a_wrong_calibration_makes_nobody(lifter: MDNLifter) -> None:
    """What the camera sees is nobody's: it is told apart, and no third person is made of it."""
    cameras = ring(4)
    a = np.radians(25)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    wrong = replace(cameras[1], R=turn @ cameras[1].R, t=turn @ cameras[1].t)
    joints = people(2, at(-700, 300), at(700, -300))
    estimates = run(joints, cameras, lifter, believed=(cameras[0], wrong, *cameras[2:]))
    later = estimates[10:]
    assert all(len(e.people) == 2 for e in later) and len(ids(later)) == 2
    assert all(p.views[1] is None for e in later for p in e.people)
    assert np.mean([len(e.strays[1]) for e in later]) > 1.8


@pytest.mark.parametrize("apart", [400.0, 600.0])
def test_twins_side_by_side(lifter: MDNLifter, apart: float) -> None:
    """Alike from head to toe, in step: only where they stand tells them apart."""
    one = people(1.3, at(0, 0))[:, 0]
    joints = np.stack([one - [apart / 2, 0, 0], one + [apart / 2, 0, 0]], 1)
    estimates = run(joints, ring(4), lifter)
    assert len(ids(estimates[10:])) == 2 and all(len(e.people) == 2 for e in estimates[10:])
    for estimate in estimates[10:]:
        found = sorted(place[0] for place in places(estimate).values())
        np.testing.assert_allclose(found, [-apart / 2, apart / 2], atol=60)


def test_two_who_hug_are_two_before_and_after(lifter: MDNLifter) -> None:
    def closer(t: float) -> float:
        return 130 + 900 * min(abs(t - 1.3), 1.0)

    joints = people(2.6, lambda t: (-closer(t), 0), lambda t: (closer(t), 0))
    estimates = run(joints, ring(3), lifter)
    assert all(len(e.people) <= 2 for e in estimates)
    first, last = places(estimates[10]), places(estimates[-1])
    assert set(first) == set(last) and len(first) == 2
    assert all(np.sign(first[k][0]) == np.sign(last[k][0]) for k in first)


@pytest.mark.parametrize("cameras", [1, 3])
def test_who_is_cut_by_the_edge_of_the_image_is_the_same_person(lifter: MDNLifter, cameras: int) -> None:
    """Somebody walks half out of the first camera's picture and back, beside somebody who stays in it."""
    rig = ring(cameras)
    first = rig[0]
    # The way across this picture, and how far from its middle the edge is, 4.5 m away.
    right, border = first.R[0, :2], image_to_ray(first, np.array([[first.size[0] - 1.0, first.size[1] / 2]]))[0]
    edge = 4500 * border[0] / border[2]

    def way(t: float) -> tuple[float, float]:
        x, y = right * (edge + 60 - 1500 * min(abs(t - 1.0), 1.0))
        return float(x), float(y)

    joints = people(2.0, way, at(*(-600 * right)))
    seen = crowd.make(joints, rig, 0, FAULTS).seen[:, 0, 0]
    assert seen[0].all() and 5 <= seen[15].sum() <= 12, "else the scene is another one"
    estimates = run(joints, rig, lifter)
    assert ids(estimates[3:]) == {0, 1} and len(estimates[-1].people) == 2
    size = np.array(first.size)
    for e in estimates:
        for view in (p.views[0] for p in e.people):
            if view is not None:
                shown = view.detection.xy[view.detection.score > 0.1]
                assert ((shown > -20) & (shown < size + 20)).all(), "nothing is seen beyond the edge"
    if cameras > 1:
        assert all(len(e.people) == 2 for e in estimates[3:])
        off = [np.linalg.norm(place - joints[t, :, 0], axis=-1).min()
               for t, e in enumerate(estimates) if t > 3 for place in places(e).values()]  # fmt: skip
        assert np.max(off) < 200 and np.mean(off) < 60


def test_more_people_than_are_followed_are_counted(lifter: MDNLifter) -> None:
    joints = people(1, at(-900, 300), at(900, -300), at(0, 900))
    estimates = run(joints, ring(2), lifter, who=PeopleConfig(most=2))
    assert all(len(e.people) == 2 for e in estimates[5:]) and all(e.left_out >= 1 for e in estimates[5:])


@pytest.mark.parametrize("number", [1, None])
def test_a_cut_in_the_film_ends_everybody(lifter: MDNLifter, number: int | None) -> None:
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 255, (9, 16, 3), np.uint8).repeat(120, 0).repeat(120, 1) for _ in range(2)]

    def image(t: int, blank: np.ndarray) -> np.ndarray:
        shown = scenes[t >= 10].copy()
        shown[0, 0] = blank[0, 0]
        return shown

    joints = people(1.3, at(0, 0))
    estimates = run(joints, ring(1), lifter, who=PeopleConfig(number), image=image)
    assert ids(estimates[:10]) == {0} and ids(estimates[10:]) == {1}
    tracks = [{t.id for e in part for t in e.people[0].views[0].tracks} for part in (estimates[:10], estimates[10:])]
    assert not tracks[0] & tracks[1]


def test_who_is_twenty_pixels_tall_is_not_lifted(lifter: MDNLifter) -> None:
    (camera,) = ring(1, 120_000.0)
    estimates = run(people(0.3, at(0, 0)), (camera,), lifter)
    assert all(e.too_small == 1 for e in estimates[1:])
    assert all(v.mixture is None for e in estimates for p in e.people for v in p.views if v is not None)


def test_somebody_whom_one_camera_sees_is_single(lifter: MDNLifter) -> None:
    """Behind a wall for the other camera: after half a second of doubt they count, by one camera's word."""
    joints = people(2, at(0, 0))
    estimates = run(joints, ring(2), lifter, absent=lambda t, camera: camera == 1)
    assert all(e.people and e.people[0].pose.method == "single" for e in estimates)


def test_nobody_is_two_people_when_most_cameras_were_away_for_a_moment(lifter):
    joints = people(0.6, at(-800, 0), at(800, 0))
    # Half of the cameras, then one, whose word of the place is unsure, then all.
    there = {0: range(4), 1: range(1)}
    estimates = run(joints, ring(8), lifter, absent=lambda t, camera: camera not in there.get(t, range(8)))
    last = estimates[-1].people
    assert [person.person_id for person in last] == [0, 1]
    for person in last:
        assert person.pose is not None and len(person.pose.cameras) == 8
    assert all(len(estimate.people) == 2 for estimate in estimates[4:])
