"""The other side of the live outputs, to time them: a process each, that prints how old every moment is when it comes.

    python -m benchmarks.receivers udp 9000

What is printed is milliseconds from the capture of the moment, as its message tells it, to its being here, a line each:
the clocks are the machine's own, which both processes share. It knows the messages, and nothing of the program.
"""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from calibration.errors import UserError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection


def _udp(port: str) -> Iterator[float]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", int(port)))
        yield 0.0
        while True:
            message, now = json.loads(s.recv(65536)), time.monotonic()
            if message.get("people"):
                yield now - message["time"]


def _connected(port: str, path: str) -> "ClientConnection":
    """A connection, as soon as somebody listens."""
    from websockets.sync.client import connect

    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}{path}", compression=None, legacy=True)
        except OSError:
            time.sleep(0.1)


def _websocket(port: str) -> Iterator[float]:
    connection = _connected(port, "/")
    yield 0.0
    for said in connection:
        message, now = json.loads(said), time.monotonic()
        if message.get("people"):
            yield now - message["time"]


def _web(port: str) -> Iterator[float]:
    """What the page in the browser gets, pictures too; the drawing of it is another matter."""
    connection = _connected(port, "/live")
    connection.send("{}")
    yield 0.0
    for said in connection:
        now = time.monotonic()
        moment = json.loads(said).get("moment") if isinstance(said, str) else None
        if moment or isinstance(said, bytes):
            connection.send('{"do": "seen", "count": 1}')
        if moment and moment["people"]:
            yield now - moment["t"]


def _osc(port: str) -> Iterator[float]:
    from pythonosc.osc_packet import OscPacket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", int(port)))
        yield 0.0
        while True:
            packet, now = OscPacket(s.recv(65536)), time.monotonic()
            for timed in packet.messages:
                if timed.message.address == "/moment":
                    yield now - timed.message.params[1] - timed.message.params[2] / 1e6


def _lsl(name: str) -> Iterator[float]:
    import pylsl

    yield 0.0
    inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{name}-1")[0], max_buflen=10)
    correction = inlet.time_correction()
    while True:
        sample, t = inlet.pull_sample(1.0)
        if sample is not None:
            yield pylsl.local_clock() - t - correction


def _ros2(interface: str) -> Iterator[float]:
    from cyclonedds.sub import DataReader
    from cyclonedds.topic import Topic
    from cyclonedds.util import duration

    from stream.sinks._dds import Participant
    from stream.sinks._ros_types import ros_types

    participant = Participant(interface)
    reader = DataReader(participant.entity, Topic(participant.entity, "rt/tf", ros_types().TFMessage))
    yield 0.0
    while True:
        for message in reader.take_iter(timeout=duration(seconds=5)):
            now = time.time()
            if getattr(message, "transforms", None):
                stamp = message.transforms[0].header.stamp
                yield now - stamp.sec - stamp.nanosec / 1e9


KINDS: dict[str, Callable[[str], Iterator[float]]] = {
    "udp": _udp, "websocket": _websocket, "web": _web, "osc": _osc, "lsl": _lsl, "ros2": _ros2,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """``KIND WHERE``; prints "ready" first, then a line a moment."""
    kind, where = arguments or sys.argv[1:]
    try:
        for k, seconds in enumerate(KINDS[kind](where)):
            print(f"{seconds * 1e3:.3f}" if k else "ready", flush=True)
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
    except UserError as error:
        print(f"benchmarks.receivers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
