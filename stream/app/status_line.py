"""One line that says how something goes on: rewritten in place on a terminal, a new one now and then in a log."""

import shutil
import time
from typing import Final, TextIO

from stream.app.console import shown

_TTY_S: Final = 0.5
_LOG_S: Final = 10.0


class StatusLine:
    """Where nobody can read it any more, nothing ends.

    Args:
        out: where it goes.
    """

    def __init__(self, out: TextIO) -> None:
        self._out, self._tty = out, out.isatty()
        self._last = float("-inf")
        self._in_place = self._quiet = False

    @property
    def due(self) -> bool:
        """Whether it is time for another one."""
        return not self._quiet and time.monotonic() - self._last >= (_TTY_S if self._tty else _LOG_S)

    def show(self, line: str) -> None:
        """Say it, if it is time."""
        if not self.due:
            return
        self._last, self._in_place = time.monotonic(), self._tty
        width = shutil.get_terminal_size().columns - 1
        self._write("\r" + shown(line)[:width] + "\x1b[K" if self._tty else shown(line) + "\n")

    def close(self) -> None:
        """End the line, so that what comes next begins on its own."""
        if self._in_place:
            self._write("\n")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            self._quiet = True
