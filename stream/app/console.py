"""What a command says, and to whom: lines that stay lines, outputs that nobody reads, errors that a limit caused."""

import errno
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from calibration.errors import UserError
from engines.argument_types import FAILED, INTERRUPTED, MISTAKE
from stream.app.install_hint import hint, shadowed
from stream.bars import Bar

PRINTED: Final = {"printed": True}
"""``extra`` of a line that is on the terminal by other means: it goes to files only."""

_log = logging.getLogger(__name__)

# Not for terminals: control characters, line separators, marks that turn the direction of writing, half a character.
_UNSHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")

_NO_MEMORY = ("bad_alloc", "Insufficient memory", "allocate memory", "Failed to allocate", "not enough memory")
_NO_THREADS = ("can't start new thread", "pthread_create", "Resource temporarily unavailable", "PosixThread")


def shown(text: str) -> str:
    """The text as one line: names out of files may hold newlines, and escape sequences that command a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNSHOWN and c != "\u200d" else c
        for c in text
    )


def open_missing() -> None:
    """Give the process the standard streams it was started without.

    Else the next file that is opened gets the number of one of them, and what is meant for the terminal goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text


def say(line: str) -> None:
    """Tell the user one line, without spoiling a progress bar; where nobody can read it any more, nothing ends.

    It is kept in a file of lines too, where there is one.
    """
    if _log.hasHandlers():  # else logging would print it once more by itself
        _log.error("%s", shown(line), extra=PRINTED)
    with suppress(OSError):
        Bar.write(shown(line), file=sys.stderr)


def tell(lines: Sequence[str]) -> bool:
    """Print results; when nobody can read them any more (``| head``, a full disk), the run was no less good for it.

    Returns:
        Whether nothing is lost: it is printed, or its reader had seen enough.
    """
    try:
        print("\n".join(map(shown, lines)), flush=True)
    except OSError as error:
        _discard(sys.stdout)
        if error.errno != errno.EPIPE:
            say(f"what is printed cannot be written: {error.strerror}")
            return False
    return True


def ended(error: UserError | KeyboardInterrupt, stopped: str = "") -> int:
    """Tell why a verb ends without what it was asked for.

    Args:
        error: what ended it.
        stopped: what is said where Ctrl-C did; nothing when empty.

    Returns:
        The exit code.
    """
    if isinstance(error, UserError):
        say(str(error))
        return MISTAKE
    if stopped:
        say(stopped)
    return INTERRUPTED


def program() -> str:
    """What the program is called in its lines: as it was started, by the installed command or from a checkout."""
    installed = "hypothesis-stream"
    return installed if Path(sys.argv[0]).stem == installed else "run_stream"


def guarded(program: str, work: Callable[[], int]) -> int:
    """Run a command: with all standard streams, and with one line where a limit of the machine ends it.

    Args:
        program: what it is called in that line.
        work: the command; its exit code.

    Returns:
        The exit code: that of the command; 2 where a limit ended it or a library is missing, 1 where its results could
        not be printed.

    Raises:
        Exception: whatever ``work`` raises that no limit explains.
    """
    open_missing()
    try:
        return _guarded(program, work)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)


def _guarded(program: str, work: Callable[[], int]) -> int:
    try:
        result = work()
    except Exception as error:  # a limit shows as an error of any library
        problem = shortage(error)
        if problem is not None:
            say(f"{program}: {problem}")
            return MISTAKE
        if isinstance(error, ImportError):  # sinks and others are imported when the registry is read
            say(f"{program}: {shadowed() or hint(error)}")
            return MISTAKE
        if not isinstance(error, OSError):
            raise
        if not (_unread(program) or isinstance(error, BrokenPipeError)):
            say(f"{program}: cannot go on: {error}")
        return FAILED
    return FAILED if _unread(program) else result


def _unread(program: str) -> bool:
    """Whether results cannot be printed and are lost. A reader that has seen enough (``| head``) is no loss."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard(sys.stdout)
        if error.errno != errno.EPIPE:
            say(f"{program}: what is printed cannot be written: {error.strerror}")
            return True
    return False


def _discard(stream: TextIO) -> None:
    """Throw away what is printed there: what is left in the buffer would fail once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def shortage(error: BaseException) -> str | None:
    """What the machine or a limit did not give, where that is what an error or one that it comes from means."""
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__ or error
    texts = [str(one) for one in chain]
    if any(isinstance(one, MemoryError) for one in chain) or _found(_NO_MEMORY, texts):
        return "out of memory; fewer or smaller images help, or a higher limit (ulimit -v)"
    if _found(_NO_THREADS, texts):
        return "no more threads can be started; a higher limit helps (ulimit -u, or that of the container)"
    if any(isinstance(one, OSError) and one.errno in (errno.EMFILE, errno.ENFILE) for one in chain):
        return "no more files can be opened; a higher limit helps (ulimit -n)"
    return None


def _found(parts: Sequence[str], texts: Sequence[str]) -> bool:
    return any(part in text for part in parts for text in texts)
