"""The losses beyond the paper's: errors of the nearest hypothesis, the mean and one that is drawn."""

import dataclasses

import pytest
import torch

from engines.training.lifter.losses import best_error, expected_error, mean_error
from engines.training.lifter.train import PRESETS, LifterSettings, heat


def mixture() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two poses of two joints at the origin, hypotheses 3-4-5 away, 1 away and 2 away: means, log weights, target."""
    mean = torch.zeros(2, 3, 2, 3)
    mean[:, 0] = torch.tensor([3.0, 4.0, 0.0])
    mean[:, 1] = torch.tensor([0.0, 0.0, 1.0])
    mean[:, 2] = torch.tensor([0.0, -2.0, 0.0])
    weight = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]).clamp(min=1e-30)
    return mean, weight.log(), torch.zeros(2, 2, 3)


def test_the_nearest_hypothesis_alone_counts_when_cold() -> None:
    mean, _, target = mixture()
    mean.requires_grad_()
    error = best_error(mean, target, heat=0.0)
    assert error.item() == pytest.approx(2 * 1.0)
    (gradient,) = torch.autograd.grad(error, mean)
    assert gradient[:, 1].abs().sum() > 0
    assert gradient[:, [0, 2]].abs().sum() == 0


def test_hypotheses_share_by_the_softmin_of_their_errors_when_hot() -> None:
    mean, _, target = mixture()
    errors = torch.tensor([10.0, 2.0, 4.0])
    for temperature in (0.5, 2.0, 100.0):
        expected = (torch.softmax(-errors / temperature, 0) * errors).sum()
        assert best_error(mean, target, temperature).item() == pytest.approx(expected.item(), rel=1e-5)
    mean.requires_grad_()
    (gradient,) = torch.autograd.grad(best_error(mean, target, 2.0), mean)
    strength = gradient.flatten(2).norm(dim=-1)[0]
    assert strength[1] > strength[2] > strength[0] > 0


def test_the_error_of_the_mean_is_that_of_the_weighted_means() -> None:
    mean, log_weight, target = mixture()
    # (1.5, 1, 0) for the first pose, (0, 0, 1) for the second; two joints each.
    assert mean_error(mean, log_weight, target).item() == pytest.approx((2 * 3.25**0.5 + 2 * 1.0) / 2, rel=1e-5)


def test_the_expected_error_is_the_coefficients_own() -> None:
    mean, log_weight, target = mixture()
    mean.requires_grad_()
    log_weight.requires_grad_()
    error = expected_error(mean, log_weight, target)
    # (10 + 4) / 2 for the first pose, whose joints count together, 2 for the second.
    assert error.item() == pytest.approx((7 + 2) / 2)
    on_mean, on_weight = torch.autograd.grad(error, (mean, log_weight), allow_unused=True)
    assert on_mean is None
    assert on_weight[0, 0] > on_weight[0, 2] > 0


def test_heat_falls_to_zero_where_the_kernels_stop_sharing() -> None:
    settings = dataclasses.replace(LifterSettings(), anneal=0.1)
    assert heat(settings, 0.0) == 2
    assert heat(settings, 0.05) == pytest.approx(1)
    assert heat(settings, 0.1) == heat(settings, 0.9) == 0
    assert heat(dataclasses.replace(settings, anneal=0.0), 0.0) == 0


def test_the_paper_has_its_own_loss_alone() -> None:
    assert PRESETS["paper"].best_error == PRESETS["paper"].mean_error == PRESETS["paper"].expected_error == 0
