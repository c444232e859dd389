"""Ctrl-C: once ends the run well, twice ends it now; before it has begun there is nothing to end well."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engines.argument_types import INTERRUPTED
from stream.control import Control


@contextmanager
def leave_on_interrupt() -> Iterator[None]:
    """Within it, SIGINT leaves the process with one line.

    A KeyboardInterrupt can come out of the middle of any package that is being loaded, and as another exception.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        os.write(2, b"run_stream: stopped before it began\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def finish_on_interrupt(control: Control) -> Iterator[None]:
    """Within it, SIGINT (and SIGTERM) stops the run; a second one leaves the process at once.

    Only the main thread may set signal handlers; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        # Not ``control.stopping``: a run that is at its end is stopping, too, and then closes its files.
        nonlocal asked
        if asked:
            os._exit(INTERRUPTED)
        asked = True
        control.stop()
        # Not print(): the signal may have come while the main thread was inside it.
        os.write(2, b"\nfinishing; Ctrl-C again to leave at once\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
