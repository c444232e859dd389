"""A network camera that speaks RTSP: H.264 as RTP packets on the connection itself, a frame at its time, in a loop.

What RTSP clients of today need of RFC 2326 and RFC 6184, and nothing else: OPTIONS, DESCRIBE, SETUP (interleaved),
PLAY, TEARDOWN; basic authentication; single NAL units and FU-A.
"""

import base64
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

_PAYLOAD: Final = 1400
"""Bytes of a packet, as cameras send them."""
_CLOCK: Final = 90_000
"""Of RTP's times of video, Hz."""
_KIND: Final = 96


def units(data: bytes) -> list[bytes]:
    """The NAL units of an access unit with start codes (Annex B)."""
    found, at = [], data.find(b"\x00\x00\x01")
    while at >= 0:
        after = data.find(b"\x00\x00\x01", at + 3)
        found.append(data[at + 3 : after if after >= 0 else len(data)].rstrip(b"\x00"))
        at = after
    return found


def payloads(unit: bytes) -> Iterator[bytes]:
    """What carries one NAL unit: itself, or its pieces (FU-A)."""
    if len(unit) <= _PAYLOAD:
        yield unit
        return
    head, rest = unit[0], unit[1:]
    for at in range(0, len(rest), _PAYLOAD):
        piece = rest[at : at + _PAYLOAD]
        marks = (0x80 if at == 0 else 0) | (0x40 if at + _PAYLOAD >= len(rest) else 0)
        yield bytes((head & 0xE0 | 28, marks | head & 0x1F)) + piece


def packets(part: bytes) -> list[bytearray]:
    """The packets of one access unit, each behind its frame of RFC 2326, without sequence number and time."""
    bodies = [body for unit in units(part) for body in payloads(unit)]
    out = []
    for number, body in enumerate(bodies):
        kind = _KIND | (0x80 if number == len(bodies) - 1 else 0)
        head = struct.pack(">BBH BBHII", 0x24, 0, 12 + len(body), 0x80, kind, 0, 0, 0x12345678)
        out.append(bytearray(head + body))
    return out


def description(parts: Sequence[bytes]) -> str:
    """The SDP of a stream."""
    sets = [unit for unit in units(parts[0]) if unit[0] & 0x1F in (7, 8)]
    sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
    return "\r\n".join((
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*",
        f"m=video 0 RTP/AVP {_KIND}", f"a=rtpmap:{_KIND} H264/{_CLOCK}",
        f"a=fmtp:{_KIND} packetization-mode=1;sprop-parameter-sets={sprop}", "a=control:track1", "",
    ))  # fmt: skip


class RtspCameras:
    """Cameras ``rtsp://127.0.0.1:PORT/NUMBER``, in threads of this process; what is changed later holds at once.

    Args:
        cameras: what each sends, in a loop; access units of H.264 with start codes, the first with its parameters.
        fps: of each.
        login: ``user:password``, or None for anybody.
        port: where; 0 for a free one.
    """

    def __init__(self, cameras: Sequence[Sequence[bytes]], fps: float, login: str | None = None, port: int = 0) -> None:
        self.fps, self.login = fps, login
        self.cameras = [[packets(part) for part in parts] for parts in cameras]
        self.describe = [description(parts) for parts in cameras]
        self.sent: list[list[tuple[int, float]]] = [[] for _ in cameras]
        """(number of the access unit, monotonic seconds) of all that the present client of each was sent."""
        self.silent = threading.Event()
        """While set, nothing is answered or sent, and connections stay."""
        self.garbled = threading.Event()
        """While set, what packets carry is noise."""
        self.unknown = threading.Event()
        """While set, packets are of a kind that there is not."""
        self.broken = threading.Event()
        """While set, a connection ends amid the next access unit."""
        self.answers: dict[str, str] = {}
        """Method -> what is answered to it in place of what is right; ``{cseq}`` in it is the request's number."""
        self.connections = 0
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            """One client."""

            request: socket.socket

            def handle(self) -> None:
                outer.connections += 1
                try:
                    _Client(outer, self.request).serve()
                except OSError:
                    return  # it has gone

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 64

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.stop = threading.Event()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def show(self, parts: Sequence[bytes]) -> None:
        """Send this from now on, by all cameras."""
        shown, said = [packets(part) for part in parts], description(parts)
        self.cameras, self.describe = [shown] * len(self.cameras), [said] * len(self.cameras)

    def url(self, camera: int = 0, login: str | None = None) -> str:
        """The address of a camera."""
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}/{camera}"

    def close(self) -> None:
        """End all connections."""
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Client:
    def __init__(self, server: RtspCameras, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self._over = False

    def serve(self) -> None:
        """Answer until it plays, then send."""
        while not self._over and not self._server.stop.is_set():
            if (camera := self._answered(0.2)) is not None:
                self._send(camera)
                return

    def _answered(self, wait_s: float) -> int | None:
        """Answer what has come; the camera that is to play, if one is."""
        if not select.select([self._connection], [], [], wait_s)[0]:
            return None
        got = self._connection.recv(65536)
        self._over = not got
        self._got += got
        playing = None
        while not self._server.silent.is_set():
            if self._got.startswith(b"$"):  # a report of the client's
                length = 4 + int.from_bytes(self._got[2:4].ljust(2, b"\xff"), "big")
                if len(self._got) < length:
                    break
                self._got = self._got[length:]
                continue
            head, end, rest = self._got.partition(b"\r\n\r\n")
            if not end:
                break
            self._got = rest
            camera = self._answer(head.decode(errors="replace"))
            playing = camera if camera is not None else playing
        return playing

    def _answer(self, request: str) -> int | None:
        first, *lines = request.split("\r\n")
        method, _, rest = first.partition(" ")
        heads = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        parts = rest.split(" ")[0].split("/")
        number = parts[3] if len(parts) > 3 else ""
        known = number.isdecimal() and int(number) < len(self._server.cameras)
        if method in self._server.answers:
            self._connection.sendall(self._server.answers[method].replace("{cseq}", heads.get("cseq", "0")).encode())
            return None
        status, more, body = "200 OK", [], ""
        login = self._server.login
        if login is not None and heads.get("authorization") != f"Basic {base64.b64encode(login.encode()).decode()}":
            status, more = "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"']
        elif method == "OPTIONS":
            more = ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"]
        elif not known:
            status = "404 Not Found"
        elif method == "DESCRIBE":
            body = self._server.describe[int(number)]
            more = ["Content-Type: application/sdp", f"Content-Base: {rest.split(' ')[0]}/"]
        elif method == "SETUP":
            more = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"]
        elif method in ("PLAY", "TEARDOWN", "GET_PARAMETER"):
            more = ["Session: 1"]
            self._over = method == "TEARDOWN"
        else:
            status = "501 Not Implemented"
        answer = [f"RTSP/1.0 {status}", f"CSeq: {heads.get('cseq', '0')}", *more, f"Content-Length: {len(body)}"]
        self._connection.sendall(("\r\n".join(answer) + "\r\n\r\n" + body).encode())
        return int(number) if known and method == "PLAY" and status.startswith("200") else None

    def _send(self, camera: int) -> None:
        server = self._server
        server.sent[camera] = mine = []
        sequence, number, frames = 0, 0, 0
        count = len(server.cameras)
        due = time.monotonic() + camera / server.fps / count  # no two are due at once
        while not self._over and not server.stop.is_set():
            if server.silent.is_set():
                time.sleep(0.02)
                due = time.monotonic()
                continue
            parts = server.cameras[camera]
            stamp = round(frames * _CLOCK / server.fps) & 0xFFFFFFFF
            mine.append((number, time.monotonic()))
            out = []
            for packet in parts[number % len(parts)]:
                struct.pack_into(">HI", packet := bytearray(packet), 6, sequence, stamp)
                if server.garbled.is_set():
                    packet[16:] = bytes((17 * k + sequence) & 0xFF for k in range(len(packet) - 16))
                if server.unknown.is_set():
                    packet[16] = 0x1F
                out.append(packet)
                sequence = (sequence + 1) & 0xFFFF
            data = b"".join(out)
            if server.broken.is_set():
                self._connection.sendall(data[: len(data) // 2])
                return
            self._connection.sendall(data)
            number, frames = (number + 1) % len(parts), frames + 1
            due += 1 / server.fps
            while (left := due - time.monotonic()) > 0 and not self._over:
                self._answered(left)
