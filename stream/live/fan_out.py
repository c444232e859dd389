"""From the estimates of a run to all of its sinks: those come and go while it goes on, and what is gone is remembered.

A long run begins a new take, with new sinks, again and again.
"""

import threading
from collections import Counter
from collections.abc import Callable

from stream.channel import Policy
from stream.live.sink_worker import ALWAYS, Packet, SinkWorker, Span
from stream.sinks import MainSink, RunInfo, Sink
from stream.types import Note, StreamError


class FanOut:
    """The sinks of a run, each with its worker. Sinks may be added and removed from any thread.

    Args:
        run_info: what the sinks are told.
        live: whether the run is, so that nobody is waited for.
        ahead: frame sets that an "every" sink without images may fall behind, live.
        failed: told every exception of a sink, in the sink's thread.
    """

    def __init__(
        self, run_info: RunInfo, live: bool, ahead: int, failed: Callable[[SinkWorker, BaseException], None]
    ) -> None:
        self._run_info, self._live, self._failed = run_info, live, failed
        self.ahead = ahead
        self.workers: list[SinkWorker] = []
        """Those at work, and those that have ended since the last one was added."""
        self._past_lines: list[str] = []
        self._past_lost: dict[Policy, Counter[str]] = {"every": Counter(), "latest": Counter()}
        self._running = self._ended = False
        self._lock = threading.Lock()

    def add(self, sink: Sink, name: str, span: Span = ALWAYS) -> SinkWorker:
        """Give estimates to a sink: from the start of the run, or from now on if it goes on.

        Args:
            sink: not open.
            name: what its drops and failures are called by; the name of its class when empty.
            span: seconds from and before which estimates are for it, by ``Estimate.t``.

        Raises:
            StreamError: if the run is over.
        """
        with self._lock:
            if self._ended:
                raise StreamError("the run is over; its outputs are closed")
            self._let_go()
            worker = self._worker(sink, name, span)
            self.workers.append(worker)
            if self._running:
                worker.start()
        return worker

    def start(self, main: MainSink | None, name: str) -> SinkWorker | None:
        """Start all; the worker of a sink that wants the main thread, which is to be run there."""
        with self._lock:
            self._running = True
            for worker in self.workers:
                worker.start()
            viewer = self._worker(main, name) if main else None
            if viewer:
                self.workers.append(viewer)
        return viewer

    def put(self, packet: Packet) -> None:
        """Hand one frame set to each."""
        for worker in list(self.workers):
            worker.put(packet, block=not self._live)

    def event(self, event: Note) -> None:
        """Hand an event, or a reading of a clock, to those that take such."""
        for worker in list(self.workers):
            worker.event(event)

    def close(self) -> None:
        """Let all write what they were given and close, which is not waited for."""
        for worker in list(self.workers):
            worker.channel.close()

    def end(self) -> None:
        """Close all and wait for them; none can be added any more."""
        with self._lock:
            self._ended = True
        for worker in self.workers:
            worker.channel.close()
            worker.join()

    def lost(self, policy: Policy) -> dict[str, int]:
        """Frame sets that sinks of a policy did not get, by sink."""
        with self._lock:
            counts = [self._past_lost[policy], *(w.dropped for w in self.workers if w.policy == policy)]
        return dict(sum(counts, Counter[str]()))

    def lines(self) -> list[str]:
        """What the sinks said of themselves when they were closed."""
        with self._lock:
            return [*self._past_lines, *(worker.line for worker in self.workers if worker.line)]

    def _worker(self, sink: Sink, name: str, span: Span = ALWAYS) -> SinkWorker:
        size = 1 if sink.policy == "latest" else (self.ahead if self._live and not sink.wants_images else 4)
        if self._live and sink.policy == "every" and sink.wants_images:
            # A second of full HD images is 180 MB a camera; what encodes images must keep up.
            size = 16
        name = name or type(sink).__name__.lower()
        return SinkWorker(sink, name, self._run_info, size, self._failed, late=self._running, span=span)

    def _let_go(self) -> None:
        """Keep of those that have ended only what the summary needs."""
        for worker in [worker for worker in self.workers if worker.over]:
            self.workers.remove(worker)
            self._past_lost[worker.policy] += worker.dropped
            if worker.line:
                self._past_lines.append(worker.line)
