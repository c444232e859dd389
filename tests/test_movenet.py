"""MoveNet cut at its heads: numpy's decoding against what Google's whole graphs answered; heads that are none."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calibration.errors import UserError
from engines import cards, detectors, movenet_heads, runtimes
from engines.build import cut_movenet
from engines.detectors.hourglass import Hourglass
from engines.detectors.movenet import MoveNet
from engines.movenet_heads import Crowd, Single, decode
from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.types import Runtime

# x, y (pixels of the input) and score of the 17 joints of ``figure``, by the files that the shipped ones were cut from.
LIGHTNING = """95.658 27.659 .457, 91.916 24.463 .551, 99.605 24.13 .576, 86.738 26.784 .635, 106.145 25.586 .773,
79.238 45.768 .915, 113.963 47.008 .789, 65.033 69.004 .908, 128.595 69.636 .92, 60.143 92.271 .49, 133.689 93.71 .867,
87.073 101.275 .861, 106.211 101.359 .746, 81.468 135.987 .601, 112.293 134.521 .736, 81.04 170.756 .888,
111.897 170.005 .853"""
THUNDER = """127.603 39.926 .584, 132.002 34.771 .686, 124.09 34.367 .738, 136.963 34.135 .736, 119.582 33.236 .613,
149.522 61.878 .861, 105.846 62.765 .791, 171.521 91.758 .775, 85.677 93.236 .854, 176.349 122.616 .467,
80.477 124.383 .663, 139.175 132.789 .801, 121.026 131.854 .797, 148.057 180.08 .649, 108.305 179.236 .662,
145.373 224.729 .177, 146.156 225.235 .727"""
# Left, top, right, bottom (0..1) and score of two of them side by side, by the whole MultiPose.
TWO = """.6408 .0436 .8543 .9432 .7918, .1443 .0424 .3582 .9442 .771"""


def table(text: str) -> np.ndarray:
    return np.array([[float(number) for number in row.split()] for row in text.split(",")])


def figure(side: int) -> np.ndarray:
    """Somebody made of capsules in front of a wall, (side, side, 3) RGB."""
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([90 + 60 * y, 110 + 40 * x, 130 - 30 * y], -1)

    def limb(x0: float, y0: float, x1: float, y1: float, r: float, colour: tuple[int, int, int]) -> None:
        a, along, p = np.array([x0, y0]), np.array([x1 - x0, y1 - y0]), np.stack([x, y], -1)
        t = np.clip((p - a) @ along / (along @ along), 0, 1)[..., None]
        d = np.linalg.norm(p - a - t * along, axis=-1)
        edge, shade = np.clip((r - d) * side, 0, 1)[..., None], 1 - 0.35 * np.clip(d / r, 0, 1)[..., None]
        image[:] = image * (1 - edge) + np.array(colour) * shade * edge

    skin, shirt, trousers, dark = (224, 172, 140), (40, 60, 150), (60, 50, 45), (20, 20, 20)
    for s in (-1, 1):
        limb(0.5 + 0.055 * s, 0.52, 0.5 + 0.075 * s, 0.70, 0.045, trousers)
        limb(0.5 + 0.075 * s, 0.70, 0.5 + 0.08 * s, 0.88, 0.035, trousers)
        limb(0.5 + 0.08 * s, 0.9, 0.5 + 0.11 * s, 0.915, 0.02, dark)
    limb(0.5, 0.27, 0.5, 0.50, 0.085, shirt)
    for s in (-1, 1):
        limb(0.5 + 0.10 * s, 0.25, 0.5 + 0.17 * s, 0.37, 0.033, shirt)
        limb(0.5 + 0.17 * s, 0.37, 0.5 + 0.19 * s, 0.50, 0.026, skin)
        limb(0.5 + 0.19 * s, 0.51, 0.5 + 0.192 * s, 0.525, 0.025, skin)
    limb(0.5, 0.19, 0.5, 0.22, 0.03, skin)
    limb(0.5, 0.115, 0.5, 0.145, 0.052, skin)
    limb(0.5, 0.09, 0.5, 0.095, 0.052, (50, 35, 25))
    for s in (-1, 1):
        limb(0.5 + 0.018 * s, 0.125, 0.5 + 0.019 * s, 0.125, 0.006, dark)
    limb(0.5, 0.135, 0.5, 0.145, 0.007, (190, 130, 110))
    return np.round(image).clip(0, 255).astype(np.uint8)


def heads_of(outputs: Mapping[str, np.ndarray], row: int = 0) -> Single:
    return Single(*(outputs[name][row] for name in Single._fields))


def network(name: str) -> Runtime:
    return runtimes.load(cards.WEIGHTS / f"movenet_{name}.onnx", runtimes.NetworkOptions("onnx", precision="fp32"))


@pytest.mark.parametrize(("name", "side", "text"), [("lightning", 192, LIGHTNING), ("thunder", 256, THUNDER)])
def test_the_joints_are_those_of_the_whole_graph(name: str, side: int, text: str) -> None:
    uv, score, _ = decode(heads_of(network(name)(image=figure(side)[None])))
    np.testing.assert_allclose(uv * side, table(text)[:, :2], atol=0.1)
    np.testing.assert_allclose(score, table(text)[:, 2], atol=0.01)


def test_the_people_are_those_of_the_whole_graph() -> None:
    left = figure(192)
    outputs = network("multipose")(image=np.concatenate([left, left[:, ::-1]], 1)[None])
    crowd = Crowd(*(outputs[name][0] for name in Crowd._fields))
    bounds, score = movenet_heads.people(crowd, 0.2)
    np.testing.assert_allclose(bounds.reshape(-1, 4) * 192, table(TWO)[:, :4] * 192, atol=0.1)
    np.testing.assert_allclose(score, table(TWO)[:, 4], atol=0.01)
    nobody, none = movenet_heads.people(crowd._replace(centre=0 * crowd.centre), 0.2)
    assert (nobody.shape, none.shape) == ((0, 2, 2), (0,))
    assert not len(movenet_heads.people(crowd._replace(centre=crowd.centre + np.nan), 0.2)[1])


def test_more_than_six_people_are_found() -> None:
    """Google's graph stops at six; the heatmaps of the middles do not."""
    outputs = network("multipose")(image=np.concatenate([figure(128)] * 8, 1)[None])
    bounds, score = movenet_heads.people(Crowd(*(outputs[name][0] for name in Crowd._fields)), 0.2)
    assert sorted((8 * bounds.mean(1)[:, 0]).astype(int)) == list(range(8)), "one in each place"
    assert len(score) == 8


@pytest.mark.parametrize("name", ["lightning", "thunder", "multipose"])
def test_several_pictures_in_one_call_are_as_one_by_one(name: str) -> None:
    side = 256 if name == "thunder" else 192
    images = np.stack([figure(side), figure(side)[:, ::-1], np.zeros((side, side, 3), np.uint8)])
    run = network(name)
    together = run(image=images)
    for k, image in enumerate(images):
        for head, values in run(image=image[None]).items():
            np.testing.assert_allclose(together[head][k], values[0], atol=2e-4, err_msg=head)


def planted(n: int = 48) -> Single:
    """A person in the middle, every joint one narrow peak where it is expected: joint k at row 20, column 5 + 2 k."""
    cells = np.arange(n)
    columns = 5 + 2 * np.arange(17)
    maps = np.exp(-((cells[:, None, None] - 20) ** 2 + (cells[:, None] - columns) ** 2) / 2).astype(np.float32)
    centre = np.zeros((n, n, 1), np.float32)
    centre[n // 2, n // 2] = 0.9
    regress = np.zeros((n, n, 34), np.float32)
    regress[n // 2, n // 2] = np.stack([np.full(17, 20), columns], -1).ravel() - n // 2
    return Single(centre, maps, regress, np.full((n, n, 34), 0.5, np.float32))


def test_a_map_that_is_not_a_number_gives_a_joint_that_is_none() -> None:
    heads = planted()
    heads.heatmaps[3, 4, 6] = np.nan
    uv, score, _ = decode(heads)
    assert np.isnan(score[6])
    assert np.isfinite(np.delete(score, 6)).all()
    np.testing.assert_allclose(np.delete(uv[:, 1], 6), 20.5 / 48)
    assert np.isnan(decode(heads._replace(centre=heads.centre * np.nan)).score).all()


def test_a_map_of_one_value_is_as_wide_as_the_crop() -> None:
    heads = planted()
    narrow = decode(heads).shape
    for value in (0.0, 0.4):
        heads.heatmaps[..., 6] = value
        uv, score, shape = decode(heads)
        assert score[6] == pytest.approx(value)
        assert np.isfinite(uv).all()
        # Where it is expected counts for more, and still it is everywhere.
        assert np.trace(shape[6]) > 10 * np.trace(narrow[6])


def test_of_two_equal_peaks_one_is_the_joint_and_the_other_makes_it_unsure() -> None:
    heads = planted()
    # The same distance above and below where it is expected: the first of them is taken.
    heads.heatmaps[..., 6] = 0
    heads.heatmaps[[14, 26], 17, 6] = 0.8
    uv, score, shape = decode(heads)
    assert (uv[6] * 48).tolist() == pytest.approx([17.5, 14.5])
    assert score[6] == pytest.approx(0.8)
    across, down = shape[6, 0, 0], shape[6, 1, 1]
    assert np.sqrt(down) * 48 == pytest.approx(12 / np.sqrt(2), rel=0.01), "half of it 12 cells further down"
    assert across < down / 100


@pytest.mark.parametrize("name", ["movenet-lightning", "hourglass"])
def test_a_crop_of_one_pixel_and_one_outside_the_picture_are_answered(name: str) -> None:
    detector = detectors.load(name)
    assert isinstance(detector, MoveNet | Hourglass)
    image = figure(192)[..., ::-1]
    for box in (Box(90, 90, 1, 1), Box(5000, -70, 40, 40)):
        found = detector.see(np.ascontiguousarray(image), box)
        assert np.isfinite(found.xy).all()
        assert ((found.score >= 0) & (found.score <= 1)).all()
        assert found.cov is not None
        assert np.isfinite(found.cov[list(LIMBS)]).all()


def test_what_is_no_movenet_is_not_cut(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 4, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", ends[:1], ends[1:])
    with pytest.raises(UserError, match="not a graph of MoveNet: it lacks centre, heatmaps, regress, offset"):
        cut_movenet.cut(helper.make_model(graph))
    with pytest.raises(UserError, match="cut already"):
        cut_movenet.cut(onnx.load(cards.WEIGHTS / "movenet_lightning.onnx"))
