"""MoveNet single-pose: Lightning (192 px, fast) and Thunder (256 px, the most accurate that is shipped)."""

from collections.abc import Iterator, Mapping
from typing import Final

from calibration.arrays import Array, Bools, Image
from engines import cards, covariance, movenet_heads, preprocess
from engines.covariance import EllipseCalibration
from engines.detectors._options import DetectorOptions
from engines.movenet_heads import Single, decode
from engines.preprocess import Box
from engines.skeleton import COCO, to_h36m
from engines.top_down import Finder, PersonRule, TopDownCrowd, TopDownSession
from engines.types import Detection

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
        path = cards.WEIGHTS / WEIGHTS[name]
        self._run = options.open_network(path)
        movenet_heads.expect(self._run, path, self._side, Single)
        values = cards.load_card(path).values
        self._calibration, self._rule = EllipseCalibration.of(values), PersonRule.of(values)
        self._top_down, self._beside = options.top_down, options.beside
        self._finder = Finder(options.open_network, options.top_down)

    def session(self) -> TopDownSession:
        """A new session, one a camera."""
        return TopDownSession(self.name, self.see, self._finder, self._top_down, self._rule)

    def crowd(self, most: int, tracks: Iterator[int]) -> TopDownCrowd:
        """A new session, one a camera, that follows up to ``most`` people."""
        return TopDownCrowd(self.name, self.see, self._finder, most, tracks, self._top_down, self._rule, self._beside)

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        return {**self._run.describe(), **self._finder.describe()}

    def estimate(self, image: Image, box: Box) -> tuple[Array, Array, Bools]:
        """The person in a square box of a BGR image: xy (17, 2) px of the full image, score (17,), derived (17,)."""
        found = self.see(image, box)
        return found.xy, found.score, found.derived

    def see(self, image: Image, box: Box) -> Detection:
        """The same, with the covariances."""
        outputs = self._run(image=preprocess.cut(image, box, (self._side, self._side))[None])
        uv, chance, shape = decode(Single(*(outputs[head][0] for head in Single._fields)))
        # They count from the crop's edge, not from pixel centres: mirrored crops agree within 0.2 px so.
        xy = preprocess.to_image(box, uv)
        cov = None
        if self._calibration:
            cov = covariance.to_h36m(COCO, self._calibration.covariance(shape, chance) * box.width**2)
        score = preprocess.doubt_outside(xy, chance, image)
        return Detection(*to_h36m(COCO, xy, score), self.name, cov=cov)
