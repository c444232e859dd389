"""Asks nodes for pictures while somebody looks: one at a time of each, so small that no detection is held up."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stream.cluster.feed import LEAST_BYTES, Feed
from stream.cluster.messages import Look, Picture
from stream.cluster.wire import MOST_JPEG, WireError, decode

_WANTED_S: Final = 2.0
"""So long pictures are asked for after somebody looked at them."""
_LOOK_S: Final = 0.02
_LEFT: Final = 3.0
"""How many times as long as a picture takes the way is left to what else there is."""
_HELD_UP_S: Final = 0.15
"""A picture may hold up detections for so long."""


class PictureRequests:
    """Fills ``Feed.picture``, in a thread a node that runs as long as pictures are wanted.

    Args:
        feeds: of a node that is there.
        ask: a node for a picture, which is waited for; None where there is none.
        wrong: told what a node sends that is no picture.
        stop: set at the end.
    """

    def __init__(
        self, feeds: Callable[[str], Sequence[Feed]], ask: Callable[[str, Look], bytes | None],
        wrong: Callable[[str, WireError], None], stop: threading.Event,
    ) -> None:  # fmt: skip
        self._feeds, self._ask, self._wrong, self._stop = feeds, ask, wrong, stop
        self._until = float("-inf")
        """Pictures are wanted until then, monotonic seconds."""
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    def want(self, offered: Mapping[str, float]) -> None:
        """Somebody looks at pictures now; any thread.

        Args:
            offered: for the id of each node that has pictures, how many a second of each camera.
        """
        self._until = time.monotonic() + _WANTED_S
        with self._lock:
            for node in [node for node, thread in self._threads.items() if not thread.is_alive()]:
                del self._threads[node]
            for node, fps in offered.items():
                if node not in self._threads and not self._stop.is_set():
                    thread = threading.Thread(
                        target=self._look_on, args=(node, fps), name="cluster-pictures", daemon=True
                    )
                    self._threads[node] = thread
                    thread.start()

    def join(self, within_s: float) -> None:
        """Wait for its threads; it was stopped."""
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(within_s)

    def _look_on(self, node: str, fps: float) -> None:
        while not self._stop.is_set() and time.monotonic() < self._until:
            wait = _LOOK_S
            for feed in self._feeds(node):
                begun = time.monotonic()
                if begun - feed.looked >= 1 / fps:
                    feed.looked = begun
                    self._look(node, feed)
                    wait = max(wait, _LEFT * (time.monotonic() - begun))
            self._stop.wait(min(wait, _WANTED_S))

    def _look(self, node: str, feed: Feed) -> None:
        before, begun = feed.picture, time.monotonic()
        data = self._ask(node, Look(feed.card.name, -1 if before is None else before[1].seq, feed.most))
        took = time.monotonic() - begun
        if data is None:
            if took > _HELD_UP_S:
                feed.most = max(feed.most // 4, LEAST_BYTES)
            return
        feed.most = min(max(int(len(data) / max(took, 1e-6) * _HELD_UP_S), LEAST_BYTES), MOST_JPEG)
        try:
            picture = decode(data, Picture)
        except WireError as error:
            self._wrong(node, error)
            return
        if picture.camera == feed.card.name and feed.owner == node:
            feed.picture = time.monotonic(), picture
