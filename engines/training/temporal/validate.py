"""How the lifter of several frames does on unbroken motions that one still, level camera sees."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from calibration.arrays import Array
from engines.lifter import MDNLifter
from engines.models.temporal import TemporalMDN
from engines.training import metrics
from engines.training.data.mocap import Poses
from engines.training.lifter import detector_noise, views
from engines.training.temporal import motions

_LEAST: Final = 30
"""Frames of a motion that is worth looking at."""
KINDS: Final = {"2": (2.0, 0.0), "detector": (0.0, 1.0)}
"""Per cent of Gaussian noise, and factor on a detector's errors."""


def unbroken(poses: Poses, least: int = _LEAST) -> Iterator[Array]:
    """(F, 17, 3) mm of every motion of at least so many frames, by name."""
    names = np.char.add(np.char.add(poses.subject, " "), poses.sequence)
    for name in np.unique(names):
        if (chosen := names == name).sum() >= least:
            yield poses.joints[chosen]


def before_a_camera(joints: Array, rng: np.random.Generator) -> tuple[Array, Array, float]:
    """One still, level camera that sees a whole motion.

    Args:
        joints: (F, 17, 3) mm, z up.
        rng: where the camera stands.

    Returns:
        The motion (F, 17, 3) mm in the camera's axes, the rotation (3, 3) of these, and the camera's distance, mm.
    """
    one = views.sample_cameras(1, rng, views.CameraSampling(pitch=(-5.0, 25.0)))
    path = joints.mean(1)
    middle = (path.min(0) + path.max(0)) / 2
    # Far enough that nobody walks into the camera.
    distance = rng.uniform(3000, 6000) + np.linalg.norm(path - middle, axis=-1).max()
    return (joints - middle) @ one.R[0].T + [0, 0, distance], one.R[0], distance


def still_view(
    joints: Array, rng: np.random.Generator, noise: float, detector: float = 0.0, coco: bool = False,
    rate: float = motions.FPS,
) -> motions.Motions:  # fmt: skip
    """One still, level camera that sees a whole motion, gravity known.

    Args:
        joints: (F, 17, 3) mm, z up.
        rng: where the camera stands, and the errors.
        noise: per cent of the 2D joints, each frame's by itself.
        detector: factor on a detector's errors, each frame's by itself.
        coco: without spine, neck and head.
        rate: frames a second of the motion.
    """
    local, R, distance = before_a_camera(joints, rng)
    xy = views.add_noise(local[..., :2] / local[..., 2:], noise, rng)
    if detector:
        xy = detector_noise.displace(xy, np.full(len(xy), detector), rng)
    n = len(joints)
    seen = np.ones((1, n, 17), bool)
    if coco:
        seen[:, :, [7, 9, 10]] = False
    eye = motions.Seen(xy[None], (local - local[:, :1])[None], np.repeat(R[None], n, 0)[None], R[None, :, 2],
                       np.ones(1, bool), np.array([distance]))  # fmt: skip
    return motions.assemble(xy[None], seen, eye, np.arange(n)[None] / rate)


def jitter(answer: Array, truth: Array) -> float:
    """Mean acceleration error (VIBE, Kocabas et al. 2020): second differences, mm per frame squared."""
    return float(np.linalg.norm(np.diff(answer, 2, axis=0) - np.diff(truth, 2, axis=0), axis=-1).mean())


def with_root(joints: Array) -> Array:
    """(..., 16, 3) joints with the root before them."""
    return np.concatenate([np.zeros_like(joints[..., :1, :]), joints], -2)


@torch.inference_mode()
def answer(network: TemporalMDN, lifter: MDNLifter, seen: motions.Motions) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, sigma and log_weight, see ``TemporalMDN.forward``, of all frames of the one motion that was seen."""
    given = (seen.inputs[0], *lifter.outputs(seen.inputs[0]), seen.R_virtual_to_camera[0], seen.t[0])
    mean, sigma, log_weight = network(*(torch.from_numpy(np.ascontiguousarray(part))[None] for part in given))
    return mean[0], sigma[0], log_weight[0]


def validate(network: TemporalMDN, lifter: MDNLifter, poses: Poses, seed: int = 1) -> dict[str, float]:
    """Errors in mm and jitter in mm a frame squared, with either kind of errors in the 2D."""
    row: dict[str, float] = {}
    for kind, (noise, detector) in KINDS.items():
        rng = np.random.default_rng(seed)
        found: dict[str, list[float]] = {"best": [], "probable": [], "mean": [], "jitter": [], "p_jitter": []}
        frames = []
        for joints in unbroken(poses):
            seen = still_view(joints, rng, noise, detector)
            mean, _, log_weight = (part.numpy() for part in answer(network, lifter, seen))
            world = seen.R_virtual_to_world[0]
            mean = with_root(lifter.decoding.scale_mm * mean @ np.swapaxes(world, -1, -2)[:, None])
            truth = with_root(seen.targets[0] @ np.swapaxes(world, -1, -2))
            probable, middle = metrics.answers(mean, np.exp(log_weight))
            found["best"].append(float(metrics.mpjpe(mean, truth[:, None]).min(-1).mean()))
            found["probable"].append(float(metrics.mpjpe(probable, truth).mean()))
            found["mean"].append(float(metrics.mpjpe(middle, truth).mean()))
            found["jitter"].append(jitter(middle, truth))
            found["p_jitter"].append(jitter(probable, truth))
            frames.append(len(joints))
        row |= {f"{name}@{kind}": float(np.average(values, weights=frames)) for name, values in found.items()}
    return row
