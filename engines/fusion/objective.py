"""The objective of ``map``: its energy, gradient and Gauss-Newton matrix, for many poses at once.

Unknowns are 16 joints in the world (the root is the middle of the hips, always) and one log-scale ``s`` of the body,
because the metric scale a lifter answers in is a guess. With ``u_vkj = (exp(-s) (x_j - x_root) - mean_vkj) /
sigma_vkj``, minimised is

    sum over views and seen joints  heavy-tailed square of the reprojection error, in mm at the person's distance
  - 1/L sum over lifted views v     log sum_k weight_vk prod_j t(W u_vk)_j
  + sum over limbs                  t(length on the right - length on the left)
  + s^2 / 2 scale^2

- Every view's mixture comes from one network with one prior, so they are pooled logarithmically (the power 1/L): the
  prior counts once, however many views there are.
- W whitens along the skeleton: a wrist is wrong the way its elbow is, so an elbow that two cameras see tells where the
  unseen wrist is.
- Fixing each view's kernel responsibilities (EM) and the weights of the heavy tails (IRLS) makes everything quadratic
  but the perspective and the scale: one 49 x 49 system a Gauss-Newton step.
- A swapped view, a wrong box or a bad camera is far in the tails of its own terms, and loses its weight.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from calibration.arrays import Array, Bools
from engines.fusion.options import FusionOptions
from engines.fusion.views import Views
from engines.skeleton import L_HIP, LEFT, N_JOINTS, PARENTS, R_HIP, RIGHT

NEAR_MM = 100.0

_N = N_JOINTS - 1
RELATIVE = np.eye(_N)
"""(16, 16) x_j - x_root as a function of the 16 unknown joints."""
RELATIVE[:, [R_HIP - 1, L_HIP - 1]] -= 0.5


def _limbs() -> tuple[Array, Array]:
    """Thighs, shanks, upper arms and forearms, four of the right, four of the left.

    Returns:
        (8, 16) from the unknown joints to the bones, and (64, 8) from the bones to the derivatives, by (pair, joint),
        of the right one's length less the left one's.
    """
    bones = np.zeros((8, _N))
    ends = [(int(PARENTS[j]), j) for side in (RIGHT, LEFT) for j in side if PARENTS[j] in side]
    for row, (parent, joint) in enumerate(ends):
        bones[row, parent - 1], bones[row, joint - 1] = -1.0, 1.0
    pairs = np.zeros((4, _N, 8))
    for pair in range(4):
        pairs[pair, :, pair], pairs[pair, :, pair + 4] = bones[pair], -bones[pair + 4]
    return bones, pairs.reshape(-1, 8)


_BONES, _PAIRS = _limbs()


@cache
def _whitener(chain: float) -> Array:
    """(16, 16) W with W C W^T = 1 for errors correlated along the chains from the root."""
    W = np.eye(_N)
    for joint in range(1, N_JOINTS):
        parent = int(PARENTS[joint])
        if parent > 0:
            W[joint - 1, parent - 1] = -chain
            W[joint - 1] /= np.sqrt(1 - chain**2)
    return W


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What does not change from step to step."""

    options: FusionOptions
    R: Array
    """(V, 3, 3)."""
    t: Array
    """(V, 3)."""
    ray: Array
    """(V, 16, 2)."""
    whiten: Array
    """(V, 16, 2, 2) from a unit of a ray to standard deviations; 0 where not seen."""
    seen: Bools
    """(V, 16)."""
    rows: Array
    """(Q, 16) with Q = L M 16: the whitened mixture residuals are ``exp(-s) rows @ x - target``."""
    columns: Array
    """(16, Q) the same the other way round, as it lies in memory."""
    target: Array
    """(Q, 3)."""
    log_kernel: Array
    """(L, M) log of weight and normaliser of each kernel."""


def pose_problem(views: Views, distance: Array, options: FusionOptions = FusionOptions()) -> Problem:
    """Prepare what does not change; at least one view is lifted, the person is ``distance`` (V,) mm from each."""
    sigma = options.spread * np.maximum(views.sigma[:, :, 1:], 1.0)
    apart = _whitener(options.chain) / sigma[..., None, :]
    rows = (apart @ RELATIVE).reshape(-1, _N)
    whiten = _whitening(views.noise[:, 1:])
    return Problem(
        options,
        views.R,
        views.t,
        views.ray[:, 1:],
        whiten * (views.seen[:, 1:] * distance[:, None] / options.noise_mm)[..., None, None],
        views.seen[:, 1:],
        rows,
        np.ascontiguousarray(rows.T),
        (apart @ views.mean[:, :, 1:]).reshape(-1, 3),
        np.log(np.maximum(views.weight, 1e-9)) - 3 * np.log(sigma).sum(-1),
    )


class Terms(NamedTuple):
    """One part of the objective at S poses: energy, gradient and normal matrix."""

    energy: Array
    """(S,)."""
    gradient: Array
    """(S, 16, 3)."""
    normal: Array
    """Of the joints; its shape is the term's own."""


class Sight(NamedTuple):
    """How S poses look to the cameras. One unit is the standard deviation of a good joint; 0 where not seen."""

    residual: Array
    """(S, V, 16, 2)."""
    square: Array
    """(S, V, 16) its square."""
    jacobian: Array
    """(S, V, 16, 2, 3) by the joint, 1/mm."""


def _square(v: Array) -> Array:
    """Squared length of vectors (..., d) of few numbers, along which numpy sums slowly."""
    return sum(v[..., k] ** 2 for k in range(1, v.shape[-1])) + v[..., 0] ** 2


def _whitening(cov: Array) -> Array:
    """(..., 2, 2) upper triangles A with ``A^T A`` the inverse of covariances (..., 2, 2)."""
    a, b, c = cov[..., 0, 0], cov[..., 0, 1], cov[..., 1, 1]
    det = a * c - b * b
    out = np.zeros_like(cov)
    out[..., 0, 0] = np.sqrt(c / det)
    out[..., 0, 1] = -b / np.sqrt(c * det)
    out[..., 1, 1] = 1 / np.sqrt(c)
    return out


def _turned(A: Array, b: Array) -> Array:
    """``A @ b`` of matrices (..., 2, 2) and (..., 2, n), of which numpy multiplies many small ones slowly."""
    return A[..., :1] * b[..., :1, :] + A[..., 1:] * b[..., 1:, :]


def sight(p: Problem, x: Array) -> Sight:
    """Project poses (S, 16, 3) mm and compare them with what was seen."""
    local = x[:, None] @ p.R.transpose(0, 2, 1) + p.t[:, None]
    z = np.maximum(local[..., 2], NEAR_MM)
    projected = local[..., :2] / z[..., None]
    r = _turned(p.whiten, (projected - p.ray)[..., None])[..., 0]
    # d(x/z)/dX = (R1 - (x/z) R3) / z
    J = _turned(p.whiten, (p.R[:, None, :2] - projected[..., None] * p.R[:, None, 2:]) / z[..., None, None])
    return Sight(r, _square(r), J)


def _tails(p: Problem, square: Array) -> tuple[Array, Array]:
    """Energy (S,) and weights (S, V, 16) of squared residuals: Student-t, and a wide Gaussian for what is just wrong.

    The t alone still pulls at 15 standard deviations as hard as the prior does.
    """
    tail = p.options.degrees + square
    core = (1 - p.options.far) * (tail / p.options.degrees) ** (-(p.options.degrees + 2) / 2)
    far = p.options.far / p.options.far_width**2 * np.exp(-square / (2 * p.options.far_width**2))
    energy = -(np.log(core + far) * p.seen).sum((1, 2))
    return energy, (core * (p.options.degrees + 2) / tail + far / p.options.far_width**2) / (core + far)


def reprojection(p: Problem, x: Array) -> Terms:
    """What the cameras saw; normal matrices (S, 16, 3, 3): a 2D joint concerns its own three coordinates only."""
    seen = sight(p, x)
    energy, weight = _tails(p, seen.square)
    root = np.sqrt(weight)[..., None]
    J = (seen.jacobian * root[..., None]).transpose(0, 2, 1, 3, 4).reshape(len(x), _N, -1, 3)
    r = (seen.residual * root).transpose(0, 2, 1, 3).reshape(len(x), _N, -1, 1)
    Jt = J.swapaxes(-1, -2)
    return Terms(energy, (Jt @ r)[..., 0], Jt @ J)


class MixtureTerms(NamedTuple):
    """The mixtures' part of the objective at S poses."""

    energy: Array
    """(S,)."""
    gradient: Array
    """(S, 16, 3)."""
    normal: Array
    """(S, 16, 16), the same for each of the three axes."""
    scale: Array
    """(S, 2): gradient and normal of the log-scale."""
    coupling: Array
    """(S, 16, 3) of the joints with the log-scale."""
    share: Array
    """(S, L, M) responsibilities of the kernels."""
    weight: Array
    """(S, Q) weights of the whitened residuals from the tails alone."""
    residual: Array
    """(S, Q, 3) whitened."""


def mixtures(p: Problem, x: Array, s: Array) -> MixtureTerms:
    """What the lifted views believe of poses (S, 16, 3) mm of log-scales (S,); at least one view is lifted."""
    count, (views, kernels) = len(x), p.log_kernel.shape
    shrink = np.exp(-s)[:, None, None]
    fitted = p.rows @ (x * shrink)
    w = fitted - p.target
    tail = p.options.mixture_degrees + _square(w)
    log = np.log(tail / p.options.mixture_degrees).reshape(count, views, kernels, _N).sum(-1)
    log = p.log_kernel - (p.options.mixture_degrees + 3) / 2 * log
    top = log.max(-1, keepdims=True)
    share = np.exp(log - top)
    total = share.sum(-1, keepdims=True)
    share /= total
    energy = -(top + np.log(total))[..., 0].mean(-1)
    weight = (p.options.mixture_degrees + 3) / tail
    k = weight * (share / views).repeat(_N, -1).reshape(count, -1)
    # The residuals' derivatives: exp(-s) rows by the joints, -fitted = -exp(-s) rows @ x by the log-scale.
    pull = p.columns * (k * shrink[..., 0])[:, None]
    normal = (pull @ p.rows) * shrink
    gradient, coupling = pull @ w, -normal @ x
    scale = -np.stack([(x * gradient).sum((1, 2)), (x * coupling).sum((1, 2))], -1)
    return MixtureTerms(energy, gradient, normal, scale, coupling, share, weight, w)


def _symmetry(p: Problem, x: Array) -> Terms:
    """Normal matrix (S, 48, 48). What a limb measures is not known, but that it measures the same on both sides is."""
    bone = _BONES @ x
    length = np.maximum(np.linalg.norm(bone, axis=-1), 1.0)
    r = (length[:, :4] - length[:, 4:]) / p.options.symmetry_mm
    tail = p.options.symmetry_degrees + r**2
    J = (_PAIRS @ (bone / (length * p.options.symmetry_mm)[..., None])).reshape(len(x), 4, -1)
    Jt = (J * ((p.options.symmetry_degrees + 1) / tail)[..., None]).swapaxes(-1, -2)
    energy = (p.options.symmetry_degrees + 1) / 2 * np.log(tail / p.options.symmetry_degrees).sum(-1)
    return Terms(energy, (Jt @ r[..., None]).reshape(x.shape), Jt @ J)


def system(p: Problem, x: Array, s: Array) -> tuple[Array, Array, Array, MixtureTerms]:
    """Energy (S,), gradient (S, 49), Gauss-Newton matrix (S, 49, 49), joints first, then the log-scale."""
    seen, mixture, limbs = reprojection(p, x), mixtures(p, x, s), _symmetry(p, x)
    count = len(x)
    joints = limbs.normal.reshape(count, _N, 3, _N, 3)
    axis, joint = np.arange(3), np.arange(_N)
    joints[:, :, axis, :, axis] += mixture.normal
    joints[:, joint, :, joint] += seen.normal.swapaxes(0, 1)
    H = np.empty((count, 3 * _N + 1, 3 * _N + 1))
    H[:, :-1, :-1] = joints.reshape(count, 3 * _N, 3 * _N)
    H[:, -1, :-1] = H[:, :-1, -1] = mixture.coupling.reshape(count, -1)
    H[:, -1, -1] = mixture.scale[:, 1] + 1 / p.options.scale**2
    g = np.empty((count, 3 * _N + 1))
    g[:, :-1] = (seen.gradient + mixture.gradient + limbs.gradient).reshape(count, -1)
    g[:, -1] = mixture.scale[:, 0] + s / p.options.scale**2
    return seen.energy + mixture.energy + limbs.energy + s**2 / (2 * p.options.scale**2), g, H, mixture
