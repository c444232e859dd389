"""What a run records, estimates and images, switched together and told to whoever asks."""

import logging
from pathlib import Path
from typing import Final

from calibration.errors import UserError
from stream.app.record_switch import RecordSwitch
from stream.cluster.messages import Recording
from stream.live.capture import CaptureRun
from stream.live.directed_capture import DirectedCapture

_log = logging.getLogger(__name__)

NO_FOLDER: Final = "it was begun without --record and --capture"
BY_ITSELF: Final = "its capture begins and ends by itself"


class Recordings:
    """The recording of estimates and the capture of a run as one.

    Args:
        switch: of the estimates.
        records: whether a folder was given for them.
        capture: of the images; None without.
    """

    def __init__(self, switch: RecordSwitch, records: bool, capture: CaptureRun | None) -> None:
        self._switch, self._records, self._capture = switch, records, capture
        by_itself = capture is not None and not isinstance(capture, DirectedCapture)
        self.refuses = BY_ITSELF if by_itself else "" if records or capture is not None else NO_FOLDER
        """Why it does nothing for other computers; empty where it does."""
        self._problem = ""

    @property
    def take(self) -> Path | None:
        """The folder of the take that is being written; None where none is."""
        captures, captured = self._captured()
        return self._switch.take or (captured if captures else None)

    @property
    def begun(self) -> bool:
        """Whether any take was begun."""
        return self._switch.newest is not None or self._captured()[1] is not None

    def switch(self, on: bool | None = None) -> None:
        """Begin takes (True), end those that are being written (False), or the other of the two."""
        if not isinstance(self._capture, DirectedCapture):
            self._switch.switch(on)
            return
        on = not (self._captured()[0] or self._switch.recording) if on is None else on
        try:
            self._capture.record(on)
            self._problem = ""
        except UserError as error:
            self._problem = str(error)
            _log.error(str(error))
        if self._records:
            self._switch.switch(on)

    def told(self) -> Recording:
        """What is said of it to whoever may command it."""
        captures, captured = self._captured()
        newest = captured or self._switch.newest
        on = captures or self._switch.recording
        why = self.refuses or self._problem or self._switch.problem
        return Recording(on, "" if newest is None else newest.name, why, bool(self.refuses))

    def _captured(self) -> tuple[bool, Path | None]:
        return (False, None) if self._capture is None else self._capture.recording()
