"""Matching frames to moments, with known times."""

import numpy as np
import pytest

from stream.config import SyncConfig
from stream.live.files import FileMatcher
from stream.live.synchronise import Interval, LiveMatcher, NoOverlapError, match, skew_warning
from stream.types import Frame
from tests.faults.fault import row

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frames(camera, times):
    return [Frame(camera, i, t, IMAGE) for i, t in enumerate(times)]


def readers(*lists):
    iterators = [iter(items) for items in lists]
    return [lambda it=it: next(it, None) for it in iterators]


def times_of(frame_set):
    return [None if f is None else round(f.t, 4) for f in frame_set.frames]


def test_one_file_gives_every_frame():
    items = frames("a", np.arange(50) / 30)
    frame_sets = list(FileMatcher(readers(items), [30.0]))
    assert [m.frames[0] for m in frame_sets] == items
    assert [m.index for m in frame_sets] == list(range(50))


def test_files_with_equal_times_are_matched_one_to_one():
    a, b = frames("a", np.arange(40) / 60), frames("b", np.arange(40) / 60)
    assert all(m.frames[0].index == m.frames[1].index for m in FileMatcher(readers(a, b), [60, 60]))


def test_a_skewed_file_is_matched_to_the_nearest_frame():
    a, b = frames("a", np.arange(40) / 30), frames("b", np.arange(40) / 30 + 0.010)
    frame_sets = list(FileMatcher(readers(a, b), [30, 30], SyncConfig(interpolate=False)))
    assert all(m.frames[0].index == m.frames[1].index for m in frame_sets)
    assert frame_sets[5].spread_s == pytest.approx(0.010)


def test_interpolation_takes_the_frame_after_the_target():
    a, b = frames("a", np.arange(40) / 30), frames("b", np.arange(40) / 30 - 0.010)
    frame_sets = list(FileMatcher(readers(a, b), [30, 30], SyncConfig(interpolate=True)))
    assert all(m.frames[1].t >= m.t for m in frame_sets[:-1])
    nearest = list(FileMatcher(readers(frames("a", np.arange(40) / 30), b), [30, 30], SyncConfig(interpolate=False)))
    assert times_of(nearest[3]) == [0.1, 0.09]


def test_of_a_camera_too_slow_to_interpolate_the_nearest_frame_is_taken():
    fast = frames("a", np.arange(100) / 30)
    late = [
        [m.frames[1].t - m.t for m in FileMatcher(readers(fast, frames("b", np.arange(40) / fps)), [30, fps])]
        for fps in (10, 8)
    ]
    assert max(late[0]) > 0.06, "at 10 fps the frame after, to be interpolated"
    assert min(late[0]) > -1e-6
    assert np.abs(late[1]).max() <= 1 / 16 + 1e-6


def test_half_the_rate_still_matches_within_half_of_its_frame():
    a, b = frames("a", np.arange(60) / 60), frames("b", np.arange(30) / 30)
    frame_sets = list(FileMatcher(readers(a, b), [60, 30], SyncConfig(interpolate=False)))
    assert len(frame_sets) == 60
    assert all(m.frames[1] is not None for m in frame_sets)


def test_a_gap_leaves_the_camera_out_and_never_holds_its_frame():
    b = [f for f in frames("b", np.arange(60) / 30) if not 0.5 < f.t < 1.0]
    frame_sets = list(FileMatcher(readers(frames("a", np.arange(60) / 30), b), [30, 30]))
    absent = [round(m.t, 3) for m in frame_sets if m.frames[1] is None]
    assert absent[0] == pytest.approx(16 / 30, abs=1e-3)
    assert len(absent) >= 13
    assert frame_sets[-1].frames[1] is not None


def test_a_file_that_ends_early_is_absent_from_then_on():
    frame_sets = list(FileMatcher(readers(frames("a", np.arange(30) / 30), frames("b", np.arange(10) / 30)), [30, 30]))
    assert len(frame_sets) == 30
    assert all(m.frames[1] is None for m in frame_sets[11:])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_fastest_file_gives_the_pace_wherever_it_is_named(order):
    files = [frames("slow", np.arange(10) / 10), frames("fast", np.arange(100) / 60)]
    matcher = FileMatcher(readers(*(files[k] for k in order)), [(10, 60)[k] for k in order])
    frame_sets = list(matcher)
    assert [m.t for m in frame_sets] == [f.t for f in files[1]]
    slow = [m.frames[order.index(0)] for m in frame_sets]
    assert {f.index for f in slow if f} == set(range(10)) and matcher.unused == (0, 0)
    assert all(f is None for m, f in zip(frame_sets, slow, strict=True) if m.t > 1.0), "it has ended"


def test_short_files_before_a_long_one_lose_none_of_it():
    files = [frames("a", np.arange(30) / 30), frames("b", 0.5 + np.arange(30) / 30), frames("c", np.arange(100) / 30)]
    matcher = FileMatcher(readers(*files), [30, 30, 30])
    frame_sets = list(matcher)
    assert [m.frames[2].index for m in frame_sets] == list(range(100)) and matcher.unused == (0, 0, 0)
    assert [len([f for f in m.frames if f]) for m in frame_sets[::25]] == [2, 3, 1, 1]


def test_a_gap_of_the_fastest_is_filled_by_the_next():
    fast = [f for f in frames("fast", np.arange(240) / 60) if not 1.0 < f.t < 2.0]
    files = [fast, frames("middle", np.arange(120) / 30), frames("slow", -1 + np.arange(60) / 10)]
    frame_sets = list(FileMatcher(readers(*files), [60, 30, 10]))
    times = np.array([m.t for m in frame_sets])
    assert times[0] == -1 and times[-1] == 4.9
    steps = np.diff(times)
    for first, last, step in ((-1, -0.2, 10), (0, 0.9, 60), (1.1, 1.9, 30), (2.1, 3.9, 60), (4.2, 4.9, 10)):
        inside = steps[(times[:-1] >= first) & (times[1:] <= last)]
        assert np.allclose(inside, 1 / step), (first, step)


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_of_a_file_is_in_a_frame_set_or_counted(seed):
    rng = np.random.default_rng(seed)
    rates = rng.choice([5, 10, 25, 29.97, 30, 60, 120], 3)
    files = [
        frames(name, np.sort(rng.uniform(0, 3, 2)).min() + np.cumsum(rng.uniform(0.2, 1.8, int(4 * rate)) / rate))
        for name, rate in zip("abc", rates, strict=True)
    ]
    matcher = FileMatcher(readers(*files), rates.tolist())
    frame_sets = list(matcher)
    for k, items in enumerate(files):
        used = {m.frames[k].index for m in frame_sets if m.frames[k]}
        assert len(used) + matcher.unused[k] == len(items)
        if rates[k] == max(rates):
            assert matcher.unused[k] == 0 or rates.tolist().index(rates[k]) != k
    assert (np.diff([m.t for m in frame_sets]) > 0).all()
    assert frame_sets[0].t <= max(items[0].t for items in files) and all(any(m.frames) for m in frame_sets)
    assert frame_sets[-1].t >= max(items[-1].t for items in files) - 0.55 / min(rates)


def test_files_are_matched_at_the_rate_that_was_asked_for():
    files = [frames("a", np.arange(30) / 30), frames("b", 3 + np.arange(200) / 100), frames("c", np.arange(150) / 30)]
    matcher = FileMatcher(readers(*files), [30, 100, 30], SyncConfig(fps=10))
    frame_sets = list(matcher)
    assert np.allclose([m.t for m in frame_sets], np.arange(50) / 10)
    assert [m.index for m in frame_sets] == list(range(50))
    assert matcher.unused == (20, 180, 100)
    years = [frames("a", [0, 1, 2]), frames("b", [2, 1e9, 1e9 + 1])]
    assert len(list(FileMatcher(readers(*years), [1, 1], SyncConfig(fps=1)))) == 5, "a gap is not counted through"


def run_live(events, fps, config=None, offsets=None):
    matcher = LiveMatcher(fps, config, offsets)
    out = []
    for k, frame in sorted(events, key=lambda e: e[1].t - (offsets[e[0]] if offsets else 0)):
        matcher.add(k, frame)
        while (frame_set := matcher.next()) is not None:
            out.append(frame_set)
    return out, matcher


def test_live_two_cameras_out_of_phase_give_one_frame_set_a_frame():
    events = [(0, f) for f in frames("a", np.arange(60) / 30)] + [
        (1, f) for f in frames("b", np.arange(60) / 30 + 0.012)
    ]
    frame_sets, _ = run_live(events, [30, 30])
    assert 55 <= len(frame_sets) <= 60
    assert all(m.spread_s < 0.5 / 30 for m in frame_sets if None not in m.frames)
    used = [m.frames[0].index for m in frame_sets if m.frames[0]]
    assert len(used) == len(set(used)), "no frame is used twice"


@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_live_cameras_of_any_phases_give_one_frame_set_a_frame_when_it_is_least_late(seed, interpolate):
    rng = np.random.default_rng(seed)
    phases = np.sort(rng.uniform(0, 1 / 30, 5))
    events = [
        (k, f) for k, phase in enumerate(rng.permutation(phases)) for f in frames(str(k), np.arange(90) / 30 + phase)
    ]
    events.sort(key=lambda event: event[1].t)
    matcher, found = LiveMatcher([30.0] * 5, SyncConfig(interpolate=interpolate)), []
    for k, frame in events:
        matcher.add(k, frame)
        if (frame_set := matcher.next()) is not None and frame.t > 1.0:
            found.append((frame.t, frame_set))
    assert 58 <= len(found) <= 60
    least = 1 / 30 - np.diff([*phases, phases[0] + 1 / 30]).max()
    late = np.array([t - frame_set.t for t, frame_set in found])
    assert np.all(late <= least + 1 / 30 / 8 + 1e-6), "no more than the phases ask for"
    if interpolate:
        assert all(min(f.t for f in frame_set.frames) >= frame_set.t for _, frame_set in found)
        used = [[frame_set.frames[k].index for _, frame_set in found] for k in range(5)]
        assert all(np.diff(numbers).tolist() == [1] * (len(found) - 1) for numbers in used), "every frame, once"


def test_live_frame_sets_are_made_of_frames_that_came_while_nobody_asked():
    """A busy machine asks when the first camera's next frame is there already: the set before is whole all the same."""
    phases = [0.0, 0.004, 0.008]
    events = sorted(
        ((k, f) for k, p in enumerate(phases) for f in frames(str(k), np.arange(60) / 30 + p)), key=lambda e: e[1].t
    )
    matcher, found = LiveMatcher([30.0] * 3), []
    for number, (k, frame) in enumerate(events):
        matcher.add(k, frame)
        if number % 3 == 0:  # with the first one's next
            found.append(matcher.next())
    sets = [one for one in found if one is not None]
    assert len(sets) >= 58 and all(len({f.index for f in one.frames}) == 1 for one in sets[3:])


def test_live_a_camera_that_comes_much_later_than_the_others_holds_up_nothing_but_itself():
    events = [(0, f.t, f) for f in frames("a", np.arange(120) / 30)]
    events += [(1, f.t + 0.05, f) for f in frames("b", np.arange(120) / 30 + 0.013)]  # over a slow way
    matcher, found = LiveMatcher([30.0, 30.0]), []
    for k, came, frame in sorted(events, key=lambda event: event[1]):
        matcher.add(k, frame)
        if (frame_set := matcher.next()) is not None and came > 1.0:
            found.append((came, frame_set))
    assert 88 <= len(found) <= 92
    assert all(None not in one.frames and came - one.t < 0.051 for came, one in found)


def test_live_a_better_time_is_waited_for_no_longer_than_a_frame():
    """Phases that jump about promise times that never come."""
    rng = np.random.default_rng(0)
    events = [(k, f) for k in range(4) for f in frames(str(k), np.cumsum(rng.uniform(0.5, 1.5, 300)) / 30)]
    frame_sets, _ = run_live(events, [30] * 4)
    gaps = np.diff([m.t for m in frame_sets])
    assert len(frame_sets) > 200 and gaps.max() < 0.15


def test_live_a_camera_that_dies_is_left_out_and_comes_back():
    b = [f for f in frames("b", np.arange(120) / 30 + 0.001) if not 1.0 < f.t < 2.0]
    frame_sets, _ = run_live([(0, f) for f in frames("a", np.arange(120) / 30)] + [(1, f) for f in b], [30, 30])
    during = [m for m in frame_sets if 1.2 < m.t < 1.9]
    assert during
    assert all(m.frames[1] is None for m in during)
    assert all(m.frames[1] is not None for m in frame_sets if m.t > 2.2)


@pytest.mark.parametrize("fps", [30, 120])
@pytest.mark.parametrize("offset", [-2.0, -0.4, -0.09, -0.05, 0.15, 0.4, 2.0])
def test_live_cameras_whose_times_are_moved_are_matched_by_the_moved_times(offset, fps):
    a, b = frames("a", np.arange(4 * fps) / fps), frames("b", np.arange(4 * fps) / fps + 0.001 + offset)
    events = [*((0, f) for f in a), *((1, f) for f in b)]
    frame_sets, matcher = run_live(events, [None, None], SyncConfig(interpolate=False), [0.0, offset])
    both = [m for m in frame_sets if None not in m.frames]
    assert len(both) >= (4 - abs(offset)) * fps - 3
    assert all(m.spread_s <= 0.5 / fps + 1e-6 for m in both)
    assert all(len(kept) <= abs(offset) * fps + 9 for kept in matcher._frames)


@pytest.mark.parametrize("offset", [-0.4, 0.4])
def test_live_time_never_goes_back_when_a_camera_that_is_behind_dies_and_returns(offset):
    dying = [f for f in frames("a", np.arange(120) / 30) if not 1.0 < f.t < 2.0]
    b = frames("b", np.arange(120) / 30 + 0.001 + offset)
    frame_sets, _ = run_live([*((0, f) for f in dying), *((1, f) for f in b)], [30, 30], offsets=[0.0, offset])
    times = [m.t for m in frame_sets]
    assert np.all(np.diff(times) > 0)
    assert any(m.frames[0] is None for m in frame_sets), "it is left out while it is dead"
    assert all(None not in m.frames for m in frame_sets if 2.5 < m.t < 3.5)


def test_live_a_camera_that_never_comes_is_not_waited_for_however_fast_the_other():
    frame_sets, _ = run_live([(0, f) for f in frames("a", np.arange(120) / 120)], [120, 30])
    assert len(frame_sets) > 100


def test_live_one_camera_newest_wins_and_the_rest_is_counted():
    matcher = LiveMatcher([30.0])
    for frame in frames("a", np.arange(4) / 30):
        matcher.add(0, frame)
    frame_set = matcher.next()
    assert frame_set is not None
    assert frame_set.frames[0].index == 3
    assert matcher.superseded == 3
    assert matcher.next() is None


@row("a camera much faster than the other", 0, "", "every frame is in a frame set or counted")
def test_live_every_frame_of_a_much_faster_camera_is_used_or_counted():
    a, b = frames("a", np.arange(480) / 240), frames("b", np.arange(10) / 5 + 0.15)
    arrivals = sorted([*((0, f) for f in a), *((1, f) for f in b)], key=lambda arrival: arrival[1].t)
    matcher, used = LiveMatcher([240.0, 5.0]), set()
    for camera, frame in arrivals:
        matcher.add(camera, frame)
        if (frame_set := matcher.next()) is not None:
            used |= {(f.camera, f.index) for f in frame_set.frames if f is not None}
    waiting = len(arrivals) - len(used) - matcher.superseded
    assert 0 <= waiting <= 2 * SyncConfig().history + 2


@pytest.mark.parametrize(
    ("shift", "frame_sets_before", "how"),
    [(-100.0, 30, "it ends at -99.03 s, a begins at 0.00 s"), (100.0, 30, "it begins at 100.00 s, a ends at 0.97 s")],
)
def test_files_that_never_overlap_are_refused_as_soon_as_it_is_known(shift, frame_sets_before, how):
    a, b = frames("a", np.arange(30) / 30), frames("b", np.arange(30) / 30 + shift)
    found = []
    with pytest.raises(
        NoOverlapError, match=f"^b has no frame at the time of any of a: {how}; .*--sync-offset b=SECONDS$"
    ):
        found.extend(FileMatcher(readers(a, b), [30, 30]))
    assert len(found) <= frame_sets_before
    together = list(FileMatcher(readers(frames("a", np.arange(30) / 30), frames("b", [0.5])), [30, 30]))
    assert len(together) == 30 and sum(m.frames[1] is not None for m in together) >= 1, "one frame is enough"


def test_a_suspicious_skew_is_said_only_where_the_rates_agree():
    assert "10.0 ms apart" in skew_warning([30.0, 30.0], 10.0)
    assert skew_warning([30.0, 29.97], 10.0)
    assert skew_warning([30.0, 30.0], 8.0) is None
    assert skew_warning([30.0, 30.0], 33.0) is None, "a time rounded down is interpolated from the next frame"
    assert skew_warning([30.0, 25.0], 10.0) is None
    assert skew_warning([30.0, None], 10.0) is None
    assert skew_warning([30.0], 10.0) is None


@pytest.mark.parametrize(("off", "there"), [(0.0166, True), (0.0168, False), (-0.0166, True), (-0.0168, False)])
def test_a_frame_belongs_to_a_time_up_to_half_a_frame_from_it(off, there):
    (found,) = match(1.0, [frames("a", [1.0 + off])], [0.5 / 30], after=False)
    assert (found is not None) == there
    (found,) = match(1.0, [frames("a", [0.9, 1.0 + off, 1.1])], [0.5 / 30], after=True)
    assert (found is not None) == there


@pytest.mark.parametrize(
    ("times", "within", "wanted"),
    [([0.99, 1.02], 0.1, 1.02), ([0.99, 1.033], 0.1, 1.033), ([0.99, 1.034], 0.1, 0.99), ([0.99, 1.02], 0.02, 0.99),
     ([0.99, 1.009], 0.02, 1.009), ([1.0, 1.02], 0.1, 1.0), ([1.01, 1.02], 0.1, 1.01)],
)  # fmt: skip
def test_the_frame_after_is_taken_within_one_frame_and_as_near_as_can_be_interpolated(times, within, wanted):
    (found,) = match(1.0, [frames("a", times)], [0.5 / 30], after=True, within=within)
    assert found.t == wanted
    (nearest,) = match(1.0, [frames("a", times)], [0.5 / 30], after=False)
    assert nearest.t == min(times, key=lambda t: abs(t - 1.0))


def test_joints_are_interpolated_over_a_tenth_of_a_second_at_most():
    assert match(1.0, [frames("a", [0.96, 1.059])], [0.05], after=True)[0].t == 1.059
    assert match(1.0, [frames("a", [0.96, 1.061])], [0.05], after=True)[0].t == 0.96


def test_the_interval_is_the_median_of_the_last_fifteen_steps_and_a_thirtieth_before():
    interval = Interval(None)
    assert interval.seconds == pytest.approx(1 / 30)
    interval.add(5.0)
    assert interval.seconds == pytest.approx(1 / 30)
    for t in (5.1, 5.2, 5.2, 5.1, 9.0, 9.1, 9.2):  # a pause, a time twice, one that goes back
        interval.add(t)
    assert interval.seconds == pytest.approx(0.1)
    interval = Interval(50.0)
    assert interval.seconds == pytest.approx(0.02)
    for k in range(30):
        interval.add(k * 0.05)
    assert interval.seconds == pytest.approx(0.05)
    for k in range(9):
        assert interval.seconds == (pytest.approx(0.05) if k < 8 else pytest.approx(0.2))
        interval.add(1.45 + (k + 1) * 0.2)


@pytest.mark.parametrize(("behind", "waits"), [(0.099, True), (0.101, False)])
def test_live_a_camera_is_left_out_after_a_tenth_of_a_second(behind, waits):
    matcher = LiveMatcher([60.0, 60.0])
    for k in range(10):
        for camera in (0, 1):
            matcher.add(camera, frames("ab"[camera], np.arange(10) / 60)[k])
        assert matcher.next() is not None
    matcher.add(0, Frame("a", 10, 9 / 60 + behind, IMAGE))
    assert (matcher.next() is None) == waits


@pytest.mark.parametrize(("behind", "waits"), [(0.39, True), (0.41, False)])
def test_live_a_slow_camera_is_left_out_after_two_of_its_frames(behind, waits):
    matcher = LiveMatcher([60.0, 5.0])
    for k in range(4):
        matcher.add(0, Frame("a", k, k / 5, IMAGE))
        matcher.add(1, Frame("b", k, k / 5, IMAGE))
        assert matcher.next() is not None
    matcher.add(0, Frame("a", 9, 0.6 + behind, IMAGE))
    assert (matcher.next() is None) == waits


@pytest.mark.parametrize(("alone", "waits"), [(0.099, True), (0.101, False)])
def test_live_a_camera_that_has_not_come_yet_is_waited_for_a_tenth_of_a_second(alone, waits):
    matcher = LiveMatcher([30.0, 30.0])
    matcher.add(0, Frame("a", 0, 5.0, IMAGE))
    assert matcher.next() is None
    matcher.add(0, Frame("a", 1, 5.0 + alone, IMAGE))
    assert (matcher.next() is None) == waits


def test_live_a_time_is_answered_once():
    """A camera that was left out comes back with a frame of the very time that was answered last."""
    matcher = LiveMatcher([30.0, 30.0])
    for k in range(10):
        matcher.add(0, Frame("a", k, k / 10, IMAGE))
        matcher.next()
    last = matcher._last
    matcher.add(1, Frame("b", 0, last, IMAGE))
    matcher.add(0, Frame("a", 10, last + 0.05, IMAGE))
    assert matcher.next() is None


def test_live_eight_frames_of_a_camera_are_kept_and_the_others_counted():
    matcher = LiveMatcher([30.0, 30.0])
    for frame in frames("a", np.arange(20) / 300):
        matcher.add(0, frame)
    assert [f.index for f in matcher._frames[0]] == list(range(12, 20)) and matcher.superseded == 12


def test_live_frames_that_were_used_are_not_counted_when_they_are_let_go():
    matcher = LiveMatcher([30.0])
    for frame in frames("a", np.arange(40) / 30):
        matcher.add(0, frame)
        assert matcher.next().frames == (frame,)
    assert matcher.superseded == 0


def test_live_a_tolerance_that_is_given_is_the_one_that_counts():
    times = np.arange(30) / 30
    events = [*((0, f) for f in frames("a", times)), *((1, f) for f in frames("b", times + 0.012))]
    for tolerance_s, together in ((0.013, True), (0.011, False)):
        found, _ = run_live(events, [30, 30], SyncConfig(interpolate=False, tolerance_s=tolerance_s))
        assert any(None not in m.frames for m in found) == together


def test_a_skew_of_a_quarter_of_a_frame_is_none():
    assert skew_warning([25.0, 25.0], 10.0) is None and skew_warning([25.0, 25.0], 10.1)
    assert skew_warning([25.0, 25.0], 30.0) is None and skew_warning([25.0, 25.0], 29.9)
    assert skew_warning([25.0, 25.0], 50.0) is None and skew_warning([25.0, 25.0], 50.1), "a whole frame is one"
    assert skew_warning([25.0, 25.2, None], 15.0) is None, "of some nothing is known"
    assert skew_warning([25.0, 25.24], 15.0) and skew_warning([25.0, 25.26], 15.0) is None
    assert "15.0 ms apart" in skew_warning([25.0, 25.0], 15.0) and "15.0 ms apart" in skew_warning([25.0, 25.0], 25.0)
