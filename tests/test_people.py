"""Several people in one camera: who is who through crossings, gaps, arrivals and departures; networks that know all."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest

from calibration.errors import UserError
from engines.identity import IdentityOptions, State, step
from engines.oks import oks
from engines.preprocess import Box
from engines.skeleton import LIMBS, PELVIS
from engines.top_down import Finder, FoundPerson, TopDownCrowd
from engines.types import Detection, Seen, Sighting, empty_detection
from stream.app.command_line import config_of
from stream.app.flags import parser
from stream.config import PeopleConfig
from tests.known import figure

FPS = 30
IMAGE = np.zeros((500, 2000, 3), np.uint8)
LIMB = np.array(LIMBS)


def shape(height: float = 190.0) -> np.ndarray:
    """(17, 2) a standing figure about the origin, so many pixels tall."""
    xy = figure().joints(0)
    xy = xy - (xy[LIMB].min(0) + xy[LIMB].max(0)) / 2
    return xy * height / np.ptp(xy[LIMB, 1])


def pose(x: float, y: float = 250.0, height: float = 190.0) -> Detection:
    """Somebody whose box is in the middle there."""
    score = np.full(17, 0.8, np.float32)
    return Detection((shape(height) + (x, y)).astype(np.float32), score, np.zeros(17, bool), "known")


class KnownCrowd(Finder):
    """People who are where the test says, the first in front; a network shows the nearest to the middle of its box."""

    def __init__(self) -> None:
        self.people: list[Detection] = []
        self.searches = 0

    def everywhere(self, image: np.ndarray, long_side: int) -> list[FoundPerson]:
        self.searches += 1
        shown: list[Detection] = []
        for person in self.people:  # somebody behind another is not found
            if not shown or max(_oks(person, other) for other in shown) < 0.3:
                shown.append(person)
        return [FoundPerson(_bounds(person), 0.5) for person in shown]

    def around(self, image: np.ndarray, box: Box) -> list[FoundPerson]:
        return self.everywhere(image, 192)

    def see(self, image: np.ndarray, box: Box) -> Detection:
        middle = np.array([box.left + box.width / 2, box.top + box.height / 2])
        near = [
            person
            for person in self.people
            if np.abs(_bounds(person).mean(0) - middle).max() < box.width / 2
            and not any(_oks(person, other) > 0.3 for other in self.people[: self.people.index(person)])
        ]
        if not near:
            return empty_detection("known")
        return min(near, key=lambda person: np.abs(_bounds(person).mean(0) - middle).sum())


def _bounds(person: Detection) -> np.ndarray:
    return np.stack([person.xy[LIMB].min(0), person.xy[LIMB].max(0)])


def _oks(a: Detection, b: Detection) -> float:
    return float(oks(a.xy[None], a.score[None], b.xy[None], b.score[None])[0, 0])


def follow(paths: Sequence[Sequence[Detection]], most: int = 6) -> list[dict[int, float]]:
    """People a frame, in: where each id is, out."""
    known = KnownCrowd()
    session, state = TopDownCrowd("known", known.see, known, most, count()), State()
    found = []
    for k, people in enumerate(paths):
        known.people = list(people)
        seen = session(IMAGE, k / FPS)
        state, who = step(state, [seen], [[None] * len(seen.people)], k / FPS)
        where = {one.person_id: seen.people[one.views[0]].detection for one in who if one.views[0] is not None}
        found.append({person: float(detection.xy[PELVIS, 0]) for person, detection in where.items()})
    return found


def test_alike_poses_are_alike() -> None:
    a, b, far = pose(300), pose(305), pose(420)
    assert _oks(a, a) == pytest.approx(1) and _oks(a, b) > 0.9 and _oks(a, far) < 0.1
    assert _oks(a, empty_detection("known")) == 0


def test_two_people_cross_and_stay_themselves() -> None:
    """One walks to the right in front, the other to the left behind, at 1.4 m/s: hidden for half a second."""
    speed = 190 / 1.6 * 1.4 / FPS
    paths = [[pose(300 + speed * k), pose(900 - speed * k)] for k in range(150)]
    found = follow(paths)
    assert set().union(*found) == {0, 1}
    assert any(len(people) == 1 for people in found), "one hides the other"
    assert found[0][0] != found[0][1]
    first = 0 if found[0][0] < found[0][1] else 1
    assert found[-1][first] > 900 and found[-1][1 - first] < 320


@pytest.mark.parametrize(("frames", "same"), [(10, True), (45, True), (75, False)])
def test_who_is_gone_for_two_seconds_is_somebody_new(frames: int, same: bool) -> None:
    there = [pose(300), pose(900)]
    found = follow([there] * 20 + [there[:1]] * frames + [there] * 20)
    assert len(found[-1]) == 2 and (set(found[-1]) == {0, 1}) == same
    assert set().union(*found) == ({0, 1} if same else {0, 1, 2})


def test_people_come_and_go() -> None:
    paths: list[list[Detection]] = [[] for _ in range(5)]
    paths += [[pose(300)]] * 20 + [[pose(300), pose(900)]] * 20 + [[pose(900)]] * 20 + [[]] * 10
    found = follow(paths)
    assert [set(people) for people in (found[4], found[20], found[40], found[60], found[74])] == [
        set(), {0}, {0, 1}, {1}, set(),
    ]  # fmt: skip


def test_a_jump_is_somebody_else() -> None:
    """A cut in the film: 2.3 m further in the next frame."""
    found = follow([[pose(300)]] * 20 + [[pose(300 + 2.3 * 190 / 1.6)]] * 20)
    assert set(found[19]) == {0} and set(found[-1]) == {1}


def test_more_than_the_most_are_counted_and_the_larger_stay() -> None:
    known = KnownCrowd()
    session = TopDownCrowd("known", known.see, known, 2, count())
    small = [pose(200, height=80), pose(600, height=90)]
    known.people = small
    assert len(session(IMAGE, 0.0).people) == 2
    known.people = [*small, pose(1200, height=95)]
    seen = session(IMAGE, 1.0)
    assert (len(seen.people), seen.left_out) == (2, 1) and {s.track for s in seen.people} == {0, 1}
    known.people = [*small, pose(1200, height=300)]
    seen = session(IMAGE, 2.0)
    assert (len(seen.people), seen.left_out) == (2, 1)
    assert {s.track for s in seen.people} == {0, 2}, "the smallest makes room"


def test_those_who_come_back_are_not_more_than_the_most() -> None:
    everybody = [Sighting(k, pose(200 + 250 * k, height=90)) for k in range(4)]
    state, found = State(), []
    for k, there in enumerate((everybody[:2], [], everybody[2:], everybody)):
        state, who = step(state, [Seen("known", tuple(there))], [[None] * len(there)], k / FPS, most=2)
        found.append([one.person_id for one in who])
    assert found == [[0, 1], [], [2, 3], [0, 1]] and state.left_out == 2


def test_cameras_that_are_not_calibrated_follow_the_most_each() -> None:
    there = tuple(Sighting(k, pose(200 + 250 * k)) for k in range(4))
    state, who = step(State(), [Seen("known", there)] * 3, [[None] * 4] * 3, 0.0, most=4)
    assert len(who) == 12 and state.left_out == 0
    state, who = step(state, [Seen("known", there)] * 3, [[None] * 4] * 3, 1 / FPS, most=3)
    assert len(who) == 9 and state.left_out == 3


def test_a_session_begins_anew() -> None:
    known = KnownCrowd()
    session = TopDownCrowd("known", known.see, known, 6, count())
    known.people = [pose(300)]
    first = session(IMAGE, 0.0).people[0].track
    session.reset()
    assert session(IMAGE, 0.0).people[0].track != first


def test_ids_are_never_used_again() -> None:
    state, options, given = State(), IdentityOptions(), []
    for k in range(5):
        seen = Seen("known", (Sighting(k, pose(300)),))
        state, who = step(state, [seen], [[None]], 10.0 * k, options=options)
        given.append(who[0].person_id)
    assert given == [0, 1, 2, 3, 4]


def test_a_camera_without_a_frame_or_a_person_is_no_error() -> None:
    state, who = step(State(), [None, Seen("known", ())], [[], []], 0.0)
    assert who == () and state.people == ()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--people", "0"), "is not a number of people such as 2"),
        (("--people", "some"), "is not a number of people such as 2"),
        (("--max-people", "1.5"), "is not a number of people such as 2"),
        (("--select", "3"), "not known before a run"),
        (("--select", "tallest"), "selects nobody"),
    ],
)
def test_a_wrong_flag_is_one_line(flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(flags)
    assert stopped.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_how_many_are_followed() -> None:
    assert PeopleConfig().limit == 6 and PeopleConfig(1).limit == 1 and PeopleConfig(9, 3).limit == 3


def test_more_people_than_the_most_are_refused() -> None:
    with pytest.raises(UserError, match="give --max-people 9 too"):
        config_of(parser().parse_args(["--camera", "x.mp4", "--people", "9"]))
