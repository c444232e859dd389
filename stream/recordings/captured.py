"""What a capture holds: frames a camera, how long, and what is missing between them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibration.arrays import Array
from stream.recordings.gaps import GapCounter
from stream.recordings.losses import Loss, losses, told_losses
from stream.recordings.replay import read_events, where
from stream.recordings.schema import FRAMES
from stream.recordings.takes import Take
from stream.recordings.video_files import size_of
from stream.types import StreamError

ENDED: Final = ("capture", "end")
"""Source and text of the event that ends a capture."""


@dataclass(eq=False)
class Held:
    """The frames of one camera."""

    frames: int = 0
    """On disk, by the table."""
    first: float | None = None
    """Seconds."""
    last: float | None = None
    """Seconds."""
    unwritten: int = 0
    """Frames that came and were not written, by their numbers."""
    gaps: GapCounter = field(default_factory=GapCounter)
    """Frames that the camera did not give, by their times."""
    told: Mapping[Loss, int] = field(default_factory=dict)
    """Frames lost by reason, as the events tell."""
    ended: bool = False
    """Whether the events tell all of it: the capture was ended and not killed."""
    _newest: int | None = None

    @property
    def lost(self) -> dict[str, int]:
        """Frames that are missing from the start of the capture to its end, by reason.

        Of one that was killed, the last second is told by the table alone, which knows no more of a frame that came
        than that it is not there.
        """
        lost = Counter[str]({str(reason): count for reason, count in self.told.items()})
        untold = 0 if self.ended else max(max(self.gaps.missing, self.unwritten) - lost.total(), 0)
        unwritten = min(untold, max(self.unwritten - lost["queue"] - lost["disk"], 0))
        lost += Counter({"not written": unwritten, "device gap": untold - unwritten})
        return dict(+lost)

    def add(self, index: int, t: float, arrival: float, device_t: float) -> None:
        """The next frame."""
        self.frames += 1
        self.first = t if self.first is None else self.first
        self.last = t
        if self._newest is not None:
            self.unwritten += max(index - self._newest - 1, 0)
        self._newest = index
        if not np.isnan(arrival):
            self.gaps.add(arrival, None if np.isnan(device_t) else device_t)


def held(take: Take) -> dict[str, Held]:
    """What there is of each camera, by name."""
    events = list(read_events(take))
    told, ended = told_losses(events), any((event.source, event.text) == ENDED for event in events)
    cameras = {c.name: Held(told=told.get(c.name, {}), ended=ended) for c in take.run_info.cameras}
    for batch in take.batches(FRAMES):
        for name, found in cameras.items():
            rows = where(batch, "camera", name)
            columns = (rows.column(c).to_pylist() for c in ("frame_index", "time", "arrival", "device_time"))
            for row in zip(*columns, strict=True):
                found.add(*row)
    return cameras


def frame_times(take: Take, camera: str) -> Array:
    """(F,) seconds at which the images of a camera were taken, in order."""
    rows = [where(batch, "camera", camera).column("time").to_numpy() for batch in take.batches(FRAMES)]
    return np.sort(np.concatenate(rows or [np.empty(0)]))


def image_sizes(take: Take) -> dict[str, dict[tuple[int, int], int]]:
    """How many images of which width and height each camera gave, in the order in which they came."""
    files: dict[str, Counter[str]] = {}
    for batch in take.batches(FRAMES):
        for camera, file in zip(batch.column("camera").to_pylist(), batch.column("file").to_pylist(), strict=True):
            files.setdefault(camera, Counter())[file] += 1
    found: dict[str, dict[tuple[int, int], int]] = {}
    for camera, counts in files.items():
        sizes = found.setdefault(camera, {})
        for file, count in counts.items():
            if (size := size_of(take.folder / file)) is not None:
                sizes[size] = sizes.get(size, 0) + count
    return found


def captured_lines(take: Take) -> Iterator[str]:
    """What to tell the user of a capture: a line a camera, and the events."""
    sizes = image_sizes(take)
    for name, found in held(take).items():
        if found.first is None or found.last is None:
            yield f"{name}: no frames; lost {losses(found.lost)}"
            continue
        long = found.last - found.first
        rate = f", {(found.frames - 1) / long:.2f} a second" if long > 0 else ""
        yield f"{name}: {found.frames} frames in {long:.3f} s{rate}; lost {losses(found.lost)}"
        if len(sizes.get(name, {})) > 1:
            each = ", ".join(f"{count} of {width}x{height}" for (width, height), count in sizes[name].items())
            yield f"{name}: it changed its size: {each}; --from-take leaves out those of another size than the first"
    yield from event_lines(take)


def event_lines(take: Take) -> Iterator[str]:
    """The events of a take, a line each, in seconds from its start."""
    start = take.run_info.start_monotonic
    yield from (f"event at {event.t - start:z.2f} s: {event.source}: {event.text}" for event in read_events(take))


def frame_lines(take: Take) -> Iterator[str]:
    """Every frame of a capture, a line each, in the order in which they came; seconds are those since it began."""
    start = take.run_info.start_monotonic
    for batch in take.batches(FRAMES):
        columns = (batch.column(name).to_pylist() for name in ("camera", "frame_index", "time", "file", "number"))
        for camera, index, t, file, number in zip(*columns, strict=True):
            yield f"{index:6d} {t - start:10.3f} s  {camera}: {file}, image {number}"


def must_hold_estimates(take: Take) -> None:
    """Refuse a capture where estimates are wanted.

    Raises:
        StreamError: with what makes them.
    """
    if take.captured:
        cameras = ", ".join(f"{name} {found.frames}" for name, found in held(take).items())
        raise StreamError(
            f"{take.folder} holds frames of cameras ({cameras}) and no estimates: "
            f"python run_stream.py --from-take {take.folder} --record DIR makes them"
        )
