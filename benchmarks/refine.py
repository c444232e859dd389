"""What refinement after the take is worth: sequences of the test subjects, live answers against refined ones.

    python -m benchmarks.refine
    python -m benchmarks.refine --validation --set limb_mm=6
    python -m benchmarks.refine --demo

One camera: the still, level cameras and the noise of ``benchmarks.tracks``; errors are root-relative. Several: the
cameras and the faulty 2D joints of ``benchmarks.fusion`` at its defaults, moment by moment; errors are in the world.
Live is what the program answers: the filtered answer of the most probable track, and ``map``.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import scenes
from benchmarks.table import write_json
from calibration.arrays import Array, Bools
from calibration.errors import UserError
from calibration.geometry.camera import Camera, camera_from_fov
from engines import skeleton as sk
from engines.argument_types import Parser, at_least
from engines.fusion import Fuser
from engines.fusion.views import Views, gather
from engines.lifter import MDNLifter, lifter_input
from engines.refinement import Refined, RefineOptions, refine_person
from engines.training import metrics
from engines.training.data import where
from engines.training.data.mocap import VALIDATION_SUBJECTS, load_poses
from engines.training.lifter import views as looks
from engines.training.temporal.validate import before_a_camera, jitter, unbroken
from engines.types import Detection, Mixture
from stream.config import TrackConfig
from stream.live.tracks import Tracker

LAYOUTS = {"2, 90 apart": (0, 90), "2, 20 apart": (0, 20), "4, 90 apart": (0, 90, 180, 270)}
MIN_SCORE = 0.1
FPS = 30.0
UP = np.array([0.0, 0.0, 1.0])


def covered(error: Array, cov: Array) -> dict[str, float]:
    """The share of errors (N, 3) mm that lie inside the regions of their covariances (N, 3, 3) mm2."""
    square = (error * np.linalg.solve(cov, error[..., None])[..., 0]).sum(-1)
    return {name: float((square < most).mean()) for name, most in scenes.COVERAGE.items()}


def one_camera(
    joints: Array, lifter: MDNLifter, noise: float, rng: np.random.Generator, options: RefineOptions
) -> dict:
    """One sequence (F, 17, 3) mm before one camera: figures of the live answer and the refined one."""
    local, R, _ = before_a_camera(joints, rng)
    rays, truth = looks.add_noise(local[..., :2] / local[..., 2:], noise, rng), local - local[:, :1]
    K = camera_from_fov("camera", scenes.SIZE, 75).K
    camera = Camera("camera", scenes.SIZE, K, np.zeros(5), np.eye(3), np.zeros(3), R @ UP)
    times = np.arange(len(joints)) / FPS
    found = []
    for ray in rays:
        xy, score, derived = sk.derive(ray * [K[0, 0], K[1, 1]] + K[:2, 2], np.full(17, 0.8))
        found.append(Detection(xy.astype(np.float32), score.astype(np.float32), derived, "synthetic"))
    mixtures = lifter([lifter_input(one, camera, MIN_SCORE) for one in found])
    tracker = Tracker(TrackConfig())
    live = np.stack([tracker(one, t)[2] for one, t in zip(mixtures, times, strict=True)])
    views = [gather([one], [m], [camera], MIN_SCORE) for one, m in zip(found, mixtures, strict=True)]
    refined = refine_person(times, views, np.full((len(times), 17, 3), np.nan), camera.up, options)
    answer = refined.joints - refined.joints[:, :1]
    error = answer - truth
    return {
        "frames": len(joints),
        "live": {"mpjpe": float(metrics.mpjpe(live, truth).mean()), "jitter": jitter(live, truth)},
        "refined": {"mpjpe": float(metrics.mpjpe(answer, truth).mean()), "jitter": jitter(answer, truth)},
        "coverage": covered(error[:, 1:], refined.relative_cov[:, 1:]),
        "noise": refined.noise,
        "slid": refined.slid_mm,
    }


def several(
    joints: Array, azimuths: Sequence[float], lifter: MDNLifter, rng: np.random.Generator, options: RefineOptions
) -> dict:
    """One sequence (F, 17, 3) mm before several cameras."""
    middle = joints.mean((0, 1))
    truth = joints.astype(np.float64) - [middle[0], middle[1], joints[..., 2].min() - 80]
    cameras = scenes.ring(azimuths, rng)
    times = np.arange(len(truth)) / FPS
    found = [scenes.detect(pose, cameras, scenes.Faults(), rng) for pose in truth]
    lifted = lifter([lifter_input(d, c, MIN_SCORE) for row in found for d, c in zip(row, cameras, strict=True)])
    n = len(cameras)
    mixtures: list[list[Mixture]] = [lifted[k * n : (k + 1) * n] for k in range(len(truth))]
    fuser = Fuser(cameras, "map", MIN_SCORE)
    poses = [fuser(d, m, t) for d, m, t in zip(found, mixtures, times, strict=True)]
    live = np.stack([np.full((17, 3), np.nan) if pose is None else pose.joints for pose in poses])
    views: list[Views | None] = [gather(d, m, cameras, MIN_SCORE) for d, m in zip(found, mixtures, strict=True)]
    refined = refine_person(times, views, live, UP, options)
    known = np.asarray(np.isfinite(live).all((1, 2)) & np.isfinite(refined.joints).all((1, 2)))
    return _figures(live, refined, truth, known) | {"unknown": int((~known).sum())}


def _figures(live: Array, refined: Refined, truth: Array, known: Bools) -> dict:
    error = refined.joints - truth
    return {
        "frames": int(known.sum()),
        "live": {"mpjpe": float(metrics.mpjpe(live, truth)[known].mean()), "jitter": jitter(live[known], truth[known])},
        "refined": {
            "mpjpe": float(metrics.mpjpe(refined.joints, truth)[known].mean()),
            "jitter": jitter(refined.joints[known], truth[known]),
        },
        "coverage": covered(error[known].reshape(-1, 3), refined.cov[known].reshape(-1, 3, 3)),
        "noise": refined.noise,
        "slid": refined.slid_mm,
    }


def mean_of(rows: Sequence[dict]) -> dict:
    """The figures of all sequences, weighted by their frames."""
    frames = [row["frames"] for row in rows]
    out: dict = {"frames": sum(frames), "sequences": len(rows)}
    for part in ("live", "refined", "coverage"):
        out[part] = {key: float(np.average([row[part][key] for row in rows], weights=frames)) for key in rows[0][part]}
    slid = np.array([row["slid"] for row in rows])
    out["slid"] = [float(x) for x in np.nanmean(slid, axis=0)] if np.isfinite(slid).any() else [float("nan")] * 2
    out["noise"] = float(np.mean([row["noise"] for row in rows]))
    return out


def table(results: dict[str, dict]) -> str:
    """Markdown."""
    lines = [
        "| cameras | MPJPE, mm: live, refined | ratio | jitter, mm/frame²: live, refined | ratio | inside 50/80/95 % "
        "| standing feet slide, mm a frame: before, after |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        live, refined = row["live"], row["refined"]
        inside = " / ".join(f"{100 * value:.0f}" for value in row["coverage"].values())
        lines.append(
            f"| {name} | {live['mpjpe']:.1f}, {refined['mpjpe']:.1f} | {refined['mpjpe'] / live['mpjpe']:.2f} | "
            f"{live['jitter']:.1f}, {refined['jitter']:.2f} | {refined['jitter'] / live['jitter']:.2f} | {inside} | "
            f"{row['slid'][0]:.1f}, {row['slid'][1]:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--validation", action="store_true", help="the validation subjects: to choose parameters")
    parser.add_argument("--noise", type=float, default=2.0, metavar="PERCENT", help="one camera's (default: 2)")
    parser.add_argument("--every", type=at_least(1), default=1, metavar="N", help="only each Nth sequence")
    parser.add_argument("--frames", type=at_least(30), default=10**6, help="of a sequence at most")
    parser.add_argument("--cameras", metavar="NAMES", help="some of 1; " + "; ".join(LAYOUTS) + ", joined by ';'")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of RefineOptions")
    parser.add_argument("--demo", action="store_true", help="the four-camera recording: its cameras corrected")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="--demo: draw live and refined (PNG)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        options = dataclasses.replace(RefineOptions(), **{k: float(v) for k, v in (s.split("=") for s in args.set)})
        if args.demo:
            # It needs detectors, a video decoder and the demo's files; the sequences need none of them.
            from benchmarks import refine_demo

            found = refine_demo.run(MDNLifter())
            print(refine_demo.table(found))
            if args.picture:
                refine_demo.picture(found, args.picture)
            if args.json:
                write_json(args.json, found)
            return 0
        name = "sequences_30fps_train.npz" if args.validation else "sequences_30fps_test.npz"
        poses = load_poses(where.needed(args.data, "--data") / name)
        if args.validation:
            poses = poses.select(np.isin(poses.subject, VALIDATION_SUBJECTS))
        chosen = list(unbroken(poses))[:: args.every]
        chosen = [joints[: args.frames] for joints in chosen]
        wanted = args.cameras.split(";") if args.cameras else ["1", *LAYOUTS]
        lifter, results = MDNLifter(), {}
        for one in wanted:
            rng = np.random.default_rng(0)
            if one == "1":
                rows = [one_camera(joints, lifter, args.noise, rng, options) for joints in chosen]
            else:
                rows = [several(joints, LAYOUTS[one], lifter, rng, options) for joints in chosen]
            results[one] = mean_of(rows)
            print(f"{one}: {results[one]['sequences']} sequences, {results[one]['frames']} frames", file=sys.stderr)
        print(table(results))
        if args.json:
            write_json(args.json, results)
    except (UserError, OSError, TypeError, ValueError, KeyError) as error:
        print(f"benchmarks.refine: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
