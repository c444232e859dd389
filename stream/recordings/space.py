"""Room on a disk, and how fast it takes what is written."""

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Final

from calibration.writing import scratch
from stream.types import StreamError

_TRIED_BYTES: Final = 64 << 20
_TRIED_S: Final = 1.0
_PIECE: Final = 1 << 20


def free_bytes(folder: Path) -> int:
    """What can still be written into a folder by this user.

    Raises:
        StreamError: if the folder is gone.
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise StreamError(f"{folder}: {error.strerror or error}") from None


def writing_speed(folder: Path) -> float:
    """Bytes a second that reach the disk itself, tried for a second at most with data that cannot be made smaller.

    Raises:
        StreamError: if the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        piece = os.urandom(_PIECE)
        most = min(_TRIED_BYTES, max(shutil.disk_usage(folder).free // 20, _PIECE))
        with scratch(folder) as place, (place / "speed").open("wb", buffering=0) as file:
            began, written = time.monotonic(), 0
            while written < most and time.monotonic() - began < _TRIED_S:
                written += file.write(piece)
            os.fsync(file.fileno())
            return written / max(time.monotonic() - began, 1e-6)
    except OSError as error:
        why = error.strerror or str(error)
        raise StreamError(f"cannot record to {folder}: {why}; give a folder that can be written") from None


def remove_if_empty(folder: Path) -> None:
    """Take a folder away again that nothing was written into."""
    with contextlib.suppress(OSError):
        folder.rmdir()
