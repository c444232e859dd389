"""Memory of one camera over a long time: the demo's video again and again, as one file, without a break.

    python -m benchmarks.memory                       # an hour of video; takes as long as processing it does
    python -m benchmarks.memory --minutes 10 --json memory.json
    python -m benchmarks.memory --detector movenet-lightning    # in half the time

Every minute of *video* the memory of the process (resident) is noted. The slope is a least-squares line through the
minutes after the second: the heap settles over the first few thousand frames.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks import machine
from benchmarks.processor import peak_mb
from benchmarks.table import said, table, write_json
from benchmarks.video import duration, repeat
from calibration.arrays import Image
from calibration.errors import UserError
from engines.argument_types import Parser
from stream.app import build
from stream.app.demo import SINGLE, fetch
from stream.channel import Policy
from stream.config import Config, DetectConfig, OutputConfig
from stream.recordings.run_info import RunInfo
from stream.sinks import recorder
from stream.sources import parse_sources
from stream.types import Estimate

PEAK_MB: Final = 600.0
SETTLED: Final = 2
"""Minutes of video that do not count for the slope."""
SLOPE_MB: Final = 0.5
"""An hour may add no more than this a minute: 30 MB, of which one image kept a minute would be ten times as much."""


class MemoryLog:
    """A sink that notes the memory of the process every so many seconds of video."""

    policy: Policy = "every"
    wants_images = False

    def __init__(self, every_s: float) -> None:
        self.mb: list[float] = []
        self._every = every_s
        self._process = psutil.Process()

    def open(self, run_info: RunInfo) -> None:
        """See ``Sink``."""

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        if estimate.t >= self._every * (len(self.mb) + 1):
            self.mb.append(self._process.memory_info().rss / 1e6)

    def close(self) -> None:
        """See ``Sink``."""


def measure(video: Path, minutes: float, every_s: float, folder: Path, detector: str = "auto") -> dict[str, Any]:
    """Run one camera over the video as often as fills the time, recording; in this process."""
    long = repeat(video, math.ceil(minutes * 60 / duration(video)), folder / "long.mp4")
    config = Config(
        parse_sources([str(long)]),
        DetectConfig((detector,)),
        output=OutputConfig("none", (recorder.Options(folder / "takes"),)),
    )
    log = MemoryLog(every_s)
    with ExitStack() as stack:
        pipeline, viewer = build.prepare(config, stack)
        pipeline.add(log)
        summary = pipeline.run(viewer)
    return {
        "detector": detector,
        "minutes": duration(long) / 60, "every_s": every_s, "moments": summary.frame_sets, "seconds": summary.seconds,
        "mb": [round(mb, 1) for mb in log.mb], "peak_mb": peak_mb(), "slope_mb_a_minute": slope(log.mb, every_s),
    }  # fmt: skip


def slope(mb: Sequence[float], every_s: float) -> float | None:
    """Megabytes a minute of video after the second minute; None of fewer than three values."""
    t = np.arange(1, len(mb) + 1) * every_s / 60
    late = t > SETTLED
    return float(np.polyfit(t[late], np.array(mb)[late], 1)[0]) if late.sum() >= 3 else None


def report(result: Mapping[str, Any]) -> str:
    """Markdown."""
    every = result["every_s"] / 60
    rows = [(f"{every * (k + 1):g}", f"{mb:.0f}") for k, mb in enumerate(result["mb"])]
    shown = rows if len(rows) <= 12 else rows[:: math.ceil(len(rows) / 12)]
    return "\n".join([table(("minute of video", "MB"), shown), "", *verdict(result)])


def verdict(result: Mapping[str, Any]) -> list[str]:
    """The goals, and whether they are met."""
    peak, rise = result["peak_mb"], result["slope_mb_a_minute"]
    lines = [
        f"peak memory of one camera, recording, {result['minutes']:.0f} minutes of video ({result['moments']} frames): "
        f"{peak:.0f} MB (goal {PEAK_MB:.0f}): {said(peak < PEAK_MB)}"
    ]
    if rise is None:
        lines.append("too short to say whether it grows")
    else:
        lines.append(f"growth: {rise:+.2f} MB a minute of video (goal {SLOPE_MB}): {said(rise <= SLOPE_MB)}")
    return lines


def in_process(video: Path, minutes: float, every_s: float, detector: str) -> dict[str, Any]:
    """Measure in a fresh process.

    Raises:
        UserError: if it fails.
    """
    command = [sys.executable, "-m", "benchmarks.memory", "--alone", "--video", str(video)]
    command += ["--minutes", str(minutes), "--every", str(every_s), "--detector", detector]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of the demo's walker")
    parser.add_argument("--minutes", type=float, default=60.0, help="of video (default: 60)")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="of video (default: 60)")
    parser.add_argument("--detector", default="auto", metavar="NAME", help="default: that of a run")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    try:
        video = args.video or fetch(SINGLE) / "demo.mp4"
        if args.alone:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
                print(json.dumps(measure(video, args.minutes, args.every, Path(folder), args.detector)))
            return 0
        result = in_process(video, args.minutes, args.every, args.detector)
        print(report(result))
        if args.json:
            write_json(args.json, {"machine": machine.describe(), **result})
    except (UserError, OSError) as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
