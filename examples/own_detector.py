"""A detector of your own, for dark rooms: it evens out the light and asks MoveNet. python own_detector.py [SOURCE]"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np

import stream
from engines import detectors


class Session:
    """Looks at one camera."""

    def __init__(self, inner: stream.DetectorSession) -> None:
        self.inner, self.light = inner, cv2.createCLAHE(clipLimit=3.0)

    def __call__(self, image: np.ndarray, t: float) -> stream.Detection:
        lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
        lab[..., 0] = self.light.apply(lab[..., 0])
        return replace(self.inner(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), t), origin=DarkRoom.name)

    def reset(self) -> None:
        self.inner.reset()


class DarkRoom:
    name = "dark-room"

    def __init__(self, name: str, options: stream.DetectorOptions) -> None:
        self.inner = detectors.load("movenet-lightning", options)

    def session(self) -> Session:
        return Session(self.inner.session())

    def describe(self) -> Mapping[str, str]:
        return self.inner.describe()  # a recording says which network it was


stream.register_detector(DarkRoom.name, DarkRoom)
sources = sys.argv[1:2]
with stream.open_stream(*sources, demo=not sources, detector=DarkRoom.name) as live:
    for estimate in islice(live, 30):
        seen = [float(view.detection.score.mean()) for view in estimate.views_of(0)]
        print(f"{estimate.t:5.2f} s: {estimate.frames[0].detector} saw {len(seen)}, mean score {sum(seen):.2f}")
