"""How many cameras of other computers one fusing process takes: made-up detections, published and fused as in a run.

    python -m benchmarks.scale                                      # 4 nodes x 4 cameras x 2 people, on one core
    python -m benchmarks.scale --sizes 1x4,2x4,4x4,8x4,16x4 --seconds 30 --json scale.json
    python -m benchmarks.scale --sizes 1x4,4x4,16x4 --parts         # what the time of fusing goes into, in one thread

Every node is a process that publishes at 30 frames a second what a detector would have found; the fusing process has
one core. Nothing is detected and nothing drawn: what is measured is all that comes after.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

import stream
from benchmarks import machine, scenes
from benchmarks.table import table, write_json
from calibration.geometry.camera import Camera
from calibration.types import Calibration
from engines.fusion import Fuser
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from engines.types import Seen, Sighting
from stream.cluster.group import Group, group
from stream.cluster.messages import Card, SeenFrame
from stream.cluster.node import Node
from stream.cluster.wire import decode, encode
from stream.config import DetectConfig, PeopleConfig, SourceConfig
from stream.live.doubts import Doubts
from stream.live.estimator import Estimator
from stream.live.known import NoDetector
from stream.live.synchronise import LiveMatcher
from stream.sources.synthetic import SyntheticSource
from stream.types import KnownFrame

FPS: Final = 30.0
FRAMES: Final = 300
APART_MM: Final = 1500.0
WARM_UP_S: Final = 3.0
WARM_UP: Final = 10
"""Moments."""
MESSAGES: Final = "messages"
PARTS: Final = {"compute": "fusing", "camera-": "cameras", "cluster-": "clocks", "MainThread": "reader"}
"""How the names of threads begin, and what they do; the network's own, in which messages are decoded, have no name."""


def cameras_of(count: int) -> tuple[Camera, ...]:
    """A ring of cameras, the same in every process."""
    return scenes.ring([360 * k / count for k in range(count)], np.random.default_rng(0))


def seen_by(cameras: Sequence[Camera], people: int) -> list[list[Seen]]:
    """What a detector would find in each frame of each camera."""
    figure, rng = SyntheticSource(SourceConfig("synthetic:", "figure")), np.random.default_rng(1)
    faults = scenes.Faults(outliers=0.0, missing=(0, 0), coco=True, uneven=0.3, told=True)
    out: list[list[Seen]] = [[] for _ in cameras]
    for index in range(FRAMES):
        upright = scenes.on_the_floor(figure.pose(index))
        found = [
            scenes.detect(upright + [(k - (people - 1) / 2) * APART_MM, 0, 0], cameras, faults, rng)
            for k in range(people)
        ]
        for c in range(len(cameras)):
            out[c].append(Seen("synthetic", tuple(Sighting(k, one[c]) for k, one in enumerate(found))))
    return out


def publish(to: Group, total: int, mine: Sequence[int], people: int) -> None:
    """A node, until it is ended."""
    cameras = [cameras_of(total)[k] for k in mine]
    seen = seen_by(cameras, people)
    cards = [Card(camera.name, camera.size, FPS, None, None) for camera in cameras]
    node = Node(to, lambda: cards, live=True, software="benchmark")
    node.open()
    print("ready", flush=True)
    start = time.monotonic()
    for index in range(1 << 30):
        time.sleep(max(0.0, start + index / FPS - time.monotonic()))
        for camera, its in zip(cameras, seen, strict=True):
            # All nodes see one scene: what is there at a time is told by the clock, which is one on this machine.
            t = time.monotonic()
            node.put(camera.name, index, t, camera.size, its[round(t * FPS) % FRAMES])


def used_by(process: psutil.Process) -> dict[str, float]:
    """Processor seconds of this process so far, by what they went into."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = dict.fromkeys((*PARTS.values(), MESSAGES), 0.0)
    for one in process.threads():
        name = names.get(one.id, "")
        part = next((part for start, part in PARTS.items() if name.startswith(start)), MESSAGES)
        found[part] += one.user_time + one.system_time
    return found


def fuse(to: Group, total: int, seconds: float) -> dict[str, Any]:
    """The fusing process: what it managed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cameras = cameras_of(total)
    sources = [f"{camera.name}=node:{to}/{camera.name}" for camera in cameras]
    process, late, moments, used, fused = psutil.Process(), [], 0, dict[str, float](), 0
    stages: dict[str, float] = defaultdict(float)
    with stream.open_stream(*sources, calibration=Calibration(cameras), runtime="onnx", policy="latest") as live:
        start = begun = time.monotonic() + WARM_UP_S
        for estimate in live:
            now = time.monotonic()
            if now < begun:
                used, start = used_by(process), now
                continue
            moments += 1
            for name, s in (estimate.stages or {}).items():
                stages[name] += s
            fused += sum(person.pose is not None for person in estimate.people)
            late.append(now - min(frame.t for frame in estimate.frames if frame is not None))
            if now > begun + seconds:
                break
        took = time.monotonic() - start
        after = used_by(process)
    cores = {part: (after[part] - used.get(part, 0.0)) / took for part in after}
    return {"moments_s": moments / took, "p50_ms": 1e3 * float(np.median(late)), "cpu": sum(cores.values()),
            "p95_ms": 1e3 * float(np.quantile(late, 0.95)), "people": fused / max(moments, 1), "cores": cores,
            "stage_ms": {name: 1e3 * s / max(moments, 1) for name, s in stages.items()}}  # fmt: skip


def parts(total: int, people: int, moments: int = 60) -> dict[str, float]:
    """Processor milliseconds a moment of each part of fusing so many cameras, in one thread."""
    cameras = cameras_of(total)
    seen, spent = seen_by(cameras, people), defaultdict[str, float](float)
    lifter = MDNLifter(None, NetworkOptions("onnx", "auto"))
    estimator = Estimator(
        cameras, NoDetector(), lifter, fuse=Fuser(cameras), people=PeopleConfig(), clock=time.thread_time
    )
    doubts, matcher = Doubts(cameras, DetectConfig().min_score), LiveMatcher([FPS] * total)
    black = np.zeros((scenes.SIZE[1], scenes.SIZE[0], 3), np.uint8)
    frames = [
        [SeenFrame(c.name, i, i, i / FPS + 5e-4 * k, c.size, seen[k][i]) for k, c in enumerate(cameras)]
        for i in range(moments + WARM_UP)
    ]
    data = [list(map(encode, row)) for row in frames]
    for index, row in enumerate(data):
        if index == WARM_UP:
            spent.clear()
        spent["decode"] -= time.thread_time()
        came = [decode(message, SeenFrame) for message in row]
        spent["decode"] += time.thread_time()
        known = [KnownFrame(f.camera, f.index, f.t, black, f.seen) for f in came]
        spent["match"] -= time.thread_time()
        found = None
        for k, frame in enumerate(known):
            matcher.add(k, frame)
            found = matcher.next() or found
        spent["match"] += time.thread_time()
        if found is None:
            raise SystemExit("frames of one time were no moment")
        estimate = estimator(found)
        for name, s in (estimate.stages or {}).items():
            spent[name] += s
        spent["check"] -= time.thread_time()
        doubts(estimate)
        spent["check"] += time.thread_time()
    names = {"detect": "interpolate", "track": "follow"}
    return {names.get(name, name): 1e3 * s / moments for name, s in spent.items()}


def print_parts(sizes: Sequence[tuple[int, int]], people: int) -> None:
    """A table of the parts, in shares of the whole."""
    found = {f"{n} x {c}": parts(n * c, people) for n, c in sizes}
    rows = [
        [name, *(f"{each[name] / sum(each.values()):.0%}" for each in found.values())]
        for name in next(iter(found.values()))
    ]
    last = ["CPU ms a moment", *(f"{sum(each.values()):.1f}" for each in found.values())]
    print(table(("part", *found), [*rows, last]))


def measured(nodes: int, cameras: int, people: int, seconds: float) -> dict[str, Any]:
    """One size: what the fusing process says, and the processor time of a node."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        to = Group("scale", port=free.getsockname()[1])
    total = nodes * cameras
    base = [
        sys.executable,
        "-m",
        "benchmarks.scale",
        "--group",
        str(to),
        "--total",
        str(total),
        "--people",
        str(people),
    ]
    started: list[subprocess.Popen[str]] = []
    for n in range(nodes):
        mine = ",".join(map(str, range(n * cameras, (n + 1) * cameras)))
        started.append(subprocess.Popen([*base, f"--mine={mine}"], stdout=subprocess.PIPE, text=True))
    try:
        for process in started:
            if process.stdout is None or not process.stdout.readline():
                raise SystemExit("a node ended before it began")
        one, begun = psutil.Process(started[0].pid), time.monotonic()
        before = sum(one.cpu_times()[:2])
        out = subprocess.run([*base, "--seconds", str(seconds)], check=True, stdout=subprocess.PIPE, text=True).stdout
        node_cpu = (sum(one.cpu_times()[:2]) - before) / (time.monotonic() - begun)
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    return {"nodes": nodes, "cameras": cameras, **json.loads(out.splitlines()[-1]), "node_cpu": node_cpu}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sizes", default="4x4", help="NODESxCAMERAS, several separated by commas")
    p.add_argument("--people", type=int, default=2)
    p.add_argument("--seconds", type=float, default=20.0)
    p.add_argument("--json", type=Path)
    p.add_argument("--parts", action="store_true", help="what fusing is made of, in one thread and without a network")
    for hidden in ("--group", "--mine", "--total"):  # of the processes that it starts
        p.add_argument(hidden, help=argparse.SUPPRESS)
    args = p.parse_args(arguments)
    if args.mine:
        publish(group(args.group), int(args.total), [int(k) for k in args.mine.split(",")], args.people)
    elif args.group:
        print(json.dumps(fuse(group(args.group), int(args.total), args.seconds)))
    elif args.parts:
        print_parts([(int(n), int(c)) for n, c in (size.split("x") for size in args.sizes.split(","))], args.people)
    else:
        rows = []
        print("nodes x cameras | moments/s | p50, p95 ms | people fused | cores: fusing, a node")
        for size in args.sizes.split(","):
            nodes, cameras = map(int, size.split("x"))
            rows.append(row := measured(nodes, cameras, args.people, args.seconds))
            print("{nodes} x {cameras} | {moments_s:.1f} | {p50_ms:.0f}, {p95_ms:.0f} | {people:.1f} | {cpu:.2f}, "
                  "{node_cpu:.2f}".format(**row), flush=True)  # fmt: skip
            print("    of it " + ", ".join(f"{part} {share:.2f}" for part, share in row["cores"].items())
                  + "; ms a moment " + ", ".join(f"{name} {ms:.1f}" for name, ms in row["stage_ms"].items()),
                  flush=True)  # fmt: skip
        if args.json:
            write_json(args.json, {"machine": machine.describe(), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
