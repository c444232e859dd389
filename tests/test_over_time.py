"""The lifter of several frames as it runs: pasts, resets, gaps and rates; and what says that it was used."""

import shutil

import cv2
import numpy as np
import onnx
import pytest

import stream
from engines import cards
from engines.lifter import MDNLifter, lifter_input
from engines.runtimes import NetworkOptions
from engines.temporal import SHIPPED_TEMPORAL, Sight, TemporalLifter, made_for
from engines.training.temporal.validate import jitter
from engines.types import Detection, EngineError
from run_stream import main
from stream.app.inspect import main as inspect
from stream.live.estimator import Estimator
from stream.live.synchronise import frame_set
from stream.live.tracks import AlphaBeta, OneEuro, TrackConfig, Tracker
from stream.recordings.takes import open_take
from stream.types import Frame
from tests.api import CLIP, image
from tests.known import KnownDetector, figure
from tests.mistakes import refused
from tests.walker import only_view

PLAIN = NetworkOptions("onnx", precision="fp32")


@pytest.fixture(scope="module")
def lifter():
    return MDNLifter(options=PLAIN)


@pytest.fixture(scope="module")
def temporal(lifter):
    return TemporalLifter(lifter, options=PLAIN)


class NoisyDetector(KnownDetector):
    """The known joints, each frame's with noise of its own: 2 px."""

    def session(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        known, rng = super().session(), np.random.default_rng(0)

        class Session:
            reset, report = known.reset, known.report

            def __call__(self, image, t):
                seen = known(image, t)
                noise = np.where(seen.score[:, None] > 0, rng.normal(0, 2, seen.xy.shape), 0)
                return Detection((seen.xy + noise).astype(np.float32), seen.score, seen.derived, "known")

        return Session()


def frames(source, n, rate=30.0):
    blank = np.zeros((480, 640, 3), np.uint8)
    return [Frame("cam0", k, k / rate, blank) for k in range(n)]


def run(lifter, temporal, detector, shots):
    estimator = Estimator([detector.source.camera], detector, lifter, temporal=temporal)
    return [estimator(frame_set(shot.index, shot.t, [shot])) for shot in shots]


def inputs(source, n, rate=30.0):
    """What the lifter is given of a figure, and when."""
    detector, out = KnownDetector(source), []
    for k in range(n):
        seen = detector.session()(None, k / rate)
        out.append((k / rate, lifter_input(seen, source.camera, 0.3)))
    return out


def answers(lifter, temporal, given):
    past = temporal.past()
    return [temporal([Sight(past, t, x, lifter([x])[0])])[0] for t, x in given]


def same(a, b, atol=1e-3):
    """Whether two mixtures are one."""
    return all(np.allclose(getattr(a, part), getattr(b, part), atol=atol) for part in ("mean", "sigma", "weight"))


def test_it_shakes_less_than_single_frames_and_is_as_near(lifter, temporal):
    source = figure()
    shots, found = frames(source, 50), {}
    truth = np.stack([source.pose(k) - source.pose(k)[0] for k in range(50)])
    for name, what in (("single", None), ("time", temporal)):
        views = [only_view(estimate) for estimate in run(lifter, what, NoisyDetector(source), shots)]
        found[name] = {
            part: np.stack([getattr(view, part) for view in views]) for part in ("answer_raw", "answer")
        }  # fmt: skip
        assert all(view.mixture.mean.shape == (5, 17, 3) for view in views)
        assert all(view.mixture.weight.sum() == pytest.approx(1, abs=1e-5) for view in views)
        assert all((view.mixture.mean[:, 0] == 0).all() and (view.mixture.sigma[:, 1:] > 0).all() for view in views)
    for part in ("answer_raw", "answer"):
        assert jitter(found["time"][part], truth) < 0.7 * jitter(found["single"][part], truth)
    error = {name: np.linalg.norm(parts["answer"] - truth, axis=-1).mean() for name, parts in found.items()}
    assert error["time"] < 1.15 * error["single"]  # a stick figure: nobody whom it was trained on


def test_the_first_frame_is_the_lifters_and_only_the_window_counts(lifter, temporal):
    given = inputs(figure(), temporal.window + 12)
    whole = answers(lifter, temporal, given)
    assert same(whole[0], lifter([given[0][1]])[0])
    assert not same(whole[1], lifter([given[1][1]])[0])
    assert same(answers(lifter, temporal, given[-temporal.window :])[-1], whole[-1], atol=0.05)
    later = answers(lifter, temporal, [(t + 1000.5, x) for t, x in given])
    assert same(later[-1], whole[-1], atol=0.05)


def test_people_in_one_batch_are_as_each_alone(lifter, temporal):
    rows = [inputs(figure(f"synthetic:frames=60,speed={speed}"), 12) for speed in (0.5, 1, 2)]
    alone = [answers(lifter, temporal, row[k:])[-1] for k, row in enumerate(rows)]
    pasts = [temporal.past() for _ in rows]
    for step in range(12):
        together = temporal([
            Sight(past, row[step][0], row[step][1], lifter([row[step][1]])[0])
            for k, (past, row) in enumerate(zip(pasts, rows, strict=True)) if step >= k
        ])  # fmt: skip
    assert all(same(a, b, atol=0.05) for a, b in zip(alone, together, strict=True))
    assert temporal([]) == []


@pytest.mark.parametrize("rate", [10.0, 15.0, 30.0, 60.0])
def test_at_any_rate_it_is_steadier_and_not_late(lifter, temporal, rate):
    source = figure("synthetic:frames=120", fps=rate)
    n = max(20, round(rate))
    shots = frames(source, n, rate)
    truth = np.stack([source.pose(k) - source.pose(k)[0] for k in range(n)])
    found = {}
    for name, what in (("single", None), ("time", temporal)):
        views = [only_view(estimate) for estimate in run(lifter, what, NoisyDetector(source), shots)]
        found[name] = np.stack([view.mixture.mean[view.mixture.weight.argmax()] for view in views])
    error = {name: np.linalg.norm(pose - truth, axis=-1).mean() for name, pose in found.items()}
    assert jitter(found["time"], truth) < 0.8 * jitter(found["single"], truth)
    assert error["time"] < 1.15 * error["single"]


def test_a_gap_a_clock_that_goes_back_and_a_cut_begin_anew(lifter, temporal):
    source = figure()
    estimator = Estimator([source.camera], KnownDetector(source), lifter, temporal=temporal)
    plain = Estimator([source.camera], KnownDetector(source), lifter)
    rng = np.random.default_rng(0)
    scenes = [cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (640, 480)) for _ in range(2)]

    def alike(index, t, scene):
        shot = frame_set(index, t, [Frame("cam0", index, t, scenes[scene])])
        return same(only_view(estimator(shot)).mixture, only_view(plain(shot)).mixture)

    seen = [
        alike(index, t, scene) for index, (t, scene) in enumerate([
            (0.0, 0), (0.1, 0), (0.2, 0),  # the first frame alone is that of the lifter
            (0.9, 0), (1.0, 0),  # a gap of more than half a second
            (0.5, 0), (0.6, 0),  # a clock that goes back
            (0.7, 1), (0.8, 1),  # another scene
            (1.25, 1),  # a gap that is none: 0.45 s
        ])
    ]  # fmt: skip
    assert seen == [True, False, False, True, False, True, False, True, False, False]


def test_views_are_fused_by_what_single_frames_say(lifter, temporal):
    source, heard = figure(), []

    class Fuse:
        def __call__(self, detections, mixtures, t, rays=None):
            heard.append(mixtures[0])

        def another(self):
            return self

    estimator = Estimator([source.camera], KnownDetector(source), lifter, fuse=Fuse(), temporal=temporal)
    for shot, (_, x) in zip(frames(source, 5), inputs(source, 5), strict=True):
        view = only_view(estimator(frame_set(shot.index, shot.t, [shot])))
        assert same(heard[-1], lifter([x])[0])
        assert same(heard[-1], view.mixture) == (shot.index == 0)


def test_somebody_new_has_no_past(lifter, temporal):
    given = inputs(figure(), 4)
    past = temporal.past()
    for t, x in given[:3]:
        temporal([Sight(past, t, x, lifter([x])[0])])
    assert past.frames == 3
    past.reset()
    assert past.frames == 0
    (first,) = temporal([Sight(past, given[3][0], given[3][1], lifter([given[3][1]])[0])])
    assert same(first, lifter([given[3][1]])[0]) and past.frames == 1


@pytest.mark.usefixtures("known_detector")
def test_one_made_for_another_lifter_is_refused_and_left_out(lifter, temporal, tmp_path, capsys):
    assert made_for(SHIPPED_TEMPORAL, lifter)
    shutil.copy(SHIPPED_TEMPORAL, tmp_path / "time.onnx")
    model = onnx.load(lifter.path)
    model.doc_string = "the same with other words"
    onnx.save(model, tmp_path / "another.onnx")
    theirs = lifter.path.with_suffix(".toml").read_text()
    digest = cards.digest(tmp_path / "another.onnx")
    (tmp_path / "another.toml").write_text(theirs.replace(lifter.sha256, digest))
    card = SHIPPED_TEMPORAL.with_suffix(".toml").read_text()
    (tmp_path / "time.toml").write_text(card.replace(lifter.sha256, "0" * 64))
    assert not made_for(tmp_path / "time.onnx", lifter)
    with pytest.raises(EngineError, match="made for another lifter"):
        TemporalLifter(lifter, tmp_path / "time.onnx")
    with pytest.raises(EngineError, match="no temporal lifter"):
        TemporalLifter(lifter, lifter.path)
    flags = ["--camera", CLIP, "--detector", "known", "--view", "none"]
    said = refused(capsys, main, "run_stream", *flags, "--temporal", tmp_path / "time.onnx")
    assert "made for another lifter" in said
    other = refused(capsys, main, "run_stream", *flags, "--temporal", "on", "--weights", tmp_path / "another.onnx")
    assert "made for another lifter" in other
    with pytest.raises(SystemExit):
        main([*flags, "--temporal", "maybe"])
    assert "'maybe' is neither on nor off nor an .onnx file" in capsys.readouterr().err
    assert "cannot be read" in refused(capsys, main, "run_stream", *flags, "--temporal", tmp_path / "none.onnx")


def test_tracks_over_time_average_what_says_the_same(lifter):
    (t, given), *_ = inputs(figure(), 1)
    mixture = lifter([given])[0]
    pose = mixture.mean[0]
    near = [pose, pose + 10, pose + 20, pose + 3000, pose - 3000]
    made = type(mixture)(np.array(near, np.float32), mixture.sigma, np.array([0.3, 0.25, 0.25, 0.1, 0.1]))
    _, raw, answer = Tracker(over_time=True)(made, t)
    np.testing.assert_allclose(raw, pose)
    assert 4 < np.mean(answer - pose) < 11
    _, _, single = Tracker()(made, t)
    np.testing.assert_allclose(single, pose)


def test_the_filter_over_time_is_not_late_for_steady_motion():
    pose, config = np.zeros((17, 3)), TrackConfig()
    late = {}
    for filtered in (AlphaBeta(config), OneEuro(config)):
        for k in range(60):
            out = filtered(pose + k * 30.0, k / 30)
        late[type(filtered).__name__] = np.max(59 * 30.0 - out)
    assert abs(late["AlphaBeta"]) < 0.5 < late["OneEuro"]
    rest, rng = AlphaBeta(config), np.random.default_rng(0)
    noisy = rng.normal(0, 10, (200, 17, 3))
    quiet = np.stack([rest(pose + noise, k / 30) for k, noise in enumerate(noisy)])
    assert quiet[20:].std() < 0.95 * noisy.std()
    assert rest(pose + 500, 20.0).min() == 500  # after a gap

    def steady(rate):
        other = AlphaBeta(config)
        return np.stack([other(pose + noise, k / rate) for k, noise in enumerate(noisy)])

    np.testing.assert_allclose(steady(60), steady(120), atol=1e-6)  # by frames ...
    assert steady(10)[20:].std() > 1.05 * steady(60)[20:].std()  # ... as long as they come quickly


@pytest.mark.usefixtures("known_detector")
def test_who_asks_for_it_gets_it_and_the_recording_says_so(tmp_path, capsys):
    flags = ["--camera", CLIP, "--detector", "known", "--view", "none", "--record"]
    sha = cards.load_card(SHIPPED_TEMPORAL).sha256
    for name, more, expected in (("on", ("--temporal", "on"), sha), ("off", (), None)):
        assert main([*flags, str(tmp_path / name), *more]) == 0
        (folder,) = (tmp_path / name).iterdir()
        take = open_take(folder)
        assert take.run_info.lifter.get("temporal_sha256") == expected
        assert ("temporal" in take.run_info.lifter) == (expected is not None)
        assert inspect([str(folder)]) == 0
        assert ("and temporal.onnx on the frames before" in capsys.readouterr().out) == (expected is not None)


@pytest.mark.usefixtures("known_detector")
def test_images_without_a_time_are_single_frames():
    auto, off = (stream.Estimator(detector="known", temporal=asked, precision="fp32") for asked in ("on", "off"))
    for k in (0, 7):
        assert same(only_view(auto(image(k))).mixture, only_view(off(image(k))).mixture)
    auto.reset()
    off.reset()
    pairs = [(only_view(auto(image(k), k / 30)), only_view(off(image(k), k / 30))) for k in range(3)]
    assert [same(a.mixture, b.mixture) for a, b in pairs] == [True, False, False]
