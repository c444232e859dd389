"""A live run under continuous, seeded faults: what it loses, in frames, takes, memory, threads and file descriptors.

    python -m benchmarks.endure --minutes 30            # two cameras of 5 fps, recorded with their images
    python -m benchmarks.endure --minutes 1 --seed 7 --json endure.json

The cameras die, hang, garble and come back (``benchmarks.faulty_cameras``), the recorder's disk fills and empties (a
limit on the size of a file), sinks throw in each of their calls, and the process is stopped and continued by signals.
Its end is a verdict: memory does not grow, no thread and no file descriptor is left, every frame set is in a take or
was counted, and so is every frame that a camera gave. Exit code 1 where one of them does not hold. Needs Linux.
"""

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks import machine
from benchmarks.detectors import frames_of
from benchmarks.faulty_cameras import FaultyCamera
from benchmarks.table import said, table, write_json
from calibration.errors import UserError
from calibration.formats import save_calibration
from calibration.geometry.camera import Camera, camera_from_fov
from calibration.types import Calibration
from engines.argument_types import Parser
from stream.app.demo import SINGLE, fetch

SLOPE_MB: Final = 0.5
"""Megabytes a minute that memory may grow by: an image kept a second would be 14 MB a minute."""
SETTLED: Final = 0.2
"""The part of the run that does not count for growth."""
SHORT_S: Final = 120.0
"""A run of less says nothing of growth."""
SHORT: Final = "too short to say"
FEW: Final = 3
"""Threads or file descriptors by which two moments may differ: a take may be written at one of them alone."""
WAITING: Final = 13
"""Frames a camera that may be under way when a run is told to end: in its slot, the channel and the matcher."""
KEPT: Final = 100
"""Looks at the process that are kept of a run."""
SHOTS: Final = 40
"""Images of the video that a camera sends in a loop."""
WIDTH: Final = 320


def shots(video: Path) -> tuple[list[bytes], tuple[int, int]]:
    """JPEG images of a video, small, and their width and height.

    Raises:
        UserError: if it cannot be read.
    """
    images = [cv2.resize(i, (WIDTH, round(WIDTH * i.shape[0] / i.shape[1] / 2) * 2)) for i in frames_of(video, SHOTS)]
    if not images:
        raise UserError(f"{video} has no images")
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in images], (WIDTH, images[0].shape[0])


def calibrated(names: Sequence[str], size: tuple[int, int], path: Path) -> Path:
    """Cameras beside each other, so that views are fused, too."""
    cameras = []
    for k, name in enumerate(names):
        K, t = camera_from_fov(name, size, 60).K, np.array([500.0 * k, 0, 2000])
        cameras.append(Camera(name, size, K, np.zeros(5), np.eye(3), t, np.array([0, -1.0, 0])))
    save_calibration(Calibration(tuple(cameras)), path)
    return path


class Signals:
    """Stops a process and continues it."""

    def __init__(self, pid: int, pace: float, seed: int) -> None:
        self.count = 0
        self._pid, self._pace, self._rng = pid, pace, np.random.default_rng(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more of them."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        with suppress(ProcessLookupError):
            while not self._end.wait(self._pace * self._rng.uniform(1, 3)):
                os.kill(self._pid, signal.SIGSTOP)
                self.count += 1
                self._end.wait(self._pace * self._rng.uniform(0.02, 0.3))
                os.kill(self._pid, signal.SIGCONT)


def measure(
    video: Path, minutes: float, seed: int, folder: Path, cameras: int = 2, fps: float = 5.0, pace: float = 10.0
) -> dict[str, Any]:
    """Run it in a fresh process.

    Args:
        video: what the cameras show.
        minutes: of the run.
        seed: of every fault.
        folder: for the takes and all that is written.
        cameras: how many.
        fps: of each.
        pace: seconds that the faults of a kind are apart, about.

    Raises:
        UserError: if the run does not begin or does not end.
    """
    images, size = shots(video)
    with ExitStack() as stack:
        them = [FaultyCamera(images, fps, seed + k) for k in range(cameras)]
        for camera in them:
            stack.callback(camera.close)
        calibration = calibrated([f"cam{k}" for k in range(cameras)], size, folder / "cameras.toml")
        command = [sys.executable, "-m", "benchmarks.endure_run", str(60 * minutes), str(pace), str(seed), str(folder)]
        errors = stack.enter_context((folder / "errors.txt").open("w+"))
        process = stack.enter_context(
            subprocess.Popen(
                [*command, str(calibration), *(c.url for c in them)], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        )
        stack.callback(process.kill)
        line = process.stdout.readline() if process.stdout and select.select([process.stdout], [], [], 120)[0] else ""
        if line != "ready\n":
            raise UserError(f"the run did not begin: {last_line(folder / 'errors.txt')}")
        for camera in them:
            camera.begin((0.3 * pace, 1.5 * pace), (0.1 * pace, 0.8 * pace))
        signals = Signals(process.pid, pace, seed)
        try:
            out, _ = process.communicate(timeout=60 * minutes + 120)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"the run did not end by itself; {folder} has what it left") from error
        finally:
            signals.close()
    text = (folder / "errors.txt").read_text(errors="replace")
    if process.returncode:
        raise UserError(f"the run ended with {process.returncode}: {last_line(folder / 'errors.txt')}")
    result = json.loads(out.splitlines()[-1])
    injected = Counter(result["injected"]) + sum((c.injected for c in them), Counter[str]())
    result["injected"] = dict(injected + Counter({"stopped and continued": signals.count}))
    rise = slope(result["log"]["t"], result["log"]["mb"])
    return result | {
        "log": thinned(result["log"]), "slope_mb_a_minute": rise, "tracebacks": text.count("Traceback"),
        "minutes": minutes, "seed": seed, "cameras": cameras, "fps": fps, "pace": pace,
    }  # fmt: skip


def last_line(path: Path) -> str:
    return (path.read_text(errors="replace").strip().splitlines() or ["nothing was said"])[-1]


def slope(t: Sequence[float], mb: Sequence[float]) -> float | None:
    """Megabytes a minute (least squares) after it has settled; None of a run below two minutes, which says nothing."""
    if max(t, default=0) < SHORT_S:
        return None
    late = settled(t)
    return float(np.polyfit(np.array(t)[late] / 60, np.array(mb)[late], 1)[0])


def thinned(log: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """As many looks as are worth keeping."""
    every = max(1, len(log["t"]) // KEPT)
    return {key: [round(value, 1) for value in values[::every]] for key, values in log.items()}


def settled(t: Sequence[float]) -> slice:
    """The looks that count for growth."""
    return slice(int(np.searchsorted(t, SETTLED * t[-1])), None)


def grown(t: Sequence[float], number: Sequence[float]) -> int | None:
    """How many more there were, at the least, in the last third of a run than in the second; None of a short run."""
    if max(t, default=0) < SHORT_S:
        return None
    later = list(number[len(number) // 3 :])
    half = len(later) // 2
    return round(min(later[half:]) - min(later[:half]))


def verdict(result: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What is promised, what was found, the goal, and whether it holds."""
    log, takes, frames, rise = result["log"], result["takes"], result["frames"], result["slope_mb_a_minute"]
    more = {key: grown(log["t"], log[key]) for key in ("threads", "files")}
    left = {key: result["after"][key] - result["before"][key] for key in ("threads", "files")}
    kept = takes.get("recorded", 0) + takes.get("missed, counted", 0) + takes.get("not recorded, said", 0)
    unknown = frames["read"] - frames["used"] - frames["counted"]
    waiting = WAITING * result["cameras"]
    alive = min(result["reconnects"]) > 0 or result["minutes"] < 1
    return [
        ("growth of memory, MB a minute", SHORT if rise is None else f"{rise:+.2f} (to {max(log['mb']):.0f} MB)",
         f"<= {SLOPE_MB}", rise is None or rise <= SLOPE_MB),
        *(
            (f"{what} left at the end; more in the last third of the run than in the second",
             f"{left[key]}; {SHORT if more[key] is None else more[key]}", f"0; <= {FEW}",
             left[key] <= 0 and (more[key] or 0) <= FEW)
            for key, what in (("threads", "threads"), ("files", "file descriptors"))
        ),
        ("frame sets recorded + missed and counted + not recorded and said so = all",
         f"{takes.get('recorded', 0)} + {takes.get('missed, counted', 0)} + {takes.get('not recorded, said', 0)} "
         f"= {kept} of {result['frame_sets']}" + "".join(f"; {line}" for line in takes["wrong"][:5]),
         "all", kept == result["frame_sets"] == result["witnessed"] and not takes["wrong"]
         and not result["out_of_order"] and kept > 0),
        ("frames used + counted as dropped = all that cameras gave",
         f"{frames['used']} + {frames['counted']} = {frames['read'] - unknown} of {frames['read']}",
         f"all but {waiting} under way at the end", 0 <= unknown <= waiting and frames["read"] > 0),
        ("cameras opened again", ", ".join(map(str, result["reconnects"])), "each", alive),
        ("tracebacks", str(result["tracebacks"]), "0", not result["tracebacks"]),
    ]  # fmt: skip


def conditions(result: Mapping[str, Any]) -> str:
    """On what, with what and for how long."""
    return (
        f"{machine.title(result['machine'])}; {result['minutes']:g} minutes, seed {result['seed']}, "
        f"{result['cameras']} cameras of {result['fps']:g} fps and {WIDTH} pixels width, "
        "recorded with their images, movenet-lightning; "
        f"{result['pace']:g} s between two faults of a kind, about."
    )


def report(result: Mapping[str, Any]) -> str:
    """Markdown, with a line of verdict at its end."""
    found = verdict(result)
    faults = table(("fault", "times"), [(name, str(n)) for name, n in sorted(result["injected"].items())])
    rows = [(what, was, goal, said(holds)) for what, was, goal, holds in found]
    wrong = [what for what, _, _, holds in found if not holds]
    return "\n".join([
        f"{result['minutes']:g} minutes, seed {result['seed']}, {result['cameras']} cameras of {result['fps']:g} fps, "
        f"{result['takes'].get('takes', 0)} takes, {sum(result['injected'].values())} faults.",
        "", table(("", "found", "goal", ""), rows), "", faults, "",
        "verdict: " + (f"does not hold: {'; '.join(wrong)}" if wrong else "everything holds"),
    ])  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="default: 30")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: 0)")
    parser.add_argument("--cameras", type=int, default=2, help="default: 2")
    parser.add_argument("--fps", type=float, default=5.0, help="of each camera (default: 5)")
    parser.add_argument("--pace", type=float, default=10.0, metavar="SECONDS", help="between two faults (default: 10)")
    parser.add_argument("--video", type=Path, help="what the cameras show, instead of the demo's walker")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        video = args.video or fetch(SINGLE) / "demo.mp4"
        with tempfile.TemporaryDirectory(prefix="endure-") as folder:
            result = measure(video, args.minutes, args.seed, Path(folder), args.cameras, args.fps, args.pace)
        print(report(result))
        print(f"({time.monotonic() - began:.0f} s in all)", file=sys.stderr)
        if args.json:
            write_json(args.json, {"machine": machine.describe(), **result})
    except (UserError, OSError) as error:
        print(f"benchmarks.endure: {error}", file=sys.stderr)
        return 2
    return 0 if all(holds for *_, holds in verdict(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
