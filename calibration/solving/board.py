"""Calibration boards: what they are, and finding them in images."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image, Ints
from calibration.errors import CalibrationError

DICTIONARIES = tuple(
    sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_") and "ARUCO_" not in n and n[5].isdigit())
)
"""Marker dictionaries a ChArUco board can use."""
MIN_CORNERS = 6
"""A view with fewer corners of a ChArUco board is not used: its pose is too loose."""


@dataclass(frozen=True)
class Board:
    """A flat board of squares. Corner points: x along the rows of squares, y down the columns, z into the board.

    Raises:
        CalibrationError: for numbers that make no board.
    """

    kind: Literal["charuco", "chessboard"]
    """ChArUco (squares with markers: may be partly hidden) or a plain chessboard (must be seen whole)."""
    squares: tuple[int, int]
    """Squares across and down. A chessboard of 4 x 7 inner corners has 5 x 8 squares."""
    square_mm: float
    """Side of a square, mm, as measured on the print."""
    marker_mm: float = 0.0
    """Side of a ChArUco marker, mm."""
    dictionary: str = "DICT_5X5_100"
    """Marker dictionary."""
    legacy: bool = False
    """A ChArUco board made by OpenCV before 4.6 with an even number of rows (its top left square is white)."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.squares) < 3:
            raise CalibrationError(f"a board of {self.squares[0]}x{self.squares[1]} squares; give at least 3x3")
        if not (np.isfinite(self.square_mm) and self.square_mm > 0):
            raise CalibrationError(f"squares of {self.square_mm} mm; give the side as measured on the print")
        if self.kind == "charuco":
            if not 0 < self.marker_mm < self.square_mm:
                raise CalibrationError(f"markers of {self.marker_mm} mm in squares of {self.square_mm} mm do not fit")
            if self.dictionary not in DICTIONARIES:
                raise CalibrationError(f"unknown dictionary {self.dictionary!r}; there are {', '.join(DICTIONARIES)}")
            held, needed = len(_dictionary(self.dictionary).bytesList), self.squares[0] * self.squares[1] // 2
            if held < needed:
                raise CalibrationError(
                    f"{self.dictionary} holds {held} markers, the board needs {needed}; choose a larger dictionary"
                )

    @property
    def corners(self) -> tuple[int, int]:
        """Inner corners across and down."""
        return self.squares[0] - 1, self.squares[1] - 1

    @cached_property
    def points(self) -> Array:
        """(N, 3) mm, the inner corners row by row in board axes; z = 0."""
        across, down = self.corners
        grid = np.mgrid[1 : across + 1, 1 : down + 1].T.reshape(-1, 2) * self.square_mm
        return np.column_stack([grid, np.zeros(len(grid))])

    @property
    def turnable(self) -> bool:
        """Whether half a turn leaves the board as it is: two cameras may then disagree on which end is which."""
        return self.kind == "chessboard" and (self.squares[0] + self.squares[1]) % 2 == 0

    def describe(self) -> str:
        """In words, with the flags that name it."""
        if self.kind == "charuco":
            return (
                f"--board charuco --squares {self.squares[0]}x{self.squares[1]} --square {self.square_mm:g} "
                f"--marker {self.marker_mm:g} --dictionary {self.dictionary}" + (" --legacy" if self.legacy else "")
            )
        return f"--board chessboard --corners {self.corners[0]}x{self.corners[1]} --square {self.square_mm:g}"


@dataclass(frozen=True, slots=True, eq=False)
class BoardView:
    """A board as one camera sees it in one image."""

    ids: Ints
    """(n,) which of ``Board.points``."""
    xy: Array
    """(n, 2) pixels, sub-pixel accurate."""
    sharpness: float
    """Width of the edges across the board, smaller is better: standard deviation in pixels of their blur."""


@lru_cache(maxsize=32)
def _dictionary(name: str) -> Any:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


def charuco_board(board: Board) -> Any:
    """OpenCV's own object for a ChArUco board, in mm."""
    made = cv2.aruco.CharucoBoard(board.squares, board.square_mm, board.marker_mm, _dictionary(board.dictionary))
    made.setLegacyPattern(board.legacy)
    return made


@lru_cache(maxsize=8)
def _charuco_detector(board: Board) -> Any:
    return cv2.aruco.CharucoDetector(charuco_board(board))


def find_board(board: Board, image: NDArray[Any], thorough: bool = False) -> BoardView | None:
    """Find the board in an image.

    Args:
        board: which board.
        image: (H, W, 3) BGR or (H, W) grey.
        thorough: look again with a better detector where a chessboard is not found at once. It finds boards further
            tilted, but takes 1 to 2 s on an image of 2 megapixels, against 0.05 s: for photographs, not for video.

    Returns:
        BoardView, or None where it is not seen (a chessboard: not seen whole).
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image, np.uint8)
    found = _find_charuco(board, grey) if board.kind == "charuco" else _find_chessboard(board, grey, thorough)
    if found is None:
        return None
    ids, xy = found
    return BoardView(ids, xy, _edge_width(grey, xy))


def _find_charuco(board: Board, grey: Image) -> tuple[Ints, Array] | None:
    corners, ids, _, _ = _charuco_detector(board).detectBoard(grey)
    if ids is None or len(ids) < MIN_CORNERS:
        return None
    ids, xy = ids.ravel(), corners.reshape(-1, 2).astype(np.float64)
    # Corners on one line leave the pose free to swing about it.
    spread = np.linalg.svd(board.points[ids, :2] - board.points[ids, :2].mean(0), compute_uv=False)[1]
    return (ids, xy) if spread > 0.5 * board.square_mm else None


def _find_chessboard(board: Board, grey: Image, thorough: bool) -> tuple[Ints, Array] | None:
    across, down = board.corners
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
    ok, corners = cv2.findChessboardCorners(grey, board.corners, flags=flags | cv2.CALIB_CB_FAST_CHECK)
    if ok:
        grid = np.asarray(corners, np.float64).reshape(down, across, 2)
        # The window must not reach the next corner.
        near = min(np.linalg.norm(np.diff(grid, axis=axis), axis=-1).min() for axis in (0, 1))
        half = int(np.clip(0.4 * near, 2, 15))
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)
        corners = cv2.cornerSubPix(grey, np.asarray(corners, np.float32), (half, half), (-1, -1), stop)
    elif thorough:
        sb = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_EXHAUSTIVE
        ok, corners = cv2.findChessboardCornersSB(grey, board.corners, flags=sb)
    if not ok:
        return None
    grid = np.asarray(corners, np.float64).reshape(down, across, 2)
    # The detector may start at any corner: seen from the front, x across and y down turn clockwise ...
    a, b = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    if a[0] * b[1] - a[1] * b[0] < 0:
        grid = grid[:, ::-1]
    # ... and where the two ends differ in colour, the first inner square is the dark one.
    if not board.turnable and _cell(grey, grid, 0, 0) > _cell(grey, grid, down - 2, across - 2):
        grid = grid[::-1, ::-1]
    return np.arange(across * down), grid.reshape(-1, 2).copy()


def _cell(grey: Image, grid: Array, row: int, column: int) -> float:
    """Mean brightness at the middle of an inner square."""
    x, y = grid[row : row + 2, column : column + 2].mean((0, 1)).round().astype(int)
    return float(grey[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())


def _edge_width(grey: Image, xy: Array) -> float:
    """How blurred the edges around the corners are: contrast over the steepest slope, as a Gaussian's sigma in pixels.

    For an edge of height h blurred by sigma, the steepest slope is ``h / (sigma sqrt(2 pi))``. Independent of contrast.
    """
    widths = []
    for x, y in xy[:: max(1, len(xy) // 12)].round().astype(int):
        patch = grey[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7].astype(np.float64)
        if min(patch.shape) < 5:
            continue
        low, high = np.percentile(patch, [5, 95])
        slope = max(np.abs(np.diff(patch, axis=0)).max(), np.abs(np.diff(patch, axis=1)).max())
        if slope > 0:
            widths.append((high - low) / slope / np.sqrt(2 * np.pi))
    return float(np.median(widths)) if widths else np.inf
