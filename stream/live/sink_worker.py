"""One sink at work: its channel, its thread, and what becomes of an exception in it."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from calibration.arrays import Image
from stream.channel import Channel, Closed, Policy
from stream.sinks import ClockSink, EventSink, RunInfo, Sink
from stream.types import Estimate, Event, Note

_POLL_S = 0.004  # how often a window gets to act on keys while no estimate comes: two within it are one to OpenCV
_EVENT_S = 0.1  # how late an event may be while no estimate comes

Packet = tuple[Estimate, Mapping[str, Image | None]]
Span = tuple[float, float]
ALWAYS: Final[Span] = (float("-inf"), float("inf"))


class SinkWorker:
    """Feeds one sink, in a thread of its own or, for a window, in the main thread.

    Args:
        sink: not open.
        name: what drops and failures of it are called by.
        run_info: what it is told when it opens.
        size: of its channel.
        failed: told every exception of the sink, in the sink's thread.
        late: whether it comes to a run that goes on already.
        span: seconds from and before which estimates are for it, by ``Estimate.t``.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        run_info: RunInfo,
        size: int,
        failed: Callable[["SinkWorker", BaseException], None],
        *,
        late: bool = False,
        span: Span = ALWAYS,
    ) -> None:
        self.name, self.late = name, late
        self._since, self._until = span
        self.policy: Policy = sink.policy
        self.essential: bool = getattr(sink, "essential", False)
        """Whether its fault ends a run over files."""
        self._sink: Sink | None = sink
        self._wants_images = sink.wants_images
        self.channel: Channel[Packet] = Channel(sink.policy, size)
        self.line: str | None = None
        """What the sink said of itself when it was closed."""
        self._run_info = run_info
        self._failed = failed
        self._events: deque[Note] | None = deque() if isinstance(sink, EventSink | ClockSink) else None
        self._drained = False
        self._thread = threading.Thread(target=self.run, name=f"sink-{name}")

    @property
    def dropped(self) -> Counter[str]:
        """Frame sets that the sink did not get, by its name."""
        return Counter({f"by {self.name}": self.channel.dropped})

    @property
    def over(self) -> bool:
        """Whether it ran in its thread and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Run in a thread of its own. A sink that wants the main thread is ``run`` there instead."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its thread, if it was started."""
        if self._thread.ident is not None:
            self._thread.join()

    def put(self, packet: Packet, *, block: bool) -> None:
        """Hand over one frame set; a sink that has ended takes nothing."""
        if not self._since <= packet[0].t < self._until:
            return
        with suppress(Closed):
            self.channel.put(packet if self._wants_images else (packet[0], {}), block=block)

    def event(self, event: Note) -> None:
        """Hand over an event or a reading of a clock, if the sink takes such; never waits."""
        if self._events is not None and not self._drained:
            self._events.append(event)

    def run(self, poll: Callable[[], None] | None = None) -> None:
        """Open, write until the channel is closed, close; ``poll`` is called while nothing comes.

        The sink is let go then: the worker stays for the summary, and an encoder or the images in the traceback of a
        fault that a sink keeps must not stay with it, a take after another.
        """
        sink, self._sink = self._sink, None
        if sink is None:
            raise RuntimeError(f"{self.name} was run twice")
        try:
            sink.open(self._run_info)
        except (Exception, SystemExit) as error:
            self._drained = True
            self.channel.close()
            self.channel.discard()
            self._failed(self, error)
            return
        try:
            self._feed(sink, poll)
        except (Exception, SystemExit) as error:
            self.channel.close()
            self._failed(self, error)
        finally:
            self._drained = True
            self.channel.close()
            self.channel.discard()
            try:
                self.line = sink.close()
            except (Exception, SystemExit) as error:
                self._failed(self, error)

    def _feed(self, sink: Sink, poll: Callable[[], None] | None) -> None:
        patience = _POLL_S if poll else _EVENT_S if self._events is not None else None
        while True:
            self._pass_events(sink)
            try:
                packet = self.channel.get(patience)
            except Closed:
                break
            except TimeoutError:
                if poll:
                    poll()
                continue
            sink.write(*packet)
        self._pass_events(sink)

    def _pass_events(self, sink: Sink) -> None:
        while self._events:
            note = self._events.popleft()
            if isinstance(note, Event):
                if isinstance(sink, EventSink):
                    sink.event(note)
            elif isinstance(sink, ClockSink):
                sink.clock(note)
