"""What tracks and time are worth: a track's answer, of single frames and with the frames before.

    python -m benchmarks.tracks
    python -m benchmarks.tracks --detector-noise 1
    python -m benchmarks.tracks --rate 15 --missing 0.2
    python -m benchmarks.tracks --validation --set evidence=0.5 --set still_mm=15

Unbroken 30 fps sequences of the test subjects, each seen by one still, level camera with noisy 2D joints.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.table import ratio, said, table, write_json
from calibration.arrays import Array
from calibration.errors import UserError
from engines.argument_types import Parser
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from engines.temporal import Sight, TemporalLifter
from engines.training import metrics
from engines.training.data import where
from engines.training.data.mocap import PROXY_SUBJECTS
from engines.training.evaluation import reliability
from engines.training.temporal import motions
from engines.training.temporal.validate import jitter, still_view, unbroken, with_root
from engines.types import LifterInput, Mixture
from stream.live.tracks import TrackConfig, Tracker

GOALS: Final = {"mpjpe_mm": 0.9, "jitter": 0.4}
"""Of the filtered track with time, against that of single frames."""
WAYS: Final = ("most probable", "mixture mean", "track, raw", "track, filtered", "best of M")
Lifted = tuple[list[Mixture], Array, Array]
"""Mixtures, truth (F, 17, 3) mm in camera axes, and seconds (F,) of one sequence."""


def single(lifter: MDNLifter, seen: motions.Motions) -> list[Mixture]:
    """Mixtures of every frame, in camera axes."""
    return lifter(given(seen))


def given(seen: motions.Motions) -> list[LifterInput]:
    """What the lifter is given of every frame."""
    out = []
    for x, R, rays in zip(seen.inputs[0], seen.R_virtual_to_camera[0], seen.rays[0], strict=True):
        pitch = float(np.arctan2(x[52], x[53])) if x[51] else np.nan
        out.append(LifterInput(x[:34].reshape(17, 2), x[34:51] > 0, pitch, R, rays))
    return out


def over_time(temporal: TemporalLifter, seen: motions.Motions, mixtures: Sequence[Mixture]) -> list[Mixture]:
    """The same with the frames before, one after another as live."""
    past, out = temporal.past(), []
    for t, one, mixture in zip(seen.t[0], given(seen), mixtures, strict=True):
        out += temporal([Sight(past, float(t), one, mixture)])
    return out


def lift(
    lifter: MDNLifter, temporal: TemporalLifter | None, folder: Path, args: argparse.Namespace
) -> dict[str, list[Lifted]]:
    """Every sequence, by single frames and with the frames before."""
    names = motions.FILES if args.validation or args.proxy else ("sequences_30fps_test.npz",)
    poses = motions.load(folder, names)
    if args.validation:
        poses = motions.split(poses)[1]
    if args.proxy:
        poses = poses.select(np.isin(poses.subject, PROXY_SUBJECTS))
    rng, losing = np.random.default_rng(0), np.random.default_rng(1)
    lifted: dict[str, list[Lifted]] = {"single frames": []}
    for joints in unbroken(poses):
        seen = still_view(
            motions.resample(joints, args.rate), rng, args.noise, args.detector_noise, args.coco, args.rate
        )
        if args.missing:
            kept = losing.random(seen.t.shape[1]) >= args.missing
            kept[0] = True
            seen = seen.frames(kept)
        truth = with_root(seen.targets[0] @ np.swapaxes(seen.R_virtual_to_camera[0], -1, -2))
        mixtures = single(lifter, seen)
        lifted["single frames"].append((mixtures, truth, seen.t[0]))
        if temporal:
            better = over_time(temporal, seen, mixtures)
            lifted.setdefault("with the frames before", []).append((better, truth, seen.t[0]))
    return lifted


def measure(lifted: Sequence[Lifted], config: TrackConfig, over_time: bool = False) -> dict[str, dict[str, float]]:
    """MPJPE (mm) and jitter (mm per frame squared) of each way to answer, means over frames."""
    errors: dict[str, list[Array]] = {way: [] for way in WAYS}
    shakes: dict[str, list[float]] = {way: [] for way in WAYS}
    for mixtures, truth, times in lifted:
        mean = np.stack([m.mean for m in mixtures])
        weight = np.stack([m.weight for m in mixtures])
        tracker = Tracker(config, over_time=over_time)
        tracked = [tracker(m, float(t)) for m, t in zip(mixtures, times, strict=True)]
        best = metrics.mpjpe(mean, truth[:, None]).argmin(-1)
        answers = dict(zip(WAYS, (
            *metrics.answers(mean, weight), np.stack([t[1] for t in tracked]), np.stack([t[2] for t in tracked]),
            mean[np.arange(len(mean)), best],
        ), strict=True))  # fmt: skip
        for way, answer in answers.items():
            errors[way].append(metrics.mpjpe(answer, truth))
            shakes[way].append(jitter(answer, truth))
    frames = [len(truth) for _, truth, _ in lifted]
    return {
        way: {
            "mpjpe_mm": float(np.concatenate(errors[way]).mean()),
            "jitter": float(np.average(shakes[way], weights=frames)),
        }
        for way in WAYS
    }


def honesty(lifted: Sequence[Lifted]) -> dict[str, float]:
    """ECE of all hypotheses and of the most probable, shares of joints inside their regions; every third frame."""
    said = [mixture for mixtures, _, _ in lifted for mixture in mixtures[::3]]
    truth = np.concatenate([truth[::3] for _, truth, _ in lifted])
    mean, sigma, weight = (
        np.stack([getattr(mixture, part) for mixture in said]) for part in ("mean", "sigma", "weight")
    )
    inside = reliability.coverage(mean, sigma, weight, truth)
    return {
        "ece": reliability.reliability(mean, weight, truth).error,
        "ece_top": reliability.reliability(mean, weight, truth, top_only=True).error,
        **{f"inside_{level}": share for level, share in inside.items()},
    }


def honest_lines(results: Mapping[str, Mapping[str, float]]) -> str:
    """The figures of ``honesty`` as a Markdown table."""
    rows = [
        [lifted, f"{row['ece']:.3f}", f"{row['ece_top']:.3f}",
         " / ".join(f"{100 * row[f'inside_{level}']:.0f}" for level in (50, 80, 95))]
        for lifted, row in results.items()
    ]  # fmt: skip
    return table(["probabilities", "ECE", "of the most probable", "inside 50 / 80 / 95 %"], rows)


def markdown(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Each figure with its ratio to the most probable hypothesis of single frames; and the goals."""
    base = results["single frames"]["most probable"]
    rows = [
        [f"{lifted}: {way}", f"{row['mpjpe_mm']:.1f}", ratio(row["mpjpe_mm"], base["mpjpe_mm"]),
         f"{row['jitter']:.1f}", ratio(row["jitter"], base["jitter"])]
        for lifted, ways in results.items()
        for way, row in ways.items()
    ]  # fmt: skip
    lines = [table(["answer", "MPJPE, mm", "ratio", "jitter, mm/frame²", "ratio"], rows)]
    if "with the frames before" in results:
        before, now = (results[name]["track, filtered"] for name in ("single frames", "with the frames before"))
        lines += [""] + [
            f"{key} of the track's answer: {now[key] / before[key]:.2f} of single frames', goal {goal}: "
            f"{said(now[key] <= goal * before[key])}"
            for key, goal in GOALS.items()
        ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument(parser, "--data", "mocap", "folder of the mocap files")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--temporal", default="on", metavar="on|off|ONNX", help="what takes time into account")
    parser.add_argument("--validation", action="store_true", help="the validation subjects: to choose parameters")
    parser.add_argument("--proxy", action="store_true", help="the people who were left out of every file")
    parser.add_argument("--noise", type=float, default=None, metavar="PERCENT",
                        help="default: 2, or 0 with --detector-noise")  # fmt: skip
    parser.add_argument("--detector-noise", type=float, default=0.0, metavar="FACTOR",
                        help="a detector's errors: 1 MoveNet Thunder's, 1.6 Lightning's")  # fmt: skip
    parser.add_argument("--coco", action="store_true", help="without spine, neck and head, as detectors see")
    parser.add_argument("--rate", type=float, default=motions.FPS, metavar="FPS", help="frames a second (30)")
    parser.add_argument("--missing", type=float, default=0.0, metavar="SHARE", help="of the frames are not there")
    parser.add_argument("--honest", action="store_true", help="also whether probabilities mean what they say")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of TrackConfig")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    args.noise = (0.0 if args.detector_noise else 2.0) if args.noise is None else args.noise
    try:
        for name, low, high in (("noise", 0, 100), ("detector_noise", 0, 100), ("rate", 1, 240), ("missing", 0, 0.9)):
            if not low <= getattr(args, name) <= high:
                raise UserError(f"--{name.replace('_', '-')} {getattr(args, name):g}: it is {low:g} to {high:g}")
        config = dataclasses.replace(TrackConfig(), **{k: float(v) for k, v in (s.split("=") for s in args.set)})
        folder = where.needed(args.data, "--data")
        lifter = MDNLifter(args.weights, NetworkOptions("onnx", precision="fp32"))
        temporal = None
        if args.temporal != "off":
            path = None if args.temporal == "on" else Path(args.temporal)
            temporal = TemporalLifter(lifter, path, NetworkOptions("onnx", precision="fp32"))
        lifted = lift(lifter, temporal, folder, args)
        results = {name: measure(parts, config, over_time=name != "single frames") for name, parts in lifted.items()}
        print(markdown(results))
        if args.honest:
            print("\n" + honest_lines({name: honesty(parts) for name, parts in lifted.items()}))
        if args.json:
            write_json(args.json, results)
    except (UserError, OSError, TypeError, ValueError) as error:
        print(f"benchmarks.tracks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
