"""Networks, their cards and checkpoints that are not what they are said to be: a refusal in one line. A row a fault."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.errors import UserError
from engines import cards, detectors
from engines.argument_types import MISTAKE
from engines.detectors import DetectorOptions
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from engines.training.checkpoints import load_checkpoint
from engines.types import EngineError
from tests.faults.fault import row
from tests.faults.mutations import MUTATIONS, mutate


def network(folder: Path, kernels: int = 5, inputs: int = 54, name: str = "mean", joints: int = 16) -> Path:
    """A lifter of one matrix, or what is almost one."""
    from onnx import TensorProto, helper, numpy_helper, save

    shapes = {name: (kernels, joints, 3), "sigma": (kernels, joints), "log_weight": (kernels,)}
    nodes, weights, outputs = [], [], []
    for key, shape in shapes.items():
        weights += [
            numpy_helper.from_array(np.full((inputs, int(np.prod(shape))), 0.01, np.float32), f"{key}_w"),
            numpy_helper.from_array(np.array([-1, *shape], np.int64), f"{key}_s"),
        ]
        nodes += [
            helper.make_node("MatMul", ["x", f"{key}_w"], [f"{key}_flat"]),
            helper.make_node("Reshape", [f"{key}_flat", f"{key}_s"], [key]),
        ]
        outputs.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", *shape]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])
    graph = helper.make_graph(nodes, "lifter", [x], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "mine.onnx"
    save(model, path)
    card(path)
    return path


def card(path: Path, changes: dict[str, str] | None = None) -> Path:
    values = {"scale_mm": "300.0", "kernels": "5", "temperature": "1.0", "sigma_scale": "1.0"} | (changes or {})
    known = {"source": '"here"', "licence": '"MIT"', "sha256": f'"{cards.digest(path)}"', "input": '"float32"'}
    known["joints"] = values.pop("joints", '"h36m17 without the root"')
    text = "".join(f"{key} = {value}\n" for key, value in known.items()) + "\n[values]\n"
    path.with_suffix(".toml").write_text(text + "".join(f"{key} = {value}\n" for key, value in values.items()))
    return path.with_suffix(".toml")


def test_the_network_that_the_faults_are_made_of_is_good(tmp_path: Path) -> None:
    assert MDNLifter(network(tmp_path), NetworkOptions("onnx")).kernels == 5


NETWORKS: dict[str, tuple[dict[str, Any], str]] = {
    "fewer kernels than its card says": ({"kernels": 3}, "output mean has shape (1, 3, 16, 3), expected (1, 5, 16, 3)"),
    "other inputs": ({"inputs": 32}, "its inputs are {'x': (None, 32)}"),
    "another name of an output": ({"name": "pose"}, "mean is missing"),
    "other joints": ({"joints": 17}, "output mean has shape (1, 5, 17, 3)"),
}


@pytest.mark.parametrize("fault", NETWORKS)
@row("a network: {fault}", MISTAKE, lambda values: NETWORKS[values["fault"]][1])
def test_a_network_that_is_not_what_its_card_says_is_refused(fault: str, tmp_path: Path) -> None:
    changes, word = NETWORKS[fault]
    with pytest.raises(EngineError) as caught:
        MDNLifter(network(tmp_path, **changes), NetworkOptions("onnx"))
    assert word in str(caught.value) and "\n" not in str(caught.value)


SWAPPED = {
    ("movenet-lightning", "movenet_lightning", "movenet_thunder"): "its inputs are {'image': (None, 256, 256, 3)}",
    ("movenet-lightning", "movenet_lightning", "movenet_multipose"): "offset is missing",
    ("movenet-lightning", "movenet_lightning", "lifter"): "its inputs are {'x': (None, 54)}",
    ("movenet-lightning", "movenet_multipose", "movenet_lightning"): "its inputs are {'image': (None, 192, 192, 3)}",
    ("hourglass", "movenet_multipose", "lifter"): "its inputs are {'x': (None, 54)}",
}


@pytest.mark.parametrize("swap", SWAPPED, ids=str)
@row(lambda v: "{0}: {2} in the place of {1}".format(*v["swap"]), MISTAKE, lambda v: SWAPPED[v["swap"]])
def test_a_network_in_the_place_of_another_is_refused_when_it_is_opened(
    swap: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, name, other = swap
    for path in cards.WEIGHTS.iterdir():
        if not path.name.startswith(f"{name}."):
            (tmp_path / path.name).symlink_to(path)
    for suffix in (".onnx", ".toml"):
        (tmp_path / f"{name}{suffix}").symlink_to(cards.WEIGHTS / f"{other}{suffix}")
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    with pytest.raises(EngineError) as caught:
        detectors.load(detector, DetectorOptions(NetworkOptions("onnx", "fp32")))
    assert SWAPPED[swap] in str(caught.value) and f"{name}.onnx is not a MoveNet that was cut" in str(caught.value)


CARDS: dict[str, tuple[dict[str, str], str]] = {
    "nested": ({"scale_mm": "{a = {b = 1}}"}, "scale_mm"),
    "deeply nested": ({"scale_mm": "[" * 2000}, "deeper"),
    "negated": ({"sigma_scale": "-0.8"}, "sigma_scale in [values] is -0.8"),
    "NaN": ({"temperature": "nan"}, "temperature"),
    "infinite": ({"extra": "[1.0, inf]"}, "extra"),
    "zero": ({"scale_mm": "0.0"}, "expected 1 to 100000"),
    "of a billion kernels": ({"kernels": "1000000000"}, "kernels"),
    "true kernels": ({"kernels": "true"}, "kernels"),
    "an integer of 5,000 digits": ({"kernels": "9" * 5000}, "5,000 characters"),
    "unknown joints": ({"joints": '"octopus8"'}, "octopus8"),
    "joints is a number": ({"joints": "17"}, "joints"),
}


@pytest.mark.parametrize("fault", CARDS)
@row("a card: {fault}", MISTAKE, lambda values: CARDS[values["fault"]][1])
def test_a_card_that_makes_no_sense_is_refused(fault: str, tmp_path: Path) -> None:
    changes, word = CARDS[fault]
    path = network(tmp_path)
    card(path, changes)
    with pytest.raises(EngineError) as caught:
        MDNLifter(path, NetworkOptions("onnx"))
    said = str(caught.value)
    assert word in said and "\n" not in said and len(said) < 500 + 2 * len(str(path))


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("kind", ["a FIFO", "a folder"])
@pytest.mark.parametrize("suffix", [".onnx", ".toml"])
@row("{kind} as the {suffix} of a network", MISTAKE, lambda values: values["kind"], "it is not opened")
def test_weights_and_cards_that_are_no_files_are_not_opened(kind: str, suffix: str, tmp_path: Path) -> None:
    path = network(tmp_path).with_suffix(suffix)
    path.unlink()
    (os.mkfifo if kind == "a FIFO" else make_folder)(path)
    with pytest.raises(EngineError, match=kind):
        MDNLifter(path.with_suffix(".onnx"), NetworkOptions("onnx"))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no archive", b"\x80\x02}q\x00.", b"text"])
@row(
    lambda v: "a FIFO as a checkpoint" if v["content"] is None else f"a checkpoint of the bytes {v['content']!r}",
    MISTAKE,
    "one line",
    "no warning of a library comes before",
)
def test_a_checkpoint_that_is_none_is_refused_without_a_warning(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with warnings.catch_warnings(record=True) as said, pytest.raises(UserError) as caught:
        warnings.simplefilter("always")
        load_checkpoint(path)
    assert not said and "\n" not in str(caught.value)


@row("200 random mutations of a card", MISTAKE, "one line, or the card is read")
def test_no_mutation_of_a_card_raises_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"weights")
    written = card(path, {"of": '"abc"', "list": "[1.0, 2.0]", "accepted": "true"})
    good, read = written.read_bytes(), 0
    for seed in MUTATIONS:
        written.write_bytes(mutate(good, seed))
        try:
            found = cards.load_card(path)
            for key in ("scale_mm", "kernels"):
                cards.number(found, key, 1, 1e5)
            read += 1
        except EngineError as error:
            assert "\n" not in str(error) and len(str(error)) < 800, f"mutation {seed}"
    assert 5 < read < 150, "a mutation that never or always breaks it tests nothing"
