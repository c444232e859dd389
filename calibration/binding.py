"""Which camera is which.

Two identical webcams change places when a computer starts. So a source is bound to its entry of the calibration by
the name the user gave, else by serial number or device path, else by the name of its file, and only then by order,
which is said aloud and done for two cameras at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.names import name_in_file, number_of, same_name
from calibration.text import word
from calibration.types import Calibration

BINDINGS: Final = ("auto", "order")
"""What ``--bind`` may say."""


@dataclass(frozen=True, slots=True)
class SourceId:
    """What is known of a source before it is bound."""

    source: str
    """As the user gave it, without passwords: index, path, URL."""
    name: str | None = None
    """The name the user gave (``NAME=SOURCE``), or None. Never a name made up from a device number."""
    device: str | None = None
    """Device path, when it is a local camera and the system tells."""
    serial: str | None = None
    """Serial number, when the system tells."""
    files: tuple[str, ...] = ()
    """What its files are called, without their extensions, and then its folder; () for what is no file."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """The calibration's cameras in the order of the sources."""

    cameras: tuple[Camera, ...]
    """One a source, named as in the calibration."""
    by: tuple[str, ...]
    """One a source: "name", "serial", "device", "file" or "order"."""
    warnings: tuple[str, ...]
    """Lines to show to the user."""
    notes: tuple[str, ...] = ()
    """Lines that are no warnings: what was found by the names of files."""


def bind(calibration: Calibration, sources: Sequence[SourceId], how: str = "auto") -> Binding:
    """Find the calibration of every source.

    By the name that the user gave, by serial number, by device path, by the names of files. What is left is taken by
    order where there are two cameras at most, or where the user says so: eleven files sorted as text (1, 10, 11, 2)
    would all be wrong.

    Args:
        calibration: the cameras.
        sources: what is known of each.
        how: "auto", or "order" for all that have no name by their order.

    Raises:
        CalibrationError: for a device given twice, a name that has no entry, two sources with one entry, a source left
            without an entry, entries left over that make the order ambiguous, or an order that serials contradict.
    """
    if how not in BINDINGS:
        raise CalibrationError(f"--bind {how}: there are {', '.join(BINDINGS)}")
    _no_source_twice(sources)
    entry: list[int | None] = [None] * len(sources)
    by = ["order"] * len(sources)
    warnings: list[str] = []
    free = set(range(len(calibration.cameras)))
    for stage in ("name",) if how == "order" else ("name", "serial", "device", "file"):
        for i, source in enumerate(sources):
            if entry[i] is not None:
                continue
            match = _match(calibration, source, stage, sources)
            if match is None:
                continue
            if match not in free:
                other = sources[entry.index(match)].source
                raise CalibrationError(
                    f"cameras {other} and {source.source} are both {calibration.names[match]!r} in the calibration; "
                    "give each its own name: --camera NAME=SOURCE"
                )
            free.remove(match)
            entry[i], by[i] = match, stage
            warnings += _doubts(calibration, source, match, stage)
    rest = [i for i, found in enumerate(entry) if found is None]
    left = sorted(free)
    _check_order(calibration, sources, rest, left, how)
    for i, k in zip(rest, left, strict=False):
        entry[i] = k
        _same_device(calibration, sources[i], k)
        why = "as --bind order says" if how == "order" else "by its order alone"
        if how != "order" and len(sources) > 2:
            why = "the only one left"
        warnings.append(
            f"camera {sources[i].source} is taken to be {calibration.names[k]!r}, {why}; "
            f"make sure with --camera {word(f'{calibration.names[k]}={sources[i].source}')}"
        )
    if not rest and left:
        names_left = ", ".join(calibration.names[k] for k in left)
        warnings.append(f"the calibration also has {names_left}: not among the cameras, left out")
    chosen = [k for k in entry if k is not None]
    ends = [PurePath(source.source).name for source in sources]
    files = [
        f"{end if len(set(ends)) == len(ends) else source.source} = {calibration.names[k]}"
        for source, end, k, stage in zip(sources, ends, chosen, by, strict=True)
        if stage == "file"
    ]
    notes = (f"cameras by the names of their files: {', '.join(files)}",) if files else ()
    return Binding(tuple(calibration.cameras[k] for k in chosen), tuple(by), tuple(warnings), notes)


def _check_order(
    calibration: Calibration, sources: Sequence[SourceId], rest: Sequence[int], left: Sequence[int], how: str
) -> None:
    """Whether what is left may be taken in its order."""
    if not rest:
        return
    given, names = ", ".join(sources[i].source for i in rest), ", ".join(calibration.names[k] for k in left)
    if len(rest) > len(left):
        there = ", ".join(calibration.names)
        raise CalibrationError(
            f"no calibration for camera {sources[rest[len(left)]].source}: {_given(sources)}the calibration has {there}"
        )
    example = word(f"{calibration.names[left[0]]}={sources[rest[0]].source}")
    if len(left) > len(rest):
        raise CalibrationError(
            f"which is which? Given without a name that is known: {given}; the calibration has more cameras left: "
            f"{names}; say which is which: --camera {example}"
        )
    if how == "order":
        return
    if len(sources) > 2 and len(rest) > 1:
        raise CalibrationError(
            f"which is which? Given without a name that is known: {given}; the calibration has {names}; give each its "
            f"name: --camera {example}, or --bind order takes them in this order"
        )
    for i, k in zip(rest, left, strict=True):
        numbers = {number for name in sources[i].files if (number := number_of(name)) is not None}
        wanted = number_of(calibration.names[k])
        if wanted is not None and numbers and wanted not in numbers:
            raise CalibrationError(
                f"{given} and what the calibration has left, {names}, do not go together by their numbers; give each "
                f"its name: --camera {example}, or --bind order takes them in this order"
            )


def _no_source_twice(sources: Sequence[SourceId]) -> None:
    for i, source in enumerate(sources):
        for other in sources[:i]:
            # Not by their texts: without its passwords, one recorder's address is the same for all its channels.
            if source.device is not None and source.device == other.device:
                raise CalibrationError(f"camera {source.source} is given twice; leave one out")
            if source.name is not None and source.name == other.name:
                raise CalibrationError(f"two cameras are named {source.name!r}; give each its own name")


def _match(calibration: Calibration, source: SourceId, how: str, sources: Sequence[SourceId]) -> int | None:
    if how == "name":
        return None if source.name is None else _named(calibration, source.name, sources)
    if how == "file":
        match = _by_file(calibration, source, sources)
        if match is not None and match >= len(calibration.cameras):
            raise _unplaced(calibration.lenses[match - len(calibration.cameras)].name)
        return match
    mine = source.serial if how == "serial" else source.device
    theirs = calibration.serials if how == "serial" else calibration.devices
    # Cheap webcams share one serial number: one that occurs twice identifies nobody.
    if mine is None or theirs.count(mine) != 1 or (how == "serial" and sum(s.serial == mine for s in sources) > 1):
        return None
    return theirs.index(mine)


def _named(calibration: Calibration, name: str, sources: Sequence[SourceId]) -> int:
    """The entry of a name that the user gave."""
    match = same_name(name, calibration.names)
    if match is not None:
        return match
    if same_name(name, [lens.name for lens in calibration.lenses]) is not None:
        raise _unplaced(name)
    number = number_of(name)
    several = [one for one in calibration.names if number is not None and number_of(one) == number]
    which = f" may be {' or '.join(several)}" if len(several) > 1 else ""
    raise CalibrationError(
        f"no calibration for camera {name!r}{':' if which else ''}{which}; {_given(sources)}the calibration has "
        f"{', '.join(calibration.names)}"
    )


def _given(sources: Sequence[SourceId]) -> str:
    """All that were given, where that is more than the one of which a message is."""
    return f"given are {', '.join(source.name or source.source for source in sources)}; " if len(sources) > 1 else ""


def _unplaced(name: str) -> CalibrationError:
    return CalibrationError(
        f"camera {name!r} has a lens in the calibration, but no place; leave it out, or place it with "
        "python -m calibration extrinsics --intrinsics and this file"
    )


def without_place(calibration: Calibration, sources: Sequence[SourceId], how: str = "auto") -> list[int]:
    """Indexes of the sources whose camera has a lens in the calibration, but no place; arguments as of ``bind``."""
    lenses = [lens.name for lens in calibration.lenses]
    out = []
    for i, source in enumerate(sources):
        if source.name is None and how == "auto":
            match = _by_file(calibration, source, sources)
            out += [i] if match is not None and match >= len(calibration.cameras) else []
        elif source.name is not None and same_name(source.name, calibration.names) is None:
            out += [i] if same_name(source.name, lenses) is not None else []
    return out


def _by_file(calibration: Calibration, source: SourceId, sources: Sequence[SourceId]) -> int | None:
    """The entry that the names of a source's files mean, where they mean one; those of lenses come after the cameras.

    What other sources' files are called, too, means none.
    """
    shared = {name for other in sources if other is not source for name in other.files}
    files = [name for name in source.files if name not in shared]
    names = [camera.name for camera in (*calibration.cameras, *calibration.lenses)]
    found = (find(file, names) for find in (same_name, name_in_file) for file in files)
    return next((match for match in found if match is not None), None)


def _doubts(calibration: Calibration, source: SourceId, k: int, how: str) -> list[str]:
    name, serial = calibration.names[k], calibration.serials[k]
    if source.serial and serial and source.serial != serial:
        if how == "device":
            _same_device(calibration, source, k)
        return [f"camera {name!r} was calibrated as serial {serial}, but {source.source} has serial {source.serial}"]
    if how == "device" and str(source.device).startswith("/dev/video"):
        return [
            f"camera {source.source} is taken to be {name!r} by its device number, which may change when the computer "
            f"starts; make sure with --camera {word(f'{name}={source.source}')}"
        ]
    return []


def _same_device(calibration: Calibration, source: SourceId, k: int) -> None:
    serial = calibration.serials[k]
    if source.serial and serial and source.serial != serial:
        raise CalibrationError(
            f"camera {source.source} has serial {source.serial}, but {calibration.names[k]!r} was calibrated as serial "
            f"{serial}; if that is right, insist with --camera {word(f'{calibration.names[k]}={source.source}')}"
        )
