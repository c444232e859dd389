"""How a placed camera should see a board that others see: the reason why it does not."""

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_to_image, world_to_camera
from calibration.geometry.triangulation import triangulate_robust
from calibration.solving.board import Board, BoardView
from calibration.solving.extrinsics import board_poses
from calibration.solving.lengths import corner_pixels
from calibration.solving.sighting import LEGIBLE_PX

_GRAZING = 70.0
"""Degrees of slant beyond which a board is hardly ever read."""


def board_in_world(cameras: Sequence[Camera], board: Board, frames: Sequence[Mapping[str, BoardView]]) -> Array | None:
    """(N, 3) mm, the board's corners where most of them were seen; None where they cannot be told."""
    best: tuple[int, Array] | None = None
    for frame in frames:
        seen = [c for c in cameras if c.name in frame]
        count = sum(len(frame[c.name].ids) for c in seen)
        if not seen or (best is not None and count <= best[0]):
            continue
        poses = board_poses(seen[0], board, frame[seen[0].name])
        if not poses:
            continue
        # A flat board has two poses; what two cameras triangulate tells them apart.
        places = [(board.points @ R.T + t - seen[0].t) @ seen[0].R for R, t in poses]
        if len(seen) > 1:
            points = triangulate_robust(seen, corner_pixels(seen, board, [frame])[:, 0], noise_px=1.0).points
            places.sort(key=lambda place: float(np.nanmedian(np.linalg.norm(place - points, axis=1))))
        best = count, places[0]
    return None if best is None else best[1]


def expected_view(camera: Camera, board: Board, corners: Array) -> str:
    """How a camera should see a board, in words.

    Args:
        camera: placed.
        board: which board.
        corners: (N, 3) mm, its ``points`` in the world.
    """
    local = world_to_camera(camera, corners)
    if local[:, 2].mean() < 0:
        return "the board is behind it"
    xy = camera_to_image(camera, np.where(local[:, 2:] > 1, local, np.nan))
    inside = ((xy >= 0) & (xy < np.array(camera.size))).all(1)
    if inside.mean() < 0.5:
        x, y = np.nanmean(xy, axis=0)
        return f"the board is outside its picture, about ({x:.0f}, {y:.0f})"
    across, down = board.corners
    grid, place = xy.reshape(down, across, 2), local.reshape(down, across, 3)
    px = min(float(np.nanmedian(np.linalg.norm(np.diff(grid, axis=k), axis=-1))) for k in (0, 1))
    normal = np.cross(place[0, -1] - place[0, 0], place[-1, 0] - place[0, 0])
    sight = place.mean((0, 1))
    facing = normal @ sight / np.linalg.norm(normal) / np.linalg.norm(sight)
    slant = float(np.degrees(np.arccos(np.clip(abs(facing), 0, 1))))
    said = f"it should see squares of {px:.0f} pixels at a slant of {slant:.0f} degrees"
    if facing < 0 and not board.double_sided:
        return f"it sees the board's back ({said})"
    if px < LEGIBLE_PX or slant > _GRAZING:
        help_ = (
            "a larger board, or one nearer to it" if slant < _GRAZING else "a larger board, or one tilted towards it"
        )
        return f"{said}, and {LEGIBLE_PX:.0f} pixels are needed: {help_}"
    return f"{said}, which is enough: is something in the way, or has the camera moved?"
