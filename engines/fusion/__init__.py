"""Fusion of the views of one frame set: detections and mixtures of calibrated cameras in, one person in the world out.

    hypotheses    the paper's: the hypotheses that agree best, averaged (Li and Lee 2019, 4.5)
    map           the pose that mixtures and 2D joints together make most probable, with its sigma
    triangulate   weighted, robust, without hypotheses; for comparison
    auto          map

Pure functions; ``Fuser`` keeps the last pose for a warm start and nothing else.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.fusion import methods, triangulation
from engines.fusion.consensus import agree, doubted
from engines.fusion.options import FusionOptions
from engines.fusion.single import alone, disputed, widened
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
    rays: Sequence[Array | None] | None = None,
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
        rays: of each detection (17, 3), z = 1, where somebody has them already; None: they are made.

    Returns:
        The person, or None where no view has one. ``cameras`` of the pose are those that it does not contradict, and
        ``method`` is what was done: "single" where only one view was usable; "disputed" where views contradict each
        other and nothing outvotes either (then one side's answer, as unsure as they are apart); "triangulate" where
        several were but none was lifted: joints seen by fewer than two views are then NaN.

    Raises:
        EngineError: for an unknown method.
        ValueError: if there is not one detection and one mixture a camera.
    """
    if method not in METHODS:
        raise EngineError(f"unknown fusion {method!r}; there are {', '.join(METHODS)}")
    views = gather(detections, mixtures, cameras, min_score, options, rays)
    if views is None:
        return None
    if len(views.cameras) == 1:
        return _made(views, alone(views, options.distance), "single", min_score, options)
    if method == "triangulate" or not len(views.lifted):
        method, solve = "triangulate", partial(methods.by_triangulation, options=options)
        reference = solve
    elif method == "hypotheses":
        solve = partial(methods.by_hypotheses, weighted=weighted, options=options)
        reference = partial(methods.by_triangulation, options=options)
    else:
        method, solve = "map", partial(methods.by_map, previous=previous, options=options)
        reference = solve
    before = None if previous is None else previous.joints
    agreed = agree(views, solve, reference, options, before)
    if agreed is None:
        found = disputed(views, before, options)
        if found is None:
            return None
        fit, which = found
        return _made(views.select([which]), fit, "disputed", min_score, options)
    fit = doubted(agreed, options) if method == "map" else agreed.fit
    fit = widened(fit, agreed.rivals, options)
    return _made(agreed.views, fit, "disputed" if agreed.rivals else method, min_score, options)


def _made(
    views: Views, pose: tuple[Array, Array] | None, method: str, min_score: float, options: FusionOptions
) -> Pose | None:
    if pose is None or not np.isfinite(pose[0]).any():
        return None
    extra = triangulation.triangulate_extra(views, min_score, options.noise_size)
    return Pose(pose[0], pose[1], views.names, method, extra=extra)


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
        self, detections: Sequence[Detection | None], mixtures: Sequence[Mixture | None], t: float,
        rays: Sequence[Array | None] | None = None,
    ) -> Pose | None:  # fmt: skip
        """The person at ``t`` seconds, or None where no view has one; ``rays`` as of ``fuse``."""
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
            rays=rays,
        )
        if pose is not None:
            self._last = (t, pose)
        return pose
