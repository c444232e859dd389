"""Which views one pose explains. A view that the pose contradicts is left out of it, and is said to be.

A view contradicts a pose when its typical joint lies ``FusionOptions.contradicts`` standard deviations or more from
where the pose puts it. The deviation is what reprojection is predicted to be off: that of the detection and that of
the pose, as the rays of the views that made it would fix it. Two views alone hardly contradict each other so, as two
people in line with a camera have rays that meet: they must agree with what was lifted of each, too.

Views are never enumerated in all their subsets: the pose of all views is asked first, and only where that contradicts
some, those of the pairs of views that face each other most squarely, at most three a view.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.triangulation import facing_pairs, triangulate_linear
from engines.fusion.objective import NEAR_MM
from engines.fusion.options import FusionOptions
from engines.fusion.views import Views, medians
from engines.skeleton import HEAD, LIMBS, NECK, PELVIS, SPINE, THORAX

Fit = tuple[Array, Array]
"""Joints (17, 3) mm and cov (17, 3, 3) mm2."""
Solve = Callable[[Views], Fit | None]
"""A method of fusion: views in, the pose that it finds out."""

_ROUNDS = 4


class Consensus(NamedTuple):
    """The pose that most views agree on, and which."""

    fit: Fit
    """As ``Solve`` gave it of the views that agree."""
    views: Views
    """Those views."""
    rivals: tuple[Fit, ...]
    """Poses that as many other views agree on, so that nothing outvotes either; empty when all is well."""
    misfit: Array | None = None
    """(V,) ``reprojection_misfit`` of these views, where that is known already."""


def reprojection_misfit(views: Views, joints: Array, used: Sequence[int], options: FusionOptions) -> Array:
    """How far the typical joint of each view is from where a pose puts it, in predicted standard deviations.

    Args:
        views: V views.
        joints: (17, 3) mm, world, NaN where not known.
        used: indexes of the views that the pose was made of.
        options: ``noise_mm`` and ``pose_mm``.

    Returns:
        (V,), NaN where nothing can be compared.
    """
    R, t = views.R, views.t
    local = np.nan_to_num(joints) @ R.transpose(0, 2, 1) + t[:, None]
    z = np.maximum(local[..., 2], NEAR_MM)
    shown = local[..., :2] / z[..., None]
    away = shown - views.ray
    J = (R[:, None, :2] - shown[..., None] * R[:, None, 2:]) / z[..., None, None]
    Jt = J.swapaxes(-1, -2)
    distance = np.median(z, axis=1)[:, None, None, None]
    noise = (options.noise_mm / distance) ** 2 * views.noise
    says = (Jt @ _inverse(noise) @ J) * views.seen[..., None, None]
    pose = np.linalg.inv(says[list(used)].sum(0) + np.eye(3) / options.pose_mm**2)
    square = (away * (_inverse(noise + J @ pose @ Jt) * away[..., None, :]).sum(-1)).sum(-1)
    # A joint behind the camera is as far off as can be.
    misfit = np.where(local[..., 2] > NEAR_MM, np.sqrt(square), np.inf)
    return medians(misfit, _compared(views) & np.isfinite(joints).all(-1))


def _inverse(A: Array) -> Array:
    """Of covariances (..., 2, 2): many small ones take LAPACK long."""
    out = np.empty_like(A)
    out[..., 0, 0], out[..., 1, 1] = A[..., 1, 1], A[..., 0, 0]
    out[..., 0, 1], out[..., 1, 0] = -A[..., 0, 1], -A[..., 1, 0]
    return out / (A[..., 0, 0] * A[..., 1, 1] - A[..., 0, 1] * A[..., 1, 0])[..., None, None]


def lifted_misfit(views: Views, joints: Array) -> Array:
    """How far a pose is from the nearest hypothesis of each view, in the hypothesis' own standard deviations.

    Returns:
        (V,) of the typical limb joint, NaN where a view was not lifted or the pose lacks its root.
    """
    out = np.full(len(views.cameras), np.nan)
    if not len(views.lifted):
        return out
    limbs = list(LIMBS)
    away = np.linalg.norm((joints - joints[PELVIS])[limbs] - views.mean[:, :, limbs], axis=-1)
    known = np.isfinite(away)
    off = np.where(known, away, 0.0) / np.maximum(views.sigma[:, :, limbs], 1.0)
    out[views.lifted] = np.where(known.any(-1), np.sqrt((off**2).sum(-1) / np.maximum(known.sum(-1), 1)), np.nan).min(1)
    return out


def _compared(views: Views) -> Bools:
    """(V, 17): what detectors mean by neck and head differs, and so does it from what a pose has there."""
    seen = views.seen.copy()
    seen[:, [SPINE, THORAX, NECK, HEAD]] = False
    return seen


def contradicted(
    views: Views, joints: Array, used: Sequence[int], options: FusionOptions, misfit: Array | None = None
) -> Bools:
    """(V,) which views a pose, made of those ``used``, contradicts; ``misfit`` where it is known."""
    with np.errstate(invalid="ignore"):
        misfit = reprojection_misfit(views, joints, used, options) if misfit is None else misfit
        wrong = misfit >= options.contradicts
        if len(used) == 2:
            pair = np.isin(np.arange(len(views.cameras)), used)
            lifted = lifted_misfit(views, joints)
            wrong |= pair & ((misfit >= options.contradicts_pair) | (lifted >= options.contradicts_lifted))
    return wrong


def agree(
    views: Views, solve: Solve, reference: Solve, options: FusionOptions, previous: Array | None = None
) -> Consensus | None:
    """Find the pose that most views agree on.

    Args:
        views: V views, two at least.
        solve: gives the answer of some of them.
        reference: gives the pose that they are compared with; the same, where its joints are good enough.
        options: every threshold.
        previous: (17, 3) mm, the person before: of groups as large as each other the nearest to it is believed.

    Returns:
        The consensus of two views or more, or None where no two of them agree.
    """
    everybody = list(range(len(views.cameras)))
    fit = reference(views)
    if fit is None:
        return None
    misfit = reprojection_misfit(views, fit[0], everybody, options)
    wrong = contradicted(views, fit[0], everybody, options, misfit)
    if not wrong.any():
        answer = _answer(views, everybody, fit, solve, reference)
        return answer._replace(misfit=misfit) if answer is not None and answer.fit is fit else answer
    groups = [[k for k in everybody if not wrong[k]]]
    if len(groups[0]) < 3 or len(groups[0]) <= len(everybody) / 2:
        groups += _of_pairs(views, options)  # a majority has no rival
    settled: list[tuple[list[int], Fit]] = []
    most = 2
    for group in _largest(groups):
        found = _settle(views, group, reference, options) if len(group) >= most else None
        if found is not None:
            settled.append(found)
            most = max(most, len(found[0]))
    if not settled:
        return None
    settled = [found for found in settled if len(found[0]) == most]
    best, fit = min(settled, key=lambda found: (_apart(found[1][0], previous), _unlikely(views, *found, options)))
    rivals = [other for group, other in settled if group != best]
    return _answer(views, best, fit, solve, reference, rivals)


def doubted(agreed: Consensus, options: FusionOptions) -> Fit:
    """The pose with the covariance that its views' misfit asks for: half a contradiction is no certainty either."""
    joints, cov = agreed.fit
    used = range(len(agreed.views.cameras))
    misfit = reprojection_misfit(agreed.views, joints, used, options) if agreed.misfit is None else agreed.misfit
    square = float(np.nan_to_num(np.nanmean(misfit**2))) if np.isfinite(misfit).any() else 0.0
    grown = max(1.0, square)
    if len(used) == 2:
        # What two views disagree about shows only across the planes through both: most of it moves the pose instead.
        doubt = _between(off := float(np.sqrt(square)), options.pair_sure, options.pair_doubted)
        lifted = float(np.nan_to_num(np.fmax.reduce(lifted_misfit(agreed.views, joints))))
        more = max(_between(off, *options.pair_wrong), _between(lifted, *options.pair_lifted))
        grown = max(grown, options.pair_grows**doubt)
        grown *= options.two_views * options.pair_grows_more**more
    return joints, cov * grown


def _between(value: float, low: float, high: float) -> float:
    """How far a value is on its way from one number to another, 0..1."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def _unlikely(views: Views, group: list[int], fit: Fit, options: FusionOptions) -> float:
    """How badly a group agrees with its own pose."""
    seen, lifted = reprojection_misfit(views, fit[0], group, options), lifted_misfit(views, fit[0])
    return float(np.nansum(seen[group] ** 2) + np.nansum(lifted[group] ** 2))


def _apart(joints: Array, previous: Array | None) -> float:
    """Median distance of the joints, mm; 0 where nothing came before."""
    return 0.0 if previous is None else float(np.nan_to_num(np.nanmedian(np.linalg.norm(joints - previous, axis=-1))))


def _answer(
    views: Views, used: list[int], fit: Fit, solve: Solve, reference: Solve, rivals: Sequence[Fit] = ()
) -> Consensus | None:
    kept = views if len(used) == len(views.cameras) else views.select(used)
    found = fit if solve is reference else solve(kept)
    return None if found is None else Consensus(found, kept, tuple(rivals))


def _of_pairs(views: Views, options: FusionOptions) -> list[list[int]]:
    """For pairs of views that agree, the views that agree with what the pair triangulates."""
    groups = []
    for pair in facing_pairs(views.cameras):
        two = views.select(pair)
        joints = triangulate_linear(two.cameras, two.xy, two.trust)
        misfit = reprojection_misfit(views, joints, pair, options)
        with np.errstate(invalid="ignore"):
            group = [k for k in range(len(views.cameras)) if misfit[k] < options.contradicts]
        if set(pair) <= set(group):
            groups.append(group)
    return groups


def _largest(groups: list[list[int]]) -> list[list[int]]:
    """The distinct groups of two views or more, the largest first; of those, what no larger one has all of."""
    kept: list[list[int]] = []
    for group in sorted(groups, key=len, reverse=True):
        if len(group) >= 2 and not any(set(group) <= set(other) for other in kept):
            kept.append(group)
    return kept


def _settle(views: Views, group: list[int], reference: Solve, options: FusionOptions) -> tuple[list[int], Fit] | None:
    """Solve for a group, let in who agrees, show out who does not, until nothing changes.

    A view on the edge of contradicting is let in and shown out again: then the group without it is the answer.
    """
    seen: list[list[int]] = []
    agreed: tuple[list[int], Fit] | None = None
    while len(group) >= 2 and group not in seen and len(seen) < _ROUNDS:
        seen.append(group)
        fit = reference(views.select(group))
        if fit is None:
            return agreed
        wrong = contradicted(views, fit[0], group, options)
        if not wrong[group].any():
            agreed = group, fit
            joined = [k for k in range(len(views.cameras)) if not wrong[k]]
            if joined == group:
                return agreed
            group = joined
        else:
            group = [k for k in group if not wrong[k]]
    return agreed
