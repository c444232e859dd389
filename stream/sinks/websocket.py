"""Every moment to whoever connects, as JSON or MessagePack, and commands from those who know the token."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, address
from stream.sinks._message import Messages
from stream.sinks._websocket_server import Server
from stream.types import Estimate, Event, StreamError

_log = logging.getLogger(__name__)

NEEDS: Final = "--websocket needs the package websockets: pip install websockets==17.4"


class WebSocket:
    """A server in a thread of its own; a client that reads slowly gets the newest moment when it is ready for it."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, on: Address, run: Run, origins: tuple[str, ...] = ()) -> None:
        """Nothing is opened yet.

        Args:
            on: where to listen.
            run: the run that is told of and commanded.
            origins: hosts elsewhere, with the port where it is not the usual, whose web pages may connect.
        """
        self._on, self._run, self._origins = on, run, origins
        run.token.tell()

    def open(self, run_info: RunInfo) -> None:
        """Begin to listen.

        Raises:
            StreamError: if the package is missing or the address cannot be listened on.
        """
        self._messages = Messages(run_info, hypotheses=self._run.hypotheses)
        try:
            self._server = Server(self._on, self._run, self._origins, self._messages.run())
        except ImportError as error:
            raise StreamError(NEEDS) from error
        shown = self._server.start()
        token = "" if self._on.loopback else "?token=..., the token being that of this run"
        _log.info(f"websocket: ws://{shown}/{token}")

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Hand a moment to all."""
        if self._server.clients:
            self._server.publish(self._messages.moment(estimate))

    def event(self, event: Event) -> None:
        """Hand an event to all."""
        self._server.tell(self._messages.event(event))

    def close(self) -> str | None:
        """Say good-bye to all; how many there were."""
        return self._server.stop()


def _origins(text: str) -> tuple[str, ...]:
    return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to listen."""

    websocket: Address | None = flag(
        None, "serve every moment to WebSockets, and take commands", metavar="[HOST:]PORT", bare="8765", example="0",
        parse=address("127.0.0.1:8765", least=0),
    )  # fmt: skip
    websocket_origin: str | None = flag(
        None, "hosts elsewhere whose web pages may connect, as lab.example", metavar="HOST[:PORT][,...]",
        example="lab.example",
    )  # fmt: skip

    def make(self, run: Run) -> WebSocket | None:
        """The server."""
        return WebSocket(self.websocket, run, _origins(self.websocket_origin or "")) if self.websocket else None
