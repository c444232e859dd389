"""Every detector of the registry through one contract, on real pictures; then the parts: box, crop, heatmaps."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines import cards, detectors, preprocess
from engines.detectors import fallback, hourglass, mediapipe, movenet
from engines.detectors.hourglass import Hourglass, decode
from engines.detectors.movenet import MoveNet
from engines.preprocess import Box
from engines.skeleton import (
    COCO,
    FACE_AND_FEET,
    HEAD,
    LEFT,
    LIMBS,
    LSP,
    MIRROR,
    NECK,
    PELVIS,
    RIGHT,
    SPINE,
    THORAX,
    to_h36m,
)
from engines.top_down import Finder, FoundPerson, TopDownSession
from engines.types import Detection, Detector, EngineError
from tests.media import lspet, walker_frames
from tests.test_runtimes import write_card

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


# --- The crop


def test_crop_and_back_keep_pixels_and_colours() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    cv2.circle(image, (140, 90), 6, (255, 60, 0), -1)  # BGR
    for box, size in (
        (Box(90, 40, 101, 101), (192, 192)),
        (Box(-50, -30, 400, 400), (192, 192)),
        (Box(0, 0, 300, 200), (96, 64)),
    ):
        cropped = preprocess.cut(image, box, size)
        assert cropped.shape == (size[1], size[0], 3)
        mass = cropped[..., 2].astype(float)
        y, x = np.indices(mass.shape)
        centre = np.array([(x * mass).sum(), (y * mass).sum()]) / mass.sum()
        back = preprocess.to_image(box, (centre + 0.5) / size)
        np.testing.assert_allclose(back, (140, 90), atol=0.1)
        assert cropped[..., 2].max() > cropped[..., 1].max() > cropped[..., 0].max() == 0


def test_a_box_beside_the_image_is_black() -> None:
    image = np.full((20, 30, 3), 255, np.uint8)
    for box in (Box(30, 0, 10, 10), Box(0, -10, 10, 10), Box(-500, -500, 100, 100)):
        assert not preprocess.cut(image, box, (8, 8)).any()


@pytest.mark.parametrize("size", [(1768, 994), (1080, 1920), (250, 250), (7, 900)])
def test_letterbox_holds_the_image_in_whole_steps(size: tuple[int, int]) -> None:
    box, network = preprocess.letterbox(*size, 256, 32)
    assert max(network) == 256
    assert all(n % 32 == 0 and n > 0 for n in network)
    assert (box.width, box.height) >= size
    assert box.width / network[0] == pytest.approx(box.height / network[1], rel=0.02)


def test_joints_outside_are_doubted() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    xy = np.array([[0.0, 0.0], [199, 99], [-3, 50], [100, 101]])
    np.testing.assert_allclose(preprocess.doubt_outside(xy, np.ones(4), image), [1, 1, 0.25, 0.25])


# --- The followed box, with a person whose place is known


class KnownPerson:
    """A person of known place, seen by a finder and by a network that sees only what is in its box."""

    def __init__(self) -> None:
        left = [(20, -70), (35, -30), (40, 5), (12, 0), (14, 50), (15, 100)]
        coco = np.array([(0.0, -90.0)] * 5 + [(side * x, y) for x, y in left for side in (1, -1)])
        self.shape, _, self.derived = to_h36m(COCO, coco, np.ones(17))
        self.centre: np.ndarray | None = np.array([300.0, 250.0])
        self.score = 0.8
        self.searches = self.checks = self.cut_off = self.slips = 0

    def _person(self) -> list[FoundPerson]:
        if self.centre is None:
            return []
        joints = self.shape[LIMB] + self.centre
        return [FoundPerson(np.stack([joints.min(0), joints.max(0)]), 0.5)]

    def everywhere(self, image: np.ndarray, long_side: int) -> list[FoundPerson]:
        self.searches += 1
        return self._person()

    def around(self, image: np.ndarray, box: Box) -> list[FoundPerson]:
        self.checks += 1
        return self._person()

    def estimate(self, image: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.centre is None:  # a top-down network answers all the same
            middle = np.array([box.left + box.width / 2, box.top + box.height / 2])
            return (self.shape + middle).astype(np.float32), np.where(self.derived, 0, self.score), self.derived
        self.slips -= 1
        xy = (self.shape + self.centre + (120 if self.slips >= 0 else 0, 0)).astype(np.float32)
        corner = np.array([box.left + box.width, box.top + box.height])
        inside = np.logical_and(xy > (box.left, box.top), xy < corner).min(axis=1)
        self.cut_off += int(np.min(inside[LIMB]) == 0)
        return xy, np.where(inside, self.score, 0.05).astype(np.float32), self.derived

    def session(self) -> TopDownSession:
        return TopDownSession("known", self.see, self)  # type: ignore[arg-type]

    def see(self, image: np.ndarray, box: Box) -> Detection:
        return Detection(*self.estimate(image, box), "known")


IMAGE = np.zeros((500, 4000, 3), np.uint8)


@pytest.mark.parametrize("acceleration", [(0, 0), (700, 0), (-1200, 0), (0, -1000), (900, 600)])
def test_the_box_keeps_up_with_a_runner(acceleration: tuple[float, float]) -> None:
    """A person 190 px (1.6 m) tall who speeds up to 1560 px/s, 13 m/s: no limb is ever cut off."""
    known = KnownPerson()
    session = known.session()
    for k in range(40):
        known.centre = np.array([2000.0, 250.0]) + np.array(acceleration) * (k / FPS) ** 2 / 2
        assert session(IMAGE, k / FPS).person
    assert known.searches == 1
    assert known.cut_off == 0


def test_somebody_else_in_the_box_does_not_take_over() -> None:
    """The network answers once for a neighbour; the same person is found again in the same frame."""
    known = KnownPerson()
    session = known.session()
    for k in range(10):
        known.slips = 1 if k == 5 else 0
        found = session(IMAGE, k / FPS)
        assert found.xy[PELVIS, 0] == pytest.approx(300)
    assert known.searches == 2


def test_a_jump_is_searched_for_at_once() -> None:
    known = KnownPerson()
    session = known.session()
    for k in range(20):
        known.centre = np.array([300.0 if k < 10 else 3000.0, 250.0])
        assert session(IMAGE, k / FPS).person
    assert known.searches == 2


def test_somebody_sure_is_checked_once_a_second() -> None:
    known = KnownPerson()
    session = known.session()
    for k in range(121):
        session(IMAGE, k / FPS)
    assert (known.searches, known.checks) == (1, 4)


@pytest.mark.parametrize(("score", "seconds"), [(0.8, 1.1), (0.35, 0.3)])
def test_an_invented_skeleton_is_found_out(score: float, seconds: float) -> None:
    """The network goes on answering when the person has left; the less sure it is, the sooner that ends."""
    known = KnownPerson()
    known.score = score
    session = known.session()
    assert session(IMAGE, 0.0).person
    known.centre = None
    people = [session(IMAGE, k / 100).person for k in range(1, 200)]
    assert not any(people[int(seconds * 100) :])


def test_an_empty_scene_is_searched_ten_times_a_second() -> None:
    known = KnownPerson()
    known.centre = None
    session = known.session()
    for k in range(120):
        assert not session(IMAGE, k / 60).person
    assert known.searches == 20


def test_finder_sees_nobody_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 480, 3), dtype=np.uint8)
    finder = Finder()
    assert finder.everywhere(noise, 256) == []
    assert finder.around(noise, Box(100, 50, 200, 200)) == []


# --- Heatmaps


def planted(uv: np.ndarray, cells: int) -> np.ndarray:
    """Gaussian heatmaps (K, cells, cells) of height 0.9 around uv (K, 2) in 0..1."""
    grid = (np.arange(cells) + 0.5) / cells
    along = [np.exp(-0.5 * ((grid - uv[:, i, None]) * cells) ** 2) for i in (0, 1)]
    return (0.9 * along[1][:, :, None] * along[0][:, None, :]).astype(np.float32)


def test_peaks_are_found_between_the_cells() -> None:
    uv = np.random.default_rng(1).uniform(0.03, 0.97, (500, 2))
    found, score = decode(planted(uv, 64))
    error = np.abs(found - uv) * 64
    assert error.max() < 0.02
    assert ((score > 0.65) & (score <= 0.9)).all()


def test_a_heatmap_that_is_not_finite_is_no_joint() -> None:
    maps = planted(np.full((2, 2), 0.5), 16)
    maps[1, 3, 3] = np.nan
    assert list(np.isnan(decode(maps)[1])) == [False, True]


def test_hourglass_from_file_to_pixels(tmp_path: Path) -> None:
    """A network that answers with planted heatmaps whatever it sees, in the order of MPII."""
    rng = np.random.default_rng(2)
    uv = rng.uniform(0.1, 0.9, (16, 2))
    maps = helper.make_node("Constant", [], ["maps"], value=numpy_helper.from_array(planted(uv, 64)[None]))
    nodes = [
        maps,
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["maps", "nothing"], ["heatmaps"]),
    ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 256, 256])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 16, 64, 64])],
        [zero],
    )
    path = tmp_path / "hourglass.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    card = write_card(path, extra="[values]\nsize = 256\n")
    with pytest.raises(EngineError, match="joints must be one of mpii16"):
        Hourglass(path)
    card.write_text(card.read_text().replace('"none"', '"mpii16"'))
    network = Hourglass(path)
    box = Box(40, 20, 320, 320)
    xy, score, derived = network.estimate(np.zeros((400, 400, 3), np.uint8), box)
    truth = uv * 320 + (40 - 0.5, 20 - 0.5)
    np.testing.assert_allclose(xy[3], truth[0], atol=0.26 * 5)  # right ankle
    np.testing.assert_allclose(xy[13], truth[15], atol=0.26 * 5)  # left wrist
    np.testing.assert_allclose(xy[HEAD], truth[9], atol=0.26 * 5)
    assert score[[SPINE, NECK]].max() == 0
    assert score[LIMB].min() > 0.65
    assert derived[PELVIS]
    assert not network.session()(np.zeros((100, 100, 3), np.uint8), 0.0).person
    assert network.describe()["model"] == "hourglass.onnx"


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
