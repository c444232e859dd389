"""The sinks of a run, put together as its Config says."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, cast

from stream.app.nodes import command_nodes, looking
from stream.app.record_switch import RecordSwitch, TakeSinks
from stream.app.recordings import Recordings
from stream.app.run_status import RunStatus
from stream.cluster.group import Group
from stream.config import Config, OutputConfig, SourceConfig
from stream.drawing.scene import ViewState
from stream.live.capture import CaptureRun
from stream.live.metrics import Meter
from stream.live.pipeline import Pipeline
from stream.sinks import MainSink, Run, SinkOptions, publish, recorder
from stream.types import StreamError

_log = logging.getLogger(__name__)

AUTO: Final = "window"
"""The viewer of ``--view auto``, where it can be used."""
RECORD_FOLDER: Final = Path("recordings")
"""Where a take goes that is begun by a key when no --record was given."""


def check(config: Config) -> None:
    """Find out before anything is opened what cannot be written or shown.

    Raises:
        StreamError: for a viewer that is not there, and for what a sink's options cannot be.
    """
    options = sink_options(config.output)
    names = ["auto", *(o.name() for o in options if o.role == "viewer"), "none"]
    if config.output.view not in names:
        raise StreamError(f"unknown view {config.output.view!r}; there are {', '.join(names)}")
    for one in options:
        one.check(config)


def add(
    config: OutputConfig, pipeline: Pipeline, meter: Meter, runtime: str, total: int | None, stack: ExitStack,
    later: Callable[[Callable[[float, float], None]], None] | None = None, sources: Sequence[SourceConfig] = (),
    capture: CaptureRun | None = None,
) -> MainSink | None:  # fmt: skip
    """Make the sinks of a run, add them to its pipeline and connect its record switch.

    Args:
        config: what the user wants.
        pipeline: the run, not started.
        meter: its counts.
        runtime: what the lifter runs on.
        total: frame sets there will be, where a file tells.
        stack: ends with the run; an empty take goes then.
        later: is told what begins the take, where it begins later than the run; see ``TimedStart.begins``.
        sources: of the run, open.
        capture: goes on beside it.

    Returns:
        The viewer, which wants the main thread, if there is one.

    Raises:
        UserError: for an output that cannot be made; nothing has been written then.
    """
    options = sink_options(config)

    def take_sinks(take: Path) -> TakeSinks:
        return _made([o for o in options if o.role == "take"], Run(status, pipeline.control, take))

    folder = next((o.record for o in options if isinstance(o, recorder.Options)), None)
    switch = RecordSwitch(pipeline, folder or RECORD_FOLDER, take_sinks)
    stack.callback(switch.close)
    recording = Recordings(switch, folder is not None, capture)
    status = RunStatus(pipeline, meter, runtime, total, lambda: recording.take)
    view = ViewState(mirror=config.mirror).seen_from(*config.viewpoint)
    run = Run(status, pipeline.control, hypotheses=config.hypotheses, view=view, hold=config.hold, looks=pipeline.looks,
              recording=recording.told, refuses=recording.refuses, tell=pipeline.tell,
              look=looking(sources))  # fmt: skip
    # Everything that can be refused is made first, a take last, so that no empty one is left.
    made = _made([o for o in options if o.role == "output"], run)
    viewer = _viewer(config.view, [o for o in options if o.role == "viewer"], run)
    for name, sink in made:
        pipeline.add(sink, name)
    pipeline.control.connect(record=recording.switch)
    command_nodes(sources, pipeline, switch, stack)
    waits = directed(config, pipeline.live) if later is None else None
    if waits and not recording.refuses:
        if folder:
            switch.try_folder()
        _log.info(f"recording: {waits} begins it there (--record, the key r, its page), or r here")
        pipeline.facts.append(lambda: [] if recording.begun else [("recording", f"waits for {waits}")])
        pipeline.endings.append(lambda: [] if recording.begun else [f"recording: {waits} never began one"])
    elif folder and later:
        switch.try_folder()
        later(switch.begin_timed)
    elif folder:
        switch.begin()
    return viewer


def directed(config: OutputConfig, live: bool) -> Group | None:
    """Whoever says when takes begin and end: the group to which a live run is published; None: this run by itself."""
    return publishes(config) if live else None


def publishes(config: OutputConfig) -> Group | None:
    """The group to which a run is published; None: to none."""
    return next((o.publish for o in sink_options(config) if isinstance(o, publish.Options)), None)


def sink_options(config: OutputConfig) -> list[SinkOptions]:
    """The options of the sinks there may be."""
    wrong = [options for options in config.sinks if not isinstance(options, SinkOptions)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} are no options of a sink")
    return cast(list[SinkOptions], list(config.sinks))


def _made(options: Sequence[SinkOptions], run: Run) -> TakeSinks:
    made = [(one.name(), one.make(run)) for one in options]
    return [(name, sink) for name, sink in made if sink is not None]


def _viewer(view: str, viewers: Sequence[SinkOptions], run: Run) -> MainSink | None:
    chosen = next((o for o in viewers if o.name() == (AUTO if view == "auto" else view)), None)
    if chosen is None:
        return None
    if view == "auto" and (reason := chosen.missing()) is not None:
        _log.info(f"no window: {reason}; going on without one (--video-out FILE.mp4 writes what it would show)")
        return None
    return cast(MainSink, chosen.make(run))
