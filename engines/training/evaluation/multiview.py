"""The paper's multi-view answer (section 4.5) on a whole data set: select one hypothesis a view, average."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines.fusion import hypotheses
from engines.training import metrics
from engines.training.evaluation.lifters import Lifted
from engines.training.lifter.synthetic_views import ObservedPoses


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """One answer for each frame set that was seen by at least two views."""

    error: Array
    """(K,) MPJPE mm."""
    p_error: Array
    """(K,) MPJPE mm after alignment."""
    first: NDArray[np.intp]
    """(K,) index of one of its views, for the labels."""


def fuse(observations: ObservedPoses, lifted: Lifted) -> Fused:
    """Select and average, frame set by frame set; with the hypotheses turned into the world's axes."""
    o = observations
    order = np.argsort(o.frame_set, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(o.frame_set[order])) + 1)
    groups = [group for group in groups if len(group) > 1]
    poses, truths = np.empty((len(groups), 17, 3)), np.empty((len(groups), 17, 3))
    for index, group in enumerate(groups):
        world = np.einsum("vmjc,vcw->vmjw", lifted.mean[group], o.R[group])
        weight, sigma = lifted.weight[group], np.zeros(world.shape[:3])
        choice, _ = hypotheses.choose(world, weight)
        poses[index], _ = hypotheses.average(world, sigma, weight, choice, weighted=False)
        truths[index] = o.truth[group[0]] @ o.R[group[0]]
    first = np.array([group[0] for group in groups], np.intp)
    return Fused(metrics.mpjpe(poses, truths), metrics.p_mpjpe(poses, truths), first)
