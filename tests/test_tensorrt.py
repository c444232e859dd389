"""TensorRT: what needs no GPU. The builds run with TensorRT-RTX: ``make test-tensorrt``."""

import re
from pathlib import Path
from typing import Any

import pytest

from engines import cards, runtimes
from engines.runtimes import _cuda, _gpu, tensorrt
from engines.runtimes import _tensorrt_build as build
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
        runtimes.load(cards.WEIGHTS / "lifter.onnx", "tensorrt")
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
        runtimes.load(path, "tensorrt")
    said = runtimes.load(path).describe()
    assert not said["runtime"].startswith("tensorrt")
    assert f"tensorrt passed over: {_gpu.obstacle()}" in said["choice"]
    assert capfd.readouterr() == ("", "")


class DriverDouble:
    """What libcuda answers: the codes of its two functions, and how many GPUs there are."""

    def __init__(self, starts: int = 0, answers: int = 0, gpus: int = 0) -> None:
        self.starts, self.answers, self.gpus = starts, answers, gpus

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.starts

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.gpus
        return self.answers


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
