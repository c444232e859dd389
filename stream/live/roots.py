"""Where a person stands as one camera tells it, over time: sure across the ray, unsure along it.

A pose that is a little too large, or leans a little too far, is placed metres away nearer or further; from frame to
frame that flickers. So the root is followed by a Kalman filter of constant velocity with the covariance that its
placing has, which is wide along the ray and narrow across it.
"""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array
from stream.config import TrackConfig

_GATE = 9.0
"""Squared Mahalanobis distance above which a measurement counts less: its covariance is widened to be there."""
_LOST = 6
"""So many in a row mean that it is the filter that is wrong."""


class RootFilter:
    """The root of one person in one camera."""

    def __init__(self, config: TrackConfig) -> None:
        self._config = config
        self._t = -np.inf
        self._x: Array = np.zeros(6)
        self._P: Array = np.zeros((6, 6))
        self._outside = 0

    def reset(self) -> None:
        """Forget everything: the next root passes unchanged."""
        self._t = -np.inf

    def __call__(self, root: Array, cov: Array, t: float) -> Array:
        """Filter (3,) mm of covariance (3, 3) mm2 at t seconds; what is not finite stays so, and changes nothing."""
        return filtered([self], root[None], cov[None], t)[0]

    def _begin(self, root: Array, cov: Array, t: float) -> None:
        speed = self._config.root_speed_mm_s**2 * np.eye(3)
        self._x, self._t, self._outside = np.concatenate([root, np.zeros(3)]), t, 0
        self._P = np.zeros((6, 6))
        self._P[:3, :3], self._P[3:, 3:] = cov, speed

    @staticmethod
    def _go_on(filters: "Sequence[RootFilter]", roots: Array, covs: Array, t: float) -> None:
        """All of these have a past."""
        config = filters[0]._config
        dt = np.array([t - one._t for one in filters])[:, None, None]
        F = np.tile(np.eye(6), (len(filters), 1, 1))
        F[:, :3, 3:] = dt * np.eye(3)
        # White noise of the acceleration over the step.
        Q = np.zeros_like(F)
        for row, column, power, share in ((0, 0, 4, 4), (0, 3, 3, 2), (3, 0, 3, 2), (3, 3, 2, 1)):
            Q[:, row : row + 3, column : column + 3] = dt**power / share * np.eye(3)
        x = (F @ np.stack([one._x for one in filters])[..., None])[..., 0]
        P = F @ np.stack([one._P for one in filters]) @ F.swapaxes(1, 2) + config.root_acceleration_mm_s2**2 * Q
        off, S = roots - x[:, :3], P[:, :3, :3] + covs
        distance = (off * np.linalg.solve(S, off[..., None])[..., 0]).sum(-1)
        wider = np.maximum(distance / _GATE - 1, 0)[:, None, None] * S
        K = P[:, :, :3] @ np.linalg.inv(S + wider)
        x, P = x + (K @ off[..., None])[..., 0], P - K @ P[:, :3]
        for k, one in enumerate(filters):
            one._outside = one._outside + 1 if distance[k] > _GATE else 0
            if one._outside >= _LOST:
                one._begin(roots[k], covs[k], t)
            else:
                one._x, one._P, one._t = x[k], P[k], t


def filtered(filters: Sequence[RootFilter], roots: Array, covs: Array, t: float) -> Array:
    """What N different filters of one config make of roots (N, 3) mm of covariances (N, 3, 3) mm2 at t seconds.

    What is not finite stays so, and changes nothing.
    """
    out = np.array(roots, float)
    known = np.flatnonzero(np.isfinite(out).all(-1) & np.isfinite(covs).all((-1, -2))).tolist()
    going = [k for k in known if 0 < t - filters[k]._t <= filters[k]._config.gap_s]
    for k in known:
        if k not in going:
            filters[k]._begin(out[k], covs[k], t)
    if going:
        RootFilter._go_on([filters[k] for k in going], out[going], covs[going], t)
    for k in known:
        out[k] = filters[k]._x[:3]
    return out
