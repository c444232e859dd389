"""Memory that is given back while a run goes on."""

import os
import platform
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

from stream.live.heap import memory_given_back, trimmer
from tests.reading import wait_until

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of other C libraries nothing of it is known")


def test_memory_is_given_back_until_the_end_and_by_no_thread_afterwards():
    given = []
    with memory_given_back(0.001, lambda: given.append(threading.current_thread().name)):
        wait_until(lambda: len(given) > 2)
    assert set(given) == {"heap"} and not any(thread.name == "heap" for thread in threading.enumerate())


HEAPS = """
import ctypes, os, sys, threading
from stream.live.heap import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
together = threading.Barrier(12)
def work():
    together.wait()
    kept = [bytearray(5000) for _ in range(200)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@GLIBC
def test_threads_share_as_many_heaps_as_there_are_cores(tmp_path):
    few = max(2, os.cpu_count() or 1)
    for how in ("limited", "as it is"):
        child = [sys.executable, "-c", HEAPS, how, str(tmp_path / "heaps.xml")]
        subprocess.run(child, check=True, env={k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"})
        count = (tmp_path / "heaps.xml").read_text().count("<heap nr=")
        assert (count <= few) == (how == "limited" or few >= 12)


@GLIBC
def test_what_was_freed_goes_back_to_the_system():
    # 40 MB in pieces that glibc does not map one by one, with others between them that stay.
    blocks = [np.ones(10_000) for _ in range(500)]
    kept = blocks[::50]
    del blocks
    before = psutil.Process().memory_info().rss
    trimmer()()
    assert before - psutil.Process().memory_info().rss > 10e6
    assert len(kept) == 10
