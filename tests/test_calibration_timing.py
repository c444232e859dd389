"""Time offsets between cameras: known ones are found, and what cannot be known is refused."""

import tomllib
from itertools import combinations

import numpy as np
import pytest

from calibration.__main__ import main
from calibration.errors import CalibrationError
from calibration.geometry.camera import world_to_image
from calibration.solving.motion import clean, follow
from calibration.solving.offsets import reconcile
from calibration.solving.timing import Offset, estimate_offset, refused
from calibration.solving.timing_epipolar import refine_offset
from engines.skeleton import LIMBS, MIRROR
from stream.app.calibrate.synchronise import Track, flags, synchronise
from stream.app.demo import LETTERBOX, MULTI, fetch
from stream.types import StreamError
from tests.calibration_scene import look_at
from tests.timing_scene import around, film, takes

RATES = (25, 30, 60)


def pairs(folder, seconds, count):
    """Two films of each take, their cameras and the offset."""
    for number, (title, clips) in enumerate(takes(folder, seconds)[:count]):
        rng = np.random.default_rng(number)
        cameras, offset, fps = around(rng, 2, clips), rng.uniform(-1.5, 1.5), rng.choice(RATES, 2)
        films = [film(rng, clips, cameras[0], fps[0], 0.0), film(rng, clips, cameras[1], fps[1], offset)]
        yield title, clips, cameras, films, offset


def test_known_offsets_are_found_or_refused_from_movement_alone(data_folder):
    found = [(estimate_offset(*a, *b), offset) for _, _, _, (a, b), offset in pairs(data_folder, 10, 20)]
    error = np.array([abs(result.seconds - offset) for result, offset in found if result.trusted])
    sigma = np.array([result.sigma for result, _ in found if result.trusted])
    assert len(error) >= 0.85 * len(found)
    assert error.max() < 0.017, "wrong and sure of it"
    assert np.mean(error < 0.005) >= 0.7
    assert 0.4 < np.sqrt(np.median((error / sigma) ** 2) / 0.455) < 1.8, "the stated precision is the real one"


def test_placed_cameras_give_the_offset_more_precisely(data_folder):
    found = [
        (refine_offset(cameras[0], cameras[1], *a, *b), offset)
        for _, _, cameras, (a, b), offset in pairs(data_folder, 10, 6)
    ]
    assert all(result.trusted for result, _ in found)
    assert max(abs(result.seconds - offset) for result, offset in found) < 0.005


def test_four_cameras_and_a_known_offset(data_folder):
    """A movement that repeats itself may be refused, in one take of three; what is found is right."""
    found = 0
    for number, (_, clips) in enumerate(takes(data_folder, 10)[2:5]):
        rng = np.random.default_rng(number)
        cameras, truth = around(rng, 4, clips), [0.0, 0.237, -0.41, 1.1]
        films = zip(cameras, (30, 25, 60, 30), truth, strict=True)
        tracks = [Track(*film(rng, clips, c, fps, o)) for c, fps, o in films]
        try:
            alone = synchronise("abcd", tracks, None, 2.0)
            placed = synchronise("abcd", tracks, cameras, 2.0)
        except CalibrationError as error:
            assert "no offset for" in str(error)
            continue
        found += 1
        np.testing.assert_allclose(alone.seconds, truth, atol=0.017)
        np.testing.assert_allclose(placed.seconds, truth, atol=0.005)
        assert not placed.remarks and placed.seconds[0] == 0 and (placed.confidence > 0.99).all()
    assert found >= 2


def test_a_wrong_calibration_is_found_out_or_not_used(data_folder):
    _, clips = takes(data_folder, 10)[1]
    rng = np.random.default_rng(1)
    cameras = around(rng, 2, clips)
    tracks = [Track(*film(rng, clips, c, 30, o)) for c, o in zip(cameras, (0.0, 0.3), strict=True)]
    result = synchronise("ab", tracks, cameras[::-1], 2.0)
    assert result.remarks or abs(result.seconds[1] - 0.3) < 0.017


def test_different_movements_are_refused(data_folder):
    every = list(pairs(data_folder, 10, 12))
    for (_, _, cameras, (a, _), _), (_, _, _, (_, b), _) in zip(every, every[6:] + every[:6], strict=True):
        assert not estimate_offset(*a, *b).trusted
        assert not refine_offset(cameras[0], cameras[1], *a, *b).trusted


def gait(t, period=1.1):
    """(F, 12, 3) mm: walking on the spot, exactly repeating, right and left legs in turn."""
    rest = np.zeros((17, 3))
    rest[[1, 2, 3, 4, 5, 6]] = [[-130, 0, 900], [-130, 0, 450], [-130, 0, 0], [130, 0, 900], [130, 0, 450], [130, 0, 0]]
    rest[[11, 12, 13]] = [[180, 0, 1400], [190, 0, 1130], [200, 0, 880]]
    rest[[14, 15, 16]] = rest[[11, 12, 13]] * [-1, 1, 1]
    swing = np.sin(2 * np.pi * t / period)[:, None]
    out = np.repeat(rest[None], len(t), 0)
    for sign, (knee, ankle, elbow, wrist) in ((1, (2, 3, 15, 16)), (-1, (5, 6, 12, 13))):
        lift = np.maximum(0, sign * np.cos(2 * np.pi * t / period))
        out[:, knee, 1] += 180 * sign * swing[:, 0]
        out[:, ankle, 1] += 350 * sign * swing[:, 0]
        out[:, ankle, 2] += 150 * lift
        out[:, elbow, 1] -= 90 * sign * swing[:, 0]
        out[:, wrist, 1] -= 220 * sign * swing[:, 0]
    return out[:, list(LIMBS)]


def walked(camera, offset, rng, seconds=12, fps=30, move=gait):
    t = np.arange(0, seconds, 1 / fps)
    xy = world_to_image(camera, move(t)) + rng.normal(0, 2, (len(t), 12, 2))
    return t - offset, xy, np.full(xy.shape[:2], 0.9)


CAMERAS = (look_at("a", [4000.0, 1000, 1500], [0, 0, 900]), look_at("b", [1500.0, 4200, 1200], [0, 0, 900]))


def test_a_movement_that_repeats_itself_is_refused_and_the_reason_is_said():
    rng = np.random.default_rng(0)
    result = estimate_offset(*walked(CAMERAS[0], 0, rng), *walked(CAMERAS[1], 0.2, rng))
    assert not result.trusted and "repeats itself" in result.reason
    periods = (result.seconds - result.second) / 1.1
    assert abs(periods - round(periods)) < 0.03, "whole periods, not half ones: the legs are told apart"
    narrow = estimate_offset(*walked(CAMERAS[0], 0, rng), *walked(CAMERAS[1], 0.2, rng), max_offset_s=0.5)
    assert narrow.trusted and narrow.seconds == pytest.approx(0.2, abs=0.01)


def test_too_little_is_refused_with_its_reason():
    rng = np.random.default_rng(0)

    def still(t):
        return np.repeat(gait(np.zeros(1)), len(t), 0)

    a, b = (walked(c, 0, rng, move=still) for c in CAMERAS)
    assert not estimate_offset(*a, *b).trusted and not refine_offset(*CAMERAS, *a, *b).trusted
    a, b = (walked(c, 0, rng) for c in CAMERAS)
    few = tuple(v[:3] for v in b)
    assert "few frames" in estimate_offset(*a, *few).reason and "few frames" in refine_offset(*CAMERAS, *a, *few).reason
    late = (b[0] + 60, *b[1:])
    assert "seen by both" in estimate_offset(*a, *late).reason
    assert "seen by both" in refine_offset(*CAMERAS, *a, *late).reason
    unseen = (*b[:2], np.zeros_like(b[2]))
    assert "seen by both" in estimate_offset(*a, *unseen).reason


def test_an_offset_beyond_the_range_is_not_taken_for_the_nearest_one(data_folder):
    for _, _, _, (a, b), offset in pairs(data_folder, 10, 4):
        result = estimate_offset(*a, *b, max_offset_s=abs(offset) - 0.02)
        assert not result.trusted


def test_jumps_and_swaps_are_taken_out_and_quick_movement_is_not():
    t = np.arange(120) / 30
    xy = world_to_image(CAMERAS[0], gait(t, period=0.8))
    wrong = xy.copy()
    wrong[[0, 40, 119], 3] += [60, -40]
    limbs = {j: i for i, j in enumerate(LIMBS)}
    wrong[70] = wrong[70][[limbs[MIRROR[j]] for j in LIMBS]]
    kept = np.isfinite(clean(t, wrong, np.ones(xy.shape[:2]))[..., 0])
    assert not kept[[0, 40, 119], 3].any()
    far = np.linalg.norm(wrong[70] - xy[70], axis=-1) > 25
    assert far.sum() >= 6 and not kept[70, far].any()
    assert kept.mean() > 0.98
    assert np.isfinite(clean(t, xy, np.ones(xy.shape[:2]))).all()


def test_position_and_velocity_at_irregular_times():
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 3, 120))
    xy = np.stack([50 * t, 3 - 20 * t], -1)[:, None]
    xy[60:75] = np.nan
    at = np.linspace(0.2, 2.8, 50)
    position, velocity = follow(t, xy, at, 0.04)
    known = np.isfinite(position[:, 0, 0])
    assert 0.6 < known.mean() < 1
    np.testing.assert_allclose(position[known, 0], np.stack([50 * at, 3 - 20 * at], -1)[known], atol=1e-6)
    np.testing.assert_allclose(velocity[known, 0], np.broadcast_to([50, -20], (known.sum(), 2)), atol=1e-6)


def sure(seconds, sigma=0.003, confidence=1.0):
    return Offset(seconds, sigma, confidence, float("nan"), 0.9, 10.0)


def test_pairs_are_reconciled_and_contradictions_said():
    truth = np.array([0.0, 0.1, -0.3, 0.02])
    measured = {(i, j): sure(truth[j] - truth[i]) for i, j in combinations(range(4), 2)}
    result = reconcile("abcd", measured)
    np.testing.assert_allclose(result.seconds, truth, atol=1e-9)
    assert result.remarks == () and result.sigma[0] == 0 and (result.sigma[1:] < 0.003).all()
    result = reconcile("abcd", measured | {(1, 3): sure(0.5)})
    np.testing.assert_allclose(result.seconds, truth, atol=1e-3)
    assert any("left out b - d" in line for line in result.remarks) and any("triple" in line for line in result.remarks)
    weak = measured | {(0, 3): refused("x"), (1, 3): sure(0, confidence=0.5), (2, 3): sure(0.32, confidence=0.995)}
    assert reconcile("abcd", weak).confidence[3] == 0.995
    with pytest.raises(CalibrationError, match="^no offset for d .*claps, jumps"):
        reconcile("abcd", weak | {(2, 3): sure(0.32, sigma=0.05)})
    with pytest.raises(CalibrationError, match="c is only known to 1. ms"):
        reconcile("abc", {(0, 1): sure(0.1), (1, 2): sure(0.1, sigma=0.011)})
    with pytest.raises(CalibrationError, match="contradict"):
        reconcile("abc", {(0, 1): sure(0.1), (1, 2): sure(0.1), (0, 2): sure(0.9)})


def test_flags_are_those_of_run_stream():
    assert flags(["a", "b", "c"], [0.0, 0.03334, -1.5]) == "--sync-offset b=0.0333 --sync-offset c=-1.5000"


@pytest.mark.video
def test_real_cameras_in_step_stay_so_whatever_is_done_to_their_times(tmp_path, capsys):
    try:
        folder = fetch(MULTI)
    except StreamError as error:
        pytest.skip(str(error))
    cameras = [flag for k in (1, 2, 4) for flag in ("--camera", f"cam0{k}={folder}/videos/cam0{k}.mp4")]
    cameras += [flag for k in (1, 2) for flag in ("--letterbox", f"cam0{k}={LETTERBOX}")]
    given = ["--sync-offset", f"cam02={3.5 / 60}", "--sync-offset", "cam04=-0.05"]
    out = tmp_path / "offsets.toml"
    calibration = ["--calibration", str(folder / "calibration" / "Calib.qca.txt")]
    assert main(["sync", *cameras, *given, *calibration, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    found = tomllib.loads(out.read_text())
    # 1.65 s of walking: what was done to the times was found to a third of a frame at 60 fps or so.
    for name in ("cam02", "cam04"):
        assert abs(found["offset_s"][name]) < min(0.012, 4 * found["sigma_s"][name])
        assert found["confidence"][name] > 0.99
    assert "cam02: " in text and "best left as they are" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "a=x.mp4"], "at least twice"),
        (["--camera", "a=x.mp4", "--camera", "b=y.mp4"], "no such file"),
        (["--camera", "a=synthetic:frames=3", "--camera", "b=synthetic:frames=3,yaw=9", "--detector", "z"], "detector"),
        (["--camera", "a=synthetic:frames=3", "--camera", "b=synthetic:frames=4"], "nobody is seen"),
        (["--camera", "a=x.mp4", "--camera", "b=y.mp4", "--out", "{}"], "exists already"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, message):
    assert main(["sync", *(a.replace("{}", str(tmp_path)) for a in arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
