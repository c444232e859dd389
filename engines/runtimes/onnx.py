"""ONNX Runtime: the default; on the CPU, or on CUDA where the installed build and the machine have it."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.runtimes import _example, _module
from engines.runtimes._example import Spec
from engines.types import EngineError

if TYPE_CHECKING:
    import onnxruntime

ACCELERATOR: Final = False
INSTALL: Final = "pip install -r requirements.txt"
PRECISIONS: Final = ("fp32", "fp16", "int8")

_DTYPES: Final = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def available() -> bool:
    """Whether onnxruntime is installed."""
    return _module.installed("onnxruntime")


def obstacle() -> str | None:
    """Nothing: it runs on every machine."""
    return None


def version() -> str:
    """Of the installed build, of which there are several."""
    return _module.version("onnxruntime-gpu", "onnxruntime", "onnxruntime-directml")


def load(path: Path, sha256: str, threads: int, precision: str) -> "OnnxRuntime":
    """Open an ONNX file; see OnnxRuntime."""
    return OnnxRuntime(path, sha256, threads, precision)


class OnnxRuntime:
    """A network in an ONNX Runtime session; may be called by several threads at once.

    Args:
        path: ONNX file.
        sha256: of the file.
        threads: of one call.
        precision: of the file's weights.
        cuda: whether it may run on CUDA where that is there.

    Raises:
        EngineError: if the file is not a network that ONNX Runtime can load and run.
    """

    def __init__(self, path: Path, sha256: str, threads: int, precision: str = "fp32", *, cuda: bool = True) -> None:
        # Its wheels report to Microsoft, and keep a device id in the user's home, unless told not to before the import;
        # ort.disable_telemetry_events() comes too late.
        with _module.told_not_to_report("ORT_DISABLE_TELEMETRY", "1"):
            import onnxruntime as ort

        note = ""
        cuda = cuda and "CUDAExecutionProvider" in ort.get_available_providers()
        try:
            if cuda:
                note = self._open_on_cuda(path, threads)
            if note or not cuda:
                self._open(path, threads, ["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            reason = _module.one_line(error)
            raise EngineError(f"{path} is not a network that ONNX Runtime can run ({reason})") from error
        self._description = {
            "runtime": f"onnxruntime {ort.__version__}",
            "device": self._session.get_providers()[0].removesuffix("ExecutionProvider").lower(),
            "threads": str(threads),
            "precision": precision,
            "model": path.name,
            "sha256": sha256,
        }
        if note:
            self._description["note"] = note

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        steady: _Steady | None = getattr(self._thread, "steady", None)
        if steady and steady.fits(arrays):
            return steady(arrays)
        results = self._session.run(None, arrays)
        named = {name: np.asarray(result) for name, result in zip(self._outputs, results, strict=True)}
        if self._predictable:
            self._thread.steady = _Steady(self._session, arrays, named)
        return named

    def describe(self) -> Mapping[str, str]:
        """What really bound: ``runtime``, ``device``, ``threads``, ``precision``, ``model`` and ``sha256``."""
        return self._description

    def _open_on_cuda(self, path: Path, threads: int) -> str:
        """Open the file on CUDA; the reason where that does not work, "" where it does."""
        try:
            self._open(path, threads, ["CUDAExecutionProvider", "CPUExecutionProvider"])
        except Exception as error:  # whatever a broken driver raises
            return f"CUDA passed over: {_module.one_line(error)}"
        # A library of CUDA that is missing raises nothing; the session has then quietly become one of the CPU.
        if self._session.get_providers()[0] != "CUDAExecutionProvider":
            return "CUDA passed over: its libraries are missing or do not fit this onnxruntime-gpu"
        return ""

    def _open(self, path: Path, threads: int, providers: list[str]) -> None:
        import onnxruntime as ort

        # Without enable_fallback=0 it prints several lines of its own to stdout before it tries the next provider.
        self._session = ort.InferenceSession(str(path), _options(threads), providers=providers, enable_fallback=0)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.inputs = {
            node.name: Spec(_DTYPES[node.type], tuple(n if isinstance(n, int) else None for n in node.shape))
            for node in self._session.get_inputs()
        }
        self._thread = threading.local()
        free = {n for node in self._session.get_inputs() for n in node.shape if isinstance(n, str)}
        self._predictable = self._session.get_providers() == ["CPUExecutionProvider"] and all(
            isinstance(n, int) or n in free for node in self._session.get_outputs() for n in node.shape
        )
        # The warm-up allocates, and finds a file that loads but does not run.
        if not _example.free_size(self.inputs):
            self(**_example.feed(self.inputs))


class _Steady:
    """Inputs of the same shapes call after call, by one thread, through buffers that are bound once.

    At batch 1 what is saved is 3 % of the lifter's call: the session allocates no output and checks no name.

    Args:
        session: on the CPU, its outputs' shapes following from those of its inputs.
        inputs: arrays by name, as in the calls to come.
        outputs: what the session made of them.
    """

    def __init__(
        self, session: "onnxruntime.InferenceSession", inputs: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, NDArray[Any]],
    ) -> None:  # fmt: skip
        self._session, self._binding = session, session.io_binding()
        self._inputs = {name: np.empty(a.shape, a.dtype) for name, a in inputs.items()}
        self._outputs = {name: np.empty(a.shape, a.dtype) for name, a in outputs.items()}
        for bind, buffers in ((self._binding.bind_input, self._inputs), (self._binding.bind_output, self._outputs)):
            for name, buffer in buffers.items():
                bind(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)

    def fits(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Whether these arrays are like those it was made for."""
        return arrays.keys() == self._inputs.keys() and all(
            a.shape == arrays[name].shape and a.dtype == arrays[name].dtype for name, a in self._inputs.items()
        )

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; the outputs are copies, the caller's to keep."""
        for name, buffer in self._inputs.items():
            buffer[...] = arrays[name]
        self._session.run_with_iobinding(self._binding)
        return {name: buffer.copy() for name, buffer in self._outputs.items()}


def _options(threads: int) -> "onnxruntime.SessionOptions":
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Idle threads would otherwise spin after each call and take the core that capture and drawing need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # 4 = fatal only: everything worse than that is raised as an exception, and is said once, by us.
    options.log_severity_level = 4
    return options
