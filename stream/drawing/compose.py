"""The composed picture: camera images with their 2D skeletons, the 3D panel and what is known of the run. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.arrays import Image
from stream.drawing import primitives as draw
from stream.drawing.facts import Status, draw_facts_box
from stream.drawing.figures import Figure, follow
from stream.drawing.keys import draw_keys
from stream.drawing.layout import Layout, arrange, scene_area
from stream.drawing.panel import draw_scene
from stream.drawing.scene import ViewState, calibrated
from stream.drawing.sheet import Sheet, text_scale
from stream.drawing.tiles import draw_tile
from stream.recordings.run_info import up_in_words
from stream.types import Estimate, FrameReference


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
    tiles, info, scene = layout_of(images, estimate, view)
    for index, (name, tile) in enumerate(zip(names, tiles, strict=True)):
        draw_tile(canvas, tile, images.get(name), estimate, index, view, name if len(names) > 1 else "")
    x, y, w, h = scene
    draw.fill(canvas[y : y + h, x : x + w], draw.PANEL)
    x0, y0, w0, h0 = scene_area(scene, view.size)
    # On a picture of its own: nothing that is drawn reaches over the title and the caption.
    panel = np.empty((h0, w0, 3), np.uint8)
    draw.fill(panel, draw.PANEL)
    people = draw_scene(panel, (0, 0, w0, h0), estimate, view)
    canvas[y0 : y0 + h0, x0 : x0 + w0] = panel
    _label_scene(canvas[y : y + h, x : x + w], people, estimate, status, view)
    draw_facts_box(canvas, info, people, view, status)
    if view.keys:
        draw_keys(canvas)
    return canvas


def layout_of(images: Mapping[str, Image | None], estimate: Estimate, view: ViewState) -> Layout:
    """Where everything is in the picture that ``compose`` makes of the same."""
    names = _names(estimate, view)
    return arrange([_shape(images.get(n), estimate.frames[k], view, k) for k, n in enumerate(names)], view.size)


def _names(estimate: Estimate, view: ViewState) -> list[str]:
    """Camera names in order; those of the header, or without one those that the frames tell."""
    if len(view.cameras) == len(estimate.frames):
        return [camera.name for camera in view.cameras]
    return [f"camera {k}" if frame is None else frame.camera for k, frame in enumerate(estimate.frames)]


def _shape(image: Image | None, frame: FrameReference | None, view: ViewState, index: int) -> tuple[int, int]:
    """Width and height of a camera's image, from whatever knows it, so that an absent frame keeps its place."""
    if frame is not None:
        return frame.size  # a picture of another computer is smaller
    if image is not None:
        return image.shape[1], image.shape[0]
    known = view.cameras[index].size if index < len(view.cameras) else None
    return known or (16, 9)


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


def _label_scene(image: Image, people: Sequence[Figure], estimate: Estimate, status: Status, view: ViewState) -> None:
    """What the 3D panel shows, above it; how to read it, below it."""
    panel = Sheet(image, text_scale(view.size))
    w, h = panel.size
    end = w - 16
    if status.recording:
        end -= panel.text("recording", (end, 30), draw.RED, 14, 600, "right") + 10
        panel.disc(np.array([end, 25.5]), 5, draw.RED)
        end -= 18
    if view.ended or view.paused:
        words = "end: q quits" if view.ended else "paused"
        end -= panel.text(words, (end, 30), draw.SIDE_RIGHT, 14, 600, "right") + 14
    title = scene_title(people, len(view.cameras), len(estimate.frames) > 1)
    if not people and view.camera is not None and not calibrated(view) and view.camera < len(view.cameras):
        title += f" · {view.cameras[view.camera].name}"
    title += f" · {estimate.left_out} more not followed" if estimate.left_out else ""
    panel.text(panel.fit_text(title, end - 20, 17, 550), (16, 30), draw.TEXT, 17, 550)
    told = captions(view)
    if status.recording and status.take:
        take = f"recording into {status.take}"
        told = [*(f"{take} · {words}" for words in (*told[:-1], up_in_words(view.cameras).partition(":")[0])), take]
    words = next((c for c in told if panel.text_size(c, 12) <= w - 28), told[-1])
    panel.text(panel.fit_text(words, w - 28, 12), (16, h - 12), draw.DIM, 12)


def captions(view: ViewState) -> list[str]:
    """How to read the 3D panel, in the most words first."""
    up = up_in_words(view.cameras)
    grid = "grid 1 m" if len(calibrated(view)) > 1 else "grid 0.5 m"
    side, above = ("right" if view.yaw >= 0 else "left"), ("above" if view.pitch >= 0 else "below")
    angle = f"from {abs(view.yaw):.0f}° {side}, {abs(view.pitch):.0f}° {above}"
    more = ["mirrored"] if view.mirror else []
    short = up.partition(":")[0]
    return [" · ".join(words) for words in (
        [up, grid, f"seen {angle}", *more], [short, grid, angle, *more], [short, angle, *more], [angle, *more],
    )]  # fmt: skip
