"""How good a lifter is on captured poses seen by virtual cameras.

    python -m engines.training.evaluate --noise 2
    python -m engines.training.evaluate --mocap FILE.npz --missing 1 --json out.json

Best of M is what the paper reports. Nobody can deploy it, so the answers that can be deployed, the most probable kernel
and the mixture mean, always stand beside it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.errors import UserError
from engines.mdn import MDNLifter
from engines.training import metrics
from engines.training.batches import evaluation_batch
from engines.training.mocap import Poses, load_poses, load_training

Array = NDArray[np.floating]


def predict(lifter: MDNLifter, poses: Poses, noise: float, missing: int, seed: int) -> tuple[Array, ...]:
    """Lift one random level view of each pose.

    Returns:
        mean (N, M, 17, 3) mm, sigma (N, M, 17) mm and weight (N, M) in virtual camera axes, and the truth (N, 17, 3).
    """
    batch, _ = evaluation_batch(poses.joints, np.random.default_rng(seed), noise, missing)
    parts = [
        lifter.run(x, np.broadcast_to(np.eye(3, dtype=np.float32), (len(x), 3, 3)))
        for x in np.array_split(batch.inputs, max(1, len(batch.inputs) // 4096))
    ]
    truth = np.pad(batch.targets, ((0, 0), (1, 0), (0, 0)))
    return *(np.concatenate(part) for part in zip(*parts, strict=True)), truth


def evaluate(lifter: MDNLifter, poses: Poses, noise: float = 0.0, missing: int = 0, seed: int = 0) -> dict:
    """All figures of one setting.

    Args:
        lifter: the lifter, through its runtime.
        poses: what to test on.
        noise: per cent; ``n`` is a standard deviation of n/200 of the box diagonal, an axis.
        missing: hidden elbows, wrists, knees and ankles, a pose.
        seed: of views and noise.

    Returns:
        MPJPE and P-MPJPE of best, argmax and mean in mm, NLL in nats a pose (densities in mm), coverage of each joint's
        50/80/95 % regions, ECE of the weights, and the same errors by subject.
    """
    mean, sigma, weight, truth = predict(lifter, poses, noise, missing, seed)
    result: dict = metrics.score_mixtures(mean, weight, truth)
    result |= {
        "nll": metrics.nll(mean, sigma, weight, truth),
        "ece": metrics.calibration_error(mean, weight, truth),
        "coverage": metrics.coverage(mean, sigma, weight, truth),
    }
    best = metrics.mpjpe(mean, truth[:, None]).min(-1)
    single = [metrics.mpjpe(pose, truth) for pose in metrics.answers(mean, weight)]
    result["subjects"] = {
        str(subject): {
            "poses": int(chosen.sum()),
            **{f"{name}_mpjpe_mm": float(error[chosen].mean())
               for name, error in zip(("best", "argmax", "mean"), (best, *single), strict=True)},
        }
        for subject in np.unique(poses.subject)
        for chosen in [poses.subject == subject]
    }  # fmt: skip
    return result | {"poses": len(poses), "noise": noise, "missing": missing, "seed": seed}


def table(result: dict) -> str:
    """The figures as a Markdown table."""
    lines = ["| | best of M | most probable | mixture mean |", "|---|---|---|---|"]
    rows = {"MPJPE, mm": result, "P-MPJPE, mm": {k[2:]: v for k, v in result.items() if k.startswith("p_")}}
    rows |= {f"{name} ({row['poses']})": row for name, row in result["subjects"].items()}
    for name, row in rows.items():
        lines.append(
            f"| {name} | " + " | ".join(f"{row[f'{k}_mpjpe_mm']:.1f}" for k in ("best", "argmax", "mean")) + " |"
        )
    shares = ", ".join(f"{k} %: {v:.1%}" for k, v in result["coverage"].items())
    return "\n".join([*lines, "", f"NLL {result['nll']:.1f} nats a pose; ECE {result['ece']:.3f}; coverage {shares}"])


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--mocap", type=Path, help=".npz with joints (N, 17, 3) mm, z up")
    source.add_argument("--data", type=Path, default=Path("../shared/data/mocap"), help="folder of the mocap files; "
                        "its test subjects are used")  # fmt: skip
    parser.add_argument("--weights", type=Path, help="lifter to test; default: the one that is shipped")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--views", choices=["random"], default="random", help="one random level view a pose")
    parser.add_argument("--noise", type=float, default=0.0, metavar="PERCENT")
    parser.add_argument("--missing", type=int, default=0, choices=range(9), metavar="N", help="hidden limb joints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        poses = load_poses(args.mocap) if args.mocap else load_training(args.data)[2]
        result = evaluate(MDNLifter(args.weights, args.runtime), poses, args.noise, args.missing, args.seed)
        if args.json:
            args.json.write_text(json.dumps(result, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
