"""The estimator offline: the same code as live, without a thread."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from calibration.errors import UserError
from engines.lifter import MDNLifter
from engines.types import ExtraJoints
from stream.config import DetectConfig
from stream.live.estimator import Estimator
from stream.live.files import FileMatcher
from stream.live.interpolation import interpolate
from stream.live.synchronise import frame_set
from stream.types import Frame, FrameReference, FrameSet
from tests.known import KnownDetector, figure
from tests.walker import only_view


@pytest.fixture(scope="module")
def lifter():
    return MDNLifter()


def frames(source, n, name="cam0"):
    blank = np.zeros((480, 640, 3), np.uint8)
    return [Frame(name, k, k / 30, blank) for k in range(n)]


def test_the_figure_is_lifted_placed_and_tracked(lifter):
    source = figure()
    detector = KnownDetector(source)
    estimator = Estimator([source.camera], detector, lifter)
    errors, roots = [], []
    for frame in frames(source, 40):
        estimate = estimator(frame_set(frame.index, frame.t, [frame]))
        (person,) = estimate.people
        (view,) = person.views
        truth = source.pose(frame.index)
        errors.append(np.linalg.norm(view.answer - (truth - truth[0]), axis=-1).mean())
        roots.append(view.root)
        assert view.mixture.mean.shape == (5, 17, 3)
        assert view.mixture.weight.sum() == pytest.approx(1, abs=1e-5)
        assert len(view.tracks) == 5
        assert person.pose is None
        assert set(estimate.stages) == {"detect", "lift", "associate", "track"}
    # A stick figure with straight limbs is no captured person; a constant guess is off by 250 mm and more.
    assert np.mean(errors) < 130
    np.testing.assert_allclose(np.mean(roots, 0), [0, 0, 4000], atol=500)
    assert len(detector.reports) == 40


def test_nobody_is_nobody(lifter):
    source = figure()
    estimator = Estimator([source.camera], KnownDetector(source, absent=range(5, 10)), lifter)
    for k, frame in enumerate(frames(source, 15)):
        estimate = estimator(frame_set(frame.index, frame.t, [frame]))
        assert estimate.frames == (FrameReference("cam0", k, frame.t, (640, 480), "known"),)
        assert bool(estimate.people) == (not 5 <= k < 10)
        for view in estimate.views_of(0):
            assert view.detection.person and view.mixture is not None and view.answer is not None
            assert view.root is not None and view.best_track in view.tracks


def test_a_camera_without_a_frame_is_none(lifter):
    source = figure()
    estimator = Estimator([source.camera] * 2, KnownDetector(source), lifter)
    (frame,) = frames(source, 1)
    estimate = estimator(frame_set(0, 0.0, [None, frame]))
    assert estimate.frames[0] is None and estimate.person.views[0] is None
    assert estimate.frames[1].camera == "cam0" and only_view(estimate, 1).answer is not None


def test_two_views_are_lifted_in_one_batch_as_they_would_be_alone(lifter):
    source = figure()
    (frame,) = frames(source, 1)
    both = Estimator([source.camera] * 2, KnownDetector(source), lifter)(frame_set(0, 0.0, [frame, frame]))
    one = Estimator([source.camera], KnownDetector(source), lifter)(frame_set(0, 0.0, [frame]))
    for view in both.person.views:
        np.testing.assert_allclose(view.mixture.mean, only_view(one).mixture.mean, atol=0.5)


def test_a_frame_used_twice_is_detected_once(lifter):
    source = figure()
    detector = KnownDetector(source)
    estimator = Estimator([source.camera], detector, lifter)
    (frame,) = frames(source, 1)
    for k in range(3):
        estimator(frame_set(k, 0.0, [frame]))
    assert len(detector.reports) == 1


def test_a_slow_camera_keeps_its_tracks(lifter):
    """Half the rate of the other: each of its frames is in two moments, and nothing begins anew."""
    source = figure()
    estimator = Estimator([source.camera] * 2, KnownDetector(source), lifter)
    fast, slow = frames(source, 20, "fast"), frames(source, 20, "slow")
    ids = [set(), set()]
    for k, frame in enumerate(fast):
        estimate = estimator(frame_set(k, frame.t, [frame, slow[k // 2 * 2]]))
        for camera_index, known in enumerate(ids):
            known |= {track.id for track in only_view(estimate, camera_index).tracks}
    assert [len(known) for known in ids] == [5, 5]
    assert not ids[0] & ids[1], "unique across the cameras"


def test_joints_are_interpolated_to_the_frame_sets_time(lifter):
    """A camera 12 ms late: the joints at the moment's time, from the frames around it, are nearly the true ones."""
    source = figure("synthetic:frames=60,speed=1")
    estimator = Estimator([source.camera], KnownDetector(source), lifter)
    cells = frames(source, 30)
    plain, mended = [], []
    for frame in cells[1:]:
        target = frame.t - 0.012
        view = only_view(estimator(frame_set(frame.index, target, [frame])))
        truth = source.joints(frame.index)
        between = source.joints(frame.index - 1) * 0.36 + truth * 0.64
        if frame.index > 1:
            seen = view.detection.score > 0
            plain.append(np.abs(truth - between)[seen].mean())
            mended.append(np.abs(view.detection.xy - between)[seen].mean())
    assert np.mean(mended) < 0.05 * np.mean(plain)


def test_joints_of_a_camera_of_10_fps_are_interpolated_to_every_frame_set(lifter):
    source = figure("synthetic:frames=60,speed=1")
    detector = KnownDetector(source)
    estimator, truth = Estimator([source.camera] * 2, detector, lifter), detector.session()
    fast = frames(source, 60)
    slow = [Frame("slow", k, k / 10, fast[0].image) for k in range(20)]
    cells = iter(fast), iter(slow)
    readers = [lambda cell=cell: next(cell, None) for cell in cells]
    frame_sets = list(FileMatcher(readers, [30, 10]))
    for m in frame_sets[: 19 * 3]:
        seen = only_view(estimator(m), 1).detection
        step = m.index % 3
        before, after = (truth(None, (m.index - step + k) / 30).xy for k in (0, 3))
        np.testing.assert_allclose(seen.xy, before + step / 3 * (after - before), atol=0.01)


def test_interpolation_needs_both_neighbours():
    source = figure()
    session = KnownDetector(source, absent=[1]).session()
    a, b, c = (session(None, k / 30) for k in (0, 1, 2))
    assert interpolate(a, b, 0.4) is a
    assert interpolate(a, b, 0.6) is b
    half = interpolate(a, c, 0.5)
    np.testing.assert_allclose(half.xy[2], (a.xy[2] + c.xy[2]) / 2, rtol=1e-6)
    assert half.score[9] == 0


def test_covariances_and_further_joints_are_interpolated_too():
    source = figure()
    session = KnownDetector(source).session()
    rng = np.random.default_rng(0)

    def extra(*names):
        n = len(names)
        return ExtraJoints(
            names, rng.random((n, 2)).astype(np.float32), np.ones(n, np.float32), np.ones((n, 2, 2), np.float32)
        )

    covs = [np.repeat(k * np.eye(2, dtype=np.float32)[None], 17, 0) for k in (1, 3)]
    a, b = (
        replace(session(None, k / 30), cov=covs[k], extra=extra(*names))
        for k, names in enumerate((("left_heel", "nose", "right_heel"), ("right_heel", "left_heel")))
    )
    b.extra.score[1] = 0
    found = interpolate(a, b, 0.25)
    seen = found.score > 0
    np.testing.assert_allclose(found.cov[seen], covs[0][seen] * 1.5)
    assert np.isnan(found.cov[~seen]).all() and (~seen).any() and seen.any()
    assert found.extra.names == ("right_heel", "left_heel"), "those that both have"
    np.testing.assert_allclose(found.extra.xy[0], 0.75 * a.extra.xy[2] + 0.25 * b.extra.xy[0])
    assert found.extra.score.tolist() == [1, 0] and (found.extra.xy[1] == 0).all()
    assert (found.extra.cov[0] == 1).all() and np.isnan(found.extra.cov[1]).all()
    for one in (replace(a, cov=None, extra=None), a):
        bare = interpolate(one, replace(b, cov=None, extra=None), 0.25)
        assert bare.cov is None and bare.extra is None
        np.testing.assert_array_equal(bare.xy, found.xy)


def test_a_clock_that_goes_back_begins_anew(lifter):
    source = figure()
    estimator = Estimator([source.camera], KnownDetector(source), lifter)
    first, second = frames(source, 2)
    estimator(frame_set(0, 0.0, [second]))
    ids = {t.id for t in only_view(estimator(frame_set(1, 0.0, [Frame("cam0", 7, 0.0, first.image)]))).tracks}
    assert min(ids) >= 5


def test_views_side_by_side_and_ahead_give_what_they_give_one_after_another(lifter):
    """The next moment is begun before this one is finished, also where the file begins again in between."""
    source = figure()
    rows = list(zip(*(frames(source, 8, f"cam{k}") for k in range(4)), strict=True))
    frame_sets = [frame_set(k, row[0].t, list(row)) for k, row in enumerate(rows + rows[:4])]
    one = Estimator([source.camera] * 4, KnownDetector(source), lifter)
    detector = KnownDetector(source)
    with ThreadPoolExecutor(3) as pool:
        ahead = Estimator([source.camera] * 4, detector, lifter, each=pool.map)
        started, spent = time.perf_counter(), 0.0
        pending = ahead.submit(frame_sets[0])
        for now, following in zip(frame_sets, [*frame_sets[1:], None], strict=True):
            later = ahead.submit(following) if following else None
            a, b = one(now), ahead.result(pending)
            spent += b.stages["detect"]
            assert a.frames == b.frames and a.person.person_id == b.person.person_id
            for x, y in zip(a.person.views, b.person.views, strict=True):
                np.testing.assert_array_equal(x.detection.xy, y.detection.xy)
                np.testing.assert_array_equal(x.answer, y.answer)
                assert [t.id for t in x.tracks] == [t.id for t in y.tracks]
            pending = later or pending
    assert {track.id for track in only_view(b).tracks} != set(range(5))
    # Moments that are detected at the same time share it: the stages are no more than the time that passed.
    assert spent <= time.perf_counter() - started
    assert len(detector.reports) == 4, "of the last moment: before, the sessions were at work"


def test_a_camera_that_is_done_does_not_wait_for_the_others():
    """The first camera's second frame is looked at while the second camera is still at its first."""
    source = figure()
    second = threading.Event()
    slow, fast = KnownDetector(source), KnownDetector(source, lambda index: second.set() if index == 1 else None)
    slow.fault = lambda index: None if index else _wait(second)

    class Both:
        def __init__(self):
            self.sessions = iter([fast.session(), slow.session()])

        def session(self):
            return next(self.sessions)

    rows = [[frame, replace(frame, camera="cam1")] for frame in frames(source, 2)]
    with ThreadPoolExecutor(2) as pool:
        estimator = Estimator(
            [source.camera] * 2, Both(), lambda seen: [], each=pool.map, detect=DetectConfig(min_joints=99)
        )
        pending = [estimator.submit(frame_set(k, row[0].t, row)) for k, row in enumerate(rows)]
        assert [estimator.result(b).index for b in pending] == [0, 1]


def _wait(event):
    assert event.wait(20), "the first camera waited for the second"


def test_the_next_frame_set_is_detected_while_this_one_is_lifted(lifter):
    source = figure()
    second = threading.Event()

    def fault(index):
        if index == 1:
            second.set()

    class Waiting:
        def __call__(self, seen):
            assert second.wait(20), "the second moment was not detected meanwhile"
            return lifter(seen)

    first, following = frames(source, 2)
    with ThreadPoolExecutor(2) as pool:
        estimator = Estimator([source.camera] * 2, KnownDetector(source, fault), Waiting(), each=pool.map)
        pending = estimator.submit(frame_set(0, first.t, [first, first]))
        estimator.submit(frame_set(1, following.t, [following, following]))
        assert only_view(estimator.result(pending), 1).answer is not None


def test_an_estimator_does_not_believe_its_caller(lifter):
    source = figure()
    estimator = Estimator([source.camera], KnownDetector(source), lifter)
    (good, other) = frames(source, 1)[0], np.ones((480, 640, 3), np.uint8)
    first = estimator(frame_set(0, 0.0, [good]))
    with pytest.raises(UserError, match="two images are frame 0 at 0 s"):
        estimator(frame_set(1, 0.0, [replace(good, image=other)]))
    again = estimator(frame_set(1, 0.0, [good]))
    np.testing.assert_array_equal(again.person.views[0].answer_raw, first.person.views[0].answer_raw)
    later = estimator(frame_set(2, 0.1, [replace(good, t=0.1, image=other)]))
    assert not np.array_equal(later.person.views[0].detection.xy, first.person.views[0].detection.xy), "looked at"
    for image, words in [
        (good.image[:240, :320], "320x240, but its lens is known for 640x480"),
        (good.image[..., 0], "COLOR_GRAY2BGR"),
        (good.image / 255, "float64 is no colour image.*astype"),
        (good.image.astype(np.uint16), "uint16"),
        (None, "NoneType is no image"),
    ]:
        with pytest.raises(UserError, match=words):
            estimator(frame_set(3, 0.2, [Frame("cam0", 9, 0.2, image)]))
    for number in (0, 2):
        with pytest.raises(UserError, match=f"has {number} frames for 1 cameras"):
            estimator(FrameSet(3, 0.2, (good,) * number, 0.0))
    with pytest.raises(UserError, match="of no camera"):
        Estimator([], KnownDetector(source), lifter)
    assert estimator(frame_set(3, 0.2, [None])).people == ()
