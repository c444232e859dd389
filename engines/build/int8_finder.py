"""The network that finds people (MoveNet MultiPose) in int8 for the CPU, compared with the one that it was made of.

What counts is whether it finds who is there, and nobody else: photographs of Leeds Sports Pose shown whole, as a search
shows them.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.errors import UserError
from engines import cards, movenet_heads, preprocess, runtimes
from engines.build import card
from engines.build.int8_quantise import quantise
from engines.movenet_heads import Crowd
from engines.skeleton import COCO
from engines.top_down.followed import overlap
from engines.top_down.options import TopDownOptions
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.types import Runtime

CALIBRATED_ON: Final = 128
MAX_LOSS: Final = 0.5
"""Points of people found above which a build is refused."""
MAX_MORE: Final = 1.0
"""Per cent of the photographs in which more may be found beside."""
MIN_OVERLAP: Final = 0.9
"""Least mean intersection over union of the boxes that both find."""
_SIDES: Final = TopDownOptions().search_sides
_HIT: Final = 0.3


@dataclass(frozen=True, slots=True)
class Finding:
    """What two networks find on the same photographs."""

    float_found: float
    int8_found: float
    """Per cent of the labelled people whose box one of those found overlaps."""
    float_beside: float
    int8_beside: float
    """Others found, per 100 photographs: bystanders, and what is none."""
    overlap: float
    """Mean intersection over union of the boxes that both find."""

    def check(self) -> None:
        """Refuse what finds less, or more than there is.

        Raises:
            UserError: beyond one of the limits above.
        """
        if self.float_found - self.int8_found > MAX_LOSS or self.int8_beside - self.float_beside > MAX_MORE:
            raise UserError(
                f"the int8 build finds {self.int8_found:.1f} % of the people and {self.int8_beside:.1f} others per "
                f"100 photographs, the float one {self.float_found:.1f} and {self.float_beside:.1f}: it was not kept"
            )
        if not self.overlap >= MIN_OVERLAP:
            raise UserError(f"the boxes of the int8 build overlap by {self.overlap:.2f}: it was not kept")

    def report(self) -> dict[str, float]:
        """As the card names them."""
        return {
            "found": round(self.int8_found, 2), "float_found": round(self.float_found, 2),
            "beside": round(self.int8_beside, 2), "float_beside": round(self.float_beside, 2),
            "parity_overlap": round(self.overlap, 4),
        }  # fmt: skip


def finds_several(known: cards.Card) -> bool:
    """Whether a card is that of a network that finds several people: COCO's joints, and no size of its own."""
    return known.joints == COCO.name and "size" not in known.values


def build_int8_finder(source: Path, photographs: Photographs, out: Path, most: int = 1000) -> dict[str, float]:
    """Quantise the network and check it.

    Args:
        source: the file, its card beside it.
        photographs: those not for validation to calibrate on, the others to compare on.
        out: the file to write, its card beside it.
        most: photographs to compare on, at most.

    Returns:
        The report.

    Raises:
        UserError: if a file cannot be read, there is nothing to quantise, or it finds too little or too much.
    """
    known = cards.verify(source)
    people = [k for k in range(len(photographs)) if (photographs.joints[k, :, 2] > 0).sum() > 1]
    shown = [k for k in people if not lspet.validation(k)]
    shown = shown[:: max(len(shown) // CALIBRATED_ON, 1)][:CALIBRATED_ON]
    compared = [k for k in people if lspet.validation(k)][:most]
    with tempfile.TemporaryDirectory() as scratch:
        original, built = Path(scratch) / "original.onnx", Path(scratch) / "built.int8.onnx"
        card.place(source, original)
        feeds = [{"image": _picture(photographs, k, _SIDES[n % len(_SIDES)])} for n, k in enumerate(shown)]
        quantise(original, feeds, built)
        onnx = runtimes.NetworkOptions("onnx", threads=2)
        found = compare(runtimes.load(original, onnx), runtimes.load(built, onnx), photographs, compared)
        found.check()
        values: dict[str, card.Value] = {
            **known.values, **found.report(), "of": known.sha256, "accepted": True, "precision": "int8",
        }  # fmt: skip
        card.write(built, card.int8_of(known), values)
        card.place(built, out)
    return found.report()


def compare(original: Runtime, built: Runtime, photographs: Photographs, rows: list[int]) -> Finding:
    """Both networks on the same photographs, at the sizes of a search in turn."""
    hits, beside, shared = np.zeros(2), np.zeros(2), []
    for n, row in enumerate(rows):
        side = _SIDES[n % len(_SIDES)]
        image = photographs.read(row)
        box, size = preprocess.letterbox(image.shape[1], image.shape[0], side, 32)
        picture = preprocess.cut(image, box, size)[None]
        label = photographs.joints[row]
        xy = label[label[:, 2] > 0, :2]
        truth = np.stack([xy.min(0), xy.max(0)])
        both = [_boxes(network, picture) for network in (original, built)]
        for k, found in enumerate(both):
            near = [overlap(preprocess.to_image(box, one), truth) > _HIT for one in found]
            hits[k] += any(near)
            beside[k] += len(near) - any(near)
        shared += [best for one in both[0] if (best := max((overlap(one, b) for b in both[1]), default=0.0)) > _HIT]
    share = 100 / max(len(rows), 1)
    return Finding(
        float(share * hits[0]), float(share * hits[1]), float(share * beside[0]), float(share * beside[1]),
        float(np.mean(shared)) if shared else 0.0,
    )  # fmt: skip


def _boxes(network: Runtime, picture: NDArray[np.uint8]) -> list[Array]:
    outputs = network(image=picture)
    heads = Crowd(*(outputs[head][0] for head in Crowd._fields))
    return list(movenet_heads.people(heads, TopDownOptions().found)[0])


def _picture(photographs: Photographs, row: int, side: int) -> NDArray[np.uint8]:
    """(1, h, w, 3) RGB, the whole photograph."""
    image = photographs.read(row)
    return preprocess.cut(image, *preprocess.letterbox(image.shape[1], image.shape[0], side, 32))[None]
