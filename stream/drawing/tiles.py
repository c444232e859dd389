"""A camera's image with the skeletons of those whom it sees. Drawn in place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from calibration.geometry.camera import resize_pixels
from engines.skeleton import EDGES, HEAD, L_SHOULDER, NECK, PELVIS, R_SHOULDER, SPINE, THORAX
from engines.types import Detection
from stream.drawing import primitives as draw
from stream.drawing.figures import own_colour
from stream.drawing.primitives import Colour, Rect
from stream.drawing.scene import ViewState
from stream.drawing.sheet import Sheet, text_scale
from stream.types import Estimate, Person

_LAID: Final = 6
"""On so many joints, at least, a pose is laid."""
_HEAD_MM: Final = 120.0
"""Half of a head's height, about."""
_FACE: Final = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def draw_tile(
    canvas: Image, tile: Rect, image: Image | None, estimate: Estimate, index: int, view: ViewState, name: str
) -> None:
    """One camera: its image with everybody's skeleton, or that there is none."""
    x, y, w, h = tile
    part, frame, seen = canvas[y : y + h, x : x + w], estimate.frames[index], estimate.views_of(index)
    sheet = Sheet(part, text_scale(view.size))
    taken: list[Rect] = []
    if image is None:
        draw.fill(part, draw.PANEL)
        corners = np.array([[[k, 0], [k - h, h]] for k in range(0, w + h, sheet.px(28))], float)
        draw.polylines(part, corners, draw.FLOOR, sheet.px(2))
        sheet.tag("no frame", (sheet.size[0] / 2, sheet.size[1] / 2 - 13), draw.DIM, align="centre")
    else:
        shown = draw.shrink(image, (w, h))
        part[:] = cv2.flip(shown, 1) if view.mirror else shown
        if not seen:
            sheet.tag("nobody in view", (sheet.size[0] / 2, sheet.size[1] - 34), draw.TEXT, align="centre")
    if name:
        taken.append(sheet.tag(sheet.fit_text(name, sheet.size[0] - 30, 13), (6, 6), size=13))
    if image is not None and frame is not None:
        _draw_people_in_image(sheet, estimate.people, index, frame.size, view, taken)


def mirrored(detection: Detection, width: int) -> Detection:
    """The detection in an image that is mirrored; left stays left, of the body.

    Args:
        detection: in the image.
        width: of the image, pixels.
    """

    def turned(xy: Array) -> Array:
        return np.stack([width - 1 - xy[:, 0], xy[:, 1]], 1)

    extra = detection.extra and replace(detection.extra, xy=turned(detection.extra.xy))
    return replace(detection, xy=turned(detection.xy), extra=extra)


def _draw_people_in_image(
    sheet: Sheet, people: Sequence[Person], index: int, size: tuple[int, int], view: ViewState, taken: list[Rect]
) -> None:
    """The skeletons of one camera, and where there are several people their ids, over the head of each."""
    part = sheet.image
    h, w = part.shape[:2]
    scale = w / size[0], h / size[1]
    views = [(person.person_id, shown) for person in people if (shown := person.views[index]) is not None]
    heads = [head_in_image(shown.detection) or lifted_head(shown.detection, shown.answer) for _, shown in views]
    seen = [(person_id, shown.detection) for person_id, shown in views]
    if view.mirror:
        seen = [(person_id, mirrored(detection, size[0])) for person_id, detection in seen]
        heads = [head and (np.array([size[0] - 1 - head[0][0], head[0][1]]), head[1]) for head in heads]
    for (person_id, detection), head in zip(seen, heads, strict=True):
        draw_skeleton(part, detection, scale, own_colour(view, person_id), sheet.scale, head)
    for person_id, detection in seen:
        own = own_colour(view, person_id)
        there = (detection.score > 0) & np.isfinite(detection.xy).all(-1)
        xy = resize_pixels(detection.xy[there].astype(np.float64), scale)
        if own is None or not ((xy >= 0) & (xy < [w, h])).all(-1).any():
            continue
        top = xy[xy[:, 1].argmin()]
        words = str(person_id)
        font = sheet.px(13 if w > 300 * sheet.scale else 11)
        width, height = draw.badge_size(words, font)
        # Detectors see no further up than the nose or the shoulders.
        over = float(top[1] - 0.12 * np.ptp(xy[:, 1])) - height - 4
        box = round(float(np.clip(top[0], 0, w))) - width // 2, round(over), width, height
        at = draw.free_place(box, taken, (0, 0, w, h))
        taken.append(draw.badge(part, words, at, own, font, person_id == view.selected))


def head_in_image(detection: Detection) -> tuple[Array, float] | None:
    """Middle (2,) and radius of the head, pixels of the full image; None where nothing of it is seen.

    Of nose, eyes and ears where the detector tells of them, else between neck and the top of the head. A head is 0.7 as
    high as the shoulders are wide, and a tenth of the height, of which the larger is taken: seen from the side the
    shoulders have no width.
    """
    there = (detection.score > 0) & np.isfinite(detection.xy).all(-1)
    if not there.any():
        return None
    extra = detection.extra
    face: list[int] = []
    if extra is not None:
        seen = (extra.score > 0) & np.isfinite(extra.xy).all(-1)
        face = [k for k, name in enumerate(extra.names) if name in _FACE and seen[k]]
    wide = float(np.hypot(*(detection.xy[L_SHOULDER] - detection.xy[R_SHOULDER])))
    wide = wide if there[[L_SHOULDER, R_SHOULDER]].all() else 0.0
    radius = max(0.35 * wide, 0.065 * float(np.ptp(detection.xy[there], axis=0).max()))
    if face and extra is not None:
        return extra.xy[face].mean(0).astype(float), radius
    if there[HEAD]:
        below = detection.xy[NECK] if there[NECK] else detection.xy[THORAX] if there[THORAX] else None
        if below is None:
            return None
        # The joint is the top of the head.
        down = (below - detection.xy[HEAD]) / max(float(np.hypot(*(below - detection.xy[HEAD]))), 1e-6)
        return detection.xy[HEAD] + down * radius, radius
    return None


def lifted_head(detection: Detection, answer: Array | None) -> tuple[Array, float] | None:
    """As ``head_in_image``, of a detector that tells of no face: where the lifted pose has it.

    Args:
        detection: in the image.
        answer: (17, 3) the pose, camera axes; it is laid on the joints that are seen, scaled and shifted.
    """
    there = (detection.score > 0) & np.isfinite(detection.xy).all(-1)
    if answer is None or not np.isfinite(answer).all() or there.sum() < _LAID:
        return None
    flat, xy = answer[there, :2], detection.xy[there]
    middle = flat.mean(0)
    scale = float(((flat - middle) * (xy - xy.mean(0))).sum() / max(((flat - middle) ** 2).sum(), 1e-9))
    if scale <= 0:
        return None
    head = (answer[HEAD, :2] + answer[NECK, :2]) / 2
    return xy.mean(0) + scale * (head - middle), scale * _HEAD_MM


def draw_skeleton(
    image: Image,
    detection: Detection,
    scale: tuple[float, float],
    own: Colour | None = None,
    thick: float = 1.0,
    head: tuple[Array, float] | None = None,
) -> None:
    """Draw a detection on an image (H, W, 3) in place.

    Filled with the colour of the score and rimmed with the colour of the side; or filled with the person's own colour,
    the dimmer the lower the score, the joints white on the left and black on the right. What is not seen is not drawn,
    and a derived joint is a small dot.

    Args:
        image: the image, already resized.
        detection: joints in pixels of the full image.
        scale: (x, y) by which the image was resized.
        own: the colour of the person, where several are to be told apart.
        thick: of lines, by how much more than in a picture of 1280x720.
        head: its middle and radius, pixels of the full image; None for what the detection tells of it.
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
    inner = max(round(5 * min(max(size, 0.3), 1.2 * max(thick, 1.0))), 1)
    if seen[PELVIS] and seen[THORAX] and not seen[SPINE]:
        # COCO and BlazePose have no spine: a thin link, so that the person does not fall into two halves.
        draw.line(image, xy[PELVIS], xy[THORAX], draw.mix(draw.MIDDLE, draw.BACK, 0.1), max(inner // 2, 1))
    rim = (2 if inner > (2 if own else 1) else 1) * max(round(thick), 1)
    if (head := head or head_in_image(detection)) is not None:
        middle, radius = resize_pixels(head[0], scale), head[1] * scale[1]
        neck = xy[NECK] if seen[NECK] else xy[THORAX] if seen[THORAX] else None
        paint = own or draw.MIDDLE
        draw.disc(image, middle, radius, draw.BACK, inner + 2 * rim - 1)
        draw.disc(image, middle, radius, paint, max(inner // 2, 1))
        if neck is not None and (length := float(np.hypot(*(neck - middle)))) > radius:
            draw.line(image, neck, middle + (neck - middle) / length * radius, paint, max(inner // 2, 1))
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
