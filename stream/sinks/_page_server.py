"""The server of the page: HTTP and WebSocket on one port, in a thread of its own. It knows nothing of what is shown.

What is sent to a browser lies in slots, of which each holds the newest message alone: one that is slow misses some, and
nobody waits for it. Who may do what: a page from elsewhere is refused by its Origin and by the name of the host it
calls; what changes something needs the token; beyond this machine, watching needs it as well.
"""

import asyncio
import gzip
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from stream.sinks._address import Address, cannot_listen
from stream.sinks._inbox import Rate
from stream.sinks._page_guard import host_allowed, link, origin_allowed
from stream.sinks._token import Token
from stream.words import own_fault

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

ONLY_WATCHES: Final = "this page only watches: open the link that the terminal shows"
"""What is said to who presses a button without the token."""
CLIENTS: Final = 32
"""At a time."""
_HELLO_S: Final = 10.0  # a browser says who it is at once
_AHEAD: Final = 12  # paced messages that a browser has not shown yet: two moments of five cameras
_RATE: Final = 120.0  # messages a second of one browser; it says 60 times what it has shown, and a film asks as often
_LONGEST: Final = 4096  # bytes of a message from a browser
_BUFFER: Final = 1 << 17  # bytes a slow browser is behind at most, in the kernel
_FAREWELL_S: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Client:
    """One browser that is connected."""

    may: bool
    """Whether it may change something: it has the token."""
    wants: dict[str, bool] = field(default_factory=dict)
    """What it asked to be sent or not."""
    _slots: dict[str, str | bytes] = field(default_factory=dict)
    _paced: set[str] = field(default_factory=set)
    _credit: int = _AHEAD
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        """How many messages wait for it."""
        return len(self._slots)

    def put(self, slot: str, message: str | bytes, *, paced: bool = False) -> None:
        """Have it sent soon, unless a newer one of that slot comes before. In the server's thread.

        Args:
            slot: what kind it is of.
            message: the message.
            paced: whether it waits until the browser has shown what it got before: a browser takes whatever comes, and
                would show minutes later what it is too slow for.
        """
        self._slots[slot] = message
        if paced:
            self._paced.add(slot)
        self._wake.set()

    def seen(self, count: int) -> None:
        """It has shown so many paced messages."""
        self._credit = min(self._credit + max(count, 0), _AHEAD)
        self._wake.set()

    async def next(self) -> str | bytes:
        """The next message to send; slots take turns."""
        while True:
            slot = next((s for s in self._slots if s not in self._paced or self._credit > 0), None)
            if slot is not None:
                break
            self._wake.clear()
            await self._wake.wait()
        if slot in self._paced:
            self._credit -= 1
        return self._slots.pop(slot)


Command = Callable[[Client, Mapping[str, Any]], Awaitable[None]]
"""Carries out what a browser asks for, in the server's thread; what takes long it leaves to another."""


class PageServer:
    """Serves a page.

    Args:
        on: where to listen.
        token: of the run, prepared.
        page: the document.
        hello: what a browser is told first, as slots.
        command: see ``Command``.
        tick: what all are told now and then, as slots.
        every_s: seconds between two of its times.
    """

    def __init__(
        self, on: Address, token: Token, page: str, hello: Callable[[Client], Mapping[str, str | bytes]],
        command: Command, tick: Callable[[], Mapping[str, str | bytes]], every_s: float = 0.5,
    ) -> None:  # fmt: skip
        from websockets.asyncio.server import serve
        from websockets.exceptions import ConnectionClosed

        self._open, self._gone = serve, ConnectionClosed
        self.on, self._token = on, token
        self._page = page.encode()
        self._zipped = gzip.compress(self._page, 6)
        self._hello, self._command, self._tick, self._every_s = hello, command, tick, every_s
        self.clients: set[Client] = set()
        """Those who watch; another thread may ask whether there are any, and what they want."""
        self.most = 0
        """How many there were at once."""
        self.files: dict[str, tuple[str, bytes]] = {}
        """By a name that cannot be guessed: files to be fetched once, their name and content."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page-server", daemon=True)
        self._ready: threading.Event = threading.Event()
        self._error: OSError | None = None
        self._stop: asyncio.Event | None = None
        self._port = on.port
        self._flooded = False

    # any thread

    def start(self) -> None:
        """Begin to listen.

        Raises:
            StreamError: if one cannot listen there.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise cannot_listen("page", self.on, self._error)

    @property
    def link(self) -> str:
        """What a browser opens, without the token."""
        return link(self.on, self._port)

    def publish(self, messages: Mapping[str, str | bytes], wanted: str = "", *, paced: bool = False) -> None:
        """Send to all who want it, without waiting; of each slot the newest. ``paced`` as of ``Client.put``."""
        with suppress(RuntimeError):  # it is over
            self._loop.call_soon_threadsafe(self._put, messages, wanted, paced)

    def wanted(self, what: str) -> bool:
        """Whether anybody wants it."""
        return any(client.wants.get(what, False) for client in tuple(self.clients))

    def stop(self, farewell: str) -> None:
        """Tell all that it is over, and close."""
        if self._stop is None:
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, {"bye": json.dumps({"bye": farewell})})
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # the server's thread

    def _put(self, messages: Mapping[str, str | bytes], wanted: str = "", paced: bool = False) -> None:
        for client in self.clients:
            if not wanted or client.wants.get(wanted, False):
                for slot, message in messages.items():
                    client.put(slot, message, paced=paced)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with suppress(Exception):
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        stop = self._stop = asyncio.Event()
        quiet = logging.Logger("page", logging.CRITICAL)  # what strangers send is not worth a line
        try:
            server = await self._open(
                self._watch, self.on.host, self.on.port, process_request=self._answer, compression=None,
                max_size=_LONGEST, max_queue=4, write_limit=_BUFFER, ping_interval=10, ping_timeout=20,
                close_timeout=1, open_timeout=5, server_header=None, logger=quiet,
            )  # fmt: skip
        except OSError as error:
            self._error, self._stop = error, None
            self._ready.set()
            return
        self._port = next(iter(server.sockets)).getsockname()[1]
        self._ready.set()
        ticking = asyncio.create_task(self._ticking())
        await stop.wait()
        ticking.cancel()
        await self._end(server)

    async def _end(self, server: "Server") -> None:
        deadline = self._loop.time() + _FAREWELL_S
        while any(client.waiting for client in self.clients) and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        server.close(code=1001, reason="the run has ended")
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 2 * _FAREWELL_S)

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            if self.clients:
                self._put(self._tick())

    def _answer(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """What is answered to a request; None lets a WebSocket through."""
        names, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        host = names[0] if len(names) == 1 else ""
        path = request.path.partition("?")[0]
        if not host_allowed(self.on, host):
            return connection.respond(HTTPStatus.FORBIDDEN, "that is not our name; open the link of the terminal\n")
        if path == "/live":
            if not all(origin_allowed(origin, host) for origin in origins or [None]):
                return connection.respond(HTTPStatus.FORBIDDEN, "pages from elsewhere are not let in\n")
            if len(self.clients) >= CLIENTS:
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{CLIENTS} browsers watch already\n")
            return None
        if path.startswith("/file/") and (file := self.files.pop(path.removeprefix("/file/"), None)):
            name, content = file
            more = {"Content-Disposition": f'attachment; filename="{name}"'}
            return _response(connection, content, "application/octet-stream", more)
        if path != "/":
            return connection.respond(HTTPStatus.NOT_FOUND, "there is nothing here\n")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        more = {"Content-Encoding": "gzip"} if zipped else {}
        return _response(connection, self._zipped if zipped else self._page, "text/html; charset=utf-8", more)

    async def _watch(self, connection: "ServerConnection") -> None:
        try:
            async with asyncio.timeout(_HELLO_S):
                first = _message(await connection.recv())
            may = self._token(first.get("token"))
            if may or self.on.loopback:
                await self._serve_client(connection, Client(may))
            else:
                await connection.close(4401, "this needs the link that the terminal shows")
        except (TimeoutError, ValueError):
            await connection.close(4400, "not understood")
        except self._gone:
            pass
        except Exception as error:  # the outermost frame of that connection: its library's logger is silent
            _log.debug("a browser's connection stopped", exc_info=True)
            _log.error("%s", own_fault("web", error))

    async def _serve_client(self, connection: "ServerConnection", client: Client) -> None:
        if (known := connection.transport.get_extra_info("socket")) is not None:
            known.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        client.put("may", json.dumps({"may": client.may}))
        for slot, message in self._hello(client).items():
            client.put(slot, message)
        self.clients.add(client)
        self.most = max(self.most, len(self.clients))
        sending = asyncio.create_task(self._send(connection, client))
        try:
            await self._listen(connection, client)
        finally:
            self.clients.discard(client)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, connection: "ServerConnection", client: Client) -> None:
        while True:
            await connection.send(await client.next())

    async def _listen(self, connection: "ServerConnection", client: Client) -> None:
        rate = Rate(_RATE)
        async for raw in connection:
            if not rate():
                if not self._flooded:
                    _log.warning(f"page: a browser that sends over {_RATE:g} messages a second is cut off")
                    self._flooded = True
                await connection.close(1008, "too many messages")
                return
            message = _message(raw)
            if message.get("do") == "seen":
                count = message.get("count")
                client.seen(count if isinstance(count, int) else 0)
            else:
                await self._command(client, message)


def _message(raw: str | bytes) -> dict[str, Any]:
    """A message of a browser. Raises ValueError for anything else."""
    try:
        message = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message


def _response(connection: "ServerConnection", content: bytes, kind: str, more: Mapping[str, str]) -> "Response":
    response = connection.respond(HTTPStatus.OK, "")
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "frame-ancestors 'none'",  # no page elsewhere lays its own over our buttons
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        **more,
    }
    for name, value in headers.items():
        response.headers.pop(name, None)
        response.headers[name] = value
    response.body = content
    return response
