"""How many people keep up live: virtual cameras at their own 30 frames a second, the whole pipeline, by precision.

The people are the walker of the four-camera recording, cut out of its films and shown side by side, each in another
moment of the walk, there and back. Such cameras fit no calibration; how two people are fused besides is seen in one
case more, the recording of two people as it is, at half its size. Every case runs in a process of its own; the first
seconds do not count: connecting, finding everybody, and handing over to a detector that keeps up.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from benchmarks import latency, machine
from benchmarks.camera_server import Cameras, sent
from benchmarks.detectors import frames_of
from benchmarks.latency import Watch
from benchmarks.processor import measure
from benchmarks.table import table
from calibration.arrays import Image
from calibration.errors import UserError
from stream.app import build
from stream.app.demo import MULTI, PEOPLE, fetch
from stream.config import CameraSetupConfig, Config, DetectConfig, OutputConfig
from stream.control import Control
from stream.sources import parse_sources
from stream.types import Estimate

FPS: Final = 30.0
ONE: Final = (1, 2, 3, 4, 6)
FOUR: Final = (1, 2, 3, 4)
"""People in one camera and in four."""
WARM_S: Final = 8.0
LOST: Final = 0.02
"""A case keeps up that loses no more of its frames."""
SIZE: Final = (1280, 720)
COLUMNS, ROWS = 3, 2
CUT: Final = {
    "cam01": (100, 200, 980, 1500),
    "cam02": (130, 330, 750, 1500),
    "cam03": (0, 330, 900, 1400),
    "cam04": (0, 300, 1000, 1500),
}
"""The part of each film in which the walker stays and nobody else is: left, top, right, bottom, pixels."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    cameras: tuple[str, ...]
    """Addresses, with names."""
    people: int
    """In each camera."""
    precision: str
    detector: str
    seconds: float
    """How long it is watched, the warm-up included."""
    calibration: str = ""
    """File, where they are calibrated."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case after its warm-up."""

    sets: float
    """Frame sets a second."""
    lost: float
    """Share of the frames sent that were not estimated, mean over the cameras."""
    p50_ms: float
    p95_ms: float
    """Of the age of a frame set's oldest image when its estimate is handed out."""
    people: float
    """Followed in a camera, mean."""
    detector: str
    """Which answered in most views."""
    cpu: float
    """Cores that this process used, warm-up included."""
    others: float
    """Cores that other programs used meanwhile, the cameras' own process among them."""


class PeopleWatch(Watch):
    """The same, and how many people are followed and by which detector."""

    def __init__(self, cameras: tuple[str, ...], seconds: float, control: Control) -> None:
        super().__init__(cameras, seconds, control)
        self.people: list[float] = []
        self.detectors: list[tuple[str, ...]] = []

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """See ``Sink``."""
        super().write(estimate, images)
        there = [k for k, frame in enumerate(estimate.frames) if frame is not None]
        self.people.append(float(np.mean([len(estimate.views_of(k)) for k in there])) if there else 0.0)
        self.detectors.append(tuple(f.detector for f in estimate.frames if f is not None))


def run_case(case: Case) -> Result:
    """Measure one case in this process."""
    sources = parse_sources(case.cameras)
    setup = CameraSetupConfig(calibration=Path(case.calibration), up=(0.0, 0.0, 1.0)) if case.calibration else None
    config = Config(sources, detect=DetectConfig(names=(case.detector,)), output=OutputConfig("none"))
    config = replace(config, network=replace(config.network, precision=case.precision), setup=setup or config.setup)
    with ExitStack() as stack:
        pipeline, viewer = build.prepare(config, stack)
        watch = PeopleWatch(tuple(source.name for source in config.sources), case.seconds, pipeline.control)
        pipeline.add(watch)
        _, usage = measure(lambda: pipeline.run(viewer))
    if not watch.moments or watch.moments[-1][0].at - watch.moments[0][0].at < WARM_S + 1:
        raise UserError("the virtual cameras gave too few frame sets; the machine is too busy")
    begin, end = watch.moments[0][0].at + WARM_S, watch.moments[-1][0].at
    urls = tuple(source.source for source in config.sources)
    counted = [k for k, seen in enumerate(watch.moments) if seen and seen[0].at >= begin]
    times = latency.summarise(watch.moments, urls, WARM_S)
    shares = []
    for camera, url in enumerate(urls):
        due = sum(begin <= t < end for _, t in sent(url))
        used = sum(seen.camera == camera for k in counted for seen in watch.moments[k])
        shares.append(max(0.0, 1 - used / max(due, 1)))
    who = Counter(name for k in counted for name in watch.detectors[k])
    return Result(
        len(counted) / (end - begin),
        float(np.mean(shares)),
        times.p50,
        times.p95,
        float(np.mean([watch.people[k] for k in counted])),
        who.most_common(1)[0][0],
        usage.cpu_s / usage.wall_s,
        usage.others_s / usage.wall_s,
    )


def side_by_side(film: Path, people: int, cut: tuple[int, int, int, int], out: Path) -> Path:
    """A film of ``people`` walkers, each a moment further on."""
    left, top, right, bottom = cut
    walker = [image[top:bottom, left:right] for image in frames_of(film, 100)]
    walker += walker[-2:0:-1]
    width, height = SIZE[0] // COLUMNS, SIZE[1] // ROWS
    scale = min(width / (right - left), height / (bottom - top))
    small = [cv2.resize(i, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for i in walker]
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    if not writer.isOpened():
        raise UserError(f"{out.name} cannot be written")
    for t in range(len(small)):
        canvas = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
        for k in range(people):
            tile = small[(t + k * len(small) // 6) % len(small)]
            row, column = divmod(k, COLUMNS)
            x, y = column * width + (width - tile.shape[1]) // 2, row * height + (height - tile.shape[0]) // 2
            canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        writer.write(canvas)
    writer.release()
    return out


def halved(film: Path, out: Path) -> Path:
    """The film at half its size."""
    writer = None
    for image in frames_of(film, 100):
        small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        size = small.shape[1], small.shape[0]
        writer = writer or cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"MJPG"), FPS, size)
        writer.write(small)
    if writer is not None:
        writer.release()
    return out


def in_process(case: Case) -> Result:
    """Measure a case in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.people_live"]  # the case on stdin, as no address belongs in a flag
    done = subprocess.run(command, input=json.dumps(asdict(case)), capture_output=True, text=True)
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["a case failed"])[-1])
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def run(detector: str, precisions: Sequence[str], seconds: float, one: Sequence[int], four: Sequence[int]) -> dict:
    """All cases: figures by "cameras, people, precision"; what fails is said and left out."""
    room = fetch(PEOPLE)
    walker = fetch(MULTI) / "videos"
    found: dict = {"machine": machine.describe(), "detector": detector, "seconds": seconds, "cases": {}}
    with tempfile.TemporaryDirectory(prefix="people-") as folder:
        for cameras, people, calibrated in [*((1, n, False) for n in one), *((4, n, False) for n in four),
                                            *([(4, 2, True)] if 2 in four else [])]:  # fmt: skip
            names = ["cam03"] if cameras == 1 else list(CUT)
            films = [
                halved(room / "videos" / f"{name}.mp4", Path(folder) / f"{name}-room.avi")
                if calibrated
                else side_by_side(walker / f"{name}.mp4", people, CUT[name], Path(folder) / f"{name}-{people}.avi")
                for name in names
            ]
            for precision in precisions:
                name = f"{cameras}{', calibrated' if calibrated else ''}; {people}; {precision}"
                print(f"{name} ...", file=sys.stderr, flush=True)
                # There and back: a jump from the last image to the first would be a cut.
                with Cameras(films, FPS, 198, back=calibrated) as served:
                    urls = tuple(f"{c}={url}" for c, url in zip(names, served.urls, strict=True))
                    file = str(room / "calibration" / "Calib.qca.txt") if calibrated else ""
                    made = in_process(Case(urls, people, precision, detector, seconds, file))
                found["cases"][name] = asdict(made)
                time.sleep(0.5)
    return found


def markdown(found: dict) -> str:
    """The figures as Markdown, and on what they were measured."""
    heads = ("cameras", "people", "precision", "detector", "frame sets a second", "lost, %", "p50, p95 ms",
             "people followed", "keeps up", "cores, others'")  # fmt: skip
    rows = []
    for name, row in found["cases"].items():
        cameras, people, precision = name.split("; ")
        rows.append([
            cameras, people, precision, row["detector"], f"{row['sets']:.1f}", f"{100 * row['lost']:.1f}",
            f"{row['p50_ms']:.0f}, {row['p95_ms']:.0f}", f"{row['people']:.1f}",
            "yes" if row["lost"] <= LOST else "no", f"{row['cpu']:.2f}, {row['others']:.2f}",
        ])  # fmt: skip
    return "\n\n".join([table(heads, rows), machine.title(found["machine"])])


def main() -> int:
    """The case on stdin, in this process; ``python -m benchmarks.people --live`` is for people."""
    data = json.load(sys.stdin)
    try:
        print(json.dumps(asdict(run_case(Case(**data | {"cameras": tuple(data["cameras"])})))))
    except (UserError, OSError, ValueError) as error:
        print(f"people: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
