"""OpenVINO on the CPU: reads our ONNX files as they are, int8 ones included."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from engines.runtimes import _example, _module
from engines.runtimes._example import Spec
from engines.types import EngineError

ACCELERATOR: Final = False
INSTALL: Final = (
    "pip install -r requirements-openvino.txt, or without a checkout: pip install 'hypothesis-stream[openvino]'"
)
PRECISIONS: Final = ("fp32", "fp16", "int8")
MOST_STREAMS: Final = 16
"""Calls that can run side by side: more cameras than that are not expected, and every stream has threads of its own."""


def available() -> bool:
    """Whether openvino is installed."""
    return _module.installed("openvino")


def obstacle() -> str | None:
    """Nothing: its CPU part runs on every machine it installs on."""
    return None


def version() -> str:
    """Of the installed package."""
    return _module.version("openvino")


def load(path: Path, sha256: str, threads: int, precision: str) -> "OpenVinoRuntime":
    """Compile an ONNX file for the CPU; see OpenVinoRuntime."""
    return OpenVinoRuntime(path, sha256, threads, precision)


@contextmanager
def _without_module(name: str) -> Iterator[None]:
    """Within it a module cannot be imported, unless the host program has done so already."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = cast(ModuleType, None)
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(name, None)


class OpenVinoRuntime:
    """A network compiled by OpenVINO; may be called by several threads at once.

    Args:
        path: ONNX file.
        sha256: of the file.
        threads: threads of one call, on the CPU.
        precision: of the file's weights, "fp32", "fp16" or "int8".
        device: "CPU", or "GPU" for Intel's graphics.

    Raises:
        EngineError: if the device is not there, or the file is not a network that OpenVINO can compile and run.
    """

    def __init__(self, path: Path, sha256: str, threads: int, precision: str = "fp32", device: str = "CPU") -> None:
        # Merely importing it would tell Google Analytics and keep an id in the user's home; without this package of its
        # own it has a stub in place of that.
        with _without_module("openvino_telemetry"):
            # By name: where it is not installed, type checkers take this very file for it.
            openvino: Any = importlib.import_module("openvino")
            frontends: Any = importlib.import_module("openvino.frontend")

        core = openvino.Core()
        if device not in (name.partition(".")[0] for name in core.available_devices):
            seen = ", ".join(core.available_devices)
            raise EngineError(f"OpenVINO finds no {device} here, only {seen}; use --runtime openvino")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # With AMX its default is bf16 even for fp32 files: the lifter's hypotheses then move by up to 18 mm. What
            # is int8 in the file stays int8.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if device == "CPU":
            # One stream runs one call at a time. Views are detected side by side, so there is one for every group of
            # cores. Pinned, all networks of a process would sit on the same first cores (a lifter: three times slower).
            streams = min(MOST_STREAMS, max(1, (os.cpu_count() or 1) // threads))
            settings |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams * threads}
            settings["ENABLE_CPU_PINNING"] = False
        try:
            # Core.read_model would try every format there is, and those that it is not complain on stderr.
            frontend = frontends.FrontEndManager().load_by_framework("onnx")
            model = frontend.convert(frontend.load(str(path)))
            if not model.outputs:
                raise ValueError("it is empty")
            self._outputs = [output.get_any_name() for output in model.outputs]
            self.inputs = {
                port.get_any_name(): Spec(
                    port.get_element_type().to_dtype(),
                    tuple(n.get_length() if n.is_static else None for n in port.get_partial_shape()),
                )
                for port in model.inputs
            }
            self._any, self._one = _Compiled(core, model, device, settings), None
            if _example.free_batch(self.inputs) and not _example.free_size(self.inputs):
                # With the number of views known a call of one takes an eighth less.
                single = model.clone()
                single.reshape({name: [1, *spec.shape[1:]] for name, spec in self.inputs.items()})
                self._one = _Compiled(core, single, device, settings)
            if not _example.free_size(self.inputs):
                self(**_example.feed(self.inputs))
            else:
                with self._any.request():
                    pass  # a network that cannot be compiled is found now
            hardware = str(core.get_property(device, "FULL_DEVICE_NAME"))
        except Exception as error:  # OpenVINO's are plain RuntimeErrors, and others
            reason = _module.one_line(error)
            raise EngineError(f"{path} is not a network that OpenVINO can run ({reason})") from error
        self._description = {
            "runtime": f"openvino {openvino.__version__.partition('-')[0]}",
            "device": "cpu" if device == "CPU" else f"{device.lower()} ({hardware})",
            "threads": str(threads),
            "precision": precision,
            "model": path.name,
            "sha256": sha256,
        }

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        single = self._one is not None and all(len(array) == 1 for array in arrays.values())
        compiled = self._one if single and self._one is not None else self._any
        with compiled.request() as request:
            # Inputs are read in place; outputs are copies, as the request's own buffers serve the next call.
            feed = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            results = request.infer(feed, share_inputs=True, share_outputs=False)
            return {name: results[k] for k, name in enumerate(self._outputs)}

    def describe(self) -> Mapping[str, str]:
        """What really bound: ``runtime``, ``device``, ``threads``, ``precision``, ``model`` and ``sha256``."""
        return self._description


class _Compiled:
    """A model, compiled when it is first needed; a request of it belongs to one caller at a time."""

    def __init__(self, core: Any, model: Any, device: str, settings: dict[str, Any]) -> None:
        self._compile = lambda: core.compile_model(model, device, settings)
        self._compiled: Any = None
        self._lock = threading.Lock()
        self._idle: list[Any] = []

    @contextmanager
    def request(self) -> Iterator[Any]:
        """There come to be as many as there are callers side by side."""
        with self._lock:
            self._compiled = self._compiled or self._compile()
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            yield request
        finally:
            self._idle.append(request)
