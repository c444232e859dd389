"""The offset between two placed cameras: the one at which the joints lie on each other's epipolar lines.

Where the cameras stand says more than that the movements agree: a joint seen late leaves its epipolar line by its
speed across the line. The whole range is searched, so a result also verifies, and is verified by, the one from
movement alone; the end is a robust Gauss-Newton step in the offset, which is linear in the speed.
"""

from dataclasses import replace

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, image_to_ray
from calibration.solving.motion import clean, follow, kernel_width
from calibration.solving.timing import MAX_SIGMA_S, MIN_OVERLAP_S, Offset, judge, refused

_STEP_S = 1 / 60
_SAMPLE_S = 1 / 30
_STEPS = 8
_BLOCK = 45
"""Samples over which a joint's mean distance from its line is taken out: what detectors see of a hip from the front
and from behind differs by centimetres, for as long as the person is turned so."""
# As in calibration.solving.timing: so near samples repeat each other, and so many joints move together.
_REPEATED = 3.5
_JOINTS_ALIKE = 3.0
_LEAST_SIGMA_S = 0.0005


def refine_offset(
    camera_a: Camera, camera_b: Camera, times_a: Array, joints_a: Array, score_a: Array,
    times_b: Array, joints_b: Array, score_b: Array, max_offset_s: float = 2.0,
) -> Offset:  # fmt: skip
    """The offset between two cameras of known place.

    Args:
        camera_a: the first camera.
        camera_b: the second.
        times_a: (F,) seconds, increasing.
        joints_a: (F, J, 2) distorted pixels.
        score_a: (F, J) 0..1, 0 = not seen.
        times_b: (H,) seconds, of the second camera.
        joints_b: (H, J, 2) distorted pixels.
        score_b: (H, J) 0..1.
        max_offset_s: largest offset tried, seconds, either way.

    Returns:
        Offset, to be added to the second camera's times; ``correlation`` is NaN.
    """
    if min(len(times_a), len(times_b)) < 5:
        return refused("too few frames")
    width = kernel_width(times_a, times_b)
    rays_a = image_to_ray(camera_a, clean(times_a, joints_a, score_a))[..., :2]
    rays_b = image_to_ray(camera_b, clean(times_b, joints_b, score_b))[..., :2]
    at = times_a[0] + _SAMPLE_S * np.arange(_BLOCK * -(-int((times_a[-1] - times_a[0]) / _SAMPLE_S + 1) // _BLOCK))
    lines = _lines(camera_a, camera_b, follow(times_a, rays_a, at, width)[0])

    def error(offset: float) -> tuple[Array, Array]:
        """Distance (G, J) in pixels of b's joints from the lines, and how fast it grows with the offset, px/s."""
        position, velocity = follow(times_b, rays_b, at - offset, width)
        e = (position * lines[..., :2]).sum(-1) + lines[..., 2]
        return e, -(velocity * lines[..., :2]).sum(-1)

    offsets = np.arange(-round(max_offset_s / _STEP_S), round(max_offset_s / _STEP_S) + 1) * _STEP_S
    joints = max(1, int(np.isfinite(lines[..., 0]).sum(1).max()))
    errors = [_steady(error(offset)[0], 1.0) for offset in offsets]
    counts = np.array([np.isfinite(e).sum() for e in errors])
    overlap = counts * _SAMPLE_S / joints
    tried = overlap >= MIN_OVERLAP_S
    if not tried.any():
        return refused(f"the person is seen by both for less than {MIN_OVERLAP_S:g} s")
    spread = np.array([1.48 * np.median(np.abs(e[np.isfinite(e)])) if ok else np.nan
                       for e, ok in zip(errors, tried, strict=True)])  # fmt: skip
    good, usual = float(np.nanmin(spread)), float(np.nanmedian(spread))
    nats = np.array([_fit(e, good, usual) if ok else 0.0 for e, ok in zip(errors, tried, strict=True)])
    repeats = max(1.0, _REPEATED * width / _SAMPLE_S) * _JOINTS_ALIKE
    independent = np.where(tried, counts / repeats, 0.0)
    result = judge(offsets, nats, independent, np.full(len(offsets), np.nan), overlap)
    if not np.isfinite(result.seconds):
        return result
    seconds, sigma, weight = result.seconds, np.inf, np.ones(lines.shape[:2])
    for _ in range(_STEPS):
        e, rate = error(seconds)
        e, rate = _steady(e, weight), _steady(rate, weight)
        weight = np.nan_to_num(1 / (1 + (e / (2.4 * good)) ** 2))
        normal = np.nansum(weight * rate**2)
        if normal <= 0:
            break
        seconds -= float(np.clip(np.nansum(weight * e * rate) / normal, -0.02, 0.02))
        variance = np.nansum(weight * e**2) / weight.sum()
        sigma = float(np.hypot(np.sqrt(repeats * variance / normal), _LEAST_SIGMA_S))
    if abs(seconds - result.seconds) > 0.05:
        return replace(result, confidence=0.0, reason="the joints do not settle on each other's epipolar lines")
    reason = result.reason
    if result.trusted or "only known" in reason:
        reason = "" if sigma <= MAX_SIGMA_S else f"only known to {1e3 * sigma:.0f} ms: too little quick movement"
    return replace(result, seconds=seconds, sigma=sigma, reason=reason)


def _lines(a: Camera, b: Camera, rays: Array) -> Array:
    """Epipolar lines (G, J, 3) in b of rays (G, J, 2) of a, scaled so that ``line . (x, y, 1)`` is pixels."""
    R = b.R @ a.R.T
    t = b.t - R @ a.t
    E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ R
    lines = np.concatenate([rays, np.ones((*rays.shape[:-1], 1))], -1) @ E.T
    return lines / np.linalg.norm(lines[..., :2], axis=-1, keepdims=True) * (b.K[0, 0] + b.K[1, 1]) / 2


def _steady(e: Array, weight: Array | float) -> Array:
    """(G, J) without each joint's weighted mean over every block of samples."""
    blocks = e.reshape(-1, _BLOCK, e.shape[1])
    w = np.where(np.isfinite(blocks), np.broadcast_to(weight, e.shape).reshape(blocks.shape), 0.0)
    mean = (w * np.nan_to_num(blocks)).sum(1, keepdims=True) / np.maximum(w.sum(1, keepdims=True), 1e-9)
    return (blocks - mean).reshape(e.shape)


def _fit(e: Array, good: float, usual: float) -> float:
    """Mean log-likelihood ratio of errors (px) under Cauchy's law of a good scale against the usual one."""
    e = e[np.isfinite(e)]
    return float((np.log(usual / good) + np.log1p((e / usual) ** 2) - np.log1p((e / good) ** 2)).mean())
