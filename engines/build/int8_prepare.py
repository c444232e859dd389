"""A network brought into the form that quantises well: the same function, but for rounding."""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.build.export import remove_unused, unpack_half

_NORMALISED: Final = ("Cast", "Mul", "Sub", "Transpose", "Conv")
GREY: Final = 128
"""Of a byte: what surrounds a picture whose bytes are brought to -1..1, where 0 is meant."""


def prepare(model: onnx.ModelProto) -> None:
    """Prepare a network, in place.

    Batch norms that are left become convolutions of one weight a channel. Where bytes come in and are brought to -1..1,
    the first convolution takes the bytes as they are.
    """
    unpack_half(model)
    graph = model.graph
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type != "BatchNormalization":
            continue
        scale, shift = _affine(node, weights)
        # Not _scale: that is what ONNX Runtime's tool names the scale of the tensor itself.
        names = f"{node.output[0]}_norm_weight", f"{node.output[0]}_norm_bias"
        arrays = scale.reshape(-1, 1, 1, 1), shift
        graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
        channels = helper.make_node(
            "Conv", [node.input[0], *names], list(node.output), node.name, group=len(shift), kernel_shape=[1, 1]
        )
        graph.node[index].CopyFrom(channels)
    _take_bytes(graph)
    remove_unused(graph)
    for index, node in enumerate(graph.node):
        node.name = node.name or f"node_{index}"  # quantisation tools go by name


def _affine(node: onnx.NodeProto, weights: dict[str, NDArray]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scale, shift, mean, variance = (weights[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)


def _take_bytes(graph: onnx.GraphProto) -> None:
    """Bytes, a cast, a factor, a difference, channels to the front, a convolution: it takes over the difference.

    What it reads is then exactly a byte, of the factor's scale. The border, which was 0, is set around the bytes
    before. With the factor in the weights too, OpenVINO sees nothing to quantise there and leaves the layer in float.
    """
    readers = {name: node for node in reversed(graph.node) for name in node.input}
    chain: list[onnx.NodeProto] = []
    name = graph.input[0].name
    while name in readers and len(chain) < len(_NORMALISED):
        chain.append(readers[name])
        name = chain[-1].output[0]
    stored = {weight.name: weight for weight in graph.initializer}
    if tuple(node.op_type for node in chain) != _NORMALISED or any(
        node.input[1] not in stored or numpy_helper.to_array(stored[node.input[1]]).size != 1 for node in chain[1:3]
    ):
        return
    cast, factor, less, first, conv = chain
    weight, bias = (numpy_helper.to_array(stored[name]).astype(np.float64) for name in conv.input[1:])
    bias -= float(numpy_helper.to_array(stored[less.input[1]])) * weight.sum((1, 2, 3))
    stored[conv.input[2]].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), conv.input[2]))
    pads = next(attribute for attribute in conv.attribute if attribute.name == "pads")
    top, left, bottom, right = pads.ints
    pads.ints[:] = [0, 0, 0, 0]
    graph.initializer.append(numpy_helper.from_array(np.array(GREY, np.uint8), "grey"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, top, left, 0, 0, bottom, right, 0]), "border"))
    made = [
        helper.make_node("Pad", [graph.input[0].name, "border", "grey"], ["framed"], "framed"),
        helper.make_node("Transpose", ["framed"], ["colours"], "colours", perm=list(first.attribute[0].ints)),
        helper.make_node("Cast", ["colours"], ["bytes"], "bytes", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", factor.input[1]], [conv.input[0]], "scaled"),
    ]
    for node in (cast, factor, less, first):
        graph.node.remove(node)
    for node in reversed(made):
        graph.node.insert(0, node)
    del graph.value_info[:]
