"""The drawing of the 3D panel: floor, shadows, ghosts, sigmas, cameras and the people."""

from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from calibration.geometry.camera import Camera
from engines.skeleton import (
    EDGES,
    HEAD,
    L_ANKLE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NECK,
    R_ANKLE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)
from stream.drawing import primitives as draw
from stream.drawing.figures import SOLE, Figure, figures, ghost_opacity, own_colour, selected, shift
from stream.drawing.look import look_at
from stream.drawing.primitives import Colour, Layer
from stream.drawing.scene import Eye, ViewState, calibrated, world_axes
from stream.drawing.sheet import text_scale
from stream.types import Estimate

_GRID: Final = 500.0
_SHINS: Final = ((R_KNEE, R_ANKLE), (L_KNEE, L_ANKLE))


def _along(direction: Array) -> Array:
    return direction / max(float(np.linalg.norm(direction)), 1e-6)


def _draw_floor(panel: Image, look: Eye, middle: Array, radius: float, thick: int) -> None:
    """A disc of floor around a place (3,) mm with a grid of half metres that fades outwards."""
    angle = np.linspace(0, 2 * np.pi, 73)[:-1]
    for size, amount in ((1.0, 0.35), (0.8, 0.7), (0.55, 1.0)):
        ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1) * radius * size + middle
        draw.polygon(panel, look.project(ring)[0], draw.mix(draw.PANEL, draw.FLOOR, amount))
    step = _GRID * (1 if radius < 2500 else 2)
    lines: list[Array] = []
    for axis in (0, 1):
        at = np.arange(np.ceil((middle[axis] - radius) / step) * step, middle[axis] + radius, step) - middle[axis]
        along = np.sqrt(radius**2 - at**2)[:, None] * np.linspace(-1, 1, 25)
        grid = np.zeros((*along.shape, 3))
        grid[..., axis], grid[..., 1 - axis] = at[:, None], along
        lines.append(np.stack([grid[:, :-1], grid[:, 1:]], 2).reshape(-1, 2, 3))
    ends = np.concatenate(lines)
    level = np.minimum(np.hypot(*ends[..., :2].mean(1).T) / radius * 5, 4).astype(int)
    xy, _ = look.project(ends + middle)
    for k in range(5):
        draw.polylines(panel, xy[level == k], draw.mix(draw.GRID, draw.PANEL, k / 4.6), thick)


def _draw_shadow(panel: Image, look: Eye, joints: Array, floor: float, scale: float) -> None:
    """A soft shadow straight under the person: it says where on the floor one stands, and how far the feet are off."""
    flat = joints.copy()
    flat[:, 2] = floor
    xy, depth = look.project(flat)
    mask = np.zeros(panel.shape[:2], np.uint8)
    for a, b in EDGES:
        if np.isfinite(depth[[a, b]]).all():
            draw.line(mask, xy[a], xy[b], 150, max(round(110 * look.scale(float(depth[a]))), 2))
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return
    pad = round(12 * scale)
    x0, y0, x1, y1 = max(x - pad, 0), max(y - pad, 0), x + w + pad, y + h + pad
    soft = cv2.GaussianBlur(mask[y0:y1, x0:x1], (0, 0), 5 * scale)
    part = panel[y0:y1, x0:x1]
    keep = cv2.merge([255 - soft] * 3)
    part[:] = cv2.multiply(part, keep, scale=1 / 255)


def _draw_ghosts(layer: Layer, look: Eye, person: Figure, moved: Array, own: Colour | None) -> None:
    for joints, probability in person.ghosts:
        opacity = ghost_opacity(probability)
        xy, depth = look.project(joints + moved)
        ends = np.array(EDGES).T
        for a, b in np.array(EDGES)[np.argsort(-np.nan_to_num(depth[ends[0]] + depth[ends[1]]), kind="stable")]:
            if np.isfinite(depth[[a, b]]).all():
                width = max(round(24 * look.scale(float(depth[b]))), 1)
                colour = own or draw.mix(draw.side_colour(b), draw.MIDDLE, 0.35)
                layer.line(xy[a], xy[b], colour, width, opacity)
        if np.isfinite(depth[HEAD]):
            middle = (xy[HEAD] + xy[NECK]) / 2
            layer.disc(middle, 80 * look.scale(float(depth[HEAD])), own or draw.MIDDLE, opacity * 0.6)


def _number_ghosts(
    panel: Image, look: Eye, person: Figure, moved: Array, size: int, taken: list[draw.Rect], area: draw.Rect
) -> None:
    """The number of each other hypothesis, as beside its bar, where its hand or foot is farthest from the answer's."""
    ends = [L_WRIST, R_WRIST, L_ANKLE, R_ANKLE]
    answer = look.project(person.joints[ends] + moved)[0]
    for number, (joints, probability) in enumerate(person.ghosts[::-1], 2):
        xy = look.project(joints[ends] + moved)[0]
        apart = np.hypot(*(xy - answer).T)
        if not (np.isfinite(apart).any() and np.nanmax(apart) > size):
            continue
        end = int(np.nanargmax(apart))
        out = xy[end] + (xy[end] - answer[end]) / apart[end] * size * 0.9
        width = draw.text_size(str(number), size, 600)
        box = (round(float(out[0])) - width // 2, round(float(out[1])) - size // 2, width, size)
        x, y = draw.free_place(box, taken, area)
        taken.append((x, y, width, size))
        colour = draw.mix(draw.PANEL, draw.TEXT, 0.4 + 0.6 * ghost_opacity(probability))
        draw.text(panel, str(number), (x, y + size - 1), colour, size, 600)


def _draw_sigma(layer: Layer, look: Eye, person: Figure, moved: Array, own: Colour | None) -> None:
    """One standard deviation of each joint as an ellipse, the covariance seen from the eye."""
    if person.cov is None:
        return
    xy, depth = look.project(person.joints + moved)
    seen = look.axes[:2]
    for joint in np.flatnonzero(np.isfinite(depth) & np.isfinite(person.cov).all((1, 2))):
        values, vectors = np.linalg.eigh(seen @ person.cov[joint] @ seen.T)
        half = np.sqrt(np.maximum(values, 0)) * look.scale(float(depth[joint]))
        angle = float(np.degrees(np.arctan2(-vectors[1, 1], vectors[0, 1])))
        layer.ellipse(xy[joint], (float(half[1]), float(half[0])), angle, own or draw.side_colour(int(joint)), 0.28)


def _draw_person(panel: Image, look: Eye, joints: Array, own: Colour | None) -> None:
    """The answer: bones as shaded capsules and joints as discs, the farthest first, darker with depth.

    By the sides of the body, or in the person's own colour; the joints then tell the sides.
    """
    # The 17 joints end at the ankles; without feet one seems to float over one's shadow.
    soles = [joints[ankle] + _along(joints[ankle] - joints[knee]) * SOLE for knee, ankle in _SHINS]
    xy, depth = look.project(np.concatenate([joints, soles]))
    if np.isfinite(depth[[R_HIP, L_HIP, R_SHOULDER, L_SHOULDER]]).all():
        torso = Layer.like(panel)
        corners = xy[[R_SHOULDER, L_SHOULDER, L_HIP, R_HIP]]
        draw.polygon(torso.colour, corners, own or draw.MIDDLE)
        draw.polygon(torso.alpha, corners, 34)
        torso.onto(panel)
    near, far = np.nanmin(depth), np.nanmax(depth)
    items: list[tuple[float, int, int]] = [((depth[a] + depth[b]) / 2, a, b) for a, b in EDGES]
    items += [((depth[ankle] + depth[len(joints) + k]) / 2, ankle, len(joints) + k)
              for k, (_, ankle) in enumerate(_SHINS)]  # fmt: skip
    items += [(depth[j] - 15, -1, j) for j in range(len(joints)) if j not in (NECK, HEAD)]
    items.append(((depth[HEAD] + depth[NECK]) / 2, HEAD, HEAD))
    for distance, a, b in sorted((i for i in items if np.isfinite(i[0])), key=lambda i: -i[0]):
        # 0.62 at the back keeps the far arm readable on the dark ground.
        light = 1 - 0.38 * (distance - near) / max(far - near, 300.0)
        colour = draw.mix(draw.PANEL, own or draw.side_colour(a if b >= len(joints) else b), float(light))
        dark, bright = draw.mix(colour, draw.BACK, 0.75), draw.mix(colour, (255, 255, 255), 0.45)
        scale = look.scale(distance)
        if a == b:
            middle, radius = (xy[HEAD] + xy[NECK]) / 2, 95 * scale
            draw.disc(panel, middle, radius + 1.5, dark)
            draw.disc(panel, middle, radius, colour)
            draw.disc(panel, middle + [-0.3 * radius, -0.35 * radius], radius * 0.35, bright)
        elif a == -1:
            draw.disc(panel, xy[b], 33 * scale + 1, dark)
            draw.disc(panel, xy[b], 30 * scale, draw.side_mark(b, colour) if own else bright)
        else:
            width = max(round(46 * scale), 2)
            draw.line(panel, xy[a], xy[b], dark, width + 3)
            draw.line(panel, xy[a], xy[b], colour, width)
            along = xy[b] - xy[a]
            length = float(np.hypot(*along))
            if length > 8 and width > 4:
                # A highlight on the upper left, where the light is taken to be.
                across = np.array([along[1], -along[0]]) / length
                across = across if across @ [-1, -1.2] > 0 else -across
                a0, b0 = xy[a] + along * 0.12 + across * width * 0.2, xy[b] - along * 0.12 + across * width * 0.2
                draw.line(panel, a0, b0, draw.mix(colour, bright, 0.7), max(width // 4, 1))


def _draw_camera(
    panel: Image, look: Eye, camera: Camera, R: Array, used: bool, taken: list[draw.Rect], area: draw.Rect, scale: float
) -> None:
    """A camera as a small pyramid with its name, which stands at the rim where the camera itself is outside."""
    w, h = camera.size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    rays = (corners - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    reach = 330 / max(np.abs(rays).max(), 0.2)
    rim = np.concatenate([rays, np.ones((4, 1))], 1) * reach
    world = np.concatenate([np.zeros((1, 3)), rim]) @ camera.R + camera.centre
    xy, _ = look.project(world @ R.T)
    colour = draw.TEXT if used else draw.GRID
    if not np.isfinite(xy).all():
        return
    thick = max(round(scale), 1)
    draw.polylines(panel, np.stack([xy[[0, k]] for k in range(1, 5)]), draw.mix(colour, draw.PANEL, 0.45), thick)
    draw.polylines(panel, xy[None, 1:], draw.mix(colour, draw.PANEL, 0.15), thick, closed=True)
    draw.polylines(panel, xy[None, 1:3], colour, 2 * thick)  # the image's top edge: which way up the camera is held
    # The name goes behind the camera, where its own lines are not.
    away = xy[0] - xy[1:].mean(0)
    away = away / max(float(np.hypot(*away)), 1e-6)
    size = round(12 * scale)
    name = draw.fit_text(camera.name, round(110 * scale), size)
    width, height = draw.text_size(name, size), round(15 * scale)
    middle = xy[0] + away * [width / 2 + 8 * scale, 14 * scale]
    if not ((xy > area[:2]) & (xy < np.add(area[:2], area[2:]))).all(1).any():
        return
    x, y = (round(float(v)) for v in middle)
    x, y = draw.free_place((x - width // 2, y - height // 2, width, height), taken, area)
    taken.append((x, y, width, height))
    draw.text(panel, name, (x, y + round(11 * scale)), draw.DIM, size)


def _draw_label(
    panel: Image,
    look: Eye,
    person_id: int,
    joints: Array,
    own: Colour,
    chosen: bool,
    taken: list[draw.Rect],
    area: draw.Rect,
    size: int,
) -> None:
    """The person's id above the head, higher where another one's stands already."""
    top = joints[np.nanargmax(joints[:, 2])] + [0, 0, 190.0]
    xy, _ = look.project(top)
    if not np.isfinite(xy).all():
        return
    words = str(person_id)
    width, height = draw.badge_size(words, size)
    x, y = round(float(xy[0])) - width // 2, round(float(xy[1])) - height
    x, y = draw.free_place((x, y, width, height), taken, area)
    taken.append(draw.badge(panel, words, (x, y), own, size, framed=chosen))


def draw_scene(panel: Image, area: draw.Rect, estimate: Estimate, view: ViewState) -> tuple[Figure, ...]:
    """Draw the 3D panel in place; text but for names, ids and numbers is left to the caller.

    Args:
        panel: (H, W, 3) BGR to draw on.
        area: the part of it in which the people belong; the floor may reach beyond.
        estimate: what to draw.
        view: from where, and the stage remembered so far, this estimate included.

    Returns:
        The people that were drawn, in the estimate's order.
    """
    people = tuple(p for p in figures(estimate, view) if np.isfinite(p.joints).any())
    cameras, scale, made = calibrated(view), text_scale(view.size), look_at(area, view)
    look, floor = made.eye, float(made.middle[2])
    _draw_floor(panel, look, made.middle, made.radius, max(round(scale), 1))
    used = {name for p in people for name in p.used} if any(p.method for p in people) else {c.name for c in cameras}
    taken: list[draw.Rect] = []
    if len(cameras) > 1:
        R = world_axes(cameras)[0]
        for camera in cameras:
            _draw_camera(panel, look, camera, R, camera.name in used, taken, area, scale)
    moves = {p.person_id: shift(p, view) for p in people}
    for person in people:
        _draw_shadow(panel, look, person.joints + moves[person.person_id], floor, scale)
    # The farthest first, each with what is known of them: who stands in front covers who stands behind.
    order = sorted(people, key=lambda p: -float(look.axes[2] @ np.nanmean(p.joints + moves[p.person_id], axis=0)))
    for person in order:
        moved, own = moves[person.person_id], own_colour(view, person.person_id)
        layer = Layer.like(panel)
        _draw_ghosts(layer, look, person, moved, own)
        _draw_sigma(layer, look, person, moved, own)
        layer.onto(panel)
        _draw_person(panel, look, person.joints + moved, own)
    for person in reversed(order):
        person_id, own = person.person_id, own_colour(view, person.person_id)
        if own is not None:
            joints, chosen = person.joints + moves[person_id], person_id == view.selected
            _draw_label(panel, look, person_id, joints, own, chosen, taken, area, round(13 * scale))
    told = selected(people, view)
    if told is not None:
        _number_ghosts(panel, look, told, moves[told.person_id], round(12 * scale), taken, area)
    return people
