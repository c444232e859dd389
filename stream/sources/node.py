"""A camera of another computer: ``node:GROUP[@HOST[:PORT]]/CAMERA``. Its people are found there; its images stay there.

``--from GROUP`` gives every camera of a group.
"""

import argparse
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Image
from stream.channel import Closed
from stream.cluster.feed import Feed
from stream.cluster.group import Group, group
from stream.cluster.listener import Listener
from stream.cluster.messages import Picture, SeenFrame
from stream.config import SourceConfig
from stream.recordings.run_info import NODE
from stream.sources._clock import RateMeter
from stream.sources._source import SourceInfo, SourceStatus
from stream.types import KnownFrame, StreamError

HEARD_S: Final = 5.0
"""So long cameras are listened for."""
_SETTLED_S: Final = 1.5
"""None that is new came for so long: all are heard."""
_KEYS: Final = "?keys="
_OLD_PICTURE_S: Final = 3.0
"""A picture that is older is no longer shown."""


def claims(source: str) -> bool:
    """Whether it names a camera of a group."""
    return source.startswith(NODE)


def make(config: SourceConfig) -> "NodeSource":
    """The source of a camera of a group.

    Raises:
        StreamError: for what names none.
    """
    if config.rotate:
        raise StreamError(f"{config.shown}: its images are elsewhere; give --rotate on the computer that has them")
    try:
        return NodeSource(config, *_named(config.source))
    except argparse.ArgumentTypeError as error:
        raise StreamError(str(error)) from None


def _named(source: str) -> tuple[Group, str]:
    """The group and the camera that a source names; raises argparse.ArgumentTypeError."""
    where, _, camera = source.removeprefix(NODE).partition("/")
    camera, _, keys = camera.partition(_KEYS)
    if not camera:
        raise argparse.ArgumentTypeError(f"{source!r} names no camera, as node:lab/left does")
    return group(where).with_keys(Path(keys) if keys else None), camera


def sources_of_group(of: Group, within_s: float = HEARD_S, fewest: int = 1) -> tuple[str, ...]:
    """What to give to ``--camera`` for every camera that is heard in a group, by name.

    Args:
        of: the group.
        within_s: how long they are listened for.
        fewest: when so many are heard and no other comes, it is gone on.

    Raises:
        StreamError: if none is heard, or two have one name; it lists what other groups there are.
    """
    listener = _shared(of)
    try:
        names = _heard(listener, within_s, fewest)
        if not names:
            raise StreamError(_nobody(of, listener, within_s))
    except BaseException:
        listener.close_unused()
        raise
    end = f"{_KEYS}{of.keys}" if of.keys else ""
    return tuple(f"{name}={NODE}{of}/{name}{end}" for name in sorted(names))


def _heard(listener: Listener, within_s: float, fewest: int) -> set[str]:
    begun = changed = time.monotonic()
    before: set[str] = set()
    while (now := time.monotonic()) - begun < within_s:
        names = set(listener.cameras())
        if names != before:
            before, changed = names, now
        if len(names) >= fewest and now - changed > _SETTLED_S:
            break
        time.sleep(0.05)
    return before


def _nobody(of: Group, listener: Listener, within_s: float) -> str:
    if problems := listener.problems():
        return problems[0]
    others = ", ".join(sorted(listener.others))
    heard = f"other groups are heard there: {others}" if others else "nor is any other group"
    return (
        f"--from {of}: no camera of it is heard within {within_s:g} s, {heard}; begin --publish {of} on the computers "
        f"with the cameras{', with the same --keys' if of.keys is not None else ''}"
    )


# Two sessions cannot listen at one address, so the cameras of a group share one, until the last of them is closed.
_SHARED: Final[dict[Group, Listener]] = {}
_OPENING: Final = threading.Lock()


def _shared(of: Group) -> Listener:
    with _OPENING:
        listener = _SHARED.get(of)
        if listener is None or listener.closed:
            listener = Listener(of)
            listener.open()
            _SHARED[of] = listener
        return listener


def listeners(sources: Iterable[SourceConfig]) -> list[Listener]:
    """Those through which cameras of groups are heard now, one a group."""
    groups = {_named(one.source)[0] for one in sources if claims(one.source)}
    return [found for of in groups if (found := _SHARED.get(of)) is not None and not found.closed]


class NodeSource:
    """Frames whose people another computer has found, at times of this computer's clock. All share one black image."""

    kind = "node"
    live = True

    def __init__(self, config: SourceConfig, of: Group, camera: str) -> None:
        self.config, self.name = config, config.name
        self._group, self._camera = of, camera
        self._shown = f"{NODE}{of}/{camera}"  # what stands before its @ is no password
        self._listener: Listener | None = None
        self._feed: Feed | None = None
        self._image: Image = np.zeros((0, 0, 3), np.uint8)
        self._rate = RateMeter()
        self._node = ""
        self._index = self._before = self._last_track = -1
        self._first_track = 0
        self._read = self._other_size = 0
        self._opened = 0.0
        self._closed = False
        self._shown_picture: Picture | None = None
        self._picture: Image | None = None

    def open(self) -> SourceInfo:
        """See ``Source.open``."""
        if self._listener is not None:
            raise RuntimeError(f"source {self.name!r} was opened twice")
        listener = self._listener = _shared(self._group)
        listener.by_system = self.config.system_clock
        try:
            self._feed, hello = listener.attach(self._camera, self.config.open_s)
        except BaseException:
            listener.close_unused()
            raise
        card, self.live = self._feed.card, hello.live
        self.kind = "node" if hello.live else "detections"
        self._image = np.zeros((card.size[1], card.size[0], 3), np.uint8)
        self._image.flags.writeable = False
        self._opened = time.monotonic()
        return SourceInfo(
            self.name, self.kind, self._shown, card.size, card.fps, card.frames, self.live,
            "monotonic" if self.live else "media", serial=card.serial, people_known=True,
        )  # fmt: skip

    def read(self) -> KnownFrame | None:
        """See ``Source.read``."""
        if self._listener is None or self._feed is None:
            raise RuntimeError(f"source {self.name!r} was read before it was opened")
        self._listener.begin()
        size = (self._image.shape[1], self._image.shape[0])
        while not self._closed:
            try:
                node, frame = self._feed.frames.get()
            except Closed:
                if self._feed.error is not None and not self._closed:
                    raise self._feed.error from None
                return None
            if frame.size != size:
                self._other_size += 1
                continue
            self._read += 1
            self._rate.add(time.monotonic())
            return self._known(node, frame)
        return None

    def _known(self, node: str, frame: SeenFrame) -> KnownFrame:
        """With numbers and tracks of its own, which go on when it begins again: they are never used twice."""
        if node != self._node:
            self._node, self._first_track, self._before = node, self._last_track + 1, frame.index - 1
        self._index += max(1, frame.index - self._before)
        self._before = frame.index
        people = tuple(replace(one, track=self._first_track + one.track) for one in frame.seen.people)
        self._last_track = max((self._last_track, *(one.track for one in people)))
        seen = replace(frame.seen, people=people)
        return KnownFrame(self.name, self._index, frame.t, self._image, seen, picture=self._pictured())

    def _pictured(self) -> Image | None:
        """The newest picture; None where there is none, or it is old."""
        found = None if self._feed is None else self._feed.picture
        if found is None or time.monotonic() - found[0] > _OLD_PICTURE_S:
            return None
        if found[1] is not self._shown_picture:
            self._shown_picture = found[1]
            self._picture = _decoded(found[1], (self._image.shape[1], self._image.shape[0]))
        return self._picture

    def status(self) -> SourceStatus:
        """See ``Source.status``."""
        feed, listener = self._feed, self._listener
        if feed is None or listener is None:
            return SourceStatus(0, 0, 0, 0, None, None, False, "")
        age = time.monotonic() - (feed.came or self._opened) if self.live else None
        stalled = age is not None and age > self.config.stall_s and not self._closed
        note = listener.note(feed)
        if stalled and not note:
            note = f"{self._shown}: no new frame for {age:.0f} s"
        dropped = sum(feed.lost.values()) + self._other_size + (feed.frames.dropped if self.live else 0)
        garbage = listener.garbage[feed.owner]
        return SourceStatus(self._read, dropped, garbage, feed.changes, self._rate.fps, age, stalled, note)

    def close(self) -> None:
        """See ``Source.close``."""
        if self._closed:
            return
        self._closed = True
        if self._feed is not None:
            self._feed.frames.close()
        if self._listener is not None and self._feed is not None:
            self._listener.leave()


def _decoded(picture: Picture, of: tuple[int, int]) -> Image | None:
    """(h, w, 3) BGR, read-only; None for what cannot be decoded or has another shape than the camera's images."""
    width, height = picture.size
    if abs(width * of[1] - height * of[0]) > max(of):  # a pixel of rounding
        return None
    # No orientation: the header was read without it.
    image = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.shape != (height, width, 3):
        return None
    image = np.asarray(image, np.uint8)
    image.flags.writeable = False
    return image
