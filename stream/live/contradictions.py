"""Which cameras contradict the others, since when and why. A pure state machine on estimates: no threads, no clock.

A camera is contradicted in a moment in which it sees somebody and none of the poses that two cameras or more agree on
is that person: the pose of that very person leaves it out (``Pose.cameras``), or somebody whom the others see where it
looks is not there for it, but somebody else is. Where there is no such pose, two cameras contradict each other.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, world_to_camera, world_to_image
from engines.fusion.causes import Cause, Watched, explain, explain_pair
from engines.skeleton import LIMBS
from engines.types import Pose
from stream.types import Estimate, Person, View

Key = tuple[int, ...]
"""A camera that contradicts the others, or two that contradict each other."""

_SURE_S: Final = 1.0
"""So long a contradiction lasts until it is named."""
_APART_S: Final = 3.0
"""The same where only the absence of somebody tells, who may be hidden."""
_SHARE: Final = 0.5
"""Of the moments of that time: a camera that is late contradicts only who moves."""
_OVER: Final = 0.1
"""A contradiction is over when no more of the moments of a second show it."""
_KEPT_S: Final = 3.0
_STRAY: Final = -2
"""What a camera saw that is nobody's has this id and those below."""
_KEPT_FPS: Final = 40.0
"""What is kept to find the cause in."""
_LOOKS: Final = 5
"""How often the cause is looked for, a second apart: what is late by half a second shows in two."""
_LEAST_JOINTS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """What is kept of an estimate."""

    t: float
    xy: dict[tuple[int, int], Array]
    """(person, camera) -> (17, 2) pixels, NaN where not seen."""
    poses: dict[int, Pose]
    """Person -> the pose that two cameras or more agree on."""


@dataclass(slots=True)
class _Case:
    """What is known of one camera, or of two."""

    evidence: deque[tuple[float, bool, bool]] = field(default_factory=deque)
    """Time, whether it contradicts, whether only by an absence; of the last seconds."""
    bad: int = 0
    """How many of these contradict."""
    moments: int = 0
    contradicted: int = 0
    cause: Cause | None = None
    """None while it is not named."""
    worst: Cause | None = None
    """The cause it was last named with."""
    looks: int = 0
    looked: float = -np.inf


class Contradictions:
    """Watches the estimates of calibrated cameras.

    Args:
        cameras: in the order of the estimates' views, with their place in the world.
        min_score: a joint below it counts as not seen.
    """

    def __init__(self, cameras: Sequence[Camera], min_score: float = 0.2) -> None:
        self._cameras, self._min_score = tuple(cameras), min_score
        self._cases: dict[Key, _Case] = {}
        self._kept: deque[_Moment] = deque()
        self._t = -np.inf

    def __call__(self, estimate: Estimate) -> list[str]:
        """Take the next estimate; what is to be said now, a line each."""
        if estimate.t < self._t:
            # A file that begins again: what was found out holds, what was seen is of another time.
            self._kept.clear()
            for case in self._cases.values():
                case.evidence.clear()
                case.bad = 0
        self._t = estimate.t
        now = self._moment(estimate)
        if not self._kept or now.t - self._kept[-1].t >= 1 / _KEPT_FPS:
            self._kept.append(now)
        while now.t - self._kept[0].t > _KEPT_S:
            self._kept.popleft()
        said = []
        for key, contradicts, absent in self._evidence(now):
            case = self._cases.setdefault(key, _Case())
            case.moments += 1
            case.contradicted += contradicts
            case.evidence.append((now.t, contradicts, absent))
            case.bad += contradicts
            while now.t - case.evidence[0][0] > _APART_S:
                case.bad -= case.evidence.popleft()[1]
            if case.bad or case.cause is not None:  # of most there is nothing to judge
                said += self._judge(key, case, now.t)
        return said

    @property
    def note(self) -> str:
        """What contradicts now, in a few words; empty when nothing does."""
        return "; ".join(self._said(key, case.cause) for key, case in self._cases.items() if case.cause)

    def lines(self) -> list[str]:
        """What there was in all, a line each."""
        return [
            f"warning: {self._said(key, case.worst)} ({case.contradicted} of {case.moments} moments)"
            for key, case in self._cases.items()
            if case.worst
        ]

    # evidence

    def _moment(self, estimate: Estimate) -> _Moment:
        xy, poses = {}, {}
        for person in estimate.people:
            for k, view in enumerate(person.views):
                if view is not None and (shown := self._shown(view)) is not None:
                    xy[person.person_id, k] = shown
            if _agreed(person) and person.pose is not None:
                poses[person.person_id] = person.pose
        for k, detections in enumerate(estimate.strays):
            for n, detection in enumerate(detections):
                # Nobody's, and a person of their own as far as this camera is concerned.
                if (shown := self._shown(View(detection=detection))) is not None:
                    xy[_STRAY - n, k] = shown
        return _Moment(estimate.t, xy, poses)

    def _shown(self, view: View) -> Array | None:
        seen = (view.detection.score >= self._min_score) & ~view.detection.derived
        if seen[list(LIMBS)].sum() < _LEAST_JOINTS:
            return None
        return np.where(seen[:, None], view.detection.xy, np.nan)

    def _evidence(self, now: _Moment) -> Iterator[tuple[Key, bool, bool]]:
        """What a moment says of each camera and pair: whether it contradicts, and whether only by an absence."""
        names = [camera.name for camera in self._cameras]
        # Two exchanged cameras may agree with each other on somebody: that acquits neither.
        named = {key[0] for key, case in self._cases.items() if len(key) == 1 and case.cause}
        made = [{names.index(name) for name in pose.cameras} for pose in now.poses.values()]
        agreeing = {k for cameras in made if not cameras <= named for k in cameras}
        sees = {k: [person for person, camera in now.xy if camera == k] for k in range(len(names))}
        outvoted = set()
        for k, people in sees.items():
            if k in agreeing:
                yield (k,), False, False
            elif any(person in now.poses for person in people):
                outvoted.add(k)
                yield (k,), True, False
            elif people and any(self._in_view(k, pose.joints) for pose in now.poses.values()):
                # Of what is nobody's it is known that other cameras should see it and do not.
                outvoted.add(k)
                yield (k,), True, not any(person <= _STRAY for person in people)
        for a, b in combinations(sorted(k for k, people in sees.items() if people), 2):
            if a in agreeing or b in agreeing:
                yield (a, b), False, False  # whichever is wrong is outvoted
            elif a in outvoted and b in outvoted:
                continue  # of each the others say more than the two say of each other
            elif set(sees[a]) & set(sees[b]):
                yield (a, b), True, False
            elif not now.poses:
                yield (a, b), True, True

    def _in_view(self, k: int, joints: Array) -> bool:
        camera, limbs = self._cameras[k], joints[list(LIMBS)]
        limbs = limbs[np.isfinite(limbs).all(-1)]
        if not len(limbs) or world_to_camera(camera, limbs)[:, 2].min() <= 0:
            return False
        xy = world_to_image(camera, limbs)
        return bool(((xy >= 0) & (xy <= camera.size)).all(-1).mean() > 0.8)

    # judgement

    def _judge(self, key: Key, case: _Case, t: float) -> list[str]:
        if case.cause is None:
            if not self._lasts(case, t):
                return []
            case.looks = 0
        elif _share(case, t, _SURE_S) <= _OVER:
            case.cause = None
            return [f"{self._names(key)} {'agrees with the others' if len(key) == 1 else 'agree'} again"]
        if case.looks >= _LOOKS or t - case.looked < _SURE_S:
            return []
        case.looks, case.looked = case.looks + 1, t
        found = self._explain(key)
        if found is None or (case.cause and (found.kind == case.cause.kind or found.misfit > 0.8 * case.cause.misfit)):
            return []
        case.cause = case.worst = found
        return [self._said(key, found)]

    def _lasts(self, case: _Case, t: float) -> bool:
        for seconds in (_SURE_S, _APART_S):
            recent = [one for one in case.evidence if t - one[0] <= seconds + 1e-6]
            clear = [bad for _, bad, absent in recent if seconds == _APART_S or not absent]
            if t - recent[0][0] >= 0.9 * seconds and sum(clear) >= _SHARE * len(recent):
                return True
        return False

    def _explain(self, key: Key) -> Cause | None:
        seen = self._watched(key)
        if seen is None:
            return None
        return explain_pair(seen, self._cameras, *key) if len(key) == 2 else explain(seen, self._cameras, key[0])

    def _watched(self, key: Key) -> Watched | None:
        """The same person and sightings all the time: those of most moments."""
        votes: dict[tuple[int, ...], list[_Moment]] = {}
        for moment in self._kept:
            for choice in self._choices(moment, key):
                votes.setdefault(choice, []).append(moment)
        if not votes:
            return None
        choice, moments = max(votes.items(), key=lambda vote: len(vote[1]))
        xy = np.full((len(self._cameras), len(moments), 17, 2), np.nan)
        joints = np.full((len(moments), 17, 3), np.nan)
        for row, moment in enumerate(moments):
            for person, k in zip(choice, key, strict=False):
                xy[k, row] = moment.xy[person, k]
            if len(key) == 1:
                joints[row] = moment.poses[choice[1]].joints
        return Watched(np.array([moment.t for moment in moments]), xy, joints)

    def _choices(self, moment: _Moment, key: Key) -> Iterator[tuple[int, ...]]:
        """For one camera whom it sees and whom the others see, for two whom each of them sees."""
        sees = [[person for person, camera in moment.xy if camera == k] for k in key]
        if len(key) == 2:
            yield from ((a, b) for a in sees[0] for b in sees[1])
            return
        name = self._cameras[key[0]].name
        for person in sees[0]:
            for other, pose in moment.poses.items():
                if name not in pose.cameras and (person == other or person not in moment.poses):
                    yield person, other

    # words

    def _names(self, key: Key) -> str:
        return " and ".join(self._cameras[k].name for k in key)

    def _said(self, key: Key, cause: Cause | None) -> str:
        if cause is None:
            return ""
        whom = "contradicts the other cameras" if len(key) == 1 else "contradict each other"
        return f"{self._names(key)} {whom}: {cause.text}"


def _agreed(person: Person) -> bool:
    return person.pose is not None and len(person.pose.cameras) >= 2 and person.pose.method != "disputed"


def _share(case: _Case, t: float, seconds: float) -> float:
    recent = [bad for when, bad, _ in case.evidence if t - when <= seconds]
    return sum(recent) / len(recent)
