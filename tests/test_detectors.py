"""Every detector of the registry through one contract, on real pictures."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines import cards, detectors
from engines.detectors import fallback, hourglass, mediapipe, movenet
from engines.detectors.hourglass import Hourglass
from engines.detectors.movenet import MoveNet
from engines.preprocess import Box
from engines.skeleton import FACE_AND_FEET, LEFT, LIMBS, LSP, MIRROR, NECK, PELVIS, RIGHT, SPINE, THORAX, to_h36m
from engines.top_down import TopDownSession
from engines.types import Detection, Detector, EngineError
from tests.media import lspet, walker_frames

LIMB = list(LIMBS)
FPS = 30.0


@pytest.fixture(scope="module", params=detectors.names())
def detector(request: pytest.FixtureRequest) -> Detector:
    return detectors.load(request.param)


@pytest.fixture(scope="module")
def waving() -> list[np.ndarray]:
    """The man on the wall, arms up, facing the camera: frames 16..25, cut to 700x500.

    Cut because MediaPipe, which looks for people in the whole image at 224 px, hardly sees him in all of it.
    """
    return [np.ascontiguousarray(image[:500, 300:1000]) for image in walker_frames(range(16, 26))]


def watch(detector: Detector, frames: list[np.ndarray]) -> list[Detection]:
    session = detector.session()
    return [session(image, k / FPS) for k, image in enumerate(frames)]


def check(found: Detection, image: np.ndarray, name: str) -> None:
    """The contract of one detection."""
    check_joints(found, name)
    if not found.person:
        return
    surely = found.xy[found.score > 0.3]
    height, width = image.shape[:2]
    assert ((surely > -1) & (surely < (width, height))).all()


def check_joints(found: Detection, name: str) -> None:
    """What holds wherever the joints are."""
    assert found.origin == name
    assert found.xy.shape == (17, 2)
    assert found.xy.dtype == np.float32
    assert found.score.shape == (17,)
    assert found.score.dtype == np.float32
    assert found.derived.shape == (17,)
    assert found.derived.dtype == bool
    assert np.isfinite(found.xy).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert (found.xy[found.score == 0] == 0).all()
    if not found.person:
        return
    assert list(np.flatnonzero(found.derived)) == [PELVIS, THORAX]
    np.testing.assert_allclose(found.xy[PELVIS], (found.xy[1] + found.xy[4]) / 2, atol=0.01)
    np.testing.assert_allclose(found.xy[THORAX], (found.xy[11] + found.xy[14]) / 2, atol=0.01)
    assert all(found.score[joint] == 0 for joint in (SPINE, NECK) if joint not in detectors.axial(name))


@pytest.mark.video
def test_a_real_person(detector: Detector, waving: list[np.ndarray]) -> None:
    seen = watch(detector, waving)
    for found in seen:
        check(found, waving[0], detector.name)
    last = seen[-1]
    assert last.person
    # Where he stands, read off the picture by eye.
    assert 300 < last.xy[PELVIS, 0] < 390
    assert 270 < last.xy[PELVIS, 1] < 320
    assert (last.xy[[3, 6], 1] > last.xy[[2, 5], 1]).all()
    assert (last.xy[[13, 16], 1] < last.xy[THORAX, 1]).all(), "his hands are above his shoulders"
    # He faces the camera: his right is on the left of the picture.
    assert (last.xy[list(RIGHT), 0] < last.xy[list(LEFT), 0]).all()


@pytest.mark.video
def test_a_mirrored_picture_gives_mirrored_joints(detector: Detector, waving: list[np.ndarray]) -> None:
    plain = watch(detector, waving)[-1]
    flipped = watch(detector, [np.ascontiguousarray(image[:, ::-1]) for image in waving])[-1]
    assert flipped.person
    back = flipped.xy[MIRROR] * (-1, 1) + (waving[0].shape[1] - 1, 0)
    sure = [j for j in LIMB if min(plain.score[j], flipped.score[MIRROR[j]]) > 0.3]
    assert len(sure) >= 10
    height = np.ptp(plain.xy[LIMB, 1])
    assert np.median(np.linalg.norm(back[sure] - plain.xy[sure], axis=1)) < 0.04 * height
    swapped = np.linalg.norm(back[MIRROR][sure] - plain.xy[sure], axis=1)
    assert np.median(swapped) > 0.1 * height


def test_agrees_with_labelled_photographs(detector: Detector, data_folder: Path) -> None:
    session, hits, swaps, people = detector.session(), [], [], 0
    photographs = lspet(data_folder / "lspet", 10)
    for image, label in photographs:
        session.reset()
        found = session(image, 0.0)
        check(found, image, detector.name)
        if not found.person:
            continue
        people += 1
        truth, _, _ = to_h36m(LSP, label[:, :2], label[:, 2])
        reach = 0.2 * np.linalg.norm(label[8, :2] - label[3, :2])
        hits += list(np.linalg.norm(found.xy - truth, axis=1)[LIMB] < reach)
        swaps += list(np.linalg.norm(found.xy[MIRROR] - truth, axis=1)[LIMB] < reach)
    assert people >= 8
    assert np.mean(hits) > 0.5
    assert np.mean(swaps) < 0.2


def test_nobody_in_noise_or_darkness(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for image in (noise, noise * 0, np.full_like(noise, 127)):
        for found in watch(detector, [image] * 4):
            check(found, image, detector.name)
            assert not found.person


@pytest.mark.video
def test_nobody_soon_after_the_person_has_gone(detector: Detector, waving: list[np.ndarray]) -> None:
    """The place where he stood, now only wall, trees and sky, in which a top-down network sees skeletons."""
    empty = np.ascontiguousarray(walker_frames([229])[0][:500, 300:1000])
    seen = watch(detector, [*waving, *[empty] * 40])
    assert seen[9].person
    assert not any(found.person for found in seen[-8:])


@pytest.mark.video
def test_the_same_one_of_two(detector: Detector) -> None:
    """A woman walks in (frames 38-74) while the man who was there first waves on."""
    session = detector.session()
    if not isinstance(session, TopDownSession):
        pytest.skip("MediaPipe chooses by itself whom it looks at")
    for k, image in enumerate(walker_frames(range(20, 80, 6))):
        found = session(image, k * 6 / FPS)
        assert found.person
        assert abs(found.xy[PELVIS, 0] - 637) < 60


@pytest.mark.video
def test_sessions_repeat_and_do_not_mix(detector: Detector, waving: list[np.ndarray]) -> None:
    frames = waving[:5]
    alone = watch(detector, frames)
    first, second = detector.session(), detector.session()
    for k, image in enumerate(frames):
        between = first(image, k / FPS)
        second(np.zeros_like(image), k / FPS)
        np.testing.assert_array_equal(between.xy, alone[k].xy)
        np.testing.assert_array_equal(between.score, alone[k].score)
    first.reset()
    for k, image in enumerate(frames):  # time begins again: a file that loops
        np.testing.assert_array_equal(first(image, k / FPS).xy, alone[k].xy)


def test_equal_times_are_no_error(detector: Detector) -> None:
    session, image = detector.session(), np.zeros((48, 64, 3), np.uint8)
    for t in (5.0, 5.0, 5.0001, 4.9):
        assert not session(image, t).person


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 900, 3), (900, 7, 3)])
def test_odd_sizes_are_no_error(detector: Detector, shape: tuple[int, int, int]) -> None:
    assert not detector.session()(np.zeros(shape, np.uint8), 0.0).person


@pytest.mark.parametrize("name", [*hourglass.WEIGHTS, *movenet.WEIGHTS])
@pytest.mark.parametrize(("size", "corner"), [(1, 0), (64, 20), (64, 63), (64, 500)])
def test_a_crop_of_one_pixel_is_no_error(name: str, size: int, corner: int) -> None:
    """One colour all over the crop: joints somewhere on that pixel, unsure to its size, or nothing at all."""
    network = detectors.load(name)
    assert isinstance(network, Hourglass | MoveNet)
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    found = network.see(image, Box(corner, corner, 1, 1))
    check_joints(found, name)
    assert found.cov is not None
    known = np.asarray(np.isfinite(found.cov).all((1, 2)))
    assert known[LIMB].all()
    assert (np.linalg.eigvalsh(found.cov[known]) > 0).all()
    assert np.abs(found.xy[found.score > 0] - corner).max(initial=0) < 2


@pytest.mark.video
def test_the_hourglass_sees_face_and_feet(waving: list[np.ndarray]) -> None:
    found = watch(detectors.load("hourglass"), waving)[-1]
    extra = found.extra
    assert extra is not None and extra.names == FACE_AND_FEET
    assert (extra.xy.dtype, extra.score.dtype, extra.cov.dtype) == (np.float32,) * 3
    assert (extra.score > 0.3).all() and (extra.score <= 1).all()
    assert (np.linalg.eigvalsh(extra.cov) > 0).all()
    at, height = dict(zip(extra.names, extra.xy, strict=True)), np.ptp(found.xy[LIMB, 1])
    # He faces the camera: his left eye is on the right of the picture. His face is above his shoulders.
    assert at["left_eye"][0] > at["right_eye"][0]
    assert at["nose"][1] < found.xy[THORAX, 1]
    for side, ankle in (("left", 6), ("right", 3)):
        for part in ("heel", "toe"):
            assert np.linalg.norm(at[f"{side}_{part}"] - found.xy[ankle]) < 0.2 * height


def test_says_what_it_is(detector: Detector) -> None:
    said = detector.describe()
    assert said["runtime"]
    weights = detectors.weights(detector.name)
    if weights is None:
        return
    assert said["model"] in (weights, weights.replace(".onnx", ".int8.onnx"))  # auto may have measured int8 as faster
    assert said["sha256"] == cards.load_card(cards.WEIGHTS / said["model"]).sha256


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        EngineError, match=r"unknown detector 'openpose'; there are hourglass, mediapipe.*movenet-thunder"
    ):
        detectors.load("openpose")


@pytest.mark.parametrize("name", detectors.names())
def test_missing_weights_are_named(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = detectors.weights(name)
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    if weights is None:
        assert detectors.load(name).name == name, "it needs none"
        return
    with pytest.raises(EngineError, match=Path(weights).stem):
        detectors.load(name)


NEW_DETECTOR = """
import numpy as np
from engines.skeleton import SPINE, derive
from engines.types import Detection

WEIGHTS = {"statue": None}
AXIAL = (SPINE,)

class Statue:
    name = "statue"
    def session(self): return self
    def reset(self): pass
    def describe(self): return {"model": "", "sha256": "", "runtime": "none"}
    def __call__(self, image, t):
        bright = 200 < image.mean()
        xy = np.full((17, 2), 5, np.float32)
        score = np.full(17, 0.9 * bright, np.float32)
        score[[9, 10]] = 0
        return Detection(*derive(xy, score), "statue")

def load(name, options):
    return Statue()
"""


def test_a_new_detector_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One without a weights file, that sees the spine: every test of the contract that asks for no person takes it."""
    (tmp_path / "a_statue.py").write_text(NEW_DETECTOR)
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    assert "statue" in detectors.names()
    statue = detectors.load("statue")
    seen = watch(statue, [np.full((20, 20, 3), 255, np.uint8)])[0]
    assert seen.person
    assert seen.score[SPINE] > 0
    check(seen, np.zeros((20, 20, 3)), "statue")
    order = fallback.Fallback(("statue", "movenet-lightning"))
    assert [order.describe_all()[name]["runtime"] for name in ("statue", "movenet-lightning")] == ["none", "not loaded"]
    test_says_what_it_is(statue)
    test_missing_weights_are_named("statue", monkeypatch, tmp_path)
    test_nobody_in_noise_or_darkness(statue)
    test_odd_sizes_are_no_error(statue, (1, 1, 3))


# --- MediaPipe's noise


def test_only_chatter_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with mediapipe._without_chatter():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nsomething that matters\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "something that matters\nafter\n"


@pytest.mark.video
def test_mediapipe_leaves_stderr_alone_to_the_end(tmp_path: Path, waving: list[np.ndarray]) -> None:
    np.save(tmp_path / "frames.npy", np.stack(waving))
    script = (
        "import sys, numpy as np; from engines import detectors\n"
        "session = detectors.load('mediapipe').session()\n"
        "found = [session(f, k / 30) for k, f in enumerate(np.load(sys.argv[1]))]\n"
        "print(found[-1].person)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "frames.npy")],
        capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[1], check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_mediapipe_session_left_to_the_garbage_collector_is_closed_by_the_next_and_not_by_it():
    """mediapipe's own __del__ may wait for itself for ever when the collector interrupts an executor's lock."""
    detector = detectors.load("mediapipe-lite")
    sessions = [detector.session(), detector.session()]
    landmarker = vars(sessions[0])["_landmarker"]
    del sessions[0]
    gc.collect()
    assert landmarker._handle, "the collector must not close it"
    sessions.append(detector.session())
    assert landmarker._handle is None


@pytest.mark.video
def test_people_of_a_hundred_pixels_in_full_hd_are_found() -> None:
    """As in a hall: with the sides of 256 and 384 pixels alone, one in eight of these was."""
    detector = detectors.load("movenet-thunder")
    found = 0
    for image in walker_frames([60, 88, 116, 144]):
        small = cv2.resize(image, None, fx=100 / 363, fy=100 / 363, interpolation=cv2.INTER_AREA)
        full = np.full((1080, 1920, 3), 110, np.uint8)
        full[400 : 400 + small.shape[0], 700 : 700 + small.shape[1]] = small
        session = detector.session()
        looks = [session(full, k / 8) for k in range(4)]
        found += looks[-1].person and (looks[-1].score > 0.3).sum() >= 8
    assert found >= 3
