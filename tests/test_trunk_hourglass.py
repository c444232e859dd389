"""The hourglass on MoveNet Thunder: the trunk, the stacks, their labels and their training."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from calibration.errors import UserError
from engines import cards
from engines.build import hourglass
from engines.build.export import export
from engines.detectors.hourglass import MIRRORS, decode, surety
from engines.models.hourglass import SIGMA
from engines.models.movenet_trunk import Trunk
from engines.models.trunk_hourglass import TrunkHourglass, TrunkShape
from engines.skeleton import FACE_AND_FEET, MPII_FACE_FEET
from engines.training.data.lspet import Photographs
from engines.training.detector import (
    agreement,
    augment,
    augment_people,
    average,
    checkpoint,
    on_thunder,
    people,
    pseudo_labels,
)
from engines.training.detector import train_on_thunder as training
from tests.mistakes import refused

THUNDER = cards.WEIGHTS / "movenet_thunder.onnx"
HEATMAPS = "kpt_heatmap_0/conv2d_5/BiasAdd"
KINDS = {"tensor(int32)": np.int32, "tensor(uint8)": np.uint8}
MIRROR = MIRRORS[MPII_FACE_FEET.name]
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    trunk = Trunk().eval()
    trunk.load_thunder(THUNDER)
    return trunk


# --- The network


def test_the_trunk_sees_what_thunder_sees(trunk: Trunk) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8), (0, 0), 5)
    model = onnx.load(THUNDER)
    name = next(out for node in model.graph.node for out in node.output if HEATMAPS in out)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = session.get_inputs()[0]
    wanted = np.asarray(session.run([name], {feed.name: np.asarray(image)[None].astype(KINDS[feed.type])})[0])
    with torch.inference_mode():
        seen = trunk(torch.from_numpy(np.asarray(image)).permute(2, 0, 1)[None] / 255)
    assert [tuple(part.shape[1:]) for part in seen] == [
        (24, 64, 64), (80, 32, 32), (200, 16, 16), (560, 8, 8), (17, 64, 64)
    ]  # fmt: skip
    # Its weights are stored as fp16, and 2 / 255 too, by which it scales the image.
    np.testing.assert_allclose(seen.heatmaps.numpy(), wanted, atol=0.03)


@pytest.mark.parametrize("other", ["movenet_lightning.onnx", "hourglass.onnx"])
def test_weights_of_another_network_do_not_fit(other: str) -> None:
    with pytest.raises(ValueError, match=r"convolutions before its heatmaps|does not fit"):
        Trunk().load_thunder(cards.WEIGHTS / other)


def test_every_stack_gives_distributions_at_a_quarter_of_the_input() -> None:
    maps = TrunkHourglass(TrunkShape(stacks=2)).eval()(torch.rand(2, 3, 128, 128))
    assert [tuple(m.shape) for m in maps] == [(2, 25, 32, 32)] * 2
    for one in maps:
        torch.testing.assert_close(one.sum((2, 3)), torch.full((2, 25), 2 * np.pi * SIGMA**2), atol=1e-3, rtol=0)


def test_an_untrained_stack_hands_on_what_thunder_says(trunk: Trunk) -> None:
    network = TrunkHourglass(TrunkShape(stacks=1)).eval()
    network.trunk.load_state_dict(trunk.state_dict())
    torch.nn.init.zeros_(network.get_parameter("heads.0.weight"))
    image = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        (maps,), seen = network.logits(image), trunk(image).heatmaps
    # The left ankle of COCO and of MPII, the nose; and the top of the head, which Thunder does not have.
    torch.testing.assert_close(maps[:, 5] - maps[:, 5].mean(), (seen[:, 15] - seen[:, 15].mean()) / 2)
    torch.testing.assert_close(maps[:, 16] - maps[:, 16].mean(), (seen[:, 0] - seen[:, 0].mean()) / 2)
    assert maps[:, 9].std() < 1e-6


def test_a_built_network_has_a_free_batch_and_no_norm_that_could_be_folded(trunk: Trunk, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TrunkHourglass(TrunkShape(stacks=1)).eval()
    network.trunk.load_state_dict(trunk.state_dict())
    export(hourglass.LastHeatmaps(network), torch.zeros(2, 3, 256, 256), tmp_path / "n.onnx", ["image"], ["heatmaps"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "n.onnx").graph.node]
    assert kinds.count("BatchNormalization") == 1  # that of what the stacks are fed
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx")
    images = np.random.default_rng(0).random((3, 3, 256, 256), np.float32)
    together = np.asarray(session.run(None, {"image": images})[0])
    alone = [np.asarray(session.run(None, {"image": image[None]})[0]) for image in images]
    assert together.shape == (3, 25, 64, 64)
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-4)


def test_left_and_right_of_every_joint_belong_together() -> None:
    assert len(MIRROR) == 16 + len(FACE_AND_FEET)
    assert [MIRROR[k] for k in MIRROR] == list(range(25))
    for k, name in enumerate(FACE_AND_FEET, 16):
        twin = {"left": "right", "right": "left"}.get(name.split("_")[0])
        other = name if twin is None else name.replace(name.split("_")[0], twin)
        assert FACE_AND_FEET[MIRROR[k] - 16] == other


# --- Heatmaps that say nothing


def test_a_heatmap_that_is_not_finite_gives_no_score() -> None:
    maps = np.full((3, 16, 16), 0.1, np.float32)
    maps[1, 3, 4] = np.nan
    maps[2] = np.nan
    uv, score = decode(maps)
    assert np.isfinite(score).tolist() == [True, False, False]
    assert np.isfinite(uv[0]).all()


def test_a_heatmap_of_one_value_is_no_joint() -> None:
    """As a distribution its height is that of no joint, wherever it is said to lie."""
    logits = torch.zeros(1, 1, 64, 64)
    maps = (torch.softmax(logits.flatten(2), -1).view_as(logits) * (2 * np.pi * SIGMA**2)).numpy()[0]
    uv, score = decode(maps)
    assert score[0] < 0.01
    assert surety(score, 0.3, 3.2)[0] < 0.05, "as the shipped card has it; it was 0.28 before"
    assert surety(np.array([0.05]), 0.3, 3.2)[0] == pytest.approx(1 / (1 + np.exp(0.8))), "flat as those of people are"
    assert ((uv >= 0) & (uv <= 1)).all()


def test_of_two_equal_peaks_one_answers_and_not_the_middle() -> None:
    yy, xx = np.mgrid[:64, :64] + 0.5
    peaks = [np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * SIGMA**2)) for x, y in ((10.5, 20.5), (50.5, 40.5))]
    maps = np.mean(peaks, 0)
    uv, score = decode(maps[None].astype(np.float32))
    assert min(np.linalg.norm(uv[0] * 64 - peak) for peak in ((10.5, 20.5), (50.5, 40.5))) < 0.1
    assert score[0] == pytest.approx(0.5, abs=0.02)


# --- Augmentation


def scene(rng: np.random.Generator, joint: int, xy: np.ndarray) -> np.ndarray:
    """A canvas with one bright dot where a joint is."""
    canvas = np.zeros((320, 320, 3), np.uint8)
    cv2.circle(canvas, tuple(int(v) for v in np.round(xy[joint] - 0.5)), 7, (255, 255, 255), -1)
    return canvas


def test_what_is_known_of_a_joint_moves_with_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {name: lambda crop, *_: crop for name in ("recolour", "degrade", "cover")}
    for name, nothing in plain.items():
        monkeypatch.setattr(augment, name, nothing)
    for name in ("occlude", "motion_blur", "far_away", "night"):
        monkeypatch.setattr(augment_people, name, lambda crop, *_: crop)
    rng, tried = np.random.default_rng(2), 0
    for _ in range(60):
        xy = rng.uniform(90, 230, (25, 2)).astype(np.float32)
        joint = int(rng.integers(25))
        weight = np.full(25, 0.1)
        weight[joint] = 1
        canvas = scene(rng, joint, xy)
        crop, moved, kept = augment_people.augment(canvas, xy, weight, 256, MIRROR, canvas, rng)
        assert ((moved[kept > 0] > 0) & (moved[kept > 0] < 256)).all()
        (found,) = np.flatnonzero(kept == 1) if (kept == 1).any() else (None,)
        if found is None or crop.max() < 200:
            continue
        assert found in (joint, MIRROR[joint])
        x, y = moved[found]
        if min(x, y) < 12 or max(x, y) > 244:
            continue
        assert crop[int(y), int(x)].min() > 100
        tried += 1
    assert tried > 30


def test_an_edge_through_a_body_leaves_the_rest_in_a_box_of_its_own() -> None:
    rng, cut = np.random.default_rng(0), 0
    for _ in range(40):
        xy, weight = rng.uniform(70, 250, (25, 2)), np.ones(25)
        canvas = np.full((320, 320, 3), 200, np.uint8)
        after, left, middle, side = augment_people.cut_off(canvas, xy, weight, rng)
        assert (canvas == 200).all(), "the canvas on the disk stays as it is"
        if (left == weight).all():
            continue
        cut += 1
        assert augment_people.LEAST <= left.sum() < 25
        inside = np.abs(xy[left > 0] - middle) <= side / 2 + 1e-6
        assert inside.all()
        for joint, (x, y) in enumerate(xy.astype(int)):
            around = after[y - 1 : y + 2, x - 1 : x + 2]
            assert (around == (200 if left[joint] else 0)).any(), "all but the pixels at the very edge"
    assert cut > 25


def test_somebody_with_few_known_joints_is_not_cut() -> None:
    weight = np.zeros(25)
    weight[:5] = 1
    canvas = np.full((320, 320, 3), 200, np.uint8)
    after, left, middle, side = augment_people.cut_off(
        canvas, np.full((25, 2), 160.0), weight, np.random.default_rng(0)
    )
    assert (after == 200).all() and (left == weight).all()
    assert (middle == 160).all() and side == pytest.approx(200)


# --- Labels


def standing(rng: np.random.Generator, people: int) -> np.ndarray:
    """(N, 14, 3) labels of people who stand, 150 px tall, right joints on the left of the image."""
    x = np.array([-14, -13, -10, 10, 13, 14, -32, -28, -16, 16, 28, 32, 0, 0])
    y = np.array([75, 40, 5, 5, 40, 75, 10, -15, -40, -40, -15, 10, -45, -70])
    xy = np.stack([x, y], -1) + rng.normal(0, 2, (people, 14, 2)) + 100
    return np.concatenate([xy, np.ones((people, 14, 1))], -1).astype(np.float32)


def seen_as_labelled(labels: np.ndarray) -> agreement.Looks:
    """What detectors would say that see what the labels say."""
    xy, _ = pseudo_labels.to_mpii(labels)
    coco, blaze = np.zeros((len(labels), 17, 3)), np.zeros((len(labels), 33, 3))
    coco[:, agreement._OF_COCO, :2] = xy[:, agreement._OF_MPII]  # pyright: ignore[reportPrivateUsage]
    coco[..., 2] = 0.8
    coco[:, :5, :2] = xy[:, 9:10] + (0, 15)
    for heel, toe, knee, ankle, own_knee, own_ankle in agreement._LEGS:  # pyright: ignore[reportPrivateUsage]
        blaze[:, [knee, ankle], :2] = xy[:, [own_knee, own_ankle]]
        blaze[:, heel, :2], blaze[:, toe, :2] = xy[:, own_ankle] + (0, 4), xy[:, own_ankle] + (6, 6)
    blaze[..., 2] = 0.9
    return agreement.Looks(coco, coco.copy(), coco.copy(), blaze)


def test_detectors_that_agree_label_the_face_and_the_feet() -> None:
    labels = standing(np.random.default_rng(0), 3)
    looks = seen_as_labelled(labels)
    looks.blaze[1, 27, :2] += 60  # its left ankle is elsewhere
    looks.blaze[2, 32, 2] = 0.1  # it does not see the right toe
    xy, weight, exchanged = agreement.merge(labels, np.array([True, True, False]), looks)
    assert not exchanged.any()
    np.testing.assert_allclose(xy[:, :6], labels[:, :6, :2], atol=1e-3)
    np.testing.assert_allclose(xy[0, 21], labels[0, 5, :2] + (0, 4), atol=1e-3)  # the left heel
    assert (weight[0] > 0).all()
    assert (weight[1, 21:] > 0).tolist() == [False, True, False, True]
    assert (weight[2, 21:] > 0).tolist() == [True, True, True, False]
    assert weight[2, 0] == pytest.approx(agreement.LENT * weight[0, 0])


def test_looks_that_disagree_are_not_sure_and_a_second_detector_makes_a_label_sure() -> None:
    labels = standing(np.random.default_rng(0), 2)
    looks = seen_as_labelled(labels)
    looks.mirrored[0, 9, 0] += 80  # the left wrist in the mirror image
    looks.thunder[:, 15, 0] += 60  # the left ankle, in both
    looks.mirrored[:, 15, 0] += 60
    looks.tiny[1, 15, 2] = 0  # TinyPose confirms only the first person's
    _, score = agreement.agreed(looks.thunder, looks.mirrored, np.full((2, 1), 50.0))
    assert score[0, 9] < 0.5 < score[1, 9]
    _, weight, _ = agreement.merge(labels, np.ones(2, bool), looks)
    assert weight[0, 5] == pytest.approx(agreement.CONFIRMED)
    assert weight[1, 5] < 0.7


def test_people_kept_for_testing_are_not_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "joints.npz"
    source = np.array(["coco/train2017", people.TESTING, "openimages"])
    np.savez(path, joints=standing(np.random.default_rng(0), 3), image_id=np.arange(3), source=source)
    photographs = Photographs(_folder(tmp_path, 3), path)
    assert people.rows(photographs, path).tolist() == [0, 2]
    np.savez(path, joints=standing(np.random.default_rng(0), 3), image_id=np.arange(3), source=source[:2])
    with pytest.raises(UserError, match="source of .* must be 3 words"):
        people.rows(photographs, path)


def test_the_validation_people_are_not_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "joints.npz"
    np.savez(path, joints=standing(np.random.default_rng(0), 9000), image_id=np.arange(9000))
    kept = people.rows(Photographs(_folder(tmp_path, 1), path), path)
    assert len(kept) == 8000
    assert not (kept % 9 == 4).any()


def _folder(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "images"
    folder.mkdir(exist_ok=True)
    for k in range(count):
        picture = np.random.default_rng(k).integers(0, 256, (200, 200, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"im{k:05d}.png"), picture)
    return folder


# --- Training


@pytest.fixture
def few(tmp_path: Path) -> tuple[Path, Path]:
    """A set of 12 people, and a cache in which the detectors have already looked."""
    folder, cache = tmp_path / "set", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    labels = standing(np.random.default_rng(0), 12)
    np.savez(folder / "joints.npz", joints=labels, image_id=np.arange(12), label=np.array(["human"] * 12))
    _folder(folder, 12).rename(folder / "images.tar")  # a folder will do
    digest, looks = Photographs(folder / "images.tar", folder / "joints.npz").digest(), seen_as_labelled(labels)
    for name in ("thunder", "mirrored", "blaze"):
        np.save(cache / f"{name}-{digest}.npy", getattr(looks, name))
    return folder, cache


def test_the_boxes_of_the_canvases_are_where_the_labels_are(few: tuple[Path, Path]) -> None:
    folder, cache = few
    made = people.prepare([(folder / "images.tar", folder / "joints.npz")], cache)
    assert len(made.images) == len(made.xy) == 12
    assert made.images[11].shape == (people.CANVAS, people.CANVAS, 3)
    sets = [(folder / "images.tar", folder / "joints.npz")] * 2
    assert len(people.prepare(sets, cache, repeats=3).xy) == 12 + 36
    middle = made.xy[:, :16].min(1) / 2 + made.xy[:, :16].max(1) / 2
    np.testing.assert_allclose(middle, people.CANVAS / 2, atol=3)


def test_a_training_starts_at_thunder_goes_on_and_is_built(
    few: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = few
    out = tmp_path / "run"
    monkeypatch.setattr(on_thunder, "SETTLE_ON", 4)
    arguments = ["--set", str(folder), "--cache", str(cache), "--out", str(out), "--batch", "2", "--stacks", "1"]
    assert training.main([*arguments, "--minutes", "0.02", "--frozen", "0"]) == 0, capsys.readouterr().err
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 1
    begun, fresh = state["network"], Trunk()
    fresh.load_thunder(THUNDER)
    for name, weight in fresh.state_dict().items():
        apart = (begun[f"trunk.{name}"] - weight).abs().max()
        assert apart < 0.05, name
        early = name.startswith(("first", *(f"blocks.{k}." for k in range(3))))
        assert not (early and apart > 0), name
    longer = str(state["elapsed"] / 60 + 0.05)  # a busy machine took its time over the first step
    assert training.main([*arguments, "--minutes", longer, "--resume"]) == 0, capsys.readouterr().err
    again = torch.load(out / "checkpoint.pt", weights_only=True)
    assert again["step"] > state["step"]
    assert again["settings"]["frozen"] == 0, "a resumed training keeps its settings"
    network, side = checkpoint.rebuild(again, out / "checkpoint.pt")
    assert isinstance(network, TrunkHourglass) and side == 256
    assert hourglass.read(out / "checkpoint.pt")[1]["crops"] == 2 * again["step"]
    assert training.main(arguments) == 2
    assert "--resume" in capsys.readouterr().err


def test_the_deepest_blocks_are_trained_and_the_rest_of_the_trunk_is_not_and_two_trainings_are_averaged(
    few: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = few
    monkeypatch.setattr(on_thunder, "SETTLE_ON", 4)
    sets = ["--set", str(folder), "--cache", str(cache)]
    deep = [*sets, "--out", str(tmp_path / "deep"), "--batch", "2", "--stacks", "1", "--minutes", "0.02"]
    assert training.main([*deep, "--deep-rate", "1e-3", "--beyond", "3"]) == 0, capsys.readouterr().err
    state, fresh = torch.load(tmp_path / "deep" / "checkpoint.pt", weights_only=True), Trunk()
    fresh.load_thunder(THUNDER)
    tuned = {id(weights) for weights in fresh.deep_parameters()}
    for name, weights in fresh.named_parameters():
        size = float(weights.detach().square().mean().sqrt())
        moved = float((state["network"][f"trunk.{name}"] - weights.detach()).abs().max())
        assert (moved == 0) if id(weights) not in tuned else 0 < moved < 1.2e-3 * state["step"] * max(size, 1e-3), name
    other = tmp_path / "other.pt"
    moved_on = {k: v + 0.1 if v.is_floating_point() else v for k, v in state["averaged"].items()}
    torch.save(state | {"averaged": moved_on}, other)
    of = ["--of", str(tmp_path / "deep" / "checkpoint.pt"), "3", "--of", str(other), "1"]
    assert average.main([*of, *sets, "--out", str(tmp_path / "mean")]) == 0, capsys.readouterr().err
    mean = torch.load(tmp_path / "mean" / "checkpoint.pt", weights_only=True)
    name = "heads.0.weight"
    torch.testing.assert_close(mean["averaged"][name], state["averaged"][name] + 0.025, atol=1e-5, rtol=0)
    assert "checkpoint.pt 0.75" in mean["origin"] and hourglass.read(tmp_path / "mean" / "checkpoint.pt")[1]["crops"]
    capsys.readouterr()
    assert "above 0" in refused(capsys, average.main, "average", *of[:-1], "0", *sets, "--out", tmp_path / "x")


def test_what_lies_further_than_a_fifth_of_a_torso_counts() -> None:
    xy = torch.zeros(1, 25, 2) + 32.0
    xy[0, 3], xy[0, 12] = torch.tensor([32.0, 42.0]), torch.tensor([32.0, 22.0])  # a torso of 20 cells
    weight = torch.ones(1, 25)
    near, far = (torch.full((1, 25, 64, 64), -30.0) for _ in range(2))
    for k in range(25):
        x, y = (int(v) for v in xy[0, k])
        near[0, k, y, x + 2] = far[0, k, y, x - 7] = 30.0
    assert on_thunder.beyond([near], xy, weight).item() < 0.02
    assert on_thunder.beyond([far], xy, weight).item() > 0.98
    assert on_thunder.beyond([near, far], xy, weight).item() == pytest.approx(1, abs=0.04), "every stack counts"
    assert on_thunder.beyond([far], xy, 0 * weight).item() == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--set", "nowhere"], "nowhere"),
        (["--minutes", "0"], "--minutes 0.0: it is more than 0"),
        (["--minutes", "nan"], "--minutes nan"),
        (["--batch", "1"], "--batch 1: it is 2 at least"),
        (["--stacks", "0"], "--stacks 0"),
        (["--rate", "-1"], "--rate -1"),
        (["--resume"], "train without --resume first"),
        (["--tinypose", "nowhere.onnx"], "nowhere.onnx"),
        (["--deep-rate", "1e-4", "--frozen", "0.5"], "give one"),
        (["--deep-rate", "-1"], "--deep-rate -1.0: it is 0 at least"),
    ],
)
def test_mistakes_are_told_in_a_line(
    flags: list[str], says: str, few: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = few
    sets = [] if "--set" in flags else ["--set", folder]
    out = tmp_path / "out"
    assert says in refused(capsys, training.main, "train_on_thunder", *sets, "--cache", cache, "--out", out, *flags)
