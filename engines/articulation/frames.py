"""The frame of every bone, of joints and of what the frame before says where they leave a turn open.

Where a bone points is seen. How it is turned about itself is:

- hips: x along the line of the hips, y towards the spine. So the pelvis tilts with the lower trunk.
- chest: y along it, x along the line of the shoulders; spine: x half way between those of the hips and the shoulders.
- neck, head, collar bones, halves of the pelvis: as their parent, by the smallest rotation. Where the head looks and
  how a forearm is turned is not in 17 joints.
- thighs and upper arms: so that knee and elbow are hinges that flex forward. Straight, they tell nothing: from 30
  degrees of flexion down to 10 the turn is followed more and more slowly, and then goes back to that of the smallest
  rotation from the rest pose. A limb that seems to bend the wrong way by less than 45 degrees is taken to be straight.
- shins and forearms: as their parent, flexed about the hinge.

Nothing depends on where up is. Everything is a function of unit vectors, so lengths may differ from frame to frame.
"""

from typing import NamedTuple

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.rotations import rotation_matrix, skew
from engines import skeleton as sk
from engines.articulation.euler import half_turn
from engines.articulation.hierarchy import HINGE, LOWER, REST, UPPER

_LITTLE = 1e-9
_OPPOSITE = -1 + 1e-12
_SQUARE = np.sin(np.radians([5.0, 20.0]))
"""Sine of the angle between two directions below which the second says nothing, and above which all."""
_FLEXION = np.radians([10.0, 30.0])
_FOLDED = np.radians([3.0, 10.0])
_WRONG_FLEXION, _WRONG_WAY = np.radians([35.0, 55.0]), np.radians([100.0, 140.0])
_FPS = 30.0
"""Frames a second at which the share above is that of one frame."""
_FASTEST = 20.0
"""Radians a second: no faster is a limb turned about itself, 38 degrees a frame of 30 fps; walking arms reach 5."""
_BACK_S = 1.0
"""Time constant of going back to the smallest rotation."""
_UPPER, _LOWER = list(UPPER), list(LOWER)
_PARENTS_OF_UPPER = [int(sk.PARENTS[j]) for j in UPPER]
_X, _Y, _Z = np.eye(3)


class Hinges(NamedTuple):
    """What thighs and upper arms (N, 4) are known by, but for what the frame before says of their turn."""

    parents: Array
    """(N, 4, 3, 3) frames that they hang on."""
    upper: Array
    """(N, 4, 3) where they point."""
    neutral: Array
    """(N, 4, 3, 3) their frames by the smallest rotation from the rest pose. Turns are counted from there."""
    normal: Array
    """(N, 4, 3) of the plane of the limb, its length the sine of the flexion."""
    flexion: Array
    """(N, 4) radians."""
    turn: Array
    """(N, 4) radians: of the hinge in that plane, from the neutral one."""
    tells: Array
    """(N, 4) 0..1: how far the flexion allows to tell it."""
    returns: Array
    """(N, 4) 0..1: how far a turn that is not seen goes back to neutral; opposite to the rest pose it does not."""


def bone_frames(
    joints: Array, hips_before: Array | None, uppers_before: Array | None, elapsed: float | Array
) -> tuple[Array, Array]:
    """Every bone's rotation in the axes of the joints.

    Args:
        joints: (N, 17, 3) finite.
        hips_before: (N, 3, 3) or (3, 3) of the hips in the frame before; None: there was none.
        uppers_before: (N, 4, 3, 3) or (4, 3, 3), ``Memory.uppers`` of it.
        elapsed: seconds since then, (N,) or one.

    Returns:
        Rotations (N, 17, 3, 3), and (N, 17) how far the turn about itself of each follows from the joints.
    """
    frames, seen, hinges = trunk(joints, hips_before)
    carried = None if uppers_before is None else carried_turn(hinges, uppers_before)
    turn, seen[:, _UPPER] = next_turn(carried, hinges, np.asarray(elapsed, np.float64)[..., None])
    frames[:, _UPPER], frames[:, _LOWER] = flexed(hinges, turn)
    return frames, seen


def trunk(joints: Array, hips_before: Array | None) -> tuple[Array, Array, Hinges]:
    """All frames but those of the hinges, whose are not set; how far turns are seen; and the hinges.

    Args:
        joints: as of ``bone_frames``.
        hips_before: as of ``bone_frames``; nothing depends on it where the turn of the hips is wholly seen.
    """
    frames, seen = np.empty((len(joints), 17, 3, 3)), np.zeros((len(joints), 17))
    towards, length = _units(joints - joints[:, np.maximum(sk.PARENTS, 0)])
    across, width = _units(joints[:, sk.L_HIP] - joints[:, sk.R_HIP])
    shoulders, _ = _units(joints[:, sk.L_SHOULDER] - joints[:, sk.R_SHOULDER])
    before = np.eye(3) if hips_before is None else hips_before
    across = np.where(width[:, None] > _LITTLE, across, before[..., 0])
    base = swing(np.broadcast_to(before[..., 0], across.shape), across) @ before
    frames[:, 0], seen[:, 0] = _towards(base, across, base[..., 1], towards[:, sk.SPINE])
    seen[:, 0] *= width > _LITTLE
    known = length > _LITTLE

    def follow(*bones: int) -> Array:
        """Those of one parent, by the smallest rotation; where they point."""
        parent = frames[:, [int(sk.PARENTS[j]) for j in bones]]
        along = (parent @ REST[list(bones), :, None])[..., 0]
        to = np.where(known[:, bones, None], towards[:, bones], along)
        frames[:, bones] = swing(along, to) @ parent
        return to

    to = follow(sk.SPINE, sk.L_HIP, sk.R_HIP)[:, 0]
    spine, half_way = frames[:, sk.SPINE], frames[:, 0, :, 0] + shoulders
    frames[:, sk.SPINE], seen[:, sk.SPINE] = _towards(spine, to, spine[..., 0], half_way)
    to = follow(sk.THORAX)[:, 0]
    chest = frames[:, sk.THORAX]
    frames[:, sk.THORAX], seen[:, sk.THORAX] = _towards(chest, to, chest[..., 0], shoulders)
    follow(sk.NECK, sk.L_SHOULDER, sk.R_SHOULDER)
    follow(sk.HEAD)
    return frames, seen, _hinges(frames[:, _PARENTS_OF_UPPER], towards, known)


def _hinges(parents: Array, towards: Array, known: Bools) -> Hinges:
    along = (parents @ REST[_UPPER][..., None])[..., 0]
    upper = np.where(known[:, _UPPER, None], towards[:, _UPPER], along)
    lower = np.where(known[:, _LOWER, None], towards[:, _LOWER], upper)
    neutral = swing(along, upper) @ parents
    normal = _cross(upper, lower)
    flexion = np.arctan2(np.linalg.norm(normal, axis=-1), (upper * lower).sum(-1))
    turn = _angle((neutral @ HINGE[..., None])[..., 0], normal, upper)
    tells = _rise(flexion, _FLEXION) * _rise(np.pi - flexion, _FOLDED)
    returns = _rise((along * upper).sum(-1), np.array([-0.9, 0.0]))
    return Hinges(parents, upper, neutral, normal, flexion, turn, tells, returns)


def carried_turn(hinges: Hinges, before: Array) -> Array:
    """(N, 4) radians: the turn of the frame before, carried along as the limb swings.

    Args:
        hinges: of N frames.
        before: (N, 4, 3, 3) or (4, 3, 3), ``Memory.uppers``.
    """
    carried = hinges.parents @ before
    carried = swing((carried @ REST[_UPPER][..., None])[..., 0], hinges.upper) @ carried
    was, now = ((frames @ HINGE[..., None])[..., 0] for frames in (hinges.neutral, carried))
    return _angle(was, now, hinges.upper)


def next_turn(carried: Array | None, hinges: Hinges, elapsed: Array) -> tuple[Array, Array]:
    """The turns (N, 4), radians, and how far they are seen.

    Args:
        carried: of ``carried_turn``; None: there was no frame before.
        hinges: of N frames.
        elapsed: (N, 1) seconds since the frame before.
    """
    start = np.zeros(()) if carried is None else carried
    off = half_turn(hinges.turn - start)
    seen = hinges.tells * (1 - _rise(np.abs(off), _WRONG_WAY) * (1 - _rise(hinges.flexion, _WRONG_FLEXION)))
    if carried is None:
        return seen * off, seen
    share = 1 - (1 - seen) ** (_FPS * elapsed)
    back = -half_turn(start) * (1 - np.exp(-elapsed / _BACK_S)) * (1 - seen) * hinges.returns
    return start + np.clip(share * off + back, -_FASTEST * elapsed, _FASTEST * elapsed), seen


def flexed(hinges: Hinges, turn: Array) -> tuple[Array, Array]:
    """Frames (N, 4, 3, 3) of thighs and upper arms, and of shins and forearms."""
    frames = rotation_matrix(hinges.upper * turn[..., None]) @ hinges.neutral
    sine = np.linalg.norm(hinges.normal, axis=-1, keepdims=True)
    axis = np.where(sine > _LITTLE, hinges.normal / np.maximum(sine, _LITTLE), (frames @ HINGE[..., None])[..., 0])
    return frames, rotation_matrix(axis * hinges.flexion[..., None]) @ frames


def swing(a: Array, b: Array) -> Array:
    """The smallest rotation (..., 3, 3) that carries unit vectors a to b; of opposite ones, about any axis across."""
    v, c = _cross(a, b), (a * b).sum(-1)
    opposite = c < _OPPOSITE
    share = 1 / np.where(opposite, 1.0, 1 + c)
    R = (share[..., None] * v)[..., :, None] * v[..., None, :] + c[..., None, None] * np.eye(3)
    R = R + skew(v)
    if opposite.any():
        across = _cross(a, np.eye(3)[np.argmin(abs(a), axis=-1)])
        across = across / np.linalg.norm(across, axis=-1, keepdims=True)
        half = 2 * across[..., :, None] * across[..., None, :] - np.eye(3)
        R = np.where(opposite[..., None, None], half, R)
    return R


def _cross(a: Array, b: Array) -> Array:
    """The cross product; ``np.cross`` takes three times as long for a few vectors."""
    return np.stack([
        a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
        a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
        a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
    ], -1)  # fmt: skip


def _towards(frame: Array, along: Array, axis: Array, reference: Array) -> tuple[Array, Array]:
    """The frame turned about ``along`` so that its ``axis`` points to the reference, as far as that tells.

    Returns:
        The frame, and (N,) the share of the turn that was made.
    """
    aside = reference - (reference * along).sum(-1, keepdims=True) * along
    share = _rise(np.linalg.norm(aside, axis=-1), _SQUARE)
    return rotation_matrix(along * (share * _angle(axis, aside, along))[..., None]) @ frame, share


def _angle(a: Array, b: Array, about: Array) -> Array:
    """(...) radians in -pi..pi from a to b as seen along the unit vector ``about``; 0 where one is along it."""
    a, b = (v - (v * about).sum(-1, keepdims=True) * about for v in (a, b))
    return np.arctan2((_cross(a, b) * about).sum(-1), (a * b).sum(-1))


def _rise(x: Array, span: Array) -> Array:
    """0 below the span (2,), 1 above it, smooth between."""
    x = np.clip((x - span[0]) / (span[1] - span[0]), 0, 1)
    return x * x * (3 - 2 * x)


def _units(v: Array) -> tuple[Array, Array]:
    """Unit vectors and lengths; what has no length is 0."""
    length = np.linalg.norm(v, axis=-1)
    return v / np.where(length > _LITTLE, length, 1)[..., None], length
