"""Train the lifter of several frames on top of a lifter of one, which stays as it is.

python -m engines.training.temporal.train --out runs/temporal
python -m engines.training.temporal.train --out runs/temporal --resume
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
from torch import Tensor
from tqdm import tqdm

from calibration.errors import UserError
from engines import cards
from engines.argument_types import Parser
from engines.lifter import SHIPPED, MDNLifter
from engines.models.temporal import TemporalMDN, TemporalShape
from engines.runtimes import NetworkOptions
from engines.training import checkpoints
from engines.training.data import where
from engines.training.lifter.losses import best_error, expected_error, mean_error, mixture_loss
from engines.training.temporal import motions
from engines.training.temporal.validate import validate


@dataclass(frozen=True, slots=True)
class TemporalSettings:
    """Everything that decides the outcome of a training; stored in the checkpoint."""

    kernels: int = 5  # of the lifter
    width: int = 192
    hidden: int = 512
    window: int = 27  # frames that an answer depends on
    near: int = 9  # of them those that the first layer looks at
    samples: int = 6_000_000  # frames
    batch: int = 32  # motions
    frames: int = 40  # of a motion
    rate: float = 1e-3  # at most; a cosine down to 0
    warm_up: float = 0.01  # share of the steps
    weight_decay: float = 1e-3
    clip: float = 1.0  # norm of the gradient
    average: float = 0.999  # decay of the averaged weights, which are what is shipped
    prior: float = 1.1  # the losses are those of the lifter
    best_error: float = 3.0
    mean_error: float = 3.0
    expected_error: float = 3.0
    shake: float = 3.0  # weight of the error of the acceleration
    max_noise: float = 4.0  # per cent
    bodies: float = 0.4  # share of the motions that get measured bodies
    redefined: float = 0.15  # share of the motions that get joints as a detector defines them
    leaning: float = 0.03  # share of the motions that lean
    still: float = 0.08  # share of the motions that stand still
    exact: float = 0.2  # share of the motions whose 2D has no errors
    detector: float = 0.4  # share of the motions whose 2D has the errors of a real detector; others: Gaussian noise
    moving: float = 0.25  # share of the cameras that move
    validation_too: bool = False  # train on the validation subjects as well, once everything is decided
    seed: int = 0


WIDTHS = 48  # heads of 6 and of 16 joints
VALIDATE_EVERY = 400_000  # frames
AVERAGE_EVERY = 4


def build(settings: TemporalSettings) -> TemporalMDN:
    """The network of these settings, newly initialised."""
    s = settings
    return TemporalMDN(TemporalShape(s.kernels, width=s.width, hidden=s.hidden, window=s.window, near=s.near))


def rebuild(state: Any, checkpoint: Path) -> tuple[TemporalSettings, TemporalMDN]:
    """The settings and the averaged network, in evaluation mode, of what a checkpoint holds.

    Raises:
        UserError: if it is none of this script.
    """
    try:
        settings = TemporalSettings(**state["settings"])
        network = build(settings)
        network.load_state_dict(state["averaged"])
        state["lifter"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(f"{checkpoint} is not a checkpoint of this training ({checkpoints.brief(error)})") from error
    return settings, network.eval()


def learning_rate(settings: TemporalSettings, done: float) -> float:
    """Linear warm-up, then a cosine to zero; ``done`` is the share of the training that is over."""
    if done < settings.warm_up:
        return settings.rate * done / settings.warm_up
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (done - settings.warm_up) / (1 - settings.warm_up)))


def shaking(mean: Tensor, log_weight: Tensor, target: Tensor, to_world: Tensor, t: Tensor) -> Tensor:
    """How much more than the truth the mixture's mean is accelerated, and how much more each hypothesis, by its share.

    The distance summed over joints, a mean over frames and over the two.

    Args:
        mean: (B, L, M, J, 3) hypotheses.
        log_weight: (B, L, M).
        target: (B, L, J, 3).
        to_world: (B, L, 3, 3) from the axes of the others.
        t: (B, L) seconds; where two steps differ, the later is measured against the earlier's speed.
    """
    share = log_weight.exp()
    middle = (share[..., None, None] * mean).sum(2, keepdim=True)
    error = (torch.cat([middle, mean], 2) - target[:, :, None]) @ to_world.transpose(-1, -2)[:, :, None]
    step = (t[:, 1:] - t[:, :-1]).clamp(min=1e-3)
    ratio = (step[:, 1:] / step[:, :-1]).clamp(0.3, 3.0)[..., None, None, None]
    bend = error[:, 2:] - error[:, 1:-1] - ratio * (error[:, 1:-1] - error[:, :-2])
    size = torch.linalg.vector_norm(bend, dim=-1).sum(-1)
    return (size[..., 0] + (share[:, 1:-1].detach() * size[..., 1:]).sum(-1)).mean() / 2


def loss_of(
    settings: TemporalSettings, answer: tuple[Tensor, Tensor, Tensor], y: Tensor, to_world: Tensor, t: Tensor
) -> Tensor:
    """What is made small."""
    mean, sigma, log_weight = answer
    flat = mean.flatten(0, 1), sigma.flatten(0, 1), log_weight.flatten(0, 1)
    target = y.flatten(0, 1)
    nll, prior = mixture_loss(*flat, target, prior=settings.prior)
    return (
        nll + prior + settings.best_error * best_error(flat[0], target, 0.0)
        + settings.mean_error * mean_error(flat[0], flat[2], target)
        + settings.expected_error * expected_error(flat[0], flat[2], target)
        + settings.shake * shaking(mean, log_weight, y, to_world, t)
    )  # fmt: skip


def said(lifter: MDNLifter, inputs: np.ndarray) -> list[Tensor]:
    """What the lifter says of inputs (B, L, 54)."""
    parts = lifter.outputs(inputs.reshape(-1, inputs.shape[-1]))
    return [torch.from_numpy(part).view(*inputs.shape[:2], *part.shape[1:]) for part in parts]


def train(
    settings: TemporalSettings, data: Path, out: Path, *, weights: Path | None = None, resume: bool = False,
    changes: dict[str, object] | None = None, stop_after: float = math.inf,
) -> TemporalMDN:  # fmt: skip
    """Train and leave ``checkpoint.pt`` and ``log.tsv`` in ``out``.

    Args:
        settings: what to train. A resumed training keeps those of its checkpoint, but for ``changes``.
        data: folder of the motion capture files.
        out: folder of the checkpoint.
        weights: the lifter of one frame; None for the shipped one.
        resume: go on from the checkpoint in ``out``.
        changes: fields of the settings that a resumed training changes.
        stop_after: seconds after which the training stops at a checkpoint, to be resumed.

    Raises:
        UserError: for missing data, no checkpoint to resume from, or one where a new training would begin.
    """
    state = checkpoints.begin(out, resume)
    if state:
        _, settings = checkpoints.resumed(TemporalSettings, state, changes or {}, out, "the temporal lifter",
                                          ("network", "averaged", "done", "lifter"))  # fmt: skip
    weights = weights or SHIPPED
    lifter, sha = MDNLifter(weights, NetworkOptions("onnx", precision="fp32")), cards.verify(weights).sha256
    if state and state["lifter"] != sha:
        raise UserError(f"--resume: {out} was trained on top of another lifter than {weights}: give it with --lifter")
    settings = dataclasses.replace(settings, kernels=lifter.kernels)
    if settings.width % WIDTHS or settings.width <= 0:
        raise UserError(f"--width {settings.width}: it is a multiple of {WIDTHS}, so that all heads are equally wide")
    if not 0 < settings.near <= settings.window:
        raise UserError(f"--near {settings.near}: it is between 1 and the --window of {settings.window} frames")
    out.mkdir(parents=True, exist_ok=True)
    poses = motions.load(data)
    training, validation = motions.split(poses)
    if settings.validation_too:
        training = motions.concatenate([training, validation])
    what = motions.Ingredients(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(motions.Ingredients)})
    source = motions.MotionSampler(training, settings.seed, settings.frames, settings.max_noise, what)

    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    network, averaged = build(settings), build(settings)
    averaged.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.weight_decay, fused=True)
    done = 0
    if state:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        checkpoints.restore(optimiser, state["optimiser"], settings.weight_decay)
        torch.set_rng_state(state["torch_rng"])
        source.rng.bit_generator.state = state["numpy_rng"]
        done = state["done"]

    started, validated, step = time.monotonic(), done, 0
    size, losses = settings.batch * settings.frames, []
    with (
        (out / "log.tsv").open("a") as log,
        tqdm(total=settings.samples, initial=done, unit="frame", unit_scale=True, mininterval=10) as bar,
    ):
        while done < settings.samples:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, done / settings.samples)
            drawn = source.draw(settings.batch)
            mixture = said(lifter, drawn.inputs)
            x, rotation, to_world, t = (
                torch.from_numpy(a)
                for a in (drawn.inputs, drawn.R_virtual_to_camera, drawn.R_virtual_to_world, drawn.t)
            )
            y = torch.from_numpy(drawn.targets) / lifter.decoding.scale_mm
            loss = loss_of(settings, network(x, *mixture, rotation, t), y, to_world, t)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            optimiser.step()
            done += size
            step += 1
            losses.append(loss.item())
            if step % AVERAGE_EVERY == 0:
                decay = min(settings.average, (step + 1) / (step + 10))
                checkpoints.average_weights(averaged, network, decay**AVERAGE_EVERY)
            bar.update(size)
            late = time.monotonic() - started > stop_after
            if done - validated >= VALIDATE_EVERY or done >= settings.samples or late:
                validated = done
                row = {"frames": done, "loss": float(np.mean(losses))} | validate(averaged.eval(), lifter, validation)
                losses.clear()
                if not log.tell():
                    log.write("\t".join(row) + "\n")
                log.write("\t".join(f"{v:.2f}" for v in row.values()) + "\n")
                log.flush()
                checkpoints.save(
                    out / "checkpoint.pt", settings=dataclasses.asdict(settings), network=network.state_dict(),
                    averaged=averaged.state_dict(), optimiser=optimiser.state_dict(), done=done, lifter=sha,
                    torch_rng=torch.get_rng_state(), numpy_rng=source.rng.bit_generator.state,
                )  # fmt: skip
            if late:
                break
    return averaged.eval()


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.tsv")
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--lifter", type=Path, metavar="ONNX", help="the lifter of one frame; default: the shipped one")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--threads", type=int, default=1)
    for f in dataclasses.fields(TemporalSettings):
        flag = f"--{f.name.replace('_', '-')}"
        if isinstance(f.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction)
        elif f.name != "kernels":
            parser.add_argument(flag, type=type(f.default), help=f"default: {f.default}")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    given = {f.name: v for f in dataclasses.fields(TemporalSettings) if (v := getattr(args, f.name, None)) is not None}
    settings = dataclasses.replace(TemporalSettings(), **given)
    try:
        train(settings, where.needed(args.data, "--data"), args.out, weights=args.lifter, resume=args.resume,
              changes=given, stop_after=args.stop_after)  # fmt: skip
    except (UserError, OSError) as error:
        print(f"engines.training.temporal.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
