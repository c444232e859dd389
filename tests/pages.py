"""What the tests of the page share: a run that serves one, and a browser's side of its WebSocket."""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from websockets.sync.client import ClientConnection, connect

from stream.control import Control
from stream.drawing.facts import CameraHealth, Status
from stream.sinks import CameraInfo, Run, RunInfo
from stream.sinks._address import Address
from stream.sinks.web import Web
from tests.known import figure

LOOPBACK = Address("127.0.0.1", 0)
PATIENCE_S = 40.0


class Recorded:
    """A run that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []
        self.recording = False
        self.control = Control()
        self.control.connect(record=self._record, event=lambda source, text, t: self.asked.append((source, text)))
        self.run = Run(self._status, self.control)

    def _record(self, on: bool | None) -> None:
        self.asked.append(("record", on))
        self.recording = bool(on)

    def _status(self) -> Status:
        cameras = (CameraHealth("cam0", 29.7, dropped=3, stalled=True, note="no image for 2 s"),)
        return Status(fps=30.0, latency_ms=41.0, detector="known", recording=self.recording, cameras=cameras)


def run_info(count: int = 1) -> RunInfo:
    size = figure().camera.size
    cameras = tuple(CameraInfo(f"cam{k}", "synthetic:", "synthetic", size, fov_degrees=60.0) for k in range(count))
    return RunInfo(cameras, 5, datetime.now(UTC), 0.0, 30.0)


@contextmanager
def served(capsys, on: Address = LOOPBACK, recorded: Recorded | None = None) -> Iterator[tuple[Web, str, str]]:
    """An open page: the sink, host and port of it, and the token that the terminal showed."""
    sink = Web(on, (recorded or Recorded()).run)
    sink.open(run_info())
    try:
        port, token = re.findall(r"page: http://.*:(\d+)/#token=(\S+)\n", capsys.readouterr().err)[0]
        yield sink, f"127.0.0.1:{port}", token
    finally:
        sink.close()


@contextmanager
def browser(place: str, token: str = "", **settings: Any) -> Iterator[ClientConnection]:
    """Somebody who watches, as a page of ours."""
    settings = {"origin": f"http://{place}", "proxy": None, "compression": None, "close_timeout": 1} | settings
    with connect(f"ws://{place}/live", **settings) as socket:
        socket.send(json.dumps({"token": token}))
        yield socket


def told(socket: ClientConnection, key: str, fits=lambda value: True) -> Mapping[str, Any]:
    """The first message with this key that fits."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = socket.recv(timeout=PATIENCE_S)
        if isinstance(message, str) and key in (said := json.loads(message)) and fits(said[key]):
            return said
    raise AssertionError(f"no {key}")


def until(condition, what: str) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.005)
