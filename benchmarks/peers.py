"""The same video and the same camera through us and through the peers that pip installs with everything they need.

    python -m benchmarks.peers
    python -m benchmarks.peers --video walk.mp4 --json peers.json
    python -m benchmarks.peers --accuracy --plot accuracy.png

The peer is MediaPipe's own Python loop, as its documentation shows it: cv2.VideoCapture, the Tasks API in video mode,
3D world landmarks; with the same model files that our mediapipe detectors use. Speed, processor time and memory are of
the file, as fast as it can be processed; latency is the age of an image of a virtual camera (30 frames a second) when
its 3D pose is there. Nobody writes or draws anything. Loading counts in memory alone. Every case is a process of its
own.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import accuracy, latency, machine
from benchmarks.camera_server import Cameras, read_mark
from benchmarks.processor import Usage, measure
from benchmarks.table import ratio, table, write_json
from benchmarks.timing import Times
from calibration.arrays import Image
from calibration.errors import UserError
from engines import cards
from engines.argument_types import Parser, at_least
from stream.app import build
from stream.app.demo import SINGLE, fetch
from stream.config import Config, DetectConfig, OutputConfig
from stream.sources import parse_sources

if TYPE_CHECKING:
    import cv2
    from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarker

FPS: Final = 30.0
LIVE_S: Final = 5.0
"""Seconds that a virtual camera is watched, after the warm-up."""
PEERS: Final = {"mediapipe": "pose_landmarker_full.task", "mediapipe-lite": "pose_landmarker_lite.task"}
"""What a peer is called here, and its model; ours with the same network is the detector of that name."""
OURS: Final = (*PEERS, "movenet-lightning", "movenet-thunder")
NOT_MEASURED: Final = {
    "rtmlib (RTMPose), and pose2sim and sports2d on top of it": "its weights are fetched when it first runs, from a "
    "host that was not reachable",
}

OnImage = Callable[[Image], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What one program took."""

    frames: int
    """Of the file."""
    people: int
    """Frames in which it gave a 3D pose."""
    usage: Usage
    """For the file, loading not counted; the peak of memory is from the start of the process to the end of the file."""
    latency: Times
    """Age of an image of the virtual camera when its pose is there."""

    @property
    def fps(self) -> float:
        """Frames a second of the file."""
        return self.frames / self.usage.wall_s


def open_mediapipe(source: str, model: Path, stack: ExitStack) -> tuple["cv2.VideoCapture", "PoseLandmarker"]:
    """What MediaPipe's documented loop reads a file or an address with, and what it estimates with.

    Raises:
        UserError: if mediapipe is not installed, or the video cannot be read.
    """
    import cv2

    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise UserError(f"mediapipe is not installed ({error}): pip install -r requirements.txt") from error
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), running_mode=vision.RunningMode.VIDEO
    )
    landmarker = stack.enter_context(vision.PoseLandmarker.create_from_options(options))
    # After the model, so that no images of a live source wait while it loads.
    capture = cv2.VideoCapture(source)
    stack.callback(capture.release)
    if not capture.isOpened():
        raise UserError(f"OpenCV cannot read {source}")
    return capture, landmarker


def mediapipe_loop(
    capture: "cv2.VideoCapture", landmarker: "PoseLandmarker", stop: Callable[[], bool], done: OnImage
) -> tuple[int, int]:
    """MediaPipe's documented loop: frames and frames with a pose."""
    import cv2
    import mediapipe as mp

    frames = people = 0
    while not stop():
        read, image = capture.read()
        if not read:
            break
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        found = landmarker.detect_for_video(
            mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb), round(frames / FPS * 1000)
        )
        people += bool(found.pose_world_landmarks)
        frames += 1
        done(image)  # pyright: ignore[reportArgumentType] - cv2 says any array, it is uint8
    return frames, people


def measure_peer(name: str, video: Path, url: str) -> Result:
    """MediaPipe's loop in this process; the file first, as the peak of memory is the process's."""
    model = cards.WEIGHTS / PEERS[name]
    moments: list[list[latency.Seen]] = []

    def note(image: Image) -> None:
        moments.append([latency.Seen(0, read_mark(image), time.monotonic())])

    def enough() -> bool:
        return bool(moments) and time.monotonic() > moments[0][0].at + latency.WARM_S + LIVE_S

    with ExitStack() as stack:
        capture, landmarker = open_mediapipe(str(video), model, stack)
        (frames, people), usage = measure(
            lambda: mediapipe_loop(capture, landmarker, lambda: False, lambda _image: None)
        )
    with ExitStack() as stack:
        mediapipe_loop(*open_mediapipe(url, model, stack), enough, note)
    return Result(frames, people, usage, latency.summarise(moments, (url,)))


def measure_ours(name: str, video: Path, url: str) -> Result:
    """Our pipeline with one detector in this process; the file first, as the peak of memory is the process's."""

    def config(source: str) -> Config:
        return Config(parse_sources([source]), DetectConfig((name,)), output=OutputConfig("none"))

    with ExitStack() as stack:
        pipeline, viewer = build.prepare(config(str(video)), stack)
        summary, usage = measure(lambda: pipeline.run(viewer))
    with ExitStack() as stack:
        _, moments = latency.pipeline_watch(config(url), stack, latency.WARM_S + LIVE_S)()
    return Result(summary.frame_sets, summary.people, usage, latency.summarise(moments, (url,)))


def in_process(whose: str, name: str, video: Path, url: str) -> Result:
    """Measure in a fresh process.

    Raises:
        UserError: if it fails.
    """
    command = [sys.executable, "-m", "benchmarks.peers", "--video", str(video), "--case", f"{whose} {name} {url}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{whose} {name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    data = json.loads(done.stdout.splitlines()[-1])
    return Result(**data | {"usage": Usage(**data["usage"]), "latency": Times(**data["latency"])})


def ratios(ours: Result, theirs: Result) -> dict[str, float]:
    """Ours over theirs: frames a second (more is better), the others less."""
    return {
        "fps": ours.fps / theirs.fps,
        "latency_p50": ours.latency.p50 / theirs.latency.p50,
        "latency_p95": ours.latency.p95 / theirs.latency.p95,
        "cpu": ours.usage.cpu_s / ours.frames / (theirs.usage.cpu_s / theirs.frames),
        "memory": ours.usage.peak_mb / theirs.usage.peak_mb,
    }


def report(found: Mapping[str, Result], left_out: Mapping[str, str]) -> str:
    """Markdown; ratios are to MediaPipe's loop with its full model."""
    base = found.get("theirs mediapipe")
    heads = ("", "frames a second", "to MediaPipe", "latency p50, p95 ms", "to MediaPipe", "CPU ms a frame",
             "to MediaPipe", "peak MB", "to MediaPipe", "3D pose in")  # fmt: skip
    rows = []
    for name, r in found.items():
        to = ratios(r, base) if base else {}
        cpu = r.usage.cpu_s / r.frames * 1e3
        rows.append((
            title(name), f"{r.fps:.1f}", ratio(to.get("fps"), 1), f"{r.latency.p50:.0f}, {r.latency.p95:.0f}",
            ratio(to.get("latency_p50"), 1), f"{cpu:.1f}", ratio(to.get("cpu"), 1), f"{r.usage.peak_mb:.0f}",
            ratio(to.get("memory"), 1), f"{r.people / r.frames:.0%}",
        ))  # fmt: skip
    return "\n".join([table(heads, rows), "", *(f"not measured: {name}: {why}" for name, why in left_out.items())])


def title(name: str) -> str:
    """A case in words."""
    whose, _, what = name.partition(" ")
    model = {"mediapipe": "full", "mediapipe-lite": "lite"}
    return f"MediaPipe's loop, {model[what]}" if whose == "theirs" else f"ours, {what}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of the demo's walker")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {', '.join(OURS)}; the peers of those, and the full")
    parser.add_argument("--live-frames", type=at_least(1), default=150, help="of the video, in a loop (default: 150)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--accuracy", action="store_true", help="instead of speed: one camera's 3D against what four see"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="for --accuracy: a lifter other than the shipped")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="for --accuracy: a picture")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if not args.accuracy and (args.plot or args.weights):
        parser.error("--plot and --weights are for --accuracy")
    if args.accuracy and (args.video or args.only):
        parser.error("--accuracy is of the four-camera demo, and of all: leave out --video and --only")
    found: dict[str, Result] = {}
    left_out = dict(NOT_MEASURED)
    try:
        if args.accuracy:
            measured = accuracy.run(args.weights)
            print(accuracy.markdown(measured))
            if args.plot:
                accuracy.plot(args.plot, measured)
            if args.json:
                write_json(args.json, measured)
            return 0
        video = args.video or fetch(SINGLE) / "demo.mp4"
        if args.case:
            whose, name, url = args.case.split()
            print(json.dumps(asdict((measure_peer if whose == "theirs" else measure_ours)(name, video, url))))
            return 0
        wanted = args.only.split(",") if args.only else list(OURS)
        if unknown := set(wanted) - set(OURS):
            raise UserError(f"no {', '.join(sorted(unknown))} here; there are {', '.join(OURS)}")
        peers = [name for name in PEERS if name in wanted or name == "mediapipe"]
        with Cameras([video], FPS, args.live_frames) as cameras:
            for whose, names in (("theirs", peers), ("ours", wanted)):
                for name in names:
                    print(title(f"{whose} {name}"), "...", file=sys.stderr, flush=True)
                    try:
                        found[f"{whose} {name}"] = in_process(whose, name, video, cameras.urls[0])
                    except UserError as error:
                        left_out[title(f"{whose} {name}")] = str(error)
        print(report(found, left_out))
        if args.json:
            data: dict[str, Any] = {"machine": machine.describe(), "left_out": left_out}
            data["cases"] = {name: asdict(result) for name, result in found.items()}
            data["ours_over_theirs"] = {
                name: ratios(found[f"ours {name}"], found[f"theirs {name}"])
                for name in PEERS if {f"ours {name}", f"theirs {name}"} <= found.keys()
            }  # fmt: skip
            write_json(args.json, data)
    except (UserError, OSError, ValueError) as error:
        print(f"benchmarks.peers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
