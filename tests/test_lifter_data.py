"""What the lifter is trained on: who is left out, other bodies, composed poses, detectors' errors, first weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from calibration.errors import UserError
from engines import skeleton as sk
from engines.build import lifter as build_lifter
from engines.models.mdn import MDN, MDNShape
from engines.training.checkpoints import average_weights
from engines.training.data import mocap
from engines.training.data.mocap import PROXY_SUBJECTS, REPEATS, TRAIN_FILES, load_proxy, load_training
from engines.training.evaluation import lifter as evaluation
from engines.training.lifter import augment, average, bodies, compose, detector_noise, train, unfold
from engines.training.lifter.batches import Ingredients, TrainingSampler
from tests.bodies import standing
from tests.mistakes import refused
from tests.test_lifter import people


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def folder_of(path, who, take):
    """A folder of motion capture in which every file has the same people and takes."""
    for seed, name in enumerate(TRAIN_FILES):
        n = 30 * len(who)
        np.savez(
            path / name,
            joints=standing(n, seed, 0.2).astype("float32"),
            subject=np.repeat(who, 30),
            seq=np.repeat(take, 30),
        )
    return path


def test_proxies_and_takes_that_stand_elsewhere_are_not_trained_on(tmp_path):
    repeats = [line.split() for line in REPEATS.read_text().splitlines() if not line.startswith("#")]
    assert {file for file, _ in repeats} <= {name.removesuffix(".npz") for name in TRAIN_FILES}
    file, take = repeats[0]
    folder = folder_of(tmp_path, ["A", "B", PROXY_SUBJECTS[0], "CMU_07", "CMU_08"], ["x", take, "x", "x", "x"])
    training, validation, test = load_training(folder)
    assert set(training.subject) == {"A", "B"}
    assert file not in training.file[training.subject == "B"]
    assert file in training.file[training.subject == "A"]
    assert set(load_proxy(folder).subject) == {PROXY_SUBJECTS[0]}
    assert set(load_proxy(folder).file) == {mocap.PROXY_FILE.removesuffix(".npz")}
    assert set(validation.subject) == {"CMU_07"}
    assert set(test.subject) == {"CMU_08"}


def test_nobody_left_out_is_in_the_training(data_folder):
    training, _, _ = load_training(data_folder / "mocap")
    assert not set(training.subject) & set(PROXY_SUBJECTS)
    assert set(load_proxy(data_folder / "mocap").subject) == set(PROXY_SUBJECTS)
    named = {f"{f} {s}" for f, s in zip(training.file, training.sequence, strict=True)}
    assert not named & {line for line in REPEATS.read_text().splitlines() if line[0] != "#"}


def test_files_that_define_joints_alike_share_their_weight():
    two = people(["a"] * 50 + ["b"] * 50 + ["c"] * 50, ["cmu17_bvh"] * 50 + ["cmu_all17"] * 50 + ["x"] * 50)
    weight = mocap.balance(two)
    assert weight[:100].sum() / weight[100:].sum() == pytest.approx(2**0.5)
    rerigged = people(["a"] * 50 + ["b"] * 50, ["extra_rerig17"] * 50 + ["x"] * 50)
    assert mocap.balance(rerigged)[:50].sum() == pytest.approx(1 / 3)


def test_bodies_are_those_of_people(rng):
    factor = bodies.lengths(20_000, rng, 0.0)
    assert factor.mean(0) == pytest.approx(np.ones(17), abs=0.01)
    assert 0.05 < factor[:, sk.R_KNEE].std() < 0.09
    np.testing.assert_array_equal(factor[:, sk.R_KNEE], factor[:, sk.L_KNEE])
    assert np.corrcoef(factor[:, sk.R_KNEE], factor[:, sk.R_ANKLE])[0, 1] > 0.4, "long thighs go with long shins"
    young = bodies.lengths(20_000, rng, 1.0)
    low, high = np.quantile(young[:, sk.R_KNEE], [0.01, 0.99])
    assert 0.5 < low < high < 1.05
    assert (young[:, sk.HEAD] / young[:, sk.R_KNEE]).mean() > 1.1, "children have larger heads for their legs"


def test_other_bodies_leave_the_pose_as_it_is(rng):
    bones = augment.to_bones(standing(100))
    usual = np.linalg.norm(bones, axis=-1)
    other = augment.exchange_bodies(bones, usual, rng, young=0.0)
    length = np.linalg.norm(other, axis=-1)
    np.testing.assert_allclose(other[:, 1:] * usual[:, 1:, None], bones[:, 1:] * length[:, 1:, None], atol=1e-6)
    assert 0.02 < (length / np.maximum(usual, 1))[:, 1:].std() < 0.2


def test_redefined_joints_are_alike_on_both_sides_and_leaning_keeps_shapes(rng):
    pose = standing(200, spread=0.0)
    moved = augment.redefine(pose, rng)
    np.testing.assert_allclose(moved[:, sk.PELVIS], 0, atol=1e-9)
    np.testing.assert_allclose((moved[:, sk.R_HIP] + moved[:, sk.L_HIP]) / 2, 0, atol=1e-9)
    np.testing.assert_allclose(sk.mirror(moved), moved, atol=1e-6, err_msg="a symmetric pose stays symmetric")
    wider = np.linalg.norm(moved[:, sk.R_HIP] - moved[:, sk.L_HIP], axis=-1) - 240
    assert 20 < wider.mean() < 40
    leaning = augment.tilt(pose, rng)
    np.testing.assert_allclose(
        np.linalg.norm(leaning[:, :, None] - leaning[:, None], axis=-1),
        np.linalg.norm(pose[:, :, None] - pose[:, None], axis=-1), atol=1e-6,
    )  # fmt: skip
    angle = np.degrees(np.arccos(leaning[:, sk.THORAX, 2] / np.linalg.norm(leaning[:, sk.THORAX], axis=-1)))
    assert 10 < np.median(angle) < 30


# composed poses


def test_limits_allow_what_was_seen_and_refuse_what_was_not(rng):
    bones = augment.to_bones(standing(500, spread=0.15))
    limits = compose.Limits(bones, rng)
    assert limits.allow(bones).all()
    wrong = bones.copy()
    wrong[:, sk.L_WRIST] *= -1  # the forearm folded back into the upper arm, which nobody did
    assert not limits.allow(wrong).any()
    backwards = bones.copy()
    backwards[:, sk.R_ANKLE] = np.linalg.norm(bones[:, sk.R_ANKLE], axis=-1, keepdims=True) * [0.0, 1.0, 0.0]
    assert not limits.allow(backwards).any()


def composed(kind, rng, n=400):
    """Joints of a kind in axes left, front, up of somebody who stood upright, facing -y."""
    bones = augment.to_bones(standing(n, spread=0.0))
    return augment.from_bones(compose._compose(bones, bones, compose.KINDS[kind], rng))


def test_kinds_are_what_they_are_called(rng):
    def up(joints, a, b):
        d = joints[:, b] - joints[:, a]
        return d[:, 2] / np.linalg.norm(d, axis=-1)

    sitting = composed("sitting", rng)
    assert np.abs(np.median(up(sitting, sk.R_HIP, sk.R_KNEE))) < 0.25
    assert np.median(up(sitting, sk.R_KNEE, sk.R_ANKLE)) < -0.8
    assert np.median(up(sitting, sk.PELVIS, sk.THORAX)) > 0.95
    front = sitting[:, sk.R_KNEE] - sitting[:, sk.R_HIP]
    assert np.median(front[:, 1]) < -350, "knees go where somebody who has the left on +x looks: to -y"
    crouching = composed("crouching", rng)
    assert (crouching[:, sk.THORAX, 1] < 0).mean() > 0.9, "leaning forward"
    assert np.median(crouching[:, sk.R_ANKLE, 2]) > -350
    for kind in ("lying", "lying, legs drawn up"):
        assert np.abs(up(composed(kind, rng), sk.PELVIS, sk.THORAX)).max() < 0.6
    hanging = composed("hanging", rng)
    assert (hanging[:, [sk.L_WRIST, sk.R_WRIST], 2] > hanging[:, [sk.THORAX], 2]).mean() > 0.95
    balancing = composed("balancing", rng)
    stands = np.minimum(up(balancing, sk.R_HIP, sk.R_KNEE), up(balancing, sk.L_HIP, sk.L_KNEE))
    assert np.median(stands) < -0.9
    length = np.linalg.norm(augment.to_bones(sitting), axis=-1)
    np.testing.assert_allclose(length, np.linalg.norm(augment.to_bones(standing(400, spread=0.0)), axis=-1), rtol=1e-6)


def test_composed_poses_keep_the_limits_of_what_they_are_composed_from(rng):
    poses = people(["a"] * 300)
    found, shares = compose.compose(poses, np.full(300, 1 / 300), rng, 50)
    assert set(shares) == set(compose.KINDS)
    assert len(found) == round(sum(shares.values()) * 50)
    assert set(found.file) <= {"f"}


# a detector's errors


def test_errors_of_a_detector_are_as_large_as_measured(rng):
    xy = np.zeros((20_000, 17, 2))
    xy[:, sk.R_WRIST] = [0.6, 0.8]
    off = np.linalg.norm(detector_noise.displace(xy, np.ones(20_000), rng) - xy, axis=-1)
    half, most, nearly = np.quantile(off[:, sk.R_KNEE], [0.5, 0.8, 0.95])
    assert (half, most) == (pytest.approx(0.0085, rel=0.15), pytest.approx(0.021, rel=0.2))
    assert 0.04 < nearly < 0.09
    assert off.max() < 4, "nothing is thrown out of the world"
    assert np.median(off[:, sk.R_WRIST]) > 1.2 * np.median(off[:, sk.R_ANKLE])
    twice = np.linalg.norm(detector_noise.displace(xy, np.full(20_000, 2.0), rng) - xy, axis=-1)
    assert np.median(twice) == pytest.approx(2 * np.median(off), rel=0.05)
    gone, more = (detector_noise.missing(np.full(20_000, f), rng).mean(0) for f in (1.0, 3.0))
    assert gone[sk.R_WRIST] == pytest.approx(0.09, abs=0.01)
    assert more[sk.R_WRIST] > 2 * gone[sk.R_WRIST]
    near, far = (detector_noise.quality(np.full(20_000, d), rng) for d in (2000.0, 8000.0))
    assert np.median(far) > 1.3 * np.median(near)


def test_samples_with_every_ingredient_are_finite():
    poses = people(["a"] * 64)
    everything = Ingredients(0.5, 0.5, 0.5, 0.5, 0.5)
    batch = TrainingSampler(poses, 0, ingredients=everything).draw(4000)
    assert np.isfinite(batch.inputs).all()
    assert np.isfinite(batch.targets).all()
    seen = batch.inputs[:, 34:51] > 0
    assert seen[:, sk.LIMBS].sum(1).min() >= 6
    again = TrainingSampler(poses, 0, ingredients=everything).draw(4000)
    np.testing.assert_array_equal(batch.inputs, again.inputs)
    for name in ("composed", "bodies", "redefined", "leaning", "detector"):
        without = TrainingSampler(poses, 0, ingredients=replace(everything, **{name: 0.0})).draw(500)
        assert not np.allclose(without.inputs, batch.inputs[:500]), name


# weights to start from


def network(seed, width=64):
    torch.manual_seed(seed)
    net = MDN(MDNShape(width=width, dropout=0.0))
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(64, 54))
    return net.eval()


def test_a_file_unfolds_to_the_network_it_was_built_from(tmp_path):
    trained, fresh, x = network(0), network(1), torch.randn(512, 54)
    build_lifter.write_onnx(trained, tmp_path / "a.onnx")
    unfold.unfold(fresh, tmp_path / "a.onnx", x)
    assert fresh.training
    with torch.inference_mode():
        for want, got in zip(trained(x), fresh.eval()(x), strict=True):
            torch.testing.assert_close(got, want, atol=0.02, rtol=0.02)  # stored as float16
        # Still so with the statistics of a batch, which training normalises with.
        batch = fresh.train()(x)[0]
    assert (batch - trained(x)[0]).abs().mean() < 0.2 * trained(x)[0].abs().mean()
    with pytest.raises(UserError, match="is another one"):
        unfold.unfold(network(1, 32), tmp_path / "a.onnx", x)


def test_a_training_starts_from_weights(tmp_path, capsys):
    folder = folder_of(tmp_path, ["A", "CMU_07", "CMU_08"], ["x", "x", "x"])
    flags = ["--data", folder, "--threads", "1", "--precision", "float32", "--samples", "2048", "--width", "64"]
    none = ["--composed", "0", "--rate", "0", "--warm-up", "0", "--anneal", "0", "--dropout", "0"]
    build_lifter.write_onnx(network(3), tmp_path / "a.onnx")
    assert train.main([str(f) for f in (*flags, *none, "--start", tmp_path / "a.onnx", "--out", tmp_path / "1")]) == 0
    kept = torch.load(tmp_path / "1" / "checkpoint.pt", weights_only=True)
    start = unfold.matrices(tmp_path / "a.onnx")[0][0]
    np.testing.assert_allclose(kept["averaged"]["trunk.0.0.weight"].numpy(), start, atol=1e-6)
    again = [*flags, *none, "--start", tmp_path / "1" / "checkpoint.pt", "--out", tmp_path / "2"]
    assert train.main([str(f) for f in again]) == 0
    capsys.readouterr()
    for start, said in (
        (tmp_path / "none.onnx", "cannot be read as ONNX"),
        (tmp_path / "none.pt", "there is no checkpoint"),
        (tmp_path / "a.onnx", "is another one"),
        (tmp_path / "1" / "checkpoint.pt", "is another one"),
    ):
        other = [*flags[:-1], "32", *none, "--start", start, "--out", tmp_path / "3"]
        assert said in refused(capsys, train.main, "engines.training.lifter.train", *other)


def test_an_average_lies_between_and_can_be_gone_on_from(tmp_path, capsys):
    folder = folder_of(tmp_path, ["A", "CMU_07", "CMU_08"], ["x", "x", "x"])
    flags = ["--data", folder, "--threads", "1", "--precision", "float32", "--samples", "2048", "--width", "64"]
    assert train.main([str(f) for f in (*flags, "--composed", "0", "--out", tmp_path / "b")]) == 0
    one, two = tmp_path / "a.onnx", tmp_path / "b" / "checkpoint.pt"
    build_lifter.write_onnx(network(3), one)

    def mixed(*shares, name):
        of = [word for path, share in zip((one, two), shares, strict=True) for word in ("--of", path, share)]
        return [str(f) for f in (*of, "--data", folder, "--out", tmp_path / name)]

    assert average.main(mixed(1, 3, name="c")) == 0
    settings, got = train.rebuild(torch.load(tmp_path / "c" / "checkpoint.pt", weights_only=True), tmp_path / "c")
    assert settings.start == "average of a.onnx 0.25, checkpoint.pt 0.75"
    other = train.rebuild(torch.load(two, weights_only=True), two)[1]
    parts = zip(unfold.matrices(one), unfold.folded(other), unfold.folded(got), strict=True)
    for a, b, c in parts:
        for k in (0, 1):
            np.testing.assert_allclose(c[k], 0.25 * a[k] + 0.75 * b[k], atol=1e-5, rtol=1e-4)
    on = [*flags, "--composed", "0", "--start", tmp_path / "c" / "checkpoint.pt", "--out", tmp_path / "d"]
    assert train.main([str(f) for f in on]) == 0
    said = "engines.training.lifter.average"
    capsys.readouterr()
    assert "holds a training already" in refused(capsys, average.main, said, *mixed(1, 1, name="c"))
    assert "above 0" in refused(capsys, average.main, said, *mixed(0, 1, name="e"))
    assert "could not convert" in refused(capsys, average.main, said, *mixed("half", 1, name="e"))
    build_lifter.write_onnx(network(3, 32), one)
    assert "another one than that of" in refused(capsys, average.main, said, *mixed(1, 1, name="e"))


def test_evaluation_of_the_proxies_and_with_a_detectors_errors(tmp_path, capsys):
    folder = folder_of(tmp_path, ["A", PROXY_SUBJECTS[1], "CMU_07", "CMU_08"], ["x"] * 4)

    def said(*flags):
        assert evaluation.main(["--data", str(folder), *flags]) == 0
        return capsys.readouterr().out

    exact, noisy = said("--proxy"), said("--proxy", "--detector-noise", "1")
    assert f"| {PROXY_SUBJECTS[1]} | 30 |" in exact
    assert "CMU_08" not in exact
    assert exact != noisy
    assert "| CMU_08 | 180 |" in said()
    mocap_file = str(folder / TRAIN_FILES[0])
    assert "--proxy is of --data" in refused(capsys, evaluation.main, "evaluate", "--mocap", mocap_file, "--proxy")
    flags = ("--data", str(folder), "--detector-noise", "1", "--views", "h36m4")
    assert "is for --views random" in refused(capsys, evaluation.main, "evaluate", *flags)


def test_statistics_of_the_norms_are_averaged_like_weights():
    averaged, now = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    now.running_mean += 10
    now.num_batches_tracked += 7
    average_weights(averaged, now, 0.9)
    assert averaged.running_mean.tolist() == pytest.approx([1, 1])
    assert averaged.num_batches_tracked == 7
