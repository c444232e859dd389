"""Make the probabilities mean what they say: one temperature for the weights, one factor for the sigmas.

Both are fitted after training by the likelihood of the validation subjects (Guo et al. 2017, "On Calibration of
Modern Neural Networks", for the temperature), on exact and on noisy 2D joints together.
"""

import numpy as np
import torch

from engines.models.mdn import MDN
from engines.training.batches import evaluation_batch
from engines.training.losses import log_kernels
from engines.training.mocap import Poses


def fit(network: MDN, poses: Poses, scale_mm: float, noises: tuple[float, ...] = (0.0, 2.0)) -> dict[str, float]:
    """Fit by L-BFGS on random level views of the poses (seed 2).

    Returns:
        ``temperature`` and ``sigma_scale``.
    """
    rng = np.random.default_rng(2)
    outputs, targets = [], []
    for noise in noises:
        batch, _ = evaluation_batch(poses.joints, rng, noise)
        with torch.inference_mode():
            outputs.append(network(torch.from_numpy(batch.inputs)))
        targets.append(torch.from_numpy(batch.targets) / scale_mm)
    mean, sigma, log_weight = (torch.cat(parts).clone() for parts in zip(*outputs, strict=True))
    target = torch.cat(targets)
    log_parameters = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_parameters], max_iter=50, line_search_fn="strong_wolfe")

    def nll() -> torch.Tensor:
        optimiser.zero_grad()
        temperature, factor = log_parameters.exp()
        log_alpha = torch.log_softmax(log_weight / temperature, -1)
        loss = -torch.logsumexp(log_alpha + log_kernels(mean, sigma * factor, target), -1).mean()
        loss.backward()
        return loss

    optimiser.step(nll)
    temperature, factor = log_parameters.detach().exp().tolist()
    return {"temperature": round(temperature, 4), "sigma_scale": round(factor, 4)}
