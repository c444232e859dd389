"""What the cameras say of one frame set, as arrays in one world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, image_to_ray, ray_stretch
from engines.fusion.options import FusionOptions
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
    noise: Array
    """(V, 17, 2, 2) covariance of the pixels, where a good joint's variance is 1; see ``relative_noise``."""
    trust: Array
    """(V, 17) weight of each joint: its score, or by its covariance what a score would be worth; 0 where not seen."""
    lifted: NDArray[np.intp]
    """(L,) which views have a mixture."""
    mean: Array
    """(L, M, 17, 3) mm, root-relative, world axes."""
    sigma: Array
    """(L, M, 17) mm."""
    weight: Array
    """(L, M) mixing coefficients."""

    def select(self, which: Sequence[int]) -> "Views":
        """Some of the views, in this order."""
        views, rows = list(which), [int(np.flatnonzero(self.lifted == k)[0]) for k in which if k in self.lifted]
        return Views(
            tuple(self.cameras[k] for k in which),
            tuple(self.detections[k] for k in which),
            self.xy[views], self.ray[views], self.seen[views], self.score[views], self.noise[views], self.trust[views],
            np.array([number for number, k in enumerate(which) if k in self.lifted], np.intp),
            self.mean[rows], self.sigma[rows], self.weight[rows],
        )  # fmt: skip

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
    options: FusionOptions = FusionOptions(),
) -> Views | None:
    """Collect the usable views: a person of whom at least ``options.min_joints`` are seen.

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
        if seen.sum() < options.min_joints:
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
    score = np.where(seen, np.stack([detection.score for _, detection, _, _ in chosen]), 0.0)
    noise = relative_noise([detection for _, detection, _, _ in chosen], seen, score, options)
    trust = seen * 2 * options.good_score / np.trace(noise, axis1=-2, axis2=-1)
    for k, (camera, *_) in enumerate(chosen):
        if camera.fisheye:  # towards its rim a pixel is a longer and longer piece of the ray's plane
            stretch = ray_stretch(camera, ray[k])
            noise[k] = stretch @ noise[k] @ stretch.swapaxes(-1, -2)
    empty = np.zeros((0, 1, N_JOINTS))
    return Views(
        tuple(camera for camera, *_ in chosen),
        tuple(detection for _, detection, _, _ in chosen),
        np.where(seen[..., None], np.stack([xy for _, _, xy, _ in chosen]), np.nan),
        ray,
        seen,
        score,
        noise,
        trust,
        np.array(lifted, np.intp),
        np.stack([m.mean @ chosen[k][0].R for k, m in zip(lifted, kept, strict=True)])
        if kept
        else empty[..., None] + np.zeros(3),
        np.stack([m.sigma for m in kept]).astype(np.float64) if kept else empty,
        np.stack([m.weight for m in kept]).astype(np.float64) if kept else empty[..., 0],
    )


def relative_noise(
    detections: Sequence[Detection], seen: Bools, score: Array, options: FusionOptions = FusionOptions()
) -> Array:
    """What each joint's error is against the others', from their covariances; from their scores where one has none.

    Only ratios count: how far off a good joint is differs from picture to picture more than detectors know.

    Args:
        detections: V of them.
        seen: (V, 17) joints that are used.
        score: (V, 17) 0..1.
        options: ``good_score``, ``cov_most`` and ``cov_trust``.

    Returns:
        (V, 17, 2, 2); the median of the variances of what is seen is 1.
    """
    by_score = (options.good_score / np.clip(score, 0.05, 1))[..., None, None] * np.eye(2)
    known = [detection.cov is not None for detection in detections]
    if not any(known):
        return by_score
    cov = np.stack(
        [by_score[k] if d.cov is None else _in_sizes(d.cov, d.xy, seen[k]) for k, d in enumerate(detections)]
    )
    cov = (cov + cov.swapaxes(-1, -2)) / 2  # else one that is not symmetric would pass as positive definite
    usable = seen & np.array(known)[:, None] & np.isfinite(cov).all((-1, -2))
    cov = np.where(usable[..., None, None], cov, np.eye(2))
    usable &= (np.linalg.det(cov) > 0) & (cov[..., 0, 0] > 0)
    if not usable.any():
        return by_score
    variance = np.sqrt(np.linalg.det(cov[usable]))
    ratio = np.clip(variance / np.median(variance), 1 / options.cov_most, options.cov_most) ** options.cov_trust
    out = by_score
    out[usable] = cov[usable] * (ratio / variance)[:, None, None]
    return out


def _in_sizes(cov: Array, xy: Array, seen: Bools) -> Array:
    """Covariances (17, 2, 2) px2 by the size of the person, so that near and far cameras compare."""
    size = np.ptp(xy[seen], axis=0)
    return np.asarray(cov, np.float64) / max(float(size @ size), 1.0)
