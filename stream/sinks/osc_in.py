"""Events and commands of other programs, by Open Sound Control."""

import logging
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from calibration.arrays import Image
from stream.channel import Policy
from stream.control import Control
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, address, cannot_listen, resolved
from stream.sinks._datagrams import LARGEST
from stream.sinks._inbox import Inbox
from stream.types import Estimate, StreamError

_log = logging.getLogger(__name__)

NAME: Final = "osc-in"
"""What events that came by OSC are said to come from."""
NEEDS: Final = "needs the package python-osc: pip install python-osc==1.10.2"
_WAKE_S: Final = 0.2
_DEEPEST: Final = 8
"""Bundles inside each other."""
# What python-osc knows; of other types it would tell the root logger, and set that up.
_KNOWN: Final = re.compile(rb"/[^\0]*\0+(?:,[ihfdsbrmtTFN\[\]]*\0.*)?", re.DOTALL)


class OscIn:
    """Takes messages of others, in a thread of its own.

    ``/event TEXT`` notes an event, ``/record/start`` and ``/record/stop`` begin and end a take, and any other message
    is an event that says it.
    """

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, on: Address, control: Control) -> None:
        """Nothing is opened yet.

        Args:
            on: where to listen.
            control: is told.
        """
        self._on, self._inbox = on, Inbox(NAME, control)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=NAME)

    def open(self, run_info: RunInfo) -> None:
        """Begin to listen. Raises StreamError if the package is missing or the port is taken."""
        try:
            import pythonosc as _  # noqa: F401 - an extra
        except ImportError as error:
            raise StreamError(f"--{NAME} {NEEDS}") from error
        family, place = resolved(NAME, self._on)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind(place)
        except OSError as error:
            self._socket.close()
            raise cannot_listen(NAME, self._on, error) from None
        self._socket.settimeout(_WAKE_S)
        self._thread.start()
        self.port = self._socket.getsockname()[1]
        _log.info(f"{NAME}: listening on {Address(self._on.host, self.port)}")

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Nothing is sent."""

    def close(self) -> str | None:
        """How much was heard."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()
        return self._inbox.line()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            with suppress(OSError):  # the time is over in which nothing came, for the most part
                for message in _messages(self._socket.recv(LARGEST), _DEEPEST):
                    if self._inbox.admits():
                        self._take(message)

    def _take(self, data: bytes) -> None:
        from pythonosc.osc_message import OscMessage

        try:
            message = OscMessage(data)
            where, values = message.address, list(message.params)
        except Exception:
            return  # whatever a stranger's bytes do to the parser: who sends them is not talking to us
        if where in ("/record/start", "/record/stop"):
            self._inbox.record(where == "/record/start")
            return
        said = " ".join(map(str, values))
        text = said if where == "/event" else f"{where} {said}"
        if text.strip():
            self._inbox.event(text)


def _messages(data: bytes, deepest: int) -> Iterator[bytes]:
    """The messages of a datagram, those in bundles one by one. Their time tags are not waited for."""
    if not data.startswith(b"#bundle\0"):
        if _KNOWN.fullmatch(data):
            yield data
        return
    at = 16
    while deepest and at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield from _messages(data[at + 4 : at + 4 + size], deepest - 1)
        at += 4 + size


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to listen."""

    osc_in: Address | None = flag(
        None, "take events and commands by Open Sound Control", metavar="[HOST:]PORT",
        parse=address("127.0.0.1:39540", least=0), example="0",
    )  # fmt: skip

    def make(self, run: Run) -> OscIn | None:
        """The listener."""
        return OscIn(self.osc_in, run.control) if self.osc_in else None
