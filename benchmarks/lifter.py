"""How fast the lifter's network is on each runtime and precision, and how near that is to the limit of this machine.

    python -m benchmarks.lifter
    python -m benchmarks.lifter --rounds 3 --calls 30 --json lifter.json

At batch 1 every weight is read once and used for one product, so no runtime can be faster than this thread can read
that many bytes. That limit is measured in the same rounds, in the same way: the fastest of three plain readers goes
over a buffer of the size of the weights as they are computed with (fp32: 4 bytes each, whatever the file stores).

- tight: calls without a pause. Weights and buffer lie in whichever cache holds them, both in the same one.
- paced: one call every 33 ms, as a camera has it; meanwhile the core sleeps, and on the way back it is slower for all.
- cold: twice the last-level cache is read before each call, so that weights and buffer come from the memory.

A share of the limit is always of the same way to call, and is the median over the rounds where there are several.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks import machine
from benchmarks.table import ratio, said, table, write_json
from benchmarks.timing import Times, after, median_ratio, paced, tight, times
from calibration.errors import UserError
from engines import lifter, runtimes
from engines.argument_types import Parser, at_least
from engines.runtimes import Network
from engines.types import EngineError

BATCHES: Final = (1, 4, 16)
EVERY_S: Final = 0.033
BYTES: Final = {"fp32": 4, "int8": 1}
"""Of one weight."""
GOALS: Final = {"fp32_share_of_limit": 0.90, "int8_over_fp32": 0.35}
REFERENCE: Final = "onnx"
"""Ratios are of this runtime, which everybody has."""
NO_CACHE: Final = 256 << 20
"""Bytes that are read to empty the caches where the system does not say how large they are."""

Calls = dict[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result."""

    runtime: str
    """Name of the runtime, or "limit"."""
    precision: str
    """What the weights are computed with."""
    mode: str
    """"tight", "paced" or "cold"."""
    batch: int
    """Poses a call; for the limit 0."""
    time: Times
    """Of a call."""
    share: float | None
    """Of the limit that is reached; at batch 1 on the processor only."""


def load(path: Path, on: Sequence[str]) -> tuple[dict[str, Network], dict[str, str]]:
    """Every precision that there is here on every runtime, by "runtime precision", and why others are not."""
    found, left_out = {}, {}
    if not runtimes.has_int8(path):
        left_out["int8"] = f"there is no int8 file beside {path.name}; python -m engines.build makes it"
    usable, refused = able(on)
    for precision in BYTES if runtimes.has_int8(path) else ("fp32",):
        for name in usable:
            if precision not in runtimes.module(name).PRECISIONS:
                continue
            try:
                found[f"{name} {precision}"] = runtimes.load(path, runtimes.NetworkOptions(name, precision))
            except EngineError as error:
                left_out[f"{name} {precision}"] = str(error)
    return found, left_out | refused


def able(on: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The runtimes that are installed here, and how the others would be.

    Raises:
        UserError: for a runtime that there is not.
    """
    if unknown := set(on) - set(runtimes.names()):
        raise UserError(f"no runtime {', '.join(sorted(unknown))}; there are {', '.join(runtimes.names())}")
    usable, refused = [], {}
    for name in on:
        module = runtimes.module(name)
        if module.available():
            usable.append(name)
        else:
            refused[name] = f"not installed ({module.INSTALL})"
    return usable, refused


def count_weights(path: Path) -> int:
    """Numbers of a network that every call reads."""
    import onnx  # a tool of the developers; nothing that runs needs it

    return sum(int(np.prod(weight.dims)) for weight in onnx.load(path).graph.initializer)


def readers(size: int) -> Calls:
    """Ways to read ``size`` bytes once with one thread, as fast as they come; which is fastest depends on the machine.

    All are plain loops over one stream: a maximum, an or (both with the widest loads the processor has) and C's memchr.
    """
    # Written, and not with zeros: untouched pages are all the same page of zeros, which lies in the nearest cache.
    numbers = np.full(max(size // 8, 1), 0x0202020202020202, np.int64)
    text = numbers.tobytes()
    narrow = numbers.view(np.int32)
    return {
        "max": lambda: narrow.max(),
        "or": lambda: np.bitwise_or.reduce(numbers),
        "memchr": lambda: text.find(b"\x01"),
    }


def measure_tight(called: Mapping[str, Network], sizes: Mapping[str, int], rounds: int, count: int) -> list[Row]:
    """Rows of calls without a pause, and of the limits. Each round has every runtime and reader in turn."""
    reading = {f"limit {p}": readers(size) for p, size in sizes.items()}
    calls = _calls(called, 1) | {f"{name} {how}": f for name, ways in reading.items() for how, f in ways.items()}
    found = tight(calls, rounds, count)
    limits = {name: _fastest([found[f"{name} {how}"] for how in ways]) for name, ways in reading.items()}
    rows = [
        _row(name, "tight", 1, found[name], _share(runtime, limits[f"limit {_precision(name)}"], found[name]))
        for name, runtime in called.items()
    ]
    rows += [_row(name, "tight", 0, seconds, None) for name, seconds in limits.items()]
    for batch in BATCHES[1:]:
        found = tight(_calls(called, batch), rounds, count)
        rows += [_row(name, "tight", batch, seconds, None) for name, seconds in found.items()]
    return rows


def measure_other(
    mode: str, called: Mapping[str, Network], sizes: Mapping[str, int], batch: int,
    work: Callable[[Calls], Mapping[str, list[float]]],
) -> list[Row]:  # fmt: skip
    """Rows of one batch, paced or cold; with the limits at batch 1."""
    calls = _calls(called, batch)
    if batch == 1:
        # Each mode is slow; so one loop, and not the fastest of three as in measure_tight: they differ by a hundredth.
        calls |= {f"limit {precision}": readers(size)["max"] for precision, size in sizes.items()}
    found = {name: [seconds] for name, seconds in work(calls).items()}
    rows = []
    for name in found:
        share = None
        if batch == 1 and name in called:
            share = _share(called[name], found[f"limit {_precision(name)}"], found[name])
        rows.append(_row(name, mode, 0 if name.startswith("limit") else batch, found[name], share))
    return rows


def evict() -> Callable[[], object]:
    """Reads twice what the last-level cache holds.

    Raises:
        UserError: if there is not enough memory for that.
    """
    size = 2 * max(machine.caches().values(), default=NO_CACHE)
    if psutil.virtual_memory().available < 2 * size:
        raise UserError(f"emptying the caches needs {size / 1e9:.1f} GB, and there is not that much memory to spare")
    buffer = np.ones(size // 4, np.int32)
    return lambda: buffer.max()


def run(path: Path, on: Sequence[str], rounds: int, count: int, paced_calls: int, cold_calls: int) -> dict[str, Any]:
    """Everything; see the module."""
    called, left_out = load(path, on)
    if f"{REFERENCE} fp32" not in called:
        raise UserError(
            f"the lifter cannot be measured: {left_out.get(f'{REFERENCE} fp32', 'it needs the runtime onnx')}"
        )
    width(called[f"{REFERENCE} fp32"])
    weights = count_weights(path)
    sizes = {p: weights * BYTES[p] for p in dict.fromkeys(map(_precision, called))}
    rows = measure_tight(called, sizes, rounds, count)
    for batch in BATCHES if paced_calls else ():
        rows += measure_other("paced", called, sizes, batch, lambda calls: paced(calls, paced_calls, EVERY_S))
    if cold_calls:
        try:
            empty = evict()
            rows += measure_other("cold", called, sizes, 1, lambda calls: after(empty, calls, cold_calls))
        except UserError as error:
            left_out["cold"] = str(error)
    return {**summary(rows), "weights": weights, "rows": [asdict(r) for r in rows], "left_out": left_out}


def summary(rows: list[Row]) -> dict[str, float]:
    """The figures that there are goals for, of the reference runtime at batch 1; tight where no other is named."""
    by = {(r.runtime, r.precision, r.mode): r for r in rows if r.batch == 1}
    found = {}
    for mode, prefix in (("tight", ""), ("paced", "paced_"), ("cold", "cold_")):
        fp32, int8 = (by.get((REFERENCE, precision, mode)) for precision in ("fp32", "int8"))
        if fp32 and fp32.share is not None:
            found[f"{prefix}fp32_share_of_limit"] = fp32.share
        if int8 and int8.share is not None:
            found[f"{prefix}int8_share_of_limit"] = int8.share
        if fp32 and int8:
            found[f"{prefix}int8_over_fp32"] = int8.time.p50 / fp32.time.p50
    return found


def verdict(result: Mapping[str, Any]) -> list[str]:
    """The goals, and whether they are met."""
    lines = []
    if (share := result.get("fp32_share_of_limit")) is not None:
        goal = GOALS["fp32_share_of_limit"]
        lines.append(f"fp32, one thread, batch 1: {share:.1%} of the limit (goal {goal:.0%}): {said(share >= goal)}")
    if (over := result.get("int8_over_fp32")) is not None:
        goal = GOALS["int8_over_fp32"]
        lines.append(f"int8: {over:.2f} of the time of fp32 (goal {goal}): {said(over <= goal)}")
    return lines


def report(result: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = [Row(**r | {"time": Times(**r["time"])}) for r in result["rows"]]
    base = {(r.mode, r.batch): r.time.p50 for r in rows if (r.runtime, r.precision) == (REFERENCE, "fp32")}
    heads = ("runtime", "precision", "called", "batch", "p50 ms", "p95", "p99", f"to {REFERENCE} fp32", "of the limit")
    cells = [
        (
            *(r.runtime, r.precision, r.mode, r.batch or "-", *r.time.cells()),
            ratio(r.time.p50, base.get((r.mode, r.batch or 1))),
            "-" if r.share is None else f"{r.share:.0%}",
        )
        for r in rows
    ]
    left_out = [f"not measured: {name}: {why}" for name, why in result["left_out"].items()]
    return "\n".join([table(heads, cells), "", *verdict(result), *left_out])


def width(network: Network) -> int:
    """Numbers that a lifter sees of a pose.

    Raises:
        UserError: if it is none.
    """
    shape = network.inputs["x"].shape if list(network.inputs) == ["x"] else ()
    if len(shape) != 2 or shape[1] is None:
        raise UserError(f"{network.describe()['model']} is not a lifter: its one input is not x (batch, N)")
    return shape[1]


def _calls(called: Mapping[str, Network], batch: int) -> Calls:
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, width(next(iter(called.values()))))).astype(np.float32)
    return {name: lambda network=network: network(x=x) for name, network in called.items()}


def _precision(name: str) -> str:
    return name.split()[1]


def _share(runtime: Network, limit: list[list[float]], found: list[list[float]]) -> float | None:
    """Of the processor's limit; a GPU has another memory."""
    return median_ratio(limit, found) if runtime.describe().get("device") == "cpu" else None


def _fastest(found: Sequence[list[list[float]]]) -> list[list[float]]:
    """Of several readers the one with the least median."""
    return min(found, key=lambda rounds: float(np.median(np.concatenate(rounds))))


def _row(name: str, mode: str, batch: int, found: list[list[float]], share: float | None) -> Row:
    runtime, precision = name.split()
    return Row(runtime, precision, mode, batch, times(np.concatenate(found).tolist()), share)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=lifter.SHIPPED, help="default: the lifter that is shipped")
    parser.add_argument("--runtimes", metavar="NAMES", help="some of them, such as onnx,openvino (onnx is needed)")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--calls", type=at_least(1), default=60, help="a round, runtime and batch, tight (default: 60)")
    parser.add_argument(
        "--paced-calls", type=at_least(0), default=40, help="a runtime and batch; 0: none (default: 40)"
    )
    parser.add_argument("--cold-calls", type=at_least(0), default=12, help="a runtime; 0: none (default: 12)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        on = args.runtimes.split(",") if args.runtimes else runtimes.names()
        result = run(args.weights, on, args.rounds, args.calls, args.paced_calls, args.cold_calls)
        print(report(result))
        if args.json:
            write_json(args.json, {"machine": machine.describe(), **result})
    except (UserError, OSError) as error:
        print(f"benchmarks.lifter: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
