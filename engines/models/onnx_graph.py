"""An ONNX file as a torch module: the graph is read with ``onnx`` and run an operator at a time.

A second, independent reading of the files that the other runtimes compile. It has the operators that the project's
files use and no more; each follows the ONNX specification, opsets 13 to 22 (github.com/onnx/onnx, docs/Operators.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

Attributes = Mapping[str, Any]
Operator = Callable[..., Tensor | tuple[Tensor, ...]]

_DTYPES: Final[Mapping[int, torch.dtype]] = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.DOUBLE: torch.float64, onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.UINT8: torch.uint8, onnx.TensorProto.INT8: torch.int8,
}  # fmt: skip
_HOST: Final = {
    "Reshape": (1,), "Slice": (1, 2, 3, 4), "Unsqueeze": (1,), "Squeeze": (1,), "Expand": (1,), "Tile": (1,),
    "TopK": (1,), "ReduceSum": (1,), "ReduceMax": (1,), "Resize": (1, 2, 3), "Clip": (1, 2), "Split": (1,),
}  # fmt: skip
"""Operator -> inputs that are shapes, axes and bounds: read as Python numbers, once where they are constants."""


class UnsupportedError(ValueError):
    """An operator, or a mode of one, that is not here."""


@dataclass(frozen=True, slots=True)
class _Node:
    run: Operator
    kind: str
    attributes: Attributes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]
    """Values that nobody needs after this node."""


class OnnxGraph(nn.Module):
    """The network of an ONNX file.

    Args:
        path: the file.
        device: where its weights live and it runs.

    Raises:
        UnsupportedError: for an operator that is not here.
        ValueError: for a file without a network; other exceptions of ``onnx`` for one that is not ONNX.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        super().__init__()
        graph = onnx.load(path).graph
        if not graph.output:
            raise ValueError("it is empty")
        self._constants: dict[str, Tensor] = {
            weight.name: torch.from_numpy(numpy_helper.to_array(weight).copy()).to(device)
            for weight in graph.initializer
        }
        self.inputs = {
            value.name: (
                _DTYPES[int(value.type.tensor_type.elem_type)],
                tuple(d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim),
            )
            for value in graph.input
            if value.name not in self._constants
        }
        self.outputs = tuple(value.name for value in graph.output)
        last = {name: k for k, node in enumerate(graph.node) for name in node.input}
        self._nodes: list[_Node] = []
        self._host: dict[str, Any] = {}
        self._on_host: dict[str, Tensor] = {}
        for k, proto in enumerate(graph.node):
            done = tuple(n for n in dict.fromkeys(proto.input) if n and last[n] == k and n not in self.outputs)
            node = _node(proto, device, done)
            # Weights stored as fp16 with a cast behind them, and sums of constants: once, now.
            if all(name in self._constants for name in node.inputs if name):
                self._constants.update(self._results(node, self._constants))
            else:
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.inputs} | {*self.outputs}
        self._constants = {name: value for name, value in self._constants.items() if name in used}
        self._on_host = {name: value.cpu() for name, value in self._constants.items() if value.numel() <= 64}
        self._host = {
            name: self._constants[name].tolist()
            for node in self._nodes
            for k, name in enumerate(node.inputs)
            if k in _HOST.get(node.kind, ()) and name in self._constants
        }

    def forward(self, **arrays: Tensor) -> dict[str, Tensor]:
        """Tensors by input name in, by output name out."""
        values = {**self._constants, **arrays}
        for node in self._nodes:
            values.update(self._results(node, values))
            for name in node.done:
                values.pop(name, None)
        return {name: values[name] for name in self.outputs}

    def _results(self, node: _Node, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        host = _HOST.get(node.kind, ())
        given = [
            None if not name else self._numbers(name, values) if k in host else values[name]
            for k, name in enumerate(node.inputs)
        ]
        if len({value.device for value in given if isinstance(value, Tensor)}) > 1:
            given = self._together(node, given)
        result = node.run(node.attributes, *given)
        return dict(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))

    def _together(self, node: _Node, given: list[Any]) -> list[Any]:
        """Inputs on one device: on the host where those on the GPU are constants, else on the GPU."""
        given = [self._on_host.get(name, value) for name, value in zip(node.inputs, given, strict=True)]
        places = {value.device for value in given if isinstance(value, Tensor)}
        place = next((p for p in places if p.type != "cpu"), torch.device("cpu"))
        return [value.to(place) if isinstance(value, Tensor) else value for value in given]

    def _numbers(self, name: str, values: Mapping[str, Tensor]) -> Any:
        return self._host[name] if name in self._host else values[name].tolist()


def _node(proto: onnx.NodeProto, device: str, done: tuple[str, ...]) -> _Node:
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
    if proto.op_type == "Constant":
        stored: Any = attributes["value"]
        value = torch.from_numpy(numpy_helper.to_array(stored).copy()).to(device)
        return _Node(lambda _attributes: value, "Constant", {}, (), tuple(proto.output), done)
    if proto.domain not in ("", "ai.onnx") or proto.op_type not in _OPERATORS:
        raise UnsupportedError(f"operator {proto.op_type}")
    attributes["parts"] = len(proto.output)
    return _Node(
        _OPERATORS[proto.op_type], proto.op_type, attributes, tuple(proto.input), tuple(proto.output), done
    )  # fmt: skip


def _padded(a: Attributes, x: Tensor, kernel: tuple[int, ...], fill: float) -> tuple[Tensor, int]:
    """The image x with ``auto_pad`` or unequal ``pads`` around it, and the equal padding left to the operator."""
    stride, dilation = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    if a.get("auto_pad", "NOTSET") == "SAME_UPPER":
        total = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
        ]
        before = [t // 2 for t in total]
        pads = [*before, *(t - b for t, b in zip(total, before, strict=True))]
    elif a.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
        pads = a.get("pads", [0, 0, 0, 0])
    else:
        raise UnsupportedError(f"auto_pad {a['auto_pad']}")
    if len(set(pads)) == 1:
        return x, int(pads[0])
    return functional.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=fill), 0


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, padding = _padded(a, x, tuple(weight.shape[2:]), 0.0)
    return functional.conv2d(
        x, weight, bias, a.get("strides", [1, 1]), padding, a.get("dilations", [1, 1]), a.get("group", 1)
    )


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    if a.get("dilations", [1, 1]) != [1, 1]:
        raise UnsupportedError("MaxPool with dilations")
    x, padding = _padded(a, x, tuple(a["kernel_shape"]), -torch.inf)
    return functional.max_pool2d(
        x, a["kernel_shape"], a.get("strides", [1, 1]), padding, ceil_mode=bool(a.get("ceil_mode", 0))
    )


def _resize(
    a: Attributes, x: Tensor, _roi: object = None, scales: list[float] | None = None, sizes: list[int] | None = None
) -> Tensor:
    size = sizes[2:] if sizes else [int(n * s) for n, s in zip(x.shape[2:], (scales or [])[2:], strict=True)]
    mode, place = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if (mode, place) == ("linear", "half_pixel"):
        return functional.interpolate(x, size, mode="bilinear", align_corners=False)
    if (mode, place, a.get("nearest_mode")) == ("nearest", "asymmetric", "floor"):
        return functional.interpolate(x, size, mode="nearest")
    raise UnsupportedError(f"Resize {mode} {place} {a.get('nearest_mode', '')}")


def _gemm(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight = x.T if a.get("transA") else x, weight if a.get("transB") else weight.T
    if a.get("alpha", 1.0) == a.get("beta", 1.0) == 1.0:
        return functional.linear(x, weight, bias)
    product = a.get("alpha", 1.0) * functional.linear(x, weight)
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _reshape(a: Attributes, x: Tensor, shape: list[int]) -> Tensor:
    keep = not a.get("allowzero")
    return x.reshape([x.shape[k] if n == 0 and keep else n for k, n in enumerate(shape)])


def _slice(
    _a: Attributes,
    x: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[k] if axes else k, steps[k] if steps else 1
        if step < 0:
            raise UnsupportedError("Slice backwards")
        x = x[(slice(None),) * (axis % x.ndim) + (slice(start, end, step),)]
    return x


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    return x.index_select(axis, index.flatten()).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _gather_nd(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    if a.get("batch_dims", 0):
        raise UnsupportedError("GatherND with batch_dims")
    return x[tuple(index.long().unbind(-1))]


def _split(a: Attributes, x: Tensor, sizes: list[int] | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    return x.split(sizes or -(-x.shape[axis] // a["parts"]), axis)


def _squeeze(_a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(_a: Attributes, x: Tensor, axes: list[int]) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(n % rank for n in axes):
        x = x.unsqueeze(axis)
    return x


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def run(a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
        axes = axes if axes is not None else a.get("axes")
        if not axes and a.get("noop_with_empty_axes"):
            return x
        return function(x, tuple(axes) if axes else tuple(range(x.ndim)), bool(a.get("keepdims", 1)))

    return run


def _top_k(a: Attributes, x: Tensor, k: list[int]) -> tuple[Tensor, ...]:
    return tuple(x.topk(k[0], a.get("axis", -1), bool(a.get("largest", 1)), bool(a.get("sorted", 1))))


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, var, scale, bias, eps=a.get("epsilon", 1e-5))


def _divide(_a: Attributes, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def run(_a: Attributes, x: Tensor, *more: Tensor) -> Tensor:
        for y in more:
            x = function(x, y)
        return x

    return run


def _each(function: Callable[..., Tensor]) -> Operator:
    return lambda _a, *inputs: function(*inputs)


_OPERATORS: Final[Mapping[str, Operator]] = {
    "Abs": _each(torch.abs), "Add": _each(torch.add), "And": _each(torch.logical_and), "Div": _divide,
    "Equal": _each(torch.eq), "Exp": _each(torch.exp), "Greater": _each(torch.gt), "GreaterOrEqual": _each(torch.ge),
    "Less": _each(torch.lt), "MatMul": _each(torch.matmul), "Max": _fold(torch.maximum), "Min": _fold(torch.minimum),
    "Mul": _each(torch.mul), "Not": _each(torch.logical_not), "Reciprocal": _each(torch.reciprocal),
    "Relu": _each(torch.relu), "Sigmoid": _each(torch.sigmoid), "Sqrt": _each(torch.sqrt), "Sub": _each(torch.sub),
    "Sum": _fold(torch.add), "Where": _each(torch.where), "Identity": lambda _a, x: x,
    "Conv": _conv, "MaxPool": _max_pool, "Resize": _resize, "Gemm": _gemm, "BatchNormalization": _batch_norm,
    "Reshape": _reshape, "Slice": _slice, "Gather": _gather, "GatherND": _gather_nd, "Split": _split,
    "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "TopK": _top_k,
    "ReduceSum": _reduce(torch.sum), "ReduceMax": _reduce(torch.amax),
    "ArgMax": lambda a, x: x.argmax(a.get("axis", 0), bool(a.get("keepdims", 1))),
    "Cast": lambda a, x: x.to(_DTYPES[a["to"]]),
    "Clip": lambda _a, x, low=None, high=None: x if low is None and high is None else x.clamp(low, high),
    "Concat": lambda a, *parts: torch.cat(parts, a["axis"]),
    "Expand": lambda _a, x, shape: x.expand(torch.broadcast_shapes(x.shape, tuple(shape))),
    "LogSoftmax": lambda a, x: torch.log_softmax(x, a.get("axis", -1)),
    "Range": lambda _a, start, end, step: torch.arange(
        start.item(), end.item(), step.item(), dtype=start.dtype, device=start.device
    ),
    # On the host, where shapes are known: reading one back from a GPU would stop it, and cannot be in a CUDA graph.
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")]),
    "Size": lambda _a, x: torch.tensor(x.numel()),
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
    "Tile": lambda _a, x, times: x.tile(tuple(times)),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
}  # fmt: skip
