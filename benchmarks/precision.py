"""What int8 saves a whole run: frame sets a second of files in fp32 and in int8, in turn, on every runtime.

    python -m benchmarks.precision
    python -m benchmarks.precision --views 1 4 --detector movenet-thunder hourglass --repeat 3 --json precision.json

The four 1080p films of the four-camera demo, or the first of them, recording, as ``benchmarks.pipeline`` has them, each
run in a process of its own. The ratio of processor time holds on a busy machine too, that of frame sets a second on a
quiet one alone.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import machine
from benchmarks.pipeline import Case, Result, in_process
from benchmarks.table import said, table, write_json
from calibration.errors import UserError
from engines import runtimes
from engines.argument_types import Parser, at_least
from stream.app.demo import MULTI, fetch

PRECISIONS: Final = ("fp32", "int8")
GOALS: Final = {"onnx": 1.9, "openvino": 2.2}
"""Frame sets a second in int8 over those in fp32, at least; of the same detector."""

QUIET: Final = 0.25
"""Cores that other programs may use for a ratio of rates to be judged."""


def cases(views: int, detector: str, runtime: str, films: Sequence[Path]) -> dict[str, Case]:
    """The same run in both precisions."""
    videos = tuple(f"cam{k}={film}" for k, film in enumerate(films[:views]))
    return {
        precision: Case(f"{views}, {detector}, {runtime}, {precision}", "pipeline", videos, True, detector=detector,
                        runtime=runtime, precision=precision)
        for precision in PRECISIONS
    }  # fmt: skip


def saved(found: Mapping[str, Sequence[Result]]) -> dict[str, float]:
    """Medians of the rounds: frame sets a second and ms of processor time a frame set, and their ratios."""
    rate = {p: float(np.median([r.moments / r.usage.wall_s for r in of])) for p, of in found.items()}
    cpu = {p: float(np.median([r.usage.cpu_s / r.moments * 1e3 for r in of])) for p, of in found.items()}
    return {
        "fp32_rate": rate["fp32"], "int8_rate": rate["int8"], "rate_ratio": rate["int8"] / rate["fp32"],
        "fp32_cpu_ms": cpu["fp32"], "int8_cpu_ms": cpu["int8"], "cpu_ratio": cpu["fp32"] / cpu["int8"],
        "others": float(np.median([r.usage.others_s / r.usage.wall_s for of in found.values() for r in of])),
    }  # fmt: skip


def markdown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as Markdown."""
    heads = ("views, detector, runtime", "frame sets a second: fp32, int8", "int8 / fp32", "CPU ms: fp32, int8",
             "fp32 / int8", "goal", "", "others' cores")  # fmt: skip
    lines = []
    for name, row in rows.items():
        goal = GOALS[name.rsplit(", ", 1)[1]]
        lines.append([
            name, f"{row['fp32_rate']:.1f}, {row['int8_rate']:.1f}", f"{row['rate_ratio']:.2f}",
            f"{row['fp32_cpu_ms']:.1f}, {row['int8_cpu_ms']:.1f}", f"{row['cpu_ratio']:.2f}", f">= {goal:g}",
            said(row["rate_ratio"] >= goal) if row["others"] < QUIET else "not judged", f"{row['others']:.2f}",
        ])  # fmt: skip
    return table(heads, lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, nargs="+", default=[4, 1], choices=(1, 2, 3, 4))
    parser.add_argument("--detector", nargs="+", default=["movenet-thunder", "hourglass"], metavar="NAME")
    parser.add_argument("--runtime", nargs="+", choices=tuple(GOALS), help="default: those that are installed")
    parser.add_argument("--repeat", type=at_least(1), default=1, help="times; medians are reported")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        names = args.runtime or [name for name in GOALS if runtimes.module(name).available()]
        films = sorted((fetch(MULTI) / "videos").glob("*.mp4"))
        wanted = {
            f"{views}, {detector}, {runtime}": cases(views, detector, runtime, films)
            for views, detector, runtime in itertools.product(args.views, args.detector, names)
        }
        runs: dict[str, dict[str, list[Result]]] = {name: {p: [] for p in PRECISIONS} for name in wanted}
        for _ in range(args.repeat):
            for name, pair in wanted.items():
                for precision, case in pair.items():
                    print(case.title, "...", file=sys.stderr, flush=True)
                    runs[name][precision].append(in_process(case))
        rows = {name: saved(found) for name, found in runs.items()}
        print(markdown(rows), machine.title(machine.describe()), sep="\n\n")
        if args.json:
            kept = {name: {p: [asdict(r) for r in of] for p, of in found.items()} for name, found in runs.items()}
            write_json(args.json, {"machine": machine.describe(), "saved": rows, "runs": kept})
    except (UserError, OSError, ValueError) as error:
        print(f"benchmarks.precision: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
