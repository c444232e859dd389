"""Ctrl-C: once ends the run well, twice ends it now."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_NOW = 130
"""128 + SIGINT, as shells report it."""


@contextmanager
def finish_on_interrupt(stop: threading.Event) -> Iterator[None]:
    """Within it, SIGINT (and SIGTERM) sets ``stop``; a second one leaves the process at once.

    Only the main thread may set signal handlers; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(EXIT_NOW)
        stop.set()
        print("\nfinishing; Ctrl-C again to leave at once", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
