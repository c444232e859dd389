"""The test that an RMS cannot replace: known lengths, measured by triangulation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from calibration.geometry.triangulation import triangulate_robust
from calibration.solving.board import Board, BoardView

# A calibration whose lengths are wrong by more than this does not pass: 1 % on average, 2 % for 95 of 100 lengths.
_BIAS, _SPREAD = 0.01, 0.02


@dataclass(frozen=True, slots=True)
class Lengths:
    """Measured over true lengths."""

    count: int
    """How many lengths were measured."""
    bias: float
    """Median of measured / true - 1."""
    p95: float
    """95th percentile of ``abs(measured / true - 1)``."""
    error_mm: float
    """Median absolute error, mm."""

    @property
    def passed(self) -> bool:
        """Whether the calibration measures lengths well enough."""
        return self.count > 0 and abs(self.bias) <= _BIAS and self.p95 <= _SPREAD

    def line(self) -> str:
        """In words."""
        if not self.count:
            return "no board was seen by two cameras at once, so no length could be measured"
        return (
            f"{self.count} known lengths: {100 * self.bias:+.2f} % on average, 95 % of them within "
            f"{100 * self.p95:.2f} %, median error {self.error_mm:.1f} mm"
        )


def corner_pixels(cameras: Sequence[Camera], board: Board, frames: Sequence[Mapping[str, BoardView]]) -> Array:
    """Where every camera saw every corner in every frame: (V, F, N, 2) pixels, NaN where it did not."""
    xy = np.full((len(cameras), len(frames), len(board.points), 2), np.nan)
    for f, frame in enumerate(frames):
        for c, camera in enumerate(cameras):
            if camera.name in frame:
                xy[c, f, frame[camera.name].ids] = frame[camera.name].xy
    return xy


def measure_lengths(cameras: Sequence[Camera], board: Board, frames: Sequence[Mapping[str, BoardView]]) -> Lengths:
    """Triangulate the board's corners and measure its longest spans: opposite ends of its rows, columns, diagonals.

    Args:
        cameras: placed cameras.
        board: the board, whose lengths are the truth.
        frames: what the cameras saw of it, by name.
    """
    across, down = board.corners
    grid = np.arange(across * down).reshape(down, across)
    ends = np.concatenate([
        np.stack([grid[:, 0], grid[:, -1]], 1), np.stack([grid[0], grid[-1]], 1),
        np.array([[grid[0, 0], grid[-1, -1]], [grid[0, -1], grid[-1, 0]]]),
        np.stack([grid[:, 0], grid[:, across // 2]], 1), np.stack([grid[0], grid[down // 2]], 1),
    ])  # fmt: skip
    true = np.linalg.norm(board.points[ends[:, 0]] - board.points[ends[:, 1]], axis=1)
    points = triangulate_robust(cameras, corner_pixels(cameras, board, frames), noise_px=1.0).points
    measured = np.linalg.norm(points[:, ends[:, 0]] - points[:, ends[:, 1]], axis=-1)
    ratio = (measured / true - 1)[np.isfinite(measured)]
    if not len(ratio):
        return Lengths(0, np.nan, np.nan, np.nan)
    miss = np.abs(measured - true)[np.isfinite(measured)]
    return Lengths(len(ratio), float(np.median(ratio)), float(np.percentile(np.abs(ratio), 95)), float(np.median(miss)))
