"""The composed picture: camera images with their 2D skeletons, the 3D panel and what is known of the run. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from calibration.arrays import Image
from stream.drawing import primitives as draw
from stream.drawing.facts import Status, draw_facts_box
from stream.drawing.figures import Figure, follow
from stream.drawing.panel import draw_scene
from stream.drawing.primitives import Rect
from stream.drawing.scene import ViewState, calibrated, gravity_known
from stream.drawing.tiles import draw_tile
from stream.types import Estimate, FrameReference

_LEFT_SHARE: Final = 0.6  # of the width, at most, for the cameras
_INFO: Final = 136  # px: the least height of the box with hypotheses and status
_GAP: Final = 8


def compose(images: Mapping[str, Image | None], estimate: Estimate, status: Status, view: ViewState) -> Image:
    """The picture of one frame set.

    Args:
        images: camera name -> (H, W, 3) BGR, None or absent for a camera without a frame. Not written on.
        estimate: the result of the frame set.
        status: what is written in the corner.
        view: the size of the picture, the cameras, from where the 3D panel is seen, and who was seen so far.

    Returns:
        (height, width, 3) uint8 BGR of ``view.size``, writable.

    Raises:
        ValueError: if ``view.size`` is below 640x360: the text has a size of its own.
    """
    width, height = view.size
    if width < 640 or height < 360:
        raise ValueError(f"a picture of {width}x{height} has no room for its text; 640x360 is the least")
    if view.stage is None or not {p.person_id for p in estimate.people} <= view.stage.places.keys():
        view = follow(view, estimate)
    canvas = np.empty((height, width, 3), np.uint8)
    draw.fill(canvas, draw.BACK)
    names = _names(estimate, view)
    shapes = [_shape(images.get(name), estimate.frames[k], view, k) for k, name in enumerate(names)]
    tiles, info, scene = _layout(shapes, view.size)
    for index, (name, tile) in enumerate(zip(names, tiles, strict=True)):
        draw_tile(canvas, tile, images.get(name), estimate, index, view, name if len(names) > 1 else "")
    x, y, w, h = scene
    panel = np.empty((h, w, 3), np.uint8)
    draw.fill(panel, draw.PANEL)
    people = draw_scene(panel, (0, 44, w, h - 44 - 30), estimate, view)
    _label_scene(panel, people, estimate, status, view)
    canvas[y : y + h, x : x + w] = panel
    draw_facts_box(canvas, info, people, view, status)
    return canvas


def _names(estimate: Estimate, view: ViewState) -> list[str]:
    """Camera names in order; those of the header, or without one those that the frames tell."""
    if len(view.cameras) == len(estimate.frames):
        return [camera.name for camera in view.cameras]
    return [f"camera {k}" if frame is None else frame.camera for k, frame in enumerate(estimate.frames)]


def _shape(image: Image | None, frame: FrameReference | None, view: ViewState, index: int) -> tuple[int, int]:
    """Width and height of a camera's image, from whatever knows it, so that an absent frame keeps its place."""
    if image is not None:
        return image.shape[1], image.shape[0]
    known = frame.size if frame is not None else view.cameras[index].size if index < len(view.cameras) else None
    return known or (16, 9)


def _layout(shapes: list[tuple[int, int]], size: tuple[int, int]) -> tuple[list[Rect], Rect, Rect]:
    """Where the cameras' images, the box of facts and the 3D panel go; they never overlap."""
    width, height = size
    left = round(width * _LEFT_SHARE)
    if len(shapes) == 1:
        w, h = shapes[0]
        scale = min(left / w, height / h)
        w, h = round(w * scale), round(h * scale)
        right = (w + _GAP, 0, width - w - _GAP, height)
        if height - h - _GAP >= _INFO:
            return [(0, 0, w, h)], (0, h + _GAP, w, height - h - _GAP), right
        tiles = [(0, (height - h) // 2, w, h)]
    else:
        tiles = _grid(shapes, (left, height))
        left = max(x + w for x, _, w, _ in tiles)
        right = (left + _GAP, 0, width - left - _GAP, height)
    x, _, w, _ = right
    return tiles, (x, height - _INFO, w, _INFO), (x, 0, w, height - _INFO - _GAP)


def _grid(shapes: list[tuple[int, int]], size: tuple[int, int]) -> list[Rect]:
    """The grid that shows the most of the images, packed to the left and centred in the height."""
    best: list[Rect] = []
    for columns in range(1, len(shapes) + 1):
        rows = -(-len(shapes) // columns)
        most = (size[0] - _GAP * (columns - 1)) // columns, (size[1] - _GAP * (rows - 1)) // rows
        fits = [draw.fit(shape, (0, 0, *most)) for shape in shapes]
        # The cell is as large as the largest image in it, so that no stripes are left between the images.
        cell = max(f[2] for f in fits), max(f[3] for f in fits)
        top = (size[1] - rows * cell[1] - (rows - 1) * _GAP) // 2
        tiles = [
            draw.fit(shape, (k % columns * (cell[0] + _GAP), top + k // columns * (cell[1] + _GAP), *cell))
            for k, shape in enumerate(shapes)
        ]
        if not best or sum(t[2] * t[3] for t in tiles) > sum(t[2] * t[3] for t in best):
            best = tiles
    return best


def scene_title(people: Sequence[Figure], cameras: int, of_several: bool) -> str:
    """What the 3D panel shows."""
    if not people:
        return "nobody in view"
    fused = [p for p in people if p.method]
    if len(people) > 1:
        methods = list(dict.fromkeys(p.method for p in fused if p.method not in ("single", "disputed")))
        disputed = sum(p.method == "disputed" for p in people)
        single = len(people) - disputed - sum(p.method in methods for p in people) if fused else 0
        how = [f"fused · {', '.join(methods)}"] if methods else []
        how += [f"views disagree on {disputed}"] if disputed else []
        how += [f"{single if methods or disputed else 'each'} in a single view"] if single else []
        if not fused:
            count = max(len(p.ghosts) for p in people) + 1
            how = [f"{count} hypotheses each" if count > 1 else "1 hypothesis each"]
            how += [people[0].camera] if of_several else []
        return " · ".join([f"{len(people)} people", *how])
    person = people[0]
    if person.method:
        named = {"single": "single view", "disputed": "views disagree"}
        title = named.get(person.method, f"fused · {person.method}")
        return f"{title} · {len(person.used)} of {cameras} cameras"
    count = len(person.ghosts) + 1
    title = f"{count} hypotheses; p = {person.probability:.2f}" if count > 1 else "1 hypothesis"
    return title + (f" · {person.camera}" if of_several else "")


def _label_scene(panel: Image, people: Sequence[Figure], estimate: Estimate, status: Status, view: ViewState) -> None:
    """What the 3D panel shows, above it; how to read it, below it."""
    h, w = panel.shape[:2]
    end = w - 16
    if status.recording:
        end -= draw.text(panel, "recording", (end, 30), draw.RED, 14, 600, "right") + 10
        draw.disc(panel, np.array([end, 25.5]), 5, draw.RED)
        end -= 18
    if view.paused:
        end -= draw.text(panel, "paused", (end, 30), draw.SIDE_RIGHT, 14, 600, "right") + 14
    title = scene_title(people, len(view.cameras), len(estimate.frames) > 1)
    title += f" · {estimate.left_out} more not followed" if estimate.left_out else ""
    draw.text(panel, draw.fit_text(title, end - 20, 17, 550), (16, 30), draw.TEXT, 17, 550)
    floor = "floor level by calibration" if gravity_known(view) else "floor assumed: the image's up is up"
    grid = "grid 1 m" if len(calibrated(view)) > 1 else "grid 0.5 m"
    angle = f"seen from {abs(view.yaw):.0f}° {'right' if view.yaw >= 0 else 'left'}"
    words = f"{floor} · {grid} · {angle}"
    draw.text(panel, draw.fit_text(words, w - 28, 12), (16, h - 12), draw.DIM, 12)
