"""What one camera's error on the four-camera demo is made of: ``python -m benchmarks.accuracy_parts``.

Each row takes one kind of error away, as only somebody who knows the reference can, and says what is left: the MPJPE of
``benchmarks.accuracy`` (kept MoveNet Thunder joints, mixture's mean, against the fused pose). So a row is the most
that knowing this would be worth: a person's size or bones, where a detector puts each joint, how the calibration
leans.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.accuracy import compare, lift, load_kept
from benchmarks.fusion_demo import NAMES, cameras_of
from benchmarks.table import table, write_json
from calibration.arrays import Array
from calibration.errors import UserError
from calibration.geometry.camera import world_to_image
from engines import skeleton as sk
from engines.argument_types import Parser
from engines.lifter import MDNLifter
from stream.app import demo

Change = Callable[[Array, Array], Array]
"""An answer and its reference, (T, 17, 3) mm, camera axes, relative to the middle of the hips, to a better answer."""


def size(answer: Array, truth: Array) -> Array:
    """One factor for the whole take."""
    return answer * (answer * truth).sum() / (answer * answer).sum()


def bones(answer: Array, truth: Array) -> Array:
    """Every bone as long as the person's is in the median: what following them over a take could tell."""
    own, known = (pose - pose[:, np.maximum(sk.PARENTS, 0)] for pose in (answer, truth))
    length = np.median(np.linalg.norm(known, axis=-1), 0)
    own = own / np.maximum(np.linalg.norm(own, axis=-1, keepdims=True), 1e-6) * length[:, None]
    joints = np.zeros_like(answer)
    for parent, joint in sk.EDGES:
        joints[:, joint] = joints[:, parent] + own[:, joint]
    return hip_centred(joints)


def definition(answer: Array, truth: Array) -> Array:
    """Every joint shifted by its own constant in the axes of the body: where a detector marks it."""
    frame = body_axes(answer)
    away = np.einsum("tji,tkj->tki", frame, truth - answer).mean(0)
    return hip_centred(answer + np.einsum("tij,kj->tki", frame, away))


def turned(answer: Array, truth: Array) -> Array:
    """All answers turned alike: a calibration that is wrong about up, or about where a camera looks."""
    return answer @ _rotation(answer.reshape(-1, 3), truth.reshape(-1, 3)).T


def turned_each(answer: Array, truth: Array) -> Array:
    """Every answer turned as suits it best: a lean or a turn of the whole body."""
    return np.stack([a @ _rotation(a, b).T for a, b in zip(answer, truth, strict=True)])


def depth(answer: Array, truth: Array) -> Array:
    """No error along the camera's axis."""
    return np.concatenate([answer[..., :2], truth[..., 2:]], -1)


def across(answer: Array, truth: Array) -> Array:
    """No error across the camera's axis."""
    return np.concatenate([truth[..., :2], answer[..., 2:]], -1)


def constant(answer: Array, truth: Array) -> Array:
    """No error that stays the whole take, in the axes of the camera: what is left changes over time."""
    return answer + (truth - answer).mean(0)


ROWS: Final[dict[str, Change]] = {
    "as it is": lambda answer, truth: answer,
    "one factor on the size": size,
    "the person's own bone lengths": bones,
    "a constant shift of each joint in the body's axes": definition,
    "one turn for the whole take": turned,
    "the best turn of each frame": turned_each,
    "a constant shift of each joint in the camera's axes": constant,
    "depth known": depth,
    "all but depth known": across,
}  # fmt: skip


def hip_centred(joints: Array) -> Array:
    """Relative to the middle of the hips."""
    return joints - (joints[:, [sk.R_HIP]] + joints[:, [sk.L_HIP]]) / 2


def body_axes(joints: Array) -> Array:
    """(T, 3, 3) columns: the body's left, front and up, of poses (T, 17, 3)."""
    up = joints[:, sk.THORAX] - joints[:, sk.PELVIS]
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    left = joints[:, sk.L_HIP] - joints[:, sk.R_HIP]
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    return np.stack([left, np.cross(up, left), up], -1)


def _rotation(a: Array, b: Array) -> Array:
    """(3, 3) the rotation that carries points a (N, 3) best to b (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd(b.T @ a)
    U[:, -1] *= np.linalg.det(U @ Vt)
    return U @ Vt


def run(exact: bool = False) -> dict[str, list[float]]:
    """MPJPE in mm of the four views, by row; ``exact``: of the reference's own projections instead of a detector's."""
    kept = load_kept()
    cameras = cameras_of(demo.fetch(demo.MULTI), kept.sizes)
    reference, xy, score = kept.references["fused"], kept.xy, kept.score
    if exact:
        xy = np.stack([world_to_image(camera, np.nan_to_num(reference)) for camera in cameras])
        score = np.ones(xy.shape[:-1])
    known = np.isfinite(reference).all((1, 2))
    answers = [hip_centred(one[known]) for one in lift(MDNLifter(), cameras, xy[:, known], score[:, known])]
    truths = [hip_centred(reference[known]) @ camera.R.T for camera in cameras]
    found = {}
    for name, change in ROWS.items():
        better = [change(a, b) for a, b in zip(answers, truths, strict=True)]
        found[name] = [error for error, _ in compare(better, cameras, reference[known])]
    world = np.mean([a @ camera.R for a, camera in zip(answers, cameras, strict=True)], 0)
    found["the mean of the four views' answers"] = [
        error for error, _ in compare([world @ camera.R.T for camera in cameras], cameras, reference[known])
    ]
    return found


def markdown(columns: Sequence[dict[str, list[float]]]) -> str:
    """Views of the first, and the means of all."""
    rows = [
        [name, *(f"{error:.0f}" for error in views), *(f"{np.mean(one[name]):.1f}" for one in columns)]
        for name, views in columns[0].items()
    ]
    return table(["", *NAMES, "mean", "mean, exact 2D"], rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        found = [run(), run(exact=True)]
        print(markdown(found))
        if args.json:
            write_json(args.json, dict(zip(("detected", "exact"), found, strict=True)))
    except (UserError, OSError) as error:
        print(f"benchmarks.accuracy_parts: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
