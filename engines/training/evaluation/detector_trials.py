"""Running detectors on labelled photographs: in the true box of the person, and on the whole image."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol, runtime_checkable

import numpy as np

from calibration.arrays import Array, Bools, Image
from engines import preprocess
from engines.preprocess import Box
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.evaluation import detector_metrics
from engines.types import Detection, Detector

Pose = tuple[Array, float]
"""(17, 2) px in the full image, NaN where missed; and the seconds it took."""

FRAME_S: Final = 1 / 30
"""Between two looks at the same crop, for detectors that only know videos."""


@runtime_checkable
class TopDown(Detector, Protocol):
    """A detector that can be given a box."""

    def estimate(self, image: Image, box: Box) -> tuple[Array, Array, Bools]:
        """The person in a square box: xy (17, 2) px of the full image, score (17,), derived (17,)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What one detector found on N photographs."""

    in_box: Array
    """(N, 17, 2) px of the full image with the true box, NaN where missed."""
    in_image: Array
    """(N, 17, 2) the same of the first look of a new session at the whole image."""
    box_s: Array
    """(N,) seconds for a person whose box is known."""
    image_s: Array
    """(N,) seconds for finding the person and their joints."""


def run(detectors: Mapping[str, Detector], photographs: Photographs, rows: Iterable[int]) -> dict[str, Trial]:
    """Every detector on every photograph, all of them on one before the next, so that a busy machine is shared fairly.

    Args:
        detectors: by the name they are reported under.
        photographs: what to look at.
        rows: of ``photographs.joints``.

    Raises:
        EngineError: for a photograph that is missing or damaged, or a person without a box.
    """
    trials = {name: (_in_box(detector), _in_image(detector)) for name, detector in detectors.items()}
    found: dict[str, list[tuple[Pose, Pose]]] = {name: [] for name in detectors}
    for row in rows:
        image, box = photographs.read(row), lspet.box(photographs.joints[row])
        for name, (in_box, in_image) in trials.items():
            found[name].append((in_box(image, box), in_image(image)))
    return {
        name: Trial(*(np.array([looks[k][part] for looks in one]) for part in (0, 1) for k in (0, 1)))
        for name, one in found.items()
    }


def summary(trial: Trial, truth: detector_metrics.Labels) -> dict:
    """``detector_metrics.score`` with true boxes, the same under ``full_image``, and median milliseconds of each.

    ``found``: per cent of the images in which the detector sees somebody at all.
    """
    full = detector_metrics.score(truth, trial.in_image)
    full["found"] = float(100 * np.isfinite(trial.in_image).any((1, 2)).mean())
    full["ms"] = 1e3 * median(trial.image_s.tolist())
    return detector_metrics.score(truth, trial.in_box) | {
        "full_image": full,
        "ms": 1e3 * median(trial.box_s.tolist()),
        "images": len(trial.in_box),
    }


def _in_box(detector: Detector) -> Callable[[Image, Box], Pose]:
    if isinstance(detector, TopDown):
        return _given_the_box(detector)
    return _shown_the_box(detector)


def _given_the_box(detector: TopDown) -> Callable[[Image, Box], Pose]:
    def look(image: Image, box: Box) -> Pose:
        begin = time.perf_counter()
        xy, score, _ = detector.estimate(image, box)
        return _only_seen(xy, score), time.perf_counter() - begin

    return look


def _shown_the_box(detector: Detector) -> Callable[[Image, Box], Pose]:
    """For a detector that finds the person itself: it is shown nothing but the box, black where that leaves the image.

    The answer is that of its first look. The time is that of a second one, when it follows the person it has found:
    what a frame costs it, as a top-down network in a known box.
    """
    session = detector.session()

    def look(image: Image, box: Box) -> Pose:
        crop = np.ascontiguousarray(preprocess.cut(image, box, (box.width, box.height))[..., ::-1])
        session.reset()
        found = session(crop, 0.0)
        begin = time.perf_counter()
        session(crop, FRAME_S)
        seconds = time.perf_counter() - begin
        return _only_seen(found.xy + np.array([box.left, box.top]), found.score), seconds

    return look


def _in_image(detector: Detector) -> Callable[[Image], Pose]:
    session = detector.session()

    def look(image: Image) -> Pose:
        session.reset()
        begin = time.perf_counter()
        found: Detection = session(image, 0.0)
        return _only_seen(found.xy, found.score), time.perf_counter() - begin

    return look


def _only_seen(xy: Array, score: Array) -> Array:
    return np.where(score[:, None] > 0, xy, np.nan).astype(np.float64)
