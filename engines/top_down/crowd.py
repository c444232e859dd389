"""A session that follows everybody: each by a box of their own, and none of them twice."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array, Image
from engines import preprocess
from engines.oks import LEAST_SCORE, oks, seen_limbs
from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.top_down.finder import Finder, FoundPerson
from engines.top_down.followed import FollowedBox, due, overlap
from engines.top_down.options import TopDownOptions
from engines.top_down.session import found_box, prominence
from engines.top_down.turning import See, see_any_way_up, see_turned
from engines.top_down.whose import own_joints, without_others
from engines.types import Detection, Seen, Sighting

_LIMBS: Final = np.array(LIMBS)


@dataclass(slots=True, eq=False)
class _Track:
    """One followed person."""

    number: int
    box: FollowedBox
    pose: Detection
    t: float
    joints: Array
    """(17, 2) pixels: where each joint is, or is to be if it was not seen in the last frame."""
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """(2,) pixels a second, of the middle of the box, over the last frames."""

    def expected(self, t: float) -> Array:
        """(17, 2) where the joints are to be at t seconds, as the body moves as a whole."""
        return self.joints + self.velocity * (t - self.t)

    @property
    def size(self) -> float:
        """Pixels: the longer side of the box of the limbs."""
        return _size(self.box.bounds)

    @property
    def centre(self) -> Array:
        """(2,) the mean of the seen limb joints, which is where the networks look for the middle of a person."""
        return self.pose.xy[_LIMBS][seen_limbs(self.pose.score)].mean(0)


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
        self._gone: list[_Track] = []
        """Lost so short a time ago that they are expected back where they were to be."""
        self._searched = self._lost = -np.inf
        self._searches = self._left_out = 0

    def __call__(self, image: Image, t: float) -> Seen:
        """Detect everybody in a BGR image at t seconds."""
        before = len(self._tracks)
        self._gone = [track for track in self._gone if 0 <= t - track.t <= self._options.resume_s]
        stay = self._settle(*self._look(image, t), t)
        self._gone += [track for track in self._tracks if track not in stay]
        self._tracks = stay
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

    def _look(self, image: Image, t: float) -> tuple[list[_Track], list[Detection]]:
        """Who is somewhere, and what their boxes show of them alone."""
        boxes = [(track, box) for track in self._tracks if (box := track.box.predict(t)) is not None]
        poses = [see_turned(self._see, image, self._centred(track, box), track.box.quarter) for track, box in boxes]
        if len(poses) > 1 and all(np.isfinite(pose.xy).all() for pose in poses):
            expected = np.stack([track.expected(t) for track, _ in boxes])
            poses = own_joints(poses, expected, np.array([track.size for track, _ in boxes]))
        return [track for track, _ in boxes], poses

    def _centred(self, track: _Track, box: Box) -> Box:
        """The box, moved so that this person is in the middle where somebody else is near: a network shows the one."""
        others = (other for other in self._tracks if other is not track)
        if not any(overlap(other.box.bounds, track.box.bounds) > 0.1 for other in others):
            return box
        bounds = track.box.bounds
        middle = box.left + box.width / 2 - 0.5, box.top + box.height / 2 - 0.5
        off = np.zeros(2) if bounds is None else track.centre - bounds.mean(0)
        # No further than the room around the limbs: they are not to be cut off.
        room = 0.5 * (1 - 1 / self._options.pad) * box.width
        return preprocess.square(middle + np.clip(off, -room, room), box.width)

    def _settle(self, tracks: Sequence[_Track], poses: Sequence[Detection], t: float) -> list[_Track]:
        """Who is who: each pose goes to the track that was to be there, each person to one track only."""
        believed = [FollowedBox.strength_of(pose) >= self._options.keep for pose in poses]
        poses = [pose for pose, there in zip(poses, believed, strict=True) if there]
        if not poses:
            return []
        xy, score = _stack(poses)
        likeness = oks(np.stack([track.expected(t) for track in tracks]), np.ones((len(tracks), 17)), xy, score)
        # Of two poses of one person the one that somebody expected more.
        twins = np.triu(oks(xy, score, xy, score) > self._options.same_oks, 1)
        kept = np.ones(len(poses), bool)
        for a, b in zip(*np.nonzero(twins), strict=True):
            if kept[a] and kept[b]:
                kept[a if likeness[:, a].max() < likeness[:, b].max() else b] = False
        likeness[:, ~kept] = 0
        stay = []
        for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
            track, pose = tracks[row], poses[column]
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
        seen = pose.score >= LEAST_SCORE
        track.joints = np.where(seen[:, None], pose.xy, track.joints + track.velocity * dt)
        track.pose, track.t = pose, t

    def _search(self, image: Image, t: float) -> None:
        """Look for others in the whole image, and whether somebody is in the boxes."""
        self._searched = t
        sides = self._options.search_sides
        found = self._finder.everywhere(image, sides[self._searches % len(sides)])
        self._searches += 1
        owner = self._owners(found)
        self._check(image, set(owner.values()), t)
        strangers = [person for k, person in enumerate(found) if k not in owner]
        strangers.sort(key=lambda person: -prominence(person.bounds, image))
        self._left_out = 0
        for person in strangers:
            if len(self._tracks) >= self._most and not self._make_room(person):
                self._left_out += 1
            else:
                self._take_up(person, image, t)
        self._tracks.sort(key=lambda track: track.number)

    def _owners(self, found: Sequence[FoundPerson]) -> dict[int, _Track]:
        """Whose box each of those found is, one at most."""
        if not found or not self._tracks:
            return {}
        shared = np.array([[overlap(p.bounds, track.box.bounds) for track in self._tracks] for p in found])
        pairs = zip(*linear_sum_assignment(-shared), strict=True)
        return {int(k): self._tracks[row] for k, row in pairs if shared[k, row] > 0.2}

    def _check(self, image: Image, seen: Collection[_Track], t: float) -> None:
        """Let go of boxes in which nobody is. Who is too small for the whole image is looked for around the box."""
        stay = []
        for track in self._tracks:
            if track in seen:
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
        smallest = min(self._tracks, key=lambda track: _size(track.box.bounds))
        if _size(person.bounds) < self._options.larger * self._options.finder_pad * _size(smallest.box.bounds):
            return False
        self._tracks.remove(smallest)
        self._left_out += 1
        return True

    def _take_up(self, person: FoundPerson, image: Image, t: float) -> None:
        """Follow somebody who was found: again, where they were lost just now, or anew."""
        pose, quarter = see_any_way_up(
            self._see, image, found_box(person.bounds, self._options), FollowedBox.strength_of
        )
        if not np.isfinite(pose.xy).all():
            return
        if self._tracks and self._likeness(self._tracks, pose, None).max() > self._options.same_oks:
            return
        pose = without_others(pose, [track.pose for track in self._tracks], _size(person.bounds))
        if self._gone:
            likeness = self._likeness(self._gone, pose, t)
            track, bounds = self._gone[int(likeness.argmax())], self._gone[int(likeness.argmax())].box.bounds
            last = track.t
            if likeness.max() > self._options.stays_oks and track.box.accept(pose, self._options.keep, t, same=True):
                self._move(track, pose, bounds, t - last, t)
                self._gone.remove(track)
                self._tracks.append(track)
                return
        box = FollowedBox(self._options)
        box.quarter = quarter
        if box.accept(pose, self._options.acquire, t, same=False):
            box.checked = t
            seen = pose.score >= LEAST_SCORE
            middle = pose.xy[seen].mean(0)
            self._tracks.append(_Track(next(self._numbers), box, pose, t, np.where(seen[:, None], pose.xy, middle)))

    def _likeness(self, tracks: Sequence[_Track], pose: Detection, t: float | None) -> Array:
        """(K,) how alike a pose is to where they are, or are to be at t seconds."""
        xy = np.stack([track.pose.xy if t is None else track.expected(t) for track in tracks])
        known = np.ones((len(tracks), 17)) if t is not None else np.stack([track.pose.score for track in tracks])
        return oks(xy, known, pose.xy[None], pose.score[None])[:, 0]


def _stack(poses: Sequence[Detection]) -> tuple[Array, Array]:
    return np.stack([pose.xy for pose in poses]), np.stack([pose.score for pose in poses])


def _size(bounds: Array | None) -> float:
    return 0.0 if bounds is None else float(np.ptp(bounds, axis=0).max())
