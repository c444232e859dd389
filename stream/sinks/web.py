"""A page in the browser: everybody in 3D, the cameras' pictures, the state of the run, and buttons."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, address
from stream.sinks._live_page import LivePage
from stream.types import Estimate, Event, StreamError

NEEDS: Final = "the page needs the package websockets: pip install websockets==17.4"
PORT: Final = "8080"
METAVAR: Final = "[HOST:]PORT"
parse: Final = address(f"127.0.0.1:{PORT}", least=0)
"""Where to serve it, as a user writes it."""

_log = logging.getLogger(__name__)


class Web:
    """Serves the page of a run; a browser that reads slowly gets the newest moment when it is ready for it."""

    policy: Policy = "latest"
    wants_images = True

    def __init__(self, on: Address, run: Run) -> None:
        """Nothing is opened yet.

        Args:
            on: where to listen.
            run: the run that is shown and commanded.
        """
        self._on, self._run = on, run
        self._page: LivePage | None = None
        run.token.prepare()

    def open(self, run_info: RunInfo) -> None:
        """Begin to serve.

        Raises:
            StreamError: if the package is missing or the address cannot be listened on.
        """
        try:
            page = LivePage(self._on, self._run, run_info)
        except ImportError as error:
            raise StreamError(NEEDS) from error
        page.server.start()
        self._page = page
        _log.info(f"page at {page.server.link}{'' if self._on.loopback else ', not encrypted'}")
        self._run.token.tell_link("page", page.server.link)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Show a frame set."""
        if self._page is not None:
            self._page.write(estimate, images)

    def event(self, event: Event) -> None:
        """Show an event."""
        if self._page is not None:
            self._page.event(event)

    def close(self) -> str | None:
        """Tell all who watch that it is over; how many there were."""
        if self._page is None:
            return None
        self._page.server.stop("the run has ended")
        return self._page.line()


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to serve it."""

    web: Address | None = flag(
        None, "a page in the browser, in 3D and with buttons; prints its link", metavar=METAVAR, bare=PORT,
        example="0", parse=parse,
    )  # fmt: skip

    def make(self, run: Run) -> Web | None:
        """The page."""
        return Web(self.web, run) if self.web else None
