"""What flows through a network on real inputs: extremes and means of its tensors, channel by channel."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from calibration.arrays import Array

Feed = Mapping[str, NDArray]


def extremes(model: onnx.ModelProto, names: Sequence[str], feeds: Iterable[Feed]) -> dict[str, tuple[Array, Array]]:
    """The least and the largest value of every channel of tensors (1, C, h, w), input by input.

    Returns:
        Two arrays (inputs, C) a tensor.
    """
    seen: dict[str, list[tuple[Array, Array]]] = {name: [] for name in names}
    for tensors in _watch(model, names, feeds):
        for name, tensor in zip(names, tensors, strict=True):
            seen[name].append((tensor.min((0, 2, 3)), tensor.max((0, 2, 3))))
    return {name: tuple(np.array(ends).transpose(1, 0, 2)) for name, ends in seen.items()}  # pyright: ignore[reportReturnType]


def means(model: onnx.ModelProto, names: Sequence[str], feeds: Iterable[Feed]) -> dict[str, Array]:
    """(C,) mean of every channel of tensors (1, C, h, w) over all inputs."""
    total: list[Array] = []
    count = 0
    for tensors in _watch(model, names, feeds):
        here = [tensor.mean((0, 2, 3), dtype=np.float64) for tensor in tensors]
        total = [a + b for a, b in zip(total, here, strict=True)] if total else here
        count += 1
    return {name: sum_ / count for name, sum_ in zip(names, total, strict=True)}


def _watch(model: onnx.ModelProto, names: Sequence[str], feeds: Iterable[Feed]) -> Iterable[list[Array]]:
    import onnxruntime as ort

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    # Without the model's own outputs ONNX Runtime leaves out all that comes behind the last of these tensors.
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        yield session.run(list(names), dict(feed))  # pyright: ignore[reportReturnType]
