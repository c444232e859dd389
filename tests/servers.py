"""Loopback servers that go wrong on request, and videos whose frames carry their number."""

import base64
import http.server
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
_BITS = 10


def coded(number, size=(160, 120)):
    """An image that carries ``number`` (below 1024) in ten black or white bars: readable after any codec."""
    width, height = size
    image = np.full((height, width, 3), (200, 120, 60), np.uint8)
    bar = width // _BITS
    for bit in range(_BITS):
        image[height // 4 : height // 2, bit * bar : (bit + 1) * bar] = 255 * (number >> bit & 1)
    return image


def decode(image):
    """The number of a coded image."""
    height, width = image.shape[:2]
    bar = width // _BITS
    row = image[height * 3 // 8, :, 1]
    return sum(1 << bit for bit in range(_BITS) if row[bit * bar + bar // 2] > 127)


def write_video(
    path, count=20, size=(160, 120), fps=30, codec="libx264", sizes=None, pts=None, rotation=0, options=None
):
    """Encode ``count`` coded images; ``pts`` gives each its time in frames."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=Fraction(fps)))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"g": "10", "preset": "ultrafast", "threads": "1"}
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(coded(number, size), format="bgr24")
            frame.pts = number if pts is None else pts[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class MjpegServer:
    """MJPEG over HTTP. Every image carries its number; attributes may be changed while it runs."""

    def __init__(self, fps=30.0, size=(160, 120), login=None, port=0):
        self.fps = fps
        self.size = size
        self.login = login
        """user:password, or None for anybody."""
        self.number = 0
        self.stalled = threading.Event()
        """While set, connections stay open and nothing is sent."""
        self.repeats = False
        """Whether the last picture is sent again and again."""
        self.clients = 0
        self.connections = 0
        self._drop = 0
        self._stop = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                outer._serve(self)

            def log_message(self, format, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def url(self, login=None):
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.port}/stream.mjpg"

    def drop(self):
        """Cut every connection."""
        self._drop += 1

    def _serve(self, request: Any):
        if self.login is not None:
            expected = "Basic " + base64.b64encode(self.login.encode()).decode()
            if request.headers.get("Authorization") != expected:
                request.send_response(401)
                request.send_header("WWW-Authenticate", 'Basic realm="camera"')
                request.end_headers()
                return
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        self.connections += 1
        drop = self._drop
        due = time.monotonic()
        try:
            while not self._stop.is_set() and drop == self._drop:
                if not self.stalled.is_set():
                    jpeg = cv2.imencode(".jpg", coded(self.number % 1024, self.size))[1].tobytes()
                    self.number += not self.repeats
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    request.wfile.write(head.encode() + jpeg + b"\r\n")
                due += 1 / self.fps
                self._stop.wait(max(0.0, due - time.monotonic()))
        except OSError:
            pass

    def close(self):
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class FileServer:
    """Files of a folder over HTTP, as any web server gives them."""

    def __init__(self, folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def log_message(self, format, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def system_python_with_gstreamer():
    """(python, "") or (None, why there is no RTSP server). GStreamer's bindings live with the system's Python."""
    reason = "no /usr/bin/python3"
    for python in ("/usr/bin/python3", sys.executable):
        if not os.path.exists(python):
            continue
        check = subprocess.run([python, str(RTSP_SERVER), "--check"], capture_output=True, text=True, timeout=60)
        if check.returncode == 0:
            return python, ""
        reason = (check.stderr.strip().splitlines() or ["it failed"])[-1]
    return None, f"no GStreamer RTSP server ({reason}); apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi ..."


class RtspServer:
    """A real RTSP camera in a process of its own: 320x240 H.264 at 30 fps, made while a client watches.

    With ``images``, the pattern of numbered JPEG files, it shows those, 15 a second, over and over.
    """

    def __init__(self, python, port=0, login=None, udp=False, images=None):
        command = [python, str(RTSP_SERVER), "--port", str(port)] + (["--login", login] if login else [])
        command += ["--udp"] if udp else []
        command += ["--images", str(images)] if images else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        stdout = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], 30)[0]:
            self.close()
            raise RuntimeError("the RTSP server did not start")
        match = re.fullmatch(r"port (\d+)\n", stdout.readline())
        if match is None:
            self.close()
            raise RuntimeError("the RTSP server did not start")
        self.port = int(match[1])

    def url(self, login=None):
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}/cam"

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def access_units(count, size=(160, 120), key_every=15):
    """Coded images as H.264 with start codes, as a camera sends them; each key frame with its parameters."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = *size, "yuv420p", Fraction(30)
    encoder.gop_size, encoder.thread_count = key_every, 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1:annexb=1"}
    out = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(coded(number, size), format="bgr24")
        out += [bytes(packet) for packet in encoder.encode(frame)]
    return [*out, *(bytes(packet) for packet in encoder.encode(None))]
