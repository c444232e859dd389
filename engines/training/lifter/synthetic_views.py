"""People as cameras see them: what every evaluation, and the paper's training, works on.

random     one view a pose: any yaw, pitch -15 to 50 degrees, 2 to 8.5 m, level, aimed at the mean joint
h36m4      every pose stands somewhere on the floor of a laboratory with four cameras like Human3.6M's
sequences  the cameras, and where there are any the 2D detections, of a data set
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray, world_to_camera, world_to_image
from engines.training.data import h36m
from engines.training.data.mocap import Poses
from engines.training.data.sequences import Sequence
from engines.training.lifter import detector_noise, views
from engines.types import EngineError

_FLOOR_MM = 1200.0
_NOMINAL_PX = 1147.0


@dataclass(frozen=True, slots=True, eq=False)
class ObservedPoses:
    """N single views of people, with the truth."""

    rays: Array
    """(N, 17, 2) undistorted x/z and y/z in camera axes; anything where not seen."""
    xy: Array
    """(N, 17, 2) pixels; anything where not seen."""
    seen: Bools
    """(N, 17)"""
    truth: Array
    """(N, 17, 3) mm, root-relative, camera axes."""
    up: Array
    """(N, 3) unit vector against gravity, camera axes; NaN where it is not known."""
    R: Array
    """(N, 3, 3) world to camera."""
    frame_set: NDArray[np.intp]
    """(N,) number of the frame set; the views of one frame set share it."""
    subject: NDArray[np.str_]
    """(N,)"""
    action: NDArray[np.str_]
    """(N,)"""
    scene: NDArray[np.str_]
    """(N,)"""

    def __len__(self) -> int:
        """How many views."""
        return len(self.rays)

    def select(self, keep: NDArray) -> "ObservedPoses":
        """The views where keep (N,) is true, or at these indices."""
        return ObservedPoses(*(getattr(self, f.name)[keep] for f in fields(ObservedPoses)))


def _together(parts: Several[ObservedPoses]) -> ObservedPoses:
    return ObservedPoses(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(ObservedPoses)))


def random_views(
    poses: Poses, noise: float = 0.0, missing: int = 0, seed: int = 0, gravity: bool = True, detector: float = 0.0
) -> ObservedPoses:
    """One random level view a pose; pixels are those of a camera with a focal length of 1147 px.

    Args:
        poses: (N, 17, 3) mm, z up.
        noise: per cent, as ``views.add_noise`` defines it.
        missing: how many of the eight elbows, wrists, knees and ankles are hidden in each pose.
        seed: of views and noise.
        gravity: whether the lifter is told which way is up.
        detector: factor on a real detector's errors, see ``detector_noise``; no joint is missing by it. 0 = none.
    """
    rng, n = np.random.default_rng(seed), len(poses)
    cameras = views.sample_cameras(n, rng)
    rays, local = views.project(poses.joints, cameras)
    seen = views.hide_limbs(n, missing, rng)
    rays = views.add_noise(rays, noise, rng)
    if detector:
        rays = detector_noise.displace(rays, np.full(n, detector), rng)
    up = cameras.R[:, :, 2] if gravity else np.full((n, 3), np.nan)
    return ObservedPoses(rays, rays * _NOMINAL_PX + 499.5, seen, local, up, cameras.R, np.arange(n), poses.subject,
                        poses.action, np.full(n, ""))  # fmt: skip


def place(poses: Poses, rng: np.random.Generator) -> Array:
    """(N, 17, 3) mm: each pose turned any way, its lowest joint on the floor, at a spot within 1.2 m of the middle."""
    n = len(poses)
    yaw, radius, around = rng.uniform(0, 2 * np.pi, n), _FLOOR_MM * rng.random(n) ** 0.5, rng.uniform(0, 2 * np.pi, n)
    c, s, o = np.cos(yaw), np.sin(yaw), np.zeros(n)
    turn = np.stack([np.stack([c, -s, o], -1), np.stack([s, c, o], -1), np.stack([o, o, o + 1], -1)], 1)
    joints = (poses.joints - poses.joints[:, :1]) @ turn.transpose(0, 2, 1)
    spot = np.stack([radius * np.cos(around), radius * np.sin(around), -joints[..., 2].min(1)], -1)
    return joints + spot[:, None]


def laboratory_views(
    poses: Poses, noise: float = 0.0, missing: int = 0, seed: int = 0, gravity: bool = True
) -> ObservedPoses:
    """Four views a pose, see ``place`` and ``h36m.laboratory``; the arguments are those of ``random_views``."""
    rng = np.random.default_rng(seed)
    joints, frame_set = place(poses, rng), np.arange(len(poses))
    parts = [
        _see(camera, joints, None, None, noise, missing, rng, gravity, frame_set, poses.subject, poses.action, "")
        for camera in h36m.laboratory()
    ]
    return _together(parts)


def sequence_views(
    sequences: Several[Sequence],
    noise: float = 0.0,
    missing: int = 0,
    seed: int = 0,
    gravity: bool = True,
    every: int = 1,
) -> ObservedPoses:
    """Every camera of every sequence, every ``every``-th frame; views in which nothing is seen are left out.

    Raises:
        EngineError: if a sequence has no 3D or no cameras, or noise is asked for on top of real detections.
    """
    rng, parts, first = np.random.default_rng(seed), [], 0
    for s in sequences:
        if s.joints is None or not s.cameras:
            raise EngineError(f"{s.subject} {s.name} has no {'cameras' if s.cameras == () else '3D'} to evaluate with")
        if noise and s.xy is not None:
            raise EngineError("--noise is for projected joints; this data set comes with its own 2D")
        joints = s.joints[::every]
        frame_set, n = first + np.arange(len(joints)), len(joints)
        first += n
        for view, camera in enumerate(s.cameras):
            xy = None if s.xy is None else s.xy[view, ::every]
            seen = None if s.seen is None else s.seen[view, ::every]
            labels = np.full(n, s.subject), np.full(n, s.action)
            part = _see(camera, joints, xy, seen, noise, missing, rng, gravity, frame_set, *labels, s.scene)
            parts.append(part.select(np.asarray(part.seen.any(-1))))
    if not parts:
        raise EngineError("there is no sequence to evaluate on")
    return _together(parts)


def _see(
    camera: Camera, joints: Array, xy: Array | None, seen: Bools | None, noise: float, missing: int,
    rng: np.random.Generator, gravity: bool, frame_set: NDArray[np.intp], subject: NDArray, action: NDArray, scene: str,
) -> ObservedPoses:  # fmt: skip
    n = len(joints)
    hidden = views.hide_limbs(n, missing, rng)
    if xy is None or seen is None:
        projected = world_to_image(camera, joints)
        seen = np.asarray(np.isfinite(projected).all(-1))
        xy = views.add_noise(np.nan_to_num(projected), noise, rng, seen)
    local = world_to_camera(camera, joints)
    up = camera.up_in_camera if gravity else None
    return ObservedPoses(
        image_to_ray(camera, xy)[..., :2], xy, seen & hidden, local - local[:, :1],
        np.broadcast_to(np.full(3, np.nan) if up is None else up, (n, 3)), np.broadcast_to(camera.R, (n, 3, 3)),
        frame_set, subject, action, np.full(n, scene),
    )  # fmt: skip
