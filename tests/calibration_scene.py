"""Scenes with known truth for the calibration tests."""

from dataclasses import replace

import numpy as np

from calibration.geometry.camera import Camera, camera_to_image, world_to_camera
from calibration.geometry.rotations import angle_degrees, rotation_matrix
from calibration.solving.board import Board, BoardView

BOARD = Board("charuco", (8, 6), 80, 60)


def look_at(name, centre, target, f=1100.0, size=(1920, 1080), dist=(-0.12, 0.05, 0.0006, -0.0004, 0.0), roll=0.0):
    z = np.asarray(target, float) - centre
    z /= np.linalg.norm(z)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    R = rotation_matrix(np.array([0, 0, roll])) @ np.stack([x, np.cross(z, x), z])
    K = np.array([[f, 0, size[0] / 2 + 7.3], [0, f * 1.002, size[1] / 2 - 5.1], [0, 0, 1]])
    return Camera(name, size, K, np.array(dist), R, -R @ centre)


def room(n=4, arc=180.0, radius=3500.0):
    """n cameras on an arc around the middle of a room, z up, all looking in."""
    rng = np.random.default_rng(n)
    out = []
    for k in range(n):
        a = np.radians(arc * k / max(n - 1, 1))
        centre = np.array([radius * np.cos(a), radius * np.sin(a), rng.uniform(1300, 2200)])
        out.append(look_at(f"c{k}", centre, [0, 0, 1000], f=1000 + 60 * k, roll=0.05 * k))
    return tuple(out)


def unplaced(cameras):
    """The same lenses, and nobody knows where they stand."""
    return [replace(c, R=np.eye(3), t=np.zeros(3)) for c in cameras]


def see(camera, board, R, t, rng, noise):
    """What a camera sees of a board of pose R, t in the world; None when it is turned away or outside the image."""
    points = board.points @ R.T + t
    local = world_to_camera(camera, points)
    # Seen from the front: the board's z points away from the camera.
    facing = (camera.R @ R[:, 2]) @ (local.mean(0) / np.linalg.norm(local.mean(0)))
    if facing < 0.35 or local[:, 2].min() < 100:
        return None
    xy = camera_to_image(camera, local) + rng.normal(0, noise, (len(points), 2))
    inside = ((xy > 5) & (xy < np.array(camera.size) - 6)).all(1)
    if inside.sum() < 12:
        return None
    ids = np.flatnonzero(inside)
    return BoardView(ids, xy[ids], 1.0)


def lens_views(camera, board, n, rng, noise=0.2):
    """n views of a board held in front of one camera, tilted, near and far."""
    out = []
    while len(out) < n:
        depth = rng.uniform(700, 2500)
        R = rotation_matrix(rng.uniform([-0.7, -0.7, -0.5], [0.7, 0.7, 0.5]))
        reach = depth * np.array(camera.size) / camera.K[0, 0] / 2
        centre = np.append(rng.uniform(-0.8, 0.8, 2) * reach, depth)
        world_R = camera.R.T @ R
        world_t = camera.R.T @ (centre - R @ board.points.mean(0) - camera.t)
        view = see(camera, board, world_R, world_t, rng, noise)
        if view is not None:
            out.append(view)
    return out


def board_walk(cameras, board, n, rng, noise=0.2):
    """n placements of a board in the middle of the room, turned to a random camera; frames seen by two or more."""
    frames = []
    while len(frames) < n:
        camera = cameras[rng.integers(len(cameras))]
        middle = rng.uniform([-1000, -1000, 500], [1000, 1000, 1700])
        R = camera.R.T @ rotation_matrix(rng.uniform([-0.6, -0.9, -0.5], [0.6, 0.9, 0.5]))
        views = {c.name: see(c, board, R, middle - R @ board.points.mean(0), rng, noise) for c in cameras}
        frame = {name: view for name, view in views.items() if view is not None}
        if len(frame) >= 2:
            frames.append(frame)
    return frames


def pose_errors(found, true):
    """Largest rotation error in degrees and translation error in mm, both rigs seen from their first camera."""

    def relative(cameras):
        first = cameras[0]
        return [(c.R @ first.R.T, c.t - c.R @ first.R.T @ first.t) for c in cameras]

    pairs = list(zip(relative(found), relative(true), strict=True))
    turn = max(float(angle_degrees(a[0], b[0])) for a, b in pairs)
    shift = max(float(np.linalg.norm(a[0].T @ a[1] - b[0].T @ b[1])) for a, b in pairs)
    return turn, shift


def aligned_errors(found, true):
    """The same after the rigid motion that fits all camera centres best: what a world frame leaves."""
    from calibration.geometry.rotations import mean_rotation

    a = np.stack([c.centre for c in found])
    b = np.stack([c.centre for c in true])
    # Orientations fix what two or collinear centres leave open.
    A = mean_rotation(np.stack([t.R.T @ f.R for f, t in zip(found, true, strict=True)]))
    shift = (b - a @ A.T).mean(0)
    move = np.linalg.norm(a @ A.T + shift - b, axis=1).max()
    turn = max(float(angle_degrees(f.R @ A.T, t.R)) for f, t in zip(found, true, strict=True))
    return turn, float(move)
