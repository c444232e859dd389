"""A session that follows everybody: each by a box of their own, and none of them twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array, Image
from engines.oks import oks
from engines.top_down.finder import Finder, FoundPerson
from engines.top_down.followed import FollowedBox, due, overlap
from engines.top_down.options import TopDownOptions
from engines.top_down.session import See, found_box, prominence
from engines.types import Detection, Seen, Sighting


@dataclass(slots=True, eq=False)
class _Track:
    """One followed person."""

    number: int
    box: FollowedBox
    pose: Detection
    t: float
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """(2,) pixels a second, of the middle of the box, over the last frames."""

    def expected(self, t: float) -> Array:
        """(17, 2) where the joints are to be at t seconds, as the body moves as a whole."""
        return self.pose.xy + self.velocity * (t - self.t)


class TopDownCrowd:
    """Follows up to ``most`` people through one camera with a network that needs a box.

    Args:
        origin: name of the detector.
        see: the network.
        finder: finds people in the whole image.
        most: people who are followed at a time.
        tracks: numbers of the tracks, each used once.
        options: when somebody is found, followed and doubted.
    """

    def __init__(
        self,
        origin: str,
        see: See,
        finder: Finder,
        most: int,
        tracks: Iterator[int],
        options: TopDownOptions = TopDownOptions(),
    ) -> None:
        self._origin, self._see, self._finder = origin, see, finder
        self._most, self._numbers, self._options = most, tracks, options
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: list[_Track] = []
        self._searched = self._lost = -np.inf
        self._searches = self._left_out = 0

    def __call__(self, image: Image, t: float) -> Seen:
        """Detect everybody in a BGR image at t seconds."""
        before = len(self._tracks)
        self._tracks = self._settle(self._look(image, t), t)
        if len(self._tracks) < before:
            self._lost = t
        if due(t, self._searched, self._interval(t, before)):
            self._search(image, t)
        people = tuple(Sighting(track.number, track.pose) for track in self._tracks)
        return Seen(self._origin, people, self._left_out)

    def _interval(self, t: float, before: int) -> float:
        """Seconds between two searches: none at all when somebody was lost in this very frame."""
        if len(self._tracks) < before:
            return 0.0
        missing = not self._tracks or 0 <= t - self._lost < self._options.remember_s
        return self._options.search_s if missing else self._options.others_s

    def _look(self, image: Image, t: float) -> list[Detection]:
        """What each box shows; of some of them the same person, of others nobody."""
        poses = [self._see(image, box) for track in self._tracks if (box := track.box.predict(t)) is not None]
        return [pose for pose in poses if FollowedBox.strength_of(pose) >= self._options.keep]

    def _settle(self, poses: Sequence[Detection], t: float) -> list[_Track]:
        """Who is who: each pose goes to the track that was to be there, each person to one track only."""
        if not poses:
            return []
        xy, score = _stack(poses)
        known = _stack([track.pose for track in self._tracks])[1]
        likeness = oks(np.stack([track.expected(t) for track in self._tracks]), known, xy, score)
        # Of two poses of one person the one that the box it came from expected more.
        twins = np.triu(oks(xy, score, xy, score) > self._options.same_oks, 1)
        kept = np.ones(len(poses), bool)
        for a, b in zip(*np.nonzero(twins), strict=True):
            if kept[a] and kept[b]:
                kept[a if likeness[:, a].max() < likeness[:, b].max() else b] = False
        likeness[:, ~kept] = 0
        stay = []
        for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
            track, pose = self._tracks[row], poses[column]
            if likeness[row, column] < self._options.stays_oks:
                continue
            middle, last = track.box.bounds, track.t
            if track.box.accept(pose, self._options.keep, t, same=True):
                self._move(track, pose, middle, t - last, t)
                stay.append(track)
        return sorted(stay, key=lambda track: track.number)

    def _move(self, track: _Track, pose: Detection, bounds: Array | None, dt: float, t: float) -> None:
        if bounds is not None and track.box.bounds is not None and dt > 0:
            speed = (track.box.bounds.mean(0) - bounds.mean(0)) / dt
            share = 1 - np.exp(-dt / self._options.motion_s)
            track.velocity = track.velocity + share * (speed - track.velocity)
        track.pose, track.t = pose, t

    def _search(self, image: Image, t: float) -> None:
        """Look for others in the whole image, and whether somebody is in the boxes."""
        self._searched = t
        sides = self._options.search_sides
        found = self._finder.everywhere(image, sides[self._searches % len(sides)])
        self._searches += 1
        self._check(image, found, t)
        strangers = [
            person
            for person in found
            if not any(overlap(person.bounds, track.box.bounds) > 0.3 for track in self._tracks)
        ]
        strangers.sort(key=lambda person: -prominence(person.bounds, image))
        self._left_out = 0
        for person in strangers:
            if len(self._tracks) >= self._most and not self._make_room(person):
                self._left_out += 1
            else:
                self._take_up(person, image, t)

    def _check(self, image: Image, found: Sequence[FoundPerson], t: float) -> None:
        """Let go of boxes in which nobody is. Who is too small for the whole image is looked for around the box."""
        stay = []
        for track in self._tracks:
            if any(overlap(person.bounds, track.box.bounds) > 0.2 for person in found):
                track.box.checked = t
            elif track.box.check_due(t):
                track.box.checked = t
                box = track.box.predict(t)
                around = [] if box is None else self._finder.around(image, box)
                if not any(overlap(person.bounds, track.box.bounds) > 0.2 for person in around):
                    self._lost = t
                    continue
            stay.append(track)
        self._tracks = stay

    def _make_room(self, person: FoundPerson) -> bool:
        """Let go of the smallest where there are too many, for somebody who is clearly larger."""
        smallest = min(self._tracks, key=lambda track: _height(track.box.bounds))
        if _height(person.bounds) < self._options.larger * self._options.finder_pad * _height(smallest.box.bounds):
            return False
        self._tracks.remove(smallest)
        self._left_out += 1
        return True

    def _take_up(self, person: FoundPerson, image: Image, t: float) -> None:
        pose = self._see(image, found_box(person.bounds, self._options))
        box = FollowedBox(self._options)
        if not np.isfinite(pose.xy).all() or not box.accept(pose, self._options.acquire, t, same=False):
            return
        if self._tracks:
            xy, score = _stack([track.pose for track in self._tracks])
            if oks(pose.xy[None], pose.score[None], xy, score).max() > self._options.same_oks:
                return
        box.checked = t
        self._tracks.append(_Track(next(self._numbers), box, pose, t))


def _stack(poses: Sequence[Detection]) -> tuple[Array, Array]:
    return np.stack([pose.xy for pose in poses]), np.stack([pose.score for pose in poses])


def _height(bounds: Array | None) -> float:
    return 0.0 if bounds is None else float(np.ptp(bounds, axis=0).max())
