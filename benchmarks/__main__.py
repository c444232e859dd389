"""Every benchmark of speed, one after another, and one table of what there are goals and ratios for.

    python -m benchmarks                          # `make bench`: under eight minutes on two cores
    python -m benchmarks --only lifter,peers      # the others keep the figures that they have
    python -m benchmarks --out docs/performance.md --json results.json

Run it on a machine that does nothing else. A part that cannot be measured here is named with the reason, keeps the
figures that it has, and the others go on. What was measured is kept in benchmarks/results, under the name of the
processor.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import detectors, lifter, machine, peers, pipeline
from benchmarks.processor import Usage
from benchmarks.table import said, table, write_json
from benchmarks.timing import Times
from calibration.errors import UserError
from calibration.writing import write_text
from engines.argument_types import Parser

RESULTS: Final = Path(__file__).parent / "results"
MARKS: Final = ("<!-- bench -->", "<!-- /bench -->")
"""A document keeps the table between these."""
Line = tuple[str, str, str, str]
"""What, measured, goal or base, and whether it is met."""


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark."""

    arguments: tuple[str, ...]
    """Of ``python -m benchmarks.NAME``: enough for steady ratios, little enough for all to end in time."""
    lines: Callable[[Mapping[str, Any]], list[Line]]
    """Of its JSON."""
    limit_s: float
    """It is ended after this: something is broken, or the machine is far too slow."""


def lifter_lines(data: Mapping[str, Any]) -> list[Line]:
    """Shares of the limit, and int8 against fp32."""
    goals = lifter.GOALS
    lines: list[Line] = []
    for mode, prefix in (("tight", ""), ("paced", "paced_"), ("cold", "cold_")):
        if (share := data.get(f"{prefix}fp32_share_of_limit")) is not None:
            goal = goals["fp32_share_of_limit"]
            lines.append((f"lifter fp32, batch 1, one thread, {mode}: share of the limit of reading its weights",
                          f"{share:.0%}", f">= {goal:.0%}" if not prefix else "-",
                          said(share >= goal) if not prefix else "-"))  # fmt: skip
        if (over := data.get(f"{prefix}int8_over_fp32")) is not None:
            goal = goals["int8_over_fp32"]
            lines.append((f"lifter int8 / fp32, {mode}", f"{over:.2f}", f"<= {goal}" if not prefix else "-",
                          said(over <= goal) if not prefix else "-"))  # fmt: skip
    rows = [lifter.Row(**r | {"time": Times(**r["time"])}) for r in data["rows"]]
    tight = {(r.runtime, r.precision): r.time.p50 for r in rows if r.mode == "tight" and r.batch == 1}
    base = tight[lifter.REFERENCE, "fp32"]
    lines += [
        (f"lifter {precision} on {runtime} / {lifter.REFERENCE} fp32", f"{ms / base:.2f}", f"{ms:.2f} ms", "-")
        for (runtime, precision), ms in tight.items()
        if (runtime, precision) != (lifter.REFERENCE, "fp32")
    ]
    return lines


def detector_lines(data: Mapping[str, Any]) -> list[Line]:
    """Each detector's fastest way, to MoveNet Lightning's reference with as many threads."""
    rows = [detectors.Row(**r | {"time": Times(**r["time"])}) for r in data["rows"]]
    base = detectors.reference(rows)
    lines: list[Line] = []
    for name in dict.fromkeys(r.detector for r in rows):
        for precision in dict.fromkeys(r.precision for r in rows if r.detector == name):
            mine = [r for r in rows if (r.detector, r.precision, r.mode) == (name, precision, "tight")]
            best = min(mine, key=lambda r: r.time.p50)
            threads = f"{best.threads} threads" if best.threads else "its own threads"
            what = f"{name} {precision} on {best.runtime}, {threads} / {' '.join(detectors.REFERENCE[:2])}"
            to = base.get((best.mode, best.threads))
            lines.append((what, f"{best.time.p50 / to:.2f}" if to else "-", f"{best.time.p50:.1f} ms a frame", "-"))
    return lines + int8_lines(rows)


def int8_lines(rows: Sequence[detectors.Row]) -> list[Line]:
    """What int8 saves the hourglass, each precision on its best runtime and threads, and what it costs."""
    tight = [r for r in rows if (r.detector, r.mode) == ("hourglass", "tight")]
    by = {p: [r for r in tight if r.precision == p] for p in ("int8", "fp32")}
    if not all(by.values()):
        return []
    int8, fp32 = (min(of, key=lambda r: r.time.p50) for of in by.values())
    over, goal = int8.time.p50 / fp32.time.p50, detectors.INT8_OVER_FP32
    ways = [f"{r.precision} on {r.runtime}, {r.threads} thread{'s'[: r.threads > 1]}" for r in (int8, fp32)]
    lines: list[Line] = [(f"hourglass {ways[0]} / {ways[1]}", f"{over:.2f}", f"<= {goal:g}", said(over <= goal))]
    if (loss := detectors.int8_loss("hourglass")) is not None:
        what, goal = "hourglass int8: points of PCK@0.2 lost, as its build measured", detectors.INT8_LOSS
        lines.append((what, f"{loss:.2f}", f"<= {goal:g}", said(loss <= goal)))
    return lines


def pipeline_lines(data: Mapping[str, Any]) -> list[Line]:
    """The goals of the pipeline, and its rates."""
    goals = (
        ("wall_over_bound", "wall time / max(compute busy, CPU time / cores), worst case", pipeline.GOAL),
        ("latency_spread_over_detector", "latency p95 / p50, one live camera, to the bare detector loop's",
         pipeline.SPREAD),
        ("second_camera", "time of two views / one", pipeline.SECOND),
        ("peak_mb", "peak memory of one camera, recording, MB", pipeline.PEAK_MB),
    )  # fmt: skip
    lines: list[Line] = [
        (what, f"{data[key]:.0f}" if key == "peak_mb" else f"{data[key]:.2f}", f"<= {goal:g}", said(data[key] <= goal))
        for key, what, goal in goals
        if key in data
    ]
    for name, case in data["cases"].items():
        use = Usage(**case["usage"])
        rate = f"{case['moments'] / use.wall_s:.1f} a second"
        if times := case["latency"]:
            lines.append((f"{name}: latency, p50 / p95", f"{times['p50']:.0f} / {times['p95']:.0f} ms", rate, "-"))
        else:
            ms = f"{use.cpu_s / case['moments'] * 1e3:.0f} ms CPU a moment, peak {use.peak_mb:.0f} MB"
            lines.append((f"{name}: speed", rate, ms, "-"))
    return lines


def peer_lines(data: Mapping[str, Any]) -> list[Line]:
    """Ours over theirs with the same network."""
    words = {
        "fps": "frames a second (more is better)",
        "latency_p50": "latency, median",
        "latency_p95": "latency, 95th percentile",
        "cpu": "CPU time a frame",
        "memory": "peak memory",
    }
    return [
        (f"ours / MediaPipe's loop, {peers.title(f'ours {name}')[6:]}: {words[key]}", f"{value:.2f}", "-", "-")
        for name, values in data["ours_over_theirs"].items()
        for key, value in values.items()
    ]


PARTS: Final = {
    "lifter": Part(("--paced-calls", "30", "--cold-calls", "10"), lifter_lines, 150),
    "detectors": Part(("--rounds", "2", "--calls", "15", "--paced-calls", "15"), detector_lines, 180),
    "pipeline": Part(("--only", "record,all,views1,views2,views4,views8,live1,live2"), pipeline_lines, 360),
    "peers": Part((), peer_lines, 240),
}


def run_part(name: str, part: Part, folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The JSON of a part, or why there is none."""
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", *part.arguments, "--json", str(out)]
    # A session of its own, so that its cases, which are processes too, end with it and do not slow the next part down.
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, said = process.communicate(timeout=part.limit_s)
        except subprocess.TimeoutExpired:
            end(process)
            return None, f"it was not done after {part.limit_s:.0f} s"
        except KeyboardInterrupt:  # the terminal's does not reach another session
            end(process)
            raise
    if process.returncode or not out.exists():
        return None, (said.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
    return json.loads(out.read_text(encoding="utf-8")), ""


def end(process: subprocess.Popen[str]) -> None:
    """End a process that leads a session, and every process of that; on Windows the one alone."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def earlier(path: Path, described: dict[str, Any]) -> dict[str, Any]:
    """Results as they were written before; empty where there are none of this machine.

    Raises:
        UserError: if they cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not data or machine.slug(data["machine"]) != machine.slug(described):
            return {}
        report({name: data[name] for name in PARTS if name in data}, data["missing"], data["machine"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} does not hold the figures of the other parts ({error}); run them all, or give another --json"
        ) from error
    return data


def report(found: Mapping[str, Mapping[str, Any]], missing: Mapping[str, str], described: dict[str, Any]) -> str:
    """The one table, on what it was measured, and what is not in it."""
    lines = [line for name, data in found.items() for line in PARTS[name].lines(data)]
    earlier = "; its figures are of an earlier run"
    left_out = [f"{name}: {why}{earlier if name in found else ''}" for name, why in missing.items()]
    left_out += [f"{what}: {why}" for data in found.values() for what, why in data.get("left_out", {}).items()]
    text = [machine.title(described), "", table(("", "measured", "goal, or for scale", ""), lines)]
    text += [
        f"\n{name} was measured earlier, on {machine.title(data['machine'])}"
        for name, data in found.items()
        if "machine" in data
    ]
    if left_out:
        text += ["", "Not measured:", "", *(f"- {line}" for line in left_out)]
    return "\n".join(text)


def place(path: Path, marks: tuple[str, str] = MARKS) -> tuple[str, str]:
    """What a document has before and after the place of the table; nothing where it is new or empty.

    Raises:
        UserError: if it cannot be read, or has no such place.
    """
    begin, end = marks
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise UserError(f"--out {path} cannot be read ({error})") from error
    head, found, rest = old.partition(begin)
    _, closed, tail = rest.partition(end)
    if not old.strip():
        return "", "\n"
    if not (found and closed):
        raise UserError(f"--out {path} is not empty and has no place for the table: write {begin} and {end} into it")
    return head, tail


def put(text: str, path: Path, marks: tuple[str, str] = MARKS) -> None:
    """Write the table to its place in a document.

    Raises:
        OSError: if it cannot be written.
        UserError: see ``place``.
    """
    (head, tail), (begin, end) = place(path, marks), marks
    write_text(path, f"{head}{begin}\n{text}\n{end}{tail}")


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {', '.join(PARTS)}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="also write the table here: between its marks, or to a new file"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: benchmarks/results/PROCESSOR.json")
    args = parser.parse_args(arguments)
    wanted = args.only.split(",") if args.only else list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        print(f"benchmarks: no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    described = machine.describe()
    path = args.json or RESULTS / f"{machine.slug(described)}.json"
    old: dict[str, Any] = {}
    try:
        if args.out:
            place(args.out)
        with suppress(UserError) if set(wanted) == set(PARTS) else nullcontext():
            old = earlier(path, described)
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    found: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for name in wanted:
            print(f"{name} ...", file=sys.stderr, flush=True)
            begin = time.perf_counter()
            data, why = run_part(name, PARTS[name], Path(folder))
            if data is None:
                missing[name] = why
            else:
                data.pop("machine", None)
                found[name] = data | {"seconds": round(time.perf_counter() - begin)}
    if old and old["machine"] != described:  # the same processor with other versions
        old = {name: {"machine": old["machine"], **data} if name in PARTS else data for name, data in old.items()}
    # What was not measured now, asked for or not, keeps the figures that it has.
    whole = {name: data for name in PARTS if (data := found.get(name) or old.get(name))}
    missing |= {name: why for name, why in old.get("missing", {}).items() if name not in wanted}
    text = report(whole, missing, described)
    print(text)
    if not found:
        return 1
    try:
        write_json(path, {"machine": described, "missing": missing, **whole})
        if args.out:
            put(text, args.out)
    except (UserError, OSError) as error:
        print(f"benchmarks: the results cannot be written ({error})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
