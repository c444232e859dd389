"""Fetches what a node of files has, in order, as fast as the slowest of its cameras is read."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from stream.cluster.feed import Feed
from stream.cluster.messages import Batch, Pull, SeenFrame
from stream.cluster.wire import MOST_BATCH, WireError, decode
from stream.types import StreamError

_AHEAD: Final = 64
"""Frames of files that are fetched ahead of whoever reads them."""
_GONE_S: Final = 10.0
"""A node that answers nothing for so long is gone."""


class FileFetch:
    """Fetches from one node.

    Args:
        title: of the group and its place, for messages.
        node: its id.
        feeds: of it, now.
        ask: it for frames, which are waited for; None where there is no answer.
        take: hands a frame on; may raise StreamError.
        gone: whether it has ended.
        wrong: told that it sent what is no message.
        stop: set at the end.
    """

    def __init__(
        self, title: str, node: str, feeds: Callable[[], Sequence[Feed]], ask: Callable[[Pull], bytes | None],
        take: Callable[[SeenFrame], None], gone: Callable[[], bool], wrong: Callable[[], None], stop: threading.Event,
    ) -> None:  # fmt: skip
        self._title, self._node = title, node
        self._feeds, self._ask, self._take, self._gone, self._wrong = feeds, ask, take, gone, wrong
        self._stop = stop

    def __call__(self) -> None:
        """Fetch until all was fetched, or it is over; then the feeds end, with the error that there was."""
        error = None
        try:
            self._fetch_on()
        except StreamError as found:
            error = found
        for feed in self._feeds():
            feed.error = error
            feed.frames.close()

    def _fetch_on(self) -> None:
        after, answered = -1, time.monotonic()
        while not self._stop.is_set():
            mine = self._feeds()
            most = MOST_BATCH if not mine or min(len(feed.frames) for feed in mine) < _AHEAD else 0
            batch = self._fetch(Pull(after, most))
            if batch is None:
                if self._gone():
                    raise StreamError(f"{self._title}: {self._node} ended before all of its frames were fetched")
                if time.monotonic() - answered > _GONE_S:
                    raise StreamError(
                        f"{self._title}: {self._node} has not answered for {_GONE_S:g} s; start again, or see what "
                        "became of it"
                    )
                continue
            answered = time.monotonic()
            for frame in batch.frames:
                if frame.seq > after:
                    after = frame.seq
                    self._take(frame)
            if batch.over:
                # It waits to hear that this was heard.
                self._fetch(Pull(after + 1, 0))
                return
            if not most:
                self._stop.wait(0.02)

    def _fetch(self, pull: Pull) -> Batch | None:
        data = self._ask(pull)
        if data is None:
            self._stop.wait(0.1)
            return None
        try:
            return decode(data, Batch)
        except WireError as error:
            self._wrong()
            raise StreamError(f"{self._title}: what {self._node} sends cannot be used: {error}") from None
