"""A detector that knows the truth: it answers with the joints that the synthetic figure was drawn from."""

from collections.abc import Callable, Mapping

import numpy as np

from engines.skeleton import COCO, derive
from engines.types import Detection, empty_detection
from stream.config import SourceConfig
from stream.sources.synthetic import SyntheticSource


def figure(text="synthetic:frames=60", name="cam0", **changes) -> SyntheticSource:
    return SyntheticSource(SourceConfig(text, name, **changes))


class KnownDetector:
    """Sessions count their frames, so frame k of a session is frame k of the figure."""

    name = "known"

    def __init__(self, source: SyntheticSource, fault: Callable[[int], None] | None = None, absent=()):
        self.source, self.fault, self.absent = source, fault, frozenset(absent)
        self.reports: list[float] = []

    def session(self) -> "_Session":
        return _Session(self)

    def describe(self) -> Mapping[str, str]:
        return {"model": "none", "sha256": "0" * 64, "runtime": "numpy"}


class _Session:
    def __init__(self, detector: KnownDetector) -> None:
        self.detector = detector
        self.resets = 0

    def __call__(self, image, t) -> Detection:
        index = round(t * self.detector.source.fps)
        if self.detector.fault:
            self.detector.fault(index)
        if index in self.detector.absent:
            return empty_detection("known")
        score = np.where(np.array(COCO.source) >= 0, 0.9, 0.0)
        xy, score, derived = derive(self.detector.source.joints(index), score)
        return Detection(xy.astype(np.float32), score.astype(np.float32), derived, "known")

    def report(self, seconds: float) -> None:
        self.detector.reports.append(seconds)

    def reset(self) -> None:
        self.resets += 1
