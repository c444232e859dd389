"""Where one camera puts a person: how sure that is, and the filter that follows it."""

import numpy as np
import pytest

from calibration.geometry import virtual
from stream.config import TrackConfig
from stream.live.roots import RootFilter
from tests.bodies import standing

COV = np.diag([15.0, 15, 200]) ** 2
"""mm2: what one frame tells, with the ray along z."""


def test_the_covariance_is_what_noise_of_the_pose_and_of_the_picture_does(rng: np.random.Generator) -> None:
    pose, root = standing(1, 3)[0][:, [0, 2, 1]] * [1, -1, 1], np.array([300.0, 100, 4000])
    rays = (pose + root) / (pose + root)[:, 2:]
    weight, sigma, pixel = np.where(np.arange(17) % 3 == 0, 0.5, 1.0), np.full(17, 30.0), 0.004
    placed = []
    for _ in range(1500):
        noisy = rays + np.pad(rng.normal(0, pixel, (17, 2)), ((0, 0), (0, 1)))
        placed.append(virtual.place(pose + rng.normal(0, 30, (17, 3)), noisy, weight))
    got = np.cov(np.array(placed).T)
    expected = virtual.place_covariance(pose, rays, weight, virtual.place(pose, rays, weight), sigma, pixel)
    np.testing.assert_allclose(np.sqrt(np.diag(got)), np.sqrt(np.diag(expected)), rtol=0.12)
    assert expected[2, 2] > 20 * expected[0, 0]  # along the ray
    nobody = virtual.place_covariance(pose, rays, 0 * weight, np.full(3, np.nan), sigma, pixel)
    assert np.isnan(nobody).all()


def walk(rng: np.random.Generator, seconds: float = 8.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, true roots (F, 3) of a walker who turns round, and what a camera makes of them."""
    time = np.arange(int(seconds * 30)) / 30
    truth = np.stack([800 * np.sin(0.8 * time), 20 * np.sin(11 * time), 4000 + 1200 * np.cos(0.6 * time)], -1)
    return time, truth, truth + rng.normal(size=truth.shape) * np.sqrt(np.diag(COV))


def filtered(time: np.ndarray, roots: np.ndarray) -> np.ndarray:
    follow = RootFilter(TrackConfig())
    return np.array([follow(root, COV, t) for root, t in zip(roots, time, strict=True)])


def test_it_is_calmer_and_nearer_along_the_ray_and_no_later_across_it(rng: np.random.Generator) -> None:
    time, truth, raw = walk(rng)
    made = filtered(time, raw)
    off, before = (np.sqrt(((x - truth)[30:] ** 2).mean(0)) for x in (made, raw))
    assert (off[2] < 0.55 * before[2]) and (off[:2] < before[:2]).all()
    step, was = (np.median(np.abs(np.diff(x[:, 2]))) for x in (made, raw))
    assert step < 0.2 * was


def test_a_wild_frame_moves_it_little_and_a_true_jump_is_followed(rng: np.random.Generator) -> None:
    time, truth, raw = walk(rng)
    wild = raw.copy()
    wild[100] += [0, 0, 3000]
    assert np.abs(filtered(time, wild) - filtered(time, raw)).max() < 250
    wild[120:] += [1500, 0, 0]
    made = filtered(time, wild)
    assert np.abs(made[130:, 0] - wild[130:, 0]).max() < 100


def test_what_is_not_known_stays_so_and_a_gap_begins_anew(rng: np.random.Generator) -> None:
    time, truth, raw = walk(rng)
    gone = raw.copy()
    gone[50] = np.nan
    made = filtered(time, gone)
    assert np.isnan(made[50]).all() and np.isfinite(made[51:]).all()
    follow = RootFilter(TrackConfig())
    np.testing.assert_array_equal(follow(raw[0], COV, 0.0), raw[0])
    np.testing.assert_array_equal(follow(raw[90], COV, 3.0), raw[90])
    follow(raw[91], COV, 3.03)
    follow.reset()
    assert follow(raw[2], COV, 3.06) == pytest.approx(raw[2])
