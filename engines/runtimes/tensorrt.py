"""TensorRT: networks compiled for the NVIDIA GPU at hand, built here from the ONNX file and kept in the user's cache.

An engine is native code: one is never read from a path that somebody gives, only from the private cache folder, under
a key of the ONNX file, GPU, driver and TensorRT. What was just built is compared with ONNX Runtime before it is used.
"""

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines import user_cache
from engines.runtimes import _cuda, _example, _gpu, _module, onnx
from engines.runtimes import _tensorrt_build as build
from engines.runtimes._compare import TooFarError, compare
from engines.types import EngineError

ACCELERATOR: Final = True
INSTALL: Final = "pip install -r requirements-gpu.txt, or without a checkout: pip install 'hypothesis-stream[gpu]'"
PRECISIONS: Final = ("fp32", "fp16")

_log = logging.getLogger(__name__)
_SHAPES: Final = 4
"""Shapes that get a CUDA graph: it must have an execution context of its own, which takes GPU memory."""


def available() -> bool:
    """Whether TensorRT is installed."""
    return build.find() is not None


def obstacle() -> str | None:
    """Why no GPU can be used, or None."""
    return _gpu.obstacle()


def version() -> str:
    """Of the installed package."""
    return _module.version("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt_rtx", "tensorrt-rtx-cu13-bindings")


def load(path: Path, sha256: str, threads: int, precision: str) -> "TensorRtRuntime":
    """The network of an ONNX file on the GPU; built first where it is not in the cache.

    Raises:
        EngineError: without TensorRT or a GPU, if the network cannot be built or run, or if its answers are not those
            of ONNX Runtime.
    """
    module = build.find()
    if module is None:
        raise EngineError(f"TensorRT is not installed: {INSTALL}")
    if reason := _gpu.obstacle():
        raise EngineError(f"TensorRT needs an NVIDIA GPU: {reason}; use --runtime onnx")
    return TensorRtRuntime(path, sha256, precision, build.import_module(module))


class TensorRtRuntime:
    """A network compiled by TensorRT; callers wait for each other.

    Buffers are made once for the largest shape; a call copies into pinned memory and launches one CUDA graph of the
    copies and the network, recorded at the first call of a shape. More views than the profile has are taken in turns.

    Raises:
        EngineError: if CUDA does not answer, the network cannot be built or run, or its answers are not those of ONNX
            Runtime.
    """

    def __init__(self, path: Path, sha256: str, precision: str, trt: Any) -> None:
        self._lock = threading.Lock()
        self._device = _cuda.Device()
        self._trt = trt
        self._logger = build.make_logger(trt)
        # Must outlive the engine.
        self._runtime = trt.Runtime(self._logger)
        gpu, driver = f"{self._device.name} {self._device.capability}", self._device.driver()
        version = f"{trt.__name__} {trt.__version__}"
        key = build.engine_key(sha256, gpu, driver, version, precision)
        self._engine, parity, note = self._read(key)
        built = b""
        if self._engine is None:
            self._engine, built = self._build(path, build.timing_key(gpu, driver, version))
        self._context = self._new_context()
        self.inputs = build.describe_inputs(self._engine, trt)
        self._outputs = build.tensor_names(self._engine, trt, trt.TensorIOMode.OUTPUT)
        self._buffers = self._allocate()
        self._recorded: dict[tuple[tuple[int, ...], ...], tuple[Any, Any]] = {}
        if built:
            try:
                parity = self._check(path, sha256, precision)
            except TooFarError as error:
                refused = f"the engine that TensorRT built of {path.name} is refused: {error}; use --runtime onnx"
                # Kept without the engine, so that the minutes are not spent again at every start.
                self._keep(key, build.pack(refused, b""))
                raise EngineError(refused) from error
            note = self._keep(key, build.pack(parity, built)) or note
        if not _example.free_size(self.inputs):
            self(**_example.feed(self.inputs))
        self._description = {
            "runtime": f"{trt.__name__.removesuffix('_bindings')} {trt.__version__}",
            "device": f"cuda ({self._device.name})",
            "threads": "1",
            "precision": precision,
            "model": path.name,
            "sha256": sha256,
            "parity": parity,
        }
        if note:
            self._description["note"] = note

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        count, most = len(next(iter(arrays.values()))), build.BATCHES[-1]
        with self._lock:
            if count <= most or not _example.free_batch(self.inputs):
                return self._run(arrays)
            parts = [
                self._run({name: array[start : start + most] for name, array in arrays.items()})
                for start in range(0, count, most)
            ]
            return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def describe(self) -> Mapping[str, str]:
        """What really bound, as of every runtime; and ``parity``: how near its answers are to ONNX Runtime's."""
        return self._description

    def _read(self, key: Mapping[str, object]) -> tuple[Any, str, str]:
        """The engine from the cache or None, how near it was when it was built, and what is wrong with the cache.

        Raises:
            EngineError: if it was refused when it was built.
        """
        try:
            kept = user_cache.read("engines", key)
        except user_cache.CacheError as error:
            return None, "", f"engine built anew: {error}"
        if kept is None:
            return None, "", ""
        parity, data = build.unpack(kept)
        # None also for one that this TensorRT refuses: it is built again.
        return self._runtime.deserialize_cuda_engine(data), parity, ""

    def _build(self, path: Path, timing: Mapping[str, object]) -> tuple[Any, bytes]:
        """The engine, and its bytes."""
        _log.info(f"building {path.name} for {self._device.name} with TensorRT (up to some minutes, once) ...")
        try:
            model = path.read_bytes()
        except OSError as error:
            raise EngineError(f"weights {path} cannot be read ({error.strerror})") from error
        timings = b""
        with suppress(user_cache.CacheError):  # of the engine it is said
            timings = user_cache.read("engines", timing) or b""
        data, timings = build.build(self._trt, model, path.name, timings)
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"TensorRT cannot load the engine it built of {path.name} ({self._reason()})")
        if timings:
            with suppress(user_cache.CacheError):
                user_cache.write("engines", timing, timings)
        return engine, data

    def _check(self, path: Path, sha256: str, precision: str) -> str:
        """Compare the engine with ONNX Runtime on the processor; how near it is.

        Raises:
            TooFarError: if it is not near enough.
            EngineError: if one of them cannot be run.
        """
        reference = onnx.OnnxRuntime(path, sha256, 1, precision, cuda=False)
        batches = build.BATCHES if _example.free_batch(self.inputs) else (1,) * len(build.BATCHES)
        feeds = [_example.feed(self.inputs, batch, seed) for seed, batch in enumerate(batches)]
        found = [compare(self(**feed), reference(**feed), precision) for feed in feeds]
        # The shapes to come are those of the cameras, and only some are recorded.
        self._recorded.clear()
        return str(max(found, key=lambda difference: difference.mean))

    def _keep(self, key: Mapping[str, object], data: bytes) -> str:
        """Write to the cache; why that cannot be done, or nothing."""
        try:
            user_cache.write("engines", key, data)
        except user_cache.CacheError as error:
            return f"engine built at every start: {error}"
        return ""

    def _allocate(self) -> dict[str, _cuda.Buffer]:
        """Buffers for the largest shape of every input and output, bound for good."""
        buffers = {}
        for name, spec in self.inputs.items():
            largest = build.profile_shapes([-1 if n is None else n for n in spec.shape])
            shape = largest[-1] if largest else tuple(n or 0 for n in spec.shape)
            buffers[name] = _cuda.Buffer(self._device, shape, spec.dtype)
            self._context.set_input_shape(name, shape)
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=1) < 0:
                raise EngineError(f"output {name} has no largest size, which TensorRT needs here; use --runtime onnx")
            buffers[name] = _cuda.Buffer(self._device, shape, self._trt.nptype(self._engine.get_tensor_dtype(name)))
        return buffers

    def _run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        shapes = {name: arrays[name].shape for name in self.inputs}
        for name, shape in shapes.items():
            self._buffers[name].view(shape)[...] = arrays[name]
        known = tuple(shapes.values())
        if known not in self._recorded and len(self._recorded) < _SHAPES:
            context = self._new_context()
            self._recorded[known] = context, self._graph(context, shapes)
        context, graph = self._recorded.get(known, (self._context, None))
        if graph is None:
            self._enqueue(context, shapes)
        else:
            self._device.launch(graph)
        self._device.wait()
        results = {name: tuple(context.get_tensor_shape(name)) for name in self._outputs}
        # Copies: the pinned memory is written over by the next call.
        return {name: self._buffers[name].view(shape).copy() for name, shape in results.items()}

    def _graph(self, context: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """A CUDA graph of a call with these shapes, or None where TensorRT cannot be recorded."""
        # The first call lets TensorRT set itself up, which a graph must not hold.
        self._enqueue(context, shapes)
        self._device.wait()
        try:
            return self._device.record(lambda: self._enqueue(context, shapes))
        except EngineError:
            return None

    def _enqueue(self, context: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Copies in, the network, copies out: all on the one stream."""
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"input {name} of shape {shape} is outside of what the engine was built for")
        for name, buffer in self._buffers.items():
            context.set_tensor_address(name, buffer.pointer)
        for name, shape in shapes.items():
            buffer = self._buffers[name]
            self._device.to_device(buffer.pointer, buffer.pinned, buffer.view(shape).nbytes)
        if not context.execute_async_v3(int(self._device.stream)):
            raise EngineError(f"TensorRT failed ({self._reason()}); use --runtime onnx")
        for name in self._outputs:
            buffer = self._buffers[name]
            size = buffer.view(tuple(context.get_tensor_shape(name))).nbytes
            self._device.to_host(buffer.pinned, buffer.pointer, size)

    def _new_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run this network ({self._reason()}); use --runtime onnx")
        return context

    def _reason(self) -> str:
        return " ".join(" ".join(self._logger.errors[-2:]).split())[:200] or "no reason given"
