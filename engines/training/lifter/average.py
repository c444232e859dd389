"""One lifter of several: the average of their weights.

python -m engines.training.lifter.average --of engines/weights/lifter.onnx 0.5 --of runs/more/checkpoint.pt 0.5 \
    --out runs/between

Of lifters that were trained on from the same weights the average is often better than either, on what one has forgotten
and on what the other has not met (Wortsman et al. 2022, "Model soups"). Norms are folded into the matrices first. What
it leaves is a checkpoint: to build, to evaluate, or to go on from with ``--start``.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from calibration.errors import UserError
from engines.argument_types import Parser
from engines.models.mdn import MDN
from engines.training.checkpoints import begin, load_checkpoint, save
from engines.training.data import where
from engines.training.lifter import train, unfold


def average(parts: Sequence[tuple[Path, float]], data: Path, out: Path) -> MDN:
    """Leave ``checkpoint.pt`` of the average in ``out``.

    Args:
        parts: checkpoints and ONNX files of lifters of the same shape, and the share of each; shares are brought to
            a sum of 1. The settings, and the samples that are said, are those of the last checkpoint.
        data: folder of the motion capture files: the norms' statistics are measured on it.
        out: folder of the checkpoint.

    Returns:
        The network, in evaluation mode.

    Raises:
        UserError: if one cannot be read or is of another shape, or ``out`` holds a training already.
    """
    begin(out, resume=False)
    if not all(share > 0 for _, share in parts) or not np.isfinite(total := sum(share for _, share in parts)):
        raise UserError("--of FILE SHARE: every share is above 0")
    settings, done, products = train.PRESETS["live"], 0, []
    for path, _ in parts:
        if path.suffix == ".onnx":
            products.append(unfold.matrices(path))
            continue
        state = load_checkpoint(path)
        settings, network = train.rebuild(state, path)
        products.append(unfold.folded(network))
        done = state["done"]
    first = [w.shape for w, _ in products[0]]
    for (path, _), other in zip(parts, products, strict=True):
        if [w.shape for w, _ in other] != first:
            raise UserError(f"--of {path}: its network is another one than that of {parts[0][0]}")
    shares = [share for _, share in parts]
    mixed = [
        (np.average([w for w, _ in same], axis=0, weights=shares).astype(np.float32),
         np.average([bias for _, bias in same], axis=0, weights=shares).astype(np.float32))
        for same in zip(*products, strict=True)
    ]  # fmt: skip
    source = train.open_source(settings, data, None)
    network = train.build(settings)
    inputs = torch.from_numpy(source.draw(train.STATISTICS, 0).inputs)
    unfold.fill(network, mixed, inputs, f"--of {parts[0][0]}: the network")
    names = ", ".join(f"{path.name} {share / total:.2g}" for path, share in parts)
    out.mkdir(parents=True, exist_ok=True)
    weights = network.state_dict()
    save(
        out / "checkpoint.pt", settings=dataclasses.asdict(settings) | {"start": f"average of {names}"}, done=done,
        network=weights, averaged=weights, normalisation=source.normalisation, data=source.data,
    )  # fmt: skip
    return network.eval()


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs=2, action="append", required=True, metavar=("FILE", "SHARE"))
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    args = parser.parse_args(arguments)
    try:
        try:
            parts = [(Path(name), float(share)) for name, share in args.of]
        except ValueError as error:
            raise UserError(f"--of FILE SHARE: {error}") from error
        average(parts, where.needed(args.data, "--data"), args.out)
    except (UserError, OSError) as error:
        print(f"engines.training.lifter.average: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
