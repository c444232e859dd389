"""Poses that nobody captured: sitting, lying, crouching, hanging and balancing people, put together from parts.

Trunk and arms are those of captured poses, legs are set by angles drawn for the kind, and what a limb cannot do is left
out: as in Akhter and Black, "Pose-Conditioned Joint Angle Limits" (CVPR 2015), how an elbow or knee may bend depends on
where the upper arm or thigh points. Theirs are learned from people who went to their limits; these from everything that
was captured, so they hold what people do and not what they could.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from engines import skeleton as sk
from engines.training.data.mocap import Poses, concatenate
from engines.training.lifter.augment import body_frame, from_bones, rotate, to_bones

ARMS: Final = ((sk.L_ELBOW, sk.L_WRIST), (sk.R_ELBOW, sk.R_WRIST))
LEGS: Final = ((sk.L_KNEE, sk.L_ANKLE), (sk.R_KNEE, sk.R_ANKLE))
_CELL: Final = 0.25
"""Edge of the cells in which directions are counted: about 14 degrees."""
_SPREAD: Final = 0.12
"""Standard deviation an axis by which captured directions are smeared, so that a cell between two is no hole."""
_COPIES: Final = 10
_HEAVY = np.int64(16) ** np.arange(6)


def _unit(v: Array) -> Array:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _directions(bones: Array, limb: tuple[int, int], mirror: bool) -> Array:
    """(N, 6) directions of a limb's two bones in the body's axes; a right one as if it were a left one."""
    local = _unit(bones[:, limb] @ body_frame(bones))
    return (local * [-1.0, 1.0, 1.0] if mirror else local).reshape(len(bones), 6)


def _cells(directions: Array) -> NDArray[np.int64]:
    return (np.floor(directions / _CELL).astype(np.int64) + 8) @ _HEAVY


class Limits:
    """What arms and legs were seen to do.

    Args:
        bones: (N, 17, 3) of captured poses.
        rng: of the smearing.
    """

    def __init__(self, bones: Array, rng: np.random.Generator) -> None:
        self._seen: dict[tuple, NDArray[np.int64]] = {}
        for limbs in (ARMS, LEGS):
            both = np.concatenate([_directions(bones, limb, side == 1) for side, limb in enumerate(limbs)])
            smeared = both[None] + rng.normal(0, _SPREAD, (_COPIES, *both.shape))
            smeared = _unit(smeared.reshape(-1, 2, 3)).reshape(-1, 6)
            self._seen[limbs] = np.unique(_cells(np.concatenate([both, smeared])))

    def allow(self, bones: Array) -> Bools:
        """(N,) whether all four limbs do what was seen."""
        fine = np.ones(len(bones), bool)
        for limbs, seen in self._seen.items():
            for side, limb in enumerate(limbs):
                cells = _cells(_directions(bones, limb, side == 1))
                at = np.minimum(np.searchsorted(seen, cells), len(seen) - 1)
                fine &= seen[at] == cells
        return fine


@dataclass(frozen=True, slots=True)
class Kind:
    """Angles in degrees as (mean, standard deviation); a leg's are drawn anew for each, around the body's own."""

    flexion: tuple[float, float]
    """Of the thigh, forward from the trunk's downward axis."""
    bend: tuple[float, float]
    """Of the knee."""
    lean: tuple[float, float]
    """Of the trunk, forward."""
    outward: tuple[float, float] = (8.0, 10.0)
    """Of the thigh."""
    turn: float = 12.0
    """Standard deviation of the thigh's rotation about itself."""
    apart: float = 8.0
    """Standard deviation of a leg around what both do."""
    lying: bool = False
    """The trunk is put down on any side."""
    arms_up: bool = False
    """Both arms reach up."""
    one_back: bool = False
    """One leg stands under the body, the other is as drawn."""


KINDS: Final[Mapping[str, Kind]] = {
    "sitting": Kind((82, 12), (85, 22), (3, 14), (10, 10)),
    "sitting on the floor": Kind((80, 16), (70, 45), (5, 15), (18, 18), 30, 15),
    "lying": Kind((18, 22), (25, 28), (0, 0), (8, 8), 12, 15, lying=True),
    "lying, legs drawn up": Kind((75, 25), (90, 30), (0, 0), (8, 12), 15, 15, lying=True),
    "crouching": Kind((108, 16), (118, 18), (32, 16), (14, 12), 15, 10),
    "hanging": Kind((8, 16), (18, 25), (0, 10), (4, 8), 10, 10, arms_up=True),
    "balancing": Kind((-15, 25), (15, 25), (45, 30), (10, 15), 15, 0, one_back=True),
}


def _legs(n: int, kind: Kind, rng: np.random.Generator) -> Array:
    """(n, 2, 2, 3) directions of thigh and shin in axes left, front, up; the left leg first."""
    left, down, front = np.eye(3)[[0]], -np.eye(3)[[2]], np.eye(3)[[1]]
    out = np.empty((n, 2, 2, 3))
    spread = {"flexion": kind.flexion, "bend": kind.bend, "outward": kind.outward}
    both = {name: rng.normal(*values, n) for name, values in spread.items()}
    for side, sign in enumerate((1.0, -1.0)):
        own = {name: value + rng.normal(0, kind.apart, n) for name, value in both.items()}
        bend = np.abs(own["bend"])
        thigh = rotate(np.repeat(down, n, 0), -np.repeat(left, n, 0), -own["flexion"])
        thigh = rotate(thigh, np.repeat(front, n, 0), -sign * own["outward"])
        hinge = rotate(np.repeat(left, n, 0), np.repeat(front, n, 0), -sign * own["outward"])
        hinge = rotate(hinge, thigh, rng.normal(0, kind.turn, n))
        out[:, side, 0], out[:, side, 1] = thigh, rotate(thigh, hinge, bend * _KNEE)
    return out


_KNEE: Final = -1.0
"""Sign of a knee's bend around the axis to the left: the shin goes back."""


def _compose(bones: Array, donors: Array, kind: Kind, rng: np.random.Generator) -> Array:
    """Bones (N, 17, 3) of a kind, in world axes."""
    n = len(bones)
    frame = body_frame(bones)
    local, other = bones @ frame, donors @ body_frame(donors)
    length = np.linalg.norm(bones, axis=-1, keepdims=True)
    out = local.copy()
    axes = np.array([1.0, _FRONT, 1.0])
    for index, limb in enumerate(ARMS):
        out[:, limb] = _unit(other[:, limb]) * length[:, limb]
        if kind.arms_up:
            up = _unit(rng.normal(0, 0.22, (n, 2, 3)) + [0.12 * (1, -1)[index], 0.1 * _FRONT, 1.0])
            out[:, limb] = up * length[:, limb]
    legs, side = _legs(n, kind, rng) * axes, None
    if kind.one_back:
        stood = _legs(n, Kind((0, 8), (12, 14), (0, 0)), rng) * axes
        # The standing leg is upright in the world whatever the trunk does: that is put right below, by the lean.
        side = rng.integers(0, 2, n)
        legs[np.arange(n), side] = stood[np.arange(n), side]
    lean = rng.normal(*kind.lean, n)
    if side is not None:
        legs[np.arange(n), side] = np.stack(
            [rotate(legs[np.arange(n), side, k], np.repeat([[1.0, 0, 0]], n, 0), lean * _FRONT) for k in (0, 1)], 1
        )
    for index, limb in enumerate(LEGS):
        out[:, limb] = legs[:, index] * length[:, limb]
    return _placed(out, lean, kind, rng)


_FRONT: Final = -1.0
"""Sign of ``body_frame``'s second axis along the direction that the body faces."""


def _placed(local: Array, lean: Array, kind: Kind, rng: np.random.Generator) -> Array:
    """Bones in the body's axes stood up, leaned forward, or put down on a side."""
    n = len(local)
    if kind.lying:
        # Any roll around the trunk, then the trunk level but for a few degrees.
        roll, tip = rng.uniform(0, 360, n), 90 + rng.normal(0, 8, n)
        local = _turn(local, [0.0, 0.0, 1.0], roll)
        return _turn(local, [1.0, 0.0, 0.0], tip)
    # Leaning forward takes up (z) towards the front.
    return _turn(local, [1.0, 0.0, 0.0], -lean * _FRONT)


def _turn(bones: Array, axis: list[float], degrees: Array) -> Array:
    return rotate(bones, np.array(axis), degrees[:, None])


def compose(poses: Poses, chance: Array, rng: np.random.Generator, each: int) -> tuple[Poses, dict[str, float]]:
    """New poses of every kind.

    Args:
        poses: the captured poses: trunks, arms and limits.
        chance: (N,) how likely each is drawn, summing to 1.
        rng: source of randomness.
        each: how many of each kind are tried.

    Returns:
        The poses that keep the limits, and the share of each kind that did.
    """
    bones = to_bones(poses.joints - poses.joints[:, :1])
    limits = Limits(bones, rng)
    parts, shares = [], {}
    for name, kind in KINDS.items():
        base, donor = (rng.choice(len(poses), each, p=chance) for _ in range(2))
        new = _compose(bones[base].astype(float), bones[donor].astype(float), kind, rng)
        fine = limits.allow(new)
        shares[name] = float(fine.mean())
        found = from_bones(new[fine]).astype(np.float32)
        count = len(found)
        parts.append(Poses(found, poses.subject[base][fine], np.full(count, name), poses.file[base][fine]))
    return concatenate(parts), shares
