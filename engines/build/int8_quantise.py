"""Static int8 (QDQ) of a network of convolutions, with channels of like range and its biases corrected.

Points of PCK@0.2 that MoveNet Thunder and Lightning lose on the 416 fully visible validation photographs, and how far
and how often joints move that they are sure of (pixels of the input; per cent):

| | Thunder | Lightning |
|---|---|---|
| largest range seen, as ONNX Runtime's tool does | 0.68; 1.96 px; 1.89 % | 0.94; 2.04 px; 4.07 % |
| channels equalised | 0.08; 1.37 px; 1.29 % | 0.38; 1.75 px; 2.92 % |
| range: mean over pictures of the largest | -0.16; 1.19 px; 1.04 % | 0.16; 1.54 px; 2.79 % |
| biases corrected | -0.28; 0.99 px; 0.91 % | 0.14; 1.24 px; 1.32 % |
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from calibration.arrays import Array
from calibration.errors import UserError
from engines.build import activations, equalise
from engines.build.activations import Feed
from engines.build.int8_prepare import prepare

CORRECTED_ON: Final = 48
"""Inputs that biases are corrected on, evenly spread; the whole network runs on them once a layer."""
_QUANTISED: Final = ("Conv", "Add", "Clip", "Relu", "MaxPool", "Resize")
"""Not the softmax over the cells: of 256 steps none are left for what is not the peak."""


def quantise(source: Path, feeds: Sequence[Feed], out: Path) -> None:
    """Write an int8 file of a network of convolutions.

    What leads to a softmax stays in float from the last layers on, and so does the first layer unless it reads bytes.

    Args:
        source: ONNX file.
        feeds: inputs of one picture each that show the range of what it will see.
        out: the file to write.

    Raises:
        UserError: if there is nothing to quantise.
    """
    model = onnx.load(source)
    prepare(model)
    graph = model.graph
    if not any(node.op_type == "Conv" for node in graph.node):
        raise UserError(f"{source} has no convolution to quantise")
    tensors = [node.output[0] for node in graph.node if node.op_type in _QUANTISED]
    seen = activations.extremes(model, tensors, feeds)
    equalise.equalise(graph, {n: np.maximum(-low.min(0), high.max(0)) for n, (low, high) in seen.items()})
    equalise.fill_blocks(graph)
    # The mean over the pictures of the largest: one odd picture must not cost all the others half their steps.
    ranges = {
        name: _range(low.min(1).mean(), high.max(1).mean())
        for name, (low, high) in activations.extremes(model, tensors, feeds).items()
    }
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        _write(model, feeds[0], ranges, Path(scratch) / "plain.onnx", out)
    built = onnx.load(out)
    correct(model, built, feeds[:: max(len(feeds) // CORRECTED_ON, 1)][:CORRECTED_ON])
    onnx.save(built, out)


def _range(low: float, high: float) -> dict[str, NDArray[np.float32]]:
    """As ONNX Runtime's tool wants it; 0 is always in it, and it has a width."""
    return {"rmin": np.array(min(low, 0), np.float32), "rmax": np.array(max(high, 1e-6), np.float32)}


def _write(model: onnx.ModelProto, feed: Feed, ranges: Mapping[str, Any], plain: Path, out: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """One input: the tool wants to see some, and takes ``ranges`` in the end."""

        def __init__(self) -> None:
            self._left = [dict(feed)]

        def get_next(self) -> dict[str, NDArray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self._left.pop() if self._left else None

    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    byte = _byte_scale(model.graph)
    in_float = [layers[0].name] if byte is None else []
    in_float += before_softmax(model.graph)
    overrides = {name: [one] for name, one in ranges.items()}
    if byte is not None:
        overrides[layers[0].input[0]] = [{"scale": byte, "zero_point": np.array(0, np.uint8)}]
    onnx.save(model, plain)
    quantize_static(
        plain, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, op_types_to_quantize=list(_QUANTISED), nodes_to_exclude=in_float,
        extra_options={"TensorQuantOverrides": overrides},
    )  # fmt: skip


def before_softmax(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that lead to a softmax, from the last layers on: its logits must not be rounded.

    Where two layers are added into logits, both are among them, and the sum is.
    """
    made = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    open_ends = [node.input[0] for node in graph.node if node.op_type == "Softmax"]
    while open_ends:
        node = made.get(open_ends.pop())
        if node is not None and node.name not in found:
            found[node.name] = None
            open_ends += [] if node.op_type == "Conv" else node.input
    return list(found)


def _byte_scale(graph: onnx.GraphProto) -> Array | None:
    """What a byte is worth to the first layer, where that takes bytes as they are (see ``prepare``); else None."""
    made = {name: node for node in graph.node for name in node.output}
    factor = made.get(next(node for node in graph.node if node.op_type == "Conv").input[0])
    if (
        factor is None
        or factor.op_type != "Mul"
        or factor.input[0] not in made
        or made[factor.input[0]].op_type != "Cast"
    ):
        return None
    stored = {weight.name: weight for weight in graph.initializer}
    return numpy_helper.to_array(stored[factor.input[1]]).astype(np.float32).reshape(())


def correct(model: onnx.ModelProto, built: onnx.ModelProto, feeds: Sequence[Feed]) -> None:
    """Shift the biases of an int8 network until the means of its channels are the float network's, in place.

    Layer after layer, each with those before it corrected: all at once they would be corrected many times over
    (Nagel et al. 2019, section 4.2).

    Args:
        model: the float network.
        built: what was made of it; its tensors keep their names.
        feeds: inputs of one picture each.
    """
    stored = {weight.name: weight for weight in built.graph.initializer}
    made = {name: node for node in built.graph.node for name in node.output}
    halves = {node.input[0]: node.output[0] for node in built.graph.node if node.op_type in _HALVES}
    known = {name for node in model.graph.node for name in node.output}
    layers: list[tuple[str, str, onnx.NodeProto]] = []
    for node in built.graph.node:
        bias = made.get(node.input[2]) if node.op_type == "Conv" and len(node.input) > 2 else None
        name = node.output[0]
        if bias is not None and bias.op_type == "DequantizeLinear" and name in halves and name in known:
            layers.append((name, halves[halves[name]], bias))
    wanted = activations.means(model, [name for name, _, _ in layers], feeds)
    for name, rounded, bias in layers:
        off = wanted[name] - activations.means(built, [rounded], feeds)[rounded]
        weight = stored[bias.input[0]]
        steps: Array = numpy_helper.to_array(weight) + off / numpy_helper.to_array(stored[bias.input[1]])
        weight.CopyFrom(numpy_helper.from_array(np.round(steps).astype(np.int32), weight.name))


_HALVES: Final = ("QuantizeLinear", "DequantizeLinear")


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
