"""Markers of another program's LSL stream as events."""

import logging
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

from stream.sinks._inbox import Inbox
from stream.sinks._loopback import confine
from stream.sinks._lsl import PORTS, monotonic_offset

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.25
_WAKE_S: Final = 0.2
_ASK_S: Final = 2.0


class Markers:
    """Looks for a stream by its name, follows it, and looks again when it is gone; in a thread of its own.

    Args:
        pylsl: the library.
        name: of the stream.
        inbox: takes the markers.
        confined: whether streams of other machines are none of ours.
    """

    def __init__(self, pylsl: ModuleType, name: str, inbox: Inbox, *, confined: bool) -> None:
        self._pylsl, self._name, self._inbox, self._confined = pylsl, name, inbox, confined
        self._offset = monotonic_offset(pylsl)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lsl-in")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> str | None:
        """End; for the summary."""
        self._stopping.set()
        self._thread.join()
        return self._inbox.line()

    def _run(self) -> None:
        _log.info(f"lsl-in: waiting for a stream {self._name}")
        while (found := self._found()) is not None:
            _log.info(f"lsl-in: following {self._name}")
            with suppress(TimeoutError, RuntimeError):  # of the latter kind is what the library says of a lost stream
                self._follow(self._pylsl.StreamInlet(found, max_buflen=60, recover=False))
            if not self._stopping.is_set():
                _log.warning(f"lsl-in: {self._name} is gone; waiting for it")

    def _found(self) -> Any:
        """The stream, as soon as there is one; None when it is no longer looked for."""
        resolver = self._pylsl.ContinuousResolver("name", self._name, forget_after=2.0)
        while not self._stopping.wait(_LOOK_S):
            if self._confined:
                confine(PORTS)  # what it asks through
            if found := resolver.results():
                return found[0]
        return None

    def _follow(self, inlet: Any) -> None:
        try:
            inlet.open_stream(_ASK_S)
            while not self._stopping.is_set():
                sample, t = inlet.pull_sample(_WAKE_S)
                if sample is None or not self._inbox.admits():
                    continue
                # Of the sender's clock; what brings it to ours is measured by the library again and again.
                here = t + inlet.time_correction(_ASK_S) - self._offset
                if text := " ".join(str(value) for value in sample if value != ""):
                    self._inbox.event(text, here)
        finally:
            inlet.close_stream()
