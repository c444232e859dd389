"""What a capture holds: frames a camera, how long, and what is missing between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from calibration.arrays import Array
from stream.recordings.gaps import GapCounter
from stream.recordings.replay import read_events, where
from stream.recordings.schema import FRAMES
from stream.recordings.takes import Take
from stream.types import StreamError


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
    _newest: int | None = None

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
    cameras = {camera.name: Held() for camera in take.run_info.cameras}
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


def captured_lines(take: Take) -> Iterator[str]:
    """What to tell the user of a capture: a line a camera, and the events."""
    for name, found in held(take).items():
        if found.first is None or found.last is None:
            yield f"{name}: no frames"
            continue
        long = found.last - found.first
        rate = f", {(found.frames - 1) / long:.2f} a second" if long > 0 else ""
        lost = [f"{found.gaps.missing} not given by the camera"] if found.gaps.missing else []
        lost += [f"{found.unwritten} not written"] if found.unwritten else []
        yield f"{name}: {found.frames} frames in {long:.3f} s{rate}; missing: {', '.join(lost) or 'none'}"
    start = take.run_info.start_monotonic
    yield from (f"event at {event.t - start:.2f} s: {event.source}: {event.text}" for event in read_events(take))


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
