"""The drawing of the 3D panel: floor, shadows, ghosts, sigmas, cameras and the people."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from calibration.geometry.camera import Camera
from engines.skeleton import EDGES, HEAD, L_HIP, L_SHOULDER, NECK, R_HIP, R_SHOULDER
from stream.drawing import primitives as draw
from stream.drawing.figures import Figure, figures, own_colour, shift
from stream.drawing.primitives import Colour, Layer
from stream.drawing.scene import Eye, Stage, ViewState, calibrated, eye, volume, world_axes
from stream.types import Estimate

_EXTENT: Final = 2400.0  # mm that fit into the smaller side of the panel: a person with both arms up, and air
_FARTHEST: Final = 5200.0  # mm: cameras beyond this are not worth a smaller person
_MOST_EXTENT: Final = 12_000.0  # mm: people farther apart than this are not all shown
_ARMS: Final = 1200.0  # mm: what two people at the rims of a group reach beyond their pelvises
_FLOOR_RADIUS: Final = 1900.0
_GRID: Final = 500.0


def _draw_floor(panel: Image, look: Eye, middle: Array, radius: float) -> None:
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
        draw.polylines(panel, xy[level == k], draw.mix(draw.GRID, draw.PANEL, k / 4.6))


def _draw_shadow(panel: Image, look: Eye, joints: Array, floor: float) -> None:
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
    pad = 12
    x0, y0, x1, y1 = max(x - pad, 0), max(y - pad, 0), x + w + pad, y + h + pad
    soft = cv2.GaussianBlur(mask[y0:y1, x0:x1], (0, 0), 5)
    part = panel[y0:y1, x0:x1]
    keep = cv2.merge([255 - soft] * 3)
    part[:] = cv2.multiply(part, keep, scale=1 / 255)


def _draw_ghosts(layer: Layer, look: Eye, person: Figure, moved: Array, own: Colour | None) -> None:
    for joints, probability in person.ghosts:
        opacity = 0.22 + 0.78 * min(max(probability, 0.0), 1.0)
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
    xy, depth = look.project(joints)
    if np.isfinite(depth[[R_HIP, L_HIP, R_SHOULDER, L_SHOULDER]]).all():
        torso = Layer.like(panel)
        corners = xy[[R_SHOULDER, L_SHOULDER, L_HIP, R_HIP]]
        draw.polygon(torso.colour, corners, own or draw.MIDDLE)
        draw.polygon(torso.alpha, corners, 34)
        torso.onto(panel)
    near, far = np.nanmin(depth), np.nanmax(depth)
    items: list[tuple[float, int, int]] = [((depth[a] + depth[b]) / 2, a, b) for a, b in EDGES]
    items += [(depth[j] - 15, -1, j) for j in range(len(joints)) if j not in (NECK, HEAD)]
    items.append(((depth[HEAD] + depth[NECK]) / 2, HEAD, HEAD))
    for distance, a, b in sorted((i for i in items if np.isfinite(i[0])), key=lambda i: -i[0]):
        # 0.62 at the back keeps the far arm readable on the dark ground.
        light = 1 - 0.38 * (distance - near) / max(far - near, 300.0)
        colour = draw.mix(draw.PANEL, own or draw.side_colour(b), float(light))
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


def _draw_camera(panel: Image, look: Eye, camera: Camera, R: Array, used: bool, taken: list[draw.Rect]) -> None:
    """A camera as a small pyramid with its name, unless another name has the place already."""
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
    draw.polylines(panel, np.stack([xy[[0, k]] for k in range(1, 5)]), draw.mix(colour, draw.PANEL, 0.45))
    draw.polylines(panel, xy[None, 1:], draw.mix(colour, draw.PANEL, 0.15), closed=True)
    draw.polylines(panel, xy[None, 1:3], colour, 2)  # the image's top edge: which way up the camera is held
    # The name goes behind the camera, where its own lines are not.
    away = xy[0] - xy[1:].mean(0)
    away = away / max(float(np.hypot(*away)), 1e-6)
    name = draw.fit_text(camera.name, 110, 12)
    width = draw.text_size(name, 12)
    x, y = (round(float(v)) for v in xy[0] + away * [width / 2 + 8, 14])
    box = (x - width // 2, y - 7, width, 15)
    clear = all(abs(x - (r[0] + r[2] // 2)) > (width + r[2]) // 2 or abs(box[1] - r[1]) > 15 for r in taken)
    if clear and 4 < box[0] < panel.shape[1] - width - 4 and 50 < y < panel.shape[0] - 40:
        taken.append(box)
        draw.text(panel, name, (x, y + 4), draw.DIM, 12, align="centre")


def _fit_cameras(view: ViewState, area: draw.Rect, target: Array, centres: Array) -> Eye:
    """The nearest eye from which all cameras (V, 3) mm are in the area, unless they are too far away."""
    _, _, w, h = area
    extent = _EXTENT
    while True:
        look = eye(view, area, target, extent)
        xy, _ = look.project(centres)
        inside = (np.abs(xy - look.centre) < [w / 2 - 45, h / 2 - 25]).all()
        if inside or extent * 1.08 > _FARTHEST:
            return look
        extent *= 1.08


def _draw_label(
    panel: Image, look: Eye, person_id: int, joints: Array, own: Colour, chosen: bool, taken: list[draw.Rect]
) -> None:
    """The person's id above the head, higher where another one's stands already."""
    top = joints[np.nanargmax(joints[:, 2])] + [0, 0, 190.0]
    xy, _ = look.project(top)
    if not np.isfinite(xy).all():
        return
    words = str(person_id)
    width, height = draw.text_size(words, 13, 650) + 11, 18
    x, y = round(float(xy[0])) - width // 2, round(float(xy[1])) - height
    x, y = draw.free_place((x, y, width, height), taken, (0, 44, panel.shape[1], panel.shape[0] - 30 - 44))
    taken.append(draw.badge(panel, words, (x, y), own, framed=chosen))


def draw_scene(panel: Image, area: draw.Rect, estimate: Estimate, view: ViewState) -> tuple[Figure, ...]:
    """Draw the 3D panel in place; text but for names and ids is left to the caller.

    Args:
        panel: (H, W, 3) BGR to draw on.
        area: the part of it in which the people belong; the floor may reach beyond.
        estimate: what to draw.
        view: from where, and the stage remembered so far, this estimate included.

    Returns:
        The people that were drawn, in the estimate's order.
    """
    people = tuple(p for p in figures(estimate, view) if np.isfinite(p.joints).any())
    cameras = calibrated(view)
    stage = view.stage
    known = stage is not None and bool(np.isfinite(stage.root).all())
    if stage is None or not known:
        stage = replace(stage or Stage(0, np.zeros(3), 0), root=np.array([0, 4000.0, 0]), floor=-900.0)
    world = len(cameras) > 1
    R = world_axes(cameras)[0] if world else np.eye(3)
    floor = stage.floor
    if world:
        # The middle of what the cameras see, not the people: the cameras stay where they are in the picture.
        place, reach = volume(cameras, R)
        floor = floor if known else place[2] - 900
        middle, radius = np.array([*place[:2], floor]), max(reach * 0.95, _FLOOR_RADIUS)
        centres = np.array([R @ c.centre for c in cameras])
        height = min(max(float(centres[:, 2].mean() - floor) * 0.5, 800.0), 1300.0)
        look = _fit_cameras(replace(view, zoom=1.0), area, middle + [0, 0, height], centres)
        look = replace(look, focal=look.focal * view.zoom)
    else:
        extent = min(max(_EXTENT, _ARMS + 2 * stage.reach), _MOST_EXTENT)
        middle, radius = np.array([*stage.root[:2], floor]), max(_FLOOR_RADIUS, stage.reach + 900)
        # Looked at above the middle of a person, which leaves room for raised arms.
        look = eye(view, area, middle + [0, 0, 1000.0], extent)
    _draw_floor(panel, look, middle, radius)
    used = {name for p in people for name in p.used} if any(p.method for p in people) else {c.name for c in cameras}
    taken: list[draw.Rect] = []
    for camera in cameras if world else ():
        _draw_camera(panel, look, camera, R, camera.name in used, taken)
    moves = {p.person_id: shift(p, view) for p in people}
    for person in people:
        _draw_shadow(panel, look, person.joints + moves[person.person_id], float(middle[2]))
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
            joints = person.joints + moves[person_id]
            _draw_label(panel, look, person_id, joints, own, person_id == view.selected, taken)
    return people
