"""The page of a run: shows every estimate, and does what its buttons ask for."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from calibration.arrays import Image
from stream.drawing.facts import status_facts
from stream.drawing.figures import follow
from stream.drawing.scene import ViewState
from stream.recordings.run_info import RunInfo
from stream.sinks import Run
from stream.sinks._address import Address
from stream.sinks._inbox import Inbox, Rate
from stream.sinks._page_server import ONLY_WATCHES, Client, PageServer
from stream.types import Estimate, Event
from stream.web.document import document
from stream.web.pictures import packed_picture
from stream.web.scene import header, moment
from stream.words import number_of

_PICTURES_S: Final = 0.095  # ten pictures a second of each camera, and a little: the clock of cameras is not ours
_TOASTS: Final = 8  # events that wait for one browser; it shows four
_PRESSED: Final = 3.0  # times a second that buttons are obeyed, of all browsers together


class LivePage:
    """What ``--web`` serves while a run goes on. ``write`` and ``event`` come from one thread.

    Args:
        on: where to listen.
        run: the run that is shown and commanded.
        run_info: of the run.
    """

    def __init__(self, on: Address, run: Run, run_info: RunInfo) -> None:
        self._run, self._control = run, run.control
        self._view = ViewState(cameras=run_info.cameras)
        self._header = json.dumps({"run": header(self._view) | {"live": True, "software": run_info.software}})
        self._last: tuple[Estimate, ViewState, Mapping[str, Image | None]] | None = None
        self._pictured, self._events = 0.0, 0
        self._inbox, self._pressed = Inbox("page", run.control), Rate(_PRESSED)
        self.server = PageServer(on, run.token, document(), self._hello, self._command, self._told)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Show a frame set, unless the picture is held."""
        if self._control.paused:
            return
        self._view = view = follow(self._view, estimate)
        self._last = estimate, view, images
        if not self.server.clients:
            return
        self.server.publish(self._moment(estimate, view, self.server.wanted("ghosts")), paced=True)
        now = time.monotonic()
        if now - self._pictured >= _PICTURES_S and self.server.wanted("pictures"):
            self._pictured = now
            self._run.look()
            for slot, picture in _pictures(estimate, view, images):
                self.server.publish({slot: picture}, "pictures", paced=True)

    def event(self, event: Event) -> None:
        """Tell it to all who watch."""
        said = f"{event.source}: {event.text}" if event.source != "page" else event.text
        self._events += 1
        self.server.publish({f"said {self._events % _TOASTS}": json.dumps({"said": said})})

    def line(self) -> str | None:
        """For the summary; None where nobody watched."""
        if not self.server.most:
            return None
        asked = self._inbox.line()
        return f"page: {number_of(self.server.most, 'browser')} at most" + (f"; {asked}" if asked else "")

    # the server's thread

    def _hello(self, client: Client) -> dict[str, str | bytes]:
        client.wants |= {"ghosts": True, "pictures": True}
        told = {"run": self._header, **self._told()}
        if self._last is not None:  # a picture that is held is shown to who comes, too
            estimate, view, images = self._last
            told |= self._moment(estimate, view, True) | dict(_pictures(estimate, view, images))
        return told

    def _moment(self, estimate: Estimate, view: ViewState, ghosts: bool) -> dict[str, str | bytes]:
        told = {"moment": moment(estimate, view, ghosts=ghosts)}
        return {"moment": json.dumps(told, separators=(",", ":"))}

    def _told(self) -> dict[str, str | bytes]:
        status = self._run.status()
        told = {
            "facts": status_facts(status),
            "note": status.note,
            "recording": status.recording,
            "paused": self._control.paused,
            "done": status.done,
            "total": status.total,
            "cameras": [asdict(camera) for camera in status.cameras],
        }
        return {"status": json.dumps({"status": told})}

    async def _command(self, client: Client, message: Mapping[str, Any]) -> None:
        do, on = message.get("do"), message.get("on")
        if do == "want":
            client.wants |= {what: bool(message[what]) for what in ("ghosts", "pictures") if what in message}
            return
        if do not in ("record", "pause", "event"):
            raise ValueError(f"no command {do!r}"[:80])
        if not client.may:
            client.put("said", json.dumps({"said": ONLY_WATCHES}))
            return
        if not self._inbox.admits(self._pressed):
            client.put("said", json.dumps({"said": "too many presses: passed over"}))
            return
        if do == "record":
            await asyncio.to_thread(self._inbox.record, bool(on))  # makes folders
            if self._run.status().recording != bool(on):
                client.put("said", json.dumps({"said": "that could not be done; the terminal says why"}))
        elif do == "pause":
            self._control.pause(bool(on))
        else:
            self._inbox.event(str(message.get("text") or "mark"))
        self.server.publish(self._told())


def _pictures(
    estimate: Estimate, view: ViewState, images: Mapping[str, Image | None]
) -> Iterator[tuple[str, str | bytes]]:
    """The picture of every camera that has one, with its slot."""
    for index, camera in enumerate(view.cameras):
        image = images.get(camera.name)
        if image is not None:
            yield f"picture {index}", packed_picture(image, estimate, index, view)
