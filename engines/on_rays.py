"""Hypotheses drawn towards what was seen: a lifter answers near the rays that it was given, but not on them.

A network that has met noisy 2D joints smooths them, and forgets a part of what they say across the line of sight, where
one camera tells nearly everything. So each hypothesis is put where it fits the rays best, and every joint that was seen
is moved across the line of sight, half of the way to its ray: the whole way would bring noise back. A joint far from
its ray is moved by less (Cauchy's weight): it is a detector's error, which the network has seen through.
"""

from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry import virtual
from engines import skeleton as sk

SHARE: Final = 0.5
"""Of the way to the ray."""
FAR_MM: Final = 40.0
"""At this distance a joint is believed half as much. Both were chosen on the validation subjects."""
_MIDDLES: Final = {sk.PELVIS: (sk.R_HIP, sk.L_HIP), sk.THORAX: (sk.R_SHOULDER, sk.L_SHOULDER)}
"""Joints that are never seen, and between which they lie."""


def towards_rays(mean: Array, rays: Array, seen: Bools) -> Array:
    """Hypotheses nearer to the rays; joints that were not seen move with the one before them in the body.

    Args:
        mean: (N, M, 17, 3) mm, root-relative, camera axes.
        rays: (N, 17, 3) rays in camera axes; z = 1. Anything where not seen.
        seen: (N, 17) which joints count; the pelvis and the thorax never do.

    Returns:
        (N, M, 17, 3) mm, root-relative; as they were where fewer than two joints count, or they would stand behind the
        camera.
    """
    counted = seen & np.isfinite(rays).all(-1)
    counted[:, list(_MIDDLES)] = False
    rays = np.where(counted[..., None], rays, [0.0, 0.0, 1.0])
    root = virtual.place(
        mean, np.broadcast_to(rays[:, None], mean.shape), np.broadcast_to(counted[:, None] * 1.0, mean.shape[:3])
    )
    there = np.isfinite(root).all(-1) & (root[..., 2] > 0)
    placed = mean + np.where(there[..., None], root, 0.0)[:, :, None]
    along = (rays / np.linalg.norm(rays, axis=-1, keepdims=True))[:, None]
    away = along * (placed * along).sum(-1, keepdims=True) - placed
    believed = SHARE / (1 + (away**2).sum(-1, keepdims=True) / FAR_MM**2)
    known = counted[:, None, :, None] & there[:, :, None, None]
    move = np.where(known, believed * away, 0.0)
    for joint, (a, b) in _MIDDLES.items():
        move[:, :, joint] = (move[:, :, a] + move[:, :, b]) / 2
    spine = (move[:, :, sk.PELVIS] + move[:, :, sk.THORAX]) / 2
    move[:, :, sk.SPINE] = np.where(known[:, :, sk.SPINE], move[:, :, sk.SPINE], spine)
    for parent, joint in sk.EDGES:
        if joint not in (sk.SPINE, *_MIDDLES) and not counted[:, joint].all():
            move[:, :, joint] = np.where(known[:, :, joint], move[:, :, joint], move[:, :, parent])
    return mean + (move - move[:, :, :1])
