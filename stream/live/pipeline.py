"""Threads: cameras -> frame sets -> estimates -> sinks. Starts, stops, raises the first error in the main thread."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from calibration.arrays import Image
from stream.channel import Channel, Closed
from stream.live.estimator import Estimator, PendingFrameSet
from stream.live.metrics import Meter, Summary
from stream.live.synchronise import LiveMatcher, NoOverlapError, SyncConfig, match_files, skew_warning
from stream.sinks import QuitRequest, RunInfo, Sink, SinkStoppedError
from stream.sources import Source, SourceInfo
from stream.types import Estimate, Frame, FrameSet, StreamError

_FILE_AHEAD = 4  # frames decoded ahead of the detector, a file: enough to hide a keyframe, little enough memory
_POLL_S = 0.03  # how often a window gets to act on keys while no estimate comes
_WAKE_S = 0.1  # how often a waiting thread looks whether it should stop


class MainSink(Sink, Protocol):
    """A sink that lives in the main thread."""

    def poll(self) -> None:
        """Let its toolkit work; called when no estimate comes. Raises QuitRequest when the user wants to end."""
        ...


Packet = tuple[Estimate, Mapping[str, Image | None]]


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that is open, and what was found out about it."""

    source: Source
    info: SourceInfo
    offset_s: float = 0.0
    """Added to every ``Frame.t`` of it."""


class SinkWorker:
    """One sink, its channel and its thread."""

    def __init__(
        self, sink: Sink, run_info: RunInfo, size: int, failed: Callable[["SinkWorker", BaseException], None]
    ) -> None:
        self.sink = sink
        self.channel: Channel[Packet] = Channel(sink.policy, size)
        self.line: str | None = None
        """What the sink said of itself when it was closed."""
        self.late = False
        """Whether it was added while the run went on; then that it cannot be opened is no reason to end the run."""
        self._run_info = run_info
        self._failed = failed
        self._thread = threading.Thread(target=self.run, name=f"sink-{type(sink).__name__.lower()}")

    @property
    def lost(self) -> Counter[str]:
        """Frame sets that a sink which is to take every one did not get; what a viewer skips is no loss."""
        name = f"by {type(self.sink).__name__.lower()}"
        return Counter({name: self.channel.dropped} if self.sink.policy == "every" else {})

    def start(self) -> None:
        """Run in a thread of its own. A sink that wants the main thread is ``run`` there instead."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its thread."""
        if self._thread.ident is not None:
            self._thread.join()

    def put(self, packet: Packet, *, block: bool) -> None:
        """Hand over one frame set; a sink that has ended takes nothing."""
        with suppress(Closed):
            self.channel.put(packet if self.sink.wants_images else (packet[0], {}), block=block)

    def run(self, poll: Callable[[], None] | None = None) -> None:
        """Open, write until the channel is closed, close; ``poll`` is called while nothing comes."""
        try:
            self.sink.open(self._run_info)
        except Exception as error:
            self.channel.close()
            self._failed(self, SinkStoppedError(str(error)) if self.late and isinstance(error, StreamError) else error)
            return
        try:
            while True:
                try:
                    packet = self.channel.get(None if poll is None else _POLL_S)
                except Closed:
                    break
                except TimeoutError:
                    if poll:
                        poll()
                    continue
                self.sink.write(*packet)
        except Exception as error:
            self._failed(self, error)
        finally:
            self.channel.close()
            try:
                self.line = self.sink.close()
            except Exception as error:
                self._failed(self, error)


class Pipeline:
    """Runs opened sources through an estimator into sinks.

    Args:
        sources: open, in the order of the estimator's cameras. All live or all not.
        estimator: called by the compute thread alone.
        header: what the sinks are told.
        meter: counts; shared with what shows them.
        sync: how frames are matched.
        buffer_s: seconds an "every" sink of a live source may fall behind before it loses frame sets.
    """

    def __init__(
        self, sources: Sequence[OpenSource], estimator: Estimator, run_info: RunInfo, meter: Meter,
        sync: SyncConfig | None = None, buffer_s: float = 10.0,
    ) -> None:  # fmt: skip
        self.live = any(opened.info.live for opened in sources)
        self.stop = threading.Event()
        """Set to end the run well: what is under way is finished and written."""
        self.paused = threading.Event()
        """While set, a file waits; a live source goes on."""
        self._sources = sources
        self._estimator = estimator
        self._run_info = run_info
        self._meter = meter
        self._sync = sync
        self._ahead = max(2, round(buffer_s * (run_info.fps or 30.0)))
        self._workers: list[SinkWorker] = []
        self._running = False
        self._capturing = len(sources)
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._failures: list[str] = []
        self._lines: list[str] = []
        self._lost: Counter[str] = Counter()
        self._seen: set[str] = set()
        # Live: one channel for all cameras, in the order of arrival. Files: one each, so that none runs ahead.
        self._arrivals: Channel[tuple[int, Frame]] = Channel("latest", 4 * len(sources))
        self._files: list[Channel[Frame]] = [Channel("every", _FILE_AHEAD) for _ in sources]
        self._matcher = LiveMatcher([o.info.fps for o in sources], sync, [o.offset_s for o in sources])

    # sinks

    def add(self, sink: Sink) -> SinkWorker:
        """Give estimates to a sink from now on, in a thread of its own."""
        worker = self._worker(sink)
        worker.late = self._running
        worker.start()
        with self._lock:
            self._workers.append(worker)
        return worker

    def remove(self, worker: SinkWorker) -> None:
        """Close a sink, when it has written what it was given; its line goes to the summary."""
        worker.channel.close()
        worker.join()
        with self._lock:
            if worker not in self._workers:
                return
            self._workers.remove(worker)
            if worker.line:
                self._lines.append(worker.line)
            self._lost += worker.lost

    @property
    def note(self) -> str:
        """What the user should know now: a sink that stopped, a camera that is stalled; empty when all is well."""
        notes = list(self._failures)
        for opened in self._sources:
            if note := opened.source.status().note:
                notes.append(f"{opened.info.name}: {note}" if len(self._sources) > 1 else note)
        return "; ".join(notes)

    @property
    def dropped(self) -> int:
        """Frames of live sources that were not used, so far."""
        return sum(count for name, count in self._drops().items() if name != "corrupt")

    # the run

    def run(self, main: MainSink | None = None) -> Summary:
        """Run until the sources end, ``stop`` is set or something fails.

        Args:
            main: a sink that wants the main thread (a window); it is run here.

        Returns:
            The summary.

        Raises:
            BaseException: the first error of any thread, after everything is closed.
        """
        threads = [
            threading.Thread(target=self._guard, args=(self._capture, k), name=f"camera-{opened.info.name}")
            for k, opened in enumerate(self._sources)
        ]
        compute = threading.Thread(target=self._guard, args=(self._compute,), name="compute")
        self._running = True
        self._meter.start()
        viewer = self._worker(main) if main else None
        if viewer:
            with self._lock:
                self._workers.append(viewer)
        try:
            for thread in (*threads, compute):
                thread.start()
            if viewer and main:
                viewer.run(main.poll)
            self._wait(compute)
        finally:
            self.stop.set()
            for opened in self._sources:
                opened.source.close()
            for channel in (self._arrivals, *self._files):
                channel.close()
            compute.join()
            for thread in threads:
                thread.join()
            for worker in list(self._workers):
                self.remove(worker)
        if self._errors:
            raise self._errors[0]
        # A live camera's note is of the frame set; a file's, such as that it is cut off, is of the whole run.
        notes = [o.source.status().note for o in self._sources if not o.info.live]
        summary = self._meter.summary(self._drops(), (*filter(None, notes), *self._lines), tuple(self._failures))
        return replace(summary, lines=(*summary.lines, *self._timing_lines(summary)))

    def _timing_lines(self, summary: Summary) -> list[str]:
        """What is suspicious about the cameras' times, a line each."""
        if self.live:
            absent = [o.info.name for o in self._sources if o.info.name not in self._seen] if summary.frame_sets else []
            return [
                f"warning: {name} was in no moment of {summary.frame_sets}; is it sending? is its --sync-offset right?"
                for name in absent
            ]  # fmt: skip
        if summary.skew_ms is None or any(o.offset_s for o in self._sources):
            return []  # Offsets say that the frames are apart, and by how much.
        return list(filter(None, [skew_warning([o.info.fps for o in self._sources], summary.skew_ms[0])]))

    def _wait(self, thread: threading.Thread) -> None:
        """Join in short steps: a signal handler only runs when the main thread gets to run."""
        while thread.is_alive():
            thread.join(_WAKE_S)

    def _worker(self, sink: Sink) -> SinkWorker:
        size = 1 if sink.policy == "latest" else (self._ahead if self.live and not sink.wants_images else 4)
        if self.live and sink.policy == "every" and sink.wants_images:
            # A second of full HD images is 180 MB a camera; what encodes images must keep up.
            size = 16
        return SinkWorker(sink, self._run_info, size, self._sink_failed)

    def _sink_failed(self, worker: SinkWorker, error: BaseException) -> None:
        if isinstance(error, QuitRequest):
            self.stop.set()
        elif isinstance(error, SinkStoppedError):
            self._failures.append(str(error))
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._errors.append(error)
        self.stop.set()

    def _guard(self, work: Callable[..., None], *args: object) -> None:
        """A thread's outermost frame: the first exception is kept, and everything is told to stop."""
        try:
            work(*args)
        except Closed:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            if work == self._compute:
                self.stop.set()
                for worker in list(self._workers):
                    worker.channel.close()

    def _capture(self, k: int) -> None:
        opened = self._sources[k]
        try:
            while not self.stop.is_set() and (frame := opened.source.read()) is not None:
                if opened.offset_s:
                    frame = replace(frame, t=frame.t + opened.offset_s)
                if self.live:
                    self._arrivals.put((k, frame))
                else:
                    self._files[k].put(frame)
        finally:
            self._files[k].close()
            with self._lock:
                self._capturing -= 1
                last = not self._capturing
            if last:
                self._arrivals.close()

    def _compute(self) -> None:
        # Of files the next frame set is detected while this one is lifted, fused and tracked, which leaves no core idle
        # where views are detected side by side. Live, there is no next one yet.
        pending: PendingFrameSet | None = None
        for frame_set in self._live_frame_sets() if self.live else self._file_frame_sets():
            start = time.perf_counter()
            before, pending = pending, self._estimator.submit(frame_set)
            if self.live:
                before, pending = pending, None
            if before:
                self._finish(before, start)
            while self.paused.is_set() and not self.live and not self.stop.is_set():
                time.sleep(_WAKE_S)
            if self.stop.is_set():
                break
        if pending:
            self._finish(pending, time.perf_counter())

    def _finish(self, pending: PendingFrameSet, start: float) -> None:
        """Finish a frame set and hand it out; this thread has been at work since ``start``."""
        frame_set, estimate = pending.frame_set, self._estimator.result(pending)
        self._measure(frame_set, estimate, time.perf_counter() - start)
        packet = (estimate, {f.camera: f.image for f in frame_set.frames if f is not None})
        for worker in list(self._workers):
            worker.put(packet, block=not self.live)

    def _file_frame_sets(self) -> Iterator[FrameSet]:
        def reader(channel: Channel[Frame]) -> Callable[[], Frame | None]:
            def read() -> Frame | None:
                try:
                    return channel.get()
                except Closed:
                    return None

            return read

        try:
            yield from match_files([reader(c) for c in self._files], [o.info.fps for o in self._sources], self._sync)
        except NoOverlapError:
            # A run that is stopped, or a file that fails, ends before it could overlap; a failure is told just after.
            if not self.stop.wait(_WAKE_S):
                raise

    def _live_frame_sets(self) -> Iterator[FrameSet]:
        while not self.stop.is_set():
            try:
                k, frame = self._arrivals.get(timeout=_WAKE_S)
                self._matcher.add(k, frame)
                while len(self._arrivals):
                    self._matcher.add(*self._arrivals.get())
            except TimeoutError:
                continue
            except Closed:
                return
            if (frame_set := self._matcher.next()) is not None:
                yield frame_set

    def _measure(self, frame_set: FrameSet, estimate: Estimate, busy: float) -> None:
        seen = [(frame, estimate.views_of(k)) for k, frame in enumerate(estimate.frames) if frame is not None]
        tracks = [view.best_track for _, views in seen for view in views]
        poses = [person.pose for person in estimate.people if person.pose is not None]
        self._seen.update(frame.camera for frame in frame_set.frames if frame is not None)
        clocked = [f.t - o.offset_s for f, o in zip(frame_set.frames, self._sources, strict=True)
                   if f is not None and o.info.clock == "monotonic"]  # fmt: skip
        self._meter.done(
            estimate.stages or {}, busy,
            [frame.detector if views else None for frame, views in seen],
            [track.probability for track in tracks if track is not None],
            time.monotonic() - min(clocked) if clocked else None,
            frame_set.spread_s if sum(frame is not None for frame in frame_set.frames) > 1 else None,
            (poses[0].method if poses else "none") if "fuse" in (estimate.stages or {}) else None,
        )  # fmt: skip

    def _drops(self) -> dict[str, int]:
        statuses = [opened.source.status() for opened in self._sources]
        drops = {
            "frames by cameras": sum(s.dropped for s in statuses),
            "frames between camera and detector": self._arrivals.dropped + self._matcher.superseded,
            "corrupt": sum(s.corrupt for s in statuses),
        }
        with self._lock:
            return drops | sum((worker.lost for worker in self._workers), self._lost)
