"""Turning points so that up is an axis of other programs: y of engines and OpenSim, or z of C3D, Blender and robots.

A heading has to be chosen; it depends smoothly on up wherever that is possible.
"""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera

_X, _Y, _Z = np.eye(3)


def up_of(cameras: Sequence[Camera]) -> tuple[Array, bool]:
    """Unit vector (3,) against gravity in the world of cameras, and whether it is known: the one place that decides.

    Where no camera knows, the mean of the images' ups is taken for it: cameras are mostly held upright.

    Args:
        cameras: at least one.
    """
    known = next((c.up for c in cameras if c.up is not None), None)
    if known is not None:
        return np.asarray(known, float), True
    mean = -np.sum([c.R[1] for c in cameras], axis=0)
    return (mean / np.linalg.norm(mean) if np.linalg.norm(mean) > 0.1 else -cameras[0].R[1]), False


def turn(up: Array, right: Array, target: Array) -> Array:
    """The rotation (3, 3) that carries ``up`` to ``target`` and ``right``, made level, to x.

    Args:
        up: (3,) unit vector.
        right: (3,) not along ``up``.
        target: (3,) y or z.
    """
    level = right - (right @ up) * up
    level = level / np.linalg.norm(level)
    return np.outer(_X, level) + np.outer(target, up) + np.outer(np.cross(_X, target), np.cross(level, up))


def world_right(up: Array, target: Array) -> Array:
    """Which way of a world becomes x: continuous in ``up`` but where it is x itself, as no choice is everywhere.

    To z up it is x. To y up it is x as long as up is about level with y, and y where up is z: then (x, y, z) becomes
    (y, z, x), which keeps the axes' names and is what Pose2Sim writes.
    """
    share = max(float(up[2]), 0.0) ** 2 if target[1] > 0.5 else 0.0
    return _not_along(up, np.array([1 - share, share, 0]), -up[0] * target)


def camera_right(up: Array) -> Array:
    """Which way of a camera's axes becomes x: its right, however it is rolled, so that it looks along -z or y.

    Continuous in ``up`` but where the camera looks straight up or down.
    """
    return _not_along(up, np.cross(_Z, up), _X)


def world_to_y_up(up: Array) -> Array:
    """The rotation (3, 3) from a world's axes to such with y up: (x, y, z) with z up becomes (y, z, x)."""
    return turn(up, world_right(up, _Y), _Y)


def camera_to_y_up(up: Array) -> Array:
    """The rotation (3, 3) from a camera's axes to such with y up in which it looks along -z.

    Args:
        up: (3,) unit vector against gravity in the camera's axes; (0, -1, 0) for a level camera.
    """
    return turn(up, camera_right(up), _Y)


def _not_along(up: Array, right: Array, instead: Array) -> Array:
    level = right - (right @ up) * up
    return right if np.linalg.norm(level) > 1e-6 else instead
