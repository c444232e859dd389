"""A network of convolutions rewritten so that int8 loses less: the same function, with channels of like range.

Where nothing between two convolutions minds a scale, a channel may be multiplied in the first and divided in the second
(Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"; the share of the two as in
Xiao et al. 2023, "SmoothQuant"). A depthwise convolution has a scale a channel of its own, so there it is
free: one range a tensor then serves every channel as well as a range a channel would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from calibration.arrays import Array

SHARE: Final = 0.8
"""Of a dense layer's input: how much of the difference between channels its weights take over."""
BLOCK: Final = 16
"""Channels of a depthwise convolution: a rest takes ONNX Runtime three times as long as a whole block."""
_LIMIT = 6.0
"""Upper bound of the only ``Clip`` there is, Relu6."""
_PASSING = ("Clip", "Relu", "Resize", "MaxPool", "Add")


@dataclass(slots=True)
class Group:
    """Tensors that share the scale of their channels."""

    tensors: set[str] = field(default_factory=set)
    producers: list[onnx.NodeProto] = field(default_factory=list)
    """Convolutions that make them."""
    consumers: list[onnx.NodeProto] = field(default_factory=list)
    """Convolutions that read them."""
    limited: bool = False
    """Whether a Relu6 is among what lies between."""
    free: bool = True
    """Whether nothing else reads or makes them."""


def groups(graph: onnx.GraphProto) -> list[Group]:
    """The groups of tensors whose channels may be scaled."""
    constants = {weight.name for weight in graph.initializer}
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            name = leader[name]
        return name

    for node in graph.node:
        for name in _read(node, constants) if node.op_type in _PASSING else ():
            leader[lead(name)] = lead(node.output[0])
    found: dict[str, Group] = {}

    def group(name: str) -> Group:
        one = found.setdefault(lead(name), Group())
        one.tensors.add(name)
        return one

    for node in graph.node:
        if node.op_type == "Conv":
            group(node.output[0]).producers.append(node)
            group(node.input[0]).consumers.append(node)
        elif node.op_type in _PASSING and not any(name in constants for name in node.input if node.op_type == "Add"):
            for name in (*_read(node, constants), node.output[0]):
                group(name).limited |= node.op_type == "Clip"
        else:
            for name in (*_read(node, constants), *node.output):
                group(name).free = False
    for value in (*graph.input, *graph.output):
        group(value.name).free = False
    return [one for one in found.values() if one.free and one.producers and one.consumers]


def _read(node: onnx.NodeProto, constants: set[str]) -> list[str]:
    """The names of what a node reads, without weights, limits and factors."""
    names = node.input if node.op_type == "Add" else node.input[:1] if node.op_type in _PASSING else node.input
    return [name for name in names if name and name not in constants]


def equalise(graph: onnx.GraphProto, largest: Mapping[str, Array]) -> None:
    """Scale the channels of every group to a like range, in place.

    Args:
        graph: weights in float32, every convolution with its own.
        largest: (C,) largest magnitude of each channel of the tensors, on real inputs; Relu6 must not cut off more
            than they show.
    """
    weights = _Weights(graph)
    cut = {node.input[0] for node in graph.node if node.op_type in ("Clip", "Relu")}
    for group in groups(graph):
        known = [largest[name] for name in group.tensors if name in largest and name not in cut]
        if not known:
            continue
        top = np.maximum(np.max(known, axis=0), 1e-9)
        top = np.maximum(top, 1e-3 * top.max())
        if group.limited:
            top = np.minimum(top, _LIMIT)
        scale = _scale(top, [weights[c.input[1]] for c in group.consumers if not weights.depthwise(c)])
        if group.limited:
            # Relu6 cuts what is scaled at 6: with a scale below 1 later than before, above 6 / top what it sees.
            scale = np.clip(scale / scale.min(), 1, _LIMIT / top)
        for node in group.producers:
            weights.multiply(node, scale)
        for node in group.consumers:
            weights.divide(node, scale)


def _scale(top: Array, dense: list[Array]) -> Array:
    """(C,) factors that bring channels of largest magnitude ``top`` (C,) together, sharing with the dense layers."""
    full = top.max() / top
    if not dense:
        return full
    shares = [np.abs(w) / np.maximum(np.abs(w).max((1, 2, 3), keepdims=True), 1e-12) for w in dense]
    weight = np.maximum(np.max([share.max((0, 2, 3)) for share in shares], axis=0), 1e-3)
    scale = full**SHARE * (weight / weight.max()) ** (1 - SHARE)
    return scale * top.max() / (top * scale).max()


def fill_blocks(graph: onnx.GraphProto) -> None:
    """Give depthwise convolutions whole blocks of channels, in place; those that are added are always zero."""
    weights = _Weights(graph)
    for group in _whole(groups(graph), weights):
        channels = len(weights[group.producers[0].input[1]])
        missing = -channels % BLOCK
        if not missing or not any(weights.depthwise(node) for node in (*group.producers, *group.consumers)):
            continue
        for node in group.producers:
            for name in node.input[1:]:
                weights.extend(name, missing, 0)
            for attribute in node.attribute:
                if attribute.name == "group" and attribute.i > 1:
                    attribute.i += missing
        for node in group.consumers:
            if not weights.depthwise(node):  # those are extended as producers
                weights.extend(node.input[1], missing, 1)
    del graph.value_info[:]


def _whole(found: list[Group], weights: "_Weights") -> list[Group]:
    """Those groups whose depthwise convolutions have both sides among them: what it reads grows with what it makes."""
    while True:
        made, read = ({n.output[0] for nodes in side for n in nodes if weights.depthwise(n)}
                      for side in ([g.producers for g in found], [g.consumers for g in found]))  # fmt: skip
        kept = [g for g in found if not any(n.output[0] in made ^ read for n in (*g.producers, *g.consumers))]
        if len(kept) == len(found):
            return kept
        found = kept


class _Weights:
    """The weights of a graph by name, changed in place."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._stored = {weight.name: weight for weight in graph.initializer}

    def __getitem__(self, name: str) -> Array:
        return numpy_helper.to_array(self._stored[name])

    def depthwise(self, node: onnx.NodeProto) -> bool:
        """Whether every channel has its own filter."""
        return any(a.name == "group" and a.i == len(self[node.input[1]]) > 1 for a in node.attribute)

    def multiply(self, node: onnx.NodeProto, scale: Array) -> None:
        """Scale what a convolution makes."""
        for name in node.input[1:]:
            self._write(name, self[name] * scale.reshape(-1, *[1] * (self[name].ndim - 1)))

    def divide(self, node: onnx.NodeProto, scale: Array) -> None:
        """Undo a scale of what it reads."""
        shape = (-1, 1, 1, 1) if self.depthwise(node) else (1, -1, 1, 1)
        self._write(node.input[1], self[node.input[1]] / scale.reshape(shape))

    def extend(self, name: str, missing: int, axis: int) -> None:
        """Add zeros at the end of an axis."""
        old = self[name]
        shape = list(old.shape)
        shape[axis] = missing
        self._write(name, np.concatenate([old, np.zeros(shape, old.dtype)], axis))

    def _write(self, name: str, array: Array) -> None:
        self._stored[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
