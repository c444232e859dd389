"""Networks rewritten for int8: the same function, channels of like range, and int8 that loses less than it would."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import UserError
from engines.build import activations, equalise
from engines.build.int8_prepare import prepare
from engines.build.int8_quantise import quantise

SIDE = 16


def network(seed: int = 0) -> onnx.ModelProto:
    """Bytes, a layer with Relu6, a depthwise one with Relu6, a dense one, and one added to what came before.

    Channels differ a hundredfold in range, as those of MobileNets do.
    """
    rng = np.random.default_rng(seed)
    loud = np.exp(rng.normal(0, 1.5, 24))
    weights = {
        "w1": rng.normal(size=(24, 3, 3, 3)) * loud[:, None, None, None] * 0.3, "b1": rng.normal(size=24) * loud * 0.1,
        "w2": rng.normal(size=(24, 1, 3, 3)) / 3, "b2": rng.normal(size=24) * 0.1,
        "w3": rng.normal(size=(24, 24, 1, 1)) * np.exp(rng.normal(0, 1, (24, 1, 1, 1))) / 5,
        "b3": rng.normal(size=24) * 0.1,
        "w4": rng.normal(size=(24, 24, 1, 1)) / 5, "b4": rng.normal(size=24) * 0.1,
        "w5": rng.normal(size=(4, 24, 1, 1)) / 5, "b5": np.zeros(4),
        "factor": np.array(2 / 255), "one": np.array(1.0), "zero": np.array(0.0), "six": np.array(6.0),
    }  # fmt: skip
    make = helper.make_node
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        make("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        make("Mul", ["f", "factor"], ["m"]), make("Sub", ["m", "one"], ["s"]),
        make("Transpose", ["s"], ["x"], perm=[0, 3, 1, 2]),
        make("Conv", ["x", "w1", "b1"], ["c1"], strides=[2, 2], pads=[0, 0, 1, 1]),
        make("Clip", ["c1", "zero", "six"], ["r1"]),
        make("Conv", ["r1", "w2", "b2"], ["c2"], group=24, **same), make("Clip", ["c2", "zero", "six"], ["r2"]),
        make("Conv", ["r2", "w3", "b3"], ["c3"]), make("Conv", ["c3", "w4", "b4"], ["c4"]),
        make("Relu", ["c4"], ["r4"]),
        make("Add", ["c3", "r4"], ["sum"]), make("Conv", ["sum", "w5", "b5"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, SIDE // 2, SIDE // 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def images(count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"image": rng.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)} for _ in range(count)]


def answers(model: onnx.ModelProto, feeds: list[dict[str, np.ndarray]]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([np.asarray(session.run(["y"], feed)[0]) for feed in feeds])


def largest(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    names = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Clip", "Relu", "Add")]
    seen = activations.extremes(model, names, images(20))
    return {name: np.maximum(-low.min(0), high.max(0)) for name, (low, high) in seen.items()}


def equalised(model: onnx.ModelProto) -> None:
    equalise.equalise(model.graph, largest(model))


@pytest.mark.parametrize("step", [equalised, lambda model: equalise.fill_blocks(model.graph)])
def test_the_function_stays(step: Callable[[onnx.ModelProto], None]) -> None:
    model = network()
    prepare(model)
    want = answers(model, images(20))
    step(model)
    np.testing.assert_allclose(answers(model, images(20)), want, atol=1e-3 * np.abs(want).max())


def test_bytes_go_into_the_first_layer_as_they_are() -> None:
    model = network()
    want = answers(model, images(5))
    prepare(model)
    assert [node.op_type for node in model.graph.node][:5] == ["Pad", "Transpose", "Cast", "Mul", "Conv"]
    got = answers(model, images(5))
    # The border is a byte's grey, a quarter of a per cent off.
    np.testing.assert_allclose(got[..., :-2, :-2], want[..., :-2, :-2], atol=1e-4 * np.abs(want).max())
    np.testing.assert_allclose(got, want, atol=0.02 * np.abs(want).max())


def test_channels_come_to_a_like_range() -> None:
    model = network()
    prepare(model)
    before = largest(model)
    equalised(model)
    after = largest(model)
    # Before a depthwise layer it is free; a dense one shares, with weights that would become unlike in their place.
    for name, share in (("r1", 0.2), ("c3", 0.8)):
        assert np.ptp(np.log(after[name])) < share * np.ptp(np.log(before[name]))


def test_depthwise_layers_get_whole_blocks() -> None:
    model = network()
    prepare(model)
    equalise.fill_blocks(model.graph)
    weights = {weight.name: numpy_helper.to_array(weight).shape for weight in model.graph.initializer}
    assert (weights["w1"][0], weights["w2"][0], weights["w3"][:2], weights["w5"][:2]) == (32, 32, (24, 32), (4, 24))


def normed() -> onnx.ModelProto:
    """Two layers side by side, 9 channels in all, a norm of them and a last layer."""
    rng, make = np.random.default_rng(4), helper.make_node
    weights = {
        "factor": np.array(1 / 255), "w1": rng.normal(size=(5, 3, 3, 3)), "w2": rng.normal(size=(4, 5, 3, 3)) / 3,
        "b1": np.zeros(5), "b2": np.zeros(4), "gain": rng.uniform(0.5, 2, 9), "shift": rng.normal(size=9),
        "mean": rng.normal(size=9), "variance": rng.uniform(0.5, 2, 9), "w3": rng.normal(size=(4, 9, 1, 1)),
        "b3": np.zeros(4),
    }  # fmt: skip
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        make("Cast", ["image"], ["f"], to=TensorProto.FLOAT), make("Mul", ["f", "factor"], ["m"]),
        make("Transpose", ["m"], ["x"], perm=[0, 3, 1, 2]), make("Conv", ["x", "w1", "b1"], ["c1"], **same),
        make("Relu", ["c1"], ["r1"]), make("Conv", ["r1", "w2", "b2"], ["c2"], **same),
        make("Concat", ["r1", "c2"], ["both"], axis=1),
        make("BatchNormalization", ["both", "gain", "shift", "mean", "variance"], ["n"]),
        make("Conv", ["n", "w3", "b3"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, SIDE, SIDE])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def test_a_norm_of_layers_side_by_side_goes_to_int8(tmp_path: Path) -> None:
    """What it reads has no whole blocks of channels and gets none, so neither has what it makes."""
    model, out = normed(), tmp_path / "n.int8.onnx"
    want = answers(model, images(30, seed=9))
    onnx.save(model, tmp_path / "n.onnx")
    quantise(tmp_path / "n.onnx", images(40), out)
    got = answers(onnx.load(out), images(30, seed=9))
    assert np.abs(got - want).mean() < 0.05 * np.abs(want).mean()


def test_int8_is_nearer_than_what_the_tool_makes_by_itself(tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(images(40))

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            return next(self._left, None)

    model = network()
    want = answers(model, images(30, seed=9))
    onnx.save(model, tmp_path / "net.onnx")
    plain = tmp_path / "tool.onnx"
    quantize_static(
        tmp_path / "net.onnx", plain, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Clip", "Relu"],
    )  # fmt: skip
    ours = tmp_path / "net.int8.onnx"
    quantise(tmp_path / "net.onnx", images(40), ours)
    off = {path: np.abs(answers(onnx.load(path), images(30, seed=9)) - want).mean() for path in (plain, ours)}
    assert off[ours] < 0.7 * off[plain]
    made = {name: node for node in onnx.load(ours).graph.node for name in node.output}
    assert all(made[node.input[1]].op_type == "DequantizeLinear" for node in made.values() if node.op_type == "Conv")


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), tmp_path / "n.onnx")
    with pytest.raises(UserError, match="no convolution to quantise"):
        quantise(tmp_path / "n.onnx", [], tmp_path / "n.int8.onnx")


def test_what_leads_to_a_softmax_is_not_rounded(tmp_path: Path) -> None:
    model = network()
    graph, rng, make = model.graph, np.random.default_rng(5), helper.make_node
    # A second way to the logits, as what a trunk says is added to what the last stack does.
    graph.initializer.append(numpy_helper.from_array(rng.normal(size=(4, 24, 1, 1)).astype(np.float32) * 9, "w6"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, 4, -1]), "flat"))
    graph.node.extend([
        make("Conv", ["r2", "w6"], ["early"]), make("Add", ["y", "early"], ["logits"]),
        make("Reshape", ["logits", "flat"], ["cells"]), make("Softmax", ["cells"], ["chance"], axis=-1),
    ])  # fmt: skip
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("chance", TensorProto.FLOAT, ["batch", 4, (SIDE // 2) ** 2]))
    onnx.save(model, tmp_path / "in.onnx")
    quantise(tmp_path / "in.onnx", images(12), tmp_path / "out.onnx")
    built = onnx.load(tmp_path / "out.onnx").graph
    rounded = {node.input[0] for node in built.node if node.op_type == "QuantizeLinear"}
    assert not rounded & {"y", "early", "logits"}
    assert {"c1", "r1"} & rounded and "r2" in rounded, "what comes before is in int8"
