"""Following by boxes, in numbers: when somebody is taken up, kept, checked, let go; where the box goes."""

from itertools import count

import numpy as np
import pytest

from engines.preprocess import square
from engines.top_down import TopDownCrowd, TopDownOptions, TopDownSession
from engines.top_down.finder import FoundPerson, believable
from engines.top_down.followed import FollowedBox, due, overlap
from engines.top_down.session import found_box, prominence
from tests.stage import IMAGE, Stage, bounds, limbs, pose, x_of


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
    assert box.predict(0.2).width == 400, "95 % of it, and even: large boxes are halved"
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
    for k in range(40):
        assert not session(IMAGE, k * 0.025).person
    assert stage.sides == [256, 384, 768] * 4, "at all three in the first picture"
    stage.people[0] = {"x": 700.0}
    assert session(IMAGE, 5.0).person and stage.sides[-1] == 256
    del stage.people[0]
    assert not session(IMAGE, 5.1).person and stage.sides[-1] == 256, "after somebody, from the first size on"
    session.reset()
    session(IMAGE, 5.1)
    assert len(stage.sides) == 17, "after a reset the image is searched at once"


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
