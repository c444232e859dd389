"""``map``: the world pose that the views' mixtures and their 2D joints make most probable.

Unknowns are 16 joints in the world (the root is the middle of the hips, always) and one log-scale ``s`` of the body, because
the metric scale a lifter answers in is a guess. Minimised is

    sum over views v, seen joints j   Student-t of the reprojection error, in mm at the person's distance
  - 1/L  sum over lifted views v      log sum_k weight_vk prod_j t(W u_vk)_j,   u_vkj = (exp(-s) (x_j - x_root) - mean_vkj) / sigma_vkj
  + sum over limbs                    Student-t of (length on the right - length on the left)
  + s^2 / 2 scale^2

- Every view's mixture comes from one network with one prior, so they are pooled logarithmically (the power 1/L): the prior counts
  once, however many views there are.
- W whitens along the skeleton: a wrist is wrong the way its elbow is (correlation 0.5 on the validation subjects), so an
  elbow that two cameras see tells where the unseen wrist is.
- Fixing each view's kernel responsibilities (EM) and the weights of the heavy tails (IRLS) makes everything quadratic but the
  perspective: one 49 x 49 system a Gauss-Newton step, all starts at once.
- Nothing is enumerated: a swapped view, a wrong box or a bad camera is far in the tails of its own terms, and loses its weight.

Sigma comes from the same normal matrix, see ``_covariance``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.fusion.views import Views
from engines.skeleton import L_HIP, LEFT, N_JOINTS, PARENTS, R_HIP, RIGHT

Array = NDArray[np.floating]

# Chosen on the validation subjects; all are flat within a factor of about 1.5.
_NOISE_MM = 9.5  # standard deviation of a joint of score 0.8, at the person's distance: 1 % of a person's size
_GOOD_SCORE = 0.8
_DEGREES = 3.0  # of freedom of the reprojection's Student-t
_MIXTURE_DEGREES = 5.0  # of freedom of the mixtures'
_CHAIN = 0.5  # correlation of a joint's error with its parent's, both in their sigmas
_SPREAD = 1.25  # the sigmas are fitted for the whole mixture; here its kernel is as good as known
_SCALE = 0.08  # standard deviation of the log-scale of the body
_SYMMETRY_MM = 12.0  # right and left limbs differ by this
_SYMMETRY_DEGREES = 4.0
_NEAR_MM = 100.0
_STEPS = 10
_LEAST_STEPS = 3  # after them a start that leads somewhere better leads the others
_STILL_MM = 1.0  # a step that moves no joint of the leading start further is the last

_N = N_JOINTS - 1
# x_j - x_root as a function of the 16 unknown joints.
_RELATIVE = np.eye(_N)
_RELATIVE[:, [R_HIP - 1, L_HIP - 1]] -= 0.5


def _limbs() -> tuple[Array, Array]:
    """Thighs, shanks, upper arms and forearms, four of the right, four of the left.

    Returns:
        (8, 16) from the unknown joints to the bones, and (64, 8) from the bones to the derivatives, by (pair, joint), of
        the right one's length less the left one's.
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


def _whitener() -> Array:
    """(16, 16) W with W C W^T = 1 for errors correlated along the chains from the root."""
    W = np.eye(_N)
    for joint in range(1, N_JOINTS):
        parent = int(PARENTS[joint])
        if parent > 0:
            W[joint - 1, parent - 1] = -_CHAIN
            W[joint - 1] /= np.sqrt(1 - _CHAIN**2)
    return W


_WHITEN = _whitener()


@dataclass(frozen=True, slots=True)
class Posterior:
    """The most probable pose and how sure it is."""

    joints: Array
    """(17, 3) mm, world."""
    cov: Array
    """(17, 3, 3) mm2."""
    log_scale: float
    """Of the body, against the mixtures' own."""
    energy: float
    """Negative logarithm of the posterior, up to a constant."""
    misfit: Array
    """(V,) how far the typical seen joint of a view is from where the pose puts it, in standard deviations."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """What does not change from step to step."""

    R: Array
    """(V, 3, 3)."""
    t: Array
    """(V, 3)."""
    ray: Array
    """(V, 16, 2)."""
    per_mm: Array
    """(V, 16) how many standard deviations one unit of a ray is; 0 where not seen."""
    rows: Array
    """(Q, 16) with Q = L M 16: the whitened mixture residuals are ``exp(-s) rows @ x - target``."""
    target: Array
    """(Q, 3)."""
    log_kernel: Array
    """(L, M) log of weight and normaliser of each kernel."""


def _problem(views: Views, distance: Array) -> _Problem:
    sigma = _SPREAD * np.maximum(views.sigma[:, :, 1:], 1.0)
    rows = _WHITEN / sigma[..., None, :]
    quality = np.sqrt(np.clip(views.score[:, 1:], 0.05, 1) / _GOOD_SCORE)
    return _Problem(
        views.R,
        views.t,
        views.ray[:, 1:],
        views.seen[:, 1:] * quality * distance[:, None] / _NOISE_MM,
        (rows @ _RELATIVE).reshape(-1, _N),
        (rows @ views.mean[:, :, 1:]).reshape(-1, 3),
        np.log(np.maximum(views.weight, 1e-9)) - 3 * np.log(sigma).sum(-1),
    )


def _misfit(p: _Problem, x: Array) -> Array:
    local = x @ p.R.transpose(0, 2, 1) + p.t[:, None]
    r = np.linalg.norm(local[..., :2] / np.maximum(local[..., 2:], _NEAR_MM) - p.ray, axis=-1) * p.per_mm
    return np.array([np.median(one[seen]) for one, seen in zip(r, p.per_mm > 0, strict=True)])


class _Terms(NamedTuple):
    """One part of the objective at S poses: energy, gradient and normal matrix."""

    energy: Array
    """(S,)."""
    gradient: Array
    """(S, 16, 3)."""
    normal: Array
    """Of the joints; its shape is the term's own."""


def _reprojection(p: _Problem, x: Array) -> _Terms:
    """Normal matrices (S, 16, 3, 3): a 2D joint concerns its own three coordinates only."""
    local = x[:, None] @ p.R.transpose(0, 2, 1) + p.t[:, None]
    z = np.maximum(local[..., 2], _NEAR_MM)
    projected = local[..., :2] / z[..., None]
    r = (projected - p.ray) * p.per_mm[..., None]
    square = (r**2).sum(-1)
    tail = _DEGREES + square
    energy = (_DEGREES + 2) / 2 * np.log(tail / _DEGREES).sum((1, 2))
    # d(x/z)/dX = (R1 - (x/z) R3) / z
    J = p.R[:, None, :2] - projected[..., None] * p.R[:, None, 2:]
    root = np.sqrt((_DEGREES + 2) / tail)
    J = J * (root * p.per_mm / z)[..., None, None]
    J = J.transpose(0, 2, 1, 3, 4).reshape(len(x), _N, -1, 3)
    r = (r * root[..., None]).transpose(0, 2, 1, 3).reshape(len(x), _N, -1, 1)
    Jt = J.swapaxes(-1, -2)
    return _Terms(energy, (Jt @ r)[..., 0], Jt @ J)


class _MixtureTerms(NamedTuple):
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


def _mixture(p: _Problem, x: Array, s: Array) -> _MixtureTerms:
    count, (views, kernels) = len(x), p.log_kernel.shape
    shrink = np.exp(-s)[:, None, None]
    fitted = p.rows @ (x * shrink)
    w = fitted - p.target
    tail = _MIXTURE_DEGREES + (w**2).sum(-1)
    log = -(_MIXTURE_DEGREES + 3) / 2 * np.log(tail / _MIXTURE_DEGREES).reshape(count, views, kernels, _N).sum(-1)
    log += p.log_kernel
    top = log.max(-1, keepdims=True)
    share = np.exp(log - top)
    total = share.sum(-1, keepdims=True)
    share /= total
    energy = -(top + np.log(total))[..., 0].mean(-1)
    weight = (_MIXTURE_DEGREES + 3) / tail
    k = weight * (share / views).repeat(_N, -1).reshape(count, -1)
    # Residual's derivatives: exp(-s) rows to the joints, -fitted to the log-scale.
    weighted = (p.rows.T * (k * shrink[..., 0])[:, None]) @ np.concatenate([w, -fitted], -1)
    kf = k[..., None] * fitted
    scale = np.stack([-(kf * w).sum((1, 2)), (kf * fitted).sum((1, 2))], -1)
    normal = (p.rows.T * (k * shrink[..., 0] ** 2)[:, None]) @ p.rows
    return _MixtureTerms(energy, weighted[..., :3], normal, scale, weighted[..., 3:], share, weight, w)


def _symmetry(x: Array) -> _Terms:
    """Normal matrix (S, 48, 48). What a limb measures is not known, but that it measures the same on both sides is."""
    bone = _BONES @ x
    length = np.maximum(np.linalg.norm(bone, axis=-1), 1.0)
    unit = bone / (length * _SYMMETRY_MM)[..., None]
    r = (length[:, :4] - length[:, 4:]) / _SYMMETRY_MM
    tail = _SYMMETRY_DEGREES + r**2
    J = (_PAIRS @ unit).reshape(len(x), 4, -1)
    Jt = (J * ((_SYMMETRY_DEGREES + 1) / tail)[..., None]).swapaxes(-1, -2)
    energy = (_SYMMETRY_DEGREES + 1) / 2 * np.log(tail / _SYMMETRY_DEGREES).sum(-1)
    return _Terms(energy, (Jt @ r[..., None]).reshape(x.shape), Jt @ J)


def _system(p: _Problem, x: Array, s: Array) -> tuple[Array, Array, Array, _MixtureTerms]:
    """Energy (S,), gradient (S, 49), Gauss-Newton matrix (S, 49, 49), joints first, then the log-scale."""
    seen, mixture, limbs = _reprojection(p, x), _mixture(p, x, s), _symmetry(x)
    count = len(x)
    joints = limbs.normal.reshape(count, _N, 3, _N, 3)
    axis, joint = np.arange(3), np.arange(_N)
    joints[:, :, axis, :, axis] += mixture.normal
    joints[:, joint, :, joint] += seen.normal.swapaxes(0, 1)
    H = np.empty((count, 3 * _N + 1, 3 * _N + 1))
    H[:, :-1, :-1] = joints.reshape(count, 3 * _N, 3 * _N)
    H[:, -1, :-1] = H[:, :-1, -1] = mixture.coupling.reshape(count, -1)
    H[:, -1, -1] = mixture.scale[:, 1] + 1 / _SCALE**2
    g = np.empty((count, 3 * _N + 1))
    g[:, :-1] = (seen.gradient + mixture.gradient + limbs.gradient).reshape(count, -1)
    g[:, -1] = mixture.scale[:, 0] + s / _SCALE**2
    return seen.energy + mixture.energy + limbs.energy + s**2 / (2 * _SCALE**2), g, H, mixture


def _covariance(p: _Problem, x: Array, s: Array, H: Array, mixture: _MixtureTerms) -> Array:
    """(17, 3, 3) mm2, to first order: C = H^-1, and C G C more for not knowing the kernel.

    Fixing the responsibilities overstates what is known by G, the covariance of the score over the kernels (Louis 1982).
    """
    C = np.linalg.inv(H)
    views, kernels = p.log_kernel.shape
    rows = p.rows.reshape(views * kernels, _N, _N) * np.exp(-s)
    pull = (mixture.weight[0][:, None] * mixture.residual[0]).reshape(views * kernels, _N, 3)
    score = (rows.swapaxes(-1, -2) @ pull).reshape(views, kernels, -1)
    share = mixture.share[0][..., None]
    score = (np.sqrt(share / views) * (score - (share * score).sum(1, keepdims=True))).reshape(views * kernels, -1)
    wide = score @ C[:-1]
    C = C + wide.T @ wide
    blocks = C[:-1, :-1].reshape(_N, 3, _N, 3)
    cov = np.empty((N_JOINTS, 3, 3))
    cov[1:] = blocks[np.arange(_N), :, np.arange(_N)]
    hips = blocks[[R_HIP - 1, L_HIP - 1]][:, :, [R_HIP - 1, L_HIP - 1]]
    cov[0] = hips.sum((0, 2)) / 4
    return cov


def maximise(views: Views, starts: Array) -> Posterior:
    """Find the most probable pose from several starts.

    Args:
        views: at least one of them lifted.
        starts: (S, 17, 3) mm, world; finite. The first one also tells how far the person is from each camera.

    Returns:
        The end of the start that came to the least energy.
    """
    distance = np.maximum(starts[0, 0] @ views.R[:, 2].T + views.t[:, 2], 5 * _NEAR_MM)
    p = _problem(views, distance)
    x, s = starts[:, 1:].astype(np.float64), np.zeros(len(starts))
    for count in range(_STEPS):
        energy, g, H, _ = _system(p, x, s)
        step = np.linalg.solve(H, g[..., None])[..., 0]
        moved = step[:, :-1].reshape(x.shape)
        # A body does not change by more than a fifth in one step: exp(-s) is far from linear beyond.
        x, s = x - moved, s - np.clip(step[:, -1], -0.2, 0.2)
        if count >= _LEAST_STEPS and np.abs(moved[energy.argmin()]).max() < _STILL_MM:
            break
    energy, _, H, mixture = _system(p, x, s)
    best = int(np.where(np.isfinite(energy), energy, np.inf).argmin())
    x, s = x[best], float(s[best])
    one = _MixtureTerms(*(part[best : best + 1] for part in mixture))
    joints = np.concatenate([(x[[R_HIP - 1]] + x[[L_HIP - 1]]) / 2, x])
    return Posterior(joints, _covariance(p, x, s, H[best], one), s, float(energy[best]), _misfit(p, x))
