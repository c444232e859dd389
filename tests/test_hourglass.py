"""The stacked hourglass and its training: shapes, targets, augmentation, merged labels, a training that learns."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from calibration.errors import UserError
from engines.detectors.hourglass import decode
from engines.models.hourglass import HourglassShape, StackedHourglass
from engines.skeleton import LIMBS, MPII
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import augment, crops, pseudo_labels, train
from engines.training.detector.train import HourglassSettings, command, heatmap_loss, pck, targets
from engines.training.detector.widen import widened

RIGHT_ARM, LEFT_ARM = [10, 11, 12], [15, 14, 13]
pytestmark = pytest.mark.usefixtures("one_thread")
COLOURS = np.random.default_rng(5).integers(60, 256, (14, 3))


@pytest.mark.parametrize("side", [64, 96, 192])
def test_every_stack_gives_heatmaps_at_a_quarter_of_the_input(side: int) -> None:
    network = StackedHourglass(HourglassShape(stacks=3, features=16))
    maps = network(torch.rand(2, 3, side, side))
    assert [tuple(m.shape) for m in maps] == [(2, 16, side // 4, side // 4)] * 3


def test_a_heatmap_is_one_at_a_joint_that_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    network = StackedHourglass(HourglassShape(stacks=1, features=16)).eval()
    wanted = targets(torch.full((1, 16, 2), 8.0), 16)
    monkeypatch.setattr(network, "logits", lambda _: [wanted.clamp(min=1e-9).log()])  # what training aims at
    maps = network(torch.zeros(1, 3, 64, 64))[0]
    torch.testing.assert_close(maps, wanted, atol=0.02, rtol=0)


def test_later_stacks_see_the_heatmaps_of_earlier_ones() -> None:
    network = StackedHourglass(HourglassShape(stacks=2, features=16)).eval()
    image = torch.rand(1, 3, 64, 64)
    before = network.logits(image)
    with torch.no_grad():
        network.get_parameter("merge_heatmaps.0.weight").add_(1.0)
        network.get_parameter("heads.0.bias").add_(1.0)
    after = network.logits(image)
    assert torch.allclose(after[0], before[0] + 1, atol=1e-5)
    assert not torch.allclose(after[1], before[1], atol=1e-3)


def test_targets_decode_to_the_joints_they_were_made_of() -> None:
    xy = torch.from_numpy(np.random.default_rng(0).uniform(4, 44, (3, 16, 2))).float()
    maps = targets(xy, 48)
    for person in range(3):
        uv, height = decode(maps[person].numpy())
        np.testing.assert_allclose(uv * 48, xy[person], atol=0.02)
        assert (height > 0.8).all()


def test_a_joint_is_where_most_of_the_heatmap_is_and_not_its_highest_cell() -> None:
    heatmap = targets(torch.tensor([[[40.0, 20.0]]]), 64)[0].numpy().astype(np.float64)
    heatmap[0, 50, 10] = 1.3  # one cell, higher than the top of what is nine times as much
    uv, height = decode(heatmap)
    assert uv[0] * 64 == pytest.approx([40.0, 20.0], abs=0.05)
    assert height[0] == 1  # as high as it is anywhere, clipped


def test_the_loss_counts_every_stack_and_no_unknown_joint() -> None:
    target = targets(torch.full((2, 16, 2), 4.0), 8)
    weight = torch.zeros(2, 16)
    unsure = torch.zeros(2, 16, 8, 8)
    unsure[0, 5, 1, 1] = 100.0  # sure, and wrong
    assert heatmap_loss([unsure, unsure], target, weight) == 0
    weight[0, 3] = 1
    assert heatmap_loss([unsure, unsure], target, weight).item() == pytest.approx(2 * np.log(64) / 32, rel=1e-4)
    right = target.clamp(min=1e-9).log()
    assert heatmap_loss([right], target, weight).item() < 0.9 * np.log(64) / 32


# --- Augmentation


def test_the_plain_map_shows_the_box_and_the_mirrored_the_mirror_image() -> None:
    """A dot in the canvas is where the map says, in the crop and in its mirror image."""
    rng = np.random.default_rng(1)
    xy = rng.uniform(80, 230, (16, 2)).astype(np.float32)
    plain = augment.affine(307, 192)
    np.testing.assert_allclose(plain[:, :2] * 307 / augment.CONTEXT, np.eye(2) * 192)
    np.testing.assert_allclose(plain[:, :2] @ (153.5, 153.5) + plain[:, 2], (96, 96))
    for _ in range(20):
        matrix = augment.draw_affine(307, 192, rng)
        moved = xy @ matrix[:, :2].T + matrix[:, 2]
        inside = ((moved > 14) & (moved < 178)).all(1)
        for joint in np.flatnonzero(inside)[:3]:
            canvas = np.zeros((307, 307, 3), np.uint8)
            yy, xx = np.mgrid[:307, :307] + 0.5
            spot = np.exp(-((xx - xy[joint, 0]) ** 2 + (yy - xy[joint, 1]) ** 2) / (2 * 2.5**2))
            canvas[:] = (255 * spot[..., None]).astype(np.uint8)
            crop = augment.warp(canvas, matrix, 192)
            np.testing.assert_allclose(centroid(crop), moved[joint], atol=0.1)
            weight = np.arange(16.0)
            mirrored, xy2, weight2 = augment.mirror(crop, moved, weight)
            other = pseudo_labels.MIRROR[joint]
            np.testing.assert_allclose(centroid(mirrored), xy2[other], atol=0.1)
            assert weight2[other] == joint


def centroid(crop: np.ndarray) -> np.ndarray:
    mass = crop[..., 0].astype(float)
    yy, xx = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
    return np.array([(xx * mass).sum(), (yy * mass).sum()]) / mass.sum()


def test_augmented_crops_are_the_same_again_for_the_same_epoch_and_index() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 102, 102, 3), dtype=np.uint8)
    people = crops.Crops(images, np.full((2, 16, 2), 50, np.float32), np.ones((2, 16), np.float32), "")
    varied = crops.Varied(people, 64, seed=3)
    first, again = varied[1], varied[1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    varied.epoch = 1
    assert not np.array_equal(varied[1][1], first[1])


# --- Labels


def person(rng: np.random.Generator) -> np.ndarray:
    """(14, 3) labels of somebody who stands, 150 px tall, right joints on the left of the image."""
    x = np.array([-14, -13, -10, 10, 13, 14, -32, -28, -16, 16, 28, 32, 0, 0])
    y = np.array([75, 40, 5, 5, 40, 75, 10, -15, -40, -40, -15, 10, -45, -70])
    xy = np.stack([x, y], -1) + rng.normal(0, 2, (14, 2)) + 100
    return np.concatenate([xy, np.ones((14, 1))], -1).astype(np.float32)


def test_labels_exchanged_by_mistake_are_put_right_and_others_stay() -> None:
    truth = np.stack([person(np.random.default_rng(i)) for i in range(4)])
    xy, _ = pseudo_labels.to_mpii(truth)
    score = np.where(np.isin(np.arange(16), [6, 7, 8, 9]), 0, 0.8)[None].repeat(4, 0)
    labels = truth.copy()
    labels[1, [6, 7, 8, 11, 10, 9]] = truth[1, [11, 10, 9, 6, 7, 8]]  # the arms
    labels[2, [0, 1, 2, 5, 4, 3]] = truth[2, [5, 4, 3, 0, 1, 2]]  # the legs
    merged, weight, exchanged = pseudo_labels.merge(labels, xy, score)
    assert exchanged.tolist() == [[False, False], [True, False], [False, True], [False, False]]
    known = [*np.array(MPII.source)[list(LIMBS)], 8, 9]
    np.testing.assert_allclose(merged[:, known], xy[:, known], atol=1e-3)
    np.testing.assert_allclose(merged[:, 6], (xy[:, 2] + xy[:, 3]) / 2, atol=1e-3)
    assert (weight == 1).all()


def test_an_unsure_teacher_exchanges_nothing() -> None:
    truth = person(np.random.default_rng(0))[None]
    xy, _ = pseudo_labels.to_mpii(truth)
    labels = truth.copy()
    labels[0, [6, 7, 8, 11, 10, 9]] = truth[0, [11, 10, 9, 6, 7, 8]]
    assert not pseudo_labels.merge(labels, xy, np.full((1, 16), 0.2))[2].any()


def test_trust_follows_agreement() -> None:
    labels = person(np.random.default_rng(0))[None]
    xy, _ = pseudo_labels.to_mpii(labels)
    score = np.full((1, 16), 0.8)
    found = xy.copy()
    found[0, 10] += 4  # right wrist: a little off: the middle of both
    found[0, 15] += 60  # left wrist: elsewhere, and sure
    found[0, 0] += 60  # right ankle: elsewhere, and unsure
    score[0, 0] = 0.35
    labels[0, 5, 2] = 0  # left ankle: not labelled, the teacher sees it
    labels[0, 4, 2] = 0  # left knee: neither
    score[0, 4] = 0.1
    merged, weight, _ = pseudo_labels.merge(labels, found, score)
    np.testing.assert_allclose(merged[0, 10], xy[0, 10] + 2, atol=1e-4)
    np.testing.assert_allclose(merged[0, 15], xy[0, 15])
    assert weight[0, [10, 15, 0, 5, 4]] == pytest.approx([1, 0.6, 0.65, 0.4, 0])


# --- Training


def draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture in which every joint is a disk of a colour of its own."""
    image = rng.integers(0, 40, (200, 200, 3)).astype(np.uint8)
    for (x, y, _), colour in zip(labels, COLOURS, strict=True):
        cv2.circle(image, (int(x), int(y)), 6, [int(c) for c in colour], -1)
    return image


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    labels = np.stack([person(rng) for _ in range(72)])
    labels[:, :, :2] += rng.uniform(-12, 12, (72, 1, 2)) + rng.normal(0, 6, (72, 14, 2))
    with tarfile.open(folder / "images.tar", "w") as tar:
        for i, of in enumerate(labels):
            data = cv2.imencode(".jpg", draw(of, rng))[1].tobytes()
            member = tarfile.TarInfo(f"images/im{i:05d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    np.savez(folder / "joints.npz", joints=labels.astype(np.float32), image_id=np.arange(72, dtype=np.int32))
    return folder / "images.tar", folder / "joints.npz"


def teach(photographs: tuple[Path, Path], folder: Path) -> None:
    """Leave the answers of a teacher who sees what the labels say, so that no network is asked."""
    read = Photographs(*photographs)
    xy, seen = pseudo_labels.to_mpii(read.joints)
    sha256 = pseudo_labels.cards.load_card(pseudo_labels.cards.WEIGHTS / "movenet_thunder.onnx").sha256
    np.savez(folder / "pseudo_labels.npz", xy=xy, score=np.where(seen, 0.9, 0), of=f"{sha256} {read.digest()}")


def test_validation_photographs_are_never_trained_on(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    read = Photographs(*photographs)
    teach(photographs, tmp_path)
    people = crops.training(read, tmp_path, 64)
    assert len(people.images) == len(people.xy) == 64
    images, labels = crops.validation(read, 64, 1000)
    assert len(images) == 8
    held_out = [i for i in range(72) if lspet.validation(i)]
    assert held_out == list(range(4, 72, 9))
    # A disk is in the canvas where its label is.
    first = people.images[0].astype(int)
    x, y = np.round(people.xy[0, MPII.source[LIMBS[0]]] - 0.5).astype(int)
    assert first[y, x].max() > 60
    assert labels[:, [*range(6), *range(8, 16)], 2].all()


@pytest.mark.slow
@pytest.mark.timeout(600)  # 20 s of a core that is free
def test_a_training_learns_and_goes_on_where_it_stopped(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    """Coloured disks are found by a small network in half a minute."""
    settings = HourglassSettings(stacks=1, features=32, size=64, small_size=64, epochs=24, batch=8, rate=4e-3,
                        average=0.9,
                        precision="float32")  # fmt: skip
    teach(photographs, tmp_path)
    train.train(settings, *photographs, tmp_path, stop_after=0.0)
    log = (tmp_path / "log.tsv").read_text().splitlines()
    assert len(log) == 2
    network = train.train(settings, *photographs, tmp_path, resume=True, changes={"weight_decay": 1e-3})
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["optimiser"]["param_groups"][0]["weight_decay"] == 1e-3
    log = (tmp_path / "log.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in log] == ["epoch", *map(str, range(1, 25))]
    images, labels = crops.validation(Photographs(*photographs), 64, 1000)
    reached = pck(train.predict(network, images)[0], labels)
    untrained = pck(train.predict(StackedHourglass(network.shape), images)[0], labels)
    assert untrained < 20
    assert reached > 35
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("training", [True, False])
def test_a_widened_network_computes_what_the_narrow_one_does(training: bool) -> None:
    torch.manual_seed(3)
    narrow = StackedHourglass(HourglassShape(stacks=2, features=64)).train(training)
    wide = widened(narrow, 192).train(training)
    image = torch.rand(3, 3, 64, 64)
    for ours, theirs in zip(wide.logits(image), narrow.logits(image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3 * theirs.abs().max().item(), rtol=0)


def test_the_copies_of_a_channel_part_in_training() -> None:
    wide = widened(StackedHourglass(HourglassShape(stacks=1, features=64)), 128)
    weight = wide.get_parameter("after.0.3.weight")
    heatmap_loss(wide.logits(torch.rand(2, 3, 64, 64)), torch.rand(2, 16, 16, 16), torch.ones(2, 16)).backward()
    assert weight.grad is not None
    first, second = weight.grad.chunk(2, 0)
    assert not torch.allclose(first, second, rtol=0.1)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [(64, 64, "no multiple of the 64"), (64, 96, "no multiple of the 64"), (32, 64, "from 64 up"), (66, 132, "of 4")],
)
def test_what_cannot_be_widened_is_refused(before: int, after: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        widened(StackedHourglass(HourglassShape(stacks=1, features=before)), after)


def test_a_training_begins_with_a_narrower_network(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    narrow, wide = tmp_path / "narrow", tmp_path / "wide"
    settings = HourglassSettings(stacks=1, features=64, size=64, small_size=64, epochs=1, batch=8, precision="float32")
    for out in (narrow, wide):
        out.mkdir()
        teach(photographs, out)
    train.train(settings, *photographs, narrow)
    state = torch.load(narrow / "checkpoint.pt", weights_only=True)
    still = replace(settings, features=128, rate=0.0, weight_decay=0.0)
    train.train(still, *photographs, wide, widen=narrow / "checkpoint.pt")
    after = torch.load(wide / "checkpoint.pt", weights_only=True)["averaged"]
    assert torch.load(wide / "checkpoint.pt", weights_only=True)["origin"] == "1 x 64 at 64 px, 1 epochs"
    torch.testing.assert_close(after["heads.0.bias"], state["averaged"]["heads.0.bias"])
    torch.testing.assert_close(after["stem.0.weight"], state["averaged"]["stem.0.weight"].repeat(2, 1, 1, 1))
    with pytest.raises(UserError, match="has 1 stacks, this training 2"):
        train.train(replace(still, stacks=2), *photographs, tmp_path, widen=narrow / "checkpoint.pt")


def test_the_command_of_a_training_names_what_is_not_the_default() -> None:
    assert command(HourglassSettings()) == "python -m engines.training.detector.train"
    given = command(HourglassSettings(features=128, small_share=1.0), "2 x 64 at 128 px, 81 epochs")
    assert given == (
        "python -m engines.training.detector.train --features 128 --small-share 1.0 "
        "--widen CHECKPOINT (2 x 64 at 128 px, 81 epochs)"
    )


def test_what_stands_where_no_joint_was_labelled_does_not_matter() -> None:
    labels = np.ones((2, 14, 3), np.float32)
    labels[0, 3] = np.nan, np.nan, 0
    xy, seen = pseudo_labels.to_mpii(labels)
    assert np.isfinite(xy).all()
    assert not seen[0].all() and seen[1, seen[0]].all()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--images", "nowhere.tar"], "nowhere.tar"),
        (["--size", "100"], "multiples of 64"),
        (["--resume"], "train without --resume first"),
        (["--batch", "1000"], "only 64 photographs"),
        (["--batch", "0"], "--batch 0: it is 1 at least"),
        (["--stacks", "0"], "--stacks 0"),
        (["--size", "0"], "--size 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--precision", "bf16"], "one of auto, float32, bfloat16"),
        (["--widen", "nowhere.pt"], "nowhere.pt"),
        (["--widen", "nowhere.pt", "--resume"], "give one of them"),
    ],
)
def test_mistakes_get_one_line(
    flags: list[str], says: str, photographs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--out", str(tmp_path), "--images", str(photographs[0]), "--joints", str(photographs[1]), "--size", "64",
             "--small-size", "64"]  # fmt: skip
    teach(photographs, tmp_path)
    assert train.main([*given, *flags]) == 2
    error = capsys.readouterr().err
    assert says in error
    # Progress bars end in a carriage return or a line of their own.
    assert sum(line.startswith("engines.training.detector.train:") for line in error.splitlines()) == 1
    assert "Traceback" not in error
