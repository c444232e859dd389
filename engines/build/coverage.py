"""One factor on the sigmas, so that the regions of the joints hold what they promise.

The likelihood asks for sigmas that are too wide in the middle, because errors have heavier tails than a mixture of
Gaussians. Fitted here is what is promised: the share of joints inside the 50, 80 and 95 % regions, exact and noisy 2D
alike, the squared gaps summed.
"""

from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from calibration.arrays import Array
from engines import lifter
from engines.models.mdn import MDN
from engines.training.data.mocap import Poses
from engines.training.evaluation import reliability
from engines.training.evaluation.lifters import VirtualLifter, torch_network
from engines.training.lifter.recalibrate import NOISES
from engines.training.lifter.synthetic_views import random_views

LEVELS: Final = np.array([0.5, 0.8, 0.95])
_BOUNDS: Final = (0.4, 1.6)
_MOST_POSES: Final = 1500
_TOLERANCE: Final = 0.005


def gaps(mean: Array, sigma: Array, weight: Array, truth: Array) -> Array:
    """(3,) share of the joints inside the regions of ``LEVELS`` less what they promise."""
    rank = reliability.ranks(mean, sigma, weight, truth)
    return (rank.reshape(-1, 1) < LEVELS).mean(0) - LEVELS


def fit(network: MDN, poses: Poses, scale_mm: float, temperature: float) -> float:
    """The factor, on random level views of the poses (seed 2).

    Args:
        network: in evaluation mode, one that looks through the virtual camera.
        poses: of the validation subjects.
        scale_mm: millimetres of one unit of the outputs.
        temperature: of the mixing coefficients, fitted before.
    """
    some = poses.select(np.arange(0, len(poses), -(-len(poses) // _MOST_POSES)))
    decoding = lifter.Decoding(scale_mm, 1.0, temperature)
    tested = VirtualLifter(torch_network(network), decoding, "fitted", {})
    seen = [random_views(some, noise, seed=2) for noise in NOISES]
    lifted = [tested.lift(views) for views in seen]

    def lost(factor: float) -> float:
        found = [gaps(a.mean, a.sigma * factor, a.weight, o.truth) for a, o in zip(lifted, seen, strict=True)]
        return float(np.square(found).sum())

    best = minimize_scalar(lost, bounds=_BOUNDS, method="bounded", options={"xatol": _TOLERANCE})
    return round(float(best.x), 4)
