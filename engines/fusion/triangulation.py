"""``triangulate``: weighted and robust, without any hypotheses; and where a root-relative pose stands in the world."""

import numpy as np

from calibration.arrays import Array
from calibration.geometry.triangulation import triangulate_rays, triangulate_robust
from engines.fusion.views import Views
from engines.lifter import place_root
from engines.skeleton import DERIVED_FROM, L_HIP, R_HIP
from engines.types import Detection, ExtraPoints


def _noise_px(views: Views, noise_size: float) -> float:
    """Standard deviation of a joint in pixels: one for all views, or a wrong box half the size would weigh four
    times.
    """
    return noise_size * max(float(views.size_px.mean()), 1.0)


def triangulate(views: Views, noise_size: float) -> tuple[Array, Array]:
    """Robust triangulation of every joint; those that are the middle of two others are that.

    Args:
        views: the views.
        noise_size: one standard deviation of a joint, as a share of the person's size in pixels.

    Returns:
        joints (17, 3) mm and cov (17, 3, 3) mm2, NaN for a joint that fewer than two views see.
    """
    found = triangulate_robust(views.cameras, views.xy, views.trust, noise_px=_noise_px(views, noise_size))
    joints, cov = found.points.copy(), found.cov.copy()
    for joint, (a, b) in DERIVED_FROM.items():
        if not np.isfinite(joints[joint]).all():
            joints[joint], cov[joint] = (joints[a] + joints[b]) / 2, (cov[a] + cov[b]) / 4
    return joints, cov


def triangulate_fast(views: Views) -> Array:
    """Linear triangulation (17, 3) mm: a start for something that is robust itself; NaN as above."""
    return triangulate_rays(views.cameras, views.ray, views.trust)


def root_of(pose: Array, joints: Array, views: Views, *, hips: bool = True) -> Array:
    """Where the root of a root-relative pose stands.

    The middle of the triangulated hips; without them what most of the triangulated joints say; without any, the
    reprojection of the views one by one.

    Args:
        pose: (17, 3) mm, root-relative, world axes.
        joints: (17, 3) mm, triangulated, NaN where unknown.
        views: the views.
        hips: False not to trust the hips above the other joints (one outlier there is the whole person's).

    Returns:
        (3,) mm, world; NaN where nothing tells.
    """
    middle = (joints[R_HIP] + joints[L_HIP]) / 2
    if hips and np.isfinite(middle).all():
        return middle
    known = np.isfinite(joints).all(-1)
    if known.any():
        return np.median((joints - pose)[known], axis=0)
    roots = []
    for k, camera in enumerate(views.cameras):
        seen = Detection(np.nan_to_num(views.xy[k]), views.score[k], ~views.seen[k], views.detections[k].origin)
        local = place_root(pose @ camera.R.T, seen, camera, 0.0)
        roots.append((local - camera.t) @ camera.R)
    roots = np.array(roots)
    known = np.isfinite(roots).all(-1)
    return np.median(roots[known], axis=0) if known.any() else np.full(3, np.nan)


def triangulate_extra(views: Views, min_score: float, noise_size: float) -> ExtraPoints | None:
    """Robust triangulation of the further joints that two views or more see; None where there is none.

    Args:
        views: the views.
        min_score: a joint below it counts as not seen.
        noise_size: one standard deviation of a joint, as a share of the person's size in pixels.
    """
    found = [(k, seen.extra) for k, seen in enumerate(views.detections) if seen.extra is not None]
    names = list(dict.fromkeys(name for _, extra in found for name in extra.names))
    if len(found) < 2:
        return None
    xy, score = np.full((len(views.cameras), len(names), 2), np.nan), np.zeros((len(views.cameras), len(names)))
    for k, extra in found:
        seen = (extra.score >= min_score) & (extra.score > 0) & np.isfinite(extra.xy).all(-1)
        at = [names.index(name) for name in extra.names]
        xy[k, at] = np.where(seen[:, None], extra.xy, np.nan)
        score[k, at] = np.where(seen, extra.score, 0)
    placed = triangulate_robust(views.cameras, xy, score, noise_px=_noise_px(views, noise_size))
    there = np.flatnonzero(np.isfinite(placed.points).all(-1))
    if not len(there):
        return None
    return ExtraPoints(tuple(names[k] for k in there), placed.points[there], placed.cov[there])
