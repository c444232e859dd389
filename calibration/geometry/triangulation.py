"""Triangulation of joints from many cameras: weighted linear, and robust.

Views come first in every array: ``xy`` is (V, ..., 2) with V cameras, and everything is vectorised over the
remaining axes (frames, joints). A view that does not see a point holds NaN there, or has weight 0.

The robust estimate starts from the best pair of views (of at most ``3 V`` pairs, those that look at each other
most squarely: never all subsets, which hang at 16 cameras) and refines it by Gauss-Newton on the reprojection
error in standard deviations, reweighted with Cauchy's loss, so that no weight makes an outlier count for more. Hartley
and Zisserman, *Multiple View Geometry*, 12.2 and A6.8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, image_to_ray, ray_scale, world_to_image

# Pairs a camera takes part in as a start, so that the work is linear in the number of cameras.
_PARTNERS = 3
# A point nearer to a camera than this many mm cannot be a joint that it sees.
_NEAR = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Triangulation:
    """Triangulated points and how far they can be trusted."""

    points: Array
    """(..., 3) mm, world; NaN where fewer than two views see the point."""
    cov: Array
    """(..., 3, 3) mm2, from the normal matrix, enlarged where the residuals exceed the stated noise; NaN as above."""
    error: Array
    """(V, ...) reprojection error in undistorted pixels (of a fisheye, in its own), also of views that were
    down-weighted; NaN where not seen."""
    weight: Array
    """(V, ...) what was left of each view's weight: the given one times the loss's, 0 where not seen."""


def _rays(cameras: Sequence[Camera], xy: Array, weight: Array | None) -> tuple[Array, Array]:
    """Undistorted ``x / z, y / z`` (V, N, 2), 0 where not seen, and weights (V, N)."""
    if len(cameras) != len(xy):
        raise ValueError(f"{len(cameras)} cameras and {len(xy)} views")
    flat = np.asarray(xy, np.float64).reshape(len(xy), math.prod(np.shape(xy)[1:-1]), 2)
    w = np.ones(flat.shape[:2]) if weight is None else np.asarray(weight, np.float64).reshape(flat.shape[:2])
    rays = np.stack([image_to_ray(camera, view)[:, :2] for camera, view in zip(cameras, flat, strict=True)])
    seen = np.isfinite(rays).all(-1) & np.isfinite(w) & (w > 0)
    return np.where(seen[..., None], rays, 0.0), np.where(seen, w, 0.0)


def _focal(cameras: Sequence[Camera], uv: Array) -> Array:
    """(V, 1, 2), or with a fisheye among them (V, N, 2), pixels a unit of a ray."""
    f = np.array([[camera.K[0, 0], camera.K[1, 1]] for camera in cameras])[:, None]
    if not any(camera.fisheye for camera in cameras):
        return f
    return f / np.stack([ray_scale(camera, rays) for camera, rays in zip(cameras, uv, strict=True)])[..., None]


def _pose(cameras: Sequence[Camera]) -> tuple[Array, Array]:
    return np.stack([camera.R for camera in cameras]), np.stack([camera.t for camera in cameras])


def _solve3(A: Array, b: Array) -> Array:
    """Solve symmetric (..., 3, 3) systems; NaN where singular instead of an exception."""
    scale = np.trace(A, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = A / scale[..., None, None]
        sound = np.isfinite(unit).all((-1, -2)) & (np.linalg.det(unit) > 1e-13)
    x = np.linalg.solve(np.where(sound[..., None, None], unit, np.eye(3)), b[..., None])[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sound[..., None], x / scale[..., None], np.nan)


def _linear(R: Array, t: Array, f: Array, uv: Array, w: Array) -> Array:
    """The point nearest to all rays: ``(u R3 - R1) X = t1 - u t3`` in pixels, twice, the second time over depth."""
    a = uv[..., None] * R[:, None, 2:3] - R[:, None, :2]
    b = t[:, None, :2] - uv * t[:, None, 2:]
    depth = np.ones(w.shape)
    X = np.full(w.shape[1:] + (3,), np.nan)
    for _ in range(2):
        v = w[..., None] * (f / depth[..., None]) ** 2
        va = v[..., None] * a
        X = _solve3(np.einsum("vnki,vnkj->nij", va, a), np.einsum("vnki,vnk->ni", va, b))
        z = np.einsum("vi,ni->vn", R[:, 2], np.nan_to_num(X)) + t[:, None, 2]
        depth = np.maximum(np.abs(z), _NEAR)
    X[(w > 0).sum(0) < 2] = np.nan
    return X


def _residual(R: Array, t: Array, f: Array, uv: Array, X: Array) -> tuple[Array, Array, Array]:
    """Residual (V, N, 2) px, ``x / z, y / z`` (V, N, 2) and depth (V, N) of points X (N, 3)."""
    local = np.einsum("vij,nj->vni", R, X) + t[:, None]
    z = local[..., 2]
    projected = local[..., :2] / np.where(z > _NEAR, z, np.nan)[..., None]
    return f * (uv - projected), projected, z


def facing_pairs(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Pairs of views to start from: for each camera the partners whose axes are nearest to a right angle.

    Args:
        cameras: the V cameras.

    Returns:
        Indexes, the smaller first; at most ``3 V`` pairs.
    """
    return _pairs(np.stack([camera.R for camera in cameras]))


def _pairs(R: Array) -> list[tuple[int, int]]:
    square = np.abs(np.einsum("ai,bi->ab", R[:, 2], R[:, 2]))
    np.fill_diagonal(square, 2.0)
    near = np.argsort(square, axis=1, kind="stable")[:, : min(_PARTNERS, len(R) - 1)]
    return sorted({(min(a, int(b)), max(a, int(b))) for a, row in enumerate(near) for b in row})


def _best_start(R: Array, t: Array, f: Array, uv: Array, w: Array, scale: float) -> Array:
    """Of the pairs' points and the one of all views, the point (N, 3) with the least Cauchy cost over all views."""
    best = _linear(R, t, f, uv, w)
    least = np.full(len(best), np.inf)
    for views in [None, *_pairs(R)]:
        index = list(views) if views else []
        X = _linear(R[index], t[index], f[index], uv[index], w[index]) if views else best.copy()
        r = _residual(R, t, f, uv, X)[0]
        # A view that the point is behind disagrees as much as a view can.
        square = np.where(np.isfinite(r).all(-1), (np.nan_to_num(r) ** 2).sum(-1), 1e12)
        cost = np.log1p(w * square / scale**2).sum(0)
        better = (cost < least) & np.isfinite(X).all(-1)
        best[better], least[better] = X[better], cost[better]
    return best


def triangulate_linear(cameras: Sequence[Camera], xy: Array, weight: Array | None = None) -> Array:
    """Weighted linear least squares over all views.

    Args:
        cameras: the V cameras.
        xy: (V, ..., 2) distorted pixels, NaN where not seen.
        weight: (V, ...) weights >= 0, or None for 1.

    Returns:
        (..., 3) mm, world; NaN where fewer than two views see the point or their rays are parallel.
    """
    uv, w = _rays(cameras, xy, weight)
    R, t = _pose(cameras)
    return _linear(R, t, _focal(cameras, uv), uv, w).reshape(*np.shape(xy)[1:-1], 3)


def triangulate_rays(cameras: Sequence[Camera], rays: Array, weight: Array) -> Array:
    """``triangulate_linear`` of rays that are known already.

    Args:
        cameras: the V cameras.
        rays: (V, N, 2) undistorted ``x / z, y / z``, 0 where not seen.
        weight: (V, N) weights >= 0, 0 where not seen.

    Returns:
        (N, 3) mm, as above.
    """
    R, t = _pose(cameras)
    return _linear(R, t, _focal(cameras, rays), rays, weight)


def triangulate_robust(
    cameras: Sequence[Camera],
    xy: Array,
    weight: Array | None = None,
    *,
    noise_px: float = 4.0,
    iterations: int = 8,
) -> Triangulation:
    """Minimise the Cauchy loss of the reprojection error in standard deviations.

    Args:
        cameras: the V cameras.
        xy: (V, ..., 2) distorted pixels, NaN where not seen.
        weight: (V, ...) weights >= 0 (inverse variances, 1 = the stated noise), or None for 1.
        noise_px: standard deviation of a good joint, pixels; the loss turns at 2.4 times this (95 % efficiency).
        iterations: reweighted Gauss-Newton steps.

    Returns:
        Triangulation of the leading shape of ``xy``.
    """
    uv, w = _rays(cameras, xy, weight)
    (R, t), f = _pose(cameras), _focal(cameras, uv)
    scale = 2.385 * noise_px
    X = _best_start(R, t, f, uv, w, scale)
    for _ in range(iterations):
        X = X + _step(R, t, f, uv, w, X, scale)[0]
    step, normal, v, r = _step(R, t, f, uv, w, X, scale)
    X = np.where((v > 0).sum(0)[:, None] >= 2, X + step, np.nan)
    excess = (v * (np.nan_to_num(r) ** 2).sum(-1)).sum(0) / np.maximum(2 * v.sum(0) - 3, 1)
    variance = np.maximum(noise_px**2, excess)
    cov = np.stack([_solve3(normal, np.broadcast_to(e, X.shape)) for e in np.eye(3)], -1) * variance[:, None, None]
    lost = ~(np.isfinite(X).all(-1) & np.isfinite(cov).all((-1, -2)))
    X[lost], cov[lost] = np.nan, np.nan
    error = np.where(w > 0, np.linalg.norm(r, axis=-1), np.nan)
    shape = np.shape(xy)[1:-1]
    return Triangulation(
        X.reshape(*shape, 3), cov.reshape(*shape, 3, 3), error.reshape(len(xy), *shape), v.reshape(len(xy), *shape)
    )


def _step(
    R: Array, t: Array, f: Array, uv: Array, w: Array, X: Array, scale: float
) -> tuple[Array, Array, Array, Array]:
    """One Gauss-Newton step (N, 3), its normal matrix (N, 3, 3), weights (V, N) and residuals (V, N, 2)."""
    r, projected, z = _residual(R, t, f, uv, X)
    front = np.isfinite(r).all(-1)
    rr = np.nan_to_num(r)
    v = np.where(front, w / (1 + w * (rr**2).sum(-1) / scale**2), 0.0)
    depth = np.where(front, z, 1.0)[..., None, None]
    # d(x/z)/dX = (R1 - (x/z) R3) / z
    J = f[..., None] * (R[:, None, :2] - np.nan_to_num(projected)[..., None] * R[:, None, 2:3]) / depth
    vJ = v[..., None, None] * J
    normal = np.einsum("vnki,vnkj->nij", vJ, J)
    return _solve3(normal, np.einsum("vnki,vnk->ni", vJ, rr)), normal, v, r


def reprojection_error(cameras: Sequence[Camera], points: Array, xy: Array) -> Array:
    """Distance in pixels between what was seen and where the points fall, the lens distortion included.

    Args:
        cameras: the V cameras.
        points: (..., 3) mm, world.
        xy: (V, ..., 2) distorted pixels, NaN where not seen.

    Returns:
        (V, ...) pixels; NaN where not seen, without a point, or behind the camera.
    """
    projected = np.stack([world_to_image(camera, points) for camera in cameras])
    return np.linalg.norm(projected - xy, axis=-1)
