"""How well 2D joints agree with labels: PCK, a PCKh of its own kind, and exchanged left and right."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines.skeleton import HEAD, JOINTS, L_HIP, LEFT, LIMBS, MIRROR, R_SHOULDER
from engines.training.data import lspet

TORSO_SHARE: Final = 0.2
"""A joint is right within this share of the torso, right shoulder to left hip.

PCK is Yang and Ramanan's (2013); the torso as its measure is Sapp and Taylor's (MODEC, 2013)."""
HEAD_SHARE: Final = 0.5
"""And, for ``pckh_0.5``, within this share of the line from neck to head top.

MPII's PCKh (Andriluka et al. 2014) measures by a labelled box around the head, so the two are not comparable."""
PAIRS: Final = tuple((int(MIRROR[j]), j) for j in LEFT)
"""The six (right, left) pairs of limb joints."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """People as a human labelled them."""

    xy: Array
    """(N, 17, 2) px in the full image; 0 where not labelled."""
    seen: Bools
    """(N, 17) whether the joint is labelled as visible."""
    torso: Array
    """(N,) px from right shoulder to left hip; NaN where one of them is not labelled."""
    head: Array
    """(N,) px from neck to head top; NaN likewise."""
    whole: Bools
    """(N,) whether all fourteen joints are visible."""


def labels(joints: Array) -> Labels:
    """Labels (N, 14, 3) of a Leeds Sports Pose file: x, y, visible."""
    xy, seen = lspet.to_h36m(joints)
    torso = np.linalg.norm(xy[:, R_SHOULDER] - xy[:, L_HIP], axis=-1)
    ends = joints[:, [lspet.NECK, lspet.HEAD_TOP]]
    head = np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=-1)
    return Labels(
        xy, seen,
        np.where(seen[:, R_SHOULDER] & seen[:, L_HIP], torso, np.nan),
        np.where((ends[..., 2] > 0).all(-1), head, np.nan),
        np.asarray((joints[..., 2] > 0).all(-1)),
    )  # fmt: skip


def right(truth: Labels, found: Array, reach: Array) -> Bools:
    """(N, 17) whether a joint is nearer to its label than ``reach`` (N,) px; found (N, 17, 2) is NaN where missed."""
    with np.errstate(invalid="ignore"):
        return np.linalg.norm(found - truth.xy, axis=-1) < reach[:, None]


def swaps(truth: Labels, found: Array) -> tuple[int, int]:
    """Pairs with left and right exchanged, and the pairs whose two labels are visible (of people with a torso).

    Exchanged: with left and right exchanged both joints of the pair are right, and as they are they are not. Pairs so
    close together that they are right either way do not count.
    """
    reach = TORSO_SHARE * truth.torso
    plain, crossed = right(truth, found, reach), right(truth, found[:, MIRROR], reach)
    r, l = np.array(PAIRS).T  # noqa: E741
    visible = truth.seen[:, r] & truth.seen[:, l] & np.isfinite(truth.torso)[:, None]
    exchanged = crossed[:, r] & crossed[:, l] & ~(plain[:, r] & plain[:, l])
    return int((exchanged & visible).sum()), int(visible.sum())


def by_person(truth: Labels, found: Array) -> Array:
    """(P,) per cent of the limb joints that are right, PCK@0.2, of each fully visible person."""
    whole = truth.whole & np.isfinite(truth.torso)
    return 100 * right(truth, found, TORSO_SHARE * truth.torso)[whole][:, list(LIMBS)].mean(-1)


def difference(truth: Labels, found: Array, other: Array) -> dict[str, float] | None:
    """How much better ``found`` is than ``other`` on the same people: points of ``pck_0.2``, and its standard error.

    None for fewer than two people. Where both fail on the same people this error is the smaller one: it, not the two of
    ``score``, tells which of two detectors is the better.
    """
    points = by_person(truth, found) - by_person(truth, other)
    if len(points) < 2:
        return None
    return {"pck_0.2": float(points.mean()), "se": _standard_error(points)}


def paired(truth: Labels, found: Array, other: Array, draws: int = 2000) -> dict[str, dict[str, float]]:
    """How much better ``found`` is than ``other`` at the visible limb joints of everybody with a labelled torso.

    Args:
        truth: the labels.
        found: (N, 17, 2) px in the full image, NaN where missed.
        other: the same of another detector.
        draws: of people, with replacement, for the intervals (bootstrap, Efron 1979; seeded).

    Returns:
        "pooled" and each kind of joint, left and right together, such as "ankle": ``points`` of PCK@0.2, and ``low``
        and ``high``, the ends of its 95 % interval over people. A kind that nobody shows is left out.
    """
    reach = TORSO_SHARE * truth.torso
    gain = right(truth, found, reach).astype(float) - right(truth, other, reach)
    seen = truth.seen & np.isfinite(truth.torso)[:, None]
    parts: dict[str, list[int]] = {"pooled": list(LIMBS)}
    for joint in LIMBS:
        parts.setdefault(JOINTS[joint].split("_")[-1], []).append(joint)
    drawn = np.random.default_rng(0).integers(len(gain), size=(draws, len(gain)))
    result = {}
    for part, joints in parts.items():
        won, shown = (gain * seen)[:, joints].sum(1), seen[:, joints].sum(1)
        if not shown.any():
            continue
        with np.errstate(invalid="ignore"):
            spread = 100 * won[drawn].sum(1) / shown[drawn].sum(1)
        low, high = np.nanpercentile(spread, (2.5, 97.5))
        result[part] = {"points": float(100 * won.sum() / shown.sum()), "low": float(low), "high": float(high)}
    return result


def score(truth: Labels, found: Array) -> dict:
    """All figures of one detector, per cent; None where nobody fits.

    Args:
        truth: the labels.
        found: (N, 17, 2) px in the full image, NaN where the detector misses a joint: that joint is wrong.

    Returns:
        ``pck_0.2``: limb joints of fully visible people; ``pck_0.2_se``: its standard error over people;
        ``pck_0.2_all``: visible limb joints of everybody with a labelled torso; ``pckh_0.5``: limb joints of fully
        visible people; ``swap_rate``: see ``swaps``; ``by_joint``: of fully visible people ``pck_0.2`` and ``pckh_0.5``
        of every limb joint, and of the head where the detector has one; ``people`` and ``people_whole``, how many.
    """
    limbs = list(LIMBS)
    by_torso, by_head = (
        right(truth, found, share * size) for share, size in ((TORSO_SHARE, truth.torso), (HEAD_SHARE, truth.head))
    )
    known = np.isfinite(truth.torso)
    whole = truth.whole & known
    people = by_person(truth, found)
    exchanged, pairs = swaps(truth, found)
    shown = [*limbs, HEAD] if np.isfinite(found[:, HEAD]).any() else limbs
    return {
        "pck_0.2": _percent(by_torso[whole][:, limbs]),
        "pck_0.2_se": _standard_error(people) if len(people) > 1 else None,
        "pck_0.2_all": _percent(by_torso[:, limbs][truth.seen[:, limbs] & known[:, None]]),
        "pckh_0.5": _percent(by_head[whole][:, limbs]),
        "swap_rate": 100 * exchanged / pairs if pairs else None,
        "by_joint": {
            JOINTS[j]: {"pck_0.2": _percent(by_torso[whole, j]), "pckh_0.5": _percent(by_head[whole, j])} for j in shown
        },
        "people": int(known.sum()),
        "people_whole": int(whole.sum()),
    }


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _percent(hits: Bools) -> float | None:
    return float(100 * hits.mean()) if hits.size else None
