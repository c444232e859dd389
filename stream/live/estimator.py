"""A frame set in, an estimate out: detect, lift, fuse, track. No threads, no queues; the same code live and offline."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, Final, Protocol

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.detectors import OnePersonSession, crowd
from engines.detectors.fallback import Fallback
from engines.identity import Belonging, IdentityOptions
from engines.lifter import lifter_inputs, place_roots, rays_of, root_covariances
from engines.skeleton import LIMBS
from engines.temporal import Past, Sight, TemporalLifter
from engines.types import (
    CrowdSession,
    Detection,
    Detector,
    Lifter,
    LifterInput,
    Mixture,
    Pose,
    Seen,
    empty_detection,
)
from stream.config import DetectConfig, PeopleConfig, SyncConfig, TrackConfig
from stream.live.eye import Eye, Look
from stream.live.frame_checks import check_cameras, check_frames
from stream.live.people import Everybody, Identify, OnePerson
from stream.live.roots import RootFilter, filtered
from stream.live.tracks import Tracker, follow, most_probable
from stream.selection import select
from stream.types import Estimate, Frame, FrameReference, FrameSet, Person, View

_LIMBS: Final = np.array(LIMBS)
Each = Callable[..., Iterable[Any]]
"""``map``, or something that gives the same in the same order."""


class FuseViews(Protocol):
    """Fuses the views of one frame set; may keep what it needs to start warm."""

    def __call__(
        self, detections: Sequence[Detection | None], mixtures: Sequence[Mixture | None], t: float,
        rays: Sequence[Array | None] | None = None,
    ) -> Pose | None:  # fmt: skip
        """The person in the world, or None where no view has one; ``rays`` (17, 3) of the detections, where known."""
        ...

    def another(self) -> "FuseViews":
        """One with the same settings, for another person."""
        ...


@dataclass(frozen=True, slots=True)
class _Followed:
    """What the estimator keeps of one person."""

    person_id: int
    trackers: tuple[Tracker, ...]
    """One a camera."""
    roots: tuple[RootFilter, ...]
    """One a camera."""
    pasts: tuple[Past, ...]
    """One a camera; none where single frames are lifted."""
    fuse: FuseViews | None
    """Theirs alone; None where nothing is fused."""

    def forget(self, camera_index: int) -> None:
        """What this camera showed before has nothing to do with what it shows now."""
        self.trackers[camera_index].reset()
        self.roots[camera_index].reset()
        if self.pasts:
            self.pasts[camera_index].reset()


@dataclass(slots=True, eq=False)
class PendingFrameSet:
    """A frame set whose detection is under way."""

    frame_set: FrameSet
    looks: Iterable[Look]
    detect_s: float | None = None
    """None until all are in."""


class Estimator:
    """Estimates frame sets of a fixed set of cameras.

    Args:
        cameras: one a view, in the order of ``FrameSet.frames``; only the calibrated have a known place.
        detector: 2D joints; a session is opened a camera.
        lifter: 3D hypotheses.
        detect: thresholds of the detection.
        tracks: parameters of the tracks.
        fuse: fuses the views in the world; None where the cameras are not calibrated.
        each: applies a function to every view, like ``map``; that of a pool detects views side by side.
        clock: seconds; only to measure stages, nothing depends on it.
        max_interpolated_s: 2D joints are not interpolated between frames further apart.
        people: who is followed; None: one person.
        identity: when somebody is still the same, where several are followed.
        temporal: makes hypotheses better by the frames before; None: each frame is lifted by itself.

    Raises:
        StreamError: without a camera.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        detector: Detector,
        lifter: Lifter,
        detect: DetectConfig | None = None,
        tracks: TrackConfig | None = None,
        fuse: FuseViews | None = None,
        each: Each = map,
        clock: Callable[[], float] = time.perf_counter,
        max_interpolated_s: float = SyncConfig().max_interpolated_s,
        people: PeopleConfig | None = None,
        identity: IdentityOptions = IdentityOptions(),
        temporal: TemporalLifter | None = None,
    ) -> None:
        check_cameras(cameras)
        self._cameras = tuple(cameras)
        self._lifter, self._temporal = lifter, temporal
        self._detect = detect or DetectConfig()
        self._fuse = fuse
        self._tracks = tracks or TrackConfig()
        self._each = each
        self._clock = clock
        self._people = people or PeopleConfig(1)
        self._selected: int | None = None
        self._detector = detector
        self._track_ids = count()
        self._followed: dict[int, _Followed] = {}
        self._watchers: list[Callable[[Frame, Seen], None]] = []
        self._identify: Identify
        if self._people.limit == 1:
            sessions: list[CrowdSession] = [OnePersonSession(detector.session()) for _ in cameras]
            self._identify = OnePerson(len(self._cameras))
        else:
            sessions = [crowd(detector, self._people.limit, count()) for _ in cameras]
            placed = self._cameras if fuse else None
            self._identify = Everybody(placed, self._people.limit, identity)
        self._eyes = [Eye(one, self._people.limit, max_interpolated_s, self._watchers, clock) for one in sessions]
        self._pending: PendingFrameSet | None = None
        self._detected = -np.inf  # when the last look ended

    def watch(self, watcher: Callable[[Frame, Seen], None]) -> None:
        """Have it told what is seen in each frame, in the thread that looked at it, before it is lifted."""
        self._watchers.append(watcher)

    def at_rate(self, rate: float) -> None:
        """Live frame sets come at this rate, measured: a chain of detectors chooses by it who keeps up."""
        if isinstance(self._detector, Fallback):
            self._detector.at_rate(rate)

    def __call__(self, frame_set: FrameSet) -> Estimate:
        """Estimate one frame set. The images are not kept.

        Raises:
            StreamError: for frames that are not of these cameras, or no images, see ``stream.live.frame_checks``.
        """
        return self.result(self.submit(frame_set))

    def submit(self, frame_set: FrameSet) -> PendingFrameSet:
        """Detect; where views are detected side by side, that goes on after this returns.

        The next frame set may be submitted before the result of this one is asked for: a camera that is done goes on
        with its next frame, and need not wait for the others.
        """
        check_frames(frame_set, self._cameras)
        looks = self._each(Eye.look, self._eyes, frame_set.frames, repeat(frame_set.t))
        self._pending = PendingFrameSet(frame_set, looks)
        return self._pending

    def result(self, pending: PendingFrameSet) -> Estimate:
        """Lift, fuse and track what was begun; frame sets are finished in the order in which they were begun."""
        frame_set, looks, detect_s = pending.frame_set, *self._complete(pending)
        seen = [look.seen for look in looks]
        start = self._clock()
        rays = [rays_of([s.detection for s in answer.people], camera) if answer else []
                for answer, camera in zip(seen, self._cameras, strict=True)]  # fmt: skip
        mixtures, given, too_small = self._lift(seen, rays)
        lifted = self._clock()
        for camera_index, look in enumerate(looks):
            if look.cut:
                self._identify.forget(camera_index)
            if look.cut or look.anew:
                for followed in self._followed.values():
                    followed.forget(camera_index)
        who = self._identify(seen, mixtures, frame_set.t)
        known = self._identify.remembered
        self._followed = {k: followed for k, followed in self._followed.items() if k in known}
        told = self._clock()
        # Views are fused as they are at this moment: what each said before is no evidence of its own.
        alone, mixtures = mixtures, self._remember(who, mixtures, given, frame_set.t)
        remembered = self._clock()
        fused_of = [self._fused(one, seen, alone, rays, frame_set.t) for one in who]
        self._identify.fused({one.person_id: pose for one, pose in zip(who, fused_of, strict=True)}, frame_set.t)
        fused = self._clock()
        people = self._everybody(who, frame_set.t, seen, mixtures, rays, fused_of)
        frames = tuple(_reference(*pair) for pair in zip(frame_set.frames, seen, strict=True))
        stages = {
            "detect": detect_s, "lift": lifted - start + remembered - told, "associate": told - lifted,
            "track": self._clock() - fused,
        }  # fmt: skip
        if self._fuse:
            stages["fuse"] = fused - remembered
        return Estimate(
            index=frame_set.index,
            t=frame_set.t,
            frames=frames,
            people=self._shown(people, frames),
            spread_s=frame_set.spread_s,
            stages=stages,
            left_out=max((answer.left_out for answer in seen if answer is not None), default=0)
            + self._identify.left_out,
            too_small=too_small,
            strays=_strays(seen, who),
        )

    def _shown(self, people: Sequence[Person], frames: Sequence[FrameReference | None]) -> tuple[Person, ...]:
        shown = select(people, frames, self._people.select, self._selected)
        if len(shown) == 1:
            self._selected = shown[0].person_id
        return shown

    def _complete(self, pending: PendingFrameSet) -> tuple[Sequence[Look], float]:
        """All looks of a frame set, and the seconds they took that the moment before did not take too."""
        looks = pending.looks = list(pending.looks)
        if pending.detect_s is None:
            start, end = min(look.start for look in looks), max(look.end for look in looks)
            pending.detect_s = max(0.0, end - max(start, self._detected))
            self._detected = max(end, self._detected)
            fresh = sum(look.fresh for look in looks)
            for eye, look in zip(self._eyes, looks, strict=True):
                # Not while the session looks at the next frame: only of files, for which speed never counts.
                if look.fresh and pending is self._pending and eye.timed is not None:
                    eye.timed.report(pending.detect_s / fresh)
        return looks, pending.detect_s

    def _lift(
        self, seen: Sequence[Seen | None], rays: Sequence[Sequence[Array]]
    ) -> tuple[list[list[Mixture | None]], dict[tuple[int, int], LifterInput], int]:
        """All people in all views in one batch; None for one of whom there is too little to lift.

        And what the lifter was given, by camera and sighting; and how many were too small.
        """
        mixtures: list[list[Mixture | None]] = [[None] * len(answer.people) if answer else [] for answer in seen]
        every = [(c, k) for c, answer in enumerate(seen) for k in range(len(answer.people) if answer else 0)]
        found = [sighting.detection for answer in seen if answer for sighting in answer.people]
        usable, small = self._worth(found)
        chosen = [one for one, good in zip(every, usable, strict=True) if good]
        detections = [detection for detection, good in zip(found, usable, strict=True) if good]
        inputs = lifter_inputs(
            detections, [self._cameras[camera_index] for camera_index, _ in chosen],
            [rays[camera_index][k] for camera_index, k in chosen], self._detect.min_score,
        )  # fmt: skip
        for (camera_index, k), mixture in zip(chosen, self._lifter(inputs), strict=True):
            mixtures[camera_index][k] = mixture
        return mixtures, dict(zip(chosen, inputs, strict=True)), small

    def _remember(
        self,
        who: Sequence[Belonging],
        mixtures: list[list[Mixture | None]],
        given: Mapping[tuple[int, int], LifterInput],
        t: float,
    ) -> list[list[Mixture | None]]:
        """The mixtures made better by what was seen of everybody before, all in one batch."""
        if self._temporal is None:
            return mixtures
        better, chosen, sights = [list(theirs) for theirs in mixtures], [], []
        for one in who:
            for camera_index, k in enumerate(one.views):
                if k is not None and (said := mixtures[camera_index][k]) is not None:
                    chosen.append((camera_index, k))
                    past = self._of(one.person_id).pasts[camera_index]
                    sights.append(Sight(past, t, given[camera_index, k], said))
        for (camera_index, k), mixture in zip(chosen, self._temporal(sights), strict=True):
            better[camera_index][k] = mixture
        return better

    def _worth(self, detections: Sequence[Detection]) -> tuple[list[bool], int]:
        """Which of them may be lifted, and how many are too small for that."""
        if not detections:
            return [], 0
        whole = np.stack([one.score for one in detections])
        score, xy = whole[:, _LIMBS], np.stack([one.xy for one in detections])[:, _LIMBS]
        there = score > 0
        low, high = np.where(there[..., None], xy, np.inf).min(1), np.where(there[..., None], xy, -np.inf).max(1)
        small = there.any(-1) & ((high - low).max(-1) < self._detect.min_px)
        enough = (score >= self._detect.min_score).sum(-1) >= self._detect.min_joints
        return ((whole > 0).any(-1) & enough & ~small).tolist(), int(small.sum())

    def _of(self, person_id: int) -> _Followed:
        """What is kept of a person; begun where there is nothing yet."""
        if person_id not in self._followed:
            fuse = self._fuse.another() if self._fuse else None
            trackers = tuple(
                Tracker(self._tracks, self._track_ids, over_time=self._temporal is not None) for _ in self._cameras
            )
            roots = tuple(RootFilter(self._tracks) for _ in self._cameras)
            pasts = tuple(self._temporal.past(self._tracks.gap_s) for _ in self._cameras) if self._temporal else ()
            self._followed[person_id] = _Followed(person_id, trackers, roots, pasts, fuse)
        return self._followed[person_id]

    def _fused(
        self, one: Belonging, seen: Sequence[Seen | None], mixtures: Sequence[Sequence[Mixture | None]],
        rays: Sequence[Sequence[Array]], t: float,
    ) -> Pose | None:  # fmt: skip
        """The person in the world, from what each camera saw of them."""
        fuse = self._of(one.person_id).fuse
        if fuse is None:
            return None
        return fuse(
            [
                _detection(answer, k) if k is not None or answer is None else empty_detection(answer.origin)
                for answer, k in zip(seen, one.views, strict=True)
            ],
            [None if k is None else theirs[k] for theirs, k in zip(mixtures, one.views, strict=True)],
            t,
            [None if k is None else theirs[k] for theirs, k in zip(rays, one.views, strict=True)],
        )

    def _everybody(
        self,
        who: Sequence[Belonging],
        t: float,
        seen: Sequence[Seen | None],
        mixtures: Sequence[Sequence[Mixture | None]],
        rays: Sequence[Sequence[Array]],
        poses: Sequence[Pose | None],
    ) -> list[Person]:
        """Everybody, from what each camera saw of them and what was fused of it; but those whom no camera saw."""
        found: list[list[View | None]] = [[None] * len(self._cameras) for _ in who]
        lifted: list[_Lifted] = []
        for row, one in enumerate(who):
            for camera_index, k in enumerate(one.views):
                detection = _detection(seen[camera_index], k)
                if k is None or detection is None:
                    continue
                mixture = mixtures[camera_index][k]
                if mixture is None:
                    found[row][camera_index] = View(detection=detection)
                else:
                    lifted.append(_Lifted(row, camera_index, detection, mixture, rays[camera_index][k]))
        for one, view in zip(lifted, self._views([who[one.row] for one in lifted], lifted, t), strict=True):
            found[one.row][one.camera_index] = view
        return [
            Person(person_id=one.person_id, views=tuple(views), pose=pose)
            for one, views, pose in zip(who, found, poses, strict=True)
            if pose is not None or any(views)
        ]

    def _views(self, whose: Sequence[Belonging], lifted: Sequence["_Lifted"], t: float) -> list[View]:
        """What each of these says, followed from frame to frame: all of them in one go."""
        if not lifted:
            return []
        followed = [self._of(one.person_id) for one in whose]
        trackers = [theirs.trackers[one.camera_index] for theirs, one in zip(followed, lifted, strict=True)]
        filters = [theirs.roots[one.camera_index] for theirs, one in zip(followed, lifted, strict=True)]
        # At the frame set's time: a slow camera's frame is in several frame sets, and its joints are brought to each.
        said = follow(trackers, [one.mixture for one in lifted], t)
        detections, rays = [one.detection for one in lifted], np.stack([one.rays for one in lifted])
        raw = np.stack([raw for _, raw, _ in said])
        sigma = np.stack(
            [one.mixture.sigma[most_probable(tracks)] for one, (tracks, _, _) in zip(lifted, said, strict=True)]
        )
        least = self._detect.min_score
        root_raw = place_roots(raw, detections, rays, least)
        cameras = [self._cameras[one.camera_index] for one in lifted]
        cov = root_covariances(raw, sigma, root_raw, detections, cameras, rays, least)
        roots = filtered(filters, root_raw, cov, t)
        return [
            View(
                detection=one.detection, mixture=one.mixture, tracks=tracks, answer_raw=pose, answer=answer,
                root_raw=root_raw[k], root=roots[k],
            )
            for k, (one, (tracks, pose, answer)) in enumerate(zip(lifted, said, strict=True))
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Lifted:
    """One person in one camera, to be followed."""

    row: int
    """Of the person in the frame set."""
    camera_index: int
    detection: Detection
    mixture: Mixture
    rays: Array
    """(17, 3) of the joints."""


def _detection(answer: Seen | None, k: int | None) -> Detection | None:
    return None if answer is None or k is None else answer.people[k].detection


def _reference(frame: Frame | None, answer: Seen | None) -> FrameReference | None:
    if frame is None or answer is None:
        return None
    height, width = frame.image.shape[:2]
    return FrameReference(frame.camera, frame.index, frame.t, (width, height), answer.origin)


def _strays(seen: Sequence[Seen | None], who: Sequence[Belonging]) -> tuple[tuple[Detection, ...], ...]:
    """What each camera sees that is nobody's; empty where there is nothing of the kind."""
    taken = {(camera_index, k) for one in who for camera_index, k in enumerate(one.views)}
    found = tuple(
        tuple(s.detection for k, s in enumerate(answer.people) if (camera_index, k) not in taken) if answer else ()
        for camera_index, answer in enumerate(seen)
    )
    return found if any(found) else ()
