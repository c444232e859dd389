"""Errors of hypotheses against the truth. numpy; used by training, evaluation and benchmarks."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def mpjpe(predicted: Array, truth: Array) -> Array:
    """Mean per joint position error, mm: the mean over all joints of the distance (..., J, 3) -> (...,)."""
    return np.linalg.norm(predicted - truth, axis=-1).mean(-1)


def align(predicted: Array, truth: Array) -> Array:
    """The similarity transform of predicted (..., J, 3) closest to truth (Umeyama 1991), applied to it."""
    p_mean, t_mean = predicted.mean(-2, keepdims=True), truth.mean(-2, keepdims=True)
    p, t = predicted - p_mean, truth - t_mean
    U, S, Vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(S.shape)
    sign[..., -1] = np.sign(np.linalg.det(U @ Vt))
    R = (U * sign[..., None, :]) @ Vt
    scale = (S * sign).sum(-1) / np.maximum((p**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * p @ np.swapaxes(R, -1, -2) + t_mean


def p_mpjpe(predicted: Array, truth: Array) -> Array:
    """MPJPE after similarity alignment of each pose (protocol 2), mm: (..., J, 3) -> (...,)."""
    return mpjpe(align(predicted, truth), truth)


def answers(mean: Array, weight: Array) -> tuple[Array, Array]:
    """The two deployable single answers of mixtures (N, M, J, 3) with weights (N, M).

    Returns:
        The most probable kernel and the mixture mean, each (N, J, 3).
    """
    most_probable = mean[np.arange(len(mean)), weight.argmax(-1)]
    return most_probable, np.einsum("nm,nmjd->njd", weight, mean)


def score_mixtures(mean: Array, weight: Array, truth: Array) -> dict[str, float]:
    """Best of M, most probable and mixture mean, mm, each also after alignment (``p_``).

    Args:
        mean: (N, M, J, 3) mm, root-relative.
        weight: (N, M) mixing coefficients.
        truth: (N, J, 3) mm, root-relative.
    """
    out = {}
    single = dict(zip(("argmax", "mean"), answers(mean, weight), strict=True))
    for prefix, error in (("", mpjpe), ("p_", p_mpjpe)):
        out[f"{prefix}best_mpjpe_mm"] = float(error(mean, truth[:, None]).min(-1).mean())
        for name, pose in single.items():
            out[f"{prefix}{name}_mpjpe_mm"] = float(error(pose, truth).mean())
    return out


def nll(mean: Array, sigma: Array, weight: Array, truth: Array) -> float:
    """Mean negative log-likelihood of poses without their root, nats a pose, densities in mm.

    Args:
        mean: (N, M, 17, 3) mm.
        sigma: (N, M, 17) mm; 0 for the root, which is left out.
        weight: (N, M).
        truth: (N, 17, 3) mm.
    """
    squared = ((mean[:, :, 1:] - truth[:, None, 1:]) ** 2).sum(-1)
    s = sigma[:, :, 1:].astype(np.float64)
    log_phi = (-0.5 * squared / s**2 - 3 * np.log(s) - 1.5 * np.log(2 * np.pi)).sum(-1)
    joint = np.log(np.maximum(weight, 1e-12)) + log_phi
    top = joint.max(-1)
    return float(-(top + np.log(np.exp(joint - top[:, None]).sum(-1))).mean())


def calibration_error(mean: Array, weight: Array, truth: Array, bins: int = 10, same_mm: float = 20.0) -> float:
    """Expected calibration error of the mixing coefficients (Guo et al. 2017).

    Every hypothesis is a claim "with this probability I am the nearest one". Kernels whose means lie within ``same_mm``
    (mean joint distance) of each other count as one, with their weights added.

    Args:
        mean: (N, M, J, 3) mm.
        weight: (N, M).
        truth: (N, J, 3) mm.
        bins: equal parts of 0..1.
        same_mm: kernels nearer than this are one.
    """
    near = mpjpe(mean[:, :, None], mean[:, None]) < same_mm
    # A kernel's group is everything near to it; groups are named by their first member.
    leader = near.argmax(-1)
    m = mean.shape[1]
    claim = np.stack([(weight * (leader == k)).sum(-1) for k in range(m)], -1)
    nearest = np.take_along_axis(leader, mpjpe(mean, truth[:, None]).argmin(-1)[:, None], 1)
    hit = (np.arange(m) == nearest)[claim > 0]
    claim = claim[claim > 0]
    index = np.minimum((claim * bins).astype(int), bins - 1)
    error = 0.0
    for k in range(bins):
        inside = index == k
        if inside.any():
            error += inside.mean() * abs(claim[inside].mean() - hit[inside].mean())
    return float(error)


def coverage(mean: Array, sigma: Array, weight: Array, truth: Array) -> dict[str, float]:
    """How often the truth lies in the highest density region of each joint's 3D marginal, pooled over joints.

    The region's threshold comes from 200 samples of each marginal: a share p of them has a higher density.

    Returns:
        Share of joints (0..1) inside the "50", "80" and "95" % regions.
    """
    rng = np.random.default_rng(0)
    inside = dict.fromkeys((50, 80, 95), 0.0)
    count = 0
    for start in range(0, len(mean), 256):
        part = slice(start, start + 256)
        mu, s = mean[part, :, 1:], np.maximum(sigma[part, :, 1:], 1e-6)
        w = weight[part]
        n, m, joints = s.shape
        kernel = (rng.random((n, 200))[..., None] > w.cumsum(-1)[:, None]).sum(-1).clip(max=m - 1)
        rows = np.arange(n)[:, None]
        draws = mu[rows, kernel] + rng.normal(size=(n, 200, joints, 3)) * s[rows, kernel][..., None]
        density = _marginal(draws, mu, s, w)
        rank = (density > _marginal(truth[part, None, 1:], mu, s, w)).mean(1)
        for level in inside:
            inside[level] += (rank < level / 100).sum()
        count += n * joints
    return {str(level): float(total / count) for level, total in inside.items()}


def _marginal(points: Array, mean: Array, sigma: Array, weight: Array) -> Array:
    """(N, K, J) density at points (N, K, J, 3) of each joint's marginal mixture."""
    total = np.zeros(points.shape[:-1])
    for k in range(mean.shape[1]):
        squared = ((points - mean[:, None, k]) ** 2).sum(-1)
        s = sigma[:, None, k]
        total += weight[:, None, k, None] * np.exp(-0.5 * squared / s**2) / (s * np.sqrt(2 * np.pi)) ** 3
    return total
