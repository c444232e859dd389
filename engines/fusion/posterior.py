"""``map``: the world pose that the views' mixtures and their 2D joints make most probable, and how sure it is."""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from engines.fusion.objective import NEAR_MM, MixtureTerms, Problem, pose_problem, sight, system
from engines.fusion.options import FusionOptions
from engines.fusion.views import Views, medians
from engines.skeleton import L_HIP, N_JOINTS, R_HIP

_N = N_JOINTS - 1


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The most probable pose and how sure it is."""

    joints: Array
    """(17, 3) mm, world."""
    cov: Array
    """(17, 3, 3) mm2."""
    misfit: Array
    """(V,) how far the typical seen joint of a view is from where the pose puts it, in standard deviations."""


def doubt(p: Problem, mixture: MixtureTerms, s: float) -> Array:
    """What each kernel pulls at more than the mean of its view does, by the root of its responsibility.

    Args:
        p: the problem.
        mixture: its mixtures at one pose.
        s: log-scale there.

    Returns:
        (L M, 48) by the joints; its Gram matrix is the covariance of the score over the kernels.
    """
    views, kernels = p.log_kernel.shape
    rows = p.rows.reshape(views * kernels, _N, _N) * np.exp(-s)
    pull = (mixture.weight[0][:, None] * mixture.residual[0]).reshape(views * kernels, _N, 3)
    score = (rows.swapaxes(-1, -2) @ pull).reshape(views, kernels, -1)
    share = mixture.share[0][..., None]
    score = np.sqrt(share / views) * (score - (share * score).sum(1, keepdims=True))
    return score.reshape(views * kernels, -1)


def _covariance(p: Problem, s: float, H: Array, mixture: MixtureTerms) -> Array:
    """(17, 3, 3) mm2, to first order: C = H^-1, and C G C more for not knowing the kernel.

    Fixing the responsibilities overstates what is known by G, the covariance of the score over the kernels (Louis
    1982).
    """
    C = np.linalg.inv(H)
    wide = doubt(p, mixture, s) @ C[:-1]
    C = C + wide.T @ wide
    blocks = C[:-1, :-1].reshape(_N, 3, _N, 3)
    cov = np.empty((N_JOINTS, 3, 3))
    cov[1:] = blocks[np.arange(_N), :, np.arange(_N)]
    hips = blocks[[R_HIP - 1, L_HIP - 1]][:, :, [R_HIP - 1, L_HIP - 1]]
    cov[0] = hips.sum((0, 2)) / 4
    return cov


def _descend(p: Problem, x: Array, s: Array) -> tuple[Array, Array]:
    """Gauss-Newton from all starts x (S, 16, 3), s (S,) together, until the leading one stands still."""
    for count in range(p.options.steps):
        cost, g, H, _ = system(p, x, s)
        step = np.linalg.solve(H, g[..., None])[..., 0]
        moved = step[:, :-1].reshape(x.shape)
        # A body does not change by more than a fifth in one step: exp(-s) is far from linear beyond.
        x, s = x - moved, s - np.clip(step[:, -1], -0.2, 0.2)
        if count >= p.options.least_steps and np.abs(moved[cost.argmin()]).max() < p.options.still_mm:
            break
    return x, s


def maximise(views: Views, starts: Array, options: FusionOptions = FusionOptions()) -> Posterior:
    """Find the most probable pose from several starts.

    Args:
        views: at least one of them lifted.
        starts: (S, 17, 3) mm, world; finite. The first one also tells how far the person is from each camera.
        options: parameters of the objective and its descent.

    Returns:
        The end of the start that came to the least energy.
    """
    distance = np.maximum(starts[0, 0] @ views.R[:, 2].T + views.t[:, 2], 5 * NEAR_MM)
    p = pose_problem(views, distance, options)
    x, s = _descend(p, starts[:, 1:].astype(np.float64), np.zeros(len(starts)))
    cost, _, H, mixture = system(p, x, s)
    best = int(np.where(np.isfinite(cost), cost, np.inf).argmin())
    one = MixtureTerms(*(part[best : best + 1] for part in mixture))
    x, scale = x[best], float(s[best])
    joints = np.concatenate([(x[[R_HIP - 1]] + x[[L_HIP - 1]]) / 2, x])
    residual = np.sqrt(sight(p, x[None]).square[0])
    return Posterior(joints, _covariance(p, scale, H[best], one), medians(residual, p.seen))
