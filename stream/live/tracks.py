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
        return filtered([self], pose[None], t)[0]

    @abstractmethod
    def _gain(self, dt: float) -> float:
        """What ``_step`` needs to know of a filter alone, dt seconds after its last pose."""

    @staticmethod
    @abstractmethod
    def _step(config: TrackConfig, x: Array, speed: Array, pose: Array, dt: Array, gain: Array) -> tuple[Array, Array]:
        """The filtered poses of N filters and their speeds, dt (N, 1, 1) seconds after x and speed, all (N, J, 3)."""


class OneEuro(_Filter):
    """The One Euro filter (Casiez, Roussel and Vogel, CHI 2012), on each joint's speed, with the frames' own times."""

    def _gain(self, dt: float) -> float:
        return 0.0

    @staticmethod
    def _step(config: TrackConfig, x: Array, speed: Array, pose: Array, dt: Array, gain: Array) -> tuple[Array, Array]:
        # The speed is measured from the last filtered pose, so that a standing offset is caught up with.
        a, dt = _smoothing(config.derivative_hz, dt).astype(pose.dtype), dt.astype(pose.dtype)
        speed = speed + a * ((pose - x) / dt - speed)
        cutoff = config.min_cutoff_hz + config.beta * np.linalg.norm(speed, axis=-1, keepdims=True)
        return x + _smoothing(cutoff, dt) * (pose - x), speed


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

    def _gain(self, dt: float) -> float:
        self._usual = self._usual + 0.1 * (dt - self._usual) if self._usual else dt
        return 1 - np.exp(-2 * dt / min(self._usual * self._config.settle_frames, self._config.settle_s))

    @staticmethod
    def _step(config: TrackConfig, x: Array, speed: Array, pose: Array, dt: Array, gain: Array) -> tuple[Array, Array]:
        # As numbers that are no arrays, these would leave poses of float32 what they are.
        first, second, dt = (one.astype(pose.dtype) for one in (gain, gain**2 / (2 - gain), dt))
        expected = x + speed * dt
        return expected + first * (pose - expected), speed + second * (pose - expected) / dt


def filtered(filters: Sequence[_Filter], poses: Array, t: float) -> list[Array]:
    """What N different filters of one kind and config make of poses (N, J, 3) mm at t seconds."""
    steps = [t - one._t for one in filters]
    going = [k for k, dt in enumerate(steps) if 0 < dt <= filters[k]._config.gap_s]
    for k, one in enumerate(filters):
        if k not in going:
            one._x, one._speed = poses[k], np.zeros_like(poses[k])
        one._t = t
    if going:
        some = [filters[k] for k in going]
        dt = np.array([steps[k] for k in going])[:, None, None]
        gain = np.array([one._gain(steps[k]) for k, one in zip(going, some, strict=True)])[:, None, None]
        xs, speeds = np.stack([one._x for one in some]), np.stack([one._speed for one in some])
        xs, speeds = some[0]._step(some[0]._config, xs, speeds, poses[going], dt, gain)
        for one, x, speed in zip(some, xs, speeds, strict=True):
            one._x, one._speed = x, speed
    return [one._x for one in filters]


def _smoothing(cutoff_hz: float | Array, dt: Array) -> Array:
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
        return follow([self], [mixture], t)[0]

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

    def _moved(self, mixture: Mixture, t: float, distance: Array, probability: Array) -> tuple[HypothesisTrack, ...]:
        """The tracks of the frame before, each with its new kernel.

        Args:
            mixture: the new frame's.
            t: seconds of it.
            distance: (K, M) from the K old tracks to its kernels, mm.
            probability: (M,) of its kernels.
        """
        nearest = distance.argmin(1).tolist()
        if len(set(nearest)) == distance.shape[1] == len(nearest):
            source = {new: old for old, new in enumerate(nearest)}  # each has its nearest: no assignment is better
        else:
            old, new = linear_sum_assignment(distance)
            source = dict(zip(new.tolist(), old.tolist(), strict=True))
        tracks = []
        for kernel, pose in enumerate(mixture.mean):
            kept = self._tracks[source[kernel]] if kernel in source else None
            if kept is None or distance[source[kernel], kernel] > self._config.new_mm:
                identity, birth = next(self._ids), t
            else:
                identity, birth = kept.id, kept.birth
            tracks.append(HypothesisTrack(identity, birth, pose, float(probability[kernel])))
        return tuple(tracks)


def follow(
    trackers: Sequence[Tracker], mixtures: Sequence[Mixture], t: float
) -> list[tuple[tuple[HypothesisTrack, ...], Array, Array]]:
    """What N different trackers of one config say of a mixture each, see ``Tracker.__call__``; all in one go."""
    alike: dict[tuple[int, int], list[int]] = {}
    for k, (one, mixture) in enumerate(zip(trackers, mixtures, strict=True)):
        if not 0 < t - one._t <= one._config.gap_s:
            one.reset()
        if one._tracks:
            alike.setdefault((len(one._tracks), len(mixture.weight)), []).append(k)
    moved = {k: pair for which in alike.values() for k, pair in _chances(trackers, mixtures, which, t)}
    for k, (one, mixture) in enumerate(zip(trackers, mixtures, strict=True)):  # ids in the order of the trackers
        one._t = t
        one._tracks = one._moved(mixture, t, *moved[k]) if k in moved else one._begin(mixture, t)
    best = [one._tracks[most_probable(one._tracks)] for one in trackers]
    for one, track in zip(trackers, best, strict=True):
        if track.id != one._answer_id and one._filter.distance(track.pose) > one._config.cut_mm:
            # Another pose: gliding there would show poses that nobody believes in.
            one._filter.reset()
        one._answer_id = track.id
    poses = np.stack([one._averaged(track) for one, track in zip(trackers, best, strict=True)])
    answers = filtered([one._filter for one in trackers], poses, t)
    return [(one._tracks, track.pose, answer) for one, track, answer in zip(trackers, best, answers, strict=True)]


def _chances(
    trackers: Sequence[Tracker], mixtures: Sequence[Mixture], which: Sequence[int], t: float
) -> Iterator[tuple[int, tuple[Array, Array]]]:
    """Of trackers with as many tracks, and mixtures with as many kernels: distances (K, M) and probabilities (M,)."""
    config, tracks = trackers[which[0]]._config, [trackers[k]._tracks for k in which]
    before = np.array([[track.probability for track in theirs] for theirs in tracks])
    poses = np.array([[track.pose for track in theirs] for theirs in tracks])
    means = np.stack([mixtures[k].mean for k in which])
    distance = rms_distance(poses, means)
    dt = np.array([t - trackers[k]._t for k in which], distance.dtype)[:, None, None]
    spread = config.still_mm + config.speed_mm_s * dt
    move = np.exp(-0.5 * (distance / spread) ** 2) + config.jump
    carried = (before[:, None] @ (move / move.sum(2, keepdims=True)))[:, 0]
    weight = np.stack([mixtures[k].weight for k in which])
    probability = carried * np.maximum(weight, 1e-8) ** config.evidence
    probability /= probability.sum(1, keepdims=True)
    yield from zip(which, zip(distance, probability, strict=True), strict=True)


def rms_distance(a: Array, b: Array) -> Array:
    """(..., A, B) root mean square joint distance, mm, between poses (..., A, J, 3) and (..., B, J, 3)."""
    return np.sqrt(((a[..., :, None, :, :] - b[..., None, :, :, :]) ** 2).sum(-1).mean(-1))


def most_probable(tracks: Sequence[HypothesisTrack]) -> int:
    """Index of the most probable track."""
    return int(np.argmax([track.probability for track in tracks]))
