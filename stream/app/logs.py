"""Where the lines of the loggers go: to the terminal, and to --log-file. A library user installs handlers of their own.

Loggers are named after the packages. What a run has to say is INFO, what is not as it was asked for is WARNING, and
what ended it is ERROR.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from calibration.addresses import scrub
from stream.app.console import shown
from stream.bars import Bar
from stream.types import StreamError

CLEARED: Final = "\r\x1b[K"
"""Takes a terminal to the begin of its line, which is empty then."""
PACKAGES: Final = ("stream", "engines", "calibration")
"""Whose loggers are listened to."""


@contextmanager
def lines_shown(level: int = logging.INFO, file: Path | None = None) -> Iterator[None]:
    """Within it, lines of ``level`` and above are shown on stderr, and those of INFO and above also kept in a file.

    Args:
        level: of the terminal. DEBUG is kept in the file, too, where it is asked for.
        file: added to; made for its owner alone, because it says whose cameras are where.

    Raises:
        StreamError: if the file cannot be written.
    """
    handlers: list[logging.Handler] = [_Terminal(level)]
    problem = ""
    if file is not None:
        try:
            file.touch(mode=0o600)
            handlers.append(_File(file, encoding="utf-8"))
        except (OSError, ValueError) as error:
            problem = f"--log-file {file}: cannot be written: {getattr(error, 'strerror', None) or error}"
    if problem:
        raise StreamError(problem)
    before = {name: logging.getLogger(name).level for name in PACKAGES}
    try:
        for name in PACKAGES:
            logger = logging.getLogger(name)
            logger.setLevel(min(level, logging.INFO))
            for handler in handlers:
                logger.addHandler(handler)
        yield
    finally:
        for name, was in before.items():
            logger = logging.getLogger(name)
            logger.setLevel(was)
            for handler in handlers:
                logger.removeHandler(handler)
        for handler in handlers:
            # A disk that is full by now.
            with suppress(OSError):
                handler.close()


class _Scrubbed(logging.Formatter):
    """Shows no password, whoever wrote the line, nor in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))

    def formatException(self, ei: Any) -> str:
        return scrub("".join(traceback.format_exception(*ei)).rstrip())


class _Terminal(logging.Handler):
    """One line a record, without spoiling a progress bar; where nobody can read it any more, nothing ends."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(_Scrubbed("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "printed", False):
            return
        with suppress(OSError, ValueError, AttributeError):  # full, closed, or none (pythonw)
            over = CLEARED if sys.stderr.isatty() else ""  # a line that is rewritten in place may stand there
            Bar.write(over + "\n".join(map(shown, self.format(record).split("\n"))), file=sys.stderr)


class _File(logging.FileHandler):
    """With time, level and logger. A full disk ends no run."""

    def __init__(self, file: Path, **settings: Any) -> None:
        super().__init__(file, **settings)
        self.setFormatter(_Scrubbed("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: logging's own would print a traceback a line."""
