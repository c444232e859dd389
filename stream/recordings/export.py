"""Recordings as files of other programs: ``python -m stream export DIR --to csv|parquet|npz|trc|c3d --out FILE``.

Whole or damaged, closed or killed takes are read alike; what cannot be read is said and left out.
``docs/recording.md`` lists the columns.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from calibration import writing
from stream.recordings import c3d, npz, tables, trc
from stream.recordings.markers import MarkerFile, Markers, marker_files, markers_of, person_files, resampled, uneven
from stream.recordings.reading import Reading, fault_line
from stream.recordings.rows import decode_events
from stream.recordings.run_info import RunInfo
from stream.recordings.schema import EVENTS
from stream.recordings.takes import Take, belongs_to
from stream.selection import MEASURES, Selection
from stream.types import Event, StreamError
from stream.words import number_of

TABLES: Final[dict[str, Callable[[Reading, Path], list[str]]]] = {
    "csv": tables.write_csv,
    "parquet": tables.write_parquet,
    "npz": npz.write_npz,
}
MARKERS: Final = ("trc", "c3d")
FORMATS: Final = (*TABLES, *MARKERS)


def export(
    take: Take, to: str, out: Path, *,
    camera: str | None = None, start: float | None = None, end: float | None = None, force: bool = False,
    select: Selection | None = None, per_person: bool = False, prefix: bool = False, names: str = "own",
    rate: float | None = None,
) -> list[str]:  # fmt: skip
    """Write a take as one file, with tables of fused poses and of events beside that of the views, or a file a person.

    Args:
        take: from ``open_take``.
        to: one of ``FORMATS``.
        out: the file; of csv and parquet, fused poses go to ``STEM.poses.SUFFIX`` and events to ``STEM.events.SUFFIX``
            beside it, where there are any; of trc and c3d, one of several people to ``STEM.personID.SUFFIX``.
        camera: whose answers become the markers of trc and c3d; None for the fused people, or for the only camera.
        start: seconds after the take's first moment at which the part to export begins; None for all before ``end``.
        end: seconds after it at which that part ends, itself not in it; None for the rest.
        force: write over existing files, and remove an earlier export's files that this one does not have.
        select: whom to export; None for everybody.
        per_person: trc, c3d: one file a person, also of one person.
        prefix: trc, c3d: one file with everybody's markers, their names beginning with whose they are.
        names: trc, c3d: what the markers are called, one of ``markers.NAMES``.
        rate: trc, c3d: Hz to resample to; None for the moments' own times.

    Returns:
        Lines that tell the user what was written and what to know about it.

    Raises:
        StreamError: if there is nothing to export, a file exists or is the take's own, or it cannot be written; if a
            camera or a way to name markers is given to a table, or the end is not after the start; if a person is
            selected who is not there.
        WriteError: if a file is a folder, a device or the like.
    """
    if start is not None and end is not None and start >= end:
        raise StreamError(f"--end {end:g} is not after --start {start:g}")
    if camera is not None and to not in MARKERS:
        raise StreamError(f"--camera is for trc and c3d: {to} holds all cameras, drop it")
    if (per_person or prefix) and to not in MARKERS:
        flag = "--per-person" if per_person else "--prefix"
        raise StreamError(
            f"{flag} is for trc and c3d: {to} says in every row whose it is; --select ID takes one person"
        )
    if rate is not None and to not in MARKERS:
        raise StreamError(f"--rate is for trc and c3d: {to} holds what was recorded, at its own times")
    if names != "own" and to not in MARKERS:
        raise StreamError(f"--names is for trc and c3d: the columns of {to} are named as docs/recording.md says")
    if per_person and prefix:
        raise StreamError("--per-person writes a file a person and --prefix one of all; give one of them")
    try:
        is_folder = out.is_dir()
    except OSError as error:  # a name that is too long
        raise StreamError(f"cannot write {out}: {error.strerror}") from None
    if is_folder:
        raise StreamError(f"{out} is a folder; give --out a file")
    if not out.parent.is_dir():
        raise StreamError(f"cannot write {out}: there is no folder {out.parent}")
    _check(take, [out], force)
    other = {f".{other}": other for other in FORMATS if other != to}.get(out.suffix.lower())
    if other is not None:
        raise StreamError(f"{out} would hold {to}, but its name is that of {other}; give --out a file such as"
                          f" {out.with_suffix(f'.{to}').name}, or --to {other}")  # fmt: skip
    try:
        if to in MARKERS:
            if to == "c3d":
                c3d.check_ezc3d()
            reading = Reading(take, start, end, select)
            notes = _write_markers(reading, to, out, camera, (per_person, prefix, names), rate, force)
        else:
            beside = _beside(out) if to != "npz" else {}
            _check(take, list(beside.values()), force)
            reading = Reading(take, start, end, select)
            notes = _write_table(reading, to, out, beside)
    except OSError as error:
        raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    if reading.selection.rule in MEASURES:
        whom = f"person {reading.ids[0]}" if reading.ids else "nobody is there"
        notes.insert(0, f"--select {reading.selection}: {whom}")
    notes += [f"{fault_line(fault)} (see python -m stream recover)" for fault in reading.faults]
    if reading.unverified:
        rows = number_of(reading.unverified, "row has", "rows have")
        notes.append(f"{rows} no line in the journal: read, but not verified")
    if any(camera.fov_assumed for camera in take.run_info.cameras):
        notes.append("a field of view was assumed (fov_assumed): positions and sizes are only as good as that guess")
    return notes


def _check(take: Take, targets: list[Path], force: bool) -> None:
    """Refuse what may not be written to."""
    for target in targets:
        writing.check_target(target)
        if belongs_to(take.folder, target):
            raise StreamError(f"{target} is part of the take that is read; give another --out")
        if target.exists() and not force:
            raise StreamError(f"{target} exists; give another --out, or --force to write over it")


def _beside(out: Path) -> dict[str, Path]:
    """The files that a table has beside it, where there is something to put in."""
    return {part: out.with_name(f"{out.stem}.{part}{out.suffix}") for part in (tables.POSES, tables.EVENTS_FILE)}


def _write_table(reading: Reading, to: str, out: Path, beside: dict[str, Path]) -> list[str]:
    # Written beside its place and then renamed: a file that is there is whole.
    with writing.scratch(out.resolve().parent) as folder:
        notes = TABLES[to](reading, folder)
        for part, target in beside.items():
            if (folder / part).exists():
                writing.put(folder / part, target.resolve())
                notes.append(f"wrote {target}")
            elif target.exists():
                target.unlink()
                why = "nothing is fused" if part == tables.POSES else "there are no events"
                notes.append(f"removed {target} of an earlier export: {why} here")
        writing.put(folder / tables.MAIN, out.resolve())
        return [*notes, f"wrote {out}"]


def _write_markers(
    reading: Reading,
    to: str,
    out: Path,
    camera: str | None,
    layout: tuple[bool, bool, str],
    rate: float | None,
    force: bool,
) -> list[str]:
    markers = markers_of(reading, camera)
    told = uneven(markers.time) if rate is None else []
    markers = markers if rate is None else resampled(markers, rate)
    files = marker_files(markers, out, *layout)
    stale = [path for path in (out, *person_files(out)) if path.exists() and path not in [f.path for f in files]]
    _check(reading.take, [*(file.path for file in files), *stale], force)
    notes = [*markers.notes, *told]
    events = [event for batch in reading(EVENTS) for event in decode_events(batch)] if to == "c3d" else []
    with writing.scratch(out.resolve().parent) as folder:
        for number, file in enumerate(files):
            told = _write_one(reading.take.run_info, markers, events, file, to, folder / str(number))
            notes += [line for line in told if line not in notes]  # they are alike of all people
        for number, file in enumerate(files):
            writing.put(folder / str(number), file.path.resolve())
            notes.append(f"wrote {file.path}")
    for path in stale:
        path.unlink()
        notes.append(f"removed {path} of an earlier export")
    return notes


def _write_one(
    run_info: RunInfo, markers: Markers, events: Sequence[Event], file: MarkerFile, to: str, path: Path
) -> list[str]:
    if to == "trc":
        return trc.write_trc(markers, file, path, run_info.unix_offset)
    return c3d.write_c3d(markers, file, path, events, run_info)
