"""The people of an estimate as they stand in the scene, and what is remembered of them from frame to frame. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from engines.skeleton import L_ANKLE, R_ANKLE
from stream.drawing.primitives import PEOPLE, Colour
from stream.drawing.scene import Place, Stage, ViewState, calibrated, camera_to_stage, gravity_known, world_axes
from stream.types import Estimate, Person

SOLE: Final = 75.0  # mm from the middle of the ankle down to the floor
_JUMP: Final = 1500.0  # mm: farther than anybody gets in a frame
_GONE: Final = 2.0  # s after which the scene begins again, and a person's colour may go to another
_NEAR, _SINKING, _RISING = 0.25, 0.15, 4.0  # s, time constants of place and floor
_SOON, _WIDE = 0.12, 0.5  # s, of the reach, growing and shrinking


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A person to draw."""

    person_id: int
    """``Person.person_id``."""
    joints: Array
    """(17, 3) mm, stage axes: the answer. NaN where there is none."""
    probability: float
    """Of the answer; NaN for a fused pose."""
    ghosts: tuple[tuple[Array, float], ...] = ()
    """The other hypotheses, least probable first: (17, 3) mm in stage axes, and probability."""
    cov: Array | None = None
    """(17, 3, 3) mm2, stage axes; None where only the mixture is known."""
    camera: str = ""
    """Which camera's view it is; empty for a fused pose."""
    method: str = ""
    """How a fused pose was made."""
    used: tuple[str, ...] = ()
    """Names of the cameras that a fused pose was made of."""


def figures(estimate: Estimate, view: ViewState) -> tuple[Figure, ...]:
    """The people of an estimate in stage axes, in its order: the fused pose where there is one, else a camera's answer.

    Without a calibration every camera has axes of its own: all people are then those of the camera that the view
    names, or of the first that has one.
    """
    if calibrated(view):
        made = (_fused(person, view) or _seen(person, estimate, view, range(len(person.views)))
                for person in estimate.people)  # fmt: skip
        return tuple(figure for figure in made if figure is not None)
    for index in shown_cameras(estimate, view):
        made = [_seen(person, estimate, view, [index]) for person in estimate.people]
        if there := tuple(figure for figure in made if figure is not None):
            return there
    return ()


def shown_cameras(estimate: Estimate, view: ViewState) -> Sequence[int]:
    """The cameras of which one shows its people in 3D where nothing is fused, the first that has somebody."""
    count = len(estimate.frames)
    return range(count) if view.camera is None or not 0 <= view.camera < count else [view.camera]


def first_camera(estimate: Estimate) -> int:
    """Number of the first camera that sees somebody, 0 where none does."""
    seeing = (k for k in range(len(estimate.frames)) if any(view.answer is not None for view in estimate.views_of(k)))
    return next(seeing, 0)


def ghost_opacity(probability: float) -> float:
    """How strong the limbs, and the bar, of another hypothesis than the answer are, 0..1."""
    return 0.22 + 0.78 * min(max(probability, 0.0), 1.0)


def _fused(person: Person, view: ViewState) -> Figure | None:
    if person.pose is None:
        return None
    R, _ = world_axes(calibrated(view))
    pose = person.pose
    joints, cov = pose.joints @ R.T, R @ pose.cov @ R.T
    return Figure(person.person_id, joints, np.nan, cov=cov, method=pose.method, used=pose.cameras)


def _seen(person: Person, estimate: Estimate, view: ViewState, cameras: Sequence[int]) -> Figure | None:
    """The answer of the first of these cameras that has one."""
    for index in cameras:
        frame, seen = estimate.frames[index], person.views[index]
        if frame is None or seen is None or seen.answer is None:
            continue
        if seen.root is None or not np.isfinite(seen.root).all():
            continue
        tracks = sorted(seen.tracks, key=lambda track: track.probability)
        ghosts = tuple((camera_to_stage(view, index, t.pose + seen.root), t.probability) for t in tracks[:-1])
        answer = camera_to_stage(view, index, seen.answer + seen.root)
        probability = tracks[-1].probability if tracks else np.nan
        return Figure(person.person_id, answer, probability, ghosts, camera=frame.camera)
    return None


def shift(figure: Figure, view: ViewState) -> Array:
    """(3,) mm by which a figure is moved to be drawn; 0 where several calibrated cameras tell where it is.

    One camera's person is drawn at the smoothed place. Where no gravity is known, people who stand apart seem to stand
    at different heights, by as much as the camera looks down: each is put on the one floor that is assumed.
    """
    place = view.stage.places.get(figure.person_id) if view.stage else None
    if place is None or view.stage is None or len(calibrated(view)) > 1 or not np.isfinite(place.root).all():
        return np.zeros(3)
    moved = place.root - figure.joints[0]
    return moved if gravity_known(view) else moved + [0, 0, view.stage.floor - place.floor]


def own_colour(view: ViewState, person_id: int) -> Colour | None:
    """The colour of a person, or None while there never was more than one: then the sides of the body have theirs."""
    place = view.stage.places.get(person_id) if view.stage else None
    return PEOPLE[place.slot] if place and view.stage and view.stage.several else None


def selected(people: Sequence[Figure], view: ViewState) -> Figure | None:
    """The person whose hypotheses are told of: the selected one, or the first where that one is not there."""
    return next((p for p in people if p.person_id == view.selected), people[0] if people else None)


def follow(view: ViewState, estimate: Estimate) -> ViewState:
    """The view after an estimate: everybody's colour, places low-passed, the floor as a slow minimum of the soles.

    Only for drawing: a single camera's depth is noisy by centimetres from frame to frame, which would make a person
    slide on the grid. The pose itself is left as it is.
    """
    if not estimate.people:
        return view
    last, t = view.stage, estimate.t
    fresh = last is None or not 0 <= t - last.t < _GONE
    places = _places(last.places if last else {}, [p.person_id for p in estimate.people], t)
    there = {f.person_id: f for f in figures(estimate, view) if np.isfinite(f.joints[0]).all()}
    soles = {person_id: _sole(figure.joints) for person_id, figure in there.items()}
    kept = False
    for person_id, figure in there.items():
        before = last.places.get(person_id) if last and not fresh else None
        root, sole = figure.joints[0], soles[person_id]
        # Not where it is NaN, as of who was not lifted yet.
        if before is not None and t - before.t < _GONE and np.linalg.norm(root - before.root) <= _JUMP:
            kept, dt = True, t - before.t
            root = before.root + _share(dt, _NEAR) * (root - before.root)
            # That of the figure as it is drawn: else it floats over its shadow while its place lags behind.
            if len(calibrated(view)) < 2:
                sole += float(root[2] - figure.joints[0, 2])
                soles[person_id] = sole
            sole = _sunk(before.floor, sole, dt)
        places[person_id] = replace(places[person_id], root=root, floor=sole)
    several = len(places) > 1 or (last is not None and last.several)
    if not there:
        stage = Stage(t, np.full(3, np.nan), np.nan) if last is None else last
        return replace(view, stage=replace(stage, places=places, several=several))
    roots = np.array([places[person_id].root for person_id in there])
    middle = (roots.min(0) + roots.max(0)) / 2
    again = last if last is not None and kept and np.isfinite(last.root).all() else None
    if again is not None:
        middle = again.root + _share(t - again.t, _NEAR) * (middle - again.root)
    reach = float(np.linalg.norm((roots - middle)[:, :2], axis=1).max())
    if again is not None:
        # Soon to whoever stands outside, and slowly back. From the middle that is looked at, which is late itself.
        reach = again.reach + _share(t - again.t, _SOON if reach > again.reach else _WIDE) * (reach - again.reach)
    # Whose place is not sure shall not lower the floor under the others.
    sure = [person_id for person_id, figure in there.items() if figure.method not in ("", "single", "disputed")]
    floor = min(soles[person_id] for person_id in sure or there)
    if again is not None:
        floor = _sunk(again.floor, floor, t - again.t)
    if len(there) > 1 and not gravity_known(view):
        floor = min(places[person_id].floor for person_id in there)
    return replace(view, stage=Stage(t, middle, floor, reach, places, several))


def _share(dt: float, constant: float) -> float:
    return float(1 - np.exp(-dt / constant))


def _sunk(floor: float, sole: float, dt: float) -> float:
    return floor + _share(dt, _SINKING if sole < floor else _RISING) * (sole - floor)


def _sole(joints: Array) -> float:
    ankles = joints[[R_ANKLE, L_ANKLE], 2]
    lowest = float(np.nanmin(ankles)) if np.isfinite(ankles).any() else float(joints[0, 2]) - 850
    return lowest - SOLE


def _places(known: Mapping[int, Place], there: Sequence[int], t: float) -> dict[int, Place]:
    """The places of those who are there and of others seen lately, newcomers with a colour that nobody there has."""
    places = {i: replace(place, t=t) if i in there else place for i, place in known.items()}
    for person_id in there:
        if person_id in places:
            continue
        seen = {place.slot: place.t for place in sorted(places.values(), key=lambda place: place.t)}
        free = [slot for slot in range(len(PEOPLE)) if not 0 <= t - seen.get(slot, -np.inf) < _GONE]
        # By the id, so that a replay shows the same colours; else that of whom nobody saw for the longest.
        own = person_id % len(PEOPLE)
        slot = own if own in free or not free else min(free, key=lambda slot: seen.get(slot, -np.inf))
        places = {i: place for i, place in places.items() if place.slot != slot or i in there}
        places[person_id] = Place(t, slot, np.full(3, np.nan), np.nan)
    return places
