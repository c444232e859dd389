"""How unsure a detector's joints are, fitted on photographs that it was not trained on, and written into its card.

Errors have far heavier tails than a Gaussian: a joint on the other leg, or a label on it. So the covariance is that of
the bulk, fitted by a Student-t and scaled so that the ellipse of 1.18 standard deviations holds half of the labels,
and the card says at how many standard deviations an ellipse holds 50, 80 and 95 % of them.

Fitted on every other validation photograph, and measured on those between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from calibration.arrays import Array, Bools
from calibration.errors import UserError
from engines import cards, preprocess, runtimes
from engines.build import card
from engines.build.reading import reading
from engines.covariance import EllipseCalibration, extent
from engines.detectors import mediapipe
from engines.detectors.hourglass import surety
from engines.skeleton import LIMBS
from engines.training.data import lspet
from engines.training.data.lspet import Photographs

SHARES: Final = (50, 80, 95)
"""Per cent of the labels that an ellipse is to hold."""
ALLOWED: Final = ((45, 55), (75, 85), (90, 98))
"""Between which per cent those of SHARES must be on the photographs that were not fitted on."""
_DEGREES = 4.0
_SAME: Final = 0.2
"""Share of the person's size: where the joints are further away in the median, MediaPipe has found somebody else."""


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Limb joints that are labelled as visible, N of them, in sides of the crop."""

    error: Array
    """(N, 2) from the joint that was found to its label."""
    shape: Array
    """(N, 2, 2) of its heatmap."""
    score: Array
    """(N,)."""
    fitted: Bools
    """(N,) whether its photograph is one of those to fit on."""

    def squares(self, calibration: EllipseCalibration) -> Array:
        """(N,) squared distances in standard deviations."""
        inverse = np.linalg.inv(calibration.covariance(self.shape, self.score))
        return np.einsum("ni,nij,nj->n", self.error, inverse, self.error)


def calibrate(weights: Path, photographs: Photographs, most: int = 1000) -> dict[str, float]:
    """Fit and write into the card: ``cov_*``, ``ellipse_*`` and ``held_in_ellipse_*``; its other lines stay.

    Args:
        weights: of a detector with heatmaps, or of MediaPipe.
        photographs: of which those for validation are looked at.
        most: photographs to look at, at most.

    Returns:
        What was written.

    Raises:
        UserError: if a file cannot be read or written, or the ellipses do not hold what they should.
    """
    known = cards.verify(weights)
    rows = [row for row in range(len(photographs)) if lspet.validation(row)][:most]
    errors = (
        _watch_mediapipe(weights, photographs, rows)
        if weights.suffix == ".task"
        else _look_at_crops(known, photographs, rows)
    )
    found = fit(errors)
    fitted, other = (errors.squares(found)[errors.fitted == half] for half in (True, False))
    radii = np.sqrt(np.percentile(fitted, SHARES))
    held = [100 * float((other < radius**2).mean()) for radius in radii]
    for share, percent, (low, high) in zip(SHARES, held, ALLOWED, strict=True):
        if not low <= percent <= high:
            raise UserError(f"the ellipse of {share} % holds {percent:.0f} % of other photographs' labels: not kept")
    values: dict[str, float] = found.values()
    for share, radius, percent in zip(SHARES, radii, held, strict=True):
        values |= {f"ellipse_{share}": round(float(radius), 3), f"held_in_ellipse_{share}": round(percent, 1)}
    card.amend(weights, values)
    return values


def fit(errors: Errors) -> EllipseCalibration:
    """The most likely calibration under a Student-t, then scaled to hold half of the labels as a Gaussian does."""
    flat = not np.ptp(errors.shape, axis=0).any()
    half = errors.fitted
    part = Errors(errors.error[half], errors.shape[half], errors.score[half], half[half])

    def made(parameters: Array) -> EllipseCalibration:
        level, surety, spread, roundness = parameters
        return EllipseCalibration(level, 0.0 if flat else spread, surety, 1.0 if flat else 1 / (1 + np.exp(-roundness)))

    def cost(parameters: Array) -> float:
        calibration = made(parameters)
        volume = np.log(np.linalg.det(calibration.covariance(part.shape, part.score)))
        tails = (_DEGREES + 2) / 2 * np.log1p(part.squares(calibration) / _DEGREES)
        return float((tails + volume / 2).mean()) + 1e-6 * float((parameters**2).sum())

    best = made(minimize(cost, [-5.0, -0.5, 0.3, 0.0], method="Nelder-Mead", options={"maxiter": 2000}).x)
    return replace(best, level=best.level + float(np.log(np.median(part.squares(best)) / (2 * np.log(2)))))


def _look_at_crops(known: cards.Card, photographs: Photographs, rows: Sequence[int]) -> Errors:
    kind, runtime = reading(known), runtimes.load(known.path, runtimes.NetworkOptions("onnx", threads=2))
    source = np.array(kind.joints.source)[list(LIMBS)]
    middle, slope = (float(known.values.get(f"score_{name}", 0)) for name in ("middle", "slope"))
    found: list[tuple[Any, ...]] = []
    for number, row in enumerate(rows):
        box = lspet.box(photographs.joints[row])
        crop = preprocess.cut(photographs.read(row), box, (kind.side, kind.side))
        joints = kind.read(runtime(**kind.feed(crop)))
        score = surety(joints.score, middle, slope) if slope else joints.score
        xy, seen = lspet.to_h36m(photographs.joints[row])
        error = (xy - preprocess.to_image(box, joints.uv[np.array(kind.joints.source)]))[list(LIMBS)] / box.width
        use = seen[list(LIMBS)]
        found.append((error[use], joints.shape[source][use], score[source][use], np.full(use.sum(), number % 2 == 0)))
    return Errors(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _watch_mediapipe(weights: Path, photographs: Photographs, rows: Sequence[int]) -> Errors:
    """In sides of the box around the limbs that were found: it has no heatmap to give, so every shape is one."""
    name = next(name for name, file in mediapipe.WEIGHTS.items() if file == weights.name)
    session = mediapipe.MediaPipe(name).session()
    found: list[tuple[Any, ...]] = []
    limbs = list(LIMBS)
    for number, row in enumerate(rows):
        session.reset()
        seen = session(photographs.read(row), 0.0)
        labels, use = lspet.to_h36m(photographs.joints[row])
        if not seen.person:
            continue
        side = extent(seen.xy, seen.score)
        away = np.median(np.linalg.norm((labels - seen.xy)[limbs][use[limbs]], axis=-1)) / side
        if not away < _SAME:
            continue
        use = use[limbs] & (seen.score[limbs] > 0)
        count = int(use.sum())
        error = ((labels - seen.xy)[limbs] / side)[use]
        found.append((error, np.tile(np.eye(2), (count, 1, 1)), seen.score[limbs][use],
                      np.full(count, number % 2 == 0)))  # fmt: skip
    return Errors(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
