"""How well 2D detectors agree across the views of the real four-camera recording, rear views included.

    python -m benchmarks.detector_views --detector movenet-thunder,movenet-lightning,mediapipe,mediapipe-lite
    python -m benchmarks.detector_views --detector hourglass --weights hourglass.onnx --json views.json

- Residual: each detector's limb joints, triangulated from all four views, against themselves: pixels, and millimetres
  at the person's distance. It does not see an error that all views make alike.
- PCK@0.2 of the torso and exchanged left and right, a view, against a consensus that the view took no part in: the
  robust triangulation of what the detectors of ``--consensus`` saw in the *other* three views. Its default has one
  detector of each of two families, so that neither outvotes the other; it is the same for whoever is measured.
  ``four_views`` is against that of all four views: a better one, but it flatters who took part in it.
- A view is from the rear while the person faces away from the camera by more than 120 degrees.
- *Less the shift*: the same with one shift a view taken out, the median by which all joints of all witnesses are off in
  it over the whole recording. A shift of the whole body that all of them share is the calibration's, not a detector's.

Sessions follow the person through the video, as a run does.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.fusion_demo import MIN_SCORE, NAMES, cameras_of
from calibration.arrays import Array
from calibration.errors import UserError
from calibration.geometry.camera import Camera, world_to_camera, world_to_image
from calibration.geometry.triangulation import reprojection_error, triangulate_robust
from calibration.writing import write_text
from engines.argument_types import Parser
from engines.skeleton import L_HIP, L_SHOULDER, LIMBS, R_HIP, R_SHOULDER
from engines.training.evaluation import detector, detector_metrics
from engines.training.evaluation.detector import Running
from engines.training.evaluation.detector_metrics import Labels
from engines.types import Detector
from stream.app import demo
from stream.config import SourceConfig
from stream.sources import make_source

CONSENSUS: Final = "movenet-thunder,mediapipe"
REAR: Final = np.cos(np.radians(120))
"""Cosine between where the person faces and where the camera stands, seen from the person; below it is the rear."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What one detector saw: V views, T frames."""

    xy: Array
    """(V, T, 17, 2) px of the videos."""
    score: Array
    """(V, T, 17)."""


def watch(folder: Path, detectors: Mapping[str, Detector]) -> tuple[list[Camera], dict[str, Watched]]:
    """The cameras of the videos, and what every detector saw in them."""
    sizes, seen = [], {name: [] for name in detectors}
    for camera in NAMES:
        with ExitStack() as stack:
            source = make_source(SourceConfig(str(folder / "videos" / f"{camera}.mp4"), camera))
            stack.enter_context(closing(source))
            sizes.append(source.open().size)
            sessions = {name: detector.session() for name, detector in detectors.items()}
            found = {name: [] for name in detectors}
            bar = stack.enter_context(tqdm(desc=camera, unit="frame", disable=None, file=sys.stderr))
            while (frame := source.read()) is not None:
                for name, session in sessions.items():
                    found[name].append(session(frame.image, frame.t))
                bar.update()
        for name in detectors:
            seen[name].append(found[name])
    count = min(len(view) for views in seen.values() for view in views)
    return cameras_of(folder, sizes), {
        name: Watched(
            *(np.array([[getattr(d, part) for d in view[:count]] for view in views]) for part in ("xy", "score"))
        )
        for name, views in seen.items()
    }


def sure(watched: Watched) -> Array:
    """(V, T, 17, 2) px, NaN where the detector is not sure enough to triangulate."""
    return np.where(watched.score[..., None] >= MIN_SCORE, watched.xy, np.nan)


def consensus(cameras: Sequence[Camera], witnesses: Sequence[Watched], left_out: int | None = None) -> Array:
    """(T, 17, 3) mm, world: what all the witnesses saw from every view, but perhaps one; NaN where too few did."""
    views = [k for k in range(len(cameras)) if k != left_out]
    xy = np.concatenate([sure(w)[views] for w in witnesses])
    return triangulate_robust([cameras[k] for k in views] * len(witnesses), xy).points


def truth_of(camera: Camera, points: Array) -> Labels:
    """The consensus (T, 17, 3) as labels of one view's frames."""
    xy = world_to_image(camera, points)
    seen = np.zeros(xy.shape[:2], bool)
    seen[:, LIMBS] = np.isfinite(xy[:, LIMBS]).all(-1)
    torso = np.linalg.norm(xy[:, R_SHOULDER] - xy[:, L_HIP], axis=-1)
    return Labels(xy, seen, torso, np.full(len(xy), np.nan), np.asarray(seen[:, LIMBS].all(-1)))


def from_behind(camera: Camera, points: Array) -> NDArray[np.bool_]:
    """(T,) whether a camera sees the person (T, 17, 3) from the rear."""
    left = points[:, [L_SHOULDER, L_HIP]].sum(1) - points[:, [R_SHOULDER, R_HIP]].sum(1)
    up = points[:, [L_SHOULDER, R_SHOULDER]].sum(1) - points[:, [L_HIP, R_HIP]].sum(1)
    forward = np.cross(left, up)
    to_camera = -camera.R.T @ camera.t - points[:, [L_HIP, R_HIP]].mean(1)
    lengths = np.linalg.norm(forward, axis=-1) * np.linalg.norm(to_camera, axis=-1)
    return (forward * to_camera).sum(-1) < REAR * lengths


def shifts(cameras: Sequence[Camera], witnesses: Sequence[Watched], points: Sequence[Array]) -> Array:
    """(V, 2) px by which the witnesses' limb joints lie beside the consensus (T, 17, 3) of each view, in the median."""
    found = []
    for k, (camera, pose) in enumerate(zip(cameras, points, strict=True)):
        off = [(sure(w)[k] - world_to_image(camera, pose))[:, LIMBS].reshape(-1, 2) for w in witnesses]
        found.append(np.nanmedian(np.concatenate(off), axis=0))
    return np.nan_to_num(np.array(found))


def residual(cameras: Sequence[Camera], watched: Watched) -> dict[str, float]:
    """Median and 90th percentile of the distance between a detector's limb joints and their own triangulation."""
    xy = sure(watched)[:, :, LIMBS]
    points = triangulate_robust(cameras, xy).points
    px = reprojection_error(cameras, points, xy)
    per_px = [world_to_camera(camera, points)[..., 2] / camera.K[[0, 1], [0, 1]].mean() for camera in cameras]
    both = {"px": px, "mm": px * np.stack(per_px)}
    return {
        f"{kind}_{unit}": float(np.nanpercentile(error, q))
        for unit, error in both.items()
        for kind, q in (("median", 50), ("p90", 90))
    } | {"triangulated": float(100 * np.isfinite(px).mean())}


def agreement(cameras: Sequence[Camera], watched: Watched, points: Sequence[Array]) -> dict:
    """PCK@0.2 and exchanged pairs against the consensus (T, 17, 3) that each view took no part in, per cent."""
    found = np.where(watched.score[..., None] > 0, watched.xy, np.nan)
    rows, pooled = {}, {"all": [], "rear": []}
    exchanged = np.zeros((len(cameras), 2))
    for k, (camera, pose) in enumerate(zip(cameras, points, strict=True)):
        truth = truth_of(camera, pose)
        reach = detector_metrics.TORSO_SHARE * truth.torso
        known = truth.seen & np.isfinite(truth.torso)[:, None]
        hit, rear = detector_metrics.right(truth, found[k], reach), from_behind(camera, pose)
        exchanged[k] = detector_metrics.swaps(truth, found[k])
        pooled["all"].append(hit[known])
        pooled["rear"].append(hit[known & rear[:, None]])
        rows[camera.name] = {
            "pck_0.2": float(100 * hit[known].mean()), "rear_share": float(100 * rear.mean()),
            "swap_rate": float(100 * exchanged[k, 0] / exchanged[k, 1]),
        }  # fmt: skip
    hits, behind = (np.concatenate(pooled[key]) for key in ("all", "rear"))
    return {
        "pck_0.2": float(100 * hits.mean()),
        "pck_0.2_rear": float(100 * behind.mean()) if len(behind) else None,
        "swap_rate": float(100 * exchanged[:, 0].sum() / exchanged[:, 1].sum()),
        "by_view": rows,
    }


def _moved(watched: Watched, by: Array) -> Watched:
    return Watched(watched.xy + by[:, None, None], watched.score)


def measure(
    cameras: Sequence[Camera], seen: Mapping[str, Watched], names: Sequence[str], judges: Sequence[str]
) -> dict[str, dict]:
    """All figures of the detectors ``names`` against the consensus of ``judges``."""
    witnesses = [seen[name] for name in judges]
    points = [consensus(cameras, witnesses, k) for k in range(len(cameras))]
    together = [consensus(cameras, witnesses)] * len(cameras)
    shift = shifts(cameras, witnesses, points)
    return {
        name: agreement(cameras, seen[name], points)
        | {
            "less_shift": agreement(cameras, _moved(seen[name], -shift), points),
            "shift_px": {camera.name: off.tolist() for camera, off in zip(cameras, shift, strict=True)},
            "four_views": agreement(cameras, seen[name], together),
            "residual": residual(cameras, seen[name]),
            "consensus": list(judges),
            "frames": seen[name].xy.shape[1],
        }
        for name in names
    }


def markdown(results: Mapping[str, dict]) -> str:
    """The figures as a Markdown table."""
    some = next(iter(results.values()))
    views = {
        name: name + (f" ({row['rear_share']:.0f} % from the rear)" if row["rear_share"] >= 1 else "")
        for name, row in some["by_view"].items()
    }
    lines = [f"{some['frames']} moments. PCK@0.2, per cent, against what {' and '.join(some['consensus'])} saw in the "
             "other views; residual: median / 90th percentile.", ""]  # fmt: skip
    heads = ["detector", "all views", "from the rear", *views.values(), "swaps", "less the shift: all", "from the rear"]
    heads += ["four views: all", "from the rear", "residual px", "residual mm"]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, row in results.items():
        off, four, less = row["residual"], row["four_views"], row["less_shift"]
        cells = [_cell(row["pck_0.2"]), _cell(row["pck_0.2_rear"])]
        cells += [_cell(row["by_view"][view]["pck_0.2"]) for view in views] + [_cell(row["swap_rate"])]
        cells += [_cell(less["pck_0.2"]), _cell(less["pck_0.2_rear"])]
        cells += [_cell(four["pck_0.2"]), _cell(four["pck_0.2_rear"])]
        cells += [f"{off[f'median_{unit}']:.1f} / {off[f'p90_{unit}']:.1f}" for unit in ("px", "mm")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    told = (f"{view} ({x:+.1f}, {y:+.1f})" for view, (x, y) in some["shift_px"].items())
    return "\n".join([*lines, "", f"Shift of a view, px right and down: {', '.join(told)}."])


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", required=True, metavar="NAME[,NAME...]")
    parser.add_argument("--consensus", default=CONSENSUS, metavar="NAME[,NAME...]", help=f"default: {CONSENSUS}")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], metavar="FILE",
                        help="hourglasses other than the shipped one, as for evaluate_detector")  # fmt: skip
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "int8"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        wanted, judges = (
            [name.strip() for name in text.split(",") if name.strip()] for text in (args.detector, args.consensus)
        )
        if not wanted or not judges:
            raise UserError("--detector and --consensus need a name each")
        with tempfile.TemporaryDirectory() as scratch:
            names = list(dict.fromkeys([*wanted, *judges]))
            running = Running(args.runtime, args.threads, args.precision)
            loaded = detector.load(names, args.weights, running, Path(scratch))
            cameras, seen = watch(demo.fetch(demo.MULTI), loaded)
        results = measure(cameras, seen, [name for name in loaded if name in wanted or name not in judges], judges)
        print(markdown(results))
        if args.json:
            write_text(args.json, json.dumps(results, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"detector_views: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
