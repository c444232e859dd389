"""From a checkpoint of the hourglass to the files that run, float and int8."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from calibration.errors import UserError
from engines import cards, preprocess, runtimes
from engines.build import card, hourglass, int8_detector, int8_prepare, parity
from engines.build.__main__ import main
from engines.detectors.hourglass import Hourglass, surety
from engines.models.hourglass import HourglassShape, StackedHourglass
from engines.training.checkpoints import save
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import crops, pseudo_labels
from tests.mistakes import refused

pytestmark = pytest.mark.timeout(600)  # the fixtures train and build in half a minute of a core that is free
COLOURS = [(b, g, r) for b in (40, 250) for g in (40, 250) for r in (40, 250)] + [
    (40, 140, 40), (40, 140, 250), (140, 40, 140), (140, 250, 140), (250, 140, 40), (250, 140, 250)
]  # fmt: skip
SIDE = 64


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """180 people who are nothing but coloured joints."""
    folder, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    joints = np.ones((180, 14, 3), np.float32)
    joints[..., :2] = rng.uniform(15, 105, (180, 14, 2))
    # Right shoulder and left hip far apart: the torso is what distances are measured by.
    joints[:, 8, :2], joints[:, 3, :2] = rng.uniform(15, 30, (180, 2)), rng.uniform(90, 105, (180, 2))
    for k, one in enumerate(joints):
        image = rng.integers(95, 115, (120, 120, 3)).astype(np.uint8)
        for colour, (x, y, _) in zip(COLOURS, one, strict=True):
            cv2.circle(image, (round(float(x)), round(float(y))), 6, colour, -1)
        cv2.imwrite(str(folder / f"im{k + 1:05d}.png"), image)
    np.savez(folder / "joints.npz", joints=joints, image_id=np.arange(1, 181))
    return Photographs(folder, folder / "joints.npz")


@pytest.fixture(scope="module")
def trained(people: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small hourglass that finds them, after some seconds of training."""
    rows = [k for k in range(len(people)) if not lspet.validation(k)]
    boxes = [lspet.box(people.joints[k]) for k in rows]
    cut = [preprocess.cut(people.read(k), box, (SIDE, SIDE)) for k, box in zip(rows, boxes, strict=True)]
    images = torch.from_numpy(np.stack(cut))
    xy, seen = pseudo_labels.to_mpii(people.joints[rows])
    corner = np.array([[box.left - 0.5, box.top - 0.5] for box in boxes], np.float32)
    xy = torch.from_numpy((xy - corner[:, None]) * (SIDE / np.array([[[b.width]] for b in boxes], np.float32)))
    seen = torch.from_numpy(seen)
    torch.manual_seed(0)
    # Sums are added up in an order that follows the threads, of which other tests leave more or fewer.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net, steps = StackedHourglass(HourglassShape(1, 32, 16, 1)), 130
    optimiser = torch.optim.AdamW(net.parameters(), 4e-3)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
        k = torch.randint(len(rows), (16,))
        cell = (xy[k] / 4).long().clamp(0, SIDE // 4 - 1)
        wanted = cell[..., 1] * (SIDE // 4) + cell[..., 0]
        maps = net.logits(images[k].permute(0, 3, 1, 2) / 255)
        losses = [nn.functional.cross_entropy(m.flatten(2)[seen[k]], wanted[seen[k]]) for m in maps]
        loss = torch.stack(losses).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)
    path = tmp_path_factory.mktemp("trained") / "checkpoint.pt"
    save(path, settings={"stacks": 1, "features": 32, "depth": 1, "size": SIDE}, averaged=net.state_dict(), epoch=3)
    return path


@pytest.fixture(scope="module")
def built(trained: Path, people: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "hourglass.onnx"
    report = hourglass.build_hourglass(trained, people, out)
    assert report["parity_mean_px"] < 0.05
    assert report["lspet_pck"] > 75
    return out


def test_a_built_hourglass_finds_the_joints(built: Path, people: Photographs) -> None:
    assert not {"Shape", "Concat", "Dropout"} & {node.op_type for node in onnx.load(built).graph.node}
    known = cards.verify(built)
    assert (known.joints, known.values["size"], known.values["epochs"]) == ("mpii16", SIDE, 3)
    detector = Hourglass(built, lambda path: runtimes.load(path, runtimes.NetworkOptions("onnx")))
    row = 4
    xy, score, _ = detector.estimate(people.read(row), lspet.box(people.joints[row]))
    truth, seen = lspet.to_h36m(people.joints[row])
    sure = seen & (score > 0.5)
    assert sure.sum() >= 8
    assert np.median(np.linalg.norm(xy - truth, axis=1)[sure]) < 3


@pytest.fixture(scope="module")
def quantised(built: Path, people: Photographs) -> tuple[Path, dict[str, Any]]:
    """The same in int8, and its report."""
    out = built.with_suffix(".int8.onnx")
    known = cards.load_card(built)
    text = card.Text(known.source, known.licence, known.joints, known.input)
    card.write(built, text, {**known.values, "demo_pck": 49.6, "cost_ms": 4.6})
    with pytest.MonkeyPatch.context() as patch:
        # Of so few people a single joint is half a point, and some lie at the edge of a torso's fifth.
        patch.setattr(int8_detector, "MAX_LOSS", 5.0)
        return out, int8_detector.build_int8_detector(built, people, out)


def test_an_int8_hourglass_finds_them_too(built: Path, quantised: tuple[Path, dict[str, Any]]) -> None:
    out, report = quantised
    assert report["pck_loss"] <= 5
    assert 0 < report["parity_mean_px"] < 1
    known, int8 = cards.verify(built), cards.verify(out)
    assert int8.values["of"] == known.sha256
    assert int8.values["accepted"] is True
    assert int8.values["float_lspet_pck"] == pytest.approx(known.values["lspet_pck"], abs=0.5)
    assert known.values.keys() - int8.values.keys() == {"demo_pck", "cost_ms"}, "of this one nobody measured them"
    assert int8.values["score_slope"] != known.values["score_slope"], "int8 peaks have a meaning of their own"
    nodes = onnx.load(out).graph.node
    kinds = [node.op_type for node in nodes]
    assert "BatchNormalization" not in kinds
    made = {name: node.op_type for node in nodes for name in node.output}
    layers = [k for k, node in enumerate(node for node in nodes if node.op_type == "Conv")]
    plain = [k for k, node in enumerate(n for n in nodes if n.op_type == "Conv")
             if made.get(node.input[1]) != "DequantizeLinear"]  # fmt: skip
    assert plain == [layers[0], layers[-1]], "the first and the last layer are in float"


def test_openvino_finds_them_with_int8(
    built: Path, quantised: tuple[Path, dict[str, Any]], people: Photographs
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    # It rounds elsewhere, so single cells differ; the joints are where they were.
    crop, _ = crops.validation(people, SIDE, 20)
    want = hourglass.find(runtimes.load(built, runtimes.NetworkOptions("onnx")), crop)
    xy, _ = hourglass.find(runtimes.load(quantised[0], runtimes.NetworkOptions("openvino")), crop)
    parity.pixels(*want, xy, SIDE).check("int8")


def test_preparing_for_int8_changes_nothing(built: Path, tmp_path: Path) -> None:
    model = onnx.load(built)
    int8_prepare.prepare(model)
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds
    assert "Cast" not in kinds
    onnx.save(model, tmp_path / "p.onnx")
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    a, b = (
        runtimes.load(path, runtimes.NetworkOptions("onnx"))(image=image)["heatmaps"]
        for path in (built, tmp_path / "p.onnx")
    )
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_ranges_found_on_the_wrong_pictures_are_refused(
    built: Path, people: Photographs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, joints = people.read(0), tmp_path / "joints.npz"
    images = tmp_path / "people"
    images.mkdir()
    for k in range(len(people)):
        cv2.imwrite(str(images / f"im{k + 1:05d}.png"), people.read(k))
    np.savez(joints, joints=people.joints, image_id=people.image_id)
    grey = tmp_path / "grey"
    grey.mkdir()
    cv2.imwrite(str(grey / "a.png"), np.full_like(folder, 105))
    flags = "--int8", built, "--images", images, "--joints", joints, "--out", tmp_path / "o.int8.onnx"
    assert "the int8 build moves joints" in refused(capsys, main, "build", *flags, "--calibration", grey)
    assert not list(tmp_path.glob("o.*"))
    assert "no picture" in refused(capsys, main, "build", *flags, "--calibration", tmp_path)


def test_an_untrained_hourglass_is_refused(people: Photographs, tmp_path: Path) -> None:
    net = StackedHourglass(HourglassShape(1, 16, 16, 1))
    nn.init.zeros_(net.heads[0].weight)  # pyright: ignore[reportArgumentType]
    settings = {"stacks": 1, "features": 16, "depth": 1, "size": SIDE}
    save(tmp_path / "c.pt", settings=settings, averaged=net.state_dict(), epoch=0)
    with pytest.raises(UserError, match="sure of no joint"):
        hourglass.build_hourglass(tmp_path / "c.pt", people, tmp_path / "h.onnx", most=3)
    assert not (tmp_path / "h.onnx").exists()


def test_half_precision_of_an_hourglass(trained: Path, people: Photographs, tmp_path: Path) -> None:
    net, _ = hourglass.read(trained)
    hourglass.LastHeatmaps(net, half=True)
    assert {p.dtype for p in net.parameters()} == {torch.float32}, "halving a copy halved the original"
    hourglass.build_hourglass(trained, people, tmp_path / "h.onnx", "fp16", most=6)
    graph = onnx.load(tmp_path / "h.onnx").graph
    assert {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    assert {w.data_type for w in graph.initializer if len(w.dims) == 4} == {TensorProto.FLOAT16}
    assert cards.verify(tmp_path / "h.onnx").values["precision"] == "fp16"


def test_half_precision_that_loses_joints_is_refused(
    trained: Path, people: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def astray(_half: nn.Module, images: Any) -> Any:
        xy, _ = hourglass.predict(net, images)
        xy[:, :8] = -SIDE  # the others do not move at all
        return xy

    net, _ = hourglass.read(trained)
    monkeypatch.setattr(hourglass, "_find_in_torch", astray)
    with pytest.raises(UserError, match="the fp16 build moves joints"):
        hourglass.build_hourglass(trained, people, tmp_path / "h.onnx", "fp16", most=6)


def test_the_meaning_of_a_peak_is_found_again() -> None:
    rng = np.random.default_rng(0)
    height = rng.random((3000, 16))
    labels = np.ones((3000, 16, 3))
    labels[..., :2] = rng.uniform(0, 200, (3000, 16, 2))
    labels[:, 12, :2], labels[:, 3, :2] = (0, 0), (100, 0)
    right = rng.random((3000, 16)) < surety(height, 0.35, 8.0)
    xy = labels[..., :2] + np.where(right, 5, 50)[..., None]
    found = hourglass.meaning(xy, height, labels)
    assert found["score_middle"] == pytest.approx(0.35, abs=0.01)
    assert found["score_slope"] == pytest.approx(8.0, rel=0.05)
