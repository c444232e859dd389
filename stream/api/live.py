"""A run as something to iterate over: ``open_stream``."""

import logging
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from types import TracebackType
from typing import Final, Self, Unpack

from calibration.arrays import Image
from calibration.errors import UserError
from stream.api.checks import check_sinks
from stream.api.keywords import Flags, config
from stream.api.tap import Tap
from stream.app import build
from stream.app.camera_locks import lock_cameras
from stream.app.outputs import check
from stream.channel import Closed, Policy
from stream.control import Control
from stream.live.capture import CaptureRun
from stream.live.metrics import Summary
from stream.live.pipeline import Pipeline
from stream.live.timed_start import TimedStart
from stream.sinks import MainSink, RunInfo, Sink
from stream.types import Estimate, SinkStoppedError, StreamError
from stream.words import own_fault

_log = logging.getLogger(__name__)
_WAKE_S: Final = 0.03
"""How often a wait looks after the window and whether the interpreter ends."""


class Stream(Iterator[Estimate]):
    """Estimates of a run that goes on in threads of its own; ``open_stream`` makes it.

    Use it from one thread at a time, and with a viewer always from the same one. Close it, best by ``with``: closing
    twice, in any order with other streams, or never (when it is garbage collected, or the program ends) is no error.
    """

    def __init__(
        self, pipeline: Pipeline, viewer: MainSink | None, policy: Policy, images: bool, stack: ExitStack,
        clock: CaptureRun | TimedStart | None,
    ) -> None:  # fmt: skip
        self.run_info: RunInfo = pipeline.run_info
        """What is known of the run: cameras, networks, settings."""
        self.control: Control = pipeline.control
        """Asks the run to stop, pause, record or note an event, from any thread."""
        self.policy: Policy = policy
        """Whether estimates are passed over that nobody takes in time."""
        self.images: Mapping[str, Image | None] = {}
        """Camera name -> (H, W, 3) uint8 BGR, read-only, of the last estimate; empty without ``images=True``."""
        self._pipeline = pipeline
        self._viewer = viewer
        self._tap = Tap(policy, images)
        self._outcome = _Outcome()
        pipeline.add(self._tap, "python")
        if viewer is not None:
            viewer.open(self.run_info)
        self._thread = threading.Thread(
            target=_drive, args=(pipeline, self._tap, self._outcome, stack, clock), name="stream", daemon=False
        )
        # Bound to nothing of this object, or it would never be collected.
        self._finalizer = weakref.finalize(self, _let_go, self._tap, self.control, self._thread, threading.get_ident())
        self._thread.start()

    @property
    def live(self) -> bool:
        """Whether its sources are cameras, of which the newest frames win."""
        return self._pipeline.live

    @property
    def note(self) -> str:
        """What is wrong at this moment, in one line; empty when nothing is."""
        return self._pipeline.note

    @property
    def summary(self) -> Summary | None:
        """What the run did; None before its end."""
        return self._outcome.summary

    def __next__(self) -> Estimate:
        """The next estimate, waiting for it.

        Raises:
            StopIteration: at the end of the sources, or once stopped or closed.
            UserError: whatever ended the run, or lost a recording.
        """
        while True:
            try:
                estimate, self.images = self._tap.channel.get(_WAKE_S)
            except TimeoutError:
                self._show(None)
            except Closed:
                self._end(raising=True)
                raise StopIteration from None
            else:
                self._show(estimate)
                return estimate

    def close(self) -> None:
        """End the run and wait for its end: what is under way is finished and written.

        Raises:
            SinkStoppedError: if something was lost, such as a recording on a full disk.
        """
        ended = self._tap.channel.closed
        self._stop()
        self._end(raising=True, error=ended)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close; what was lost is not raised over an error that is on its way."""
        self._stop()
        self._end(raising=kind is None, error=False)

    def __repr__(self) -> str:
        names = ", ".join(camera.name for camera in self.run_info.cameras)
        return f"<stream of {names}, {'closed' if self._outcome.over else 'running'}>"

    def _stop(self) -> None:
        self.control.stop()
        self._tap.channel.close()
        self._tap.channel.discard()

    def _end(self, *, raising: bool, error: bool = True) -> None:
        self._thread.join()
        self._finalizer.detach()
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.close()
        failed, lost = self._outcome.take()
        if raising and failed is not None and error:
            raise failed
        if failed is not None:
            # Whoever leaves early, or by an error of their own, is not raised another one; but it is told.
            _log.error(f"the run had ended by an error: {failed if isinstance(failed, UserError) else repr(failed)}")
            _log.debug("the run had ended by an error", exc_info=failed)
        if raising and lost:
            raise SinkStoppedError("; ".join(lost))

    def _show(self, estimate: Estimate | None) -> None:
        """Let the viewer work, in the thread that iterates: toolkits want always the same."""
        viewer = self._viewer
        if viewer is None:
            return
        try:
            if estimate is None:
                viewer.poll()
            else:
                viewer.write(estimate, self.images)
        except Exception as error:
            self._viewer = None
            said = f"the viewer stopped: {error}"
            if not isinstance(error, UserError):
                said = own_fault("the viewer", error)
                _log.debug("the viewer stopped", exc_info=True)
            _log.error(said)
            self._outcome.lost.append(said)
            viewer.close()


class _Outcome:
    """How a run ended; each trouble is told once."""

    def __init__(self) -> None:
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        self.lost: list[str] = []
        self.over = False

    def take(self) -> tuple[BaseException | None, list[str]]:
        error, self.error = self.error, None
        lost, self.lost = self.lost, []
        return error, lost


def _drive(
    pipeline: Pipeline, tap: Tap, outcome: _Outcome, stack: ExitStack, clock: CaptureRun | TimedStart | None
) -> None:
    """Run to the end, in a thread of its own; a program that ends without closing is not held up."""
    run = threading.Thread(target=_run, args=(pipeline, outcome, clock), name="stream-run")
    run.start()
    while run.is_alive():
        run.join(_WAKE_S)
        if not threading.main_thread().is_alive():
            pipeline.control.stop()
            tap.channel.close()
    stack.close()
    outcome.over = True
    tap.channel.close()


def _run(pipeline: Pipeline, outcome: _Outcome, clock: CaptureRun | TimedStart | None) -> None:
    try:
        outcome.summary = build.drive(pipeline, None, clock)
        outcome.lost += outcome.summary.failures
    except BaseException as error:  # told to whoever iterates
        outcome.error = error


def _told(line: str) -> None:
    """Tell of a countdown; a program that wants a tone makes its own."""
    if line:
        _log.info(line)


def _let_go(tap: Tap, control: Control, thread: threading.Thread, owner: int) -> None:
    """End the run of a stream that nobody has any more."""
    control.stop()
    tap.channel.close()
    tap.channel.discard()
    # The collector may run in any thread, also in one of the run's own, which cannot wait for itself.
    if threading.get_ident() == owner:
        thread.join()


def open_stream(
    *sources: str | int | PathLike[str],
    policy: Policy | None = None,
    images: bool = False,
    sinks: Sequence[Sink] = (),
    **flags: Unpack[Flags],
) -> Stream:
    """Open sources and estimate what they show; iterate over the result::

        with stream.open_stream("left=0", "right=1", calibration="lab.toml") as live:
            for estimate in live:
                print(estimate.person)

    Args:
        sources: each as ``--camera`` takes it: ``[NAME=]SOURCE``, where SOURCE is an index, a device, a file, an
            address, a folder of images, ``env:VARIABLE``, or what a registered source claims.
        policy: "latest" hands out the newest estimate and passes over those that nobody takes in time, "every" keeps
            them all: of files it waits, of cameras it holds ten seconds of them and counts what does not fit. None:
            "latest" of cameras, "every" of files.
        images: whether ``Stream.images`` has the images that the last estimate was made of. With "every" and cameras
            half a second is held then instead of ten.
        sinks: further outputs, not open, each in a thread of its own; see ``Sink``.
        flags: every flag of the program, see ``Flags``.

    Returns:
        The stream, running.

    Raises:
        UserError: for whatever the user can mend, in one line.
    """
    if policy not in (None, "latest", "every"):
        raise StreamError(f"policy is {policy!r}; give 'latest' or 'every'")
    check_sinks(sinks)
    asked = config(sources, dict(flags))
    stack = ExitStack()
    try:
        check(asked)
        if asked.capture is not None:
            stack.enter_context(lock_cameras(asked.sources))
        clock = build.clock_of(asked, _told)
        pipeline, viewer = build.prepare(asked, stack, clock)
        for sink in sinks:
            pipeline.add(sink)
        chosen: Policy = policy or ("latest" if pipeline.live else "every")
        return Stream(pipeline, viewer, chosen, images or viewer is not None, stack, clock)
    except BaseException:
        stack.close()
        raise
