"""What every camera sees of people, for another computer that fuses: --publish there is --from here."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from calibration.arrays import Image
from engines.types import Seen
from stream.channel import Policy
from stream.cluster.fields import printable
from stream.cluster.group import Group, group
from stream.cluster.messages import Card, Order
from stream.cluster.node import Node
from stream.cluster.session import check
from stream.config import Config
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._inbox import RATE, Rate
from stream.sinks._thumbnails import PictureLimits, Thumbnails, picture_limits
from stream.types import ClockReading, Estimate, Event, Frame, StreamError
from stream.words import number_of

_log = logging.getLogger(__name__)

_RECENT: Final = 64
_ALONE_S: Final = 5.0
"""Whoever fused and has asked for nothing for so long is gone."""


class Publish:
    """Publishes each frame as soon as it was looked at, before it is lifted; estimates are made where all are fused."""

    policy: Policy = "every"
    wants_images = False

    def __init__(self, to: Group, run: Run, pictures: PictureLimits | None = None) -> None:
        """Nothing is opened yet; raises StreamError for packages or keys that are missing.

        Args:
            to: the group.
            run: whose cameras are published.
            pictures: of what size and how often they may be asked for; None: not at all.
        """
        check("--publish", to)
        self._thumbnails = None if pictures is None else Thumbnails(pictures)
        self._to, self._run = to, run
        self._node: Node | None = None
        self._ready = threading.Event()
        """Set when it is open, or never will be."""
        self._base = math.inf
        """Seconds from the times of a file that is played in real time to the clock's."""
        self._monotonic = True
        self._foreign: deque[Event] = deque(maxlen=_RECENT)
        """Events that came from whoever fuses: it has them already."""
        self._rate = Rate(RATE)
        self._alone = False
        self._was_asked = False
        """Before it was said last."""
        self._opened = math.inf
        """Seconds of the monotonic clock."""
        if run.looks is not None:
            self._monotonic = all(info.clock == "monotonic" for info in run.looks.cameras)
            run.looks.watch(self._seen)

    def open(self, run_info: RunInfo) -> None:
        """Announce the cameras; raises StreamError."""
        live = self._run.looks is None or self._run.looks.live
        try:
            node = Node(
                self._to, self._cards, live=live, software=run_info.software, recording=self._run.recording,
                obey=self._obey if live else None, pictures=self._thumbnails if live else None,
            )  # fmt: skip
            node.open()
            self._node, self._opened = node, time.monotonic()
        finally:
            self._ready.set()
        _log.info(f"publish: {self._to} as {node.id}" + ("" if live else "; it goes on as its frames are fetched"))

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Nothing is left to do: its frames are published."""

    def event(self, event: Event) -> None:
        """Tell whoever fuses of it, unless it came from there."""
        if self._node is not None and not any(event is one for one in self._foreign):
            self._node.remark(event.t + self._ahead, event.source, event.text)

    def close(self) -> str | None:
        """Wait until all frames of files were fetched; how many went out."""
        node = self._node
        if node is None:
            return None
        if not node.fetched and self._run.looks is not None and not self._run.looks.live:
            _log.info(f"publish: waiting until {self._to} fetches what there is (--from {self._to} there; Ctrl-C ends)")
        left = node.finish(lambda: not self._run.control.ended)
        node.close()
        shown = f", {number_of(self._thumbnails.count, 'picture')}" if self._thumbnails is not None else ""
        return f"publish: {node.sent} frames{shown} to {self._to}" + (f", {left} were not fetched" if left else "")

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
            t += self._ahead
        if self._thumbnails is not None:
            self._thumbnails.put(frame)
        if looks.live:
            self._look_after(node)
        height, width = frame.image.shape[:2]
        node.put(frame.camera, frame.index, t, (width, height), seen, lambda: self._run.control.stopping)

    @property
    def _ahead(self) -> float:
        """Seconds by which the clock is ahead of the times of the run."""
        return self._base if self._timed and not self._monotonic else 0.0

    @property
    def _timed(self) -> bool:
        """Whether it is known how the times of the run lie in the clock's: of a file once its first frame was seen."""
        return self._monotonic or math.isfinite(self._base)

    def _time_of(self, t: float) -> float:
        """The time of the run at a time of the clock; the start of a file that has not begun."""
        return t - self._ahead if self._timed else 0.0

    def _look_after(self, node: Node) -> None:
        """Say when nobody fuses yet, when whoever fuses is gone, and when it is back."""
        heard = node.heard
        alone = time.monotonic() - (self._opened if heard is None else heard) > _ALONE_S
        if alone == self._alone:
            return
        self._alone = alone
        if heard is None:
            keys = "" if self._to.keys is None else ", with the same --keys"
            _log.info(f"publish: nobody asks for {self._to} yet; begin --from {self._to} there{keys}")
        elif alone:
            goes_on = "; what is recorded here goes on" if self._run.recording().on else ""
            _log.warning(f"publish: {self._to} does not ask any more{goes_on}")
        else:
            _log.info(f"publish: {self._to} asks {'again' if self._was_asked else 'now'}")
        self._was_asked = heard is not None

    def _obey(self, order: Order) -> None:
        """Carry out what whoever fuses wants, in the thread of its orders."""
        node, run = self._node, self._run
        if node is None:
            return
        now = self._time_of(time.monotonic())
        reading = None
        if order.ahead is not None and self._timed:
            reading = ClockReading(now, node.id, order.who, order.ahead.seconds + self._ahead, order.ahead.within)
        before = run.recording()
        if reading is not None and order.record is not True:
            run.tell(reading)  # while there is still a take
        if order.record is not None and not run.refuses and order.record != before.on:
            run.control.record(order.record)
            after = run.recording()
            if after.on != before.on:
                what = f"begins a recording: {after.take}" if after.on else f"ends the recording {before.take}"
                _log.info(f"publish: {order.who} {what}")
                self._note(Event(now, order.who, "began this take" if after.on else "ended the take"))
        if reading is not None and order.record is True:
            run.tell(reading)
        for remark in order.remarks:
            if self._rate():
                self._note(Event(self._time_of(remark.t), f"{order.who}: {remark.source}", remark.text))

    def _note(self, event: Event) -> None:
        self._foreign.append(event)
        self._run.tell(event)

    def _cards(self) -> Sequence[Card]:
        looks = self._run.looks
        if looks is None:
            return ()
        notes = {camera.name: camera.note for camera in self._run.status().cameras} if looks.live else {}
        return [
            Card(info.name, info.size, info.fps, info.serial, info.frames, printable(notes.get(info.name, "")))
            for info in looks.cameras
        ]


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to."""

    publish: Group | None = flag(
        None, "publish what the cameras see of people, for --from GROUP on the computer that fuses, which also says "
        "when --record and --capture of live cameras begin here",
        metavar="GROUP[@HOST[:PORT]]", parse=group, example="lab",
    )  # fmt: skip

    publish_images: PictureLimits | None = flag(
        None, "let whoever fuses ask for small pictures, so often and so large: 5fps,320px",
        metavar="FPS,PX", parse=picture_limits, example="5fps,320px",
    )  # fmt: skip

    def check(self, config: Config) -> None:
        """Refuse pictures for nobody."""
        if self.publish_images and not self.publish:
            raise StreamError("--publish-images is of --publish GROUP, which is not given")

    def make(self, run: Run) -> Publish | None:
        """The publisher."""
        return Publish(self.publish, run, self.publish_images) if self.publish else None
