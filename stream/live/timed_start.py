"""Start and end of a run by the clock: at a time of day, after a countdown, for so many seconds."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from stream.config import StartConfig
from stream.control import Control
from stream.types import StreamError
from stream.words import own_fault

_log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
"""So often it is looked whether it is over."""
_AHEAD_S: Final = 1.0
"""What is to be ready at the start is made so long before it."""
_LATE_S: Final = 5.0
"""So long is waited at the end for estimates that are under way."""

Told = Callable[[str], None]
"""Is called with each line of a countdown, and with "" at the start."""


def span_of(config: StartConfig, now: float) -> tuple[float, float]:
    """Monotonic seconds at which a run starts and ends, ``inf`` where it does not end by itself.

    Raises:
        StreamError: if that time of day is over.
    """
    start = now + config.countdown
    if config.start_at is not None:
        left = (config.start_at - datetime.now(UTC)).total_seconds()
        if left < 0:
            raise StreamError(
                f"--start-at {config.start_at:%H:%M:%S}: that was {-left:.0f} s ago; the cameras took so long; "
                "give a later time"
            )
        start = now + left
    return start, float("inf") if config.seconds is None else start + config.seconds


def wait_for(start: float, countdown: int, control: Control, told: Told, prepare: Callable[[], None]) -> bool:
    """Wait for the start.

    Args:
        start: monotonic seconds.
        countdown: its last seconds, which are told.
        control: may stop it.
        told: hears them.
        prepare: called once, a second before the start.

    Returns:
        Whether there is one: False where it was stopped before.
    """
    second, prepared = -1, False
    while (left := start - time.monotonic()) > 0 or not prepared:
        if control.stopping:
            return False
        if left <= _AHEAD_S and not prepared:
            prepare()
            prepared = True
        if 0 < left <= countdown and second != int(left) + 1:
            second = int(left) + 1
            told(f"{second} ...")
        time.sleep(min(max(start - time.monotonic(), 0.0), LOOK_S / 20))
    told("")
    return True


class TimedStart:
    """Begins what is recorded when it is time, and asks the run to stop when it is over.

    Args:
        config: when.
        told: hears the countdown.
    """

    def __init__(self, config: StartConfig, told: Told = lambda line: None) -> None:
        self._config, self._told = config, told
        self._begin: Callable[[float, float], None] = lambda start, until: None
        self._start: float | None = None
        self.problem = ""
        """Why it did not come to it; empty otherwise."""
        self._control = Control()
        self._thread: threading.Thread | None = None

    def begins(self, begin: Callable[[float, float], None]) -> None:
        """Name what is to begin; it is called a second before the start, with start and end in monotonic seconds."""
        self._begin = begin

    def start(self, control: Control, newest: Callable[[], float]) -> None:
        """Begin to wait, in a thread of its own.

        Args:
            control: of the run; is asked to stop at the end, and told of start and end as events.
            newest: time of the newest estimate, monotonic seconds.

        Raises:
            StreamError: if that time of day went by while cameras were opened.
        """
        self._control = control
        self._start, until = span_of(self._config, time.monotonic())
        work = (control, newest, self._start, until)
        self._thread = threading.Thread(target=self._watch, args=work, name="timed-start", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask the run to stop, and wait for the end of its thread."""
        self._control.stop()
        if self._thread is not None:
            self._thread.join()

    @property
    def note(self) -> str:
        """What the user should know before the start; empty afterwards."""
        left = 0.0 if self._start is None else self._start - time.monotonic()
        return f"starts in {left:.0f} s" if left > 0 else ""

    def _watch(self, control: Control, newest: Callable[[], float], start: float, until: float) -> None:
        try:
            if not wait_for(start, self._config.countdown, control, self._told, lambda: self._begin(start, until)):
                return
            control.event("run", "start")
            while not control.stopping:
                now = time.monotonic()
                if now >= until and (newest() >= until or now >= until + _LATE_S):
                    control.event("run", "end")
                    return
                time.sleep(LOOK_S)
        except StreamError as error:
            self.problem = str(error)
        except Exception as error:  # of this thread nobody else would hear
            _log.debug("the timed start failed", exc_info=True)
            self.problem = own_fault("the timed start", error)
        finally:
            control.stop()
