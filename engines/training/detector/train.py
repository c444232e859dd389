"""Train the stacked hourglass.

python -m engines.training.detector.train --out runs/hourglass                          # a GPU: 2 x 256 at 256 px
python -m engines.training.detector.train --out runs/small --features 64 --size 192     # two cores, hours
python -m engines.training.detector.train --out runs/small --resume
python -m engines.training.detector.train --out runs/wider --features 128 --size 192 --widen runs/small/checkpoint.pt
"""

import argparse
import dataclasses
import math
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from calibration.errors import UserError
from engines.argument_types import Parser, at_least
from engines.detectors.hourglass import decode
from engines.models.hourglass import SIGMA, STRIDE, HourglassShape, StackedHourglass
from engines.skeleton import LIMBS, MPII
from engines.training import checkpoints
from engines.training.checkpoints import (
    average_weights,
    begin,
    fastest_precision,
    flags,
    load_checkpoint,
    restore,
    save,
)
from engines.training.data import where
from engines.training.data.lspet import Photographs
from engines.training.detector import crops
from engines.training.detector.checkpoint import Network, rebuild
from engines.training.detector.widen import widened


@dataclass(frozen=True, slots=True)
class HourglassSettings:
    """Everything that decides the outcome of a training; stored in the checkpoint."""

    # the network
    stacks: int = 2
    features: int = 256
    size: int = 256  # side of the input, pixels
    # the length
    epochs: int = 150
    small_size: int = 128  # side during the first epochs, which then cost a quarter to a half
    small_share: float = 0.3  # of the epochs
    # the optimiser
    batch: int = 32
    rate: float = 1e-3
    warm_up: float = 0.01  # share of the training; then a cosine to zero
    weight_decay: float = 1e-4
    clip: float = 20.0  # norm of the gradient
    average: float = 0.999  # decay of the averaged weights, which are what is shipped
    precision: str = "auto"  # "float32", "bfloat16", or whichever this machine does faster
    seed: int = 0


VALIDATE_ON = 1000
"""Photographs of the validation, at most."""
LEAST = {"stacks": 1, "features": 2, "epochs": 1, "size": 64, "small_size": 64, "batch": 1, "seed": 0}
PRECISIONS = ("auto", "float32", "bfloat16")
SETTLE_ON = 320
"""Crops that the norms of the averaged weights are measured on."""


def check(settings: HourglassSettings) -> None:
    """Find out before minutes of preparation what no network can be trained with.

    Raises:
        UserError: naming the flag.
    """
    checkpoints.check_least(settings, LEAST)
    if settings.size % 64 or settings.small_size % 64:
        raise UserError(f"--size {settings.size}, --small-size {settings.small_size}: both are multiples of 64")
    if settings.precision not in PRECISIONS:
        raise UserError(f"--precision {settings.precision}: it is one of {', '.join(PRECISIONS)}")


def command(settings: HourglassSettings, origin: str = "") -> str:
    """The command that trains with these settings, without its folders; a training in parts had others before.

    Args:
        settings: of the checkpoint.
        origin: what the training began with, where that was no noise.
    """
    text = f"python -m engines.training.detector.train{flags(settings, HourglassSettings())}"
    return f"{text} --widen CHECKPOINT ({origin})" if origin else text


def resumed(state: dict, changes: dict[str, object], out: Path) -> HourglassSettings:
    """The settings of a checkpoint with changes.

    Raises:
        UserError: if it is of another script, or the changes make another network of it.
    """
    kept, settings = checkpoints.resumed(HourglassSettings, state, changes, out, "this training", ("epoch",))
    if (settings.stacks, settings.features) != (kept.stacks, kept.features):
        raise UserError(f"--resume: the checkpoint is of {kept.stacks} x {kept.features}; another needs another --out")
    return settings


def copied(checkpoint: Path, shape: HourglassShape, seed: int) -> tuple[StackedHourglass, str]:
    """A network of ``shape`` that computes what the narrower one of a checkpoint does, and which that is.

    Raises:
        UserError: if it is missing or of another script, or its shape does not go into this one.
    """
    state = load_checkpoint(checkpoint)
    narrow, side = rebuild(state, checkpoint)
    if not isinstance(narrow, StackedHourglass):
        raise UserError(f"--widen: {checkpoint} is of train_on_thunder, whose network cannot be widened")
    if narrow.shape.stacks != shape.stacks:
        raise UserError(f"--widen: {checkpoint} has {narrow.shape.stacks} stacks, this training {shape.stacks}")
    before = f", itself begun with {state['origin']}" if state.get("origin") else ""
    origin = f"{shape.stacks} x {narrow.shape.features} at {side} px, {state.get('epoch', 0)} epochs{before}"
    return widened(narrow, shape.features, seed), origin


def targets(xy: Tensor, cells: int) -> Tensor:
    """Heatmaps (B, 16, cells, cells), a Gaussian of height 1 at each joint; xy (B, 16, 2) in cells from the edge."""
    centre = torch.arange(cells, device=xy.device) + 0.5
    dx, dy = ((centre - xy[..., axis, None]) ** 2 / (2 * SIGMA**2) for axis in (0, 1))
    return torch.exp(-dy[..., :, None] - dx[..., None, :])


def heatmap_loss(logits: list[Tensor], target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the maps as distributions over their cells, weighted a joint (B, 16), summed over stacks.

    Squared error, as in the paper, has a gradient that is nearly all about the cells that are nearly all 0.
    """
    wanted = target.flatten(2)
    wanted = wanted / wanted.sum(-1, keepdim=True).clamp(min=1e-6)
    per_joint = torch.stack([-(wanted * torch.log_softmax(out.float().flatten(2), -1)).sum(-1) for out in logits])
    return (per_joint * weight).mean((1, 2)).sum()


def share_of_rate(warm_up: float, done: float) -> float:
    """Linear warm-up, then a cosine to zero; ``done`` is the share of the training that is over."""
    if done < warm_up:
        return done / warm_up + 1e-3
    done = min(done, 1.0)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


@torch.inference_mode()
def predict(network: Network, images: NDArray[np.uint8], batch: int = 50) -> tuple[NDArray, NDArray]:
    """Joints (N, K, 2) in pixels from the edge, and heights of their peaks (N, K), of crops (N, S, S, 3) RGB."""
    network.eval()
    device, side = next(network.parameters()).device, images.shape[1]
    xy, score = [], []
    for start in range(0, len(images), batch):
        for maps in (
            network(as_input(torch.from_numpy(images[start : start + batch]), device))[-1].float().cpu().numpy()
        ):
            uv, height = decode(maps)
            xy.append(uv * side)
            score.append(height)
    return np.array(xy), np.array(score)


def pck(xy: NDArray, labels: NDArray) -> float:
    """PCK@0.2 of the torso, per cent: the twelve limb joints of fully visible people.

    Args:
        xy: (N, K, 2) found, MPII's joints first.
        labels: (N, 16, 3).
    """
    limbs = np.array(MPII.source)[list(LIMBS)]
    whole = (labels[:, [*limbs, 8, 9], 2] > 0).all(1)
    if not whole.any():
        return float("nan")
    xy, labels = xy[whole, : labels.shape[1]], labels[whole, :, :2]
    torso = np.linalg.norm(labels[:, 12] - labels[:, 3], axis=-1)
    return 100 * float((np.linalg.norm((xy - labels)[:, limbs], axis=-1) < 0.2 * torso[:, None]).mean())


@torch.no_grad()
def settle_norms(network: StackedHourglass, varied: crops.Varied, batch: int, device: torch.device) -> None:
    """Measure the statistics of the norms on augmented crops: those of the weights before averaging cost 1 to 2 PCK."""
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of what follows
    network.train()
    for start in range(0, min(SETTLE_ON, len(varied) - 1), batch):
        images = [torch.from_numpy(varied[i][0]) for i in range(start, min(start + batch, len(varied)))]
        network.logits(as_input(torch.stack(images), device))


def as_input(images: Tensor, device: torch.device) -> Tensor:
    """Crops (B, S, S, 3) uint8 as the network's input (B, 3, S, S), 0..1; stays channels-last in memory."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255


def train(
    settings: HourglassSettings, images: Path, joints: Path, out: Path, *, cache: Path | None = None,
    resume: bool = False, changes: dict[str, object] | None = None, widen: Path | None = None, workers: int = 0,
    stop_after: float = math.inf,
) -> StackedHourglass:  # fmt: skip
    """Train and leave ``checkpoint.pt``, ``log.tsv`` and TensorBoard's events in ``out``.

    Args:
        settings: what to train. A resumed training keeps those of its checkpoint, but for ``changes``.
        images: tar or folder of the photographs.
        joints: their labels.
        out: folder of the checkpoint.
        cache: folder of the cut photographs and the teacher's answers; ``out`` by default.
        resume: go on from the checkpoint in ``out``.
        changes: fields of the settings that a resumed training changes.
        widen: checkpoint of a narrower network that a new training begins from.
        workers: processes that augment; 0 = this one.
        stop_after: seconds after which the training stops at a checkpoint, to be resumed.

    Returns:
        The network with the averaged weights.

    Raises:
        UserError: for missing or misshapen data, or no checkpoint to resume from.
    """
    if widen and resume:
        raise UserError("--widen begins a training and --resume goes on with one; give one of them")
    state = begin(out, resume)
    out.mkdir(parents=True, exist_ok=True)
    (cache or out).mkdir(parents=True, exist_ok=True)
    if state:
        settings = resumed(state, changes or {}, out)
    check(settings)
    shape = HourglassShape(settings.stacks, settings.features)
    beginning, origin = copied(widen, shape, settings.seed) if widen else (None, "")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision="bfloat16" if device.type == "cuda" else fastest_precision())
    photographs = Photographs(images, joints)
    people = crops.training(photographs, cache or out, settings.size)
    print(people.report, flush=True)
    sides = {settings.size, settings.small_size}
    held_out = {side: crops.validation(photographs, side, VALIDATE_ON) for side in sides}

    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    network, averaged = (StackedHourglass(shape).to(device) for _ in range(2))
    if beginning:
        network.load_state_dict(beginning.state_dict())
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    averaged.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.weight_decay, fused=True)
    epoch = 0
    if state:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        restore(optimiser, state["optimiser"], settings.weight_decay)
        origin = state.get("origin", "")
        epoch = state["epoch"]
    # A GPU gains a third; on a CPU compiling takes minutes and gains little.
    run = torch.compile(network.logits) if device.type == "cuda" else network.logits

    varied = crops.Varied(people, settings.size, settings.seed)
    steps = len(varied) // settings.batch
    if not steps:
        raise UserError(f"--batch {settings.batch}: there are only {len(varied)} photographs to train on")
    started, length = time.monotonic(), steps * settings.batch
    with (
        (out / "log.tsv").open("a") as log,
        closing(SummaryWriter(str(out))) as board,
        tqdm(
            total=settings.epochs * length, initial=epoch * length, unit="crop", unit_scale=True, mininterval=5
        ) as bar,
    ):
        while epoch < settings.epochs:
            varied.epoch = epoch
            varied.side = settings.small_size if epoch < settings.small_share * settings.epochs else settings.size
            loader = DataLoader(
                varied, settings.batch, shuffle=True, drop_last=True, num_workers=workers,
                pin_memory=device.type == "cuda", generator=torch.Generator().manual_seed(settings.seed + epoch),
            )  # fmt: skip
            network.train()
            total = torch.zeros((), device=device)
            for step, (image, xy, weight) in enumerate(loader):
                done = (epoch * steps + step) / (settings.epochs * steps)
                for group in optimiser.param_groups:
                    group["lr"] = settings.rate * share_of_rate(settings.warm_up, done)
                xy, weight = xy.to(device), weight.to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    logits = run(as_input(image, device))
                # A joint that the augmentation moved out of the crop has no cell.
                inside = ((xy > 0) & (xy < varied.side)).all(-1)
                loss = heatmap_loss(logits, targets(xy / STRIDE, logits[-1].shape[-1]), weight * inside)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
                optimiser.step()
                # Early in a training an average over 1000 steps is mostly the initial weights.
                seen = epoch * steps + step
                average_weights(averaged, network, min(settings.average, (seen + 1) / (seen + 10)))
                total += loss.detach()
                bar.update(settings.batch)
            epoch += 1
            row = {"epoch": epoch, "side": varied.side, "loss": (total / steps).item(), "norm": norm.item()}  # pyright: ignore[reportPossiblyUnboundVariable]
            settle_norms(averaged, varied, settings.batch, device)
            shown, labels = held_out[varied.side]
            row["pck"] = pck(predict(averaged, shown)[0], labels)
            bar.set_postfix_str(f"loss {row['loss']:.3f} PCK@0.2 {row['pck']:.1f}")
            for key, value in row.items():
                board.add_scalar(key, value, epoch)
            if not log.tell():
                log.write("\t".join(row) + "\n")
            log.write("\t".join(f"{v:.4g}" for v in row.values()) + "\n")
            log.flush()
            save(
                out / "checkpoint.pt", settings=dataclasses.asdict(settings), network=network.state_dict(),
                averaged=averaged.state_dict(), optimiser=optimiser.state_dict(), epoch=epoch, pck=row["pck"],
                origin=origin,
            )  # fmt: skip
            if time.monotonic() - started > stop_after:
                break
    return averaged.eval()


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt, log.tsv and events")
    where.add_argument(parser, "--images", "lspet/images.tar", "tar or folder of photographs imNNNNN.jpg")
    where.add_argument(
        parser, "--joints", "lspet/joints.npz", "npz of joints (N, 14, 3): x, y, visible; and image_id (N,), the NNNNN"
    )
    parser.add_argument("--cache", type=Path, help="folder of the cut photographs (gigabytes); default: --out")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument(
        "--widen", type=Path, metavar="CHECKPOINT",
        help="begin from a narrower network, its channels copied until they are --features",
    )  # fmt: skip
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--threads", type=at_least(0), default=0, help="0 = all cores")
    parser.add_argument("--workers", type=at_least(0), default=0, help="processes that augment; 12 beside a GPU")
    for f in dataclasses.fields(HourglassSettings):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), help=f"default: {f.default}")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    given = {f.name: v for f in dataclasses.fields(HourglassSettings) if (v := getattr(args, f.name)) is not None}
    try:
        images, joints = where.needed(args.images, "--images"), where.needed(args.joints, "--joints")
        train(HourglassSettings(**given), images, joints, args.out, cache=args.cache, resume=args.resume,
              changes=given, widen=args.widen, workers=args.workers, stop_after=args.stop_after)  # fmt: skip
    except (UserError, OSError) as error:
        print(f"engines.training.detector.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
