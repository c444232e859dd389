"""A camera's 3D answer, ours and MediaPipe's, against what four cameras say: ``python -m benchmarks.peers --accuracy``.

The four-camera demo; nobody knows the truth there. What stands for it: the fused pose (``map``) of MoveNet Thunder's
joints, and their plain robust triangulation, both kept in ``results/four_cameras.npz`` since before this version's
lifter was trained, so that the yardstick does not move with what is measured; and triangulation of what MediaPipe's
full model sees, which is a yardstick of its own. Each of them is of four calibrated cameras, and each answer is of one.

Theirs: the world landmarks of MediaPipe's video mode, metres, axes of the camera, taken as they come. Ours: the
mixture's mean. Limb joints, relative to the middle of the hips; MPJPE, and P-MPJPE after alignment, which forgives
orientation and size.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.fusion_demo import MIN_SCORE, NAMES, cameras_of
from benchmarks.table import table
from calibration import writing
from calibration.arrays import Array
from calibration.geometry.camera import Camera
from calibration.geometry.triangulation import triangulate_robust
from engines import cards, detectors
from engines.lifter import MDNLifter, lifter_input
from engines.skeleton import BLAZEPOSE, L_HIP, LIMBS, R_HIP, derive
from engines.temporal import SHIPPED_TEMPORAL, Sight, TemporalLifter, made_for
from engines.training import metrics
from engines.types import Detection, EngineError
from stream.app import demo
from stream.config import SourceConfig
from stream.sources import make_source

KEPT: Final = Path(__file__).with_name("results") / "four_cameras.npz"
PEERS: Final = {"MediaPipe lite": "pose_landmarker_lite.task", "MediaPipe full": "pose_landmarker_full.task"}
FPS: Final = 60.0
OVER_TIME: Final = ", with the frames before"
_SOURCE = np.array(BLAZEPOSE.source)
_BLUE, _ORANGE, _GREY = "#2864a0", "#c8501e", "#8c8c8c"


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What was kept of the demo: T frame sets, four views."""

    sizes: list[tuple[int, int]]
    """Of the videos."""
    xy: Array
    """(4, T, 17, 2) MoveNet Thunder's joints, px."""
    score: Array
    """(4, T, 17)"""
    references: Mapping[str, Array]
    """(T, 17, 3) mm, world: the fused pose, and triangulation."""


def load_kept(path: Path = KEPT) -> Kept:
    """Read what was kept.

    Raises:
        EngineError: if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            references = {"fused": data["map"], "triangulated, Thunder": data["triangulate"]}
            sizes = [(int(w), int(h)) for w, h in data["sizes"]]
            return Kept(sizes, data["xy"].astype(float), data["score"].astype(float), references)
    except (OSError, KeyError, ValueError) as error:
        raise EngineError(f"{path} cannot be read ({error}): get it again with the source code") from error


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What MediaPipe answers for one video of T frames; NaN where it sees nobody."""

    world: Array
    """(T, 17, 3) mm."""
    xy: Array
    """(T, 17, 2) px."""


def watch_mediapipe(video: Path, camera: str, model: str) -> Landmarks:
    """MediaPipe's own loop on one video, in video mode."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(cards.WEIGHTS / model)), running_mode=vision.RunningMode.VIDEO
    )
    world, pixels = [], []
    source = make_source(SourceConfig(str(video), camera))
    with vision.PoseLandmarker.create_from_options(options) as landmarker, closing(source):
        source.open()
        while (frame := source.read()) is not None:
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image[..., ::-1]))
            found = landmarker.detect_for_video(image, round(len(world) / FPS * 1000))
            size = frame.image.shape[1::-1]
            world.append(_joints(found.pose_world_landmarks, ("x", "y", "z")) * 1000)
            pixels.append(_joints(found.pose_landmarks, ("x", "y")) * size)
    return Landmarks(np.stack(world), np.stack(pixels))


def _joints(people: Sequence[Sequence[Any]], axes: Sequence[str]) -> Array:
    out = np.full((17, len(axes)), np.nan)
    if people:
        points = np.array([[getattr(p, axis) for axis in axes] for p in people[0]])
        out[_SOURCE >= 0] = points[_SOURCE[_SOURCE >= 0]]
    return out


def watch_ours(videos: Sequence[Path], name: str) -> tuple[Array, Array]:
    """(4, T, 17, 2) px and (4, T, 17) scores of one of our detectors."""
    detector, views = detectors.load(name), []
    for camera, video in zip(NAMES, videos, strict=True):
        session, source = detector.session(), make_source(SourceConfig(str(video), camera))
        with closing(source):
            source.open()
            found = []
            while (frame := source.read()) is not None:
                found.append(session(frame.image, frame.t))
        views.append(found)
    count = min(map(len, views))
    xy, score = (np.array([[getattr(d, part) for d in view[:count]] for view in views]) for part in ("xy", "score"))
    return xy, score


def lift(
    lifter: MDNLifter, cameras: Sequence[Camera], xy: Array, score: Array, temporal: TemporalLifter | None = None
) -> list[Array]:
    """(T, 17, 3) mm of every view: the mixture's mean, axes of the camera, relative to the root.

    With ``temporal`` that of each frame with those before.
    """
    answers = []
    for camera, points, sure in zip(cameras, xy, score, strict=True):
        found = [Detection(*derive(p, s), "kept") for p, s in zip(points, sure, strict=True)]
        given = [lifter_input(one, camera, MIN_SCORE) for one in found]
        mixtures = lifter(given)
        if temporal is not None:
            past = temporal.past()
            mixtures = [
                temporal([Sight(past, k / FPS, x, said)])[0]
                for k, (x, said) in enumerate(zip(given, mixtures, strict=True))
            ]
        mean, weight = np.stack([m.mean for m in mixtures]), np.stack([m.weight for m in mixtures])
        answers.append(metrics.answers(mean, weight)[1])
    return answers


def compare(answers: Sequence[Array], cameras: Sequence[Camera], reference: Array) -> list[tuple[float, float]]:
    """MPJPE and P-MPJPE in mm of every view, over the frames in which both are there."""
    out, limbs = [], list(LIMBS)
    rooted = reference - (reference[:, [R_HIP]] + reference[:, [L_HIP]]) / 2
    for answer, camera in zip(answers, cameras, strict=True):
        n = min(len(answer), len(rooted))
        own = answer[:n] - (answer[:n, [R_HIP]] + answer[:n, [L_HIP]]) / 2
        own, truth = own[:, limbs], rooted[:n, limbs] @ camera.R.T
        both = np.isfinite(own).all((-1, -2)) & np.isfinite(truth).all((-1, -2))
        out.append(
            (float(metrics.mpjpe(own, truth)[both].mean()), float(metrics.p_mpjpe(own[both], truth[both]).mean()))
        )
    return out


def run(weights: Path | None = None) -> dict[str, Any]:
    """Everything: ``{"mpjpe": {reference: {who: [four views]}}, "p_mpjpe": ..., "frames": T}``, mm."""
    kept, folder = load_kept(), demo.fetch(demo.MULTI)
    cameras = cameras_of(folder, kept.sizes)
    videos = [folder / "videos" / f"{name}.mp4" for name in NAMES]
    theirs = {
        who: [watch_mediapipe(video, camera, model) for video, camera in zip(videos, NAMES, strict=True)]
        for who, model in PEERS.items()
    }
    answers = {who: [view.world for view in views] for who, views in theirs.items()}
    lifter = MDNLifter(weights)
    temporal = TemporalLifter(lifter) if made_for(SHIPPED_TEMPORAL, lifter) else None
    seen = {"MoveNet Thunder (kept joints)": (kept.xy, kept.score)}
    seen |= {name: watch_ours(videos, name) for name in ("hourglass", "movenet-lightning")}
    for name, joints in seen.items():
        answers[f"ours, {name}"] = lift(lifter, cameras, *joints)
        if temporal is not None:
            answers[f"ours, {name}{OVER_TIME}"] = lift(lifter, cameras, *joints, temporal)
    full = [view.xy for view in theirs["MediaPipe full"]]
    count = min(map(len, full))
    own = triangulate_robust(cameras, np.stack([xy[:count] for xy in full])).points
    references = {**kept.references, "triangulated, MediaPipe full": own}
    found = {
        name: {who: compare(a, cameras, points) for who, a in answers.items()} for name, points in references.items()
    }
    return {
        "frames": len(kept.xy[0]),
        **{
            key: {name: {who: [view[k] for view in views] for who, views in row.items()} for name, row in found.items()}
            for k, key in enumerate(("mpjpe", "p_mpjpe"))
        },
    }


def markdown(results: Mapping[str, Any]) -> str:
    """The figures as Markdown tables, one a reference."""
    lines = [f"{results['frames']} frames, mm: MPJPE (P-MPJPE) of the limb joints of one camera's answer.", ""]
    for name, row in results["mpjpe"].items():
        rows = []
        for who, views in row.items():
            aligned = results["p_mpjpe"][name][who]
            cells = [f"{a:.0f} ({b:.0f})" for a, b in zip(views, aligned, strict=True)]
            rows.append([who, *cells, f"{np.mean(views):.1f} ({np.mean(aligned):.1f})"])
        lines += [f"Against: {name}", "", table(["", *NAMES, "mean"], rows), ""]
    return "\n".join(lines).rstrip()


def plot(path: Path, results: Mapping[str, Any]) -> None:
    """A picture: bars by view, against the fused pose.

    Raises:
        OSError: if it cannot be written.
        EngineError: if the ending is not that of a picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.2), layout="constrained")
    peers, ours = iter(("#e0a080", _ORANGE)), iter((_BLUE, "#5c94c8", "#9cbcdc"))
    timely = iter(("#1f6b3a", "#58a877", "#a3d1b4"))
    whose = list(results["mpjpe"]["fused"])
    colours = {
        who: next(peers if not who.startswith("ours") else timely if who.endswith(OVER_TIME) else ours) for who in whose
    }
    panels = figure.subplots(1, 2)
    for axes, key, title in zip(
        panels, ("mpjpe", "p_mpjpe"), ("MPJPE", "P-MPJPE: orientation and size forgiven"), strict=True
    ):
        places, width = np.arange(len(NAMES) + 1), 0.8 / len(whose)
        for k, (who, views) in enumerate(results[key]["fused"].items()):
            at = places + (k - (len(whose) - 1) / 2) * width
            axes.bar(at, [*views, np.mean(views)], width, color=colours[who], label=who)
        axes.set_xticks(places, [*NAMES, "mean"])
        axes.set(title=title, ylabel="mm")
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(len(NAMES) - 0.5, color=_GREY, lw=0.6)
    figure.legend(
        *panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8
    )
    figure.suptitle("One camera's answer against the fused pose of four, four-camera demo", fontsize=11)
    try:
        with writing.aside(path) as part:
            figure.savefig(part, dpi=110)
    except ValueError as error:
        raise EngineError(f"cannot plot to {path} ({error}); give it a name that ends in .png") from error
