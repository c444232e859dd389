"""What the pipeline costs beside its detector: speed, processor time by thread, and memory, in one run on one file.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --video walk.mp4 --repeat 3 --json pipeline.json

Every case runs in a process of its own, so that its peak memory is its own. Ratios hold on a busy machine,
milliseconds do not: other programs' processor time is printed beside them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import av

from benchmarks.processor import Usage, measure
from calibration.errors import UserError
from engines.types import DetectorSession
from stream import assemble
from stream.config import Config, OutputConfig
from stream.demo import MULTI, SINGLE, fetch
from stream.pipeline import Opened
from stream.sources import parse_sources

GOAL: Final = 1.10
"""Wall time over max(busy time of the compute thread, processor time / cores) is to be no more."""
SHARE: Final = 0.85
"""Of the cores' time that several views are to use."""
GROWTH_MB: Final = 40.0
"""Peaks may differ by this. The heap settles over the first thousand frames, by 20 to 30 MB, and then stays: without
outputs it was 467 MB from the 600th to the 5980th frame. One image of the walker kept in eighty would be more."""
LENGTH: Final = 4
"""The long video is this many times the video."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    title: str
    """What it is called in the table."""
    part: str
    """"detector" or "pipeline"."""
    videos: tuple[str, ...]
    """Paths."""
    record: bool = False
    """Whether the hypotheses are recorded."""
    video: bool = False
    """Whether the composed picture is written."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a case took."""

    moments: int
    """Moments, each of one frame a view."""
    busy_s: float
    """Time the compute thread worked; of the detector alone, time in the detector."""
    stage_ms: dict[str, float]
    """Mean milliseconds a moment."""
    usage: Usage
    """Of the process, from the start of the threads until every output is closed; loading is not counted."""

    @property
    def bound_s(self) -> float:
        """No pipeline with this compute thread can be faster on these cores."""
        return max(self.busy_s, self.usage.cpu_s / self.usage.cores)

    @property
    def overhead(self) -> float:
        """Wall time over the bound."""
        return self.usage.wall_s / self.bound_s

    @property
    def used(self) -> float:
        """Share of the cores' time that was used."""
        return self.usage.cpu_s / self.usage.cores / self.usage.wall_s


def run_case(case: Case, folder: Path) -> Result:
    """Measure one case in this process; outputs go to ``folder``."""
    output = OutputConfig(
        "none", folder / "out.mp4" if case.video else None, None, folder / "takes" if case.record else None
    )
    config = Config(parse_sources(case.videos), output=output)

    def quiet(_line: str) -> None:
        pass

    with ExitStack() as stack:
        if case.part == "detector":
            detector = assemble.load_detector(config, None, quiet)
            opened = assemble.open_sources(config, stack, quiet)
            (moments, busy, stages), usage = measure(lambda: detector_alone(opened[0], detector.session()))
        else:
            pipeline, outputs = assemble.prepare(config, stack, quiet)
            summary, usage = measure(lambda: pipeline.run(outputs.start()))
            moments, busy, stages = summary.moments, summary.busy_s, dict(summary.stage_ms)
    return Result(moments, busy, stages, usage)


def detector_alone(opened: Opened, session: DetectorSession) -> tuple[int, float, dict[str, float]]:
    """Read and detect, one after the other: frames, seconds in the detector, milliseconds of both."""
    frames, busy, reading = 0, 0.0, 0.0
    while True:
        begin = perf_counter()
        frame = opened.source.read()
        read = perf_counter()
        reading += read - begin
        if frame is None:
            return frames, busy, {"read": reading / frames * 1e3, "detect": busy / frames * 1e3}
        session(frame.image, frame.t)
        busy += perf_counter() - read
        frames += 1


def repeat_video(path: Path, times: int, out: Path) -> Path:
    """The video several times in a row, its packets copied as they are."""
    with av.open(str(out), "w") as target:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(path)) as source:
                track = source.streams.video[0]
                stream = stream or target.add_stream_from_template(track)
                last = 0
                for packet in source.demux(track):
                    if packet.dts is None or packet.pts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
                shift += last
    return out


def cases(video: Path, long: Path, several: Sequence[Path]) -> dict[str, Case]:
    """Everything that is measured, by a short name."""
    one = (str(video),)
    found = {
        "detector": Case("detector alone, in a loop", "detector", one),
        "plain": Case("pipeline, no output", "pipeline", one),
        "record": Case("pipeline, recording", "pipeline", one, True),
        "all": Case("pipeline, recording and video", "pipeline", one, True, True),
        "long": Case(f"the same, {LENGTH} times as long", "pipeline", (str(long),), True, True),
    }
    for n in (1, 2, 4):
        if n <= len(several):
            videos = tuple(f"cam{k}={path}" for k, path in enumerate(several[:n]))
            found[f"views{n}"] = Case(f"{n} view{'s'[: n > 1]}, recording", "pipeline", videos, True)
    return found


def in_process(case: Case) -> Result:
    """Measure a case in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.pipeline", "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{case.title}: {done.stderr.strip().splitlines()[-1]}")
    data = json.loads(done.stdout.splitlines()[-1])
    return Result(**data | {"usage": Usage(**data["usage"])})


def median_of(results: list[Result]) -> Result:
    """The result whose overhead is the median."""
    return sorted(results, key=lambda r: r.overhead)[len(results) // 2]


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found: dict[str, Result], all_cases: dict[str, Case]) -> str:
    """Markdown: speed, how near it is to the bound, and memory."""
    base = found["detector"]
    alone = base.busy_s / base.moments
    heads = ("", "moments", "a second", "ms", "to detector", "compute ms", "CPU ms", "wall / bound", "of cores",
             "peak MB", "others' cores")  # fmt: skip
    lines = [row(*heads), "|" + "---|" * len(heads)]
    for name, result in found.items():
        use, n, views = result.usage, result.moments, len(all_cases[name].videos)
        lines.append(row(
            all_cases[name].title,
            f"{n} x {views}" if views > 1 else n,
            f"{n / use.wall_s:.1f}",
            f"{use.wall_s / n * 1e3:.1f}",
            "-" if name.startswith("views") else f"{use.wall_s / n / alone:.2f}",
            f"{result.busy_s / n * 1e3:.1f}",
            f"{use.cpu_s / n * 1e3:.1f}",
            "-" if name == "detector" else f"{result.overhead:.3f}",
            f"{result.used:.0%} of {use.cores}",
            f"{use.peak_mb:.0f}",
            f"{use.others_s / use.wall_s:.2f}",
        ))  # fmt: skip
    return "\n".join(lines)


def breakdown(found: dict[str, Result], all_cases: dict[str, Case]) -> str:
    """Markdown: milliseconds a moment by stage, and of processor time by group of threads."""
    groups = sorted({name for result in found.values() for name in result.usage.thread_s})
    stages = list(dict.fromkeys(name for result in found.values() for name in result.stage_ms))
    lines = [row("ms a moment", *stages, *(f"CPU: {g}" for g in groups)), "|---|" + "---|" * len(stages + groups)]
    for name, result in found.items():
        threads = {group: seconds / result.moments * 1e3 for group, seconds in result.usage.thread_s.items()}
        values = [result.stage_ms.get(stage) for stage in stages] + [threads.get(group) for group in groups]
        lines.append(row(all_cases[name].title, *("-" if v is None else f"{v:.1f}" for v in values)))
    return "\n".join(lines)


def verdict(found: dict[str, Result]) -> list[str]:
    """The goals, and whether they are met, as far as they were measured."""

    def said(met: bool) -> str:
        return "met" if met else "MISSED"

    pipelines = [f"{n} {r.overhead:.3f} {said(r.overhead <= GOAL)}" for n, r in found.items() if n != "detector"]
    lines = [f"wall / max(compute busy, CPU / cores) <= {GOAL}: {', '.join(pipelines)}"]
    if "all" in found and "long" in found:
        (n, short), (m, long) = ((found[name].moments, found[name].usage) for name in ("all", "long"))
        met = max(long.peak_mb - short.peak_mb, long.growth_mb) <= GROWTH_MB
        lines.append(
            f"memory does not grow: peak {short.peak_mb:.0f} MB in {n} frames, {long.peak_mb:.0f} MB in {m}; "
            f"{long.growth_mb:+.0f} MB from the second to the last quarter of the latter: {said(met)}"
        )
    for name in ("views2", "views4"):
        if result := found.get(name):
            speed = f"{result.moments / result.usage.wall_s:.1f} sets/s, {result.used:.0%} of what their CPU time"
            cores = f"on {result.usage.cores} cores allows (goal {SHARE:.0%})"
            others = f"others used {result.usage.others_s / result.usage.wall_s:.2f} cores meanwhile"
            lines.append(f"{name[5:]} views: {speed} {cores}; {others}: {said(result.used >= SHARE)}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of the demo's walker")
    parser.add_argument("--only", metavar="NAMES", help="some of the cases, such as plain,all,long (detector always)")
    parser.add_argument("--repeat", type=int, default=1, help="times; the median of wall / bound is reported")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            if args.case:
                data = json.loads(args.case)
                result = run_case(Case(**data | {"videos": tuple(data["videos"])}), Path(folder))
                print(json.dumps(asdict(result)))
                return 0
            video = args.video or fetch(SINGLE) / "demo.mp4"
            long = repeat_video(video, LENGTH, Path(folder) / "long.mp4")
            wanted = cases(video, long, sorted((fetch(MULTI) / "videos").glob("*.mp4")))
            if args.only:
                only = args.only.split(",")
                if unknown := set(only) - set(wanted):
                    raise UserError(f"no case {', '.join(unknown)}; there are {', '.join(wanted)}")
                wanted = {k: c for k, c in wanted.items() if k in ("detector", *only)}
            runs: dict[str, list[Result]] = {name: [] for name in wanted}
            for _ in range(args.repeat):  # interleaved, so that what else the machine does meets all alike
                for name, case in wanted.items():
                    print(case.title, "...", file=sys.stderr, flush=True)
                    runs[name].append(in_process(case))
    except (UserError, OSError, ValueError) as error:
        print(f"benchmarks.pipeline: {error}", file=sys.stderr)
        return 2
    found = {name: median_of(results) for name, results in runs.items()}
    spread = {name: [round(r.overhead, 3) for r in results] for name, results in runs.items()}
    print(table(found, wanted), breakdown(found, wanted), "\n".join(verdict(found)), sep="\n\n")
    if args.json:
        args.json.write_text(
            json.dumps({n: asdict(r) for n, r in found.items()} | {"overhead": spread}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
