"""Recordings as files of other programs: ``python -m stream export DIR --to FORMAT --out FILE``.

Whole or damaged, closed or killed takes are read alike; what cannot be read is said and left out.
``docs/recording.md`` lists the columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from calibration import writing
from stream.recordings import npz, pose2sim, tables
from stream.recordings.angles import suffixes
from stream.recordings.people_files import PEOPLE, PeopleOptions, check_people_options, write_people
from stream.recordings.reading import Reading, fault_line
from stream.recordings.takes import Take, belongs_to
from stream.selection import MEASURES, Selection
from stream.types import StreamError
from stream.words import number_of

TABLES: Final[dict[str, Callable[[Reading, Path], list[str]]]] = {
    "csv": tables.write_csv,
    "parquet": tables.write_parquet,
    "npz": npz.write_npz,
}
FOLDERS: Final[dict[str, Callable[[Reading, Path], list[str]]]] = {"pose2sim": pose2sim.write_pose2sim}
"""Formats that are a folder of many files."""
_MARK: Final = {"pose2sim": ("calibration", "pose")}
"""What such a folder holds, so that it is known again."""
FORMATS: Final = (*TABLES, *PEOPLE, *FOLDERS)


def export(
    take: Take, to: str, out: Path, *,
    start: float | None = None, end: float | None = None, force: bool = False, select: Selection | None = None,
    people: PeopleOptions | None = None,
) -> list[str]:  # fmt: skip
    """Write a take as one file, with tables of fused poses and of events beside that of the views, or a file a person.

    Args:
        take: from ``open_take``.
        to: one of ``FORMATS``.
        out: the file; of csv and parquet, fused poses go to ``STEM.poses.SUFFIX`` and events to ``STEM.events.SUFFIX``
            beside it, where there are any; of the others but npz, one of several people to ``STEM.personID.SUFFIX``.
        start: seconds after the take's first moment at which the part to export begins; None for all before ``end``.
        end: seconds after it at which that part ends, itself not in it; None for the rest.
        force: write over existing files, and remove an earlier export's files that this one does not have.
        select: whom to export; None for everybody.
        people: what is asked of a format of people; None for nothing special.

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
    people = people or PeopleOptions()
    check_people_options(to, people)
    if to in FOLDERS:
        check_folder(take, out, force, _MARK[to].__contains__, f"an export to {to}")
        check_suffix(to, out)
        with told_faults(Reading(take, start, end, select)) as reading:
            try:
                return finished(take, reading, _write_folder(reading, to, out))
            except OSError as error:
                raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    try:
        is_folder = out.is_dir()
    except OSError as error:  # a name that is too long
        raise StreamError(f"cannot write {out}: {error.strerror}") from None
    if is_folder:
        raise StreamError(f"{out} is a folder; give --out a file")
    if not out.parent.is_dir():
        raise StreamError(f"cannot write {out}: there is no folder {out.parent}")
    _check(take, [out], force)
    check_suffix(to, out)
    beside = _beside(out) if to in TABLES and to != "npz" else {}
    _check(take, list(beside.values()), force)
    with told_faults(Reading(take, start, end, select)) as reading:
        try:
            if to in PEOPLE:
                notes = write_people(reading, to, out, people, lambda targets: _check(take, targets, force))
            else:
                notes = _write_table(reading, to, out, beside)
        except OSError as error:
            raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    return finished(take, reading, notes)


@contextmanager
def told_faults(reading: Reading) -> Iterator[Reading]:
    """What is wrong with a take is said also where it lets nothing be written: the reason may be that."""
    try:
        yield reading
    except StreamError as error:
        if not reading.faults:
            raise
        first, more = fault_line(reading.faults[0]), len(reading.faults) - 1
        others = f", and {number_of(more, 'other fault')}" if more else ""
        raise StreamError(f"{error}; the take is damaged: {first}{others} (see python -m stream recover)") from None


def finished(take: Take, reading: Reading, notes: list[str]) -> list[str]:
    """The notes, with what is to be said of every export."""
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


def check_suffix(to: str, out: Path) -> None:
    """Refuse a name that says another format than the one that is written, one of ``FORMATS`` or a report's, html.

    Raises:
        StreamError: with a name that would do.
    """
    if to != "html" and out.suffix.lower() in (".html", ".htm"):
        raise StreamError(f"{out} would hold {to}, but its name is that of a page; python -m stream report writes one")
    own = {f".{to}", *suffixes(to)}
    other = {f".{other}": other for other in FORMATS}.get(out.suffix.lower())
    if other is not None and out.suffix.lower() not in own:
        instead = "" if to == "html" else f", or --to {other}"
        name = out.with_suffix("" if to in FOLDERS else suffixes(to)[0]).name
        kind = "folder" if to in FOLDERS else "file"
        raise StreamError(f"{out} would hold {to}, but its name is that of {other}; give --out a {kind} such as"
                          f" {name}{instead}")  # fmt: skip


def _check(take: Take, targets: list[Path], force: bool) -> None:
    """Refuse what may not be written to."""
    for target in targets:
        writing.check_target(target)
        if belongs_to(take.folder, target):
            raise StreamError(f"{target} is part of the take that is read; give another --out")
        if target.exists() and not force:
            raise StreamError(f"{target} exists; give another --out, or --force to write over it")


def check_folder(take: Take, out: Path, force: bool, ours: Callable[[str], bool], what: str) -> None:
    """Refuse a folder that is another's, before anything is read.

    Args:
        take: that is read.
        out: the folder to write.
        force: replace one that is there.
        ours: whether a name in it is one that we write.
        what: we write, in words.

    Raises:
        StreamError: saying why not.
    """
    try:
        real = out.resolve()
        if take.folder.resolve() in (real, *real.parents):
            raise StreamError(f"{out} lies in the take that is read; give another --out")
        if not out.parent.is_dir():
            raise StreamError(f"cannot write {out}: there is no folder {out.parent}")
        if not out.exists():
            return
        there = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    if not all(map(ours, there)):
        raise StreamError(f"{out} holds other things than {what}; give --out a folder that is not there")
    if there and not force:
        raise StreamError(f"{out} exists; give another --out, or --force to write over it")


def _write_folder(reading: Reading, to: str, out: Path) -> list[str]:
    with writing.folder_aside(out) as folder:
        notes = FOLDERS[to](reading, folder)
    return [*notes, f"wrote {out}"]


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
