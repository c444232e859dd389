"""A session that follows everybody: each by a box of their own, and none of them twice."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array, Image
from engines import preprocess
from engines.oks import LEAST_SCORE, oks, seen_limbs
from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.top_down.finder import Finder, FoundPerson, believable
from engines.top_down.followed import FollowedBox, due, overlap
from engines.top_down.options import TopDownOptions
from engines.top_down.proof import PersonRule, Proof
from engines.top_down.session import at_every_size, found_box, look_closer, prominence
from engines.top_down.turning import See, see_any_way_up, see_turned
from engines.top_down.whose import own_joints, without_others
from engines.types import Detection, Seen, Sighting

_LIMBS: Final = np.array(LIMBS)


@dataclass(slots=True, eq=False)
class _Track:
    """One followed person."""

    number: int
    box: FollowedBox
    proof: Proof
    pose: Detection
    t: float
    joints: Array
    """(17, 2) pixels: where each joint is, or is to be if it was not seen in the last frame."""
    shown: Array
    """(17,) seconds: when each joint was last seen."""
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
        rule: what tells a person from an animal or a thing; None: whoever is found is believed.
        beside: looks for others while the followed are looked at in the next frames, so that no frame waits for it;
            None: every frame waits, and the same frames always give the same answers.
    """

    def __init__(
        self,
        origin: str,
        see: See,
        finder: Finder,
        most: int,
        tracks: Iterator[int],
        options: TopDownOptions = TopDownOptions(),
        rule: PersonRule | None = None,
        beside: Executor | None = None,
    ) -> None:
        self._origin, self._see, self._finder, self._beside = origin, see, finder, beside
        self._most, self._numbers, self._options, self._rule = most, tracks, options, rule
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: list[_Track] = []
        self._gone: list[_Track] = []
        """Lost so short a time ago that they are expected back where they were to be."""
        self._searched = self._lost = -np.inf
        self._searches = self._left_out = 0
        self._looking: Future[list[FoundPerson]] | None = None
        """A search of the whole image that goes on beside."""
        self._first, self._again = True, False
        self._told: dict[int, float | None] = {}
        """MultiPose's score of who is in a box that it looked at in this frame; None of nobody. By the
        track's number."""

    def __call__(self, image: Image, t: float) -> Seen:
        """Detect everybody in a BGR image at t seconds."""
        self._gone = [track for track in self._gone if 0 <= t - track.t <= self._options.resume_s]
        first_picture, self._first = self._first, False
        self._told = {}
        poses, sure = self._look(image, t)
        again = self._look_again(image, t)
        everybody = self._search(image, all(sure), t, first_picture)
        found: list[FoundPerson] = []
        if everybody is not None:
            found = self._sort_out(image, everybody, dict(zip(map(id, self._tracks), sure, strict=True)), t)
        looks = [self._see_found(image, person) for person in found]
        # Whoever is found may be somebody new; of the same seen in an old box that is not known.
        again = [pose for pose in again if not any(self._same(pose, other) for other, _ in looks)]
        poses = [*poses, *again]
        first = len(poses)
        quarters = [0] * first + [quarter for _, quarter in looks]
        poses += [pose for pose, _ in looks]
        # Joints that are not finite are handed on as they are: whoever asked hears of it, and forgets everybody.
        if wrong := [pose for pose in poses if not np.isfinite(pose.xy).all() or not np.isfinite(pose.score).all()]:
            return Seen(self._origin, tuple(Sighting(next(self._numbers), pose) for pose in wrong))
        believed = [k for k, pose in enumerate(poses) if FollowedBox.strength_of(pose) >= self._options.keep]
        for k in self._settle([poses[k] for k in believed], t) if believed else self._lose(t):
            if believed[k] >= first:
                self._take_up(poses[believed[k]], found[believed[k] - first], quarters[believed[k]], t)
        self._prove()
        if first_picture:
            self._look_closer(image, t)
        least = self._options.proof_first[self._again] if first_picture else None
        self._tracks.sort(key=lambda track: track.number)
        shown = [track for track in self._tracks if track.proof.shows(least)]
        people = tuple(Sighting(track.number, track.pose) for track in shown)
        return Seen(self._origin, people, self._left_out)

    def _prove(self) -> None:
        """Learn who is a person from what MultiPose saw in this frame, and let go of what is surely none."""
        for track in self._tracks:
            if track.number in self._told:
                track.proof.look(self._told[track.number], track.pose)
        self._tracks = [track for track in self._tracks if not track.proof.refuted]

    def _same(self, a: Detection, b: Detection) -> bool:
        return bool(oks(a.xy[None], a.score[None], b.xy[None], b.score[None])[0, 0] > self._options.same_oks)

    def _see_found(self, image: Image, person: FoundPerson) -> tuple[Detection, int]:
        """Somebody who was found, and by how many quarter turns they are upright: tried where upright is doubtful."""
        box, quarter = found_box(person.bounds, self._options), 0
        pose = self._see(image, box)
        if FollowedBox.strength_of(pose) < self._options.upright:
            pose, quarter = see_any_way_up(self._see, image, box, FollowedBox.strength_of, self._options.turn_better)
        return pose, quarter

    def _look_closer(self, image: Image, t: float) -> None:
        """Look again at everybody in the first picture; the surer look is no proof of a person."""
        for track in self._tracks:
            again = look_closer(self._see, image, track.pose, track.box.quarter, self._options)
            if again is track.pose:
                continue
            others = [other.pose for other in self._tracks if other is not track]
            again = without_others(again, others, track.size)
            if track.box.accept(again, self._options.keep, t, same=True):
                self._move(track, again, None, 0.0, t)

    def _lose(self, t: float) -> list[int]:
        """Nobody is seen at all."""
        if self._tracks:
            self._lost = t
        self._gone, self._tracks = [*self._gone, *self._tracks], []
        return []

    def _missing(self, t: float) -> bool:
        """Whether somebody was just lost, or has to prove that they are somebody."""
        proven = bool(self._tracks) and all(track.proof.given for track in self._tracks)
        return not proven or 0 <= t - self._lost < self._options.remember_s

    def _look(self, image: Image, t: float) -> tuple[list[Detection], list[bool]]:
        """What the box of each shows, of them alone; and whether that is surely them."""
        boxes = [(track, box) for track in self._tracks if (box := track.box.predict(t)) is not None]
        poses = [
            see_turned(self._see, image, self._whole(track, self._centred(track, box), t), track.box.quarter)
            for track, box in boxes
        ]
        if not poses or not all(np.isfinite(pose.xy).all() for pose in poses):
            return poses, [True] * len(poses)
        if len(poses) > 1:
            expected = np.stack([track.expected(t) for track, _ in boxes])
            poses = own_joints(poses, expected, np.array([track.size for track, _ in boxes]))
        fits = np.diagonal(self._likeness(self._tracks, poses, t))
        strong = [FollowedBox.strength_of(pose) >= self._options.keep for pose in poses]
        return poses, [bool(fit >= self._options.sure_oks) and there for fit, there in zip(fits, strong, strict=True)]

    def _look_again(self, image: Image, t: float) -> list[Detection]:
        """What the boxes of those show who were just lost: one bad look is not the end of somebody half hidden."""
        poses = []
        for track in self._gone:
            box = track.box.predict(t) if t - track.t <= self._options.again_s else None
            if box is not None:
                poses.append(see_turned(self._see, image, box, track.box.quarter))
        return poses

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

    def _whole(self, track: _Track, box: Box, t: float) -> Box:
        """The box, or a larger one where joints that were seen a moment ago would be outside: ankles behind somebody's
        legs are soon there again, and what is left of the limbs must not draw the box away from them.
        """
        recent = _LIMBS[t - track.shown[_LIMBS] <= self._options.hidden_s]
        limbs = track.expected(t)[recent]
        low, side = np.array([box.left, box.top], float), float(box.width)
        if not len(limbs) or ((limbs >= low) & (limbs <= low + side)).all():
            return box
        low, high = np.minimum(limbs.min(0), low + 0.1 * side), np.maximum(limbs.max(0), low + 0.9 * side)
        return preprocess.square((low + high) / 2, max(side, 1.1 * float((high - low).max())))

    def _settle(self, poses: Sequence[Detection], t: float) -> list[int]:
        """Who is who: each pose goes to the track that was to be there, each person to one track only.

        Returns:
            Numbers of the poses that are nobody's, and of nobody who is followed now.
        """
        known = [*self._tracks, *self._gone]
        xy, score = _stack(poses)
        alike = oks(xy, score, xy, score) > self._options.same_oks
        likeness = self._likeness(known, poses, t)
        # Of two poses of one person the one that somebody expected more.
        kept = np.ones(len(poses), bool)
        for a, b in zip(*np.nonzero(np.triu(alike, 1)), strict=True):
            if kept[a] and kept[b]:
                kept[a if likeness[:, a].max(initial=0) < likeness[:, b].max(initial=0) else b] = False
        likeness[:, ~kept] = 0
        stay: list[_Track] = []
        taken: list[int] = []
        for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
            track, pose, bounds, last = known[row], poses[column], known[row].box.bounds, known[row].t
            if likeness[row, column] < self._options.stays_oks:
                continue
            if track.box.accept(pose, self._options.keep, t, same=True):
                self._move(track, pose, bounds, t - last, t)
                stay.append(track)
                taken.append(int(column))
        if any(track not in stay for track in self._tracks):
            self._lost = t
        self._gone = [track for track in known if track not in stay]
        self._tracks = stay
        return [k for k in np.flatnonzero(kept).tolist() if k not in taken and not alike[k, taken].any()]

    def _move(self, track: _Track, pose: Detection, bounds: Array | None, dt: float, t: float) -> None:
        if bounds is not None and track.box.bounds is not None and dt > 0:
            before, now = seen_limbs(track.pose.score), seen_limbs(pose.score)
            if (before == now).all():
                speed = (track.box.bounds.mean(0) - bounds.mean(0)) / dt
            else:  # legs that are hidden make the box shorter, and nobody jump
                both = _LIMBS[before & now]
                speed = (pose.xy[both] - track.pose.xy[both]).mean(0) / dt if len(both) else track.velocity
            share = 1 - np.exp(-dt / self._options.motion_s)
            track.velocity = track.velocity + share * (speed - track.velocity)
        seen = pose.score >= LEAST_SCORE
        track.joints = np.where(seen[:, None], pose.xy, track.joints + track.velocity * dt)
        track.shown = np.where(seen, t, track.shown)
        track.pose, track.t = pose, t

    def _search(self, image: Image, sure: bool, t: float, first_picture: bool) -> list[FoundPerson] | None:
        """Everybody in the whole image, of this frame or of one just before; None where it is not known now.

        Args:
            image: BGR.
            sure: whether each box surely shows its person.
            t: seconds.
            first_picture: which may be the only one, so that all sizes are tried until somebody is found.
        """
        missing = self._missing(t)
        if self._looking is not None and sure and not missing:
            if not self._looking.done():
                return None
            looked, self._looking = self._looking, None
            return looked.result()
        interval = self._options.search_s if missing else self._options.others_s
        if not due(t, self._searched, interval if sure else 0.0):
            return None
        self._searched, self._looking = t, None
        small = () if self._tracks else (self._options.small_side,)
        sides = (*self._options.search_sides, *small)
        if first_picture:
            people, self._again = at_every_size(self._finder, image, sides)
            return people
        side = sides[self._searches % len(sides)]
        self._searches += 1
        if self._beside is None or missing or not sure:
            return self._finder.everywhere(image, side)
        self._looking = self._beside.submit(self._finder.everywhere, image, side)
        return None

    def _sort_out(
        self, image: Image, found: Sequence[FoundPerson], sure: Mapping[int, bool], t: float
    ) -> list[FoundPerson]:
        """Of everybody in the image those who are to be looked at; and whether somebody is in the boxes.

        Args:
            image: BGR.
            found: everybody.
            sure: whether a track (by its ``id``) surely shows its person.
            t: seconds.

        Returns:
            Strangers, and those of whom a box does not surely show the right one.
        """
        owner = self._owners(found)
        self._told = {track.number: found[k].score for k, track in owner.items()}
        self._check(image, list(owner.values()), t)
        there = [k for k, track in owner.items() if not sure[id(track)]]
        strangers = [person for k, person in enumerate(found) if k not in owner]
        strangers.sort(key=lambda person: -prominence(person.bounds, image))
        # Each costs a look or more: in a hall full of people those who stand out most come first.
        self._left_out = len(strangers[self._options.looks :])
        del strangers[self._options.looks :]
        return [*(found[k] for k in there), *strangers]

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
            elif track.box.check_due(t) or not track.proof.given:
                track.box.checked = t
                box = track.box.predict(t)
                around = [] if box is None else self._finder.around(image, box)
                there = [p.score for p in around if overlap(p.bounds, track.box.bounds) > 0.2]
                self._told[track.number] = max(there, default=None)
                if not there and track.proof.given:
                    self._lost = t
                    continue
            stay.append(track)
        self._tracks = stay

    def _make_room(self, person: FoundPerson) -> bool:
        """Of too many let go of who may be nobody, or of the smallest for somebody who is clearly larger."""
        if doubtful := [track for track in self._tracks if not track.proof.given]:
            self._tracks.remove(doubtful[-1])
            return True
        smallest = min(self._tracks, key=lambda track: _size(track.box.bounds))
        if _size(person.bounds) < self._options.larger * self._options.finder_pad * _size(smallest.box.bounds):
            return False
        self._tracks.remove(smallest)
        self._left_out += 1
        return True

    def _take_up(self, pose: Detection, person: FoundPerson, quarter: int, t: float) -> None:
        """Follow somebody new."""
        pose = without_others(pose, [track.pose for track in self._tracks], _size(person.bounds))
        box = FollowedBox(self._options)
        box.quarter = quarter
        if not believable(person, pose, box.strength_of(pose), quarter != 0, self._options):
            return
        if not box.accept(pose, self._options.acquire, t, same=False):
            return
        proof = Proof(self._rule, self._options)
        proof.look(person.score, pose)
        if len(self._tracks) >= self._most:
            if not proof.given:
                return
            if not self._make_room(person):
                self._left_out += 1
                return
        box.checked = t
        seen = pose.score >= LEAST_SCORE
        joints = np.where(seen[:, None], pose.xy, pose.xy[seen].mean(0))
        self._tracks.append(_Track(next(self._numbers), box, proof, pose, t, joints, np.where(seen, t, -np.inf)))

    def _likeness(self, tracks: Sequence[_Track], poses: Sequence[Detection], t: float) -> Array:
        """(K, P) how alike poses are to where people are to be at t seconds, hidden joints too."""
        if not tracks:
            return np.zeros((0, len(poses)))
        xy, score = _stack(poses)
        return oks(np.stack([track.expected(t) for track in tracks]), np.ones((len(tracks), 17)), xy, score)


def _stack(poses: Sequence[Detection]) -> tuple[Array, Array]:
    return np.stack([pose.xy for pose in poses]), np.stack([pose.score for pose in poses])


def _size(bounds: Array | None) -> float:
    return 0.0 if bounds is None else float(np.ptp(bounds, axis=0).max())
