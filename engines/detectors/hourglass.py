"""The stacked hourglass (Newell et al. 2016): heatmaps of a crop, decoded here."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools, Image
from engines import cards, covariance, preprocess, runtimes
from engines.covariance import EllipseCalibration
from engines.detectors._options import DetectorOptions
from engines.preprocess import Box
from engines.runtimes import Open
from engines.skeleton import FACE_AND_FEET, LSP, MPII, MPII_FACE_FEET, to_h36m
from engines.top_down import Finder, PersonRule, TopDownCrowd, TopDownOptions, TopDownSession
from engines.types import Detection, EngineError, ExtraJoints

WEIGHTS: Final = {"hourglass": "hourglass.onnx"}
_JOINTS: Final = {m.name: m for m in (MPII, MPII_FACE_FEET, LSP)}
_MPII: Final = [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
MIRRORS: Final = {
    MPII.name: _MPII,
    MPII_FACE_FEET.name: [*_MPII, 16, 18, 17, 20, 19, 22, 21, 24, 23],
    LSP.name: [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13],
}
"""The heatmap that each becomes in the mirror image."""
NEAR: Final = 2.0
"""Cells: standard deviation of what counts as near, see ``decode``; 1.5 to 3 are as good."""
_FLAT: Final = 0.03
"""Height of a peak below which 1 of 3,100 joints of photographs lies; a map of one value has 0.003."""
_FURTHER: Final = {MPII_FACE_FEET.name: FACE_AND_FEET}
"""Joints beyond the 17 that a set ends with."""


def load(name: str, options: DetectorOptions) -> "Hourglass":
    """Load the hourglass of engines/weights."""
    path = cards.WEIGHTS / WEIGHTS[name]
    return Hourglass(path, options.open_network, options.top_down, beside=options.beside)


class Hourglass:
    """A heatmap network: one float input (1, 3, S, S) RGB 0..1, last output (1, K, S / 4, S / 4), 0..1 at a joint.

    Its card says the joint set, and in ``[values]`` the side ``size`` of its input and what a peak's height means:
    ``score_middle``, the height at which half of the joints are right, and ``score_slope``. With ``flip`` the mirror
    image is asked too.

    Raises:
        EngineError: if the weights, their card, or MultiPose's weights cannot be used.
    """

    def __init__(
        self,
        path: Path,
        open_network: Open = runtimes.load,
        top_down: TopDownOptions = TopDownOptions(),
        *,
        flip: bool = False,
        beside: Executor | None = None,
    ) -> None:
        self.name = "hourglass"
        card = cards.load_card(path)
        if card.joints not in _JOINTS or not isinstance(card.values.get("size"), int):
            raise EngineError(f"model card of {path.name}: joints must be one of {', '.join(_JOINTS)}, size a number")
        self._joints, self._side = _JOINTS[card.joints], int(cards.number(card, "size", 32, 2048))
        self._middle, self._slope = (float(card.values.get(f"score_{k}", 0)) for k in ("middle", "slope"))
        self._calibration = EllipseCalibration.of(card.values)
        self._rule = PersonRule.of(card.values)
        self._run = open_network(path)
        self._input = str(card.values.get("input_name", "image"))
        cells = self._side // 4
        runtimes.expect(
            self._run,
            f"{path} is not the hourglass that its card describes",
            {self._input: np.zeros((1, 3, self._side, self._side), np.float32)},
            {-1: (1, len(MIRRORS[card.joints]), cells, cells)},
        )
        better = card.values.get("turn_better")
        self._top_down = replace(top_down, turn_better=float(better)) if isinstance(better, int | float) else top_down
        self._finder, self._flip, self._beside = Finder(open_network, top_down), flip, beside

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
        """The same, with the covariances, and with the face and the feet where the joint set has them.

        What a peak's height means, and how a heatmap's shape becomes a covariance, was measured on limb joints. The
        face and the feet are taken to be alike; nobody has measured that.
        """
        crop = preprocess.cut(image, box, (self._side, self._side))
        heatmaps = self._heatmaps(crop)
        if self._flip:
            heatmaps = (heatmaps + self._heatmaps(crop[:, ::-1])[MIRRORS[self._joints.name], :, ::-1]) / 2
        uv, height = decode(heatmaps)
        chance = surety(height, self._middle, self._slope) if self._slope else height
        xy, cov = preprocess.to_image(box, uv), None
        if self._calibration:
            # Only the shape counts: softmax times 2 pi SIGMA^2 has that of the distribution itself.
            cov = self._calibration.covariance(covariance.shapes(heatmaps, uv), chance) * box.width**2
        score = preprocess.doubt_outside(xy, chance, image)
        return Detection(
            *to_h36m(self._joints, xy, score),
            self.name,
            cov=None if cov is None else covariance.to_h36m(self._joints, cov),
            extra=_further(self._joints.name, xy, score, cov),
        )

    def _heatmaps(self, crop: Image) -> Array:
        *_, heatmaps = self._run(**{self._input: as_feed(crop)}).values()
        return heatmaps[0]


def _further(joints: str, xy: Array, score: Array, cov: Array | None) -> ExtraJoints | None:
    """Those of the K joints (K, ...) that the 17 lack; one whose heatmap is not finite is not seen."""
    names = _FURTHER.get(joints, ())
    if not names:
        return None
    xy, score = xy[-len(names) :], score[-len(names) :]
    seen = np.isfinite(xy).all(-1) & np.isfinite(score) & (score > 0)
    known = np.full((len(names), 2, 2), np.nan) if cov is None else cov[-len(names) :]
    return ExtraJoints(
        names,
        np.where(seen[:, None], xy, 0).astype(np.float32),
        np.where(seen, score, 0).astype(np.float32),
        np.where(seen[:, None, None], known, np.nan).astype(np.float32),
    )


def as_feed(image: Image) -> NDArray[np.float32]:
    """A crop (S, S, 3) RGB as the network's input (1, 3, S, S), 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def surety(height: Array, middle: float, slope: float) -> Array:
    """The share of joints with peaks of this height that are right: a logistic curve, fitted on held-out people.

    Of a map flatter than those of people it says nothing; there it falls to 0.
    """
    return np.clip(height / _FLAT, 0, 1) / (1 + np.exp(-slope * (height - middle)))


def decode(heatmaps: Array) -> tuple[Array, Array]:
    """Where joints most probably are within a cell or two, of heatmaps (K, h, w); between cells by a Gaussian.

    A heatmap is a distribution, and a joint that is nearly right is right: so the cell is sought around which most of
    it lies (a Gaussian of ``NEAR`` cells), not the highest, which may stand alone. Newell et al. move a peak by a
    quarter of a cell towards the higher neighbour; the parabola through the logarithms of three cells is exact for a
    Gaussian, and smoothing leaves it one (Zhang et al. 2020, "Distribution-Aware Coordinate Representation", an axis at
    a time).

    Returns:
        uv (K, 2) in 0..1 across the crop (0 = its edge), and score (K,), the highest cell's height in 0..1; a map that
        is not finite gives NaN.
    """
    K, h, w = heatmaps.shape
    flat = heatmaps.reshape(K, -1)
    blurred = (cv2.GaussianBlur(one, (0, 0), NEAR, borderType=cv2.BORDER_CONSTANT) for one in heatmaps)
    smooth: Array = np.stack([np.asarray(one) for one in blurred])
    row, column = np.divmod(smooth.reshape(K, -1).argmax(1), w)
    padded = np.pad(smooth, ((0, 0), (1, 1), (1, 1)), mode="edge")
    k, r, c = np.arange(K), row + 1, column + 1
    right = _top(padded[k, r, c - 1], padded[k, r, c], padded[k, r, c + 1])
    down = _top(padded[k, r - 1, c], padded[k, r, c], padded[k, r + 1, c])
    uv = np.stack([(column + 0.5 + right) / w, (row + 0.5 + down) / h], -1)
    return uv, np.where(np.isfinite(flat).all(1), np.clip(flat.max(1), 0, 1), np.nan)


def _top(before: Array, at: Array, after: Array) -> Array:
    """Where in -0.5 to 0.5 the parabola through three logarithms has its top; (K,) heights, ``at`` the highest."""
    low, middle, high = (np.log(np.maximum(np.nan_to_num(x), 1e-6)) for x in (before, at, after))
    bend = 2 * middle - low - high
    return np.where(bend > 1e-6, np.clip(0.5 * (high - low) / np.maximum(bend, 1e-6), -0.5, 0.5), 0.0)
