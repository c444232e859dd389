"""Say what is in a file of recorded people, or bring one into the form that trainings read.

python -m engines.training.data inspect FILE [--detections FILE]
python -m engines.training.data lspet joints.mat --out joints.npz
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from calibration.errors import UserError
from engines.argument_types import Parser
from engines.training.data import formats, lspet_mat
from engines.training.data.sequences import Sequence, total


def describe(path: Path, detections: Path | None) -> list[str]:
    """What a file holds, a line a fact.

    Raises:
        UserError: if it cannot be read.
    """
    form = formats.find(path)
    sequences = form.load(path, detections)
    lines = [f"{path}: {form.NAME}", f"  {len(sequences)} sequences, {total(sequences)} frames"]
    for name in ("subject", "action", "scene"):
        values = sorted({getattr(s, name) for s in sequences} - {""})
        if values:
            shown = ", ".join(values[:20]) + (f" ... ({len(values)})" if len(values) > 20 else "")
            lines.append(f"  {name}s: {shown}")
    lines += _views(sequences)
    joints = [s.joints - s.joints[:, :1] for s in sequences if s.joints is not None and len(s)]
    if joints:
        reach = np.linalg.norm(np.concatenate(joints)[:, 1:], axis=-1).max(-1)
        lines.append(f"  3D: 17 joints, mm; the farthest from the pelvis is {np.median(reach):.0f} mm away (median)")
        if not 300 < np.median(reach) < 1500:
            lines.append("  that is no person: are the units right?")
    else:
        lines.append("  3D: none")
    return lines


def _views(sequences: list[Sequence]) -> list[str]:
    cameras = sorted({len(s.cameras) for s in sequences})
    sizes = sorted({f"{c.size[0]}x{c.size[1]}" for s in sequences for c in s.cameras})
    gravity = all(c.up is not None for s in sequences for c in s.cameras)
    lines = ["  cameras: none"]
    if sizes:
        up = "gravity known" if gravity else "gravity not known"
        lines = [f"  cameras: {' or '.join(map(str, cameras))} a sequence, {', '.join(sizes)}, {up}"]
    xy = [(s.xy, s.seen) for s in sequences if s.xy is not None and s.seen is not None]
    if not xy:
        return [*lines, "  2D: none; it will be projected from 3D"]
    points = np.concatenate([a[b] for a, b in xy])
    have = sum(int(b.reshape(-1, 17).any(0).sum()) for _, b in xy) / len(xy)
    low, high = points.min(0), points.max(0)
    return [
        *lines,
        f"  2D: {have:.0f} of 17 joints, x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f} px",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(prog="python -m engines.training.data", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="say what a file or folder holds")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--detections", type=Path, metavar="FILE", help="2D detections that belong to it")
    labels = commands.add_parser("lspet", help="labels of Leeds Sports Pose Extended as published to the npz")
    labels.add_argument("file", type=Path, metavar="joints.mat")
    labels.add_argument("--out", type=Path, required=True, metavar="joints.npz")
    args = parser.parse_args(arguments)
    try:
        if args.command == "lspet":
            print(f"wrote {args.out}: {lspet_mat.convert(args.file, args.out)} people")
        else:
            print("\n".join(describe(args.file, args.detections)))
    except (UserError, OSError) as error:
        print(f"data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
