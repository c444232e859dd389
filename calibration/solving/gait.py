"""What a walk tells of up: bodies lean forwards and back, and that lies along the way they go."""

import numpy as np

from calibration.arrays import Array

_SLOW = 35.0
"""Per cent of the ankles' moves that are those of feet on the floor."""
_WAY_MM = 300.0
"""Spread of standing feet (standard deviation) from which on the way of the walk is known to a degree or two."""
_LEAST = 8


def standing(ankles: Array) -> Array:
    """(N, 3) the ankles that moved least from the time before to the time after: those of feet on the floor.

    Args:
        ankles: (F, A, 3) mm, A ankles at F times in order; NaN where not seen.
    """
    points = standing_each(ankles)
    return np.concatenate(points) if points else np.empty((0, 3))


def standing_each(ankles: Array) -> list[Array]:
    """As ``standing``, one array (N, 3) an ankle."""
    step = np.linalg.norm(np.diff(ankles, axis=0), axis=-1)
    none = np.full((1, ankles.shape[1]), np.nan)
    move = np.fmax(np.concatenate([none, step]), np.concatenate([step, none]))
    move = np.where(np.isfinite(ankles).all(-1), move, np.nan)
    if np.isnan(move).all():
        return [np.empty((0, 3)) for _ in range(ankles.shape[1])]
    slow = move <= np.nanpercentile(move, _SLOW)
    return [ankles[slow[:, a], a] for a in range(ankles.shape[1])]


def way(ankles: Array) -> Array | None:
    """(3,) the direction of the longest way on which feet stood; None where they stayed in one place.

    Args:
        ankles: (F, A, 3) mm; NaN where not seen.
    """
    feet = standing(ankles)
    if len(feet) < _LEAST:
        return None
    _, spread, axes = np.linalg.svd(feet - np.median(feet, axis=0), full_matrices=False)
    return axes[0] if spread[0] / np.sqrt(len(feet)) >= _WAY_MM else None


def without(direction: Array, along: Array) -> Array:
    """Unit vectors (..., 3) without their part along another."""
    rest = direction - (direction @ along)[..., None] * along
    return rest / np.linalg.norm(rest, axis=-1, keepdims=True)
