"""Evaluation of 2D detectors: figures known beforehand, files of the true layout, mistakes, real photographs."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.evaluation import detector as evaluate_detector
from engines.training.evaluation import detector_trials
from engines.types import Detection, EngineError, empty_detection
from tests.labelled import people, perfect
from tests.mistakes import refused

LIMB = list(LIMBS)


# Files of the true layout.


def photograph(seed: int) -> np.ndarray:
    """A smooth (340, 260, 3) picture, which JPEG keeps."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (260, 340)), np.uint8)


def write(folder: Path, joints: np.ndarray, ids: list[int]) -> tuple[Path, Path]:
    """The tar and the npz of these people, photograph(id) for each."""
    images, labels = folder / "images.tar", folder / "joints.npz"
    with tarfile.open(images, "w") as tar:
        for number in ids:
            data = cv2.imencode(".jpg", photograph(number))[1].tobytes()
            info = tarfile.TarInfo(f"im{number:05d}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    np.savez(labels, joints=joints.astype(np.float32), image_id=np.array(ids, np.int32))
    return images, labels


def test_reads_a_tar_and_a_folder(tmp_path: Path) -> None:
    ids = [7, 3, 12000]
    images, labels = write(tmp_path, people(3), ids)
    packed = Photographs(images, labels)
    with tarfile.open(images) as tar:
        tar.extractall(tmp_path / "images", filter="data")
    unpacked = Photographs(tmp_path / "images", labels)
    assert len(packed) == 3
    for row, number in enumerate(ids):
        assert np.abs(packed.read(row).astype(int) - photograph(number)).mean() < 3
        np.testing.assert_array_equal(packed.read(row), unpacked.read(row))
    np.testing.assert_array_equal(packed.joints, people(3).astype(np.float32))


def test_the_true_box() -> None:
    joints = people(1)[0]
    # Columns 20 to 200, rows 50 to 300: 250 high, padded to 325, around (110, 175).
    assert lspet.box(joints) == Box(-52, 13, 325, 325)
    joints[13, 2] = 0
    joints[12, 2] = 0
    assert lspet.box(joints) == Box(-20, 70, 260, 260)
    joints[1:, 2] = 0
    with pytest.raises(EngineError, match="1 visible joints has no box"):
        lspet.box(joints)


def test_what_is_never_trained_on() -> None:
    held_out = [row for row in range(9000) if lspet.validation(row)]
    assert len(held_out) == 1000
    assert (held_out[0], held_out[-1]) == (4, 8995)


def test_subsets(tmp_path: Path) -> None:
    few = Photographs(*write(tmp_path, people(20), list(range(1, 21))))
    assert evaluate_detector.rows(few, None) == list(range(20))
    assert evaluate_detector.rows(few, "first:3") == [0, 1, 2]
    assert evaluate_detector.rows(few, "validation") == [4, 13]
    many = people(9000)
    many[13, 8, 2] = 0
    np.savez(tmp_path / "joints.npz", joints=many, image_id=np.arange(9000))
    full = Photographs(tmp_path / "images.tar", tmp_path / "joints.npz")
    assert len(evaluate_detector.rows(full, None)) == 999, "without the one that has no torso"
    assert evaluate_detector.rows(full, "first:3") == [4, 22, 31]
    assert len(evaluate_detector.rows(full, "all")) == 8999


def test_people_of_one_source(tmp_path: Path) -> None:
    images, labels = write(tmp_path, people(4), [1, 2, 3, 4])
    photographs = Photographs(images, labels)
    with pytest.raises(EngineError, match=r"--source b: nobody in .* its sources: none named"):
        evaluate_detector.of_source(labels, 4, "b")
    np.savez(labels, joints=photographs.joints, image_id=[1, 2, 3, 4], source=["a", "b", "a", "b"])
    assert evaluate_detector.rows(photographs, None, evaluate_detector.of_source(labels, 4, "b")) == [1, 3]
    assert evaluate_detector.rows(photographs, "first:1", evaluate_detector.of_source(labels, 4, "b")) == [1]
    with pytest.raises(EngineError, match=r"--source c: nobody in .* its sources: a, b"):
        evaluate_detector.of_source(labels, 4, "c")


# Running: detectors whose answers are known.


class Given:
    """Answers with the labels, off by some pixels; without a box, only every other image has a person."""

    name = "given"

    def __init__(self, xy: np.ndarray, off: float) -> None:
        self.xy, self.off, self.boxes, self.looks = xy, off, [], 0

    def estimate(self, image, box):
        self.boxes.append(box)
        return self.xy[len(self.boxes) - 1] + (self.off, 0), np.ones(17), np.zeros(17, bool)

    def session(self):
        return self

    def reset(self) -> None:
        pass

    def __call__(self, image, t: float) -> Detection:
        self.looks += 1
        if self.looks % 2:
            return empty_detection(self.name)
        return Detection(
            self.xy[self.looks - 1].astype(np.float32), np.ones(17, np.float32), np.zeros(17, bool), "given"
        )

    def describe(self) -> Mapping[str, str]:
        return {"model": "none"}


BLUE = (255, 0, 0)


class Dot:
    """Only finds, by itself, the blue dot in an image; the second look of a session is wrong."""

    name = "dot"

    def session(self):
        return Dot()

    def reset(self) -> None:
        self.looked = False

    def __call__(self, image, t: float) -> Detection:
        if self.looked:
            return empty_detection(self.name)
        self.looked = True
        row, column = np.argwhere((image.astype(int) - BLUE == 0).all(-1))[0]
        return Detection(
            np.full((17, 2), (column, row), np.float32), np.ones(17, np.float32), np.zeros(17, bool), "dot"
        )

    def describe(self) -> Mapping[str, str]:
        return {"model": "none"}


def test_known_answers_through_the_whole_evaluation(tmp_path: Path) -> None:
    joints = people(4)
    photographs = Photographs(*write(tmp_path, joints, [1, 2, 3, 4]))
    xy = np.nan_to_num(perfect(joints))
    detectors = {"exact": Given(xy, 0), "off": Given(xy, 25)}
    results = evaluate_detector.evaluate(detectors, photographs, range(4))
    assert results["exact"]["pck_0.2"] == 100
    assert results["off"]["pck_0.2"] == 0
    for name, given in detectors.items():
        assert given.boxes == [lspet.box(one) for one in joints]
        full = results[name]["full_image"]
        assert (full["found"], full["pck_0.2"], full["by_joint"]["right_hip"]["pck_0.2"]) == (50, 50, 50)
        assert results[name]["images"] == 4
        assert results[name]["ms"] >= 0
    assert results["off"]["to_first"] == {"pck_0.2": -100, "se": 0}
    text = evaluate_detector.markdown(results)
    assert "that of exact on the same people: off -100.0 ± 0.0." in text
    assert "| exact | 100.0 | 0.0 | 100.0 |" in text
    assert json.loads(json.dumps(results)) == results


def test_a_detector_without_boxes_is_shown_the_box_alone(tmp_path: Path) -> None:
    images, labels = write(tmp_path, people(1), [1])
    picture = photograph(1) // 2
    picture[180, 80] = BLUE
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "im00001.png"), picture)
    trial = detector_trials.run({"dot": Dot()}, Photographs(tmp_path / "images", labels), [0])["dot"]
    for found in (trial.in_box, trial.in_image):
        np.testing.assert_allclose(found, np.broadcast_to((80, 180), (1, 17, 2)))


# Mistakes: one line each.


def fails(capsys: pytest.CaptureFixture, images: Path, labels: Path, *flags: str) -> str:
    flags = flags or ("--detector", "movenet-lightning")
    where = "--images", images, "--joints", labels
    return refused(capsys, evaluate_detector.main, "evaluate_detector", *where, *flags)


def test_mistakes_in_the_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images, labels = write(tmp_path, people(2), [1, 2])
    assert "nothing.tar cannot be read (No such file" in fails(capsys, tmp_path / "nothing.tar", labels)
    assert "nothing.npz cannot be read (No such file" in fails(capsys, images, tmp_path / "nothing.npz")
    assert "not a tar or a folder" in fails(capsys, labels, labels)
    assert "is not an npz" in fails(capsys, images, images)
    (tmp_path / "empty").mkdir()
    assert "no photographs named imNNNNN.jpg" in fails(capsys, tmp_path / "empty", labels)
    packed = tmp_path / "images.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(labels)
    assert "compressed with gzip" in fails(capsys, packed, labels)
    joints, other = people(2), tmp_path / "other.npz"
    for arrays, said in (
        ({"poses": joints}, "lacks 'joints'"),
        ({"joints": joints}, "lacks 'image_id'"),
        ({"joints": joints.transpose(2, 1, 0), "image_id": [1, 2]}, "they must be numbers (N, 14, 3)"),
        ({"joints": joints, "image_id": [1, 2, 3]}, "it must be 2 integers"),
        ({"joints": joints * np.where(np.arange(28).reshape(2, 14, 1) == 20, np.nan, 1), "image_id": [1, 2]}, "row 1"),
        ({"joints": joints * (1, 1, 0), "image_id": [1, 2]}, "labelled torso"),
    ):
        np.savez(other, **arrays)
        assert said in fails(capsys, images, other)
    np.savez(other, joints=np.array([{}], object), image_id=[1])
    assert "is not an npz" in fails(capsys, images, other)


def test_mistakes_in_the_photographs(tmp_path: Path) -> None:
    images, labels = write(tmp_path, people(2), [1, 2])
    np.savez(labels, joints=people(2), image_id=[1, 3])
    with pytest.raises(EngineError, match=r"has no im00003\.jpg, which the joints file names"):
        Photographs(images, labels).read(1)
    with tarfile.open(images) as tar:
        tar.extractall(tmp_path / "images", filter="data")
    damaged = tmp_path / "images" / "im00001.jpg"
    for data in (b"", b"not a picture", damaged.read_bytes()[:400]):
        damaged.write_bytes(data)
        with pytest.raises(EngineError, match=r"im00001\.jpg of .* is damaged"):
            Photographs(tmp_path / "images", labels).read(0)
    images.write_bytes(images.read_bytes()[:3000])
    with pytest.raises(EngineError, match=r"im00001\.jpg of .* is damaged|are not a tar"):
        Photographs(images, labels).read(0)


def test_mistakes_in_the_flags(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images, labels = write(tmp_path, people(2), [1, 2])
    one = ("--detector", "movenet-lightning")
    assert "unknown detector 'openpose'; there are hourglass" in fails(capsys, images, labels, "--detector", "openpose")
    assert "no detector was asked for" in fails(capsys, images, labels, "--detector", ",")
    assert "there are validation, all and first:N" in fails(capsys, images, labels, *one, "--subset", "some")
    assert "does not say how many" in fails(capsys, images, labels, *one, "--subset", "first:0")
    assert "there is no folder" in fails(capsys, images, labels, *one, "--json", str(tmp_path / "no" / "a.json"))
    missing = ("--detector", "hourglass", "--weights", str(tmp_path / "none.onnx"))
    assert "none.onnx cannot be read" in fails(capsys, images, labels, *missing)


def test_the_plot_says_what_it_cannot(tmp_path: Path) -> None:
    joints = people(3)
    photographs = Photographs(*write(tmp_path, joints, [1, 2, 3]))
    results = evaluate_detector.evaluate({"exact": Given(np.nan_to_num(perfect(joints)), 0)}, photographs, range(3))
    evaluate_detector.plot(tmp_path / "plot.png", results)
    assert cv2.imread(str(tmp_path / "plot.png")).std() > 10
    with pytest.raises(EngineError, match=r"a name that ends in \.png"):
        evaluate_detector.plot(tmp_path / "plot.docx", results)
    results["exact"]["pck_0.2"] = None
    with pytest.raises(EngineError, match="nothing to plot"):
        evaluate_detector.plot(tmp_path / "plot.png", results)


# Real ones.


def test_real_photographs_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture, data_folder: Path) -> None:
    folder = data_folder / "lspet"
    flags = ["--images", str(folder / "images.tar"), "--joints", str(folder / "joints.npz"), "--subset", "first:12"]
    # By name: "auto" would first measure which is the fastest.
    flags += ["--runtime", "onnx", "--precision", "fp32", "--threads", "1"]
    out = tmp_path / "out.json"
    done = evaluate_detector.main([*flags, "--detector", "movenet-lightning", "--json", str(out)])
    assert done == 0
    results = json.loads(out.read_text())
    row = results["movenet-lightning"]
    assert set(results) == {"movenet-lightning"}
    assert row["images"] == 12
    # 60 per cent over all; far from 12 photographs of chance, and of a wrong joint order or a shifted box.
    assert 40 < row["pck_0.2_all"] < 90
    assert 40 < row["full_image"]["pck_0.2_all"] < 90
    assert row["swap_rate"] < 25
    assert row["full_image"]["found"] > 60
    assert 0 < row["ms"] < row["full_image"]["ms"]
    assert row["ran"]["model"] == "movenet_lightning.onnx"
    assert "| movenet-lightning |" in capsys.readouterr().out


def test_a_checkpoint_of_the_hourglass(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch = pytest.importorskip("torch", reason="training needs torch")
    from engines.models.hourglass import HourglassShape, StackedHourglass

    shape = {"stacks": 1, "features": 16, "joints": 16, "depth": 2}
    network = StackedHourglass(HourglassShape(**shape))
    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"settings": {**shape, "size": 64}, "averaged": network.state_dict()}, checkpoint)
    images, labels = write(tmp_path, people(2), [1, 2])
    base = ["--images", str(images), "--joints", str(labels), "--runtime", "onnx"]
    base += ["--detector", "hourglass", "--weights"]
    assert evaluate_detector.main([*base, str(checkpoint), "--json", str(tmp_path / "out.json")]) == 0
    row = json.loads((tmp_path / "out.json").read_text())["hourglass"]
    assert row["images"] == 2
    assert row["ran"]["threads"] == "2"
    assert row["pck_0.2"] < 50, "it has never been trained"
    capsys.readouterr()
    torch.save({"settings": {**shape, "size": 64, "features": 32}, "averaged": network.state_dict()}, checkpoint)
    assert evaluate_detector.main([*base, str(checkpoint)]) == 2
    assert "is not a checkpoint of the hourglass" in capsys.readouterr().err
    checkpoint.write_bytes(b"nothing")
    assert evaluate_detector.main([*base, str(checkpoint)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
