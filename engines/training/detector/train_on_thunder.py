"""Train a stacked hourglass on top of MoveNet Thunder.

python -m engines.training.detector.train_on_thunder --out runs/thunder --minutes 90
python -m engines.training.detector.train_on_thunder --out runs/thunder --resume
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.errors import UserError
from engines.argument_types import Parser, at_least
from engines.models.movenet_trunk import SIDE
from engines.models.trunk_hourglass import TrunkHourglass
from engines.training import checkpoints
from engines.training.checkpoints import begin, flags, load_checkpoint
from engines.training.data import where
from engines.training.data.lspet import Photographs
from engines.training.detector import crops
from engines.training.detector.crops import Crops
from engines.training.detector.on_thunder import OnThunderSettings, Training, draw, predict
from engines.training.detector.people import prepare
from engines.training.detector.train import pck

SAVE_S = 300
"""Seconds between two checkpoints."""
VALIDATE_S = 900
"""Seconds between two validations, which cost as much as 150 crops of training."""
DATA = "lspet", "people"
"""Folders of the sets that are trained on by default."""
VALIDATE_ON = 1000
"""Photographs of the validation, at most."""
LEAST = {"stacks": 1, "repeats": 1, "batch": 2} | dict.fromkeys(
    ("frozen", "rate", "trunk_rate", "deep_rate", "beyond", "seed"), 0
)


def check(settings: OnThunderSettings) -> None:
    """Find out before minutes of preparation what no network can be trained with.

    Raises:
        UserError: naming the flag.
    """
    checkpoints.check_least(settings, LEAST)
    if not settings.minutes > 0:
        raise UserError(f"--minutes {settings.minutes}: it is more than 0")
    if settings.deep_rate and settings.frozen < 1:
        raise UserError("--deep-rate trains the trunk's deepest blocks, --frozen all of it from a time on: give one")
    if settings.deep_rate and not settings.rate:
        raise UserError("--deep-rate goes with --rate above 0")


def command(settings: OnThunderSettings, origin: str = "") -> str:
    """The command that trains with these settings, without its folders; and what it began with, where not noise."""
    text = f"python -m engines.training.detector.train_on_thunder{flags(settings, OnThunderSettings())}"
    return f"{text} --stacks-of CHECKPOINT ({origin})" if origin else text


def resumed(state: dict, changes: dict[str, object], out: Path) -> OnThunderSettings:
    """The settings of a checkpoint with changes.

    Raises:
        UserError: if it is of another script, or the changes make another network of it.
    """
    kept, settings = checkpoints.resumed(
        OnThunderSettings, state, changes, out, "train_on_thunder", ("elapsed", "step")
    )
    if settings.stacks != kept.stacks:
        raise UserError(f"--resume: the checkpoint has {kept.stacks} stacks; another number needs another --out")
    if bool(settings.deep_rate) != bool(kept.deep_rate):
        raise UserError("--resume: --deep-rate is 0 or above it from the start; another way needs another --out")
    return settings


def train(
    settings: OnThunderSettings, people: Crops, held_out: tuple[NDArray[np.uint8], NDArray[np.float32]], out: Path, *,
    resume: bool = False, changes: dict[str, object] | None = None, stacks: Path | None = None, threads: int = 1,
) -> TrunkHourglass:  # fmt: skip
    """Train and leave ``checkpoint.pt`` and ``log.tsv`` in ``out``.

    Args:
        settings: what to train. A resumed training keeps those of its checkpoint, but for ``changes``.
        people: to train on, 25 joints.
        held_out: crops (N, 256, 256, 3) and labels (N, 16, 3) to validate on, of ``crops.validation``.
        out: folder of the checkpoint.
        resume: go on from the checkpoint in ``out``.
        changes: fields of the settings that a resumed training changes.
        stacks: checkpoint of another training, whose stacks a new one begins with; the trunk is Thunder's.
        threads: of torch and ONNX Runtime; two threads are slower than one where another process is busy.

    Returns:
        The network with the averaged weights.

    Raises:
        UserError: if there is no checkpoint to resume from, or it is of another script.
    """
    state = begin(out, resume)
    if state:
        settings = resumed(state, changes or {}, out)
    check(settings)
    out.mkdir(parents=True, exist_ok=True)
    training = Training(settings, state, threads, load_checkpoint(stacks) if stacks else None)
    rng = np.random.default_rng((settings.seed, training.step))
    order: list[int] = []
    begun = time.monotonic() - training.seconds
    saved = looked = time.monotonic()
    losses: list[float] = []
    while True:
        now = time.monotonic()
        training.seconds = now - begun
        if training.done >= 1 or now - saved > SAVE_S:
            averaged, score = training.averaged, None
            if training.done >= 1 or now - looked > VALIDATE_S:
                looked, settled = now, training.settled(people)
                score = pck(predict(settled, training.fixed, held_out[0])[0], held_out[1])
                averaged = settled if training.done >= 1 else averaged
            training.save(out, averaged, score)
            _log(out, training, losses, score)
            saved, losses = now, []
            if training.done >= 1:
                return averaged.eval()
        if len(order) < settings.batch:
            order = rng.permutation(len(people.xy)).tolist()
        rows, order = order[: settings.batch], order[settings.batch :]
        losses.append(training.learn(*draw(people, rows, rng)))


def _log(out: Path, training: Training, losses: list[float], score: float | None) -> None:
    shown = "" if score is None else f"{score:.2f}"
    loss = float(np.mean(losses)) if losses else float("nan")
    line = f"{training.seconds / 60:.1f}\t{training.step}\t{loss:.4f}\t{shown}"
    print(line, flush=True)
    with (out / "log.tsv").open("a") as log:
        if not log.tell():
            log.write("minutes\tstep\tloss\tpck\n")
        log.write(line + "\n")


def add_sets(parser: argparse.ArgumentParser) -> None:
    """The flags that say who is trained on."""
    parser.add_argument(
        "--set", type=Path, action="append", metavar="FOLDER", dest="sets",
        help="folder with images.tar and joints.npz (docs/detectors.md), once for each; the first is validated on; "
        f"default: data/lspet and data/people in the folder that {where.VARIABLE} names",
    )  # fmt: skip
    parser.add_argument("--tinypose", type=Path, metavar="ONNX", help="PP-TinyPose, a second opinion on labels")
    parser.add_argument("--cache", type=Path, help="folder of the cut photographs (gigabytes); default: --out")


def people_of(
    folders: list[Path] | None, cache: Path, tinypose: Path | None, repeats: int
) -> tuple[Crops, tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Who is trained on, and the crops and labels that are validated on, of the flags of ``add_sets``.

    Raises:
        UserError: if a file is missing or damaged.
    """
    found = folders or [where.needed(where.default(name), "--set") for name in DATA]
    sets = [(folder / "images.tar", folder / "joints.npz") for folder in found]
    held_out = crops.validation(Photographs(*sets[0]), SIDE, VALIDATE_ON)
    cache.mkdir(parents=True, exist_ok=True)
    return prepare(sets, cache, tinypose, repeats), held_out


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.tsv")
    add_sets(parser)
    parser.add_argument("--stacks-of", type=Path, metavar="CHECKPOINT", help="begin with another training's stacks")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--threads", type=at_least(1), default=1)
    for f in dataclasses.fields(OnThunderSettings):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), help=f"default: {f.default}")
    args = parser.parse_args(arguments)
    given = {f.name: v for f in dataclasses.fields(OnThunderSettings) if (v := getattr(args, f.name)) is not None}
    try:
        state = begin(args.out, args.resume)
        settings = resumed(state, given, args.out) if state else OnThunderSettings(**given)
        check(settings)
        people, held_out = people_of(args.sets, args.cache or args.out, args.tinypose, settings.repeats)
        print(people.report, flush=True)
        train(settings, people, held_out, args.out, resume=args.resume, changes=given, stacks=args.stacks_of,
              threads=args.threads)  # fmt: skip
    except (UserError, OSError) as error:
        print(f"train_on_thunder: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
