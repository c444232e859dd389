"""What the operating system says of its clock: whether PTP or NTP keeps it right, and how far off it is at most.

Linux and macOS are asked with ``ntp_adjtime``, whose answer every daemon that sets the clock keeps up to date (RFC
5905's kernel model): chronyd, ntpd and systemd-timesyncd for NTP, and phc2sys for PTP. Nobody can be asked elsewhere.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stream.types import StreamError

_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of ``status``."""
_ERROR: Final = 5
"""TIME_ERROR, the state of a clock that is not to be trusted."""


class _Timex(ctypes.Structure):
    """How ``struct timex`` begins, of Linux as of macOS; Linux goes on for some 150 bytes."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 512),
    )  # fmt: skip


def kept_within() -> float | None:
    """Seconds that this computer's clock is off at most; None where nothing keeps it right, or nobody can be asked."""
    name = {"linux": "adjtimex", "darwin": "ntp_adjtime"}.get(sys.platform)
    if name is None:
        return None
    answer = _Timex()  # of no modes: nothing is set
    try:
        state = getattr(ctypes.CDLL(None), name)(ctypes.byref(answer))
    except (OSError, AttributeError):
        return None
    if state < 0 or state == _ERROR or answer.status & _UNSYNCHRONISED:
        return None
    return answer.maxerror * 1e-6


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The clock that shows the time of day."""

    read: Callable[[], float] = time.time
    """Seconds."""
    kept: Callable[[], float | None] = kept_within
    """Asked how far off it is at most."""

    def ahead_of(self, clock: Callable[[], float]) -> tuple[float, float] | None:
        """By how many seconds it is ahead of another clock of this computer, and how far off it is at most.

        None where nothing keeps it right.
        """
        kept = self.kept()
        if kept is None:
            return None
        before = clock()
        now = self.read()
        return now - (before + clock()) / 2, kept


OF_THIS_COMPUTER: Final = SystemClock()


def check(flag: str) -> None:
    """Find out whether this computer's clock may be relied upon.

    Raises:
        StreamError: if nothing keeps it.
    """
    if kept_within() is None:
        raise StreamError(
            f"{flag}: nothing keeps the clock of this computer right, or its system does not tell; start chrony, "
            "systemd-timesyncd or, for PTP, ptp4l and phc2sys, or leave it out: clocks are then compared by messages"
        )
