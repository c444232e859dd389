"""What several hypotheses are worth, and how sure that is: best of 5 against one kernel, three seeds each.

    python -m engines.training.evaluation.seeds --out runs/seeds
    python -m engines.training.evaluation.seeds --out runs/seeds --samples 4000000 --json seeds.json

For every seed a network with one kernel and one with five learn from the same samples, side by side, so that what
differs is not the luck of the draw. The seed decides the samples, their order and the first weights. Nobody of the
validation subjects, the test subjects or the left-out people is trained on, and nothing is recalibrated. A seed that is
in --out already is not trained again. A million samples take some 10 minutes of a core, for a seed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tqdm import tqdm

from calibration import writing
from calibration.errors import UserError
from engines.argument_types import Parser, at_least
from engines.training import metrics
from engines.training.checkpoints import fastest_precision, load_checkpoint
from engines.training.data import where
from engines.training.data.mocap import load_proxy, load_training
from engines.training.evaluation import lifters
from engines.training.lifter.synthetic_views import ObservedPoses, random_views
from engines.training.lifter.train import PRESETS, Learner, LifterSettings, open_source, rebuild

KERNELS: Final = (1, 5)
COLUMNS: Final = ("best of 5", "most probable", "mean", "M = 1", "best of 5 / M = 1", "mean / M = 1")
NOISES: Final = {"exact 2D": 0.0, "2 % noise": 2.0}
Figures = dict[str, dict[str, float]]
"""By views, then by column: mm, and ratios."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Networks that learn from the same samples."""

    seed: int
    samples: int
    width: int
    precision: str

    def settings(self, kernels: int) -> LifterSettings:
        """Of the network with that many kernels: one kernel has no coefficients that a prior could act on."""
        prior = 1.0 if kernels == 1 else PRESETS["live"].prior
        return replace(
            PRESETS["live"], kernels=kernels, prior=prior, samples=self.samples, width=self.width, seed=self.seed,
            precision=self.precision,
        )  # fmt: skip

    def checkpoint(self, out: Path, kernels: int) -> Path:
        """Where it is kept."""
        return out / f"seed-{self.seed}-kernels-{kernels}" / "checkpoint.pt"


def train(pair: Pair, data: Path, out: Path) -> None:
    """Train the networks of a seed on one stream of samples, or see that they are there.

    Raises:
        UserError: for missing data, or checkpoints of another training.
    """
    paths = {kernels: pair.checkpoint(out, kernels) for kernels in KERNELS}
    there = [kernels for kernels, path in paths.items() if path.exists()]
    for kernels in there:
        kept, _ = rebuild(load_checkpoint(paths[kernels]), paths[kernels])
        if replace(kept, precision="auto") != replace(pair.settings(kernels), precision="auto"):
            raise UserError(f"{paths[kernels].parent} holds a training with other settings: give another --out")
    if len(there) == len(KERNELS):
        return
    source = open_source(pair.settings(KERNELS[0]), data, None)
    learners = {kernels: Learner(pair.settings(kernels), pair.samples) for kernels in KERNELS}
    chunk = 8 * PRESETS["live"].batch
    with tqdm(total=pair.samples, desc=f"seed {pair.seed}", unit="pose", unit_scale=True, mininterval=10) as bar:
        for done in range(0, pair.samples, chunk):
            drawn = source.draw(chunk, done)
            for learner in learners.values():
                learner.learn(drawn)
            bar.update(chunk)
    for kernels, learner in learners.items():
        paths[kernels].parent.mkdir(parents=True, exist_ok=True)
        learner.save(paths[kernels], source)


def measure(pair: Pair, out: Path, views: Mapping[str, ObservedPoses]) -> Figures:
    """The columns for each of the views."""
    one, several = (lifters.load(pair.checkpoint(out, kernels)) for kernels in KERNELS)
    found = {}
    for name, seen in views.items():
        lifted, single = several.lift(seen), one.lift(seen)
        error = metrics.averages(metrics.errors(lifted.mean, lifted.weight, seen.truth))
        alone = float(metrics.mpjpe(single.mean[:, 0], seen.truth).mean())
        best, probable, mean = (error[f"{answer}_mpjpe_mm"] for answer in ("best", "argmax", "mean"))
        found[name] = dict(zip(COLUMNS, (best, probable, mean, alone, best / alone, mean / alone), strict=True))
    return found


def observe(data: Path) -> dict[str, ObservedPoses]:
    """The test subjects and the left-out people, each seen once, exactly and with noise."""
    people = {"test subjects": load_training(data)[2], "left-out people": load_proxy(data)}
    return {
        f"{who}, {how}": random_views(poses, noise) for who, poses in people.items() for how, noise in NOISES.items()
    }


def markdown(found: Sequence[Figures]) -> str:
    """Means over the seeds, and their standard deviation."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in found[0]:
        cells = []
        for column in COLUMNS:
            values = [figures[name][column] for figures in found]
            digits = 3 if "/" in column else 1
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(seeds: Iterable[int], samples: int, width: int, data: Path, out: Path) -> list[Figures]:
    """Train and measure; by seed."""
    views, found = observe(data), []
    for seed in seeds:
        pair = Pair(seed, samples, width, fastest_precision())
        train(pair, data, out)
        found.append(measure(pair, out, views))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--seeds", type=at_least(1), default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument(
        "--samples", type=at_least(1), default=1_000_000, metavar="N", help="of each (default: 1000000)"
    )
    parser.add_argument("--width", type=at_least(1), default=PRESETS["live"].width, help="of their layers")
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        found = run(range(args.seeds), args.samples, args.width, where.needed(args.data, "--data"), args.out)
        print(markdown(found))
        if args.json:
            text = json.dumps({"samples": args.samples, "width": args.width, "seeds": found}, indent=1)
            writing.write_text(args.json, text + "\n")
    except (UserError, OSError) as error:
        print(f"engines.training.evaluation.seeds: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
