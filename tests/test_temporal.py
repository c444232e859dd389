"""The lifter of several frames: its network, what it is trained on, its training and its build."""

import json

import numpy as np
import pytest
import torch

from engines import cards
from engines import skeleton as sk
from engines.build.__main__ import main as build_main
from engines.lifter import SHIPPED
from engines.models.temporal import TemporalMDN, TemporalShape
from engines.temporal import LONG_AGO
from engines.training.data.mocap import Poses
from engines.training.lifter import augment, detector_noise
from engines.training.temporal import motions
from engines.training.temporal.train import TemporalSettings, loss_of, main, shaking
from engines.training.temporal.validate import jitter, still_view
from tests.bodies import standing
from tests.mistakes import refused

SHAPE = TemporalShape(width=32, heads=2, hidden=32, window=9, near=4)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = TemporalMDN(SHAPE).eval()
    for part in made.parameters():
        if part.ndim > 1:  # as if it were trained: nothing is 0
            torch.nn.init.normal_(part, std=0.1)
    return made


def said(frames, n=2, seed=0):
    """A row of frames as the lifter might speak of them."""
    g = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(n, frames, 3, 3, generator=g))[0]
    rotation = rotation * torch.linalg.det(rotation)[..., None, None]
    return [
        torch.randn(n, frames, 54, generator=g), torch.randn(n, frames, 5, 16, 3, generator=g),
        torch.rand(n, frames, 5, 16, generator=g) + 0.1,
        torch.log_softmax(torch.randn(n, frames, 5, generator=g), -1), rotation,
        (torch.rand(n, frames, generator=g) * 0.05 + 0.01).cumsum(1),
    ]  # fmt: skip


def walk(frames=60, speed=1200.0):
    """Somebody of constant bones who sways and walks, mm."""
    bones = augment.to_bones(standing(1, seed=3))
    sway = np.sin(np.arange(frames) / 6)[:, None] * 20
    turned = augment.rotate(np.repeat(bones, frames, 0), np.array([1.0, 0, 0]), np.broadcast_to(sway, (frames, 17)))
    place = np.arange(frames)[:, None, None] / 30 * speed * np.array([1, 0, 0]) + [0, 0, 900]
    return augment.from_bones(turned) + place


def people(names, frames=60):
    joints = np.concatenate([walk(frames) for _ in names]).astype(np.float32)
    subject = np.repeat(names, frames)
    return Poses(joints, subject, np.full(len(joints), "walk"), np.full(len(joints), "cmu17_bvh"))


# network


def test_a_frame_knows_nothing_of_later_ones_and_of_those_before_the_window(network):
    given = said(20)
    whole = network(*given)
    for k in (0, 3, 12, 19):
        window = slice(max(0, k - SHAPE.window + 1), k + 1)
        part = network(*(a[:, window] for a in given), 1)
        for one, all_of_them in zip(part, whole, strict=True):
            # Of the oldest frame's token alone it matters a little that a frame came before it.
            torch.testing.assert_close(one[:, 0], all_of_them[:, k], atol=2e-2 if k > SHAPE.window else 1e-5, rtol=0)
    given[1][:, :3] += 100  # three frames of nonsense, far outside of the window
    torch.testing.assert_close(network(*given)[0][:, -1], whole[0][:, -1])


def test_frames_that_are_not_there_or_long_ago_change_nothing(network):
    given = said(4)
    wanted = network(*given, 1)
    other = said(5, seed=1)
    padded = [torch.cat([a, b], 1) for a, b in zip(other, given, strict=True)]
    for since in (LONG_AGO, -1.01):
        padded[-1][:, :5] = given[-1][:, :1] + since
        torch.testing.assert_close(network(*padded, 1), wanted)
    padded[-1][:, :5] = given[-1][:, :1] - torch.arange(5, 0, -1) * 0.03
    assert (network(*padded, 1)[0] - wanted[0]).abs().max() > 1e-3


def test_only_differences_in_time_count_and_the_axes_of_the_camera_do_not(network):
    given = said(8)
    wanted = network(*given)
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turn = turn * torch.linalg.det(turn)
    other = [*given[:4], turn @ given[4], given[5] + 7]
    torch.testing.assert_close(network(*other), wanted, atol=1e-4, rtol=1e-4)
    slower = [*given[:5], given[5] * 2]
    assert (network(*slower)[0] - wanted[0]).abs().max() > 1e-3


def test_it_is_a_mixture_and_at_first_only_averages():
    fresh = TemporalMDN(SHAPE).eval()
    given = said(6)
    mean, sigma, log_weight = fresh(*given)
    torch.testing.assert_close(log_weight.exp().sum(-1), torch.ones(2, 6))
    assert (sigma > 0).all()
    torch.testing.assert_close(mean[:, 0], given[1][:, 0])  # of the first frame: what the lifter said
    alike = [a[:, :1].expand(-1, 6, *a.shape[2:]) for a in given[:5]]
    torch.testing.assert_close(fresh(*alike, given[5])[0], alike[1], atol=1e-5, rtol=1e-5)


# what it is trained on


def test_motions_keep_their_body_camera_and_errors():
    source = motions.MotionSampler(people(["CMU_01", "CMU_02"]), 0, 30, ingredients=motions.Ingredients(moving=0.0))
    drawn = source.draw(24)
    assert drawn.inputs.shape == (24, 30, 54) and drawn.targets.shape == (24, 30, 16, 3)
    world = drawn.targets @ np.swapaxes(drawn.R_virtual_to_world, -1, -2)
    joints = np.concatenate([np.zeros((24, 30, 1, 3)), world], 2)
    lengths = np.linalg.norm(augment.to_bones(joints.reshape(-1, 17, 3)), axis=-1).reshape(24, 30, 17)
    assert (lengths.std(1) < 25).all()  # redefined joints sit beside the bones, which turn
    assert (np.median(lengths.std(1), 0) < 2).all()
    assert lengths[:, 0, sk.R_KNEE].std() > 10  # and bodies differ
    to_world = drawn.R_virtual_to_world @ np.swapaxes(drawn.R_virtual_to_camera, -1, -2)
    np.testing.assert_allclose(to_world, np.repeat(to_world[:, :1], 30, 1), atol=1e-5)  # cameras stand
    step = np.diff(drawn.t, axis=1)
    assert (step > 0).all() and step.min() < 1 / 40 and step.max() > 0.1
    moving = motions.MotionSampler(people(["CMU_01"]), 0, 30, ingredients=motions.Ingredients(moving=1.0)).draw(4)
    turned = moving.R_virtual_to_world @ np.swapaxes(moving.R_virtual_to_camera, -1, -2)
    assert np.abs(turned - turned[:, :1]).max() > 0.01
    again = motions.MotionSampler(people(["CMU_01"]), 0, 30, ingredients=motions.Ingredients(moving=1.0)).draw(4)
    np.testing.assert_array_equal(moving.inputs, again.inputs)


def test_between_frames_a_motion_goes_on_smoothly():
    source = motions.MotionSampler(people(["CMU_01"]), 0, 5)
    steady = source._motion(np.array([10]), np.arange(20)[None] / 120)[0].mean(1)
    np.testing.assert_allclose(np.diff(steady[:, 0]), 10, atol=0.05)  # 1.2 m/s at 120 frames a second


def test_who_is_left_out():
    names = ["CMU_01", "CMU_07", "CMU_08", "CMU_10", "CMU_29", "HDM05_dg", "HDM05_tr"]
    training, validation = motions.split(people(names, 2))
    assert set(training.subject) == {"CMU_01"}
    assert set(validation.subject) == {"CMU_07", "HDM05_dg"}


def test_errors_last_as_long_as_they_are_to(rng):
    t = np.arange(60)[None].repeat(400, 0) / 30
    for lasting in (0.02, 0.4):
        error = motions.correlated(rng, t, np.full(400, lasting))
        assert error.std() == pytest.approx(1, abs=0.03)
        found = (error[:, 1:] * error[:, :-1]).mean()
        assert found == pytest.approx(np.exp(-1 / 30 / lasting), abs=0.03)
    xy = standing(400)[..., ::2].repeat(60, 0)
    error = detector_noise.lasting_errors(xy, np.ones(len(xy)), rng, t, np.full(400, 0.4))
    same = (error[:, 1:] == error[:, :-1]).all(-1).mean()
    assert same == pytest.approx(np.exp(-1 / 30 / 0.4), abs=0.02)


def test_one_still_camera_sees_exactly_what_there_is(rng):
    seen = still_view(walk(), rng, 0.0)
    truth = walk() - walk()[:, :1]
    np.testing.assert_allclose(
        seen.targets[0] @ np.swapaxes(seen.R_virtual_to_world[0], -1, -2), truth[:, 1:], atol=0.01
    )
    assert jitter(truth, truth) == 0
    assert jitter(truth + 3 * (-1.0) ** np.arange(60)[:, None, None], truth) == pytest.approx(12 * 3**0.5, rel=0.01)


# training and build


def test_shaking_is_acceleration_alone():
    _, mean, _, log_weight, rotation, t = said(12)
    target = torch.randn(2, 12, 16, 3)
    exact = target[:, :, None].expand(-1, -1, 5, -1, -1)
    assert shaking(exact, log_weight, target, rotation, t) < 1e-4
    drift = (t[:, :, None, None] * torch.tensor([1.0, 2.0, 3.0]))[:, :, None] @ rotation[:, :, None]
    assert shaking(exact + drift, log_weight, target, rotation, t) < 0.05
    assert shaking(mean, log_weight, target, rotation, t) > 10
    settings = TemporalSettings()
    assert loss_of(settings, (exact, torch.ones(2, 12, 5, 16), log_weight), target, rotation, t).isfinite()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that a training reads, small."""
    folder = tmp_path_factory.mktemp("mocap")
    for file, names in (("train", ["CMU_01", "CMU_07"]), ("cmu_all", ["CMU_13"]), ("test", ["CMU_08"])):
        poses = people(names, 40)
        np.savez(folder / f"sequences_30fps_{file}.npz", joints=poses.joints, subject=poses.subject, seq=poses.sequence)
    return folder


SMALL = ("--width", "48", "--hidden", "16", "--batch", "2", "--frames", "8", "--window", "8", "--near", "3",
         "--samples", "96")  # fmt: skip


def test_a_training_is_resumed_and_built(folder, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--data", str(folder), "--out", str(out)]
    assert main([*flags, *SMALL, "--stop-after", "0"]) == 0
    assert main([*flags, "--resume", "--shake", "5"]) == 0
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["done"] == 96 and state["settings"]["shake"] == 5 and state["settings"]["width"] == 48
    assert state["lifter"] == cards.load_card(SHIPPED).sha256
    assert len((out / "log.tsv").read_text().splitlines()) == 3
    capsys.readouterr()
    assert "holds a training already" in refused(capsys, main, "engines.training.temporal.train", *flags)
    new = ["--data", folder, "--out", tmp_path / "new"]
    assert "multiple of 48" in refused(capsys, main, "engines.training.temporal.train", *new, "--width", "50")
    assert "--near 9" in refused(capsys, main, "engines.training.temporal.train", *new, "--near", 9, "--window", 8)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"")
    said = refused(capsys, main, "engines.training.temporal.train", *flags, "--resume", "--lifter", other)
    assert "other" in said

    built = tmp_path / "temporal.onnx"
    assert build_main(["--checkpoint", str(out / "checkpoint.pt"), "--data", str(folder), "--out", str(built)]) == 0
    capsys.readouterr()
    card = cards.verify(built)
    assert card.values["lifter"] == state["lifter"] and card.values["window"] == 8
    assert card.values["parity_max_sigma"] < 0.1
    assert card.values["test_mean_2"] > 0 and card.values["validation_jitter_detector"] > 0
    assert json.dumps(card.source).count("--shake 5")
    assert "not for the temporal lifter" in refused(
        capsys, build_main, "build", "--checkpoint", out / "checkpoint.pt", "--data", folder, "--precision", "fp16",
        "--out", built,
    )  # fmt: skip
