"""The flags of ``run_stream.py``."""

import argparse
import math
from datetime import datetime, time, timedelta
from pathlib import Path

from calibration.binding import BINDINGS
from engines import detectors, runtimes
from engines.argument_types import Parser, positive
from stream import sinks
from stream.app.console import program
from stream.cluster.group import group
from stream.config import LiftConfig, PeopleConfig
from stream.drawing.scene import PITCH, YAW, ZOOMS
from stream.recordings.video_files import ENCODERS
from stream.selection import IDS, Selection, selection
from stream.version import __version__

REPEATED = ("letterbox", "sync_offset", "speed", "rotate", "control")
"""Flags of one camera, or of all: a list, each with a name or without."""


def parser(about: str = "", kind: type[Parser] = Parser) -> Parser:
    """Every flag; ``about`` is what a mistake begins with, ``kind`` says it."""
    p = kind(
        addresses=("--camera",),
        about=about,
        prog="run_stream.py" if program() == "run_stream" else program(),
        description="Live 3D human pose hypotheses from ordinary cameras.",
        epilog="Ctrl-C once finishes and summarises, twice leaves at once.",
    )
    source = p.add_argument_group("cameras")
    source.add_argument(
        "--camera", action="append", default=[], metavar="[NAME=]SOURCE",
        help="index or device path, video file or several as A.mp4+B.mp4 or a pattern, rtsp:// or http:// address, "
             "folder of images, or env:VARIABLE with one of these; repeatable",
    )  # fmt: skip
    source.add_argument("--from-take", type=Path, metavar="TAKE",
                        help="every camera of a take, as it was captured; one of them: --camera TAKE/NAME")  # fmt: skip
    source.add_argument("--detections", type=Path, metavar="FOLDER",
                        help="2D joints of another program in place of images, one folder or file a camera: OpenPose, "
                             "Pose2Sim, RTMPose, AlphaPose, DeepLabCut, MediaPipe")  # fmt: skip
    source.add_argument("--from", type=group, metavar="GROUP[@HOST[:PORT]]",
                        help="every camera that other computers --publish to this group; this one fuses")  # fmt: skip
    source.add_argument("--keys", type=Path, metavar="FOLDER",
                        help="keys of a group beyond this computer, for --from and --publish")  # fmt: skip
    source.add_argument("--clock", choices=["messages", "system"], default="messages",
                        help="how the clocks of the computers of a group are compared: by messages, or (system) as PTP "
                             "or NTP keeps them, which messages then check")  # fmt: skip
    source.add_argument("--make-keys", type=Path, metavar="FOLDER",
                        help="make the keys of a group beyond this computer, for --keys, and stop")  # fmt: skip
    source.add_argument("--list-cameras", action="store_true", help="list the local cameras and stop")
    source.add_argument("--control", action="append", default=[], metavar="[CAMERA:]NAME=VALUE",
                        help="exposure, gain, focus, white_balance, power_line_frequency or another control of local "
                             "cameras (--list-cameras shows them); VALUE may be auto; repeatable")  # fmt: skip
    source.add_argument("--demo", nargs="?", const="single", choices=["single", "multi", "people", "cluster"],
                        help="a real video, fetched once: one walker, four calibrated cameras (multi), those with "
                             "two people (people), the four of two other processes, fused here (cluster)")  # fmt: skip
    source.add_argument("--size", type=size, metavar="WxH", help="size to ask a local camera for")
    source.add_argument("--fps", type=rate, metavar="N", help="rate to ask a local camera for; rate of an image folder")
    source.add_argument(
        "--realtime", action="store_true", help="play files at their own pace, dropping what comes late"
    )
    source.add_argument("--fov", type=float, metavar="DEGREES",
                        help=f"field of view along the long side, uncalibrated (default {LiftConfig().fov_degrees:g}; "
                             "the demo's own is known)")  # fmt: skip
    source.add_argument("--speed", action="append", default=[], metavar="[NAME=]N",
                        help="a file plays N times slower than life: 8 for 240 fps stored as 30")  # fmt: skip
    source.add_argument("--rotate", action="append", default=[], metavar="[NAME=]90|180|270",
                        help="degrees clockwise to turn the pictures of a camera that hangs on its side")  # fmt: skip
    capture = p.add_argument_group("everything to disk, estimates later")
    capture.add_argument("--capture", type=Path, metavar="DIR", help="every frame of live cameras, as it comes")
    capture.add_argument("--live", action="store_true", help="with --capture: estimate what the machine manages")
    capture.add_argument("--capture-codec", choices=sorted(ENCODERS), default="h264",
                         help="what codes the images of cameras that do not themselves (h264)")  # fmt: skip
    capture.add_argument("--start-at", type=moment, metavar="TIME",
                         help="begin then: 14:30:00, or 2026-01-02T14:30:00+01:00")  # fmt: skip
    capture.add_argument("--countdown", type=whole, default=0, metavar="N", help="count N seconds first")
    capture.add_argument("--seconds", type=positive, metavar="N", help="end after N seconds")
    setup = p.add_argument_group("several cameras")
    setup.add_argument(
        "--calibration", type=Path, metavar="FILE", help="made by python -m calibration, or another tool"
    )
    setup.add_argument("--up", type=vector, metavar="X,Y,Z", help="against gravity in the calibration's world")
    setup.add_argument("--letterbox", action="append", default=[], metavar="[NAME=]SCALE,DX,DY",
                     help="how the calibrated picture lies in frames of another shape; or [NAME=]fit")  # fmt: skip
    setup.add_argument("--bind", choices=BINDINGS, default="auto",
                       help="how cameras without a name find theirs in the calibration: by serial number, device and "
                            "the names of files (auto), or in the order given")  # fmt: skip
    setup.add_argument("--fusion", default="auto", metavar="METHOD", help="hypotheses, map, triangulate or auto (map)")
    setup.add_argument("--sync-offset", action="append", default=[], metavar="NAME=SECONDS", help="added to its times")
    setup.add_argument("--times", type=Path, metavar="CSV",
                       help="sync_index, camera, time of videos' frames, in place of their own times")  # fmt: skip
    setup.add_argument("--sync-delay", type=int, default=0, choices=[0, 1],
                     help="1: live too, 2D joints are interpolated to one time")  # fmt: skip
    engine = p.add_argument_group("detection and lifting")
    engine.add_argument("--detector", default="auto", metavar="NAMES",
                        help=f"auto, or the fallback order, of: {', '.join(detectors.names())}")  # fmt: skip
    engine.add_argument("--weights", type=Path, metavar="ONNX", help="another lifter, with its card beside it")
    engine.add_argument("--temporal", type=temporal, default=LiftConfig().temporal, metavar="on|off|ONNX",
                        help="on: what was seen before makes hypotheses steadier, at some cost where people are quick "
                             "(default: %(default)s); or another network for it")  # fmt: skip
    engine.add_argument("--runtime", default="auto", metavar="NAME",
                        help=f"of the lifter and the detectors: auto, {', '.join(runtimes.names())}")  # fmt: skip
    engine.add_argument("--precision", default="auto", metavar="NAME",
                        help="auto, fp32, or int8 where there is an int8 file")  # fmt: skip
    who = p.add_argument_group("people")
    who.add_argument("--people", type=people, default=None, metavar="N|all",
                     help="how many people are followed (default: all); 1 is the fastest")  # fmt: skip
    who.add_argument("--max-people", type=number, default=PeopleConfig().most, metavar="N",
                     help="of all, at most so many at a time (default: %(default)s)")  # fmt: skip
    who.add_argument("--select", type=live_selection, default=Selection(), metavar="largest|central|all",
                     help="whom the results show of those who are followed (default: all)")  # fmt: skip
    output = p.add_argument_group("output")
    viewers = [name for name, kind in sinks.kinds().items() if kind.role == "viewer"]
    output.add_argument("--view", default="auto", metavar="VIEW", help=f"auto, {', '.join(viewers)} or none")
    sinks.add_flags(output, sinks.kinds().values())
    output.add_argument("--viewpoint", type=viewpoint, default=None, metavar="YAW,PITCH[,ZOOM]",
                        help=f"from where the 3D of window, video and still is seen: degrees to the right and up "
                             f"({YAW:g},{PITCH:g}), and how large (1)")  # fmt: skip
    output.add_argument("--mirror", action="store_true", help="window, video and still are mirrored, as for a selfie")
    output.add_argument("--hold", action="store_true", help="the window keeps the last picture of files until q")
    output.add_argument("--hypotheses", action="store_true", help="live outputs carry all hypotheses")
    run = p.add_argument_group("the run")
    run.add_argument("--config", type=Path, metavar="TOML", help="a file with these flags; those given here win")
    run.add_argument("--print-config", action="store_true", help="print such a file for this run, and stop")
    run.add_argument("--log-file", type=Path, metavar="FILE", help="also keep what is said, with times; added to")
    run.add_argument("--quiet", action="store_true", help="say only what is not as it was asked for")
    run.add_argument("--verbose", action="store_true", help="say more")
    run.add_argument("--version", action="version", version=f"hypothesis-stream {__version__}")
    return p


def size(text: str) -> tuple[int, int]:
    """``WxH`` in pixels."""
    width, _, height = text.lower().partition("x")
    if not all(n.isascii() and n.isdecimal() and len(n) <= 5 and int(n) for n in (width, height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x720")
    return int(width), int(height)


def rate(text: str) -> float:
    """Frames a second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1e5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second such as 30")
    return value


def whole(text: str) -> int:
    """A number of seconds, not below 0."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= 3600):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds such as 5")
    return int(text)


def moment(text: str) -> datetime:
    """A time of day, of this machine's zone unless it names one; one without a date is the next such time."""
    try:
        if "T" in text.upper() or " " in text:
            return datetime.fromisoformat(text).astimezone()
        now, at = datetime.now().astimezone(), time.fromisoformat(text)
    except (ValueError, OverflowError):  # the latter: of this machine's zone there is no such year
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 14:30:00 or 2026-01-02T14:30:00+01:00"
        ) from None
    wanted = datetime.combine(now.date(), at).astimezone() if at.tzinfo is None else datetime.combine(now.date(), at)
    return wanted if wanted > now else wanted + timedelta(days=1)


def temporal(text: str) -> str:
    """``on``, ``off`` or a network's file."""
    if text not in ("on", "off") and not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off nor an .onnx file")
    return text


def vector(text: str) -> tuple[float, float, float]:
    """``X,Y,Z``, not zero."""
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a vector such as 0,0,1") from None
    if not 0 < x * x + y * y + z * z < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} has no direction")
    return x, y, z


def viewpoint(text: str) -> tuple[float, ...]:
    """``YAW,PITCH[,ZOOM]``: degrees, degrees, and how large."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = list[float]()
    if len(values) not in (2, 3) or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a viewpoint such as 30,12 or 90,0,1.5")
    if abs(values[0]) > 360 or abs(values[1]) > 85:
        raise argparse.ArgumentTypeError(f"{text!r}: give -360 to 360 degrees to the right, and -85 to 85 up")
    if len(values) == 3 and not ZOOMS[0] <= values[2] <= ZOOMS[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: a zoom is from {ZOOMS[0]:g} to {ZOOMS[1]:g}")
    return tuple(values)


def number(text: str) -> int:
    """A whole number from 1 to 100."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of people such as 2")
    return int(text)


def people(text: str) -> int | str:
    """``all``, or how many."""
    return "all" if text.strip().lower() == "all" else number(text)


def live_selection(text: str) -> Selection:
    """Whom a run shows; ids are not known beforehand."""
    chosen = selection(text)
    if chosen.rule == IDS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: who gets which id is not known before a run; give largest, central or all, and an id to replay "
            "or export"
        )
    return chosen
