"""Which board a picture shows, whichever was named: for the message when the one that was named is not found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np

from calibration.arrays import Array, Image, Ints
from calibration.solving.board import Board, dictionary_of
from calibration.solving.charuco import Markers, crowd, detector_parameters, read_markers, repeated, side_in_squares

_OFTEN: Final = ("DICT_4X4_250", "DICT_5X5_250", "DICT_6X6_250", "DICT_7X7_250", "DICT_APRILTAG_36h11")
_SELDOM: Final = (
    "DICT_4X4_1000", "DICT_5X5_1000", "DICT_6X6_1000", "DICT_7X7_1000", "DICT_ARUCO_ORIGINAL", "DICT_ARUCO_MIP_36h12",
    "DICT_APRILTAG_16h5", "DICT_APRILTAG_25h9",
)  # fmt: skip
"""Dictionaries that hold all others: those of 50 and 100 are the beginnings of those of 250, and these of 1000."""
_PASSES: Final = ((1, _OFTEN), (1, _SELDOM), (2, _OFTEN[-1:]))
"""Modules of the border, and dictionaries. Kalibr's AprilTags have a border of two."""
_SMALLEST: Final = 11.0
"""Pixels of the largest quadrangle, a board's square, below which not even the simplest marker can be read."""
_SIZES: Final = (50, 100, 250, 1000)
_WIDEST: Final = 24
"""Squares across that are tried."""
_LEAST: Final = 4
"""Markers that tell a layout; fewer may be chance."""
_SHARE: Final = 0.75
"""Of the markers that must lie as a layout has them."""
_WHOLE: Final = 30
"""Squares of a chessboard that are no piece of something else."""
_READABLE: Final = 30.0
"""Pixels to which small markers are enlarged."""
_LARGE: Final = 2_000_000
"""Pixels of a picture above which a chessboard is looked for in a smaller one."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a picture shows."""

    kind: Literal["charuco", "grid", "markers", "chessboard", "nothing"]
    """A ChArUco board, markers in a plain grid, markers in no known order, a chessboard, or none of them."""
    dictionary: str = ""
    """The smallest dictionary that holds the markers."""
    ids: tuple[int, ...] = ()
    """Of the markers, in order."""
    squares: tuple[int, int] | None = None
    """Squares across and down, as far as markers tell; of a chessboard, from its inner corners."""
    legacy: bool = False
    """Whether a ChArUco board has the pattern of OpenCV before 4.6."""
    first_id: int = 0
    """Number of its first marker."""
    share: float = float("nan")
    """Side of a marker in squares."""
    square_px: float = float("nan")
    """Least side of a square, pixels: across the slant where it is slanted."""
    slant: float = float("nan")
    """Degrees by which the board is turned away, roughly."""
    mirrored: bool = False
    """Whether the picture shows it as a mirror does."""
    twice: bool = False
    """Whether markers occur twice: two boards."""
    quads: int = 0
    """Quadrangles as close together as a board's, in which nothing could be read."""
    quad_px: float = float("nan")
    """Their side, pixels; the shorter one where they are slanted."""
    brightness: float = float("nan")
    """Mean of the picture, 0 to 255."""


def recognise(grey: Image, named: Board | None = None) -> Seen:
    """What board is in a picture (H, W).

    Args:
        grey: the picture.
        named: the board that was looked for: of layouts that fit alike, its own is taken.
    """
    brightness = float(grey.mean())
    if named is not None and named.kind == "chessboard":
        board = _chessboard(grey)
        if board.squares is not None and board.squares[0] * board.squares[1] >= _WHOLE:
            return replace(board, brightness=brightness)
    first = read_markers(_OFTEN[0], grey, inverted=True)
    quads = crowd(np.concatenate([first.rest, first.xy]), np.inf)
    px = _side(quads, 25)
    large = max((_side(quad[None], 50) for quad in np.concatenate([first.rest, first.xy])), default=0.0)
    part, factor = _part(grey, quads) if len(quads) else (grey, np.ones(2))
    board = Seen("nothing")
    # What is likely comes first: each pass takes as long as a second on a large board.
    for passes in (_PASSES[:1], _PASSES[1:]):
        for mirrored in (False, True) if large >= _SMALLEST else ():
            image = np.ascontiguousarray(part[:, ::-1]) if mirrored else part
            family, markers = _read(image, passes)
            if len(markers.ids) < _LEAST:
                continue
            # Sizes are those in the picture, and where it lies does not matter here.
            seen = _layout(family, Markers(markers.ids, markers.xy / factor, markers.rest), named)
            # Another one may lie beside it.
            all_of_them = read_markers(family, np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey, inverted=True)
            seen = replace(seen, twice=seen.twice or repeated(all_of_them.ids))
            if seen.kind != "markers" or not mirrored:
                return replace(seen, mirrored=mirrored, brightness=brightness)
        if board.squares is None:
            board = _chessboard(grey)
        if not large >= _SMALLEST or (board.squares is not None and board.squares[0] * board.squares[1] >= _WHOLE):
            break
    return replace(board, quads=len(quads), quad_px=px, brightness=brightness)


def _part(grey: Image, quads: Array) -> tuple[Image, Array]:
    """The part of a picture around quadrangles, enlarged where they are small, and by how much (2,)."""
    side = np.median(np.ptp(quads, axis=1), axis=0)
    low = np.maximum(np.floor(quads.reshape(-1, 2).min(0) - 3 * side), 0).astype(int)
    high = np.minimum(np.ceil(quads.reshape(-1, 2).max(0) + 3 * side), [grey.shape[1], grey.shape[0]]).astype(int)
    factor = np.clip(_READABLE / side, 1, 4)
    factor = np.maximum(factor * min(1.0, float(np.sqrt(3e6 / np.prod((high - low) * factor)))), 1.0)
    size = np.round(factor * (high - low)).astype(int)
    part = cv2.resize(grey[low[1] : high[1], low[0] : high[0]], size.tolist(), interpolation=cv2.INTER_CUBIC)
    return np.asarray(part, np.uint8), size / (high - low)


def _side(quads: Array, percent: float) -> float:
    """The shorter side of quadrangles (n, 4, 2), with what is not traced of it; few per cent: markers, not squares."""
    side = np.linalg.norm(quads - np.roll(quads, 1, 1), axis=-1)
    short = np.minimum(side[:, 0] + side[:, 2], side[:, 1] + side[:, 3]) / 2
    return float(np.percentile(short, percent) + 1) if len(quads) else np.nan


def smallest_dictionary(family: str, last: int) -> str:
    """The name of the smallest dictionary of a family that has a marker of that number."""
    name, _, held = family.rpartition("_")
    return f"{name}_{next(n for n in _SIZES if last < n)}" if held in ("250", "1000") else family


def _read(grey: Image, passes: Sequence[tuple[int, tuple[str, ...]]]) -> tuple[str, Markers]:
    """The dictionary of most markers, and those."""
    size = (grey.shape[1], grey.shape[0])
    best, most = ("", Markers(np.empty(0, int), np.empty((0, 4, 2)), np.empty((0, 4, 2)))), 0
    for border, families in passes:
        if most >= _LEAST:
            break
        detector = cv2.aruco.ArucoDetector(
            [dictionary_of(name) for name in families], detector_parameters(size, inverted=True, border=border)
        )
        corners, ids, rest, which = detector.detectMarkersMultiDict(grey)
        quads = np.asarray(rest, float).reshape(-1, 4, 2)
        if ids is None or not len(ids):
            continue
        ids, which, xy = np.ravel(ids), np.ravel(which), np.reshape(corners, (-1, 4, 2)).astype(float)
        counts = np.bincount(which, minlength=len(families))
        # Two of a dictionary of few bits are chance where others read more.
        if counts.max() > most:
            most, k = int(counts.max()), int(np.argmax(counts))
            best = families[k], Markers(ids[which == k].astype(int), xy[which == k], quads)
    return best


def _layout(family: str, markers: Markers, named: Board | None) -> Seen:
    """The board on which the markers lie so."""
    ids = np.unique(markers.ids)
    plain = Seen(
        "markers", smallest_dictionary(family, int(ids[-1])), tuple(int(i) for i in ids),
        quad_px=_side(markers.xy, 50), twice=repeated(markers.ids),
    )  # fmt: skip
    middle = markers.xy.mean(1)
    best: tuple[tuple[float, ...], Seen] | None = None
    for group in _candidates(ids, named):
        for kind, squares, legacy, first in group:
            there = _places(kind, squares, legacy, markers.ids - first)
            if np.ptp(there, axis=0).min() == 0:
                continue
            H = cv2.findHomography(middle, there, cv2.RANSAC, 0.3, maxIters=100)[0]
            if H is None:
                continue
            H = np.asarray(H, float)
            good = np.linalg.norm(cv2.perspectiveTransform(middle[None], H)[0] - there, axis=1) < 0.3
            distinct = len(np.unique(markers.ids[good]))
            if distinct < max(_LEAST, _SHARE * len(ids)):
                continue
            mine = named if named is not None and named.kind == "charuco" else None
            as_named = mine is not None and squares == mine.squares and legacy == mine.legacy
            turned = mine is not None and squares == mine.squares[::-1]
            rank = (float(distinct), float(as_named), float(turned), -float(squares[1]))
            if best is None or rank > best[0]:
                best = rank, _described(plain, kind, squares, legacy, first, markers.xy[good], H)
        if best is not None and best[0][0] == len(ids):
            break
    return plain if best is None else best[1]


def _described(plain: Seen, kind: str, squares: tuple[int, int], legacy: bool, first: int, xy: Array, H: Array) -> Seen:
    """With the layout, and what the homography to squares tells of sizes."""
    local = cv2.perspectiveTransform(xy.reshape(1, -1, 2), H)[0].reshape(-1, 4, 2)
    share = side_in_squares(xy, H)
    # A square's two sides in pixels, in the middle of what was seen.
    back, at = np.linalg.inv(H), local.mean((0, 1))
    cross = cv2.perspectiveTransform((at + 0.5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1.0]]))[None], back)[0]
    long, short = np.linalg.svd(np.stack([cross[0] - cross[1], cross[2] - cross[3]]), compute_uv=False)
    slant = float(np.degrees(np.arccos(np.clip(short / long, 0, 1))))
    made = "charuco" if kind == "charuco" else "grid"
    return replace(
        plain, kind=made, squares=squares, legacy=legacy, first_id=first, share=share, square_px=float(short),
        slant=slant,
    )  # fmt: skip


def _candidates(ids: Ints, named: Board | None) -> Iterator[list[tuple[str, tuple[int, int], bool, int]]]:
    """Kind, squares, legacy and first id of the layouts worth trying, the likelier groups first."""
    low, high = int(ids[0]), int(ids[-1])
    tried: list[int] = [*([named.first_id] if named else []), 0, low]
    firsts = [first for first in dict.fromkeys(tried) if first <= low]
    if named is not None and named.kind == "charuco":
        yield [
            ("charuco", squares, legacy, first)
            for squares in (named.squares, (named.squares[1], named.squares[0]))
            for first in firsts
            if high - first < squares[0] * squares[1] // 2
            for legacy in (named.legacy, not named.legacy)
        ]
    for across in range(3, _WIDEST + 1):
        group: list[tuple[str, tuple[int, int], bool, int]] = []
        for first in firsts:
            down = [max(_rows(across, high - first, odd), 3) for odd in (False, True)]
            # Where rows are odd there is no legacy.
            group += [("charuco", (across, rows), old, first) for rows in down for old in (False, True)[: 2 - rows % 2]]
            group.append(("grid", (across, -(-(high - first + 1) // across)), False, first))
        yield group


def _rows(across: int, last: int, odd: bool) -> int:
    """The fewest rows of a ChArUco board that hold a marker of that number, an odd number of them or an even one."""
    down = 3 if odd else 4
    while across * down // 2 <= last:
        down += 2
    return down


def _places(kind: str, squares: tuple[int, int], legacy: bool, index: Ints) -> Array:
    """(n, 2) middles of markers in squares; far away for numbers that the board does not have."""
    across, down = squares
    if kind == "grid":
        return np.stack([index % across, index // across], 1).astype(float)
    white = 0 if legacy and down % 2 == 0 else 1
    y, x = np.nonzero((np.add.outer(np.arange(down), np.arange(across)) % 2) == white)
    inside = (index >= 0) & (index < len(x))
    place = np.stack([x, y], 1).astype(float)[np.where(inside, index, 0)]
    return np.where(inside[:, None], place, -1000.0 - np.arange(len(index))[:, None])


def _chessboard(grey: Image) -> Seen:
    """The largest piece of a chessboard."""
    shrink = max(1.0, float(np.sqrt(grey.size / _LARGE)))
    size = (round(grey.shape[1] / shrink), round(grey.shape[0] / shrink))
    small = grey if shrink == 1 else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_LARGER
    ok, corners, meta = cv2.findChessboardCornersSBWithMeta(small, (3, 3), flags)
    if not ok:
        return Seen("nothing")
    down, across = np.shape(meta)[:2]
    grid = np.reshape(corners, (down, across, 2)) * shrink
    step = min(float(np.median(np.linalg.norm(np.diff(grid, axis=k), axis=-1))) for k in (0, 1))
    across, down = max(across, down), min(across, down)
    return Seen("chessboard", squares=(across + 1, down + 1), square_px=step)


def most_telling(seen: Sequence[Seen]) -> Seen:
    """Of several pictures the one that says most: most markers, else the largest chessboard, else most quadrangles."""

    def rank(one: Seen) -> tuple[float, ...]:
        if one.kind == "nothing":
            return 0.0, one.quads, one.brightness
        known = {"charuco": 3.0, "grid": 3.0, "markers": 1.0, "chessboard": 2.0}[one.kind]
        size = len(one.ids) or (one.squares[0] * one.squares[1] if one.squares else 0)
        return known, size, one.square_px if np.isfinite(one.square_px) else 0.0

    return max(seen, key=rank)
