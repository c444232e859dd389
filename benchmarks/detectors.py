"""How fast each detector is on real frames: every runtime, one and two threads, without a pause and at a camera's pace.

    python -m benchmarks.detectors
    python -m benchmarks.detectors --only movenet-thunder,movenet-lightning --frames 20 --json detectors.json

What is timed is what a stream pays a view: the crop, the network, its decoding and now and then the search for the
person, on frames of the demo's video, forth and back so that the person never jumps. Each round has every detector in
turn. Ratios are to MoveNet Lightning on ONNX Runtime with as many threads. MediaPipe brings its own runtime and
threads.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import machine
from benchmarks.lifter import able
from benchmarks.table import ratio, table, write_json
from benchmarks.timing import Times, paced, tight, times
from calibration.arrays import Image
from calibration.errors import UserError
from engines import cards, detectors, runtimes
from engines.argument_types import Parser, at_least
from engines.detectors import DetectorOptions
from engines.runtimes import NetworkOptions
from engines.types import Detector, EngineError
from stream.app.demo import SINGLE, fetch
from stream.config import SourceConfig
from stream.sources import make_source

EVERY_S: Final = 0.033
FPS: Final = 30.0
REFERENCE: Final = ("movenet-lightning", "onnx", "fp32")
INT8_OVER_FP32: Final = 0.45
"""The hourglass in int8 may take this share of its time in fp32."""
INT8_LOSS: Final = 1.0
"""And lose as many points of PCK@0.2."""
OWN: Final = "its own"
"""Runtime and threads of a detector that brings them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result."""

    detector: str
    """Name in the registry."""
    runtime: str
    """Name in the registry of the runtimes, or "its own"."""
    precision: str
    """Of its own network: "fp32" or "int8"."""
    threads: int
    """Of its networks; 0 where it chooses."""
    mode: str
    """"tight" or "paced"."""
    time: Times
    """Of a frame."""
    people: float
    """Share of the frames in which a person was found."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector as it is measured."""

    detector: Detector
    runtime: str
    precision: str
    threads: int


def frames_of(video: Path, count: int) -> Iterator[Image]:
    """The first images of a video, (H, W, 3) uint8 BGR, one at a time.

    Raises:
        UserError: if it cannot be read.
    """
    with closing(make_source(SourceConfig(str(video), "frames"))) as source:
        source.open()
        for _ in range(count):
            frame = source.read()
            if frame is None:
                return
            yield frame.image


def load(wanted: Sequence[str], on: Sequence[str], threads: Sequence[int]) -> tuple[dict[str, Subject], dict[str, str]]:
    """Every detector on every runtime that can run it, and why others are not measured."""
    found: dict[str, Subject] = {}
    usable, left_out = able(on)
    # A stream would not take these, as torch on the processor: they would only cost time here.
    left_out |= {name: why for name in usable if (why := runtimes.module(name).obstacle())}
    usable = [name for name in usable if name not in left_out]
    for name in wanted:
        file = detectors.weights_file(name)
        own = file.suffix != ".onnx"
        kinds = ("fp32", "int8") if runtimes.has_int8(file) else ("fp32",)
        for runtime, precision, n in [(OWN, "-", 0)] if own else itertools.product(usable, kinds, threads):
            if not own and precision not in runtimes.module(runtime).PRECISIONS:
                continue
            try:
                options = None if own else DetectorOptions(NetworkOptions(runtime, precision, n))
                detector = detectors.load(name, options)
                found[f"{name} {runtime} {precision} {n}"] = Subject(detector, runtime, precision, n)
            except EngineError as error:
                left_out[f"{name}, {runtime} {precision}"] = str(error)
    return found, left_out


def watching(subject: Subject, frames: Sequence[Image], seen: list[bool]) -> Callable[[], object]:
    """A call that detects in the next frame, and notes whether somebody is there."""
    session = subject.detector.session()
    images = _forth_and_back(frames)
    index = itertools.count()

    def call() -> None:
        seen.append(session(next(images), next(index) / FPS).person)

    return call


def run(subjects: Mapping[str, Subject], frames: Sequence[Image], rounds: int, count: int, slow: int) -> list[Row]:
    """Rows of all of them; ``slow`` calls of each at a camera's pace."""
    rows = []
    for mode in ("tight", "paced") if slow else ("tight",):
        seen: dict[str, list[bool]] = {name: [] for name in subjects}
        calls = {name: watching(subject, frames, seen[name]) for name, subject in subjects.items()}
        for call in calls.values():  # the first frames search for the person
            call()
        if mode == "tight":
            found = {name: sum(parts, []) for name, parts in tight(calls, rounds, count).items()}
        else:
            found = paced(calls, slow, EVERY_S)
        rows += [
            Row(
                *(s.detector.name, s.runtime, s.precision, s.threads, mode),
                *(times(found[name]), sum(seen[name]) / len(seen[name])),
            )
            for name, s in subjects.items()
        ]
    return rows


def reference(rows: Sequence[Row]) -> dict[tuple[str, int], float]:
    """Median of the reference by mode and threads; for 0 threads, where a detector chooses, the fastest of it."""
    found = {(r.mode, r.threads): r.time.p50 for r in rows if (r.detector, r.runtime, r.precision) == REFERENCE}
    for mode in {mode for mode, _ in found}:
        found[mode, 0] = min(value for (m, _), value in found.items() if m == mode)
    return found


def int8_loss(name: str) -> float | None:
    """Points of PCK@0.2 that a detector loses with int8, as the card says; None where it does not.

    Raises:
        EngineError: if the card of its int8 file is damaged.
    """
    file = detectors.weights_file(name)
    known = cards.load_card(file.with_suffix(".int8.onnx")).values if runtimes.has_int8(file) else {}
    before, after = (known.get(key) for key in ("float_lspet_pck", "lspet_pck"))
    return None if before is None or after is None else float(before) - float(after)


def report(result: Mapping[str, Any]) -> str:
    """Markdown, the fastest first."""
    rows = [Row(**r | {"time": Times(**r["time"])}) for r in result["rows"]]
    base = reference(rows)
    heads = (
        "detector",
        "runtime",
        "precision",
        "threads",
        "called",
        "p50 ms",
        "p95",
        "p99",
        "to Lightning",
        "person seen",
    )
    cells = [
        (r.detector, r.runtime, r.precision, r.threads or OWN, r.mode, *r.time.cells(),
         ratio(r.time.p50, base.get((r.mode, r.threads))), f"{r.people:.0%}")
        for r in sorted(rows, key=lambda r: (r.mode != "tight", r.time.p50))
    ]  # fmt: skip
    left_out = [f"not measured: {name}: {why}" for name, why in result["left_out"].items()]
    return "\n".join([table(heads, cells), "", *left_out])


def _forth_and_back(frames: Sequence[Image]) -> Iterator[Image]:
    return itertools.cycle([*frames, *frames[-2:0:-1]])


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of the demo's walker")
    parser.add_argument("--only", metavar="NAMES", help="some of the detectors, such as hourglass,mediapipe")
    parser.add_argument("--runtimes", metavar="NAMES", help="some of the runtimes, such as onnx,openvino")
    parser.add_argument("--threads", default="1,2", metavar="N,N", help="default: 1,2")
    parser.add_argument("--frames", type=at_least(1), default=30, help="of the video (default: 30, 160 MB)")
    parser.add_argument("--rounds", type=at_least(1), default=3)
    parser.add_argument("--calls", type=at_least(1), default=15, help="a round and detector, tight (default: 15)")
    parser.add_argument("--paced-calls", type=at_least(0), default=30, help="a detector; 0: none (default: 30)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        names = args.only.split(",") if args.only else detectors.names()
        on = args.runtimes.split(",") if args.runtimes else runtimes.names()
        subjects, left_out = load(names, on, [int(n) for n in args.threads.split(",")])
        if not subjects:
            raise UserError("no detector can be measured: " + "; ".join(left_out.values()))
        frames = list(frames_of(args.video or fetch(SINGLE) / "demo.mp4", args.frames))
        rows = run(subjects, frames, args.rounds, args.calls, args.paced_calls)
        result = {"rows": [asdict(r) for r in rows], "left_out": left_out}
        print(report(result))
        if args.json:
            write_json(args.json, {"machine": machine.describe(), **result})
    except (UserError, OSError, ValueError) as error:
        print(f"benchmarks.detectors: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
