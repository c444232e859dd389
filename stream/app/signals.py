"""Ctrl-C: once ends the run well, twice ends it now; before it has begun there is nothing to end well.

A terminal that is closed (SIGHUP) ends it well too, however often that is told.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from engines.argument_types import INTERRUPTED
from stream.app.console import PRINTED
from stream.control import Control

_log = logging.getLogger(__name__)
_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows


@contextmanager
def leave_on_interrupt(program: str = "run_stream") -> Iterator[None]:
    """Within it, SIGINT leaves the process with one line.

    A KeyboardInterrupt can come out of the middle of any package that is being loaded, and as another exception.

    Args:
        program: what it is called in that line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, f"{program}: stopped before it began\n".encode())
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def finish_on_interrupt(control: Control) -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP stop the run; a second SIGINT or SIGTERM leaves the process at once.

    Only the main thread may set signal handlers; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = hung_up = False

    def handle(number: int, _frame: FrameType | None) -> None:
        # Not ``control.stopping``: a run that is at its end is stopping, too, and then closes its files.
        nonlocal asked, hung_up
        hung_up = hung_up or number == _HANGUP
        if asked and number != _HANGUP:  # the shell and the system each send one
            os._exit(INTERRUPTED)
        asked = True
        control.stop()
        # Not print(): the signal may have come while the main thread was inside it. The terminal may be gone.
        with suppress(OSError):
            os.write(2, b"\nfinishing; Ctrl-C again to leave at once\n")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:  # nohup means: go on
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        if asked:  # not in the handler: the signal may have come while a line was being written
            _log.info("asked to finish by a signal", extra=PRINTED)
        for number, handler in before.items():
            # The second SIGHUP of a closed terminal may come while the summary is printed, and must not end that.
            signal.signal(number, signal.SIG_IGN if hung_up and number == _HANGUP else handler)
