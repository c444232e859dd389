"""The lifter: network, loss, export, decode and data, each against something that is known."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.geometry.camera import camera_from_fov, camera_to_image
from engines import cards
from engines import skeleton as sk
from engines.lifter import INPUTS, SHIPPED, Decoding, MDNLifter, decode, lifter_input, place_root
from engines.models.mdn import MDN, MDNShape, modified_elu
from engines.runtimes import NetworkOptions
from engines.training import metrics
from engines.training.checkpoints import save
from engines.training.data.mocap import TEST_SUBJECTS, VALIDATION_SUBJECTS, Poses, balance, load_poses, load_training
from engines.training.evaluation import lifters, reliability
from engines.training.lifter import augment, views
from engines.training.lifter.batches import TrainingSampler, evaluation_batch
from engines.training.lifter.losses import log_kernels, mixture_loss
from engines.training.lifter.train import (
    PRESETS,
    LifterSettings,
    build,
    command,
    learning_rate,
    main,
    resumed,
    sharpness,
)
from engines.types import Detection, EngineError
from tests.bodies import standing
from tests.mistakes import refused


def network(sigma="joint", width=64):
    torch.manual_seed(0)
    net = MDN(MDNShape(width=width, sigma=sigma))
    net.train()
    for _ in range(3):  # so that batch norm has statistics that are not 0 and 1
        net(torch.randn(64, INPUTS) * 2 + 1)
    return net.eval()


def people(subjects, files=None):
    n = len(subjects)
    return Poses(standing(n).astype(np.float32), np.array(subjects), np.full(n, "s"), np.array(files or ["f"] * n))


# network and loss


def test_modified_elu_is_the_papers():
    t = torch.tensor([-3.0, -1.0, 0.0, 2.0])
    expected = [math.exp(-3), math.exp(-1), 1.0, 3.0]
    torch.testing.assert_close(modified_elu(t), torch.tensor(expected))
    assert modified_elu(torch.tensor([-3.0]), gamma=0.5).item() == pytest.approx(0.5 * (math.exp(-3) - 1) + 1)
    assert (modified_elu(torch.linspace(-14, 60, 100)) > 0).all()


@pytest.mark.parametrize("sigma", ["joint", "kernel"])
def test_kernels_are_gaussians(sigma):
    mean = torch.randn(4, 5, 16, 3)
    s = torch.rand(4, 5, 16 if sigma == "joint" else 1) + 0.3
    target = torch.randn(4, 16, 3)
    normal = torch.distributions.Normal(mean, s[..., None].expand(4, 5, 16, 3))
    torch.testing.assert_close(log_kernels(mean, s, target), normal.log_prob(target[:, None]).sum((-1, -2)))


def test_loss_is_equation_9_and_annealing_keeps_its_gradient_at_sharpness_one():
    mean, s, target = torch.randn(8, 5, 16, 3) * 0.1, torch.rand(8, 5, 16) + 0.5, torch.randn(8, 16, 3) * 0.1
    log_alpha = torch.log_softmax(torch.randn(8, 5), -1)
    alpha = log_alpha.exp()
    phi = torch.exp(log_kernels(mean.double(), s.double(), target.double()))
    nll, prior = mixture_loss(mean, s, log_alpha, target, prior=2.0)
    torch.testing.assert_close(nll.double(), -torch.log((alpha * phi).sum(-1)).mean(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(prior, -torch.log(alpha).sum(-1).mean())
    assert mixture_loss(mean, s, log_alpha, target, prior=1.0)[1].item() == 0
    grads = []
    for sharp in (1.0, 1.0 - 1e-9):
        m = mean.clone().requires_grad_()
        mixture_loss(m, s, log_alpha, target, sharpness=sharp)[0].backward()
        grads.append(m.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-5)


def test_schedules():
    s = LifterSettings(warm_up=0.1, anneal=0.2)
    assert learning_rate(s, 0.05) == pytest.approx(s.rate / 2)
    assert learning_rate(s, 0.1) == pytest.approx(s.rate)
    assert learning_rate(s, 1.0) == pytest.approx(0)
    assert sharpness(s, 0) == pytest.approx(0.01)
    assert sharpness(s, 0.2) == sharpness(s, 0.9) == 1
    assert sharpness(dataclasses.replace(s, anneal=0.0), 0) == 1


# decode


def test_decode_agrees_with_torch():
    net, turn = network(), np.stack([np.eye(3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]]).astype(np.float32)
    x = torch.randn(2, INPUTS)
    with torch.inference_mode():
        mean, sigma, log_weight = net(x)
    got = decode(mean.numpy(), sigma.numpy(), log_weight.numpy(), turn, Decoding(300.0, 1.5, 2.0))
    wanted = torch.einsum("nij,nmkj->nmki", torch.from_numpy(turn), mean * 300)
    np.testing.assert_allclose(got[0][:, :, 1:], wanted, rtol=1e-4, atol=1e-3)
    assert (got[0][:, :, 0] == 0).all()
    np.testing.assert_allclose(got[1][:, :, 1:], sigma.numpy() * 450, rtol=1e-5)
    assert (got[1][:, :, 0] == 0).all()
    np.testing.assert_allclose(got[2], torch.softmax(log_weight / 2, -1), rtol=1e-5)


def test_a_sigma_a_kernel_is_broadcast():
    net = network("kernel")
    with torch.inference_mode():
        mean, sigma, log_weight = (o.numpy() for o in net(torch.randn(3, INPUTS)))
    _, sigma, _ = decode(mean, sigma, log_weight, np.broadcast_to(np.eye(3), (3, 3, 3)), Decoding(100.0))
    assert sigma.shape == (3, 5, 17)
    assert np.ptp(sigma[:, :, 1:], axis=-1).max() == 0


def test_shipped_lifter_is_rotated_back_into_the_camera():
    """Turning the camera about its own axis turns every hypothesis with it; only where gravity says which way is up."""
    # Not int8: the rounding of a pixel moves its steps by millimetres.
    lifter = MDNLifter(None, NetworkOptions("onnx", "fp32"))
    camera = camera_from_fov("c", (1000, 1000), 60)
    camera = dataclasses.replace(camera, up=np.array([0.0, -1, 0]))
    c, s = np.cos(0.6), np.sin(0.6)
    rolled = dataclasses.replace(camera, R=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    joints = standing(1)[0][:, [0, 2, 1]] * [1, -1, 1] + [0, 0, 4000]
    mixtures = []
    for cam in (camera, rolled):
        xy = camera_to_image(cam, joints @ cam.R.T).astype(np.float32)
        detection = Detection(xy, np.ones(17, np.float32), np.zeros(17, bool), "test")
        mixtures += lifter([lifter_input(detection, cam, 0.2)])
    np.testing.assert_allclose(mixtures[0].mean @ rolled.R.T, mixtures[1].mean, atol=0.1)
    np.testing.assert_allclose(mixtures[0].weight, mixtures[1].weight, atol=1e-4)
    assert lifter([]) == []


def test_shipped_lifter_puts_heads_up_and_right_on_the_right():
    lifter = MDNLifter()
    camera = camera_from_fov("c", (1000, 1000), 60)
    pose = standing(1)[0]
    facing = pose[:, [0, 2, 1]] * [1, -1, 1]  # z up to y down; the person looks at the camera or away
    xy = camera_to_image(camera, facing + [0, 0, 4000]).astype(np.float32)
    score = np.ones(17, np.float32)
    score[[7, 9, 10]] = 0
    detection = Detection(xy, score, np.zeros(17, bool), "test")
    (mixture,) = lifter([lifter_input(detection, camera, 0.2)])
    best = mixture.mean[mixture.weight.argmax()]
    assert best[sk.HEAD, 1] < -300 < 300 < best[sk.R_ANKLE, 1]
    assert np.sign(best[sk.L_SHOULDER, 0] - best[sk.R_SHOULDER, 0]) == np.sign(
        xy[sk.L_SHOULDER, 0] - xy[sk.R_SHOULDER, 0]
    )
    root = place_root(best, detection, camera, 0.2)
    assert root[2] == pytest.approx(4000, rel=0.3)


def test_a_card_without_the_numbers_is_not_a_lifter():
    with pytest.raises(EngineError, match="not a lifter"):
        MDNLifter(cards.WEIGHTS / "movenet_lightning.onnx")


# data


def test_augmentation_keeps_what_it_must(rng):
    base = standing(64)
    bones = augment.to_bones(base)
    np.testing.assert_allclose(augment.from_bones(bones), base, atol=1e-9)
    mixed = augment.exchange_limbs(bones, augment.to_bones(standing(64, 1)), rng, chance=1.0)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=-1), np.linalg.norm(bones, axis=-1), rtol=1e-6)
    assert (np.abs(mixed - bones).max((1, 2)) > 1).mean() > 0.8
    np.testing.assert_allclose(mixed[:, [7, 8]], bones[:, [7, 8]])
    scaled = augment.scale_bones(bones, rng)
    ratio = np.linalg.norm(scaled[:, 1:], axis=-1) / np.linalg.norm(bones[:, 1:], axis=-1)
    np.testing.assert_allclose(ratio[:, sk.R_KNEE - 1], ratio[:, sk.L_KNEE - 1])
    np.testing.assert_allclose(sk.mirror(sk.mirror(base)), base)
    turns = augment.random_rotations(100, rng)
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (100, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turns), 1)


def test_body_frame_is_a_rotation_and_follows_the_body(rng):
    bones = augment.to_bones(standing(64))
    frame = augment.body_frame(bones)
    np.testing.assert_allclose(np.linalg.det(frame), 1)
    turn = augment.random_rotations(1, rng)[0]
    np.testing.assert_allclose(augment.body_frame(bones @ turn.T), turn @ frame, atol=1e-9)


def test_random_views_are_level_and_aimed():
    base = standing(500) + [3000, -2000, 900]
    cameras = views.sample_cameras(500, np.random.default_rng(3))
    np.testing.assert_allclose(np.linalg.det(cameras.R), 1)
    np.testing.assert_allclose(cameras.R[:, 0, 2], 0, atol=1e-12, err_msg="level: the image's x axis is horizontal")
    assert (cameras.R[:, 1, 2] < 0).all(), "the image's y axis points down"
    pitch = np.degrees(np.arcsin(-cameras.R[:, 2, 2]))
    assert -15.1 < pitch.min() < -10
    assert 45 < pitch.max() < 50.1
    xy, local = views.project(base, cameras)
    np.testing.assert_allclose(
        np.linalg.norm(local - local[:, :1], axis=-1), np.linalg.norm(base - base[:, :1], axis=-1)
    )
    assert np.abs(xy.mean(1)).max() < 0.1
    view = views.look(xy, np.ones((500, 17), bool), cameras)
    np.testing.assert_allclose(np.degrees(view.pitch), pitch, atol=3)


def test_noise_is_what_it_is_defined_to_be(rng):
    xy = np.zeros((20000, 17, 2))
    xy[:, 3] = [3.0, 4.0]
    noisy = views.add_noise(xy, 2.0, rng) - xy
    assert noisy.std() == pytest.approx(2 / 200 * 5, rel=0.01)
    seen = np.ones((20000, 17), bool)
    seen[:, 5] = seen[::2] = False
    xy[:, 5] = 1e6  # a joint that is not there has no part in the box
    noisy = views.add_noise(xy, 2.0, rng, seen) - xy
    assert noisy[1::2].std() == pytest.approx(2 / 200 * 5, rel=0.02)
    assert not noisy[::2].any()


def test_missing_limbs(rng):
    seen = views.hide_limbs(300, 2, rng)
    assert (seen.sum(1) == 15).all()
    assert seen[:, [0, 1, 4, 7, 8, 9, 10, 11, 14]].all()


def test_every_sample_is_finite_with_enough_joints_seen():
    sampler = TrainingSampler(people(["a"] * 64), 0)
    batch = sampler.draw(4000)
    assert np.isfinite(batch.inputs).all()
    assert np.isfinite(batch.targets).all()
    xy, seen, tail = batch.inputs[:, :34].reshape(-1, 17, 2), batch.inputs[:, 34:51] > 0, batch.inputs[:, 51:]
    assert seen.sum(1).min() >= 6
    assert (xy[~seen] == 0).all()
    np.testing.assert_allclose((xy**2).sum((1, 2)) / seen.sum(1), 1, rtol=1e-4)
    assert 0.4 < tail[:, 0].mean() < 0.8
    assert (tail[tail[:, 0] == 0] == 0).all()


def test_balance_weighs_a_person_by_the_root_of_the_poses():
    weight = balance(people(["a"] * 100 + ["b"] * 25))
    assert weight[:100].sum() / weight[100:].sum() == pytest.approx(2)
    two = people(["a"] * 100 + ["b"] * 100 + ["c"] * 10, ["x"] * 200 + ["y"] * 10)
    assert balance(two)[:200].sum() / balance(two)[200:].sum() == pytest.approx(2**0.5)


def test_metrics_know_the_truth(rng):
    truth = standing(10)
    turn = augment.random_rotations(1, rng)[0]
    moved = truth @ turn.T * 1.3 + [10, 20, 30]
    assert metrics.p_mpjpe(moved, truth).max() < 1e-6
    assert metrics.mpjpe(truth + [3, 4, 0], truth) == pytest.approx(5)
    mirrored = truth * [-1, 1, 1]
    assert metrics.p_mpjpe(mirrored, truth).min() > 20, "a reflection is not a rotation"
    mean = np.stack([truth, truth + 50], 1)
    scores = metrics.score_mixtures(mean, np.full((10, 2), [0.1, 0.9]), truth)
    assert scores["best_mpjpe_mm"] == pytest.approx(0)
    assert scores["argmax_mpjpe_mm"] == pytest.approx(50 * 3**0.5)
    assert scores["mean_mpjpe_mm"] == pytest.approx(45 * 3**0.5)


def test_calibration_figures_are_right_for_a_perfect_mixture_and_wrong_for_an_overconfident_one():
    rng, n = np.random.default_rng(1), 1500
    mean = np.stack([standing(n), standing(n, 1)], 1)
    weight = rng.dirichlet([1, 1], n)
    kernel = (rng.random(n) > weight[:, 0]).astype(int)
    sigma = np.full((n, 2, 17), 40.0)
    sigma[..., 0] = 0
    truth = mean[np.arange(n), kernel] + rng.normal(size=(n, 17, 3)) * sigma[:, 0, :, None]
    covered = reliability.coverage(mean, sigma, weight, truth)
    for level, share in covered.items():
        assert share == pytest.approx(int(level) / 100, abs=0.02)
    assert reliability.coverage(mean, sigma / 2, weight, truth)["80"] < 0.5
    assert reliability.coverage(mean, np.repeat(sigma[..., None], 3, -1), weight, truth)["80"] == covered["80"]
    assert reliability.reliability(mean, weight, truth).error < 0.05
    certain = np.eye(2)[weight.argmax(1)]
    assert reliability.reliability(mean, np.clip(certain, 0.001, 0.999), truth).error > 0.15
    assert reliability.nll(mean, sigma, weight, truth) < reliability.nll(mean, sigma / 2, weight, truth)


def test_bad_mocap_files_are_named(tmp_path):
    for name, arrays, word in (
        ("a", {"poses": np.zeros((3, 17, 3))}, "no array 'joints'"),
        ("b", {"joints": np.zeros((3, 16, 3))}, "shape"),
        ("c", {"joints": np.full((3, 17, 3), np.nan)}, "finite"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(EngineError, match=word):
            load_poses(tmp_path / f"{name}.npz")
    (tmp_path / "d.npz").write_text("no archive")
    with pytest.raises(EngineError, match="cannot read"):
        load_poses(tmp_path / "d.npz")


def test_nobody_is_in_two_splits(data_folder):
    training, validation, test = load_training(data_folder / "mocap")
    assert set(test.subject) == set(TEST_SUBJECTS)
    assert set(validation.subject) == set(VALIDATION_SUBJECTS)
    assert not set(training.subject) & (set(TEST_SUBJECTS) | set(VALIDATION_SUBJECTS))


def test_shipped_weights_are_as_good_as_their_card_says(data_folder):
    from engines.training.evaluation.lifter import evaluate

    _, _, test = load_training(data_folder / "mocap")
    result = evaluate(lifters.load(), test)
    card = cards.load_card(SHIPPED).values
    for key in ("best_mpjpe_mm", "argmax_mpjpe_mm", "mean_mpjpe_mm"):
        assert result[key] == pytest.approx(card[key], abs=1.0)


@pytest.mark.slow
def test_training_resumes_and_beats_a_constant_pose(tmp_path, data_folder):
    """A training of half a minute, cut in two by --resume, must be twice as good as the constant mean pose."""
    flags = ["--data", str(data_folder / "mocap"), "--out", str(tmp_path), "--width", "256", "--threads", "1",
             "--precision", "float32", "--samples", "200000", "--batch", "256"]  # fmt: skip
    assert main([*flags, "--stop-after", "0"]) == 0
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert first["done"] < 10_000
    assert first["settings"]["width"] == 256
    assert main([*flags, "--resume", "--weight-decay", "0.001"]) == 0
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert last["done"] >= 200_000
    assert last["optimiser"]["param_groups"][0]["weight_decay"] == 0.001
    rows = (tmp_path / "log.tsv").read_text().splitlines()
    named = dict(zip(rows[0].split("\t"), map(float, rows[-1].split("\t")), strict=True))
    training, validation, _ = load_training(data_folder / "mocap")
    batch, _ = evaluation_batch(validation.joints, np.random.default_rng(1), 0.0)
    reference, _ = evaluation_batch(training.joints[::10], np.random.default_rng(2), 0.0)
    constant = np.linalg.norm(batch.targets - reference.targets.mean(0), axis=-1).sum(-1).mean() / 17
    assert named["argmax_mpjpe_mm@0"] < constant / 2
    assert named["argmax_mpjpe_mm@2"] < constant / 2


def test_mistakes_of_a_training_are_one_line(tmp_path, capsys):
    def said(*flags):
        return refused(capsys, main, "engines.training.lifter.train", "--data", tmp_path, *flags)

    checkpoint = tmp_path / "checkpoint.pt"
    assert "no checkpoint" in said("--out", tmp_path, "--resume")
    settings = LifterSettings(width=32)
    save(checkpoint, settings=dataclasses.asdict(settings), averaged=build(settings).state_dict(), done=1)
    assert "go on with it with --resume" in said("--out", tmp_path)
    assert "another network needs another --out" in said("--out", tmp_path, "--resume", "--width", 64)
    save(checkpoint, settings={"stacks": 2}, averaged={}, done=1)
    assert "is not a checkpoint of this training" in said("--out", tmp_path, "--resume")
    torch.save([1], checkpoint)
    assert "it holds a list" in said("--out", tmp_path, "--resume")
    assert "cannot be read" in said("--out", checkpoint, "--resume")


def test_the_command_of_a_training_names_what_is_not_its_presets():
    assert command(LifterSettings()) == "python -m engines.training.lifter.train"
    flags = "--kernels 3 --max-norm --no-limb-exchange"
    given = LifterSettings(kernels=3, max_norm=True, limb_exchange=False, precision="float32")
    assert command(given) == f"python -m engines.training.lifter.train {flags}"
    assert command(PRESETS["paper"]) == "python -m engines.training.lifter.train --preset paper"


def test_the_terms_of_the_loss_that_an_old_checkpoint_did_not_have_stay_off():
    settings = dataclasses.asdict(LifterSettings(width=32))
    averaged = build(LifterSettings(width=32)).state_dict()
    del settings["expected_error"]
    state = {"settings": settings, "averaged": averaged, "done": 1}
    assert resumed(state, {}, Path("old.pt")).expected_error == 0
    assert resumed(state, {"expected_error": 1.0}, Path("old.pt")).expected_error == 1
