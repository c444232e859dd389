"""The composed picture: camera images with their 2D skeletons, the 3D panel and what is known of the run. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Image
from calibration.geometry.camera import resize_pixels
from engines.skeleton import EDGES, JOINTS, PELVIS, SPINE, THORAX
from engines.types import Detection
from stream.drawing import primitives as draw
from stream.drawing.panel import draw_scene
from stream.drawing.primitives import Rect
from stream.drawing.scene import Figure, ViewState, calibrated, gravity_known
from stream.types import Estimate, FrameReference, View

_LEFT_SHARE: Final = 0.6  # of the width, at most, for the cameras
_INFO: Final = 136  # px: the least height of the box with hypotheses and status
_GAP: Final = 8


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the run besides the estimate."""

    fps: float | None = None
    """Frame sets a second, measured."""
    latency_ms: float | None = None
    """From grab to estimate, milliseconds; None for files."""
    drops: int = 0
    """Frames and frame sets that were dropped so far."""
    detector: str = ""
    """Which detector answers."""
    runtime: str = ""
    """What the lifter runs on."""
    note: str = ""
    """One line to be told, such as that a sink stopped; empty = nothing."""
    recording: bool = False
    """Whether a recording is being written."""
    skew_ms: tuple[float, float, float] | None = None
    """p50, p95 and maximum of the time between the frames of a frame set; None with one camera."""
    done: int = 0
    """Frame sets done so far."""
    total: int | None = None
    """Frame sets there will be, where a file tells."""


def compose(images: Mapping[str, Image | None], estimate: Estimate, status: Status, view: ViewState) -> Image:
    """The picture of one frame set.

    Args:
        images: camera name -> (H, W, 3) BGR, None or absent for a camera without a frame. Not written on.
        estimate: the result of the frame set.
        status: what is written in the corner.
        view: the size of the picture, the cameras, and from where the 3D panel is seen.

    Returns:
        (height, width, 3) uint8 BGR of ``view.size``, writable.

    Raises:
        ValueError: if ``view.size`` is below 640x360: the text has a size of its own.
    """
    width, height = view.size
    if width < 640 or height < 360:
        raise ValueError(f"a picture of {width}x{height} has no room for its text; 640x360 is the least")
    canvas = np.empty((height, width, 3), np.uint8)
    draw.fill(canvas, draw.BACK)
    names = _names(estimate, view)
    shapes = [_shape(images.get(name), estimate.frames[k], view, k) for k, name in enumerate(names)]
    tiles, info, scene = _layout(shapes, view.size)
    for index, (name, tile) in enumerate(zip(names, tiles, strict=True)):
        frame, seen = estimate.frames[index], estimate.views_of(index)
        _draw_tile(canvas, tile, images.get(name), frame, seen, name if len(names) > 1 else "")
    x, y, w, h = scene
    panel = np.empty((h, w, 3), np.uint8)
    draw.fill(panel, draw.PANEL)
    person = draw_scene(panel, (0, 44, w, h - 44 - 30), estimate, view)
    _label_scene(panel, person, estimate, status, view)
    canvas[y : y + h, x : x + w] = panel
    _draw_info(canvas, info, person, status)
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


def _fit(size: tuple[int, int], box: Rect) -> Rect:
    """The largest rectangle of a size's shape in the middle of a box."""
    x, y, w, h = box
    scale = min(w / size[0], h / size[1])
    fw, fh = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    return x + (w - fw) // 2, y + (h - fh) // 2, fw, fh


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
        fits = [_fit(shape, (0, 0, *most)) for shape in shapes]
        # The cell is as large as the largest image in it, so that no stripes are left between the images.
        cell = max(f[2] for f in fits), max(f[3] for f in fits)
        top = (size[1] - rows * cell[1] - (rows - 1) * _GAP) // 2
        tiles = [
            _fit(shape, (k % columns * (cell[0] + _GAP), top + k // columns * (cell[1] + _GAP), *cell))
            for k, shape in enumerate(shapes)
        ]
        if not best or sum(t[2] * t[3] for t in tiles) > sum(t[2] * t[3] for t in best):
            best = tiles
    return best


def _draw_tile(
    canvas: Image, tile: Rect, image: Image | None, frame: FrameReference | None, seen: Sequence[View], name: str
) -> None:
    """One camera: its image with the skeletons, or that there is none."""
    x, y, w, h = tile
    part = canvas[y : y + h, x : x + w]
    if image is None:
        draw.fill(part, draw.PANEL)
        corners = np.array([[[k, 0], [k - h, h]] for k in range(0, w + h, 28)], float)
        draw.polylines(part, corners, draw.FLOOR, 2)
        draw.tag(part, "no frame", (w // 2, h // 2 - 13), draw.DIM, align="centre")
    else:
        part[:] = draw.shrink(image, (w, h))
        if frame is not None:
            for view in seen:
                draw_skeleton(part, view.detection, (w / frame.size[0], h / frame.size[1]))
        if not seen:
            draw.tag(part, "nobody in view", (w // 2, h - 34), draw.TEXT, align="centre")
    if name:
        draw.tag(part, draw.fit_text(name, w - 30, 13), (6, 6), size=13)


def draw_skeleton(image: Image, detection: Detection, scale: tuple[float, float]) -> None:
    """Draw a detection on an image (H, W, 3) in place.

    Filled with the colour of the score and rimmed with the colour of the side; what is not seen is not drawn, and a
    derived joint is a small dot.

    Args:
        image: the image, already resized.
        detection: joints in pixels of the full image.
        scale: (x, y) by which the image was resized.
    """
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
    rim = 2 if inner > 1 else 1
    for a, b in EDGES:
        if seen[a] and seen[b]:
            draw.line(image, xy[a], xy[b], draw.mix(draw.side_colour(b), draw.BACK, 0.1), inner + 2 * rim)
    for a, b in EDGES:
        if seen[a] and seen[b]:
            draw.line(image, xy[a], xy[b], draw.score_colour(float(min(detection.score[[a, b]]))), inner)
    for joint in np.flatnonzero(seen):
        radius = inner * (0.75 if detection.derived[joint] else 1.3) + 0.5
        draw.disc(image, xy[joint], radius + rim, draw.side_colour(int(joint)))
        draw.disc(image, xy[joint], radius, draw.score_colour(float(detection.score[joint])))


def _label_scene(panel: Image, person: Figure | None, estimate: Estimate, status: Status, view: ViewState) -> None:
    """What the 3D panel shows, above it; how to read it, below it."""
    h, w = panel.shape[:2]
    end = w - 16
    if status.recording:
        end -= draw.text(panel, "recording", (end, 30), draw.RED, 14, 600, "right") + 10
        draw.disc(panel, np.array([end, 25.5]), 5, draw.RED)
        end -= 18
    if view.paused:
        end -= draw.text(panel, "paused", (end, 30), draw.SIDE_RIGHT, 14, 600, "right") + 14
    title = "nobody in view"
    if person is not None and person.method:
        title = "single view" if person.method == "single" else f"fused · {person.method}"
        title += f" · {len(person.used)} of {len(view.cameras)} cameras"
    elif person is not None:
        count = len(person.ghosts) + 1
        title = f"{count} hypotheses; p = {person.probability:.2f}" if count > 1 else "1 hypothesis"
        title += f" · {person.camera}" if len(estimate.frames) > 1 else ""
    draw.text(panel, draw.fit_text(title, end - 20, 17, 550), (16, 30), draw.TEXT, 17, 550)
    floor = "floor level by calibration" if gravity_known(view) else "floor assumed: the image's up is up"
    grid = "grid 1 m" if len(calibrated(view)) > 1 else "grid 0.5 m"
    angle = f"seen from {abs(view.yaw):.0f}° {'right' if view.yaw >= 0 else 'left'}"
    words = f"{floor} · {grid} · {angle}"
    draw.text(panel, draw.fit_text(words, w - 28, 12), (16, h - 12), draw.DIM, 12)


def _draw_info(canvas: Image, box: Rect, person: Figure | None, status: Status) -> None:
    """The box of facts: probabilities of the hypotheses, and the state of the run."""
    x, y, w, h = box
    part = np.empty((h, w, 3), np.uint8)
    draw.fill(part, draw.PANEL)
    if status.note:
        draw.text(part, draw.fit_text(status.note, w - 32, 13), (16, h - 14), draw.SIDE_RIGHT, 13, 600)
        h -= 22
    split = round(w * 0.52)
    _draw_bars(part, (16, 14, split - 32, h - 28), person)
    _draw_status(part, (split + 8, 14, w - split - 24, h - 28), status)
    canvas[box[1] : box[1] + box[3], x : x + w] = part


def _draw_bars(image: Image, box: Rect, person: Figure | None) -> None:
    """The probability of each hypothesis, the answer first, and the key to the colours."""
    x, y, w, h = box
    key = y + h - 4
    at = x
    for words, colour in (("left", draw.SIDE_LEFT), ("right", draw.SIDE_RIGHT)):
        draw.disc(image, np.array([at + 5.0, key - 4.5]), 5, colour)
        at += 15 + draw.text(image, words, (at + 15, key), draw.DIM, 12) + 14
    at += draw.text(image, "2D score 0", (at, key), draw.DIM, 12) + 6
    ramp = min(90, x + w - at - 14)
    if ramp > 20:
        strip = cv2.resize(draw.score_colours()[None], (ramp, 8), interpolation=cv2.INTER_AREA)
        image[key - 9 : key - 1, at : at + ramp] = strip
        draw.text(image, "1", (at + ramp + 6, key), draw.DIM, 12)
    if person is None or not person.ghosts:
        for k, words in enumerate(_sigma_words(person)):
            draw.text(image, draw.fit_text(words, w, 13), (x, y + 14 + 20 * k), draw.DIM, 13)
        return
    shown = [person.probability, *(p for _, p in reversed(person.ghosts))]
    room = h - 26
    rows = min(len(shown), max(room // 15, 1))
    pitch = min(room / rows, 32.0)
    size = 12 if pitch < 24 else 14
    for k, probability in enumerate(shown[:rows]):
        middle = y + pitch * (k + 0.5)
        left, right = np.array([x + draw.text_size("answer", size) + 14.0, middle]), x + w - 44.0
        thick = 6 if pitch < 24 else 10
        draw.text(image, "answer" if k == 0 else f"{k + 1}", (x, round(middle) + 5), draw.DIM, size)
        draw.line(image, left, np.array([right, middle]), draw.FLOOR, thick)
        end = left + [(right - left[0]) * min(max(probability, 0.0), 1.0), 0]
        if end[0] - left[0] > 1:
            draw.line(
                image,
                left,
                end,
                draw.TEXT if k == 0 else draw.mix(draw.DIM, draw.PANEL, 0.25),
                thick,
            )
        draw.text(image, f"{probability:.2f}", (x + w, round(middle) + 5), draw.TEXT, size, align="right")


def _sigma_words(person: Figure | None) -> list[str]:
    """How sure a fused pose is, in words."""
    if person is None or person.cov is None:
        return ["no hypotheses"]
    sigma = np.sqrt(np.trace(person.cov, axis1=1, axis2=2) / 3)
    if not np.isfinite(sigma).any():
        return ["no standard deviation known"]
    worst = int(np.nanargmax(sigma))
    return [
        f"discs: 1 σ, median {np.nanmedian(sigma):.0f} mm",
        f"largest {sigma[worst]:.0f} mm: {JOINTS[worst].replace('_', ' ')}",
    ]


def status_facts(status: Status) -> list[tuple[str, str]]:
    """The facts of a status as (what, value), those that are known."""
    facts = [("fps", "–" if status.fps is None else f"{status.fps:.1f}")]
    if status.latency_ms is not None:
        facts.append(("latency", f"{status.latency_ms:.0f} ms"))
    facts.append(("drops", str(status.drops)))
    if status.skew_ms is not None:
        facts.append(("skew", "/".join(f"{ms:.1f}" for ms in status.skew_ms) + " ms"))
    facts += [("detector", status.detector or "–"), ("runtime", status.runtime or "–")]
    return facts


def _draw_status(image: Image, box: Rect, status: Status) -> None:
    x, y, w, h = box
    facts = status_facts(status)
    pitch = min(h / len(facts), 32)
    size = 13 if pitch < 24 else 15
    for k, (what, value) in enumerate(facts):
        base = round(y + pitch * (k + 0.5)) + 5
        draw.text(image, what, (x, base), draw.DIM, size)
        draw.text(image, draw.fit_text(value, w - 6 * size, size), (x + 6 * size, base), draw.TEXT, size)
