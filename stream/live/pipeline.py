"""Threads: cameras -> frame sets -> estimates -> sinks. Starts, stops, raises the first error in the main thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from calibration.arrays import Image
from calibration.errors import UserError
from stream.channel import Channel, Closed
from stream.config import SyncConfig
from stream.control import Control
from stream.live.crowding import Crowding
from stream.live.doubts import Doubts
from stream.live.estimator import Estimator, PendingFrameSet
from stream.live.fan_out import FanOut
from stream.live.files import FileMatcher
from stream.live.heap import memory_given_back
from stream.live.metrics import Meter, Summary
from stream.live.sink_worker import ALWAYS, SinkWorker, Span
from stream.live.synchronise import LiveMatcher, NoOverlapError, skew_warning
from stream.live.synchronise import frame_set as set_of_frames
from stream.packed import UnseenFrame
from stream.sinks import Looks, MainSink, RunInfo, Sink, SinkStoppedError
from stream.sources import LazySource, Source, SourceInfo, SourceStatus, Turned
from stream.types import Estimate, Event, Frame, FrameSet, KnownFrame, Note
from stream.words import own_fault

_LOG = logging.getLogger(__name__)

_FILE_AHEAD = 4  # frames decoded ahead of the detector, a file: enough to hide a keyframe, little enough memory
_NOTED = 3  # failures that are told while the run goes on, the last ones; the summary has all
_RATE_S = 1.0  # how often it is looked at which rate live cameras really give
_RATE_FRAMES = 8  # so many make a rate
_WAKE_S = 0.1  # how often a waiting thread looks whether it should stop


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that is open, and what was found out about it."""

    source: Source
    info: SourceInfo
    offset_s: float = 0.0
    """Added to every ``Frame.t`` of it."""
    stated_fps: float | None = None
    """Frames a second that the user says it gives, in place of what is measured."""

    def turned(self, degrees: int) -> "OpenSource":
        """The same with every image turned clockwise by 0, 90, 180 or 270 degrees."""
        if not degrees:
            return self
        made = Turned(self.source, degrees)
        return replace(self, source=made, info=made.turned(self.info))


class Pipeline:
    """Runs opened sources through an estimator into sinks.

    Args:
        sources: open, in the order of the estimator's cameras. All live or all not.
        estimator: called by the compute thread alone.
        run_info: what the sinks are told.
        meter: counts; shared with what shows them.
        sync: how frames are matched.
        buffer_s: seconds an "every" sink of a live source may fall behind before it loses frame sets.
        control: what may ask the run to stop or pause, and notes events.
        doubts: what the estimates say against the calibration; None without one.
    """

    def __init__(
        self, sources: Sequence[OpenSource], estimator: Estimator, run_info: RunInfo, meter: Meter,
        sync: SyncConfig | None = None, buffer_s: float = 10.0, control: Control | None = None,
        doubts: Doubts | None = None,
    ) -> None:  # fmt: skip
        self.live = any(opened.info.live for opened in sources)
        self.control = control or Control()
        self.control.connect(event=self._event)
        self._sources = sources
        self._estimator = estimator
        self._doubts = doubts
        self.run_info = run_info
        self._meter = meter
        self._sinks = FanOut(run_info, self.live, max(2, round(buffer_s * (run_info.fps or 30.0))), self._sink_failed)
        self._capturing = len(sources)
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._failures: list[str] = []
        self._closing: list[str] = []
        self.notes: list[Callable[[], str]] = []
        """Asked for what else the user should know; they answer with nothing when all is well."""
        self.facts: list[Callable[[], Sequence[tuple[str, str]]]] = []
        """Asked for what else the status tells, as (what, value)."""
        self.endings: list[Callable[[], Sequence[str]]] = []
        """Called when all is written, before the summary, for which they give lines."""
        self._seen: set[str] = set()
        self._crowd = Crowding()
        self._t = 0.0
        self._before: list[int] = [0] * len(sources)
        """Frames of each live source that nobody took before the run began."""
        self._rate_at = 0.0
        """When the rate of the cameras is to be looked at again."""
        # Live: one channel for all cameras, in the order of arrival. Files: one each, so that none runs ahead.
        self._arrivals: Channel[tuple[int, Frame]] = Channel("latest", 4 * len(sources))
        self._files: list[Channel[Frame]] = [Channel("every", _FILE_AHEAD) for _ in sources]
        rates = [o.info.fps for o in sources]
        self._seen_sets = 0
        self._looks = ThreadPoolExecutor(len(sources), thread_name_prefix="decode")
        self._matcher = LiveMatcher(rates, sync, [o.offset_s for o in sources])
        self._file_matcher = FileMatcher([_reader(channel) for channel in self._files], rates, sync)

    # sinks

    def add(self, sink: Sink, name: str = "", span: Span = ALWAYS) -> SinkWorker:
        """Give estimates to a sink, in a thread of its own: from the start of the run, or from now on if it goes on.

        Args:
            sink: not open.
            name: what its drops and failures are called by; the name of its class when empty.
            span: seconds from and before which estimates are for it, by ``Estimate.t``.

        Raises:
            StreamError: if the run is over.
        """
        return self._sinks.add(sink, name, span)

    def remove(self, worker: SinkWorker) -> None:
        """Let a sink write what it was given and close, which is not waited for; its line goes to the summary."""
        worker.channel.close()

    def tell(self, note: Note) -> None:
        """Hand something that a recording keeps to the sinks; any thread. Its time is that of the moments."""
        self._sinks.event(note)

    @property
    def note(self) -> str:
        """What the user should know now: a sink that stopped, a camera that is stalled; empty when all is well."""
        failures = list(self._failures)
        more = f"; and {len(failures) - _NOTED} more outputs that stopped" if len(failures) > _NOTED else ""
        notes = ["; ".join(failures[-_NOTED:]) + more] if failures else []
        for opened in self._sources:
            if note := opened.source.status().note:
                notes.append(f"{opened.info.name}: {note}" if len(self._sources) > 1 else note)
        notes += filter(None, (ask() for ask in self.notes))
        notes += filter(None, [self._crowd.note])
        if self._doubts and self._doubts.note:
            notes.append(self._doubts.note)
        return "; ".join(notes)

    @property
    def looks(self) -> Looks:
        """What the cameras see, for whoever asks before the run begins."""
        return Looks(self.live, tuple(opened.info for opened in self._sources), self._estimator.watch)

    @property
    def newest(self) -> float:
        """``Estimate.t`` of the newest estimate, 0 before there is one."""
        return self._t

    @property
    def health(self) -> tuple[tuple[str, SourceStatus], ...]:
        """How each camera is doing, with its name."""
        return tuple((opened.info.name, opened.source.status()) for opened in self._sources)

    @property
    def dropped(self) -> int:
        """Frames of live sources that were not used, so far."""
        return sum(count for name, count in self._drops().items() if name != "corrupt")

    # the run

    def run(self, main: MainSink | None = None, viewer_name: str = "") -> Summary:
        """Run until the sources end, the control stops it or something fails.

        Args:
            main: a sink that wants the main thread (a window); it is run here.
            viewer_name: what it is called by; the name of its class when empty.

        Returns:
            The summary.

        Raises:
            BaseException: the first error of any thread, after everything is closed.
        """
        with memory_given_back():
            return self._run(main, viewer_name)

    def _run(self, main: MainSink | None, viewer_name: str) -> Summary:
        threads = [
            threading.Thread(target=self._guard, args=(self._capture, k), name=f"camera-{opened.info.name}")
            for k, opened in enumerate(self._sources)
        ]
        compute = threading.Thread(target=self._guard, args=(self._compute,), name="compute")
        self._meter.start()
        if self.live:  # while networks were loaded, frames came that nobody was to take
            self._before = [opened.source.status().dropped for opened in self._sources]
        try:
            viewer = self._sinks.start(main, viewer_name)
            for thread in (*threads, compute):
                thread.start()
            if viewer and main:
                viewer.run(main.poll)
            self._wait(compute)
        except BaseException:
            self.control.stop()
            raise
        finally:
            self.control.end()
            for opened in self._sources:
                opened.source.close()
            for channel in (self._arrivals, *self._files):
                channel.close()
            for thread in (compute, *threads):
                if thread.ident is not None:
                    thread.join()
            self._looks.shutdown()
            self._sinks.end()
            self._closing = [line for ending in self.endings for line in ending()]
        if self._errors:
            for line in self._sinks.lines():
                _LOG.info("%s", line)  # what was recorded so far is whole
            raise self._errors[0]
        # A live camera's note is of the frame set; a file's, such as that it is cut off, is of the whole run.
        notes = [o.source.status().note for o in self._sources if not o.info.live]
        lines = filter(
            None,
            (
                *notes,
                *self._sinks.lines(),
                *self._closing,
                *self._crowd.lines(),
                *(self._doubts.lines() if self._doubts else ()),
            ),
        )
        summary = self._meter.summary(self._drops(), self._sinks.lost("latest"), tuple(lines), tuple(self._failures))
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

    def _sink_failed(self, worker: SinkWorker, error: BaseException) -> None:
        # What cannot be recorded of a file can be tried again from its beginning; what is live is gone, so it goes on.
        essential = worker.essential and not self.live and not worker.late
        if essential and not isinstance(error, SinkStoppedError):
            self._fail(error)
            return
        said = str(error)
        if not isinstance(error, UserError):
            said = own_fault(worker.name, error)
            _LOG.debug("%s stopped", worker.name, exc_info=error)
        _LOG.error("%s", said)
        self._failures.append(said)
        self._event(worker.name, said)

    def _event(self, source: str, text: str, t: float | None = None) -> None:
        monotonic = any(opened.info.clock == "monotonic" for opened in self._sources)
        now = time.monotonic() if t is None else t
        self._sinks.event(Event(now if monotonic else self._t, source, text))

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._errors.append(error)
        self.control.stop()

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
                self.control.end()
                self._sinks.close()

    def _capture(self, k: int) -> None:
        opened = self._sources[k]
        source = opened.source
        # Live, most frames of a fast camera are overtaken by newer ones: those need not be decoded.
        read = source.read_unseen if self.live and isinstance(source, LazySource) else source.read
        try:
            while not self.control.stopping and (frame := read()) is not None:
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
            self._tell_rate(start)
            before, pending = pending, self._estimator.submit(frame_set)
            if self.live:
                before, pending = pending, None
            if before:
                self._finish(before, start)
            while self.control.paused and not self.live and not self.control.stopping:
                time.sleep(_WAKE_S)
            if self.control.stopping:
                break
        if pending:
            self._finish(pending, time.perf_counter())

    def _tell_rate(self, now: float) -> None:
        """Tell the detector at which rate live frame sets can come: that of the slowest camera, as it is measured."""
        if not self.live or now < self._rate_at:
            return
        rates = []
        for opened in self._sources:
            status = opened.source.status()
            measured = None if status.stalled or status.read + status.dropped < _RATE_FRAMES else status.fps
            # A file in real time knows its rate, and what it gives depends on who reads it.
            rates.append(opened.stated_fps or (measured if opened.info.clock == "monotonic" else opened.info.fps))
        known = [rate for rate in rates if rate]
        if known:
            self._estimator.at_rate(min(known))
        if len(known) == len(rates):
            self._rate_at = now + _RATE_S

    def _finish(self, pending: PendingFrameSet, start: float) -> None:
        """Finish a frame set and hand it out; this thread has been at work since ``start``."""
        frame_set, estimate = pending.frame_set, self._estimator.result(pending)
        self._t = estimate.t
        for line in self._doubts(estimate) if self._doubts else ():
            self._event("calibration", line)
        self._measure(frame_set, estimate, time.perf_counter() - start)
        self._sinks.put((estimate, {f.camera: _shown(f) for f in frame_set.frames if f is not None}))

    def _file_frame_sets(self) -> Iterator[FrameSet]:
        try:
            yield from self._file_matcher
        except NoOverlapError:
            # A run that is stopped, or a file that fails, ends before it could overlap; a failure is told just after.
            time.sleep(_WAKE_S)
            if not self.control.stopping:
                raise

    def _live_frame_sets(self) -> Iterator[FrameSet]:
        while not self.control.stopping:
            try:
                k, frame = self._arrivals.get(timeout=_WAKE_S)
                self._matcher.add(k, frame)
                while len(self._arrivals):
                    self._matcher.add(*self._arrivals.get())
            except TimeoutError:
                continue
            except Closed:
                return
            if (frame_set := self._matcher.next()) is not None and (seen := self._seen_set(frame_set)) is not None:
                yield seen

    def _seen_set(self, found: FrameSet) -> FrameSet | None:
        """A frame set with its images decoded, those of several cameras side by side; None where all are damaged."""
        frames = found.frames
        if any(isinstance(frame, UnseenFrame) for frame in frames):
            frames = tuple(self._looks.map(_seen, frames))
        if not any(frames):
            return None
        index = self._seen_sets  # those of damaged images alone have no number: nothing is missing in a recording
        self._seen_sets += 1
        return set_of_frames(index, found.t, frames)

    def _measure(self, frame_set: FrameSet, estimate: Estimate, busy: float) -> None:
        seen = [(frame, estimate.views_of(k)) for k, frame in enumerate(estimate.frames) if frame is not None]
        tracks = [view.best_track for _, views in seen for view in views]
        fused = [person.pose.method for person in estimate.people if person.pose is not None]
        self._crowd.add(estimate)
        self._seen.update(frame.camera for frame in frame_set.frames if frame is not None)
        clocked = [f.t - o.offset_s for f, o in zip(frame_set.frames, self._sources, strict=True)
                   if f is not None and o.info.clock == "monotonic"]  # fmt: skip
        self._meter.done(
            estimate.stages or {}, busy,
            [frame.detector if views else None for frame, views in seen],
            [track.probability for track in tracks if track is not None],
            time.monotonic() - min(clocked) if clocked else None,
            frame_set.spread_s if sum(frame is not None for frame in frame_set.frames) > 1 else None,
            fused if "fuse" in (estimate.stages or {}) else None,
            sum(any(view.tracks for view in views) for _, views in seen),
            [person.person_id for person in estimate.people],
            estimate.t,
            estimate.left_out,
        )  # fmt: skip

    def _drops(self) -> dict[str, int]:
        statuses = [opened.source.status() for opened in self._sources]
        drops = {
            "frames by cameras": sum(s.dropped for s in statuses) - sum(self._before),
            "frames between camera and detector": self._arrivals.dropped + self._matcher.superseded,
            "corrupt": sum(s.corrupt for s in statuses),
        }
        for opened, unused in zip(self._sources, self._file_matcher.unused, strict=True):
            drops[f"frames of {opened.info.name} at the time of no moment"] = unused
        return drops | self._sinks.lost("every")


def _shown(frame: Frame) -> Image:
    return frame.picture if isinstance(frame, KnownFrame) and frame.picture is not None else frame.image


def _seen(frame: Frame | None) -> Frame | None:
    return frame.seen() if isinstance(frame, UnseenFrame) else frame


def _reader(channel: Channel[Frame]) -> Callable[[], Frame | None]:
    """The next frame of a channel, None at its end."""

    def read() -> Frame | None:
        try:
            return channel.get()
        except Closed:
            return None

    return read
