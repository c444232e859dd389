"""A heatmap network with int8 convolutions, for the CPU: static QDQ, calibrated on real crops.

Time against fp32 in ONNX Runtime, one thread, 2 stacks x 128 features at 256 px:

| | ONNX Runtime | OpenVINO |
|---|---|---|
| convolutions alone, everything between them in float | 1.0 | 0.5 |
| all that can be, as it comes | 0.7 | 0.3 |
| and what is left of the batch norms as convolutions of a channel each; first and last layer in float | 0.45 | 0.3 |

The third is what is built: nothing between two convolutions leaves int8. For 2 x 64 at 192 px it is 0.75 and 0.6:
layers so small take as long to start as to run.
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from calibration.errors import UserError
from engines import cards, preprocess, runtimes
from engines.build import card, parity
from engines.build.export import remove_unused, unpack_half
from engines.build.hourglass import find, meaning
from engines.detectors.hourglass import as_feed
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import crops
from engines.training.detector.train import pck

CALIBRATED_ON = 300
"""Photographs of the training, evenly spread."""
MAX_LOSS = 1.0
"""Points of PCK@0.2 above which a build is refused."""
_QUANTISED = ["Conv", "Add", "Relu", "MaxPool", "Resize"]
"""Not the softmax over the cells: of 256 steps none are left for what is not the peak."""
Crops = NDArray[np.uint8]


def prepare(model: onnx.ModelProto) -> None:
    """Bring a network into the form that quantises well, in place: the same function, but for rounding.

    Batch norms that are left become convolutions of one weight a channel.
    """
    unpack_half(model)
    graph = model.graph
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type != "BatchNormalization":
            continue
        scale, shift = _affine(node, weights)
        names = f"{node.output[0]}_scale", f"{node.output[0]}_shift"
        arrays = scale.reshape(-1, 1, 1, 1), shift
        graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
        channels = helper.make_node(
            "Conv", [node.input[0], *names], list(node.output), node.name, group=len(shift), kernel_shape=[1, 1]
        )
        graph.node[index].CopyFrom(channels)
    remove_unused(graph)


def _affine(node: onnx.NodeProto, weights: dict[str, NDArray]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scale, shift, mean, variance = (weights[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)


def quantise(source: Path, images: Crops, out: Path) -> None:
    """Write an int8 file of a network of convolutions.

    Args:
        source: ONNX file, one input "image" (batch, 3, S, S) RGB 0..1.
        images: (N, S, S, 3) RGB crops that show the range of what it will see.
        out: the file to write.

    Raises:
        UserError: if there is nothing to quantise.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[NDArray[np.uint8]] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            image = next(self._left, None)
            return None if image is None else {"image": as_feed(image)}

    model = onnx.load(source)
    prepare(model)
    layers = [node.name for node in model.graph.node if node.op_type == "Conv"]
    if not layers:
        raise UserError(f"{source} has no convolution to quantise")
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        plain = Path(scratch) / "plain.onnx"
        onnx.save(model, plain)
        quantize_static(
            plain, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=_QUANTISED, nodes_to_exclude=[layers[0], layers[-1]],
        )  # fmt: skip


class _quiet:  # noqa: N801 - reads as a statement
    """ONNX Runtime's tool warns on the root logger that the model was not preprocessed; it is, by ``prepare``."""

    def __enter__(self) -> None:
        # A handler keeps logging from making one of its own, for ever, where the host program has none.
        self._handler = logging.NullHandler()
        logging.root.addHandler(self._handler)
        logging.root.addFilter(self._other)

    def __exit__(self, *_: object) -> None:
        logging.root.removeFilter(self._other)
        logging.root.removeHandler(self._handler)

    @staticmethod
    def _other(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING


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


def side_of(known: cards.Card, source: Path) -> int:
    """Side in pixels of the images that a heatmap detector takes, as its card says.

    Raises:
        UserError: if the card is that of another network.
    """
    side = known.values.get("size")
    if not isinstance(side, int) or known.values.get("input_name") != "image":
        raise UserError(f"{source} is not a heatmap detector: its card has no size and input_name 'image' in [values]")
    return side


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
    side = side_of(known, source)
    images, labels = crops.validation(photographs, side, most)
    with tempfile.TemporaryDirectory() as scratch:
        original, built = Path(scratch) / "original.onnx", Path(scratch) / "built.int8.onnx"
        card.place(source, original)
        quantise(original, training_crops(photographs, side) if calibration is None else calibration, built)
        want, (xy, height) = (
            find(runtimes.load(path, runtimes.NetworkOptions("onnx")), images) for path in (original, built)
        )
        found = parity.pixels(*want, xy, side)
        found.check("int8")
        before, after = pck(want[0], labels), pck(xy, labels)
        if not before - after <= MAX_LOSS:
            raise UserError(
                f"int8 costs {before - after:.2f} points of PCK@0.2; {MAX_LOSS:g} is allowed: it was not kept"
            )
        text = card.Text(
            f"int8 for the CPU of {source.name}: python -m engines.build --int8 {source.name}; {known.source}",
            known.licence, known.joints, known.input,
        )  # fmt: skip
        # Measured by hand, on the float network: the build does not know them of this one.
        kept = {key: value for key, value in known.values.items() if key not in ("demo_pck", "cost_ms")}
        values: dict[str, card.Value] = {
            **kept, **meaning(xy, height, labels), **found.report(), "of": known.sha256, "accepted": True,
            "precision": "int8", "lspet_pck": round(after, 2), "float_lspet_pck": round(before, 2),
        }  # fmt: skip
        card.write(built, text, values)
        card.place(built, out)
    return found.report() | {"pck_loss": round(before - after, 2)}
