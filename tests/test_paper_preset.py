"""``--preset paper``: every number of the paper's recipe, and a training of it end to end on small data."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from calibration.errors import UserError
from engines import cards
from engines import skeleton as sk
from engines.build.lifter import Folded, build_lifter
from engines.lifter import MDNLifter
from engines.models.mdn import MDN, MaxNormLinear, MDNShape
from engines.training.data import h36m
from engines.training.data.mocap import TRAIN_FILES, load_training
from engines.training.evaluation import lifters, reliability
from engines.training.evaluation.lifter import evaluate
from engines.training.lifter import paper, recalibrate
from engines.training.lifter.losses import mixture_loss, regression_loss
from engines.training.lifter.synthetic_views import laboratory_views
from engines.training.lifter.train import PRESETS, build, learning_rate, main, sharpness, train
from engines.types import EngineError
from tests.bodies import standing
from tests.test_data import write_videopose, write_videopose_2d

PAPER = PRESETS["paper"]


@pytest.fixture
def mocap(tmp_path):
    """A folder of motion capture as small as can be, with all the splits in it."""
    folder = tmp_path / "mocap"
    folder.mkdir()
    for seed, name in enumerate(TRAIN_FILES):
        who = np.array(["A", "B", "A", "B", "CMU_07", "CMU_08"])[np.arange(90) % 6]
        np.savez(folder / name, joints=standing(90, seed, 0.2).astype("float32"), subject=who)
    return folder


def views(n=60):
    from engines.training.data.mocap import Poses

    who = np.full(n, "a")
    return laboratory_views(Poses(standing(n, 3).astype("float32"), who, who, who), seed=4)


# the recipe


def test_the_numbers_are_the_papers():
    assert (PAPER.kernels, PAPER.width, PAPER.blocks, PAPER.dropout, PAPER.sigma) == (5, 1024, 2, 0.5, "kernel")
    assert (PAPER.batch, PAPER.rate, PAPER.prior, PAPER.weight_decay, PAPER.clip) == (64, 1e-3, 2.0, 0.0, 0.0)
    assert learning_rate(PAPER, 0.0, 0) == 1e-3
    assert learning_rate(PAPER, 0.9, 100_000) == pytest.approx(0.96e-3)
    assert learning_rate(PAPER, 0.9, 250_000) == pytest.approx(1e-3 * 0.96**2.5)
    assert sharpness(PAPER, 0.0) == 1, "no annealing: the loss is that of the paper from the first step"
    network: Any = build(PAPER)
    assert network.trunk[0][0].in_features == 32, "16 joints in"
    assert network.mean.out_features == 5 * 16 * 3, "16 joints out"
    assert network.sigma.out_features == network.weight.out_features == 5
    linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert len(linear) == 1 + 4 + 3


def test_max_norm_clips_every_matrix_but_that_of_the_mixing_coefficients():
    network: Any = build(PAPER)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert isinstance(module, MaxNormLinear) == (name != "weight"), name
    layer = network.trunk[1].layers[0][0]
    assert layer.weight.norm() > 10
    assert layer.clipped().norm().item() == pytest.approx(1, rel=1e-5)
    x = torch.randn(3, 1024)
    torch.testing.assert_close(layer(x), x @ (layer.weight / layer.weight.norm()).T + layer.bias)
    small = MaxNormLinear(4, 4)
    small.weight.data *= 0.1 / small.weight.norm()
    torch.testing.assert_close(small.clipped(), small.weight, msg="what is short stays as it is")
    layer(x).square().sum().backward()
    along = (layer.weight.grad * layer.weight).sum().abs() / (layer.weight.grad.norm() * layer.weight.norm())
    assert along < 1e-3, "the gradient goes through the clip: growing the matrix changes nothing"


def test_folding_keeps_clipped_norms():
    torch.manual_seed(0)
    network = MDN(MDNShape(inputs=32, width=64, sigma="kernel", max_norm=True))
    for _ in range(3):
        network(torch.randn(64, 32) * 2 + 1)
    network.eval()
    x = torch.randn(9, 32)
    folded = Folded(network)
    assert not any(isinstance(m, MaxNormLinear) for m in folded.modules())
    for a, b in zip(network(x), folded(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_presets_that_ship_have_no_clipped_norms():
    assert not any(isinstance(m, MaxNormLinear) for m in build(PRESETS["live"]).modules())


def test_regression_is_the_mean_squared_error():
    mean, target = torch.randn(5, 1, 16, 3), torch.randn(5, 16, 3)
    assert regression_loss(mean, target) == pytest.approx(((mean[:, 0] - target) ** 2).mean().item())


# normalisation


def test_z_scores_and_back():
    o = views()
    norm = paper.measure(o)
    x = norm.encode(o.xy, o.seen).reshape(-1, 16, 2)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(0), 1, atol=1e-4)
    y = norm.targets(o.truth)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-4)
    mean, sigma = norm.decode(y[:, None], np.full((len(y), 1, 1), 0.5))
    np.testing.assert_allclose(mean[:, 0], o.truth, atol=0.01)
    np.testing.assert_allclose(sigma[0, 0, 1:], 0.5 * norm.std_3d, rtol=1e-5)
    assert (sigma[:, :, 0] == 0).all()
    again = paper.normalisation_from(norm.numbers(), "here")
    np.testing.assert_allclose(again.std_3d, norm.std_3d, atol=1e-5)
    with pytest.raises(EngineError, match="here: mean_2d has 0 numbers; expected 32"):
        paper.normalisation_from({}, "here")


def test_the_neck_is_no_input_and_a_missing_joint_is_zero():
    o = views()
    norm = paper.measure(o)
    o.xy[:, sk.NECK] = 1e6
    seen = o.seen.copy()
    seen[:, [sk.L_WRIST, sk.HEAD]] = False
    x = norm.encode(o.xy, seen).reshape(-1, 16, 2)
    assert np.abs(x).max() < 10
    np.testing.assert_array_equal(
        np.flatnonzero((x == 0).all((0, 2))), [9, 12], err_msg="head and left wrist of the 16"
    )


def test_likelihood_in_mm_is_that_in_z_scores_with_its_jacobian():
    o = views(40)
    norm = paper.measure(o)
    rng = np.random.default_rng(0)
    y = norm.targets(o.truth)
    z_mean, z_sigma = y[:, None] + rng.normal(size=(len(y), 5, 16, 3)), rng.uniform(0.5, 2, (len(y), 5, 1))
    weight = rng.dirichlet(np.ones(5), len(y))
    known, answer = (torch.from_numpy(v) for v in (np.log(weight), y))
    torch_nll, _ = mixture_loss(torch.from_numpy(z_mean), torch.from_numpy(z_sigma), known, answer)
    mean, sigma = norm.decode(z_mean, z_sigma)
    wanted = torch_nll.item() + np.log(norm.std_3d).sum()
    assert reliability.nll(mean, sigma, weight, o.truth) == pytest.approx(wanted, abs=1e-2)


def test_every_view_once_an_epoch_and_resumable():
    o = views(30)  # 120 views
    norm = paper.measure(o)
    first = paper.EpochSampler(o, norm, 16, 7, 0.0, 0)
    assert first.epoch == 112
    inputs = np.concatenate([first.draw(56, 0).inputs, first.draw(56, 56).inputs])
    assert len(np.unique(inputs, axis=0)) == 112
    second_epoch = first.draw(112, 112).inputs
    assert not np.array_equal(inputs, second_epoch)
    np.testing.assert_array_equal(
        paper.EpochSampler(o, norm, 16, 7, 0.0, 0).draw(100, 100).inputs[12:], second_epoch[:88]
    )
    with pytest.raises(EngineError, match="fewer than one batch"):
        paper.EpochSampler(o, norm, 1000, 7, 0.0, 0)


@pytest.mark.parametrize("missing", [1, 2])
def test_missing_limb_joints_in_training(missing):
    o = views(30)
    x = paper.EpochSampler(o, paper.measure(o), 16, 7, 0.0, missing).draw(112, 0).inputs.reshape(-1, 16, 2)
    gone = (x == 0).all(-1)
    assert (gone.sum(1) == missing).all()
    ends = {paper.INPUT_JOINTS[j] for j in np.flatnonzero(gone.any(0))}
    assert ends == {2, 3, 5, 6, 12, 13, 15, 16}


# the laboratory


def test_the_laboratory_sees_everybody_four_times_from_human36ms_places():
    o = views(200)
    assert len(o) == 800
    assert (np.bincount(o.frame_set) == 4).all()
    world = np.einsum("njc,ncw->njw", o.truth, o.R).reshape(4, 200, 17, 3)
    np.testing.assert_allclose(
        world, np.broadcast_to(world[:1], world.shape), atol=1e-6, err_msg="one body, four views"
    )
    np.testing.assert_allclose(o.R @ np.array([0, 0, 1.0]), o.up, atol=1e-9)
    pitch = np.degrees(np.arcsin(-o.up[:, 2] * -1))
    assert (np.abs(pitch) > 8).all()
    assert ((o.xy > 0) & (o.xy < 1000)).mean() > 0.97, "people are in the picture"
    for mine, theirs in zip(h36m.laboratory(), h36m.cameras("S1"), strict=True):
        assert np.linalg.norm(mine.centre - theirs.centre) < 400
        assert np.degrees(np.arccos(mine.R[2] @ theirs.R[2])) < 8


# end to end


def short(out, *more, data=None):
    flags = ["--out", str(out), "--preset", "paper", "--threads", "1", "--width", "64", *more]
    return main([*flags, "--data", str(data)] if data else flags)


def test_train_resume_evaluate_build(tmp_path, mocap):
    out = tmp_path / "run"
    assert short(out, "--epochs", "6", "--stop-after", "0", data=mocap) == 0
    first = torch.load(out / "checkpoint.pt", weights_only=True)
    assert first["settings"]["input"] == "pixels"
    assert first["data"] == "mocap"
    assert first["done"] == 512
    assert short(out, "--resume", data=mocap) == 0
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["done"] >= 6 * 64 * (240 * 4 // 64)
    assert (state["averaged"]["mean.weight"] == state["network"]["mean.weight"]).all(), (
        "the last weights, not an average"
    )
    training, validation, test = load_training(mocap)
    norm = paper.normalisation_from(state["normalisation"], "checkpoint")
    np.testing.assert_allclose(norm.mean_3d, paper.measure(laboratory_views(training, seed=0)).mean_3d, atol=1e-3)

    lifter = lifters.load(out / "checkpoint.pt")
    trained = evaluate(lifter, test)
    assert trained["views"] == "h36m4"
    assert trained["poses"] == 4 * len(test)
    constant = np.linalg.norm(laboratory_views(test).truth[:, 1:] - norm.mean_3d, axis=-1).sum(-1).mean() / 17
    assert trained["best_mpjpe_mm"] < constant

    report = build_lifter(out / "checkpoint.pt", mocap, out / "paper.onnx")
    assert report["parity_max_mm"] < 1
    built = lifters.load(out / "paper.onnx")
    shipped = evaluate(built, test)
    assert shipped["best_mpjpe_mm"] == pytest.approx(trained["best_mpjpe_mm"], abs=0.5)
    card = cards.load_card(out / "paper.onnx")
    assert card.values["best_mpjpe_mm"] == pytest.approx(shipped["best_mpjpe_mm"], abs=0.01)
    assert "z-scored pixels" in card.input
    np.testing.assert_allclose(card.values["std_3d"], state["normalisation"]["std_3d"])
    calibrated, raw = (one.lift(laboratory_views(validation, seed=2)) for one in (built, lifter))
    truth = laboratory_views(validation, seed=2).truth
    assert reliability.nll(calibrated.mean, calibrated.sigma, calibrated.weight, truth) <= reliability.nll(
        raw.mean, raw.sigma, raw.weight, truth
    )
    with pytest.raises(EngineError, match="not a lifter"):
        MDNLifter(out / "paper.onnx")


def test_recalibration_finds_what_was_spoiled(mocap):
    """A network whose answers are right but for its sigma: the factor comes back."""

    class Right(torch.nn.Module):
        def forward(self, x):
            return self.mean, torch.full((len(x), 1, 16), 0.25), torch.zeros(len(x), 1)

    _, validation, _ = load_training(mocap)
    norm = paper.measure(laboratory_views(validation, seed=2))
    truth = torch.from_numpy(norm.targets(laboratory_views(validation, 0.0, seed=2).truth))
    network = Right()
    network.mean = (truth + torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)) * 0.5)[:, None]
    assert recalibrate.fit_pixels(network, validation, norm, (0.0,))["sigma_scale"] == pytest.approx(2.0, rel=0.02)


def test_regression_trains_and_claims_no_probabilities(tmp_path, mocap):
    assert short(tmp_path / "mse", "--loss", "mse", "--epochs", "2", data=mocap) == 0
    state = torch.load(tmp_path / "mse" / "checkpoint.pt", weights_only=True)
    assert state["settings"]["kernels"] == 1
    result = evaluate(lifters.load(tmp_path / "mse" / "checkpoint.pt"), load_training(mocap)[2])
    assert result["best_mpjpe_mm"] == pytest.approx(result["argmax_mpjpe_mm"])
    assert result["nll"] is result["ece"] is result["coverage"] is None
    build_lifter(tmp_path / "mse" / "checkpoint.pt", mocap, tmp_path / "mse.onnx")
    assert not lifters.load(tmp_path / "mse.onnx").probabilistic


def test_trains_on_human36m(tmp_path):
    joints = standing(40, 2) + [0, 0, 900]
    metres = {"S1": "Walking 1", "S9": "Walking 1"}
    table = np.random.default_rng(0).normal(size=(40, 32, 3))
    table[:, [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]] = joints / 1000
    path = write_videopose(tmp_path, joints, positions_3d={s: {take: table} for s, take in metres.items()})
    assert short(tmp_path / "a", "--epochs", "1", data=path) == 0
    state = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)
    assert state["data"] == "human36m-videopose3d"
    assert main(["--out", str(tmp_path / "b"), "--preset", "live", "--data", str(path), "--width", "32", "--samples",
                 "512", "--batch", "64", "--threads", "1", "--precision", "float32"]) == 0  # fmt: skip
    for preset in ("paper", "live"):
        flags = ["--out", str(tmp_path / "d"), "--preset", preset, "--data", str(path), "--validation-too"]
        assert main(flags) == 2, "that would be training on the test subjects"
    alone = write_videopose(tmp_path, joints)  # S9 only
    assert short(tmp_path / "c", data=alone) == 2
    assert short(tmp_path / "c", "--detections", str(write_videopose_2d(tmp_path, joints)), data=path) == 2, (
        "no S1 in it"
    )


def test_settings_that_do_not_go_together_are_one_line(tmp_path, mocap, capsys):
    for flags, word in (
        (["--loss", "mse", "--kernels", "5"], "--kernels 1"), (["--input", "polar"], "virtual, pixels"),
        (["--input", "virtual"], "--epochs is for"), (["--data", str(tmp_path / "nothing")], "nothing"),
        (["--input", "virtual", "--epochs", "0", "--detections", "x"], "--detections is for"),
    ):  # fmt: skip
        assert main(["--out", str(tmp_path / "o"), "--preset", "paper", "--data", str(mocap), *flags]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("flags", [
    {"kernels": 1}, {"kernels": 8}, {"prior": 1.0}, {"sigma": "kernel"}, {"max_noise": 0.0}, {"missing": 2},
    {"limb_exchange": False}, {"gravity": 0.0}, {"gravity": 1.0}, {"loss": "mse", "kernels": 1},
], ids=str)  # fmt: skip
def test_every_ablation_of_live_trains(tmp_path, mocap, flags):
    settings = dataclasses.replace(PRESETS["live"], width=32, samples=1024, batch=128, precision="float32", **flags)
    network = train(settings, mocap, tmp_path)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_ablations_change_what_is_drawn(mocap):
    from engines.training.lifter.batches import TrainingSampler

    training, _, _ = load_training(mocap)
    known = {g: TrainingSampler(training, 0, gravity=g).draw(500).inputs[:, 51] for g in (0.0, 1.0)}
    assert known[0.0].max() == 0
    assert known[1.0].min() == 1
    clean = TrainingSampler(training, 0, 0.0, missing=0).draw(500)
    assert (clean.inputs[:, 34:51] == 1).all()
    two = TrainingSampler(training, 0, missing=2).draw(500).inputs[:, 34:51]
    assert (two.sum(1) == 15).all()
    own = TrainingSampler(training, 0, exchange=False).draw(500).targets
    assert not np.allclose(own, TrainingSampler(training, 0).draw(500).targets)


def test_an_unknown_preset_setting_raises_a_user_error(tmp_path, mocap):
    with pytest.raises(UserError, match="joint, kernel"):
        train(dataclasses.replace(PAPER, sigma="each"), mocap, tmp_path)
