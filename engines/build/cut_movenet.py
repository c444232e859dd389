"""MoveNet, cut at its heads: convolutions with a free batch axis are left; ``engines.movenet_heads`` decodes them.

Google's graphs end in gathers that take one picture a call, hide the heatmaps and do not quantise. The files that were
converted from them are in this repository's history: ``git log -- engines/weights/movenet_thunder.onnx``.
"""

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import UserError
from engines import cards, preprocess, runtimes
from engines.build import card
from engines.build.export import remove_unused
from engines.movenet_heads import Crowd, Single, decode, people
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.types import Runtime

HEADS: Final = {"centre": "center_0", "heatmaps": "kpt_heatmap_0", "regress": "kpt_regress_0",
                "offset": "kpt_offset_0"}  # fmt: skip
PEOPLE_HEADS: Final = {"centre": "center_0", "heatmaps": "kpt_heatmap_0", "regress": "kpt_regress_0",
                       "box_size": "box_scale_0", "box_offset": "box_offset_0"}  # fmt: skip
"""Outputs of the cut file, and the heads of the graph that they are; of MultiPose without those that nobody uses."""
_CHANCES: Final = ("centre", "heatmaps")
MAX_PX: Final = 0.1
"""Above which distance, in pixels of the input, a cut is refused."""
MAX_SCORE: Final = 0.01
"""Above which difference of a score a cut is refused."""
_STRIDE: Final = 4
"""Pixels of the input a cell of the outputs."""
_LEAST: Final = 0.05
"""People below this score are not compared: nobody looks at them."""


def cut(model: onnx.ModelProto) -> None:
    """Cut a graph at its heads, in place.

    Input "image", uint8 (batch, H, W, 3) RGB; outputs float32 (batch, H / 4, W / 4, channels) named as in ``HEADS`` or
    ``PEOPLE_HEADS``; centre and heatmaps 0..1. Channels come last because OpenVINO and int8 keep them so: bringing
    them to the front takes a twentieth of OpenVINO's time.

    Raises:
        UserError: if it is not one of MoveNet's.
    """
    graph = model.graph
    if graph.input[0].name == "image":
        raise UserError("this graph of MoveNet is cut already; give the whole one")
    made = {output: node for node in graph.node for output in node.output}
    several = any("/box_scale_0/" in name for name in made)
    heads = {name: _head(made, inside) for name, inside in (PEOPLE_HEADS if several else HEADS).items()}
    if len(graph.input) != 1 or not all(heads.values()):
        raise UserError(f"this is not a graph of MoveNet: it lacks {', '.join(n for n, h in heads.items() if not h)}")
    height, width = (dim.dim_value or name for dim, name in zip(graph.input[0].type.tensor_type.shape.dim[1:3],
                                                               ("height", "width"), strict=True))  # fmt: skip
    _from_bytes(graph)
    for node in graph.node:
        if node.op_type == "Resize":
            _double(graph, node)
        if node.op_type == "Conv":
            _pad_by_number(node)
    del graph.output[:]
    for name, head in heads.items():
        if name in _CHANCES:
            graph.node.append(helper.make_node("Sigmoid", [head], [f"{name}_first"], f"{name}_chance"))
        last = f"{name}_first" if name in _CHANCES else head
        graph.node.append(helper.make_node("Transpose", [last], [name], name, perm=[0, 2, 3, 1]))
        channels = {"centre": 1, "heatmaps": 17}.get(name, 2 if several and name != "regress" else 34)
        sides = [s // _STRIDE if isinstance(s, int) else f"{s} / {_STRIDE}" for s in (height, width)]
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sides, channels]))
    del graph.input[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", height, width, 3]))
    remove_unused(graph)
    onnx.checker.check_model(model, full_check=True)


def _head(made: dict[str, onnx.NodeProto], inside: str) -> str:
    """The output of a head's last convolution; "" where there is none."""
    found = [o for o, n in made.items() if n.op_type == "Conv" and f"/{inside}/conv2d" in o and o.endswith("BiasAdd:0")]
    return found[0] if len(found) == 1 else ""


def _from_bytes(graph: onnx.GraphProto) -> None:
    """Bytes come in, and what does nothing before the first convolution (it takes 0 off, splits one into one) goes."""
    zero = {w.name for w in graph.initializer if not numpy_helper.to_array(w).any()}
    renamed = {graph.input[0].name: "image"}
    for node in list(graph.node):
        for k, name in enumerate(node.input):
            node.input[k] = renamed.get(name, name)
        idle = (node.op_type == "Split" and len(node.output) == 1) or (node.op_type == "Sub" and node.input[1] in zero)
        if idle and node.input[0] != node.output[0]:
            renamed[node.output[0]] = node.input[0]
            graph.node.remove(node)
    for weight in graph.initializer:
        # The same factor for every colour: runtimes take a number at once, and three numbers pixel by pixel.
        array = numpy_helper.to_array(weight)
        if array.shape == (1, 1, 1, 3) and (array == array.flat[0]).all():
            weight.CopyFrom(numpy_helper.from_array(array.reshape(-1)[0], weight.name))


def _double(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """An enlargement says its factor, which is always 2, instead of sizes that need the batch's."""
    name = f"{node.output[0]}_factor"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), name))
    del node.input[1:]
    node.input.extend(["", name])


def _pad_by_number(node: onnx.NodeProto) -> None:
    """SAME_UPPER in numbers: all inputs have even sides, so a stride of 2 lacks one row and column at the end."""
    known = {a.name: a for a in node.attribute}
    if "auto_pad" not in known:
        return
    (side, _), (stride, _) = known["kernel_shape"].ints, known["strides"].ints
    before, after = (side - stride) // 2, side - stride - (side - stride) // 2
    node.attribute.remove(known["auto_pad"])
    node.attribute.append(helper.make_attribute("pads", [before, before, after, after]))


def build_cut(source: Path, photographs: Photographs, out: Path, most: int = 200) -> dict[str, float]:
    """Cut a MoveNet file, compare it with that file, and write it with its card.

    Args:
        source: the file that was converted from Google's, its card beside it.
        photographs: of which those for validation are looked at.
        out: the file to write, its card beside it: that of the source with ``whole``, the sha256 of the source.
        most: photographs to look at, at most.

    Returns:
        ``max_px``, the largest distance of a joint or a box's corner in pixels of the input, and ``max_score``.

    Raises:
        UserError: if the file cannot be read, is none of MoveNet's, or the cut changes its answers.
    """
    known = cards.verify(source)
    model = onnx.load(source)
    cut(model)
    several = any(output.name == "box_size" for output in model.graph.output)
    side = 256 if several else model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    chosen = [i for i in range(len(photographs)) if lspet.validation(i)][:most]
    images = np.stack([
        preprocess.cut(photographs.read(i), lspet.box(photographs.joints[i]), (side, side)) for i in chosen
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "built.onnx"
        onnx.save(model, built)
        compare = _compare_people if several else _compare
        onnx_runtime = runtimes.NetworkOptions("onnx")
        max_px, max_score = compare(runtimes.load(source, onnx_runtime), runtimes.load(built, onnx_runtime), images)
        if not (max_px <= MAX_PX and max_score <= MAX_SCORE):
            raise UserError(f"the cut moves joints by {max_px:.3f} px and scores by {max_score:.4f}: it was not kept")
        shape = "H, W, 3) RGB 0-255, H and W multiples of 32" if several else f"{side}, {side}, 3) RGB 0-255"
        what = "several people" if several else "a square around one person"
        text = card.Text(
            f"{known.source}; cut at its heads: python -m engines.build --movenet {source.name}", known.licence,
            known.joints, f"uint8 image (batch, {shape}, {what}",
        )  # fmt: skip
        size: dict[str, card.Value] = {} if several else {"size": side, "input_name": "image"}
        card.write(built, text, {**known.values, **size, "whole": known.sha256})
        card.place(built, out)
    return {"max_px": max_px, "max_score": max_score}


def _compare(whole: Runtime, cut: Runtime, images: NDArray[np.uint8]) -> tuple[float, float]:
    """Largest distance of a joint (pixels of the input) and largest difference of a score, of single poses."""
    px, score = [], []
    for image in images:
        want = whole(**{"input:0": image[None].astype(np.int32)})["Identity:0"][0, 0]
        outputs = cut(image=image[None])
        uv, found, _ = decode(Single(*(outputs[name][0] for name in Single._fields)))
        px.append(np.linalg.norm(uv - want[:, 1::-1], axis=-1) * len(image))
        score.append(np.abs(found - want[:, 2]))
    return float(np.max(px)), float(np.max(score))


def _compare_people(whole: Runtime, cut: Runtime, images: NDArray[np.uint8]) -> tuple[float, float]:
    """The same of the corners of everybody's box; somebody whom only one of the two sees is infinitely far away."""
    px, score = [0.0], [0.0]
    for image in images:
        want = whole(**{"input:0": image[None].astype(np.int32)})["Identity:0"][0]
        want = want[want[:, 55] > _LEAST]
        outputs = cut(image=image[None])
        bounds, found = people(Crowd(*(outputs[name][0] for name in Crowd._fields)), _LEAST)
        if len(found) != len(want):
            return float("inf"), float("inf")
        px.append(np.abs(bounds - want[:, 51:55].reshape(-1, 2, 2)[..., ::-1]).max(initial=0) * len(image))
        score.append(np.abs(found - want[:, 55]).max(initial=0))
    return float(np.max(px)), float(np.max(score))
