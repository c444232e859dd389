"""One capture a camera: a second one, also of another process, is refused."""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stream.config import SourceConfig
from stream.sources import place_of
from stream.types import StreamError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def lock_cameras(sources: Sequence[SourceConfig]) -> Iterator[None]:
    """Within it, no other process of this user can lock these cameras. A process that is killed leaves no lock.

    Raises:
        StreamError: if one is locked.
    """
    held: list[int] = []
    try:
        for source in sources:
            held += _lock(source)
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _lock(source: SourceConfig) -> list[int]:
    if sys.platform == "win32":
        return []  # a local camera can be opened once there
    name = hashlib.sha256(place_of(source.source).encode(errors="surrogatepass")).hexdigest()[:24]
    path = Path(tempfile.gettempdir()) / f"hypothesis-stream-{os.getuid()}-{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return []  # where there is no place for a lock, the camera itself may still refuse
    free = True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        free = False
    if free:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return [descriptor]
    other = os.pread(descriptor, 20, 0).decode(errors="replace")
    os.close(descriptor)
    whose = f", by process {other}" if other.isdecimal() else ""
    raise StreamError(f"{source.name}: {source.shown} is being captured already{whose}; end that capture first")
