"""Train the lifter.

python -m engines.training.lifter.train --out runs/live
python -m engines.training.lifter.train --out runs/live --resume
python -m engines.training.lifter.train --out runs/paper --preset paper
python -m engines.training.lifter.train --out runs/h36m --preset paper --data data_3d_h36m.npz
"""

import argparse
import dataclasses
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from calibration.errors import UserError
from engines import lifter
from engines.argument_types import Parser
from engines.models.mdn import MDN, MDNShape
from engines.training.checkpoints import (
    average_weights,
    begin,
    brief,
    fastest_precision,
    flags,
    load_checkpoint,
    restore,
    save,
)  # fmt: skip
from engines.training.data import where
from engines.training.lifter import paper, unfold
from engines.training.lifter.batches import Batch, Ingredients
from engines.training.lifter.losses import best_error, expected_error, mean_error, mixture_loss, regression_loss
from engines.training.lifter.sources import PixelSource, PoseSource, VirtualSource


@dataclass(frozen=True, slots=True)
class LifterSettings:
    """Everything that decides the outcome of a training; stored in the checkpoint."""

    # the network
    kernels: int = 5
    width: int = 1024
    blocks: int = 2
    dropout: float = 0.05
    sigma: str = "joint"  # "joint": a sigma a kernel and joint; "kernel": one a kernel
    max_norm: bool = False  # clip the norm of every weight matrix but that of the mixing coefficients to 1
    # the loss
    loss: str = "mixture"  # "mse": single regression after Martinez et al., with one kernel and no probabilities
    prior: float = 1.1  # lambda of the Dirichlet prior; 1 = off. 2 (the paper) costs the most probable 2 mm
    anneal: float = 0.05  # share of the training after which the kernels no longer share samples; 0 = never share
    best_error: float = 3.0  # weight of the nearest hypothesis' distance to the truth; 0 = the paper's loss alone
    mean_error: float = 2.0  # weight of the distance of the mixture's mean
    expected_error: float = 3.0  # weight of the distance of one drawn by the coefficients; they alone learn by it
    # the optimiser
    samples: int = 16_000_000  # in all; the poses are augmented without end, so epochs mean nothing
    epochs: int = 0  # instead of samples, for the pixel input: it is a data set with an end
    batch: int = 256  # after 2 million samples best of 5 is 51 mm; with 1024 it is 57
    rate: float = 1e-3
    schedule: str = "cosine"  # "decay": times 0.96 every 100,000 steps, continuously
    warm_up: float = 0.02  # share of the steps
    weight_decay: float = 1e-4
    clip: float = 1.0  # norm of the gradient; 0 = never clipped
    average: float = 0.999  # decay of the averaged weights, which are what is shipped; 0 = the last weights
    precision: str = "auto"  # "float32", "bfloat16" (matrix products only), or whichever this machine does faster
    # the data
    input: str = "virtual"  # "pixels": the paper's, z-scored, of four fixed cameras
    max_noise: float = 4.0  # per cent; 0 = exact 2D, without a detector's other faults too
    missing: int = -1  # elbows, wrists, knees and ankles hidden in every pose; -1 = joints are missing as it happens
    limb_exchange: bool = True  # give poses the limbs of others
    gravity: float = 0.6  # share of the views whose gravity the network is told
    composed: float = 0.1  # share of the poses that nobody captured
    bodies: float = 0.5  # share of the poses that get measured bodies, children's among them
    redefined: float = 0.2  # share of the poses that get joints as a detector defines them
    leaning: float = 0.1  # share of the poses that lean
    detector: float = 0.3  # share of the views that get the errors of a real detector instead of Gaussian noise
    validation_too: bool = False  # train on the validation subjects as well, once everything is decided
    scale_mm: float = 300.0  # one scalar for all outputs, so that sigma is in millimetres
    seed: int = 0
    start: str = ""  # weights to start from instead of at random: an ONNX file or a checkpoint


_INGREDIENTS = tuple(f.name for f in dataclasses.fields(Ingredients))
PRESETS = {
    "live": LifterSettings(),
    # Li and Lee 2019, with what their released code adds: batch norm, ReLU and dropout after the first layer, two
    # linear layers a block, 200 epochs. Adam is AdamW without decay. The values that they clip are those in losses.py.
    "paper": LifterSettings(
        input="pixels", sigma="kernel", max_norm=True, dropout=0.5, prior=2.0, anneal=0.0, best_error=0.0,
        mean_error=0.0, expected_error=0.0, epochs=200, batch=64, rate=1e-3, schedule="decay", warm_up=0.0,
        weight_decay=0.0, clip=0.0, average=0.0, precision="float32", max_noise=0.0, missing=0, limb_exchange=False,
    ),
}  # fmt: skip
VALIDATE_EVERY = 250_000  # samples
STATISTICS = 8192  # samples that the norms' statistics are measured on where a training starts from folded weights
AVERAGE_EVERY = 4  # steps; averaging at each one costs a twentieth of the time


def build(settings: LifterSettings) -> MDN:
    """The network of these settings, newly initialised."""
    s = settings
    inputs = paper.INPUTS if s.input == "pixels" else lifter.INPUTS
    return MDN(MDNShape(inputs, 16, s.kernels, s.width, s.blocks, s.dropout, s.sigma, s.max_norm))


def rebuild(state: Any, checkpoint: Path) -> tuple[LifterSettings, MDN]:
    """The settings and the averaged network, in evaluation mode, of what a checkpoint holds.

    Raises:
        UserError: if it is none of this script.
    """
    try:
        settings = LifterSettings(**state["settings"])
        network = build(settings)
        network.load_state_dict(state["averaged"])
        state["done"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(f"{checkpoint} is not a checkpoint of this training ({brief(error)})") from error
    return settings, network.eval()


def command(settings: LifterSettings) -> str:
    """The command that trains with these settings, without its folders; a training in parts had others before."""
    name = "paper" if settings.input == "pixels" else "live"
    preset = " --preset paper" if name == "paper" else ""
    return f"python -m engines.training.lifter.train{preset}{flags(settings, PRESETS[name])}"


def resumed(state: Any, changes: dict[str, object], checkpoint: Path) -> LifterSettings:
    """The settings of a checkpoint with changes.

    Raises:
        UserError: if it is of another script, or the changes make another network of it.
    """
    kept, network = rebuild(state, checkpoint)
    # A checkpoint from before one of these was trained without it.
    newer = ("best_error", "mean_error", "expected_error", *_INGREDIENTS)
    without = {name: 0.0 for name in newer if name not in state["settings"]}
    settings = dataclasses.replace(kept, **(without | changes))
    sizes = [{name: value.shape for name, value in net.state_dict().items()} for net in (build(settings), network)]
    if sizes[0] != sizes[1]:
        raise UserError(f"--resume: the network in {checkpoint} is another one; another network needs another --out")
    return settings


def open_source(settings: LifterSettings, data: Path, detections: Path | None) -> PoseSource:
    """The data of these settings.

    Raises:
        UserError: for missing or misshapen data, or settings that do not go together.
    """
    s = settings
    choices = {"input": ("virtual", "pixels"), "loss": ("mixture", "mse"), "sigma": ("joint", "kernel"),
               "schedule": ("cosine", "decay")}  # fmt: skip
    for name, allowed in choices.items():
        if getattr(s, name) not in allowed:
            raise UserError(f"--{name} {getattr(s, name)}: it is one of {', '.join(allowed)}")
    if s.loss == "mse" and s.kernels != 1:
        raise UserError(f"--loss mse gives one answer; it needs --kernels 1, not {s.kernels}")
    if s.epochs and s.input == "virtual":
        raise UserError("--epochs is for --input pixels; the virtual camera's samples never end: give --samples")
    common = {"seed": s.seed, "max_noise": s.max_noise, "missing": s.missing, "validation_too": s.validation_too}
    if s.input == "pixels":
        return PixelSource(data, detections, batch=s.batch, **common)
    if detections:
        raise UserError("--detections is for --input pixels; the virtual camera's 2D is projected")
    ingredients = Ingredients(**{name: getattr(s, name) for name in _INGREDIENTS})
    return VirtualSource(
        data, scale_mm=s.scale_mm, exchange=s.limb_exchange, gravity=s.gravity, ingredients=ingredients, **common
    )


def learning_rate(settings: LifterSettings, done: float, steps: int = 0) -> float:
    """Linear warm-up, then a cosine to zero; ``done`` is the share of the training that is over. Or decay a step."""
    if settings.schedule == "decay":
        return settings.rate * 0.96 ** (steps / 100_000)
    if done < settings.warm_up:
        return settings.rate * done / settings.warm_up
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (done - settings.warm_up) / (1 - settings.warm_up)))


def sharpness(settings: LifterSettings, done: float) -> float:
    """How sharply samples are given to kernels: from 0.01, geometrically, to 1 at ``anneal``."""
    return 0.01 ** max(0.0, 1 - done / settings.anneal) if settings.anneal else 1.0


def heat(settings: LifterSettings, done: float) -> float:
    """How widely hypotheses share the error of the nearest, summed over joints: from 2 down to 0 at ``anneal``."""
    return 2 * max(0.0, 1 - done / settings.anneal) if settings.anneal else 0.0


def validate(network: torch.nn.Module, source: PoseSource, noise: float) -> dict[str, float]:
    """Errors in mm on the source's validation set."""

    @torch.inference_mode()
    def run(x: NDArray[np.float32]) -> tuple[NDArray, NDArray, NDArray]:
        mean, sigma, log_weight = (out.numpy() for out in network(torch.from_numpy(x)))
        return mean, sigma, log_weight

    network.eval()
    scores = source.validate(run, noise)
    network.train()
    return scores


def begin_from(network: MDN, start: Path, source: PoseSource) -> None:
    """Give a network the weights of a checkpoint, or of an ONNX file of a lifter.

    Raises:
        UserError: if it cannot be read or is of another network.
    """
    if start.suffix == ".onnx":
        unfold.unfold(network, start, torch.from_numpy(source.draw(STATISTICS, 0).inputs))
        return
    try:
        network.load_state_dict(rebuild(load_checkpoint(start), start)[1].state_dict())
    except RuntimeError as error:
        raise UserError(f"--start: the network in {start} is another one ({brief(error)})") from error


class Learner:
    """A network in training, which learns from one batch after another.

    Args:
        settings: what to train; the precision is chosen.
        total: samples of the whole training: the rate and the annealing go by the share that is over.
    """

    def __init__(self, settings: LifterSettings, total: int) -> None:
        self.settings, self.total, self.done, self.nll = settings, total, 0, torch.zeros(())
        torch.manual_seed(settings.seed)
        torch.set_flush_denormal(True)  # gradients of dead units otherwise cost ten times as much
        self.network, self.averaged = build(settings), build(settings)
        self.averaged.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.rate, weight_decay=settings.weight_decay, fused=True
        )

    def start_from(self, start: Path, source: PoseSource) -> None:
        """Begin with given weights, see ``begin_from``."""
        begin_from(self.network, start, source)
        self.averaged.load_state_dict(self.network.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was left."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        restore(self.optimiser, state["optimiser"], self.settings.weight_decay)
        self.done = state["done"]

    def learn(self, drawn: Batch) -> None:
        """Learn from what was drawn, a step for every ``batch`` samples of it."""
        inputs, targets = torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.targets)
        for x, y in zip(inputs.split(self.settings.batch), targets.split(self.settings.batch), strict=True):
            self._step(x, y)

    def _step(self, x: Tensor, y: Tensor) -> None:
        settings, done = self.settings, self.done / self.total
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, done, self.done // settings.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
            features = self.network.trunk(x)
        mixture = self.network.heads(features.float())
        self.nll, prior = mixture_loss(*mixture, y, prior=settings.prior, sharpness=sharpness(settings, done))
        loss = self.nll + prior
        if settings.loss == "mse":
            loss = regression_loss(mixture[0], y)
        else:
            # A term that is switched off is not computed: its gradient of 0 would cost as much as any other.
            if settings.best_error:
                loss = loss + settings.best_error * best_error(mixture[0], y, heat(settings, done))
            if settings.mean_error:
                loss = loss + settings.mean_error * mean_error(mixture[0], mixture[2], y)
            if settings.expected_error:
                loss = loss + settings.expected_error * expected_error(mixture[0], mixture[2], y)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimiser.step()
        self.done += len(x)
        # Early in a training an average over 1000 steps is mostly the initial weights.
        step = self.done // settings.batch
        if step % AVERAGE_EVERY == 0:
            decay = min(settings.average, (step + 1) / (step + 10)) ** AVERAGE_EVERY
            average_weights(self.averaged, self.network, decay)

    def save(self, path: Path, source: PoseSource) -> None:
        """Leave a checkpoint."""
        save(
            path, settings=dataclasses.asdict(self.settings), network=self.network.state_dict(),
            averaged=self.averaged.state_dict(), optimiser=self.optimiser.state_dict(), done=self.done,
            torch_rng=torch.get_rng_state(), numpy_rng=source.rng.bit_generator.state,
            normalisation=source.normalisation, data=source.data,
        )  # fmt: skip


def train(
    settings: LifterSettings, data: Path, out: Path, *, detections: Path | None = None,
    resume: bool = False, changes: dict[str, object] | None = None, stop_after: float = math.inf,
) -> MDN:  # fmt: skip
    """Train and leave ``checkpoint.pt`` and ``log.tsv`` in ``out``.

    Args:
        settings: what to train. A resumed training keeps those of its checkpoint, but for ``changes``.
        data: folder of the motion capture files, or Human3.6M in one of its forms.
        out: folder of the checkpoint.
        detections: 2D detections that belong to the data, for the pixel input.
        resume: go on from the checkpoint in ``out``.
        changes: fields of the settings that a resumed training changes.
        stop_after: seconds after which the training stops at a checkpoint, to be resumed.

    Returns:
        The network with the averaged weights.

    Raises:
        UserError: for missing or misshapen data, no checkpoint to resume from, or one where a new training would begin.
    """
    checkpoint = out / "checkpoint.pt"
    state = begin(out, resume)
    if state:
        settings = resumed(state, changes or {}, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    source = open_source(settings, data, detections)
    total = settings.epochs * source.epoch or settings.samples

    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision=fastest_precision())
    learner = Learner(settings, total)
    if state:
        learner.restore(state)
        torch.set_rng_state(state["torch_rng"])
        source.rng.bit_generator.state = state["numpy_rng"]
    elif settings.start:
        learner.start_from(Path(settings.start), source)

    log = (out / "log.tsv").open("a")
    started, validated = time.monotonic(), learner.done
    chunk = settings.batch * 8  # drawn together: numpy's cost a call is then small beside the network's
    with tqdm(total=total, initial=learner.done, unit="pose", unit_scale=True, mininterval=5, smoothing=0.05) as bar:
        while learner.done < total:
            learner.learn(source.draw(chunk, learner.done))
            bar.update(chunk)
            late = time.monotonic() - started > stop_after
            if learner.done - validated >= VALIDATE_EVERY or learner.done >= total or late:
                validated = learner.done
                row = {"samples": learner.done, "nll": learner.nll.item()} | {
                    f"{key}@{noise}": value
                    for noise in (0, 2)
                    for key, value in validate(learner.averaged, source, noise).items()
                    if not key.startswith("p_")
                }
                bar.set_postfix_str(f"best {row['best_mpjpe_mm@0']:.1f} argmax {row['argmax_mpjpe_mm@0']:.1f}")
                if not log.tell():
                    log.write("\t".join(row) + "\n")
                log.write("\t".join(f"{v:.2f}" for v in row.values()) + "\n")
                log.flush()
                learner.save(checkpoint, source)
            if late:
                break
    log.close()
    return learner.averaged.eval()


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.tsv")
    where.add_argument(
        parser, "--data", "mocap", "folder of the mocap files, or Human3.6M: see python -m engines.training.data"
    )
    parser.add_argument("--detections", type=Path, metavar="FILE", help="its 2D detections, for --preset paper")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="live")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    for f in dataclasses.fields(LifterSettings):
        flag, text = f"--{f.name.replace('_', '-')}", "default: the preset's"
        if isinstance(f.default, bool):
            parser.add_argument(flag, help=text, action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(flag, help=text, type=type(f.default))
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    given = {f.name: v for f in dataclasses.fields(LifterSettings) if (v := getattr(args, f.name)) is not None}
    if given.get("loss") == "mse":
        given.setdefault("kernels", 1)
    settings = dataclasses.replace(PRESETS[args.preset], **given)
    try:
        data = where.needed(args.data, "--data")
        train(settings, data, args.out, detections=args.detections, resume=args.resume, changes=given,
              stop_after=args.stop_after)  # fmt: skip
    except (UserError, OSError) as error:
        print(f"engines.training.lifter.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
