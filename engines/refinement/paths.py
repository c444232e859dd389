"""Which hypothesis, with hindsight: forward-backward over the kernels of a camera's mixtures.

The hidden Markov model of the live tracks (``stream/live/tracks.py``), but each frame also hears those after it.
"""

import numpy as np

from calibration.arrays import Array
from engines.refinement.options import RefineOptions


def smoothed(times: Array, mean: Array, weight: Array, options: RefineOptions = RefineOptions()) -> Array:
    """The probability of each hypothesis, given all frames (Rabiner 1989, eq. 27).

    Args:
        times: (F,) seconds, increasing.
        mean: (F, M, 17, 3) mm, root-relative, axes that do not move.
        weight: (F, M) mixing coefficients.
        options: every threshold; over a gap of more than ``fill_s`` nothing is carried.

    Returns:
        (F, M), each row sums to 1.
    """
    frames, kernels = weight.shape
    gaps = np.diff(times)
    usual = float(np.median(gaps)) if len(gaps) else np.inf
    evidence = np.maximum(weight, 1e-8) ** min(usual / options.evidence_s, 1.0)
    moves = _moves(gaps, mean, options)
    forward, backward = np.empty((frames, kernels)), np.ones((frames, kernels))
    for k in range(frames):
        forward[k] = evidence[k] if k == 0 else (forward[k - 1] @ moves[k - 1]) * evidence[k]
        forward[k] /= forward[k].sum()
    for k in range(frames - 2, -1, -1):
        backward[k] = moves[k] @ (backward[k + 1] * evidence[k + 1])
        backward[k] /= backward[k].sum()
    both = forward * backward
    return both / both.sum(-1, keepdims=True)


def _moves(gaps: Array, mean: Array, options: RefineOptions) -> Array:
    """(F - 1, M, M) chance to go from one hypothesis to another; over a long gap all are as likely."""
    away = mean[:-1, :, None] - mean[1:, None]
    square = (away**2).sum(-1).mean(-1)
    spread = options.still_mm + options.speed_mm_s * gaps[:, None, None]
    move = np.exp(-0.5 * square / spread**2) + options.jump
    move[gaps > options.fill_s] = 1.0
    return move / move.sum(-1, keepdims=True)
