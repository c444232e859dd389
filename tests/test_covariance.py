"""How unsure a 2D joint is: shapes of heatmaps, the calibration and the card, and what fusion makes of it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import scenes
from calibration.errors import UserError
from engines import cards
from engines.build import card
from engines.build.covariance import Errors, fit
from engines.covariance import EllipseCalibration, shapes, to_h36m
from engines.fusion.views import gather, relative_noise
from engines.lifter import MDNLifter
from engines.skeleton import COCO, HEAD, L_HIP, PELVIS, R_HIP
from engines.types import Detection
from tests.bodies import standing
from tests.test_runtimes import write_card


def gaussian(centre: tuple[float, float], cov: np.ndarray, n: int = 64) -> np.ndarray:
    at = (np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1) + 0.5) / n - centre
    return np.exp(-np.einsum("yxi,ij,yxj->yx", at, np.linalg.inv(cov), at) / 2)


def test_the_shape_of_a_gaussian_is_its_covariance() -> None:
    cov = np.array([[0.004, 0.002], [0.002, 0.003]])
    (found,) = shapes(gaussian((0.4, 0.55), cov)[None], np.array([[0.4, 0.55]]))
    # What is below a tenth of the peak is left out.
    np.testing.assert_allclose(found / np.trace(found), cov / np.trace(cov), atol=0.02)
    assert 0.5 < np.trace(found) / np.trace(cov) < 1


def test_the_middle_of_a_cell_is_where_its_height_lies() -> None:
    maps = np.zeros((1, 8, 4))
    maps[0, 5, 2] = 3.0
    (found,) = shapes(maps, np.array([[2.5 / 4, 5.5 / 8]]))
    np.testing.assert_allclose(found, 1e-6 * np.eye(2), atol=1e-9)
    (found,) = shapes(maps, np.array([[2.5 / 4 - 0.1, 5.5 / 8 + 0.2]]))
    np.testing.assert_allclose(found, [[0.01, -0.02], [-0.02, 0.04]], atol=2e-6)


def test_a_covariance_is_what_the_formula_says_and_no_score_is_sure() -> None:
    calibration = EllipseCalibration(-1.0, 0.8, -0.6, 0.25)
    shape = np.array([[4.0, 1.0], [1.0, 1.0]])
    found = calibration.covariance(shape, np.array(0.8))
    variance = np.exp(-1.0) * 2.5**0.8 * 4.0**-0.6
    np.testing.assert_allclose(found, variance * (0.75 * shape / 2.5 + 0.25 * np.eye(2)), rtol=1e-12)
    assert np.trace(found) / 2 == pytest.approx(variance)
    for score, bound in ((1.0, 0.999), (0.9995, 0.999), (0.0, 0.001), (0.0005, 0.001)):
        alike = calibration.covariance(shape, np.array(score)), calibration.covariance(shape, np.array(bound))
        np.testing.assert_allclose(*alike, rtol=1e-9)
    assert not np.allclose(
        calibration.covariance(shape, np.array(0.99)), calibration.covariance(shape, np.array(0.999))
    )


def test_a_calibration_is_found_again() -> None:
    rng = np.random.default_rng(0)
    count = 4000
    true = EllipseCalibration(-1.0, 0.8, -0.6, 0.2)
    turn = rng.normal(size=(count, 2, 2)) * np.exp(rng.normal(-3, 0.5, (count, 1, 1)))
    shape, score = turn @ turn.swapaxes(1, 2) + 1e-4 * np.eye(2), rng.uniform(0.1, 0.95, count)
    error = (np.linalg.cholesky(true.covariance(shape, score)) @ rng.normal(size=(count, 2, 1)))[..., 0]
    error[:200] *= 20  # a twentieth is simply wrong
    rng.shuffle(order := np.arange(count))
    errors = Errors(error[order], shape[order], score[order], np.arange(count) % 2 == 0)
    found = fit(errors)
    assert (found.spread, found.surety) == pytest.approx((0.8, -0.6), abs=0.08)
    held = (errors.squares(found)[~errors.fitted] < 2 * np.log(2)).mean()
    assert held == pytest.approx(0.5, abs=0.03)


def test_a_card_says_it_and_an_older_one_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"weights")
    write_card(path, extra="[values]\nsize = 256  # a remark\ncov_level = 9.0\n")
    assert EllipseCalibration.of(cards.load_card(path).values) is None
    card.amend(path, EllipseCalibration(-1.0, 0.5, -0.25, 0.125).values())
    text = path.with_suffix(".toml").read_text()
    assert "size = 256  # a remark" in text
    assert text.count("cov_level") == 1
    assert EllipseCalibration.of(cards.verify(path).values) == EllipseCalibration(-1.0, 0.5, -0.25, 0.125)
    with pytest.raises(UserError, match="cov_level could not be measured"):
        card.amend(path, {"cov_level": float("nan")})
    assert EllipseCalibration.of({"cov_level": "high"}) is None


@pytest.mark.parametrize("name", ["movenet_thunder", "movenet_lightning", "hourglass"])
def test_the_shipped_ellipses_hold_what_they_should_of_photographs_that_were_not_fitted(name: str) -> None:
    values = cards.load_card(cards.WEIGHTS / f"{name}.onnx").values
    assert EllipseCalibration.of(values)
    assert 45 <= values["held_in_ellipse_50"] <= 55
    assert 75 <= values["held_in_ellipse_80"] <= 85
    assert 90 <= values["held_in_ellipse_95"] <= 98


def test_what_is_derived_is_surer_and_what_is_not_there_is_not_known() -> None:
    cov = to_h36m(COCO, np.tile(4 * np.eye(2), (17, 1, 1)))
    np.testing.assert_allclose(cov[PELVIS], 2 * np.eye(2))
    np.testing.assert_allclose(cov[[R_HIP, L_HIP]], np.tile(4 * np.eye(2), (2, 1, 1)))
    assert np.isnan(cov[HEAD]).all()


def test_only_ratios_of_covariances_count_in_fusion() -> None:
    rng = np.random.default_rng(1)
    xy, score = rng.uniform(0, 500, (17, 2)).astype(np.float32), np.full(17, 0.8, np.float32)
    cov = np.tile(9 * np.eye(2), (17, 1, 1))
    cov[3] *= 16

    def noise(scale: float) -> np.ndarray:
        found = [Detection(xy, score, np.zeros(17, bool), "x", cov=scale * cov)]
        return relative_noise(found, np.ones((1, 17), bool), score[None])

    np.testing.assert_allclose(noise(1), noise(100))
    np.testing.assert_allclose(noise(1)[0, 5], np.eye(2))
    np.testing.assert_allclose(noise(1)[0, 3], 4 * np.eye(2), err_msg="the root of the ratio is believed")


LOPSIDED = [[2.0, -9.0], [1.0, 1.0]]
"""Its determinant is that of a covariance, and it is none."""


@pytest.mark.parametrize("wrong", [np.nan, 0.0, -1.0, np.inf, LOPSIDED])
def test_a_covariance_that_is_none_is_passed_over(wrong: float | list[list[float]]) -> None:
    rng = np.random.default_rng(2)
    cameras = scenes.ring((0, 90), rng)
    found = scenes.detect(rng.normal(0, 400, (17, 3)) + (0, 0, 900), cameras, scenes.CLEAN, rng)
    cov = np.tile(np.eye(2, dtype=np.float32), (17, 1, 1))
    cov[[2, 4]] = wrong if isinstance(wrong, list) else np.diag([wrong, wrong])
    told = [Detection(d.xy, d.score, d.derived, d.origin, cov=cov) for d in found]
    views = gather(told, [None, None], cameras, 0.1)
    assert views is not None
    assert np.isfinite(views.noise).all()
    assert (np.linalg.eigvalsh(views.noise) > 0).all()


def test_fusion_is_better_for_knowing_how_unsure_each_joint_is() -> None:
    """48 poses, four cameras, noise that differs by a factor of two from joint to joint and axis to axis."""
    from benchmarks.fusion import solve

    base = standing(48, seed=3)
    lifter, off = MDNLifter(None), {}
    for told in (False, True):
        faults = scenes.Faults(outliers=0.0, missing=(0, 0), uneven=0.7, told=told)
        made = scenes.make(base, ["x"] * len(base), (0, 90, 180, 270), faults, lifter, 0)
        for method in ("triangulate", "map"):
            joints = np.stack([solve(scene, method)[0] for scene in made])
            off[method, told] = np.linalg.norm(joints - np.stack([s.truth for s in made]), axis=-1).mean()
    assert off["map", True] < 0.9 * off["map", False]
    assert off["triangulate", True] < 0.95 * off["triangulate", False]
