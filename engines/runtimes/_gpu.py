"""Whether there is an NVIDIA GPU that answers, asked of its driver without any package."""

import ctypes
import sys
from functools import cache


@cache
def obstacle() -> str | None:
    """Why no GPU can be used here, in a few words; None where there is one."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return "no NVIDIA GPU driver"
    # Having the driver's library is not having a GPU: containers have the one without the other.
    if code := driver.cuInit(0):
        return f"the NVIDIA driver does not start (error {code})"
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver does not answer (error {code})"
    return None if count.value else "no NVIDIA GPU"
