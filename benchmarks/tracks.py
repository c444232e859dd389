"""What tracks are worth: their answer against the most probable hypothesis of each frame by itself.

    python -m benchmarks.tracks
    python -m benchmarks.tracks --validation --set evidence=0.5 --set still_mm=15

Unbroken 30 fps sequences of the test subjects, each seen by one still, level camera with noisy 2D joints.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.table import write_json
from calibration.arrays import Array
from calibration.errors import UserError
from engines.argument_types import Parser
from engines.lifter import MDNLifter, encode
from engines.training import metrics
from engines.training.data import where
from engines.training.data.mocap import VALIDATION_SUBJECTS, load_poses
from engines.training.lifter import views
from engines.types import Mixture
from stream.live.tracks import TrackConfig, Tracker

FPS = 30.0


def still_views(joints: Array, rng: np.random.Generator, noise: float) -> tuple[Array, Array, views.Cameras]:
    """One still camera that sees a whole sequence.

    Args:
        joints: (F, 17, 3) mm, z up.
        rng: where the camera stands.
        noise: per cent of the 2D joints.

    Returns:
        Rays (F, 17, 2), root-relative joints in camera axes (F, 17, 3) mm, and the camera, once a frame.
    """
    one = views.sample_cameras(1, rng, views.CameraSampling(pitch=(-5.0, 25.0)))
    path = joints.mean(1)
    middle = (path.min(0) + path.max(0)) / 2
    # Far enough that nobody walks into the camera.
    distance = rng.uniform(3000, 6000) + np.linalg.norm(path - middle, axis=-1).max()
    local = (joints - middle) @ one.R[0].T + [0, 0, distance]
    xy = views.add_noise(local[..., :2] / local[..., 2:], noise, rng)
    n = len(joints)
    return xy, local - local[:, :1], views.Cameras(np.repeat(one.R, n, 0), np.full(n, distance), np.ones(n, bool))


def lift(lifter: MDNLifter, xy: Array, cameras: views.Cameras, coco: bool) -> list[Mixture]:
    """Mixtures of every frame, in camera axes."""
    seen = np.ones(xy.shape[:2], bool)
    if coco:
        seen[:, [7, 9, 10]] = False
    xy, seen = views.derive(xy, seen)
    view = views.look(xy, seen, cameras)
    parts = lifter.run(encode(view.xy, seen, view.pitch), view.R_virtual_to_camera.astype(np.float32))
    return [Mixture(*part) for part in zip(*parts, strict=True)]


def jitter(answer: Array, truth: Array) -> float:
    """Mean acceleration error (VIBE, Kocabas et al. 2020): second differences, mm per frame squared."""
    return float(np.linalg.norm(np.diff(answer, 2, axis=0) - np.diff(truth, 2, axis=0), axis=-1).mean())


def sequences(path: Path, validation: bool) -> Iterator[Array]:
    """Sequences of at least one second, (F, 17, 3) mm."""
    poses = load_poses(path)
    for name in np.unique(poses.sequence):
        chosen = poses.sequence == name
        if chosen.sum() >= FPS and (not validation or poses.subject[chosen][0] in VALIDATION_SUBJECTS):
            yield poses.joints[chosen]


def measure(lifted: list[tuple[list[Mixture], Array]], config: TrackConfig) -> dict[str, dict[str, float]]:
    """MPJPE (mm) and jitter (mm per frame squared) of each way to answer, means over frames."""
    ways = ("most probable", "mixture mean", "track, raw", "track, filtered", "best of M")
    errors: dict[str, list[Array]] = {way: [] for way in ways}
    shakes: dict[str, list[float]] = {way: [] for way in ways}
    for mixtures, truth in lifted:
        mean = np.stack([m.mean for m in mixtures])
        weight = np.stack([m.weight for m in mixtures])
        tracker = Tracker(config)
        tracked = [tracker(m, k / FPS) for k, m in enumerate(mixtures)]
        best = metrics.mpjpe(mean, truth[:, None]).argmin(-1)
        answers = dict(zip(ways, (
            *metrics.answers(mean, weight), np.stack([t[1] for t in tracked]), np.stack([t[2] for t in tracked]),
            mean[np.arange(len(mean)), best],
        ), strict=True))  # fmt: skip
        for way, answer in answers.items():
            errors[way].append(metrics.mpjpe(answer, truth))
            shakes[way].append(jitter(answer, truth))
    frames = [len(truth) for _, truth in lifted]
    return {
        way: {
            "mpjpe_mm": float(np.concatenate(errors[way]).mean()),
            "jitter": float(np.average(shakes[way], weights=frames)),
        }
        for way in ways
    }


def table(result: dict[str, dict[str, float]]) -> str:
    """Markdown, each figure with its ratio to the most probable hypothesis frame by frame."""
    base = result["most probable"]
    lines = ["| answer | MPJPE, mm | ratio | jitter, mm/frame² | ratio |", "|---|---|---|---|---|"]
    for way, row in result.items():
        lines.append(f"| {way} | {row['mpjpe_mm']:.1f} | {row['mpjpe_mm'] / base['mpjpe_mm']:.2f} | "
                     f"{row['jitter']:.1f} | {row['jitter'] / base['jitter']:.2f} |")  # fmt: skip
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--validation", action="store_true", help="the validation subjects: to choose parameters")
    parser.add_argument("--noise", type=float, default=2.0, metavar="PERCENT")
    parser.add_argument("--coco", action="store_true", help="without spine, neck and head, as detectors see")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of TrackConfig")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    try:
        config = dataclasses.replace(TrackConfig(), **{k: float(v) for k, v in (s.split("=") for s in args.set)})
        lifter = MDNLifter(args.weights)
        name = "sequences_30fps_train.npz" if args.validation else "sequences_30fps_test.npz"
        lifted = []
        for joints in sequences(where.needed(args.data, "--data") / name, args.validation):
            xy, truth, cameras = still_views(joints, rng, args.noise)
            lifted.append((lift(lifter, xy, cameras, args.coco), truth))
        result = measure(lifted, config)
        print(table(result))
        if args.json:
            write_json(args.json, result)
    except (UserError, OSError, TypeError, ValueError) as error:
        print(f"benchmarks.tracks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
