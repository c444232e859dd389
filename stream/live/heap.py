"""Memory that nothing holds any more, given back to the system while a run goes on.

glibc keeps what a thread has freed for the next thread like it. A run whose takes come and go, each with its threads
and images of some hundred kilobytes, so grows by half a megabyte a minute though it holds no more; ``malloc_trim``
gives that back (malloc_trim(3)).
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY_S: Final = 30.0
"""It takes some milliseconds, during which one thread after another may have to wait for memory."""


_M_ARENA_MAX: Final = -8
"""The number of that setting in malloc.h."""


def limit_arenas() -> None:
    """Let threads share as many heaps as there are cores, where glibc makes eight times as many (mallopt(3)).

    What one thread freed then serves the next one. To be called by a program, once, before it starts threads; whoever
    has set ``MALLOC_ARENA_MAX`` keeps that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, max(2, os.cpu_count() or 1))


def trimmer() -> Callable[[], object]:
    """What gives memory back; where the system's C library has nothing of the kind, it does nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    return (lambda: None) if trim is None else lambda: trim(ctypes.c_size_t(0))


@contextmanager
def memory_given_back(every_s: float = EVERY_S, give: Callable[[], object] | None = None) -> Iterator[None]:
    """Within it, what was freed is given back now and then, by a thread of its own.

    Args:
        every_s: seconds between two times.
        give: gives it back; None for that of this system.
    """
    over = threading.Event()
    work = give or trimmer()

    def keep() -> None:
        while not over.wait(every_s):
            work()

    thread = threading.Thread(target=keep, name="heap", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
