"""One person's moments, with gaps, to refined ones: hindsight, starts, parts, feet, and what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from calibration.arrays import Array, Bools
from engines.fusion.options import FusionOptions
from engines.fusion.single import alone
from engines.fusion.views import Views
from engines.refinement.contacts import as_joints, sliding, standing
from engines.refinement.options import RefineOptions
from engines.refinement.paths import smoothed
from engines.refinement.sequence import Fit, Moment, Solver
from engines.skeleton import DERIVED_FROM, N_JOINTS

MEASURED: Final = 0
"""A camera saw the joint in that moment."""
FILLED: Final = 1
"""It was seen before and after, not longer ago than ``fill_s``."""
EXTRAPOLATED: Final = 2
"""It follows from the other joints, the hypotheses and the body."""
_MOST_NOISE: Final = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """One person, refined."""

    joints: Array
    """(T, 17, 3) mm, world; NaN in moments that are too far from any in which the person is seen."""
    cov: Array
    """(T, 17, 3, 3) mm2, world."""
    relative_cov: Array
    """(T, 17, 3, 3) mm2, of the joints relative to the pelvis."""
    state: NDArray[np.uint8]
    """(T, 17) MEASURED, FILLED or EXTRAPOLATED."""
    weights: tuple[Mapping[str, Array], ...]
    """T times the probability (M,) of the hypotheses of each camera that was lifted, with hindsight."""
    lengths: Array
    """(16,) mm of the bones, in the order of ``EDGES``."""
    noise: float
    """How much larger the 2D joints' errors are than live fusion expects."""
    slid_mm: tuple[float, float]
    """How far standing feet slide from a moment to the next in the mean, before and after; NaN where none stands."""


def refine_person(
    times: Array, views: Sequence[Views | None], starts: Array, up: Array | None = None,
    options: RefineOptions = RefineOptions(),
) -> Refined:  # fmt: skip
    """Refine one person over a whole recording.

    Args:
        times: (T,) seconds, increasing.
        views: one a moment, with the lifters' own mixing coefficients; None where nobody sees the person.
        starts: (T, 17, 3) mm, world, the live answers; NaN where there is none.
        up: (3,) unit vector in the world; None where it is not known: feet may then slide.
        options: every threshold.

    Returns:
        Refined, NaN everywhere where no view was ever lifted.
    """
    # Threads of BLAS wait for each other ten times as long as such small matrices take.
    with threadpool_limits(1, "blas"):
        return _refine(times, views, starts, up, options)


def _refine(
    times: Array, views: Sequence[Views | None], starts: Array, up: Array | None, options: RefineOptions
) -> Refined:
    weighted = _with_hindsight(times, views, options)
    starts = _starts(weighted, starts, options.fusion)
    inside = _inside(times, np.asarray(np.isfinite(starts).all((1, 2))), options.fill_s)
    T = len(times)
    joints, cov = np.full((T, N_JOINTS, 3), np.nan), np.full((T, N_JOINTS, 3, 3), np.nan)
    relative_cov = cov.copy()
    slid: list[tuple[float, float, int]] = []
    runs = [(a, b) for a, b in _runs(inside, times, options.fill_s) if b - a > 1]
    moments = {run: _moments(times, weighted, starts, *run) for run in runs}
    lengths, noise = _body(list(moments.values()), options)
    for (begin, end), run in moments.items():
        fit, stands = _solve(run, up, lengths, noise, options)
        joints[begin:end], cov[begin:end], relative_cov[begin:end] = fit.joints, fit.cov, fit.relative_cov
        if stands is not None and stands.any():
            before = np.stack([moment.start for moment in run])
            slid.append((sliding(before, stands), sliding(fit.joints, stands), int(stands.sum())))
    count = sum(one[2] for one in slid)
    total = [sum(one[i] * one[2] for one in slid) / count if count else float("nan") for i in (0, 1)]
    weights = tuple(
        {} if one is None else {one.names[int(k)]: row for k, row in zip(one.lifted, one.weight, strict=True)}
        for one in weighted
    )
    state = _states(times, views, options.fill_s)
    return Refined(joints, cov, relative_cov, state, weights, lengths, noise, (total[0], total[1]))


def _with_hindsight(times: Array, views: Sequence[Views | None], options: RefineOptions) -> list[Views | None]:
    """The views with the probabilities of their hypotheses given all moments, camera by camera."""
    rows: dict[str, list[tuple[Views, int, int]]] = {}
    for k, one in enumerate(views):
        if one is not None:
            for row, which in enumerate(one.lifted):
                rows.setdefault(one.names[int(which)], []).append((one, k, row))
    weights = [np.empty(0) if one is None else one.weight.copy() for one in views]
    for places in rows.values():
        mean, weight = (np.stack([getattr(one, name)[row] for one, _, row in places]) for name in ("mean", "weight"))
        found = smoothed(times[[k for _, k, _ in places]], mean, weight, options)
        for (_, k, row), chance in zip(places, found, strict=True):
            weights[k][row] = chance
    return [None if one is None else replace(one, weight=w) for one, w in zip(views, weights, strict=True)]


def _starts(views: Sequence[Views | None], starts: Array, options: FusionOptions) -> Array:
    """Starts where there are views: what is given, else the mean of the hypotheses of one of the views."""
    out = starts.copy()
    for k, one in enumerate(views):
        if one is None or not len(one.lifted):
            if one is None:
                out[k] = np.nan
            continue
        if not np.isfinite(out[k]).all():
            found = alone(one.select([int(one.lifted[0])]), options.distance)
            out[k] = np.nan if found is None else found[0]
    return out


def _inside(times: Array, known: Bools, fill_s: float) -> Bools:
    """Moments that are known or lie between two that are known and at most ``fill_s`` apart."""
    inside = known.copy()
    where = np.flatnonzero(known)
    for a, b in zip(where[:-1], where[1:], strict=True):
        if times[b] - times[a] <= fill_s:
            inside[a : b + 1] = True
    return inside


def _runs(inside: Bools, times: Array, fill_s: float) -> list[tuple[int, int]]:
    """Begin and end of the runs of moments that are refined together."""
    breaks = np.flatnonzero(np.diff(times) > fill_s) + 1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    out = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        cuts = [int(begin), *(int(b) for b in breaks if begin < b < end), int(end)]
        out += list(zip(cuts[:-1], cuts[1:], strict=True))
    return out


def _moments(times: Array, views: Sequence[Views | None], starts: Array, begin: int, end: int) -> list[Moment]:
    """A run, with starts everywhere: between those that are known they are interpolated."""
    part, t = starts[begin:end], times[begin:end]
    known = np.isfinite(part).all((1, 2))
    flat = part.reshape(len(part), -1)
    full = np.stack([np.interp(t, t[known], column[known]) for column in flat.T], -1).reshape(part.shape)
    return [Moment(float(t[k]), views[begin + k], full[k]) for k in range(len(part))]


def _body(runs: Sequence[Sequence[Moment]], options: RefineOptions) -> tuple[Array, float]:
    """The bones' lengths of the whole recording, and how large its 2D errors are."""
    if not runs:
        return np.full(16, np.nan), 1.0
    first = Solver(max(runs, key=len)[: options.at_once], options)
    first.descend()
    noise = float(np.clip(first.misfit(), 1.0, _MOST_NOISE))
    found, weights = [], []
    for run in runs:
        solver = Solver(run[: options.at_once], options, noise=noise)
        solver.descend()
        found.append(solver.lengths)
        weights.append(min(len(run), options.at_once))
    return np.average(found, axis=0, weights=weights), noise


def _cut(run: Sequence[Moment], options: RefineOptions) -> list[Sequence[Moment]]:
    """A run in parts that overlap."""
    step = options.at_once - options.overlap
    begins = range(0, max(len(run) - options.overlap, 1), step)
    return [run[begin : begin + options.at_once] for begin in begins]


def _solve(
    run: Sequence[Moment], up: Array | None, lengths: Array, noise: float, options: RefineOptions
) -> tuple[Fit, Bools | None]:
    """Refine a run; parts that overlap meet in the middle of what they share."""
    fits, all_stands = [], []
    for part in _cut(run, options):
        solver, stands = Solver(part, options, lengths, noise=noise), None
        solver.descend()
        if up is not None and len(part) > 2:
            stands = standing(np.array([moment.t for moment in part]), solver.joints, up, options)
            if stands.any():
                again = [replace(moment, start=pose) for moment, pose in zip(part, solver.joints, strict=True)]
                solver = Solver(again, options, lengths, as_joints(stands), noise)
                solver.descend()
        fits.append(solver.fit())
        all_stands.append(stands)
    if len(fits) == 1:
        return fits[0], all_stands[0]
    joints, cov, relative, stands = [], [], [], []
    half = options.overlap // 2
    for number, (fit, one) in enumerate(zip(fits, all_stands, strict=True)):
        begin = half if number else 0
        end = len(fit.joints) - (options.overlap - half) if number + 1 < len(fits) else len(fit.joints)
        joints.append(fit.joints[begin:end])
        cov.append(fit.cov[begin:end])
        relative.append(fit.relative_cov[begin:end])
        if one is not None:
            stands.append(one[begin : min(end, len(one))])
    whole = Fit(np.concatenate(joints), np.concatenate(cov), np.concatenate(relative))
    return whole, np.concatenate(stands) if stands else None


def _states(times: Array, views: Sequence[Views | None], fill_s: float) -> NDArray[np.uint8]:
    """(T, 17): what each joint rests on."""
    seen = np.zeros((len(times), N_JOINTS), bool)
    for k, one in enumerate(views):
        if one is not None:
            seen[k] = one.seen.any(0)
    for joint, sources in DERIVED_FROM.items():
        seen[:, joint] |= seen[:, sources].all(-1)
    out = np.full(seen.shape, EXTRAPOLATED, np.uint8)
    for joint in range(N_JOINTS):
        out[_inside(times, seen[:, joint], fill_s), joint] = FILLED
    out[seen] = MEASURED
    return out
