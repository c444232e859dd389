"""A take in OpenSim: a model scaled to a person, and the joint angles that put it onto their joints.

The package pyopensim brings OpenSim; it is optional, heavy, and needs OpenBLAS of the system.
"""

import contextlib
import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from calibration.arrays import Array, Bools
from engines import skeleton as sk
from engines.articulation.lengths import lengths_of
from engines.skeleton import JOINTS
from stream.recordings.markers import MarkerFile, Markers, person_name
from stream.recordings.opensim_markers import add_markers, weights, write_marker_set
from stream.recordings.skeletons import UP
from stream.recordings.trc import write_trc
from stream.types import StreamError

_PAIRS: Final[dict[tuple[str, ...], tuple[int, int]]] = {
    ("femur_r",): (sk.R_HIP, sk.R_KNEE), ("femur_l",): (sk.L_HIP, sk.L_KNEE),
    ("tibia_r", "talus_r", "calcn_r", "toes_r"): (sk.R_KNEE, sk.R_ANKLE),
    ("tibia_l", "talus_l", "calcn_l", "toes_l"): (sk.L_KNEE, sk.L_ANKLE),
    ("humerus_r",): (sk.R_SHOULDER, sk.R_ELBOW), ("humerus_l",): (sk.L_SHOULDER, sk.L_ELBOW),
    ("ulna_r", "radius_r", "hand_r"): (sk.R_ELBOW, sk.R_WRIST),
    ("ulna_l", "radius_l", "hand_l"): (sk.L_ELBOW, sk.L_WRIST),
}  # fmt: skip
"""Bodies that are scaled alike, by the length between two joints."""
_HELD: Final = ("ankle", "subtalar", "mtp", "pro_sup", "wrist", "neck_rotation")
"""How coordinates begin that no joint tells: they are held where the model has them."""
_INPUT: Final = "input.trc"
_MOST_SCALE: Final = (0.4, 2.5)


@dataclass(frozen=True, slots=True)
class MarkerErrors:
    """How far the model's markers are from the joints, mm."""

    rms: float
    """Over all frames and the markers that cameras see."""
    by_joint: Mapping[str, tuple[float, float]]
    """Mean and largest of each."""


def load_opensim() -> Any:
    """The package, quiet.

    Raises:
        StreamError: where it, or what it needs of the system, is missing.
    """
    try:
        # It begins a log in the working folder as soon as it is loaded.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            import pyopensim as osim

            if hasattr(osim, "common"):
                osim.common.Logger.setLevelString("Off")
                osim.common.Logger.removeFileSink()
    except ImportError:
        raise StreamError("OpenSim needs the package pyopensim: pip install pyopensim==4.5.2.0") from None
    if not hasattr(osim, "tools") or not hasattr(osim.tools, "InverseKinematicsTool"):
        raise StreamError(
            "pyopensim does not load without OpenBLAS of the system; on Debian or Ubuntu: "
            "sudo apt install libopenblas0-pthread"
        )
    return osim


def solve_person(
    osim: Any, model_file: Path, markers: Markers, person_id: int, mass: float, folder: Path, unix_offset: float
) -> list[str]:
    """Scale the model to a person, put it onto their joints, and write ``NAME.trc``, ``.osim``, ``.mot`` and ``.json``.

    Args:
        osim: of ``load_opensim``.
        model_file: the .osim.
        markers: of the take.
        person_id: whose.
        mass: kg.
        folder: where to write.
        unix_offset: ``RunInfo.unix_offset``.

    Returns:
        What to tell the user.

    Raises:
        StreamError: if the model cannot be read or lacks most of the bodies, or OpenSim fails.
        OSError: if the disk is full.
    """
    name = person_name(person_id)
    points = markers.of(person_id, UP) / 1000
    there = np.flatnonzero(np.isfinite(points).all((1, 2)))
    if len(there) < 2:
        return [f"{name} is left out: OpenSim needs two moments, they are in {len(there)}"]
    file = MarkerFile(folder / f"{name}.trc", (person_id,), False)
    write_trc(markers, file, file.path, unix_offset)
    # Inverse kinematics fails at a row without a marker.
    mine = markers.person == person_id
    whole = replace(
        markers, time=markers.time[there], people=(person_id,), moment=np.arange(len(there)),
        person=markers.person[mine], points=markers.points[mine], cov=markers.cov[mine],
    )  # fmt: skip
    write_trc(whole, file, folder / _INPUT, unix_offset, markers.time[0])
    model = _model(osim, model_file)
    lacking = add_markers(osim, model)
    if len(lacking) > len(JOINTS) // 2:
        raise StreamError(
            f"{model_file} lacks the bodies of {', '.join(lacking)}: a model of Rajagopal's kind is needed"
        )
    factors = _scale(osim, model, points[there], mass)
    _hold(model)
    model.setName(name)
    _print(model, folder / f"{name}.osim")
    used = [joint for joint in range(sk.N_JOINTS) if JOINTS[joint] not in lacking]
    heavy = weights(markers.sigma, markers.inferred)
    _inverse_kinematics(osim, folder, name, points, there, markers.time, {JOINTS[j]: float(heavy[j]) for j in used})
    _table(folder / f"{name}.mot")
    errors = _errors(osim, folder, name, points[there], used, ~markers.inferred)
    report = {
        "model": model_file.name, "mass_kg": mass, "scale": factors, "rms_mm": round(errors.rms, 2),
        "weights": {JOINTS[j]: round(float(heavy[j]), 3) for j in used},
        "markers_mm": {joint: {"mean": round(a, 2), "max": round(b, 2)} for joint, (a, b) in errors.by_joint.items()},
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1), "utf-8")
    worst = max(errors.by_joint, key=lambda joint: errors.by_joint[joint][0])
    said = [
        f"{name}: markers {errors.rms:.0f} mm RMS from the joints, {worst} {errors.by_joint[worst][0]:.0f} in the mean"
    ]
    return said + ([f"the model has no body for {', '.join(lacking)}"] if lacking else [])


def write_extras(folder: Path) -> None:
    """What belongs to every export: the marker set."""
    write_marker_set(folder / "markers.xml")


def _model(osim: Any, path: Path) -> Any:
    try:
        return osim.simulation.Model(str(path))
    except RuntimeError as error:
        told = [line.strip() for line in str(error).splitlines() if line.strip() and "exception" not in line.lower()]
        why = told[0] if told else str(error)
        raise StreamError(f"{path} cannot be read as a model of OpenSim: {why}") from None


def _print(model: Any, path: Path) -> None:
    """Write a model. OpenSim raises RuntimeError for whatever goes wrong, and that is the disk."""
    try:
        done = model.printToXML(str(path))
    except RuntimeError:
        done = False
    if not done:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _table(path: Path) -> tuple[list[str], Array]:
    """Columns and rows of a table that OpenSim wrote.

    Raises:
        OSError: if it is not whole: OpenSim does not check what it writes, and says nothing of a full disk.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    head, _, body = text.partition("endheader\n")
    stated, lines = re.search(r"^nRows=(\d+)", head, re.MULTILINE), body.splitlines()
    if stated is not None and text.endswith("\n") and len(lines) == 1 + int(stated[1]):
        columns, cells = lines[0].split("\t"), [line.split("\t") for line in lines[1:]]
        if {len(row) for row in cells} <= {len(columns)}:
            return columns, np.array([[float(x) for x in row] for row in cells])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what OpenSim prints past its own log: the model, at every run."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _scale(osim: Any, model: Any, points: Array, mass: float) -> dict[str, list[float]]:
    """Scale every body by the lengths of the person; the factors by body."""
    state = model.initSystem()
    places = np.full((sk.N_JOINTS, 3), np.nan)
    there = model.getMarkerSet()
    for k in range(there.getSize()):
        marker = there.get(k)
        if marker.getName() in JOINTS:
            at = marker.getLocationInGround(state)
            places[JOINTS.index(marker.getName())] = [at.get(0), at.get(1), at.get(2)]
    length = lengths_of(points)

    def factor(a: int, b: int) -> float:
        own = float(np.median(np.linalg.norm(points[:, a] - points[:, b], axis=-1)))
        own = float(length[b]) if sk.PARENTS[b] == a else own
        theirs = float(np.linalg.norm(places[a] - places[b]))
        return float(np.clip(own / theirs, *_MOST_SCALE)) if theirs > 0 else 1.0

    trunk, width = factor(sk.PELVIS, sk.THORAX), factor(sk.L_SHOULDER, sk.R_SHOULDER)
    hips = factor(sk.L_HIP, sk.R_HIP)
    factors = {body: [factor(*pair)] * 3 for bodies, pair in _PAIRS.items() for body in bodies}
    factors |= {"torso": [trunk, trunk, width], "head": [factor(sk.NECK, sk.HEAD)] * 3}
    factors |= {body: [trunk, trunk, hips] for body in ("pelvis", "sacrum")}
    scales = osim.common.ScaleSet()
    bodies = model.getBodySet()
    known = {bodies.get(k).getName() for k in range(bodies.getSize())}
    kept = {body: f for body, f in factors.items() if body in known and np.isfinite(f).all()}
    for body, f in kept.items():
        scale = osim.common.Scale()
        scale.setSegmentName(body)
        scale.setScaleFactors(osim.simbody.Vec3(*f))
        scale.setApply(True)
        scales.cloneAndAppend(scale)
    model.scale(state, scales, True, mass)
    return {body: [round(x, 4) for x in f] for body, f in kept.items()}


def _hold(model: Any) -> None:
    """Hold what no joint tells, and let everything else go where it must: ranges of a model are of healthy adults."""
    coordinates = model.updCoordinateSet()
    for k in range(coordinates.getSize()):
        coordinate = coordinates.get(k)
        if coordinate.getName().startswith(_HELD):
            coordinate.setDefaultLocked(True)


def _inverse_kinematics(
    osim: Any, folder: Path, name: str, points: Array, there: Any, time: Array, weight: Mapping[str, float]
) -> None:
    tool = osim.tools.InverseKinematicsTool()
    model = osim.simulation.Model(str(folder / f"{name}.osim"))
    model.initSystem()
    tool.setModel(model)
    tool.setName(name)
    tool.set_marker_file(str(folder / _INPUT))
    since = time - time[0]
    tool.setStartTime(float(since[there[0]]))
    tool.setEndTime(float(since[there[-1]]))
    tool.setOutputMotionFileName(str(folder / f"{name}.mot"))
    tool.set_results_directory(str(folder))
    tool.set_report_marker_locations(True)
    tool.set_report_errors(False)
    tasks = tool.getIKTaskSet()
    for marker, value in weight.items():
        task = osim.tools.IKMarkerTask()
        task.setName(marker)
        task.setApply(True)
        task.setWeight(value)
        tasks.cloneAndAppend(task)
    try:
        with _quiet():
            done = tool.run()
    except RuntimeError:
        done = False  # why is in OpenSim's own log, which is off
    if not done:
        raise StreamError(f"{name}: OpenSim's inverse kinematics failed; is the model of Rajagopal's kind?")
    (folder / _INPUT).unlink()


def _errors(osim: Any, folder: Path, name: str, points: Array, used: list[int], seen: Bools) -> MarkerErrors:
    written = folder / f"{name}_ik_model_marker_locations.sto"
    columns, rows = _table(written)
    written.unlink()
    count = min(len(rows), len(points))
    found: dict[str, tuple[float, float]] = {}
    squares = []
    for joint in used:
        if f"{JOINTS[joint]}_tx" not in columns:
            continue
        at = columns.index(f"{JOINTS[joint]}_tx")
        apart = 1000 * np.linalg.norm(rows[:count, at : at + 3] - points[:count, joint], axis=-1)
        found[JOINTS[joint]] = float(apart.mean()), float(apart.max())
        if seen[joint]:
            squares.append(apart**2)
    return MarkerErrors(float(np.sqrt(np.mean(squares))), found)
