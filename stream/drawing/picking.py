"""What is under a point of the composed picture. Pure geometry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array, Image
from calibration.geometry.camera import resize_pixels
from stream.drawing.compose import layout_of
from stream.drawing.figures import figures, shift
from stream.drawing.layout import scene_area
from stream.drawing.look import look_at
from stream.drawing.primitives import Rect
from stream.drawing.scene import ViewState
from stream.drawing.sheet import text_scale
from stream.drawing.tiles import mirrored
from stream.types import Estimate

_NEAR: Final = 28.0  # px in a picture of 1280x720: so far from a joint one may click


@dataclass(frozen=True, slots=True)
class Picked:
    """What is there."""

    scene: bool = False
    """Whether it is the 3D panel."""
    camera: int | None = None
    """Whose image it is, an index into the cameras."""
    person_id: int | None = None
    """Who is nearest, if anybody is near."""


def pick(xy: tuple[float, float], images: Mapping[str, Image | None], estimate: Estimate, view: ViewState) -> Picked:
    """What is at a place of the picture that ``compose`` makes of the same.

    Args:
        xy: pixels of the picture.
        images: as for ``compose``.
        estimate: likewise.
        view: likewise, the stage remembered so far included.
    """
    tiles, _, scene = layout_of(images, estimate, view)
    at, near = np.array(xy, float), _NEAR * text_scale(view.size)
    if _inside(at, scene):
        x, y, w, h = scene_area(scene, view.size)
        look = look_at((0, 0, w, h), view).eye
        people = {p.person_id: look.project(p.joints + shift(p, view))[0] for p in figures(estimate, view)}
        return Picked(scene=True, person_id=_nearest(at - [x, y], people, near))
    for index, tile in enumerate(tiles):
        if not _inside(at, tile):
            continue
        frame, people = estimate.frames[index], {}
        for person in estimate.people if frame is not None else ():
            seen = person.views[index]
            if frame is None or seen is None:
                continue
            found = mirrored(seen.detection, frame.size[0]) if view.mirror else seen.detection
            scale = tile[2] / frame.size[0], tile[3] / frame.size[1]
            people[person.person_id] = resize_pixels(found.xy[found.score > 0].astype(float), scale)
        return Picked(camera=index, person_id=_nearest(at - tile[:2], people, near))
    return Picked()


def _inside(at: Array, box: Rect) -> bool:
    return bool(((at >= box[:2]) & (at < np.add(box[:2], box[2:]))).all())


def _nearest(at: Array, people: Mapping[int, Array], near: float) -> int | None:
    """Who has the nearest joint, or else whose joints are around the place."""
    best, who = near, None
    for person_id, xy in people.items():
        xy = xy[np.isfinite(xy).all(-1)]
        if not len(xy):
            continue
        distance = float(np.hypot(*(xy - at).T).min())
        if ((at > xy.min(0)) & (at < xy.max(0))).all():
            distance = min(distance, near * 0.99)
        if distance < best:
            best, who = distance, person_id
    return who
