"""MoveNet single-pose: Lightning (192 px, fast) and Thunder (256 px, the most accurate that is shipped)."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools, Image
from engines import cards, preprocess
from engines.detectors._options import DetectorOptions
from engines.preprocess import Box
from engines.skeleton import COCO, to_h36m
from engines.top_down import Finder, TopDownSession

WEIGHTS: Final = {"movenet-lightning": "movenet_lightning.onnx", "movenet-thunder": "movenet_thunder.onnx"}
_SIDES: Final = {"movenet-lightning": 192, "movenet-thunder": 256}


def load(name: str, options: DetectorOptions) -> "MoveNet":
    """Load one of the names of WEIGHTS."""
    return MoveNet(name, options)


class MoveNet:
    """A MoveNet single-pose model.

    Raises:
        EngineError: if its weights, or MultiPose's that finds the person for it, cannot be loaded.
    """

    def __init__(self, name: str, options: DetectorOptions) -> None:
        self.name = name
        self._side = _SIDES[name]
        self._run = options.open_network(cards.WEIGHTS / WEIGHTS[name])
        self._top_down = options.top_down
        self._finder = Finder(options.open_network, options.top_down)

    def session(self) -> TopDownSession:
        """A new session, one a camera."""
        return TopDownSession(self.name, self.estimate, self._finder, self._top_down)

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        return {**self._run.describe(), **self._finder.describe()}

    def estimate(self, image: Image, box: Box) -> tuple[Array, Array, Bools]:
        """The person in a square box of a BGR image: xy (17, 2) px of the full image, score (17,), derived (17,)."""
        feed = preprocess.cut(image, box, (self._side, self._side))[None].astype(np.int32)
        joints = self._run(**{"input:0": feed})["Identity:0"][0, 0]
        # Normalised y, x count from the crop's edge, not from pixel centres: mirrored crops agree within 0.2 px so.
        xy = preprocess.to_image(box, joints[:, 1::-1])
        score = preprocess.doubt_outside(xy, np.clip(joints[:, 2], 0, 1), image)
        return to_h36m(COCO, xy, score)
