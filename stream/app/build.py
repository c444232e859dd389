"""From a Config to a run: opens what it names, checks it before the capture starts, and puts the pieces together."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from calibration.geometry.camera import Camera
from engines.detectors import DetectorOptions, fallback
from engines.detectors.fallback import Fallback
from engines.fusion import Fuser
from engines.lifter import MDNLifter
from engines.temporal import TemporalLifter
from engines.types import Detector, Lifter
from stream.app import camera_setup, outputs
from stream.app.signals import finish_on_interrupt, leave_on_interrupt
from stream.app.tone import play_tone
from stream.config import Config, SourceConfig
from stream.live.capture import CaptureEvents, CaptureRun
from stream.live.directed_capture import DirectedCapture, capture_of
from stream.live.doubts import Doubts
from stream.live.estimator import Each, Estimator
from stream.live.files import moment_count
from stream.live.known import NoDetector
from stream.live.lags import Lags
from stream.live.metrics import Meter, Summary
from stream.live.pipeline import OpenSource, Pipeline
from stream.live.starts import common_starts
from stream.live.timed_start import TimedStart, Told
from stream.recordings.run_info import NODE, up_in_words
from stream.sinks import CameraInfo, MainSink, RunInfo
from stream.sources import Source, SourceInfo, make_source, open_all
from stream.types import StreamError
from stream.version import __version__

_log = logging.getLogger(__name__)


def run(config: Config) -> Summary:
    """Run until the sources end or the user stops.

    Raises:
        UserError: for everything the user can mend, in one line.
    """
    with ExitStack() as stack:
        clock = clock_of(config, told)
        with leave_on_interrupt():
            pipeline, viewer = prepare(config, stack, clock)
        with finish_on_interrupt(pipeline.control):
            return drive(pipeline, viewer, clock)


def clock_of(config: Config, told: Told) -> CaptureRun | TimedStart | None:
    """What keeps a run to the clock: its capture, or its start and end alone; None where nothing is said of them.

    Args:
        config: the whole run.
        told: hears the countdown.
    """
    if config.capture is not None:
        return capture_of(config.capture, tuple(source.name for source in config.sources), "all", told)
    return TimedStart(config.start, told) if config.start else None


def drive(pipeline: Pipeline, viewer: MainSink | None, clock: CaptureRun | TimedStart | None) -> Summary:
    """Run what is prepared, to its end, with a capture or a timed start beside it."""
    if clock is None:
        return pipeline.run(viewer)
    pipeline.notes.append(lambda: clock.note)
    if isinstance(clock, CaptureRun):
        pipeline.add(CaptureEvents(clock), "capture")
    clock.start(pipeline.control, lambda: pipeline.newest)
    try:
        summary = pipeline.run(viewer)
    finally:
        clock.close()
    return replace(summary, failures=(*summary.failures, *([clock.problem] if clock.problem else [])))


def told(line: str) -> None:
    """Say a line of a countdown; at its end, play a tone."""
    if line:
        _log.info(line)
    else:
        threading.Thread(target=play_tone, name="tone", daemon=True).start()


def prepare(
    config: Config, stack: ExitStack, clock: CaptureRun | TimedStart | None = None
) -> tuple[Pipeline, MainSink | None]:
    """Everything of a run but the run: sources are open, networks are loaded, and no thread has been started.

    Cameras, then networks, then the pipeline, then the sinks; what one of them needs of the Config it is handed here.

    Args:
        config: the whole run.
        stack: closes the sources when it ends.
        clock: what keeps it to the clock; a capture, which gets every frame, is made ready here, and not started.

    Raises:
        UserError: for everything the user can mend, in one line.
    """
    outputs.check(config)
    setup = camera_setup.load(config.setup, config.sources)
    config = replace(config, sources=setup.sized(config.sources))
    capture = clock if isinstance(clock, CaptureRun) else None
    opened = open_sources(config, stack, capture.source if capture else make_source)
    if clock is not None and capture is None:
        _must_be_live(opened)
    said: list[str] = []
    if capture is None:  # which is of every camera that was named
        kept, said = setup.placed_only(opened)
        opened, setup = [opened[i] for i in kept], setup.of(kept)
        config = replace(config, sources=tuple(config.sources[i] for i in kept))
    turns = setup.turns(opened)
    opened = [o.turned(turns.get(o.info.name, 0)) for o in opened]
    cameras, lines = setup.cameras(opened, config.lift.fov_degrees, turns)
    live = any(o.info.live for o in opened)
    if setup.calibration is None and outputs.publishes(config.output):
        lines = []  # the one that fuses has the calibration
    for line in (*said, *lines):
        _log.info(line)
    asked = None if live else asked_rate(config.sources, opened)

    lifter = MDNLifter(config.lift.weights, config.network)
    temporal = load_temporal(config, lifter)
    fps = [o.info.fps for o in opened]
    rates = [rate for rate in fps if rate]
    detector: Fallback | NoDetector
    if all(o.info.people_known for o in opened):
        detector = NoDetector()
        whose = "other computers" if any(o.info.source.startswith(NODE) for o in opened) else "the files"
        _log.info(f"2D joints are those of {whose}: nothing is detected")
    else:
        rate = frame_set_rate(fps, config.detect.assumed_fps) if live else None
        detector = load_detector(config, rate, _beside(stack) if live else None)
        _log.info(f"detector {runs_on(detector.describe())}")
    _log.info(f"lifter {runs_on(lifter.describe())}")
    if temporal is not None:
        _log.info(f"with the frames before: {runs_on(temporal.describe())}")

    taken = {o.info.taken for o in opened}
    one = next(iter(taken)) if len(taken) == 1 else None
    start_utc, start_monotonic = one or (datetime.now(UTC), time.monotonic())
    lenses = [fitted.camera for fitted in cameras]
    each = map if isinstance(detector, NoDetector) else side_by_side(len(opened), stack)
    estimator = make_estimator(config, lenses, setup.method, detector, lifter, each, temporal)
    infos = tuple(camera_info(o, f, config.lift.fov_degrees) for o, f in zip(opened, cameras, strict=True))
    if not any(up_in_words(infos) in line for line in lines):
        _log.info(up_in_words(infos))
    run_info = RunInfo(
        cameras=infos,
        kernels=lifter.kernels,
        start_utc=start_utc,
        start_monotonic=start_monotonic,
        fps=asked or (rates[0] if live else max(rates)) if rates else None,
        detectors=detector.describe_all(),
        lifter={**lifter.describe(), **(temporal.named() if temporal else {})},
        runtime=lifter.describe()["runtime"],
        software=f"hypothesis-stream {__version__}",
        settings={"fusion": setup.method, "engine": asdict(config.network), "detect": asdict(config.detect),
                  "top_down": asdict(config.top_down), "fallback": asdict(config.fallback),
                  "sync": asdict(config.sync), "fusing": asdict(config.fusion), "tracks": asdict(config.tracks),
                  "speed": {s.name: s.speed for s in config.sources},
                  "rotate": {s.name: turns.get(s.name, s.rotate or 0) for s in config.sources},
                  "up": up_in_words(infos), "people": config.people.limit, "identity": asdict(config.identity),
                  "sync_offset": {o.info.name: o.offset_s for o in opened}},
    )  # fmt: skip
    meter = Meter()
    # Cameras of several computers are never triggered together.
    apart = live and any(o.info.kind == "node" for o in opened)
    interpolate = config.sync.interpolate and (not live or apart or config.setup.sync_delay > 0)
    sync = replace(config.sync, interpolate=interpolate, fps=asked or config.sync.fps)
    if capture is not None:
        for line in capture.ready(run_info, [o.info for o in opened], turns):
            _log.info(line)
    lags = Lags(lenses, [o.offset_s for o in opened], config.detect.min_score) if live else None
    doubts = None if setup.method == "none" else Doubts(lenses, config.detect.min_score, lags)
    pipeline = Pipeline(opened, estimator, run_info, meter, sync, config.output.record_buffer_s, doubts=doubts)
    frames = None if live else _expected(opened, run_info.fps or 0.0, asked)
    later = clock.begins if clock and not isinstance(clock, DirectedCapture) else None
    return pipeline, outputs.add(config.output, pipeline, meter, run_info.runtime, frames, stack, later,
                                 config.sources, capture)  # fmt: skip


def _expected(opened: Sequence[OpenSource], rate: float, asked: float | None) -> int | None:
    """About how many moments there will be; None where nothing tells."""
    times = [np.array(o.info.times) + o.offset_s for o in opened if o.info.times is not None]
    if len(times) == len(opened):
        return moment_count(times, [o.info.fps for o in opened], asked) or None
    lengths = [o.info.frames / o.info.fps if o.info.frames and o.info.fps else 0.0 for o in opened]
    return round(max(lengths) * rate) or None


def _must_be_live(opened: Sequence[OpenSource]) -> None:
    """Refuse to begin and end by the clock what has its own times.

    Raises:
        StreamError: naming the first such source.
    """
    other = next((o.info for o in opened if o.info.clock != "monotonic"), None)
    if other is not None:
        raise StreamError(
            f"--start-at, --countdown and --seconds are for live cameras, and {other.source} is none; leave them out"
        )


def make_estimator(
    config: Config, lenses: Sequence[Camera], method: str, detector: Detector, lifter: Lifter, each: Each,
    temporal: TemporalLifter | None = None,
) -> Estimator:  # fmt: skip
    """The estimator of a fixed set of cameras.

    Args:
        config: the whole run.
        lenses: one a camera.
        method: how views are fused, or "none".
        detector: loaded.
        lifter: loaded.
        each: goes over the views, see ``side_by_side``.
        temporal: loaded; None: each frame is lifted by itself.
    """
    fuse = None if method == "none" else Fuser(lenses, method, config.detect.min_score, config.fusion)
    return Estimator(
        lenses, detector, lifter, config.detect, config.tracks, fuse, each,
        max_interpolated_s=config.sync.max_interpolated_s, people=config.people, identity=config.identity,
        temporal=temporal,
    )  # fmt: skip


def load_temporal(config: Config, lifter: MDNLifter) -> TemporalLifter | None:
    """What makes the lifter's hypotheses steadier by the frames before; None where that is off.

    Raises:
        EngineError: if it cannot be used, or was made for another lifter.
    """
    asked = config.lift.temporal
    return None if asked == "off" else TemporalLifter(lifter, None if asked == "on" else Path(asked), config.network)


def frame_set_rate(fps: Sequence[float | None], assumed: float) -> float:
    """Frame sets a second of live cameras: one comes when *every* camera has a new frame, at the slowest one's rate.

    Args:
        fps: frames a second of each, None where not known.
        assumed: what is taken for that.
    """
    return min((rate or assumed for rate in fps), default=assumed)


def _beside(stack: ExitStack) -> Executor | None:
    """Looks for others while the followed are looked at; None where there is no second core to do that."""
    if (os.cpu_count() or 1) == 1:
        return None
    pool = ThreadPoolExecutor(1, thread_name_prefix="find")
    stack.callback(pool.shutdown, cancel_futures=True)
    return pool


def load_detector(config: Config, rate: float | None, beside: Executor | None = None) -> fallback.Fallback:
    """The detectors of a run, in their order.

    Args:
        config: the whole run.
        rate: frame sets a second of live sources, in each of which every view is detected; None for files.
        beside: looks for others in live sources, beside the frames that come.

    Raises:
        EngineError: for an unknown name, or if none can be loaded.
    """
    # Several views are detected side by side, a core each.
    share = max(1, (os.cpu_count() or 1) // max(1, len(config.sources)))
    threads = config.detect.threads or min(config.detect.most_threads, share)
    options = DetectorOptions(replace(config.network, threads=threads), config.top_down, beside)
    return fallback.Fallback(config.detect.names, rate=rate, options=config.fallback, detector=options)


def runs_on(said: Mapping[str, str]) -> str:
    """What a network really runs on and why, of what it says of itself, for the user."""
    parts = [said["runtime"], said.get("precision", ""), f"({said['device']})" if "device" in said else ""]
    model = f"{said['model']} " if said["model"] else ""  # a detector may be no network
    return f"{model}on {' '.join(filter(None, parts))}" + (f": {said['choice']}" if "choice" in said else "")


def side_by_side(views: int, stack: ExitStack) -> Each:
    """How the estimator goes over its views: one after another, or with more than one on as many cores as there are.

    Two networks of one thread each finish sooner than one after another with two threads: those wait for each other at
    every layer.
    """
    workers = min(views, os.cpu_count() or 1)
    if workers == 1:
        return map
    pool = ThreadPoolExecutor(workers, thread_name_prefix="detect")
    stack.callback(pool.shutdown)
    return pool.map


def open_sources(
    config: Config, stack: ExitStack, make: Callable[[SourceConfig], Source] = make_source
) -> list[OpenSource]:
    """Open every source, closing all of them when the stack ends.

    Args:
        config: the whole run.
        stack: closes them.
        make: makes one that is not open.

    Raises:
        StreamError: if one cannot be opened, live sources and files are mixed, or live ones are moved too far apart.
    """
    offsets = camera_setup.parse_offsets(config.setup.sync_offset, [s.name for s in config.sources])
    opened = []
    sources = [make(source_config) for source_config in config.sources]
    for source, info, source_config in zip(sources, open_all(sources, stack), config.sources, strict=True):
        for message in (*info.messages, *not_taken(source_config, info, len(config.sources))):
            _log.warning(f"{info.name}: {message}")
        stated = source_config.fps if info.live and info.kind == "network" else None
        opened.append(OpenSource(source, info, offsets.get(info.name, 0.0), stated))
    shifts, lines = common_starts([o.info for o in opened], offsets)
    for line in lines:
        _log.info(line)
    opened = [replace(o, offset_s=shifts.get(o.info.name, o.offset_s)) for o in opened]
    # A file played in real time keeps its own time, from 0: a camera's is never near it.
    if len({(o.info.live, o.info.clock) for o in opened}) > 1:
        raise StreamError(
            "live cameras and files cannot be mixed in one run, nor with --realtime: their times have nothing in "
            "common; give either cameras or files"
        )
    moved = [o.offset_s for o in opened if o.info.live]
    if moved and max(moved) - min(moved) > config.sync.live_span_s:
        raise StreamError(
            f"--sync-offset moves live cameras {max(moved) - min(moved):g} s apart, and their images wait in memory "
            f"for {config.sync.live_span_s:g} s at most; check the offsets, or play files without --realtime"
        )
    return opened


def not_taken(config: SourceConfig, info: SourceInfo, sources: int) -> Iterator[str]:
    """What was asked of a source whose kind has no such setting, both values in the message."""
    if config.size not in (None, info.size) and info.kind not in ("camera", "detections"):
        yield "--size {}x{} is for local cameras; ".format(*config.size) + "it gives {}x{}".format(*info.size)
    if (info.live or sources == 1) and info.kind not in ("camera", "detections") and _other_rate(config, info):
        yield f"--fps {config.fps:g} is for local cameras and folders of images; its own times say {info.fps:g}"


def asked_rate(sources: Sequence[SourceConfig], opened: Sequence[OpenSource]) -> float | None:
    """The rate at which several files are to be matched by --fps; None where that is one of their own."""
    pairs = zip(sources, opened, strict=True)
    asked = [config.fps for config, o in pairs if config.fps and _other_rate(config, o.info)]
    return max(asked) if asked and len(opened) > 1 else None


def _other_rate(config: SourceConfig, info: SourceInfo) -> bool:
    return bool(config.fps and info.fps and abs(info.fps - config.fps) > 0.01 * config.fps)


def camera_info(opened: OpenSource, fitted: camera_setup.Fitted, fov_degrees: float | None) -> CameraInfo:
    """What a recording says of one camera.

    Args:
        opened: its source.
        fitted: its lens.
        fov_degrees: what a lens that is not calibrated is taken to have; None where nothing is assumed.
    """
    info = opened.info
    return CameraInfo(
        info.name, info.source, info.kind, info.size,
        fitted.camera if fitted.calibrated else None,
        None if fitted.calibrated else fov_degrees,
        info.device, info.serial,
    )  # fmt: skip
