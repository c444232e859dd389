"""What a take holds, in lines for a person."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from calibration.text import one_line
from stream.recordings.captured import captured_lines, event_lines
from stream.recordings.common_time import shift_of
from stream.recordings.people import People
from stream.recordings.recover import check
from stream.recordings.replay import read_clocks
from stream.recordings.schema import ESTIMATES, FRAMES, MOMENTS, STREAMS
from stream.recordings.segments import segments
from stream.recordings.takes import Take, holds, open_take
from stream.types import ClockReading, StreamError
from stream.words import number_of


def is_take(path: Path) -> bool:
    """Whether a folder is a take, or holds takes."""
    return holds(path, ESTIMATES, FRAMES)


def inspect_take(path: Path) -> Iterator[str]:
    """Cameras, frame sets, people, duration, networks and faults.

    Raises:
        StreamError: if there is no take, or it cannot be read.
    """
    take = open_take(path)
    info = take.run_info
    begun = f"{info.start_utc:%Y-%m-%d %H:%M:%S} UTC"
    what = "frames as the cameras gave them, no estimates" if take.captured else "a take"
    yield f"{take.folder}: {what}, version {take.version}, begun {begun} by {info.software}"
    for camera in info.cameras:
        size = "size not known" if camera.size is None else f"{camera.size[0]}x{camera.size[1]}"
        lens = f"lens assumed, {camera.fov_degrees:g} degrees" if camera.fov_degrees is not None else "calibrated"
        if camera.calibration is None and camera.fov_degrees is None:
            lens = "lens not stated"
        yield f"  camera {camera.name}: {camera.source} ({camera.kind}), {size}, {lens}"
    yield from (f"  {line}" for line in _clocks(take))
    if take.captured:
        yield from (f"  {line}" for line in captured_lines(take))
        yield from (f"  {line}" for line in _faults(take))
        yield f"python run_stream.py --from-take {take.folder} --record DIR makes estimates of it"
        return
    if info.refined:
        of = info.settings.get("refine")
        yield f"  refined from take {of.get('take', 'not known') if isinstance(of, dict) else 'not known'}"
    yield from (f"  {line}" for line in _contents(take))
    with suppress(StreamError):  # what cannot be read is among the faults
        yield from (f"  {line}" for line in (*_images(take), *event_lines(take)))
    for name, said in info.detectors.items():
        runtime = said.get("runtime", "not known")
        joint = ", " if runtime.startswith("not") else " on "
        yield f"  detector {name}: {said.get('model') or 'no weights'}{joint}{runtime}"
    runtime = info.runtime or "what is not known"
    kernels = number_of(info.kernels, "hypothesis", "hypotheses")
    over_time = f", and {info.lifter['temporal']} on the frames before" if "temporal" in info.lifter else ""
    yield f"  lifter: {info.lifter.get('model', 'not known')} on {runtime}, {kernels}{over_time}"
    yield from (f"  {line}" for line in _faults(take))


def _clocks(take: Take) -> Iterator[str]:
    """How far other computers' clocks were, and of which takes it was gathered."""
    of: dict[tuple[str, str], list[ClockReading]] = {}
    for reading in read_clocks(take):
        of.setdefault((reading.clock, reading.other), []).append(reading)
    for (clock, other), readings in of.items():
        shift, count = shift_of(readings), number_of(len(readings), "reading")
        ahead, within = float(np.mean(shift.ahead)), 1e3 * shift.within
        how = "ahead of" if ahead >= 0 else "behind"
        yield f"clock of {other}: {abs(ahead):.6f} s {how} that of {clock}, known to {within:.1f} ms ({count})"
    gathered = take.run_info.settings.get("gather")
    takes = gathered.get("takes") if isinstance(gathered, dict) else None
    if isinstance(takes, dict):
        yield f"gathered from {', '.join(one_line(str(name), 100) for name in takes)}"


def _contents(take: Take) -> Iterator[str]:
    """Frame sets, people and who saw them."""
    count, last, first_t, last_t, gaps = 0, None, None, None, 0
    fused: Counter[str] = Counter()
    everybody = People()
    for batch in take.batches(MOMENTS):
        everybody.add(MOMENTS, batch)
        rows = batch.select(["moment", "time", "missed_before", "pose_method", "fused"]).to_pylist()
        for row in rows:
            if row["moment"] != last:
                count, last = count + 1, row["moment"]
                gaps += max(row["missed_before"], 0)
            first_t, last_t = row["time"] if first_t is None else first_t, row["time"]
            if row["fused"]:
                fused[row["pose_method"]] += 1
    long = 0.0 if first_t is None or last_t is None else last_t - first_t
    yield f"frame sets: {count} in {long:.3f} s" + (f", {gaps} more were not recorded" if gaps else "")
    views: Counter[str] = Counter()
    for batch in take.batches(ESTIMATES):
        everybody.add(ESTIMATES, batch)
        views.update(batch.column("detector").filter(batch.column("person")).to_pylist())
        time = batch.column("moment_time")
        first_t = time[0].as_py() if first_t is None and len(time) else first_t
    by = ", ".join(f"{name} in {number_of(n, 'view')}" for name, n in views.most_common())
    yield f"people: {len(everybody.by_id)}" + (f", found by {by}" if by else "")
    yield from _people(everybody, count, first_t or 0.0)
    if fused:
        yield "fused: " + ", ".join(f"{name} {n}" for name, n in fused.most_common())


def _images(take: Take) -> Iterator[str]:
    """How many images of each camera are there."""
    images: Counter[str] = Counter()
    for batch in take.batches(FRAMES) if segments(take.folder, FRAMES) else ():
        images.update(batch.column("camera").to_pylist())
    if images:
        yield "images: " + ", ".join(f"{name} {n}" for name, n in sorted(images.items()))


def _people(everybody: People, moments: int, first_t: float) -> Iterator[str]:
    """Everybody: how often they are seen, from when to when, by which cameras."""
    for person_id, there in sorted(everybody.by_id.items()):
        who = f"person {person_id}" if person_id >= 0 else "people who are not told apart"
        cameras = ", ".join(f"{name} {n}" for name, n in sorted(there.views.items()))
        fused = f", fused in {there.fused}" if there.fused else ""
        times = f"from {there.first - first_t:.3f} to {there.last - first_t:.3f} s"
        of = f" of {number_of(moments, 'moment')}" if moments else ""
        yield f"  {who}: seen in {there.moments}{of} {times}{fused}" + (f"; frames: {cameras}" if cameras else "")


def _faults(take: Take) -> Iterator[str]:
    """What `recover` finds of the tables."""
    found = False
    for stream in STREAMS:
        if not segments(take.folder, stream):
            if stream in take.streams:
                found = True
                yield f"fault: {stream} are missing"
            continue
        try:
            report = check(take, stream)
        except StreamError as error:
            found = True
            yield f"fault: {error}"
            continue
        lost = [f"{span.segment} is {span.state}" for span in report.faults]
        lost += [f"{number_of(report.unverified, 'row')} that no journal vouches for"] if report.unverified else []
        lost += [] if report.closed else ["it was not closed"]
        found = found or bool(lost)
        yield from (f"fault: {stream}: {what}" for what in lost)
    yield "python -m stream recover says more, and copies what is good" if found else "faults: none"
