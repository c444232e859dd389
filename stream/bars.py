"""Bars of progress, which cannot hold up whoever else writes to the terminal."""

from typing import Any

from tqdm import tqdm


class Bar(tqdm):
    """A tqdm whose lock is free again after a write that failed.

    tqdm takes its lock, writes, and gives it back, with nothing that does so where writing fails (a log on a full
    disk, a pipe that is gone). The bar can be given up then, but every other thread that shows a bar, or writes a line
    past one, would wait for ever.
    """

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
        """See ``tqdm.refresh``; without ``lock_args``, of which nothing here makes use."""
        if nolock:
            super().refresh(nolock=True)
            return
        with self.get_lock():
            super().refresh(nolock=True)

    def clear(self, nolock: bool = False) -> None:
        """See ``tqdm.clear``."""
        if nolock:
            super().clear(nolock=True)
            return
        with self.get_lock():
            super().clear(nolock=True)
