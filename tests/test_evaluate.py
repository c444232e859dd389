"""Evaluation: views, tables and probabilities against answers that are known."""

import json

import numpy as np
import pytest

from calibration.geometry import virtual
from engines import skeleton as sk
from engines.training import metrics
from engines.training.data.mocap import Poses
from engines.training.data.sequences import Sequence
from engines.training.evaluation import lifters, multiview, reliability, tables
from engines.training.evaluation.lifter import main, score
from engines.training.evaluation.lifters import Lifted
from engines.training.lifter.batches import evaluation_batch
from engines.training.lifter.synthetic_views import laboratory_views, random_views, sequence_views
from engines.types import EngineError
from tests.bodies import standing, walking


def people(n=40, seed=0, actions=("Walking",)):
    who = np.array(["a", "b"])[np.arange(n) % 2]
    what = np.array(actions)[np.arange(n) % len(actions)]
    return Poses(standing(n, seed).astype(np.float32), who, who, who, what)


class Knowing:
    """Answers with the truth in one of its kernels, and that far off (mm) in the others."""

    def __init__(self, off=(0.0, 100.0, 200.0), weight=(0.2, 0.5, 0.3), turn=0, sigma=20.0, **training):
        self.off, self.weight, self.turn, self.sigma = off, weight, turn, sigma
        self.name, self.probabilistic, self.training = "knowing", True, {"kernels": len(off)} | training

    def lift(self, observations):
        n, m = len(observations), len(self.off)
        shift = np.zeros((n, m, 17, 3))
        # Along each camera's own x, so that views disagree wherever they are wrong.
        shift[..., 1:, 0] = np.array(self.off)[:, None] * 17 / 16
        mean = (observations.truth[:, None] + shift).astype(np.float32)
        sigma = np.full((n, m, 17), self.sigma)
        sigma[..., 0] = 0
        return Lifted(mean, sigma, np.broadcast_to(np.array(self.weight), (n, m)).copy())


# views


def test_random_views_are_those_the_card_was_measured_on():
    poses = people()
    for noise, missing in ((0.0, 0), (2.0, 2)):
        batch, cameras = evaluation_batch(poses.joints, np.random.default_rng(5), noise, missing)
        o = random_views(poses, noise, missing, 5)
        np.testing.assert_allclose(o.R, cameras.R)
        np.testing.assert_array_equal(o.seen[:, sk.L_WRIST], batch.inputs[:, 34 + sk.L_WRIST] > 0)
        turned = np.linalg.norm(o.truth[:, 1:], axis=-1)
        np.testing.assert_allclose(turned, np.linalg.norm(batch.targets, axis=-1), rtol=1e-4)
    assert np.isnan(random_views(poses, gravity=False).up).all()


def test_the_lifter_is_told_the_same_as_in_training():
    """From pixels and cameras to the network's input: the same numbers as from the training's batches."""
    told = []

    def network(x):
        told.append(x)
        n = len(x)
        return {"mean": np.zeros((n, 5, 16, 3)), "sigma": np.ones((n, 5, 16)), "log_weight": np.zeros((n, 5))}

    from engines.lifter import Decoding

    poses = people(30)
    lifters.VirtualLifter(network, Decoding(300.0), "x", {}).lift(random_views(poses, 2.0, 1, 3))
    batch, _ = evaluation_batch(poses.joints, np.random.default_rng(3), 2.0, 1)
    np.testing.assert_allclose(told[0], batch.inputs, atol=1e-5)


def test_answers_come_back_in_the_cameras_axes():
    """A network that answers with the truth in its virtual camera is right in the real one."""
    o = laboratory_views(people(20))
    rays = np.concatenate([o.rays, np.ones((len(o), 17, 1))], -1)
    xy, seen, _ = sk.derive(o.rays, o.seen.astype(np.float32))
    rays = np.concatenate([xy, np.ones((len(o), 17, 1))], -1)
    turn = virtual.look(rays, seen > 0, o.up).R_virtual_to_camera
    inside = np.einsum("nji,nkj->nki", turn, o.truth)[:, None, 1:]

    def network(x):
        n = len(x)
        return {"mean": inside / 300, "sigma": np.ones((n, 1, 16)), "log_weight": np.zeros((n, 1))}

    from engines.lifter import Decoding

    lifted = lifters.VirtualLifter(network, Decoding(300.0), "x", {}).lift(o)
    np.testing.assert_allclose(lifted.mean[:, 0], o.truth, atol=0.01)


def test_views_of_a_data_set_are_its_own():
    from engines.training.data import h36m

    joints, cameras = walking(6), h36m.cameras("S9")
    plain = Sequence("S9", "Walking", "Walking 1", joints, cameras)
    o = sequence_views([plain, plain], every=2)
    assert len(o) == 2 * 3 * 4
    assert len(set(o.frame_set)) == 6
    xy, seen = np.ones((4, 6, 17, 2)) * 500, np.ones((4, 6, 17), bool)
    seen[1] = False
    detected = Sequence("S9", "Walking", "Walking 1", joints, cameras, xy, seen)
    o = sequence_views([detected], missing=1)
    assert len(o) == 18, "the view that saw nothing is left out"
    assert (o.xy == 500).all()
    assert (o.seen.sum(1) == 16).all()
    with pytest.raises(EngineError, match="its own 2D"):
        sequence_views([detected], noise=1.0)
    with pytest.raises(EngineError, match="no cameras"):
        sequence_views([Sequence("S9", "x", "x", joints)])


# metrics


def test_errors_of_known_hypotheses():
    o = random_views(people())
    result = score(Knowing(), o)
    assert result["best_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert result["argmax_mpjpe_mm"] == pytest.approx(100, rel=1e-4)
    assert result["mean_mpjpe_mm"] == pytest.approx(110, rel=1e-4)
    assert set(result["subjects"]) == {"a", "b"}
    assert result["subjects"]["a"]["poses"] == 20
    assert "actions" not in result, "one action is none"
    assert set(score(Knowing(), random_views(people(actions=("x", "y"))))["actions"]) == {"x", "y"}


def test_pck_and_auc():
    error = np.array([[0.0, 10.0], [149.0, 151.0]])
    assert metrics.pck(error) == 75
    wanted = np.mean([(error < t).mean() * 100 for t in np.arange(0, 151, 5)])
    assert metrics.auc(error) == pytest.approx(wanted)


def test_likelihood_is_scipys_for_a_sigma_an_axis(rng):
    from scipy.special import logsumexp
    from scipy.stats import norm

    mean, truth = rng.normal(size=(9, 3, 17, 3)) * 50, rng.normal(size=(9, 17, 3)) * 50
    sigma, weight = rng.uniform(20, 80, (9, 3, 17, 3)), rng.dirichlet(np.ones(3), 9)
    log = norm.logpdf(truth[:, None, 1:], mean[:, :, 1:], sigma[:, :, 1:]).sum((-1, -2)) + np.log(weight)
    assert reliability.nll(mean, sigma, weight, truth) == pytest.approx(-np.mean(logsumexp(log, axis=1)))
    one = np.broadcast_to(sigma[..., :1], sigma.shape)
    assert reliability.nll(mean, sigma[..., 0], weight, truth) == pytest.approx(
        reliability.nll(mean, one, weight, truth)
    )


def test_kernels_that_are_one_count_as_one_and_so_do_chains():
    base = standing(1)[0]
    shift = np.array([0.0, 15.0, 30.0, 300.0])
    mean = (base + shift[:, None, None] * [1.0, 0, 0])[None]
    np.testing.assert_array_equal(reliability.merge(mean), [[0, 0, 0, 3]])
    np.testing.assert_array_equal(reliability.merge(mean[:, ::-1]), [[0, 1, 1, 1]])
    np.testing.assert_array_equal(reliability.merge(mean, same_mm=1.0), [[0, 1, 2, 3]])


def test_calibration_error_is_the_gap_between_claim_and_fact():
    """Two hypotheses far apart, called 70 and 30 %; right 70 % of the time, then always."""
    n = 4000
    base = standing(1)[0]
    mean = np.broadcast_to(np.stack([base, base + 500]), (n, 2, 17, 3))
    weight = np.broadcast_to([0.7, 0.3], (n, 2))
    for share, gap in ((0.7, 0.0), (1.0, 0.3)):
        truth = np.where((np.arange(n) < share * n)[:, None, None], mean[:, 0], mean[:, 1])
        for top_only in (False, True):
            found = reliability.reliability(mean, weight, truth, top_only=top_only)
            assert found.error == pytest.approx(gap, abs=1e-9)
            assert found.count.sum() == n * (1 if top_only else 2)
    split = np.concatenate([mean[:, :1], mean[:, :1] + 1, mean[:, 1:]], 1)
    parts = np.broadcast_to([0.4, 0.3, 0.3], (n, 3))
    truth = np.where((np.arange(n) < 0.7 * n)[:, None, None], mean[:, 0], mean[:, 1])
    assert reliability.reliability(split, parts, truth).error == pytest.approx(0, abs=1e-9), (
        "two kernels, one claim of 70 %"
    )


def test_small_claims_hide_an_overconfident_best_one():
    """Why the most probable alone is looked at as well."""
    n = 1000
    base = standing(1)[0]
    mean = np.stack([np.broadcast_to(base + 500 * k, (n, 17, 3)) for k in range(5)], 1)
    weight = np.broadcast_to([0.9, 0.025, 0.025, 0.025, 0.025], (n, 5))
    truth = mean[np.arange(n), np.arange(n) % 5]
    assert reliability.reliability(mean, weight, truth).error < 0.3
    assert reliability.reliability(mean, weight, truth, top_only=True).error == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_coverage_is_nominal_where_sigma_is_right_and_nowhere_else(scale, rng):
    n = 800
    mean = np.broadcast_to(standing(1), (n, 17, 3))[:, None] + np.array([0, 400.0])[:, None, None]
    weight = np.broadcast_to([0.6, 0.4], (n, 2))
    kernel = (rng.random(n) > 0.6).astype(int)
    truth = mean[np.arange(n), kernel] + rng.normal(size=(n, 17, 3)) * 30
    sigma = np.full((n, 2, 17), 30.0 * scale)
    sigma[..., 0] = 0
    found = reliability.coverage(mean, sigma, weight, truth)
    for level in (50, 80, 95):
        if scale == 1:
            assert found[str(level)] == pytest.approx(level / 100, abs=0.012)
        else:
            assert (found[str(level)] > level / 100) == (scale > 1)
    rank = reliability.ranks(mean, sigma, weight, truth)
    if scale == 1:
        assert np.abs(np.histogram(rank, 10, (0, 1))[0] / rank.size - 0.1).max() < 0.012, "ranks are uniform"


def test_sharpness_is_the_deviation_of_the_marginals():
    mean = np.broadcast_to(standing(1), (5, 17, 3))[:, None] + np.array([0, 200.0])[:, None, None] * [0, 0, 1]
    sigma, weight = np.full((5, 2, 17), 10.0), np.full((5, 2), 0.5)
    assert reliability.sharpness(mean, sigma, weight) == pytest.approx(np.sqrt(100 + 100**2 / 3))
    assert reliability.sharpness(mean, np.repeat(sigma[..., None], 3, -1), weight) == pytest.approx(
        np.sqrt(100 + 100**2 / 3)
    )


# tables


def test_views_that_agree_on_the_truth_select_it():
    o = laboratory_views(people(12))
    lifted = Knowing().lift(o)
    fused = multiview.fuse(o, lifted)
    assert len(fused.error) == 12
    # The right hypotheses agree exactly; those that are off are off in four directions.
    np.testing.assert_allclose(fused.error, 0, atol=1e-3)
    order = np.random.default_rng(0).permutation(len(o))
    mixed = Lifted(lifted.mean[order], lifted.sigma[order], lifted.weight[order])
    np.testing.assert_allclose(multiview.fuse(o.select(order), mixed).error, 0, atol=1e-3)
    assert len(multiview.fuse(random_views(people(12)), Knowing().lift(random_views(people(12)))).error) == 0


def test_by_action_averages_the_actions_not_the_poses():
    poses = people(30, actions=("Walking", "Sitting", "Walking"))

    class Sitters(Knowing):
        def lift(self, observations):
            lifted = super().lift(observations)
            lifted.mean[observations.action == "Sitting", :, 1:] += 17 / 16 * 30 * np.array([0, 0, 1.0], np.float32)
            return lifted

    table = tables.by_action(
        [Sitters(off=(0.0,), weight=(1.0,))], lambda missing: laboratory_views(poses, missing=missing)
    )
    assert list(table.rows) == ["Sitting", "Walking", "average"], "in Human3.6M's order"
    assert table.rows["Sitting"]["P1 best of M"] == pytest.approx(30, rel=1e-3)
    assert table.rows["average"]["P1 best of M"] == pytest.approx(15, rel=1e-3)
    assert table.rows["average"]["P1 multi-view"] < 15, "off in four directions: the average of the views is nearer"
    assert "| average |" in table.markdown()


def test_missing_joints_are_really_missing():
    seen = []

    class Watching(Knowing):
        def lift(self, observations):
            seen.append(int(observations.seen.sum(1).max()))
            return super().lift(observations)

    table = tables.missing_joints([Watching()], lambda missing: random_views(people(), missing=missing))
    assert seen == [17, 16, 15]
    assert list(table.rows) == ["0 missing", "1 missing", "2 missing"]


def test_scenes_kernels_and_prior_have_their_rows():
    def observe(missing):
        return random_views(people(20), missing=missing)

    scenes = tables.by_scene([Knowing()], observe).rows
    assert scenes["all"]["PCK best of M"] == 100
    assert scenes["all"]["AUC best of M"] > scenes["all"]["AUC most probable"]
    one, five = Knowing((50.0,), (1.0,), prior=1.0), Knowing(prior=2.0)
    one.probabilistic = False
    assert list(tables.by_kernels([five, one], observe).rows) == ["regression (knowing)", "M = 3 (knowing)"]
    prior = tables.by_prior([five, one], observe).rows
    assert [name.split(",")[0] for name in prior] == ["lambda = 1.0", "lambda = 2.0"], "nobody sits or lies here"
    assert prior["lambda = 2.0, all poses (knowing)"]["kernels used"] == 3


def test_seated_and_lying_are_told_from_standing():
    lying = people(4)
    joints = lying.joints.copy()
    joints[:2] = joints[:2] @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    lying = Poses(joints, lying.subject, lying.sequence, lying.file)
    np.testing.assert_array_equal(tables.low(random_views(lying)), [True, True, False, False])
    assert not tables.low(random_views(lying, gravity=False)).any(), "not known"


def test_reprojection_of_the_truth_is_perfect_and_of_a_twisted_one_is_not():
    o = laboratory_views(people(20))
    found = tables.pckh(o, Knowing().lift(o))
    assert found["best"] == pytest.approx(100)
    twisted = Knowing().lift(o)
    twisted.mean[:, :, :, 0] *= -1  # mirrored: the image is another one
    assert tables.pckh(o, twisted)["best"] < 70
    deeper = Knowing((0.0,), (1.0,)).lift(o)
    deeper.mean[..., 2] *= 0.5  # a flatter body looks nearly the same: that is what makes lifting ambiguous
    assert tables.pckh(o, deeper)["all hypotheses"] > 90
    o.seen[:, sk.HEAD] = False
    with pytest.raises(EngineError, match="head"):
        tables.pckh(o, Knowing().lift(o))


# the command line, with the shipped weights


def test_a_file_with_joints_alone(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", joints=standing(50) + [5e4, -3e3, 7e3])
    flags = ["--mocap", str(tmp_path / "a.npz"), "--noise", "2", "--missing", "1", "--seed", "3"]
    assert main([*flags, "--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr().out
    result = json.loads((tmp_path / "a.json").read_text())
    for prefix in ("", "p_"):
        for name in ("best", "argmax", "mean"):
            assert result[f"{prefix}{name}_mpjpe_mm"] > 0
    assert result["best_mpjpe_mm"] < result["argmax_mpjpe_mm"] < 250, "wherever the origin is"
    assert set(result["coverage"]) == {"50", "80", "95"}
    assert {"nll", "ece", "sharpness_mm"} <= set(result)
    assert (result["poses"], result["noise"], result["missing"], result["seed"], result["views"]) == (
        50,
        2,
        1,
        3,
        "random",
    )
    assert f"{result['argmax_mpjpe_mm']:.1f}" in said
    assert "P2" in said
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert main([*flags, "--json", str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text()) == result, "the same seed, the same numbers"


def test_actions_and_subjects_where_there_are_any(tmp_path, capsys):
    np.savez(
        tmp_path / "a.npz",
        joints=standing(30),
        subject=np.repeat(["x", "y"], 15),
        action=np.tile(["run", "sit", "lie"], 10),
    )
    flags = ["--mocap", str(tmp_path / "a.npz"), "--json", str(tmp_path / "a.json")]
    assert main([*flags, "--views", "h36m4"]) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["poses"] == 120
    assert set(result["actions"]) == {"run", "sit", "lie"}
    assert result["subjects"]["x"]["poses"] == 60
    for number in range(1, 8):
        assert main([*flags, "--table", str(number), "--noise", "1"]) == 0
        rows = json.loads((tmp_path / "a.json").read_text())["rows"]
        assert all(np.isfinite(v) for row in rows.values() for v in row.values())
        assert capsys.readouterr().out.count("\n|") > len(rows)


def test_a_users_mistake_is_one_line(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", joints=standing(4))
    np.savez(tmp_path / "b.npz", joints=standing(4)[:, :16])
    (tmp_path / "half.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-60])
    np.save(tmp_path / "a.npy", standing(4))
    mocap = ["--mocap", str(tmp_path / "a.npz")]
    for flags, word in (
        (["--mocap", str(tmp_path / "b.npz")], "(4, 16, 3)"), (["--mocap", str(tmp_path / "c.npz")], "c.npz"),
        ([*mocap, "--weights", str(tmp_path / "no.onnx")], "no.onnx cannot be read"),
        ([*mocap, "--weights", str(tmp_path / "no.pt")], "no.pt"),
        ([*mocap, "--table", "2", "--views", "random"], "several cameras"),
        ([*mocap, "--detections", "x.npz"], "--data"),
        ([*mocap, "--json", str(tmp_path / "a.npz" / "a.json")], "a.json"),
        (["--mocap", str(tmp_path / "half.npz")], "half.npz"), (["--mocap", str(tmp_path / "a.npy")], "a.npy"),
        (["--data", str(tmp_path / "a.npz")], "for --mocap"),
        ([*mocap, "--json", str(tmp_path / "kept.json"), "--plot", str(tmp_path / "a.xyz")], "ends in .png"),
    ):  # fmt: skip
        assert main(flags) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1
    assert (tmp_path / "kept.json").exists(), "a plot that cannot be made loses no figures"
    for flags in (["--weights", "a.onnx", "b.onnx"], ["--table", "3", "--missing", "1"], ["--every", "0"]):
        with pytest.raises(SystemExit):
            main([*mocap, *flags])
