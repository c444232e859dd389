"""torch -> ONNX, the same way for every network."""

import copy
import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper, shape_inference
from torch import Tensor, fx, nn
from torch.nn.utils import fusion

from calibration import writing

_FREE_BATCH = 1 << 20
_WORTH_HALVING = 256
"""Weights with fewer numbers than this stay fp32: a cast costs more than they."""


def fold_norms(module: nn.Module) -> fx.GraphModule:
    """A copy in which every batch norm that directly follows a linear layer or a convolution is part of it.

    Others stay (those of pre-activation blocks follow an addition). Dropout is gone. torch's exporter would do the
    same, but in the precision of the weights; so this comes before they are halved.

    Args:
        module: torch.fx must be able to trace it.
    """
    traced = fx.symbolic_trace(copy.deepcopy(module).eval())
    modules = dict(traced.named_modules())
    calls = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    for node in list(traced.graph.nodes):
        found = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(found, nn.Dropout):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
        if not isinstance(found, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        before = node.args[0]
        layer = modules.get(str(before.target)) if before.op == "call_module" else None
        if len(before.users) != 1 or calls.count(str(before.target)) != 1:
            continue
        if isinstance(layer, nn.Conv2d):
            folded: nn.Module = fusion.fuse_conv_bn_eval(layer, found)
        elif isinstance(layer, nn.Linear):
            folded = fusion.fuse_linear_bn_eval(layer, found)
        else:
            continue
        traced.set_submodule(str(before.target), folded)
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


@contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Within it that logger speaks of errors only."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def export(
    module: nn.Module, example: Tensor | tuple[Tensor, ...], path: Path, input_names: Sequence[str],
    output_names: Sequence[str],
    *, store_as_half: bool = True,
) -> None:  # fmt: skip
    """Write an ONNX file with a free batch axis, without anything of this machine in it.

    Args:
        module: one or several tensors in and out.
        example: an input, or all of them, the batch axis first and not 1.
        path: the file to write.
        input_names: of the inputs.
        output_names: of the outputs.
        store_as_half: large fp32 weights are stored as fp16 and computed with in fp32; see ``store_half``.
    """
    batch = torch.export.Dim("batch", min=1, max=_FREE_BATCH)
    examples = example if isinstance(example, tuple) else (example,)
    # torch 2.13 warns of a deprecation inside itself, and that it has no torchvision, which nothing here needs.
    with _only_errors("torch.onnx._internal.exporter._registration"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
        # All inputs have the one batch axis.
        warnings.filterwarnings("ignore", category=UserWarning, message=".*axis name: batch will not be used.*")
        torch.onnx.export(
            module.eval(), examples, str(path), input_names=list(input_names), output_names=list(output_names),
            dynamic_shapes=tuple({0: batch} for _ in examples), opset_version=20, dynamo=True, external_data=False,
            verbose=False,
        )  # fmt: skip
    model = onnx.load(path)
    _constant_factors(model)
    # Value infos are torch's own shapes; they go stale with what follows and stop quantisation tools later.
    del model.graph.value_info[:]
    if store_as_half:
        store_half(model)
    model.doc_string = ""
    for node in model.graph.node:
        # torch writes its stack trace, with the paths of this machine, into every node.
        node.doc_string = ""
        del node.metadata_props[:]
    for named in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del named.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model)
    with writing.aside(path) as part:
        onnx.save(model, part)


def _constant_factors(model: onnx.ModelProto) -> None:
    """Enlargements by a constant factor say it, instead of sizes that are put together anew in every call.

    torch writes sizes since the batch axis is free, and with them compilers see a network of unknown shape.
    """
    graph = model.graph
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    for node in graph.node:
        if node.op_type != "Resize" or len(node.input) != 4:
            continue
        before, after = (sizes.get(name, [0])[2:] for name in (node.input[0], node.output[0]))
        if not before or not all((*before, *after)) or any(b % a for a, b in zip(before, after, strict=True)):
            continue
        factor = np.array([1, 1, *(b // a for a, b in zip(before, after, strict=True))], np.float32)
        name = f"{node.output[0]}_factor"
        graph.initializer.append(numpy_helper.from_array(factor, name))
        node.input[2] = name
        del node.input[3]
    remove_unused(graph)


def remove_unused(graph: onnx.GraphProto) -> None:
    """Take away nodes and weights that lead to no output."""
    wanted = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.intersection(node.output):
            wanted.update(node.input)
        else:
            graph.node.remove(node)
    for weight in list(graph.initializer):
        if weight.name not in wanted:
            graph.initializer.remove(weight)


def store_half(model: onnx.ModelProto, keep: Collection[str] = ()) -> None:
    """Store every large fp32 weight but those to keep as fp16 with a cast behind it, which runtimes fold away."""
    graph, casts = model.graph, []
    for weight in list(graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < _WORTH_HALVING or weight.name in keep:
            continue
        if np.abs(array).max() > np.finfo(np.float16).max:
            continue
        half = numpy_helper.from_array(array.astype(np.float16), f"{weight.name}_half")
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def unpack_half(model: onnx.ModelProto) -> None:
    """Undo ``store_half``: every weight behind a cast becomes a plain fp32 weight, as quantisation tools want it."""
    graph = model.graph
    stored = {weight.name: weight for weight in graph.initializer}
    for node in list(graph.node):
        weight = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if weight is None or weight.data_type != TensorProto.FLOAT16:
            continue
        array = numpy_helper.to_array(weight).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.initializer.remove(weight)
        graph.node.remove(node)
