"""The clock of another computer: as near as was asked for, and never further off than is said."""

import numpy as np
import pytest

from stream.cluster.clock import DRIFT, OffsetFilter

DRIFTS = (-50e-6, 0.0, 50e-6)


def errors(offset, drift, there, back, *, seconds=60.0, every=0.25, warm_up=2.0, seed=0):
    """(N, 2) s: how far the estimate was off, and what it said of that, a quarter of a second after each exchange."""
    rng, clock, out = np.random.default_rng(seed), OffsetFilter(), []

    def theirs(t):
        return t * (1 + drift) + offset

    for t1 in np.arange(5000.0, 5000.0 + seconds, every):
        t2 = t1 + there(rng)
        t3 = t2 + 2e-4
        t4 = t3 + back(rng)
        clock.add(t1, theirs(t2), theirs(t3), t4)
        now = t4 + every
        if t1 > 5000 + warm_up:
            found = clock.at(now)
            out.append((abs(found.seconds - (theirs(now) - now)), found.uncertainty))
    return np.array(out)


def jitter(rng):
    return rng.uniform(0, 0.02)


@pytest.mark.parametrize("offset", [-3.0, 3.0])
@pytest.mark.parametrize("drift", DRIFTS)
def test_with_the_same_delays_both_ways_it_is_off_by_two_milliseconds_at_most(offset, drift):
    runs = [errors(offset, drift, jitter, jitter, seed=seed) for seed in range(4)]
    off, settled = np.concatenate(runs), np.concatenate([run[40:] for run in runs])  # of 10 s
    assert settled[:, 0].max() <= 2e-3, settled[:, 0].max()
    assert (off[:, 0] <= off[:, 1]).all()


@pytest.mark.parametrize("offset", [-3.0, 3.0])
@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("ways", [(0.0, 0.03), (0.03, 0.0), (0.002, 0.2)])
def test_however_unequal_the_delays_it_is_within_what_is_said(offset, drift, ways):
    there, back = ways
    off = errors(offset, drift, lambda rng: there + jitter(rng), lambda rng: back + jitter(rng))
    assert (off[:, 0] <= off[:, 1]).all()
    assert off[-1, 1] < (there + back) / 2 + 5e-3, "nor is it said to be far worse than it is"


def test_nothing_is_said_before_there_is_enough_and_nonsense_counts_for_nothing():
    clock = OffsetFilter()
    for t1, t2, t3, t4 in ((1.0, 1.0, 0.9, 1.1), (1.0, 5.0, 5.0, 0.9), (1.0, 5.0, 9.0, 1.1)):
        clock.add(t1, t2, t3, t4)  # answered before it came, back before it was sent, longer there than away
    assert clock.exchanges == 0 and clock.at(2.0) is None
    for t in (1.0, 1.1, 1.2):
        assert clock.at(t) is None
        clock.add(t, t + 5, t + 5, t + 0.002)
    assert clock.at(1.2).seconds == pytest.approx(5 - 0.001, abs=1e-4)
    assert clock.at(11.2).uncertainty == pytest.approx(0.001 + 10 * DRIFT, abs=1e-4), "an old answer is worth less"


def test_a_clock_that_was_set_is_followed_at_once():
    clock = OffsetFilter()
    for t in np.arange(0, 10, 0.25):
        clock.add(t, t + 1, t + 1, t + 0.001)
    for t in np.arange(10, 11, 0.25):
        clock.add(t, t - 2, t - 2, t + 0.001)
    assert clock.at(11).seconds == pytest.approx(-2.0, abs=2e-3)
