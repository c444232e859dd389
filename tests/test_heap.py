"""Memory that is given back while a run goes on."""

import platform
import threading

import numpy as np
import psutil
import pytest

from stream.live.heap import memory_given_back, trimmer
from tests.reading import wait_until


def test_memory_is_given_back_until_the_end_and_by_no_thread_afterwards():
    given = []
    with memory_given_back(0.001, lambda: given.append(threading.current_thread().name)):
        wait_until(lambda: len(given) > 2)
    assert set(given) == {"heap"} and not any(thread.name == "heap" for thread in threading.enumerate())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing, or say nothing of it")
def test_what_was_freed_goes_back_to_the_system():
    # 40 MB in pieces that glibc does not map one by one, with others between them that stay.
    blocks = [np.ones(10_000) for _ in range(500)]
    kept = blocks[::50]
    del blocks
    before = psutil.Process().memory_info().rss
    trimmer()()
    assert before - psutil.Process().memory_info().rss > 10e6
    assert len(kept) == 10
