"""People at known places, for the sessions that follow by boxes: the finder and the network see what is there."""

from itertools import count

import numpy as np

from engines.skeleton import LIMBS
from engines.top_down import TopDownCrowd, TopDownOptions, TopDownSession
from engines.top_down.finder import Finder, FoundPerson
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


class Stage(Finder):
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
        return TopDownSession("test", self.see, self, TopDownOptions(**options))

    def crowd(self, most=6, **options):
        return TopDownCrowd("test", self.see, self, most, count(), TopDownOptions(**options))


def x_of(found):
    return float(found.xy[LIMB, 0].mean()) if found.person else None


def people_of(seen):
    return {sighting.track: round(x_of(sighting.detection)) for sighting in seen.people}
