"""A lifter's ONNX file back to the network that is trained: the opposite of ``engines.build.lifter``.

The file has its norms folded into the matrices. A norm that gives each unit the mean and deviation that it has anyway
leaves what the network answers as it is, and can be trained on.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import fusion

from calibration.errors import UserError
from engines.models.mdn import MDN

Products = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weight and bias of every matrix product, first to last."""


def matrices(path: Path) -> Products:
    """Weight and bias of every matrix product of a file, first to last.

    Raises:
        UserError: if it cannot be read, or is of another kind.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # onnx raises whatever the bytes provoke
        raise UserError(f"--start: {path} cannot be read as ONNX ({error.__class__.__name__})") from error
    stored = {weight.name: numpy_helper.to_array(weight).astype(np.float32) for weight in graph.initializer}
    # Large weights are stored as float16 and cast.
    stored |= {n.output[0]: stored[n.input[0]] for n in graph.node if n.op_type == "Cast" and n.input[0] in stored}
    products = [node for node in graph.node if node.op_type == "Gemm"]
    if not products or any(name not in stored for node in products for name in node.input[1:]):
        raise UserError(f"--start: {path} is no lifter in floating point: its matrices are of another kind")
    found = [[stored[name] for name in node.input[1:]] for node in products]
    # A bias of zeros is left out of the file.
    return [(w, bias[0] if bias else np.zeros(len(w), np.float32)) for w, *bias in found]


@torch.no_grad()
def folded(network: MDN) -> Products:
    """The same of a network in evaluation mode, its norms folded into the matrices."""
    layers, norms, heads = _layers(network)
    plain = [fusion.fuse_linear_bn_eval(*both) for both in zip(layers, norms, strict=True)]
    products = [(layer.weight.numpy(), layer.bias.numpy()) for layer in plain]
    last = (torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads]))
    return [*products, (last[0].numpy(), last[1].numpy())]


def unfold(network: MDN, path: Path, inputs: Tensor) -> None:
    """Give a network the weights of a file.

    Args:
        network: of the file's shape.
        path: the ONNX file.
        inputs: (N, inputs) real ones, on which the norms' statistics are measured.

    Raises:
        UserError: if the file cannot be read or is of another network.
    """
    fill(network, matrices(path), inputs, f"--start: the network in {path}")


@torch.no_grad()
def fill(network: MDN, found: Products, inputs: Tensor, whose: str) -> None:
    """Give a network the weights of ``matrices`` or ``folded``; see ``unfold``.

    Args:
        network: of their shape.
        found: the weights.
        inputs: see ``unfold``.
        whose: they are, in words, should they not fit.

    Raises:
        UserError: if they are of another network.
    """
    layers, norms, heads = _layers(network)
    wanted = [tuple(layer.weight.shape) for layer in layers]
    wanted.append((sum(head.out_features for head in heads), heads[0].in_features))
    if [w.shape for w, _ in found] != wanted:
        raise UserError(f"{whose} is another one: {[w.shape for w, _ in found]}, not {wanted}")
    network.eval()
    for layer, norm, (weight, bias) in zip(layers, norms, found[:-1], strict=True):
        _set(layer, weight, bias)
        _neutral(network, layer, norm, inputs)
    start = 0
    for head in heads:
        rows = slice(start, start + head.out_features)
        _set(head, found[-1][0][rows], found[-1][1][rows])
        start += head.out_features
    network.train()


def _layers(network: MDN) -> tuple[list[nn.Linear], list[nn.BatchNorm1d], list[nn.Linear]]:
    """Matrices and norms of the trunk, first to last, and the heads in the order of a file."""
    layers = [layer for layer in network.trunk.modules() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network.trunk.modules() if isinstance(layer, nn.BatchNorm1d)]
    return layers, norms, [network.mean, network.sigma, network.weight]


def _set(layer: nn.Linear, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(bias))


def _neutral(network: MDN, layer: nn.Linear, norm: nn.BatchNorm1d, inputs: Tensor) -> None:
    """A norm that changes nothing, with the statistics of what the layer gives it."""
    kept: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    handle = layer.register_forward_hook(keep)
    network.trunk(inputs)
    handle.remove()
    mean, variance = kept[0].mean(0), kept[0].var(0, unbiased=False)
    norm.load_state_dict({**norm.state_dict(), "running_mean": mean, "running_var": variance})
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)
