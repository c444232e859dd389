"""Datagrams to somebody who may not be there: whether they are is said once, and nobody is waited for."""

import logging
import socket
import time
from typing import Final

from stream.sinks._address import Address, resolved

_log = logging.getLogger(__name__)

LARGEST: Final = 65_507
"""Bytes of a datagram over IPv4."""
_BACK_S: Final = 2.0
"""Nobody refused what was sent for so long: somebody is there."""


class Datagrams:
    """A socket to one receiver.

    Args:
        what: the output, as messages call it.
        to: the receiver.

    Raises:
        StreamError: for a host that is not known.
    """

    def __init__(self, what: str, to: Address) -> None:
        self._what, self._to = what, to
        family, place = resolved(what, to)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)  # where the user names such an address
        self.sent = self.lost = 0
        """Datagrams; a machine that is far away does not tell what it lost."""
        self._refused: float | None = None
        self._said = ""
        try:
            # Connected, so that the system reports a machine whose port nobody listens on.
            self._socket.connect(place)
        except OSError as error:
            self._failed(error)

    def send(self, data: bytes) -> None:
        """Send one datagram; what cannot be sent is counted and said, once for each cause."""
        try:
            self._socket.send(data)
        except BlockingIOError:
            self.lost += 1
        except OSError as error:
            self.lost += 1
            self._failed(error)
        else:
            self.sent += 1
            if self._refused is not None and time.monotonic() - self._refused > _BACK_S:
                self._refused, self._said = None, ""
                _log.info(f"{self._what}: somebody receives on {self._to} now")

    def close(self) -> str:
        """Close it; how much was sent."""
        self._socket.close()
        lost = f", {self.lost} not received" if self.lost else ""
        return f"{self._what}: {self.sent} datagrams to {self._to}{lost}"

    def _failed(self, error: OSError) -> None:
        if isinstance(error, ConnectionRefusedError):
            self._refused, said = time.monotonic(), "nobody receives there; it is gone on with sending"
        else:
            said = f"cannot be sent to: {error.strerror or error}"
        if said != self._said:
            self._said = said
            _log.warning(f"{self._what}: {self._to}: {said}")
