"""Two who stand in one place are one, unless a camera sees two."""

from dataclasses import replace

import numpy as np
import pytest

from engines.identity import IdentityOptions, Known, Placed, Spotted
from engines.identity.one_body import united

OPTIONS = IdentityOptions()
BODY = np.random.default_rng(0).normal(0, 400, (12, 3))


def spotted(track: int, t: float = 1.0) -> Spotted:
    everything = np.ones(12, bool)
    return Spotted(track, t, np.zeros((12, 2)), everything, everything, 100.0, np.zeros(2))


def known(number: int, views: dict[int, Spotted], off: float = 0.0, t: float = 1.0) -> Known:
    placed = Placed(BODY + [off, 0, 0], t, np.zeros(3), shared=True)
    return Known(number, tuple(views.get(k) for k in range(4)), 0.0, placed)


def test_the_older_goes_on_with_the_cameras_of_both():
    older, younger = known(3, {0: spotted(1), 1: spotted(1)}), known(5, {2: spotted(1), 3: spotted(1)}, 60)
    (one,) = united([older, younger], 1.0, OPTIONS)
    assert one.person_id == 3 and one.views == (*older.views[:2], *younger.views[2:])


@pytest.mark.parametrize("views", [{1: spotted(2), 2: spotted(1)}, {1: spotted(2, 0.2), 3: spotted(1)}])
def test_whom_a_camera_saw_as_two_are_two(views):
    assert len(united([known(0, {0: spotted(1), 1: spotted(1)}), known(1, views)], 1.0, OPTIONS)) == 2


def test_a_track_that_went_from_one_to_the_other_is_no_second_person():
    a, b = known(0, {0: spotted(1), 1: spotted(7, 0.5)}), known(1, {1: spotted(7), 2: spotted(4)})
    (one,) = united([a, b], 1.0, OPTIONS)
    assert one.views[1] is b.views[1]


@pytest.mark.parametrize(
    "other",
    [
        known(1, {2: spotted(1), 3: spotted(1)}, off=300.0),
        known(1, {2: spotted(1), 3: spotted(1)}, t=0.9),
        known(-1, {2: spotted(1), 3: spotted(1)}),
        replace(known(1, {2: spotted(1)}), placed=None),
        replace(known(1, {2: spotted(1)}), placed=Placed(BODY, 1.0, np.zeros(3), shared=False)),
        replace(known(1, {2: spotted(1), 3: spotted(1)}), placed=Placed(BODY * np.nan, 1.0, np.zeros(3), shared=True)),
    ],
)
def test_who_is_elsewhere_or_not_surely_there_stays(other):
    people = [known(0, {0: spotted(1), 1: spotted(1)}), other]
    assert united(people, 1.0, OPTIONS) == people


def test_three_who_are_one_are_one():
    three = [known(k, {k: spotted(0), (k + 3) % 4: spotted(0)}) for k in range(3)]
    (one,) = united(three, 1.0, OPTIONS)
    assert one.person_id == 0 and all(one.views)
