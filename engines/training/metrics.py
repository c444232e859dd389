"""Errors of hypotheses against the truth. numpy; used by training, evaluation and benchmarks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array

_CHUNK = 4096


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


def errors(mean: Array, weight: Array, truth: Array) -> dict[str, Array]:
    """Errors of each pose: (N,) mm for best, argmax and mean, and for p_best, p_argmax and p_mean after alignment.

    Best of M is the one kernel with the least error for that pose, chosen anew for the aligned error.

    Args:
        mean: (N, M, J, 3) mm, root-relative.
        weight: (N, M) mixing coefficients.
        truth: (N, J, 3) mm, root-relative.
    """
    parts: dict[str, list[Array]] = {}
    for start in range(0, len(mean), _CHUNK):
        mu, target = mean[start : start + _CHUNK], truth[start : start + _CHUNK]
        single = dict(zip(("argmax", "mean"), answers(mu, weight[start : start + _CHUNK]), strict=True))
        for prefix, error in (("", mpjpe), ("p_", p_mpjpe)):
            parts.setdefault(f"{prefix}best", []).append(error(mu, target[:, None]).min(-1))
            for name, pose in single.items():
                parts.setdefault(f"{prefix}{name}", []).append(error(pose, target))
    return {name: np.concatenate(part) for name, part in parts.items()}


def averages(found: Mapping[str, Array], keep: NDArray | slice = slice(None)) -> dict[str, float]:
    """Mean of ``errors`` over the poses to keep, as best_mpjpe_mm, ... p_mean_mpjpe_mm."""
    return {f"{name}_mpjpe_mm": float(value[keep].mean()) for name, value in found.items()}


def score_mixtures(mean: Array, weight: Array, truth: Array) -> dict[str, float]:
    """Best of M, most probable and mixture mean, mm, each also after alignment (``p_``); see ``errors``."""
    return averages(errors(mean, weight, truth))


def pck(error: Array, threshold_mm: float = 150.0) -> float:
    """3DPCK (Mehta et al. 2017): per cent of joints nearer to the truth than the threshold. error (..., J) mm."""
    return float((error < threshold_mm).mean() * 100)


def auc(error: Array) -> float:
    """Area under the curve of 3DPCK for thresholds 0, 5 ... 150 mm (Mehta et al. 2017), per cent. error (..., J) mm."""
    return float(np.mean([pck(error, limit) for limit in range(0, 151, 5)]))
