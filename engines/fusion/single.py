"""One view left: the mean of its mixture, put in place by reprojection."""

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
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


def by_reprojection(root: Array, camera: Camera, distance: float) -> Array:
    """(3, 3) mm2: how unsure a root (3,) mm, world, is that one camera's reprojection put in place."""
    along = distance * (root - camera.centre)
    return np.outer(along, along) + (0.2 * np.linalg.norm(along)) ** 2 * np.eye(3)
