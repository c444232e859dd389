"""Finding a ChArUco board: its markers, the layout they agree on, and the corners between them.

OpenCV's own ``CharucoDetector`` leaves out every corner beside a marker that it could not read, and measures its limits
in parts of the image: with its defaults, squares of 40 pixels give no corner in a picture 3840 pixels wide. Here limits
are pixels; small boards are looked at again enlarged; markers that contradict the others (a misread one, or one of
another board) are left out; and corners whose markers are too small to be read are found from those that could be.
``benchmarks/boards.py`` measures what this gives. Garrido-Jurado et al., *Automatic generation and detection of highly
reliable fiducial markers under occlusion*, 2014.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np

from calibration.arrays import Array, Bools, Image, Ints
from calibration.solving.board import Board, charuco_board, dictionary_of

MIN_CORNERS = 6
"""A view with fewer corners is not used: its pose is too loose."""
LEAST_PERIMETER: Final = 20.0
"""Pixels around a marker below which nothing in it can be read, at any size of the image."""
_LEGIBLE: Final = 40.0
"""Pixels a square up to which enlarging shows more markers."""
_LARGEST_FACTOR, _LARGEST_CROP = 4.0, 6_000_000
"""By how much, and to how many pixels, a part of a picture is enlarged."""
_AGREED: Final = 0.4
"""Of a square: a marker further from where the others say is not of this board. A lens bends a board by less."""
_MAJORITY: Final = 0.7
"""Of the markers with the board's numbers, that must agree: of a legacy board read as a new one, half do."""
_SIZE: Final = 1.25
"""Markers that many times larger or smaller than named are those of another board."""
_CROWD: Final = 4
"""Quadrangles as near to each other as a board's, that are worth a second look."""
_FEW: Final = 2
"""Markers that must agree. One alone may be anything."""
_NEAR: Final = 16
"""Points that say where a corner is: few, so that a lens may bend the rest."""
_MOVED: Final = 0.25
"""Of a square: a corner that is found further from where it should be is another one."""
_CONTRAST: Final = 0.12
"""Of the board's own contrast, that the squares around a corner must have."""


@dataclass(frozen=True, slots=True, eq=False)
class Markers:
    """Markers read in an image."""

    ids: Ints
    """(n,)"""
    xy: Array
    """(n, 4, 2) pixels, their corners as the dictionary has them: clockwise from its top left."""
    rest: Array
    """(m, 4, 2) pixels, dark quadrangles in which nothing could be read."""

    def only(self, kept: Bools | Ints) -> "Markers":
        """Those chosen by a mask or by indexes."""
        return Markers(self.ids[kept], self.xy[kept], self.rest)


def detector_parameters(size: tuple[int, int], *, inverted: bool = False, border: int = 1) -> Any:
    """OpenCV's parameters with limits in pixels.

    Args:
        size: width and height of the image.
        inverted: also read white markers on black.
        border: modules of the black border.
    """
    made = cv2.aruco.DetectorParameters()
    made.minMarkerPerimeterRate = LEAST_PERIMETER / max(size)
    # More pixels a module are read than there are: a marker of 12 pixels is then read in twice as many cases.
    made.perspectiveRemovePixelPerCell = 8
    made.detectInvertedMarker = inverted
    made.markerBorderBits = border
    return made


def read_markers(dictionary: str, grey: Image, inverted: bool = False) -> Markers:
    """Every marker of a dictionary in an image."""
    parameters = detector_parameters((grey.shape[1], grey.shape[0]), inverted=inverted)
    corners, ids, rest = cv2.aruco.ArucoDetector(dictionary_of(dictionary), parameters).detectMarkers(grey)
    if ids is None or not len(ids):
        ids, corners = np.empty(0, int), np.empty((0, 4, 2))
    quads = np.reshape(rest, (-1, 4, 2)) if len(rest) else np.empty((0, 4, 2))
    return Markers(np.ravel(ids).astype(int), np.reshape(corners, (-1, 4, 2)).astype(float), quads.astype(float))


def find_charuco(board: Board, grey: Image) -> tuple[Ints, Array] | None:
    """Indexes into ``Board.points`` (n,) and pixels (n, 2) of the corners, or None where the board is not seen.

    Args:
        board: a ChArUco board.
        grey: (H, W) image. The board may be inverted: white for black.
    """
    first = read_markers(board.dictionary, grey, inverted=True)
    if len(first.ids) and _is_negative(grey, first):
        grey = 255 - grey
        first = read_markers(board.dictionary, grey)
    # Two boards like this one: nobody knows which of them the other cameras look at.
    if repeated(first.ids[np.isin(first.ids, marker_places(board)[0])]):
        return None
    agreed = agreeing(board, first)
    found = _enlarged(board, grey, first, agreed)
    if agreed is not None and (found is None or len(found[0]) < len(board.points)):
        plain = _corners(board, grey, first.only(agreed[1]))
        found = plain if found is None or (plain is not None and len(plain[0]) > len(found[0])) else found
    if found is None or len(found[0]) < MIN_CORNERS:
        return None
    # Corners on one line leave the pose free to swing about it.
    plane = board.points[found[0], :2]
    spread = np.linalg.svd(plane - plane.mean(0), compute_uv=False)[1]
    return found if spread > 0.5 * board.square_mm else None


@lru_cache(maxsize=16)
def marker_places(board: Board) -> tuple[Ints, Array]:
    """Ids (n,) and corners (n, 4, 2) in mm of the board's markers."""
    made = charuco_board(board)
    return np.ravel(made.getIds()).astype(int), np.asarray(made.getObjPoints(), float)[..., :2]


def agreeing(board: Board, markers: Markers) -> tuple[Array, Ints] | None:
    """The homography from pixels to the board's mm that most markers agree on, and the indexes of those.

    None where fewer than ``_FEW`` do or no clear majority: then it is another board. So it is where more of them agree
    on the board's twin: a legacy board with an odd number of columns is the new one moved by a column, but for one
    marker in every other row.
    """
    ours = _agreeing(board, markers)
    rows = board.squares[1]
    if ours is not None and rows % 2 == 0 and len(ours[1]) < len(np.unique(markers.ids)):
        twin = _agreeing(replace(board, legacy=not board.legacy), markers)
        if twin is not None and len(twin[1]) > len(ours[1]):
            return None
    return ours


def _agreeing(board: Board, markers: Markers) -> tuple[Array, Ints] | None:
    ids, places = marker_places(board)
    mine = np.flatnonzero(np.isin(markers.ids, ids))
    if len(mine) < _FEW:
        return None
    there = places[np.searchsorted(ids, markers.ids[mine])]
    H = cv2.findHomography(
        markers.xy[mine].reshape(-1, 2), there.reshape(-1, 2), cv2.RANSAC, _AGREED * board.square_mm, maxIters=2000
    )[0]
    if H is None:
        return None
    H = np.asarray(H, float)
    away = np.linalg.norm(
        cv2.perspectiveTransform(markers.xy[mine].reshape(1, -1, 2), H)[0] - there.reshape(-1, 2), axis=1
    )
    fits = (away.reshape(-1, 4) < _AGREED * board.square_mm).all(1)
    good = mine[fits]
    held = np.unique(markers.ids[good])
    if len(held) < _FEW or len(held) < _MAJORITY * len(np.unique(markers.ids[mine])):
        return None
    share = side_in_squares(markers.xy[good], H) / board.square_mm
    if not 1 / _SIZE < share * board.square_mm / board.marker_mm < _SIZE:
        return None
    return H, good[np.unique(markers.ids[good], return_index=True)[1]]


def repeated(ids: Ints) -> bool:
    """Whether so many markers occur twice that there are two boards."""
    count = np.unique(ids, return_counts=True)[1]
    return bool((count > 1).sum() >= max(3, 0.3 * len(count)))


def side_in_squares(xy: Array, H: Array) -> float:
    """Median side of markers (n, 4, 2) in pixels, in the units to which a homography carries them."""
    # What is traced is the row of pixels inside a marker's edge.
    middle = xy.mean(1, keepdims=True)
    side = np.linalg.norm(xy - np.roll(xy, 1, 1), axis=-1).mean(1)[:, None, None]
    there = cv2.perspectiveTransform((middle + (xy - middle) * (1 + 1 / side)).reshape(1, -1, 2), H)[0].reshape(
        -1, 4, 2
    )
    return float(np.median(np.linalg.norm(there - np.roll(there, 1, 1), axis=-1)))


def _is_negative(grey: Image, markers: Markers) -> bool:
    """Whether most markers are lighter just inside their outline than just outside."""
    middle = markers.xy.mean(1, keepdims=True)
    edge = (markers.xy + np.roll(markers.xy, 1, 1)) / 2
    inside, outside = (_brightness(grey, middle + part * (edge - middle)) for part in (0.88, 1.14))
    return bool((np.median(inside - outside, axis=1) > 0).mean() > 0.5)


def _brightness(grey: Image, xy: Array) -> Array:
    """Interpolated brightness (...,) at pixels (..., 2); the border's beyond it."""
    flat = np.ascontiguousarray(xy.reshape(1, -1, 2), np.float32)
    got = cv2.remap(grey, flat, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return np.asarray(got, float).reshape(xy.shape[:-1])


def _enlarged(
    board: Board, grey: Image, first: Markers, agreed: tuple[Array, Ints] | None
) -> tuple[Ints, Array] | None:
    """The corners in an enlarged part of the picture, where a small board may be."""
    part = _enlarge(board, grey, first, agreed)
    if part is None:
        return None
    (x0, y0, x1, y1), factor = part
    size = np.round(factor * [x1 - x0, y1 - y0]).astype(int)
    large = np.asarray(cv2.resize(grey[y0:y1, x0:x1], size.tolist(), interpolation=cv2.INTER_CUBIC), np.uint8)
    again = read_markers(board.dictionary, large, inverted=not len(first.ids))
    if len(again.ids) and _is_negative(large, again):
        large = 255 - large
        again = read_markers(board.dictionary, large)
    agreed = agreeing(board, again)
    found = None if agreed is None else _corners(board, large, again.only(agreed[1]))
    # Pixel centres are at whole numbers, in the picture and in its enlargement.
    return found and (found[0], (found[1] + 0.5) * [x1 - x0, y1 - y0] / size - 0.5 + [x0, y0])


def _enlarge(
    board: Board, grey: Image, markers: Markers, agreed: tuple[Array, Ints] | None
) -> tuple[tuple[int, int, int, int], Array] | None:
    """Which part of the picture to look at again (x0, y0, x1, y1), and how much larger (2,); None for not at all.

    A board on the floor is low in the picture, so each direction has its own factor.
    """
    if agreed is not None:
        H, kept = agreed
        ends = np.array(board.squares) * board.square_mm * [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]
        around, quads = cv2.perspectiveTransform(ends, np.linalg.inv(H))[0], markers.xy[kept]
    else:
        quads = crowd(np.concatenate([markers.rest, markers.xy]))
        around = quads.reshape(-1, 2)
    if not len(quads) or not np.isfinite(around).all():
        return None
    square = np.median(np.ptp(quads, axis=1), axis=0) * board.square_mm / board.marker_mm
    if square.min() >= _LEGIBLE:
        return None
    size = np.array([grey.shape[1], grey.shape[0]])
    low = np.clip(np.floor(around.min(0) - 2 * square), 0, size).astype(int)
    high = np.clip(np.ceil(around.max(0) + 2 * square), 0, size).astype(int)
    if min(high - low) < 8:
        return None
    factor = np.clip(_LEGIBLE / square, 1.0, _LARGEST_FACTOR)
    factor = np.maximum(factor * min(1.0, float(np.sqrt(_LARGEST_CROP / np.prod((high - low) * factor)))), 1.0)
    return ((int(low[0]), int(low[1]), int(high[0]), int(high[1])), factor) if factor.max() >= 1.2 else None


def crowd(quads: Array, largest: float = _LEGIBLE) -> Array:
    """Those quadrangles (n, 4, 2) up to a size in pixels that lie closest together, or none."""
    side = np.linalg.norm(quads - np.roll(quads, 1, 1), axis=-1).max(1) if len(quads) else np.empty(0)
    small = side < largest
    quads, side = quads[small], side[small]
    if len(quads) < _CROWD:
        return quads[:0]
    middle = quads.mean(1)
    apart = np.linalg.norm(middle[:, None] - middle, axis=-1)
    alike = np.abs(np.log(side[:, None] / side)) < 0.7
    near = alike & (apart < 12 * side[:, None])
    best = int(np.argmax(near.sum(1)))
    if near[best].sum() < _CROWD:
        return quads[:0]
    # A board's quadrangles may lie beyond the first circle.
    return quads[near[near[best]].any(0) & alike[best]]


def _corners(board: Board, grey: Image, markers: Markers) -> tuple[Ints, Array] | None:
    """Every corner that can be seen: where the nearest markers say, then to a part of a pixel."""
    ids, places = marker_places(board)
    plane = places[np.searchsorted(ids, markers.ids)].reshape(-1, 2)
    pixel = markers.xy.reshape(-1, 2)
    contrast = _contrast(board, grey, markers)
    missing = np.arange(len(board.points))
    found: dict[int, Array] = {}
    for _ in range(4):
        new = {}
        for k in missing:
            corner = _corner(board, grey, board.points[k, :2], plane, pixel, contrast)
            if corner is not None:
                new[int(k)] = corner
        if not new:
            break
        found |= new
        missing = np.array([k for k in missing if int(k) not in new], int)
        # Found corners are better than those of markers, and carry on to the next.
        plane = np.concatenate([plane, board.points[list(new), :2]])
        pixel = np.concatenate([pixel, np.array(list(new.values()))])
    kept = np.array(sorted(found), int)
    return _consistent(board, kept, np.array([found[int(k)] for k in kept])) if len(kept) else None


def _consistent(board: Board, ids: Ints, xy: Array) -> tuple[Ints, Array]:
    """Without the corners that lie elsewhere than their neighbours say."""
    if len(ids) <= _NEAR // 2:
        return ids, xy
    for method in (0, cv2.LMEDS):
        away = np.array([_away(board, ids, xy, k, method) for k in range(len(ids))])
        good = away <= max(6 * float(np.median(away)), 1.0)
        # One that is wrong spoils what is expected of its neighbours, unless the median is taken, which takes long.
        if good.all():
            break
    return ids[good], xy[good]


def _away(board: Board, ids: Ints, xy: Array, k: int, method: int) -> float:
    """Pixels between a corner and where its neighbours expect it."""
    others = np.argsort(np.linalg.norm(board.points[ids] - board.points[ids[k]], axis=1), kind="stable")[1:_NEAR]
    H = cv2.findHomography(board.points[ids[others], :2], xy[others], method)[0]
    if H is None:
        return 0.0
    return float(np.linalg.norm(cv2.perspectiveTransform(board.points[None, ids[k : k + 1], :2], H)[0, 0] - xy[k]))


def _contrast(board: Board, grey: Image, markers: Markers) -> float:
    """Brightness between the white around markers and their black borders, in grey levels."""
    modules = dictionary_of(board.dictionary).markerSize + 2
    middle = markers.xy.mean(1, keepdims=True)
    edge = (markers.xy + np.roll(markers.xy, 1, 1)) / 2
    margin = (board.square_mm - board.marker_mm) / board.marker_mm
    inside = _brightness(grey, middle + (1 - 1 / modules) * (edge - middle))
    outside = _brightness(grey, middle + (1 + margin / 2) * (edge - middle))
    return float(np.median(outside - inside))


def _corner(board: Board, grey: Image, at: Array, plane: Array, pixel: Array, contrast: float) -> Array | None:
    """(2,) one corner, or None where it is not seen."""
    away = np.abs(plane - at).max(1)
    near = np.argsort(away, kind="stable")[:_NEAR]
    # Extrapolated over more than two squares, a homography of neighbours says little.
    if away[near[0]] > 1.6 * board.square_mm:
        return None
    H = cv2.findHomography(plane[near] - at, pixel[near])[0]
    if H is None or abs(H[2, 2]) < 1e-9:
        return None
    s = board.square_mm
    cross = cv2.perspectiveTransform(np.array([[[0.0, 0], [s, 0], [-s, 0], [0, s], [0, -s]]]), H)[0]
    start, arms = cross[0], (cross[[1, 3]] - cross[[2, 4]]) / 2
    square = float(np.linalg.norm(arms, axis=1).min())
    size = np.array([grey.shape[1], grey.shape[0]])
    if not np.isfinite(cross).all() or square < 4 or (start < 3).any() or (start > size - 4).any():
        return None
    # The window ends before the next marker.
    margin = (board.square_mm - board.marker_mm) / 2 / board.square_mm
    half = int(np.clip(round(margin * square), 2, 15))
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.01)
    begin = np.array([[start]], np.float32)
    xy = np.asarray(cv2.cornerSubPix(grey, begin, (half, half), (-1, -1), stop), float)[0, 0]
    if np.linalg.norm(xy - start) > max(_MOVED * square, 1.0):
        return None
    # Of the four squares around it two are dark and two are white, crosswise.
    part = margin * 0.75
    diagonals = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]]) @ (part * arms)
    b = _brightness(grey, xy + diagonals)
    apart = max(b[:2].min() - b[2:].max(), b[2:].min() - b[:2].max())
    return xy if apart > _CONTRAST * contrast else None
