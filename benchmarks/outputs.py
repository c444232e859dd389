"""How late the live outputs are beside the window: from the capture of a moment to its being in another program.

    python -m benchmarks.outputs
    python -m benchmarks.outputs --out docs/live.md --json benchmarks/results/outputs.json
    python -m benchmarks.outputs --only window,udp,websocket --seconds 20

One virtual camera of 30 frames a second (benchmarks/camera_server.py) shows the demo's walker. Each case is a run of
its own, in a process of its own, with one output to a receiver in a third process on this machine
(benchmarks/receivers.py); that of the window ends when the picture is on the (virtual) screen. They take turns, so that
what else the machine does meets all alike.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil

from benchmarks import __main__ as documents
from benchmarks import latency, machine
from benchmarks.camera_server import Cameras
from benchmarks.receivers import KINDS
from benchmarks.table import said, table, write_json
from benchmarks.timing import Times, times
from calibration.arrays import Image
from calibration.errors import UserError
from engines.argument_types import Parser, at_least, positive
from stream.app import build
from stream.app.command_line import config_of
from stream.app.command_line import parser as program
from stream.app.demo import SINGLE, fetch
from stream.recordings.run_info import RunInfo
from stream.sinks import MainSink
from stream.types import Estimate

FLAGS: Final[dict[str, tuple[list[str], str]]] = {
    "window": (["--view", "window"], ""),
    "udp": (["--udp", "47801"], "47801"),
    "websocket": (["--websocket", "47802"], "47802"),
    "web": (["--web", "47804"], "47804"),
    "osc": (["--osc", "47803"], "47803"),
    "lsl": (["--lsl", "latency"], "latency"),
    "ros2": (["--ros2"], "lo"),
}
"""Flags of each case, and where its receiver listens."""
PEOPLE: Final = {
    "1": "One person followed (`--people 1`): each moment is as much work as the next",
    "all": "Everybody (`--people all`, the default): in two thirds of the film there are two people",
}
MARKS: Final = ("<!-- outputs -->", "<!-- /outputs -->")
"""A document keeps the table between these."""
LATER_MS: Final = 5.0
"""The median may be this much above the window's."""
SPREAD: Final = 1.5
"""p95 over p50 may be this much."""
BUSY: Final = 60.0
"""Per cent of the machine's processors that may be in use, or the figures are of something else."""


class Shown:
    """A viewer that notes when each picture is shown."""

    policy: Any
    wants_images = True

    def __init__(self, viewer: MainSink) -> None:
        self._viewer, self.policy = viewer, viewer.policy
        self.ages: list[float] = []

    def open(self, run_info: RunInfo) -> None:
        """See ``Sink``."""
        self._viewer.open(run_info)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        self._viewer.write(estimate, images)
        if estimate.people:
            self.ages.append(monotonic() - estimate.t)

    def poll(self) -> None:
        """See ``MainSink``."""
        self._viewer.poll()

    def close(self) -> str | None:
        """See ``Sink``."""
        return self._viewer.close()


@contextmanager
def screen() -> Iterator[None]:
    """Within it there is a display: this machine's, or a virtual one.

    Raises:
        UserError: if there is neither.
    """
    if os.environ.get("DISPLAY"):
        yield
        return
    if shutil.which("Xvfb") is None:
        raise UserError("the window needs a display, or Xvfb (apt install xvfb)")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:
            os.environ["DISPLAY"] = ":" + told.readline().strip()
        yield
    finally:
        os.environ.pop("DISPLAY", None)
        server.terminate()
        server.wait()


def run_case(name: str, people: str, url: str, seconds: float) -> dict[str, Any]:
    """Run the program with one output in this process: milliseconds of each moment, and how busy the machine was."""
    always = ["--view", "none", "--quiet", "--detector", "movenet-lightning", "--people", people]
    flags = [*always, *FLAGS[name][0]]
    config = latency.steady(config_of(program().parse_args(["--camera", url, *flags])))
    with ExitStack() as stack:
        if name == "window":
            stack.enter_context(screen())
        pipeline, viewer = build.prepare(config, stack)
        shown = Shown(viewer) if viewer else None
        ender = threading.Timer(seconds, pipeline.control.stop)
        ender.start()
        psutil.cpu_percent()
        summary = pipeline.run(shown)
        return {
            "ages": [age * 1e3 for age in shown.ages] if shown else [], "busy": psutil.cpu_percent(),
            "estimated": summary.latency_ms, "fps": summary.fps, "skips": sum(summary.skips.values()),
        }  # fmt: skip


def measured(name: str, people: str, url: str, seconds: float) -> dict[str, Any]:
    """Run a case in a fresh process, with its receiver in another."""
    command = [sys.executable, "-m", "benchmarks.outputs", "--case", name, "--people", people,
               "--seconds", str(seconds)]  # fmt: skip
    with ExitStack() as stack:
        receiver = None
        if name in KINDS:
            receiver = subprocess.Popen([sys.executable, "-m", "benchmarks.receivers", name, FLAGS[name][1]],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
            stack.callback(receiver.wait)
            stack.callback(receiver.kill)
        done = subprocess.run(command, input=url, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
        result = json.loads(done.stdout.splitlines()[-1])
        if receiver is not None and receiver.stdout is not None:
            receiver.kill()
            result["ages"] = [
                float(line) for line in receiver.stdout.read().split("\n")[1:] if line.endswith(tuple("0123456789"))
            ]
    return result


def warm(ages: list[float]) -> list[float]:
    """Without the first fifth: finding the person, receivers that connect."""
    return ages[len(ages) // 5 :]


def report(found: Mapping[str, list[dict[str, Any]]]) -> tuple[str, list[str], dict[str, Times]]:
    """Markdown, what is met, and the figures."""
    figures, rows, lines = {}, [], []
    for name, rounds in found.items():
        ages = [age for one in rounds for age in warm(one["ages"])]
        if not ages:
            lines.append(f"{name}: nothing came; the machine is too busy to measure it")
            continue
        figures[name] = times([age / 1e3 for age in ages])
    base = figures.get("window")
    for name, time in figures.items():
        busy = max(one["busy"] for one in found[name])
        later = time.p50 - base.p50 if base else None
        rows.append([name, *time.cells(), f"{time.spread:.2f}", "-" if later is None else f"{later:+.1f}",
                     f"{busy:.0f} %", sum(one["skips"] for one in found[name]), time.calls])  # fmt: skip
        if name != "window" and later is not None:
            met = later <= LATER_MS and time.spread <= SPREAD
            lines.append(f"{name}: p50 {later:+.1f} ms beside the window's (goal <= +{LATER_MS:g}), "
                         f"p95 / p50 {time.spread:.2f} (goal <= {SPREAD:g}): {said(met)}")  # fmt: skip
        if busy > BUSY:
            lines.append(f"{name}: the machine was used to {busy:.0f} %, more than {BUSY:g}: measure it again")
    heads = (
        "output",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "p95 / p50",
        "beside the window",
        "machine",
        "passed over",
        "moments",
    )
    return table(heads, rows), lines, figures


def chosen(asked: str | None, known: Collection[str], what: str) -> list[str]:
    """Those of the known names that are asked for, or all.

    Raises:
        UserError: for an unknown name.
    """
    names = asked.split(",") if asked else list(known)
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(FLAGS)}")
    parser.add_argument(
        "--people", metavar="WHOM", help=f"some of {','.join(PEOPLE)}; a table each (default: all of them)"
    )
    parser.add_argument("--seconds", type=positive, default=12.0, help="of each run (default: %(default)g)")
    parser.add_argument("--repeat", type=at_least(1), default=2, help="times, in turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write it between its marks in a document")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    try:
        if args.case:
            print(json.dumps(run_case(args.case, args.people, sys.stdin.read().strip(), args.seconds)))
            return 0
        names, whom = chosen(args.only, FLAGS, "output"), chosen(args.people, PEOPLE, "choice of people")
        found: dict[str, dict[str, list[dict[str, Any]]]] = {people: {name: [] for name in names} for people in whom}
        with Cameras([fetch(SINGLE) / "demo.mp4"], 30.0, 150, back=True) as cameras:
            for _ in range(args.repeat):
                for people in whom:
                    for name in names:
                        found[people][name].append(measured(name, people, cameras.urls[0], args.seconds))
        about = machine.describe()
        parts, figures = [machine.title(about)], {}
        for people in whom:
            text, lines, times_of = report(found[people])
            parts += [PEOPLE[people] + ":", text, "\n".join(f"- {line}" for line in lines)]
            figures[people] = {name: asdict(t) for name, t in times_of.items()}
        print(*parts, sep="\n\n")
        if args.out:
            documents.put("\n\n".join(parts), args.out, MARKS)
        if args.json:
            write_json(args.json, {"machine": about, "times": figures})
    except UserError as error:
        print(f"benchmarks.outputs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
