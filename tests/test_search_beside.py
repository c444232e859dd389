"""Others are looked for while those who are followed are looked at in the next frames."""

from concurrent.futures import Executor, Future
from itertools import count

import pytest

from engines.top_down import TopDownCrowd, TopDownOptions
from engines.types import EngineError
from tests.stage import IMAGE, Stage, people_of


class Held(Executor):
    """A second core that is done when the test says so; it looked when it was asked."""

    def __init__(self):
        self.running = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            self.running.append((future.set_result, fn(*args, **kwargs)))
        except EngineError as error:
            self.running.append((future.set_exception, error))
        return future

    def finish(self):
        end, outcome = self.running.pop()
        end(outcome)


class Blind(Stage):
    def everywhere(self, image, long_side):
        if self.sides:
            raise EngineError("the network is broken")
        return super().everywhere(image, long_side)


def followed(stage, most=6):
    """A crowd with one proven person, at 0 s, whose next search of the whole image is due."""
    held = Held()
    crowd = TopDownCrowd("test", stage.see, stage, most, count(), TopDownOptions(), None, held)
    assert len(people_of(crowd(IMAGE, 0.0))) == 1
    assert not held.running, "the first search is waited for"
    return crowd, held


def test_somebody_new_is_there_when_the_search_is_done_and_no_frame_waits_for_it():
    stage = Stage({"x": 500.0})
    crowd, held = followed(stage)
    stage.people[1] = {"x": 1500.0}
    for t in (0.3, 0.33, 0.36, 0.7):
        assert list(people_of(crowd(IMAGE, t)).values()) == [500]
        assert len(held.running) == 1, "one search at a time"
    stage.people[1]["x"] = 1520.0
    held.finish()
    assert sorted(people_of(crowd(IMAGE, 0.73)).values()) == [500, 1520]


def test_who_is_lost_meanwhile_is_searched_for_at_once():
    stage = Stage({"x": 500.0})
    crowd, held = followed(stage)
    crowd(IMAGE, 0.3)
    before = len(stage.sides)
    stage.people[0]["x"] = 1000.0
    assert list(people_of(crowd(IMAGE, 0.33)).values()) == [1000]
    assert len(stage.sides) == before + 1
    held.finish()
    assert list(people_of(crowd(IMAGE, 0.36)).values()) == [1000], "what the older search saw is of no use"


def test_a_reset_forgets_a_search():
    stage = Stage({"x": 500.0}, {"x": 1500.0})
    crowd, held = followed(stage, most=1)
    crowd(IMAGE, 0.3)
    crowd.reset()
    stage.people = {0: {"x": 900.0}}
    assert list(people_of(crowd(IMAGE, 0.33)).values()) == [900]
    held.finish()
    assert list(people_of(crowd(IMAGE, 0.36)).values()) == [900]


def test_a_search_that_fails_is_told_in_the_next_frame():
    crowd, held = followed(Blind({"x": 500.0}))
    crowd(IMAGE, 0.3)
    held.finish()
    with pytest.raises(EngineError, match="the network is broken"):
        crowd(IMAGE, 0.33)
    assert list(people_of(crowd(IMAGE, 0.36)).values()) == [500]
