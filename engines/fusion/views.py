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


def medians(values: Array, known: Bools) -> Array:
    """(V,) median of the known of each row of (V, N); NaN where none is known, or one of them is NaN."""
    count = known.sum(-1)
    ordered = np.sort(np.where(known, values, np.inf), -1)  # the others are behind the known, NaN behind all
    rows = np.arange(len(ordered))
    low, high = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, count // 2]
    with np.errstate(invalid="ignore"):
        middle = (low + high) / 2
    return np.where((count > 0) & ~(np.isnan(values) & known).any(-1), middle, np.nan)


def gather(
    detections: Sequence[Detection | None],
    mixtures: Sequence[Mixture | None],
    cameras: Sequence[Camera],
    min_score: float,
    options: FusionOptions = FusionOptions(),
    rays: Sequence[Array | None] | None = None,
) -> Views | None:
    """Collect the usable views: a person of whom at least ``options.min_joints`` are seen.

    Values that are not finite count as not seen; a mixture that holds one counts as absent. ``rays`` are those (17, 3)
    of the detections, where somebody has them.

    Raises:
        ValueError: if there is not one detection and one mixture a camera.
    """
    if not len(detections) == len(mixtures) == len(cameras):
        raise ValueError(f"{len(cameras)} cameras, {len(detections)} detections and {len(mixtures)} mixtures")
    there = [k for k, detection in enumerate(detections) if detection is not None]
    if not there:
        return None
    some = [one for one in detections if one is not None]
    xy, score = np.stack([one.xy for one in some]), np.stack([one.score for one in some])
    with np.errstate(invalid="ignore"):
        seen = (score >= min_score) & (score > 0) & ~np.stack([one.derived for one in some])
    seen &= np.isfinite(xy).all(-1)
    seen[:, PELVIS] = False
    rows = np.flatnonzero(seen.sum(-1) >= options.min_joints)
    if not len(rows):
        return None
    xy, score, seen, which = xy[rows], score[rows], seen[rows], [there[row] for row in rows]
    chosen = [(cameras[k], some[row]) for k, row in zip(which, rows, strict=True)]
    with_mixture = [(n, mixture) for n, k in enumerate(which) if (mixture := mixtures[k]) is not None]
    sound = _finite([mixture for _, mixture in with_mixture])
    lifted = [n for (n, _), good in zip(with_mixture, sound, strict=True) if good]
    kept = [mixture for (_, mixture), good in zip(with_mixture, sound, strict=True) if good]
    known = [None] * len(detections) if rays is None else rays
    ray = np.stack([
        image_to_ray(cameras[k], np.where(seen[n][:, None], xy[n], 0.0)) if (own := known[k]) is None else own
        for n, k in enumerate(which)
    ])[..., :2]  # fmt: skip
    seen &= np.isfinite(ray).all(-1)
    ray = np.where(seen[..., None], ray, 0.0)
    score = np.where(seen, score, 0.0)
    noise = relative_noise([detection for _, detection in chosen], seen, score, options)
    trust = seen * 2 * options.good_score / np.trace(noise, axis1=-2, axis2=-1)
    for k, (camera, _) in enumerate(chosen):
        if camera.fisheye:  # towards its rim a pixel is a longer and longer piece of the ray's plane
            stretch = ray_stretch(camera, ray[k])
            noise[k] = stretch @ noise[k] @ stretch.swapaxes(-1, -2)
    empty = np.zeros((0, 1, N_JOINTS))
    return Views(
        tuple(camera for camera, _ in chosen),
        tuple(detection for _, detection in chosen),
        np.where(seen[..., None], xy, np.nan),
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


def _finite(mixtures: Sequence[Mixture]) -> list[bool]:
    """Which of them are numbers throughout."""
    if len({m.mean.shape for m in mixtures}) > 1:
        return [all(np.isfinite(a).all() for a in (m.mean, m.sigma, m.weight)) for m in mixtures]
    if not mixtures:
        return []
    parts = (
        np.stack(part).reshape(len(mixtures), -1)
        for part in zip(*((m.mean, m.sigma, m.weight) for m in mixtures), strict=True)
    )
    return np.logical_and.reduce([np.isfinite(part).all(-1) for part in parts]).tolist()


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
    cov = np.stack([by_score[k] if d.cov is None else d.cov for k, d in enumerate(detections)]).astype(np.float64)
    cov[known] /= _areas(np.stack([d.xy for d in detections]), seen)[known, None, None, None]
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


def _areas(xy: Array, seen: Bools) -> Array:
    """(V,) px2 by the size of the person, at least 1, so that near and far cameras compare."""
    high = np.where(seen[..., None], xy, -np.inf).max(1)
    low = np.where(seen[..., None], xy, np.inf).min(1)
    size = np.where(np.isfinite(high - low), high - low, 0.0)
    return np.maximum((size * size).sum(-1), 1.0)
