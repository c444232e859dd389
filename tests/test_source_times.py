"""Clocks of sources: the times of a container, and those of a network."""

import numpy as np
import pytest

from stream.sources._clock import EnvelopeClock, MediaClock


def media_times(step, stamps):
    clock = MediaClock(step)
    placed = [pair for number, stamp in enumerate(stamps) for pair in clock.place(stamp, number)] + clock.rest()
    assert [number for _, number in placed] == list(range(len(stamps)))
    return [t for t, _ in placed]


def test_media_clock_keeps_the_container_times():
    times = [5.0, 5.04, 5.08, 5.5, 9.0, 9.01]
    assert media_times(1 / 30, times) == times


def test_media_clock_fills_in_missing_stamps():
    assert np.allclose(media_times(0.1, [None, None, 0.25, None, 0.5]), [0.05, 0.15, 0.25, 0.35, 0.5])
    assert np.allclose(media_times(0.1, [None] * 100), np.arange(100) / 10)


def test_media_clock_is_strictly_increasing_whatever_comes():
    rng = np.random.default_rng(1)
    stamps = [None if rng.random() < 0.2 else float(rng.normal(k / 30, 0.1)) for k in range(500)]
    assert (np.diff(media_times(1 / 30, stamps)) > 0).all()


def test_media_clock_one_bad_stamp_moves_no_other():
    assert np.allclose(media_times(0.1, [0.0, 0.1, 0.1, 0.3, 0.25, 0.5]), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_media_clock_images_with_the_stamp_of_the_first_share_what_lies_between():
    assert np.allclose(media_times(0.1, [0.0] * 5 + [0.5, 0.6]), np.arange(7) / 10)


def test_media_clock_goes_on_where_a_joined_file_starts_again():
    assert np.allclose(media_times(0.1, [9.9, 10.0, 0.0, 0.1]), [9.9, 10.0, 10.1, 10.2])


def test_media_clock_goes_on_where_a_short_part_ends():
    times = media_times(0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert np.allclose(times, np.arange(13) / 10)


class NetworkSimulation:
    """Frames made at 30 fps, sent over a network that delays by at least 20 ms; all times known."""

    def __init__(self, drift=0.0, seed=0):
        self.rng = np.random.default_rng(seed)
        self.drift = drift

    def frames(self, start, stop, pts0=0.0, held_until=0.0, delay=0.02):
        """(true time, pts, arrival) of frames made from start to stop seconds; none arrives before held_until."""
        made = np.arange(start, stop, 1 / 30)
        pts = pts0 + (made - start) * (1 + self.drift)
        arrival = made + delay + self.rng.exponential(0.01, len(made))
        arrival = np.maximum.accumulate(np.maximum(arrival, held_until + 1e-4 * np.arange(len(made))))
        return list(zip(made.tolist(), pts.tolist(), arrival.tolist(), strict=True))


def stamp(clock, frames):
    """(true time, stamped time, settled) of each frame."""
    return [(made, clock.time(pts, arrival), clock.settled) for made, pts, arrival in frames]


@pytest.mark.parametrize("drift", [0.0, 1e-4, -1e-4])
def test_envelope_clock_finds_the_sender_s_clock_under_jitter(drift):
    clock = EnvelopeClock()
    stamped = stamp(clock, NetworkSimulation(drift).frames(100, 160, pts0=7777.0))
    errors = np.array([t - made - 0.02 for made, t, _ in stamped[60:]])
    raw = NetworkSimulation(drift).frames(100, 160)[60:]
    assert np.abs(errors).max() < 0.005
    assert np.abs(errors).mean() < 0.2 * np.mean([arrival - made - 0.02 for made, _, arrival in raw])


def test_envelope_clock_an_opening_burst_is_unsettled_and_spoils_nothing():
    clock = EnvelopeClock()
    stamped = stamp(clock, NetworkSimulation().frames(100, 110, held_until=101.0))
    burst = [settled for made, _, settled in stamped if made < 100.95]
    assert not any(burst) and len(burst) > 25
    after = np.array([t - made - 0.02 for made, t, _ in stamped if made > 102])
    assert np.abs(after).max() < 0.01
    assert all(settled for made, _, settled in stamped if made > 101.3)


def test_envelope_clock_pts_that_starts_again():
    clock, network = EnvelopeClock(), NetworkSimulation()
    first = stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 110, pts0=0.0))
    assert (np.diff([t for _, t, _ in first + second]) > 0).all()
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_that_is_set_back_a_little():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 108, pts0=54.5))
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_pts_that_leaps_ahead():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 110, pts0=5000.0))
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_after_an_outage_what_was_held_up_is_unsettled():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105))
    held = stamp(clock, network.frames(105, 112, pts0=5.0, held_until=108.0))
    assert not any(settled for made, _, settled in held if made < 106.9)
    assert np.abs([t - made - 0.02 for made, t, _ in held if made > 109]).max() < 0.01


def test_envelope_clock_a_pause_of_the_sender_heals_at_once():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105))
    after = stamp(clock, network.frames(108, 112, pts0=5.0))  # its clock stood still for 3 s
    assert np.abs([t - made - 0.02 for made, t, _ in after[30:]]).max() < 0.01
    assert all(settled for _, _, settled in after[10:])


def test_envelope_clock_without_stamps_is_the_arrival():
    clock = EnvelopeClock()
    assert [clock.time(None, t) for t in (1.0, 1.03, 1.06)] == [1.0, 1.03, 1.06]
    assert clock.settled


def test_envelope_clock_without_stamps_a_fast_camera_is_no_burst_for_ever():
    clock = EnvelopeClock()
    settled = []
    for k in range(1000):
        clock.time(None, 10 + k / 300)
        settled.append(clock.settled)
    assert not settled[300] and settled[-1]


def test_envelope_clock_is_never_ahead_of_the_arrival_and_increases():
    clock, rng = EnvelopeClock(), np.random.default_rng(3)
    last, arrival = -1.0, 10.0
    for _ in range(2000):
        arrival += float(rng.exponential(0.03))
        pts = None if rng.random() < 0.1 else float(arrival * rng.choice([1, 1, 1, 0.5]) + rng.normal(0, 0.5))
        t = clock.time(pts, arrival)
        assert last < t <= arrival + 0.3
        last = t
