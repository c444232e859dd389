"""Virtual cameras: videos as MJPEG over HTTP on this machine, a frame at its time, forever, in a process of their own.

Every image carries its number in the video as ten black or white bars in the top left corner, and when it was sent is
known (the monotonic clock is the whole machine's), so that a benchmark sees how old an image is when its estimate is
there: from the virtual camera's shutter through sending, decoding, waiting and computing.
"""

import argparse
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cv2
import numpy as np

from benchmarks.detectors import frames_of
from benchmarks.rtsp_camera import RtspCameras
from calibration.arrays import Image
from calibration.errors import UserError
from engines.argument_types import Parser

BAR: Final = 16
"""Width and height of a bar, pixels: two JPEG blocks, so that it survives."""
BITS: Final = 10
MIXED: Final = "multipart/x-mixed-replace; boundary=frame"
"""What an MJPEG camera sends."""


def mark(image: Image, number: int) -> Image:
    """A copy of the image that carries ``number`` (below 1024)."""
    image = image.copy()
    for bit in range(BITS):
        image[:BAR, bit * BAR : (bit + 1) * BAR] = 255 * (number >> bit & 1)
    return image


def read_mark(image: Image) -> int:
    """The number of a marked image."""
    row = image[BAR // 4 : 3 * BAR // 4, : BITS * BAR].reshape(BAR // 2, BITS, BAR, 3)
    return sum(1 << bit for bit in range(BITS) if row[:, bit, 4:-4].mean() > 127)


def jpeg(image: Image) -> bytes:
    """An image as a camera codes it.

    Raises:
        UserError: if it cannot be coded.
    """
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise UserError("a frame could not be encoded as JPEG")
    return np.asarray(data).tobytes()


class Server:
    """A process that serves cameras, from the outside.

    Args:
        command: of ``python -m``; it ends in ``serve_parts``.

    Raises:
        UserError: if it does not start.
    """

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith("port "):
            self.close()
            raise UserError("the virtual cameras did not start")
        _, port, *rtsp = line.split()
        self.root = f"http://127.0.0.1:{int(port)}"
        """Begins the addresses of its cameras: ``ROOT/NUMBER.KIND``."""
        self.rtsp = f"rtsp://127.0.0.1:{int(rtsp[0])}" if rtsp else ""
        """Begins those of its cameras of RTSP, ``RTSP/NUMBER``; empty without."""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Cameras(Server):
    """Cameras that show videos.

    Args:
        videos: one a camera.
        fps: of each.
        frames: of each video.
        back: whether they are shown there and back, so that there is no jump at their end.

    Raises:
        UserError: if they do not start.
    """

    def __init__(self, videos: Sequence[Path], fps: float, frames: int, *, back: bool = False) -> None:
        self._count = len(videos)
        flags = ["--fps", str(fps), "--frames", str(frames), *(["--back"] if back else [])]
        super().__init__("benchmarks.camera_server", *flags, *map(str, videos))

    @property
    def urls(self) -> list[str]:
        """One a camera."""
        return [f"{self.root}/{k}.mjpg" for k in range(self._count)]


def part(body: bytes, more: int = 0) -> bytes:
    """One JPEG image as it is sent, with a length that is wrong by ``more``."""
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body) + more}\r\n\r\n"
    return head.encode() + body + b"\r\n"


def serve(videos: Sequence[Path], fps: float, frames: int, *, back: bool = False) -> None:
    """Serve until the process is ended; prints the port once the cameras are there."""
    by_path = {path: _parts(path, frames, back) for path in set(videos)}
    serve_parts([by_path[path] for path in videos], fps)


def _parts(path: Path, frames: int, back: bool) -> list[bytes]:
    images = list(frames_of(path, frames))
    order = [*images, *images[-2:0:-1]] if back else images
    return [part(jpeg(mark(image, k))) for k, image in enumerate(order[: 1 << BITS])]


def serve_parts(
    cameras: Sequence[Sequence[bytes]],
    fps: float,
    mime: str = MIXED,
    every: bool = False,
    rtsp: RtspCameras | None = None,
) -> None:
    """Serve until the process is ended, or its parent; prints the port, and that of the cameras of RTSP.

    Args:
        cameras: what each sends, in a loop.
        fps: of each.
        mime: what they send.
        every: whether one that was late makes up for it, so that as many come as are due, and no two are due at once.
        rtsp: cameras of which only what they sent is told here.
    """
    sent: list[list[tuple[int, float]]] = rtsp.sent if rtsp else [[] for _ in cameras]

    class Handler(http.server.BaseHTTPRequestHandler):
        """One connection."""

        def do_GET(self) -> None:
            name, _, kind = self.path.strip("/").partition(".")
            if not name.isdecimal() or int(name) >= len(sent):
                self.send_error(404)
            elif kind == "json":
                body = json.dumps(sent[int(name)]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            else:
                self._stream(int(name))

        def _stream(self, camera: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", mime)
            self.end_headers()
            sent[camera] = mine = []
            parts, number = cameras[camera], 0
            due = time.monotonic() + (camera / fps / len(cameras) if every else 0.0)
            try:
                while True:
                    mine.append((number, time.monotonic()))
                    self.wfile.write(parts[number])
                    number = (number + 1) % len(parts)
                    due += 1 / fps
                    if not every:
                        due = max(due, time.monotonic() - 1 / fps)  # late once: no burst to make up for it
                    time.sleep(max(0.0, due - time.monotonic()))
            except OSError:
                return  # the reader has gone

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"port {server.server_address[1]}{f' {rtsp.port}' if rtsp else ''}", flush=True)
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.serve_forever()


def sent(url: str) -> list[tuple[int, float]]:
    """(number of the image, monotonic seconds) of everything that a camera sent to its present reader.

    Raises:
        UserError: if the camera is gone.
    """
    try:
        with urllib.request.urlopen(url.replace(".mjpg", ".json"), timeout=30) as answer:
            return [(int(number), float(t)) for number, t in json.load(answer)]
    except OSError as error:
        raise UserError(f"a virtual camera does not answer ({error})") from error


def age(sent: Sequence[tuple[int, float]], number: int, now: float) -> float | None:
    """Seconds since the image of this number was last sent before ``now``; None if it never was."""
    return next((now - t for k, t in reversed(sent) if k == number and t <= now), None)


def _end_with_parent(server: http.server.ThreadingHTTPServer) -> None:
    """A benchmark that was killed leaves no server behind: then this process is handed to another parent."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    server.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--frames", type=int, default=150, help="of each video, in a loop (default: 150, below 1024)")
    parser.add_argument("--back", action="store_true", help="there and back, so that no loop begins with a jump")
    args = parser.parse_args(arguments)
    try:
        serve(args.videos, args.fps, min(args.frames, 1 << BITS), back=args.back)
    except (UserError, OSError) as error:
        print(f"benchmarks.camera_server: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
