"""One hourglass on Thunder of several: the average of their weights.

python -m engines.training.detector.average --of runs/before/checkpoint.pt 0.5 --of runs/more/checkpoint.pt 0.5 \
    --out runs/between

Of networks that were trained on from the same weights the average is often better than either (Wortsman et al. 2022,
"Model soups"). The statistics of its norms are measured anew, on the people of a training. What it leaves is a
checkpoint: to build, to evaluate, or to begin with (``--stacks-of``).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from calibration.errors import UserError
from engines.argument_types import Parser
from engines.models.trunk_hourglass import TrunkHourglass
from engines.training.checkpoints import begin, load_checkpoint, save
from engines.training.detector import on_thunder
from engines.training.detector.checkpoint import rebuild
from engines.training.detector.crops import Crops
from engines.training.detector.on_thunder import FixedPart
from engines.training.detector.train_on_thunder import add_sets, people_of


def average(parts: Sequence[tuple[Path, float]], people: Crops, out: Path, batch: int = 16) -> TrunkHourglass:
    """Leave ``checkpoint.pt`` of the average in ``out``.

    Args:
        parts: checkpoints of train_on_thunder of as many stacks, and the share of each; shares are brought to a sum of
            1. The settings, and the length that is said, are those of the last.
        people: whose crops the norms are measured on.
        out: folder of the checkpoint.
        batch: crops at a time.

    Returns:
        The network.

    Raises:
        UserError: if one cannot be read or is another network, or ``out`` holds a training already.
    """
    begin(out, resume=False)
    shares = _shares(parts)
    states = [load_checkpoint(path) for path, _ in parts]
    networks = [_network(state, path) for state, (path, _) in zip(states, parts, strict=True)]
    mixed = networks[-1]
    for network, (path, _) in zip(networks, parts, strict=True):
        if network.shape != mixed.shape:
            raise UserError(f"--of {path}: it has other stacks than {parts[-1][0]}")
    with torch.no_grad():
        for name, weight in mixed.named_parameters():
            same = [share * network.get_parameter(name) for network, share in zip(networks, shares, strict=True)]
            weight.copy_(torch.stack(same).sum(0))
    mixed.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    on_thunder.settle_norms(mixed, FixedPart(mixed.trunk, True, torch.get_num_threads()), people, batch)
    out.mkdir(parents=True, exist_ok=True)
    names = ", ".join(f"{path} {share:.2g}" for (path, _), share in zip(parts, shares, strict=True))
    save(
        out / "checkpoint.pt", settings=states[-1]["settings"], network=mixed.state_dict(),
        averaged=mixed.state_dict(), elapsed=states[-1]["elapsed"], step=states[-1]["step"], pck=None,
        origin=f"and averaged: {names}",
    )  # fmt: skip
    return mixed.eval()


def _shares(parts: Sequence[tuple[Path, float]]) -> list[float]:
    total = sum(share for _, share in parts)
    if not all(share > 0 for _, share in parts) or not np.isfinite(total):
        raise UserError("--of CHECKPOINT SHARE: every share is above 0")
    return [share / total for _, share in parts]


def _network(state: dict, path: Path) -> TrunkHourglass:
    network, _ = rebuild(state, path)
    if not isinstance(network, TrunkHourglass):
        raise UserError(f"--of {path}: it is of a training from scratch, not of train_on_thunder")
    return network


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs=2, action="append", required=True, metavar=("CHECKPOINT", "SHARE"))
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")
    add_sets(parser)
    args = parser.parse_args(arguments)
    try:
        try:
            parts = [(Path(name), float(share)) for name, share in args.of]
        except ValueError as error:
            raise UserError(f"--of CHECKPOINT SHARE: {error}") from error
        _shares(parts)  # before minutes of preparation
        torch.set_num_threads(1)
        average(parts, people_of(args.sets, args.cache or args.out, args.tinypose, 1)[0], args.out)
    except (UserError, OSError) as error:
        print(f"average: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out / 'checkpoint.pt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
