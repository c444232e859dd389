"""Tracks on synthetic scenes whose truth is known."""

import numpy as np
import pytest

from engines.types import Mixture
from stream.live.tracks import OneEuro, TrackConfig, Tracker

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(3, 17, 3)) * 200
POSES[:, 0] = 0


def mixture(poses, weights):
    return Mixture(np.asarray(poses, np.float32), np.full((len(poses), 17), 30.0, np.float32), np.asarray(weights))


def test_identity_survives_a_permutation_of_the_kernels():
    tracker, ids = Tracker(), {}
    for k in range(60):
        order = RNG.permutation(3)
        moved = POSES + [k * 5.0, 0, 0]
        tracks, _, _ = tracker(mixture(moved[order], np.array([0.5, 0.3, 0.2])[order]), k / 30)
        for kernel, track in zip(order, tracks, strict=True):
            assert ids.setdefault(int(kernel), track.id) == track.id
            assert track.birth == 0.0


def test_probabilities_sum_to_one_and_tracks_are_in_the_kernels_order():
    tracker = Tracker()
    for k in range(10):
        order = RNG.permutation(3)
        m = mixture(POSES[order], RNG.dirichlet([1, 1, 1]))
        tracks, raw, _ = tracker(m, k / 30)
        assert sum(t.probability for t in tracks) == pytest.approx(1)
        for kernel, track in enumerate(tracks):
            np.testing.assert_array_equal(track.pose, m.mean[kernel])
        best = max(tracks, key=lambda t: t.probability)
        np.testing.assert_array_equal(raw, best.pose)


def test_one_contrary_frame_does_not_change_the_answer_but_lasting_evidence_does():
    tracker = Tracker()
    answers = []
    for k in range(100):
        likely = 1 if k == 20 or k >= 40 else 0
        weights = np.full(3, 0.2)
        weights[likely] = 0.6
        _, raw, _ = tracker(mixture(POSES, weights), k / 30)
        answers.append(int(np.abs(POSES - raw).sum((1, 2)).argmin()))
    assert answers[:40] == [0] * 40
    assert answers[-1] == 1
    assert sum(a != b for a, b in zip(answers, answers[1:], strict=False)) == 1


def test_the_most_probable_frame_by_frame_would_flicker_here_and_the_track_does_not():
    tracker = Tracker()
    raw, flicker = [], []
    for k in range(100):
        weights = np.array([0.45, 0.40, 0.15]) + RNG.normal(size=3) * 0.05
        m = mixture(POSES + RNG.normal(size=(3, 17, 3)) * 5, weights / weights.sum())
        flicker.append(int(m.weight.argmax()))
        raw.append(int(np.abs(m.mean - tracker(m, k / 30)[1]).sum((1, 2)).argmin()))
    assert len(set(flicker)) > 1
    assert set(raw) == {0}


def test_a_gap_forgets_and_ids_are_never_used_again():
    tracker = Tracker()
    first, _, _ = tracker(mixture(POSES, [0.8, 0.1, 0.1]), 0.0)
    again, raw, answer = tracker(mixture(POSES, [0.1, 0.8, 0.1]), 5.0)
    assert not {t.id for t in first} & {t.id for t in again}
    np.testing.assert_array_equal(raw, mixture(POSES, [1, 0, 0]).mean[1])
    np.testing.assert_array_equal(answer, raw)


def test_a_far_kernel_is_a_new_track():
    tracker = Tracker()
    old, _, _ = tracker(mixture(POSES, [0.4, 0.3, 0.3]), 0.0)
    moved = POSES.copy()
    moved[2] += 2000
    new, _, _ = tracker(mixture(moved, [0.4, 0.3, 0.3]), 1 / 30)
    assert [t.id for t in new[:2]] == [t.id for t in old[:2]]
    assert new[2].id not in {t.id for t in old}
    assert new[2].birth == pytest.approx(1 / 30)


def test_one_euro_removes_noise_at_rest_and_follows_motion():
    rest = OneEuro(TrackConfig())
    still = np.array([rest(POSES[0] + RNG.normal(size=(17, 3)) * 10, k / 30) for k in range(200)])
    assert still[50:].std(0).mean() < 5
    fast, truth, filtered = OneEuro(TrackConfig()), POSES[0], POSES[0]
    for k in range(60):
        truth = POSES[0] + [k / 30 * 1500.0, 0, 0]
        filtered = fast(truth, k / 30)
    assert np.abs(filtered - truth).max() < 60


def test_one_euro_uses_the_frames_own_times():
    a, b = OneEuro(TrackConfig()), OneEuro(TrackConfig())
    a(POSES[0], 0.0)
    b(POSES[0], 0.0)
    step = POSES[0] + 100
    assert np.abs(a(step, 0.01) - step).max() > np.abs(b(step, 0.2) - step).max()
