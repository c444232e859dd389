"""A camera's image with the skeletons of those whom it sees. Drawn in place."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Image
from calibration.geometry.camera import resize_pixels
from engines.skeleton import EDGES, PELVIS, SPINE, THORAX
from engines.types import Detection
from stream.drawing import primitives as draw
from stream.drawing.figures import own_colour
from stream.drawing.primitives import Colour, Rect
from stream.drawing.scene import ViewState
from stream.types import Estimate, Person


def draw_tile(
    canvas: Image, tile: Rect, image: Image | None, estimate: Estimate, index: int, view: ViewState, name: str
) -> None:
    """One camera: its image with everybody's skeleton, or that there is none."""
    x, y, w, h = tile
    part, frame, seen = canvas[y : y + h, x : x + w], estimate.frames[index], estimate.views_of(index)
    taken: list[Rect] = []
    if image is None:
        draw.fill(part, draw.PANEL)
        corners = np.array([[[k, 0], [k - h, h]] for k in range(0, w + h, 28)], float)
        draw.polylines(part, corners, draw.FLOOR, 2)
        draw.tag(part, "no frame", (w // 2, h // 2 - 13), draw.DIM, align="centre")
    else:
        part[:] = draw.shrink(image, (w, h))
        if not seen:
            draw.tag(part, "nobody in view", (w // 2, h - 34), draw.TEXT, align="centre")
    if name:
        taken.append(draw.tag(part, draw.fit_text(name, w - 30, 13), (6, 6), size=13))
    if image is not None and frame is not None:
        _draw_people_in_image(part, estimate.people, index, (w / frame.size[0], h / frame.size[1]), view, taken)


def _draw_people_in_image(
    part: Image, people: Sequence[Person], index: int, scale: tuple[float, float], view: ViewState, taken: list[Rect]
) -> None:
    """The skeletons of one camera, and where there are several people their ids, over the head of each."""
    h, w = part.shape[:2]
    seen = [(person.person_id, shown) for person in people if (shown := person.views[index]) is not None]
    for person_id, shown in seen:
        draw_skeleton(part, shown.detection, scale, own_colour(view, person_id))
    for person_id, shown in seen:
        own, detection = own_colour(view, person_id), shown.detection
        there = (detection.score > 0) & np.isfinite(detection.xy).all(-1)
        xy = resize_pixels(detection.xy[there].astype(np.float64), scale)
        if own is None or not ((xy >= 0) & (xy < [w, h])).all(-1).any():
            continue
        top = xy[xy[:, 1].argmin()]
        words = str(person_id)
        size = 13 if w > 300 else 11
        width, height = draw.badge_size(words, size)
        # Detectors see no further up than the nose or the shoulders.
        over = float(top[1] - 0.12 * np.ptp(xy[:, 1])) - height - 4
        box = round(float(np.clip(top[0], 0, w))) - width // 2, round(over), width, height
        at = draw.free_place(box, taken, (0, 0, w, h))
        taken.append(draw.badge(part, words, at, own, size, person_id == view.selected))


def draw_skeleton(image: Image, detection: Detection, scale: tuple[float, float], own: Colour | None = None) -> None:
    """Draw a detection on an image (H, W, 3) in place.

    Filled with the colour of the score and rimmed with the colour of the side; or filled with the person's own colour,
    the dimmer the lower the score, the joints white on the left and black on the right. What is not seen is not drawn,
    and a derived joint is a small dot.

    Args:
        image: the image, already resized.
        detection: joints in pixels of the full image.
        scale: (x, y) by which the image was resized.
        own: the colour of the person, where several are to be told apart.
    """

    def rim_of(joint: int) -> Colour:
        return draw.BACK if own else draw.side_colour(joint)

    def fill_of(score: float) -> Colour:
        return draw.mix(draw.BACK, own, 0.4 + 0.6 * min(max(score, 0.0), 1.0)) if own else draw.score_colour(score)

    seen = (detection.score > 0) & np.isfinite(detection.xy).all(-1)
    if not seen.any():
        return
    xy = resize_pixels(detection.xy.astype(np.float64), scale)
    # Widths follow the person's size in the picture, so that a far person is not a blot.
    size = float(np.ptp(xy[seen], axis=0).max()) / 400
    inner = max(round(5 * min(max(size, 0.3), 1.2)), 1)
    if seen[PELVIS] and seen[THORAX] and not seen[SPINE]:
        # COCO and BlazePose have no spine: a thin link, so that the person does not fall into two halves.
        draw.line(image, xy[PELVIS], xy[THORAX], draw.mix(draw.MIDDLE, draw.BACK, 0.1), max(inner // 2, 1))
    rim = 2 if inner > (2 if own else 1) else 1
    for a, b in EDGES:
        if seen[a] and seen[b]:
            draw.line(image, xy[a], xy[b], draw.mix(rim_of(b), draw.BACK, 0.1), inner + 2 * rim)
    for a, b in EDGES:
        if seen[a] and seen[b]:
            draw.line(image, xy[a], xy[b], fill_of(float(min(detection.score[[a, b]]))), inner)
    for joint in np.flatnonzero(seen):
        radius = inner * (0.75 if detection.derived[joint] else 1.3) + 0.5
        fill = fill_of(float(detection.score[joint]))
        draw.disc(image, xy[joint], radius + rim, fill if own else rim_of(int(joint)))
        draw.disc(image, xy[joint], radius, draw.side_mark(int(joint), fill) if own else fill)
