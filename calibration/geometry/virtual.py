"""The person-centred, levelled virtual camera the lifter looks through.

The network never sees a real image plane: pixels become rays, the rays are rotated into a camera whose axis
passes through the person and whose y axis points down as far as gravity is known, and the result is centred
and scaled. So a rolled camera, a long lens and a person at the edge of the image all look alike.

Everything here is batched over leading axes and is used unchanged by training and by the live pipeline.
"""

from typing import NamedTuple

import numpy as np

from calibration.arrays import Array, Bools

# Where gravity is not known the camera is taken to be held upright: up is the image's up.
IMAGE_UP = np.array([0.0, -1.0, 0.0])


class VirtualView(NamedTuple):
    """A 2D pose as the virtual camera sees it."""

    xy: Array
    """(..., J, 2) centred on the mean of the seen joints, of unit RMS distance from it; 0 where not seen."""
    pitch: Array
    """(...,) radians the axis looks down, NaN where gravity is not known."""
    R_virtual_to_camera: Array
    """(..., 3, 3) rotation from the virtual camera's axes to the real one's."""


def aim(rays: Array, seen: Bools, up: Array | None = None) -> tuple[Array, Array]:
    """The rotation of a camera at the same place that looks at the person, level.

    Args:
        rays: (..., J, 3) rays in camera axes; z = 1.
        seen: (..., J) which joints count.
        up: (3,) or (..., 3) unit vector against gravity in camera axes, or None where it is not known.

    Returns:
        R_virtual_to_camera (..., 3, 3), and pitch (...,) in radians downwards, NaN where up is None.
    """
    # Unit rays: the mean of rays with z = 1 would depend on where in the image the person is.
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    z = np.where(seen[..., None], unit, 0).sum(-2)
    z = np.where(seen.any(-1, keepdims=True), z, [0.0, 0.0, 1.0])
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    gravity = np.broadcast_to(IMAGE_UP if up is None else up, z.shape)
    x = np.cross(z, gravity)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    # Looking straight up or down leaves no level; keep the real camera's x then.
    x = np.where(length > 1e-3, x / np.maximum(length, 1e-3), [1.0, 0.0, 0.0])
    x -= (x * z).sum(-1, keepdims=True) * z
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    rotation = np.stack([x, np.cross(z, x), z], axis=-1)
    down = -(z * gravity).sum(-1)
    pitch = np.full(down.shape, np.nan) if up is None else np.arcsin(np.clip(down, -1, 1))
    return rotation, pitch


def look(rays: Array, seen: Bools, up: Array | None = None) -> VirtualView:
    """See a 2D pose through its virtual camera.

    Args:
        rays: (..., J, 3) rays in camera axes; z = 1. Values of joints that are not seen are ignored.
        seen: (..., J) which joints count.
        up: (3,) or (..., 3) unit vector against gravity in camera axes, or None where it is not known.

    Returns:
        VirtualView; with fewer than two joints seen its xy is all zeros.
    """
    rotation, pitch = aim(rays, seen, up)
    local = np.where(seen[..., None], rays, [0.0, 0.0, 1.0]) @ rotation
    # A ray more than 84 degrees off the person's own direction is a detector's nonsense, not a joint.
    xy = local[..., :2] / np.maximum(local[..., 2:], 0.1)
    count = np.maximum(seen.sum(-1), 1)[..., None, None]
    mask = seen[..., None]
    xy = np.where(mask, xy - (xy * mask).sum(-2, keepdims=True) / count, 0)
    spread = np.sqrt((xy**2).sum((-1, -2), keepdims=True) / count)
    return VirtualView(xy / np.maximum(spread, 1e-9), pitch, rotation)


def place(points: Array, rays: Array, weight: Array) -> Array:
    """Where a root-relative pose stands so that it projects onto the rays, by linear least squares.

    Minimises ``sum_j w_j |(X_j + T)_xy - r_j (X_j + T)_z|^2`` over T, which is linear in T (the resection of a
    known shape with known rotation), then once more with each residual divided by its depth, so that it is
    the image error and not the metric one that is minimised.

    Args:
        points: (..., J, 3) root-relative joints in camera axes, mm.
        rays: (..., J, 3) rays in camera axes; z = 1.
        weight: (..., J) weights >= 0; joints of weight 0 are ignored.

    Returns:
        (..., 3) position of the root in camera axes, mm; NaN with fewer than two weighted joints.
    """
    usable = (weight > 0) & np.isfinite(rays).all(-1) & np.isfinite(points).all(-1)
    w = np.where(usable, weight, 0.0)
    r = np.where(usable[..., None], rays, 0.0)[..., :2]
    X = np.where(usable[..., None], points, 0.0)
    T = np.zeros(points.shape[:-2] + (3,))
    for again in (False, True):
        v = w / np.maximum(X[..., 2] + T[..., None, 2], 100.0) ** 2 if again else w
        target = r * X[..., 2:] - X[..., :2]
        W, S = v.sum(-1), (v[..., None] * r).sum(-2)
        Q = (v[..., None] * r**2).sum((-1, -2))
        b = (v[..., None] * target).sum(-2)
        c = -(v[..., None] * r * target).sum((-1, -2))
        # Normal equations [[W 0 -Sx] [0 W -Sy] [-Sx -Sy Q]] T = [bx by c], solved by elimination of x and y.
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (c + (S * b).sum(-1) / W) / (Q - (S**2).sum(-1) / W)
            T = np.concatenate([(b + S * z[..., None]) / W[..., None], z[..., None]], -1)
        T = np.where((usable.sum(-1) >= 2)[..., None], T, np.nan)
    return T


def place_covariance(
    points: Array, rays: Array, weight: Array, root: Array, sigma: Array, pixel: float | Array
) -> Array:
    """How sure ``place`` is, to first order: wide along the ray, as a pose that is too large looks nearer.

    Args:
        points: (..., J, 3) as of ``place``.
        rays: (..., J, 3) as of ``place``.
        weight: (..., J) as of ``place``.
        root: (..., 3) what it gave.
        sigma: (..., J) mm, one standard deviation an axis of each point.
        pixel: (...,) one standard deviation an axis of a ray's x and y.

    Returns:
        (..., 3, 3) mm2; NaN where root is, or fewer than two joints have a weight.
    """
    usable = (weight > 0) & np.isfinite(rays).all(-1) & np.isfinite(points).all(-1)
    known = (usable.sum(-1) >= 2) & np.isfinite(root).all(-1)
    w = np.where(usable & known[..., None], weight, 0.0)
    X = np.where(w[..., None] > 0, points + root[..., None, :], [0.0, 0.0, 1.0])
    z = np.maximum(X[..., 2], 100.0)
    # The image of a joint moves by J with the root, and by the same with the joint itself.
    J = np.zeros((*z.shape, 2, 3))
    J[..., 0, 0] = J[..., 1, 1] = 1 / z
    J[..., 2] = -X[..., :2] / z[..., None] ** 2
    Jt = J.swapaxes(-1, -2)
    A = np.linalg.pinv((w[..., None, None] * (Jt @ J)).sum(-3))
    s = np.where(w > 0, sigma, 0.0)[..., None, None]
    noise = s**2 * (J @ Jt) + np.asarray(pixel)[..., None, None, None] ** 2 * np.eye(2)
    cov = A @ ((w**2)[..., None, None] * (Jt @ noise @ J)).sum(-3) @ A
    return np.where(known[..., None, None], cov, np.nan)
