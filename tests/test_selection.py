"""Who is selected of several people, in a moment and over a recording."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

from engines.types import Detection
from stream.selection import Selection, Tally, centrality, largeness, select, selection
from stream.types import Estimate, FrameReference, Person, StreamError, View

SIZE = (640, 480)


def person(person_id: int, *boxes: tuple[float, float, float, float] | None) -> Person:
    """Somebody whose seen joints fill a box (x, y, width, height) in each camera, None where one does not see them."""
    views = []
    for box in boxes:
        if box is None:
            views.append(None)
            continue
        x, y, w, h = box
        xy = np.zeros((17, 2), np.float32)
        xy[:2] = [[x, y], [x + w, y + h]]
        score = np.zeros(17, np.float32)
        score[:2] = 0.9
        views.append(View(detection=Detection(xy, score, np.zeros(17, bool), "test")))
    return Person(person_id=person_id, views=tuple(views))


def moment(*people: Person, index: int = 0) -> Estimate:
    cameras = len(people[0].views) if people else 1
    frames = tuple(FrameReference(f"cam{k}", index, index / 30, SIZE, "test") for k in range(cameras))
    return Estimate(index=index, t=index / 30, frames=frames, people=people)


def chosen(estimate: Estimate, text: str, before: int | None = None) -> list[int]:
    return [p.person_id for p in select(estimate.people, estimate.frames, selection(text), before)]


SMALL, LARGE = (300, 220, 40, 40), (10, 10, 60, 200)


def test_the_largest_and_the_most_central_of_a_moment() -> None:
    both = moment(person(3, SMALL), person(5, LARGE))
    assert chosen(both, "largest") == [5]
    assert chosen(both, "central") == [3]
    assert chosen(both, "all") == [3, 5]
    assert chosen(both, "5,7") == [5], "who is not there now may come"
    assert chosen(moment(), "largest") == []


def test_who_lies_is_as_large_as_who_stands() -> None:
    standing, lying = person(0, (10, 10, 50, 200)), person(1, (10, 10, 200, 50))
    a, b = (p.views[0] for p in (standing, lying))
    assert a is not None and b is not None
    one, other = (largeness(v.detection.xy, v.detection.score, np.array(SIZE)) for v in (a, b))
    assert one == pytest.approx(float(other)) and one > 0.2


def test_a_camera_that_does_not_see_somebody_counts_against_them() -> None:
    seen_twice, seen_once = person(0, (0, 0, 60, 80), (0, 0, 60, 80)), person(1, (0, 0, 90, 120), None)
    assert chosen(moment(seen_twice, seen_once), "largest") == [0]
    absent = moment(seen_twice, seen_once)
    absent = replace(absent, frames=(absent.frames[0], None))
    assert chosen(absent, "largest") == [1], "but not one that has no frame"


def test_two_who_are_nearly_alike_do_not_take_turns() -> None:
    near, nearer = (0, 0, 60, 80), (0, 0, 66, 88)
    both = moment(person(0, near), person(1, nearer))
    assert chosen(both, "largest") == [1]
    assert chosen(both, "largest", before=0) == [0]
    assert chosen(moment(person(0, near), person(1, LARGE)), "largest", before=0) == [1]


def test_nobody_seen_measures_zero() -> None:
    xy, score, size = np.zeros((3, 17, 2)), np.zeros((3, 17)), np.tile(SIZE, (3, 1))
    assert (largeness(xy, score, size) == 0).all() and (centrality(xy, score, size) == 0).all()


def over(text: str) -> tuple[int, ...]:
    """Ids over a recording in which 5 is larger but soon gone."""
    tally = Tally(selection(text))
    for index in range(10):
        people = [person(3, SMALL)] + ([person(5, LARGE)] if index < 2 else [])
        tally.add(moment(*people, index=index))
    return tally.ids


def test_over_a_recording_the_largest_is_one_person() -> None:
    assert over("largest") == (3,)
    assert over("all") == (3, 5)
    assert over("5,3") == (3, 5)
    with pytest.raises(StreamError, match=r"no person 4, 7 in this take: it has 3, 5"):
        over("3,4,7")
    assert Tally(Selection("largest")).ids == Tally(Selection()).ids == ()
    with pytest.raises(StreamError, match="nobody is in it"):
        _ = Tally(selection("0")).ids


def test_a_selection_is_read_as_it_is_written() -> None:
    assert selection(" Largest ") == Selection("largest")
    assert selection("2, 0,2") == Selection("ids", (0, 2))
    for text in ("largest", "central", "all", "0", "0,12"):
        assert str(selection(text)) == text
    for wrong in ("", "biggest", "-1", "1;2", "1,", "largest,1", "1" * 30, "²"):
        with pytest.raises(argparse.ArgumentTypeError, match="selects nobody"):
            selection(wrong)
