"""What refinement believes of a body: its bones keep their lengths, its joints do not change their speed at will."""

from typing import Final, NamedTuple

import numpy as np

from calibration.arrays import Array, Bools
from engines.refinement.options import RefineOptions
from engines.skeleton import EDGES, L_HIP, LEFT, MIRROR, N_JOINTS, PELVIS, R_HIP, RIGHT

N: Final = N_JOINTS - 1
"""Unknown joints: the root is the middle of the hips."""


def _bones() -> Array:
    """(16, 16) from the unknown joints to the bones, parent to child, in the order of ``EDGES``."""
    out = np.zeros((len(EDGES), N))
    for row, (parent, child) in enumerate(EDGES):
        out[row, child - 1] += 1
        ends = (R_HIP, L_HIP) if parent == PELVIS else (parent,)
        for end in ends:
            out[row, end - 1] -= 1 / len(ends)
    return out


BONES: Final = _bones()
_OTHER_SIDE: Final = np.array([int(MIRROR[child]) - 1 for _, child in EDGES])


def rigid() -> Array:
    """(16,) whether a bone is one: those of arms and legs."""
    return np.array([any(a in side and b in side for side in (RIGHT, LEFT)) for a, b in EDGES])


def lengths_of(joints: Array) -> Array:
    """The lengths of a body's 16 bones, the same on both sides.

    Args:
        joints: (T, 16, 3) mm, without the root; NaN where not known.

    Returns:
        (16,) mm in the order of ``EDGES``: the mean of the middle half over time, so that no bad moment counts.
    """
    length = np.linalg.norm(BONES @ joints, axis=-1)
    low, high = np.nanpercentile(length, (25, 75), axis=0)
    middle = np.where((length >= low) & (length <= high), length, np.nan)
    mean = np.nanmean(middle, axis=0)
    return (mean + mean[_OTHER_SIDE]) / 2


class BoneTerms(NamedTuple):
    """The bones' part of the objective."""

    energy: float
    gradient: Array
    """(T, 48)."""
    normal: Array
    """(T, 48, 48)."""


def bone_terms(x: Array, lengths: Array, options: RefineOptions) -> BoneTerms:
    """How far the bones of poses x (T, 16, 3) mm are from ``lengths`` (16,) mm; heavy-tailed."""
    sigma = np.where(rigid(), options.limb_mm, options.trunk_mm)
    bone = BONES @ x
    length = np.maximum(np.linalg.norm(bone, axis=-1), 1.0)
    r = (length - lengths) / sigma
    weight = 5.0 / (4.0 + r**2)  # Student-t of 4 degrees
    J = BONES[None, :, :, None] * (bone / (length * sigma)[..., None])[:, :, None]
    J = J.reshape(len(x), len(EDGES), 3 * N)
    weighted = J * weight[..., None]
    energy = float(2.5 * np.log1p(r**2 / 4).sum())
    return BoneTerms(energy, (weighted * r[..., None]).sum(1), weighted.swapaxes(1, 2) @ J)


class Chain(NamedTuple):
    """Terms between a moment and those after it, the same for each axis of a joint."""

    energy: float
    gradient: Array
    """(T, 16, 3)."""
    own: Array
    """(T, 16) on the diagonal."""
    next: Array
    """(T - 1, 16) a moment with the next."""
    after: Array
    """(T - 2, 16) a moment with the next but one."""


def acceleration_terms(times: Array, x: Array, options: RefineOptions) -> Chain:
    """How hard joints x (T, 16, 3) mm are accelerated at ``times`` (T,) seconds; heavy-tailed."""
    dt = np.diff(times)
    c = 2 / (dt[:-1] + dt[1:])
    # The second divided difference of three moments at their own times.
    factor = np.stack([c / dt[:-1], -c * (1 / dt[:-1] + 1 / dt[1:]), c / dt[1:]], -1)
    a = factor[:, 0, None, None] * x[:-2] + factor[:, 1, None, None] * x[1:-1] + factor[:, 2, None, None] * x[2:]
    # Of an integral over time: more frames a second are no more evidence of standing still.
    share = 30 * (dt[:-1] + dt[1:])[:, None] / 2
    nu = options.acceleration_degrees
    square = (a**2).sum(-1) / options.acceleration**2
    weight = share * (nu + 3) / (nu + square) / options.acceleration**2
    energy = float((share * (nu + 3) / 2 * np.log1p(square / nu)).sum())
    out = Chain(energy, np.zeros_like(x), *(np.zeros((len(x) - k, N)) for k in range(3)))
    last = len(x) - 2
    for i in range(3):
        out.gradient[i : i + last] += (weight * factor[:, i, None])[..., None] * a
        out.own[i : i + last] += weight * factor[:, i, None] ** 2
    out.next[:last] += weight * (factor[:, 0] * factor[:, 1])[:, None]
    out.next[1:] += weight * (factor[:, 1] * factor[:, 2])[:, None]
    out.after[:] += weight * (factor[:, 0] * factor[:, 2])[:, None]
    return out


def contact_terms(times: Array, x: Array, standing: Bools, options: RefineOptions) -> Chain:
    """How fast joints x (T, 16, 3) mm move while they stand on the floor, ``standing`` (T - 1, 16) from each moment to
    the next.
    """
    sigma = options.contact_drift_mm_s * np.maximum(np.diff(times), 1e-3)[:, None]
    weight = np.where(standing, 1 / sigma**2, 0.0)
    step = x[1:] - x[:-1]
    out = Chain(float((weight * (step**2).sum(-1)).sum() / 2), np.zeros_like(x),
                *(np.zeros((len(x) - k, N)) for k in range(3)))  # fmt: skip
    pull = weight[..., None] * step
    out.gradient[1:] += pull
    out.gradient[:-1] -= pull
    out.own[1:] += weight
    out.own[:-1] += weight
    out.next[:] -= weight
    return out
