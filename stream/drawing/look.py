"""From where the 3D panel is seen, so that the people and the cameras are in it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from stream.drawing import primitives as draw
from stream.drawing.scene import Eye, Stage, ViewState, calibrated, eye, volume, world_axes
from stream.drawing.sheet import text_scale

_HIGH, _WIDE = 2400.0, 1780.0  # mm that fit into the panel: a person with both arms up, or out, and air
_NEAR_HIGH, _NEAR_WIDE = 2080.0, 1500.0  # the same of a close-up
_FARTHEST: Final = 5200.0  # mm: cameras beyond this are not worth a smaller person
_MOST_EXTENT: Final = 12_000.0  # mm: people farther apart than this are not all shown
_LYING: Final = 850.0  # mm: from the pelvis to the head or the hands of who crouches, leans or lies
_ARMS: Final = 1200.0  # mm: what two people at the rims of a group reach beyond their pelvises
_FLOOR_RADIUS: Final = 1900.0


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """From where the stage is seen, and what of it is drawn around the people."""

    eye: Eye
    """Pixels are those of the panel."""
    middle: Array
    """(3,) mm, stage axes: the middle of the floor that is drawn."""
    radius: float
    """mm: of that floor."""


def look_at(area: draw.Rect, view: ViewState) -> Look:
    """From where the stage is seen.

    Args:
        area: of the panel, in which the people belong.
        view: from where, and the stage remembered so far.
    """
    stage = _stage(view)
    place = stage.places.get(view.selected) if view.close and view.selected is not None else None
    place = place if place is not None and np.isfinite(place.root).all() else None
    cameras = calibrated(view)
    floor = stage.floor
    group = 0.0 if place else _ARMS + 2 * stage.reach
    lying = max(0.6, abs(float(np.sin(np.radians(view.pitch)))))  # of a group's width, seen as height
    if len(cameras) > 1:
        # The middle of what the cameras see, not the people: the cameras stay where they are in the picture.
        R = world_axes(cameras)[0]
        centre, reach = volume(cameras, R)
        floor = floor if view.stage is not None and stage is view.stage else float(centre[2]) - 900
        middle, radius = np.array([*centre[:2], floor]), max(reach * 0.95, _FLOOR_RADIUS)
        if not view.close:
            centres = np.array([R @ c.centre for c in cameras])
            height = min(max(float(centres[:, 2].mean() - floor) * 0.5, 800.0), 1300.0)
            look = _fit_cameras(
                replace(view, zoom=1.0),
                area,
                middle + [0, 0, height],
                centres,
                replace(stage, floor=floor) if view.stage is not stage else stage,
            )
            return Look(replace(look, focal=look.focal * view.zoom), middle, radius)
    else:
        middle, radius = np.array([*stage.root[:2], floor]), max(_FLOOR_RADIUS, stage.reach + 900)
    if view.close:
        wide, high = max(_NEAR_WIDE, group), max(_NEAR_HIGH, group * lying)
        target = stage.root if place is None else np.array([*place.root[:2], floor + 930.0])
    else:
        wide, high = max(_WIDE, group), max(_HIGH, group * lying)
        # Looked at above the middle of a person, which leaves room for raised arms; the nearer, the less of that.
        target = middle + [0, 0, 1000.0 - 120.0 * min(max((view.zoom - 1) / 0.3, 0.0), 1.0)]
    extent = min(_extent(area, wide, high), _MOST_EXTENT)
    if view.close:
        return Look(eye(view, area, target, extent), middle, radius)
    # Who stands nearer than the middle is seen larger, and farther out.
    at_one, people = replace(view, zoom=1.0), _rooms_of(stage, min(350 + stage.reach, _LYING))
    while True:
        look = eye(at_one, area, target, extent)
        if (np.abs(look.project(people)[0] - look.centre) < np.array(area[2:]) / 2).all() or extent >= _MOST_EXTENT:
            return Look(replace(look, focal=look.focal * view.zoom), middle, radius)
        extent *= 1.02


def _stage(view: ViewState) -> Stage:
    """What is remembered, or a place for an empty scene."""
    stage = view.stage
    if stage is not None and np.isfinite(stage.root).all():
        return stage
    return replace(stage or Stage(0, np.zeros(3), 0), root=np.array([0, 4000.0, 0]), floor=-900.0)


def _extent(area: draw.Rect, wide: float, high: float) -> float:
    """Mm in the smaller side of an area in which so many fit into its width and its height."""
    _, _, w, h = area
    return min(w, h) * max(wide / w, high / h)


def _fit_cameras(view: ViewState, area: draw.Rect, target: Array, centres: Array, stage: Stage) -> Eye:
    """The nearest eye from which all people are in the area, and all cameras (V, 3) mm unless they are too far away."""
    _, _, w, h = area
    extent = _extent(area, _WIDE, _HIGH)
    rim = text_scale(view.size) * np.array([45, 25])
    people = _rims(np.array([*stage.root[:2], stage.floor]), stage.reach + 350)
    while True:
        look = eye(view, area, target, extent)
        cameras, crowd = (np.abs(look.project(points)[0] - look.centre) for points in (centres, people))
        room = (crowd < [w / 2, h / 2]).all()
        farther = extent * 1.08
        if room and ((cameras < [w / 2, h / 2] - rim).all() or farther > _FARTHEST) or farther > _MOST_EXTENT:
            return look
        extent = farther


def _rims(foot: Array, radius: float) -> Array:
    """(16, 3) mm, stage axes: a circle on the floor, and one above it that is over a person's head."""
    angle = np.arange(8) * np.pi / 4
    around = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1) * radius
    return foot + np.concatenate([around, around + [0, 0, 1900.0]])


def _rooms_of(stage: Stage, arms: float) -> Array:
    """(N, 3) mm, stage axes: around everybody who is there, as far as the reach has followed them.

    Args:
        stage: where they stand.
        arms: mm, from a pelvis.
    """
    middle, out = stage.root[:2], []
    for place in stage.places.values():
        if place.t == stage.t and np.isfinite(place.root).all():
            off = place.root[:2] - middle
            off *= min(1.0, stage.reach / max(float(np.linalg.norm(off)), 1e-9))
            out.append(_rims(np.array([*(middle + off), stage.floor]), arms))
    return np.concatenate(out) if out else _rims(np.array([*middle, stage.floor]), arms)
