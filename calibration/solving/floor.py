"""The world frame: up is z and the floor is z = 0, from a board lying on the floor or from a person's ankles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.geometry.triangulation import reprojection_error, triangulate_robust
from calibration.solving.board import Board, BoardView
from calibration.solving.extrinsics import board_poses
from calibration.solving.gait import standing
from calibration.solving.lengths import corner_pixels

_UP = np.array([0.0, 0.0, 1.0])
# A board whose corners do not fit by so many pixels or mm was moved, or the cameras do not agree.
_MISFIT_PX, _MISFIT_MM = 4.0, 15.0
# The tops of the cameras' images are up, to this many degrees on average; more is said.
_TOPS_DEGREES = 50.0
# How well ankles keep their height on the floor, and how well a walking body's mean direction tells up.
_ANKLE_NOISE_MM, _UP_DEGREES, _CELL_MM = 20.0, 2.0, 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """Cameras in the new world."""

    cameras: tuple[Camera, ...]
    """With ``up`` = (0, 0, 1) and the floor at z = 0."""
    misfit_mm: float
    """RMS distance of what defined the floor from it, mm."""
    remarks: tuple[str, ...]
    """What a person should know."""
    origin: str = ""
    """Where the world's origin and its axes are, in words."""


def move_world(cameras: Sequence[Camera], A: Array, b: Array, up: Array | None) -> tuple[Camera, ...]:
    """The same cameras in other world axes: ``X_new = A X_old + b``.

    Args:
        cameras: any.
        A: (3, 3) rotation, old world to new.
        b: (3,) mm.
        up: (3,) against gravity in the new world, or None.
    """
    return tuple(replace(c, R=c.R @ A.T, t=c.t - c.R @ A.T @ b, up=up) for c in cameras)


def fit_rigid(source: Array, target: Array) -> tuple[Array, Array]:
    """Rotation A (3, 3) and shift b (3,) with ``A source + b`` nearest to target, both (N, 3) (Kabsch 1976)."""
    a, b = source.mean(0), target.mean(0)
    U, _, V = np.linalg.svd((target - b).T @ (source - a))
    A = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ V))]) @ V
    return A, b - A @ a


def floor_from_board(
    cameras: Sequence[Camera], board: Board, frame: Mapping[str, BoardView], thickness_mm: float = 0.0
) -> Floor:
    """World axes from a board lying on the floor, face up.

    The origin is the outer corner of the board's first square, x along its rows, y against its columns, z up.

    Args:
        cameras: placed cameras.
        board: the board.
        frame: what the cameras saw of it, by name; one camera is enough, more are more accurate.
        thickness_mm: how far the printed side lies above the floor.

    Raises:
        CalibrationError: if no camera sees it or the cameras disagree on it.
    """
    seen = [c for c in cameras if c.name in frame]
    if not seen:
        raise CalibrationError("no camera sees the board on the floor")
    xy = corner_pixels(seen, board, [frame])[:, 0]
    points = triangulate_robust(seen, xy, noise_px=1.0).points
    good = np.isfinite(points).all(1)
    # Board axes point into the board; the world's up points out of it.
    flip = np.diag([1.0, -1.0, -1.0])
    target = board.points @ flip + [0, 0, thickness_mm]
    remarks = []
    if good.sum() >= 4:
        A, b = fit_rigid(points[good], target[good])
        misfit = float(np.sqrt((((points[good] @ A.T + b) - target[good]) ** 2).sum(1).mean()))
        error = float(np.nanmedian(reprojection_error(seen, (target - b) @ A, xy)))
    else:
        camera = seen[0]
        poses = board_poses(camera, board, frame[camera.name])
        if not poses:
            raise CalibrationError(f"camera {camera.name}: the board's pose cannot be found; lay it nearer")
        R, t = poses[0]
        A = flip @ R.T @ camera.R
        b = flip @ R.T @ (camera.t - t) + [0, 0, thickness_mm]
        misfit, error = 0.0, 0.0
        remarks.append(f"only camera {camera.name} sees the board; the floor is as good as its view alone")
    if misfit > _MISFIT_MM or error > _MISFIT_PX:
        raise CalibrationError(
            f"the cameras disagree on the board on the floor by {misfit:.0f} mm and {error:.0f} px; did it or a camera "
            "move, or is the size of its squares wrong?"
        )
    placed = move_world(cameras, A, b, _UP)
    below = [c.name for c in placed if c.centre[2] < 0]
    if below:
        remarks.append(f"below the floor: {', '.join(below)}; does the board lie on the floor, face up?")
    tops = -np.mean([c.R[1] for c in placed], axis=0)
    lean = float(np.degrees(np.arccos(tops[2] / np.linalg.norm(tops))))
    if lean > _TOPS_DEGREES:
        remarks.append(f"up is {lean:.0f} degrees from the tops of the images; does the board lie on the floor?")
    if board.turnable:
        remarks.append("the board looks the same after half a turn, so the origin may be at its opposite corner")
    across, down = board.squares
    first = f"marker {board.first_id}" if board.kind == "charuco" else "the dark first square"
    origin = (
        f"origin: the outer corner of the board at {first}, on the floor; x along its {across} squares, y against its "
        f"{down} squares, away from the board, z up"
    )
    return Floor(placed, misfit, tuple(remarks), origin)


def floor_from_ankles(
    cameras: Sequence[Camera],
    ankles: Array,
    up: Array,
    ankle_height_mm: float = 80.0,
    *,
    up_degrees: float = _UP_DEGREES,
) -> Floor:
    """World axes from where a person's ankles were while standing and walking about.

    The plane lies under the ankles of feet that stand: the slowest third of all, and of these the higher ones count
    little. Where the person walked along one line only,
    the slope across it comes from ``up``.

    Args:
        cameras: placed cameras.
        ankles: (F, A, 3) mm, world, A ankles at F times in order; NaN where not seen.
        up: (3,) rough direction against gravity in the same world (from the person's body).
        ankle_height_mm: height of the ankle joint above the floor with the foot flat.
        up_degrees: standard deviation of ``up``; 0 keeps it, and only the height is looked for.

    Raises:
        CalibrationError: if the ankles were hardly seen.
    """
    points = standing(ankles)
    if len(points) < 20:
        raise CalibrationError(
            f"ankles of standing feet were located {len(points)} times; let the person walk about in full view"
        )
    first = np.asarray(up, np.float64) / np.linalg.norm(up)
    axes = np.linalg.svd(first[None])[2][1:]
    local = points @ axes.T - np.median(points @ axes.T, axis=0)
    z = points @ first
    # Each place on the floor counts once, however long a foot stood there.
    cell = np.unique(np.round(local / _CELL_MM).astype(int), axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cell)
    spots = np.stack([np.bincount(cell, local[:, k]) / count for k in (0, 1)], 1)
    z = np.array([np.percentile(z[cell == k], 30) for k in range(len(count))])
    # Plane z = p0 + p1 u + p2 v. Its slopes are tied to the rough up as far as that is known, so that they are kept
    # where the ankles say nothing of them; what lies higher than that allows is a foot in the air.
    design = np.column_stack([np.ones(len(z)), spots])
    prior = np.diag([0, 1, 1]) * (_ANKLE_NOISE_MM / np.tan(np.radians(max(up_degrees, 1e-3)))) ** 2
    low = np.argsort(z)[: max(1, len(z) // 4)]
    reach = np.linalg.norm(spots - np.median(spots[low], axis=0), axis=1)
    gate = 2 * _ANKLE_NOISE_MM + reach * np.tan(np.radians(2 * up_degrees))
    stood = np.abs(z - np.median(z[low])) < gate
    plane = np.linalg.solve(design[stood].T @ design[stood] + prior, design[stood].T @ z[stood])
    normal = first - plane[1] * axes[0] - plane[2] * axes[1]
    normal /= np.linalg.norm(normal)
    height = float((plane[0] * first + np.median(points @ axes.T, axis=0) @ axes) @ normal)
    remarks: list[str] = []
    if (
        stood.sum() < 4
        or np.linalg.svd(spots[stood] - spots[stood].mean(0), compute_uv=False)[1] < 150 * stood.sum() ** 0.5
    ):
        remarks.append("the person stood in few places or along one line; let them walk about for a surer floor")
    tilt = float(np.degrees(np.arccos(np.clip(normal @ first, -1, 1))))
    if tilt > 10:
        remarks.append(f"floor and body disagree on up by {tilt:.0f} degrees; check the picture")
    x = cameras[0].R[0] - (cameras[0].R[0] @ normal) * normal
    x = x / np.linalg.norm(x)
    A = np.stack([x, np.cross(normal, x), normal])
    middle = np.median(points, axis=0)
    b = -A @ (middle - (middle @ normal - height) * normal) + [0, 0, ankle_height_mm]
    near = np.abs(points @ normal - height) < 30
    misfit = float(np.sqrt(np.mean((points[near] @ normal - height) ** 2))) if near.any() else float("nan")
    origin = (
        "origin: on the floor under the middle of where the person stood; x to the right of the picture of camera "
        f"{cameras[0].name}, y away from it, z up"
    )
    return Floor(move_world(cameras, A, b, _UP), misfit, tuple(remarks), origin)
