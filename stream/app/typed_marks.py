"""Marks from the keyboard, where there is no window: Enter notes an event, and what is typed before it names it."""

import logging
import os
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Final, TextIO

from stream.control import Control

_log = logging.getLogger(__name__)

MARK: Final = "mark"
"""The text of an event that was not named."""
_LONGEST: Final = 200
_LOOK_S: Final = 0.2


def listen(control: Control, keys: TextIO | None) -> threading.Thread | None:
    """Read a terminal until the run stops, in a thread of its own.

    Args:
        control: told each event; its source is "user".
        keys: the terminal; what is none is not read, nor is it on Windows.

    Returns:
        The thread, None where nothing is read.
    """
    if keys is None or sys.platform == "win32" or keys.closed or not keys.isatty():
        return None
    _log.info("Enter notes an event, and a text before it names it")
    thread = threading.Thread(target=_read, args=(control, keys.fileno()), name="marks", daemon=True)
    thread.start()
    return thread


def _read(control: Control, terminal: int) -> None:
    typed = b""
    with suppress(OSError, ValueError):  # the terminal is gone
        while not control.stopping:
            if not select.select([terminal], [], [], _LOOK_S)[0]:
                continue
            if not _ours(terminal):
                time.sleep(_LOOK_S)
                continue
            got = os.read(terminal, 1024)
            if not got:
                return
            *lines, typed = (typed + got).split(b"\n")
            for line in lines:
                control.event("key", line.decode(errors="replace").strip()[:_LONGEST] or MARK)


def _ours(terminal: int) -> bool:
    """Whether it is ours to read: a program in the background would be stopped."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # not the terminal that controls this process
