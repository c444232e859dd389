"""The server behind ``--websocket``: who may connect, what they are sent, and what they may ask.

Of websockets, because it is kept up, needs nothing else and has a plain asyncio interface.
"""

import asyncio
import ipaddress
import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from stream.sinks import Run
from stream.sinks._address import Address, cannot_listen
from stream.sinks._inbox import Inbox, Rate
from stream.sinks._message import as_json, status_message
from stream.words import number_of, own_fault

if TYPE_CHECKING:
    from websockets.asyncio.server import Server as Listener
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

_log = logging.getLogger(__name__)

CLIENTS: Final = 64
"""At a time."""
_TOLD: Final = 100
"""Events and answers that wait for one client; the oldest goes first."""
_BUFFER: Final = 65_536
"""Bytes of moments that the system keeps for a client."""
_COMMAND_BYTES: Final = 4096
_COMMANDS: Final = 20.0
"""A second, of one client."""
_FLOOD: Final = 1000
"""Messages too many, after which a client is sent away."""
_END_S: Final = 2.0

Message = Mapping[str, Any]
Encode = Callable[[Message], str | bytes]


class _Letter:
    """A message to many, encoded once for each way it is wanted."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._made: dict[Encode, str | bytes] = {}

    def by(self, encode: Encode) -> str | bytes:
        if encode not in self._made:
            self._made[encode] = encode(self._message)
        return self._made[encode]


class _Client:
    """Whoever is connected: what waits for them, and what they asked for."""

    def __init__(self, encode: Encode, trusted: bool) -> None:
        self.encode, self.trusted = encode, trusted
        self.moment: _Letter | None = None
        self.told: deque[_Letter] = deque(maxlen=_TOLD)
        self.wake = asyncio.Event()
        self.rate = Rate(_COMMANDS)
        self.flooded = 0

    def tell(self, letter: _Letter) -> None:
        self.told.append(letter)
        self.wake.set()


class Server:
    """Listens in a thread of its own.

    Args:
        on: where.
        run: is told of and commanded.
        origins: hosts elsewhere whose web pages may connect.
        hello: the first message to everybody.

    Raises:
        ImportError: if the package websockets is not installed.
    """

    def __init__(self, on: Address, run: Run, origins: tuple[str, ...], hello: Message) -> None:
        from websockets.asyncio.server import serve
        from websockets.exceptions import ConnectionClosed

        self._open, self._gone = serve, ConnectionClosed
        self._on, self._run, self._origins, self._hello = on, run, origins, hello
        self._inbox = Inbox("websocket", run.control)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket")
        self._listener: Listener | None = None
        self._clients: set[_Client] = set()
        self._came = self._skipped = 0

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def start(self) -> Address:
        """Listen; where, the port being the one that was found where any was asked for.

        Raises:
            StreamError: if that cannot be.
        """
        try:
            self._listener = self._loop.run_until_complete(self._listen())
        except OSError as error:
            self._loop.close()
            raise cannot_listen("websocket", self._on, error) from None
        self._thread.start()
        port = next(iter(self._listener.sockets)).getsockname()[1]
        return Address(self._on.host, port)

    async def _listen(self) -> "Listener":
        # Of its own and with no parent: at the level of debugging it would write the token of an address.
        silent = logging.Logger("websocket", logging.CRITICAL + 1)
        return await self._open(
            self._serve, self._on.host, self._on.port, process_request=self._refused, compression=None,
            max_size=_COMMAND_BYTES, max_queue=8, logger=silent, server_header=None, close_timeout=1,
        )  # fmt: skip

    def publish(self, moment: Message) -> None:
        """Hand a moment to all, from any thread."""
        self._loop.call_soon_threadsafe(self._publish, moment)

    def tell(self, message: Message) -> None:
        """Hand to all what must not be overtaken by newer ones, from any thread."""
        self._loop.call_soon_threadsafe(self._tell, message)

    def stop(self) -> str | None:
        """End; for the summary."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if not self._came:
            return None
        skipped = f", {number_of(self._skipped, 'moment')} skipped for slow ones" if self._skipped else ""
        asked = f"; {line}" if (line := self._inbox.line()) else ""
        return f"websocket: {number_of(self._came, 'client')}{skipped}{asked}"

    async def _end(self) -> None:
        if self._listener is not None:
            self._listener.close()
            with suppress(TimeoutError):  # one that does not read does not say good-bye either
                await asyncio.wait_for(self._listener.wait_closed(), _END_S)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # who may

    def _refused(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """Why somebody may not connect; None where they may.

        Any page that a user visits can reach this port: a browser then says whose page it is.
        """
        for origin in request.headers.get_all("Origin"):
            if not self._welcome(origin):
                return connection.respond(
                    HTTPStatus.FORBIDDEN, f"pages of {origin[:80]} may not connect; --websocket-origin allows them\n"
                )
        if not self._on.loopback and not self._knows_token(request):
            return connection.respond(
                HTTPStatus.UNAUTHORIZED, "the token of the run is needed: ws://HOST:PORT/?token=...\n"
            )
        if len(self._clients) >= CLIENTS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {CLIENTS} clients already\n")
        if _query(request).get("format", "json") not in ("json", "msgpack"):
            return connection.respond(HTTPStatus.BAD_REQUEST, "format is json or msgpack\n")
        if _query(request).get("format") == "msgpack" and _msgpack() is None:
            return connection.respond(
                HTTPStatus.NOT_IMPLEMENTED, "the program lacks the package msgpack: pip install msgpack==1.2.4\n"
            )
        return None

    def _welcome(self, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            if parts.scheme not in ("http", "https") or parts.username is not None:
                return False
            return parts.netloc in self._origins or host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def _knows_token(self, request: "Request") -> bool:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        bearer = value.strip() if scheme.lower() == "bearer" else None
        return self._run.token(_query(request).get("token")) or self._run.token(bearer)

    # what they are sent

    def _publish(self, moment: Message) -> None:
        letter = _Letter(moment)
        for client in self._clients:
            self._skipped += client.moment is not None
            client.moment = letter
            client.wake.set()

    def _tell(self, message: Message) -> None:
        letter = _Letter(message)
        for client in self._clients:
            client.tell(letter)

    async def _serve(self, connection: "ServerConnection") -> None:
        request = connection.request
        if request is None:
            return
        packed = _msgpack() if _query(request).get("format") == "msgpack" else None
        client = _Client(packed or as_json, self._knows_token(request))
        if (its := connection.transport.get_extra_info("socket")) is not None:
            # Else the system keeps megabytes for who reads slowly, who is then seconds behind.
            its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        client.tell(_Letter(self._hello))
        self._clients.add(client)
        self._came += 1
        sending = asyncio.create_task(self._send(connection, client))
        try:
            async for said in connection:
                if self._inbox.admits(client.rate):
                    client.tell(_Letter(await self._answer(said, client)))
                    continue
                client.flooded += 1
                if client.flooded > _FLOOD:
                    await connection.close(1008, "too many messages")
        except self._gone:
            pass
        except Exception as error:  # the outermost frame of that connection: its library's logger is silent
            _log.debug("a client's connection stopped", exc_info=True)
            _log.error("%s", own_fault("websocket", error))
            raise  # so that the library tells the client
        finally:
            self._clients.discard(client)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, connection: "ServerConnection", client: _Client) -> None:
        """Send what waits; while the other side does not read, this waits and newer moments take the place of older."""
        try:
            while True:
                await client.wake.wait()
                client.wake.clear()
                while client.told:
                    await connection.send(client.told.popleft().by(client.encode))
                moment, client.moment = client.moment, None
                if moment is not None:
                    await connection.send(moment.by(client.encode))
        except self._gone:
            pass

    # what they may ask

    async def _answer(self, said: str | bytes, client: _Client) -> Message:
        try:
            asked = json.loads(said)
        except (ValueError, RecursionError):
            return _reply(None, "this is not JSON")
        if not isinstance(asked, dict):
            return _reply(None, 'give an object such as {"command": "status", "token": "..."}')
        command = asked.get("command")
        if not isinstance(command, str) or command not in ("start", "stop", "status", "event", "end"):
            return _reply(asked, "command is start, stop, status, event or end")
        if not (client.trusted or self._run.token(asked.get("token"))):
            return _reply(asked, "commands need the token that the program printed when it began")
        if command == "event":
            if not isinstance(text := asked.get("text"), str) or not text.strip():
                return _reply(asked, "an event needs a text")
            self._inbox.event(text)
        elif command == "end":
            self._run.control.stop()
        elif command != "status":
            # It makes folders and opens files, and all clients would wait for it.
            await asyncio.to_thread(self._inbox.record, command == "start")
            if self._run.status().recording != (command == "start"):
                return _reply(asked, "it could not be done; the program says why")
        return _reply(asked) | {"status": status_message(self._run.status())}


def _reply(asked: Mapping[str, Any] | None, error: str = "") -> dict[str, Any]:
    """What a command is answered with; ``id`` is whatever the command had there, if it is a number or a text."""
    its = asked or {}
    told = {"type": "reply", "command": str(its.get("command"))[:40], "ok": not error, "error": error or None}
    return told | ({"id": its["id"]} if isinstance(its.get("id"), str | int) else {})


def _query(request: "Request") -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}


def _msgpack() -> Callable[[Message], bytes] | None:
    try:
        import msgpack
    except ImportError:
        return None
    return lambda message: bytes(msgpack.packb(message) or b"")
