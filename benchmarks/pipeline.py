"""What the pipeline costs beside its detector: speed, latency, processor time by thread, and memory, in one run.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --video walk.mp4 --repeat 3 --json pipeline.json
    python -m benchmarks.pipeline --only live1,live2

Files are processed as fast as they can be; live cases watch virtual cameras on this machine at their own 30 frames a
second (benchmarks/camera_server.py). Every case runs in a process of its own, so that its peak memory is its own.
Ratios hold on a busy machine, milliseconds do not: other programs' processor time is printed beside them. For memory
over an hour of video see ``python -m benchmarks.memory``.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks import latency, machine
from benchmarks.camera_server import Cameras
from benchmarks.processor import Usage, measure
from benchmarks.table import row, said, write_json
from benchmarks.timing import Times
from benchmarks.video import repeat
from calibration.errors import UserError
from engines.argument_types import Parser, at_least
from engines.runtimes import NetworkOptions
from engines.types import CrowdSession
from stream.app import build
from stream.app.demo import MULTI, SINGLE, fetch
from stream.config import Config, DetectConfig, OutputConfig
from stream.live.pipeline import OpenSource
from stream.sinks import recorder, terminal, video
from stream.sources import parse_sources

GOAL: Final = 1.05
"""Wall time over max(busy time of the compute thread, processor time / cores) is to be no more."""
SPREAD: Final = 1.2
"""p95 over p50 of the latency may be this many times that of the bare detector loop."""
SECOND: Final = 2.0
"""Two views may take less than this many times one."""
PEAK_MB: Final = 600.0
"""One camera, recording, is to need less."""
SHARE: Final = 0.85
"""Of the cores' time that several views are to use."""
GROWTH_MB: Final = 40.0
"""Peaks may differ by this. The heap settles over the first thousand frames, by 20 to 30 MB, and then stays: without
outputs it was 467 MB from the 600th to the 5980th frame. One image of the walker kept in eighty would be more."""
LENGTH: Final = 4
"""The long video is this many times the video."""
LIVE_FPS: Final = 30.0
LIVE_S: Final = 10.0
"""Seconds."""
LIVE_VIEWS: Final = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    title: str
    """What it is called in the table."""
    part: str
    """"detector" or "pipeline", of files; "live-detector" or "live", of virtual cameras."""
    videos: tuple[str, ...]
    """Paths, or addresses of virtual cameras; with names."""
    record: bool = False
    """Whether the hypotheses are recorded."""
    video: bool = False
    """Whether the composed picture is written."""
    seconds: float = LIVE_S
    """How long virtual cameras are watched, the warm-up included."""
    detector: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class Result:
    """What a case took."""

    moments: int
    """FrameSets, each of one frame a view."""
    busy_s: float
    """Time the compute thread worked; of the detector alone, time in the detector."""
    stage_ms: dict[str, float]
    """Mean milliseconds a frame set."""
    usage: Usage
    """Of the process, from the start of the threads until every output is closed; loading is not counted."""
    latency: Times | None = None
    """Age of a frame set's oldest image when its estimate is handed out; of virtual cameras."""

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
    sinks = (
        terminal.Options(),
        video.Options(folder / "out.mp4" if case.video else None),
        recorder.Options(folder / "takes" if case.record else None),
    )
    output = OutputConfig("none", sinks)
    network = NetworkOptions(case.runtime, case.precision)
    detect = DetectConfig(names=(case.detector,))
    config = Config(parse_sources(case.videos), detect=detect, network=network, output=output)

    if case.part.startswith("live"):
        return run_live(case, latency.steady(config))
    with ExitStack() as stack:
        if case.part == "detector":
            session = latency.following(config)
            opened = build.open_sources(config, stack)
            (moments, busy, stages), usage = measure(lambda: detector_alone(opened[0], session))
        else:
            pipeline, viewer = build.prepare(config, stack)
            summary, usage = measure(lambda: pipeline.run(viewer))
            moments, busy, stages = summary.frame_sets, summary.busy_s, dict(summary.stage_ms)
    return Result(moments, busy, stages, usage)


def detector_alone(opened: OpenSource, session: CrowdSession) -> tuple[int, float, dict[str, float]]:
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


def run_live(case: Case, config: Config) -> Result:
    """Watch virtual cameras for a while; the busy time of the bare loop is not known."""
    urls = tuple(source.source for source in config.sources)
    with ExitStack() as stack:
        if case.part == "live-detector":
            moments, usage = measure(latency.detector_watch(config, stack, case.seconds))
            return Result(len(moments), 0.0, {}, usage, latency.summarise(moments, urls))
        (summary, moments), usage = measure(latency.pipeline_watch(config, stack, case.seconds))
    times = latency.summarise(moments, urls)
    return Result(summary.frame_sets, summary.busy_s, dict(summary.stage_ms), usage, times)


def cases(video: Path, long: Path, several: Sequence[Path], urls: Sequence[str] = ()) -> dict[str, Case]:
    """Everything that is measured, by a short name."""
    one = (str(video),)
    found = {
        "detector": Case("detector alone, in a loop", "detector", one),
        "plain": Case("pipeline, no output", "pipeline", one),
        "record": Case("pipeline, recording", "pipeline", one, True),
        "all": Case("pipeline, recording and video", "pipeline", one, True, True),
        "long": Case(f"the same, {LENGTH} times as long", "pipeline", (str(long),), True, True),
    }
    for n in (n for n in (1, 2, 4, 8) if n <= len(several)):
        videos = tuple(f"cam{k}={path}" for k, path in enumerate(several[:n]))
        found[f"views{n}"] = Case(f"{n} view{'s'[: n > 1]}, recording", "pipeline", videos, True)
    cameras = tuple(f"cam{k}={url}" for k, url in enumerate(urls))
    found["live-detector"] = Case("live, detector alone", "live-detector", cameras[:1])
    for n in LIVE_VIEWS:
        found[f"live{n}"] = Case(f"live, {n} camera{'s'[: n > 1]}", "live", cameras[:n])
    return found


def in_process(case: Case) -> Result:
    """Measure a case in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.pipeline", "--case"]  # on stdin, as no address belongs in a flag
    done = subprocess.run(command, input=json.dumps(asdict(case)), capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{case.title}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    data = json.loads(done.stdout.splitlines()[-1])
    times = data["latency"] and Times(**data["latency"])
    return Result(**data | {"usage": Usage(**data["usage"]), "latency": times})


def median_of(results: list[Result]) -> Result:
    """The result whose overhead, or of virtual cameras whose latency, is the median."""
    return sorted(results, key=lambda r: r.latency.p50 if r.latency else r.overhead)[len(results) // 2]


def table(found: dict[str, Result], all_cases: dict[str, Case]) -> str:
    """Markdown: speed, how near it is to the bound, latency, and memory."""
    base = found.get("detector")
    alone = base.busy_s / base.moments if base else None
    heads = ("", "moments", "a second", "ms", "to detector", "compute ms", "CPU ms", "wall / bound", "of cores",
             "latency p50, p95 ms", "peak MB", "others' cores")  # fmt: skip
    lines = [row(*heads), "|" + "---|" * len(heads)]
    for name, result in found.items():
        use, n, case = result.usage, result.moments, all_cases[name]
        views, live = len(case.videos), case.part.startswith("live")
        lines.append(row(
            case.title,
            f"{n} x {views}" if views > 1 else n,
            f"{n / use.wall_s:.1f}",
            f"{use.wall_s / n * 1e3:.1f}",
            "-" if views > 1 or name == "views1" or live or not alone else f"{use.wall_s / n / alone:.2f}",
            f"{result.busy_s / n * 1e3:.1f}" if result.busy_s else "-",
            f"{use.cpu_s / n * 1e3:.1f}",
            "-" if case.part != "pipeline" else f"{result.overhead:.3f}",
            f"{result.used:.0%} of {use.cores}",
            f"{result.latency.p50:.0f}, {result.latency.p95:.0f}" if result.latency else "-",
            f"{use.peak_mb:.0f}",
            f"{use.others_s / use.wall_s:.2f}",
        ))  # fmt: skip
    return "\n".join(lines)


def breakdown(found: dict[str, Result], all_cases: dict[str, Case]) -> str:
    """Markdown: milliseconds a frame set by stage, and of processor time by group of threads."""
    groups = sorted({name for result in found.values() for name in result.usage.thread_s})
    stages = list(dict.fromkeys(name for result in found.values() for name in result.stage_ms))
    lines = [row("ms a moment", *stages, *(f"CPU: {g}" for g in groups)), "|---|" + "---|" * len(stages + groups)]
    for name, result in found.items():
        threads = {group: seconds / result.moments * 1e3 for group, seconds in result.usage.thread_s.items()}
        values = [result.stage_ms.get(stage) for stage in stages] + [threads.get(group) for group in groups]
        lines.append(row(all_cases[name].title, *("-" if v is None else f"{v:.1f}" for v in values)))
    return "\n".join(lines)


def verdict(found: dict[str, Result], all_cases: dict[str, Case]) -> list[str]:
    """The goals, and whether they are met, as far as they were measured."""
    files = {n: r for n, r in found.items() if all_cases[n].part == "pipeline"}
    lines = []
    if files:
        overheads = ", ".join(f"{n} {r.overhead:.3f} {said(r.overhead <= GOAL)}" for n, r in files.items())
        lines.append(f"wall / max(compute busy, CPU / cores) <= {GOAL}: {overheads}")
    if (spread := latency_spread(found)) is not None:
        times, bare = found["live1"].latency, found["live-detector"].latency
        if times and bare:
            lines.append(
                f"latency, p95 / p50: {times.p95:.0f} / {times.p50:.0f} ms against {bare.p95:.0f} / {bare.p50:.0f} of "
                f"the bare detector loop, {spread:.2f} of it (goal {SPREAD}): {said(spread <= SPREAD)}"
            )
    if (second := second_camera(found)) is not None:
        lines.append(f"a second camera: {second:.2f} times the time of one (goal {SECOND:g}): {said(second < SECOND)}")
    if "record" in found:
        peak = found["record"].usage.peak_mb
        lines.append(
            f"peak memory of one camera, recording: {peak:.0f} MB (goal {PEAK_MB:.0f}): {said(peak < PEAK_MB)}"
        )
    if "all" in found and "long" in found:
        (n, short), (m, long) = ((found[name].moments, found[name].usage) for name in ("all", "long"))
        met = max(long.peak_mb - short.peak_mb, long.growth_mb) <= GROWTH_MB
        lines.append(
            f"memory does not grow: peak {short.peak_mb:.0f} MB in {n} frames, {long.peak_mb:.0f} MB in {m}; "
            f"{long.growth_mb:+.0f} MB from the second to the last quarter of the latter: {said(met)}"
        )
    for name in ("views2", "views4", "views8"):
        if result := found.get(name):
            speed = f"{result.moments / result.usage.wall_s:.1f} sets/s, {result.used:.0%} of what their CPU time"
            cores = f"on {result.usage.cores} cores allows (goal {SHARE:.0%})"
            others = f"others used {result.usage.others_s / result.usage.wall_s:.2f} cores meanwhile"
            lines.append(f"{name[5:]} views: {speed} {cores}; {others}: {said(result.used >= SHARE)}")
    return lines


def latency_spread(found: dict[str, Result]) -> float | None:
    """p95 over p50 of one live camera's latency, over the same of the bare detector loop."""
    whole, bare = (found[name].latency if name in found else None for name in ("live1", "live-detector"))
    return whole.spread / bare.spread if whole and bare else None


def second_camera(found: dict[str, Result]) -> float | None:
    """Time of a set of two views over that of one."""
    if "views1" not in found or "views2" not in found:
        return None
    two, one = (found[name].usage.wall_s / found[name].moments for name in ("views2", "views1"))
    return two / one


def figures(found: dict[str, Result], all_cases: dict[str, Case]) -> dict[str, float]:
    """What there are goals for, by name."""
    files = [r.overhead for n, r in found.items() if all_cases[n].part == "pipeline"]
    values = {
        "wall_over_bound": max(files, default=None),
        "latency_spread_over_detector": latency_spread(found),
        "second_camera": second_camera(found),
        "peak_mb": found["record"].usage.peak_mb if "record" in found else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of the demo's walker")
    parser.add_argument("--only", metavar="NAMES", help="some of the cases, such as plain,all,live1")
    parser.add_argument("--repeat", type=at_least(1), default=1, help="times; the median of wall / bound is reported")
    parser.add_argument("--live-frames", type=at_least(1), default=150, help="of the video, in a loop (default: 150)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--case", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, ExitStack() as stack:
            if args.case:
                data = json.load(sys.stdin)
                result = run_case(Case(**data | {"videos": tuple(data["videos"])}), Path(folder))
                print(json.dumps(asdict(result)))
                return 0
            video = args.video or fetch(SINGLE) / "demo.mp4"
            only = args.only.split(",") if args.only else None
            # Only the names count yet: the recording of several views is fetched when one of them is wanted.
            several = [] if args.video else [video] * 8
            wanted = cases(video, Path(folder) / "long.mp4", several)
            if only is not None:
                if unknown := set(only) - set(wanted):
                    raise UserError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(wanted)}")
                # What a ratio is to is always measured.
                only += ["live-detector"] if "live1" in only else []
                only += ["detector"] if any(not name.startswith("live") for name in only) else []
                wanted = {k: c for k, c in wanted.items() if k in only}
            if "long" in wanted:
                repeat(video, LENGTH, Path(folder) / "long.mp4")
            if any(name.startswith("views") for name in wanted):
                several = sorted((fetch(MULTI) / "videos").glob("*.mp4"))
                # Eight views are the four videos twice; a run refuses the same file as two cameras.
                several += [Path(shutil.copy(path, Path(folder) / f"again-{path.name}")) for path in several]
            urls: Sequence[str] = ()
            if any(case.part.startswith("live") for case in wanted.values()):
                urls = stack.enter_context(Cameras([video] * max(LIVE_VIEWS), LIVE_FPS, args.live_frames)).urls
            ready = cases(video, Path(folder) / "long.mp4", several, urls)
            wanted = {name: ready[name] for name in wanted}
            runs: dict[str, list[Result]] = {name: [] for name in wanted}
            for _ in range(args.repeat):  # interleaved, so that what else the machine does meets all alike
                for name, case in wanted.items():
                    print(case.title, "...", file=sys.stderr, flush=True)
                    runs[name].append(in_process(case))
        found = {name: median_of(results) for name, results in runs.items()}
        files = {name: results for name, results in runs.items() if wanted[name].part == "pipeline"}
        spread = {name: [round(r.overhead, 3) for r in results] for name, results in files.items()}
        lines = verdict(found, wanted)
        print(table(found, wanted), breakdown(found, wanted), "\n".join(lines), sep="\n\n")
        if args.json:
            parts = {name: asdict(result) for name, result in found.items()}
            data = {"machine": machine.describe(), **figures(found, wanted), "cases": parts, "overhead": spread}
            write_json(args.json, data | {"verdict": lines})
    except (UserError, OSError, ValueError) as error:
        print(f"benchmarks.pipeline: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
