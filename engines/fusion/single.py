"""One view left, or several of which no two agree: the mean of one's mixture, put in place by reprojection."""

from collections.abc import Iterable

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.fusion.consensus import Fit, reprojection_misfit
from engines.fusion.options import FusionOptions
from engines.fusion.triangulation import root_of
from engines.fusion.views import Views
from engines.skeleton import N_JOINTS


def alone(views: Views, distance: float) -> tuple[Array, Array] | None:
    """The person of a single view.

    Of the answers that can be deployed the mixture's mean is the nearest to the truth, and its distance has no bias;
    the pose of the highest density is 5 % too near.

    Args:
        views: the one view.
        distance: one standard deviation of its distance, as a share of it: the errors of the validation subjects' are
            5 %.

    Returns:
        joints (17, 3) mm, world, and cov (17, 3, 3) mm2, or None where the view is not lifted or cannot be placed.
    """
    if not len(views.lifted):
        return None
    mean, sigma, weight = views.mean[0], views.sigma[0], views.weight[0]
    pose = np.einsum("m,mjd->jd", weight, mean)
    root = root_of(pose, np.full((N_JOINTS, 3), np.nan), views)
    if not np.isfinite(root).all():
        return None
    away = mean - pose
    cov = np.einsum("m,mja,mjb->jab", weight, away, away) + (weight @ sigma**2)[:, None, None] * np.eye(3)
    return pose + root, cov + by_reprojection(root, views.cameras[0], distance)


def disputed(views: Views, previous: Array | None, options: FusionOptions) -> tuple[Fit, int] | None:
    """The person of one of several views of which no two agree, as unsure as they are apart.

    Args:
        views: V views.
        previous: (17, 3) mm, the person before: the view that shows them there is believed. Else the one that sees
            most.
        options: ``distance`` and ``disputed``.

    Returns:
        The answer and which view it is of, or None where none can be lifted and placed.
    """
    answers = {k: alone(views.select([k]), options.distance) for k in range(len(views.cameras))}
    found = {k: fit for k, fit in answers.items() if fit is not None}
    if not found:
        return None
    sees = views.trust.sum(1)
    if previous is not None:
        sees = -np.nan_to_num(reprojection_misfit(views, previous, [], options), nan=np.inf)
    best = max(found, key=lambda k: float(sees[k]))
    return widened(found[best], (fit for k, fit in found.items() if k != best), options), best


def widened(fit: Fit, others: Iterable[Fit], options: FusionOptions) -> Fit:
    """A pose whose covariance says that it may as well be one of the others."""
    away = np.array([joints - fit[0] for joints, _ in others])
    if not len(away):
        return fit
    # The truth may as well lie on no line between them: two cameras exchanged put everybody elsewhere.
    spread = (away**2).sum(-1).mean(0) / 3
    return fit[0], fit[1] + options.disputed * spread[:, None, None] * np.eye(3)


def by_reprojection(root: Array, camera: Camera, distance: float) -> Array:
    """(3, 3) mm2: how unsure a root (3,) mm, world, is that one camera's reprojection put in place."""
    along = distance * (root - camera.centre)
    return np.outer(along, along) + (0.2 * np.linalg.norm(along)) ** 2 * np.eye(3)
