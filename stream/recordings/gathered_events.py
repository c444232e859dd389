"""The events of several takes as one list: those that several of them have, once; each said by whom."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from stream.recordings.captured import ENDED
from stream.recordings.losses import loss_event, told_losses
from stream.types import Event

_APART_S: Final = 0.1
"""Two takes tell of one event at times that differ by less."""
_BEGUN: Final = ("capture", "start")


def gathered_events(parts: Sequence[tuple[str, Sequence[Event]]], common: str, captured: bool) -> list[Event]:
    """All of them in order of time.

    Args:
        parts: whose clock each take has (empty where nobody knows), and its events at common times; the first one's
            words count where several tell of the same.
        common: whose clock the common one is.
        captured: whether the result holds captures alone, which tell by events when they ended and what they lost.
    """
    clocks = [*(clock for clock, _ in parts if clock), *([common] if common else [])]
    kept: list[tuple[str, Event]] = []
    times: dict[tuple[str, str], list[float]] = {}
    for clock, events in parts:
        for event in events:
            if captured and _of_captures(event):
                continue
            whole = _named(event, clock, clocks)
            there = times.setdefault((whole, event.text), [])
            if not any(abs(t - event.t) < _APART_S for t in there):
                there.append(event.t)
                kept.append((whole, event))
    shown = [replace(event, source=name.removeprefix(f"{common}: ") if common else name) for name, event in kept]
    if captured:
        shown += _captures([events for _, events in parts])
    return sorted(shown, key=lambda event: event.t)


def _named(event: Event, clock: str, clocks: Iterable[str]) -> str:
    """Its source, with the computer on which it happened."""
    told = any(event.source == other or event.source.startswith(f"{other}: ") for other in clocks)
    return event.source if told or not clock else f"{clock}: {event.source}"


def _of_captures(event: Event) -> bool:
    return (event.source, event.text) in (ENDED, _BEGUN) or bool(told_losses([event]))


def _captures(takes: Sequence[Sequence[Event]]) -> list[Event]:
    """When they began and ended, and what was lost in each camera, over all of them."""
    begun = [e for events in takes for e in events if (e.source, e.text) == _BEGUN]
    ended = [e for events in takes for e in events if (e.source, e.text) == ENDED]
    found = [min(begun, key=lambda event: event.t)] if begun else []
    before: dict[str, dict[str, int]] = {}
    for events in takes:
        for event in events:
            for camera, lost in told_losses([event]).items():
                base = before.get(camera, {})
                found.append(loss_event(event.t, camera, {k: n + base.get(k, 0) for k, n in lost.items()}))
        for camera, lost in told_losses(events).items():
            base = before.get(camera, {})
            before[camera] = {**base, **{k: n + base.get(k, 0) for k, n in lost.items()}}
    captures = [events for events in takes if any((e.source, e.text) == _BEGUN for e in events)]
    if ended and len(ended) == len(captures):
        found.append(max(ended, key=lambda event: event.t))
    return found
