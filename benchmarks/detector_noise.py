"""How well the errors that the lifter is trained with are those of real detectors: quantiles side by side.

    python -m benchmarks.detector_noise --detector movenet-thunder,movenet-lightning

The second person of Pose2Sim's two-person recording (four calibrated cameras): not the frames and not the person of the
four-camera demo. Every second frame set: people are found by MoveNet MultiPose, each is detected by itself, and people
of four views are one where their joints triangulate best. Errors are against the robust triangulation of the same
joints, less their median over a view's joints, in diagonals of the box of the limb joints.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.fusion_demo import MIN_SCORE, NAMES, cameras_of
from benchmarks.table import table
from calibration.arrays import Array, Bools
from calibration.errors import UserError
from calibration.geometry.camera import Camera, world_to_image
from calibration.geometry.triangulation import reprojection_error, triangulate_linear, triangulate_robust
from calibration.writing import write_text
from engines import detectors, preprocess
from engines.argument_types import Parser
from engines.detectors.movenet import MoveNet
from engines.skeleton import JOINTS, L_HIP, LIMBS, MIRROR, R_HIP, RIGHT
from engines.top_down import Finder
from engines.training.lifter import detector_noise
from engines.types import Detection
from stream.app import demo
from stream.config import SourceConfig
from stream.sources import make_source

TWO_PEOPLE: Final = replace(demo.MULTI, prefix="Pose2Sim/Demo_MultiPerson/")
EVERY: Final = 2
_SIZE: Final = (1088, 1920)
_SURE: Final = 0.3
_SAME_PX: Final = 40.0
"""Two detections whose limb joints are nearer than this are of one person."""
_ONE_PERSON_PX: Final = 25.0
"""Detections of four views whose median reprojection error is below this are of one person."""
_SECOND_PERSON_X: Final = -500.0
"""The person of the demo is on the other side of it all the time, mm."""
_QUANTILES: Final = (0.5, 0.8, 0.95, 0.99)
_SIMULATED: Final = 5000
PAIRS: Final = {JOINTS[r].removeprefix("right_"): (r, int(MIRROR[r])) for r in RIGHT}


def people(detector: MoveNet, finder: Finder, image: NDArray[np.uint8]) -> list[Detection]:
    """Everybody in an image."""
    found: list[Detection] = []
    limbs = list(LIMBS)
    for person in finder.everywhere(image, 384):
        side = 1.2 * np.ptp(person.bounds, axis=0).max()
        pose = detector.see(image, preprocess.square(person.bounds.mean(0), side))
        again = any(np.linalg.norm(pose.xy[limbs] - p.xy[limbs], axis=-1).mean() < _SAME_PX for p in found)
        if np.sort(pose.score[limbs])[-8:].mean() > _SURE and not again:
            found.append(pose)
    return found


def one_person(cameras: Sequence[Camera], views: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """Detections of every view that are of one person, best first."""
    left, out = [list(view) for view in views], []
    while all(left):
        errors = {}
        for choice in itertools.product(*(range(len(view)) for view in left)):
            chosen = [view[k] for view, k in zip(left, choice, strict=True)]
            xy = np.array([np.where(d.score[:, None] >= _SURE, d.xy, np.nan) for d in chosen])[:, list(LIMBS)]
            points = triangulate_linear(cameras, xy, np.isfinite(xy[..., 0]).astype(float))
            errors[choice] = float(np.nanmedian(reprojection_error(cameras, points, xy)))
        best = min(errors, key=errors.__getitem__)
        if errors[best] > _ONE_PERSON_PX:
            break
        out.append([view.pop(k) for view, k in zip(left, best, strict=True)])
    return out


def watch(folder: Path, name: str) -> tuple[list[Camera], list[list[Detection]]]:
    """The cameras, and the second person's detections, one a view, of every frame set where there are four."""
    detector = detectors.load(name)
    if not isinstance(detector, MoveNet):
        raise UserError(f"{name} finds one person in an image; it takes one of MoveNet's to look at two")
    finder, cameras = Finder(), cameras_of(folder, [_SIZE] * len(NAMES))
    sources = [make_source(SourceConfig(str(folder / "videos" / f"{camera}.mp4"), camera)) for camera in NAMES]
    found = []
    for source in sources:
        source.open()
    try:
        for index in tqdm(itertools.count(), desc=name, unit="set", disable=None, file=sys.stderr):
            frames = [source.read() for source in sources]
            if any(frame is None for frame in frames):
                break
            if index % EVERY == 0:
                seen = [people(detector, finder, frame.image) for frame in frames if frame is not None]
                found += [one for one in one_person(cameras, seen) if _is_second(cameras, one)]
    finally:
        for source in sources:
            source.close()
    return cameras, found


def _is_second(cameras: Sequence[Camera], views: Sequence[Detection]) -> bool:
    hips = triangulate_linear(cameras, np.array([d.xy for d in views])[:, [L_HIP, R_HIP]], np.ones((len(views), 2)))
    return bool(hips[:, 0].mean() > _SECOND_PERSON_X)


def errors(cameras: Sequence[Camera], found: Sequence[Sequence[Detection]]) -> tuple[Array, Bools]:
    """(N, 17, 2) errors in diagonals, NaN where there is none, and (N, 17) which joints are missing."""
    xy, score = (np.array([[getattr(d, part) for d in views] for views in found]) for part in ("xy", "score"))
    sure = np.where(score[..., None] >= MIN_SCORE, xy, np.nan)
    points = triangulate_robust(cameras, sure.transpose(1, 0, 2, 3)).points
    limbs, parts = list(LIMBS), []
    for view, camera in enumerate(cameras):
        exact = world_to_image(camera, points)
        off = np.full((len(points), 17, 2), np.nan)
        off[:, limbs] = (sure[:, view] - exact)[:, limbs]
        box = np.nanmax(exact[:, limbs], 1) - np.nanmin(exact[:, limbs], 1)
        off -= np.nanmedian(off, 1, keepdims=True)
        parts.append(off / np.linalg.norm(box, axis=-1)[:, None, None])
    return np.concatenate(parts), np.concatenate(list((score < MIN_SCORE).transpose(1, 0, 2)))


def simulated(factor: float, seed: int = 0) -> tuple[Array, Bools]:
    """The model's errors and missing joints, as ``errors``; the box is 1."""
    rng = np.random.default_rng(seed)
    exact = np.zeros((_SIMULATED, 17, 2))
    exact[:, LIMBS[0]] = [0.6, 0.8]
    factors = np.full(_SIMULATED, factor)
    off = detector_noise.displace(exact, factors, rng) - exact
    off -= np.median(off[:, list(LIMBS)], 1, keepdims=True)
    return off, detector_noise.missing(factors, rng)


def quantiles(off: Array, absent: Bools) -> dict[str, dict[str, float]]:
    """Joint -> what -> per cent: quantiles of the error, share missing, and the correlation of left and right."""
    out = {}
    for name, pair in PAIRS.items():
        size = np.linalg.norm(off[:, pair], axis=-1)
        out[name] = {f"{q:.0%}": float(100 * np.nanquantile(size, q)) for q in _QUANTILES}
        out[name]["missing"] = float(100 * absent[:, pair].mean())
    return out


def markdown(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The figures as a Markdown table."""
    heads = ["joint", *(f"{name}: 50 / 80 / 95 / 99 %, missing" for name in results)]
    rows = []
    for joint in PAIRS:
        cells = []
        for found in results.values():
            *sizes, missing = found[joint].values()
            cells.append(" / ".join(f"{v:.1f}" for v in sizes) + f", {missing:.1f}")
        rows.append([joint, *cells])
    return "Error, per cent of the diagonal of the box of the limb joints; joints missing, per cent.\n\n" + table(
        heads, rows
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="movenet-thunder,movenet-lightning", metavar="NAME[,NAME...]")
    parser.add_argument("--factor", type=float, nargs="+", default=[1.0, 1.6], help="of the model (default: 1 1.6)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        results: dict[str, Any] = {}
        folder = demo.fetch(TWO_PEOPLE, demo.cache_folder() / "two-people")
        for name in args.detector.split(","):
            results[name.strip()] = quantiles(*errors(*watch(folder, name.strip())))
        for factor in args.factor:
            results[f"model x {factor:g}"] = quantiles(*simulated(factor))
        print(markdown(results))
        if args.json:
            write_text(args.json, json.dumps(results, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"detector_noise: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
