"""Runtimes and model cards: what is loaded is what the card says, and a broken file is one clear line."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines import cards, runtimes
from engines.types import EngineError

CARDS = sorted(cards.WEIGHTS.glob("*.toml"))


def write_card(path: Path, sha256: str | None = None, extra: str = "") -> Path:
    """A card beside ``path``, by default with its true sha256."""
    found = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    card = path.with_suffix(".toml")
    card.write_text(
        f'source = "made here"\nlicence = "MIT"\nsha256 = "{found}"\njoints = "none"\ninput = "float (n, 2)"\n{extra}'
    )
    return card


@pytest.fixture
def affine(tmp_path: Path) -> Path:
    """y = 3 x + 1, any batch of two numbers, and its card."""
    value = helper.make_tensor_value_info
    three, one = (helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("three", 3.0), ("one", 1.0)))
    nodes = [helper.make_node("Mul", ["x", "three"], ["z"]), helper.make_node("Add", ["z", "one"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "affine",
        [value("x", TensorProto.FLOAT, ["n", 2])],
        [value("y", TensorProto.FLOAT, ["n", 2]), value("z", TensorProto.FLOAT, ["n", 2])],
        [three, one],
    )
    path = tmp_path / "affine.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    write_card(path, extra="[values]\ntemperature = 1.5\n")
    return path


@pytest.mark.parametrize("name", ["auto", *runtimes.names()])
@pytest.mark.parametrize("threads", [1, 2])
def test_runs_named_arrays(affine: Path, name: str, threads: int) -> None:
    runtime = runtimes.load(affine, name, threads)
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    out = runtime(x=x)
    assert sorted(out) == ["y", "z"]
    np.testing.assert_allclose(out["y"], 3 * x + 1, rtol=1e-6)
    np.testing.assert_allclose(out["z"], 3 * x, rtol=1e-6)
    said = runtime.describe()
    assert said["sha256"] == hashlib.sha256(affine.read_bytes()).hexdigest()
    assert said["model"] == "affine.onnx"
    assert said["device"] in ("cpu", "cuda")


def test_nothing_is_reported_or_kept_in_the_users_home(affine: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))} | {"HOME": str(home)}
    code = "import sys; from engines import runtimes; runtimes.load(sys.argv[1], 'onnx')"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code, affine], env=env, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(home.iterdir())


def test_unknown_runtime_lists_what_there_is(affine: Path) -> None:
    with pytest.raises(EngineError, match=r"unknown runtime 'abacus'; there are auto, .*onnx"):
        runtimes.load(affine, "abacus")


def test_a_changed_file_is_refused(affine: Path) -> None:
    data = bytearray(affine.read_bytes())
    data[len(data) // 2] ^= 1
    affine.write_bytes(bytes(data))
    with pytest.raises(EngineError, match="do not match their card") as caught:
        runtimes.load(affine)
    assert "\n" not in str(caught.value)


def test_a_broken_file_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(EngineError, match="is not a network") as caught:
        runtimes.load(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"nowhere\.onnx cannot be read \(No such file"):
        runtimes.load(tmp_path / "nowhere.onnx")
    with pytest.raises(EngineError, match="git checkout -- engines/weights/gone.onnx"):
        runtimes.load(cards.WEIGHTS / "gone.onnx")


def test_card_values(affine: Path) -> None:
    card = cards.verify(affine)
    assert card.values["temperature"] == 1.5
    assert (card.licence, card.joints, card.path) == ("MIT", "none", affine)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('source = "x"', "lacks licence, sha256, joints, input"),
        ("source = ", "not valid TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_card_is_one_line(affine: Path, text: str | None, message: str) -> None:
    card = affine.with_suffix(".toml")
    card.unlink() if text is None else card.write_text(text)
    with pytest.raises(EngineError, match=message) as caught:
        cards.verify(affine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("card", CARDS, ids=lambda p: p.stem)
def test_every_shipped_file_matches_its_card(card: Path) -> None:
    files = [p for p in card.parent.glob(f"{card.stem}.*") if p.suffix not in (".toml",)]
    assert len(files) == 1, f"{card.name} describes {files}"
    found = cards.verify(files[0])
    assert found.source
    assert found.licence


def test_every_shipped_file_has_a_card() -> None:
    bare = [
        p.name
        for p in cards.WEIGHTS.iterdir()
        if p.suffix in (".onnx", ".task") and p.with_suffix(".toml") not in CARDS
    ]
    assert not bare
    assert len(CARDS) >= 5


def test_a_damaged_shipped_file_is_named_with_its_cure(tmp_path: Path) -> None:
    source = CARDS[0]
    copy = tmp_path / source.name
    shutil.copy(source, copy)
    copy.with_suffix(".onnx").write_bytes(b"")
    with pytest.raises(EngineError, match="damaged or was replaced; give another file"):
        cards.verify(copy.with_suffix(".onnx"))
