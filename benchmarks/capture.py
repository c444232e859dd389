"""What capturing costs, and whether it loses frames: loopback cameras, beside ``ffmpeg -c copy`` of the same streams.

    python -m benchmarks.capture                                # 4 and 8 MJPEG cameras 1280x720, 30 fps, a minute each
    python -m benchmarks.capture --seconds 600 --cameras 4 8    # the ten minutes of docs/capture.md
    python -m benchmarks.capture --cameras --h264 2 4 8 16      # 1080p H.264 over RTSP, until a frame is lost
    python -m benchmarks.capture --codecs                       # what coding images costs

Every image carries its number, and the server knows when it sent which, so a frame that is missing on disk is seen. CPU
is that of the capturing process alone, while it captures.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
import cv2
import numpy as np
import psutil
from av.video.codeccontext import VideoCodecContext

from benchmarks import machine
from benchmarks.camera_server import Server, jpeg, mark, part, read_mark, sent, serve_parts
from benchmarks.rtsp_camera import RtspCameras
from benchmarks.table import table, write_json
from calibration.arrays import Image
from calibration.errors import UserError
from engines.argument_types import Parser
from stream.config import SourceConfig
from stream.recordings.captured import held
from stream.recordings.replay import read_frames
from stream.recordings.schema import FRAMES
from stream.recordings.takes import open_take
from stream.recordings.video_files import ENCODERS, EncodedFile
from stream.sources.synthetic import SyntheticSource

_FPS: Final = 30.0
_LOOP: Final = 90
"""Images of a camera, in a loop."""
_SETTLE_S: Final = 1.0
_BESIDE_S: Final = 60.0
"""ffmpeg is given so many seconds of the same streams, at most."""
CPU_RATIO: Final = 1.5
"""Of the CPU of ``ffmpeg -c copy``, at most."""


def images(size: tuple[int, int], count: int = _LOOP) -> list[Image]:
    """A walking figure before a room of texture, with the noise of a sensor; each carries its number."""
    rng = np.random.default_rng(0)
    room = cv2.GaussianBlur(rng.integers(0, 255, (size[1], size[0], 3), np.uint8), (0, 0), 3)
    room = cv2.normalize(room, np.empty_like(room), 60, 200, cv2.NORM_MINMAX)
    figure = SyntheticSource(SourceConfig("synthetic:", "cam", size=size))
    made = []
    for number in range(count):
        drawn = figure.render(number)
        noise = rng.normal(0, 3, (size[1], size[0], 1))
        made.append(mark(np.clip(0.6 * drawn + 0.4 * room + noise, 0, 255).astype(np.uint8), number))
    return made


def coded(kind: str, size: tuple[int, int]) -> list[bytes]:
    """The images as a camera sends them: JPEG of quality 85, or H.264 of 6 Mbit/s with a key frame a second."""
    if kind == "mjpeg":
        return [jpeg(image) for image in images(size)]
    encoder = cast(VideoCodecContext, av.CodecContext.create("libx264", "w"))
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = *size, "yuv420p", Fraction(_FPS)
    encoder.bit_rate, encoder.gop_size = 6_000_000, int(_FPS)
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "repeat-headers": "1"}
    packets: list[av.Packet] = []
    for image in images(size):
        packets += encoder.encode(av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p"))
    return [bytes(packet) for packet in (*packets, *encoder.encode(None))]


def serve(folder: Path, cameras: int) -> None:
    """Serve the coded images of a folder to as many cameras until the process is ended; prints the port."""
    parts = [path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: int(path.stem))]
    if (folder / "0.jpg").exists():
        serve_parts([[part(image) for image in parts]] * cameras, _FPS, every=True)
    else:
        serve_parts([], _FPS, rtsp=RtspCameras([parts] * cameras, _FPS))


class Usage:
    """CPU and memory of a process while it captures."""

    def __init__(self, process: subprocess.Popen[bytes], begun: Sequence[Path]) -> None:
        self._process, self._begun = psutil.Process(process.pid), begun
        self.cpu_s = self.seconds = 0.0
        self.mb: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not all(folder.exists() and any(folder.rglob("*.mkv")) for folder in self._begun):
            time.sleep(0.05)
        time.sleep(_SETTLE_S)
        try:
            first, began = self._cpu(), time.monotonic()
            while True:
                self.mb.append(self._process.memory_info().rss / 1e6)
                self.cpu_s, self.seconds = self._cpu() - first, time.monotonic() - began
                time.sleep(0.5)
        except psutil.Error:
            return

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def figures(self, cameras: int) -> dict[str, float]:
        """CPU of one core a camera, and memory at the beginning and in the end, MB."""
        half = len(self.mb) // 2
        return {
            "cpu_percent_a_camera": 100 * self.cpu_s / max(self.seconds, 1e-9) / cameras,
            "mb_first_half": float(np.median(self.mb[: half + 1])) if self.mb else 0.0,
            "mb_second_half": float(np.median(self.mb[half:])) if self.mb else 0.0,
        }


def addresses(server: Server, cameras: int, kind: str) -> list[str]:
    """Where the cameras are."""
    return [f"{server.root}/{k}.mjpeg" if kind == "mjpeg" else f"{server.rtsp}/{k}" for k in range(cameras)]


def ours(server: Server, cameras: int, kind: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Capture with this program, and look at what is on disk."""
    names = [f"cam{k}" for k in range(cameras)]
    urls = addresses(server, cameras, kind)
    flags = [flag for name, url in zip(names, urls, strict=True) for flag in ("--camera", f"{name}={url}")]
    command = [sys.executable, "run_stream.py", *flags, "--capture", str(folder), "--view", "none", "--quiet"]
    process = subprocess.Popen([*command, "--seconds", str(seconds)])
    usage = Usage(process, [folder])
    if process.wait(seconds + 120) != 0:
        raise UserError("the capture failed")
    take = open_take(folder)
    rows: dict[str, list[float]] = {name: [] for name in names}
    for batch in take.batches(FRAMES):
        for row in batch.select(["camera", "arrival"]).to_pylist():
            rows[row["camera"]].append(row["arrival"])
    lost = sum(max(_sent_between(server.root, k, take, name, rows[name]), 0) for k, name in enumerate(names))
    frames = sum(map(len, rows.values()))
    return usage.figures(cameras) | {"frames": frames, "lost": lost}


def _sent_between(root: str, camera: int, take: Any, name: str, arrivals: Sequence[float]) -> int:
    """How many frames fewer are on disk than the server sent from the first to the last of them."""
    log = sent(f"{root}/{camera}.json")
    frames = iter(read_frames(take, name))
    first = next(frames)
    number = read_mark(first.image)
    begin = max((k for k, (n, t) in enumerate(log) if n == number and t <= arrivals[0]), default=None)
    if begin is None:  # it was connected again: what it was sent before is forgotten, and the take itself says it
        return sum(held(take)[name].lost.values())
    # The last one by its arrival: to decode all of them takes longer than to capture them.
    later = [k for k, (_, t) in enumerate(log) if t <= arrivals[-1]]
    missing = max(later) - begin + 1 - len(arrivals)
    # One may have been sent that had not arrived yet.
    return missing if missing > 1 else 0


def ffmpegs(program: str, server: Server, cameras: int, kind: str, seconds: float, folder: Path) -> dict[str, Any]:
    """The same by one process of ``ffmpeg -c copy``."""
    command = [program, "-nostdin", "-loglevel", "error"]
    as_sent = ["-use_wallclock_as_timestamps", "1", "-f", "mpjpeg"] if kind == "mjpeg" else ["-rtsp_transport", "tcp"]
    for url in addresses(server, cameras, kind):
        command += [*as_sent, "-i", url]
    for k in range(cameras):
        command += ["-map", str(k), "-c", "copy", "-t", str(seconds), str(folder / f"{k}.mkv")]
    folder.mkdir()
    process = subprocess.Popen(command)
    usage = Usage(process, [folder])
    process.wait(seconds + 120)
    frames = 0
    for path in folder.glob("*.mkv"):
        with av.open(str(path)) as container:
            frames += sum(packet.size > 0 for packet in container.demux(video=0))
    return usage.figures(cameras) | {"frames": frames}


def run(
    kind: str, size: tuple[int, int], counts: Sequence[int], seconds: float, program: str | None
) -> list[dict[str, Any]]:
    """One case after another."""
    out: list[dict[str, Any]] = []
    for cameras in counts:
        with tempfile.TemporaryDirectory() as place:
            parts = Path(place) / "parts"
            parts.mkdir()
            for number, data in enumerate(coded(kind, size)):
                (parts / f"{number}.{'jpg' if kind == 'mjpeg' else 'h264'}").write_bytes(data)
            with Server("benchmarks.capture", "--serve", str(parts), "--cameras", str(cameras)) as server:
                case = {"kind": kind, "size": f"{size[0]}x{size[1]}", "cameras": cameras, "seconds": seconds}
                case |= ours(server, cameras, kind, seconds, Path(place) / "takes")
                if program:
                    beside = min(seconds, _BESIDE_S)
                    theirs = ffmpegs(program, server, cameras, kind, beside, Path(place) / "ffmpeg")
                    case["ffmpeg_cpu_percent_a_camera"] = theirs["cpu_percent_a_camera"]
                    case["ffmpeg_frames_a_second"] = theirs["frames"] / beside / cameras
                    case["cpu_ratio"] = case["cpu_percent_a_camera"] / max(theirs["cpu_percent_a_camera"], 1e-9)
        print(json.dumps(case), file=sys.stderr)
        out.append(case)
        if kind == "h264" and case["lost"]:
            break
    return out


def codecs(size: tuple[int, int]) -> list[dict[str, Any]]:
    """What coding the images of one camera costs that does not code them itself, a minute at 30 fps."""
    out: list[dict[str, Any]] = []
    made = images(size)
    for codec in sorted(ENCODERS):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "a.mkv"
            file = EncodedFile(path, size, _FPS, codec)
            began = time.process_time()
            for number, image in enumerate(made):
                file.write(image, number / _FPS)
            file.close()
            cpu = (time.process_time() - began) / len(made)
            minute = 60 * _FPS
            with av.open(str(path)) as container:
                back = next(container.decode(video=0)).to_ndarray(format="bgr24")
            error = float(np.mean((back.astype(float) - made[0]) ** 2))
            psnr = "exact" if error == 0 else round(10 * float(np.log10(255**2 / error)), 1)
            out.append({"codec": codec, "size": f"{size[0]}x{size[1]}", "cpu_s_a_minute": cpu * minute, "psnr_db": psnr,
                        "mb_a_minute": path.stat().st_size / len(made) * minute / 1e6})  # fmt: skip
    return out


def lines(cases: Sequence[dict[str, Any]]) -> str:
    """A table of cases."""
    heads = list(dict.fromkeys(head for case in cases for head in case))
    return table(heads, [[_short(case.get(head, "-")) for head in heads] for case in cases]) if cases else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="*", default=[4, 8])
    parser.add_argument(
        "--h264", type=int, nargs="*", default=[], metavar="N", help="so many 1080p H.264 streams over RTSP"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--codecs", action="store_true", help="only what coding images costs")
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), metavar="PROGRAM")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        serve(args.serve, args.cameras[0])
        return 0
    try:
        if args.codecs:
            cases = codecs((1280, 720))
        else:
            cases = run("mjpeg", (1280, 720), args.cameras, args.seconds, args.ffmpeg)
            cases += run("h264", (1920, 1080), args.h264, args.seconds, args.ffmpeg)
    except (UserError, OSError) as error:
        print(f"benchmarks.capture: {error}", file=sys.stderr)
        return 2
    print(machine.title(machine.describe()))
    print(lines(cases))
    if not args.ffmpeg:
        print("ffmpeg is not here: without the CPU of ffmpeg -c copy beside it")
    if args.json:
        write_json(args.json, {"machine": machine.describe(), "cases": cases})
    return 0


if __name__ == "__main__":
    sys.exit(main())
