"""Which way is up, from a walk: all that it tells of it in one least squares, each part as far as it can be trusted.

Three things tell up. Feet that stand are in one plane. A body is upright but for a lean, forwards and aside, that goes
with it when it turns; so is the line from its right to its left, of hips and shoulders, level but for a tilt of its
own. Lean and tilt are unknown numbers of this walk, with a prior: who walks to and fro, or round, shows them apart from
up; who walks one way only leaves up along it to the feet. The loss is Cauchy's.
"""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.solving.gait import standing_each

# Chosen on walks of a validation subject (CMU_07), not on those that docs/calibration.md measures.
# Standard deviations. Of a moment: what a body sways, and how a standing ankle keeps its height.
_SWAY, _ROLL, _ANKLE_M = np.radians(2.5), np.radians(5.0), 0.025
# Of a walk: forward lean, lean aside, tilt of hips and shoulders, half of what one ankle is higher than the other.
_LEAN, _ASIDE, _TILT, _UNEVEN_M = np.radians(3.0), np.radians(1.0), np.radians(1.5), 0.005
_FORWARD = np.radians(2.0)
"""What a walking body leans forwards in the mean."""
_TOGETHER = 2.5
"""Moments, at ten a second, that say the same: they sway together."""
_STEPS = 12
_CELL_MM = 60.0
_LEAST_SPOTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Vertical:
    """Up, and how well it is known."""

    up: Array
    """(3,) unit vector."""
    sigma_degrees: float
    """Standard deviation along the axis that is known least."""


def vertical(trunk: Array, left: Array, ankles: Array, first: Array) -> Vertical:
    """Up.

    Args:
        trunk: (F, 3) from the middle of the ankles to the middle of the shoulders; NaN where not seen.
        left: (F, 3) from right to left of hips and shoulders; NaN where not seen.
        ankles: (F, 2, 3) mm, at F times in order; NaN where not seen.
        first: (3,) rough up, within 10 degrees or so.
    """
    up = first / np.linalg.norm(first)
    good = np.isfinite(trunk).all(-1) & np.isfinite(left).all(-1)
    trunk, left = trunk[good], left[good]
    spots, foot = _spots(ankles, up)
    middle = np.median(spots, axis=0) if len(spots) else np.zeros(3)
    spots = (spots - middle) / 1000
    cov = np.eye(2)
    weight: Array | None = None
    for _ in range(_STEPS):
        axes = np.linalg.svd(up[None])[2][1:]
        rows, values = _rows(trunk, left, spots, foot, up, axes)
        prior = np.diag(1 / np.square([0.3, 0.3, _LEAN, _ASIDE, _TILT, 1.0, _UNEVEN_M]))
        if weight is None:
            weight = np.ones(len(rows))
        normal = (rows * weight[:, None]).T @ rows + prior
        expected = prior @ [0, 0, _FORWARD, 0, 0, 0, 0]
        x = np.linalg.solve(normal, (rows * weight[:, None]).T @ values + expected)
        weight = 1 / (1 + ((values - rows @ x) / 2) ** 2 * _unthinned(len(trunk), len(rows)))
        cov = np.linalg.inv(normal)[:2, :2]
        up = up + x[:2] @ axes
        up /= np.linalg.norm(up)
    return Vertical(up, float(np.degrees(np.sqrt(np.linalg.eigvalsh(cov)[-1]))))


def _unthinned(moments: int, rows: int) -> Array:
    """(rows,) what makes of a row's residual, thinned as its neighbours say the same, that of its moment alone."""
    return np.where(np.arange(rows) < 3 * moments, _TOGETHER, 1.0)


def _rows(trunk: Array, left: Array, spots: Array, foot: Array, up: Array, axes: Array) -> tuple[Array, Array]:
    """Equations (R, 7) in up's change along both axes, lean, lean aside, tilt, height, uneven ankles; (R,) values."""
    n = len(trunk)
    q = left / np.linalg.norm(left, axis=1, keepdims=True)
    side = q - (q @ up)[:, None] * up
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    forward = np.cross(side, up)
    d = trunk / (trunk @ up)[:, None]
    zero = np.zeros(n)
    out, values = [], []
    for k, axis in enumerate(axes):
        unit = np.tile(np.eye(2)[k], (n, 1))
        out.append(np.column_stack([unit, forward @ axis, side @ axis, zero, zero, zero]) / (_SWAY * _TOGETHER**0.5))
        values.append(d @ axis / (_SWAY * _TOGETHER**0.5))
    out.append(np.column_stack([q @ axes.T, zero, zero, zero - 1, zero, zero]) / (_ROLL * _TOGETHER**0.5))
    values.append(-(q @ up) / (_ROLL * _TOGETHER**0.5))
    m = len(spots)
    none = np.zeros((m, 3))
    out.append(np.column_stack([spots @ axes.T, none, np.full(m, -1.0), -foot]) / _ANKLE_M)
    values.append(-(spots @ up) / _ANKLE_M)
    return np.concatenate(out), np.concatenate(values)


def _spots(ankles: Array, up: Array) -> tuple[Array, Array]:
    """(M, 3) mm where each foot stood, each place once, and (M,) 1 or -1, which foot; empty where too few."""
    axes = np.linalg.svd(up[None])[2][1:]
    places, foot = [], []
    for points, sign in zip(standing_each(ankles), (1.0, -1.0), strict=True):
        if not len(points):
            continue
        cell = np.unique(np.round(points @ axes.T / _CELL_MM).astype(int), axis=0, return_inverse=True)[1].ravel()
        for k in range(cell.max() + 1):
            places.append(np.median(points[cell == k], axis=0))
            foot.append(sign)
    if len(places) < _LEAST_SPOTS:
        return np.empty((0, 3)), np.empty(0)
    return np.array(places), np.array(foot)
