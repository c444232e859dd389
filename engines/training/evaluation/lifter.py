"""How good a lifter is, and whether its probabilities mean what they say.

    python -m engines.training.evaluation.lifter --noise 2 --plot reliability.png
    python -m engines.training.evaluation.lifter --mocap FILE.npz --missing 1 --json out.json
    python -m engines.training.evaluation.lifter --table 5 --weights runs/m1/checkpoint.pt runs/m5/checkpoint.pt
    python -m engines.training.evaluation.lifter --table 1 --data data_3d_h36m.npz --detections data_2d_cpn.npz

Without --weights: the lifter that is shipped. Without --mocap and --data: our test subjects. A data set with cameras is
seen by them and by no others. Tables: 1 by action, 2 multi-view, 3 missing joints, 4 by scene (MPI-INF-3DHP),
5 kernels, 6 prior, 7 reprojection.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from calibration import writing
from calibration.errors import UserError
from engines.argument_types import Parser
from engines.training import metrics
from engines.training.data import formats, h36m, where
from engines.training.data.mocap import Poses, load_poses, load_proxy, load_training
from engines.training.data.sequences import Sequence
from engines.training.evaluation import reliability
from engines.training.evaluation.lifters import EvaluatedLifter, Lifted, PixelLifter, load
from engines.training.evaluation.plots import plot_reliability
from engines.training.evaluation.tables import TABLES, Observe, as_json
from engines.training.lifter.sources import is_mocap
from engines.training.lifter.synthetic_views import ObservedPoses, laboratory_views, random_views, sequence_views
from engines.types import EngineError

VIEWS = {"random": random_views, "h36m4": laboratory_views}


def score(lifter: EvaluatedLifter, observations: ObservedPoses, lifted: Lifted | None = None) -> dict:
    """All figures of one lifter on one set of views.

    Returns:
        MPJPE and P-MPJPE of best, argmax and mean in mm; NLL in nats a pose (densities in mm), coverage of each joint's
        50/80/95 % regions, ECE of the weights (of all hypotheses, and ``ece_top`` of the most probable) and sharpness
        in mm, all None for single regression; and the errors by subject, action and scene where there are several.
    """
    o, lifted = observations, lifted or lifter.lift(observations)
    found = metrics.errors(lifted.mean, lifted.weight, o.truth)
    result: dict = metrics.averages(found)
    result |= dict.fromkeys(("nll", "ece", "ece_top", "coverage", "sharpness_mm"))
    if lifter.probabilistic:
        mixture = lifted.mean, lifted.sigma, lifted.weight
        result |= {
            "nll": reliability.nll(*mixture, o.truth),
            "ece": reliability.reliability(lifted.mean, lifted.weight, o.truth).error,
            "ece_top": reliability.reliability(lifted.mean, lifted.weight, o.truth, top_only=True).error,
            "coverage": reliability.coverage(*mixture, o.truth),
            "sharpness_mm": reliability.sharpness(*mixture),
        }
    for key, labels in (("subjects", o.subject), ("actions", o.action), ("scenes", o.scene)):
        names = sorted(set(labels.tolist()) - {""})
        if key == "subjects" or len(names) > 1:
            result[key] = {
                name: {"poses": int(keep.sum()), **metrics.averages(found, keep)}
                for name in names
                for keep in [labels == name]
            }
    return result | {"poses": len(o), "weights": lifter.name}


def evaluate(
    lifter: EvaluatedLifter, poses: Poses, noise: float = 0.0, missing: int = 0, seed: int = 0, views: str = ""
) -> dict:
    """``score`` on captured poses; the arguments are those of ``observe.random_views``.

    Args:
        lifter: what to test.
        poses: what to test on.
        noise: per cent.
        missing: hidden limb joints, a pose.
        seed: of views and noise.
        views: one of ``VIEWS``; "" for the kind that the lifter was trained for.
    """
    views = views or _own_views(lifter)
    result = score(lifter, VIEWS[views](poses, noise, missing, seed))
    return result | {"noise": noise, "missing": missing, "seed": seed, "views": views}


def _own_views(lifter: EvaluatedLifter) -> str:
    return "h36m4" if isinstance(lifter, PixelLifter) else "random"


def markdown(result: dict) -> str:
    """The figures as a Markdown table."""
    head = "| | poses | best of M | most probable | mixture mean | P2 best of M | P2 most probable | P2 mixture mean |"
    lines = [head, "|---" * 8 + "|"]
    rows = {"all": result}
    for key in ("subjects", "actions", "scenes"):
        rows |= result.get(key, {})
    for name, row in rows.items():
        figures = (f"{row[f'{p}{k}_mpjpe_mm']:.1f}" for p in ("", "p_") for k in ("best", "argmax", "mean"))
        lines.append(f"| {name} | {row['poses']} | " + " | ".join(figures) + " |")
    lines += ["", "MPJPE in mm; P2 after alignment of each pose."]
    if result["nll"] is not None:
        shares = ", ".join(f"{k} %: {v:.1%}" for k, v in result["coverage"].items())
        lines += [f"NLL {result['nll']:.1f} nats a pose; ECE {result['ece']:.3f}, of the most probable alone "
                  f"{result['ece_top']:.3f}; coverage {shares}; deviation of a joint {result['sharpness_mm']:.0f} "
                  "mm an axis"]  # fmt: skip
    return "\n".join(lines)


def _test_part(sequences: list[Sequence]) -> list[Sequence]:
    """What is to be tested on: Human3.6M's S9 and S11, MPI-INF-3DHP's TS1 to TS6, else everything."""
    for wanted in (h36m.TEST, tuple(f"TS{k}" for k in range(1, 7))):
        if chosen := [s for s in sequences if s.subject in wanted]:
            return chosen
    return sequences


def _observer(args: argparse.Namespace, lifter: EvaluatedLifter) -> tuple[Observe, str]:
    """How the views are made, and what they are called."""
    data = None if args.mocap else where.needed(args.data, "--data")
    if data and not is_mocap(data):
        if args.views or args.proxy or args.detector_noise:
            raise EngineError(
                f"{data} has cameras of its own; --views, --proxy and --detector-noise are for motion capture"
            )
        chosen = _test_part(formats.load(data, args.detections))
        rest = args.noise, args.seed, args.gravity, args.every
        return lambda missing: sequence_views(chosen, rest[0], missing, *rest[1:]), "own"
    if args.detections:
        raise EngineError("--detections belong to a data set with cameras: give it with --data")
    if args.proxy and not data:
        raise EngineError("--proxy is of --data, not of --mocap")
    poses = load_poses(args.mocap) if not data else load_proxy(data) if args.proxy else load_training(data)[2]
    poses = poses.select(np.arange(0, len(poses), args.every))
    views = args.views or ("h36m4" if args.table in (1, 2) else _own_views(lifter))
    if args.detector_noise:
        if views != "random":
            raise EngineError("--detector-noise is for --views random")
        return lambda missing: random_views(
            poses, args.noise, missing, args.seed, args.gravity, args.detector_noise
        ), views
    return lambda missing: VIEWS[views](poses, args.noise, missing, args.seed, args.gravity), views


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--mocap", type=Path, metavar="FILE", help=".npz with joints (N, 17, 3) mm, z up")
    where.add_argument(
        source, "--data", "mocap", "a data set, see python -m engines.training.data; its test subjects are used"
    )
    parser.add_argument("--detections", type=Path, metavar="FILE", help="2D detections that belong to --data")
    parser.add_argument("--proxy", action="store_true", help="the four people of the motion capture that are left out "
                        "of every file, instead of the test subjects")  # fmt: skip
    parser.add_argument("--weights", type=Path, nargs="+", default=[None], metavar="FILE",
                        help=".onnx with its card, or checkpoint.pt; several for --table")  # fmt: skip
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--table", type=int, choices=sorted(TABLES), help="a table of the paper")
    parser.add_argument(
        "--views",
        choices=sorted(VIEWS),
        help="random: one level view a pose; h36m4: four laboratory "
        "cameras. Default: h36m4 for tables 1 and 2 and for weights of --preset paper, else random",
    )
    parser.add_argument("--noise", type=float, default=0.0, metavar="PERCENT")
    parser.add_argument("--detector-noise", type=float, default=0.0, metavar="FACTOR",
                        help="errors of a real detector: 1 as MoveNet Thunder's, 1.6 as Lightning's")  # fmt: skip
    parser.add_argument("--missing", type=int, default=0, choices=range(9), metavar="N", help="hidden limb joints")
    parser.add_argument("--gravity", action=argparse.BooleanOptionalAction, default=True, help="whether it is known")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th pose or frame")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="reliability plot")
    args = parser.parse_args(arguments)
    if args.every < 1 or args.noise < 0 or args.detector_noise < 0:
        parser.error("--every is at least 1, --noise and --detector-noise at least 0")
    if len(args.weights) > 1 and args.table is None:
        parser.error("several --weights are for --table")
    if args.table is not None and (args.plot or args.missing):
        parser.error("--plot and --missing are not for --table; table 3 is the one with missing joints")
    return args


def _tell(text: str, result: dict, path: Path | None) -> None:
    print(text)
    if path:
        writing.write_text(path, json.dumps(result, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    args = _parse(arguments)
    try:
        lifters = [load(path, args.runtime) for path in args.weights]
        if args.plot and not lifters[0].probabilistic:
            raise EngineError(f"{lifters[0].name} gives one answer without probabilities: there is nothing to plot")
        observe, views = _observer(args, lifters[0])
        said = {
            "noise": args.noise,
            "detector_noise": args.detector_noise,
            "proxy": args.proxy,
            "seed": args.seed,
            "views": views,
            "gravity": args.gravity,
            "every": args.every,
        }
        if args.table:
            table = TABLES[args.table](lifters, observe)
            _tell(table.markdown(), as_json(table) | said, args.json)
        else:
            observations = observe(args.missing)
            lifted = lifters[0].lift(observations)
            result = score(lifters[0], observations, lifted) | said | {"missing": args.missing}
            _tell(markdown(result), result, args.json)
            if args.plot:
                title = f"{len(observations)} views ({views}), noise {args.noise:g} %"
                plot_reliability(args.plot, observations, lifted, title)
    except (UserError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
