"""Virtual cameras around captured poses: what a detector would see of them, and what the lifter should answer."""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry import virtual
from engines import skeleton as sk


@dataclass(frozen=True, slots=True)
class CameraSampling:
    """How cameras are drawn. Angles in degrees, distances in mm."""

    pitch: tuple[float, float] = (-15.0, 50.0)
    """Looking down is positive."""
    distance: tuple[float, float] = (2000.0, 8500.0)
    """From the camera to the mean joint."""
    roll: float = 0.0
    """Standard deviation."""
    gravity: float = 1.0
    """Share of the cameras whose gravity is known."""


TRAINING_CAMERAS = CameraSampling(roll=5.0, gravity=0.6)
LEVEL_CAMERAS = CameraSampling()
LEAST_LIMBS = 6
"""Limb joints that are seen of everybody who is lifted."""


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """One camera a pose, aimed at the mean joint."""

    R: Array
    """(N, 3, 3) world to camera."""
    distance: Array
    """(N,) mm from the camera to the mean joint."""
    gravity: Bools
    """(N,) whether gravity is known."""


def sample_cameras(n: int, rng: np.random.Generator, sampling: CameraSampling = LEVEL_CAMERAS) -> Cameras:
    """Draw n cameras: any yaw, the rest uniform as ``sampling`` says."""
    yaw = rng.uniform(0, 2 * np.pi, n)
    pitch = np.radians(rng.uniform(*sampling.pitch, n))
    roll = np.radians(rng.normal(0, sampling.roll, n)) if sampling.roll else np.zeros(n)
    distance = rng.uniform(*sampling.distance, n)
    forward = np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)], -1)
    right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros(n)], -1)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    R = np.stack([c * right + s * down, c * down - s * right, forward], 1)
    return Cameras(R, distance, rng.random(n) < sampling.gravity)


def project(joints: Array, cameras: Cameras) -> tuple[Array, Array]:
    """See world poses (N, 17, 3) mm, z up.

    Returns:
        Rays (N, 17, 2) x/z, y/z, and root-relative joints in camera axes (N, 17, 3) mm.
    """
    centred = joints - joints.mean(1, keepdims=True)
    local = np.einsum("nij,nkj->nki", cameras.R, centred)
    z = np.maximum(local[..., 2] + cameras.distance[:, None], 300.0)
    return local[..., :2] / z[..., None], local - local[:, :1]


def box_diagonal(xy: Array, seen: Bools | None = None) -> Array:
    """(N,) diagonal of the tight box of (N, 17, 2) joints, of those that are seen (N, 17); 0 where none is."""
    if seen is None:
        return np.linalg.norm(xy.max(1) - xy.min(1), axis=-1)
    high = np.where(seen[..., None], xy, -np.inf).max(1)
    low = np.where(seen[..., None], xy, np.inf).min(1)
    return np.where(seen.any(1), np.linalg.norm(high - low, axis=-1), 0.0)


def add_noise(xy: Array, percent: Array | float, rng: np.random.Generator, seen: Bools | None = None) -> Array:
    """Isotropic Gaussian noise of standard deviation ``percent / 200`` of the box diagonal, an axis.

    Args:
        xy: (N, 17, 2) joints.
        percent: one for all or (N,).
        rng: source of randomness.
        seen: (N, 17) the joints that the box is drawn around; None for all.
    """
    deviation = box_diagonal(xy, seen) * percent / 200
    return xy + rng.normal(size=xy.shape) * deviation[:, None, None]


def detector_faults(
    xy: Array, rng: np.random.Generator, outliers: float = 0.01, swaps: float = 0.005, far_off: float = 0.08
) -> Array:
    """What detectors get wrong beyond noise: single joints far off, and legs or arms taken left for right.

    Args:
        xy: (N, 17, 2) joints.
        rng: source of randomness.
        outliers: share of the joints that are displaced by a Gaussian.
        swaps: share of the poses whose legs are swapped, and of those whose arms are.
        far_off: standard deviation of the displacement in box diagonals, an axis.
    """
    far = (rng.random(xy.shape[:2]) < outliers)[..., None]
    out = np.where(far, xy + rng.normal(size=xy.shape) * box_diagonal(xy)[:, None, None] * far_off, xy)
    legs, arms = [1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16]
    for joints in (legs, arms):
        swapped = np.flatnonzero(rng.random(len(xy)) < swaps)
        out[swapped[:, None], joints] = out[swapped[:, None], sk.MIRROR[joints]]
    return out


def sample_seen(n: int, rng: np.random.Generator) -> Bools:
    """(n, 17) visible bits as they occur: all joints, those a COCO detector has, and some of them hidden."""
    seen = np.ones((n, 17), bool)
    coco = rng.random(n) < 0.6
    seen[np.flatnonzero(coco)[:, None], [sk.SPINE, sk.NECK, sk.HEAD]] = False
    kind = rng.random(n)
    some = kind < 0.25
    hidden = rng.random((n, 17)) < rng.uniform(0.03, 0.3, (n, 1))
    seen &= ~(hidden & some[:, None])
    no_feet, no_legs = (kind > 0.25) & (kind < 0.29), (kind > 0.29) & (kind < 0.32)
    seen[np.flatnonzero(no_feet)[:, None], [sk.R_ANKLE, sk.L_ANKLE]] = False
    seen[np.flatnonzero(no_legs)[:, None], [sk.R_ANKLE, sk.L_ANKLE, sk.R_KNEE, sk.L_KNEE]] = False
    too_few = seen[:, sk.LIMBS].sum(1) < LEAST_LIMBS
    seen[too_few] = True
    return seen


def derive(xy: Array, seen: Bools) -> tuple[Array, Bools]:
    """Pelvis and thorax from hips and shoulders, as live: the network is never told two definitions."""
    xy, score, _ = sk.derive(xy, seen.astype(np.float32))
    return xy, score > 0


def look(xy: Array, seen: Bools, cameras: Cameras) -> virtual.VirtualView:
    """Carry rays (N, 17, 2) to each person's virtual camera; pitch is NaN where gravity is unknown."""
    rays = np.concatenate([xy, np.ones((*xy.shape[:2], 1))], -1)
    image_up = np.array([0.0, -1.0, 0.0])
    up = np.where(cameras.gravity[:, None], cameras.R[:, :, 2], image_up)
    view = virtual.look(rays, seen, up)
    return view._replace(pitch=np.where(cameras.gravity, view.pitch, np.nan))


def hide_limbs(n: int, missing: int, rng: np.random.Generator) -> Bools:
    """(n, 17) visible bits with ``missing`` of the eight elbows, wrists, knees and ankles hidden in each pose."""
    ends = np.array([sk.R_KNEE, sk.R_ANKLE, sk.L_KNEE, sk.L_ANKLE, sk.L_ELBOW, sk.L_WRIST, sk.R_ELBOW, sk.R_WRIST])
    seen = np.ones((n, 17), bool)
    chosen = ends[rng.random((n, len(ends))).argsort(1)[:, :missing]]
    np.put_along_axis(seen, chosen, False, 1)
    return seen


def hide(n: int, missing: int, rng: np.random.Generator) -> Bools:
    """(n, 17) visible bits for training: ``sample_seen`` for -1, else ``hide_limbs``."""
    return sample_seen(n, rng) if missing < 0 else hide_limbs(n, missing, rng)
