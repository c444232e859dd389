"""The one queue of the pipeline: bounded, counted, and closed in a way that wakes everybody."""

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Policy = Literal["latest", "every"]


class Closed(Exception):  # noqa: N818 - a state, no error, as queue.Empty is
    """The channel is closed and, for a reader, empty."""


class Channel(Generic[T]):
    """A queue between two threads.

    Policy "latest": ``put`` never blocks; when full the oldest item is dropped and counted.
    Policy "every": ``put`` blocks until there is room, or, with ``block=False``, drops the new item and counts it.
    """

    def __init__(self, policy: Policy, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"a channel of size {size} cannot hold anything")
        self.policy: Policy = policy
        self.size = size
        self.dropped = 0
        """Items that were put and never read, so far."""
        self._items: deque[T] = deque()
        self._closed = False
        self._change = threading.Condition()

    def put(self, item: T, *, block: bool = True) -> bool:
        """Add an item.

        Returns:
            Whether nothing was dropped.

        Raises:
            Closed: if the channel was closed, also while waiting for room.
        """
        with self._change:
            if self.policy == "every" and block:
                self._change.wait_for(lambda: self._closed or len(self._items) < self.size)
            if self._closed:
                raise Closed
            kept = True
            if len(self._items) >= self.size:
                self.dropped += 1
                kept = False
                if self.policy == "every":
                    return kept
                self._items.popleft()
            self._items.append(item)
            self._change.notify_all()
            return kept

    def get(self, timeout: float | None = None) -> T:
        """Take the oldest item, waiting up to timeout seconds (None: until there is one).

        Raises:
            Closed: if the channel is closed and empty.
            TimeoutError: if nothing came in time.
        """
        with self._change:
            if not self._change.wait_for(lambda: self._closed or bool(self._items), timeout):
                raise TimeoutError
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._change.notify_all()
            return item

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether the writer is done."""
        return self._closed

    def close(self) -> None:
        """No more items; readers drain what is left, then get Closed. Wakes every waiter. Idempotent."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def discard(self) -> None:
        """Drop and count what waits, as its reader is gone: images of a sink that failed must not stay in memory."""
        with self._change:
            self.dropped += len(self._items)
            self._items.clear()
            self._change.notify_all()
