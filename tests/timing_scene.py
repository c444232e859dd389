"""Recordings of one moving person by several cameras whose clocks are known to differ."""

from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from calibration.geometry.camera import world_to_image
from engines.skeleton import LIMBS, MIRROR
from tests.calibration_scene import look_at


def takes(folder: Path, seconds: float):
    """Takes of at least so many seconds: (title, clips (F, 17, 3) mm at 30 fps of one test subject)."""
    with np.load(folder / "mocap" / "sequences_30fps_test.npz") as data:
        joints, seq, subject = data["joints"].astype(float), data["seq"], data["subject"]
    out, clips, who = [], [], None
    for number in np.unique(seq):
        clip = joints[seq == number]
        mine = subject[seq == number][0]
        if mine != who:
            clips, who = [], mine
        if len(clip) < 30:
            continue
        clips.append(clip - [*clip[0, 0, :2], 0])
        if sum(map(len, clips)) >= 30 * seconds:
            out.append((f"subject {who} sequence {number}", clips))
            clips = []
    return out


def around(rng, n, clips):
    """n cameras about 4.5 m away, two of them 20 to 150 degrees apart, more all around."""
    middle = np.concatenate(clips).mean((0, 1))
    first = rng.uniform(0, 2 * np.pi)
    if n == 2:
        angles = [first, first + rng.choice([-1, 1]) * np.radians(rng.uniform(20, 150))]
    else:
        angles = [first + 2 * np.pi * (k + rng.uniform(-0.15, 0.15)) / n for k in range(n)]
    out = []
    for k, a in enumerate(angles):
        r = 4500 * rng.uniform(0.8, 1.3)
        centre = middle + [r * np.cos(a), r * np.sin(a), rng.uniform(-200, 1500)]
        aim = middle + rng.normal(0, 150, 3)
        out.append(look_at(f"c{k}", centre, aim, roll=rng.normal(0, 0.05)))
    return out


def film(rng, clips, camera, fps, offset, noise=0.01, outliers=0.03, swaps=0.02, missing=0.1):
    """What a camera and a detector make of the clips, half a second apart, with their faults.

    Returns:
        times (F,) to which ``offset`` must be added, xy (F, 12, 2) px of the limb joints, score (F, 12). The noise is
        half of it slow (0.1 s); the missing go for 0.2 to 1 s; a swap exchanges left and right for a frame.
    """
    times, views, scores = [], [], []
    start = 0.0
    for clip in clips:
        length = (len(clip) - 1) / 30
        t = np.arange(rng.uniform(0, 1 / fps), length, 1 / fps)
        xy = world_to_image(camera, CubicSpline(np.arange(len(clip)) / 30, clip)(t))
        size = np.linalg.norm(xy.max(1) - xy.min(1), axis=-1)
        quick, slow = rng.normal(size=(2, *xy.shape))
        keep = np.exp(-10 / fps)
        for i in range(1, len(slow)):
            slow[i] = keep * slow[i - 1] + np.sqrt(1 - keep**2) * slow[i]
        xy += (0.6 * quick + 0.8 * slow) * noise / 2 * size[:, None, None]
        wild = rng.random(xy.shape[:2]) < outliers
        xy[wild] += rng.normal(0, 0.1 * np.median(size), (wild.sum(), 2))
        swapped = rng.random(len(xy)) < swaps
        xy[swapped] = xy[swapped][:, MIRROR]
        score = np.full(xy.shape[:2], 0.8)
        for joint in range(xy.shape[1]):
            for i in np.flatnonzero(rng.random(len(t)) < missing / (0.6 * fps)):
                score[i : i + int(rng.uniform(0.2, 1) * fps), joint] = 0
        times.append(t + start)
        views.append(xy[:, list(LIMBS)])
        scores.append(score[:, list(LIMBS)])
        start += length + 0.5
    return np.concatenate(times) - offset, np.concatenate(views), np.concatenate(scores)
