"""How the builds feed a detector's network a crop and read its joints: the hourglass' and MoveNet's way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image
from engines.cards import Card
from engines.covariance import shapes
from engines.detectors import hourglass
from engines.movenet_heads import Joints, Single, decode
from engines.skeleton import COCO, LIMBS, MPII, MPII_FACE_FEET, JointMap
from engines.types import EngineError, Runtime

Outputs = Mapping[str, NDArray]
HOURGLASS: Final = (MPII, MPII_FACE_FEET)
"""Joint sets of hourglasses; MPII's sixteen come first in both."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatmapNetwork:
    """One kind of network."""

    side: int
    """Of the input, pixels."""
    joints: JointMap
    """Its joint set, of K joints."""
    feed: Callable[[Image], dict[str, NDArray]]
    """A crop (S, S, 3) RGB to the inputs."""
    read: Callable[[Outputs], Joints]
    """The outputs to the K joints; the score of each is the height of its peak."""

    def find(self, runtime: Runtime, images: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Joints (N, K, 2) in pixels from the edge and heights of their peaks (N, K), of crops (N, S, S, 3) RGB."""
        found = [self.read(runtime(**self.feed(image))) for image in images]
        return np.array([one.uv for one in found]) * images.shape[1], np.array([one.score for one in found])

    def to_mpii(self, xy: Array) -> Array:
        """Joints (N, K, 2) in MPII's order (N, 16, 2); NaN for those that are none of a limb."""
        if self.joints in HOURGLASS:
            return xy[:, :16]
        limbs, out = list(LIMBS), np.full((len(xy), 16, 2), np.nan)
        out[:, np.array(MPII.source)[limbs]] = xy[:, np.array(self.joints.source)[limbs]]
        return out


def reading(card: Card) -> HeatmapNetwork:
    """How a network with this card is read.

    Raises:
        EngineError: if it is none that finds one person's joints on heatmaps.
    """
    side = card.values.get("size")
    if isinstance(side, int) and card.values.get("input_name") == "image":
        if known := next((joints for joints in HOURGLASS if joints.name == card.joints), None):
            return HeatmapNetwork(side, known, lambda image: {"image": hourglass.as_feed(image)}, _read_hourglass)
        if card.joints == COCO.name:
            return HeatmapNetwork(side, COCO, lambda image: {"image": image[None]}, _read_movenet)
    raise EngineError(f"{card.path} is not a heatmap detector: its card has no size and input_name 'image' in [values]")


def _read_hourglass(outputs: Outputs) -> Joints:
    *_, maps = outputs.values()
    uv, height = hourglass.decode(maps[0])
    return Joints(uv, height, shapes(maps[0], uv))


def _read_movenet(outputs: Outputs) -> Joints:
    return decode(Single(*(outputs[head][0] for head in Single._fields)))
