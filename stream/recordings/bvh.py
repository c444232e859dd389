"""Skeletons as BVH, for Blender, MotionBuilder and Maya: centimetres, y up. The package pybvh writes the format."""

import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from calibration.arrays import Array
from engines import skeleton as sk
from stream.recordings.skeletons import ENDS, NODES, Skeleton
from stream.types import StreamError
from stream.words import number_of

_CM = 100.0
_ORDER = "ZXY"
"""Of the rotations, as most programs write it; intrinsic."""
_LOCKED = 1e-6


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
            made[joint] = BvhJoint(NODES[joint], offsets[joint], list(_ORDER), [], parent)
            parent.children.append(made[joint])
        nodes.append(made[joint])
        if joint in ENDS:
            end = BvhEndSite(ENDS[joint], _CM * skeleton.end(joint), made[joint])
            made[joint].children.append(end)
            nodes.append(end)
    angles = np.stack([euler(skeleton.made.rotations[:, joint]) for joint in order], 1)
    motion = pybvh.Bvh(nodes, _CM * skeleton.made.root, angles, 1 / rate, world_up="+y", warn_on_disagreement=False)
    written = path.with_name(f"{path.name}.bvh")  # it wants this suffix
    motion.write(written)
    written.rename(path)
    frames = number_of(len(angles), "frame")
    return [f"{frames} at {rate:.6g} Hz, centimetres, y up, rotations in the order {_ORDER}"]


def _depth_first(joint: int) -> list[int]:
    children = [j for j in range(1, sk.N_JOINTS) if sk.PARENTS[j] == joint]
    return [joint, *(j for child in children for j in _depth_first(child))]


def euler(rotations: Array) -> Array:
    """(F, 3) radians about Z, X and Y, of quaternions (F, 4): of all that mean the same, the nearest to those before.

    So a knee is flexed through 90 degrees without a jump, and no program turns a limb the long way round.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock", UserWarning)  # below, it is chosen what is nearest
        angles = Rotation.from_quat(rotations).as_euler(_ORDER)
    before = np.zeros(3)
    for now in angles:
        locked = abs(np.cos(now[1])) < _LOCKED
        if locked:  # only z + y, or z - y, is known
            now[0] += now[2] * np.sign(np.sin(now[1]))
            now[2] = before[2]
            now[0] -= now[2] * np.sign(np.sin(now[1]))
        other = np.array([now[0] + np.pi, np.pi - now[1], now[2] + np.pi])
        both = [a + 2 * np.pi * np.round((before - a) / (2 * np.pi)) for a in (now, other)]
        now[:] = min(both, key=lambda a: float(np.abs(a - before).sum()))
        before = now
    return angles
