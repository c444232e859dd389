"""A computer that publishes what it sees: live, the newest frame wins; of files each waits until it is fetched."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from engines.types import Seen
from stream.cluster.desk import Desk
from stream.cluster.fields import printable
from stream.cluster.group import Group
from stream.cluster.messages import (
    Ask,
    Batch,
    Card,
    Hello,
    Look,
    Order,
    Picture,
    Pull,
    Recording,
    Remark,
    Remarks,
    SeenFrame,
)
from stream.cluster.session import key, new_id, open_session
from stream.cluster.system_clock import OF_THIS_COMPUTER, SystemClock
from stream.cluster.wire import MOST_BATCH, MOST_REMARKS, OtherVersionError, WireError, decode, encode
from stream.types import StreamError
from stream.words import own_fault

if TYPE_CHECKING:
    import zenoh

_QUEUE: Final = 256
"""Frames of files that wait to be fetched; then detection waits."""
_WAIT_S: Final = 0.1
GONE_S: Final = 10.0
"""Whoever fetched and has asked for nothing for so long is gone."""
_KEPT: Final = 256
"""Events that wait to be fetched; the oldest give way."""
_ORDERS: Final = 16
"""Orders that wait to be carried out; more are not answered."""
_LOOKS: Final = 4
"""The same of pictures."""
_LATER_S: Final = 5.0
"""An order is for no later time than this."""
_COMMANDERS: Final = 16
_CANNOT: Final = Recording(False, "", "it takes no orders")
_log = logging.getLogger(__name__)


class Pictures(Protocol):
    """Makes the pictures that are asked for."""

    fps: float
    """A second and camera, at most."""

    def __call__(self, look: Look) -> Picture | None:
        """The picture; None where there is no new one, or it is too early for one."""
        ...


class Node:
    """Publishes what is seen in the frames of some cameras. Thread-safe.

    Args:
        group: where to.
        cards: asked for the cameras each time somebody wants to know of them.
        live: whether frames have times of the clock and the newest wins.
        software: name and version of the program.
        clock: seconds, that of the frames where it is live.
        recording: tells of its own recording.
        obey: carries an order out, in a thread of its own; its events are such as were not heard before.
        pictures: makes pictures, in a thread of its own; None: there are none.
        system: the clock of the computer, of which it tells how right it is.
    """

    def __init__(
        self, group: Group, cards: Callable[[], Sequence[Card]], *, live: bool, software: str,
        clock: Callable[[], float] = time.monotonic, recording: Callable[[], Recording] = lambda: _CANNOT,
        obey: Callable[[Order], None] | None = None, pictures: Pictures | None = None,
        system: SystemClock = OF_THIS_COMPUTER,
    ) -> None:  # fmt: skip
        self._group, self._cards, self._live, self._software, self._clock = group, cards, live, software, clock
        self._recording, self._obey, self._pictures, self._system = recording, obey, pictures, system
        self.id = new_id()
        """Another one each time it starts; begins with what the computer is called."""
        self._remarks: deque[Remark] = deque(maxlen=_KEPT)
        self._remark_count = 0
        self._heard: dict[str, int] = {}
        """Number of the last event of each who commands."""
        self._orders = Desk("an order", _ORDERS)
        self.heard: float | None = None
        """Seconds of the monotonic clock at which whoever fuses asked last; None before it did."""
        self._looks = Desk("a picture", _LOOKS)
        self._stop = threading.Event()
        self._change = threading.Condition()
        self._waiting: deque[SeenFrame] = deque()
        self._seq = 0
        self._over = self._told_over = False
        self._asked: float | None = None
        """Seconds of the monotonic clock at which frames were asked for last."""
        self._session: zenoh.Session | None = None
        self._publisher: zenoh.Publisher | None = None
        self._token: zenoh.LivelinessToken | None = None
        self.sent = 0
        """Frames that were handed to the network, live, or fetched."""

    def open(self) -> None:
        """Announce it; raises StreamError as ``open_session``. It need not be connected: that is tried on and on."""
        import zenoh

        session = self._session = open_session("--publish", self._group, listen=False)
        whats = ("hello", "pull", "frames", "alive", "order", "told", "picture")
        mine = {what: key(self._group.name, self.id, what) for what in whats}
        session.declare_queryable(mine["hello"], lambda query: self._answer(query, mine["hello"], self._hello))
        session.declare_queryable(mine["told"], lambda query: self._answer(query, mine["told"], self._tell))
        # Nobody else may command: beyond this machine both sides have proved who they are, or there is no session.
        if self._obey is not None and (self._group.loopback or self._group.keys is not None):
            session.declare_queryable(
                mine["order"], lambda query: self._orders.take(query, mine["order"], Order, self._carry_out)
            )
        if self._pictures is not None:
            session.declare_queryable(
                mine["picture"], lambda query: self._looks.take(query, mine["picture"], Look, self._show)
            )
        if self._live:
            self._publisher = session.declare_publisher(
                mine["frames"], congestion_control=zenoh.CongestionControl.DROP, priority=zenoh.Priority.REAL_TIME,
                express=True,
            )  # fmt: skip
        else:
            session.declare_queryable(mine["pull"], lambda query: self._answer(query, mine["pull"], self._pulled))
        self._token = session.liveliness().declare_token(mine["alive"])  # which ends with what holds it

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

    def remark(self, t: float, source: str, text: str) -> None:
        """Tell whoever fuses of an event at t seconds of its clock."""
        with self._change:
            self._remarks.append(Remark(self._remark_count, t, printable(source), printable(text)))
            self._remark_count += 1

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
        self._stop.set()
        self._orders.close()
        self._looks.close()
        session, self._session, self._publisher, self._token = self._session, None, None, None
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
        try:
            ask = decode(data, Ask)
        except OtherVersionError:
            ask = Ask(0.0, "")  # the answer tells that it is another one
        self.heard = time.monotonic()
        fps = self._pictures.fps if self._pictures is not None else 0.0
        hello = Hello(
            self.id, self._software, self._live, tuple(self._cards()), ask.sent, received, 0.0, self._recording(),
            self._remark_count, fps, self._system.ahead_of(self._clock),
        )  # fmt: skip
        return encode(replace(hello, answered=self._clock()))

    def _tell(self, data: bytes, received: float) -> bytes:
        pull = decode(data, Pull)
        with self._change:
            told = [remark for remark in self._remarks if remark.number > pull.after]
        return encode(Remarks(tuple(told[: min(pull.most, MOST_REMARKS)])))

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

    def _show(self, look: Look) -> bytes | None:
        picture = None if self._pictures is None else self._pictures(look)
        return None if picture is None else encode(picture)

    def _carry_out(self, order: Order) -> bytes:
        """What became of it, also where it could not be carried out."""
        if order.record is not None:
            self._stop.wait(min(max(order.at - self._clock(), 0.0), _LATER_S))
        try:
            if self._obey is not None and not self._stop.is_set():
                self._obey(replace(order, remarks=self._new_of(order)))
        except Exception as error:  # whoever gave it is answered all the same
            _log.debug("an order could not be carried out", exc_info=True)
            _log.error("%s", str(error) if isinstance(error, StreamError) else own_fault("an order", error))
        return encode(self._recording())

    def _new_of(self, order: Order) -> tuple[Remark, ...]:
        """Its events that were not heard before: an order whose answer was lost is given again."""
        last = self._heard.pop(order.who, -1)
        new = tuple(remark for remark in order.remarks if remark.number > last)
        self._heard[order.who] = max((last, *(remark.number for remark in order.remarks)))
        for who in list(islice(self._heard, max(len(self._heard) - _COMMANDERS, 0))):
            del self._heard[who]
        return new
