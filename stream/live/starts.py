"""Where the times of several files begin: what their writers add out of habit is taken off, and said."""

from collections.abc import Mapping, Sequence

from stream.sources import SourceInfo

_SAME_S = 0.004
"""Times this near to each other are one: they are rounded to milliseconds."""
_TOLD_FRAMES = 1.5
"""Clocks that begin anywhere are named where they begin further apart than so many frames."""


def common_starts(infos: Sequence[SourceInfo], asked: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """What to add to the times of each file, so that a recording begins at the same time in every container.

    A transport stream's clock begins anywhere (with FFmpeg at 1.4 s); MP4 in fragments and FLV begin late by the frames
    that B-frames hold back. Between files of one kind nothing is changed: their clocks may be one.

    Args:
        infos: of the sources, open.
        asked: seconds by camera that the user gave with ``--sync-offset``; if there are any, they are all that is done.

    Returns:
        Seconds by camera, and lines for the user.
    """
    starts = {info.name: info.start for info in infos if info.start is not None and not info.live}
    if len(starts) < 2 or asked:
        return {}, []
    habits = {name: start.habit for name, start in starts.items()}
    if max(habits.values()) - min(habits.values()) <= _SAME_S:
        return {}, []
    if len({start.format for start in starts.values()}) == 1 and min(map(abs, habits.values())) > _SAME_S:
        return {}, _apart(infos, habits)
    moved = {name: -habit for name, habit in habits.items() if abs(habit) > _SAME_S}
    lines = [
        f"{name}: its times begin at {starts[name].t:.3f} s, {habits[name]:.3f} s of which is a habit of its container "
        f"({starts[name].format}) and taken off; --sync-offset {name}=0 keeps it"
        for name in moved
    ]
    return moved, lines


def _apart(infos: Sequence[SourceInfo], habits: Mapping[str, float]) -> list[str]:
    """Lines for files whose clocks begin anywhere, which may be one clock or not."""
    first, *_ = habits
    frame = max((1 / info.fps for info in infos if info.fps), default=1 / 30)
    lines = []
    for name, habit in habits.items():
        late = habit - habits[first]
        if abs(late) > _TOLD_FRAMES * frame:
            lines.append(
                f"{name}: begins {abs(late):.2f} s {'later' if late > 0 else 'earlier'} than {first} by its container; "
                f"if they were started together: --sync-offset {name}={-late:.4f}"
            )
    return lines
