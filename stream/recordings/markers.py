"""A recording as markers of a motion capture system, for TRC (``trc.py``) and C3D (``c3d.py``).

The markers are the fused people in the world; where nothing is fused, or on request, the answers of one camera, put in
their places.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import camera_to_world
from calibration.geometry.upright import camera_right, turn, up_of, world_right
from engines.skeleton import JOINTS, POSE2SIM
from stream.recordings.columns import Read, any_fused, sigma_of
from stream.recordings.hypothesis_slots import Slots
from stream.recordings.schema import ESTIMATES, MOMENTS, array_of
from stream.selection import ALL
from stream.types import StreamError
from stream.words import number_of

_Z = np.array([0.0, 0, 1])
NAMES: Final = {"own": JOINTS, "pose2sim": POSE2SIM}
"""What the markers may be called."""


@dataclass(frozen=True, slots=True, eq=False)
class Markers:
    """People over time. Everybody's markers are of the same moments, so that files of several people lie in step."""

    time: Array
    """(T,) seconds, increasing."""
    people: tuple[int, ...]
    """Ids of those who are in it; -1 is whom a take of version 1 does not tell apart."""
    moment: NDArray[np.intp]
    """(R,) which of the times a row belongs to."""
    person: NDArray[np.int64]
    """(R,) whose a row is."""
    points: Array
    """(R, 17, 3) mm."""
    cov: Array
    """(R, 17, 3, 3) mm2: covariance of each joint, in the axes of the points; NaN where it is not known."""
    up: Array
    """(3,) unit vector against gravity in the axes of the points."""
    of_camera: bool
    """Whether the points are in a camera's axes, not in the world's."""
    sigma: Array
    """(17,) mm: one standard deviation an axis of each joint, the median of all rows."""
    inferred: Bools
    """(17,) which joints no camera ever saw: where they are follows from the others."""
    notes: tuple[str, ...]
    """What the user should know."""

    def describe(self, joint: int) -> str:
        """How a joint is known."""
        how = "inferred, no camera sees it" if self.inferred[joint] else "seen"
        return f"{how}; 1 sigma {self.sigma[joint]:.0f} mm" if np.isfinite(self.sigma[joint]) else how

    def of(self, person_id: int, target: Array) -> Array:
        """(T, 17, 3) mm: one person's markers with up along ``target``, (3,) y or z; NaN where they are not there."""
        mine = self.person == person_id
        points = np.full((len(self.time), len(JOINTS), 3), np.nan)
        points[self.moment[mine]] = self.points[mine] @ self._turn(target).T
        return points

    def cov_of(self, person_id: int, target: Array) -> Array:
        """(T, 17, 3, 3) mm2: their covariances, likewise."""
        mine, R = self.person == person_id, self._turn(target)
        cov = np.full((len(self.time), len(JOINTS), 3, 3), np.nan)
        cov[self.moment[mine]] = R @ self.cov[mine] @ R.T
        return cov

    def _turn(self, target: Array) -> Array:
        right = camera_right(self.up) if self.of_camera else world_right(self.up, target)
        return turn(self.up, right, target)


@dataclass(frozen=True, slots=True, eq=False)
class MarkerFile:
    """One file of markers to write."""

    path: Path
    """Where it shall lie."""
    people: tuple[int, ...]
    """Whose markers it holds."""
    prefixed: bool
    """Whether their names begin with whose they are, as ``person2:left_knee``."""
    names: str = "own"
    """Which of ``NAMES`` they have."""

    @property
    def labels(self) -> list[str]:
        """Names of the markers, one person after another."""
        return [f"{prefix(i)}{name}" if self.prefixed else name for i in self.people for name in NAMES[self.names]]


def person_name(person_id: int) -> str:
    """What a person is called in names of files and markers."""
    return f"person{person_id}" if person_id >= 0 else "person"


def prefix(person_id: int) -> str:
    """What the names of a person's markers begin with, where a file holds several people."""
    return f"{person_name(person_id)}:"


def marker_files(markers: Markers, out: Path, per_person: bool, prefixed: bool, names: str = "own") -> list[MarkerFile]:
    """The files that a take becomes.

    Args:
        markers: of the take.
        out: the file that the user named; one of one person is called STEM.personID.SUFFIX beside it.
        per_person: one file a person, also where there is one only.
        prefixed: one file of everybody, with prefixed names. With neither, a file a person where there are several.
        names: which of ``NAMES`` the markers have.
    """
    if prefixed or not (per_person or len(markers.people) > 1):
        return [MarkerFile(out, markers.people, prefixed, names)]
    return [MarkerFile(path_of(out, person_id), (person_id,), False, names) for person_id in markers.people]


def path_of(out: Path, person_id: int) -> Path:
    """The file of one person beside the one that the user named."""
    return out.with_name(f"{out.stem}.{person_name(person_id)}{out.suffix}")


def person_files(out: Path) -> list[Path]:
    """Files of single people, and of their hypotheses, beside the one that the user named, from whichever export."""
    name = re.compile(
        re.escape(out.stem) + r"(\.person\d*(\.hypothesis\d+)?|\.hypothesis\d+)" + re.escape(out.suffix), re.ASCII
    )
    return sorted(path for path in out.parent.iterdir() if name.fullmatch(path.name))


def markers_of(reading: Read, camera: str | None, world: bool = False, slot: int | None = None) -> Markers:
    """The fused people, or one camera's answers where that is asked for or nothing is fused.

    Args:
        reading: the take.
        camera: whose answers; may be None where something is fused or there is only one.
        world: put the camera's answers into the world of the calibration.
        slot: instead of its answers, the hypotheses of one number, from 0: ``hypothesis_slots`` keeps tracks together.

    Raises:
        StreamError: if nothing is fused and it is not clear which camera is meant, if a camera without a place is to be
            put into the world, or there is nobody at all.
    """
    fused = any_fused(reading)
    if fused and camera is None:
        if slot is not None:
            raise StreamError(
                "the fused pose is one answer: hypotheses are a camera's, choose one with --camera, and with --world "
                "they stand where the fused pose does"
            )
        if world:
            raise StreamError("the fused pose is in world axes already; --world is for --camera NAME")
        return _refined(_fused(reading), reading, None)
    names = [c.name for c in reading.take.run_info.cameras]
    if camera is None and len(names) > 1:
        if not any(array_of(batch, "lifted").any() for batch in reading(ESTIMATES)):
            raise StreamError("nobody is in this take, or in that part, who was lifted or fused: nothing to export")
        whom = "in this take" if reading.selection.rule == ALL else f"of --select {reading.selection}"
        raise StreamError(f"nothing is fused {whom}; choose one camera's answer with --camera: {', '.join(names)}")
    if camera is not None and camera not in names:
        raise StreamError(f"no camera {camera!r} in this take; it has {', '.join(names)}")
    made = _one_camera(reading, camera or names[0], "not the fused pose" if fused else "no fused pose", slot)
    made = _refined(made, reading, camera or names[0]) if slot is None else made
    return _in_world(made, reading, camera or names[0]) if world else made


def _refined(markers: Markers, reading: Read, camera: str | None) -> Markers:
    """With a note of a refined take: how much of these markers no camera saw in its moment. Files of markers hold it
    not: the tables do.
    """
    if not reading.take.run_info.refined:
        return markers
    stream, name = (MOMENTS, "pose_state") if camera is None else (ESTIMATES, "answer_state")
    states = [np.zeros((0, len(JOINTS)), np.int8)]
    for batch in reading(stream):
        mine = np.ones(batch.num_rows, bool) if camera is None else array_of(batch, "camera") == camera
        states.append(array_of(batch, name)[mine])
    state = np.concatenate(states)
    count = max(int((state >= 0).sum()), 1)
    filled, beyond = (f"{100 * (state == kind).sum() / count:.1f} %" for kind in (1, 2))
    note = (
        f"refined: {filled} of the joints are filled in and {beyond} extrapolated; csv, parquet and npz say which "
        f"({name})"
    )
    return replace(markers, notes=(markers.notes[0], note, *markers.notes[1:]))


def _in_world(markers: Markers, reading: Read, camera: str) -> Markers:
    """A camera's answers in the axes of the calibration."""
    known = [c.calibration for c in reading.take.run_info.cameras if c.calibration is not None]
    mine = next((c for c in known if c.name == camera), None)
    if mine is None or all(np.allclose(c.R, np.eye(3)) and not c.t.any() for c in known):
        raise StreamError(f"camera {camera!r} has no place in a world: it was recorded without a calibration of one")
    points, cov = camera_to_world(mine, markers.points), mine.R.T @ markers.cov @ mine.R
    up, notes = _up_of_world(reading)
    note = f"the answer of camera {camera!r} at its root, world axes, to be laid over the fused pose"
    return replace(markers, points=points, cov=cov, up=up, of_camera=False, notes=(note, *notes, *markers.notes[1:]))


def _up_of_world(reading: Read) -> tuple[Array, tuple[str, ...]]:
    """Unit vector (3,) against gravity in world axes, and what to say where nobody knows it."""
    run_info = reading.take.run_info
    placed = [c.calibration for c in run_info.cameras if c.calibration is not None]
    up, known = up_of(placed) if placed else (_Z, True)
    return up, () if known else (run_info.up,)


def _fused(reading: Read) -> Markers:
    batches = list(reading(MOMENTS))
    time, moment, person, there, points, cov = (
        np.concatenate([array_of(b, name) for b in batches])
        for name in ("time", "moment", "person_id", "fused", "pose_world", "pose_cov")
    )
    seen = np.zeros(len(JOINTS), bool)
    for batch in reading(ESTIMATES):
        seen |= (array_of(batch, "score") > 0).any(0)
    up, notes = _up_of_world(reading)
    return _markers((time, moment, person, there, points, cov), up, False, ~seen, ("fused pose, world axes", *notes))


def _one_camera(reading: Read, camera: str, instead: str, slot: int | None) -> Markers:
    parts, seen, slots = [], np.zeros(len(JOINTS), bool), Slots()
    for batch in reading(ESTIMATES):
        mine = array_of(batch, "camera") == camera
        # The moment's time: joints are brought to it; a frame may be in several.
        time, moment, person, there = (
            array_of(batch, name)[mine] for name in ("moment_time", "moment", "person_id", "lifted")
        )
        if slot is None:
            which = np.nan_to_num(array_of(batch, "track_probabilities")[mine]).argmax(1)
            answer = array_of(batch, "answer")[mine]
        else:
            which = slots.of(person, array_of(batch, "track_ids")[mine])[:, slot]
            answer = array_of(batch, "hypotheses")[mine][np.arange(len(which)), which]
            there = there & (which >= 0)
        sigma = array_of(batch, "sigmas")[mine][np.arange(len(which)), which].astype(float)
        cov = sigma[..., None, None] ** 2 * np.eye(3)
        if slot is None and "answer_cov" in batch.schema.names:  # a refined take
            own = array_of(batch, "answer_cov")[mine]
            cov = np.where(np.isfinite(own), own, cov)
        points = answer + array_of(batch, "root")[mine][:, None]
        if slot is None:  # a refined take has answers where too little was seen to lift
            there = there | np.isfinite(points).all((1, 2))
        parts.append([time, moment, person, there, points, cov])
        seen |= (array_of(batch, "score")[mine] > 0).any(0)
    rows = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    if not np.isfinite(rows[4]).any():
        raise StreamError(f"camera {camera!r} has nobody in this take: there are no markers to export")
    calibration = next(c.calibration for c in reading.take.run_info.cameras if c.name == camera)
    up = None if calibration is None else calibration.up_in_camera
    which_up = "up assumed: the image's up" if up is None else "up by calibration"
    note = f"{instead}: this is the answer of camera {camera!r} at its root, in its own axes, made level; {which_up}"
    return _markers(rows, np.array([0.0, -1, 0]) if up is None else up, True, ~seen, (note,))


def _markers(
    rows: tuple[NDArray[Any], ...], up: Array, of_camera: bool, inferred: Bools, notes: Sequence[str]
) -> Markers:
    """Markers of rows of moments, which follow each other.

    Args:
        rows: time (R,), moment (R,), person (R,), whether the row has a pose (R,), points and cov (R, 17, ...).
        up: as in ``Markers``.
        of_camera: as in ``Markers``.
        inferred: as in ``Markers``.
        notes: as in ``Markers``.
    """
    time, moment, person, there, points, cov = rows
    first = np.concatenate([[True], moment[1:] != moment[:-1]]) if len(moment) else np.zeros(0, bool)
    people = tuple(int(i) for i in np.unique(person[there]))
    kept = np.flatnonzero(there)
    if len(people) > 1:
        # How long each is there tells who was only taken for somebody.
        each = ", ".join(f"{i} in {number_of(int((person[there] == i).sum()), 'frame')}" for i in people)
        notes = (*notes, f"{number_of(len(people), 'person', 'people')}: {each}; --select ID[,ID] takes some")
    if inferred.any():
        names = ", ".join(name for name, joint in zip(JOINTS, inferred, strict=True) if joint)
        notes = (*notes, f"inferred, seen by no camera: {names}")
    sigma = np.median(sigma_of(cov[kept]), axis=0) if len(kept) else np.full(len(JOINTS), np.nan)
    return Markers(
        time[first], people, (np.cumsum(first) - 1)[kept], person[kept], points[kept].astype(float), cov[kept], up,
        of_camera, sigma, inferred, tuple(notes),
    )  # fmt: skip


def start_of(markers: Markers, unix_offset: float) -> str:
    """When the first row is, for the user: in the clock of the take, and the time of day of a live one."""
    if not len(markers.time):
        return "-"
    start = f"{markers.time[0]:.6f} s of the recording"
    return start if np.isnan(unix_offset) else f"{start}, {utc_of(markers, unix_offset)}"


def utc_of(markers: Markers, unix_offset: float) -> str:
    """The time of day of the first row, ISO 8601, UTC; empty where files tell none."""
    if not len(markers.time) or np.isnan(unix_offset):
        return ""
    return datetime.fromtimestamp(markers.time[0] + unix_offset, UTC).isoformat(timespec="microseconds")
