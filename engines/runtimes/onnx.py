"""ONNX Runtime: the default; on the CPU, or on CUDA where the installed build and the machine have it."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.types import EngineError

PREFERENCE: Final = 10

_DTYPES: Final = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def available() -> bool:
    """Whether onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def load(path: Path, sha256: str, threads: int) -> "OnnxRuntime":
    """Open an ONNX file; see OnnxRuntime."""
    return OnnxRuntime(path, sha256, threads)


class OnnxRuntime:
    """A network in an ONNX Runtime session.

    Raises:
        EngineError: if the file is not a network that ONNX Runtime can load and run.
    """

    def __init__(self, path: Path, sha256: str, threads: int) -> None:
        # Its wheels report to Microsoft, and keep a device id in the user's home, unless told not to before the import;
        # ort.disable_telemetry_events() comes too late.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Idle threads would otherwise spin after each call and take the core that capture and drawing need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # 4 = fatal only: everything worse than that is raised as an exception, and is said once, by us.
        options.log_severity_level = 4
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in ort.get_available_providers()]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=wanted)
            self._outputs = [output.name for output in self._session.get_outputs()]
            self._warm_up()
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            reason = " ".join(str(error).split())[:200]
            raise EngineError(f"{path} is not a network that ONNX Runtime can run ({reason})") from error
        self._description = {
            "runtime": f"onnxruntime {ort.__version__}",
            "device": self._session.get_providers()[0].removesuffix("ExecutionProvider").lower(),
            "threads": str(threads),
            "model": path.name,
            "sha256": sha256,
        }

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        results = self._session.run(None, arrays)
        return {name: np.asarray(result) for name, result in zip(self._outputs, results, strict=True)}

    def describe(self) -> Mapping[str, str]:
        """What really bound: ``runtime``, ``device``, ``threads``, ``model`` and ``sha256``."""
        return self._description

    def _warm_up(self) -> None:
        """One call with zeros: allocates, and finds a file that loads but does not run."""
        feed = {}
        for node in self._session.get_inputs():
            shape = [n if isinstance(n, int) else 1 for n in node.shape]
            # A free width or height (MultiPose) has no size that is sure to work; its first call is its warm-up.
            if any(not isinstance(n, int) for n in node.shape[1:]):
                return
            feed[node.name] = np.zeros(shape, _DTYPES[node.type])
        self(**feed)
