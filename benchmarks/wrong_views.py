"""Synthetic scenes in which one view is wrong: does the fusion leave it out, and is its sigma still honest?

People of the test subjects' sequences at 30 frames a second, in scenes as those of ``benchmarks.scenes``: a view of
another person, a mirrored one, two under each other's names, one whose camera was moved by 4 to 15 degrees and up to
300 mm since it was calibrated, one that is 300 ms late. The truth is the person of the views that are right.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks import scenes
from benchmarks.table import table
from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines import skeleton as sk
from engines.fusion import fuse
from engines.lifter import MDNLifter, lifter_input
from engines.training.data.mocap import Poses, load_poses
from engines.types import Detection, Mixture, Pose

KINDS = ("nothing", "another", "mirrored", "exchanged", "moved", "late")
LAYOUTS = {"2, 90 apart": (0, 90), "3, 60 apart": (0, 60, 120), "4, 90 apart": (0, 90, 180, 270)}
LATE_FRAMES = 9
MIN_SCORE = 0.1

Spoil = Callable[[list[Detection], Sequence[Camera], "People", np.random.Generator], list[Detection]]


class People:
    """Who is there: the person, the person 300 ms earlier, and somebody else in the room, (17, 3) mm each."""

    def __init__(self, poses: Poses, number: int, rng: np.random.Generator) -> None:
        joints = poses.joints.astype(np.float64)
        pair = joints[[number, number - LATE_FRAMES]]
        placed = scenes.stand(pair.reshape(-1, 3), rng).reshape(2, 17, 3)
        self.person, self.earlier = placed
        elsewhere = scenes.stand(joints[rng.integers(len(joints))], rng)
        away = rng.uniform(0, 2 * np.pi)
        self.other = elsewhere + rng.uniform(700, 1800) * np.array([np.cos(away), np.sin(away), 0])


def mirrored(seen: Detection, width: int) -> Detection:
    """What a detector sees in the mirrored picture: what is left there is right here."""
    xy = np.where(seen.score[:, None] > 0, (width - 1, 0) + seen.xy * (-1, 1), 0)[sk.MIRROR]
    xy, score, derived = sk.derive(xy, seen.score[sk.MIRROR])
    return replace(seen, xy=xy.astype(np.float32), score=score, derived=derived)


def moved(camera: Camera, rng: np.random.Generator) -> Camera:
    """The camera after somebody ran into it."""
    axis = rng.normal(size=3)
    turn = cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(rng.uniform(4, 15)))[0]
    return replace(camera, R=turn @ camera.R, t=turn @ camera.t + rng.uniform(-300, 300, 3) / np.sqrt(3))


def see(kind: str, cameras: Sequence[Camera], people: People, rng: np.random.Generator) -> list[Detection]:
    """What the cameras see, the last of them wrongly."""
    faults, last = scenes.Faults(), cameras[-1]
    found = scenes.detect(people.person, cameras, faults, rng)
    if kind == "exchanged":
        found[-2:] = found[:-3:-1]
    elif kind == "mirrored":
        found[-1] = mirrored(found[-1], last.size[0])
    elif kind == "moved":
        found[-1:] = scenes.detect(people.person, [moved(last, rng)], faults, rng)
    elif kind in ("another", "late"):
        found[-1:] = scenes.detect(people.other if kind == "another" else people.earlier, [last], faults, rng)
    return found


def measure(kind: str, azimuths: Sequence[float], poses: Poses, lifter: MDNLifter, count: int, seed: int) -> dict:
    """Figures of ``count`` scenes."""
    rng = np.random.default_rng(seed)
    starts = np.flatnonzero(poses.sequence[LATE_FRAMES:] == poses.sequence[:-LATE_FRAMES]) + LATE_FRAMES
    made: list[tuple[tuple[Camera, ...], Array, list[Detection]]] = []
    for number in rng.choice(starts, count, replace=False):
        people, cameras = People(poses, int(number), rng), scenes.ring(azimuths, rng)
        made.append((cameras, people.person, see(kind, cameras, people, rng)))
    lifted = lifter([lifter_input(d, c, MIN_SCORE) for cs, _, found in made for c, d in zip(cs, found, strict=True)])
    n, poses_found = len(azimuths), []
    for k, (cameras, _, found) in enumerate(made):
        poses_found.append(_fused(found, lifted[k * n : (k + 1) * n], cameras))
    return _figures(kind, [truth for _, truth, _ in made], [cs for cs, _, _ in made], poses_found)


def _fused(found: Sequence[Detection], lifted: Sequence[Mixture], cameras: Sequence[Camera]) -> Pose | None:
    return fuse(found, lifted, cameras, "map", min_score=MIN_SCORE)


def _figures(
    kind: str, truths: Sequence[Array], cameras: Sequence[tuple[Camera, ...]], poses: Sequence[Pose | None]
) -> dict:
    counted = np.ones(17, bool)
    counted[[sk.PELVIS, sk.THORAX]] = False
    wrong = {"nothing": 0, "exchanged": 2}.get(kind, 1)
    square, error, left_out, false = [], [], [], []
    methods: dict[str, int] = {}
    for truth, rig, pose in zip(truths, cameras, poses, strict=True):
        methods["none" if pose is None else pose.method] = methods.get("none" if pose is None else pose.method, 0) + 1
        if pose is None:
            continue
        off = (pose.joints - truth)[counted]
        error.append(np.linalg.norm(off, axis=-1))
        square.append((off * np.linalg.solve(pose.cov[counted], off[..., None])[..., 0]).sum(-1))
        out = [camera.name not in pose.cameras for camera in rig]
        left_out.append(all(out[len(rig) - wrong :]) if wrong else False)
        false.append(any(out[: len(rig) - wrong]))
    return {
        "median_mm": float(np.median(error)),
        "coverage": {k: float((np.array(square) < v).mean()) for k, v in scenes.COVERAGE.items()},
        "left_out": float(np.mean(left_out)),
        "false": float(np.mean(false)),
        "methods": methods,
    }


def run(folder: Path, lifter: MDNLifter, count: int, seed: int) -> dict:
    """All kinds in all layouts."""
    poses = load_poses(folder / "sequences_30fps_test.npz")
    return {
        f"{name}: {kind}": measure(kind, azimuths, poses, lifter, count, seed)
        for name, azimuths in LAYOUTS.items()
        for kind in KINDS
    }


def markdown(results: dict) -> str:
    """The results as Markdown."""
    heads = ("cameras: the wrong view", "median error, mm", "inside 50/80/95 %", "wrong view left out, %",
             "a good one left out, %", "disputed, %")  # fmt: skip
    rows = []
    for name, row in results.items():
        inside = " / ".join(f"{100 * v:.0f}" for v in row["coverage"].values())
        disputed = 100 * row["methods"].get("disputed", 0) / sum(row["methods"].values())
        shares = (f"{100 * row['left_out']:.0f}", f"{100 * row['false']:.0f}", f"{disputed:.0f}")
        rows.append([name, f"{row['median_mm']:.1f}", inside, *shares])
    return table(heads, rows)
