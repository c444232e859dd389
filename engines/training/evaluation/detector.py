"""How good 2D detectors are on labelled photographs, all of them side by side.

    python -m engines.training.evaluation.detector --detector movenet-thunder,movenet-lightning
    python -m engines.training.evaluation.detector --detector hourglass --weights runs/hourglass/checkpoint.pt
    python -m engines.training.evaluation.detector --images TAR_OR_DIR --joints NPZ --detector hourglass --json F
    python -m engines.training.evaluation.detector --images data/people/images.tar --joints data/people/joints.npz \
        --source coco/val2017 --detector movenet-thunder,hourglass

Photographs in the layout of Leeds Sports Pose Extended (engines/training/data/lspet.py); of its own 9,000 only the
1,000 that are never trained on, unless told otherwise. docs/detectors.md says how each figure is defined. Agreement
across calibrated views is measured by python -m benchmarks.detector_views.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration import writing
from calibration.errors import UserError
from engines import detectors, runtimes
from engines.argument_types import Parser
from engines.detectors import DetectorOptions
from engines.detectors.hourglass import Hourglass
from engines.runtimes import NetworkOptions
from engines.training.data import lspet, where
from engines.training.data.lspet import Photographs
from engines.training.evaluation import detector_metrics, detector_trials
from engines.types import Detector, EngineError, Runtime

HOURGLASS = "hourglass"
SHOWN = ("ankle", "knee", "hip", "wrist", "elbow", "shoulder", "head")
"""Columns of the table by joint, left and right together."""
LSPET_PEOPLE = 9000


def rows(photographs: Photographs, subset: str | None, source: NDArray[np.bool_] | None = None) -> list[int]:
    """The photographs to look at: those with a labelled torso, by which distances are measured.

    Args:
        photographs: all there are.
        subset: "validation" (``lspet.validation``), "all", or "first:N" of those taken by default: the validation
            photographs of a file of 9,000 people, all of any other. None: that default.
        source: (N,) which of them are of the wanted source; None: all.

    Raises:
        EngineError: for another word, or if nobody is left.
    """
    own = len(photographs) == LSPET_PEOPLE
    wanted = range(len(photographs))
    kind, _, count = (subset or "").partition(":")
    if kind == "validation" or (own and kind in ("", "first")):
        wanted = [row for row in wanted if lspet.validation(row)]
    elif kind not in ("", "first", "all"):
        raise EngineError(f"unknown subset {subset!r}; there are validation, all and first:N")
    torso = detector_metrics.labels(photographs.joints).torso
    usable = [row for row in wanted if torso[row] > 0 and (source is None or source[row])]
    if kind == "first":
        if not count.isdecimal() or not int(count):
            raise EngineError(f"subset {subset!r} does not say how many; first:60 takes sixty")
        usable = usable[: int(count)]
    if not usable:
        raise EngineError("nobody among these photographs has a labelled torso (right shoulder and left hip)")
    return usable


def of_source(joints: Path, count: int, wanted: str) -> NDArray[np.bool_]:
    """(N,) whose word ``source`` in the joints file of so many people is this one.

    Raises:
        EngineError: if nobody is of this source.
    """
    known = lspet.words(joints, "source", count)
    if not (known == wanted).any():
        there = ", ".join(sorted({word for word in known.tolist() if word})) or "none named"
        raise EngineError(f"--source {wanted}: nobody in {joints} is from there; its sources: {there}")
    return known == wanted


@dataclass(frozen=True, slots=True)
class Running:
    """How the networks run."""

    runtime: str = "auto"
    threads: int = 2
    precision: str = "auto"
    """"fp32", "int8", or "auto" for the faster; a file given with --weights is then run as it is."""


def load(names: Sequence[str], weights: Sequence[Path], running: Running, scratch: Path) -> dict[str, Detector]:
    """The detectors by the name they are reported under.

    Args:
        names: of engines.detectors.
        weights: hourglasses: ``.onnx`` with its card, or ``.pt``. One takes the place of the shipped ``hourglass`` and
            of its name; several are reported by file, or by folder where all files are called alike.
        running: how their networks run.
        scratch: an empty folder, for what a checkpoint needs.

    Raises:
        UserError: if one cannot be loaded.
    """
    options = DetectorOptions(NetworkOptions(running.runtime, running.precision, running.threads))

    def open_network(path: Path) -> Runtime:
        # The network that finds the person has no int8 file; a file that is given by name is taken as it is.
        if path not in weights:
            return options.open_network(path)
        own = running.precision == "auto" or path.name.endswith(".int8.onnx")
        return runtimes.load(path, replace(options.network, precision=None) if own else options.network)

    found: dict[str, Detector] = {}
    alike = len({path.stem for path in weights}) < len(weights)
    for k, path in enumerate(weights):
        name = HOURGLASS if len(weights) == 1 else path.absolute().parent.name if alike else path.stem
        if name in found:
            raise EngineError(f"two weights files would be reported as {name!r}; rename one or its folder")
        found[name] = _hourglass(path, scratch / str(k), open_network, running.threads)
    # In the order of the names: the first is what the others are compared with.
    named = {name: found[name] if name in found else detectors.load(name, options) for name in names}
    return named | found


def _hourglass(path: Path, scratch: Path, open_network: runtimes.Open, threads: int) -> Detector:
    if path.suffix != ".pt":
        return Hourglass(path, open_network)
    try:
        from engines.training.detector import checkpoint  # torch: not needed for what is built
    except ImportError as error:
        raise EngineError(f"a checkpoint needs torch ({error}): pip install -r requirements-dev.txt") from error
    scratch.mkdir()
    return checkpoint.load(path, scratch, open_network, threads)


def evaluate(found: Mapping[str, Detector], photographs: Photographs, chosen: Sequence[int]) -> dict[str, dict]:
    """All figures by name: ``detector_trials.summary``, what it ran on, and the ``difference`` to the first of them."""
    progress = tqdm(chosen, unit="image", disable=None, file=sys.stderr)
    trials = detector_trials.run(found, photographs, progress)
    truth = detector_metrics.labels(photographs.joints[list(chosen)])
    first = next(iter(trials.values()))
    return {
        name: detector_trials.summary(trial, truth)
        | {
            "to_first": detector_metrics.difference(truth, trial.in_box, first.in_box),
            "everybody_to_first": detector_metrics.paired(truth, trial.in_box, first.in_box),
            "ran": dict(found[name].describe()),
        }
        for name, trial in trials.items()
    }


def markdown(results: Mapping[str, dict]) -> str:
    """The figures as two Markdown tables: one line a detector, then by joint."""
    some = next(iter(results.values()))
    lines = [
        f"{some['images']} photographs, {some['people_whole']} people fully visible. Per cent; ms: median.", "",
        "| detector | PCK@0.2 | ± | of everybody | PCKh@0.5 | swaps | ms | whole image: PCK@0.2 | of everybody | swaps "
        "| found | ms |",
        "|---" * 12 + "|",
    ]  # fmt: skip
    for name, row in results.items():
        full = row["full_image"]
        cells = [row[k] for k in ("pck_0.2", "pck_0.2_se", "pck_0.2_all", "pckh_0.5", "swap_rate", "ms")]
        cells += [full[k] for k in ("pck_0.2", "pck_0.2_all", "swap_rate", "found", "ms")]
        lines.append(f"| {name} | " + " | ".join(map(_cell, cells)) + " |")
    compared = [(name, row["to_first"]) for name, row in list(results.items())[1:] if row["to_first"]]
    if compared:
        told = [f"{name} {points['pck_0.2']:+.1f} ± {points['se']:.1f}" for name, points in compared]
        lines += ["", f"PCK@0.2 less that of {next(iter(results))} on the same people: {', '.join(told)}."]
    lines += _everybody(results)
    lines += ["", "PCK@0.2 with true boxes, by joint:", "", "| detector | " + " | ".join(SHOWN) + " |"]
    lines.append("|---" * (1 + len(SHOWN)) + "|")
    for name, row in results.items():
        lines.append(f"| {name} | " + " | ".join(_cell(_both(row["by_joint"], part)) for part in SHOWN) + " |")
    return "\n".join(lines)


def _everybody(results: Mapping[str, dict]) -> list[str]:
    """Lines of a table of what the others have more than the first; none where there is one alone."""
    first, *others = results
    if not others:
        return []
    told = ["pooled", *(part for part in SHOWN if part in results[others[0]]["everybody_to_first"])]
    lines = ["", f"PCK@0.2 of everybody less that of {first}, true boxes, and its 95 % interval over people:", "",
             "| detector | " + " | ".join(told) + " |", "|---" * (1 + len(told)) + "|"]  # fmt: skip
    for name in others:
        points = results[name]["everybody_to_first"]
        cells = [
            f"{points[part]['points']:+.1f} ({points[part]['low']:+.1f} to {points[part]['high']:+.1f})"
            for part in told
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _both(by_joint: Mapping[str, Mapping[str, float | None]], part: str) -> float | None:
    values = [row["pck_0.2"] for joint, row in by_joint.items() if joint.split("_")[-1] == part]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def plot(path: Path, results: Mapping[str, dict]) -> None:
    """Write accuracy against time, and accuracy by joint, as an image; the ending says of which kind.

    Raises:
        EngineError: if matplotlib is not installed, does not know the ending, or nobody is fully visible.
        OSError: if it cannot be written.
    """
    try:
        # A Figure of its own, not pyplot's: no window system and no global state.
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator, ScalarFormatter
    except ImportError as error:
        raise EngineError(f"--plot needs matplotlib ({error}): pip install -r requirements-dev.txt") from error
    shown = {name: row for name, row in results.items() if row["pck_0.2"] is not None}
    if not shown:
        raise EngineError("there is nothing to plot: none of these people is fully visible")
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, (name, row) in enumerate(shown.items()):
        ms, pck = row["ms"], row["pck_0.2"]
        left.errorbar(ms, pck, row["pck_0.2_se"] or 0, fmt="o", ms=7, color=f"C{k}", capsize=3, lw=1)
        left.annotate(name, (ms, pck), (7, 5), textcoords="offset points", fontsize=9, color=f"C{k}")
        parts = [(part, value) for part in SHOWN if (value := _both(row["by_joint"], part)) is not None]
        right.plot(*zip(*parts, strict=True), "o-", ms=4, lw=1.2, color=f"C{k}", label=name)
    times = [row["ms"] for row in shown.values()]
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if min(times) / 2 < tick < 2.5 * max(times)]
    left.set(xscale="log", xlim=(min(times) / 1.5, max(times) * 2.2), xlabel="ms a person whose box is known",
             ylabel="PCK@0.2, per cent", title="Accuracy against time (bars: standard error)")  # fmt: skip
    left.set_xticks(ticks)
    left.xaxis.set_major_formatter(ScalarFormatter())
    left.xaxis.set_minor_locator(NullLocator())
    right.set(ylabel="PCK@0.2, per cent", title="By joint, left and right together")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.25)
    try:
        with writing.aside(path) as part:
            figure.savefig(part, dpi=110)
    except ValueError as error:
        raise EngineError(f"cannot plot to {path} ({error}); give it a name that ends in .png") from error


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument(parser, "--images", "lspet/images.tar", "tar or folder of photographs")
    where.add_argument(parser, "--joints", "lspet/joints.npz", "npz of their labels")
    parser.add_argument("--detector", required=True, metavar="NAME[,NAME...]", help=", ".join(detectors.names()))
    parser.add_argument("--weights", type=Path, nargs="+", default=[], metavar="FILE",
                        help="hourglasses other than the shipped one: .onnx with its card, or .pt")  # fmt: skip
    parser.add_argument("--subset", metavar="validation|all|first:N",
                        help="default: validation for a file of 9,000 people, else all")  # fmt: skip
    parser.add_argument("--source", metavar="NAME", help="only the people that the joints file says are from there")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "int8"))
    parser.add_argument("--threads", type=int, default=2, help="of the networks; MediaPipe chooses its own")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="accuracy against time, and by joint")
    args = parser.parse_args(arguments)
    if args.threads < 1:
        parser.error("--threads is at least 1")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    args = _parse(arguments)
    try:
        names = [name.strip() for name in args.detector.split(",") if name.strip()]
        for path in (args.json, args.plot):
            if path and not path.absolute().parent.is_dir():
                raise EngineError(f"cannot write {path}: there is no folder {path.parent}")
        images, joints = where.needed(args.images, "--images"), where.needed(args.joints, "--joints")
        photographs = Photographs(images, joints)
        chosen = rows(
            photographs, args.subset, of_source(joints, len(photographs), args.source) if args.source else None
        )
        with tempfile.TemporaryDirectory() as scratch:
            running = Running(args.runtime, args.threads, args.precision)
            found = load(names, args.weights, running, Path(scratch))
            if not found:
                raise EngineError(f"no detector was asked for; there are {', '.join(detectors.names())}")
            results = evaluate(found, photographs, chosen)
        if args.json:
            writing.write_text(args.json, json.dumps(results, indent=1) + "\n")
        print(markdown(results))
        if args.plot:
            plot(args.plot, results)
    except (UserError, OSError) as error:
        print(f"evaluate_detector: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
