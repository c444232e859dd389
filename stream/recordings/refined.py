"""A take refined: read person by person, solved, and written as a new take. ``python -m stream refine`` does it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_from_fov
from engines.fusion.views import Views, gather
from engines.refinement import FILLED, Refined, RefineOptions, refine_person
from engines.refinement.cameras import CameraChange, Observed, observed, refine_cameras
from engines.types import Pose, empty_detection
from stream.config import DetectConfig
from stream.recordings.columns import any_fused
from stream.recordings.reading import Reading
from stream.recordings.replay import read_events, replay
from stream.recordings.rows import encode_estimates, encode_events, encode_moments
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, schemas
from stream.recordings.segments import SegmentWriter
from stream.recordings.takes import Take
from stream.types import Estimate, Event, Person, StreamError, View

_AT_ONCE: Final = 256
_UNSURE: Final = ("single", "disputed")
"""Methods of poses that are not made of views that agree: they stay what they are."""


@dataclass(slots=True, eq=False)
class _Seen:
    """What a take says of one person, in the world or to one camera."""

    rows: list[int] = field(default_factory=list)
    """Numbers of the moments, counted from the take's first."""
    views: list[Views | None] = field(default_factory=list)
    starts: list[Array] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class RefinedPerson:
    """One person, refined, in the world or to one camera."""

    person_id: int
    """Who."""
    camera: str | None
    """Whose axes it is in; None for the world."""
    first: int
    """Number of the moment of the first row."""
    refined: Refined
    """A row a moment, from the first to the last in which the person is seen."""


class Refinery:
    """A take being refined.

    Args:
        take: what is read; it holds estimates.
        options: every threshold.
        joined: for each id that is somebody else's too, whose.
        cameras: instead of the take's, by name; None for those.

    Raises:
        StreamError: if nobody is in it, or two people of whom it is said that they are one are seen at once.
    """

    def __init__(
        self, take: Take, options: RefineOptions = RefineOptions(), joined: Mapping[int, int] | None = None,
        cameras: Mapping[str, Camera] | None = None, on_fault: Callable[[Any], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.take = take
        self.options = options
        self._joined = dict(joined or {})
        self._on_fault = on_fault
        self._ids: set[int] = set()  # as recorded, before any are joined
        self.world = any_fused(Reading(take, bar=False))
        """Whether there are fused people; else every camera's are refined by themselves."""
        self._min_score = _min_score(take.run_info.settings)
        self._cameras = [_camera_of(take.run_info, k, cameras or {}) for k in range(len(take.run_info.cameras))]
        self.times: NDArray[np.float64]
        """(T,) seconds of the take's moments."""
        self.times, self._people = self._read()
        if strangers := (set(self._joined) | set(self._joined.values())) - self._ids:
            who = ", ".join(map(str, sorted(self._ids))) or "nobody"
            raise StreamError(f"--join: there is no person {min(strangers)} in this take; it has {who}")
        if not self._people:
            raise StreamError(f"{take.folder}: nobody is in it who was lifted or fused, so there is nothing to refine")

    def solve(self) -> Iterator[RefinedPerson]:
        """Refine one after another."""
        for (person_id, k), seen in sorted(self._people.items()):
            first, last = seen.rows[0], seen.rows[-1] + 1
            at = [row - first for row in seen.rows]
            views: list[Views | None] = [None] * (last - first)
            starts = np.full((last - first, 17, 3), np.nan)
            for row, one, start in zip(at, seen.views, seen.starts, strict=True):
                views[row], starts[row] = one, start
            up = self._up(k)
            refined = refine_person(self.times[first:last], views, starts, up, self.options)
            name = None if k < 0 else self.take.run_info.cameras[k].name
            yield RefinedPerson(person_id, name, first, refined)

    @property
    def moments(self) -> int:
        """How many moments ``solve`` goes through, over all people."""
        return sum(seen.rows[-1] + 1 - seen.rows[0] for seen in self._people.values())

    def corrected(self, solved: Sequence[RefinedPerson]) -> tuple[tuple[Camera, ...], tuple[CameraChange, ...]]:
        """The cameras, corrected by where they saw the people who were refined with the given ones.

        Raises:
            StreamError: if the take has no calibrated cameras whose people are fused.
            CalibrationError: if the recording cannot tell.
        """
        if not self.world or len(self._cameras) < 2:
            raise StreamError("cameras are corrected where two or more calibrated ones see the same people; leave out "
                              "--refine-cameras")  # fmt: skip
        parts = [self._observed(one) for one in solved]
        whole = Observed(
            np.concatenate([part.joints for part in parts]), np.concatenate([part.speed for part in parts]),
            np.concatenate([part.moment for part in parts]), np.concatenate([part.xy for part in parts], 1),
        )  # fmt: skip
        return refine_cameras(self._cameras, whole)

    def _observed(self, one: RefinedPerson) -> Observed:
        seen = self._people[one.person_id, -1]
        rows = {row: views for row, views in zip(seen.rows, seen.views, strict=True) if views is not None}
        count = len(one.refined.joints)
        xy: list[Mapping[str, Array]] = []
        for row in range(one.first, one.first + count):
            views = rows.get(row)
            xy.append({} if views is None else dict(zip(views.names, views.xy, strict=True)))
        found = observed(self.times[one.first : one.first + count], one.refined.joints, xy, self._cameras)
        return replace(found, moment=found.moment + one.first)

    def _up(self, k: int) -> Array | None:
        if k >= 0:
            return self._cameras[k].up_in_camera if self.take.run_info.cameras[k].calibration is not None else None
        ups = [camera.up for camera in self._cameras if camera.up is not None]
        return ups[0] if ups else None

    def _estimates(self) -> Iterator[Estimate]:
        """Those of the take, with everybody under the id that they are joined to."""
        for estimate in replay(self.take, self._on_fault):
            self._ids.update(max(p.person_id, 0) for p in estimate.people)
            ids = [self._joined.get(p.person_id, max(p.person_id, 0)) for p in estimate.people]
            if len(set(ids)) < len(ids):
                twice = next(i for i in ids if ids.count(i) > 1)
                pair = [str(p.person_id) for p, i in zip(estimate.people, ids, strict=True) if i == twice]
                raise StreamError(
                    f"people {' and '.join(pair)} are both seen at {estimate.t:.3f} s, so they are not one; leave out "
                    "--join"
                )
            people = sorted(
                (replace(p, person_id=i) for p, i in zip(estimate.people, ids, strict=True)), key=lambda p: p.person_id
            )
            yield replace(estimate, people=tuple(people))

    def _read(self) -> tuple[NDArray[np.float64], dict[tuple[int, int], _Seen]]:
        times: list[float] = []
        people: dict[tuple[int, int], _Seen] = {}
        for row, estimate in enumerate(self._estimates()):
            times.append(estimate.t)
            for person in estimate.people:
                for k, views, start in self._of(person):
                    seen = people.setdefault((person.person_id, k), _Seen())
                    seen.rows.append(row)
                    seen.views.append(views)
                    seen.starts.append(start)
        lifted = {key: seen for key, seen in people.items() if any(v is not None and len(v.lifted) for v in seen.views)}
        return np.array(times), lifted

    def _of(self, person: Person) -> Iterator[tuple[int, Views | None, Array]]:
        """What is known of a person in a moment: for the world (-1), or for each camera that sees them."""
        unknown = np.full((17, 3), np.nan)
        if self.world:
            pose = person.pose
            used = None if pose is None or pose.method == "disputed" else pose.cameras
            chosen = [
                view if view is not None and (used is None or camera.name in used) else None
                for view, camera in zip(person.views, self._cameras, strict=True)
            ]
            yield -1, self._gathered(chosen, self._cameras), unknown if pose is None else pose.joints
            return
        for k, view in enumerate(person.views):
            if view is None:
                continue
            start = unknown if view.answer is None or view.root is None else view.answer + view.root
            yield k, self._gathered([view], [self._cameras[k]]), start

    def _gathered(self, views: Sequence[View | None], cameras: Sequence[Camera]) -> Views | None:
        return gather(
            [None if view is None else view.detection for view in views],
            [None if view is None else view.mixture for view in views],
            cameras, self._min_score, self.options.fusion,
        )  # fmt: skip

    def write(self, folder: Path, solved: Sequence[RefinedPerson], settings: Mapping[str, Any]) -> int:
        """Write the take that is refined into an empty folder.

        Args:
            folder: where.
            solved: what ``solve`` gave.
            settings: what is said of the refinement in its header.

        Returns:
            How many moments it has.

        Raises:
            OSError: if it cannot be written.
        """
        info = self.take.run_info
        cameras = tuple(
            one if one.calibration is None else replace(one, calibration=camera)
            for one, camera in zip(info.cameras, self._cameras, strict=True)
        )
        info = replace(info, cameras=cameras, settings={**info.settings, "refine": dict(settings)})
        by_row = {(one.person_id, one.camera): one for one in solved}
        estimates = (self._refined(row, estimate, by_row) for row, estimate in enumerate(self._estimates()))
        return _write(folder, info, estimates, read_events(self.take, self._on_fault))

    def _refined(
        self, row: int, estimate: Estimate, solved: Mapping[tuple[int, str | None], RefinedPerson]
    ) -> Estimate:
        """One moment with the refined poses and answers in the place of the live ones."""
        people = {person.person_id: person for person in estimate.people}
        for (person_id, camera), one in solved.items():
            k = row - one.first
            inside = 0 <= k < len(one.refined.joints) and bool(np.isfinite(one.refined.joints[k]).all())
            if not inside:
                continue
            person = people.get(person_id) or Person(person_id=person_id, views=(None,) * len(estimate.frames))
            if camera is None:
                person = self._in_world(person, one.refined, k)
            else:
                person = self._in_camera(person, one.refined, k, camera, estimate)
            people[person_id] = person
        return replace(estimate, people=tuple(people[person_id] for person_id in sorted(people)))

    def _in_world(self, person: Person, refined: Refined, k: int) -> Person:
        live = person.pose
        joints, cov, relative = refined.joints[k], refined.cov[k], refined.relative_cov[k]
        seen = any(view is not None for view in person.views)
        method = live.method if live is not None and live.method in _UNSURE else "refined" if seen else "filled"
        pose = Pose(
            joints, cov, () if live is None else live.cameras, method,
            extra=None if live is None else live.extra, state=refined.state[k].astype(np.int8),
        )  # fmt: skip
        views = []
        for view, camera in zip(person.views, self._cameras, strict=True):
            if view is None:
                views.append(None)
                continue
            chance = refined.weights[k].get(camera.name)
            turned = (joints - joints[0]) @ camera.R.T, camera.R @ relative @ camera.R.T
            views.append(_answered(view, *turned, camera.R @ joints[0] + camera.t, refined.state[k], chance))
        return replace(person, views=tuple(views), pose=pose)

    def _in_camera(self, person: Person, refined: Refined, k: int, camera: str, estimate: Estimate) -> Person:
        number = [one.name for one in self.take.run_info.cameras].index(camera)
        frame, view = estimate.frames[number], person.views[number]
        if frame is None:
            return person
        joints = refined.joints[k]
        view = view or View(detection=empty_detection(frame.detector))
        answered = _answered(
            view, joints - joints[0], refined.relative_cov[k], joints[0], refined.state[k],
            refined.weights[k].get(camera),
        )  # fmt: skip
        views = list(person.views)
        views[number] = answered
        return replace(person, views=tuple(views))


def _answered(
    view: View, answer: Array, cov: Array, root: Array, state: NDArray[np.uint8], chance: Array | None
) -> View:
    """A view with a refined answer, and its tracks with the probability of hindsight."""
    tracks = view.tracks
    if chance is not None and len(chance) == len(tracks):
        tracks = tuple(replace(track, probability=float(p)) for track, p in zip(tracks, chance, strict=True))
    return replace(view, answer=answer, answer_cov=cov, root=root, answer_state=state.astype(np.int8), tracks=tracks)


def _write(folder: Path, info: RunInfo, estimates: Iterable[Estimate], events: Iterable[Event]) -> int:
    columns, assumed, count = schemas(info), {camera.name: camera.fov_assumed for camera in info.cameras}, 0
    writers = {
        stream: SegmentWriter(folder, stream, columns[stream], max_s=float("inf"))
        for stream in (ESTIMATES, MOMENTS, EVENTS)
    }
    try:
        said = list(events)
        if said:
            writers[EVENTS].append(encode_events(columns[EVENTS], said))
        following: int | None = None
        rest = iter(estimates)
        while part := list(islice(rest, _AT_ONCE)):
            missed = []
            for estimate in part:
                missed.append(0 if following is None else max(estimate.index - following, 0))
                following = estimate.index + 1
            writers[ESTIMATES].append(encode_estimates(columns[ESTIMATES], part, assumed))
            writers[MOMENTS].append(encode_moments(columns[MOMENTS], part, missed))
            count += len(part)
    finally:
        for writer in writers.values():
            writer.close()
    return count


def _camera_of(info: RunInfo, k: int, instead: Mapping[str, Camera]) -> Camera:
    """A camera of a take: corrected, calibrated, or with the field of view that was assumed."""
    one = info.cameras[k]
    if one.name in instead:
        return instead[one.name]
    if one.calibration is not None:
        return one.calibration if one.calibration.name == one.name else replace(one.calibration, name=one.name)
    if one.size is None or one.fov_degrees is None:
        raise StreamError(f"camera {one.name!r} of the take has neither a calibration nor a field of view")
    return camera_from_fov(one.name, one.size, one.fov_degrees)


def _min_score(settings: Mapping[str, Any]) -> float:
    """Below it a joint counts as not seen: what the run of the take counted, or where that is not said today's."""
    detect = settings.get("detect")
    value = detect.get("min_score") if isinstance(detect, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else DetectConfig().min_score


def filled_share(solved: Sequence[RefinedPerson]) -> float:
    """The share of joints that are filled in, of all that are there."""
    states = [one.refined.state[np.isfinite(one.refined.joints).all((1, 2))] for one in solved]
    every = np.concatenate([state.ravel() for state in states]) if states else np.empty(0)
    return float((every == FILLED).mean()) if len(every) else 0.0
