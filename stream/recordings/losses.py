"""Frames of a camera that a capture lacks, by reason: as they are counted, told, and read again."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from stream.types import Event

Loss = Literal["device gap", "queue", "disk"]
"""Why a frame is not there: the camera did not give it, the writing had fallen behind, the disk did not take it."""
_TOLD: Final = "frames lost so far: "
_BY: Final = "capture "
_REASON = re.compile(rf"({'|'.join(get_args(Loss))}) (\d{{1,15}})")


def losses(lost: Mapping[Loss, int] | Mapping[str, int]) -> str:
    """``12 (device gap 10, queue 2)``."""
    order = [*get_args(Loss), *lost]
    parts = ", ".join(f"{reason} {n}" for reason, n in sorted(lost.items(), key=lambda item: order.index(item[0])))
    return f"{sum(lost.values())} ({parts})" if parts else "0"


def loss_event(t: float, camera: str, lost: Mapping[Loss, int]) -> Event:
    """The event that tells what a camera has lost up to a time, monotonic seconds."""
    return Event(t, f"{_BY}{camera}", f"{_TOLD}{losses(lost)}")


def told_losses(events: Iterable[Event]) -> dict[str, dict[Loss, int]]:
    """What the last such event of each camera tells; nothing of a camera that lost nothing."""
    told: dict[str, dict[Loss, int]] = {}
    reasons: tuple[Loss, ...] = get_args(Loss)
    for event in events:
        if event.source.startswith(_BY) and event.text.startswith(_TOLD):
            found = dict(_REASON.findall(event.text))
            told[event.source.removeprefix(_BY)] = {reason: int(found[reason]) for reason in reasons if reason in found}
    return told
