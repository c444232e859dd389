"""Runtimes and model cards: what is loaded is what the card says, and a broken file is one clear line."""

import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines import cards, lifter, runtimes
from engines.types import EngineError

if TYPE_CHECKING:
    import torch

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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hypothesis-stream"


def need(name: str) -> None:
    """Skip where a runtime cannot be; "auto" always can."""
    if name != "auto":
        module = runtimes.module(name)
        if not module.available():
            pytest.skip(f"{name} is not installed: {module.INSTALL}")
        if name != "torch" and (reason := module.obstacle()):
            pytest.skip(f"{name}: {reason}")


ALL = ["auto", *runtimes.names()]


@cache
def opened(name: str, file: str) -> runtimes.Network:
    """A network of engines/weights, loaded once for all tests that only call it."""
    need(name)
    return runtimes.load(cards.WEIGHTS / file, runtimes.NetworkOptions(name))


def test_the_directory_is_the_registry() -> None:
    assert {"onnx", "openvino", "tensorrt", "torch"} <= set(runtimes.names())
    for name in runtimes.names():
        module = runtimes.module(name)
        assert module.INSTALL.startswith("pip install -r requirements")
        assert set(module.PRECISIONS) <= {"fp32", "fp16", "int8"}
        assert isinstance(module.version(), str)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("threads", [1, 2])
def test_runs_named_arrays(affine: Path, name: str, threads: int) -> None:
    need(name)
    runtime = runtimes.load(affine, runtimes.NetworkOptions(name, threads=threads))
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    out = runtime(x=x)
    assert sorted(out) == ["y", "z"]
    np.testing.assert_allclose(out["y"], 3 * x + 1, rtol=1e-6)
    np.testing.assert_allclose(out["z"], 3 * x, rtol=1e-6)
    said = runtime.describe()
    assert said["sha256"] == hashlib.sha256(affine.read_bytes()).hexdigest()
    assert said["model"] == "affine.onnx"
    assert said["precision"] == "fp32"
    assert said["device"].split()[0] in ("cpu", "cuda", "gpu")
    assert all(isinstance(k, str) and isinstance(v, str) and "\n" not in v for k, v in said.items())
    assert {"runtime", "threads", "choice"} <= set(said)
    assert runtime.inputs["x"].shape == (None, 2)


def lifter_input(count: int) -> np.ndarray:
    """Plausible inputs (count, 54): centred poses of unit spread, some joints not seen, pitch known for some."""
    rng = np.random.default_rng(count)
    seen = rng.random((count, 17)) < 0.9
    pitch = np.where(rng.random(count) < 0.5, rng.uniform(-1, 1, count), np.nan)
    return lifter.encode(rng.standard_normal((count, 17, 2)) * seen[..., None] / np.sqrt(2), seen, pitch)


@pytest.fixture(scope="module")
def wanted() -> dict[int, dict[str, np.ndarray]]:
    """What ONNX Runtime makes of the shipped lifter, by number of views; 20 are more than a GPU's profile has."""
    network = opened("onnx", "lifter.onnx")
    return {count: network(x=lifter_input(count)) for count in (1, 4, 16, 20)}


@pytest.mark.parametrize("name", ALL)
def test_every_runtime_gives_the_answer_of_the_lifter(name: str, wanted: dict[int, dict[str, np.ndarray]]) -> None:
    """0.1 mm: bf16, which OpenVINO would take by itself on newer processors, is off by 18 mm, and TF32 by about 1."""
    network = opened(name, "lifter.onnx")
    scale = cards.load_card(lifter.SHIPPED).values["scale_mm"]
    for count, want in wanted.items():
        got = network(x=lifter_input(count))
        assert got["mean"].shape == (count, 5, 16, 3)
        assert np.linalg.norm(got["mean"] - want["mean"], axis=-1).max() * scale < 0.1
        assert np.abs(got["sigma"] - want["sigma"]).max() * scale < 0.1
        assert np.abs(got["log_weight"] - want["log_weight"]).max() < 1e-3


@pytest.mark.parametrize("file", ["movenet_lightning", "movenet_multipose"])
@pytest.mark.parametrize("name", runtimes.names())
def test_every_runtime_gives_the_answer_of_the_detectors(name: str, file: str) -> None:
    """Of one view and of three, which OpenVINO compiles apart."""
    images = np.random.default_rng(0).integers(0, 256, (3, 192, 192, 3), np.uint8)
    network, other = opened(name, f"{file}.onnx"), opened("onnx", f"{file}.onnx")
    for views in (images[:1], images):
        got, want = network(image=views), other(image=views)
        for head, values in want.items():
            # Chances; the others are cells, four pixels wide.
            np.testing.assert_allclose(got[head], values, atol=2e-4 if head in ("centre", "heatmaps") else 5e-3)


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """y = W x with W and x in int8 (QDQ), both of scale 1 / 64."""
    w = np.array([[64, -32], [16, 8]], np.int8)
    constants = [
        helper.make_tensor("w", TensorProto.INT8, w.shape, w.tobytes(), raw=True),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 64]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])] for name in "xy"]
    graph = helper.make_graph(nodes, "quantised", ends[0], ends[1], constants)
    path = tmp_path / "net.int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("name", runtimes.names())
def test_int8_files_run_where_they_are_said_to(quantised: Path, name: str) -> None:
    need(name)
    if "int8" not in runtimes.module(name).PRECISIONS:
        with pytest.raises(EngineError, match=f"{name} does not run int8 files; use --precision auto"):
            runtimes.load(quantised, runtimes.NetworkOptions(name))
        return
    network = runtimes.load(quantised, runtimes.NetworkOptions(name))
    assert network.describe()["precision"] == "int8"
    x = np.array([[0.5, -1.0], [1 / 64, 0.25]], np.float32)
    np.testing.assert_allclose(network(x=x)["y"], x @ [[1, -0.5], [0.25, 0.125]], atol=1e-6)
    rounded = network(x=np.array([[0.505, 0]], np.float32))["y"]
    np.testing.assert_allclose(rounded, [[0.5, -0.25]], atol=1e-6)


def export_hourglass(path: Path) -> "torch.nn.Module":
    """Write a small stacked hourglass of random weights to an ONNX file with a free batch; returns the network."""
    import torch

    from engines.models.hourglass import HourglassShape, StackedHourglass

    torch.manual_seed(0)
    network = StackedHourglass(HourglassShape(stacks=2, features=32)).eval()
    for head in network.heads:
        torch.nn.init.normal_(head.weight, std=0.1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
        torch.onnx.export(
            network, (torch.zeros(2, 3, 72, 72),), str(path), input_names=["image"], opset_version=20, dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},), external_data=False, verbose=False,
        )  # fmt: skip
    return network


@pytest.fixture(scope="module")
def hourglass(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, list[np.ndarray]]:
    """An ONNX file, an input of two views, and the heatmaps that torch itself makes of it."""
    import torch

    path = tmp_path_factory.mktemp("hourglass") / "hourglass.onnx"
    network = export_hourglass(path)
    image = np.random.default_rng(0).random((2, 3, 72, 72), np.float32)
    with torch.inference_mode():
        return path, image, [maps.numpy() for maps in network(torch.from_numpy(image))]


@pytest.mark.timeout(400)  # torch.export alone takes 15 s of a free core
@pytest.mark.parametrize("name", runtimes.names())
def test_every_runtime_gives_the_answer_of_torch_for_an_hourglass(
    name: str, hourglass: tuple[Path, np.ndarray, list[np.ndarray]]
) -> None:
    need(name)
    path, image, want = hourglass
    got = list(runtimes.load(path, runtimes.NetworkOptions(name))(image=image).values())
    assert len(got) == len(want) == 2
    assert np.ptp(want[-1]) > 0.1
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * np.ptp(other))


@pytest.mark.parametrize("name", ALL)
def test_callers_side_by_side_get_their_own_answers(name: str) -> None:
    network = opened(name, "lifter.onnx")
    inputs = [lifter_input(count) for count in (1, 2, 3, 4)]
    alone = [network(x=x)["mean"] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(lambda k: network(x=inputs[k % 4])["mean"], range(40)), alone * 10, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_answers_are_kept_when_the_next_call_comes(affine: Path, name: str) -> None:
    need(name)
    network = runtimes.load(affine, runtimes.NetworkOptions(name))
    # One of two rows among them: whatever is kept for the next call of the same shape must not show.
    inputs = [np.full((rows, 2), value, np.float32) for rows, value in ((1, 1), (1, 7), (1, 5), (2, 3), (2, 4), (1, 0))]
    answers = [network(x=x)["y"] for x in inputs]
    for x, y in zip(inputs, answers, strict=True):
        np.testing.assert_allclose(y, 3 * x + 1)


def test_an_input_of_another_type_is_not_converted_on_the_quiet(affine: Path) -> None:
    network = runtimes.load(affine, runtimes.NetworkOptions("onnx"))
    for _ in range(2):
        network(x=np.ones((1, 2), np.float32))
    with pytest.raises(Exception, match="float"):
        network(x=np.ones((1, 2), np.float64))


@pytest.mark.parametrize("name", ALL)
def test_a_read_only_and_a_strided_input_are_taken(affine: Path, name: str) -> None:
    need(name)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    x.flags.writeable = False
    np.testing.assert_allclose(runtimes.load(affine, runtimes.NetworkOptions(name))(x=x)["y"], 3 * x + 1)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
def test_nothing_is_reported_or_kept_in_the_users_home(affine: Path, tmp_path: Path, name: str) -> None:
    need(name)
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))} | {"HOME": str(home)}
    code = "import sys; from engines import runtimes; runtimes.load(sys.argv[1], runtimes.NetworkOptions(sys.argv[2]))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code, affine, name], env=env, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(home.iterdir())


def test_unknown_runtime_lists_what_there_is(affine: Path) -> None:
    with pytest.raises(EngineError, match=r"unknown runtime 'abacus'; there are auto, .*onnx"):
        runtimes.load(affine, runtimes.NetworkOptions("abacus"))


def test_a_changed_file_is_refused(affine: Path) -> None:
    data = bytearray(affine.read_bytes())
    data[len(data) // 2] ^= 1
    affine.write_bytes(bytes(data))
    with pytest.raises(EngineError, match="do not match their card") as caught:
        runtimes.load(affine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("data", [b"not a network", b""])
def test_a_broken_file_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, data: bytes) -> None:
    need(name)
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(EngineError, match="is not a network") as caught:
        runtimes.load(path, runtimes.NetworkOptions(name))
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
    files = [card.with_suffix(suffix) for suffix in (".onnx", ".task") if card.with_suffix(suffix).exists()]
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
