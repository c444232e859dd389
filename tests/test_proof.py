"""Who has to prove that they are a person before they are shown, and when they are doubted again."""

from itertools import count

import numpy as np
import pytest

from engines import cards
from engines.detectors import hourglass, movenet
from engines.skeleton import LIMBS
from engines.top_down import PersonRule, TopDownCrowd, TopDownOptions, TopDownSession
from engines.top_down.finder import FoundPerson
from engines.top_down.proof import Proof
from engines.types import Detection

IMAGE = np.zeros((1000, 2000, 3), np.uint8)
LIMB = list(LIMBS)
RULE = PersonRule(-10.0, 10.0, 10.0)
OPTIONS = TopDownOptions(proof=3.0)
SHAPE = np.zeros((17, 2), np.float32)
SHAPE[LIMB] = np.stack([np.tile([-50, 50], 6), np.linspace(-100, 100, 12)], 1)


def pose(score, x=1000.0):
    return Detection(SHAPE + np.float32([x, 500]), np.full(17, score, np.float32), np.zeros(17, bool), "test")


def looks(proof, n, found, score):
    for _ in range(n):
        proof.look(found, pose(score))
    return proof.given


def test_a_card_says_what_a_look_is_worth_and_one_without_asks_for_no_proof():
    assert PersonRule.of({"person_level": -10, "person_found": 10.0, "person_limbs": 10.0}) == RULE
    assert PersonRule.of({"person_level": -10, "person_found": 10.0}) is None
    assert RULE.logit(0.5, pose(0.75)) == pytest.approx(2.5)
    unasked = Proof(None, OPTIONS)
    assert unasked.given and looks(unasked, 9, None, 0.2) and not unasked.refuted


@pytest.mark.parametrize("path", [*hourglass.WEIGHTS.values(), *movenet.WEIGHTS.values()])
def test_a_sure_person_is_one_at_the_first_look_and_a_doubtful_thing_is_not(path):
    rule = PersonRule.of(cards.load_card(cards.WEIGHTS / path).values)
    assert rule is not None
    assert looks(Proof(rule, TopDownOptions()), 1, 0.5, 0.8)
    assert not looks(Proof(rule, TopDownOptions()), 50, 0.2, 0.3)


def test_who_is_doubtful_is_shown_after_several_looks():
    proof = Proof(RULE, OPTIONS)
    assert [looks(proof, 1, 0.4, 0.72) for _ in range(4)] == [False, False, True, True], "1.2 a look, 3 are needed"


def test_what_is_found_in_one_picture_of_four_is_never_shown():
    proof, shown = Proof(RULE, OPTIONS), []
    for _ in range(50):
        shown += [looks(proof, 1, 0.4, 0.7), looks(proof, 3, None, 0.5)]
    assert not any(shown) and not proof.refuted
    assert not looks(proof, OPTIONS.refuted + 1, None, 0.5) and proof.refuted, "nor looked at any longer"


def test_who_was_shown_may_be_half_hidden_for_long_but_not_for_ever():
    proof = Proof(RULE, OPTIONS)
    assert looks(proof, 3, 0.8, 0.9)
    enough = round(OPTIONS.proof_most / OPTIONS.doubted)
    assert looks(proof, enough, None, 0.2) and not looks(proof, 1, None, 0.2)
    assert not looks(proof, 2, 0.4, 0.7) and looks(proof, 2, 0.4, 0.7), "and has to prove it anew"


class Stage:
    """Somebody at each x, as sure as the two networks are of them."""

    def __init__(self, **at):
        self.at = {float(x[1:]): scores for x, scores in at.items()}
        self.searches = 0

    def everywhere(self, image, long_side):
        self.searches += 1
        return self.around(image, None)

    def around(self, image, box):
        return [
            FoundPerson(np.array([[x - 50, 400], [x + 50, 600]]), found, pose(0.5, x).xy)
            for x, (found, _) in self.at.items()
            if found
        ]

    def see(self, image, box):
        middle = box.left + box.width / 2
        x = min(self.at, key=lambda x: abs(x - middle))
        return pose(self.at[x][1] if abs(x - middle) < box.width else 0.0, x)

    def crowd(self, most=6, rule: PersonRule | None = RULE):
        return TopDownCrowd("test", self.see, self, most, count(), OPTIONS, rule)  # type: ignore[arg-type]


def shown(crowd, t):
    return sorted(round(float(s.detection.xy[LIMB, 0].mean())) for s in crowd(IMAGE, t).people)


def test_a_sure_person_is_shown_in_the_first_frame_and_a_dog_beside_them_never():
    stage = Stage(x300=(0.6, 0.9), x1000=(0.2, 0.72))
    crowd = stage.crowd()
    assert all(shown(crowd, k / 30) == [300] for k in range(60))
    assert 1000 in shown(stage.crowd(rule=None), 0.0), "without the rule it is somebody"


def test_a_doubtful_person_is_looked_at_ten_times_a_second_until_they_are_shown():
    stage = Stage(x1000=(0.4, 0.72))
    crowd = stage.crowd()
    assert shown(crowd, 0.0) == [1000], "which may be the only picture"
    assert [shown(crowd, t) for t in (0.05, 0.1, 0.15, 0.2)] == [[], [], [], [1000]]
    assert stage.searches == 3


@pytest.mark.parametrize(("score", "first", "later"), [(0.58, False, False), (0.65, True, False), (0.72, True, True)])
def test_who_is_found_at_a_later_size_of_the_first_picture_has_to_be_likelier(score, first, later):
    near, far = Stage(x1000=(0.4, score)), Stage(x1000=(0.4, score))
    far.everywhere = lambda image, long_side: Stage.everywhere(far, image, long_side) if long_side > 256 else []
    for stage, seen in ((near, first), (far, later)):
        assert bool(shown(stage.crowd(most=1), 0.0)) == seen
        one = TopDownSession("test", stage.see, stage, OPTIONS, RULE)  # type: ignore[arg-type]
        assert one(IMAGE, 0.0).person == seen


def test_who_is_doubtful_takes_nobodys_place():
    stage = Stage(x1000=(0.45, 0.65))
    crowd = stage.crowd(most=1)
    assert shown(crowd, 0.0) == [1000]
    stage.at[300.0] = (0.6, 0.9)
    assert shown(crowd, 0.1) == [300]
    assert all(shown(crowd, 0.1 + k / 30) == [300] and crowd._left_out in (0, 1) for k in range(1, 30))


def test_who_was_shown_goes_on_being_shown_when_the_network_sees_little_of_them():
    stage = Stage(x1000=(0.6, 0.9))
    crowd = stage.crowd()
    for k in range(30):
        shown(crowd, k / 30)
    stage.at[1000.0] = (0.25, 0.35)
    assert all(shown(crowd, 1 + k / 30) == [1000] for k in range(60))


def test_what_is_not_finite_teaches_nothing():
    proof = Proof(RULE, OPTIONS)
    proof.look(0.9, pose(np.nan))
    assert not proof.given and looks(proof, 1, 0.6, 0.9)


def test_one_followed_person_has_to_prove_it_as_well_and_a_dog_cannot():
    stage = Stage(x1000=(0.4, 0.72))
    one = TopDownSession("test", stage.see, stage, OPTIONS, RULE)  # type: ignore[arg-type]
    assert [one(IMAGE, t).person for t in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)] == [True, *[False] * 3, *[True] * 2]
    stage.at = {1000.0: (0.2, 0.72)}
    one.reset()
    assert not any(one(IMAGE, 1 + k / 30).person for k in range(90))
    stage.at = {1000.0: (0.6, 0.9)}
    one.reset()
    assert one(IMAGE, 9.0).person, "a sure person at once"
