"""Events and commands by Open Sound Control."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from stream.sinks._address import Address, cannot_listen, resolved
from stream.sinks._datagrams import LARGEST
from stream.sinks._inbox import Inbox

_WAKE_S: Final = 0.2
_DEEPEST: Final = 8
"""Bundles inside each other."""
# What python-osc knows; of other types it would tell the root logger, and set that up.
_KNOWN: Final = re.compile(rb"/[^\0]*\0+(?:,[ihfdsbrmtTFN\[\]]*\0.*)?", re.DOTALL)


class Listener:
    """Takes messages of others, in a thread of its own.

    ``/event TEXT`` notes an event, ``/record/start`` and ``/record/stop`` begin and end a take, and any other message
    is an event that says it.

    Args:
        on: where to listen.
        inbox: takes them.
    """

    def __init__(self, on: Address, inbox: Inbox) -> None:
        self._on, self._inbox = on, inbox
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="osc-in")

    def start(self) -> Address:
        """Listen; where.

        Raises:
            StreamError: if that cannot be.
        """
        family, place = resolved("osc-in", self._on)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind(place)
        except OSError as error:
            self._socket.close()
            raise cannot_listen("osc-in", self._on, error) from None
        self._socket.settimeout(_WAKE_S)
        self._thread.start()
        return Address(self._on.host, self._socket.getsockname()[1])

    def stop(self) -> str | None:
        """End; for the summary."""
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
