"""From an ONNX file to a TensorRT engine, and the key under which it is kept. Needs no GPU of its own.

``tensorrt`` (10 and 11) and ``tensorrt_rtx`` share this API. Networks are strongly typed, the only kind that TensorRT
11 has: precision is what the ONNX file says.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engines.runtimes import _example, _module
from engines.types import EngineError

MODULES: Final = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""In the order in which they are tried; the last is what the pinned wheels of requirements-rtx.txt bring."""
BATCHES: Final = (1, 4, 16)
"""Fewest, usual and most views of one call where the batch is free."""
SIDES: Final = (32, 256, 512)
"""The same for a free width or height, pixels."""
WORKSPACE: Final = 1 << 30
"""Bytes of GPU memory that a layer may use to be fast."""


def profile_shapes(shape: Sequence[int]) -> tuple[tuple[int, ...], ...] | None:
    """Smallest, usual and largest shape of an input for the optimisation profile.

    Args:
        shape: of the network's input, batch first; negative where an axis is free.

    Returns:
        Three shapes; None where no axis is free and none is needed.
    """
    if all(n >= 0 for n in shape):
        return None
    return tuple(
        tuple(n if n >= 0 else (SIDES if k else BATCHES)[which] for k, n in enumerate(shape)) for which in range(3)
    )


def engine_key(sha256: str, gpu: str, driver: str, version: str, precision: str) -> dict[str, object]:
    """What an engine belongs to: with any other of these it has to be built again.

    Args:
        sha256: of the ONNX file.
        gpu: name and compute capability.
        driver: its version.
        version: name and version of the TensorRT that builds it.
        precision: of the ONNX file.
    """
    return {
        "onnx": sha256, "gpu": gpu, "driver": driver, "tensorrt": version, "precision": precision,
        "profile": [list(BATCHES), list(SIDES)], "compared": True,
    }  # fmt: skip


def timing_key(gpu: str, driver: str, version: str) -> dict[str, object]:
    """What TensorRT's timings of layers belong to; networks that share layers share them."""
    return {"timings": True, "gpu": gpu, "driver": driver, "tensorrt": version}


def pack(verdict: str, engine: bytes) -> bytes:
    """What is kept of a build: a line of what came of comparing it, and the engine; none of one that was refused."""
    return f"{verdict}\n".encode() + engine


def unpack(kept: bytes) -> tuple[str, bytes]:
    """The line and the engine.

    Raises:
        EngineError: if it was refused.
    """
    verdict, _, engine = kept.partition(b"\n")
    if not engine:
        raise EngineError(verdict.decode())
    return verdict.decode(), engine


def find() -> str | None:
    """The module of TensorRT that is installed, or None."""
    return next((name for name in MODULES if _module.installed(name)), None)


def import_module(name: str) -> Any:
    """Import TensorRT.

    Raises:
        EngineError: if it is there but does not load.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        reason = _module.one_line(error)
        raise EngineError(f"{name} does not load ({reason}): pip install -r requirements-gpu.txt") from error


def make_logger(trt: Any) -> Any:
    """A logger that prints nothing and keeps errors in its ``errors``, for the one line that they end in."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(msg)

    return Logger()


def build(trt: Any, model: bytes, name: str, timings: bytes = b"") -> tuple[bytes, bytes]:
    """Compile a network.

    Args:
        trt: the module of TensorRT.
        model: bytes of the ONNX file.
        name: of the file, for messages.
        timings: what an earlier build returned for the same GPU, driver and TensorRT.

    Returns:
        The engine, and the timings to be kept; empty where this TensorRT has none.

    Raises:
        EngineError: if the network cannot be read or built.
    """
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    flags = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flags is None else 1 << int(flags))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model) or not network.num_outputs:
        reasons = [parser.get_error(k).desc() for k in range(parser.num_errors)] or logger.errors
        raise EngineError(f"{name} is not a network that TensorRT can read ({_short(reasons)}); use --runtime onnx")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    # On by default: 10 bits of mantissa would be called fp32.
    config.clear_flag(trt.BuilderFlag.TF32)
    inputs = [network.get_input(k) for k in range(network.num_inputs)]
    shapes = {value.name: profile_shapes(tuple(value.shape)) for value in inputs}
    if any(shapes.values()):
        profile = builder.create_optimization_profile()
        for value, three in shapes.items():
            if three:
                profile.set_shape(value, *three)
        config.add_optimization_profile(profile)
    cache = None
    if not trt.__name__.startswith("tensorrt_rtx"):  # there they do nothing, with a warning
        cache = config.create_timing_cache(timings)
        config.set_timing_cache(cache, False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(f"TensorRT could not build {name} ({_short(logger.errors)}); use --runtime onnx")
    return bytes(engine), bytes(cache.serialize()) if cache is not None else b""


def describe_inputs(engine: Any, trt: Any) -> Mapping[str, _example.Spec]:
    """The inputs of an engine."""
    return {
        name: _example.Spec(
            trt.nptype(engine.get_tensor_dtype(name)),
            tuple(n if n >= 0 else None for n in engine.get_tensor_shape(name)),
        )
        for name in tensor_names(engine, trt, trt.TensorIOMode.INPUT)
    }


def tensor_names(engine: Any, trt: Any, mode: Any) -> list[str]:
    """Names of an engine's inputs or outputs, in their order."""
    names = [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name) == mode]


def _short(reasons: Sequence[str]) -> str:
    return " ".join(" ".join(reasons).split())[:200] or "no reason given"
