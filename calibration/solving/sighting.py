"""What to tell a person whose board is not found: what was seen, and what helps."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Image
from calibration.solving.board import DICTIONARIES, Board
from calibration.solving.recognise import Seen, most_telling, recognise

LEGIBLE_PX = 15.0
"""Pixels a square below which few boards are found (``benchmarks/boards.py``): 12 and more are a matter of luck."""
_DARK, _BRIGHT = 30.0, 235.0
"""Mean brightness of pictures in which nothing can be told from black, or from white."""
_MOST = 3
"""Pictures looked at: each takes a second or two where it shows nothing that is known."""
_SAME_SHARE = 0.08
"""A marker's side in squares is measured to about so much."""


def why_unseen(board: Board, images: Sequence[Image]) -> str:
    """In one sentence, what pictures (H, W) show in which a board was not found, and what helps."""
    if not images:
        return "there was no picture"
    seen = []
    for image in images[-_MOST:]:
        seen.append(recognise(image, board))
        if seen[-1].kind in ("charuco", "grid"):
            break
    return explain(board, most_telling(seen))


def explain(board: Board, seen: Seen) -> str:
    """What was seen instead of the board, and what helps."""
    if seen.kind in ("nothing", "chessboard") and seen.brightness < _DARK:
        return f"the pictures are dark (brightness {seen.brightness:.0f} of 255): more light, or a longer exposure"
    if seen.kind in ("nothing", "chessboard") and seen.brightness > _BRIGHT:
        return f"the pictures are overexposed (brightness {seen.brightness:.0f} of 255): less light or exposure"
    if seen.kind == "nothing":
        return _nothing(board, seen)
    if seen.kind == "chessboard":
        return _chessboard(board, seen)
    what = f"markers {_ranges(seen.ids)} of {seen.dictionary}"
    if seen.twice:
        return (
            f"{what} are in the picture more than once: take the other board away, or print one with other markers "
            "(--dictionary, --first-id)"
        )
    if seen.kind == "grid":
        squares = seen.squares or (0, 0)
        return (
            f"{what} lie in a plain grid of {squares[0]}x{squares[1]} (an ArUco grid or Kalibr's AprilGrid), "
            "which has no chessboard corners and is not read; print a ChArUco board with `python -m calibration board`"
        )
    if seen.kind == "markers":
        return _markers(board, seen, what)
    return _charuco(board, seen, what)


def _charuco(board: Board, seen: Seen, what: str) -> str:
    squares = seen.squares or (0, 0)
    if board.kind == "chessboard":
        return (
            f"{what} were seen, a ChArUco board of {squares[0]}x{squares[1]} squares and no chessboard: give "
            f"{_flags_of(seen)}"
        )
    flags = _differences(board, seen)
    if seen.mirrored and not board.double_sided:
        also = f" and {' '.join(flags)}" if flags else ""
        return (
            f"{what} were seen mirrored: this is the back of a double-sided board, then give --double-sided{also}, or "
            "the camera mirrors its picture, then switch that off"
        )
    if flags:
        legacy = ", in the pattern of OpenCV before 4.6" if seen.legacy and not board.legacy else ""
        return (
            f"{what} were seen, on a ChArUco board of {squares[0]}x{squares[1]} squares{legacy}, not the one "
            f"that was named: give {' '.join(flags)}"
        )
    share = board.marker_mm / board.square_mm
    if abs(seen.share - share) > _SAME_SHARE:
        return (
            f"{what} were seen, {seen.share:.2f} of a square wide, and {board.marker_mm:g} in {board.square_mm:g} mm "
            f"are {share:.2f}: measure a square (--square) and the black edge of a marker (--marker) again"
        )
    small = _small(board, seen.square_px * share, seen.slant)
    if small:
        return f"the board was seen, but {small}"
    return (
        f"the board was seen with {len(seen.ids)} of its markers ({_ranges(seen.ids)}): show more of it, sharp, still "
        "and lit evenly"
    )


def _markers(board: Board, seen: Seen, what: str) -> str:
    """Markers that lie as on no board that is known."""
    small = _small(board, seen.quad_px)
    if small:
        return f"{what} could be read, but {small}"
    return (
        f"{what} were seen, too few or in no order that a ChArUco board has: is it in full view, flat, sharp, and with "
        "nothing over it?"
    )


def _chessboard(board: Board, seen: Seen) -> str:
    squares = seen.squares or (0, 0)
    across, down = (n - 1 for n in squares)
    if board.kind == "charuco" and (across * down < 12 or seen.square_px < LEGIBLE_PX):
        return _nothing(board, seen)
    what = f"a chessboard of {across}x{down} inner corners was seen"
    if board.kind == "charuco":
        return (
            f"{what}, without markers that can be read: if it has none give --board chessboard --corners "
            f"{across}x{down}; if it has, hold it nearer and still"
        )
    if {across, down} == set(board.corners):
        return (
            f"{what}, but not found to its edges: leave a white margin of half a square around it, and nothing over it"
        )
    if across <= max(board.corners) and down <= min(board.corners):
        return f"{what}, a part of the one that was named: show all of it, with its white margin, sharp and flat"
    return f"{what}: give --corners {across}x{down} (the corners inside the board, where four squares meet)"


def _nothing(board: Board, seen: Seen) -> str:
    if seen.quads:
        small = _small(board, seen.quad_px)
        what = f"{seen.quads} dark quadrangles close together were seen, and nothing in them could be read"
        if small:
            return f"{what}: {small}"
        return f"{what}: is it blurred, overexposed, or of a dictionary that is not known?"
    if board.kind == "chessboard":
        return (
            "no chessboard was seen: all of it must be in the picture, flat and sharp, with a white margin of half a "
            f"square around it and squares of {LEGIBLE_PX:.0f} pixels or more"
        )
    return (
        "no marker of any dictionary and no chessboard was seen: show the board from the front, flat and sharp, with "
        f"squares of {LEGIBLE_PX:.0f} pixels or more"
    )


def _small(board: Board, marker_px: float, slant: float = 0.0) -> str:
    """That the squares are too small, and what helps; empty where they are not."""
    px = marker_px * (board.square_mm / board.marker_mm if board.kind == "charuco" else 1.0)
    if not px < LEGIBLE_PX:
        return ""
    tilt = f", seen at a slant of {slant:.0f} degrees," if slant > 40 else ""
    face = "turn it towards the camera, " if tilt else ""
    return (
        f"squares{tilt} of {px:.0f} pixels are too small, {LEGIBLE_PX:.0f} are needed: {face}hold it at "
        f"{px / LEGIBLE_PX:.0%} of the distance, film larger pictures, or print larger squares (`board` with a larger "
        "--square and --paper A2 or A1)"
    )


def _flags_of(seen: Seen) -> str:
    squares = seen.squares or (0, 0)
    out = f"--board charuco --squares {squares[0]}x{squares[1]} --dictionary {seen.dictionary}"
    return out + (" --legacy" if seen.legacy else "") + (f" --first-id {seen.first_id}" if seen.first_id else "")


def _differences(board: Board, seen: Seen) -> list[str]:
    """The flags that name what was seen, where they differ from those given."""
    squares = seen.squares or (0, 0)
    out = []
    family = seen.dictionary.rsplit("_", 1)[0]
    if family != board.dictionary.rsplit("_", 1)[0] or _held(board.dictionary) <= max(seen.ids):
        out.append(f"--dictionary {seen.dictionary}")
    # Rows whose markers were not seen may be there all the same.
    fewer = squares[0] == board.squares[0] and squares[1] <= board.squares[1]
    if not fewer:
        out.append(f"--squares {squares[0]}x{squares[1]}")
    if seen.legacy != board.legacy and squares[1] % 2 == 0:
        out.append("--legacy" if seen.legacy else "no --legacy")
    if seen.first_id != board.first_id:
        out.append(f"--first-id {seen.first_id}")
    return out


def _held(dictionary: str) -> int:
    last = dictionary.rsplit("_", 1)[1]
    return int(last) if dictionary in DICTIONARIES and last.isdigit() else 10**6


def _ranges(ids: Sequence[int]) -> str:
    """``0-4, 7`` for 0, 1, 2, 3, 4, 7."""
    cuts = np.flatnonzero(np.diff(ids) > 1) + 1
    runs = np.split(np.asarray(ids), cuts)
    said = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(said) if len(said) <= 5 else f"{', '.join(said[:4])} ... {said[-1]}"
