"""The offsets of many cameras from those of their pairs, by weighted least squares; the first camera's is 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.solving.timing import Offset

# Below it two pairs never disagree: what a rolling shutter and the detector do to a joint's time.
_FLOOR_S = 0.002
_DISAGREE = 4.0
MAX_SIGMA_S = 0.008
"""An answer that is less precise is refused: at a quarter of a frame of 30 fps, it may do more harm than good."""


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """One number a camera, to be added to its times."""

    seconds: Array
    """(N,) the first is 0."""
    sigma: Array
    """(N,) one standard deviation against the first camera, seconds."""
    confidence: Array
    """(N,) that of the weakest pair on the surest way to the first camera."""
    remarks: tuple[str, ...]
    """Pairs and triples that contradict the others."""


def reconcile(names: Sequence[str], pairs: Mapping[tuple[int, int], Offset]) -> Offsets:
    """One offset a camera that agrees best with all pairs that can be trusted.

    Args:
        names: of the N cameras.
        pairs: by (i, j), i < j: what must be *added* to the times of j to give those of i.

    Raises:
        CalibrationError: naming the cameras that no trusted pair links to the first, that contradict each other or
            whose offset is not precise enough, and what to do.
    """
    used = {key: pair for key, pair in pairs.items() if pair.trusted}
    remarks = _triples(names, used)
    while True:
        sure = _surest(len(names), used)
        if lost := [k for k in range(len(names)) if sure[k] <= 0]:
            raise CalibrationError(_refusal(names, lost, pairs))
        seconds, cov, misfit = _solve(len(names), used)
        worst = max(misfit, key=lambda key: misfit[key])
        if misfit[worst] < _DISAGREE:
            break
        rest = {key: pair for key, pair in used.items() if key != worst}
        i, j = worst
        if (_surest(len(names), rest) <= 0).any() or len(rest) < len(names):
            raise CalibrationError(
                f"the offsets of {names[i]} and {names[j]} contradict those of the other cameras; do their recordings "
                "drop frames, or show different people? Give longer ones in which one person moves quickly"
            )
        remarks.append(f"left out {names[i]} - {names[j]}: it contradicts the other cameras")
        used = rest
    sigma = np.sqrt(np.append(0.0, np.diag(cov)))
    if sigma.max() > MAX_SIGMA_S:
        raise CalibrationError(
            f"the offset of {names[int(sigma.argmax())]} is only known to {1e3 * sigma.max():.0f} ms; record longer, "
            "with claps, jumps and quick waving in view of all cameras, or give --calibration FILE of placed cameras"
        )
    return Offsets(seconds, sigma, sure, tuple(remarks))


def _refusal(names: Sequence[str], lost: Sequence[int], pairs: Mapping[tuple[int, int], Offset]) -> str:
    """Why the best pair of the first lost camera is no good, and what helps."""
    k = lost[0]
    mine = [pair for key, pair in pairs.items() if k in key and not pair.trusted]
    best = max(mine, key=lambda pair: (pair.confidence, pair.overlap_s), default=None)
    reason = f" ({best.reason or 'not sure enough'})" if best is not None else ""
    others = ", ".join(names[n] for n in lost)
    return (
        f"no offset for {others}{reason}; record longer, with one person in view of all cameras who claps, jumps "
        "and waves irregularly, or widen --max-offset"
    )


def _variance(pair: Offset) -> float:
    return pair.sigma**2 + _FLOOR_S**2


def _solve(n: int, pairs: Mapping[tuple[int, int], Offset]) -> tuple[Array, Array, dict[tuple[int, int], float]]:
    """Offsets (n,), covariance (n-1, n-1) of all but the first, and each pair's misfit in standard deviations."""
    A = np.zeros((len(pairs), n))
    for row, (i, j) in enumerate(pairs):
        A[row, i], A[row, j] = -1, 1
    weight = 1 / np.array([_variance(pair) for pair in pairs.values()])
    measured = np.array([pair.seconds for pair in pairs.values()])
    design = A[:, 1:]
    cov = np.linalg.inv(design.T @ (design * weight[:, None]))
    seconds = np.append(0.0, cov @ (design.T @ (weight * measured)))
    misfit = np.abs(measured - A @ seconds) * np.sqrt(weight)
    return seconds, cov, dict(zip(pairs, misfit.tolist(), strict=True))


def _surest(n: int, pairs: Mapping[tuple[int, int], Offset]) -> Array:
    """(n,) confidence of the weakest pair on the best way to camera 0; 0 where there is no way."""
    sure = np.zeros(n)
    sure[0] = 1.0
    for _ in range(n):
        for (i, j), pair in pairs.items():
            sure[j] = max(sure[j], min(sure[i], pair.confidence))
            sure[i] = max(sure[i], min(sure[j], pair.confidence))
    return sure


def _triples(names: Sequence[str], pairs: Mapping[tuple[int, int], Offset]) -> list[str]:
    """Triples of cameras whose three offsets do not add up."""
    out = []
    for i, j, k in combinations(range(len(names)), 3):
        if {(i, j), (j, k), (i, k)} <= set(pairs):
            ij, jk, ik = pairs[i, j], pairs[j, k], pairs[i, k]
            gap = ij.seconds + jk.seconds - ik.seconds
            if abs(gap) > _DISAGREE * np.sqrt(_variance(ij) + _variance(jk) + _variance(ik)):
                out.append(f"{names[i]}, {names[j]} and {names[k]} do not agree: {1e3 * gap:+.0f} ms around the triple")
    return out
