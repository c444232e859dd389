"""More bodies and more poses from the few that were captured: bones, limbs, mirror images, orientations.

All functions take and return root-relative poses (N, 17, 3) in mm, z up, and draw from the generator given.
"""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from engines import skeleton as sk
from engines.training.lifter import bodies

# Bones that are scaled together: both sides of a body grow alike.
_GROUPS = {
    "hip": (sk.R_HIP, sk.L_HIP), "thigh": (sk.R_KNEE, sk.L_KNEE), "shin": (sk.R_ANKLE, sk.L_ANKLE),
    "trunk": (sk.SPINE, sk.THORAX), "neck": (sk.NECK,), "head": (sk.HEAD,), "shoulder": (sk.L_SHOULDER, sk.R_SHOULDER),
    "upper_arm": (sk.L_ELBOW, sk.R_ELBOW), "forearm": (sk.L_WRIST, sk.R_WRIST),
}  # fmt: skip
_LIMBS = (
    (sk.R_KNEE, sk.R_ANKLE), (sk.L_KNEE, sk.L_ANKLE), (sk.L_ELBOW, sk.L_WRIST), (sk.R_ELBOW, sk.R_WRIST),
)  # fmt: skip
_WIDER_MM = 60.0
_SHIFT_MM = np.zeros(17)
"""Standard deviation an axis of ``redefine``."""
_SHIFT_MM[[sk.R_HIP, sk.R_KNEE, sk.R_ANKLE, sk.R_SHOULDER, sk.R_ELBOW, sk.R_WRIST]] = 20, 10, 15, 15, 10, 10
_SHIFT_MM[[sk.L_HIP, sk.L_KNEE, sk.L_ANKLE, sk.L_SHOULDER, sk.L_ELBOW, sk.L_WRIST]] = 20, 10, 15, 15, 10, 10


def to_bones(joints: Array) -> Array:
    """(N, 17, 3) joints to vectors from each joint's parent; 0 for the root."""
    bones = joints - joints[:, np.maximum(sk.PARENTS, 0)]
    bones[:, sk.PELVIS] = 0
    return bones


def from_bones(bones: Array) -> Array:
    """(N, 17, 3) vectors from each joint's parent to root-relative joints."""
    joints = np.zeros_like(bones)
    for parent, joint in sk.EDGES:
        joints[:, joint] = joints[:, parent] + bones[:, joint]
    return joints


def scale_bones(bones: Array, rng: np.random.Generator, size: float = 0.05, shape: float = 0.06) -> Array:
    """Another body for each pose: its size and the proportions of its bones, log-normal.

    In half of the bodies the hips are widened up to 1.5 times: between captured hip centres are 170 mm, between
    the hips that image detectors mark about 250 mm.
    """
    n = len(bones)
    factor = np.ones((n, 17, 1), bones.dtype)
    for group in _GROUPS.values():
        factor[:, group] = np.exp(rng.normal(0, shape, (n, 1, 1)))
    wide = np.where(rng.random((n, 1, 1)) < 0.5, rng.uniform(1.0, 1.5, (n, 1, 1)), 1.0)
    factor[:, _GROUPS["hip"]] *= wide
    return bones * factor * np.exp(rng.normal(0, size, (n, 1, 1)))


def exchange_bodies(bones: Array, usual: Array, rng: np.random.Generator, young: float = 0.05) -> Array:
    """The poses of other people: bones as long as theirs, see ``bodies``.

    Args:
        bones: (N, 17, 3) poses to change.
        usual: (N, 17) mm, how long an average adult's bones are as the pose's file defines the joints.
        rng: source of randomness.
        young: share of the bodies that is children's.
    """
    wanted = usual * bodies.lengths(len(bones), rng, young)
    own = np.linalg.norm(bones, axis=-1)
    return bones * (wanted / np.maximum(own, 1e-6))[..., None]


def redefine(joints: Array, rng: np.random.Generator, frames: int = 1) -> Array:
    """Where somebody else says that the joints are: the same shift in the body's axes on both sides.

    Image detectors mark shoulders, hips, elbows ... on the surface and each a little elsewhere; triangulating what they
    mark gives skeletons like these. The hips are moved outwards too, by up to 30 mm each. As many neighbouring poses as
    ``frames`` says are of one motion, and shifted alike.
    """
    frame = body_frame(to_bones(joints))
    n = len(joints) // frames
    shift = rng.normal(size=(n, 17, 3)) * _SHIFT_MM[:, None]
    shift[:, sk.R_HIP, 0] -= rng.uniform(0, _WIDER_MM / 2, n)
    shift[:, sk.LEFT] = shift[:, sk.RIGHT] * [-1.0, 1.0, 1.0]
    shift = np.repeat(shift, frames, 0)
    out = joints + np.einsum("nij,nkj->nki", frame, shift)
    out[:, sk.PELVIS] = (out[:, sk.R_HIP] + out[:, sk.L_HIP]) / 2
    return out - out[:, :1]


def body_frame(bones: Array) -> Array:
    """(N, 3, 3) rotation whose columns are the body's left, front-ish and up axes in the pose's axes."""
    up = bones[:, sk.SPINE] + bones[:, sk.THORAX]
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    left = bones[:, sk.L_HIP] - bones[:, sk.R_HIP]
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-6)
    return np.stack([left, np.cross(up, left), up], -1)


def exchange_limbs(bones: Array, donors: Array, rng: np.random.Generator, chance: float = 0.4) -> Array:
    """Give a pose the limbs of another, direction by direction in the body frame, keeping its own bone lengths.

    Args:
        bones: (N, 17, 3) poses to change.
        donors: (N, 17, 3) poses the limbs are taken from.
        rng: source of randomness.
        chance: probability that a pose is changed at all; each limb is then exchanged with probability 1/2.
    """
    turn = body_frame(bones) @ body_frame(donors).transpose(0, 2, 1)
    moved = donors @ turn.transpose(0, 2, 1)
    length = np.linalg.norm(bones, axis=-1, keepdims=True)
    moved *= length / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-6)
    chosen = rng.random((len(bones), 1)) < chance
    out = bones.copy()
    for limb in _LIMBS:
        take = (chosen & (rng.random((len(bones), 1)) < 0.5))[..., None]
        out[:, limb] = np.where(take, moved[:, limb], out[:, limb])
    return out


def random_rotations(n: int, rng: np.random.Generator) -> Array:
    """(n, 3, 3) rotations drawn uniformly: unit quaternions from a normal distribution."""
    w, x, y, z = np.moveaxis((q := rng.normal(size=(n, 4))) / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def tilt(joints: Array, rng: np.random.Generator, degrees: float = 30.0) -> Array:
    """Poses (N, 17, 3) leaning: turned around any horizontal axis by a normally distributed angle."""
    n = len(joints)
    around, angle = rng.uniform(0, 2 * np.pi, n), rng.normal(0, degrees, n)
    axis = np.stack([np.cos(around), np.sin(around), np.zeros(n)], -1)
    return rotate(joints, axis[:, None], angle[:, None])


def rotate(vectors: Array, axis: Array, degrees: Array) -> Array:
    """Vectors (..., 3) turned around unit axes (..., 3) by degrees (...): Rodrigues' formula."""
    angle = np.radians(degrees)[..., None]
    c, s = np.cos(angle), np.sin(angle)
    return vectors * c + np.cross(axis, vectors) * s + axis * (vectors * axis).sum(-1, keepdims=True) * (1 - c)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to poses: shares of them."""

    exchange: float = 0.4
    """Get limbs of others."""
    bodies: float = 0.0
    """Get measured bodies, where it is known how long bones usually are; the others are scaled bone by bone."""
    redefine: float = 0.0
    """Get joints where a detector would have them."""
    tilt: float = 0.0
    """Lean."""
    tumble: float = 0.03
    """Are turned any way."""


def augment(
    joints: Array, donors: Array, rng: np.random.Generator, how: Augmentation = Augmentation(),
    usual: Array | None = None,
) -> Array:  # fmt: skip
    """All of it: limbs, bodies, definitions of joints, mirror image, and orientations.

    Args:
        joints: (N, 17, 3) mm, z up.
        donors: (N, 17, 3) mm, z up: where limbs are taken from.
        rng: source of randomness.
        how: how often.
        usual: (N, 17) mm, see ``exchange_bodies``.

    Returns:
        (N, 17, 3) mm, root-relative.
    """
    n = len(joints)
    bones = exchange_limbs(to_bones(joints), to_bones(donors), rng, how.exchange)
    out = from_bones(scale_bones(bones, rng))
    if usual is not None and how.bodies:
        other = rng.random(n) < how.bodies
        out[other] = from_bones(exchange_bodies(bones[other], usual[other], rng))
    if how.redefine:
        moved = rng.random(n) < how.redefine
        out[moved] = redefine(out[moved], rng)
    flip = rng.random(n) < 0.5
    out[flip] = sk.mirror(out[flip])
    if how.tilt:
        leaning = rng.random(n) < how.tilt
        out[leaning] = tilt(out[leaning], rng)
    turned = rng.random(n) < how.tumble
    out[turned] = np.einsum("nij,nkj->nki", random_rotations(int(turned.sum()), rng), out[turned])
    return out
