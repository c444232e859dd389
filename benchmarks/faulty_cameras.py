"""Loopback MJPEG cameras that die, hang, garble and come back, as a seed says."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import cv2
import numpy as np

from benchmarks.camera_server import MIXED, part

HEAD: Final = f"HTTP/1.1 200 OK\r\nContent-Type: {MIXED}\r\n\r\n".encode()
PAGE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html><body>camera</body></html>"
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
_WAKE_S = 0.05


def _smaller(jpeg: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return b"" if image is None else cv2.imencode(".jpg", image[::2, ::2])[1].tobytes()


SENT: Final[dict[str, Callable[[bytes, np.random.Generator], bytes]]] = {
    "noise instead of images": lambda jpeg, rng: part(rng.bytes(3000)),
    "images damaged after their first bytes": lambda jpeg, rng: part(jpeg[:200] + rng.bytes(len(jpeg) - 200)),
    "images cut off": lambda jpeg, rng: part(jpeg[: len(jpeg) // 2]),
    "wrong lengths": lambda jpeg, rng: part(jpeg, int(rng.integers(-300, 300))),
    "images of another size": lambda jpeg, rng: part(_smaller(jpeg)),
}
"""What a fault makes of an image while it lasts."""
CONNECTIONS: Final = ("dead", "hangs", "cut off", "a web page", "busy")
"""dead: nobody listens. hangs: connected, and nothing comes. cut off: closed at once, again and again."""
FAULTS: Final = (*CONNECTIONS, *SENT)


class FaultyCamera:
    """A camera on a port of its own that keeps it while it is dead.

    Args:
        images: JPEG, sent in a loop.
        fps: images a second.
        seed: of the faults.
    """

    def __init__(self, images: Sequence[bytes], fps: float, seed: int) -> None:
        self.injected: Counter[str] = Counter()
        """How often each fault began."""
        self._images, self._fps = images, fps
        self._rng = np.random.default_rng(seed)
        self._fault = ""
        self._generation = 0
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/video"

    def begin(self, good_s: tuple[float, float], bad_s: tuple[float, float]) -> None:
        """Go wrong from now on, after so many seconds each time (least, most) and for so many."""
        self._threads.append(threading.Thread(target=self._script, args=(good_s, bad_s), daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        """Cut every connection and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._listener:
            self._listener.close()

    def _script(self, good_s: tuple[float, float], bad_s: tuple[float, float]) -> None:
        order: list[str] = []
        while not self._stop.wait(self._rng.uniform(*good_s)):
            order = order or list(self._rng.permutation(FAULTS))
            self._fault = str(order.pop())
            self.injected[self._fault] += 1
            self._generation += self._fault in CONNECTIONS and self._fault != "hangs"
            self._stop.wait(self._rng.uniform(*bad_s))
            self._generation += self._fault in ("hangs", "a web page")
            self._fault = ""

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen()
        self._listener.settimeout(_WAKE_S)
        self.port = self._listener.getsockname()[1]

    def _accept(self) -> None:
        while not self._stop.is_set():
            if self._fault == "dead":
                if self._listener:
                    self._listener.close()
                    self._listener = None
                time.sleep(_WAKE_S)
                continue
            if self._listener is None:
                with suppress(OSError):  # somebody else may have the port for a moment
                    self._listen()
                continue
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        generation, rng, number = self._generation, np.random.default_rng(self._generation), 0
        with connection, suppress(OSError):
            connection.settimeout(5)
            connection.recv(4096)
            if self._fault in ("cut off", "a web page", "busy"):
                connection.sendall({"cut off": b"", "a web page": PAGE, "busy": BUSY}[self._fault])
                return
            connection.sendall(HEAD)
            due = time.monotonic()
            while not self._stop.is_set() and generation == self._generation:
                jpeg = self._images[number % len(self._images)]
                fault = self._fault
                if fault != "hangs":
                    connection.sendall(SENT[fault](jpeg, rng) if fault in SENT else part(jpeg))
                    number += 1
                due = max(due + 1 / self._fps, time.monotonic() - 1 / self._fps)
                self._stop.wait(max(0.0, due - time.monotonic()))
