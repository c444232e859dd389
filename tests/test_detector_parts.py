"""The parts of detectors: the crop, the followed box, the heatmaps."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines import preprocess
from engines.detectors.hourglass import Hourglass, decode
from engines.preprocess import Box
from engines.skeleton import COCO, HEAD, LIMBS, NECK, PELVIS, SPINE, to_h36m
from engines.top_down import Finder, FoundPerson, TopDownCrowd, TopDownSession
from engines.types import Detection, EngineError, Seen
from tests.test_runtimes import write_card

LIMB = list(LIMBS)
FPS = 30.0


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
    assert known.searches == 20 + 2, "at all three sizes in the first picture, which may be the only one"


class SmallPerson(KnownPerson):
    """Somebody whom the finder sees in a large picture only."""

    def everywhere(self, image: np.ndarray, long_side: int) -> list[FoundPerson]:
        return super().everywhere(image, long_side) if long_side > 256 else []


@pytest.mark.parametrize("several", [False, True])
def test_a_photograph_is_searched_at_every_size_until_somebody_is_found(several: bool) -> None:
    known = SmallPerson()
    if several:
        crowd = TopDownCrowd("known", known.see, known, 2, count())  # type: ignore[arg-type]
        assert len(crowd(IMAGE, 0.0).people) == 1
    else:
        assert known.session()(IMAGE, 0.0).person
    assert known.searches == 1


@pytest.mark.parametrize("surer", [True, False])
@pytest.mark.parametrize("several", [False, True])
def test_a_photograph_is_looked_at_twice_and_the_surer_look_counts(surer: bool, several: bool) -> None:
    """In the square that MultiPose gives, and in that of the limbs that were seen there; a film's next picture once."""
    known, boxes = KnownPerson(), []

    def see(image: np.ndarray, box: Box) -> Detection:
        boxes.append(box)
        pose = known.see(image, box)
        if len(boxes) != 2:
            return pose
        return replace(pose, xy=pose.xy + 5, score=pose.score * np.float32(1.1 if surer else 0.9))

    session = (
        TopDownCrowd("known", see, known, 2, count())  # type: ignore[arg-type]
        if several
        else TopDownSession("known", see, known)  # type: ignore[arg-type]
    )
    found = session(IMAGE, 0.0)
    pose = found.people[0].detection if isinstance(found, Seen) else found
    assert pose.xy[PELVIS, 0] == pytest.approx(305 if surer else 300)
    limbs = float(np.ptp(known.shape[LIMB], axis=0).max())
    assert [box.width for box in boxes] == [pytest.approx(pad * limbs, abs=2) for pad in (1.2, 1.3)]
    session(IMAGE, 0.01)
    assert len(boxes) == 3


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
    inside = ((uv > 0.1) & (uv < 0.9)).all(-1)
    assert error[inside].max() < 0.02
    assert error.max() < 0.05, "at the edge a part of what is near lies outside"
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
