"""The crops of a frame set in one call of the network, or one call each: what is faster?

    python -m benchmarks.batching
    python -m benchmarks.batching --detector hourglass --crops 4 8 --calls 30 --json batching.json

*One thread* compares processor time, which holds on a busy machine: the calls one after another, and one call. *Two
threads* compares the time by the clock of what a run could do with two cores: the calls in two threads of one each, as
it does, and one call that is given both. All by turns in one run.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import machine
from benchmarks.table import table, write_json
from calibration.errors import UserError
from engines import detectors, runtimes
from engines.argument_types import Parser, at_least
from engines.runtimes import Network, NetworkOptions

SIDES: Final = {"movenet-lightning": 192, "movenet-thunder": 256, "hourglass": 256}
"""Of a crop, pixels."""
RUNTIMES: Final = ("onnx", "openvino")


def feeds(detector: str, count: int) -> list[dict[str, np.ndarray]]:
    """So many crops of noise, each the input of one call."""
    rng, side = np.random.default_rng(0), SIDES[detector]
    if detector == "hourglass":
        return [{"image": rng.random((1, 3, side, side), np.float32)} for _ in range(count)]
    return [{"image": rng.integers(0, 256, (1, side, side, 3), np.uint8)} for _ in range(count)]


def measure(detector: str, runtime: str, precision: str, count: int, calls: int, pool: ThreadPoolExecutor) -> dict:
    """Ms of so many crops, each way."""
    path = detectors.weights_file(detector)
    one, two = (runtimes.load(path, NetworkOptions(runtime, precision, threads)) for threads in (1, 2))
    single = feeds(detector, count)
    all_in_one = {key: np.concatenate([feed[key] for feed in single]) for key in single[0]}

    def each(network: Network) -> None:
        for feed in single:
            network(**feed)

    ways: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {
        "calls": (lambda: each(one), time.process_time),
        "batch": (lambda: one(**all_in_one), time.process_time),
        "pool": (lambda: list(pool.map(lambda feed: one(**feed), single)), time.perf_counter),
        "batch_2_threads": (lambda: two(**all_in_one), time.perf_counter),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for call, _ in ways.values():
        call()
    for _ in range(calls):
        for name, (call, clock) in ways.items():
            begin = clock()
            call()
            spent[name].append(clock() - begin)
    return {name: 1e3 * float(np.median(times)) for name, times in spent.items()}


def markdown(found: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as Markdown."""
    heads = ("detector, runtime, precision", "crops", "one thread, CPU ms: calls, one call", "one call / calls",
             "two threads, ms: two calls at a time, one call", "one call / calls")  # fmt: skip
    rows = []
    for name, row in found.items():
        what, crops = name.rsplit("; ", 1)
        rows.append([
            what, crops, f"{row['calls']:.1f}, {row['batch']:.1f}", f"{row['batch'] / row['calls']:.2f}",
            f"{row['pool']:.1f}, {row['batch_2_threads']:.1f}", f"{row['batch_2_threads'] / row['pool']:.2f}",
        ])  # fmt: skip
    return table(heads, rows)


def run(detectors: Sequence[str], crops: Sequence[int], calls: int) -> dict[str, dict[str, float]]:
    """All of them, on the runtimes that are installed."""
    found: dict[str, dict[str, float]] = {}
    usable = [name for name in RUNTIMES if runtimes.module(name).available()]
    with ThreadPoolExecutor(2) as pool:
        for detector, runtime, precision in itertools.product(detectors, usable, ("fp32", "int8")):
            for count in crops:
                name = f"{detector}, {runtime}, {precision}; {count}"
                print(name, "...", file=sys.stderr, flush=True)
                found[name] = measure(detector, runtime, precision, count, calls, pool)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", nargs="+", default=list(SIDES), choices=tuple(SIDES))
    parser.add_argument("--crops", type=at_least(1), nargs="+", default=[2, 4])
    parser.add_argument("--calls", type=at_least(1), default=20, help="of each way (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        found = run(args.detector, args.crops, args.calls)
        print(markdown(found), machine.title(machine.describe()), sep="\n\n")
        if args.json:
            write_json(args.json, {"machine": machine.describe(), "ms": found})
    except (UserError, OSError) as error:
        print(f"benchmarks.batching: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
