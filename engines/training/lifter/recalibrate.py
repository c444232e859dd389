"""Make the probabilities mean what they say: one temperature for the weights, one factor for the sigmas.

Both are fitted after training by the likelihood of the validation subjects (Guo et al. 2017, "On Calibration of
Modern Neural Networks", for the temperature), on 2D joints that are exact, noisy, and wrong as a detector's are.
"""

import numpy as np
import torch
from torch import Tensor

from engines.models.mdn import MDN
from engines.on_rays import towards_rays
from engines.training.data.mocap import Poses
from engines.training.lifter import augment
from engines.training.lifter.batches import Batch, evaluation_batch
from engines.training.lifter.losses import log_kernels
from engines.training.lifter.paper import Normalisation
from engines.training.lifter.synthetic_views import laboratory_views

NOISES = (0.0, 2.0)
KINDS = ((0.0, 0.0), (2.0, 0.0), (0.0, 1.0))
"""Per cent of noise, and factor on a real detector's errors."""


def fit(network: MDN, poses: Poses, scale_mm: float) -> dict[str, float]:
    """Fit a network that looks through the virtual camera, on random level views of the poses (seed 2).

    Every pose is seen as it is and with the bones of somebody else, whom the network has not met: the last part of a
    training may have been on these people too. Hypotheses are drawn to the rays, as they are when they are used.

    Returns:
        ``temperature`` and ``sigma_scale``.
    """
    rng = np.random.default_rng(2)
    strangers = augment.from_bones(augment.scale_bones(augment.to_bones(poses.joints), rng))
    batches = [
        evaluation_batch(joints, rng, noise, detector=detector)[0]
        for joints in (poses.joints, strangers)
        for noise, detector in KINDS
    ]
    return _fit(network, [Batch(b.inputs, b.targets / np.float32(scale_mm), b.rays) for b in batches], scale_mm)


def fit_pixels(
    network: MDN, poses: Poses, normalisation: Normalisation, noises: tuple[float, ...] = NOISES
) -> dict[str, float]:
    """Fit a network of the ``paper`` preset, on the four laboratory views of the poses (seed 2); see ``fit``."""
    seen = [laboratory_views(poses, noise, seed=2) for noise in noises]
    return _fit(network, [Batch(normalisation.encode(o.xy, o.seen), normalisation.targets(o.truth)) for o in seen])


def _fit(network: MDN, batches: list[Batch], scale_mm: float = 1.0) -> dict[str, float]:
    """Targets in the network's units, of which one is ``scale_mm``."""
    outputs = []
    with torch.inference_mode():
        for batch in batches:
            mean, sigma, log_weight = network(torch.from_numpy(batch.inputs))
            outputs.append((_drawn(mean, batch, scale_mm), sigma, log_weight))
    mean, sigma, log_weight = (torch.cat(parts).clone() for parts in zip(*outputs, strict=True))
    target = torch.cat([torch.from_numpy(batch.targets) for batch in batches])
    return fit_mixtures(mean, sigma, log_weight, target)


def _drawn(mean: Tensor, batch: Batch, scale_mm: float) -> Tensor:
    """Means (N, M, 16, 3) of a network that looks through the virtual camera, drawn to the rays; others as they are."""
    if batch.rays is None:
        return mean
    whole = np.pad(scale_mm * mean.numpy(), ((0, 0), (0, 0), (1, 0), (0, 0)))
    seen = batch.inputs[:, 34:51] > 0
    return torch.from_numpy(np.float32(towards_rays(whole, batch.rays, seen)[:, :, 1:] / scale_mm))


def fit_mixtures(mean: Tensor, sigma: Tensor, log_weight: Tensor, target: Tensor) -> dict[str, float]:
    """Fit, by L-BFGS, to what a network said, (N, M, J, 3), (N, M, J) and (N, M), and the truth (N, J, 3): ``fit``."""
    log_parameters = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_parameters], max_iter=50, line_search_fn="strong_wolfe")

    def nll() -> Tensor:
        optimiser.zero_grad()
        temperature, factor = log_parameters.exp()
        log_alpha = torch.log_softmax(log_weight / temperature, -1)
        loss = -torch.logsumexp(log_alpha + log_kernels(mean, sigma * factor, target), -1).mean()
        loss.backward()
        return loss

    optimiser.step(nll)
    temperature, factor = log_parameters.detach().exp().tolist()
    return {"temperature": round(temperature, 4), "sigma_scale": round(factor, 4)}
