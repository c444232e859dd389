"""One person over a whole recording: every moment's mixtures and 2D joints, constant bones, and a smooth motion.

Minimised over all moments together is the energy of live fusion (``engines/fusion/objective.py``) of every moment, with
the mixing coefficients of hindsight (``paths``), plus what ``body`` believes: Gauss-Newton on the banded normal
equations, with one log-scale of the body for the whole sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.arrays import Array, Bools
from engines.fusion.objective import (
    NEAR_MM,
    RELATIVE,
    MixtureTerms,
    Problem,
    mixtures,
    pose_problem,
    reprojection,
    sight,
)
from engines.fusion.options import FusionOptions
from engines.fusion.posterior import doubt
from engines.fusion.views import Views
from engines.refinement.banded import banded, marginals, solve
from engines.refinement.body import N, acceleration_terms, bone_terms, contact_terms, lengths_of
from engines.refinement.options import RefineOptions
from engines.skeleton import L_HIP, R_HIP

_FAR = 25.0
"""Squares of residuals, in variances, that are outliers and tell nothing of how long errors last."""
_LEAST_PAIRS = 200
_LEAST_NEW = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What is known of one person at one time."""

    t: float
    """Seconds."""
    views: Views | None
    """What the cameras say, with the mixing coefficients of hindsight; None where nobody sees the person."""
    start: Array
    """(17, 3) mm, world, finite: where the descent begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The most probable motion and how sure it is."""

    joints: Array
    """(T, 17, 3) mm, world."""
    cov: Array
    """(T, 17, 3, 3) mm2, world."""
    relative_cov: Array
    """(T, 17, 3, 3) mm2, of the joints relative to the root."""


class Solver:
    """Descends from the starts of a sequence.

    Args:
        moments: T of them, times increasing.
        options: every threshold.
        lengths: (16,) mm of the bones; None to estimate them from these moments.
        standing: (T - 1, 16) joints that stand on the floor from each moment to the next; None where that is not known.
        noise: how much larger the errors of the 2D joints are than those that live fusion expects.
    """

    def __init__(
        self, moments: Sequence[Moment], options: RefineOptions, lengths: Array | None = None,
        standing: Bools | None = None, noise: float = 1.0,
    ) -> None:  # fmt: skip
        self._options = options
        self._moments = moments
        self._times = np.array([moment.t for moment in moments])
        self._measured = lengths is None
        self._standing = standing
        self._x = np.stack([moment.start[1:] for moment in moments]).astype(np.float64)
        self._scale = 0.0
        fusion = replace(options.fusion, noise_mm=options.fusion.noise_mm * noise)
        self._problems = [_problem(moment, fusion) for moment in moments]
        gaps = np.diff(self._times)
        self._usual = float(np.median(gaps)) if len(gaps) else 1.0
        self.lengths = lengths if lengths is not None else lengths_of(self._x)
        """(16,) mm of the bones, in the order of ``EDGES``."""

    @property
    def joints(self) -> Array:
        """(T, 17, 3) mm, world: where the descent has come to."""
        root = (self._x[:, [R_HIP - 1]] + self._x[:, [L_HIP - 1]]) / 2
        return np.concatenate([root, self._x], 1)

    def fit(self) -> Fit:
        """Where the descent has come to, and how sure that is."""
        return Fit(self.joints, *self._covariance())

    def descend(self) -> None:
        """Go to the most probable motion."""
        for _ in range(self._options.rounds):
            if self._measured:
                self.lengths = lengths_of(self._x)
            bands, right, corner, _ = self._system()
            found = solve(bands, right)
            away, along = found[:, 0], found[:, 1]
            # The log-scale borders the banded matrix: eliminated last.
            step = (corner[0] - right[:, 1] @ away) / (corner[1] - right[:, 1] @ along)
            moved = (away - along * step).reshape(self._x.shape)
            # One bad moment must not carry the others away: a step has a limit.
            longest = np.linalg.norm(moved, axis=-1, keepdims=True)
            self._x -= moved * np.minimum(1.0, 300.0 / np.maximum(longest, 1e-9))
            self._scale -= float(np.clip(step, -0.1, 0.1))
            if np.sqrt((moved**2).mean()) < self._options.still_step_mm:
                break

    def _share(self, seconds: float) -> float:
        """What a moment's evidence is worth where that of ``seconds`` is one."""
        return min(self._usual / seconds, 1.0)

    def misfit(self) -> float:
        """How large the errors of the seen 2D joints are: 1 where they are as expected."""
        square = [
            sight(p, x[None]).square[0][p.seen] for p, x in zip(self._problems, self._x, strict=True) if p is not None
        ]
        # The median of a chi-square of two degrees is 1.386; it does not hear the outliers.
        return float(np.sqrt(np.median(np.concatenate(square)) / 1.386)) if square else 1.0

    def _independent(self) -> float:
        """The share of a moment's 2D joints that is new: what is left of them where their errors last.

        From the correlation of a joint's error with that of the moment before, as of a first-order autoregression.
        """
        order: dict[str, int] = {}
        found = []
        for k, (moment, p) in enumerate(zip(self._moments, self._problems, strict=True)):
            if moment.views is None or p is None:
                continue
            residual = sight(p, self._x[k : k + 1]).residual[0]
            for view, name in enumerate(moment.views.names):
                good = p.seen[view] & ((residual[view] ** 2).sum(-1) < _FAR)
                found.append((order.setdefault(name, len(order)), k, np.where(good[:, None], residual[view], np.nan)))
        if not found:
            return 1.0
        errors = np.full((len(order), len(self._x), N, 2), np.nan)
        for camera, k, residual in found:
            errors[camera, k] = residual
        pair = np.isfinite(errors[:, 1:]) & np.isfinite(errors[:, :-1])
        before, after = errors[:, :-1][pair], errors[:, 1:][pair]
        if len(before) < _LEAST_PAIRS:
            return 1.0
        correlation = float((before * after).sum() / np.sqrt((before**2).sum() * (after**2).sum()))
        return float(np.clip((1 - correlation) / (1 + correlation), _LEAST_NEW, 1.0))

    def _system(self, doubted: bool = False) -> tuple[Array, Array, tuple[float, float], list[MixtureTerms | None]]:
        """Bands, right-hand sides (48 T, 2) of the gradient and of the coupling with the log-scale, and its own two.

        ``doubted``: for the covariance, where errors that last count once; the right-hand sides mean nothing then.
        """
        T, s = len(self._x), np.array([self._scale])
        o = self._options
        mixture, several, alone, bone = self._share(o.mixture_s), 1.0, 1.0, 1.0
        if doubted:
            mixture, bone = self._share(o.doubt_s), o.doubt_bones
            new = self._independent()
            several, alone = (new * self._share(seconds) for seconds in (o.doubt_seen_s, o.doubt_alone_s))
        own = np.zeros((T, N, 3, N, 3))
        gradient, coupling = np.zeros((T, N, 3)), np.zeros((T, N, 3))
        precision = 1 / self._options.fusion.scale**2
        scale = [self._scale * precision, precision]
        joint, axis = np.arange(N), np.arange(3)
        kept: list[MixtureTerms | None] = []
        for k, p in enumerate(self._problems):
            kept.append(None)
            if p is None:
                continue
            seen = reprojection(p, self._x[k : k + 1])
            gradient[k] += seen.gradient[0]
            own[k, joint, :, joint] += (several if len(p.t) > 1 else alone) * seen.normal[0]
            if not len(p.log_kernel):
                continue
            terms = mixtures(p, self._x[k : k + 1], s)
            kept[-1] = terms
            gradient[k] += mixture * terms.gradient[0]
            own[k][:, axis, :, axis] += mixture * terms.normal[0]
            coupling[k] += mixture * terms.coupling[0]
            scale[0] += mixture * float(terms.scale[0, 0])
            scale[1] += mixture * float(terms.scale[0, 1])
        bones = bone_terms(self._x, self.lengths, self._options)
        chains = []
        if T > 2:
            chains.append(acceleration_terms(self._times, self._x, self._options))
        if self._standing is not None and T > 1:
            chains.append(contact_terms(self._times, self._x, self._standing, self._options))
        flat = own.reshape(T, 3 * N, 3 * N) + bone * bones.normal
        flat[:, np.arange(3 * N), np.arange(3 * N)] += 1e-9  # of a joint that nothing tells of, 30 m
        pull = gradient.reshape(T, -1) + bones.gradient + sum((c.gradient.reshape(T, -1) for c in chains), np.zeros(1))
        right = np.stack([pull.ravel(), coupling.ravel()], -1)
        return banded(flat, chains), right, (scale[0], scale[1]), kept

    def _covariance(self) -> tuple[Array, Array]:
        """(T, 17, 3, 3) mm2 in the world, and relative to the root, to first order.

        See ``posterior.doubt`` for what not knowing the kernel adds.
        """
        bands, right, corner, kept = self._system(doubted=True)
        T = len(self._x)
        blocks = marginals(bands, T)
        along = solve(bands, right[:, 1:])[:, 0]
        variance = 1 / max(corner[1] - right[:, 1] @ along, 1e-12)
        along = along.reshape(T, -1)
        blocks += variance * along[:, :, None] * along[:, None]
        for k, (p, terms) in enumerate(zip(self._problems, kept, strict=True)):
            if p is not None and terms is not None:
                score = doubt(p, terms, self._scale) * np.sqrt(self._share(self._options.doubt_s))
                wide = score @ blocks[k]
                blocks[k] = blocks[k] + wide.T @ wide
        return _joints(blocks, np.eye(N)), _joints(blocks, RELATIVE)


def _joints(blocks: Array, turn: Array) -> Array:
    """(T, 17, 3, 3) the joints' own of (T, 48, 48), carried by ``turn`` (16, 16); the root's is the hips' middle's."""
    T = len(blocks)
    middle = turn[[R_HIP - 1, L_HIP - 1]].mean(0)
    rows = np.concatenate([middle[None], turn])
    full = blocks.reshape(T, N, 3, N, 3)
    return np.einsum("ja,taxby,jb->tjxy", rows, full, rows, optimize=True)


def _problem(moment: Moment, options: FusionOptions) -> Problem | None:
    views = moment.views
    if views is None:
        return None
    distance = np.maximum(moment.start[0] @ views.R[:, 2].T + views.t[:, 2], 5 * NEAR_MM)
    return pose_problem(views, distance, options)
