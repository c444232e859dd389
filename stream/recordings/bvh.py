"""Skeletons as BVH, for Blender, MotionBuilder and Maya: centimetres, y up. The package pybvh writes the format."""

from pathlib import Path

import numpy as np

from engines import skeleton as sk
from engines.articulation.euler import nearest_angles
from engines.articulation.kinematics import matrices_of
from stream.recordings.skeletons import ENDS, NODES, Skeleton
from stream.types import StreamError
from stream.words import number_of

_CM = 100.0
_ORDER = "ZXY"
"""Of the rotations, as most programs write it; intrinsic."""


def check_pybvh() -> None:
    """Raises StreamError if the package pybvh is not installed."""
    try:
        import pybvh as _  # noqa: F401 - an extra
    except ImportError:
        raise StreamError("writing BVH needs the package pybvh: pip install pybvh==0.9.0") from None


def write_bvh(skeleton: Skeleton, rate: float, path: Path) -> list[str]:
    """Write one skeleton.

    Args:
        skeleton: the person.
        rate: Hz of its frames.
        path: where to write it.

    Returns:
        What to tell the user.

    Raises:
        OSError: if the disk is full.
    """
    import pybvh
    from pybvh.bvhnode import BvhEndSite, BvhJoint, BvhNode, BvhRoot

    order = _depth_first(0)
    offsets = _CM * skeleton.offsets
    nodes: list[BvhNode] = []
    made: dict[int, BvhJoint] = {}
    for joint in order:
        if joint == 0:
            made[0] = BvhRoot(NODES[0], [0.0, 0, 0], list("XYZ"), list(_ORDER), [], None)
        else:
            parent = made[int(sk.PARENTS[joint])]
            made[joint] = BvhJoint(NODES[joint], offsets[joint].astype(np.float64), list(_ORDER), [], parent)
            parent.children.append(made[joint])
        nodes.append(made[joint])
        if joint in ENDS:
            end = BvhEndSite(ENDS[joint], (_CM * skeleton.end(joint)).astype(np.float64), made[joint])
            made[joint].children.append(end)
            nodes.append(end)
    local = matrices_of(skeleton.made.rotations)
    angles = np.stack([nearest_angles(local[:, joint], _ORDER) for joint in order], 1)
    motion = pybvh.Bvh(nodes, _CM * skeleton.made.root, angles, 1 / rate, world_up="+y", warn_on_disagreement=False)
    written = path.with_name(f"{path.name}.bvh")  # it wants this suffix
    motion.write(written)
    written.rename(path)
    frames = number_of(len(angles), "frame")
    return [f"{frames} at {rate:.6g} Hz, centimetres, y up, rotations in the order {_ORDER}"]


def _depth_first(joint: int) -> list[int]:
    children = [j for j in range(1, sk.N_JOINTS) if sk.PARENTS[j] == joint]
    return [joint, *(j for child in children for j in _depth_first(child))]
