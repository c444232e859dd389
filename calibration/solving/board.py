"""Calibration boards: what they are, and a view of one."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import cv2
import numpy as np

from calibration.arrays import Array, Ints
from calibration.errors import CalibrationError

DICTIONARIES = tuple(
    sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_") and ("ARUCO_" in n or "APRILTAG" in n or n[5].isdigit())
           and not n.endswith(("H5", "H9", "H10", "H11", "H12")))
)  # fmt: skip
"""Marker dictionaries a ChArUco board can use, AprilTags among them."""


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
    first_id: int = 0
    """Number of a ChArUco board's first marker."""
    double_sided: bool = False
    """A ChArUco board whose back is printed as its mirror image, corner behind corner."""

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
            if self.first_id < 0:
                raise CalibrationError(f"markers numbered from {self.first_id}; give a number from 0 up")
            held, needed = len(dictionary_of(self.dictionary).bytesList), self.squares[0] * self.squares[1] // 2
            if held < self.first_id + needed:
                begin = f" from {self.first_id} up" if self.first_id else ""
                raise CalibrationError(
                    f"{self.dictionary} holds {held} markers, the board needs {needed}{begin}; choose a larger "
                    "dictionary"
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
                f"--marker {self.marker_mm:g} --dictionary {self.dictionary}"
                + (" --legacy" if self.legacy else "")
                + (f" --first-id {self.first_id}" if self.first_id else "")
                + (" --double-sided" if self.double_sided else "")
            )
        return f"--board chessboard --corners {self.corners[0]}x{self.corners[1]} --square {self.square_mm:g}"


@lru_cache(maxsize=32)
def dictionary_of(name: str) -> Any:
    """OpenCV's own object for a dictionary of markers."""
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


def charuco_board(board: Board) -> Any:
    """OpenCV's own object for a ChArUco board, in mm."""
    ids = board.first_id + np.arange(board.squares[0] * board.squares[1] // 2)
    made = cv2.aruco.CharucoBoard(board.squares, board.square_mm, board.marker_mm, dictionary_of(board.dictionary), ids)
    made.setLegacyPattern(board.legacy)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class BoardView:
    """A board as one camera sees it in one image."""

    ids: Ints
    """(n,) which of ``Board.points``."""
    xy: Array
    """(n, 2) pixels, sub-pixel accurate."""
    sharpness: float
    """Width of the edges across the board, smaller is better: standard deviation in pixels of their blur."""
