"""What the cameras say of one frame set, as arrays in one world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray
from engines.skeleton import N_JOINTS, PELVIS
from engines.types import Detection, Mixture


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The V usable views of one frame set; the L of them that were lifted have mixtures."""

    cameras: tuple[Camera, ...]
    """V cameras."""
    detections: tuple[Detection, ...]
    """V detections as they came."""
    xy: Array
    """(V, 17, 2) pixels of the full image, NaN where not seen."""
    ray: Array
    """(V, 17, 2) undistorted ``x / z, y / z`` in camera axes, 0 where not seen."""
    seen: Bools
    """(V, 17) joints that the detector really saw: those it derived from others are left out, and so is the pelvis."""
    score: Array
    """(V, 17) 0..1."""
    lifted: NDArray[np.intp]
    """(L,) which views have a mixture."""
    mean: Array
    """(L, M, 17, 3) mm, root-relative, world axes."""
    sigma: Array
    """(L, M, 17) mm."""
    weight: Array
    """(L, M) mixing coefficients."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the V cameras."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def R(self) -> Array:
        """(V, 3, 3) world to camera."""
        return np.stack([camera.R for camera in self.cameras])

    @property
    def t(self) -> Array:
        """(V, 3) world to camera, mm."""
        return np.stack([camera.t for camera in self.cameras])

    @property
    def size_px(self) -> Array:
        """(V,) diagonal of the box of the seen joints, pixels."""
        low = np.where(self.seen[..., None], self.xy, np.inf).min(1)
        high = np.where(self.seen[..., None], self.xy, -np.inf).max(1)
        return np.linalg.norm(high - low, axis=-1)


def gather(
    detections: Sequence[Detection | None],
    mixtures: Sequence[Mixture | None],
    cameras: Sequence[Camera],
    min_score: float,
    min_joints: int = 2,
) -> Views | None:
    """Collect the usable views: a person of whom at least ``min_joints`` are seen.

    Values that are not finite count as not seen; a mixture that holds one counts as absent.

    Raises:
        ValueError: if there is not one detection and one mixture a camera.
    """
    if not len(detections) == len(mixtures) == len(cameras):
        raise ValueError(f"{len(cameras)} cameras, {len(detections)} detections and {len(mixtures)} mixtures")
    chosen: list[tuple[Camera, Detection, Array, Bools]] = []
    kept: list[Mixture] = []
    lifted: list[int] = []
    for camera, detection, mixture in zip(cameras, detections, mixtures, strict=True):
        if detection is None:
            continue
        with np.errstate(invalid="ignore"):
            seen = (detection.score >= min_score) & (detection.score > 0) & ~detection.derived
        seen &= np.isfinite(detection.xy).all(-1)
        seen[PELVIS] = False
        if seen.sum() < min_joints:
            continue
        if mixture is not None and all(np.isfinite(a).all() for a in (mixture.mean, mixture.sigma, mixture.weight)):
            lifted.append(len(chosen))
            kept.append(mixture)
        chosen.append((camera, detection, np.where(seen[:, None], detection.xy, 0.0), seen))
    if not chosen:
        return None
    seen = np.stack([view[3] for view in chosen])
    ray = np.stack([image_to_ray(camera, xy)[:, :2] for camera, _, xy, _ in chosen])
    seen &= np.isfinite(ray).all(-1)
    ray = np.where(seen[..., None], ray, 0.0)
    empty = np.zeros((0, 1, N_JOINTS))
    return Views(
        tuple(camera for camera, *_ in chosen),
        tuple(detection for _, detection, _, _ in chosen),
        np.where(seen[..., None], np.stack([xy for _, _, xy, _ in chosen]), np.nan),
        ray,
        seen,
        np.where(seen, np.stack([detection.score for _, detection, _, _ in chosen]), 0.0),
        np.array(lifted, np.intp),
        np.stack([m.mean @ chosen[k][0].R for k, m in zip(lifted, kept, strict=True)])
        if kept
        else empty[..., None] + np.zeros(3),
        np.stack([m.sigma for m in kept]).astype(np.float64) if kept else empty,
        np.stack([m.weight for m in kept]).astype(np.float64) if kept else empty[..., 0],
    )
