"""Where the parts of the composed picture go, for its size and the shapes of the cameras' images. Pure geometry."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from stream.drawing import primitives as draw
from stream.drawing.primitives import Rect
from stream.drawing.sheet import text_scale

_SHARES: Final = (0.6, 0.5)
"""Of the width, at most, for the cameras."""
_INFO: Final = 136
"""The least height of the box with hypotheses and status, for a picture of 1280x720."""
_TOP, _FOOT, _GAP = 44, 30, 8
_TALL: Final = 0.95  # height over width from which the parts stand one above the other


class Layout(NamedTuple):
    """Rectangles in pixels, none over another."""

    tiles: list[Rect]
    """One a camera: exactly its image."""
    info: Rect
    """The box of facts."""
    scene: Rect
    """The 3D panel, its title and its caption included."""


def arrange(shapes: Sequence[tuple[int, int]], size: tuple[int, int]) -> Layout:
    """Where the cameras' images, the box of facts and the 3D panel go.

    Args:
        shapes: width and height of each camera's image, at least one.
        size: width and height of the picture, pixels.
    """
    scale = text_scale(size)
    width, height = size
    if height > _TALL * width:
        return _stacked(shapes, size, scale)
    if len(shapes) == 1:
        return _beside(shapes, size, _SHARES[0], scale)
    # Images that stand upright leave half of the width: they would fill the height, and the 3D panel be a strip.
    upright = sum(h > w for w, h in shapes) * 2 > len(shapes)
    made = [_beside(shapes, size, share, scale) for share in (_SHARES[1:] if upright else _SHARES)]
    return max(made, key=lambda layout: _worth(layout, scale))


def scene_area(scene: Rect, size: tuple[int, int]) -> Rect:
    """Of the 3D panel what lies between its title and its caption, where people are drawn."""
    x, y, w, h = scene
    top, foot = round(_TOP * text_scale(size)), round(_FOOT * text_scale(size))
    return x, y + top, w, h - top - foot


def _worth(layout: Layout, scale: float) -> float:
    _, _, w, h = layout.scene
    figure = min(w, h - (_TOP + _FOOT) * scale)
    return sum(w * h for _, _, w, h in layout.tiles) * max(figure, 1.0) ** 1.5


def _beside(shapes: Sequence[tuple[int, int]], size: tuple[int, int], share: float, scale: float) -> Layout:
    """Cameras on the left, the 3D panel on the right, the facts below the one that leaves room."""
    width, height = size
    info, gap = round(_INFO * scale), round(_GAP * scale)
    tiles = _grid(shapes, (round(width * share), height), gap)
    right = max(x + w for x, _, w, _ in tiles)
    high = max(y + h for _, y, _, h in tiles) - min(y for _, y, _, _ in tiles)
    scene = (right + gap, 0, width - right - gap, height)
    if height - high - gap >= info:
        top = min(y for _, y, _, _ in tiles)
        tiles = [(x, y - top, w, h) for x, y, w, h in tiles]
        return Layout(tiles, (0, high + gap, right, height - high - gap), scene)
    x, _, w, _ = scene
    return Layout(tiles, (x, height - info, w, info), (x, 0, w, height - info - gap))


def _stacked(shapes: Sequence[tuple[int, int]], size: tuple[int, int], scale: float) -> Layout:
    """One above the other, for a tall picture."""
    width, height = size
    info, gap = round(_INFO * scale), round(_GAP * scale)
    tiles = _grid(shapes, (width, round((height - info - 2 * gap) * 0.45)), gap)
    top, foot = min(y for _, y, _, _ in tiles), max(y + h for _, y, _, h in tiles)
    side = (width - max(x + w for x, _, w, _ in tiles)) // 2
    tiles = [(x + side, y - top, w, h) for x, y, w, h in tiles]
    at = foot - top + gap
    return Layout(tiles, (0, height - info, width, info), (0, at, width, height - info - gap - at))


def _grid(shapes: Sequence[tuple[int, int]], size: tuple[int, int], gap: int) -> list[Rect]:
    """The grid that shows the most of the images, packed to the left and centred in the height."""
    best: list[Rect] = []
    for columns in range(1, len(shapes) + 1):
        rows = -(-len(shapes) // columns)
        most = (size[0] - gap * (columns - 1)) // columns, (size[1] - gap * (rows - 1)) // rows
        if min(most) < 2:
            continue
        fits = [draw.fit(shape, (0, 0, *most)) for shape in shapes]
        # The cell is as large as the largest image in it, so that no stripes are left between the images.
        cell = max(f[2] for f in fits), max(f[3] for f in fits)
        top = (size[1] - rows * cell[1] - (rows - 1) * gap) // 2
        tiles = [
            draw.fit(shape, (k % columns * (cell[0] + gap), top + k // columns * (cell[1] + gap), *cell))
            for k, shape in enumerate(shapes)
        ]
        if not best or sum(t[2] * t[3] for t in tiles) > sum(t[2] * t[3] for t in best):
            best = tiles
    return best
