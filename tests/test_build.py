"""From checkpoints to the files that run: what is built answers like torch, and what does not is refused."""

import copy
import dataclasses
import errno
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from calibration import writing
from calibration.errors import UserError
from engines import cards, runtimes
from engines.build import card, hourglass, int8_lifter, lifter, parity
from engines.build.__main__ import main
from engines.build.export import export, fold_norms, store_half, unpack_half
from engines.lifter import INPUTS, MDNLifter
from engines.models.hourglass import HourglassShape, StackedHourglass
from engines.models.mdn import MDN, MDNShape, modified_elu
from engines.training.checkpoints import save
from engines.training.data.mocap import TRAIN_FILES
from engines.training.lifter.train import LifterSettings
from tests.bodies import standing
from tests.mistakes import refused

WIDTH = 256


def lifter_network(sigma: str = "joint", width: int = WIDTH) -> MDN:
    """Untrained, but for batch norms with statistics that are not 0 and 1; its hypotheses lie some 100 mm apart."""
    torch.manual_seed(0)
    net = MDN(MDNShape(width=width, sigma=sigma))
    for _ in range(3):
        net(torch.randn(64, INPUTS) * 2 + 1)
    for head in (net.mean, net.sigma, net.weight):
        head.weight.data *= 0.1
    return net.eval()


def outputs(network: nn.Module, x: torch.Tensor) -> list[np.ndarray]:
    with torch.inference_mode():
        return [out.numpy() for out in network(x)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lifter") / "x.onnx"
    lifter.write_onnx(lifter_network(), path)
    return path


# folding and export


@pytest.mark.parametrize("sigma", ["joint", "kernel"])
def test_folding_changes_nothing_and_leaves_the_network_alone(sigma: str) -> None:
    net = lifter_network(sigma)
    before, x = copy.deepcopy(net.state_dict()), torch.randn(37, INPUTS)
    for a, b in zip(outputs(net, x), outputs(lifter.Folded(net), x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    lifter.Folded(net, half=True)
    after = net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before), "halving a copy halved the original"
    assert not any(isinstance(m, nn.BatchNorm1d | nn.Dropout) for m in lifter.Folded(net).modules())


def test_small_sigmas_survive_the_short_form_of_the_activation() -> None:
    net = lifter_network()
    net.sigma.weight.data.zero_()
    net.sigma.bias.data.fill_(-12.0)
    wanted = modified_elu(torch.tensor(-12.0, dtype=torch.float64)).item()
    for half in (False, True):
        sigma = outputs(lifter.Folded(net, half), torch.zeros(1, INPUTS))[1]
        np.testing.assert_allclose(sigma, wanted, rtol=2e-3)


class Shared(nn.Module):
    """Norms that fold (after a convolution), that must not (its layer is used twice), and that cannot (after a sum)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.twice, self.norm2, self.norm3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.first(x)))
        return self.norm3(x + self.twice(self.norm2(self.twice(x))))


def test_only_norms_that_can_be_are_folded() -> None:
    torch.manual_seed(0)
    net = Shared()
    for _ in range(3):
        net(torch.randn(4, 3, 8, 8) * 3 + 1)
    folded, x = fold_norms(net), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(x), net.eval()(x), rtol=1e-4, atol=1e-4)
    assert sorted(name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)) == ["norm2", "norm3"]


def test_an_exported_file_answers_like_torch_and_says_nothing_of_this_machine(exported: Path) -> None:
    net, x = lifter_network(), torch.randn(37, INPUTS)
    out = runtimes.load(exported, runtimes.NetworkOptions("onnx"))(x=x.numpy())
    for name, wanted in zip(lifter.OUTPUTS, outputs(net, x), strict=True):
        np.testing.assert_allclose(out[name], wanted, rtol=0.02, atol=0.02)
    one = runtimes.load(exported, runtimes.NetworkOptions("onnx"))(x=x[:1].numpy())
    np.testing.assert_allclose(one["mean"][0], out["mean"][0], atol=1e-5)
    content = exported.read_bytes()
    for word in (str(Path(__file__).parents[1]), "site-packages", "stack_trace", ".py"):
        assert word.encode() not in content, word
    large = [w for w in onnx.load(exported).graph.initializer if np.prod(w.dims) >= 256]
    assert {w.data_type for w in large if len(w.dims) == 2} == {TensorProto.FLOAT16}


def test_storing_as_half_is_undone(exported: Path) -> None:
    model = onnx.load(exported)
    assert any(node.op_type == "Cast" for node in model.graph.node)
    unpack_half(model)
    assert not any(node.op_type == "Cast" for node in model.graph.node)
    again = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    store_half(model)
    unpack_half(model)
    for w in model.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(w), again[w.name])


def test_enlargements_are_constant_where_they_are_whole(tmp_path: Path) -> None:
    """At 72 px a map of 5 cells is enlarged to 9: that keeps its sizes, while 9 to 18 is by 2."""
    side = 72
    torch.manual_seed(0)
    net = StackedHourglass(HourglassShape(2, 16, 16, 2)).eval()
    folded, example = hourglass.LastHeatmaps(net), torch.zeros(2, 3, side, side)
    export(folded, example, tmp_path / "h.onnx", ["image"], ["heatmaps"], store_as_half=False)
    nodes = onnx.load(tmp_path / "h.onnx").graph.node
    constant = [len(node.input) == 3 for node in nodes if node.op_type == "Resize"]
    assert constant == [False, True] * 2
    x = torch.rand(3, 3, side, side)
    with torch.inference_mode():
        wanted = net(x)[-1].numpy()
    got = runtimes.load(tmp_path / "h.onnx", runtimes.NetworkOptions("onnx"))(image=x.numpy())["heatmaps"]
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def test_a_half_network_is_half_inside_and_float_outside(tmp_path: Path) -> None:
    net, x = lifter_network(), torch.randn(20, INPUTS)
    lifter.write_onnx(net, tmp_path / "h.onnx", "fp16")
    graph = onnx.load(tmp_path / "h.onnx").graph
    assert {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    assert {w.data_type for w in graph.initializer if len(w.dims) == 2} == {TensorProto.FLOAT16}
    assert [node.op_type for node in graph.node].count("Cast") == 2, "in and out, and none around a weight"
    mean = runtimes.load(tmp_path / "h.onnx", runtimes.NetworkOptions("onnx"))(x=x.numpy())["mean"]
    np.testing.assert_allclose(mean, outputs(net, x)[0], rtol=0.02, atol=0.02)


# parity


def test_distances_of_hypotheses_are_what_they_are() -> None:
    mean, sigma = np.zeros((2, 3, 16, 3)), np.full((2, 3, 16), 0.5)
    got = mean.copy()
    got[0, 0, 0] = [0.3, 0.4, 0]
    found = parity.millimetres(mean, sigma, got, 300.0)
    assert found.max_mm == pytest.approx(150)
    assert found.mean_mm == pytest.approx(150 / 96)
    assert found.max_sigma == pytest.approx(1)
    with pytest.raises(UserError, match=r"at most 1\.00 sigma .* not kept"):
        found.check("int8")
    parity.millimetres(mean, sigma, mean, 300.0).check("fp32")
    with pytest.raises(UserError, match="not kept"):
        parity.millimetres(mean, sigma, mean * np.nan, 300.0).check("int8")


def test_joints_that_jump_are_told_from_those_that_move() -> None:
    xy, height = np.zeros((10, 16, 2)), np.full((10, 16), 0.9)
    height[:, 8:] = 0.1
    got = xy + [0.3, 0.4]
    got[:, 8:] = 77
    found = parity.pixels(xy, height, got, 64)
    assert (found.joints, found.jumped) == (80, 0)
    assert found.mean_px == pytest.approx(0.5)
    got[0, :4] = 40
    found = parity.pixels(xy, height, got, 64)
    assert found.jumped == pytest.approx(0.05)
    assert found.mean_px == pytest.approx(0.5)
    with pytest.raises(UserError, match=r"5\.00% of them"):
        found.check("int8")
    with pytest.raises(UserError, match="sure of no joint"):
        parity.pixels(xy, height * 0, got, 64).check("int8")


def test_the_worse_of_two_counts_in_every_figure() -> None:
    a, b = parity.Millimetres(9.0, 0.2, 3.0, 0.1), parity.Millimetres(8.0, 0.3, 4.0, 0.05)
    assert parity.worse(a, b) == parity.Millimetres(9.0, 0.3, 4.0, 0.1)
    joints = parity.worse(parity.Pixels(9.0, 0.5, 0.0, 80), parity.Pixels(8.0, 0.1, 0.5, 80))
    assert joints == parity.Pixels(9.0, 0.5, 0.5, 80)
    assert isinstance(joints.joints, int)
    lost = parity.Millimetres(*[float("nan")] * 4)
    for found in (parity.worse(a, lost), parity.worse(lost, a)):
        with pytest.raises(UserError, match="not kept"):
            found.check("fp16")


def test_half_precision_that_overflows_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's ONNX Runtime computes the file in float32, so that only torch shows it."""

    class Overflowing(lifter.Folded):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            mean, sigma, weight = super().forward(x)
            return torch.where(torch.arange(len(x)).view(-1, 1, 1, 1) == 3, torch.nan, mean), sigma, weight

    x = np.random.default_rng(0).normal(size=(8, INPUTS)).astype(np.float32)
    lifter.compare(lifter_network(), exported, x, 300.0, "fp16").check("fp16")
    monkeypatch.setattr(lifter, "Folded", Overflowing)
    with pytest.raises(UserError, match="the fp16 build differs by"):
        lifter.compare(lifter_network(), exported, x, 300.0, "fp16").check("fp16")


# int8 of the lifter


def test_blocks_are_as_near_as_eight_bits_allow() -> None:
    weight = np.random.default_rng(0).normal(size=(32, 768)).astype(np.float32)
    weight[0, :256] = 0
    weight[1, 0] = 1000
    q, scale = int8_lifter._blocks(weight)
    back = ((q.astype(np.float32) - 128) * scale[..., None]).reshape(weight.shape)
    assert (np.abs(back - weight).reshape(32, 3, 256) <= scale[..., None] / 2 * 1.001).all()
    assert q.min() >= 1
    np.testing.assert_allclose(back[1, 256:], weight[1, 256:], atol=0.02, err_msg="an outlier spoils its block only")


def test_int8_is_small_near_and_the_same_in_a_batch(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    assert int8_lifter.quantise(model) == 5, "four matrices and the heads, not the first layer"
    onnx.save(model, tmp_path / "x.int8.onnx")
    assert (tmp_path / "x.int8.onnx").stat().st_size < 0.62 * exported.stat().st_size
    x = np.random.default_rng(0).normal(size=(40, INPUTS)).astype(np.float32)
    x[0] *= 100  # were there one scale for the batch, the others would have few steps left
    want = runtimes.load(exported, runtimes.NetworkOptions("onnx"))(x=x)
    int8 = runtimes.load(tmp_path / "x.int8.onnx", runtimes.NetworkOptions("onnx"))
    got = int8(x=x)
    error, size = (np.linalg.norm(a[1:], axis=-1) for a in (got["mean"] - want["mean"], want["mean"]))
    assert 0 < error.mean() < 0.02 * size.mean()
    alone = np.concatenate([int8(x=row[None])["mean"] for row in x])
    # A product of one row may round otherwise than one of forty, and a feature then falls on the next step.
    np.testing.assert_allclose(alone[1:], got["mean"][1:], atol=2e-3, err_msg="an answer depends on the batch")


def test_openvino_reads_int8(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    model = onnx.load(exported)
    int8_lifter.quantise(model)
    onnx.save(model, tmp_path / "x.int8.onnx")
    x = np.random.default_rng(0).normal(size=(4, INPUTS)).astype(np.float32)
    a, b = (
        runtimes.load(tmp_path / "x.int8.onnx", runtimes.NetworkOptions(name))(x=x)["mean"]
        for name in ("onnx", "openvino")
    )
    np.testing.assert_allclose(a, b, atol=0.02 * np.abs(a).max())


def test_other_products_are_left_alone() -> None:
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((256, 256), np.float32), "w")
    bias = numpy_helper.from_array(np.ones(256, np.float32), "b")
    for attributes in ({"transB": 0}, {"transB": 1, "alpha": 0.5}, {"transB": 1, "beta": 2.0}):
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)
        sides = [value("x", TensorProto.FLOAT, ["n", 256])], [value("y", TensorProto.FLOAT, ["n", 256])]
        model = helper.make_model(helper.make_graph([node], "g", *sides, [weight, bias]))
        assert int8_lifter.quantise(model) == 0
        assert [node.op_type for node in model.graph.node if node.op_type != "Cast"] == ["Gemm"]


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of motion capture as small as can be, with all the splits in it."""
    folder = tmp_path_factory.mktemp("mocap")
    for seed, name in enumerate(TRAIN_FILES):
        who = np.array(["A", "CMU_07", "CMU_08"])[np.arange(60) % 3]
        np.savez(folder / name, joints=standing(60, seed, 0.2).astype("float32"), subject=who)
    return folder


def lifter_checkpoint(path: Path, net: MDN) -> Path:
    settings = dataclasses.asdict(LifterSettings(width=net.shape.width))
    save(path, settings=settings, averaged=net.state_dict(), done=7, data="mocap")
    return path


def run(capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    return refused(capsys, main, "build", *flags)


@pytest.fixture(scope="module")
def built_lifter(mocap: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built-lifter")
    checkpoint, out = lifter_checkpoint(folder / "checkpoint.pt", lifter_network()), folder / "my.onnx"
    assert main(["--checkpoint", str(checkpoint), "--out", str(out), "--data", str(mocap)]) == 0
    return out


def test_a_lifter_from_checkpoint_to_int8(
    tmp_path: Path, mocap: Path, built_lifter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my.onnx"
    card.place(built_lifter, out)
    assert main(["--int8", str(out), "--data", str(mocap)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"wrote {tmp_path / 'my.int8.onnx'}: parity_max_mm ")
    assert "largest_change_mm" in said
    known, int8 = cards.verify(out), cards.verify(tmp_path / "my.int8.onnx")
    assert known.values["precision"] == "fp32"
    assert int8.values["of"] == known.sha256
    assert int8.values["accepted"] is True
    assert int8.values["float_best_mpjpe_mm"] == known.values["best_mpjpe_mm"]
    assert int8.values["best_mpjpe_mm"] == pytest.approx(known.values["best_mpjpe_mm"], abs=1)
    assert int8.values["noise2_argmax_mpjpe_mm"] != known.values["noise2_argmax_mpjpe_mm"]
    for key in ("temperature", "sigma_scale", "scale_mm", "kernels"):
        assert int8.values[key] == known.values[key]
    assert (int8.licence, int8.joints, int8.input) == (known.licence, known.joints, known.input)
    assert MDNLifter(tmp_path / "my.int8.onnx").kernels == 5
    assert sorted(p.name for p in tmp_path.glob("my*")) == ["my.int8.onnx", "my.int8.toml", "my.onnx", "my.toml"]

    before = (tmp_path / "my.int8.onnx").read_bytes()
    out.write_bytes(out.read_bytes() + b" ")
    assert "leave out --calibration" in run(capsys, "--int8", built_lifter, "--calibration", tmp_path)
    assert "do not match their card" in run(capsys, "--int8", out, "--data", mocap)
    assert (tmp_path / "my.int8.onnx").read_bytes() == before


def test_a_build_that_loses_too_much_is_refused(
    tmp_path: Path, mocap: Path, built_lifter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of 300,000 for a feature that is always 0: nothing to float32, and the scale of a whole block to int8."""
    out = tmp_path / "my.onnx"
    card.place(built_lifter, out)
    model = onnx.load(out)
    unpack_half(model)
    weights = {w.name: w for w in model.graph.initializer}
    first, second, *_ = (node for node in model.graph.node if node.op_type == "Gemm")
    bias, matrix = (numpy_helper.to_array(weights[n]).copy() for n in (first.input[2], second.input[1]))
    bias[0] -= 1e6
    matrix[:, 0] = 3e5
    for name, array in ((first.input[2], bias), (second.input[1], matrix)):
        weights[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, out)
    known = cards.load_card(out)
    card.write(out, card.Text(known.source, known.licence, known.joints, known.input), dict(known.values))
    (tmp_path / "my.int8.onnx").write_text("the old one")
    capsys.readouterr()
    assert "the int8 build differs by" in run(capsys, "--int8", out, "--data", mocap)
    assert (tmp_path / "my.int8.onnx").read_text() == "the old one"
    assert not list(tmp_path.glob(".*"))


# files, cards and mistakes


def test_a_file_is_placed_whole_or_not_at_all(tmp_path: Path) -> None:
    text = card.Text('a "quoted" \\ source', "MIT", "none", "x")
    new, out = tmp_path / "new.onnx", tmp_path / "out.onnx"
    new.write_bytes(b"new")
    card.write(new, text, {"a": 1, "b": 0.5, "c": "x", "d": [1.0, 2.0], "e": True})
    card.place(new, out)
    known = cards.verify(out)
    assert known.source == text.source
    assert dict(known.values) == {"a": 1, "b": 0.5, "c": "x", "d": [1.0, 2.0], "e": True}
    with pytest.raises(UserError, match="b could not be measured"):
        card.write(new, text, {"a": 1.0, "b": float("nan")})
    new.write_bytes(b"newer")
    new.with_suffix(".toml").unlink()  # as good as a full disk, half way
    with pytest.raises(UserError, match="what was there is unchanged"):
        card.place(new, out)
    assert cards.verify(out).sha256 == known.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.onnx", "out.onnx", "out.toml"]


@pytest.mark.parametrize("there", [True, False])
def test_weights_whose_card_cannot_be_placed_are_taken_back(
    tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, out = tmp_path / "new.onnx", tmp_path / "out.onnx"
    new.write_bytes(b"new")
    card.write(new, card.Text("here", "MIT", "none", "x"), {})
    if there:
        out.write_bytes(b"old")

    def put(part: Path, target: Path) -> None:
        if target.suffix == ".toml":
            raise OSError(errno.ENOSPC, "the disk is full")
        put_well(part, target)

    put_well = writing.put
    monkeypatch.setattr(writing, "put", put)
    with pytest.raises(UserError, match="what was there is unchanged"):
        card.place(new, out)
    assert (out.read_bytes() if out.exists() else None) == (b"old" if there else None)
    assert [p.name for p in tmp_path.glob("out*")] == (["out.onnx"] if there else [])
    monkeypatch.undo()
    (tmp_path / "out.toml").mkdir()
    with pytest.raises(UserError, match="it is a folder"):
        card.place(new, out)


def test_mistakes_are_one_line(tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.pt"
    torch.save({"settings": {"a": 1}}, other)
    assert "not a checkpoint of a training of the lifter or of the hourglass" in run(capsys, "--checkpoint", other)
    assert "there is no checkpoint" in run(capsys, "--checkpoint", tmp_path / "none.pt")
    checkpoint = lifter_checkpoint(tmp_path / "c.pt", lifter_network(width=32))
    assert "must end in .onnx" in run(capsys, "--checkpoint", checkpoint, "--out", tmp_path / "x")
    assert "there is no folder" in refused(
        capsys, main, "build", "--checkpoint", checkpoint, "--out", tmp_path / "no" / "x.onnx"
    )
    assert "cannot be read" in run(capsys, "--int8", tmp_path / "none.onnx")
    assert "model card" in run(capsys, "--int8", exported)
    other, shipped = cards.WEIGHTS / "pose_landmarker_lite.task", cards.WEIGHTS / "movenet_multipose.onnx"
    assert "is not a heatmap detector" in refused(
        capsys, main, "build", "--int8", other, "--out", tmp_path / "m.int8.onnx"
    )
    assert "give another --out" in run(capsys, "--int8", shipped, "--out", shipped)
    temporal = cards.WEIGHTS / "temporal.onnx"
    assert "is a temporal lifter" in run(capsys, "--int8", temporal, "--out", tmp_path / "t.int8.onnx")
    for flags in (["--checkpoint", "a", "--precision", "fp16"], ["--int8", "a", "--precision", "fp16"],
                  ["--checkpoint", "a", "--calibration", "b"], ["--checkpoint", "a", "--int8", "b"], []):  # fmt: skip
        with pytest.raises(SystemExit):
            main(flags)


def test_an_int8_finder_that_loses_people_or_finds_more_is_refused() -> None:
    from engines.build.int8_finder import Finding

    Finding(86.4, 86.0, 46.0, 46.9, 0.95).check()
    for worse in (Finding(86.4, 84.6, 46.0, 46.0, 0.95), Finding(86.4, 86.4, 46.2, 139.2, 0.95)):
        with pytest.raises(UserError, match="it was not kept"):
            worse.check()
    with pytest.raises(UserError, match=r"overlap by 0\.80"):
        Finding(86.4, 86.4, 46.0, 46.0, 0.8).check()
