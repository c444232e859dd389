"""Rotation vectors and matrices, vectorised (``cv2.Rodrigues`` does one at a time)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array


def skew(v: Array) -> Array:
    """The matrices (..., 3, 3) with ``skew(v) @ u = v x u`` for v (..., 3)."""
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    return out - np.swapaxes(out, -1, -2)


def rotation_matrix(v: NDArray[Any]) -> Array:
    """Rotation matrices (..., 3, 3) from rotation vectors (..., 3), radians (Rodrigues' formula)."""
    v = np.asarray(v, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    # np.sinc(x) = sin(pi x) / (pi x), so both factors are exact at 0.
    S = skew(v)
    return np.eye(3) + np.sinc(angle / np.pi) * S + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (S @ S)


def rotation_vector(R: NDArray[Any]) -> Array:
    """Rotation vectors (..., 3) of length 0..pi from rotation matrices (..., 3, 3)."""
    R = np.asarray(R, np.float64)
    # Through the quaternion of largest component: accurate also near pi, where the plain formula is 0 / 0.
    trace = np.trace(R, axis1=-2, axis2=-1)
    K = np.empty((*R.shape[:-2], 4, 4))
    K[..., 0, 0] = trace
    K[..., 0, 1:] = K[..., 1:, 0] = np.stack(
        [R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1
    )
    K[..., 1:, 1:] = R + np.swapaxes(R, -1, -2) - trace[..., None, None] * np.eye(3)
    q = np.linalg.eigh(K)[1][..., -1]
    q = np.where(q[..., :1] < 0, -q, q)
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, q[..., :1])
    return q[..., 1:] * np.where(length > 1e-12, angle / np.maximum(length, 1e-12), 2.0)


def angle_degrees(A: Array, B: Array) -> Array:
    """Angle (...,) in degrees between rotations A and B (..., 3, 3)."""
    return np.degrees(np.linalg.norm(rotation_vector(np.swapaxes(A, -1, -2) @ B), axis=-1))


def mean_rotation(R: Array) -> Array:
    """The rotation (3, 3) nearest to all of R (N, 3, 3) in the Frobenius norm."""
    U, _, V = np.linalg.svd(R.sum(0))
    return U @ np.diag([1.0, 1.0, np.linalg.det(U @ V)]) @ V
