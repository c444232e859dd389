"""Finding a board in an image."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image, Ints
from calibration.solving.board import Board, BoardView
from calibration.solving.charuco import find_charuco


def as_grey(image: NDArray[Any]) -> Image:
    """(H, W) of a grey or BGR image."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image, np.uint8)


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
    grey = as_grey(image)
    found = find_charuco(board, grey) if board.kind == "charuco" else _find_chessboard(board, grey, thorough)
    if found is None and board.double_sided:
        mirrored = find_charuco(board, np.ascontiguousarray(grey[:, ::-1]))
        found = mirrored and (mirrored[0], mirrored[1] * [-1, 1] + [grey.shape[1] - 1, 0])
    if found is None:
        return None
    ids, xy = found
    return BoardView(ids, xy, _edge_width(grey, xy))


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
