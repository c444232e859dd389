"""A detector's network in int8 for the CPU, compared with the one that it was made of, and measured.

Time against fp32, one thread (a Xeon with VNNI, in one run; Thunder and Lightning one crop of a batch of one):

| | ONNX Runtime | OpenVINO |
|---|---|---|
| MoveNet Thunder | 0.44 | 0.37 to 0.44 |
| MoveNet Lightning | 0.59 | 0.56 |
| hourglass as shipped, on Thunder's trunk (both in a busy run, Thunder 0.48 and 0.48 there) | 0.48 | 0.46 |
| hourglass, 2 stacks x 128 features at 256 px | 0.45 | 0.3 |
| hourglass, 2 x 64 at 192 px: layers so small take as long to start as to run | 0.75 | 0.6 |

Nothing between two convolutions leaves int8: with the convolutions alone in it nothing is gained in ONNX Runtime.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.errors import UserError
from engines import cards, preprocess, runtimes
from engines.build import card, parity
from engines.build.hourglass import meaning
from engines.build.int8_quantise import quantise
from engines.build.reading import HOURGLASS, HeatmapNetwork, reading
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import crops
from engines.training.detector.train import pck

CALIBRATED_ON = 192
"""Photographs of the training, evenly spread."""
MAX_LOSS = 0.5
"""Points of PCK@0.2 above which a build is refused."""
Crops = NDArray[np.uint8]


def training_crops(photographs: Photographs, side: int, most: int = CALIBRATED_ON) -> Crops:
    """(N, S, S, 3) RGB crops of the true boxes of photographs that are not for validation, evenly spread."""
    rows = [
        row
        for row in range(len(photographs))
        if not lspet.validation(row) and (photographs.joints[row, :, 2] > 0).sum() > 1
    ]
    rows = rows[:: max(len(rows) // most, 1)][:most]
    return np.stack([
        preprocess.cut(photographs.read(row), lspet.box(photographs.joints[row]), (side, side)) for row in rows
    ])  # fmt: skip


def build_int8_detector(
    source: Path, photographs: Photographs, out: Path, calibration: Crops | None = None, most: int = 1000
) -> dict[str, float]:
    """Quantise a detector's ONNX file and check it against that file.

    Args:
        source: the file, its card beside it.
        photographs: people: those not for validation to calibrate on, the others to compare and to measure on.
        out: the file to write, its card beside it: that of the source without ``demo_pck`` and
            ``cost_ms``, with ``of`` (sha256 of the source), ``accepted``, the parity report, and PCK@0.2 of both. The
            old ones stay until the new ones are whole.
        calibration: crops to calibrate on instead.
        most: photographs to look at, at most.

    Returns:
        The parity report and ``pck_loss``, in points.

    Raises:
        UserError: if a file cannot be read, there is nothing to quantise, or the answers change too much.
    """
    known = cards.verify(source)
    kind = reading(known)
    images, labels = crops.validation(photographs, kind.side, most)
    seen = training_crops(photographs, kind.side) if calibration is None else calibration
    with tempfile.TemporaryDirectory() as scratch:
        original, built = Path(scratch) / "original.onnx", Path(scratch) / "built.int8.onnx"
        card.place(source, original)
        quantise(original, [kind.feed(image) for image in seen], built)
        onnx = runtimes.NetworkOptions("onnx")
        want, (xy, height) = (kind.find(runtimes.load(path, onnx), images) for path in (original, built))
        found = parity.pixels(*want, xy, kind.side)
        found.check("int8")
        before, after = (pck(kind.to_mpii(joints), labels) for joints in (want[0], xy))
        if not before - after <= MAX_LOSS:
            raise UserError(
                f"int8 costs {before - after:.2f} points of PCK@0.2; {MAX_LOSS:g} is allowed: it was not kept"
            )
        # Measured by hand, on the float network: the build does not know them of this one.
        kept = {key: value for key, value in known.values.items() if key not in ("demo_pck", "cost_ms")}
        values: dict[str, card.Value] = {
            **kept, **_meaning(kind, xy, height, labels), **found.report(), "of": known.sha256, "accepted": True,
            "precision": "int8", "lspet_pck": round(after, 2), "float_lspet_pck": round(before, 2),
        }  # fmt: skip
        card.write(built, card.int8_of(known), values)
        card.place(built, out)
    return found.report() | {"pck_loss": round(before - after, 2)}


def _meaning(kind: HeatmapNetwork, xy: Array, height: Array, labels: Array) -> dict[str, float]:
    """Of an hourglass, whose peaks are no chances by themselves."""
    return meaning(xy, height, labels) if kind.joints in HOURGLASS else {}
