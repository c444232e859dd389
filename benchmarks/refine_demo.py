"""The cameras of the real four-camera recording, corrected by one half of it and judged by the other.

Corrected from frames 0 to 49 as one detector sees them; judged in frames 50 to 99 by another: the distance between
where a camera saw a joint and where robust triangulation by the three others puts it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.fusion_demo import FPS, MIN_SCORE, NAMES, cameras_of, held_out, joints_of, lift, steady, track, watch
from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.fusion.views import gather
from engines.lifter import MDNLifter
from engines.refinement import refine_person
from engines.refinement.cameras import observed, refine_cameras
from engines.skeleton import R_ANKLE, R_KNEE, R_WRIST
from engines.types import Detection
from stream.app import demo

DETECTORS: Final = ("hourglass", "movenet-thunder", "mediapipe")
HALF: Final = 50
UP: Final = np.array([0.0, 0.0, 1.0])


def run(lifter: MDNLifter) -> dict:
    """All figures: by the detector that the cameras were corrected with."""
    folder = demo.fetch(demo.MULTI)
    seen = {name: list(zip(*watch(folder, name), strict=True)) for name in DETECTORS}
    out: dict = {}
    for name, (sizes, found) in seen.items():
        given = cameras_of(folder, sizes)
        corrected, row = _corrected(lifter, given, found)
        row["held_out"] = {
            other: {"given": _error(lifter, given, judge), "corrected": _error(lifter, corrected, judge)}
            for other, (_, judge) in seen.items()
        }
        out[name] = row
    return out


def _corrected(
    lifter: MDNLifter, cameras: Sequence[Camera], found: Sequence[Sequence[Detection]]
) -> tuple[Sequence[Camera], dict]:
    moments = lift(lifter, cameras, found)
    times = np.arange(len(moments)) / FPS
    views = [gather(d, m, cameras, MIN_SCORE) for d, m in moments]
    live = joints_of(track(cameras, moments, range(len(cameras)), "map"))
    refined = refine_person(times[:HALF], views[:HALF], live[:HALF], UP)
    xy = [{} if one is None else dict(zip(one.names, one.xy, strict=True)) for one in views[:HALF]]
    corrected, changes = refine_cameras(cameras, observed(times[:HALF], list(refined.joints), xy, cameras))
    whole = refine_person(times, views, live, UP)
    row = {
        "changes": {one.name: [one.moved_mm, one.turned_degrees, 1000 * one.late_s] for one in changes},
        "live": steady(live),
        "refined": steady(whole.joints),
        "series": {
            name: {"wrist": joints[:, R_WRIST, 2].tolist(), "shank": _shank(joints).tolist()}
            for name, joints in (("live", live), ("refined", whole.joints))
        },
    }
    return corrected, row


def _shank(joints: Array) -> Array:
    """(T,) mm, the right lower leg."""
    return np.linalg.norm(joints[:, R_KNEE] - joints[:, R_ANKLE], axis=-1)


def picture(results: dict, path: Path) -> None:
    """Draw live and refined of the first detector over time."""
    from matplotlib.figure import Figure  # of the extra [train]; the figures do without

    name, row = next(iter(results.items()))
    figure = Figure((9, 3.2), layout="constrained")
    titles = {"wrist": "height of the right wrist, mm", "shank": "length of the right lower leg, mm"}
    for axes, (key, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for kind, colour in (("live", "#c0504d"), ("refined", "#1f4e79")):
            values = row["series"][kind][key]
            axes.plot(np.arange(len(values)) / FPS, values, color=colour, label=kind, lw=1.2 if kind == "live" else 1.8)
        axes.set_title(f"{title} ({name})", fontsize=10)
        axes.set_xlabel("s")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def _error(lifter: MDNLifter, cameras: Sequence[Camera], found: Sequence[Sequence[Detection]]) -> dict[str, float]:
    """Mean and median over all cameras, joints and moments of the second half, px."""
    moments = lift(lifter, cameras, found)
    every, errors = range(len(cameras)), list[Array]()
    for k in every:
        joints = joints_of(track(cameras, moments, [other for other in every if other != k], "triangulate"))
        errors.append(held_out(cameras[k], joints, found[k][: len(moments)])[HALF:])
    known = np.concatenate([error[np.isfinite(error)] for error in errors])
    return {"mean": float(known.mean()), "median": float(np.median(known))}


def table(results: dict) -> str:
    """Markdown."""
    lines = [
        "| corrected with | judged by | held out, mean px: given, corrected | ratio | median px | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        for other, error in row["held_out"].items():
            cells = []
            for kind in ("mean", "median"):
                before, after = error["given"][kind], error["corrected"][kind]
                cells.append(f"{before:.1f}, {after:.1f} | {after / before:.2f}")
            lines.append(f"| {name} | {other} | {' | '.join(cells)} |")
    lines += ["", "| detector | " + " | ".join(NAMES) + " | bones, %: live, refined | jitter, mm: live, refined |"]
    lines.append("|---" * (len(NAMES) + 3) + "|")
    for name, row in results.items():
        moved = [f"{mm:.0f} mm, {turned:.1f}°, {late:+.0f} ms" for mm, turned, late in row["changes"].values()]
        live, refined = row["live"], row["refined"]
        lines.append(
            f"| {name} | {' | '.join(moved)} | {100 * live['bones']:.1f}, {100 * refined['bones']:.1f} | "
            f"{live['jitter_mm']:.1f}, {refined['jitter_mm']:.1f} |"
        )
    return "\n".join(lines)
