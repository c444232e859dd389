"""A fisheye's lens from views of a board: ``scipy.optimize.least_squares`` over lens and board poses.

Not ``cv2.fisheye.calibrate``, which wants every view good, stops with an assertion where one is not, starts from one
guess, and says nothing of how sure it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from calibration.arrays import Array, Ints
from calibration.errors import CalibrationError
from calibration.geometry import fisheye
from calibration.geometry.rotations import rotation_matrix, rotation_vector
from calibration.solving.board import Board, BoardView

# Fields of view along the long side that it begins with, degrees.
_STARTS = (60, 90, 120, 150, 180)
# What is not seen towards the rim leaves k3 and k4 open: each k is 0 to so much, weighed against corners of this noise.
_K_SIGMA, _NOISE_PX = 0.3, 0.2
_LENS = 8


@dataclass(frozen=True, slots=True, eq=False)
class FisheyeFit:
    """The lens, and how well it fits."""

    rms_px: float
    K: Array
    """(3, 3)."""
    dist: Array
    """(4,) k1 k2 k3 k4."""
    sigma: Array
    """(4,) standard deviations of fx, fy, cx, cy, pixels."""
    errors: Array
    """(V,) RMS of each view, pixels."""
    R: Array
    """(V, 3, 3) of each board in camera axes."""


def fit_fisheye(board: Board, views: Sequence[BoardView], size: tuple[int, int]) -> FisheyeFit:
    """Focal length, centre and the four coefficients.

    Raises:
        CalibrationError: if the views are degenerate.
    """
    view = np.concatenate([np.full(len(one.ids), i) for i, one in enumerate(views)])
    corners = np.concatenate([board.points[one.ids] for one in views])
    xy = np.concatenate([one.xy for one in views])
    start = min((_start(board, views, size, fov) for fov in _STARTS), key=lambda s: _cost(s, view, corners, xy))

    def residual(x: Array) -> Array:
        return np.concatenate([(_project(x, view, corners) - xy).ravel(), x[4:_LENS] * _NOISE_PX / _K_SIGMA])

    def jacobian(x: Array) -> Array:
        out = np.zeros((2 * len(xy) + 4, len(x)))
        rows = np.arange(2 * len(xy)).reshape(-1, 2)
        for k in range(_LENS + 6):
            # One parameter of all views at a time.
            columns = np.full(len(views), k) if k < _LENS else k + 6 * np.arange(len(views))
            step = np.zeros(len(x))
            step[columns] = 1e-3 if k < 4 or k >= _LENS + 3 else 1e-6
            h = step[columns[0]]
            slope = (_project(x + step, view, corners) - _project(x - step, view, corners)) / (2 * h)
            out[rows, columns[view][:, None]] = slope
        out[-4:, 4:_LENS] = np.eye(4) * _NOISE_PX / _K_SIGMA
        return out

    try:
        found = least_squares(residual, start, jac=jacobian, x_scale="jac", max_nfev=100)  # pyright: ignore[reportArgumentType] - SciPy takes a function
        cov = np.linalg.inv(found.jac.T @ found.jac)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise CalibrationError("the board's views are degenerate: all of them flat, or of one place") from error
    x = found.x
    square = ((_project(x, view, corners) - xy) ** 2).sum(1)
    variance = square.sum() / max(2 * len(xy) - len(x), 1)
    count = np.bincount(view)
    return FisheyeFit(
        float(np.sqrt(square.mean())), _matrix(x), x[4:_LENS], np.sqrt(variance * np.diag(cov)[:4]),
        np.sqrt(np.bincount(view, square) / count), rotation_matrix(x[_LENS:].reshape(-1, 6)[:, :3]),
    )  # fmt: skip


def pose_of(points: Array, xy: Array, K: Array, dist: Array) -> tuple[Array, Array] | None:
    """The rotation (3, 3) and place (3,) mm of a board's points (N, 3) in camera axes that fit best, or None."""
    rays = fisheye.unproject(xy, K, dist)
    seen = np.isfinite(rays).all(1)
    if seen.sum() < 4:
        return None
    ok, turns, moves, _ = cv2.solvePnPGeneric(
        points[seen], np.ascontiguousarray(rays[seen, :2]), np.eye(3), np.zeros(4), flags=cv2.SOLVEPNP_IPPE
    )
    poses = [
        (rotation_matrix(np.ravel(r).astype(float)), np.ravel(t).astype(float))
        for r, t in zip(turns, moves, strict=True)
    ]
    misfits = [np.nansum((fisheye.project(points @ R.T + t, K, dist) - xy) ** 2) for R, t in poses]
    return poses[int(np.argmin(misfits))] if ok and poses and np.isfinite(misfits).any() else None


def _start(board: Board, views: Sequence[BoardView], size: tuple[int, int], fov: float) -> Array:
    f = max(size) / 2 / np.radians(fov / 2)
    x = [f, f, (size[0] - 1) / 2, (size[1] - 1) / 2, 0, 0, 0, 0]
    K = _matrix(np.array(x))
    for one in views:
        pose = pose_of(board.points[one.ids], one.xy, K, np.zeros(4)) or (np.eye(3), np.array([0, 0, 1000.0]))
        x += [*rotation_vector(pose[0]), *pose[1]]
    return np.array(x)


def _matrix(x: Array) -> Array:
    return np.array([[x[0], 0, x[2]], [0, x[1], x[3]], [0, 0, 1]])


def _project(x: Array, view: Ints, corners: Array) -> Array:
    """(N, 2) pixels of the corners; smooth also for a board behind the camera."""
    poses = x[_LENS:].reshape(-1, 6)
    local = np.einsum("nij,nj->ni", rotation_matrix(poses[:, :3])[view], corners) + poses[view, 3:]
    side = np.maximum(np.hypot(local[:, 0], local[:, 1]), 1e-9)
    shown = fisheye.shown_at(np.arctan2(side, local[:, 2]), x[4:_LENS]) / side
    return local[:, :2] * shown[:, None] * x[:2] + x[2:4]


def _cost(x: Array, view: Ints, corners: Array, xy: Array) -> float:
    """Robust, as a start may place some boards wrongly."""
    return float(np.minimum(np.linalg.norm(_project(x, view, corners) - xy, axis=1), 50.0).sum())
