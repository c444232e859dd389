"""What whoever fuses tells the nodes of a group: begin and end takes, events, and how far apart the clocks are.

Each node is told the present state once, also one that joins later or comes back, and events of which it could not be
told while it was away. A node's own events come the other way. In a thread of its own; nothing here waits for a node.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from stream.cluster.clock import Offset
from stream.cluster.fields import printable
from stream.cluster.listener import Listener, Peer
from stream.cluster.messages import Ahead, Order, Pull, Recording, Remark, Remarks
from stream.cluster.wire import MOST_REMARKS, decode
from stream.types import ClockReading, Event, Note

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.1
_ANSWER_S: Final = 8.0
"""An order is given again if it is not answered in this time: a node may begin its take as late as it was told to."""
_QUICK_S: Final = 2.0
_READ_S: Final = 2.0
"""Clocks are noted this often."""
_END_S: Final = 3.0
"""So long it is waited, at the end of the run, until nodes have heard of it."""
_KEPT: Final = 256
"""Events that are kept for nodes that cannot be told yet."""
_EARLY_S: Final = 1.0
_PATIENT_S: Final = 2.0
"""A node that does not record is said after so long."""


@dataclass(slots=True)
class _Told:
    """What one node was told, and what it said."""

    events: int
    """Number of the last event it has heard of."""
    version: int = 0
    """Of the state that it was told."""
    waits_until: float = 0.0
    """An order is under way until then, monotonic seconds."""
    fetches_until: float = 0.0
    """Its events are under way until then."""
    heard: int = -1
    """Number of its last event that came."""
    read: float = float("-inf")
    """When it was told of the clocks last."""
    here: bool = True
    ill: set[str] = field(default_factory=set)
    """Its cameras with which something is wrong."""
    takes: list[str] = field(default_factory=list)
    """Its own, as they were heard of."""
    recording: Recording | None = None
    """What it answered last, or says of itself."""
    ordered: bool = False
    """Whether it was ever told to record."""


class Orders:
    """Tells the nodes that a listener hears.

    Args:
        listener: is open.
        tell: is handed what belongs into the recording here, in the time of this computer's clock.
    """

    def __init__(self, listener: Listener, tell: Callable[[Note], None]) -> None:
        self._listener, self._tell = listener, tell
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}
        self._record: bool | None = None
        """What was asked for; None where nothing ever was, and nodes do as they did."""
        self._at = 0.0
        self._version = 0
        self._events: deque[tuple[int, Event]] = deque(maxlen=_KEPT)
        self._count = 0
        self._noted: dict[str, float] = {}
        """When the clock of each node was noted here last."""
        self._wake, self._stop = threading.Event(), threading.Event()
        self._begun = time.monotonic()
        self._finished = False
        listener.join()
        self._thread = threading.Thread(target=self._run, name="cluster-orders", daemon=True)
        self._thread.start()

    # any thread

    def record(self, on: bool, at: float) -> None:
        """Have all nodes begin a take, or end theirs, at a time of this computer's monotonic clock."""
        with self._lock:
            if self._finished:
                return
            self._record, self._at = on, at
            self._version += 1
            self._noted = {}
        self._wake.set()

    def event(self, source: str, text: str, t: float | None = None) -> None:
        """Have all nodes note an event, as ``Control.event``."""
        with self._lock:
            self._events.append((self._count, Event(time.monotonic() if t is None else t, source, text)))
            self._count += 1
        self._wake.set()

    @property
    def note(self) -> str:
        """What is wrong: nodes that do not record though they should; empty when all is well."""
        if not self._record or time.monotonic() - self._at < _PATIENT_S:
            return ""
        live = self._live()
        said = [
            f"{node} does not record: {why}" for node, (on, why) in self._states(live).items()
            if not on and not live[node].hello.recording.refuses
        ]  # fmt: skip
        return "; ".join(said)

    def facts(self) -> list[tuple[str, str]]:
        """How many record, once that is of interest."""
        states = self._states(self._live())
        on = sum(state for state, _ in states.values())
        return [("nodes", f"{on} of {len(states)} record")] if states and (on or self._record is not None) else []

    def finish(self) -> list[str]:
        """Tell nodes that were told to record that it is over, and stop; what to say of them, a line each."""
        with self._lock:
            if self._finished:
                return []
            ends = bool(self._record)
        if ends:
            self.record(False, time.monotonic())
        deadline = time.monotonic() + _END_S
        while self._behind() and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 2)
        with self._lock:
            self._finished = True
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._listener.leave()
        return self._lines()

    # what is known

    def _live(self) -> dict[str, Peer]:
        return {node: peer for node, peer in self._listener.peers().items() if peer.hello.live}

    def _states(self, live: Mapping[str, Peer]) -> dict[str, tuple[bool, str]]:
        """Whether each node that was heard records, and why not."""
        found = {}
        brought = {card.name for peer in live.values() if peer.here for card in peer.hello.cards}
        for node, peer in live.items():
            recording = peer.hello.recording
            if not peer.here:
                # Started anew, a computer is another node, and the one that it was is over.
                replaced = brought.issuperset(card.name for card in peer.hello.cards)
                if self._told.get(node, _Told(0)).ordered and not replaced:
                    found[node] = False, "it does not answer"
            elif recording.on:
                found[node] = True, ""
            elif recording.why or self._told.get(node, _Told(0)).version == self._version:
                found[node] = False, recording.why or "it was ended there"
            else:
                found[node] = False, "it has not answered yet"
        return found

    def _behind(self) -> bool:
        """Whether a node that answers has not heard everything yet."""
        for node, peer in self._live().items():
            told = self._told.get(node)
            if peer.here and (told is None or self._news(told) or peer.hello.remarks > told.heard + 1):
                return True
        return False

    def _news(self, told: _Told) -> bool:
        return (self._record is not None and told.version != self._version) or told.events < self._count - 1

    def _lines(self) -> list[str]:
        lines = []
        for node, told in sorted(self._told.items()):
            if told.takes:
                lines.append(f"{node}: recorded there: {', '.join(told.takes)}" + ("" if told.here else "; it is gone"))
            elif told.ordered and told.recording is not None:
                lines.append(f"{node}: nothing was recorded there: {told.recording.why or 'it did not begin'}")
            elif told.ordered:
                lines.append(f"{node}: nothing is known of a recording there: it did not answer")
        return lines

    # its thread

    def _run(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            for node, peer in self._live().items():
                self._look_at(node, peer, now)
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def _look_at(self, node: str, peer: Peer, now: float) -> None:
        with self._lock:
            told = self._told.setdefault(node, _Told(self._count - 1))
        if told.here != peer.here:
            told.here = peer.here
            self._tell(Event(now, node, "is heard again" if peer.here else "does not answer"))
            told.waits_until = told.fetches_until = 0.0
        if not peer.here or peer.offset is None:
            return
        self._note_clock(node, peer.offset, now)
        self._note_cameras(node, peer, told, now)
        self._keep(told, peer.hello.recording)
        if now >= told.waits_until:
            self._order(node, peer, told, now)
        if peer.hello.remarks > told.heard + 1 and now >= told.fetches_until:
            told.fetches_until = now + _QUICK_S
            offset = peer.offset.seconds
            pull = Pull(told.heard, MOST_REMARKS)
            self._listener.ask(node, "told", pull, _QUICK_S, lambda data: self._remarked(node, told, offset, data))

    def _note_clock(self, node: str, offset: Offset, now: float) -> None:
        noted = self._noted
        if now - noted.get(node, float("-inf")) >= _READ_S:
            noted[node] = now
            self._tell(ClockReading(now, self._listener.id, node, offset.seconds, offset.uncertainty))

    def _note_cameras(self, node: str, peer: Peer, told: _Told, now: float) -> None:
        """Note what is wrong with a camera once, and once that it is not any more: what is said goes on changing."""
        for card in peer.hello.cards:
            if bool(card.note) != (card.name in told.ill):
                self._tell(Event(now, f"{node}: {card.name}", card.note or "is well again"))
                (told.ill.add if card.note else told.ill.discard)(card.name)

    def _keep(self, told: _Told, recording: Recording) -> None:
        told.recording = recording
        if recording.on and recording.take and recording.take not in told.takes:
            told.takes.append(recording.take)

    def _order(self, node: str, peer: Peer, told: _Told, now: float) -> None:
        offset = peer.offset
        if offset is None:
            return
        with self._lock:
            version, record = self._version, self._record if told.version != self._version else None
            at = self._at
            new = list(islice(((n, e) for n, e in self._events if n > told.events), MOST_REMARKS))
        reads = now - told.read >= _READ_S and peer.hello.recording.on
        if record is None and not new and not reads:
            return
        remarks = tuple(Remark(n, e.t + offset.seconds, printable(e.source), printable(e.text)) for n, e in new)
        ahead = Ahead(-offset.seconds, offset.uncertainty)
        order = Order(self._listener.id, record, at + offset.seconds, remarks, ahead)
        last = new[-1][0] if new else told.events
        within = _ANSWER_S if record is not None else _QUICK_S
        told.waits_until, told.read = now + within, now
        told.ordered = told.ordered or bool(record)
        self._listener.ask(node, "order", order, within,
                           lambda data: self._answered(node, told, version, last, record, data))  # fmt: skip

    # in threads of zenoh's

    def _answered(self, node: str, told: _Told, version: int, last: int, record: bool | None, data: bytes) -> None:
        recording = decode(data, Recording)
        with self._lock:
            told.events = max(told.events, last)
            told.version = version if record is not None else told.version
            told.waits_until = 0.0
            self._keep(told, recording)
        if record is not None:
            self._said(node, recording, record)
        self._wake.set()

    def _said(self, node: str, recording: Recording, asked: bool) -> None:
        if recording.on:
            _log.info("%s records into %s%s", node, recording.take, "" if asked else ", though it was told not to")
        elif asked:
            _log.warning("%s does not record: %s", node, recording.why or "it did not begin")
        elif recording.take:
            _log.info("%s has ended its recording %s", node, recording.take)

    def _remarked(self, node: str, told: _Told, offset: float, data: bytes) -> None:
        remarks = decode(data, Remarks).remarks
        for remark in remarks:
            t = remark.t - offset
            if remark.number > told.heard and t >= self._begun - _EARLY_S:
                self._tell(Event(t, f"{node}: {remark.source}", remark.text))
        if remarks:
            told.heard = max(told.heard, remarks[-1].number)
        told.fetches_until = 0.0
        self._wake.set()
