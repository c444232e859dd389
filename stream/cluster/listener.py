"""The computer that fuses: hears nodes, knows their clocks, and hands out what each camera saw.

Everything that comes is checked here: who may publish a camera, whether a message is one, is new, and is not too old.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from stream.channel import Closed
from stream.cluster.clock import Offset
from stream.cluster.feed import MOST_APART, Feed
from stream.cluster.file_fetch import FileFetch
from stream.cluster.group import Group
from stream.cluster.messages import Ask, Card, Hello, Look, Order, Pull, SeenFrame
from stream.cluster.peer_clock import PeerClock
from stream.cluster.picture_requests import PictureRequests
from stream.cluster.session import key, new_id, node_of, open_session
from stream.cluster.system_clock import SystemClock
from stream.cluster.wire import OtherVersionError, WireError, decode, encode
from stream.types import StreamError

if TYPE_CHECKING:
    import zenoh

_log = logging.getLogger(__name__)

_ASK_S, _SETTLE_S, _SETTLED = 0.25, 0.05, 8
"""Seconds between two exchanges with a node, and at first, until there were so many."""
_QUIET_S: Final = 1.5
"""A node of which nothing came for so long no longer holds its cameras: another one may bring them."""
_OLD_S: Final = 1.0
"""A live frame that is older when it comes is not used."""
_UNSURE_S: Final = 0.02
"""It is said of a clock that is not known better."""
_MOST_STRANGERS: Final = 32
_SILENT_S: Final = 3.0
"""A node that is there and has not answered for so long is not of this version."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What others may know of a node."""

    hello: Hello
    """What it said last."""
    here: bool
    """Whether it answers."""
    offset: Offset | None
    """How far its clock is ahead; None where that is not known yet."""


@dataclass(slots=True)
class _Peer:
    """What is known of a node."""

    hello: Hello | None = None
    clock: PeerClock = field(default_factory=PeerClock)
    heard: float = float("-inf")
    """When it said hello last."""
    gone: bool = False
    since: float = field(default_factory=time.monotonic)
    """When it was heard of first."""
    pulling: bool = False
    asked: float = float("-inf")


class Listener:
    """Hears the nodes of a group.

    Args:
        group: where it listens.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self.id = new_id()
        """Another one each time; begins with what the computer is called."""
        self._lock = threading.RLock()
        self._peers: dict[str, _Peer] = {}
        self._feeds: dict[str, Feed] = {}
        self._strangers: dict[str, str] = {}
        """What is wrong with nodes that cannot be understood."""
        self.others: set[str] = set()
        """Other groups that are heard."""
        self.garbage: Counter[str] = Counter()
        """Messages that were none, by node."""
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._pictures = PictureRequests(
            self._pictured, lambda node, look: self._get(node, "picture", look), self._stranger, self._stop
        )
        self._reading = False
        self._threads: list[threading.Thread] = []
        self._session: zenoh.Session | None = None
        self._users = 0
        self.by_system = False
        """Whether the systems' clocks are used where PTP or NTP keeps them; else exchanges of messages alone."""
        self._system = SystemClock()

    def open(self) -> None:
        """Begin to listen; raises StreamError as ``open_session``."""
        session = self._session = open_session("--from", self._group, listen=True)
        name = self._group.name
        session.liveliness().declare_subscriber(key("*", "*", "alive"), self._liveliness, history=True)
        session.declare_subscriber(key(name, "*", "frames"), self._came)
        # No daemon: it sees to it that this is closed before the program is taken down.
        self._start(self._ask_on, "cluster-hello", daemon=False)

    def close(self) -> None:
        """Stop; whoever waits for a frame is woken."""
        self._stop.set()
        self._wake.set()
        with self._lock:
            feeds = list(self._feeds.values())
        for feed in feeds:
            feed.frames.close()
        session, self._session = self._session, None
        if session is not None:
            session.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=3.0)
        self._pictures.join(3.0)

    # what is heard

    def cameras(self) -> dict[str, tuple[Card, Hello]]:
        """The cameras of the nodes that are heard, by name.

        Raises:
            StreamError: if two nodes publish one name.
        """
        found: dict[str, tuple[Card, Hello]] = {}
        for hello in self._heard():
            for card in hello.cards:
                other = found.setdefault(card.name, (card, hello))[1]
                if other is not hello:
                    raise StreamError(
                        f"{self._group}: two computers publish a camera called {card.name}: {other.node} and "
                        f"{hello.node}; give each its own name, as in --camera left=0"
                    )
        return found

    def problems(self) -> list[str]:
        """What is wrong with nodes that are not used, a line each."""
        now = time.monotonic()
        with self._lock:
            silent = [n for n, p in self._peers.items() if p.hello is None and not p.gone and now - p.since > _SILENT_S]
            return [*self._strangers.values(), *(
                f"{self._group}: {node} is there and does not answer; is it of another version of this program?"
                for node in silent if node not in self._strangers
            )]  # fmt: skip

    def peers(self) -> dict[str, Peer]:
        """The nodes that were ever understood, by their ids."""
        now = time.monotonic()
        with self._lock:
            return {
                node: Peer(peer.hello, not peer.gone and now - peer.heard < 2 * _QUIET_S, peer.clock.at(now))
                for node, peer in self._peers.items()
                if peer.hello is not None
            }

    def ask(
        self, node: str, what: str, message: Pull | Order, within_s: float, answered: Callable[[bytes], None]
    ) -> None:
        """Ask a node, without waiting for the answer.

        Args:
            node: its id.
            what: what of it.
            message: the question.
            within_s: an answer that takes longer is none.
            answered: takes the answer, in another thread; it may raise ``WireError``.
        """
        import zenoh

        def take(reply: zenoh.Reply) -> None:
            if reply.ok is not None:
                try:
                    answered(bytes(reply.ok.payload))
                except WireError as error:
                    self._stranger(node, error)

        session = self._session
        if session is not None:
            with suppress(zenoh.ZError):  # closed meanwhile
                session.get(key(self._group.name, node, what), take, payload=encode(message), timeout=within_s)

    def _heard(self) -> list[Hello]:
        now = time.monotonic()
        with self._lock:
            peers = [p for p in self._peers.values() if not p.gone and now - p.heard < 4 * _QUIET_S]
        return [p.hello for p in peers if p.hello is not None]

    # the cameras

    def attach(self, camera: str, within_s: float) -> tuple[Feed, Hello]:
        """What a camera gives, once it is heard.

        Raises:
            StreamError: if it is not heard in time.
        """
        end = time.monotonic() + within_s
        while (found := self.cameras().get(camera)) is None and time.monotonic() < end:
            if self._stop.wait(0.05):
                break
        if found is None:
            there = ", ".join(self.cameras()) or "none"
            raise StreamError(
                f"{self._group}: nobody publishes a camera called {camera}; there are: {there}; begin --publish "
                f"{self._group} on the computer that has it"
            )
        card, hello = found
        with self._lock:
            feed = self._feeds.setdefault(camera, Feed(card, hello.live))
            self._users += 1
        return feed, hello

    def join(self) -> None:
        """Keep it open until ``leave``, besides those who attached."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """One who attached or joined is done; it is closed after the last."""
        with self._lock:
            self._users -= 1
        self.close_unused()

    def close_unused(self) -> None:
        """Close it unless somebody is attached."""
        with self._lock:
            unused = self._users <= 0
        if unused:
            self.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._stop.is_set()

    def begin(self) -> None:
        """Whoever is to be heard is attached: frames of files may be fetched."""
        if not self._reading:  # it is called for every frame
            self._reading = True
            self._wake.set()

    def note(self, feed: Feed) -> str:
        """What is wrong with a camera, in a line."""
        with self._lock:
            peer = self._peers.get(feed.owner)
        said = []
        if feed.refused:
            said.append(f"{feed.refused} publishes a camera of this name, too, and is not heard")
        if peer is None or peer.hello is None or feed.frames.closed:
            return "; ".join(said)
        if peer.gone or time.monotonic() - peer.heard > 2 * _QUIET_S:
            said.append(f"{feed.owner} does not answer; it is used again when it comes back")
        else:
            card = next((card for card in peer.hello.cards if card.name == feed.card.name), None)
            offset = peer.clock.at(time.monotonic())
            if card is not None and card.note:
                said.append(card.note)
            if peer.clock.problem:
                said.append(peer.clock.problem)
            if feed.live and offset is not None and offset.uncertainty > _UNSURE_S:
                said.append(f"its clock is known to {1e3 * offset.uncertainty:.0f} ms only")
        if garbage := self.garbage[feed.owner]:
            said.append(f"{garbage} messages of {feed.owner} were none of this program")
        return "; ".join(said)

    # pictures

    def want_pictures(self) -> None:
        """Somebody looks at pictures now; they are asked for as long as this is called."""
        with self._lock:
            fps = {node: peer.hello.picture_fps for node, peer in self._peers.items() if peer.hello and not peer.gone}
        self._pictures.want({node: each for node, each in fps.items() if each})

    def _pictured(self, node: str) -> list[Feed]:
        with self._lock:
            peer = self._peers.get(node)
            return [] if peer is None or peer.gone else self._feeds_of(node, peer)

    # nodes, heard in threads of zenoh's

    def _liveliness(self, sample: "zenoh.Sample") -> None:
        import zenoh

        group, node = node_of(sample.key_expr)
        if group != self._group.name:
            if group and len(self.others) < _MOST_STRANGERS:
                self.others.add(group)
            return
        with self._lock:
            peer = self._peer(node)
            if peer is not None:
                peer.gone = sample.kind == zenoh.SampleKind.DELETE
        self._wake.set()

    def _peer(self, node: str) -> _Peer | None:
        if node not in self._peers:
            if len(self._peers) >= 4 * _MOST_STRANGERS:
                gone = [name for name, peer in self._peers.items() if peer.gone]
                if not gone:
                    return None  # a flood of names
                del self._peers[gone[0]]
            self._peers[node] = _Peer()
        return self._peers[node]

    def _ask_on(self) -> None:
        import zenoh

        while not self._stop.is_set():
            session, now = self._session, time.monotonic()
            if session is None:
                return
            if not threading.main_thread().is_alive():
                # A program that ends without closing: zenoh's threads would keep it from ending.
                self.close()
                return
            with suppress(zenoh.ZError):  # closed meanwhile
                session.get(
                    key(self._group.name, "*", "hello"), self._answered, payload=encode(Ask(now, self.id)), timeout=2.0
                )
            with self._lock:
                young = any(p.clock.exchanges < _SETTLED and not p.gone for p in self._peers.values())
            self._wake.clear()
            if self._stop.wait(_SETTLE_S if young else 0):
                return
            if not young:
                self._wake.wait(_ASK_S)

    def _answered(self, reply: "zenoh.Reply") -> None:
        back = time.monotonic()
        sample = reply.ok
        if sample is None:
            return
        _, node = node_of(sample.key_expr)
        try:
            hello = decode(bytes(sample.payload), Hello)
            if hello.node != node:
                raise WireError("it says that it is another one")
        except WireError as error:
            self._stranger(node, error)
            return
        with self._lock:
            peer = self._peer(node)
            if peer is None:
                return
            unused: list[str] = []
            if peer.hello is None:
                _log.debug("%s: %s is heard: %s", self._group, node, ", ".join(c.name for c in hello.cards))
                unused = [card.name for card in hello.cards if self._reading and card.name not in self._feeds]
            peer.hello, peer.heard, peer.gone = hello, back, False
            ours = self._system.ahead_of(time.monotonic) if self.by_system else None
            line = peer.clock.add(hello, back, ours, self.by_system and hello.live)
            fetch = not hello.live and not peer.pulling and self._reading
            peer.pulling = peer.pulling or fetch
        if line:
            _log.log(logging.WARNING if peer.clock.problem else logging.INFO, "%s: %s: %s", self._group, node, line)
        if unused:
            _log.warning("%s: %s came later and publishes %s, which this run began without; start again to use it",
                         self._group, node, ", ".join(unused))  # fmt: skip
        if fetch:
            self._start(self._fetching(node, peer), "cluster-fetch")

    def _stranger(self, node: str, error: WireError) -> None:
        with self._lock:
            self.garbage[node] += 1
            if node in self._strangers or len(self._strangers) >= _MOST_STRANGERS:
                return
            what = str(error) if isinstance(error, OtherVersionError) else f"it sends {error}"
            said = self._strangers[node] = (
                f"{self._group}: {node} is not heard: {what}; install the same version on all computers"
            )
        _log.warning("%s", said)

    # frames

    def _came(self, sample: "zenoh.Sample") -> None:
        """A live frame, in a thread of zenoh's."""
        arrival = time.monotonic()
        _, node = node_of(sample.key_expr)
        try:
            frame = decode(bytes(sample.payload), SeenFrame)
        except WireError as error:
            self._stranger(node, error)
            return
        with self._lock:
            peer, feed = self._peers.get(node), self._feeds.get(frame.camera)
            if peer is None or peer.hello is None or feed is None or not feed.live:
                return
            offset = peer.clock.at(arrival)
            if not self._owns(feed, node, arrival):
                feed.lost["of another computer"] += 1
                return
            if frame.seq <= feed.seq:
                feed.lost["sent twice"] += 1
                return
            feed.seq = frame.seq
            if offset is None:
                feed.lost["before the clock was known"] += 1
                return
            # None is made after it came, whatever is believed of the clocks.
            t = min(frame.t - offset.seconds, arrival)
            if arrival - t > _OLD_S:
                feed.lost["old"] += 1
                return
            if t <= feed.t:
                feed.lost["not after the one before"] += 1
                return
            feed.t, feed.came = t, arrival
        with suppress(Closed):
            feed.frames.put((node, replace(frame, t=t)))

    def _owns(self, feed: Feed, node: str, now: float) -> bool:
        """Whether a node may give the frames of a camera: the first that did, until it is gone or quiet."""
        if feed.owner == node:
            return True
        holder = self._peers.get(feed.owner)
        quiet = feed.came is None or now - feed.came > _QUIET_S
        if feed.owner and holder is not None and not (holder.gone or quiet):
            if feed.refused != node:
                feed.refused = node
                _log.warning("%s: %s is refused: %s publishes the camera %s already", self._group, node, feed.owner,
                             feed.card.name)  # fmt: skip
            return False
        if feed.owner:
            feed.changes += 1
            _log.info("%s: %s comes from %s now", self._group, feed.card.name, node)
        feed.refused = "" if feed.refused == node else feed.refused
        feed.owner, feed.seq, feed.picture = node, -1, None
        return True

    # frames of files

    def _feeds_of(self, node: str, peer: _Peer) -> list[Feed]:
        with self._lock:
            cards = peer.hello.cards if peer.hello is not None else ()
            found = [self._feeds[card.name] for card in cards if card.name in self._feeds]
            return [feed for feed in found if feed.owner in ("", node)]

    def _get(self, node: str, what: str, message: Pull | Look) -> bytes | None:
        """The answer of a node, which is waited for; None where there is none."""
        import zenoh

        session = self._session
        if session is None:
            return None
        try:
            # Pictures wait behind all else, on the way back, too.
            rank = zenoh.Priority.BACKGROUND if isinstance(message, Look) else zenoh.Priority.DATA
            where = key(self._group.name, node, what)
            replies = session.get(where, payload=encode(message), timeout=2.0, priority=rank)
            return next((bytes(reply.ok.payload) for reply in replies if reply.ok is not None), None)
        except zenoh.ZError:
            return None

    def _fetching(self, node: str, peer: _Peer) -> FileFetch:
        def wrong() -> None:
            self.garbage[node] += 1

        return FileFetch(
            str(self._group), node, lambda: self._feeds_of(node, peer), lambda pull: self._get(node, "pull", pull),
            lambda frame: self._file_frame(node, frame), lambda: peer.gone, wrong, self._stop,
        )  # fmt: skip

    def _file_frame(self, node: str, frame: SeenFrame) -> None:
        with self._lock:
            feed = self._feeds.get(frame.camera)
            if feed is None or feed.live:
                return
            if feed.owner not in ("", node):
                feed.refused = node
                feed.lost["of another computer"] += 1
                return
            feed.owner, feed.came = node, time.monotonic()
            if frame.t <= feed.t:
                feed.lost["not after the one before"] += 1
                return
            feed.t = frame.t
        with suppress(Closed):
            if not feed.frames.put((node, frame), block=False):
                raise StreamError(f"{self._group}: {frame.camera} is {MOST_APART} frames ahead of another camera; "
                                  "check --sync-offset")  # fmt: skip

    def _start(self, work: Callable[[], None], name: str, *, daemon: bool = True) -> None:
        thread = threading.Thread(target=work, name=name, daemon=daemon)
        self._threads.append(thread)
        thread.start()
