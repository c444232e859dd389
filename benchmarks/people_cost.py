"""What each person more costs in one camera: processor time of a frame, films of so many people frame by frame in turn.

The films are those of ``benchmarks.people_live``; reading them is part of the cost, as of a run. What else the machine
does meets all films alike.
"""

import tempfile
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from benchmarks.detectors import frames_of
from benchmarks.people_live import CUT, FPS, side_by_side
from benchmarks.table import table
from calibration.geometry.camera import camera_from_fov
from engines import detectors
from engines.detectors import DetectorOptions
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from stream.app.demo import MULTI, fetch
from stream.config import PeopleConfig
from stream.live.estimator import Estimator
from stream.types import Frame, FrameSet

FRAMES = 120
WARM = 15
PEOPLE = (1, 2, 3, 4, 6)


def run(names: Sequence[str], precisions: Sequence[str], people: Sequence[int] = PEOPLE, frames: int = FRAMES) -> dict:
    """By detector and precision: for each number of people ms of processor time a frame, and how many were followed."""
    lifter = MDNLifter()
    walker = fetch(MULTI) / "videos" / "cam03.mp4"
    found: dict = {}
    with tempfile.TemporaryDirectory(prefix="people-") as folder:
        films = [side_by_side(walker, n, CUT["cam03"], Path(folder) / f"{n}.avi") for n in people]
        for name in names:
            for precision in precisions:
                network = NetworkOptions("onnx", precision)
                detector = detectors.load(name, DetectorOptions(network))
                found[f"{name}, {precision}"] = measure(films, people, detector, lifter, frames)
    return found


def measure(films: Sequence[Path], people: Sequence[int], detector, lifter: MDNLifter, frames: int) -> dict:
    """Milliseconds of processor time a frame, and how many are followed, by the number of people."""
    estimators, readers = [], []
    for film in films:
        image = next(iter(frames_of(film, 1)))
        camera = camera_from_fov("camera", (image.shape[1], image.shape[0]), 60)
        estimators.append(Estimator([camera], detector, lifter, people=PeopleConfig()))
        readers.append(frames_of(film, frames))
    spent: list[list[float]] = [[] for _ in films]
    count: list[list[int]] = [[] for _ in films]
    for t in range(frames):
        for k, (estimator, reader) in enumerate(zip_longest(estimators, readers)):
            begin = time.process_time()
            image = next(reader)
            estimate = estimator(FrameSet(t, t / FPS, (Frame("camera", t, t / FPS, image),), 0.0))
            if t >= WARM:
                spent[k].append(time.process_time() - begin)
                count[k].append(len(estimate.people))
    return {
        str(n): {"ms": 1e3 * float(np.mean(ms)), "people": float(np.mean(who))}
        for n, ms, who in zip(people, spent, count, strict=True)
    }


def markdown(found: dict) -> str:
    """The figures as Markdown."""
    numbers = list(next(iter(found.values())))
    rows = []
    for name, row in found.items():
        one = row[numbers[0]]["ms"]
        rows.append([name, *(f"{row[n]['ms']:.1f} ({row[n]['ms'] / one:.2f})" for n in numbers)])
    return table(("ms of processor time a frame (to one person)", *(f"{n} people" for n in numbers)), rows)
