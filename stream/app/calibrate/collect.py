"""Gathering views of a board from images: which to look at, which to keep, and showing how far one has come.

Nothing here knows where images come from: they are handed in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from calibration.arrays import Array, Image
from calibration.solving.board import Board, BoardView
from calibration.solving.find import as_grey, find_board
from calibration.solving.intrinsics import coverage, look_of

# A board that moved more than this between two images, as part of the diagonal, is not still.
_STILL = 0.002
# Two views less different than this are the same view (``look_of``).
_NEW = 0.08
# A board that moved less than this in every image, as part of the diagonal, is where it was.
_ELSEWHERE = 0.02
# A view blurred more than this, pixels, is not kept.
_SHARP = 3.0


@dataclass(eq=False)
class Missed:
    """A few pictures in which the board was not found, from all over the recording: they tell why."""

    most: int = 4
    images: list[Image] = field(default_factory=list)
    """(H, W) each."""
    _count: int = 0
    _step: int = 1

    def add(self, image: Image) -> None:
        """Keep it, if it is one of those that are kept."""
        if self._count % self._step == 0:
            self.images.append(as_grey(image))
        self._count += 1
        if len(self.images) > self.most:
            self.images, self._step = self.images[::2], 2 * self._step


@dataclass(eq=False)
class LensCollector:
    """Keeps the sharp and different views of one camera; shows where the board has not been yet."""

    board: Board
    size: tuple[int, int]
    wanted: int = 30
    still: bool = False
    """Keep a view only while the board is held still (a live camera with rolling shutter)."""
    thorough: bool = False
    """As for ``find_board``."""
    views: list[BoardView] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    missed: Missed = field(default_factory=Missed)
    """Pictures without the board."""
    looked: int = 0
    """Images looked at."""
    found: int = 0
    """Images with the board in them."""
    _looks: list[Array] = field(default_factory=list)
    _last: BoardView | None = None

    def look(self, image: Image, label: str) -> BoardView | None:
        """Look at one image; what was found in it, kept or not."""
        self.looked += 1
        view = find_board(self.board, image, self.thorough)
        last, self._last = self._last, view
        if view is None:
            self.missed.add(image)
            return None
        self.found += 1
        look = look_of(self.board, view, self.size)
        calm = not self.still or (last is not None and movement(last, view) < _STILL * np.hypot(*self.size))
        new = all(np.linalg.norm(look - other) > _NEW for other in self._looks) if self.still else True
        if calm and new and np.isfinite(look).all() and view.sharpness < _SHARP:
            self.views.append(view)
            self.labels.append(label)
            self._looks.append(look)
        return view

    @property
    def done(self) -> bool:
        """Whether enough was kept, all over the image."""
        return len(self.views) >= self.wanted and (coverage(self.views, self.size) > 0).mean() >= 0.6

    def status(self) -> str:
        """One line of progress."""
        seen = (coverage(self.views, self.size) > 0).mean() if self.views else 0.0
        return f"{len(self.views)}/{self.wanted} views, {100 * seen:.0f} % of the image covered"


def movement(a: BoardView, b: BoardView) -> float:
    """Median movement in pixels of the corners that both views hold; infinite where they share none."""
    _, i, j = np.intersect1d(a.ids, b.ids, return_indices=True)
    return float(np.median(np.linalg.norm(a.xy[i] - b.xy[j], axis=1))) if len(i) else np.inf


def elsewhere(
    kept: Iterable[Mapping[str, BoardView]], views: Mapping[str, BoardView], sizes: Mapping[str, tuple[int, int]]
) -> bool:
    """Whether what the cameras see tells more than those kept: a board in another place, or one camera more."""
    return all(
        not views.keys() <= old.keys()
        or any(movement(old[name], view) > _ELSEWHERE * np.hypot(*sizes[name]) for name, view in views.items())
        for old in kept
    )


def find_together(
    board: Board,
    frame_sets: Iterable[tuple[float, Mapping[str, Image]]],
    *,
    still: bool = False,
    thorough: bool = False,
) -> Iterable[tuple[float, dict[str, BoardView], Mapping[str, Image]]]:
    """Find the board in the images that cameras took at the same times.

    Args:
        board: the board.
        frame_sets: time in seconds and each camera's image by name.
        still: leave a camera out of a frame set in which the board moved since the last one (live cameras are not in
            step to better than a frame, so a moving board would be in two places).
        thorough: as for ``find_board``.

    Yields:
        Time, what was found by camera, and the images, also where nothing was found.
    """
    last: dict[str, BoardView] = {}
    for t, images in frame_sets:
        views = {}
        for name, image in images.items():
            view = find_board(board, image, thorough)
            if view is not None:
                views[name] = view
        kept = views
        if still:
            kept = {
                name: view
                for name, view in views.items()
                if name in last and movement(last[name], view) < _STILL * np.hypot(*images[name].shape[:2])
            }
        last = views
        yield t, kept, images


def overlay(image: Image, views: Iterable[BoardView], now: BoardView | None, text: str, height: int = 540) -> Image:
    """The image with all kept corners (green), what is seen now (orange), the cells still empty (red), and a line."""
    views = list(views)
    scale = height / image.shape[0]
    out = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    h, w = out.shape[:2]
    size = (image.shape[1], image.shape[0])
    empty = (coverage(views, size) == 0).astype(np.uint8)
    shade = cv2.resize(empty, (w, h), interpolation=cv2.INTER_NEAREST).astype(bool)
    out[shade] = (0.8 * out[shade] + [0, 0, 50]).astype(np.uint8)
    for view in views:
        for x, y in (view.xy * scale).astype(int):
            cv2.circle(out, (int(x), int(y)), 1, (60, 200, 60), -1)
    if now is not None:
        for x, y in (now.xy * scale).astype(int):
            cv2.circle(out, (int(x), int(y)), 4, (0, 160, 255), 2, cv2.LINE_AA)
    cv2.rectangle(out, (0, 0), (w, 26), (0, 0, 0), -1)
    cv2.putText(out, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return out
