"""A session that follows one person: the most prominent, as long as they are there."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array, Image
from engines import preprocess
from engines.preprocess import Box
from engines.top_down.finder import Finder, FoundPerson, believable
from engines.top_down.followed import FollowedBox, due, limb_bounds, overlap
from engines.top_down.options import TopDownOptions
from engines.top_down.proof import PersonRule, Proof
from engines.top_down.turning import See, see_any_way_up, see_turned
from engines.types import Detection, empty_detection


class TopDownSession:
    """Follows one person through one camera with a network that needs a box.

    Args:
        origin: name of the detector.
        see: the network.
        finder: finds people in the whole image.
        options: when somebody is found, followed and doubted.
        rule: what tells a person from an animal or a thing; None: whoever is found is believed.
    """

    def __init__(
        self,
        origin: str,
        see: See,
        finder: Finder,
        options: TopDownOptions = TopDownOptions(),
        rule: PersonRule | None = None,
    ) -> None:
        self._origin, self._see, self._finder = origin, see, finder
        self._options, self._rule = options, rule
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._person = FollowedBox(self._options)
        self._proof = Proof(self._rule, self._options)
        self._following = False
        self._searched = self._now = -np.inf
        self._misses = 0
        self._first: float | None = None
        self._again = False
        """Whether the first picture was searched at more than the first size."""

    def __call__(self, image: Image, t: float) -> Detection:
        """Detect the followed person in a BGR image at t seconds, or find somebody; nobody() when there is none."""
        person, self._now = self._person, t
        self._first = t if self._first is None else self._first
        box = person.predict(t) if self._following else None
        checks = box is not None and self._check_due(t)
        there: list[float] = []
        if box is not None and checks:
            person.checked = t
            around = self._finder.around(image, box)
            there = [p.score for p in around if overlap(p.bounds, person.bounds) > 0.2]
            if not there and self._proof.given:
                box = None
        if box is not None:
            pose = self._look(image, box)
            if person.accept(pose, self._options.keep, t, same=True):
                if checks:
                    self._proof.look(max(there, default=None), pose)
                return self._follow(pose, t)
        if self._following or due(t, self._searched, self._options.search_s):
            found = self._search(image, t)
            if found is not None:
                box = found_box(found.bounds, self._options)
                pose, person.quarter = see_any_way_up(
                    self._see, image, box, person.strength_of, self._options.turn_better
                )
                believed = believable(found, pose, person.strength_of(pose), person.quarter != 0, self._options)
                proof = self._proof if self._same(found) else Proof(self._rule, self._options)
                if believed and person.accept(pose, self._options.acquire, t, same=False):
                    self._proof = proof
                    proof.look(found.score, pose)
                    return self._follow(self._closer(image, pose, t), t)
        self._following = False
        return empty_detection(self._origin)

    def _closer(self, image: Image, pose: Detection, t: float) -> Detection:
        """Somebody just found, looked at again in the first picture; the surer look is no proof of a person."""
        if t == self._first:
            again = look_closer(self._see, image, pose, self._person.quarter, self._options)
            if again is not pose and self._person.accept(again, self._options.keep, t, same=True):
                return again
        return pose

    def _look(self, image: Image, box: Box) -> Detection:
        """Upright by where they were last; any way up where the person was doubtful then."""
        person = self._person
        if person.strength < self._options.doubt and person.checked == self._now:
            pose, person.quarter = see_any_way_up(
                self._see, image, box, person.strength_of, self._options.turn_better, person.quarter
            )
            return pose
        return see_turned(self._see, image, box, person.quarter)

    def _check_due(self, t: float) -> bool:
        """Whether it is time to check that somebody is in the box: at each search while they have to prove it."""
        if not self._proof.given and due(t, self._person.checked, self._options.search_s):
            return True
        return self._person.check_due(t)

    def _same(self, found: FoundPerson) -> bool:
        """Whether somebody found is where the person was a moment ago."""
        near = overlap(found.bounds, self._person.bounds) > 0.1
        return near and self._now - self._person.seen < self._options.remember_s

    def _follow(self, pose: Detection, t: float) -> Detection:
        if self._person.seen != t:  # its joints are not finite, and nothing was learnt of the person
            return pose
        self._following, self._misses = not self._proof.refuted, 0
        least = self._options.proof_first[self._again] if t == self._first else None
        return pose if self._proof.shows(least) else empty_detection(self._origin)

    def _search(self, image: Image, t: float) -> FoundPerson | None:
        self._searched = self._person.checked = t
        sides = (*self._options.search_sides, self._options.small_side)
        if t == self._first:
            people, self._again = at_every_size(self._finder, image, sides)
        else:
            people = self._finder.everywhere(image, sides[self._misses % len(sides)])
        self._person.stop()
        self._following = False
        if not people:
            self._misses += t != self._first
            return None
        chosen = max(people, key=lambda p: prominence(p.bounds, image))
        last = self._person.bounds
        if last is not None and t - self._person.seen < self._options.remember_s:
            nearest = max(people, key=lambda p: overlap(p.bounds, last))
            chosen = nearest if overlap(nearest.bounds, last) > 0.1 else chosen
        return chosen


def found_box(bounds: Array, options: TopDownOptions) -> Box:
    """Where a top-down network looks at somebody whom MultiPose found."""
    return preprocess.square(bounds.mean(0), options.finder_pad * np.ptp(bounds, axis=0).max())


def at_every_size(finder: Finder, image: Image, sides: Sequence[int]) -> tuple[list[FoundPerson], bool]:
    """Who is in the first picture, at the first size at which anybody is, and whether that is not the first of all.

    It may be the only one: no other may come that is searched at the next size.
    """
    for k, side in enumerate(sides):
        if people := finder.everywhere(image, side):
            return people, k > 0
    return [], True


def look_closer(see: See, image: Image, pose: Detection, quarter: int, options: TopDownOptions) -> Detection:
    """Somebody just found, seen once more in the square of their own joints; the surer of the two.

    MultiPose's boxes are 1.1 to 1.5 times as large as the person. In a film the next picture is looked at like this;
    a photograph has none.

    Args:
        see: the network.
        image: BGR.
        pose: what it saw where MultiPose found them.
        quarter: quarter turns after which they are upright.
        options: ``closer_pad``.
    """
    bounds = limb_bounds(pose)
    if bounds is None:
        return pose
    again = see_turned(
        see, image, preprocess.square(bounds.mean(0), options.closer_pad * np.ptp(bounds, axis=0).max()), quarter
    )
    return again if FollowedBox.strength_of(again) > FollowedBox.strength_of(pose) else pose


def prominence(bounds: Array, image: Image) -> float:
    """Area in the image, less the further it is from the middle."""
    full = np.array([image.shape[1], image.shape[0]], float)
    inside = np.clip(bounds, 0, full)
    off = (inside.mean(0) - full / 2) / (full / 2)
    return float(np.prod(np.ptp(inside, axis=0)) * np.exp(-(off**2).sum()))
