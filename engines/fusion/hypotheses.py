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
    # float32, a coordinate at a time: at 80 poses this is 4 times faster than one (N, N, 17, 3) array.
    square, away = np.zeros((2, len(poses), len(poses), poses.shape[1]), np.float32)
    for plane in np.asarray(poses, np.float32).transpose(2, 0, 1):
        np.subtract(plane[:, None], plane[None], out=away)
        square += np.square(away, out=away)
    return np.sqrt(square, out=square).mean(-1)


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
    for _ in range(_SWEEPS):
        before = pick.copy()
        for view in range(views):
            part = slice(first[view], first[view] + kernels)
            better = total[:, part].argmin(-1) + first[view]
            moved = np.flatnonzero(total[rows, better] < total[rows, pick[:, view]])
            if len(moved):
                total[moved] += cost[better[moved]] - cost[pick[moved, view]]
                pick[moved, view] = better[moved]
        if (before == pick).all():
            break
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
