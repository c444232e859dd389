"""On what was measured: processor, its instructions that matter here, memory, versions. Never whose machine it is."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

_FLAGS: Final = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
_PACKAGES: Final = (
    "numpy", "opencv-contrib-python", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "tensorrt", "mediapipe",
    "av",
)  # fmt: skip
_CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def describe() -> dict[str, Any]:
    """The machine of a result."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "flags": [flag for flag in _FLAGS if flag in _cpu_info("flags", "Features").split()],
        "cache_mb": {level: round(size / 1e6, 2) for level, size in caches().items()},
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "gpu": gpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def title(machine: dict[str, Any]) -> str:
    """The machine in a line."""
    flags = [flag for flag in machine["flags"] if flag.startswith(("amx_int8", "avx512_vnni", "avx_vnni", "asimddp"))]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ", no GPU"
    caches = ", ".join(f"{level} {size:g} MB" for level, size in machine["cache_mb"].items() if level != "L1")
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({', '.join(flags) or 'no int8 instructions'}; {caches}), "
        f"{machine['memory_gb']} GB{gpu}; Python {machine['python']}, {packages}"
    )


def slug(machine: dict[str, Any]) -> str:
    """A file name for the machine's results."""
    text = f"{machine['cpu']} {machine['cores']} cores {machine['gpu']}".lower()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)|processor|cpu", " ", text)).strip("-")


def cores() -> int:
    """Processors this process may use."""
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """What the processor calls itself."""
    return " ".join((_cpu_info("model name", "Model") or platform.processor() or platform.machine()).split())


def caches() -> dict[str, int]:
    """Bytes of the data caches of one core by level, as the system reports them; empty where it does not.

    A virtual machine sees the whole last-level cache of its host, which it shares with the others there.
    """
    found: dict[str, int] = {}
    for index in sorted(_CACHES.glob("index*")):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size[-1] in _UNITS:
            found[f"L{level}"] = int(size[:-1]) * _UNITS[size[-1]]
    return found


def gpu_name() -> str:
    """The first NVIDIA GPU, or nothing."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].replace(", ", ", driver ") if done.returncode == 0 and done.stdout else ""


def _cpu_info(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() in keys), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
