"""Addresses of every other kind: RTSP over UDP, snapshots, MPEG-TS over UDP, playlists; and what is refused by name."""

import hashlib
import http.server
import re
import socket
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream.types import StreamError
from tests.reading import FAST, SIZE, ReadingThread, file_source, following, opened, read_all, wait_until
from tests.servers import FileServer, RtspServer, coded, decode, free_port, write_video


def test_rtsp_that_refuses_tcp_is_read_over_udp_and_said(rtsp_python):
    with RtspServer(rtsp_python, udp=True) as server:
        source = file_source(server.url(), stall_s=10.0, open_s=15.0)
        info = source.open()
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 45)
        source.close()
        reading.thread.join(20)
    assert "its server refuses TCP (461), so it comes over UDP" in info.messages[0]
    steps = np.diff([t for _, t, *_ in reading.frames])[15:]
    assert np.median(steps) == pytest.approx(1 / 30, abs=0.02)


class Snapshots:
    """A camera that gives its newest picture to whoever asks; one every ``step`` seconds, or broken ones."""

    def __init__(self, step=0.02, takes=0.0):
        self.step, self.asked, self.begin = step, [], time.monotonic()
        self.broken = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                outer.asked.append(time.monotonic())
                time.sleep(takes)
                number = int((time.monotonic() - outer.begin) / outer.step)
                body = cv2.imencode(".jpg", coded(number % 1024, SIZE))[1].tobytes()
                self.send_response(500 if outer.broken.is_set() else 200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/snapshot.jpg"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(("fps", "expected"), [(None, 5.0), (10.0, 10.0)])
def test_an_address_of_one_picture_is_asked_again_and_again(fps, expected):
    with Snapshots() as camera:
        source = file_source(camera.url, fps=fps, **{**FAST, "stall_s": 3.0})
        info = source.open()
        assert (info.size, info.fps, info.live, info.kind) == (SIZE, expected, True, "network")
        assert f"asked for {expected:g} times a second (--fps)" in info.messages[0]
        first = len(camera.asked)
        frames = [following(source) for _ in range(8)]
        source.close()
    numbers = [decode(frame.image) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert np.median(np.diff(camera.asked[first:])) == pytest.approx(1 / expected, rel=0.4)
    assert all(0 <= time.monotonic() - frame.t < 60 for frame in frames)


def test_a_snapshot_that_is_the_same_is_no_new_frame_and_a_camera_that_fails_comes_back():
    with Snapshots(step=0.3) as camera, opened(file_source(camera.url, fps=20.0, **FAST)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        numbers = [number for _, _, number, *_ in reading.frames]
        assert all(a != b for a, b in zip(numbers, numbers[1:], strict=False))
        camera.broken.set()
        wait_until(lambda: source.status().note != "")
        count = len(reading.frames)
        camera.broken.clear()
        wait_until(lambda: len(reading.frames) > count + 2)
        assert source.status().reconnects >= 1
    reading.thread.join(20)


@pytest.mark.slow
def test_a_camera_that_takes_two_seconds_for_a_picture_is_one():
    with Snapshots(takes=2.0) as camera, opened(file_source(camera.url, stall_s=5.0)) as source:
        assert "gives one picture at a time" in source._info.messages[0]
        assert decode(following(source).image) != decode(following(source).image)


class Web(http.server.ThreadingHTTPServer):
    """Where the other server is, and what each path was asked for with."""

    daemon_threads = True
    other = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asking)
        self.logins: list[tuple[str, str]] = []


class Asking(http.server.BaseHTTPRequestHandler):
    """Pictures of a server that wants a Digest login, and addresses that lead to others."""

    protocol_version = "HTTP/1.1"
    number = 0

    def do_GET(self):  # noqa: N802
        said, web = self.headers.get("Authorization", ""), self.server
        assert isinstance(web, Web)
        web.logins.append((self.path, said.partition(" ")[0]))
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"{web.other}/open.jpg")
        elif self.path == "/digest.jpg" and not self._knows(said):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="abc", qop="auth"')
        else:
            Asking.number += 1
            suffix = ".webp" if self.path == "/open.webp" else ".jpg"
            body = cv2.imencode(suffix, coded(Asking.number % 1024, SIZE))[1].tobytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _knows(self, said):
        """RFC 7616, MD5."""
        told = dict(re.findall(r'(\w+)="?([^",]+)"?', said))
        if not said.startswith("Digest"):
            return False
        one, two = _md5("u:cam:p@ss"), _md5(f"GET:{told['uri']}")
        parts = (one, told["nonce"], told["nc"], told["cnonce"], told["qop"], two)
        return told["response"] == _md5(":".join(parts))

    def log_message(self, format, *args):
        pass


def _md5(text):
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def asking():
    servers = [Web() for _ in range(2)]
    for server, other in zip(servers, servers[::-1], strict=True):
        server.other = f"http://127.0.0.1:{other.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("path", ["digest.jpg", "elsewhere", "open.webp", "open.jpg"])
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_snapshots_behind_a_login_and_at_other_addresses(path, scheme, asking):
    first, second = asking
    address = f"{scheme}://u:p%40ss@127.0.0.1:{first.server_address[1]}/{path}"
    with opened(file_source(address, fps=20.0, **FAST)) as source:
        assert "gives one picture at a time" in source._info.messages[0]
        assert decode(following(source).image) != decode(following(source).image)
    assert all(not kind for where, kind in second.logins if where == "/open.jpg"), "no login for another server"
    assert bool(second.logins) == (path == "elsewhere")


class Sender:
    """Sends a transport stream over UDP for as long as it is open, as an encoder does."""

    def __init__(self, port, folder):
        path = write_video(folder / "s.ts", 90, codec="mpeg4")
        self.data, self.stop = path.read_bytes(), threading.Event()
        self.target = ("127.0.0.1", port)
        threading.Thread(target=self._send, daemon=True).start()

    def _send(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            size = 7 * 188
            while not self.stop.is_set():
                for at in range(0, len(self.data), size):
                    out.sendto(self.data[at : at + size], self.target)
                    if self.stop.wait(3.0 / (len(self.data) / size)):
                        return


def test_mpegts_over_udp(tmp_path):
    port = free_port()
    sender = Sender(port, tmp_path)
    source = file_source(f"udp://127.0.0.1:{port}", stall_s=5.0, open_s=20.0)
    try:
        assert source.open().size == SIZE
        assert decode(following(source).image) >= 0
    finally:
        sender.stop.set()
        source.close()


def test_udp_that_nothing_comes_from_is_one_line():
    with pytest.raises(StreamError, match="no answer in time|did not open in") as caught:
        file_source(f"udp://127.0.0.1:{free_port()}", **{**FAST, "open_s": 3.0}).open()
    assert "\n" not in str(caught.value)


def test_rtmp_that_nobody_serves_is_one_line():
    with pytest.raises(StreamError, match="connection refused"):
        file_source(f"rtmp://127.0.0.1:{free_port()}/live/cam", **FAST).open()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("srt://host:9000", "the FFmpeg in the package av has no SRT; let ffmpeg pass it on: ffmpeg -i ADDRESS"),
        ("rtp://host:5004", "give the camera's RTSP address, or send MPEG-TS over UDP"),
        ("onvif://host", "give the RTSP address that the camera's ONVIF profile names"),
        ("webrtc://host/x", "WebRTC is not read here"),
        ("wss://host/x", "WebSockets are a web page's way"),
        ("ftp://host/a.mp4", "download it and give the file"),
        ("gopher://host", "only rtsp, rtsps, http, https, udp, rtmp, rtmps addresses are read"),
        ("file:///etc/hostname", "give a file by its path"),
    ],
)
def test_addresses_that_are_not_read_are_refused_by_name_with_a_way_round(address, says):
    with pytest.raises(StreamError) as caught:
        file_source(address)
    assert says in str(caught.value) and "\n" not in str(caught.value)


# playlists


def pieces(folder: Path, count: int = 90, seconds: float = 0.5) -> Path:
    """An HLS recording in pieces."""
    path = folder / "all.m3u8"
    with av.open(str(path), "w", format="hls", options={"hls_time": str(seconds), "hls_list_size": "0"}) as out:
        stream = out.add_stream("libx264", rate=30, options={"g": "15", "preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_playlist_that_has_ended_is_a_recording(tmp_path):
    pieces(tmp_path)
    with FileServer(tmp_path) as server:
        source = file_source(server.root + "all.m3u8", **FAST)
        info = source.open()
        frames = read_all(source)
        source.close()
    assert (info.live, info.clock) == (False, "media")
    assert [decode(frame.image) for frame in frames] == list(range(90))
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=1e-3)


def test_a_playlist_that_grows_is_live_and_comes_at_its_own_pace(tmp_path):
    lines = pieces(tmp_path).read_text().splitlines()
    files = [line for line in lines if not line.startswith("#")]
    live = tmp_path / "live.m3u8"

    def publish(newest: int) -> None:
        first = max(0, newest - 2)
        text = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        text += "".join(f"#EXTINF:0.5,\n{name}\n" for name in files[first : newest + 1])
        temporary = live.with_suffix(".part")
        temporary.write_text(text)
        temporary.replace(live)

    publish(0)
    done = threading.Event()

    def grow() -> None:
        for newest in range(1, len(files)):
            if done.wait(0.5):
                return
            publish(newest)

    with FileServer(tmp_path) as server:
        source = file_source(server.root + "live.m3u8", stall_s=5.0, open_s=10.0)
        threading.Thread(target=grow, daemon=True).start()
        info = source.open()
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 30)
        done.set()
        source.close()
        reading.thread.join(20)
    assert info.live and info.clock == "monotonic"
    assert "a playlist (HLS): some seconds late" in info.messages[0]
    numbers = [number for _, _, number, *_ in reading.frames]
    assert numbers == sorted(numbers)
    steps = np.diff([t for _, t, *_ in reading.frames])
    assert np.median(steps) == pytest.approx(1 / 30, abs=0.02), "not a whole piece at once"


@pytest.mark.parametrize(
    "target", ["file:{}", "{}", "file://{}", "concat:{}", "data:video/mp2t;base64,AAAA", "subfile,,start,0,end,0,,:{}"]
)
def test_a_playlist_opens_no_local_file(target, tmp_path):
    secret = tmp_path / "secret"
    served = tmp_path / "served"
    secret.mkdir()
    served.mkdir()
    other = write_video(secret / "other.ts", 30)
    name = target.format(other)
    for end in ("#EXT-X-ENDLIST\n", ""):
        (served / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n{end}")
        with FileServer(served) as server, pytest.raises(StreamError) as caught:
            file_source(server.root + "a.m3u8", **{**FAST, "open_s": 2.0}).open()
        assert "it is a playlist (HLS) of which nothing can be played" in str(caught.value)
    with opened(file_source(other)):
        pass  # it would have opened
