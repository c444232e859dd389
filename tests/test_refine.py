"""Refinement of one person: against brute force, finite differences and a known walk."""

import itertools

import numpy as np
import pytest

from engines.refinement import EXTRAPOLATED, FILLED, MEASURED, RefineOptions, refine_person
from engines.refinement.banded import banded, marginals, solve
from engines.refinement.body import BONES, Chain, N, acceleration_terms, bone_terms, contact_terms, lengths_of
from engines.refinement.contacts import sliding, standing
from engines.refinement.paths import smoothed
from engines.skeleton import EDGES, L_ANKLE, R_ANKLE, R_HIP, R_KNEE
from tests.fusion_scene import ring
from tests.refining import UP, live, look, walk

OPTIONS = RefineOptions()


def _dense(own: np.ndarray, chain: Chain) -> np.ndarray:
    T, D, _ = own.shape
    A = np.zeros((T, D, T, D))
    for k in range(T):
        A[k, :, k] = own[k] + np.diag(chain.own[k].repeat(3))
    for away, part in ((1, chain.next), (2, chain.after)):
        for k, row in enumerate(part):
            A[k, :, k + away] += np.diag(row.repeat(3))
            A[k + away, :, k] += np.diag(row.repeat(3))
    return A.reshape(T * D, T * D)


@pytest.mark.parametrize("moments", [3, 6, 7])
def test_the_banded_system_is_the_dense_one(moments: int):
    rng = np.random.default_rng(moments)
    J = rng.normal(size=(moments, 3 * N, 3 * N))
    own = J @ J.swapaxes(1, 2) + 50 * np.eye(3 * N)
    chain = Chain(0.0, np.zeros(0), *(rng.normal(size=(moments - k, N)) for k in range(3)))
    A, right = _dense(own, chain), rng.normal(size=(3 * N * moments, 2))
    bands = banded(own, [chain])
    assert np.allclose(solve(bands, right), np.linalg.solve(A, right))
    inverse = np.linalg.inv(A).reshape(moments, 3 * N, moments, 3 * N)
    assert np.allclose(marginals(bands, moments), inverse[np.arange(moments), :, np.arange(moments)])


@pytest.mark.parametrize("which", ["acceleration", "contact", "bones"])
def test_gradients_are_those_of_the_energy(which: str):
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.06, 5))
    x = walk(5)[1][:, 1:] + rng.normal(0, 5, (5, N, 3))
    stands = rng.random((4, N)) < 0.3
    lengths = lengths_of(x) + 3

    def terms(x: np.ndarray) -> tuple[float, np.ndarray]:
        if which == "bones":
            found = bone_terms(x, lengths, OPTIONS)
            return found.energy, found.gradient.reshape(x.shape)
        chain = acceleration_terms(times, x, OPTIONS) if which == "acceleration" else contact_terms(
            times, x, stands, OPTIONS)  # fmt: skip
        return chain.energy, chain.gradient

    gradient = terms(x)[1]
    for place in [(0, 3, 0), (2, 5, 1), (4, 15, 2), (1, 0, 2)]:
        step = np.zeros(x.shape)
        step[place] = 1e-3
        slope = (terms(x + step)[0] - terms(x - step)[0]) / 2e-3
        assert slope == pytest.approx(gradient[place], rel=1e-4, abs=1e-9)


def test_acceleration_is_of_the_times_own():
    times = np.array([0.0, 0.01, 0.05, 0.06, 0.2])
    even = (3.0 + 200 * times)[:, None, None] * np.ones((1, N, 3))
    assert acceleration_terms(times, even, OPTIONS).energy == pytest.approx(0, abs=1e-12)
    falling = (4905 * times**2)[:, None, None] * np.ones((1, N, 3))
    chain = acceleration_terms(times, falling, OPTIONS)
    square = 3 * (9810 / OPTIONS.acceleration) ** 2
    share = 30 * (times[2:] - times[:-2]).sum() / 2
    assert chain.energy == pytest.approx(N * share * 3 * np.log1p(square / 3), rel=1e-9)


def test_hindsight_is_that_of_all_paths():
    rng = np.random.default_rng(2)
    F, M = 4, 3
    times, mean = np.arange(F) / 30, rng.normal(0, 60, (F, M, 17, 3))
    weight = rng.dirichlet(np.ones(M), F)
    usual = min((1 / 30) / OPTIONS.evidence_s, 1.0)
    square = ((mean[:-1, :, None] - mean[1:, None]) ** 2).sum(-1).mean(-1)
    move = np.exp(-0.5 * square / (OPTIONS.still_mm + OPTIONS.speed_mm_s / 30) ** 2) + OPTIONS.jump
    move /= move.sum(-1, keepdims=True)
    expected = np.zeros((F, M))
    for path in itertools.product(range(M), repeat=F):
        chance = np.prod([weight[k, path[k]] ** usual for k in range(F)])
        chance *= np.prod([move[k, path[k], path[k + 1]] for k in range(F - 1)])
        expected[np.arange(F), path] += chance
    expected /= expected.sum(-1, keepdims=True)
    assert np.allclose(smoothed(times, mean, weight, OPTIONS), expected)


def test_what_comes_later_decides_what_was_unsure():
    mean = np.zeros((9, 2, 17, 3))
    mean[:, 1] = 400.0
    weight = np.full((9, 2), 0.5)
    weight[-3:] = [0.02, 0.98]
    assert smoothed(np.arange(9) / 30, mean, weight, OPTIONS)[0, 1] > 0.9
    later = np.concatenate([np.arange(6) / 30, 5 + np.arange(3) / 30])  # nothing is carried over five seconds
    assert smoothed(later, mean, weight, OPTIONS)[0, 1] == pytest.approx(0.5)


def test_two_cameras_are_refined():
    rng = np.random.default_rng(3)
    times, truth = walk(60)
    views, starts = look(ring((0, 90)), truth, rng), live(truth, rng)
    refined = refine_person(times, views, starts, UP)
    before, after = (np.linalg.norm(x - truth, axis=-1).mean() for x in (starts, refined.joints))
    assert after < 0.4 * before
    bend = lambda x: np.linalg.norm(np.diff(x, 2, axis=0) - np.diff(truth, 2, axis=0), axis=-1).mean()  # noqa: E731
    assert bend(refined.joints) < 0.15 * bend(starts)
    bones = np.linalg.norm(BONES @ refined.joints[:, 1:], axis=-1)
    thigh = EDGES.index((R_HIP, R_KNEE))
    assert bones[:, thigh].std() < 2 and abs(bones[:, thigh].mean() - refined.lengths[thigh]) < 3
    error = (refined.joints - truth)[:, 1:]
    square = (error * np.linalg.solve(refined.cov[:, 1:], error[..., None])[..., 0]).sum(-1)
    assert 0.6 < (square < 4.642).mean() < 0.97, "the 80 % regions"
    assert (refined.state[:, R_KNEE] == MEASURED).all()
    assert all(np.isclose(chance.sum(), 1) for one in refined.weights for chance in one.values())


def test_one_camera_is_refined():
    rng = np.random.default_rng(4)
    times, truth = walk(45)
    views = look(ring((0,)), truth, rng)
    refined = refine_person(times, views, np.full(truth.shape, np.nan))
    relative, true = refined.joints - refined.joints[:, :1], truth - truth[:, :1]
    mean = np.stack([np.einsum("m,mjd->jd", one.weight[0], one.mean[0]) for one in views if one is not None])
    assert np.linalg.norm(relative - true, axis=-1).mean() < 0.8 * np.linalg.norm(mean - true, axis=-1).mean()
    assert np.isfinite(refined.relative_cov).all() and np.isnan(refined.slid_mm).all(), "no floor is known"


def test_gaps_are_filled_up_to_a_limit_and_never_silently():
    rng = np.random.default_rng(5)
    times, truth = walk(120)
    views, starts = look(ring((0, 90)), truth, rng), live(truth, rng)
    for k in (*range(20, 35), *range(60, 100)):  # half a second, and 1.3 s
        views[k], starts[k] = None, np.nan
    refined = refine_person(times, views, starts, UP)
    there = np.asarray(np.isfinite(refined.joints).all((1, 2)))
    assert there[:60].all() and not there[60:100].any() and there[100:].all()
    assert (refined.state[20:35, R_KNEE] == FILLED).all() and (refined.state[40:60, R_KNEE] == MEASURED).all()
    sigma = np.sqrt(np.trace(refined.cov[:, R_KNEE], axis1=1, axis2=2))
    assert sigma[27] > 2 * sigma[10]
    assert np.linalg.norm(refined.joints[20:35] - truth[20:35], axis=-1).mean() < 250
    shorter = refine_person(times, views, starts, UP, RefineOptions(fill_s=0.2))
    assert not np.isfinite(shorter.joints[20:35]).any()


def test_a_joint_that_no_camera_sees_is_extrapolated():
    rng = np.random.default_rng(6)
    times, truth = walk(30)
    views = look(ring((0, 90)), truth, rng)
    for one in views:
        assert one is not None
        one.seen[:, 10] = False
    refined = refine_person(times, views, live(truth, rng), UP)
    assert (refined.state[:, 10] == EXTRAPOLATED).all()
    assert (refined.cov[:, 10].trace(axis1=1, axis2=2) > refined.cov[:, R_KNEE].trace(axis1=1, axis2=2)).all()


def test_nobody_who_was_ever_lifted_is_not_there():
    times = np.arange(5) / 30
    refined = refine_person(times, [None] * 5, np.full((5, 17, 3), np.nan), UP)
    assert np.isnan(refined.joints).all() and (refined.state == EXTRAPOLATED).all()


def test_long_takes_are_solved_in_parts_that_meet():
    rng = np.random.default_rng(7)
    times, truth = walk(150)
    views, starts = look(ring((0, 90)), truth, rng), live(truth, rng)
    whole = refine_person(times, views, starts, UP)
    parts = refine_person(times, views, starts, UP, RefineOptions(at_once=70, overlap=30))
    assert np.linalg.norm(parts.joints - whole.joints, axis=-1).max() < 6
    assert np.linalg.norm(np.diff(parts.joints, axis=0), axis=-1).max() < 1.3 * np.linalg.norm(
        np.diff(whole.joints, axis=0), axis=-1
    ).max()  # fmt: skip


def test_feet_that_stand_do_not_slide():
    rng = np.random.default_rng(8)
    times = np.arange(60) / 30
    truth = np.repeat(walk(1)[1], 60, 0)
    truth[:, 16] += 200 * np.sin(4 * times)[:, None] * [0, 0, 1]  # one hand waves
    starts = live(truth, rng)
    refined = refine_person(times, look(ring((0, 90)), truth, rng), starts, UP)
    before, after = refined.slid_mm
    assert before > 20 and after < 0.3
    jump = truth.copy()
    jump[20:40] += [0, 0, 500.0]
    stands = standing(times, jump, UP)
    assert not stands[21:38].any() and stands[:19].all(), "who jumps does not stand"
    assert sliding(truth, standing(times, truth, UP)) == 0
    assert {R_ANKLE, L_ANKLE} == {3, 6}
