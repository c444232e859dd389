"""The loss of the paper: negative log-likelihood of the mixture and a Dirichlet prior on its coefficients."""

import math

import torch
from torch import Tensor

ALPHA_MIN, SIGMA_MIN, SIGMA_MAX = 1e-8, 1e-15, 1e15


def log_kernels(mean: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """Logarithm of each kernel's density (Li and Lee 2019, eq. 2), the product over joints.

    Args:
        mean: (B, M, J, 3).
        sigma: (B, M, J) or (B, M, 1), one standard deviation an axis.
        target: (B, J, 3).

    Returns:
        (B, M) in nats, for densities in the units of ``mean``.
    """
    sigma = sigma.clamp(SIGMA_MIN, SIGMA_MAX).expand(mean.shape[:3])
    squared = ((mean - target[:, None]) ** 2).sum(-1)
    per_joint = -0.5 * squared / sigma**2 - 3 * torch.log(sigma) - 1.5 * math.log(2 * math.pi)
    return per_joint.sum(-1)


def mixture_loss(
    mean: Tensor, sigma: Tensor, log_weight: Tensor, target: Tensor, *, prior: float = 2.0, sharpness: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Both terms of eq. 9: ``-ln sum_i alpha_i phi_i`` and ``-sum_i (lambda - 1) ln alpha_i``.

    With ``sharpness`` < 1 the gradient of the first term is that of deterministic annealing (Rose 1998): the kernels
    share each sample in proportion to ``alpha_i phi_i ** sharpness``. In 48 dimensions densities differ by hundreds
    of nats from the first step on; without it one kernel takes every sample and the others never learn.

    Args:
        mean: (B, M, J, 3).
        sigma: (B, M, J) or (B, M, 1).
        log_weight: (B, M) logarithms of the mixing coefficients.
        target: (B, J, 3).
        prior: lambda of the symmetric Dirichlet prior; 1 switches it off.
        sharpness: 1 for the paper's loss; less early in a training.

    Returns:
        The two terms, each a mean over the batch.
    """
    log_weight = log_weight.clamp(min=math.log(ALPHA_MIN))
    log_phi = log_kernels(mean, sigma, target)
    if sharpness < 1:
        share = torch.softmax(log_weight + sharpness * log_phi, -1).detach()
        nll = -(share * (log_weight + log_phi)).sum(-1)
    else:
        nll = -torch.logsumexp(log_weight + log_phi, -1)
    return nll.mean(), -(prior - 1) * log_weight.sum(-1).mean()


def best_error(mean: Tensor, target: Tensor, heat: float) -> Tensor:
    """Error of the nearest hypothesis, a relaxed winner takes all (Rupprecht et al. 2017, eq. 10).

    Args:
        mean: (B, M, J, 3).
        target: (B, J, 3).
        heat: in units of ``mean``; above 0 the hypotheses share a sample by the softmin of their errors over it, so
            that those that start far away learn too.

    Returns:
        The distance summed over joints, a mean over the batch.
    """
    errors = torch.linalg.vector_norm(mean - target[:, None], dim=-1).sum(-1)
    if heat <= 0:
        return errors.min(-1).values.mean()
    return (torch.softmax(-errors.detach() / heat, -1) * errors).sum(-1).mean()


def mean_error(mean: Tensor, log_weight: Tensor, target: Tensor) -> Tensor:
    """Error of the mixture's mean, of means (B, M, J, 3) and coefficients (B, M): the distance summed over joints."""
    centre = (log_weight.exp()[..., None, None] * mean).sum(1)
    return torch.linalg.vector_norm(centre - target, dim=-1).sum(-1).mean()


def expected_error(mean: Tensor, log_weight: Tensor, target: Tensor) -> Tensor:
    """Error of a hypothesis that is drawn by the mixing coefficients: what they are worth as a choice.

    Only the coefficients learn from it: the hypotheses would all move to the middle. The likelihood alone leaves the
    coefficients nearly even, and the most probable hypothesis is then any of them.

    Args:
        mean: (B, M, J, 3).
        log_weight: (B, M) logarithms of the mixing coefficients.
        target: (B, J, 3).

    Returns:
        The distance summed over joints, a mean over the batch.
    """
    errors = torch.linalg.vector_norm(mean.detach() - target[:, None], dim=-1).sum(-1)
    return (log_weight.exp() * errors).sum(-1).mean()


def regression_loss(mean: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of a single answer (Martinez et al., ICCV 2017): the baseline.

    Args:
        mean: (B, 1, J, 3).
        target: (B, J, 3).
    """
    return ((mean[:, 0] - target) ** 2).mean()
