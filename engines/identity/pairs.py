"""Whether two sightings of different cameras can be one person: their rays meet, where the lifter puts each of them.

Three things are compared, each in its own standard deviations:

- how far the rays of the joints that both show pass each other (the epipolar distance, in mm at the person);
- how far from each camera they meet, against where the size of a body puts the person there;
- the hypotheses of the two, turned into the world, the two nearest: who faces another way is somebody else.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray
from engines.identity.types import IdentityOptions
from engines.lifter import place_root
from engines.oks import seen_limbs
from engines.skeleton import LIMBS
from engines.types import Detection, Mixture

_LIMBS: Final = np.array(LIMBS)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One sighting, as rays in the world."""

    camera: int
    """Whose it is."""
    sighting: int
    """Its number in ``Seen.people``."""
    centre: Array
    """(3,) mm, of the camera."""
    rays: Array
    """(12, 3) unit vectors to the limb joints, world axes."""
    seen: Bools
    """(12,) which of them are seen."""
    away: float
    """mm from the camera to the pelvis, by the size of the body; NaN where it is not lifted."""
    poses: Array
    """(M, 12, 3) mm, hypotheses relative to their mean joint, world axes; NaN where it is not lifted."""

    @property
    def place(self) -> Array:
        """(3,) mm: where the person stands by this camera alone."""
        middle = self.rays[self.seen].mean(0)
        return self.centre + self.away * middle / np.linalg.norm(middle)


def node(
    camera_index: int, sighting: int, camera: Camera, detection: Detection, mixture: Mixture | None, kernels: int
) -> Node:
    """A sighting in a calibrated camera.

    Args:
        camera_index: number of the camera.
        sighting: number of the sighting.
        camera: with its place in the world.
        detection: 2D joints, pixels.
        mixture: its hypotheses; None where it is not lifted.
        kernels: M.
    """
    local = image_to_ray(camera, detection.xy[_LIMBS])
    rays = local / np.linalg.norm(local, axis=-1, keepdims=True) @ camera.R
    seen = seen_limbs(detection.score) & np.isfinite(rays).all(-1)
    away, poses = np.nan, np.full((kernels, len(_LIMBS), 3), np.nan)
    if mixture is not None:
        mean = np.einsum("m,mjd->jd", mixture.weight, mixture.mean)
        away = float(np.linalg.norm(place_root(mean, detection, camera, 0.15)))
        poses = mixture.mean[:, _LIMBS] @ camera.R
        poses = poses - poses.mean(1, keepdims=True)
    return Node(camera_index, sighting, camera.centre, rays, seen, away, poses)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Of all pairs of N sightings, each in standard deviations; infinite for those of one camera."""

    rays: Array
    """(N, N) how far the rays pass each other."""
    depth: Array
    """(N, N) how far from where the lifter puts them they meet; the first one's camera."""
    pose: Array
    """(N, N) how different their nearest hypotheses are."""

    @property
    def cost(self) -> Array:
        """(N, N) all of it: below 1 is what one person's sightings are like."""
        depth = np.minimum(np.maximum(self.depth, self.depth.T), 5.0)
        return np.sqrt((np.minimum(self.rays, 20.0) ** 2 + depth**2 + self.pose**2) / 3)


def compare(nodes: Sequence[Node], options: IdentityOptions = IdentityOptions()) -> Comparison:
    """Compare all sightings with each other."""
    camera = np.array([one.camera for one in nodes])
    centre, rays = np.stack([one.centre for one in nodes]), np.stack([one.rays for one in nodes])
    seen, away = np.stack([one.seen for one in nodes]), np.array([one.away for one in nodes])
    # Points c + s d and c' + r d' where two lines are nearest; 1 - a^2 is the squared sine of their angle.
    a = np.einsum("ikd,jkd->ijk", rays, rays)
    sine = np.maximum(1 - a**2, 1e-6)
    w = centre[:, None] - centre[None]
    wd, we = np.einsum("ijd,ikd->ijk", w, rays), np.einsum("ijd,jkd->ijk", w, rays)
    s, r = (a * we - wd) / sine, (we - a * wd) / sine
    gap = np.linalg.norm(w[:, :, None] + s[..., None] * rays[:, None] - r[..., None] * rays[None], axis=-1)
    gap = np.where((s > 200) & (r > 200), gap, 1e5)
    both = seen[:, None] & seen[None]
    enough = (both.sum(-1) >= 4) & (camera[:, None] != camera[None])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # numpy warns of pairs that have no joint in common; they are not compared.
        warnings.simplefilter("ignore", RuntimeWarning)
        passed = np.nanmedian(np.where(both, gap, np.nan), -1)
        met = np.nanmedian(np.where(both, s, np.nan), -1)
        flat = np.nanmedian(np.where(both, sine, np.nan), -1)
    rays_cost = np.where(enough, passed / options.gap_mm, np.inf)
    unsure = np.hypot(options.depth * away[:, None], options.gap_mm / np.sqrt(flat))
    depth = np.where(enough, np.abs(met - away[:, None]) / unsure, np.inf)
    poses = np.stack([one.poses for one in nodes])
    n, kernels = poses.shape[:2]
    flat_poses = poses.reshape(n * kernels, -1).astype(np.float32)
    square = (flat_poses**2).sum(-1)
    apart = square[:, None] + square[None] - 2 * flat_poses @ flat_poses.T
    rms = np.sqrt(np.maximum(apart, 0) / len(_LIMBS)).reshape(n, kernels, n, kernels).min((1, 3))
    pose = np.where(enough, rms / options.pose_mm, np.inf)
    return Comparison(rays_cost, np.where(np.isnan(depth), 1.0, depth), np.where(np.isnan(pose), 1.0, pose))
