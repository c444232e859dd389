"""The flags of ``run_stream.py``: flags -> Config -> run -> summary, and one line for every mistake."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from calibration.errors import UserError
from engines import detectors, runtimes
from engines.argument_types import DONE, FAILED, INTERRUPTED, MISTAKE, Parser
from stream import sinks
from stream.app import build, demo
from stream.app.console import guarded, say, shortage, tell
from stream.config import CameraSetupConfig, Config, DetectConfig, EngineConfig, LiftConfig, OutputConfig
from stream.live.metrics import report
from stream.sources import list_cameras, parse_sources


def parser() -> argparse.ArgumentParser:
    """Every flag."""
    p = Parser(
        addresses=("--camera",),
        prog="run_stream.py",
        description="Live 3D human pose hypotheses from ordinary cameras.",
        epilog="Ctrl-C once finishes and summarises, twice leaves at once.",
    )
    source = p.add_argument_group("cameras")
    source.add_argument(
        "--camera", action="append", default=[], metavar="[NAME=]SOURCE",
        help="index or device path, video file, rtsp:// or http:// address, folder of images, or env:VARIABLE with one "
             "of these; repeatable",
    )  # fmt: skip
    source.add_argument("--list-cameras", action="store_true", help="list the local cameras and stop")
    source.add_argument("--demo", nargs="?", const="single", choices=["single", "multi"],
                        help="a real video, fetched once: one walker, or four calibrated cameras (multi)")  # fmt: skip
    source.add_argument("--size", type=size, metavar="WxH", help="size to ask a local camera for")
    source.add_argument("--fps", type=rate, metavar="N", help="rate to ask a local camera for; rate of an image folder")
    source.add_argument(
        "--realtime", action="store_true", help="play files at their own pace, dropping what comes late"
    )
    source.add_argument("--fov", type=float, metavar="DEGREES",
                        help=f"field of view along the long side, uncalibrated (default {LiftConfig().fov_degrees:g}; "
                             "the demo's own is known)")  # fmt: skip
    setup = p.add_argument_group("several cameras")
    setup.add_argument(
        "--calibration", type=Path, metavar="FILE", help="made by python -m calibration, or another tool"
    )
    setup.add_argument("--up", type=vector, metavar="X,Y,Z", help="against gravity in the calibration's world")
    setup.add_argument("--letterbox", action="append", default=[], metavar="[NAME=]SCALE,DX,DY",
                     help="how the calibrated picture lies in frames of another shape; or [NAME=]fit")  # fmt: skip
    setup.add_argument("--fusion", default="auto", metavar="METHOD", help="hypotheses, map, triangulate or auto (map)")
    setup.add_argument("--sync-offset", action="append", default=[], metavar="NAME=SECONDS", help="added to its times")
    setup.add_argument("--sync-delay", type=int, default=0, choices=[0, 1],
                     help="1: live too, 2D joints are interpolated to one time")  # fmt: skip
    engine = p.add_argument_group("detection and lifting")
    engine.add_argument("--detector", default="auto", metavar="NAMES",
                        help=f"auto, or the fallback order, of: {', '.join(detectors.names())}")  # fmt: skip
    engine.add_argument("--weights", type=Path, metavar="ONNX", help="another lifter, with its card beside it")
    engine.add_argument("--runtime", default="auto", metavar="NAME",
                        help=f"of the lifter and the detectors: auto, {', '.join(runtimes.names())}")  # fmt: skip
    engine.add_argument("--precision", default="auto", metavar="NAME",
                        help="auto, fp32, or int8 where there is an int8 file")  # fmt: skip
    output = p.add_argument_group("output")
    viewers = [name for name, kind in sinks.kinds().items() if kind.role == "viewer"]
    output.add_argument("--view", default="auto", metavar="VIEW", help=f"auto, {', '.join(viewers)} or none")
    sinks.add_flags(output, sinks.kinds().values())
    return p


def size(text: str) -> tuple[int, int]:
    """``WxH`` in pixels."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x720")
    return int(width), int(height)


def rate(text: str) -> float:
    """Frames a second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second such as 30")
    return value


def vector(text: str) -> tuple[float, float, float]:
    """``X,Y,Z``, not zero."""
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a vector such as 0,0,1") from None
    if not 0 < x * x + y * y + z * z < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} has no direction")
    return x, y, z


def config_of(args: argparse.Namespace) -> Config:
    """The Config of parsed flags.

    Raises:
        UserError: if they cannot be right.
    """
    if args.demo and args.camera:
        raise UserError("--demo brings its own video; leave out --demo or --camera")
    if not args.demo and not args.camera:
        raise UserError(
            "no camera; give --camera 0, --camera FILE.mp4 or --demo (--list-cameras shows those there are)"
        )
    if args.fov is not None and (args.calibration or args.demo == "multi"):
        lens = "--calibration" if args.calibration else "the calibration of --demo multi"
        raise UserError(f"--fov is for lenses that are not known, and {lens} knows them; leave out --fov")
    default = demo.WALKER_FOV if args.demo == "single" else LiftConfig().fov_degrees
    config = Config(
        sources=parse_sources(args.camera),
        detect=DetectConfig(names=tuple(name.strip() for name in args.detector.split(",") if name.strip())),
        lift=LiftConfig(args.weights, default if args.fov is None else args.fov),
        engine=EngineConfig(args.runtime, args.precision),
        setup=CameraSetupConfig(
            args.calibration, args.up, tuple(args.letterbox), args.fusion, tuple(args.sync_offset), args.sync_delay
        ),
        output=OutputConfig(args.view, sinks.options_of(vars(args), sinks.kinds().values())),
    )
    if args.demo:
        config = demo.configure(config, args.demo)
    asked = {"size": args.size, "fps": args.fps, "realtime": args.realtime}
    return replace(config, sources=tuple(replace(source, **asked) for source in config.sources))


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Returns:
        An exit code of ``engines.argument_types``: 1 when an output was lost, 130 after Ctrl-C while everything was
        still being opened.
    """
    return guarded("run_stream", lambda: _main(arguments))


def _main(arguments: list[str] | None) -> int:
    args = parser().parse_args(arguments)
    try:
        if args.list_cameras:
            tell(camera_lines())
            return 0
        summary = build.run(config_of(args), say)
    except UserError as error:
        say(f"run_stream: {shortage(error) or error}")
        return MISTAKE
    except KeyboardInterrupt:
        say("run_stream: stopped before it began")
        return INTERRUPTED
    tell(report(summary))
    for failure in summary.failures:
        say(f"run_stream: {failure}")
    return FAILED if summary.failures else DONE


def camera_lines() -> list[str]:
    """The local cameras, a line each."""
    cameras = list_cameras()
    return [str(camera) for camera in cameras] or ["no local camera was found; is it plugged in, and may you read it?"]
