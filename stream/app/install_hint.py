"""What to do when an import fails or would. Standard library only, as it must work when nothing else does."""

import os
import threading
from importlib.util import find_spec
from pathlib import Path

APT = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libX11.so.6": "libx11-6",
}
"""System libraries that the wheels need, with the Debian and Ubuntu package that brings them."""

_INSTALL = "pip install -r requirements.lock, or use: make run; without a checkout: pip install hypothesis-stream"

LEAST_MEMORY = 1_500_000_000
"""Bytes of address space below which libraries crash while they are loaded; a run needs 2 GB and more."""

RUN_THREADS = 14
"""Threads of a run of one camera beside one a core."""


def hint(error: ImportError) -> str:
    """One line that says what is missing and how to get it."""
    for library, package in APT.items():
        if library in str(error):
            return f"the system library {library} is missing; on Debian or Ubuntu: sudo apt install {package}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the Python package {error.name!r} is not installed; {_INSTALL}"
    return f"something that is needed does not load ({error}); {_INSTALL}"


def limited() -> str | None:
    """One line where the process may have too little memory or too few threads: libraries then crash without a word."""
    return _little_memory() or _few_threads()


def _little_memory() -> str | None:
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit >= LEAST_MEMORY:
        return None
    least = f"{LEAST_MEMORY / 1e9:g} GB"
    return f"out of memory before it began: this shell allows {limit / 1e9:.1f} GB (ulimit -v), {least} is the least"


def _few_threads() -> str | None:
    """Tried, because a limit may be the user's, the container's or the system's, and others count too."""
    needed = RUN_THREADS + min(os.cpu_count() or 1, 64)  # the libraries start one a core
    gate, started = threading.Event(), 0
    threads = [threading.Thread(target=gate.wait, daemon=True) for _ in range(needed)]
    try:
        for thread in threads:
            thread.start()
            started += 1
    except RuntimeError:
        return (
            f"no threads are left before it began: {started} more can be started, {needed} are needed; a higher limit "
            "helps (ulimit -u, or that of the container)"
        )
    finally:
        gate.set()
        for thread in threads[:started]:
            thread.join()
    return None


def shadowed() -> str | None:
    """One line that names another package ``engines`` or ``calibration`` which stands before ours; None: there is none.

    Both names are common, and an unrelated folder of the working directory is imported before an installed package.
    """
    ours = Path(__file__).resolve().parents[2]
    for name in ("engines", "calibration"):
        spec = find_spec(name)
        # A folder without __init__.py has several places, a single file has none but itself.
        found = [] if spec is None else spec.submodule_search_locations or [spec.origin or ""]
        places = [Path(place).resolve() for place in found]
        if places and ours / name not in places:
            return (
                f"{places[0]} stands before ours of that name ({ours / name}); start from another folder, or rename it"
            )
    return None
