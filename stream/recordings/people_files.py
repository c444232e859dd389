"""What a recording says of people, as files of other programs: one a person, or one of all where a format can."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from calibration import writing
from stream.recordings import angles, bvh, c3d, glb, trc
from stream.recordings.columns import Read
from stream.recordings.markers import MarkerFile, Markers, marker_files, markers_of, person_files, person_name, start_of
from stream.recordings.resampling import evened, resampled, uneven
from stream.recordings.rows import decode_events
from stream.recordings.schema import EVENTS
from stream.recordings.skeletons import Skeleton, skeleton_of
from stream.types import StreamError

MARKERS: Final = ("trc", "c3d")
SKELETONS: Final = ("bvh", "glb")
ANGLES: Final = ("angles", "mot")
PEOPLE: Final = (*MARKERS, *SKELETONS, *ANGLES)
"""Formats of people; the others are tables of all that was recorded."""
_PLAIN: Final = {"trc": trc.write_trc, "angles": angles.write_angles, "mot": angles.write_mot}
"""What writes markers, or what follows from them, of one file."""


@dataclass(frozen=True, slots=True)
class PeopleOptions:
    """What is asked of a file of people."""

    camera: str | None = None
    """Whose answers; None for the fused people, or for the only camera."""
    world: bool = False
    """Whether a camera's answers are put into the world."""
    per_person: bool = False
    """One file a person, also of one person."""
    prefix: bool = False
    """Markers: one file with everybody's, their names beginning with whose they are."""
    names: str = "own"
    """Markers: what they are called, one of ``markers.NAMES``."""
    rate: float | None = None
    """Hz to resample to; None for the moments' own times."""
    hypotheses: bool = False
    """Skeletons: one of each hypothesis too."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A file that is to be written."""

    path: Path
    """Where it shall lie."""
    write: Callable[[Path], list[str]]
    """Writes it to another place; what to tell the user."""


def check_people_options(to: str, options: PeopleOptions) -> None:
    """Raises StreamError if something is asked for that a format has not, or whose package is missing."""
    only: list[tuple[bool, str, tuple[str, ...], str]] = [
        (options.camera is not None, "--camera", PEOPLE, f"{to} holds all cameras, drop it"),
        (options.world, "--world", PEOPLE, f"{to} holds all cameras, drop it"),
        (options.per_person, "--per-person", PEOPLE,
         f"{to} says in every row whose it is; --select ID takes one person"),
        (options.prefix, "--prefix", MARKERS, f"{to} says in every row whose it is; --select ID takes one person"
         if to not in PEOPLE else f"{to} holds one person a file"),
        (options.rate is not None, "--rate", PEOPLE, f"{to} holds what was recorded, at its own times"),
        (options.names != "own", "--names", MARKERS,
         f"the columns of {to} are named as docs/recording.md says" if to not in PEOPLE else
         f"what is in {to} is named as docs/export.md says"),
        (options.hypotheses, "--hypotheses", SKELETONS, f"{to} holds no skeletons"),
    ]  # fmt: skip
    for given, flag, formats, why in only:
        if given and to not in formats:
            raise StreamError(f"{flag} is for {_listed(formats)}: {why}")
    if options.per_person and options.prefix:
        raise StreamError("--per-person writes a file a person and --prefix one of all; give one of them")
    if to == "c3d":
        c3d.check_ezc3d()
    if to == "bvh":
        bvh.check_pybvh()
    if to == "glb":
        glb.check_pygltflib()


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def write_people(
    reading: Read, to: str, out: Path, options: PeopleOptions, check: Callable[[list[Path]], None]
) -> list[str]:
    """Write the files of one format.

    Args:
        reading: the take.
        to: one of ``PEOPLE``.
        out: the file that the user named.
        options: what is asked for.
        check: refuses what may not be written to.

    Returns:
        What to tell the user.

    Raises:
        StreamError: if there is nothing to write.
        OSError: if it cannot be written.
    """
    markers = markers_of(reading, options.camera, options.world)
    if to in SKELETONS:
        notes, planned = _skeletons(reading, markers, to, out, options)
    else:
        notes, planned = _markers(reading, markers, to, out, options)
    stale = [path for path in (out, *person_files(out)) if path.exists() and path not in [p.path for p in planned]]
    check([*(p.path for p in planned), *stale])
    with writing.scratch(out.resolve().parent) as folder:
        for number, one in enumerate(planned):
            told = one.write(folder / str(number))
            notes += [line for line in told if line not in notes]  # they are alike of all people
        for number, one in enumerate(planned):
            writing.put(folder / str(number), one.path.resolve())
            notes.append(f"wrote {one.path}")
    for path in stale:
        path.unlink()
        notes.append(f"removed {path} of an earlier export")
    return notes


def _markers(
    reading: Read, markers: Markers, to: str, out: Path, options: PeopleOptions
) -> tuple[list[str], list[_Planned]]:
    told = uneven(markers.time) if options.rate is None else []
    markers = markers if options.rate is None else resampled(markers, options.rate)
    run_info = reading.take.run_info
    events = [event for batch in reading(EVENTS) for event in decode_events(batch)] if to == "c3d" else []

    def write(file: MarkerFile, path: Path) -> list[str]:
        if to == "c3d":
            return c3d.write_c3d(markers, file, path, events, run_info)
        return _PLAIN[to](markers, file, path, run_info.unix_offset)

    files = marker_files(markers, out, options.per_person, options.prefix, options.names)
    if to in ANGLES and not markers.people:
        raise StreamError("nobody is in this take, or in that part: there are no angles to export")
    return [*markers.notes, *told], [_Planned(file.path, partial(write, file)) for file in files]


def _skeletons(
    reading: Read, markers: Markers, to: str, out: Path, options: PeopleOptions
) -> tuple[list[str], list[_Planned]]:
    more: list[Markers] = []
    if options.hypotheses:
        kernels = reading.take.run_info.kernels
        more = [markers_of(reading, options.camera, options.world, slot) for slot in range(kernels)]
    even, rate = evened(markers, options.rate)
    others = [evened(one, rate if even is not markers else None)[0] for one in more]
    notes, planned = [*even.notes], []
    start = start_of(even, reading.take.run_info.unix_offset)
    for file in marker_files(even, out, options.per_person, False):
        for person_id in file.people:
            made = list(_of_person(even, others, person_id, file.path))
            if not made:
                continue  # in no frame, once resampled
            notes += [f"{made[0][0].name}: {note}" for note in made[0][0].notes]
            if to == "glb":
                whole = [skeleton for skeleton, _ in made]
                planned.append(_Planned(file.path, partial(glb.write_glb, whole, rate, start)))
            else:
                planned += [_Planned(path, partial(bvh.write_bvh, skeleton, rate)) for skeleton, path in made]
    if not planned:
        raise StreamError("nobody is in this take, or in that part: there is no skeleton to export")
    return [*notes, f"time 0 is {start}"], planned


def _of_person(
    markers: Markers, others: Sequence[Markers], person_id: int, path: Path
) -> Iterator[tuple[Skeleton, Path]]:
    """A person's skeleton and those of their hypotheses, all with the same bones, and their files."""
    first = skeleton_of(markers, person_id, person_name(person_id))
    if first is None:
        return
    yield first, path
    for number, other in enumerate(others):
        if person_id in other.people:
            name = f"{person_name(person_id)} hypothesis {number}"
            where = path.with_name(f"{path.stem}.hypothesis{number}{path.suffix}")
            ghost = skeleton_of(other, person_id, name, first.made.lengths)
            if ghost is not None:
                yield ghost, where
