"""The four-camera recording of two people: are both there in every moment, is nobody else, and how good are the poses?

There is no truth. What is told: in how many moments each id is seen by two cameras and more, by which method it is
fused, how far the lengths of its limbs vary, and where the pose of the other cameras puts its limb joints in a camera
that took no part in it (held out), beside the same of the single person of the same room and the same detector. And how
often somebody is seen on the room's poster or its hanging skeleton model: a sighting whose joints' middle lies there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from benchmarks.fusion_demo import MIN_SCORE, NAMES, cameras_of, held_out, joints_of, steady
from benchmarks.nobody import EMPTY
from benchmarks.table import table
from calibration.geometry.camera import Camera
from engines import detectors
from engines.detectors import DetectorOptions
from engines.fusion import Fuser
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from engines.skeleton import LIMBS
from engines.types import Detection, empty_detection
from stream.app import demo
from stream.config import DetectConfig, PeopleConfig, SourceConfig
from stream.live.estimator import Estimator
from stream.sources import make_source
from stream.types import Estimate, FrameSet, Person

LONG = 10
"""Moments in two cameras, at least, for an id to be listed by itself."""


def estimates_of(
    folder: Path, name: str, precision: str, lifter: MDNLifter, people: PeopleConfig
) -> tuple[list[Camera], list[Estimate]]:
    """The cameras of a recording, and the estimate of each of its moments."""
    detector = detectors.load(name, DetectorOptions(NetworkOptions("onnx", precision)))
    with ExitStack() as stack:
        sources = [make_source(SourceConfig(str(folder / "videos" / f"{camera}.mp4"), camera)) for camera in NAMES]
        for source in sources:
            stack.enter_context(closing(source))
        cameras = cameras_of(folder, [source.open().size for source in sources])
        fuse = Fuser(cameras, "map", MIN_SCORE)
        estimator = Estimator(cameras, detector, lifter, DetectConfig(min_score=MIN_SCORE), fuse=fuse, people=people)
        found: list[Estimate] = []
        while all(frames := tuple(source.read() for source in sources)):
            found.append(estimator(FrameSet(len(found), next(f.t for f in frames if f), frames, 0.0)))
    return cameras, found


def alone(estimates: Sequence[Estimate], person_id: int) -> list[Person | None]:
    """One person in every moment."""
    return [next((p for p in e.people if p.person_id == person_id), None) for e in estimates]


def in_others(cameras: Sequence[Camera], person: Sequence[Person | None], times: Sequence[float], out: int) -> float:
    """Median pixels between the pose of the other cameras that see a person and what this one shows of them."""
    nobody, others = empty_detection("none"), [k for k in range(len(cameras)) if k != out]
    fuser, poses, shown = Fuser([cameras[k] for k in others], "map", MIN_SCORE), [], []
    for one, t in zip(person, times, strict=True):
        views = [None if one is None else one.views[k] for k in others]
        pose = None
        if sum(view is not None for view in views) > 1:
            pose = fuser([None if v is None else v.detection for v in views],
                         [None if v is None else v.mixture for v in views], t)  # fmt: skip
        here = None if one is None else one.views[out]
        poses.append(pose)
        shown.append(nobody if here is None else here.detection)
    error = held_out(cameras[out], joints_of(poses), shown)
    return float(np.nanmedian(error)) if np.isfinite(error).any() else float("nan")


def figures(cameras: Sequence[Camera], estimates: Sequence[Estimate]) -> dict[str, dict]:
    """By person: what is told of each who is long in two cameras."""
    times, found = [e.t for e in estimates], {}
    for person_id in sorted({p.person_id for e in estimates for p in e.people}):
        person = alone(estimates, person_id)
        views = np.array([[p is not None and v is not None for v in (p.views if p else [None] * len(cameras))]
                          for p in person])  # fmt: skip
        fused = [None if p is None or p.pose is None or len(p.pose.cameras) < 2 else p.pose for p in person]
        if sum(pose is not None for pose in fused) < LONG:
            continue
        first = next(k for k, pose in enumerate(fused) if pose is not None)
        found[f"id {person_id}"] = {
            "moments": sum(pose is not None for pose in fused), "of": len(person) - first,
            "views": dict(zip(NAMES, views.sum(0).tolist(), strict=True)),
            "methods": dict(Counter(p.pose.method for p in person if p is not None and p.pose is not None)),
            "bones": steady(joints_of(fused))["bones"],
            "held_out_px": {name: in_others(cameras, person, times, k) for k, name in enumerate(NAMES)},
        }  # fmt: skip
    return found


def nowhere(estimates: Sequence[Estimate]) -> dict[str, int]:
    """Sightings where there is nobody, by the place."""
    found = dict.fromkeys(EMPTY, 0)
    for place, (camera, (left, top, right, bottom)) in EMPTY.items():
        for detection in _seen_by(estimates, NAMES.index(camera)):
            seen = detection.score[list(LIMBS)] >= MIN_SCORE
            x, y = detection.xy[list(LIMBS)][seen].mean(0) if seen.any() else (-1.0, -1.0)
            found[place] += int(left <= x < right and top <= y < bottom)
    return found


def _seen_by(estimates: Sequence[Estimate], camera: int) -> Iterator[Detection]:
    for estimate in estimates:
        yield from (view.detection for p in estimate.people if (view := p.views[camera]) is not None)


def run(name: str, precision: str) -> dict:
    """Both recordings."""
    lifter = MDNLifter()
    found: dict = {"detector": name, "precision": precision}
    cameras, estimates = estimates_of(demo.fetch(demo.PEOPLE), name, precision, lifter, PeopleConfig())
    found["people"], found["nobody"] = figures(cameras, estimates), nowhere(estimates)
    views = [(p.person_id, name) for e in estimates for p in e.people
             for name, view in zip(NAMES, p.views, strict=True) if view is not None]  # fmt: skip
    found["ids"] = {f"{k} in {name}": n for (k, name), n in sorted(Counter(views).items())}
    cameras, estimates = estimates_of(demo.fetch(demo.MULTI), name, precision, lifter, PeopleConfig(1))
    found["single"] = figures(cameras, estimates)
    return found


def markdown(found: dict) -> str:
    """The figures as Markdown."""
    heads = ("who", "in two cameras and more", "seen by " + ", ".join(NAMES), "fused by", "limbs' lengths, %",
             "held out, px: median over the cameras, each")  # fmt: skip
    rows = []
    for who, people in (("two people", found["people"]), ("the single person", found["single"])):
        for name, row in people.items():
            held = list(row["held_out_px"].values())
            rows.append([
                f"{who}: {name}", f"{row['moments']} of {row['of']}", ", ".join(map(str, row["views"].values())),
                ", ".join(f"{k} {n}" for k, n in row["methods"].items()), f"{100 * row['bones']:.1f}",
                f"{np.nanmedian(held):.1f}: " + ", ".join(f"{v:.1f}" for v in held),
            ])  # fmt: skip
    places = ", ".join(f"{place} {count}" for place, count in found["nobody"].items())
    seen = ", ".join(f"{who} {count}" for who, count in found["ids"].items())
    return "\n\n".join([table(heads, rows), f"Sightings where nobody is: {places}. Sightings of each id: {seen}."])
