"""Sockets of libraries that listen on all interfaces and cannot be told otherwise: LSL's and DDS's."""

import os
import socket
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import Final

_DEVICE: Final = getattr(socket, "SO_BINDTODEVICE", None)
"""Linux alone has it; since 5.7 it needs no rights."""
_OPEN: Final = Path("/proc/self/fd")
_EVERYWHERE: Final = ("0.0.0.0", "::")


def confine(ports: Container[int]) -> bool:
    """Let sockets of this process that listen on these ports of all interfaces take from the loopback interface only.

    The kernel then drops what comes from elsewhere; ``ss`` shows them as ``0.0.0.0%lo``.

    Returns:
        Whether every one of them is; False where the system cannot.
    """
    if _DEVICE is None or not _OPEN.is_dir():
        return False
    done = True
    for number in os.listdir(_OPEN):
        with suppress(OSError):  # closed meanwhile, or no socket
            done = _confined(int(number), ports) and done
    return done


def _confined(descriptor: int, ports: Container[int]) -> bool:
    if _DEVICE is None or not os.readlink(_OPEN / str(descriptor)).startswith("socket:"):
        return True
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in (socket.AF_INET, socket.AF_INET6):
            return True
        host, port, *_ = copy.getsockname()
        if port not in ports or host not in _EVERYWHERE:
            return True
        try:
            copy.setsockopt(socket.SOL_SOCKET, _DEVICE, b"lo\0")
        except OSError:
            return False
    return True
