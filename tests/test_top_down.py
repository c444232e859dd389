"""Following by boxes, in numbers: when somebody is taken up, kept, checked, let go; where the box goes."""

from itertools import count

import numpy as np
import pytest

from engines.preprocess import square
from engines.skeleton import LIMBS
from engines.top_down import TopDownCrowd, TopDownOptions, TopDownSession
from engines.top_down.finder import FoundPerson, believable
from engines.top_down.followed import FollowedBox, due, overlap
from engines.top_down.session import found_box, prominence
from engines.types import Detection

IMAGE = np.zeros((1000, 2000, 3), np.uint8)
LIMB = list(LIMBS)
SHAPE = np.zeros((17, 2), np.float32)
"""Somebody 200 px high and 100 wide; the limbs' corners are joints."""
SHAPE[LIMB] = np.stack([np.tile([-50, 50], 6), np.linspace(-100, 100, 12)], 1)


def pose(x=1000.0, y=500.0, score=0.9, size=1.0):
    scores = np.full(17, score, np.float32) if np.isscalar(score) else np.asarray(score, np.float32)
    return Detection((SHAPE * size + [x, y]).astype(np.float32), scores, np.zeros(17, bool), "test")


def bounds(x=1000.0, y=500.0, size=1.0):
    return np.array([[x - 50 * size, y - 100 * size], [x + 50 * size, y + 100 * size]])


def limbs(*scores):
    """Scores of the limb joints; the others are sure."""
    made = np.ones(17)
    made[LIMB] = scores
    return made


def followed(**what):
    box = FollowedBox(TopDownOptions())
    assert box.accept(pose(**what), 0.3, 0.0, same=False)
    return box


# what a box is


def test_boxes_overlap_by_what_they_share_of_both():
    a = bounds()
    assert overlap(a, a) == pytest.approx(1) and overlap(a, None) == 0
    assert overlap(a, a + [1000, 0]) == 0 and overlap(a, a + [0, 200]) == 0
    assert overlap(a, a + [0, 100]) == pytest.approx(1 / 3) and overlap(a, a + [50, 0]) == pytest.approx(1 / 3)
    assert overlap(a, bounds(size=0.5)) == pytest.approx(0.25)
    thin = np.array([[0.0, 0], [10, 200]])  # from the side: as wide as 0.4 of its height, 80
    assert overlap(thin, thin + [40, 0]) == pytest.approx(1 / 3)
    assert overlap(thin[:, ::-1], thin[:, ::-1] + [0, 40]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("t", "yes"), [(1.09, False), (1.11, True), (0.99, True), (1.0, False), (1.1 - 1e-9, True)])
def test_due_is_after_the_interval_or_when_time_goes_back(t, yes):
    assert due(t, 1.0, 0.1) == yes and due(t, -np.inf, 0.1)


def test_prominent_is_who_is_large_and_near_the_middle():
    middle = prominence(bounds(1000, 500), IMAGE)
    assert middle == pytest.approx(100 * 200)
    edge = prominence(bounds(1900, 500), IMAGE)
    assert edge == pytest.approx(100 * 200 * np.exp(-0.81))
    assert prominence(bounds(100, 500), IMAGE) == pytest.approx(edge), "on either side"
    assert prominence(bounds(1000, 800), IMAGE) == pytest.approx(100 * 200 * np.exp(-0.36))
    assert prominence(bounds(2000, 500), IMAGE) == pytest.approx(50 * 200 * np.exp(-(0.975**2))), (
        "only what is seen of it"
    )
    assert prominence(bounds(1000, 500, 0.5), IMAGE) == pytest.approx(middle / 4)
    assert prominence(bounds(3000, 500), IMAGE) == 0


def test_somebody_found_is_looked_at_with_a_fifth_of_room():
    box = found_box(bounds(1000, 500), TopDownOptions())
    assert (box.width, box.height) == (240, 240)
    assert box == square(np.array([1000.0, 500.0]), 240)


# one followed box


@pytest.mark.parametrize(
    ("scores", "least", "taken"),
    [
        ([0.31] * 12, 0.3, True), ([0.29] * 12, 0.3, False), ([0.31] * 8 + [0.16] * 4, 0.3, True),
        ([0.9] * 4 + [0.16] * 4 + [0.0] * 4, 0.3, True),  # the mean of the best eight is 0.53
        ([0.9] * 5 + [0.14] * 7, 0.3, True), ([0.9] * 4 + [0.14] * 8, 0.3, False),  # seen from 0.15 on, five of them
        ([0.9] * 4 + [0.16] + [0.0] * 7, 0.3, True), ([0.9] * 2 + [0.0] * 10, 0.2, False),
    ],
)  # fmt: skip
def test_a_pose_is_a_person_by_the_best_eight_limb_joints_of_which_five_are_seen(scores, least, taken):
    box = FollowedBox(TopDownOptions())
    assert box.accept(pose(score=limbs(*scores)), least, 0.0, same=False) == taken
    assert box.strength == (pytest.approx(np.sort(scores)[-8:].mean()) if taken else 0)
    assert (box.bounds is not None) == taken and (box.seen == 0.0) == taken


def test_its_bounds_are_those_of_the_limbs_that_are_seen():
    scores = [0.9] * 12
    scores[0] = scores[-1] = 0.14
    box = followed(score=limbs(*scores))
    assert box.bounds is not None
    np.testing.assert_allclose(box.bounds, [[950, 500 - 100 + 200 / 11], [1050, 500 + 100 - 200 / 11]], atol=1e-3)


def test_what_is_not_finite_is_told_and_not_followed():
    box = followed()
    odd = pose()
    odd.xy[3, 0] = np.nan
    assert box.accept(odd, 0.2, 1.0, same=True) and box.seen == 0.0
    assert box.accept(pose(score=np.full(17, np.nan)), 0.2, 1.0, same=True) and box.seen == 0.0


@pytest.mark.parametrize(("shift", "same", "taken"), [(70, True, True), (78, True, False), (78, False, True)])
def test_the_same_person_overlaps_by_a_sixth_with_where_they_were(shift, same, taken):
    """Shifted by s of 100: (100 - s) / (100 + s) of them is shared, 0.15 at 74."""
    box = followed()
    assert box.accept(pose(x=1000 + shift), 0.2, 0.1, same=same) == taken
    assert (box.seen == 0.1) == taken


def test_the_box_is_the_limbs_and_two_fifths_and_goes_half_as_far_as_the_person():
    box = followed()
    assert FollowedBox().predict(0.0) is None
    assert box.predict(0.0) == square(np.array([1000.0, 500.0]), 280)
    assert box.accept(pose(x=1020, y=490), 0.2, 0.1, same=True)  # 200 px/s and -100
    assert box.predict(0.3) == square(np.array([1020 + 20.0, 490 - 10.0]), 280)
    assert box.predict(5.0) == square(np.array([1020 + 70.0, 490 - 70.0]), 280), "a quarter of its side at most"
    assert box.accept(pose(x=1020, y=490), 0.2, 0.1, same=True), "the same time: no speed can be told"
    assert box.predict(0.3) == square(np.array([1040.0, 480.0]), 280)
    assert box.accept(pose(x=400), 0.3, 0.4, same=False), "somebody else has no speed yet of ours"
    assert box.predict(0.4) == square(np.array([400.0, 500.0]), 280)


def test_who_stands_still_is_looked_at_in_one_box_and_who_walks_is_followed():
    box, widths = followed(), set()
    for k in range(1, 60):
        t = k / 30
        looked = box.predict(t)
        widths |= {looked} if t > 0.25 else set()
        # What a network says of one picture depends on the box: here by a hundredth of where it lies.
        middle = looked.left + looked.width / 2
        assert box.accept(pose(x=1000 + 2 * np.sin(k) + 0.01 * (middle - 1000)), 0.2, t, same=True)
    assert len(widths) == 1
    assert box.accept(pose(x=1030), 0.2, 2.0, same=True)
    after = box.predict(2.0)
    assert abs(after.left + after.width / 2 - 1030) < 1, "they moved, and are where they are"
    walking = followed()
    for k in range(1, 40):
        looked = walking.predict(k / 30)
        assert abs(looked.left + looked.width / 2 - (1000 + 6 * k)) < 6.5
        assert walking.accept(pose(x=1000 + 6 * k), 0.2, k / 30, same=True)


@pytest.mark.parametrize(
    ("shift", "strength", "turned", "there"),
    [(10, 0.4, False, True), (150, 0.4, False, False), (150, 0.6, False, True), (150, 0.4, True, True)],
)
def test_two_networks_must_see_one_body_where_neither_is_sure(shift, strength, turned, there):
    found = FoundPerson(bounds(), 0.4, pose().xy + [shift, 0])
    assert believable(found, pose(), strength, turned, TopDownOptions()) == there
    assert believable(FoundPerson(bounds(), 0.4), pose(), 0.4, False, TopDownOptions()), "untold, unasked"


def test_what_no_two_networks_agree_on_is_nobody_for_one_and_for_all():
    class Sees:
        def everywhere(self, image, long_side):
            return [FoundPerson(bounds(), 0.4, pose().xy[::-1] + [90, -60])]

        def around(self, image, box):
            return self.everywhere(image, 256)

    def see(image, box):
        return pose(score=0.45)

    one = TopDownSession("test", see, Sees())
    everybody = TopDownCrowd("test", see, Sees(), 3, count())
    for k in range(10):
        assert not one(IMAGE, k / 30).person and not everybody(IMAGE, k / 30).people


def test_the_box_grows_at_once_and_shrinks_slowly():
    box = followed()
    assert box.accept(pose(size=1.5), 0.2, 0.1, same=True)
    assert box.predict(0.1).width == 420
    assert box.accept(pose(size=1.0), 0.2, 0.2, same=True)
    assert box.predict(0.2).width == 399
    box.stop()
    assert box.bounds is not None and box.accept(pose(size=1.0), 0.2, 0.3, same=True)
    assert box.predict(0.3).width == 280, "nothing is left of how large they were"
    small = followed(size=0.01)
    assert small.predict(0.0).width == 16


@pytest.mark.parametrize(("score", "after"), [(0.46, 1.0), (0.44, 0.2)])
def test_a_box_is_checked_every_second_and_five_times_as_often_where_it_is_doubtful(score, after):
    box = followed(score=score)
    box.checked = 3.0
    assert not box.check_due(3.0 + after - 0.01) and box.check_due(3.0 + after + 0.01)


# a session of one


class Stage:
    """People at known places; the finder sees them, and the network sees who is nearest to the middle of its box."""

    def __init__(self, *people):
        self.people = {k: dict(person) for k, person in enumerate(people)}
        self.sides, self.around_boxes, self.looks = [], [], []
        self.blind = set()
        """Who is not seen in the whole image."""

    def _found(self, hidden=()):
        return [FoundPerson(bounds(p["x"], p.get("y", 500), p.get("size", 1.0)), 0.5)
                for k, p in self.people.items() if k not in hidden]  # fmt: skip

    def everywhere(self, image, long_side):
        self.sides.append(long_side)
        return self._found(self.blind)

    def around(self, image, box):
        self.around_boxes.append(box)
        return self._found()

    def see(self, image, box):
        self.looks.append(box)
        middle = np.array([box.left + box.width / 2, box.top + box.height / 2])
        inside = [p for p in self.people.values() if abs(p["x"] - middle[0]) < box.width]
        if not inside:
            return pose(*middle, score=0.0)
        p = min(inside, key=lambda p: np.hypot(p["x"] - middle[0], p.get("y", 500) - middle[1]))
        return pose(p["x"], p.get("y", 500), p.get("score", 0.9), p.get("size", 1.0))

    def session(self, **options):
        return TopDownSession("test", self.see, self, TopDownOptions(**options))  # type: ignore[arg-type]

    def crowd(self, most=6, **options):
        return TopDownCrowd("test", self.see, self, most, count(), TopDownOptions(**options))  # type: ignore[arg-type]


def x_of(found):
    return float(found.xy[LIMB, 0].mean()) if found.person else None


def test_the_most_prominent_is_followed_and_kept():
    stage = Stage({"x": 1000.0}, {"x": 300.0, "size": 1.2})
    session = stage.session()
    assert x_of(session(IMAGE, 0.0)) == pytest.approx(1000)
    stage.people[1]["size"] = 3.0
    assert x_of(session(IMAGE, 0.1)) == pytest.approx(1000)


@pytest.mark.parametrize(("score", "first", "later"), [(0.31, True, True), (0.29, False, True), (0.19, False, False)])
def test_somebody_is_taken_up_from_three_tenths_and_kept_from_two(score, first, later):
    stage = Stage({"x": 1000.0, "score": score})
    assert stage.session()(IMAGE, 0.0).person == first
    stage.people[0]["score"] = 0.9
    session = stage.session()
    assert session(IMAGE, 0.0).person
    stage.people[0]["score"] = score
    assert session(IMAGE, 0.05).person == later


def test_an_empty_image_is_searched_every_tenth_of_a_second_at_three_sizes_in_turn():
    stage = Stage()
    session = stage.session()
    for k in range(36):
        assert not session(IMAGE, k * 0.025).person
    assert stage.sides == [256, 384, 768] * 3
    stage.people[0] = {"x": 700.0}
    assert session(IMAGE, 5.0).person and stage.sides[-1] == 256
    del stage.people[0]
    assert not session(IMAGE, 5.1).person and stage.sides[-1] == 256, "after somebody, from the first size on"
    session.reset()
    session(IMAGE, 5.1)
    assert len(stage.sides) == 12, "after a reset the image is searched at once"


@pytest.mark.parametrize(("gone", "same"), [(1.9, True), (2.1, False)])
def test_who_was_lost_is_the_same_for_two_seconds_where_they_were(gone, same):
    stage = Stage({"x": 500.0})
    session = stage.session()
    assert x_of(session(IMAGE, 90.0)) == pytest.approx(500)
    del stage.people[0]
    assert not session(IMAGE, 90.05).person
    stage.people = {0: {"x": 560.0}, 1: {"x": 1000.0}}
    assert x_of(session(IMAGE, 90.0 + gone)) == pytest.approx(560 if same else 1000)


def test_who_was_lost_and_is_not_where_they_were_is_whoever_is_prominent():
    stage = Stage({"x": 500.0})
    session = stage.session()
    session(IMAGE, 0.0)
    stage.people = {0: {"x": 595.0}, 1: {"x": 1000.0}}  # of 100 + 95 in all they share 5
    assert x_of(session(IMAGE, 0.3)) == pytest.approx(1000)


@pytest.mark.parametrize(("shift", "let_go"), [(60, False), (72, True)])
def test_a_box_in_which_the_finder_sees_nobody_is_let_go(shift, let_go):
    """Whom the finder sees must share a fifth with the box: (100 - s) / (100 + s) is 0.2 at 67."""
    stage = Stage({"x": 1000.0})
    session = stage.session()
    session(IMAGE, 0.0)
    stage.people[0]["x"] = 1000.0 + shift
    searches = len(stage.sides)
    session(IMAGE, 1.1)
    assert len(stage.around_boxes) == 1 and (len(stage.sides) > searches) == let_go


# a session of several


def people_of(seen):
    return {sighting.track: round(x_of(sighting.detection)) for sighting in seen.people}


def test_everybody_is_followed_each_with_a_number_that_is_never_used_again():
    stage = Stage({"x": 300.0}, {"x": 1000.0}, {"x": 1700.0})
    crowd = stage.crowd()
    assert sorted(people_of(crowd(IMAGE, 0.0)).values()) == [300, 1000, 1700]
    ids = {x: k for k, x in people_of(crowd(IMAGE, 0.03)).items()}
    assert ids[1000] == 0, "the most prominent is the first"
    for person in stage.people.values():
        person["x"] += 10.0
    assert people_of(crowd(IMAGE, 0.06)) == {k: x + 10 for x, k in ids.items()}
    del stage.people[1]
    assert set(people_of(crowd(IMAGE, 0.09))) == {ids[300], ids[1700]}
    stage.people[1] = {"x": 1000.0}
    later = people_of(crowd(IMAGE, 0.5))
    assert later[3] == 1000 and len(later) == 3
    crowd.reset()
    assert set(people_of(crowd(IMAGE, 0.6))) == {4, 5, 6}


@pytest.mark.parametrize(("after", "seen"), [(0.24, False), (0.26, True)])
def test_others_are_searched_for_every_quarter_second(after, seen):
    stage = Stage({"x": 1000.0})
    crowd = stage.crowd()
    crowd(IMAGE, 1.0)
    stage.people[1] = {"x": 300.0}
    assert (len(crowd(IMAGE, 1.0 + after).people) == 2) == seen


def test_when_somebody_is_lost_they_are_searched_for_at_once_and_ten_times_a_second_for_two_seconds():
    stage = Stage({"x": 1000.0}, {"x": 300.0})
    crowd = stage.crowd()
    crowd(IMAGE, 0.0)
    del stage.people[1]
    times = [0.02 * k for k in range(1, 151)]
    searched = []
    for t in times:
        before = len(stage.sides)
        crowd(IMAGE, t)
        if len(stage.sides) > before:
            searched.append(t)
    assert searched[0] == 0.02
    early = np.diff([t for t in searched if t < 2.0])
    late = np.diff([t for t in searched if t > 2.1])
    np.testing.assert_allclose(early, 0.1, atol=1e-9)
    np.testing.assert_allclose(late, 0.26, atol=1e-9)
    assert stage.sides[:4] == [256, 384, 256, 384]


def test_one_person_in_two_boxes_is_one_and_the_box_that_expected_them_keeps_them():
    stage = Stage({"x": 1000.0}, {"x": 1130.0})
    crowd = stage.crowd()
    ids = {x: k for k, x in people_of(crowd(IMAGE, 0.0)).items()}
    del stage.people[1]  # the network shows whoever is left in both boxes
    assert people_of(crowd(IMAGE, 0.03)) == {ids[1000]: 1000}


def test_too_many_people_are_counted_and_somebody_much_larger_takes_the_smallests_place():
    stage = Stage({"x": 1000.0}, {"x": 300.0, "size": 0.9}, {"x": 1700.0, "size": 0.8})
    crowd = stage.crowd(most=2)
    seen = crowd(IMAGE, 0.0)
    assert sorted(people_of(seen).values()) == [300, 1000] and seen.left_out == 1
    for size, taken in ((1.3, False), (1.4, True)):  # over 0.9: 1.25 times 1.2 for the finder's room is 1.35
        stage.people[2]["size"] = size
        seen = crowd(IMAGE, 10 * size)
        assert (1700 in people_of(seen).values()) == taken and len(seen.people) == 2 and seen.left_out == 1


def test_in_a_hall_full_of_people_six_are_looked_at_and_all_are_counted():
    stage = Stage(*({"x": 100.0 + 200 * k} for k in range(9)))
    crowd, looked = stage.crowd(most=2), []
    see = crowd._see
    crowd._see = lambda image, box: looked.append(box) or see(image, box)
    seen = crowd(IMAGE, 0.0)
    assert len(seen.people) == 2 and seen.left_out == 7 and len(looked) == 6


def test_who_is_too_small_for_the_whole_image_is_checked_around_the_box():
    stage = Stage({"x": 1000.0}, {"x": 300.0})
    crowd = stage.crowd()
    crowd(IMAGE, 0.0)
    stage.blind = {1}
    for k in range(1, 31):
        assert len(crowd(IMAGE, 0.05 * k).people) == 2
    assert len(stage.around_boxes) == 1, "once a second, and the other is seen in the image"
    assert abs(stage.around_boxes[0].left + stage.around_boxes[0].width / 2 - 300) < 2


def test_of_several_boxes_only_the_empty_one_is_let_go():
    stage = Stage({"x": 300.0}, {"x": 1000.0}, {"x": 1700.0})
    crowd = stage.crowd()
    crowd(IMAGE, 50.0)
    del stage.people[1]
    stage.see = lambda image, box: pose(box.left + box.width / 2)  # the network answers all the same
    crowd._see = stage.see
    assert len(crowd(IMAGE, 50.03).people) == 3
    seen = crowd(IMAGE, 51.1)
    assert sorted(people_of(seen).values()) == [300, 1700]


def test_where_somebody_is_to_be_follows_their_motion():
    stage = Stage({"x": 200.0})
    crowd = stage.crowd()
    crowd(IMAGE, 0.0)
    for k in range(1, 60):
        stage.people[0]["x"] = 200.0 + 20.0 * k
        assert people_of(crowd(IMAGE, 0.05 * k)) == {0: round(200 + 20 * k)}
    (track,) = crowd._tracks
    np.testing.assert_allclose(track.velocity, [400, 0], atol=1)
    np.testing.assert_allclose(track.expected(track.t + 0.1) - track.pose.xy, np.tile([40, 0], (17, 1)), atol=0.2)
    one = Stage({"x": 200.0})
    crowd = one.crowd()
    crowd(IMAGE, 0.0)
    one.people[0]["x"] = 220.0
    crowd(IMAGE, 0.1)
    np.testing.assert_allclose(crowd._tracks[0].velocity, [200 * (1 - np.exp(-0.5)), 0], rtol=1e-3)


def test_one_bad_look_among_several_people_is_not_the_end_of_somebody():
    stage = Stage({"x": 1000.0}, {"x": 300.0})
    crowd = stage.crowd()
    ids = people_of(crowd(IMAGE, 0.0))
    for dark, again in ((0.0, True), (0.3, False)):
        start = 10.0 * (1 + dark)
        crowd.reset()
        ids = people_of(crowd(IMAGE, start))
        stage.people[1]["score"], stage.blind = 0.1, {1}
        t = start + 0.03
        while t < start + 0.031 + dark:
            assert list(people_of(crowd(IMAGE, t)).values()) == [1000]
            t += 0.03
        stage.people[1]["score"] = 0.9
        assert (people_of(crowd(IMAGE, t)) == ids) == again, "looked for where they were for 0.15 s, without a search"
        stage.blind = set()


def test_limbs_that_are_hidden_for_a_moment_stay_in_the_square():
    """Ankles and knees of one person are not seen for a while: of what is left the square would leave them out."""
    stage = Stage({"x": 1000.0}, {"x": 300.0})
    crowd = stage.crowd()
    low = np.argsort(SHAPE[LIMB][:, 1])[-7:]  # the lower of the limb joints
    scores = np.full(12, 0.9)
    scores[low] = 0.0
    for k in range(4):
        crowd(IMAGE, 20 + 0.03 * k)
    stage.people[1]["score"] = limbs(*scores)
    for k in range(4, 30):
        stage.looks.clear()
        crowd(IMAGE, 20 + 0.03 * k)
        mine = min(stage.looks, key=lambda box: abs(box.left + box.width / 2 - 300))
        lowest = 500 + SHAPE[LIMB][:, 1].max()
        inside = mine.top + mine.width >= lowest
        if 5 < k < 18:
            assert inside, f"after {0.03 * (k - 4):.2f} s"
    assert not inside, "after half a second they are somewhere else"
