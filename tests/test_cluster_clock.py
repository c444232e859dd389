"""The clock of another computer: as near as was asked for, and never further off than is said."""

import numpy as np
import pytest

from engines.argument_types import MISTAKE
from stream.app.command_line import main
from stream.cluster import system_clock
from stream.cluster.clock import DRIFT, Offset, OffsetFilter, by_systems
from stream.cluster.messages import Hello, Recording
from stream.cluster.peer_clock import PeerClock
from stream.cluster.system_clock import SystemClock, kept_within

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


# the clocks of the systems


def test_what_the_systems_say_is_used_as_far_as_the_exchanges_allow():
    measured = Offset(3.0, 0.010)
    for said, used in (
        (Offset(3.004, 0.001), Offset(3.004, 0.001)),  # surer than the exchanges
        (Offset(3.004, 0.500), Offset(3.004, 0.014)),  # less sure, and what the exchanges prove holds as well
        (Offset(3.012, 0.005), Offset(3.010, 0.007)),
        (Offset(3.012, 0.001), None),
        (Offset(2.980, 0.005), None),
    ):
        found = by_systems(measured, said)
        assert (found is None) == (used is None)
        if used is not None:
            assert found.seconds == pytest.approx(used.seconds) and found.uncertainty == pytest.approx(used.uncertainty)


class Peer:
    """A node whose clock is 5 s ahead, over a way that takes 20 ms there and none back."""

    def __init__(self):
        self.clock, self.t = PeerClock(), 100.0

    def hear(self, theirs, ours=(1e9, 1e-3), by_system=True, times=4):
        said = []
        for _ in range(times):
            self.t += 0.25
            none = Recording(False, "", "")
            hello = Hello("pc", "", True, (), self.t, self.t + 5.02, self.t + 5.02, none, 0, 0.0, theirs)
            said.append(self.clock.add(hello, self.t + 0.02, ours, by_system))
        return [line for line in said if line]


def test_offsets_of_kept_clocks_are_what_the_systems_say():
    peer = Peer()
    (line,) = peer.hear((1e9 - 5, 2e-3))
    assert line == "its clock is that of its system, +-3.0 ms" and peer.clock.problem == ""
    assert peer.clock.at(peer.t).seconds == pytest.approx(5.0, abs=1e-6), "not 5.01, as the exchanges alone have it"
    assert peer.clock.at(peer.t).uncertainty == pytest.approx(3e-3, abs=1e-6)


def test_a_clock_that_contradicts_the_exchanges_is_named_and_not_used():
    peer = Peer()
    (line,) = peer.hear((1e9 - 5 + 0.4, 2e-3))
    assert "its system's clock is 410.0 ms ahead of that of this computer by the messages" in line
    assert "right within 3.0 ms; the messages are believed" in line and peer.clock.problem == line
    assert peer.clock.at(peer.t).seconds == pytest.approx(5.01, abs=1e-3)
    (line,) = peer.hear((1e9 - 5, 2e-3))  # somebody has set it
    assert line.startswith("its clock is that of its system") and peer.clock.problem == ""


def test_a_clock_that_nothing_keeps_is_compared_by_messages_and_said_once():
    peer = Peer()
    (line,) = peer.hear(None)
    assert line == "nothing keeps its clock right (PTP or NTP), so that messages compare them"
    assert peer.hear(None) == [] and peer.clock.at(peer.t).seconds == pytest.approx(5.01, abs=1e-3)
    assert "nothing keeps the clock of this computer right" in peer.hear((1e9 - 5, 2e-3), ours=None)[0]
    assert Peer().hear(None, by_system=False) == []


def test_the_system_is_asked_how_right_its_clock_is():
    kept = kept_within()
    assert kept is None or 0 <= kept <= 16
    clock = SystemClock(read=lambda: 1000.25, kept=lambda: 0.004)
    assert clock.ahead_of(lambda: 40.0) == (960.25, 0.004)
    assert SystemClock(kept=lambda: None).ahead_of(lambda: 40.0) is None


@pytest.mark.parametrize(
    "flags", [("--from", "lab"), ("--camera", "0", "--publish", "lab"), ("--camera", "node:lab/a")]
)
def test_a_computer_whose_clock_nothing_keeps_refuses_to_rely_on_it(flags, monkeypatch, capsys):
    pytest.importorskip("zenoh", reason="needs zenoh, of requirements-cluster.txt")
    monkeypatch.setattr(system_clock, "kept_within", lambda: None)
    assert main([*flags, "--clock", "system", "--view", "none"]) == MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert "--clock system: nothing keeps the clock of this computer right" in line and "leave it out" in line


def test_clocks_of_systems_are_for_several_computers(capsys):
    assert main(["--camera", "x.mp4", "--clock", "system", "--view", "none"]) == MISTAKE
    assert "--clock is for --from and --publish, and neither is given" in capsys.readouterr().err
