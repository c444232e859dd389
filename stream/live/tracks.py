"""Which hypothesis: identity and probability of hypotheses over time. A pure state machine, no clock of its own.

The kernels of a mixture have no identity: the network may exchange two of them from one frame to the next, and the
most probable one flickers where two are nearly as likely. Here the kernels of a frame are the states of a hidden
Markov model. A state is likely where its own mixing coefficient is large *and* where a likely pose of the frame before
can have moved to it; so evidence accumulates and the answer changes only when the evidence does.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array
from engines.types import Mixture
from stream.config import TrackConfig
from stream.types import HypothesisTrack


class _Filter(ABC):
    """What filters of a pose have in common."""

    def __init__(self, config: TrackConfig) -> None:
        self._config = config
        self._t = -np.inf
        self._x: Array = np.zeros(0)
        self._speed: Array = np.zeros(0)

    def reset(self) -> None:
        """Forget everything: the next pose passes unchanged."""
        self._t = -np.inf

    def distance(self, pose: Array) -> float:
        """Root mean square joint distance, mm, of (J, 3) from the last filtered pose; infinite before there is one."""
        return float(rms_distance(pose[None], self._x[None])[0, 0]) if np.isfinite(self._t) else np.inf

    def __call__(self, pose: Array, t: float) -> Array:
        """Filter (J, 3) mm at t seconds."""
        dt = t - self._t
        if 0 < dt <= self._config.gap_s:
            self._x = self._next(pose, dt)
        else:
            self._x, self._speed = pose, np.zeros_like(pose)
        self._t = t
        return self._x

    @abstractmethod
    def _next(self, pose: Array, dt: float) -> Array:
        """The filtered pose dt seconds after the last one."""


class OneEuro(_Filter):
    """The One Euro filter (Casiez, Roussel and Vogel, CHI 2012), on each joint's speed, with the frames' own times."""

    def _next(self, pose: Array, dt: float) -> Array:
        # The speed is measured from the last filtered pose, so that a standing offset is caught up with.
        a = _smoothing(self._config.derivative_hz, dt)
        self._speed = self._speed + a * ((pose - self._x) / dt - self._speed)
        cutoff = self._config.min_cutoff_hz + self._config.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        return self._x + _smoothing(cutoff, dt) * (pose - self._x)


class AlphaBeta(_Filter):
    """The alpha-beta filter of Benedict and Bordner (1962), with the frames' own times: who moves steadily is not late.

    For poses with little noise, whose speed can be told from two of them. Each frame's noise is its own, so that it is
    by frames that it is averaged away, as long as they come quickly.
    """

    _usual = 0.0
    """Seconds between two frames."""

    def reset(self) -> None:
        """Forget everything: the next pose passes unchanged."""
        super().reset()
        self._usual = 0.0

    def _next(self, pose: Array, dt: float) -> Array:
        self._usual = self._usual + 0.1 * (dt - self._usual) if self._usual else dt
        alpha = 1 - np.exp(-2 * dt / min(self._usual * self._config.settle_frames, self._config.settle_s))
        expected = self._x + self._speed * dt
        self._speed = self._speed + alpha**2 / (2 - alpha) * (pose - expected) / dt
        return expected + alpha * (pose - expected)


def _smoothing(cutoff_hz: float | Array, dt: float) -> float | Array:
    r = 2 * np.pi * cutoff_hz * dt
    return r / (r + 1)


class Tracker:
    """The hypotheses of one person in one camera over time.

    Args:
        config: parameters.
        ids: gives each new track its id; shared by the trackers of a run, so that no two of its tracks have the same.
        over_time: whether mixtures were made better by the frames before, so that little is left to smooth.
    """

    def __init__(
        self, config: TrackConfig | None = None, ids: Iterator[int] | None = None, *, over_time: bool = False
    ) -> None:
        self._config, self._over_time = config or TrackConfig(), over_time
        self._filter = AlphaBeta(self._config) if over_time else OneEuro(self._config)
        self._ids = count() if ids is None else ids
        self._tracks: tuple[HypothesisTrack, ...] = ()
        self._t = -np.inf
        self._answer_id = -1

    def reset(self) -> None:
        """Forget the person; ids go on counting."""
        self._tracks = ()
        self._filter.reset()

    def __call__(self, mixture: Mixture, t: float) -> tuple[tuple[HypothesisTrack, ...], Array, Array]:
        """Take the mixture of the frame at t seconds.

        Returns:
            One track a kernel, in the mixture's order; ``answer_raw`` (17, 3) mm: the pose of the most probable track;
            ``answer`` (17, 3) mm: the same, over time averaged with its like, through a causal filter.
        """
        dt = t - self._t
        if not 0 < dt <= self._config.gap_s:
            self.reset()
        self._t = t
        self._tracks = self._follow(mixture, t, dt) if self._tracks else self._begin(mixture, t)
        best = self._tracks[most_probable(self._tracks)]
        if best.id != self._answer_id and self._filter.distance(best.pose) > self._config.cut_mm:
            # Another pose: gliding there would show poses that nobody believes in.
            self._filter.reset()
        self._answer_id = best.id
        return self._tracks, best.pose, self._filter(self._averaged(best), t)

    def _averaged(self, best: HypothesisTrack) -> Array:
        """The pose of a track, averaged with those of tracks that say the same."""
        if not self._over_time or not self._config.alike_mm:
            return best.pose
        poses = np.array([track.pose for track in self._tracks])
        near = np.exp(-0.5 * (rms_distance(best.pose[None], poses)[0] / self._config.alike_mm) ** 2)
        share = near * [track.probability for track in self._tracks]
        return np.einsum("m,mjd->jd", share / share.sum(), poses)

    def _begin(self, mixture: Mixture, t: float) -> tuple[HypothesisTrack, ...]:
        return tuple(
            HypothesisTrack(next(self._ids), t, pose, float(w))
            for pose, w in zip(mixture.mean, mixture.weight, strict=True)
        )

    def _follow(self, mixture: Mixture, t: float, dt: float) -> tuple[HypothesisTrack, ...]:
        config = self._config
        before = np.array([track.probability for track in self._tracks])
        distance = rms_distance(np.array([track.pose for track in self._tracks]), mixture.mean)
        spread = config.still_mm + config.speed_mm_s * dt
        move = np.exp(-0.5 * (distance / spread) ** 2) + config.jump
        probability = (before @ (move / move.sum(1, keepdims=True))) * np.maximum(
            mixture.weight, 1e-8
        ) ** config.evidence
        probability /= probability.sum()
        old, new = linear_sum_assignment(distance)
        source = dict(zip(new.tolist(), old.tolist(), strict=True))
        tracks = []
        for kernel, pose in enumerate(mixture.mean):
            kept = self._tracks[source[kernel]] if kernel in source else None
            if kept is None or distance[source[kernel], kernel] > config.new_mm:
                identity, birth = next(self._ids), t
            else:
                identity, birth = kept.id, kept.birth
            tracks.append(HypothesisTrack(identity, birth, pose, float(probability[kernel])))
        return tuple(tracks)


def rms_distance(a: Array, b: Array) -> Array:
    """(A, B) root mean square joint distance, mm, between poses (A, J, 3) and (B, J, 3)."""
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1).mean(-1))


def most_probable(tracks: Sequence[HypothesisTrack]) -> int:
    """Index of the most probable track."""
    return int(np.argmax([track.probability for track in tracks]))
