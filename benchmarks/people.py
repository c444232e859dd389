"""How well several people are told apart and followed: synthetic rooms with known answers, and the cost of it.

    python -m benchmarks.people --rooms 6
    python -m benchmarks.people --speed
    python -m benchmarks.people --cost
    python -m benchmarks.people --live --json live.json
    python -m benchmarks.people --demo --detector hourglass --precision fp32

Somebody counts where the detector sees at least six limb joints of theirs: in the picture, not hidden by anybody else,
and not among those that it misses. Who shows fewer is neither missed nor invented. An answer is somebody's in 2D whose
object keypoint similarity with them is above 0.5, in 3D whose limb joints are 0.5 m from theirs at most in the mean (1
m with one camera, whose distances are as unsure as the size of a body). MPJPE is of an answer that is theirs so; one
that is nobody's is invented, and its person missed. IDF1 and MOTA are py-motmetrics', over all
cameras and frames with one set of ids.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks import crowd
from benchmarks.table import table
from calibration.arrays import Array, Bools
from calibration.errors import UserError
from calibration.writing import write_text
from engines.argument_types import Parser
from engines.detectors import fallback
from engines.fusion import Fuser
from engines.identity import State, placed, step
from engines.lifter import MDNLifter, lifter_input
from engines.oks import oks
from engines.training.data import where
from engines.types import Mixture, Pose, Seen, Sighting
from stream.config import DetectConfig, PeopleConfig
from stream.live.estimator import Estimator
from stream.types import Estimate

PEOPLE = (2, 3, 5)
CAMERAS = (1, 2, 4, 8)
MIN_SCORE = 0.1


@dataclass(slots=True)
class Count:
    """What was right and wrong in one kind of room."""

    mot: dict[str, list] = field(default_factory=lambda: {"2D": [], "3D": []})
    errors: list[Array] = field(default_factory=list)
    """mm, of each person and frame, root-relative where there is one camera, in the world where there are more."""
    alone: list[Array] = field(default_factory=list)
    """The same of the same people alone, of the same frames."""
    minutes: float = 0.0


def run(scene: crowd.Crowd, lifter: MDNLifter, people: PeopleConfig) -> list[Estimate]:
    """The estimates of a crowd."""
    detector = crowd.CrowdOfDetector(scene)
    detect = DetectConfig(min_score=MIN_SCORE)
    fuse = Fuser(scene.cameras, "map", MIN_SCORE) if len(scene.cameras) > 1 else None
    estimator = Estimator(scene.cameras, detector, lifter, detect, fuse=fuse, people=people)
    return [estimator(frame_set) for frame_set in crowd.frame_sets(scene, detector)]


def limbs_of(estimate: Estimate, person: int, scene: crowd.Crowd) -> Array | None:
    """(12, 3) mm in the world of one answer; None where there is none."""
    one = estimate.people[person]
    if one.pose is not None:
        return one.pose.joints[crowd.LIMBS]
    (camera,), (view,) = scene.cameras, one.views
    if view is None or view.answer is None or view.root is None:
        return None
    return (view.answer[crowd.LIMBS] + view.root - camera.t) @ camera.R


def judge(scene: crowd.Crowd, estimates: Sequence[Estimate], count: Count) -> dict[tuple[int, int], float]:
    """Add what is right and wrong; gives (frame, person) -> error in mm of who was found."""
    import motmetrics

    there = scene.there()
    single = len(scene.cameras) == 1
    flat, world = (motmetrics.MOTAccumulator(auto_id=True) for _ in range(2))
    found: dict[tuple[int, int], float] = {}
    for t, estimate in enumerate(estimates):
        for v in range(len(scene.cameras)):
            views = [(p.person_id, view.detection) for p in estimate.people if (view := p.views[v]) is not None]
            truth = scene.detections[t][v]
            distance = np.full((len(truth), len(views)), np.nan)
            if views:
                exact = [crowd.world_to_image(scene.cameras[v], joints) for joints in scene.joints[t]]
                # Against what the person really looks like, hidden joints too: the answer has only those it saw.
                like = oks(np.stack(exact), np.ones((len(truth), 17)),
                           np.stack([d.xy for _, d in views]), np.stack([d.score for _, d in views]))  # fmt: skip
                distance = np.where(like > 0.5, 1 - like, np.nan)
            _update(flat, there[t, v], distance, [k for k, _ in views])
        limbs = [limbs_of(estimate, k, scene) for k in range(len(estimate.people))]
        distance = np.full((len(scene.joints[t]), len(limbs)), np.nan)
        for k, answer in enumerate(limbs):
            if answer is not None:
                off = np.linalg.norm(scene.joints[t][:, crowd.LIMBS] - answer, axis=-1).mean(-1)
                distance[:, k] = np.where(off < (1000 if single else 500), off, np.nan)
        for person, k in _whose(distance):
            if (answer := limbs[k]) is not None:
                found[t, person] = _error(scene, t, person, answer, single)
        _update(world, there[t].any(0), distance, [p.person_id for p in estimate.people])
    count.mot["2D"].append(flat)
    count.mot["3D"].append(world)
    count.minutes += len(estimates) / crowd.FPS / 60
    return found


def _whose(distance: Array) -> list[tuple[int, int]]:
    """Whose answer each is: (person, answer), one each; an answer that is too far from everybody is nobody's."""
    rows, columns = linear_sum_assignment(np.nan_to_num(distance, nan=1e6))
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if np.isfinite(distance[a, b])]


def _error(scene: crowd.Crowd, t: int, person: int, answer: Array, single: bool) -> float:
    truth = scene.joints[t, person][crowd.LIMBS]
    if single:
        truth, answer = truth - truth.mean(0), answer - answer.mean(0)
    return float(np.linalg.norm(truth - answer, axis=-1).mean())


def _update(accumulator, there: Bools, distance: Array, ids: Sequence[int]) -> None:
    """One frame. An answer that fits only somebody who shows too little to be found is left out, as they are."""
    fits = np.isfinite(distance)
    keep = [k for k in range(len(ids)) if fits[there, k].any() or not fits[:, k].any()]
    rows = np.flatnonzero(there)
    accumulator.update(rows.tolist(), [ids[k] for k in keep], distance[np.ix_(rows, np.array(keep, np.intp))])


def summary(count: Count) -> dict:
    """The figures of one kind of room."""
    import motmetrics

    host = motmetrics.metrics.create()
    names = ["idf1", "mota", "num_switches", "num_misses", "num_false_positives", "num_objects"]
    out: dict = {}
    for kind, parts in count.mot.items():
        if not parts:
            continue
        table = host.compute_many(parts, metrics=names, generate_overall=True).loc["OVERALL"]
        out[kind] = {
            "idf1": float(table.idf1),
            "mota": float(table.mota),
            "switches_a_minute": float(table.num_switches / count.minutes),
            "missed": float(table.num_misses / table.num_objects),
            "invented": float(table.num_false_positives / table.num_objects),
        }
    if count.errors:
        crowd_mm, alone_mm = (float(np.concatenate(e).mean()) for e in (count.errors, count.alone))
        out["mpjpe_mm"], out["alone_mm"] = crowd_mm, alone_mm
    return out


def measure(file: Path, lifter: MDNLifter, people: int, cameras: int, rooms: int, frames: int, seed: int) -> dict:
    """Some rooms with so many people and cameras."""
    count = Count()
    for room in range(rooms):
        rng = np.random.default_rng((seed, room, people))
        joints = crowd.paths(file, people, frames, rng)
        scene = crowd.make(joints, crowd.room(cameras, rng), seed + room)
        everybody = PeopleConfig()
        found = judge(scene, run(scene, lifter, everybody), count)
        for person in range(people):
            alone = crowd.alone(scene, person, seed + room)
            other = judge(alone, run(alone, lifter, PeopleConfig(1)), Count())
            both = [t for t in range(frames) if (t, person) in found and (t, 0) in other]
            count.errors.append(np.array([found[t, person] for t in both]))
            count.alone.append(np.array([other[t, 0] for t in both]))
    return summary(count)


def speed(file: Path, lifter: MDNLifter, repeats: int) -> dict:
    """Ms of telling people apart, by people and cameras: frame sets that go on, and the first one."""
    out: dict = {}
    for people, cameras in itertools.product((1, 2, 3, 4, 5), (1, 2, 4, 8)):
        rng = np.random.default_rng((3, people))
        scene = crowd.make(crowd.paths(file, people, 8, rng), crowd.room(cameras, rng), 0)
        spent, first = [], []
        for _ in range(repeats):
            state = State()
            for t in range(8):
                seen = [
                    Seen("known", tuple(Sighting(k, d) for k, d in enumerate(row) if d.score.astype(bool).sum() > 5))
                    for row in scene.detections[t]
                ]
                mixtures = _lifted(lifter, scene, seen)
                begin = time.thread_time()
                state, who = step(state, seen, mixtures, t / crowd.FPS, scene.cameras)
                middle = time.thread_time()
                poses = {one.person_id: _true_pose(scene, t, one, seen) for one in who}
                after = time.thread_time()
                state = placed(state, poses, t / crowd.FPS)
                (spent if t > 1 else first).append(middle - begin + time.thread_time() - after)
        out[f"{people} in {cameras}"] = {
            "goes_on_ms": 1e3 * float(np.median(spent)),
            "begins_ms": 1e3 * float(np.median(first[::2])),
        }
    return out


def _lifted(lifter: MDNLifter, scene: crowd.Crowd, seen: Sequence[Seen]) -> list[list[Mixture | None]]:
    return [
        list(lifter([lifter_input(s.detection, camera, MIN_SCORE) for s in answer.people]))
        for camera, answer in zip(scene.cameras, seen, strict=True)
    ]


def _true_pose(scene: crowd.Crowd, t: int, one, seen: Sequence[Seen]) -> Pose:
    camera, k = next((v, k) for v, k in enumerate(one.views) if k is not None)
    person = seen[camera].people[k].track
    names = tuple(c.name for c, k in zip(scene.cameras, one.views, strict=True) if k is not None)
    return Pose(scene.joints[t, person], np.zeros((17, 3, 3)), names, "map")


def markdown(results: dict) -> str:
    """The synthetic results as Markdown."""
    heads = ("people, cameras", "IDF1 2D / 3D", "MOTA 2D / 3D", "switches a minute 2D / 3D", "missed % 2D / 3D",
             "invented % 2D / 3D", "MPJPE, alone, mm", "ratio")  # fmt: skip
    rows = []
    for name, row in results.items():
        flat, world = row["2D"], row["3D"]
        cells = [f"{flat[k]:.3f} / {world[k]:.3f}" for k in ("idf1", "mota")]
        cells.append(f"{flat['switches_a_minute']:.1f} / {world['switches_a_minute']:.1f}")
        cells += [f"{100 * flat[k]:.1f} / {100 * world[k]:.1f}" for k in ("missed", "invented")]
        cells.append(f"{row['mpjpe_mm']:.1f}, {row['alone_mm']:.1f}")
        rows.append([name, *cells, f"{row['mpjpe_mm'] / row['alone_mm']:.2f}"])
    return table(heads, rows)


def speed_table(results: dict) -> str:
    """The cost as Markdown."""
    rows = [(name, f"{row['goes_on_ms']:.2f}", f"{row['begins_ms']:.2f}") for name, row in results.items()]
    return table(("people in cameras", "goes on, ms", "begins, ms"), rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=4, help="rooms of each kind (default: 4)")
    parser.add_argument("--frames", type=int, default=240, help="of each room, at 30 a second (default: 240)")
    parser.add_argument("--people", type=int, nargs="+", default=list(PEOPLE))
    parser.add_argument("--cameras", type=int, nargs="+", default=list(CAMERAS))
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--split", choices=("test", "train"), default="test", help="whose sequences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", action="store_true", help="the cost of telling people apart instead")
    parser.add_argument("--cost", action="store_true", help="what each person more costs in one camera instead")
    parser.add_argument("--live", action="store_true", help="how many people keep up at 30 frames a second instead")
    parser.add_argument("--demo", action="store_true", help="the four-camera recording of two people instead")
    parser.add_argument("--seconds", type=float, default=20.0, help="that each case of --live is watched (default: 20)")
    parser.add_argument("--detector", default="auto", help="of --live, --cost and --demo (default: auto)")
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8"], help="of the same (default: fp32 int8)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures")
    args = parser.parse_args(arguments)
    try:
        if args.live or args.cost or args.demo:
            # They need the demo's films and a video decoder; the synthetic rooms need neither.
            from benchmarks import people_cost, people_demo, people_live

            if args.demo:
                name = fallback.order(args.detector.split(","))[0]
                found = {precision: people_demo.run(name, precision) for precision in args.precision}
                for precision, one in found.items():
                    print(f"{name}, {precision}:\n\n{people_demo.markdown(one)}\n")
            elif args.live:
                found = people_live.run(args.detector, args.precision, args.seconds, people_live.ONE, people_live.FOUR)
                print(people_live.markdown(found))
            else:
                names = fallback.order(args.detector.split(","))[: 3 if args.detector == "auto" else None]
                found = people_cost.run(names, args.precision)
                print(people_cost.markdown(found))
            if args.json:
                write_text(args.json, json.dumps(found, indent=1) + "\n")
            return 0
        lifter = MDNLifter()
        file = where.needed(args.data, "--data") / f"sequences_30fps_{args.split}.npz"
        if args.speed:
            results = speed(file, lifter, 2)
            print(speed_table(results))
        else:
            results = {}
            for people, cameras in itertools.product(args.people, args.cameras):
                made = measure(file, lifter, people, cameras, args.rooms, args.frames, args.seed)
                results[f"{people}, {cameras}"] = made
                print(markdown({f"{people}, {cameras}": made}).splitlines()[-1], flush=True)
            print(markdown(results))
        if args.json:
            write_text(args.json, json.dumps(results, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"people: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
