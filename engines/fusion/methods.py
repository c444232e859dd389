"""The methods of fusion: several views that may agree in, one pose out."""

import numpy as np

from calibration.arrays import Array
from engines.fusion import hypotheses, posterior, triangulation
from engines.fusion.options import FusionOptions
from engines.fusion.single import by_reprojection
from engines.fusion.views import Views
from engines.types import Pose


def by_triangulation(views: Views, options: FusionOptions) -> tuple[Array, Array]:
    """Robust triangulation of every joint; NaN for those that fewer than two views see."""
    return triangulation.triangulate(views, options.noise_size)


def by_hypotheses(views: Views, weighted: bool, options: FusionOptions) -> tuple[Array, Array]:
    """The paper's: the hypotheses that agree best, averaged, put in place by triangulation."""
    choice, _ = hypotheses.choose(views.mean, views.weight)
    pose, variance = hypotheses.average(views.mean, views.sigma, views.weight, choice, weighted)
    joints, cov = triangulation.triangulate(views, options.noise_size)
    root = triangulation.root_of(pose, joints, views)
    return pose + root, variance[:, None, None] * np.eye(3) + _root_covariance(
        pose, root, joints, cov[0], views, options
    )


def _root_covariance(
    pose: Array, root: Array, joints: Array, hips: Array, views: Views, options: FusionOptions
) -> Array:
    """(3, 3) mm2 of the root that ``root_of`` found, by the way in which it found it."""
    if np.isfinite(hips).all():
        return hips
    known = np.isfinite(joints).all(-1)
    if known.any():
        away = (joints - pose)[known] - root
        # Of few joints that happen to agree nothing follows: at least what the pose itself is unsure by.
        return away.T @ away / len(away) + options.least_root_mm**2 * np.eye(3)
    return np.mean([by_reprojection(root, camera, options.distance) for camera in views.cameras], axis=0)


def by_map(views: Views, previous: Pose | None, options: FusionOptions) -> tuple[Array, Array] | None:
    """The pose that mixtures and 2D joints together make most probable."""
    if len(views.lifted) == 1:
        relative = views.mean[0, np.argsort(-views.weight[0])]
    else:
        choice, _ = hypotheses.choose(views.mean, views.weight)
        relative = hypotheses.average(views.mean, views.sigma, views.weight, choice, weighted=False)[0][None]
    found = _from_starts(views, relative, triangulation.triangulate_fast(views), previous, options)
    if found is not None and _agreeing(found, options) < len(views.cameras) / 2 and len(views.cameras) > 2:
        # One wrong view can spoil every start that all views had a part in; robust triangulation costs more and knows
        # pairs.
        again = _from_starts(views, relative, triangulation.triangulate(views, options.noise_size)[0], None, options)
        if again is not None and _agreeing(again, options) > _agreeing(found, options):
            found = again
    return None if found is None else (found.joints, found.cov)


def _agreeing(found: posterior.Posterior, options: FusionOptions) -> int:
    return int((found.misfit < options.agrees).sum())


def _from_starts(
    views: Views, relative: Array, rays: Array, previous: Pose | None, options: FusionOptions
) -> posterior.Posterior | None:
    """Start from poses (S, 17, 3) put in place by triangulated joints (17, 3), and from ``previous`` or from those."""
    starts = [pose + triangulation.root_of(pose, rays, views, hips=False) for pose in relative]
    starts = [start for start in starts if np.isfinite(start).all()]
    if not starts:
        return None
    if previous is not None and np.isfinite(previous.joints).all():
        starts.append(previous.joints)
    elif np.isfinite(rays).any():
        starts.append(np.where(np.isfinite(rays), rays, starts[0]))
    return posterior.maximise(views, np.stack(starts), options)
