"""How small and how slanted a calibration board may be: corners found and their error, over sizes, widths and slants.

    python -m benchmarks.boards [--json FILE]

Boards are rendered (a plane, so a homography; four times the size and averaged; a lens blur of 0.7 pixels, noise of 3
grey levels) in pictures of several widths, from the front and slanted. OpenCV's own detector with its defaults, with
its limit in pixels, and ours see the same pictures.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks import machine
from benchmarks.table import table, write_json
from calibration.arrays import Array, Image, Ints
from calibration.geometry.rotations import rotation_matrix
from calibration.solving.board import Board, charuco_board
from calibration.solving.charuco import find_charuco
from calibration.solving.print_board import PIXELS_PER_MM, draw, lay_out
from engines.argument_types import Parser

BOARD: Final = Board("charuco", (7, 5), 35, 26)
"""The one that `board` prints."""
WIDTHS: Final = ((1280, 720), (3840, 2160))
SQUARES: Final = (15, 20, 30, 40)
"""Pixels a square, as it would be from the front."""
SLANTS: Final = (0, 45, 65)
_SPINS: Final = (10, -20)
_FOUND_PX: Final = 2.0
"""A corner further than this from where it is was not found."""
_OVER: Final = 4
Found = tuple[Ints, Array]


@lru_cache(maxsize=8)
def sheet(board: Board) -> tuple[Image, Array, float]:
    """A board's print: the picture, where the board begins on it in mm, and pixels a mm."""
    laid = lay_out(board)
    small = cv2.resize(draw(laid), None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    corner = (np.array(laid.page) - np.array(board.squares) * board.square_mm) / 2
    # The caption takes room below the board.
    return (
        np.asarray(small, np.uint8),
        np.array([corner[0], laid.ruler[1] - 4 - board.squares[1] * board.square_mm]),
        (PIXELS_PER_MM / 5),
    )


def render(
    board: Board, size: tuple[int, int], square_px: float, slant: float, spin: float, rng: np.random.Generator,
    blur: float = 0.7,
) -> tuple[Image, Array]:  # fmt: skip
    """A picture of a board.

    Args:
        board: the board.
        size: width and height of the picture.
        square_px: pixels a square, as it would be from the front in the middle of the board.
        slant: degrees turned about the picture's x axis: the slant of a board on the floor.
        spin: degrees turned in its own plane.
        rng: for the place and the noise.
        blur: of the lens, pixels.

    Returns:
        (H, W) picture and (N, 2) pixels of ``board.points``.
    """
    f = 0.9 * max(size)
    K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1.0]])
    R = rotation_matrix(np.array([np.radians(slant), 0, 0])) @ rotation_matrix(np.array([0, 0, np.radians(spin)]))
    depth = f * board.square_mm / square_px
    middle = np.append(np.array(board.squares) * board.square_mm / 2, 0)
    t = np.append(rng.uniform(-0.25, 0.25, 2) * size / f * depth, depth) - R @ middle
    H = K @ np.column_stack([R[:, 0], R[:, 1], t])
    printed, corner, per_mm = sheet(board)
    to_mm = np.array([[1 / per_mm, 0, 0.5 / per_mm - corner[0]], [0, 1 / per_mm, 0.5 / per_mm - corner[1]], [0, 0, 1]])
    h, w = printed.shape
    ends = cv2.perspectiveTransform(np.array([[[0.0, 0], [w, 0], [w, h], [0, h]]]), H @ to_mm)[0]
    low = np.clip(np.floor(ends.min(0)) - 4, 0, size).astype(int)
    high = np.clip(np.ceil(ends.max(0)) + 5, 0, size).astype(int)
    over = np.array(
        [[_OVER, 0, (_OVER - 1) / 2 - _OVER * low[0]], [0, _OVER, (_OVER - 1) / 2 - _OVER * low[1]], [0, 0, 1]]
    )
    large = ((high - low) * _OVER).tolist()
    ink = cv2.warpPerspective(printed, over @ H @ to_mm, large, flags=cv2.INTER_LINEAR)
    paper = cv2.warpPerspective(np.full_like(printed, 255), over @ H @ to_mm, large, flags=cv2.INTER_NEAREST)
    light = np.where(paper > 0, 40 + ink.astype(np.float32) / 255 * 170, np.float32(150))
    picture = np.full((size[1], size[0]), 150, np.float32)
    small = cv2.resize(light, (high - low).tolist(), interpolation=cv2.INTER_AREA)
    picture[low[1] : high[1], low[0] : high[0]] = small
    picture = cv2.GaussianBlur(picture, (0, 0), blur) + rng.normal(0, 3, (size[1], size[0])).astype(np.float32)
    xy = cv2.perspectiveTransform(board.points[None, :, :2], H)[0]
    return np.clip(picture, 0, 255).astype(np.uint8), xy


def opencv(grey: Image, rate: float | None = None) -> Found:
    """OpenCV's detector with its defaults, or another least perimeter in parts of the longer side."""
    parameters = cv2.aruco.DetectorParameters()
    if rate is not None:
        parameters.minMarkerPerimeterRate = rate
    detector = cv2.aruco.CharucoDetector(charuco_board(BOARD), cv2.aruco.CharucoParameters(), parameters)
    corners, ids, _, _ = detector.detectBoard(grey)
    if ids is None:
        return np.empty(0, int), np.empty((0, 2))
    return np.asarray(np.ravel(ids), int), np.asarray(corners, float).reshape(-1, 2)


def ours(grey: Image) -> Found:
    """Ours."""
    return find_charuco(BOARD, grey) or (np.empty(0, int), np.empty((0, 2)))


WAYS: Final[dict[str, Callable[[Image], Found]]] = {
    "OpenCV's defaults": opencv,
    "limit of 30 pixels": lambda grey: opencv(grey, 30 / max(grey.shape)),
    "ours": ours,
}


@dataclass(slots=True)
class Case:
    """One way on pictures of one width, size and slant."""

    found: int = 0
    wrong: int = 0
    total: int = 0
    errors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, got: Found, xy: Array, seconds: float) -> None:
        """Count one picture."""
        ids, seen = got
        error = np.linalg.norm(seen - xy[ids], axis=1)
        self.found += int((error < _FOUND_PX).sum())
        self.wrong += int((error >= _FOUND_PX).sum())
        self.total += len(xy)
        self.errors += error[error < _FOUND_PX].tolist()
        self.seconds.append(seconds)

    def cell(self) -> str:
        """Per cent found and their error."""
        if not self.found:
            return "0"
        wrong = f", {self.wrong} wrong" if self.wrong else ""
        return f"{100 * self.found / self.total:.0f} % ({np.sqrt(np.mean(np.square(self.errors))):.2f} px{wrong})"

    def values(self) -> dict[str, float]:
        """For the JSON file."""
        rms = float(np.sqrt(np.mean(np.square(self.errors)))) if self.errors else -1.0
        return {
            "found": self.found / self.total, "wrong": self.wrong, "rms_px": rms,
            "ms": 1e3 * float(np.median(self.seconds)),
        }  # fmt: skip


def measure(
    widths: Sequence[tuple[int, int]], squares: Sequence[int], slants: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Every way on the same pictures."""
    out = {}
    for size in widths:
        for slant in slants:
            for px in squares:
                cases = {way: Case() for way in WAYS}
                for k, spin in enumerate(_SPINS):
                    grey, xy = render(BOARD, size, px, slant, spin, np.random.default_rng(k))
                    for way, run in WAYS.items():
                        begin = time.perf_counter()
                        got = run(grey)
                        cases[way].add(got, xy, time.perf_counter() - begin)
                out[f"{size[0]} {slant} {px}"] = {"cells": {w: c.cell() for w, c in cases.items()}} | {
                    way: case.values() for way, case in cases.items()
                }
    return out


def report(found: dict[str, dict[str, Any]]) -> str:
    """The table: the width, the slant and the size of a square down, the ways across."""
    rows = []
    for name, cases in found.items():
        width, slant, px = name.split()
        rows.append((width, f"{slant} degrees", f"{px} px", *(cases["cells"][way] for way in WAYS)))
    ratio = np.median([c["ours"]["ms"] / c["OpenCV's defaults"]["ms"] for c in found.values()])
    return table(("picture", "slant", "square", *WAYS), rows) + (
        f"\n\nTime of ours over OpenCV's defaults, median: {ratio:.1f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    found = measure(WIDTHS, SQUARES, SLANTS)
    print(report(found))
    if args.json:
        write_json(args.json, {"machine": machine.describe(), "cases": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
