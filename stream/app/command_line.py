"""The program: flags -> Config -> run -> summary, and one line for every mistake."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from calibration.errors import UserError
from engines.argument_types import DONE, FAILED, INTERRUPTED, MISTAKE
from engines.runtimes import NetworkOptions
from stream import sinks
from stream.app import build, capture, demo
from stream.app.config_file import as_toml, merged, with_thresholds
from stream.app.console import PRINTED, guarded, program, say, shortage, tell
from stream.app.flags import parser
from stream.app.logs import lines_shown
from stream.app.own_nodes import detection_flags, published, spread
from stream.app.per_camera import with_controls, with_settings
from stream.cluster import system_clock
from stream.cluster.group import Group
from stream.cluster.keys import make_keys
from stream.cluster.session import check
from stream.config import (
    CameraSetupConfig,
    CaptureConfig,
    Config,
    DetectConfig,
    LiftConfig,
    OutputConfig,
    PeopleConfig,
    StartConfig,
)
from stream.live.heap import limit_arenas
from stream.live.metrics import report
from stream.recordings.run_info import NODE
from stream.sources import controls_of, list_cameras, parse_sources
from stream.sources.detections import sources_of_detections
from stream.sources.node import sources_of_group
from stream.sources.take import calibration_of_take, sources_of_take

_log = logging.getLogger(__name__)

_ELSEWHERE = (
    "publish_images", "record_video", "capture", "live", "control", "size", "fps", "speed", "rotate", "times",
    "realtime",
)  # fmt: skip
"""Flags that are said of cameras and images, which --from has none of."""


def config_of(args: argparse.Namespace, *, sources: bool = True, demo_files: bool = True) -> Config:
    """The Config of parsed flags.

    Args:
        args: what was parsed.
        sources: whether it must have cameras.
        demo_files: whether the demo leaves results that were not asked for.

    Raises:
        UserError: if they cannot be right.
    """
    if args.demo and args.camera:
        raise UserError("--demo brings its own video; leave out --demo or --camera")
    if args.from_take and (args.camera or args.demo):
        raise UserError(f"--from-take brings its own cameras; leave out {'--camera' if args.camera else '--demo'}")
    if args.detections and (args.camera or args.demo or args.from_take):
        other = "camera" if args.camera else "demo" if args.demo else "from-take"
        raise UserError(f"--detections brings its own cameras; leave out --{other}")
    group = getattr(args, "from")
    if group and (args.camera or args.demo or args.from_take or args.detections):
        other = next(name for name in ("camera", "demo", "from_take", "detections") if getattr(args, name))
        raise UserError(f"--from brings its own cameras; leave out --{other.replace('_', '-')}")
    if group:
        _check_fusing(args)
    if args.demo == "cluster" and args.publish:
        raise UserError("--demo cluster publishes to a group of its own; leave out --publish")
    if sources and not (group or args.demo or args.camera or args.from_take or args.detections):
        raise UserError(
            "no camera; give --camera 0, --camera FILE.mp4 or --demo (--list-cameras shows those there are)"
        )
    if isinstance(args.people, int) and args.people > args.max_people:
        raise UserError(
            f"--people {args.people} is more than --max-people {args.max_people}; give --max-people {args.people} too"
        )
    if args.fov is not None and (args.calibration or args.demo in demo.CALIBRATED):
        lens = "--calibration" if args.calibration else f"the calibration of --demo {args.demo}"
        raise UserError(f"--fov is for lenses that are not known, and {lens} knows them; leave out --fov")
    if args.clock == "system":
        _check_clock(args)
    default = demo.WALKER_FOV if args.demo == "single" else LiftConfig().fov_degrees
    cameras = parse_sources(_cameras_of(args))
    if args.fov is not None and calibration_of_take(cameras) is not None:
        raise UserError("--fov is for lenses that are not known, and the take has their calibration; leave out --fov")
    options = sinks.options_of({**vars(args), "publish": _publish_of(args)}, sinks.kinds().values())
    config = Config(
        sources=cameras,
        detect=DetectConfig(names=tuple(name.strip() for name in args.detector.split(",") if name.strip())),
        people=PeopleConfig(None if args.people in (None, "all") else args.people, args.max_people, args.select),
        lift=LiftConfig(args.weights, args.temporal, default if args.fov is None else args.fov),
        network=NetworkOptions(args.runtime, args.precision),
        setup=CameraSetupConfig(
            args.calibration,
            args.up,
            tuple(args.letterbox),
            args.fusion,
            tuple(args.sync_offset),
            args.bind,
            args.sync_delay,
        ),
        output=OutputConfig(
            args.view,
            tuple(o for o in options if not (args.quiet and o.name() == "terminal")),
            args.hypotheses,
            tuple(args.viewpoint or ()),
            args.mirror,
            args.hold,
        ),
    )
    start = _start_of(args)
    config = replace(config, capture=_capture_of(args, start), start=None if args.capture else start)
    if args.demo:
        config = demo.configure(config, args.demo, files=demo_files)
    asked = {"size": args.size, "fps": args.fps, "realtime": args.realtime, "system_clock": args.clock == "system"}
    settled = with_settings(config.sources, args.speed, args.rotate, args.times)
    config = replace(config, sources=with_controls([replace(source, **asked) for source in settled], args.control))
    return with_thresholds(config, getattr(args, "thresholds", {}))


def _cameras_of(args: argparse.Namespace) -> Sequence[str]:
    """What was given to --camera, or stands for it."""
    if args.detections:
        return sources_of_detections(args.detections)
    if group := getattr(args, "from"):
        return sources_of_group(group.with_keys(args.keys))
    return sources_of_take(args.from_take) if args.from_take else args.camera


def _publish_of(args: argparse.Namespace) -> Group | None:
    """Where to publish, with the keys.

    Raises:
        UserError: for keys that are for nothing.
    """
    if args.keys and not (args.publish or getattr(args, "from")):
        raise UserError("--keys is for --from and --publish, and neither is given")
    if args.publish is None:
        return None
    to = args.publish.with_keys(args.keys)
    check("--publish", to)  # before networks are loaded
    return to


def _check_fusing(args: argparse.Namespace) -> None:
    """Refuse, before anybody is listened to, what is said of cameras or images that are elsewhere.

    Raises:
        UserError: naming the flag.
    """
    if args.publish:
        raise UserError("--from fuses what others --publish; leave out one of them")
    if given := [name for name in _ELSEWHERE if getattr(args, name, None)]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(
            f"{flags}: the images are on the computers that --publish; give it there, and leave it out here"
        )


def _check_clock(args: argparse.Namespace) -> None:
    """Refuse what cannot be relied upon.

    Raises:
        UserError: where nothing keeps the clock of this computer, or there is no other one.
    """
    others = getattr(args, "from") or any(NODE in camera for camera in args.camera)
    if not (args.publish or others):
        raise UserError("--clock is for --from and --publish, and neither is given")
    system_clock.check("--clock system")


def _start_of(args: argparse.Namespace) -> StartConfig | None:
    """When to begin and end, None where nothing is said of it.

    Raises:
        UserError: for flags that cannot be together.
    """
    given = [flag for flag in ("start_at", "countdown", "seconds") if getattr(args, flag)]
    if not given:
        return None
    given_files = ("demo", "realtime", "from_take", "detections")
    if other := next((name.replace("_", "-") for name in given_files if getattr(args, name)), None):
        raise UserError(f"--{given[0].replace('_', '-')} is for live cameras; leave it out, or --{other}")
    if args.start_at is not None and args.start_at <= datetime.now(UTC):
        raise UserError(f"--start-at {args.start_at:%Y-%m-%d %H:%M:%S}: that time is over")
    return StartConfig(args.start_at, args.countdown, args.seconds)


def _capture_of(args: argparse.Namespace, start: StartConfig | None) -> CaptureConfig | None:
    """What is to be captured, None where nothing is.

    Raises:
        UserError: for flags that cannot be together.
    """
    if args.capture is None:
        if args.live:
            raise UserError("--live is of --capture DIR, which is not given")
        return None
    if args.demo or args.realtime:
        raise UserError(f"--capture is for live cameras; leave out {'--demo' if args.demo else '--realtime'}")
    # What is published is detected; whoever fuses says when, unless that is said here.
    published = args.publish is not None
    return CaptureConfig(
        args.capture, args.live or published, args.capture_codec, start or StartConfig(),
        directed=published and start is None,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Returns:
        An exit code of ``engines.argument_types``: 1 when an output was lost, 130 after Ctrl-C while everything was
        still being opened.
    """
    return guarded(program(), lambda: _main(arguments))


def _main(arguments: list[str] | None) -> int:
    limit_arenas()
    try:
        with lines_shown():
            args = merged(parser, arguments)
        with lines_shown(_level(args), args.log_file):
            # Once more, so that what ended the run is in the file, too.
            return guarded(program(), lambda: _begun(args))
    except UserError as error:
        say(f"{program()}: {shortage(error) or error}")
        return MISTAKE
    except KeyboardInterrupt:
        say(f"{program()}: stopped before it began")
        return INTERRUPTED


def _begun(args: argparse.Namespace) -> int:
    try:
        return _run(args)
    except KeyboardInterrupt:
        say(f"{program()}: stopped before it began")
        return INTERRUPTED


def _level(args: argparse.Namespace) -> int:
    return logging.WARNING if args.quiet else logging.DEBUG if args.verbose else logging.INFO


def _run(args: argparse.Namespace) -> int:
    """Do what the flags say, with a place for the lines to go."""
    try:
        if args.list_cameras:
            return DONE if tell(camera_lines()) else FAILED
        if args.make_keys:
            return DONE if tell(make_keys(args.make_keys)) else FAILED
        if args.print_config:
            # The demo's own is fetched when it runs.
            config = Config(()) if args.demo or getattr(args, "from") or not _cameras_of(args) else config_of(args)
            return DONE if tell(as_toml(args, with_thresholds(config, args.thresholds))) else FAILED
        config = config_of(args)
        lines, failures = capture.run(config) if config.capture else _estimated(config, args)
    except UserError as error:
        _log.error(f"{program()}: {shortage(error) or error}")
        return MISTAKE
    except Exception as error:
        if shortage(error) is not None or isinstance(error, OSError | ImportError):
            raise
        # Ours to mend: the traceback, without what addresses hold.
        _log.critical(f"{program()}: a fault of the program, which a report of it helps to mend", exc_info=True)
        return FAILED
    for line in lines:
        _log.info(line, extra=PRINTED)
    shown = [line for line in lines if line.startswith("warning: ")] if args.quiet else lines
    if shown:
        tell(shown)
    for failure in failures:
        _log.error(f"{program()}: {failure}")
    return FAILED if failures else DONE


def _estimated(config: Config, args: argparse.Namespace) -> tuple[Sequence[str], Sequence[str]]:
    """What a run did, and what went wrong."""
    if args.demo == "cluster":
        nodes, group, parts = spread(config.sources, 2)
        config = replace(config, sources=nodes)
        with published(parts, group, detection_flags(args)):
            summary = build.run(config)
    else:
        summary = build.run(config)
    return report(summary), summary.failures


def camera_lines() -> list[str]:
    """The local cameras, a line each, and below it what can be set with --control."""
    lines = []
    for camera in list_cameras():
        lines.append(str(camera))
        lines += [f"    {control}" for control in controls_of(camera)]
    return lines or ["no local camera was found; is it plugged in, and may you read it?"]
