"""Torch: the reference. Slower than the others on a CPU; on a GPU its calls are CUDA graphs.

It runs an ONNX file operator by operator (engines/models/onnx_graph.py), so it needs ``onnx`` too and reads no int8
files: what those lose is measured against it.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.runtimes import _example, _gpu, _module
from engines.runtimes._example import Spec
from engines.types import EngineError

if TYPE_CHECKING:
    import torch

ACCELERATOR: Final = False
INSTALL: Final = "pip install -r requirements-dev.txt, or without a checkout: pip install 'hypothesis-stream[train]'"
PRECISIONS: Final = ("fp32", "fp16")

_GRAPHS: Final = 8
"""Shapes that get a CUDA graph; each keeps its buffers. Views come and go, so there are a few."""


def available() -> bool:
    """Whether torch and onnx are installed."""
    return _module.installed("torch", "onnx")


def obstacle() -> str | None:
    """No GPU: without one it never was the fastest, and importing it costs a second and 200 MB."""
    reason = _gpu.obstacle()
    return reason and f"the reference, and {reason}"


def version() -> str:
    """Of the installed package."""
    return _module.version("torch")


def load(path: Path, sha256: str, threads: int, precision: str) -> "TorchRuntime":
    """Open an ONNX file; see TorchRuntime."""
    return TorchRuntime(path, sha256, threads, precision)


class TorchRuntime:
    """A network run by torch, on CUDA where torch has it; one call at a time.

    Raises:
        EngineError: if the file is not a network, or has an operator that is not here.
    """

    def __init__(self, path: Path, sha256: str, threads: int, precision: str = "fp32") -> None:
        import torch

        from engines.models.onnx_graph import OnnxGraph, UnsupportedError

        self._lock, self._threads = threading.Lock(), threads
        self._cuda = torch.cuda.is_available()
        self._graphs: dict[tuple[tuple[str, tuple[int, ...]], ...], _Recorded] = {}
        try:
            self._network = OnnxGraph(path, "cuda" if self._cuda else "cpu").eval()
            self.inputs = {
                name: Spec(torch.empty(0, dtype=dtype).numpy().dtype, shape)
                for name, (dtype, shape) in self._network.inputs.items()
            }
            if not _example.free_size(self.inputs):
                self(**_example.feed(self.inputs))
        except UnsupportedError as error:
            raise EngineError(f"{path.name} has what runtime 'torch' does not ({error}); use --runtime onnx") from error
        except Exception as error:  # protobuf's, torch's and onnx's share no base class
            raise EngineError(f"{path} is not a network that torch can run ({_module.one_line(error)})") from error
        self._description = {
            "runtime": f"torch {torch.__version__}",
            "device": f"cuda ({torch.cuda.get_device_name()})" if self._cuda else "cpu",
            "threads": str(threads),
            "precision": precision,
            "model": path.name,
            "sha256": sha256,
        }

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        import torch

        # A frame's array may be read-only, of which torch warns.
        given = {
            name: torch.from_numpy(array if array.flags.writeable else array.copy()) for name, array in arrays.items()
        }
        # cuDNN's convolutions would otherwise be TF32, and this is the reference.
        with self._lock, torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            # One number for the whole process, so it is given back.
            before = torch.get_num_threads()
            torch.set_num_threads(self._threads)
            try:
                out = self._on_cuda(given) if self._cuda else self._network(**given)
                return {name: np.asarray(tensor.cpu()) for name, tensor in out.items()}
            finally:
                torch.set_num_threads(before)

    def describe(self) -> Mapping[str, str]:
        """What really bound: ``runtime``, ``device``, ``threads``, ``precision``, ``model`` and ``sha256``."""
        return self._description

    def _on_cuda(self, given: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
        shapes = tuple(sorted((name, tuple(tensor.shape)) for name, tensor in given.items()))
        recorded = self._graphs.get(shapes)
        if recorded is None:
            # Sizes computed from a free width and height are read back by the host, which no graph can hold.
            if _example.free_size(self.inputs) or len(self._graphs) >= _GRAPHS:
                return self._network(**{name: tensor.cuda() for name, tensor in given.items()})
            recorded = self._graphs[shapes] = _Recorded(self._network, given)
        return recorded(given)


class _Recorded:
    """A network for one shape of its inputs as a CUDA graph with buffers of its own."""

    def __init__(self, network: "torch.nn.Module", given: "dict[str, torch.Tensor]") -> None:
        import torch

        self._staged = {name: tensor.pin_memory() for name, tensor in given.items()}
        self._inputs = {name: tensor.cuda() for name, tensor in given.items()}
        # The first calls choose algorithms and allocate, on a stream of their own: torch.cuda.graph's documentation.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                network(**self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = network(**self._inputs)

    def __call__(self, given: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
        for name, tensor in given.items():
            self._staged[name].copy_(tensor)
            self._inputs[name].copy_(self._staged[name], non_blocking=True)
        self._graph.replay()
        return self._outputs
