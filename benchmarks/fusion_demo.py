"""Fusion on the real four-camera recording: no truth, but cameras that were not used, bones, and a still hand.

- Held out: the pose from some of the cameras, projected into one of the others, against what was detected there.
- Bones: standard deviation of a limb's length over time, as a share of its mean.
- Jitter: mean second difference of a joint from frame to frame, mm (60 frames a second).
- Gravity: each camera's lifter alone, with and without knowing which way is up, against triangulation from all four.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration.arrays import Array
from calibration.fitting import fit_camera, parse_letterbox
from calibration.formats import load_calibration
from calibration.geometry.camera import Camera, world_to_image
from calibration.types import with_up
from engines import detectors
from engines.detectors import DetectorOptions
from engines.fusion import Fuser
from engines.lifter import MDNLifter, lifter_input
from engines.runtimes import NetworkOptions
from engines.skeleton import L_HIP, LEFT, LIMBS, PARENTS, R_HIP, RIGHT
from engines.training import metrics
from engines.types import Detection, Mixture, Pose
from stream.app import demo
from stream.config import SourceConfig
from stream.sources import make_source

NAMES = ("cam01", "cam02", "cam03", "cam04")
METHODS = ("triangulate", "hypotheses", "map")
FPS = 60.0
MIN_SCORE = 0.2
BONES = [(int(PARENTS[j]), j) for side in (RIGHT, LEFT) for j in side if PARENTS[j] in side]
FrameSet = tuple[list[Detection | None], list[Mixture | None]]


def cameras_of(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Camera]:
    """The calibration for the videos as they are: z is up, and two of the videos are letterboxed."""
    calibration = with_up(load_calibration(folder / "calibration" / "Calib.qca.txt"), np.array([0.0, 0.0, 1.0]))
    found = []
    for name, camera, size in zip(NAMES, calibration.cameras, sizes, strict=True):
        letterbox = parse_letterbox(demo.LETTERBOX)[1] if size != camera.size else None
        found.append(replace(fit_camera(camera, size, letterbox)[0], name=name))
    return found


def watch(folder: Path, name: str = "movenet-thunder") -> Iterator[tuple[tuple[int, int], list[Detection]]]:
    """Image size and detections of every video, by a detector: the same on every machine."""
    detector = detectors.load(name, DetectorOptions(network=NetworkOptions(runtime="onnx", precision="fp32")))
    for camera in NAMES:
        session, found = detector.session(), []
        source = make_source(SourceConfig(str(folder / "videos" / f"{camera}.mp4"), camera))
        size = source.open().size
        try:
            while (frame := source.read()) is not None:
                found.append(session(frame.image, frame.t))
        finally:
            source.close()
        yield size, found


def lift(lifter: MDNLifter, cameras: Sequence[Camera], detections: Sequence[Sequence[Detection]]) -> list[FrameSet]:
    """Detections by camera and frame to frame sets with mixtures."""
    by_camera = []
    for camera, found in zip(cameras, detections, strict=True):
        usable = [k for k, d in enumerate(found) if (d.score[list(LIMBS)] >= MIN_SCORE).sum() >= 6]
        mixtures: list[Mixture | None] = [None] * len(found)
        lifted = lifter([lifter_input(found[k], camera, MIN_SCORE) for k in usable])
        for k, mixture in zip(usable, lifted, strict=True):
            mixtures[k] = mixture
        by_camera.append(mixtures)
    count = min(len(found) for found in detections)
    return [([found[k] for found in detections], [m[k] for m in by_camera]) for k in range(count)]


def track(
    cameras: Sequence[Camera], moments: Sequence[FrameSet], used: Sequence[int], method: str
) -> list[Pose | None]:
    """The fused pose of every frame set from the cameras ``used``."""
    fuser = Fuser([cameras[k] for k in used], method, MIN_SCORE)
    return [
        fuser([found[k] for k in used], [mixtures[k] for k in used], index / FPS)
        for index, (found, mixtures) in enumerate(moments)
    ]


def joints_of(poses: Sequence[Pose | None]) -> Array:
    """(T, 17, 3) mm, NaN where there is none."""
    return np.stack([np.full((17, 3), np.nan) if pose is None else pose.joints for pose in poses])


def held_out(camera: Camera, joints: Array, found: Sequence[Detection]) -> Array:
    """(T, 12) pixels between the projected limb joints and what this camera detected; NaN where one is missing."""
    xy = np.stack([d.xy for d in found])[:, LIMBS]
    seen = np.stack([d.score for d in found])[:, LIMBS] >= MIN_SCORE
    error = np.linalg.norm(world_to_image(camera, joints[:, LIMBS]) - xy, axis=-1)
    return np.where(seen, error, np.nan)


def steady(joints: Array) -> dict[str, float]:
    length = np.stack([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in BONES], -1)
    bend = np.linalg.norm(np.diff(joints[:, LIMBS], n=2, axis=0), axis=-1)
    return {
        "bones": float(np.nanmean(np.nanstd(length, 0) / np.nanmean(length, 0))),
        "jitter_mm": float(np.nanmean(bend)),
        "answered": float(np.isfinite(joints[:, LIMBS]).all(-1).mean()),
    }


def run(lifter: MDNLifter) -> dict:
    """All figures of the recording."""
    folder = demo.fetch(demo.MULTI)
    sizes, detections = zip(*watch(folder), strict=True)
    cameras = cameras_of(folder, sizes)
    moments = lift(lifter, cameras, detections)
    found = [list(one)[: len(moments)] for one in detections]
    out: dict = {"frames": len(moments), "subsets": {}, "held_out": {}}
    every = range(len(cameras))
    for count in (1, 2, 3, 4):
        pooled: dict[str, list[Array]] = {method: [] for method in METHODS}
        for used in itertools.combinations(every, count):
            joints = {m: joints_of(track(cameras, moments, used, m)) for m in METHODS}
            row = {m: steady(joints[m]) for m in METHODS}
            for other in (k for k in every if k not in used):
                errors = {m: held_out(cameras[other], joints[m], found[other]) for m in METHODS}
                # Only what all of them answer is compared.
                shared = np.isfinite(np.stack(list(errors.values()))).all(0)
                for m in METHODS:
                    pooled[m].append(errors[m][shared])
                    row[m][f"held_out_{NAMES[other]}_px"] = float(errors[m][shared].mean())
            out["subsets"]["+".join(NAMES[k] for k in used)] = row
        if count < len(cameras):
            joined = {m: np.concatenate(parts) for m, parts in pooled.items()}
            out["held_out"][str(count)] = {
                m: {"mean_px": float(e.mean()), "median_px": float(np.median(e))} for m, e in joined.items()
            }
    reference = joints_of(track(cameras, moments, list(every), "triangulate"))
    reference = reference - (reference[:, [R_HIP]] + reference[:, [L_HIP]]) / 2
    out["gravity"] = {
        camera.name: {
            key: _alone(lifter, replace(camera, up=up), one, reference)
            for key, up in (("known", camera.up), ("unknown", None))
        }
        for camera, one in zip(cameras, found, strict=True)
    }
    return out


def _alone(lifter: MDNLifter, camera: Camera, found: Sequence[Detection], reference: Array) -> dict[str, float]:
    """MPJPE of one camera's lifter over the limb joints, root-relative, against (T, 17, 3) in the world, mm."""
    mixtures = lifter([lifter_input(one, camera, MIN_SCORE) for one in found])
    truth = reference[:, LIMBS] @ camera.R.T
    mean = np.stack([m.mean for m in mixtures])[:, :, LIMBS]
    weight = np.stack([m.weight for m in mixtures])
    single = metrics.answers(mean, weight)
    best = metrics.mpjpe(mean, truth[:, None]).min(-1)
    names = ("best", "most_probable", "mean")
    errors = (best, *(metrics.mpjpe(answer, truth) for answer in single))
    return {name: float(np.nanmean(error)) for name, error in zip(names, errors, strict=True)}


def table(results: dict) -> str:
    """The results as Markdown."""
    lines = [f"{results['frames']} moments. Held-out reprojection error, pixels, mean (median):", ""]
    lines += ["| cameras used | " + " | ".join(METHODS) + " |", "|---" * (len(METHODS) + 1) + "|"]
    for count, row in results["held_out"].items():
        cells = [f"{row[m]['mean_px']:.1f} ({row[m]['median_px']:.1f})" for m in METHODS]
        lines.append(f"| any {count} | " + " | ".join(cells) + " |")
    lines += ["", "| cameras | held-out px: " + ", ".join(METHODS) + " | bones, % | jitter, mm | answered, % |"]
    lines.append("|---|---|---|---|---|")
    for name, row in results["subsets"].items():
        held = {m: [v for k, v in row[m].items() if k.startswith("held_out_")] for m in METHODS}
        cells = [", ".join(f"{np.mean(held[m]):.1f}" for m in METHODS) if held["map"] else "-"]
        for key, factor in (("bones", 100), ("jitter_mm", 1), ("answered", 100)):
            cells.append(", ".join(f"{factor * row[m][key]:.1f}" for m in METHODS))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "The lifter alone, MPJPE of the limb joints against triangulation from all four, mm:", ""]
    lines += ["| camera | gravity known: best, most probable, mean | unknown |", "|---|---|---|"]
    for name, row in results["gravity"].items():
        known, unknown = (
            ", ".join(f"{row[key][kind]:.1f}" for kind in ("best", "most_probable", "mean"))
            for key in ("known", "unknown")
        )
        lines.append(f"| {name} | {known} | {unknown} |")
    return "\n".join(lines)
