"""Files that are whole or not there: written aside in the same folder, synced and renamed.

Only a regular file is ever replaced, and only by a whole one; a link is followed to the file that it names. What a
killed program left behind is removed by the next one that writes to the same folder.
"""

import contextlib
import errno
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from calibration.errors import UserError

if sys.platform != "win32":
    import fcntl

_PREFIX = ".writing-"
# Where a folder cannot be locked (Windows, some network disks), only one this old is surely nobody's, seconds.
_OLD = 86400.0
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class WriteError(UserError):
    """A file that cannot be written; what was there is as it was."""


def special(path: Path) -> str | None:
    """What a path is in words where it is no regular file ("a folder", "a FIFO", "a device"), links followed.

    Returns:
        None for a regular file and for nothing at all.

    Raises:
        OSError: if it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISREG(mode) else next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")


def check_target(path: Path) -> None:
    """Find out whether a file can be written there, without changing anything.

    Raises:
        WriteError: for what is no regular file or is read-only, and for a folder that cannot be written to.
    """
    try:
        kind = special(path)
        if kind is not None:
            raise WriteError(f"{path} cannot be written: it is {kind}; give the name of a file")
        real = path.resolve()
        if real.exists() and not os.access(real, os.W_OK):
            raise WriteError(f"{path} cannot be written: it is read-only")
        folder = next(parent for parent in real.parents if parent.exists())
        if not folder.is_dir():
            raise WriteError(f"{path} cannot be written: {folder} is not a folder")
        if not os.access(folder, os.W_OK):
            raise WriteError(f"{path} cannot be written: {folder} is not a folder that you may write to")
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a null character in the name
        raise WriteError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder inside a folder, which is made; it is gone afterwards, and so are those of killed programs.

    Raises:
        OSError: if it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):
        _remove_abandoned(left)
    place, lock = _make(folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path of the same name to write a file to; when the block ends well, the file takes its place, whole.

    Raises:
        WriteError: if it cannot be written, also where the block raises OSError.
    """
    check_target(path)
    try:
        target = path.resolve()
        with scratch(target.parent) as place:
            part = place / target.name
            yield part
            put(part, target)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """A new, empty folder; when the block ends well, it takes the place of the one at the path, which is removed.

    Raises:
        OSError: if it cannot be made or moved; then what was there is as it was.
    """
    target = path.resolve()
    with scratch(target.parent) as place:
        new = place / "new"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(place / "old")
        new.rename(target)


def put(part: Path, target: Path) -> None:
    """Sync a finished file of the same disk and give it its name; one that it replaces hands on its permissions.

    Raises:
        OSError: if that fails; then what was there is as it was.
    """
    with contextlib.suppress(FileNotFoundError):
        part.chmod(stat.S_IMODE(target.stat().st_mode))
    sync(part)
    os.replace(part, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk itself.

    Raises:
        OSError: if the disk does not take it.
    """
    if sys.platform == "win32" and path.is_dir():
        return  # Windows has no such call
    # Windows syncs only what is open for writing.
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteError: if it cannot be written.
    """
    with aside(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all, with the line ends of the text.

    Raises:
        WriteError: if it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def _make(folder: Path) -> tuple[Path, int | None]:
    """A new folder and the lock that says that it is used; None where there are no such locks."""
    for _ in range(20):
        place = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        try:
            lock = _lock(place)
        except (BlockingIOError, FileNotFoundError):
            continue  # another program took it for abandoned before it was locked
        if lock is None or os.fstat(lock).st_nlink:
            return place, lock
        os.close(lock)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _lock(place: Path) -> int | None:
    """Hold a folder until this program ends in whatever way; None where there are no such locks."""
    if sys.platform == "win32":
        return None
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned(place: Path) -> None:
    """Remove a folder in which nobody writes any more: no program holds its lock or, without locks, it is a day old."""
    with contextlib.suppress(OSError):
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or (sys.platform != "win32" and found.st_uid != os.geteuid()):
            return
        lock = _lock(place)
        if lock is not None or time.time() - found.st_mtime > _OLD:
            shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)
