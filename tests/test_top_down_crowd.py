"""A session that follows everybody by boxes, in numbers."""

import numpy as np
import pytest

from tests.stage import IMAGE, LIMB, SHAPE, Stage, limbs, people_of, pose


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
    assert stage.sides[:5] == [256, 256, 384, 256, 384], "the first picture by itself, then by turns"


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
    assert len(seen.people) == 2 and seen.left_out == 7
    assert len(looked) == 6 + 2, "and once more at those who are followed, as it is the first picture"


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
