"""``--capture``: every frame of live cameras to disk, with a light preview or with live estimates beside it."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Final

from calibration.arrays import Image
from stream.app import build, camera_setup, outputs
from stream.app.camera_locks import lock_cameras
from stream.app.signals import finish_on_interrupt, leave_on_interrupt
from stream.app.status_line import StatusLine
from stream.app.typed_marks import listen
from stream.config import CaptureConfig, Config
from stream.control import Control
from stream.drawing.facts import Status
from stream.drawing.keys import draw_keys
from stream.drawing.preview import draw_preview
from stream.drawing.scene import ViewState
from stream.live.capture import CaptureRun
from stream.live.directed_capture import capture_of
from stream.live.heap import memory_given_back
from stream.live.metrics import report
from stream.live.pipeline import OpenSource
from stream.sinks import MainSink, RunInfo, recorder, window
from stream.types import Estimate, Frame, FrameReference, StreamError
from stream.version import __version__

_log = logging.getLogger(__name__)

_PREVIEW_S: Final = 0.4
"""The preview shows a new image of each camera this often."""
_POLL_S, _IDLE_S = 0.05, 0.25
"""A window is asked for keys this often; without one there is less to do."""


def run(config: Config) -> tuple[list[str], list[str]]:
    """Capture until the user stops, the time is over or the disk is nearly full.

    Returns:
        Lines that say what was done, and what went wrong.

    Raises:
        UserError: for everything the user can mend, in one line.
    """
    if config.capture is None:
        raise RuntimeError("there is nothing to capture")
    _check(config, config.capture)
    with ExitStack() as stack:
        stack.enter_context(lock_cameras(config.sources))
        if config.capture.live:
            return _with_estimates(config, config.capture, stack)
        return _alone(config, config.capture, stack)


def _check(config: Config, capture: CaptureConfig) -> None:
    asked = [o for o in config.output.sinks if isinstance(o, recorder.Options) and o.record]
    if asked and not capture.live:
        raise StreamError("--record keeps estimates, and --capture makes none; add --live, or leave out --record")
    outs = [(o, field) for o in outputs.sink_options(config.output) if o.role == "output" for field in fields(o)]
    told = [f"--{field.name.replace('_', '-')}" for o, field in outs if getattr(o, field.name) != field.default]
    if told and not capture.live:
        raise StreamError(
            f"{told[0]} is of a run with estimates, and --capture makes none; add --live, or leave it out"
        )
    outputs.check(config)


def _run(config: Config, capture: CaptureConfig, seen: str) -> CaptureRun:
    return capture_of(capture, tuple(source.name for source in config.sources), seen, build.told)


def _with_estimates(config: Config, capture: CaptureConfig, stack: ExitStack) -> tuple[list[str], list[str]]:
    run = _run(config, capture, "all")
    with leave_on_interrupt():
        pipeline, viewer = build.prepare(config, stack, run)
    listen(pipeline.control, sys.stdin)
    with finish_on_interrupt(pipeline.control):
        summary = build.drive(pipeline, viewer, run)
    return [*report(summary), *run.summary()], list(summary.failures)


def _alone(config: Config, capture: CaptureConfig, stack: ExitStack) -> tuple[list[str], list[str]]:
    with leave_on_interrupt():
        setup = camera_setup.load(config.setup, config.sources)
        status = _PreviewStatus()
        control = Control()
        viewer = _preview(config.output.view, status, control)
        run = _run(config, capture, "keys" if viewer else "none")
        status.run = run
        opened = build.open_sources(config, stack, run.source)
        turns = setup.turns(opened)
        info = capture_info(config, setup, opened, turns)
        for line in run.ready(info, [o.info for o in opened], turns):
            _log.info(line)
    control.connect(event=run.event)
    listen(control, sys.stdin)
    with finish_on_interrupt(control), memory_given_back():
        run.start(control)
        try:
            _watch(run, control, opened, info, viewer, _talks(config))
        finally:
            for one in opened:
                one.source.close()
            run.close()
    return run.summary(), [run.problem] if run.problem else []


def _preview(view: str, status: Callable[[], Status], control: Control) -> MainSink | None:
    """A window with the newest images, where it is wanted and can be had.

    Raises:
        StreamError: for a viewer of estimates, and where the window that is asked for cannot be had.
    """
    if view not in ("auto", "window", "none"):
        raise StreamError(
            f"--view {view} shows estimates, and --capture makes none; add --live, or give window or none"
        )
    if view == "none":
        return None
    if view == "auto" and (reason := window.available()) is not None:
        _log.info(f"no window: {reason}; going on without one")
        return None
    return window.Window(status, control, title="capture", picture=_tiles)


def _tiles(images: Mapping[str, Image | None], estimate: Estimate, status: Status, view: ViewState) -> Image:
    picture = draw_preview(images, [camera.name for camera in view.cameras], status.note, view.size)
    if view.keys:
        draw_keys(picture)
    return picture


def _talks(config: Config) -> bool:
    """Whether there is a line on the terminal: --quiet leaves it out."""
    return any(options.name() == "terminal" for options in outputs.sink_options(config.output))


def capture_info(
    config: Config, setup: camera_setup.CameraSetup, opened: Sequence[OpenSource], turns: Mapping[str, int]
) -> RunInfo:
    """What a take says of cameras whose images will be turned by ``turns`` degrees for the sake of a calibration."""
    upright = [o.turned(turns.get(o.info.name, 0)) for o in opened]
    fitted, lines = setup.cameras(upright, config.lift.fov_degrees, turns)
    for line in lines if setup.calibration else ():  # without one, nothing that is captured depends on it
        _log.info(line)
    rates = [o.info.fps for o in opened if o.info.fps]
    return RunInfo(
        cameras=tuple(build.camera_info(o, f, None) for o, f in zip(opened, fitted, strict=True)),
        kernels=1,
        start_utc=datetime.now(UTC),
        start_monotonic=time.monotonic(),
        fps=max(rates, default=None),
        software=f"hypothesis-stream {__version__}",
        settings={
            "sync_offset": {o.info.name: o.offset_s for o in opened},
            "start": asdict(config.capture.start) if config.capture else {},
        },
    )


class _PreviewStatus:
    """The state of a capture, for the picture."""

    run: CaptureRun | None = None

    def __call__(self) -> Status:
        run = self.run
        if run is None:
            return Status()
        return Status(note=run.note or run.line(), recording=run.take is not None)


def _watch(
    run: CaptureRun, control: Control, opened: Sequence[OpenSource], info: RunInfo, viewer: MainSink | None, line: bool
) -> None:  # fmt: skip
    """Show how it goes on, in the main thread."""
    said = StatusLine(sys.stderr) if line else None
    newest: dict[str, Frame] = {}
    readers = [threading.Thread(target=_read, args=(o, newest, control), daemon=True) for o in opened if viewer]
    for reader in readers:
        reader.start()
    if viewer:
        viewer.open(info)
    shown = 0.0
    try:
        while not control.stopping:
            if said and said.due:
                notes = [f"{o.info.name}: {note}" for o in opened if (note := o.source.status().note)]
                said.show(", ".join([*notes, run.line()]))
            if viewer and time.monotonic() - shown >= _PREVIEW_S:
                shown = time.monotonic()
                viewer.write(*_picture(info, dict(newest), shown))
            if viewer:
                viewer.poll()
            time.sleep(_POLL_S if viewer else _IDLE_S)
    finally:
        if viewer:
            viewer.close()
        if said:
            said.close()


def _read(opened: OpenSource, newest: dict[str, Frame], control: Control) -> None:
    """Decode an image of one camera now and then."""
    while not control.stopping and (frame := opened.source.read()) is not None:
        newest[opened.info.name] = frame
        time.sleep(_PREVIEW_S)


def _picture(info: RunInfo, newest: Mapping[str, Frame], t: float) -> tuple[Estimate, dict[str, Image | None]]:
    """The newest images as a frame set in which nobody is seen."""
    frames = tuple(newest.get(camera.name) for camera in info.cameras)
    references = tuple(
        None if f is None else FrameReference(f.camera, f.index, f.t, (f.image.shape[1], f.image.shape[0]), "")
        for f in frames
    )
    return Estimate(index=0, t=t, frames=references, people=()), {f.camera: f.image for f in frames if f is not None}
