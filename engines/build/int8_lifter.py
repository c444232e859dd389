"""The lifter with int8 matrices, for the CPU: at batch 1 it is bound by reading its weights, and these are a quarter.

What was tried on the shipped lifter with ONNX Runtime, one thread, batch 1: time against fp32 (median, and the least)
and what it costs the most probable hypothesis on the test subjects, exact 2D joints.

| | time | mm |
|---|---|---|
| blocks of a row, features quantised in the same blocks at run time: 256 | 0.35 (0.31) | +0.0 |
| the same: 128, 64, 32 | 0.37, 0.39, 0.40 | +0.0 |
| dynamic, a scale a channel (a tensor: +0.8 mm); answers depend on what else is in the batch | 0.38 (0.34) | +0.4 |
| static QDQ, all but the first layer; rare poses drive features far beyond their usual range | 0.42 (0.38) | +30 |
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from calibration.errors import UserError
from engines import cards, runtimes
from engines.build import card, parity
from engines.build.export import store_half, unpack_half
from engines.build.lifter import measure, real_inputs
from engines.training.data.mocap import load_training
from engines.training.lifter import paper

BLOCK = 256
"""Neighbouring weights of a row that share a scale."""
_LARGE = 1 << 16
"""Numbers of a matrix from which on it is worth it. The first layer is smaller; its inputs are coordinates."""
MAX_CHANGE_MM = 1.0
"""A build that loses more than this in any of the errors on the test subjects is refused."""


def quantise(model: onnx.ModelProto) -> int:
    """Make every large matrix of a network int8, in place; returns how many.

    ``y = x W' + b`` becomes ONNX Runtime's MatMulNBits (contrib operators, com.microsoft): ``w = scale (q - 128)`` with
    a scale a block, and ``accuracy_level`` 4, which quantises x in the same blocks and sums in int32. OpenVINO reads
    the same operator.
    """
    unpack_half(model)
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    keep: list[str] = []
    for index, node in enumerate(graph.node):
        weight = weights.get(node.input[1]) if node.op_type == "Gemm" else None
        if weight is None or not _plain(node) or weight.dims[1] % BLOCK or np.prod(weight.dims) < _LARGE:
            continue
        outputs, inputs = weight.dims
        bias = node.input[2] if len(node.input) == 3 else ""
        q, scale = _blocks(numpy_helper.to_array(weight))
        names = f"{weight.name}_int8", f"{weight.name}_scale"
        stored = (numpy_helper.from_array(array, name) for array, name in zip((q, scale), names, strict=True))
        graph.initializer.remove(weight)
        graph.initializer.extend(stored)
        replacement = helper.make_node(
            "MatMulNBits", [node.input[0], *names, *(["", "", bias] if bias else [])], list(node.output), node.name,
            domain="com.microsoft", K=inputs, N=outputs, bits=8, block_size=BLOCK, accuracy_level=4,
        )  # fmt: skip
        graph.node[index].CopyFrom(replacement)
        keep += [*names, bias]
    store_half(model, keep)
    if keep:
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return len(keep) // 3


def _plain(node: onnx.NodeProto) -> bool:
    """Whether a Gemm is ``x W' + b``."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | found == {
        "alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1,
    }  # fmt: skip


def _blocks(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A matrix (N, K) as (N, K / BLOCK, BLOCK) around 128, and scales (N, K / BLOCK)."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    scale = np.maximum(np.abs(blocks).max(-1), np.float32(1e-12)) / np.float32(127)
    q = np.rint(blocks / scale[..., None]) + 128
    return q.astype(np.uint8), scale


def build_int8_lifter(source: Path, data: Path, out: Path) -> dict[str, float]:
    """Quantise a lifter's ONNX file and check it against that file.

    Args:
        source: the file, its card beside it.
        data: folder of the motion capture.
        out: the file to write, its card beside it: that of the source, with ``of`` (sha256 of the source),
            ``accepted``, the parity report, and the errors of both on the test subjects. The old ones stay until the
            new ones are whole.

    Returns:
        The parity report and ``largest_change_mm``, of the errors.

    Raises:
        UserError: if a file cannot be read, there is nothing to quantise, or the answers change too much.
    """
    known = cards.verify(source)
    values: dict[str, card.Value] = dict(known.values)
    _, validation, test = load_training(data)
    with tempfile.TemporaryDirectory() as scratch:
        # A copy, since a runtime may take an int8 file that lies beside the original instead of it.
        original, built = Path(scratch) / "original.onnx", Path(scratch) / "built.int8.onnx"
        card.place(source, original)
        model = onnx.load(source)
        if not quantise(model):
            raise UserError(
                f"{source} has no matrix to quantise: no Gemm of at least {_LARGE} weights in blocks of {BLOCK}"
            )
        onnx.save(model, built)
        norm = paper.normalisation_from(values, f"card of {source}") if values.get("input") == "pixels" else None
        x, scale = real_inputs(validation, norm, float(known.values.get("scale_mm", 1.0)))
        want, got = (runtimes.load(path, runtimes.NetworkOptions("onnx"))(x=x) for path in (original, built))
        found = parity.millimetres(want["mean"], want["sigma"], got["mean"], scale)
        found.check("int8")
        values |= {"of": known.sha256, "accepted": True, "precision": "int8", "block": BLOCK, **found.report()}
        card.write(built, card.int8_of(known), values)
        before, after = measure(original, test), measure(built, test)
        change = max(after[key] - before[key] for key in before)
        if not change <= MAX_CHANGE_MM:
            raise UserError(
                f"int8 costs {change:.2f} mm on the test subjects; {MAX_CHANGE_MM:g} is allowed: it was not kept"
            )
        values |= {**after, **{f"float_{key}": value for key, value in before.items()}}
        card.write(built, card.int8_of(known), {**values, "largest_change_mm": round(change, 2)})
        card.place(built, out)
    return found.report() | {"largest_change_mm": round(change, 2)}
