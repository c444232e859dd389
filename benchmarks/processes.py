"""Whether many cameras are detected sooner by several processes of one machine than by the threads of one.

    python -m benchmarks.processes                                  # the four-camera demo, fp32 and int8, by turns
    python -m benchmarks.processes --rounds 3 --json processes.json
    python -m benchmarks.processes --live 30                        # the same as live cameras, 30 frames a second each

"threads" is one run of all cameras. "processes" are as many that publish a part of the cameras each, over the same path
as between computers, and one that fuses. Both are run on short and on long recordings (the demo's, one after another),
and the long less the short is what is told: what loading takes is in both. Live, the films at half their size are sent
as MJPEG, there and back; "images" are those of all cameras that were estimated, as a moment need not have all, and
"late" is from the oldest image of a moment to its estimate.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import machine
from benchmarks.camera_server import Cameras
from benchmarks.people_live import FPS, halved
from benchmarks.table import table, write_json
from stream.app import demo
from stream.app.own_nodes import spread
from stream.config import SourceConfig

NAMES: Final = ("cam01", "cam02", "cam03", "cam04")
LIVE: Final = ("images_s", "moments_s", "p50_ms", "p95_ms")
LOAD_S: Final = 12.0
"""Live, so long is waited for networks and cameras before the seconds begin."""
PROGRAM: Final = "from calibration.programs import stream; raise SystemExit(stream())"


def cameras(folder: Path, copies: int) -> list[tuple[str, str]]:
    """Name and source of each camera: its video so many times, in files of their own, as one is not read twice."""
    found = []
    for name in NAMES:
        files = [folder / f"{name}-{k}.mp4" for k in range(copies)]
        for file in files:
            if not file.exists():
                shutil.copyfile(demo.fetch(demo.MULTI) / "videos" / f"{name}.mp4", file)
        found.append((name, "+".join(map(str, files))))
    return found


def calibration() -> list[str]:
    """The flags of the demo's calibration."""
    path = demo.fetch(demo.MULTI) / "calibration" / "Calib.qca.txt"
    letterboxes = [f"--letterbox={name}={demo.LETTERBOX}" for name in ("cam01", "cam02")]
    return [f"--calibration={path}", "--up=0,0,1", *letterboxes]


def start(flags: Sequence[str]) -> subprocess.Popen[str]:
    """The program, with its lines to be read."""
    command = [sys.executable, "-c", PROGRAM, "--view", "none", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, float]:
    """What it said, and the seconds of processor time that it took."""
    said = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    return said, usage.ru_utime + usage.ru_stime


def run(count: int, sources: Sequence[tuple[str, str]], flags: Sequence[str], live_s: float = 0.0) -> dict[str, float]:
    """One run of cameras with so many processes that detect; 0: one process does everything.

    Live cameras are watched for ``live_s`` seconds.
    """
    begun = time.monotonic()
    if not count:
        fuses, nodes = start([f"--camera={n}={s}" for n, s in sources] + calibration() + [*flags]), []
    else:
        nodes_of, group, parts = spread(tuple(SourceConfig(s, n) for n, s in sources), count)
        given = [[f"--camera={c.name}={c.source}" for c in part] for part in parts]
        nodes = [start([*part, f"--publish={group}", *flags]) for part in given]
        for node in nodes:
            while node.stdout and not node.stdout.readline().startswith("publish: "):
                pass
        fuses = start([f"--camera={c.name}={c.source}" for c in nodes_of] + calibration() + [*flags])
    if live_s:
        time.sleep(LOAD_S + live_s)
        fuses.send_signal(signal.SIGINT)
    said, cpu = ended(fuses)
    for node in nodes if live_s else ():
        node.send_signal(signal.SIGINT)
    cpu += sum(ended(node)[1] for node in nodes)
    moments = re.search(r"(\d+) moments in ([\d.]+) s", said)
    if moments is None:
        raise SystemExit(said)
    found = {"wall": time.monotonic() - begun, "cpu": cpu, "moments": float(moments[1])}
    if not live_s:
        return found
    late = re.search(r"latency, ms: p50 (\d+), p95 (\d+)", said)
    views = re.search(r"a person in \d+ of (\d+) views", said)
    if late is None or views is None:
        raise SystemExit(said)
    return {
        "images_s": float(views[1]) / float(moments[2]),
        "moments_s": found["moments"] / float(moments[2]),
        "p50_ms": float(late[1]),
        "p95_ms": float(late[2]),
    }


def run_live(counts: Sequence[int], precisions: Sequence[str], rounds: int, live_s: float, flags: Sequence[str]) -> str:
    """By turns, with live cameras; a table of medians."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole = demo.fetch(demo.MULTI) / "videos"
        films = [halved(whole / f"{name}.mp4", Path(folder) / f"{name}.avi") for name in NAMES]
        for precision in precisions:
            found: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
            for turn in range(rounds):
                for count in counts if turn % 2 == 0 else counts[::-1]:
                    with Cameras(films, FPS, 100, back=True) as served:
                        sources = list(zip(NAMES, served.urls, strict=True))
                        found[count].append(run(count, sources, [f"--precision={precision}", *flags], live_s))
                    print(precision, count or "threads", found[count][-1], file=sys.stderr, flush=True)
            for count in counts:
                images, moments, *late = (float(np.median([one[key] for one in found[count]])) for key in LIVE)
                who = f"{count} processes" if count else "threads"
                rows.append([precision, who, f"{images:.1f}", f"{moments:.1f}", "{:.0f}, {:.0f}".format(*late)])
    return table(("precision", "detects", "images a second", "moments a second", "late p50, p95 ms"), rows)


def told(short: Sequence[dict[str, float]], long: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of runs by turns: moments a second, and processor seconds a moment."""
    rates = [(b["moments"] - a["moments"]) / (b["wall"] - a["wall"]) for a, b in zip(short, long, strict=True)]
    costs = [(b["cpu"] - a["cpu"]) / (b["moments"] - a["moments"]) for a, b in zip(short, long, strict=True)]
    return {"moments_s": float(np.median(rates)), "least": min(rates), "most": max(rates),
            "cpu_ms": 1e3 * float(np.median(costs))}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure by turns and print a table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--precision", default="fp32,int8", help="those to measure")
    p.add_argument("--detector", default="auto")
    p.add_argument("--runtime", default="auto")
    p.add_argument("--processes", default="2", help="how many detect; several separated by commas")
    p.add_argument("--copies", default="3,9", help="how often the videos are played, in a short run and in a long one")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--live", type=float, default=0.0, metavar="SECONDS", help="live cameras in place of files, so long")
    p.add_argument("--json", type=Path, help="of files")
    args = p.parse_args(arguments)
    counts = [0, *map(int, args.processes.split(","))]
    if args.live:
        flags = [f"--detector={args.detector}", f"--runtime={args.runtime}"]
        print(run_live(counts, args.precision.split(","), args.rounds, args.live, flags))
        return 0
    short, long = map(int, args.copies.split(","))
    rows: list[dict[str, Any]] = []
    for precision in args.precision.split(","):
        flags = [f"--precision={precision}", f"--detector={args.detector}", f"--runtime={args.runtime}"]
        found: dict[int, list[list[dict[str, float]]]] = {count: [[], []] for count in counts}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(args.rounds):
                for count in counts if turn % 2 == 0 else counts[::-1]:
                    for kept, copies in zip(found[count], (short, long), strict=True):
                        kept.append(run(count, cameras(Path(folder), copies), flags))
                        print(precision, count or "threads", copies, kept[-1], file=sys.stderr, flush=True)
        for count in counts:
            rows.append({"precision": precision, "processes": count, **told(found[count][0], found[count][1])})
    keys = [key for key in rows[0] if key not in ("precision", "processes")]
    cells = []
    for row in rows:
        who = f"{row['processes']} processes" if row["processes"] else "threads"
        cells.append([row["precision"], who, *(f"{row[key]:.2f}" for key in keys)])
    print(table(("precision", "detects", *keys), cells))
    if args.json:
        write_json(args.json, {"machine": machine.describe(), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
