"""A computer that publishes what it sees: live, the newest frame wins; of files each waits until it is fetched."""

import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engines.types import Seen
from stream.cluster.group import Group
from stream.cluster.session import key, open_session
from stream.cluster.wire import MOST_BATCH, Batch, Card, Hello, Pull, SeenFrame, WireError, decode, encode

if TYPE_CHECKING:
    import zenoh

_QUEUE: Final = 256
"""Frames of files that wait to be fetched; then detection waits."""
_WAIT_S: Final = 0.1
GONE_S: Final = 10.0
"""Whoever fetched and has asked for nothing for so long is gone."""


class Node:
    """Publishes what is seen in the frames of some cameras. Thread-safe.

    Args:
        group: where to.
        cards: asked for the cameras each time somebody wants to know of them.
        live: whether frames have times of the clock and the newest wins.
        software: name and version of the program.
        clock: seconds, that of the frames where it is live.
    """

    def __init__(
        self, group: Group, cards: Callable[[], Sequence[Card]], *, live: bool, software: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._group, self._cards, self._live, self._software, self._clock = group, cards, live, software, clock
        host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in socket.gethostname())[:60]
        self.id = f"{host or 'node'}-{secrets.token_hex(4)}"
        """Another one each time it starts; begins with what the computer is called."""
        self._change = threading.Condition()
        self._waiting: deque[SeenFrame] = deque()
        self._seq = 0
        self._over = self._told_over = False
        self._asked: float | None = None
        """Seconds of the monotonic clock at which frames were asked for last."""
        self._session: zenoh.Session | None = None
        self._publisher: zenoh.Publisher | None = None
        self.sent = 0
        """Frames that were handed to the network, live, or fetched."""

    def open(self) -> None:
        """Announce it; raises StreamError as ``open_session``. It need not be connected: that is tried on and on."""
        import zenoh

        session = self._session = open_session("--publish", self._group, listen=False)
        mine = {what: key(self._group.name, self.id, what) for what in ("hello", "pull", "frames", "alive")}
        session.declare_queryable(mine["hello"], lambda query: self._answer(query, mine["hello"], self._hello))
        if self._live:
            self._publisher = session.declare_publisher(
                mine["frames"], congestion_control=zenoh.CongestionControl.DROP, priority=zenoh.Priority.REAL_TIME,
                express=True,
            )  # fmt: skip
        else:
            session.declare_queryable(mine["pull"], lambda query: self._answer(query, mine["pull"], self._pulled))
        session.liveliness().declare_token(mine["alive"])

    def put(self, camera: str, index: int, t: float, size: tuple[int, int], seen: Seen,
            given_up: Callable[[], bool] = lambda: False) -> None:  # fmt: skip
        """Publish what was seen in a frame. Of files it waits for room, until it is given up.

        Args:
            camera: its name.
            index: ``Frame.index``.
            t: ``Frame.t``.
            size: of the image, pixels.
            seen: everybody in it.
            given_up: asked while it waits.
        """
        frame = SeenFrame(camera, 0, index, t, size, seen)
        with self._change:
            while not self._live and len(self._waiting) >= _QUEUE:
                if given_up():
                    return
                self._change.wait(_WAIT_S)
            frame = replace(frame, seq=self._seq)
            self._seq += 1
            if not self._live:
                self._waiting.append(frame)
                self._change.notify_all()
                return
            publisher = self._publisher
        if publisher is not None:
            publisher.put(encode(frame))
            self.sent += 1

    def finish(self, given_up: Callable[[], bool]) -> int:
        """Wait until all was fetched, or it is given up; whoever fetched and is gone is not waited for.

        Returns:
            How many frames were not fetched.
        """
        with self._change:
            self._over = True
            self._change.notify_all()
            while not self._live and not self._told_over:
                if given_up() or (self._asked is not None and time.monotonic() - self._asked > GONE_S):
                    break
                self._change.wait(_WAIT_S)
            return len(self._waiting)

    @property
    def fetched(self) -> bool:
        """Whether anybody has asked for frames."""
        return self._asked is not None

    def close(self) -> None:
        """Take it away."""
        session, self._session, self._publisher = self._session, None, None
        if session is not None:
            session.close()

    def _answer(self, query: "zenoh.Query", mine: str, make: Callable[[bytes, float], bytes]) -> None:
        """In a thread of zenoh's."""
        received = self._clock()
        try:
            query.reply(mine, make(bytes(query.payload or b""), received))
        except WireError:
            return  # who asks in another way gets no answer
        finally:
            query.drop()

    def _hello(self, data: bytes, received: float) -> bytes:
        sent = decode(data, float)
        hello = Hello(self.id, self._software, self._live, tuple(self._cards()), sent, received, 0.0)
        return encode(replace(hello, answered=self._clock()))

    def _pulled(self, data: bytes, received: float) -> bytes:
        pull = decode(data, Pull)
        with self._change:
            self._asked = time.monotonic()
            while self._waiting and self._waiting[0].seq <= pull.after:
                self._waiting.popleft()
                self.sent += 1
            # Told once more what it was told to the last, it has heard that there are no more.
            self._told_over = self._over and not self._waiting and pull.after >= self._seq
            self._change.notify_all()
            if not self._waiting and not self._over and pull.most:
                self._change.wait(_WAIT_S)
            frames = tuple(frame for frame, _ in zip(self._waiting, range(min(pull.most, MOST_BATCH)), strict=False))
            over = self._over and len(frames) == len(self._waiting) and pull.most > 0
            return encode(Batch(frames, over))
