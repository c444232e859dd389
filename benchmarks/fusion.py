"""How good fusion is: synthetic scenes of the test subjects with known answers, and the real four-camera recording.

    python -m benchmarks.fusion --scenes 400
    python -m benchmarks.fusion --wrong --scenes 400
    python -m benchmarks.fusion --demo --json fusion.json

All errors are in the world, in mm, without any alignment, unless said otherwise. A joint counts as seen when at least
two cameras really see it; the pelvis and the thorax, which detectors derive, are left out of the tables by joint.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import scenes, wrong_views
from calibration.arrays import Array
from calibration.errors import UserError
from calibration.geometry.triangulation import triangulate_linear
from calibration.writing import write_text
from engines.argument_types import Parser
from engines.fusion import fuse
from engines.lifter import MDNLifter
from engines.skeleton import PELVIS, THORAX
from engines.training import metrics
from engines.training.data import where
from engines.training.data.mocap import Poses, load_training

LAYOUTS = {
    "1": (0,),
    "2, 90 apart": (0, 90),
    "2, 20 apart": (0, 20),
    "3, 60 apart": (0, 60, 120),
    "4, 90 apart": (0, 90, 180, 270),
    "8, 45 apart": tuple(range(0, 360, 45)),
}
METHODS = ("plain", "triangulate", "hypotheses", "weighted", "map")
HEADS = ("plain triangulation", "robust triangulation", "hypotheses", "hypotheses, weighted", "map")
MIN_SCORE = 0.1
UNEVEN = 0.7
"""Of the noise of each axis of a joint: two thirds are within a factor of 2."""


def pixels(scene: scenes.Scene) -> Array:
    """(V, 17, 2) what was really seen, NaN elsewhere."""
    seen = [(d.score > 0) & ~d.derived for d in scene.detections]
    return np.stack([np.where(s[:, None], d.xy, np.nan) for s, d in zip(seen, scene.detections, strict=True)])


def solve(scene: scenes.Scene, method: str) -> tuple[Array, Array | None]:
    """Joints (17, 3) and, where the method tells, their cov (17, 3, 3)."""
    if method in ("plain", "triangulate") and len(scene.cameras) < 2:
        return np.full((17, 3), np.nan), None
    if method == "plain":
        return triangulate_linear(scene.cameras, pixels(scene)), None
    pose = fuse(
        scene.detections, scene.mixtures, scene.cameras, "hypotheses" if method == "weighted" else method,
        min_score=MIN_SCORE, weighted=method == "weighted",
    )  # fmt: skip
    if pose is None:
        raise UserError("a synthetic scene was not fused; the lifter's weights are not usable")
    return pose.joints, pose.cov


def measure(made: Sequence[scenes.Scene]) -> dict:
    """Every figure of one set of scenes."""
    seen = np.stack([scene.views_of >= 2 for scene in made])
    counted = np.ones(17, bool)
    counted[[PELVIS, THORAX]] = False
    truth = np.stack([scene.truth for scene in made])
    out: dict = {"scenes": len(made)}
    for method in METHODS:
        found, spent = [], []
        for scene in made:
            begin = time.perf_counter()
            found.append(solve(scene, method))
            spent.append(time.perf_counter() - begin)
        error = np.linalg.norm(np.stack([joints for joints, _ in found]) - truth, axis=-1)
        out[method] = {"ms": 1e3 * float(np.median(spent))}
        for name, group in (("seen", seen & counted), ("fewer", ~seen & counted)):
            values = error[group]
            known = values[np.isfinite(values)]
            out[method][name] = float(known.mean()) if len(known) else None
            out[method][f"{name}_median"] = float(np.median(known)) if len(known) else None
            if method == "map" and group.any():
                cov = np.stack([c for _, c in found if c is not None])
                e = np.stack([joints for joints, _ in found]) - truth
                square = (e * np.linalg.solve(cov, e[..., None])[..., 0]).sum(-1)[group]
                out[method][f"{name}_coverage"] = {k: float((square < v).mean()) for k, v in scenes.COVERAGE.items()}
        joints = np.stack([joints for joints, _ in found])
        if np.isfinite(joints).all():
            relative = joints - joints[:, :1]
            out[method]["relative"] = float(metrics.mpjpe(relative, truth - truth[:, :1]).mean())
    out["single"] = _single_views(made)
    return out


def _single_views(made: Sequence[scenes.Scene]) -> dict:
    """What each view's own deployable answers are off, root-relative, mean over the scenes; the best view counts."""
    errors = []
    for scene in made:
        relative = scene.truth - scene.truth[0]
        row = []
        for camera, mixture in zip(scene.cameras, scene.mixtures, strict=True):
            both = metrics.answers(mixture.mean[None], mixture.weight[None])
            row.append([metrics.mpjpe(answer[0], relative @ camera.R.T) for answer in both])
        errors.append(row)
    best = np.array(errors).mean(0).min(0)
    return {"most_probable": float(best[0]), "mean": float(best[1])}


def synthetic(poses: Poses, lifter: MDNLifter, count: int, seed: int) -> dict:
    """All set-ups; the same poses in each."""
    rng = np.random.default_rng(seed)
    chosen = poses.select(rng.choice(len(poses), min(count, len(poses)), replace=False))
    plan = {name: (azimuths, scenes.Faults()) for name, azimuths in LAYOUTS.items()}
    plan["4, 90 apart, clean"] = (LAYOUTS["4, 90 apart"], scenes.CLEAN)
    plan["4, 90 apart, exact"] = (LAYOUTS["4, 90 apart"], replace(scenes.CLEAN, noise=0.0))
    for told in (False, True):
        name = f"4, 90 apart, uneven noise, covariances {'told' if told else 'not told'}"
        plan[name] = (LAYOUTS["4, 90 apart"], scenes.Faults(uneven=UNEVEN, told=told))
    for name in ("2, 90 apart", "4, 90 apart"):
        plan[f"{name}, no spine, neck, head"] = (LAYOUTS[name], scenes.Faults(coco=True))
    return {
        name: measure(scenes.make(chosen.joints, list(chosen.subject), azimuths, faults, lifter, seed))
        for name, (azimuths, faults) in plan.items()
    }


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def table(results: dict) -> str:
    """The synthetic results as Markdown."""
    lines = ["| cameras | " + " | ".join(HEADS) + " | map / plain | map / robust | fewer: map / hypotheses |"]
    lines.append("|---" * (len(HEADS) + 4) + "|")
    for name, row in results.items():
        cells = [f"{_cell(row[m]['seen'])} / {_cell(row[m]['fewer'])}" for m in METHODS]
        best = row["map"]
        ratios = [
            # Exact pixels leave triangulation no error to divide by.
            f"{best[key] / row[other][key]:.2f}" if best[key] and (row[other][key] or 0) > 1 else "-"
            for other, key in (("plain", "seen"), ("triangulate", "seen"), ("hypotheses", "fewer"))
        ]
        lines.append(f"| {name} | " + " | ".join([*cells, *ratios]) + " |")
    lines += ["", "| cameras | hypotheses | weighted | map | best view's most probable | best view's mean |"]
    lines.append("|---|---|---|---|---|---|")
    for name, row in results.items():
        cells = [row[m]["relative"] for m in ("hypotheses", "weighted", "map")]
        cells += [row["single"]["most_probable"], row["single"]["mean"]]
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |")
    lines += ["", "| cameras | map: seen, inside 50/80/95 % | fewer | ms: robust, hypotheses, map | map / robust |"]
    lines.append("|---|---|---|---|---|")
    for name, row in results.items():
        shares = [
            " / ".join(f"{100 * v:.0f}" for v in row["map"][f"{g}_coverage"].values())
            if f"{g}_coverage" in row["map"] else "-" for g in ("seen", "fewer")
        ]  # fmt: skip
        spent = [row[m]["ms"] for m in ("triangulate", "hypotheses", "map")]
        times = ", ".join(f"{ms:.1f}" for ms in spent)
        ratio = f"{spent[2] / spent[0]:.2f}" if row["triangulate"]["seen"] is not None else "-"
        lines.append(f"| {name} | {shares[0]} | {shares[1]} | {times} | {ratio} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200, help="poses a set-up (default: 200)")
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--weights", type=Path, help="lifter to use; default: the one that is shipped")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose poses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--demo", action="store_true", help="the four-camera recording instead of synthetic scenes")
    parser.add_argument("--wrong", action="store_true", help="scenes in which one view is wrong")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures")
    args = parser.parse_args(arguments)
    try:
        lifter = MDNLifter(args.weights)
        if args.demo:
            # The recording needs a detector, a video decoder and the demo's files; the scenes need none of them.
            from benchmarks import fusion_demo

            results = fusion_demo.run(lifter)
            print(fusion_demo.table(results))
        elif args.wrong:
            results = wrong_views.run(where.needed(args.data, "--data"), lifter, args.scenes, args.seed)
            print(wrong_views.markdown(results))
        else:
            poses = load_training(where.needed(args.data, "--data"))[2 if args.split == "test" else 1]
            results = synthetic(poses, lifter, args.scenes, args.seed)
            print(table(results))
        if args.json:
            write_text(args.json, json.dumps(results, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"fusion: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
