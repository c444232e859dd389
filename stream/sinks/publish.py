"""What every camera sees of people, for another computer that fuses: --publish there is --from here."""

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calibration.arrays import Image
from engines.types import Seen
from stream.channel import Policy
from stream.cluster.group import Group, group
from stream.cluster.node import Node
from stream.cluster.session import check
from stream.cluster.wire import Card
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.types import Estimate, Frame

_log = logging.getLogger(__name__)


class Publish:
    """Publishes each frame as soon as it was looked at, before it is lifted; estimates are made where all are fused."""

    policy: Policy = "every"
    wants_images = False

    def __init__(self, to: Group, run: Run) -> None:
        """Nothing is opened yet; raises StreamError for packages or keys that are missing."""
        check("--publish", to)
        self._to, self._run = to, run
        self._node: Node | None = None
        self._ready = threading.Event()
        """Set when it is open, or never will be."""
        self._base = math.inf
        """Seconds from the times of a file that is played in real time to the clock's."""
        self._monotonic = True
        if run.looks is not None:
            self._monotonic = all(info.clock == "monotonic" for info in run.looks.cameras)
            run.looks.watch(self._seen)

    def open(self, run_info: RunInfo) -> None:
        """Announce the cameras; raises StreamError."""
        live = self._run.looks is None or self._run.looks.live
        try:
            node = Node(self._to, self._cards, live=live, software=run_info.software)
            node.open()
            self._node = node
        finally:
            self._ready.set()
        _log.info(f"publish: {self._to} as {node.id}" + ("" if live else "; it goes on as its frames are fetched"))

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Nothing is left to do: its frames are published."""

    def close(self) -> str | None:
        """Wait until all frames of files were fetched; how many went out."""
        node = self._node
        if node is None:
            return None
        if not node.fetched and self._run.looks is not None and not self._run.looks.live:
            _log.info(f"publish: waiting until {self._to} fetches what there is (--from {self._to} there; Ctrl-C ends)")
        left = node.finish(lambda: not self._run.control.ended)
        node.close()
        return f"publish: {node.sent} frames to {self._to}" + (f", {left} were not fetched" if left else "")

    def _seen(self, frame: Frame, seen: Seen) -> None:
        """In the thread that looked at it."""
        looks = self._run.looks
        if looks is None:
            return
        while not looks.live and not self._ready.wait(0.1):
            if self._run.control.stopping:
                return
        node, t = self._node, frame.t
        if node is None:
            return
        if looks.live and not self._monotonic:
            self._base = min(self._base, time.monotonic() - frame.t)
            t += self._base
        height, width = frame.image.shape[:2]
        node.put(frame.camera, frame.index, t, (width, height), seen, lambda: self._run.control.stopping)

    def _cards(self) -> Sequence[Card]:
        looks = self._run.looks
        if looks is None:
            return ()
        notes = {camera.name: camera.note for camera in self._run.status().cameras} if looks.live else {}
        return [
            Card(info.name, info.size, info.fps, info.serial, info.frames, _line(notes.get(info.name, "")))
            for info in looks.cameras
        ]


def _line(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to."""

    publish: Group | None = flag(
        None, "publish what the cameras see of people, for --from GROUP on the computer that fuses",
        metavar="GROUP[@HOST[:PORT]]", parse=group, example="lab",
    )  # fmt: skip

    def make(self, run: Run) -> Publish | None:
        """The publisher."""
        return Publish(self.publish, run) if self.publish else None
