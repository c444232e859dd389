"""Whether there is an NVIDIA GPU that answers, asked of its driver without any package."""

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Final

_LIBRARY: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_RELEASE: Final = Path("/proc/driver/nvidia/version")


@cache
def obstacle() -> str | None:
    """Why no GPU can be used here, in a few words; None where there is one."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return "no NVIDIA GPU driver"
    # Having the driver's library is not having a GPU: containers have the one without the other.
    if code := driver.cuInit(0):
        return f"the NVIDIA driver does not start (error {code})"
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver does not answer (error {code})"
    return None if count.value else "no NVIDIA GPU"


@cache
def describe() -> str:
    """Name of the first GPU, and the versions of CUDA and of its driver; without a GPU, why."""
    if reason := obstacle():
        return reason
    driver = ctypes.CDLL(_LIBRARY)
    device, name, version = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    return f"{name.value.decode(errors='replace')} {version.value} {release()}".strip()


def release() -> str:
    """What the driver says of its release, where the system tells; else nothing."""
    return _RELEASE.read_text().splitlines()[0] if _RELEASE.is_file() else ""
