"""Cameras on a network that give something else than pictures. A row a fault."""

import http.server
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import pytest

from engines.argument_types import MISTAKE
from stream.config import SourceConfig
from stream.sources import make_source
from stream.types import StreamError
from tests.faults.fault import Fault, row
from tests.reading import CaptureDouble, camera_source, wait_until
from tests.servers import coded, decode, write_video

OPEN_S = 2.0
"""A network source that gives no image within this time is not there: to connect, to look and to name what comes."""
SIZE, OTHER = (160, 120), (96, 64)
MULTIPART = "multipart/x-mixed-replace; boundary=frame"

Serve = Callable[[BaseHTTPRequestHandler], object]


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    return cv2.imencode(".jpg", coded(number % 1024, size))[1].tobytes()


def png(number: int) -> bytes:
    return cv2.imencode(".png", coded(number % 1024, SIZE))[1].tobytes()


def noise(number: int, count: int = 3000) -> bytes:
    return random.Random(number).randbytes(count)  # noqa: S311 - no secret


def part(body: bytes, kind: str = "image/jpeg", more: int = 0) -> bytes:
    """One picture as it is sent, with a length that is wrong by ``more``."""
    return f"--frame\r\nContent-Type: {kind}\r\nContent-Length: {len(body) + more}\r\n\r\n".encode() + body + b"\r\n"


def endless(give: Callable[[int], bytes], kind: str = MULTIPART) -> Serve:
    """What ``give`` gives for 0, 1, 2 ..., 50 a second."""

    def serve(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        for number in range(10_000):
            request.wfile.write(give(number))
            time.sleep(0.02)

    return serve


def once(body: bytes, kind: str) -> Serve:
    def serve(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return serve


def raw(answer: bytes) -> Serve:
    """Whatever bytes, in place of an answer in HTTP."""
    return lambda request: request.wfile.write(answer)


def moved(where: str) -> Serve:
    return lambda request: request.wfile.write(
        f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
    )


PAGE = b"<!DOCTYPE html><html><body>" + b"<p>camera</p>" * 300 + b"</body></html>"
XHTML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">'
    b'<html xmlns="http://www.w3.org/1999/xhtml"><body>' + b"<p>camera</p>" * 300 + b"</body></html>"
)
HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
DASH = b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'

REFUSED = [
    Fault("pictures that never decode", endless(lambda n: part(noise(n))), 2, "no JPEG image that can be decoded", ""),
    Fault("pictures damaged after their first bytes", endless(lambda n: part(picture(n)[:20] + noise(n))), 2,
          "no JPEG image that can be decoded", ""),
    Fault("a transport stream of noise", endless(lambda n: b"G" + noise(n, 187), "video/mp2t"), 2,
          "it sends video/mp2t, but no image comes of it", ""),
    Fault("parts that are text", endless(lambda n: part(b"motion" * 50, "text/plain")), 2,
          "its parts are text/plain, not images", ""),
    Fault("parts that are PNG pictures", endless(lambda n: part(png(n), "image/png")), 2,
          "its parts are image/png; set the camera to JPEG", ""),
    Fault("a web page in XHTML", once(XHTML, "application/xhtml+xml"), 2, "it is a web page, no video", ""),
    Fault("a web page", once(PAGE, "text/html"), 2, "it is a web page, no video", ""),
    Fault("a web page that says it is video", once(PAGE, MULTIPART), 2, "it is a web page, no video", ""),
    Fault("a web page without an end", endless(lambda n: PAGE, "text/html"), 2, "it is a web page, no video", ""),
    Fault("an HLS playlist of a local file", once(HLS, "application/vnd.apple.mpegurl"), 2,
          "it is a playlist (HLS) of which nothing can be played", ""),
    Fault("an HLS playlist that says it is text", once(HLS, "text/plain"), 2, "it is a playlist (HLS)", ""),
    Fault("a DASH playlist", once(DASH, "application/dash+xml"), 2, "it is a playlist (DASH)", ""),
    Fault("an error as JSON", once(b'{"error": 7}' * 40, "application/json"), 2, "it is text (application/json)", ""),
    Fault("one picture that is cut off", once(picture(1)[:300], "image/jpeg"), 2, "its picture cannot be decoded", ""),
    Fault("nothing", once(b"", "image/jpeg"), 2, "it answers, and sends nothing", ""),
    Fault("empty lines in place of an answer", raw(b"\r\n\r\n"), 2, "does not speak as the address says", ""),
    Fault("a version of HTTP that there is not", raw(b"HTTP/9.9 abc OK\r\n\r\n"), 2,
          "does not speak as the address says", ""),
    Fault("a redirection to itself", moved("/video"), 2, "does not speak as the address says", ""),
    Fault("a redirection to a local file", moved("file:///etc/hostname"), 2, "not a kind of video that is read", ""),
    Fault("a redirection to an address with a password", moved("http://u:hush-7@127.0.0.1:1/?p=hush-7"), 2,
          "connection refused", ""),
    Fault("a picture of 65,535 pixels a side", once(
        picture(1).replace(b"\x00\x78\x00\xa0", b"\xff\xff\xff\xff", 1), "image/jpeg"), 2,
          "its picture cannot be decoded", ""),
]  # fmt: skip
MENDED = [
    Fault("pictures longer than they say", endless(lambda n: part(picture(n), more=-400)), 0, "", "every picture"),
    Fault("pictures shorter than they say", endless(lambda n: part(picture(n), more=400)), 0, "", "every picture"),
    Fault("pictures that say they are a gigabyte", endless(lambda n: part(picture(n), more=10**9)), 0,
          "Content-Length) is wrong", "every picture"),
    Fault("a stream without its first boundary", endless(lambda n: part(picture(n))[9 * (n == 0) :]), 0,
          "is wrong and is ignored", "every picture"),
    Fault("bare pictures one after another", endless(picture, "video/x-motion-jpeg"), 0, "", "every picture"),
    Fault("pictures of two sizes in turn", endless(lambda n: part(picture(n, (SIZE, OTHER)[n % 2]))), 0,
          "its images change between", "the pictures of one size"),
]  # fmt: skip


class Server:
    """Serves one thing to everybody."""

    def __init__(self) -> None:
        self.serve: Serve = once(b"", "")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                try:
                    outer.serve(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/video"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


def source(url: str):
    return make_source(SourceConfig(url, "cam", stall_s=0.5, retry_s=(0.05, 0.1), open_s=OPEN_S))


@pytest.mark.parametrize("fault", REFUSED, ids=str)
@row("a camera that sends {fault}")
def test_what_is_no_stream_is_named_and_soon(fault: Fault, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.serve = fault.inject
    start = time.monotonic()
    with pytest.raises(StreamError) as caught:
        source(server.url).open()
    assert time.monotonic() - start < OPEN_S + 1.5, "with room for a busy machine"
    said = str(caught.value)
    assert fault.words in said and "\n" not in said and "check the address and the network" not in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", MENDED, ids=str)
@row("a camera that sends {fault}")
def test_what_is_wrapped_wrongly_is_read_all_the_same(fault: Fault, server: Server) -> None:
    server.serve = fault.inject
    camera = source(server.url)
    info = camera.open()
    try:
        numbers = []
        while len(numbers) < 10:
            frame = camera.read()
            assert frame is not None and (frame.image.shape[1], frame.image.shape[0]) == info.size
            numbers.append(decode(frame.image))
        said = "; ".join((*info.messages, camera.status().note))
    finally:
        camera.close()
    assert fault.words in said
    assert (numbers[-1] - numbers[0]) % 1024 < 100, "the pictures are the right ones, and none of long ago"


@row("an MP4 over HTTP without its end", MISTAKE, "it is an MP4 file that cannot be read from this server")
def test_an_mp4_that_cannot_be_read_from_its_end_is_named(server: Server, tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mp4", 30).read_bytes()
    server.serve = once(data[:-900], "video/mp4")
    with pytest.raises(StreamError, match="it is an MP4 file that cannot be read from this server.*download it"):
        source(server.url).open()


@row(
    "a stream whose images are noise from some moment on",
    0,
    "damaged",
    "it is opened again; the images that come then",
)
def test_a_stream_that_goes_on_without_pictures_is_opened_again(server: Server) -> None:
    """Its bytes keep coming, so that no read ever waits."""
    bad = threading.Event()
    server.serve = endless(lambda n: part(noise(n) if bad.is_set() else picture(n)))
    camera = source(server.url)
    camera.open()
    try:
        assert camera.read() is not None
        bad.set()
        wait_until(lambda: "can be decoded" in camera.status().note or "damaged" in camera.status().note)
        bad.clear()
        assert camera.read() is not None
    finally:
        camera.close()


@row(
    "a driver that hangs while it opens",
    MISTAKE,
    "hangs; it did not open in",
    "the device is released when it comes back",
)
def test_a_driver_that_hangs_while_opening_is_given_up() -> None:
    device = CaptureDouble()
    device.hung.set()
    camera = camera_source([device])
    camera._open_limit_s = 0.3
    with pytest.raises(StreamError, match="0: hangs; it did not open in 0.3 s"):
        camera.open()
    device.hung.clear()
    wait_until(lambda: device.released)
