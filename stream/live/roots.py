"""Where a person stands as one camera tells it, over time: sure across the ray, unsure along it.

A pose that is a little too large, or leans a little too far, is placed metres away nearer or further; from frame to
frame that flickers. So the root is followed by a Kalman filter of constant velocity with the covariance that its
placing has, which is wide along the ray and narrow across it.
"""

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
        if not (np.isfinite(root).all() and np.isfinite(cov).all()):
            return root
        dt = t - self._t
        if not 0 < dt <= self._config.gap_s:
            return self._begin(root, cov, t)
        F = np.eye(6)
        F[:3, 3:] = dt * np.eye(3)
        # White noise of the acceleration over the step.
        q = self._config.root_acceleration_mm_s2**2 * np.array([[dt**4 / 4, dt**3 / 2], [dt**3 / 2, dt**2]])
        x, P = F @ self._x, F @ self._P @ F.T + np.kron(q, np.eye(3))
        off = root - x[:3]
        distance = float(off @ np.linalg.solve(P[:3, :3] + cov, off))
        self._outside = self._outside + 1 if distance > _GATE else 0
        if self._outside >= _LOST:
            return self._begin(root, cov, t)
        if distance > _GATE:
            cov = cov + (distance / _GATE - 1) * (P[:3, :3] + cov)
        K = P[:, :3] @ np.linalg.inv(P[:3, :3] + cov)
        self._x, self._P, self._t = x + K @ off, P - K @ P[:3], t
        return self._x[:3].copy()

    def _begin(self, root: Array, cov: Array, t: float) -> Array:
        speed = self._config.root_speed_mm_s**2 * np.eye(3)
        self._x, self._t, self._outside = np.concatenate([root, np.zeros(3)]), t, 0
        self._P = np.block([[cov, np.zeros((3, 3))], [np.zeros((3, 3)), speed]])
        return np.array(root, float)
