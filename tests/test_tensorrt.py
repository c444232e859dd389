"""TensorRT: what needs no GPU. The builds run with TensorRT-RTX: ``make test-tensorrt``."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines import cards, runtimes
from engines.runtimes import _cuda, _gpu, tensorrt
from engines.runtimes import _tensorrt_build as build
from engines.runtimes._compare import Difference, TooFarError, compare
from engines.runtimes._example import Spec
from engines.types import EngineError
from tests.test_runtimes import export_hourglass

NETWORKS = sorted(p for p in cards.WEIGHTS.glob("*.onnx") if not p.name.endswith(".int8.onnx"))


@pytest.fixture(scope="module")
def trt() -> Any:
    """TensorRT, or TensorRT-RTX that has the same interface."""
    name = build.find()
    if name is None:
        pytest.skip("no TensorRT is installed; make test-tensorrt fetches one that builds without a GPU")
    return build.import_module(name)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((-1, 54), ((1, 54), (4, 54), (16, 54))),
        ((-1, 3, 256, 256), ((1, 3, 256, 256), (4, 3, 256, 256), (16, 3, 256, 256))),
        ((1, -1, -1, 3), ((1, 32, 32, 3), (1, 256, 256, 3), (1, 512, 512, 3))),
        ((1, 192, 192, 3), None),
    ],
)
def test_the_profile_spans_1_4_and_16_views(shape: tuple[int, ...], wanted: object) -> None:
    assert build.profile_shapes(shape) == wanted


def test_an_engine_belongs_to_file_gpu_driver_version_and_precision() -> None:
    own = {"sha256": "ab", "gpu": "A 8.6", "driver": "13000", "version": "tensorrt 10.9", "precision": "fp32"}
    key = build.engine_key(**own)
    for name in own:
        assert build.engine_key(**{**own, name: "another"}) != key
    parts = {k: v for k, v in own.items() if k in ("gpu", "driver", "version")}
    timing = build.timing_key(**parts)
    assert timing != key
    for name in parts:
        assert build.timing_key(**{**parts, name: "another"}) != timing


def test_it_is_asked_for_where_it_is_not_installed(tmp_path: Path) -> None:
    if build.find():
        pytest.skip("a TensorRT is installed")
    with pytest.raises(EngineError, match="'tensorrt' is not installed: pip install -r requirements-gpu.txt"):
        runtimes.load(cards.WEIGHTS / "lifter.onnx", runtimes.NetworkOptions("tensorrt"))
    with pytest.raises(EngineError, match="TensorRT is not installed"):
        tensorrt.load(cards.WEIGHTS / "lifter.onnx", "", 1, "fp32")


def test_without_a_gpu_it_is_refused_and_auto_says_why(
    trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if _gpu.obstacle() is None:
        pytest.skip("there is a GPU")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = cards.WEIGHTS / "lifter.onnx"
    with pytest.raises(EngineError, match=r"TensorRT needs an NVIDIA GPU: .*; use --runtime onnx"):
        runtimes.load(path, runtimes.NetworkOptions("tensorrt"))
    said = runtimes.load(path).describe()
    assert not said["runtime"].startswith("tensorrt")
    assert f"tensorrt passed over: {_gpu.obstacle()}" in said["choice"]
    assert capfd.readouterr() == ("", "")


class DriverDouble:
    """What libcuda answers: codes, how many GPUs there are, and what the first is called."""

    def __init__(self, starts: int = 0, answers: int = 0, gpus: int = 0) -> None:
        self.starts, self.answers, self.gpus = starts, answers, gpus

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.starts

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.gpus
        return self.answers

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index + 7
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = f"GeForce {device.value}".encode()[: size - 1]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13000
        return 0


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (None, "no NVIDIA GPU driver"),
        (DriverDouble(starts=100), "the NVIDIA driver does not start (error 100)"),
        (DriverDouble(answers=3, gpus=1), "the NVIDIA driver does not answer (error 3)"),
        (DriverDouble(), "no NVIDIA GPU"),
        (DriverDouble(gpus=2), None),
    ],
)
def test_the_driver_is_asked_whether_there_is_a_gpu(
    driver: DriverDouble | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_name: str) -> DriverDouble:
        if driver is None:
            raise OSError("cannot open shared object file")
        return driver

    monkeypatch.setattr(_gpu.ctypes, "CDLL", load)
    assert _gpu.obstacle.__wrapped__() == reason
    monkeypatch.setattr(_gpu, "obstacle", _gpu.obstacle.__wrapped__)
    assert _gpu.describe.__wrapped__().startswith(reason or "GeForce 7 13000")


class EngineDouble:
    """TensorRT and CUDA as far as they are asked: an engine is its bytes, and computes what it is told to.

    Args:
        answer: a network's output "y" of its input "x".
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[np.ndarray], np.ndarray]) -> None:
        self.answer, self.builds = answer, 0
        device = SimpleNamespace(name="GeForce", capability="8.6", driver=lambda: "13000")
        monkeypatch.setattr(_cuda, "Device", lambda: device)
        monkeypatch.setattr(build, "make_logger", lambda trt: SimpleNamespace(errors=[]))
        monkeypatch.setattr(build, "build", self.build)
        monkeypatch.setattr(build, "describe_inputs", lambda *_: {"x": Spec(np.float32, (None, 2))})
        monkeypatch.setattr(build, "tensor_names", lambda *_: ["y"])
        for name, result in (("_new_context", None), ("_allocate", {})):
            monkeypatch.setattr(tensorrt.TensorRtRuntime, name, lambda _self, result=result: result)
        monkeypatch.setattr(tensorrt.TensorRtRuntime, "_run", lambda _self, arrays: {"y": self.answer(arrays["x"])})
        self.module = SimpleNamespace(
            __name__="tensorrt", __version__="0", TensorIOMode=SimpleNamespace(OUTPUT=1),
            Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=bytes),
        )  # fmt: skip

    def build(self, *_: object) -> tuple[bytes, bytes]:
        self.builds += 1
        return b"the engine\n", b""

    def load(self, path: Path) -> tensorrt.TensorRtRuntime:
        return tensorrt.TensorRtRuntime(path, cards.digest(path), "fp32", self.module)


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """y = x / 2, any batch of two numbers; and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])] for name in "xy"]
    constant = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "half"], ["y"])], "half", ends[0], ends[1], [constant])
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_an_engine_that_answers_like_onnx_runtime_is_kept(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = EngineDouble(monkeypatch, lambda x: x / 2 * np.float32(1 + 1e-6))
    said = double.load(half).describe()
    assert re.fullmatch(r"differs by \S+e-07 of the largest value on average, 0.0% of the values jump", said["parity"])
    double.answer = lambda x: x * 0  # what is kept is not compared again
    again = double.load(half)
    assert (again.describe(), again._engine, double.builds) == (said, b"the engine\n", 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda x: x / 2 * 1.01, "it differs by"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 7, np.nan, x / 2), "output y is not finite"),
        (lambda x: x[:, :1] / 2, "output y should be"),
    ],
)
def test_an_engine_that_answers_otherwise_is_refused_and_not_built_again(
    half: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[np.ndarray], np.ndarray], why: str
) -> None:
    double = EngineDouble(monkeypatch, answer)
    for _ in range(2):
        with pytest.raises(EngineError, match=f"TensorRT built of half.onnx is refused: {why}.*; use --runtime onnx"):
            double.load(half)
    assert double.builds == 1
    # And auto goes on without it.
    monkeypatch.setattr(build, "find", lambda: "tensorrt")
    monkeypatch.setattr(build, "import_module", lambda name: double.module)
    monkeypatch.setattr(_gpu, "obstacle", lambda: None)
    monkeypatch.setattr(_gpu, "describe", lambda: "GeForce")
    said = runtimes.load(half).describe()
    assert not said["runtime"].startswith("tensorrt")
    assert "tensorrt passed over: the engine that TensorRT built of half.onnx is refused" in said["choice"]


def test_how_far_outputs_are_from_the_references() -> None:
    want = {"a": np.linspace(-4, 4, 200, dtype=np.float32).reshape(2, 100), "b": np.arange(5)}
    assert compare(want, want, "fp32") == Difference(0, 0)
    near = {"a": want["a"] + np.float32(0.02), "b": want["b"]}
    assert compare(near, want, "fp16").mean == pytest.approx(0.005, rel=1e-3)
    with pytest.raises(TooFarError, match=r"5\.0e-03 of the largest value .* 1e-04 and 5% are allowed in fp32"):
        compare(near, want, "fp32")
    jumped = want["a"].copy()
    jumped[0, :8] = 4
    assert compare({**want, "a": jumped}, want, "fp32") == Difference(0, pytest.approx(0.04))
    jumped[0, :20] = 4
    with pytest.raises(TooFarError, match=r"10\.0% of the values jump"):
        compare({**want, "a": jumped}, want, "fp32")
    assert compare({"a": np.zeros(3)}, {"a": np.zeros(3)}, "fp32") == Difference(0, 0)
    for lost in (np.full(5, np.inf), np.zeros(4)):
        with pytest.raises(TooFarError, match="output b"):
            compare({**want, "b": lost}, want, "fp32")
    with pytest.raises(TooFarError, match="output a .* None"):
        compare({"b": want["b"]}, want, "fp32")


def test_every_cuda_function_that_is_called_exists() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed: make test-tensorrt")
    source = Path(_cuda.__file__).read_text()
    names = set(re.findall(r'call\(\s*"(\w+)"', source)) | set(re.findall(r"(?:_cuda|runtime)\.(cuda\w+)", source))
    assert {"cudaMemcpyAsync", "cudaGraphLaunch", "cudaStreamEndCapture", "cudaMallocHost"} <= names
    missing = {name for name in names if not hasattr(runtime, name)}
    assert not missing


def test_cuda_that_does_not_answer_is_one_line() -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed: make test-tensorrt")
    if _gpu.obstacle() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match=r"CUDA failed: \w+ says cudaError\w+; restart the program, or use") as caught:
        _cuda.Device()
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(900)  # a busy machine builds the largest in minutes
@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_our_networks_are_read_and_built(trt: Any, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine, timings = build.build(trt, path.read_bytes(), path.name)
    # Weights are stored as fp16 and computed in fp32.
    assert len(engine) > path.stat().st_size
    assert timings or trt.__name__.startswith("tensorrt_rtx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(900)  # torch.export alone takes 15 s of a free core
def test_the_hourglass_is_read_and_built(trt: Any, tmp_path: Path) -> None:
    path = tmp_path / "hourglass.onnx"
    export_hourglass(path)
    assert build.build(trt, path.read_bytes(), path.name)[0]


@pytest.mark.parametrize("data", [b"not a network", b""])
def test_a_broken_file_is_one_line(trt: Any, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match=r"broken.onnx is not a network that TensorRT can read") as caught:
        build.build(trt, data, "broken.onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_the_wheels_are_pinned() -> None:
    lines = (Path(__file__).resolve().parents[1] / "requirements-rtx.txt").read_text().splitlines()
    pins = [line.partition("#")[0].strip() for line in lines if line and not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", pin) for pin in pins)
