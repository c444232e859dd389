"""The few calls of the CUDA runtime that TensorRT needs around it: memory, copies, a stream, graphs.

Through ``cuda-bindings`` (27 MB) and not through torch, whose CUDA build takes gigabytes: no run needs torch.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engines.runtimes import _gpu
from engines.types import EngineError


class Device:
    """The first GPU.

    Raises:
        EngineError: if cuda-bindings is not installed or CUDA does not answer.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise EngineError(f"cuda-bindings is not there ({error}): pip install -r requirements-gpu.txt") from error
        self._cuda: Any = runtime
        properties = self.call("cudaGetDeviceProperties", 0)
        self.name = properties.name.partition(b"\0")[0].decode()
        self.capability = f"{properties.major}.{properties.minor}"
        self.stream = self.call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)

    def driver(self) -> str:
        """Version of CUDA that the driver has and, on Linux, of the driver itself."""
        return f"{self.call('cudaDriverGetVersion')} {_gpu.release()}".strip()

    def call(self, function: str, *arguments: object) -> Any:
        """Call a function of the CUDA runtime; what it returns beside its error code.

        Raises:
            EngineError: if it fails.
        """
        code, *results = getattr(self._cuda, function)(*arguments)
        if code != self._cuda.cudaError_t.cudaSuccess:
            raise EngineError(f"CUDA failed: {function} says {code.name}; restart the program, or use --runtime onnx")
        return results[0] if results else None

    def to_device(self, target: int, source: int, size: int) -> None:
        """Copy bytes of pinned memory to the GPU, on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", target, source, size, kind, self.stream)

    def to_host(self, target: int, source: int, size: int) -> None:
        """Copy bytes of the GPU to pinned memory, on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, size, kind, self.stream)

    def wait(self) -> None:
        """Until everything on the stream is done."""
        self.call("cudaStreamSynchronize", self.stream)

    def record(self, work: Callable[[], None]) -> Any:
        """What ``work`` puts on the stream as a graph, ready to be launched; nothing of it is done.

        Raises:
            EngineError: if something of it cannot be in a graph. The stream is as it was before.
        """
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", self.stream, mode)
        try:
            work()
        except EngineError:
            # Ends the recording; that it is of no use is known.
            self._cuda.cudaStreamEndCapture(self.stream)
            raise
        return self.call("cudaGraphInstantiate", self.call("cudaStreamEndCapture", self.stream), 0)

    def launch(self, graph: Any) -> None:
        """Do what a graph holds, on the stream."""
        self.call("cudaGraphLaunch", graph, self.stream)


class Buffer:
    """Memory for one array on the GPU, and pinned memory beside it; both are kept until the program ends."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.size = max(int(np.prod(shape)) * self.dtype.itemsize, 1)
        self.pointer = int(device.call("cudaMalloc", self.size))
        self.pinned = int(device.call("cudaMallocHost", self.size))
        self._host = np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(self.pinned))

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The first bytes of the pinned memory as an array; the next call writes over it.

        Raises:
            EngineError: if there are not so many.
        """
        count = int(np.prod(shape)) * self.dtype.itemsize
        if count > self.size:
            raise EngineError(f"an array of shape {shape} is larger than what the engine was built for")
        return self._host[:count].view(self.dtype).reshape(shape)
