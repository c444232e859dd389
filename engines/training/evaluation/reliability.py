"""Do the probabilities mean what they say? Likelihood, calibration of the weights, coverage of the regions, sharpness.

Best of M rewards a mixture for spreading out; these do not. numpy; arrays are those of ``engines.lifter.decode``, but a
sigma may also be one an axis, (N, M, 17, 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines.training.lifter.losses import SIGMA_MIN
from engines.training.metrics import mpjpe

_CHUNK = 2048
_DRAWS = 200
MOST_COVERED = 10_000
"""Poses that coverage is measured on: 160,000 joints, so that sampling error is below 0.5 % a level."""


def _axes(sigma: Array) -> Array:
    """(N, M, 16, 3) of (N, M, 17) or (N, M, 17, 3), without the root."""
    s = sigma[:, :, 1:]
    return np.broadcast_to(s[..., None], (*s.shape, 3)) if s.ndim == 3 else s


def nll(mean: Array, sigma: Array, weight: Array, truth: Array) -> float:
    """Mean negative log-likelihood of poses without their root, nats a pose, densities in mm.

    Args:
        mean: (N, M, 17, 3) mm.
        sigma: (N, M, 17) or (N, M, 17, 3) mm; 0 for the root, which is left out; clipped as in the loss.
        weight: (N, M).
        truth: (N, 17, 3) mm.
    """
    total = 0.0
    for start in range(0, len(mean), _CHUNK):
        part = slice(start, start + _CHUNK)
        s = np.maximum(_axes(sigma[part]).astype(np.float64), SIGMA_MIN)
        z = (mean[part, :, 1:] - truth[part, None, 1:]) / s
        log_phi = (-0.5 * z**2 - np.log(s) - 0.5 * np.log(2 * np.pi)).sum((-1, -2))
        joint = np.log(np.maximum(weight[part], 1e-12)) + log_phi
        top = joint.max(-1)
        total -= (top + np.log(np.exp(joint - top[:, None]).sum(-1))).sum()
    return float(total / len(mean))


def merge(mean: Array, same_mm: float = 20.0) -> NDArray[np.intp]:
    """Which hypothesis (N, M) each kernel belongs to: the number of the first kernel of its group.

    Kernels whose means lie within ``same_mm`` (mean joint distance) of each other count as one, and so do those that
    are linked by others: if a is b and b is c, then a is c.
    """
    n, m = mean.shape[:2]
    leader = np.empty((n, m), np.intp)
    for start in range(0, n, _CHUNK):
        part = mean[start : start + _CHUNK]
        near = mpjpe(part[:, :, None], part[:, None]) < same_mm
        group = np.broadcast_to(np.arange(m), (len(part), m))
        for _ in range(m - 1):
            group = np.where(near, group[:, None], m).min(-1)
        leader[start : start + _CHUNK] = group
    return leader


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Claims "with this probability I am the nearest hypothesis", in equal parts of 0..1."""

    claimed: Array
    """(bins,) mean probability; NaN where there is no claim."""
    happened: Array
    """(bins,) share of the claims that were right; NaN where there is no claim."""
    count: NDArray[np.intp]
    """(bins,) how many claims."""

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017): the mean gap, weighted by the number of claims."""
        full = self.count > 0
        gap = np.abs(self.claimed[full] - self.happened[full])
        return float((gap * self.count[full]).sum() / max(self.count.sum(), 1))


def reliability(
    mean: Array, weight: Array, truth: Array, bins: int = 10, same_mm: float = 20.0, top_only: bool = False
) -> Reliability:
    """How often the hypothesis called p is the nearest one.

    Every hypothesis (kernels that are one counted as one, their weights added) makes a claim. With many hypotheses most
    claims are small and easily right, which pulls the error down: ``top_only`` looks at the most probable alone.

    Args:
        mean: (N, M, J, 3) mm.
        weight: (N, M).
        truth: (N, J, 3) mm.
        bins: equal parts of 0..1.
        same_mm: kernels nearer than this are one.
        top_only: only the claim of the most probable hypothesis.
    """
    m = mean.shape[1]
    leader = merge(mean, same_mm)
    claim = np.stack([(weight * (leader == k)).sum(-1) for k in range(m)], -1)
    nearest = np.take_along_axis(leader, mpjpe(mean, truth[:, None]).argmin(-1)[:, None], 1)
    hit = np.arange(m) == nearest
    made = np.stack([(leader == k).any(-1) for k in range(m)], -1)
    if top_only:
        made &= np.arange(m) == claim.argmax(-1)[:, None]
    claim, hit = claim[made], hit[made]
    index = np.minimum((claim * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        claimed, happened = (np.bincount(index, v, minlength=bins) / count for v in (claim, hit))
    return Reliability(claimed, happened, count)


def ranks(mean: Array, sigma: Array, weight: Array, truth: Array, seed: int = 0) -> Array:
    """(n, 16) the smallest highest-density region of each joint's 3D marginal that holds the truth, as its probability.

    Uniform on 0..1 if the mixture is honest. From 200 samples of each marginal: the share of them with a higher
    density, made continuous by a random part of a sample. At most ``MOST_COVERED`` poses, spread evenly.
    """
    rng = np.random.default_rng(seed)
    step = -(-len(mean) // MOST_COVERED)
    out = []
    for start in range(0, len(mean), 256 * step):
        part = slice(start, start + 256 * step, step)
        mu, s, w = mean[part, :, 1:], np.maximum(_axes(sigma[part]), 1e-6), weight[part]
        n, m, joints, _ = mu.shape
        kernel = (rng.random((n, _DRAWS))[..., None] > w.cumsum(-1)[:, None]).sum(-1).clip(max=m - 1)
        rows = np.arange(n)[:, None]
        draws = mu[rows, kernel] + rng.standard_normal((n, _DRAWS, joints, 3), np.float32) * s[rows, kernel]
        higher = (_marginal(draws, mu, s, w) > _marginal(truth[part, None, 1:], mu, s, w)).sum(1)
        out.append((higher + rng.random(higher.shape)) / (_DRAWS + 1))
    return np.concatenate(out)


def _marginal(points: Array, mean: Array, sigma: Array, weight: Array) -> Array:
    """(N, K, J) density at points (N, K, J, 3) of each joint's marginal mixture."""
    density = np.zeros(points.shape[:-1])
    for k in range(mean.shape[1]):
        s = sigma[:, None, k]
        squared = (((points - mean[:, None, k]) / s) ** 2).sum(-1)
        density += weight[:, None, k, None] * np.exp(-0.5 * squared) / s.prod(-1)
    return density


def coverage(mean: Array, sigma: Array, weight: Array, truth: Array) -> dict[str, float]:
    """Share of joints (0..1), pooled, inside the "50", "80" and "95" % regions of their 3D marginals."""
    rank = ranks(mean, sigma, weight, truth)
    return {str(level): float((rank < level / 100).mean()) for level in (50, 80, 95)}


def sharpness(mean: Array, sigma: Array, weight: Array) -> float:
    """Standard deviation an axis of the joints' marginals, mm: the mean over poses and joints.

    Honest and sharp is good; honest and blunt is merely careful.
    """
    total = 0.0
    for start in range(0, len(mean), _CHUNK):
        part = slice(start, start + _CHUNK)
        mu, w = mean[part, :, 1:], weight[part][..., None, None]
        centre = (w * mu).sum(1, keepdims=True)
        variance = (w * (_axes(sigma[part]).astype(np.float64) ** 2 + (mu - centre) ** 2)).sum(1).mean(-1)
        total += np.sqrt(variance).mean(-1).sum()
    return float(total / len(mean))
