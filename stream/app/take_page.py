"""The page of a take: a server that gives its moments and pictures as they are asked for, and exports a part of it."""

import asyncio
import io
import json
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from calibration.errors import UserError
from stream.sinks._address import Address
from stream.sinks._page_server import ONLY_WATCHES, Client, PageServer
from stream.sinks._token import Token
from stream.types import StreamError
from stream.web.document import document
from stream.web.film import CHUNK, Film, FilmPictures

Export = Callable[[str, Path, float, float], None]
"""Writes a part of the take into a file: format, file, and seconds from the first moment, the end not in it."""
_ROUNDED: Final = 6e-5  # seconds
_KEPT: Final = 4  # exports that nobody has fetched yet


class TakePage:
    """Serves a film.

    Args:
        on: where to listen.
        token: of whoever may export, prepared.
        film: loaded or being loaded.
        formats: of exports.
        export: makes one.
    """

    def __init__(self, on: Address, token: Token, film: Film, formats: tuple[str, ...], export: Export) -> None:
        self._film, self._formats, self._export = film, formats, export
        self._pictures: FilmPictures | None = None
        # One thread: the videos are wound by one hand. Another, as an export takes long.
        self._winder, self._writer = ThreadPoolExecutor(1, "film"), ThreadPoolExecutor(1, "export")
        self.server = PageServer(on, token, document(), self._hello, self._command, self._tick, 1.0)

    def stop(self) -> None:
        """Tell all who watch that it is over."""
        self._film.stop()
        self.server.stop("the server of this take has ended")
        self._writer.shutdown(cancel_futures=True)
        self._winder.submit(self._close)
        self._winder.shutdown()

    def _close(self) -> None:
        if self._pictures is not None:
            self._pictures.__exit__()

    def _hello(self, client: Client) -> dict[str, str | bytes]:
        return {
            "run": json.dumps({"run": self._film.header}),
            "formats": json.dumps({"formats": self._formats}),
        }

    def _tick(self) -> dict[str, str | bytes]:
        film = self._film
        ready = {"count": film.count, "done": film.done, "start": film.first, "events": film.events}
        return {"ready": json.dumps({"ready": ready})}

    async def _command(self, client: Client, message: Mapping[str, Any]) -> None:
        do, loop = message.get("do"), asyncio.get_running_loop()
        if do == "want":
            return
        if do == "chunk":
            number = _number(message, "number")
            try:
                moments = await loop.run_in_executor(self._winder, self._film.chunk, number)
            except IndexError:
                return  # asked for again once it is ready
            told = json.dumps({"chunk": number, "moments": moments}, separators=(",", ":"))
            client.put(f"chunk {number}", told)
        elif do == "pictures":
            index = _number(message, "index")
            for packed in await loop.run_in_executor(self._winder, self._pictures_of, index):
                client.put(f"picture {packed[0]}", packed)
            client.put("pictured", json.dumps({"pictured": index}))
        elif do == "export":
            if not client.may:
                client.put("said", json.dumps({"failed": ONLY_WATCHES}))
                return
            to, first, last = message.get("to"), _number(message, "first"), _number(message, "last")
            client.put("file", await loop.run_in_executor(self._writer, self._exported, str(to), first, last))
        else:
            raise ValueError(f"no command {do!r}"[:80])

    def _pictures_of(self, index: int) -> list[bytes]:
        if self._pictures is None:
            self._pictures = FilmPictures(self._film)
        try:
            return self._pictures.of(index)
        except IndexError:
            return []

    def _exported(self, to: str, first: int, last: int) -> str:
        """A message with the address of a file, or with why there is none."""
        try:
            if to not in self._formats:
                raise StreamError(f"there is no format {to!r}"[:80])
            start, end = self._seconds(first), self._seconds(last)
            with tempfile.TemporaryDirectory() as folder:
                name = f"{self._film.take.folder.name}-{first + 1}-{last + 1}.{to}"
                # The last moment is in it: what is exported is what was seen. Times on the page are rounded.
                self._export(to, Path(folder) / name, max(start - _ROUNDED, 0.0), end + _ROUNDED)
                written = sorted(Path(folder).iterdir())
                content = written[0].read_bytes()
                name = written[0].name
                if len(written) > 1:
                    name, content = f"{self._film.take.folder.name}-{first + 1}-{last + 1}.zip", _zipped(written)
        except (IndexError, UserError, OSError) as error:
            return json.dumps({"failed": f"not exported: {error}"})
        key = secrets.token_urlsafe(18)
        files = self.server.files
        files[key] = name, content
        while len(files) > _KEPT:
            files.pop(next(iter(files)))
        return json.dumps({"file": f"/file/{key}", "name": name})

    def _seconds(self, index: int) -> float:
        return self._film.chunk(index // CHUNK)[index % CHUNK]["t"] - self._film.origin


def _number(message: Mapping[str, Any], key: str) -> int:
    number = message.get(key)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{key} is to be a number")
    return number


def _zipped(files: list[Path]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for file in files:
            made.write(file, file.name)
    return held.getvalue()
