"""Where the person is: found with MoveNet MultiPose, then followed from pose to pose.

A top-down detector invents a skeleton in any box (MoveNet Thunder scores up to 0.7 on foliage), so a box is only
believed while MultiPose sees somebody in it. Every interval is in the frames' own time, so a file always gives the
same answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Image
from engines import cards, movenet_heads, preprocess, runtimes
from engines.movenet_heads import Crowd
from engines.preprocess import Box
from engines.runtimes import Open
from engines.skeleton import LIMBS
from engines.types import Detection, empty_detection

See = Callable[[Image, Box], Detection]
"""A top-down network: image and square box in, the person in it out."""


@dataclass(frozen=True, slots=True)
class TopDownOptions:
    """When somebody is found, followed and doubted. Times are in the frames' own."""

    search_sides: tuple[int, ...] = (256, 384)
    """Long side of the whole image for MultiPose, in turn: the second finds smaller people, at twice the cost."""
    found: float = 0.2
    """MultiPose score of a person: 90 % of Leeds Sports Pose people are above, at 256 px; noise is below 0.03."""
    acquire: float = 0.3
    """Mean score of the best eight limb joints for a box to be taken up."""
    keep: float = 0.2
    """The same for a followed box; 1 % of Leeds Sports Pose people are below."""
    doubt: float = 0.45
    """Below this a followed box is checked every ``doubt_s`` instead of every ``check_s``; half of backgrounds are
    below 0.3."""
    search_s: float = 0.1
    """Between two searches of the whole image while nobody is followed."""
    check_s: float = 1.0
    """Between two checks that somebody is in a followed box."""
    doubt_s: float = 0.2
    """The same where that is doubtful."""
    remember_s: float = 2.0
    """Somebody found again within this time where the person was lost is the same person."""
    pad: float = 1.4
    """Side of the followed square over the long side of the limbs' box, which lacks the head: about 1.25 with it.

    1.15 to 1.3 with it score best on Leeds Sports Pose."""
    finder_pad: float = 1.2
    """The same over MultiPose's box, which has the head and some room."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """Somebody that MultiPose sees."""

    bounds: Array
    """(2, 2) top left and bottom right corner, pixels of the full image."""
    score: float
    """0..1."""


class Finder:
    """MoveNet MultiPose: who is in the image. Has no state; shared by the sessions of a detector.

    Raises:
        EngineError: if its weights cannot be loaded.
    """

    def __init__(self, open_network: Open = runtimes.load, options: TopDownOptions = TopDownOptions()) -> None:
        self._options = options
        self._run = open_network(cards.WEIGHTS / "movenet_multipose.onnx")

    def describe(self) -> Mapping[str, str]:
        """What finds the person, under keys that stand beside those of a detector's own network."""
        said = self._run.describe()
        return {
            "finder": said["model"],
            "finder_sha256": said["sha256"],
            "finder_runtime": f"{said['runtime']} {said['precision']}",
        }

    def everywhere(self, image: Image, long_side: int) -> list[FoundPerson]:
        """People in the whole image, resized so that its long side is ``long_side`` pixels (a multiple of 32)."""
        return self._find(image, *preprocess.letterbox(image.shape[1], image.shape[0], long_side, 32))

    def around(self, image: Image, box: Box) -> list[FoundPerson]:
        """People in and near a box: finds those who are too small for ``everywhere``. 15 ms on one thread."""
        centre = np.array([box.left + box.width / 2, box.top + box.height / 2]) - 0.5
        return self._find(image, preprocess.square(centre, 1.6 * box.width), (192, 192))

    def _find(self, image: Image, box: Box, size: tuple[int, int]) -> list[FoundPerson]:
        found = self._run(image=preprocess.cut(image, box, size)[None])
        heads = Crowd(*(found[head][0] for head in Crowd._fields))
        bounds, score = movenet_heads.people(heads, self._options.found)
        return [FoundPerson(b, float(s)) for b, s in zip(preprocess.to_image(box, bounds), score, strict=True)]


class TopDownSession:
    """Follows one person through one camera with a network that needs a box."""

    def __init__(self, origin: str, see: See, finder: Finder, options: TopDownOptions = TopDownOptions()) -> None:
        self._origin, self._see, self._finder = origin, see, finder
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._side = 0.0
        self._bounds: Array | None = None
        self._velocity = np.zeros(2)
        self._following = False
        self._seen = self._searched = self._checked = -np.inf
        self._strength = 0.0
        self._misses = 0

    def __call__(self, image: Image, t: float) -> Detection:
        """Detect the followed person in a BGR image at t seconds, or find somebody; nobody() when there is none."""
        box = self._followed(t) if self._following else None
        interval = self._options.doubt_s if self._strength < self._options.doubt else self._options.check_s
        if box is not None and self._due(t, self._checked, interval):
            self._checked = t
            if not any(_overlap(p.bounds, self._bounds) > 0.2 for p in self._finder.around(image, box)):
                box = None
        if box is not None:
            pose = self._see(image, box)
            if self._accept(pose, self._options.keep, t, same=True):
                return pose
        if self._following or self._due(t, self._searched, self._options.search_s):
            box = self._search(image, t)
            if box is not None:
                pose = self._see(image, box)
                if self._accept(pose, self._options.acquire, t, same=False):
                    return pose
        self._following = False
        return empty_detection(self._origin)

    def _due(self, t: float, last: float, interval: float) -> bool:
        return not 0 <= t - last < interval - 1e-6

    def _search(self, image: Image, t: float) -> Box | None:
        self._searched = self._checked = t
        sides = self._options.search_sides
        people = self._finder.everywhere(image, sides[self._misses % len(sides)])
        self._following, self._side, self._velocity = False, 0.0, np.zeros(2)
        if not people:
            self._misses += 1
            return None
        bounds = max((p.bounds for p in people), key=lambda b: _prominence(b, image))
        if self._bounds is not None and t - self._seen < self._options.remember_s:
            nearest = max((p.bounds for p in people), key=lambda b: _overlap(b, self._bounds))
            bounds = nearest if _overlap(nearest, self._bounds) > 0.1 else bounds
        return preprocess.square(bounds.mean(0), self._options.finder_pad * np.ptp(bounds, axis=0).max())

    def _followed(self, t: float) -> Box | None:
        if self._bounds is None:
            return None
        # Half of what the last speed says: limbs that swing move the box too, and the whole of it adds jitter.
        ahead = np.clip(0.5 * self._velocity * (t - self._seen), -0.25 * self._side, 0.25 * self._side)
        return preprocess.square(self._bounds.mean(0) + ahead, self._side)

    def _accept(self, pose: Detection, least: float, t: float, *, same: bool) -> bool:
        """Whether the pose is a person (the same one), and if so follow it."""
        xy, score = pose.xy, pose.score
        limbs = np.array(LIMBS)
        strength = float(np.sort(score[limbs])[-8:].mean())
        seen = limbs[score[limbs] >= 0.15]
        if not np.isfinite(xy).all() or not np.isfinite(strength):
            return True  # whoever asked hears of it, and forgets this person
        if strength < least or len(seen) < 5:
            return False
        bounds = np.stack([xy[seen].min(0), xy[seen].max(0)])
        if same and _overlap(bounds, self._bounds) < 0.15:
            return False
        if same and self._bounds is not None and t > self._seen:
            self._velocity = (bounds.mean(0) - self._bounds.mean(0)) / (t - self._seen)
        # Grows at once, shrinks slowly: a few unseen joints must not collapse the box around the rest.
        self._side = max(self._options.pad * float(np.ptp(bounds, axis=0).max()), 0.95 * self._side, 16.0)
        self._bounds, self._seen, self._strength = bounds, t, strength
        self._following, self._misses = True, 0
        return True


def _overlap(a: Array, b: Array | None) -> float:
    """Intersection over union of two boxes (2, 2); thin ones (a person from the side) are widened first."""
    if b is None:
        return 0.0
    a, b = (_widen(a), _widen(b))
    common = np.prod(np.maximum(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0))
    return float(common / max(np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - common, 1e-9))


def _widen(bounds: Array) -> Array:
    centre, size = bounds.mean(0), np.ptp(bounds, axis=0)
    half = np.maximum(size, 0.4 * size.max()) / 2
    return np.stack([centre - half, centre + half])


def _prominence(bounds: Array, image: Image) -> float:
    """Area in the image, less the further it is from the middle."""
    full = np.array([image.shape[1], image.shape[0]], float)
    inside = np.clip(bounds, 0, full)
    off = (inside.mean(0) - full / 2) / (full / 2)
    return float(np.prod(np.ptp(inside, axis=0)) * np.exp(-(off**2).sum()))
