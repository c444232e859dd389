"""The takes of several computers as one, on one clock: ``python -m stream gather``.

There is one take whose estimates go into it, that of whoever fused, or none; images are those of every take that has
them; events are everybody's. Takes are copied and never changed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np

from stream.recordings.common_time import Shift, common_time
from stream.recordings.gathered_frames import FrameColumns, frame_columns
from stream.recordings.reading import fault_line
from stream.recordings.replay import read_clocks
from stream.recordings.run_info import NODE, CameraInfo, RunInfo
from stream.recordings.schema import FRAMES, MOMENTS, array_of
from stream.recordings.segments import Span, segments
from stream.recordings.takes import Take
from stream.types import StreamError

FEWEST: Final = 2


@dataclass(eq=False)
class Part:
    """One of the takes."""

    take: Take
    shift: Shift
    clock: str
    """Whose its times are; empty where nobody knows."""
    fuses: bool
    """Whether its estimates go into the result."""
    frames: dict[str, FrameColumns] = field(default_factory=dict)
    """Its images by camera, at common times; none of cameras without."""
    faults: dict[tuple[str, int], Span] = field(default_factory=dict)

    def fault(self, span: Span) -> None:
        """Something of it cannot be read."""
        self.faults[span.segment, span.offset] = span

    @cached_property
    def span(self) -> tuple[float, float] | None:
        """Common seconds of the first and the last it has; None where it has nothing."""
        times = [one.time for one in self.frames.values() if len(one.time)]
        if self.fuses:
            times += [t for b in self.take.batches(MOMENTS, self.fault) if len(t := self.shift(array_of(b, "time")))]
        return (min(float(t.min()) for t in times), max(float(t.max()) for t in times)) if times else None


@dataclass(eq=False)
class Plan:
    """What the result will be."""

    parts: list[Part]
    info: RunInfo
    """Its header."""
    common: str
    """Whose clock its times are of; empty of files."""

    @property
    def fusing(self) -> Part | None:
        """The part whose estimates it has."""
        return next((part for part in self.parts if part.fuses), None)

    def lines(self, images: Mapping[tuple[int, str], int]) -> list[str]:
        """What is to be said of it, a line a take.

        Args:
            images: by the number of the part and the camera, how many were copied.
        """
        return list(_told(self.parts, images))

    def fault_lines(self) -> list[str]:
        """What could not be read so far, a line each."""
        return [f"{part.take.folder}: {fault_line(f)}" for part in self.parts for f in part.faults.values()]


def plan(takes: Sequence[Take], offsets: Mapping[str, float]) -> Plan:
    """See what can be made of takes.

    Args:
        takes: two or more.
        offsets: by the name of a camera, seconds to be added to the times of its take.

    Raises:
        StreamError: if they do not belong together; the line says why.
    """
    _check_given(takes)
    fusing = _fusing(takes)
    if not any(segments(take.folder, FRAMES) for take in takes):
        raise StreamError(_nothing(takes, fusing))
    given = _offsets(takes, fusing, offsets)
    shifts, common = common_time(takes, fusing, given)
    parts = []
    for k, (take, shift) in enumerate(zip(takes, shifts, strict=True)):
        part = Part(take, shift, _clock(take), k == fusing)
        part.frames = frame_columns(take, shift, part.fault)
        parts.append(part)
    if not any(part.frames for part in parts):
        raise StreamError(_nothing(takes, fusing))
    _check_overlap(parts)
    _check_names(parts)
    return Plan(parts, _header(parts, common), common)


def _check_given(takes: Sequence[Take]) -> None:
    if len(takes) < FEWEST:
        raise StreamError("give two takes or more; one is gathered already")
    folders = [take.folder.resolve() for take in takes]
    if twice := [folder for folder, count in Counter(folders).items() if count > 1]:
        raise StreamError(f"{twice[0]} is given twice")


def _fusing(takes: Sequence[Take]) -> int | None:
    """The number of the take of whoever fused."""
    found = [
        k for k, take in enumerate(takes)
        if not take.captured and any(camera.source.startswith(NODE) for camera in take.run_info.cameras)
    ]  # fmt: skip
    if len(found) > 1:
        names = " and ".join(str(takes[k].folder) for k in found[:2])
        raise StreamError(f"{names} are both of a computer that fused, and a take has one of them; leave one out")
    return found[0] if found else None


def _offsets(takes: Sequence[Take], fusing: int | None, offsets: Mapping[str, float]) -> dict[int, float]:
    """The offsets by the number of the take."""
    found: dict[int, float] = {}
    names = [[camera.name for camera in take.run_info.cameras] for take in takes]
    for name, seconds in offsets.items():
        at = [k for k, theirs in enumerate(names) if name in theirs and k != fusing]
        if not at:
            known = ", ".join(dict.fromkeys(n for k, theirs in enumerate(names) for n in theirs if k != fusing))
            raise StreamError(f"--offset {name}: no take has a camera of that name to be moved; there are: {known}")
        for k in at:
            if found.setdefault(k, seconds) != seconds:
                raise StreamError(f"--offset {name}: another one is given for a camera of the same take; give one")
    return found


def _clock(take: Take) -> str:
    return next((reading.clock for reading in read_clocks(take)), "")


def _nothing(takes: Sequence[Take], fusing: int | None) -> str:
    if fusing is not None:
        return (
            f"none of them holds images (--capture, --record --record-video), and the estimates of all cameras are in "
            f"{takes[fusing].folder} already"
        )
    return (
        f"none of them holds images, and the estimates of {takes[0].folder} and {takes[1].folder} were made apart: "
        "their people and poses have nothing to do with each other; give takes of --capture or --record-video, or that "
        "of the computer that fused"
    )


def _check_overlap(parts: Sequence[Part]) -> None:
    spans = [(part, span) for part in parts if (span := part.span) is not None]
    for part, (first, last) in spans:
        others = [(other, span) for other, span in spans if other is not part]
        if others and not any(first <= end and begin <= last for _, (begin, end) in others):
            other, (begin, end) = min(others, key=lambda one: max(one[1][0] - last, first - one[1][1]))
            when = (
                f"begins {first - end:.1f} s after the end"
                if first > end
                else f"ends {begin - last:.1f} s before the start"
            )
            raise StreamError(
                f"{part.take.folder} has no time in common with another one: it {when} of {other.take.folder}; are "
                "these takes of one recording? --offset moves one"
            )


def _check_names(parts: Sequence[Part]) -> None:
    """Refuse two cameras of one name; one that goes on in another take, as after a restart, is one with numbers of its
    frames that go on.
    """
    seen: dict[str, list[Part]] = {}
    for part in parts:
        for name in part.frames:
            seen.setdefault(name, []).append(part)
    for name, those in seen.items():
        ordered = sorted(those, key=lambda part: part.frames[name].time[0])
        for before, after in zip(ordered, ordered[1:], strict=False):
            pair = f"camera {name} is in both {before.take.folder} and {after.take.folder}"
            if after.frames[name].time[0] <= before.frames[name].time[-1]:
                raise StreamError(f"{pair}, at the same time: two cameras of a group have two names; leave one out")
            one, two = _camera(before.take, name), _camera(after.take, name)
            if one.size != two.size or (one.serial and two.serial and one.serial != two.serial):
                raise StreamError(f"{pair}, and it is not the same one (size or serial number); leave one out")
            later = after.frames[name]
            later.index += max(int(before.frames[name].index.max()) + 1 - int(later.index.min()), 0)


def _camera(take: Take, name: str) -> CameraInfo:
    return next(camera for camera in take.run_info.cameras if camera.name == name)


def _rotation(take: Take, name: str) -> int:
    settings = take.run_info.settings.get("capture", {})
    rotate = settings.get("rotate", {}) if isinstance(settings, dict) else {}
    degrees = rotate.get(name, 0) if isinstance(rotate, dict) else 0
    return degrees if degrees in (90, 180, 270) else 0


def _header(parts: Sequence[Part], common: str) -> RunInfo:
    fusing = next((part for part in parts if part.fuses), None)
    of = {
        part.take.folder.name if [p.take.folder.name for p in parts].count(part.take.folder.name) == 1
        else str(part.take.folder): [float(np.mean(part.shift.ahead)), float(part.shift.within)]
        for part in parts
    }  # fmt: skip
    gather = {"clock": common, "takes": {name: [_or_none(v) for v in values] for name, values in of.items()}}
    cameras: dict[str, CameraInfo] = {}
    if fusing is not None:
        cameras = {camera.name: camera for camera in fusing.take.run_info.cameras}
        _check_turned(parts, cameras)
    for part in parts:
        for name in part.frames:
            cameras.setdefault(name, _camera(part.take, name))
    known = tuple(cameras.values())
    if fusing is not None:
        info = fusing.take.run_info
        return replace(info, cameras=known, settings={**info.settings, "gather": gather})
    first = min((part for part in parts if part.frames), key=lambda part: (part.span or (0.0, 0.0))[0])
    info, begun = first.take.run_info, (first.span or (0.0, 0.0))[0]
    if np.isfinite(info.unix_offset):
        since = begun - float(first.shift(np.array([info.start_monotonic]))[0])
    else:  # files have no time of day
        since, begun = 0.0, info.start_monotonic
    return RunInfo(
        cameras=known,
        kernels=1,
        start_utc=info.start_utc + timedelta(seconds=since),
        start_monotonic=begun,
        fps=max((part.take.run_info.fps or 0.0 for part in parts), default=0.0) or None,
        software=info.software,
        settings={"capture": _captured(parts), "gather": gather},
    )


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _check_turned(parts: Sequence[Part], cameras: Mapping[str, CameraInfo]) -> None:
    """Refuse images that are turned another way than the estimates beside them."""
    for part in parts:
        for name in part.frames if not part.fuses else ():
            size, of = _camera(part.take, name).size, cameras[name].size if name in cameras else None
            degrees = _rotation(part.take, name)
            if degrees or (size and of and size != of):
                how = f"turned by {degrees} degrees" if degrees else f"{_shape(size)} large"
                raise StreamError(
                    f"{part.take.folder}: the images of {name} are stored as they came, {how}, and the estimates are "
                    f"of images of {_shape(of)}; leave out the take of the computer that fused, and estimate them anew "
                    "(--from-take)"
                )


def _shape(size: tuple[int, int] | None) -> str:
    return "a size that is not known" if size is None else f"{size[0]}x{size[1]}"


def _captured(parts: Sequence[Part]) -> dict[str, Any]:
    """What the header says of the captures, of all of them."""
    merged: dict[str, Any] = {"codec": "", "coding": {}, "rotate": {}, "controls": {}}
    for part in parts:
        settings = part.take.run_info.settings.get("capture", {})
        for key, value in settings.items() if isinstance(settings, dict) else ():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] |= {name: one for name, one in value.items() if name in part.frames}
            elif not merged.get(key):
                merged[key] = value
    return merged


def _told(parts: Sequence[Part], images: Mapping[tuple[int, str], int]) -> Iterator[str]:
    begin = min((span[0] for part in parts if (span := part.span) is not None), default=0.0)
    fusing = any(part.fuses for part in parts)
    for k, part in enumerate(parts):
        span, moved = part.span, float(np.mean(part.shift.ahead))
        when = "" if span is None else f", from {span[0] - begin:.3f} to {span[1] - begin:.3f} s"
        clock = f"its clock moved by {moved:+.6f} s" if moved else "at its own times"
        if moved or not part.fuses:
            sure = part.shift.within
            clock += f", known to {1e3 * sure:.1f} ms" if np.isfinite(sure) and sure > 0 else ""
        if part.frames:
            what = "images of " + ", ".join(f"{name} {images.get((k, name), 0)}" for name in part.frames)
        else:
            what = "no images"
        estimates = not part.take.captured
        more = ", and its estimates" if part.fuses else ""
        if estimates and not part.fuses:
            other = "the computer that fused has those of all cameras" if fusing else "they were made apart"
            more = f"; its estimates are left out: {other}"
        yield f"{part.take.folder}: {what}{when}, {clock}{more}"
