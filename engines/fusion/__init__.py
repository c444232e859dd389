"""Fusion of the views of one frame set: detections and mixtures of calibrated cameras in, one person in the world out.

    hypotheses    the paper's: the hypotheses that agree best, averaged (Li and Lee 2019, 4.5)
    map           the pose that mixtures and 2D joints together make most probable, with its sigma
    triangulate   weighted, robust, without hypotheses; for comparison
    auto          map

Pure functions; ``Fuser`` keeps the last pose for a warm start and nothing else.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.fusion import hypotheses, posterior, triangulation
from engines.fusion.options import FusionOptions
from engines.fusion.single import alone, by_reprojection
from engines.fusion.views import Views, gather
from engines.types import Detection, EngineError, Mixture, Pose

METHODS: Final = ("auto", "map", "hypotheses", "triangulate")
"""What ``--fusion`` takes."""


def fuse(
    detections: Sequence[Detection | None],
    mixtures: Sequence[Mixture | None],
    cameras: Sequence[Camera],
    method: str = "auto",
    *,
    previous: Pose | None = None,
    min_score: float = 0.2,
    weighted: bool = False,
    options: FusionOptions = FusionOptions(),
) -> Pose | None:
    """Fuse the views of one frame set.

    Args:
        detections: one a camera, pixels of the full image; None where there is none.
        mixtures: one a camera, root-relative, that camera's axes; None where there is none.
        cameras: with their place in the world.
        method: one of ``METHODS``.
        previous: the pose of the frame set before, to start from ("map").
        min_score: a joint below it counts as not seen.
        weighted: average by mixing coefficient and inverse variance instead of plainly ("hypotheses").
        options: every threshold.

    Returns:
        The person, or None where no view has one. ``method`` of the pose is what was done: "single" where only one
        view was usable, "triangulate" where several were but none was lifted; its joints seen by fewer than two views
        are then NaN.

    Raises:
        EngineError: for an unknown method.
        ValueError: if there is not one detection and one mixture a camera.
    """
    if method not in METHODS:
        raise EngineError(f"unknown fusion {method!r}; there are {', '.join(METHODS)}")
    views = gather(detections, mixtures, cameras, min_score, options)
    if views is None:
        return None
    if len(views.cameras) == 1:
        return _made(views, alone(views, options.distance), "single", min_score, options)
    if method == "triangulate" or not len(views.lifted):
        return _made(views, triangulation.triangulate(views, options.noise_size), "triangulate", min_score, options)
    if method == "hypotheses":
        return _made(views, _by_hypotheses(views, weighted, options), "hypotheses", min_score, options)
    return _made(views, _by_map(views, previous, options), "map", min_score, options)


def _made(
    views: Views, pose: tuple[Array, Array] | None, method: str, min_score: float, options: FusionOptions
) -> Pose | None:
    if pose is None or not np.isfinite(pose[0]).any():
        return None
    extra = triangulation.triangulate_extra(views, min_score, options.noise_size)
    return Pose(pose[0], pose[1], views.names, method, extra=extra)


def _by_hypotheses(views: Views, weighted: bool, options: FusionOptions) -> tuple[Array, Array]:
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


def _by_map(views: Views, previous: Pose | None, options: FusionOptions) -> tuple[Array, Array] | None:
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


class Fuser:
    """Fuses frame set after frame set; callable as the pipeline's estimator wants it.

    Args:
        cameras: one a view, with their place in the world.
        method: one of ``METHODS``.
        min_score: a joint below it counts as not seen.
        options: every other threshold.

    Raises:
        EngineError: for an unknown method.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        method: str = "auto",
        min_score: float = 0.2,
        options: FusionOptions = FusionOptions(),
    ) -> None:
        if method not in METHODS:
            raise EngineError(f"unknown fusion {method!r}; there are {', '.join(METHODS)}")
        self._cameras, self._method, self._min_score = tuple(cameras), method, min_score
        self._options = options
        self._last: tuple[float, Pose] | None = None

    def another(self) -> "Fuser":
        """One with the same settings, for another person."""
        return Fuser(self._cameras, self._method, self._min_score, self._options)

    def __call__(
        self, detections: Sequence[Detection | None], mixtures: Sequence[Mixture | None], t: float
    ) -> Pose | None:
        """The person at ``t`` seconds, or None where no view has one."""
        # Also when time does not go on: a file that begins again.
        if self._last is not None and not 0 < t - self._last[0] <= self._options.gap_s:
            self._last = None
        previous = self._last[1] if self._last else None
        pose = fuse(
            detections,
            mixtures,
            self._cameras,
            self._method,
            previous=previous,
            min_score=self._min_score,
            options=self._options,
        )
        if pose is not None:
            self._last = (t, pose)
        return pose
