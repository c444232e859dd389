"""Cameras that give one picture at a time over HTTP: asked for the next one at a steady rate."""

import time
from collections.abc import Iterator

import cv2
import numpy as np

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.sources import _http
from stream.sources._live import Capture
from stream.sources._source import SourceInfo
from stream.types import StreamError

DEFAULT_FPS = 5.0
"""Asked for where the user says none: what cheap cameras can give in this way."""


class SnapshotConnection:
    """An address that gives one JPEG picture a request.

    Args:
        config: with the address; its rate is how often it is asked.
        kind: as ``SourceInfo.kind``.
        open_s: seconds for the first picture.

    Raises:
        StreamError: if it gives none.
    """

    def __init__(self, config: SourceConfig, kind: str, open_s: float) -> None:
        self._config = config
        self._step = 1 / (config.fps or DEFAULT_FPS)
        self._body = b""
        first = self._get(open_s)
        if first.image is None:
            raise StreamError(f"{config.shown}: its picture cannot be decoded")
        self._first: Capture | None = first
        self.given = 0
        """Images that came."""
        self.info = SourceInfo(
            name=config.name,
            kind=kind,
            source=config.shown,
            size=(first.image.shape[1], first.image.shape[0]),
            fps=1 / self._step,
            frames=None,
            live=True,
            clock="monotonic",
            messages=(
                f"{config.shown}: gives one picture at a time, asked for {1 / self._step:g} times a second (--fps); "
                "its video address would be smoother",
            ),
        )

    def captures(self) -> Iterator[Capture]:
        """See ``Connection.captures``."""
        due = time.monotonic()
        if self._first is not None:
            yield self._first
            self._first = None
        while True:
            due = max(due + self._step, time.monotonic() - self._step)
            time.sleep(max(0.0, due - time.monotonic()))
            capture = self._get(self._config.stall_s)
            self.given += capture.image is not None
            yield capture

    def _get(self, seconds: float) -> Capture:
        """One picture; it was made about half-way between the question and the answer."""
        asked = time.monotonic()
        answer = _http.ask(self._config.source, seconds, most=_http.MOST_PICTURE)
        t = (asked + time.monotonic()) / 2
        if answer is None:
            raise StreamError(f"{self._config.shown}: gives no more pictures; asking again")
        if answer.body == self._body:
            return Capture(t, None, "same")
        self._body = answer.body
        image = _decoded(answer.body)
        return Capture(t, image, "" if image is not None else "corrupt")

    def close(self) -> None:
        """Nothing is kept open."""


def _decoded(body: bytes) -> Image | None:
    try:
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.ascontiguousarray(image, np.uint8)
