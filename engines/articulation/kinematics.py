"""From rotations to joints, and between the conventions of others."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from calibration.arrays import Array
from engines.articulation.hierarchy import HUMANOID, REST
from engines.skeleton import N_JOINTS, PARENTS


def matrices_of(rotations: Array) -> Array:
    """(..., 3, 3) of quaternions x, y, z, w (..., 4); NaN stays NaN."""
    flat = np.ascontiguousarray(rotations, np.float64).reshape(-1, 4)
    known = np.isfinite(flat).all(-1)
    out = np.full((len(flat), 3, 3), np.nan)
    out[known] = Rotation.from_quat(flat[known]).as_matrix()
    return out.reshape(*rotations.shape[:-1], 3, 3)


def quaternions_of(matrices: Array) -> Array:
    """(..., 4) quaternions x, y, z, w with w >= 0 of rotations (..., 3, 3); NaN stays NaN."""
    flat = matrices.reshape(-1, 3, 3)
    known = np.isfinite(flat).all((-1, -2))
    out = np.full((len(flat), 4), np.nan)
    out[known] = Rotation.from_matrix(flat[known]).as_quat(canonical=True)
    return out.reshape(*matrices.shape[:-2], 4)


def continued(rotations: Array, before: Array | None = None) -> Array:
    """Quaternions (F, ..., 4) of frames with the signs that make each the nearer one to the last that was known.

    Args:
        rotations: of the frames.
        before: (..., 4) of the frame before the first; None for the sign with w >= 0.
    """
    out, last = rotations.copy(), before
    for now in out:
        if last is not None:
            now *= np.where((now * last).sum(-1, keepdims=True) < 0, -1.0, 1.0)
        last = np.where(np.isfinite(now), now, now if last is None else last)
    return out


def chained(local: Array, parents: Sequence[int] = tuple(PARENTS)) -> Array:
    """Rotations (..., B, 3, 3) in the axes of the root, of such in the frames of the parents, which come first."""
    out = local.copy()
    for bone, parent in enumerate(parents):
        if parent >= 0:
            out[..., bone, :, :] = out[..., parent, :, :] @ local[..., bone, :, :]
    return out


def unchained(world: Array, parents: Sequence[int] = tuple(PARENTS)) -> Array:
    """The reverse of ``chained``."""
    index = np.array(parents)
    out = np.swapaxes(world[..., np.maximum(index, 0), :, :], -1, -2) @ world
    out[..., index < 0, :, :] = world[..., index < 0, :, :]
    return out


def forward(root: Array, rotations: Array, lengths: Array) -> Array:
    """Forward kinematics: joints (..., 17, 3).

    Args:
        root: (..., 3) where the pelvis is.
        rotations: (..., 17, 4) as in ``Articulation``.
        lengths: (17,) of the bones.
    """
    bones = (chained(matrices_of(rotations)) @ (REST * lengths[:, None])[..., None])[..., 0]
    joints = np.empty_like(bones)
    joints[..., 0, :] = root
    for joint in range(1, N_JOINTS):
        joints[..., joint, :] = joints[..., PARENTS[joint], :] + bones[..., joint, :]
    return joints


def humanoid_rotations(rotations: Array) -> Array:
    """(..., 19, 4) quaternions of the bones of ``hierarchy.HUMANOID`` in the frames of its parents.

    Args:
        rotations: (..., 17, 4) as in ``Articulation``.
    """
    world = chained(matrices_of(rotations))
    parts: list[Array] = []
    for bone in HUMANOID:
        parts.append(world[..., bone.bone, :, :] if bone.bone >= 0 else parts[bone.parent])
    return quaternions_of(unchained(np.stack(parts, -3), [bone.parent for bone in HUMANOID]))


def left_handed(positions: Array, rotations: Array) -> tuple[Array, Array]:
    """Positions (..., 3) and quaternions (..., 4) in Unity's axes: x to the person's right, y up, z forward."""
    return positions * [-1.0, 1, 1], rotations * [1.0, -1, -1, 1]
