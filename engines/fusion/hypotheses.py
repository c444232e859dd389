"""The paper's fusion: one hypothesis a camera, those that agree best, averaged.

Li and Lee, CVPR 2019, section 4.5, choose the combination that is most consistent over the views. Enumerating M^V
combinations is 152 thousand million at 16 cameras, so the choice is made by coordinate descent from every hypothesis
of every view.
"""

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array

_SWEEPS = 20


def pair_costs(poses: Array) -> Array:
    """MPJPE between all poses (N, 17, 3) -> (N, N), mm."""
    # float32, a joint at a time: at 80 poses this is 6 times faster than one (N, N, 17, 3) array.
    total = np.zeros((len(poses), len(poses)), np.float32)
    for joint in np.ascontiguousarray(np.asarray(poses, np.float32).transpose(1, 2, 0)):
        away = joint[:, :, None] - joint[:, None]
        total += np.sqrt(np.square(away, out=away).sum(0))
    return total / poses.shape[1]


def choose(poses: Array, weight: Array) -> tuple[NDArray[np.intp], float]:
    """The hypothesis of each view, so that the sum over view pairs of the MPJPE between the chosen ones is least.

    Starts from each of the L x M hypotheses with the nearest one of every other view, then changes one view at a time
    to what fits the others best, until nothing changes: the sum falls with every change. All starts at once.

    Args:
        poses: (L, M, 17, 3) mm, root-relative, world axes.
        weight: (L, M) mixing coefficients; they decide where there is one view, and nowhere else.

    Returns:
        choice (L,) and its cost, mm.
    """
    views, kernels = poses.shape[:2]
    if views == 1:
        return weight.argmax(-1), 0.0
    cost = pair_costs(poses.reshape(views * kernels, *poses.shape[2:]))
    block = cost.reshape(views * kernels, views, kernels)
    first = np.arange(views) * kernels
    own = np.arange(views).repeat(kernels)
    # A view is not its own neighbour: what it says does not bind what it may say.
    block[np.arange(views * kernels), own] = 0.0
    pick = block.argmin(-1) + first
    pick[np.arange(views * kernels), own] = np.arange(views * kernels)
    total = cost[pick].sum(1)
    rows = np.arange(views * kernels)
    # Every start has its own next view to change: the first one behind the last change that can be made better.
    going, last = rows, np.full(len(rows), -1)
    for _ in range(_SWEEPS * views):
        nearest = total[going].reshape(len(going), views, kernels)
        better = nearest.argmin(-1) + first
        gains = total[going[:, None], better] < total[going[:, None], pick[going]]
        able = gains.any(-1)
        if not able.any():
            break
        going, better, gains = going[able], better[able], gains[able]
        view = np.where(gains, (np.arange(views) - last[going, None] - 1) % views, views).argmin(-1)
        new, old = better[np.arange(len(going)), view], pick[going, view]
        total[going] += cost[new] - cost[old]
        pick[going, view], last[going] = new, view
    sums = total[rows[:, None], pick].sum(1) / 2
    best = int(sums.argmin())
    return pick[best] - first, float(sums[best])


def average(poses: Array, sigma: Array, weight: Array, choice: NDArray[np.intp], weighted: bool) -> tuple[Array, Array]:
    """The fused root-relative pose.

    Args:
        poses: (L, M, 17, 3) mm, root-relative, world axes.
        sigma: (L, M, 17) mm.
        weight: (L, M) mixing coefficients.
        choice: (L,) the chosen hypothesis of each view.
        weighted: by mixing coefficient and inverse variance; the paper's is the plain average.

    Returns:
        pose (17, 3) mm, and variance (17,) mm2 an axis: the views' mean variance plus the spread between them, not
        divided by their number, because they share one network and are not independent.
    """
    view = np.arange(len(poses))
    chosen, s = poses[view, choice], sigma[view, choice]
    w = np.ones(s.shape)
    if weighted:
        w = weight[view, choice][:, None] / np.maximum(s, 1.0) ** 2
    w = w / w.sum(0)
    pose = (w[..., None] * chosen).sum(0)
    spread = (w * ((chosen - pose) ** 2).mean(-1)).sum(0)
    return pose, (w * s**2).sum(0) + spread
