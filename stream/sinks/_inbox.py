"""What other programs ask of a run, on its way to ``Control``: at a bounded rate, in one line each, and counted."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from calibration.text import one_line
from stream.control import Control
from stream.words import number_of

_log = logging.getLogger(__name__)

RATE: Final = 50.0
"""Messages a second that are taken in the long run; twice as many at once."""
_LONGEST: Final = 500
"""Characters of a text; the middle of a longer one is left out."""


class Rate:
    """Which of many messages are taken: a bucket of twice ``rate``, filled at ``rate``. For one thread.

    Args:
        rate: messages a second.
        clock: seconds.
    """

    def __init__(self, rate: float = RATE, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock, self._left, self._at = clock, 2 * rate, clock()

    def __call__(self) -> bool:
        """Whether the one that came now is taken."""
        now = self._clock()
        self._left, self._at = min(self._left + (now - self._at) * self.rate, 2 * self.rate), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Inbox:
    """Takes events and commands of one kind of input, from any thread.

    Args:
        source: what the events are said to come from.
        control: is told.
    """

    def __init__(self, source: str, control: Control) -> None:
        self._source, self._control = source, control
        self._rate = Rate()
        self._lock = threading.Lock()
        self.taken = self.left_out = 0
        """Messages so far."""

    def admits(self, rate: Rate | None = None) -> bool:
        """Whether a message that came now is taken; the first one that is not is said.

        Args:
            rate: that of the sender, where senders are told apart; None for the one of all.
        """
        rate = rate or self._rate
        with self._lock:
            if rate():
                self.taken += 1
                return True
            self.left_out += 1
            first = self.left_out == 1
        if first:
            _log.warning(f"{self._source}: more than {rate.rate:g} messages a second; those beyond are left out")
        return False

    def event(self, text: str, t: float | None = None) -> None:
        """Note an event; see ``Control.event``."""
        self._control.event(self._source, one_line(text.strip(), _LONGEST), t)

    def record(self, on: bool) -> None:
        """Begin or end a take; see ``Control.record``."""
        self._control.record(on)

    def line(self) -> str | None:
        """For the summary; None where nothing came."""
        if not self.taken:
            return None
        more = f", {self.left_out} more left out" if self.left_out else ""
        return f"{self._source}: {number_of(self.taken, 'message')} taken{more}"
