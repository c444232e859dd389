"""The moments of a take as the page shows them: made once, in order, and kept packed, to be wound forth and back."""

import json
import pickle
import threading
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from stream.drawing.figures import follow
from stream.drawing.scene import ViewState
from stream.recordings.pictures import Pictures
from stream.recordings.reading import Reading
from stream.recordings.replay import read_events, replay
from stream.recordings.schema import FRAMES
from stream.recordings.segments import Span, segments
from stream.recordings.takes import Take
from stream.selection import ALL, Selection
from stream.types import Estimate, Person, StreamError, View
from stream.web.pictures import packed_picture
from stream.web.scene import header, moment

CHUNK: Final = 64
"""Moments that are sent together."""
_EVENTS: Final = 500  # on one time line


class Film:
    """A take made ready for the page.

    Args:
        take: from ``open_take``.
        select: whom to show.
        start: seconds after the take's first moment from which on moments are shown.
        end: seconds after it from which on they are not.
        on_fault: told each span that cannot be read.

    Raises:
        StreamError: if no moment lies in that part, or a person is asked for who is not in the take.
    """

    def __init__(
        self, take: Take, select: Selection | None = None, start: float | None = None, end: float | None = None,
        on_fault: Callable[[Span], None] = lambda _: None,
    ) -> None:  # fmt: skip
        reading = Reading(take, start, end, select, bar=False)
        self.take, self.reading = take, reading
        self._ids = None if (select or Selection()).rule == ALL else reading.ids
        self._start, self._end, self._on_fault = start, end, on_fault
        self._view = ViewState(cameras=take.run_info.cameras)
        self.pictured = bool(segments(take.folder, FRAMES))
        """Whether the cameras' images were recorded with it."""
        self._told: list[bytes] = []
        self._drawn: list[bytes] = []
        self.count = 0
        """Moments that are ready."""
        self.first = 0.0
        """Seconds: ``Estimate.t`` of the first."""
        self.done = False
        """Whether that is all."""
        self.people: set[int] = set()
        """Who is in it."""
        self.events: list[tuple[int, str]] = []
        """What was noted, and at which of its moments; known once it is done."""
        self._times: list[float] = []
        self._stopping = threading.Event()

    @property
    def origin(self) -> float:
        """Seconds: ``Estimate.t`` of the take's first moment, from which parts of it are counted."""
        return self.first if self._start is None and self._end is None else self.reading.first

    @property
    def header(self) -> dict[str, Any]:
        """What holds for all of it, for the page."""
        run_info = self.take.run_info
        return header(self._view) | {
            "live": False,
            "software": run_info.software,
            "name": self.take.folder.name,
            "take": {
                "chunk": CHUNK,
                "start": self.first,
                "count": self.count,
                "done": self.done,
                "events": self.events,
            },
        }

    def load(self, most: int | None = None) -> None:
        """Make all moments ready; in a thread, if the first are to be shown before the last are read.

        Raises:
            StreamError: if there are more than ``most``.
        """
        told: list[dict[str, Any]] = []
        drawn: list[tuple[Estimate, ViewState]] = []
        view = self._view
        try:
            for number, estimate in enumerate(self._estimates()):
                if self._stopping.is_set():
                    return
                if number == most:
                    raise StreamError(
                        f"more than {most} moments are too many for one page; choose a part with --start and --end"
                    )
                view = follow(view, estimate)
                self.first = estimate.t if number == 0 else self.first
                self._times.append(estimate.t)
                self.people |= {person.person_id for person in estimate.people}
                told.append(moment(estimate, view))
                drawn.append((_flat(estimate), view))
                if len(told) == CHUNK:
                    self._keep(told, drawn)
                    told, drawn = [], []
        finally:
            if told:
                self._keep(told, drawn)
            self.events = self._placed()
            self.done = True

    def stop(self) -> None:
        """Read no further."""
        self._stopping.set()

    def chunk(self, number: int) -> list[dict[str, Any]]:
        """The moments ``number * CHUNK`` and those after it, as far as they are ready.

        Raises:
            IndexError: where there are none.
        """
        return json.loads(zlib.decompress(self._told[number]))

    def estimate(self, index: int) -> tuple[Estimate, ViewState]:
        """What of a moment a picture needs. Raises IndexError where it is not ready."""
        return pickle.loads(zlib.decompress(self._drawn[index // CHUNK]))[
            index % CHUNK
        ]  # our own, never out of our hands

    def _placed(self) -> list[tuple[int, str]]:
        """The events of the part that is shown, each at the first moment that is not before it."""
        last = len(self._times) - 1
        return [
            (min(bisect_left(self._times, event.t), last), f"{event.source}: {event.text}")
            for event in read_events(self.take)
            if last >= 0 and self._times[0] - 1 <= event.t <= self._times[-1] + 1
        ][:_EVENTS]

    def _keep(self, told: list[dict[str, Any]], drawn: list[tuple[Estimate, ViewState]]) -> None:
        self._told.append(zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 1))
        self._drawn.append(zlib.compress(pickle.dumps(drawn, pickle.HIGHEST_PROTOCOL), 1) if self.pictured else b"")
        self.count += len(told)

    def _estimates(self) -> Iterator[Estimate]:
        whole = self._start is None and self._end is None
        low = self.reading.first + (self._start or 0.0)
        high = float("inf") if self._end is None else self.reading.first + self._end
        for estimate in replay(self.take, self._on_fault, ids=self._ids):
            # As an export of that part: rounding moves no moment to the other side.
            if whole or low - 1e-6 <= estimate.t < high - 1e-6:
                yield estimate


class FilmPictures:
    """The pictures of a film, of all cameras; for one thread, and a context manager."""

    def __init__(self, film: Film) -> None:
        self._film, self._stack = film, ExitStack()
        names = [camera.name for camera in film.take.run_info.cameras] if film.pictured else []
        self._cameras = [self._stack.enter_context(Pictures(film.take, name)) for name in names]

    def of(self, index: int) -> list[bytes]:
        """The messages with the pictures of a moment; those that there are. Raises IndexError as ``Film.estimate``."""
        if not any(map(len, self._cameras)):
            return []
        estimate, view = self._film.estimate(index)
        messages = []
        for k, (frame, camera) in enumerate(zip(estimate.frames, self._cameras, strict=True)):
            image = None if frame is None else camera.image(frame.frame_index)
            if image is not None:
                messages.append(packed_picture(image, estimate, k, view))
        return messages

    def __enter__(self) -> "FilmPictures":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _seen(view: View | None) -> View | None:
    return None if view is None else View(detection=replace(view.detection, extra=None))


def _flat(estimate: Estimate) -> Estimate:
    """Without anything in 3D."""
    people = tuple(
        Person(
            person_id=person.person_id,
            views=tuple(_seen(view) for view in person.views),
        )
        for person in estimate.people
    )  # fmt: skip
    return replace(estimate, people=people, stages=None, strays=())
