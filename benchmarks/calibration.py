"""Cameras placed by a walking person: ours beside HumanCalib, the same joints, in one run.

    python -m benchmarks.calibration --data FOLDER [--only 4x10,demo] [--json FILE]

The walks are motion capture of the test subjects, pieces of it one after the other in the middle of a ring of cameras 3
to 5 m away, ten moments a second, with the 2D faults of ``benchmarks/scenes.py`` (noise of 1 % of the person, outliers,
missing limbs). HumanCalib 0.5.4 is given our lifter's mixture means in place of its own lifter's poses; its functions
are those that its program calls, with that program's settings. It is not a dependency: pip install humancalib==0.5.4.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import fusion_demo, machine
from benchmarks.scenes import Faults, detect, ring
from benchmarks.table import table, write_json
from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.rotations import angle_degrees, rotation_matrix
from calibration.solving.floor import floor_from_ankles
from calibration.solving.person import solve_from_person
from engines.argument_types import Parser
from engines.lifter import MDNLifter, lifter_input
from engines.skeleton import LIMBS
from engines.types import Detection
from stream.app import demo
from stream.live.plausibility import BODY

STEP_S: Final = 0.1
FAULTS: Final = Faults(noise=1.0, outliers=0.03, missing=(0, 2))
ROTATION: Final = 0.8
"""Largest error of ours, in HumanCalib's."""
VERTICAL_DEGREES, SCALE = 0.7, 0.015
_WALKS: Final = ("09_12", "08_02", "08_03", "08_04", "08_05", "08_06", "08_08", "08_09", "08_10", "08_11")
_VALIDATION: Final = tuple(f"07_{k:02d}" for k in range(1, 13))
_SLOW_MM: Final = 8.0
"""A foot that moves less from frame to frame, 250 mm a second, stands."""
_SCORE: Final = 0.3
_PARTS: Final = 2 * (0.245 + 0.246 + 0.288)


@dataclass(frozen=True, slots=True)
class Case:
    """One walk."""

    cameras: int
    seconds: float
    late_ms: float = 0.0
    """By how much the second camera is late."""
    focal: float = 1.0
    """Factor on the focal lengths that are told."""
    bystander: float = 0.0
    """Share of the moments in which the last camera sees somebody else."""

    @property
    def name(self) -> str:
        """As --only has it."""
        more = (f" late {self.late_ms:g} ms" if self.late_ms else "") + (" focal" if self.focal != 1 else "")
        return f"{self.cameras}x{self.seconds:g}{more}" + (" bystander" if self.bystander else "")


CASES: Final = (
    *(Case(n, s) for n in (2, 4, 8) for s in (2, 10, 60)),
    Case(4, 10, late_ms=20), Case(4, 10, late_ms=80), Case(4, 10, focal=1.05), Case(4, 10, bystander=0.2),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What the cameras saw, and the truth."""

    truth: tuple[Camera, ...]
    told: tuple[Camera, ...]
    xy: Array
    """(V, F, 17, 2) pixels."""
    score: Array
    """(V, F, 17)"""
    height_mm: float
    """Of the average body whose long bones and trunk are the walker's."""


def motion(data: Path, seconds: float, subject: str, level: bool = False) -> Array:
    """(T, 17, 3) mm at 30 a second: pieces of walks of one subject, each in the middle, to and fro."""
    wanted = [name for name in (*_WALKS, *_VALIDATION) if name.startswith(subject)]
    part = "train" if wanted[0] in _VALIDATION else "test"
    file = np.load(data / "data" / "mocap" / f"sequences_30fps_{part}.npz")
    names, all_joints, sequence = [str(name) for name in file["seq_names"]], file["joints"], file["seq"]
    pieces, count, turn = [], 0, 0
    while count < seconds * 30:
        joints = all_joints[sequence == names.index(wanted[turn % len(wanted)])].astype(float)
        joints = levelled(joints) if level else joints
        joints[..., :2] -= joints[..., :2].mean((0, 1))
        # Walked to and fro, along ways that differ.
        a = np.pi * turn + 0.5 * (turn // 2)
        c, s = np.cos(a), np.sin(a)
        pieces.append(joints @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T)
        count, turn = count + len(joints), turn + 1
    return np.concatenate(pieces)[: round(seconds * 30)]


def levelled(joints: Array) -> Array:
    """A capture (T, 17, 3), turned so that its standing feet are level along the way.

    The floor of CMU's straight walks climbs by 1.0 to 1.5 degrees in the direction of most of them: the capture's z is
    no truth for a goal of 0.7 degrees, and a floor that climbs to and fro is none.
    """
    ankles = joints[:, list(BODY.ankles)]
    stands = np.linalg.norm(np.gradient(ankles, axis=0), axis=-1) < _SLOW_MM
    feet, foot = ankles[stands], np.nonzero(stands)[1]
    flat = feet[:, :2] - feet[:, :2].mean(0)
    way = np.linalg.svd(flat, full_matrices=False)[2][0]
    design = np.column_stack([flat @ way, np.ones(len(feet)), foot])
    slope = np.linalg.lstsq(design, feet[:, 2], rcond=None)[0][0]
    return joints @ rotation_matrix(np.arctan(slope) * np.array([-way[1], way[0], 0.0])).T


def make(case: Case, data: Path, seed: int, validation: bool = False, level: bool = False) -> Walk:
    """Joints of a walk as the cameras see them."""
    rng = np.random.default_rng(seed)
    joints = motion(data, case.seconds, "07" if validation else "09" if seed % 2 else "08", level)
    azimuths = 90.0 * np.arange(2) if case.cameras == 2 else 360.0 * np.arange(case.cameras) / case.cameras + 11.0
    cameras = ring(azimuths.tolist(), rng)
    at = np.arange(0, len(joints) - 3, round(30 * STEP_S))
    late = _moved(joints, at - 30 * case.late_ms / 1000)
    other = joints[(at + len(joints) // 2) % len(joints)] + [600.0, 500, 0]
    xy, score = np.zeros((len(cameras), len(at), 17, 2)), np.zeros((len(cameras), len(at), 17))
    for f in range(len(at)):
        for v, camera in enumerate(cameras):
            pose = late[f] if v == 1 else joints[at[f]]
            if v == len(cameras) - 1 and rng.random() < case.bystander:
                pose = other[f]
            found = detect(pose, [camera], FAULTS, rng)[0]
            xy[v, f], score[v, f] = found.xy, np.where(found.derived, 0.0, found.score)
            outside = ((found.xy < 0) | (found.xy >= camera.size)).any(-1)
            score[v, f, outside] = 0.0
    pairs, _ = BODY.bones()
    lengths = np.array([np.median(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)) for a, b in pairs])
    height = float(lengths[[0, 1, 2, 3, 6, 7]].sum() / _PARTS)
    return Walk(cameras, tuple(_told(c, case.focal) for c in cameras), xy, score, height)


def _moved(joints: Array, at: Array) -> Array:
    """Joints (F, 17, 3) at fractions of frames."""
    at = np.clip(at, 0, len(joints) - 1.001)
    k = at.astype(int)
    w = (at - k)[:, None, None]
    return (1 - w) * joints[k] + w * joints[k + 1]


def _told(camera: Camera, focal: float) -> Camera:
    """What is known of a camera: its lens."""
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= focal
    return replace(camera, K=K, R=np.eye(3), t=np.zeros(3), up=None)


def from_demo() -> Walk:
    """The four-camera demo's detections, beside its Qualisys file."""
    folder = demo.fetch(demo.MULTI)
    seen = list(fusion_demo.watch(folder))
    cameras = fusion_demo.cameras_of(folder, [size for size, _ in seen])
    frames = range(0, min(len(found) for _, found in seen), 3)
    xy = np.array([[found[f].xy for f in frames] for _, found in seen], float)
    score = np.array([[np.where(found[f].derived, 0, found[f].score) for f in frames] for _, found in seen], float)
    return Walk(tuple(cameras), tuple(_told(c, 1.0) for c in cameras), xy, score, float("nan"))


def ours(walk: Walk) -> dict[str, float]:
    """Our solver's errors; those of a refusal are NaN."""
    height = walk.height_mm if np.isfinite(walk.height_mm) else 1750.0
    result = solve_from_person(walk.told, walk.xy, walk.score, BODY, height, min_score=_SCORE, step_s=STEP_S)
    placed, vertical = result.cameras, float("nan")
    if result.up is not None:
        up = result.up
        with contextlib.suppress(CalibrationError):
            floor = floor_from_ankles(placed, result.joints[:, list(BODY.ankles)], up, up_degrees=0.0)
            up = placed[0].R.T @ floor.cameras[0].R @ [0.0, 0.0, 1.0]
        true = placed[0].R.T @ walk.truth[0].R @ [0.0, 0.0, 1.0]
        vertical = float(np.degrees(np.arccos(np.clip(up @ true, -1, 1))))
    R, t = np.stack([c.R for c in placed]), np.stack([c.t for c in placed])
    held = [angle < result.pair_degrees[a, b] for (a, b), angle in turned(walk, R).items()]
    return errors(walk, R, t) | {
        "vertical": vertical,
        "refused": float(bool(result.problems)),
        "predicted": float(result.pair_degrees.max()),
        "held": float(np.mean(held)),
    }


def theirs(walk: Walk, lifter: MDNLifter) -> dict[str, float]:
    """HumanCalib's, as its program calls it: poses placed in each camera, Procrustes, bundle adjustment.

    Raises:
        ImportError: where it is not installed.
    """
    from humancalib.calibration.ba import ba_main  # pyright: ignore[reportMissingImports] - of a venv of its own
    from humancalib.calibration.calib_linear import (  # pyright: ignore[reportMissingImports]
        calib_procrustes,
        place_in_camera,
    )

    K = np.stack([c.K for c in walk.told])
    joints = list(LIMBS)
    index = {joint: k for k, joint in enumerate(joints)}
    bones = np.array([[index[a], index[b]] for a, b in BODY.bones()[0]])
    flat = np.stack([image_to_ray(c, xy) @ c.K.T for c, xy in zip(walk.told, walk.xy, strict=True)])[..., :2]
    poses = lifted(walk, lifter)[:, :, joints] / 1000
    p2d, s2d = flat[:, :, joints], walk.score[:, :, joints]
    seen = (s2d > _SCORE).astype(float)
    p2d = np.where(seen[..., None] > 0, p2d, 0.0)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        p3d, s3d = place_in_camera(poses, seen, p2d, s2d, K, _SCORE)
        R, t, _ = calib_procrustes(p3d, s3d, K, p2d, s2d, _SCORE)
        R, t, _, _ = ba_main(
            list(range(len(K))), K, R, t, p2d, s2d, np.nan_to_num(p3d), s3d, 1.0, 1.0, _SCORE, bones,
            jac_mode="analytic",
        )  # fmt: skip
    return errors(walk, R, np.reshape(t, (-1, 3)))


def lifted(walk: Walk, lifter: MDNLifter) -> Array:
    """(V, F, 17, 3) mm, the mean of the lifter's mixture in camera axes."""
    out = np.zeros((*walk.score.shape, 3))
    for v, camera in enumerate(walk.told):
        inputs = [
            lifter_input(
                Detection(xy.astype(np.float32), score.astype(np.float32), np.zeros(17, bool), ""), camera, 0.1
            )
            for xy, score in zip(walk.xy[v], walk.score[v], strict=True)
        ]
        out[v] = [np.tensordot(m.weight, m.mean, 1) for m in lifter(inputs)]
    return out


def errors(walk: Walk, R: Array, t: Array) -> dict[str, float]:
    """Median over pairs of the relative rotation's error in degrees, the largest of them, and the scale's."""
    turns, lengths = list(turned(walk, R).values()), []
    centres = np.stack([-r.T @ s for r, s in zip(R, t, strict=True)])
    for a, b in combinations(range(len(R)), 2):
        apart = np.linalg.norm(walk.truth[a].centre - walk.truth[b].centre)
        lengths.append(float(np.linalg.norm(centres[a] - centres[b]) / apart))
    return {
        "rotation": float(np.median(turns)),
        "worst": max(turns),
        "scale": abs(float(np.median(lengths)) - 1),
    }


def turned(walk: Walk, R: Array) -> dict[tuple[int, int], float]:
    """Error of the relative rotation of each pair of cameras, degrees."""
    return {
        (a, b): float(angle_degrees(R[b] @ R[a].T, walk.truth[b].R @ walk.truth[a].R.T))
        for a, b in combinations(range(len(R)), 2)
    }


def measure(name: str, walks: Sequence[Walk], lifter: MDNLifter, peer: bool) -> dict[str, Any]:
    """Medians over walks of a kind: those that ours does not refuse, of both."""
    rows: dict[str, list[Mapping[str, float]]] = {"ours": [], "theirs": [], "theirs on what ours refused": []}
    seconds = {"ours": 0.0, "theirs": 0.0}
    refused: list[str] = []
    predictions: list[tuple[float, float]] = []
    held: list[float] = []
    for walk in walks:
        begin = time.process_time()
        row: Mapping[str, float] = {"refused": 1.0}
        try:
            row = ours(walk)
            predictions.append((row["predicted"], row["worst"]))
            held.append(row["held"])
            if row["refused"]:
                refused.append(f"{row['worst']:.2f} degrees off, {row['predicted']:.2f} predicted")
        except CalibrationError as error:
            refused.append(str(error))
        seconds["ours"] += time.process_time() - begin
        if not row["refused"]:
            rows["ours"].append(row)
        if peer:
            begin = time.process_time()
            rows["theirs on what ours refused" if row["refused"] else "theirs"].append(theirs(walk, lifter))
            seconds["theirs"] += time.process_time() - begin
    medians = {
        who: {key: float(np.median([row[key] for row in mine])) for key in mine[0]}
        for who, mine in rows.items()
        if mine
    }
    return {
        "name": name, **medians, "refused": refused, "seconds": seconds, "walks": len(walks),
        "held": float(np.mean(held)) if held else float("nan"), "predictions": predictions,
    }  # fmt: skip


def report(found: Sequence[Mapping[str, Any]]) -> str:
    """The table."""

    def cell(case: Mapping[str, Any], who: str, key: str, scale: float = 1.0) -> str:
        return f"{scale * case[who][key]:.2f}" if who in case and np.isfinite(case[who].get(key, np.nan)) else "-"

    rows = []
    for case in found:
        both = "ours" in case and "theirs" in case
        ratio = f"{case['ours']['rotation'] / case['theirs']['rotation']:.2f}" if both else "-"
        rows.append((
            case["name"], cell(case, "ours", "rotation"), cell(case, "theirs", "rotation"), ratio,
            cell(case, "ours", "worst"), cell(case, "ours", "predicted"), f"{100 * case['held']:.0f} %",
            cell(case, "ours", "vertical"), cell(case, "ours", "scale", 100),
            f"{len(case['refused'])} of {case['walks']}",
        ))  # fmt: skip
    head = (
        "cameras x seconds", "ours, degrees", "HumanCalib", "ratio", "worst pair", "predicted (95 %)", "pairs within",
        "vertical, degrees", "scale, %", "refused",
    )  # fmt: skip
    return table(head, rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder with data/mocap")
    parser.add_argument("--only", metavar="NAMES", help=f"some of demo, {', '.join(c.name for c in CASES)}")
    parser.add_argument("--walks", type=int, default=2, metavar="N", help="walks a case (2)")
    parser.add_argument("--validation", action="store_true", help="walks of a validation subject, for choosing")
    parser.add_argument("--level", action="store_true", help="turn every capture so that its floor is level")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        import humancalib  # noqa: F401  # pyright: ignore

        peer = True
    except ImportError:
        print("HumanCalib is not installed (pip install humancalib==0.5.4): ours alone", file=sys.stderr)
        peer = False
    wanted = args.only.split(",") if args.only else ["demo", *(case.name for case in CASES)]
    lifter, found = MDNLifter(), []
    for case in CASES:
        if case.name in wanted:
            print(f"{case.name} ...", file=sys.stderr, flush=True)
            walks = [make(case, args.data, seed, args.validation, args.level) for seed in range(args.walks)]
            found.append(measure(case.name, walks, lifter, peer))
            print(found[-1], file=sys.stderr, flush=True)
    if "demo" in wanted:
        found.append(measure("demo (4x1.65)", [from_demo()], lifter, peer))
    print(report(found))
    if args.json:
        write_json(args.json, {"machine": machine.describe(), "cases": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
