"""When frames of live cameras lie nearest together: what nothing triggers has the same rate and another phase."""

from collections.abc import Iterable
from typing import Final

_RECENT: Final = 0.2
"""Share of the newest value in what is remembered: a second or so of frames."""


class Phases:
    """Remembers, of every camera, how far apart the newest frames of all were just after a frame of it had come.

    Of four cameras that give frames at 0, 2, 20 and 25 ms of every 33, the newest frames of all are 25 ms apart after
    the last of these, but 15 ms after the second: who waits for that one is less late from then on.

    Args:
        cameras: how many.
    """

    def __init__(self, cameras: int) -> None:
        self._spread: list[float | None] = [None] * cameras

    def add(self, camera: int, spread: float) -> None:
        """A frame of the camera came, and the newest frames of all are so many seconds apart."""
        known = self._spread[camera]
        self._spread[camera] = spread if known is None else known + _RECENT * (spread - known)

    def least(self, cameras: Iterable[int]) -> float:
        """Seconds that the newest frames are apart at the best time, which is after a frame of one of these cameras."""
        return min((known for k in cameras if (known := self._spread[k]) is not None), default=0.0)
