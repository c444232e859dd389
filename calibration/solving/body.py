"""A person's body: which joints make it, its proportions, the lengths of its bones, and where up is by it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.solving.bones import Bones
from calibration.solving.gait import way, without
from calibration.solving.vertical import Vertical, vertical

# Parts of a standing height (Drillis and Contini 1966): the length of each limb, and of hips to shoulders.
_THIGH, _SHANK, _UPPER_ARM, _TRUNK, _FOREARM = 0.245, 0.246, 0.186, 0.288, 0.146
# Standard deviations of the logarithm of a bone's length: of all together, of a kind, of one side. A detector's hip is
# not where Drillis and Contini had theirs.
_STATURE, _PROPORTION, _SIDES = 0.1, 0.08, 0.02
# By how much a bone changes from moment to moment; a trunk bends.
_BONE_MM, _TRUNK_MM, _TRUNK_KIND = 15.0, 30.0, 3
# A walking body sways by 3 degrees or so; one that leans more does not tell up.
_LEAN_DEGREES = 10.0
_STEEP = 0.35
"""Sine of the slope above which the way of the feet is none on a floor."""


@dataclass(frozen=True, slots=True)
class Body:
    """Which joints are which; each a (right, left) pair of indexes."""

    hips: tuple[int, int]
    knees: tuple[int, int]
    ankles: tuple[int, int]
    shoulders: tuple[int, int]
    elbows: tuple[int, int]
    wrists: tuple[int, int]

    @property
    def limbs(self) -> list[int]:
        """The twelve joints that are points of a body, not means of others."""
        return [
            j for pair in (self.hips, self.knees, self.ankles, self.shoulders, self.elbows, self.wrists) for j in pair
        ]

    def bones(self) -> tuple[list[tuple[int, int]], Array]:
        """Bones (B) as joint pairs and their lengths (B,) as parts of the height."""
        pairs = [(a, b) for x, y in ((self.hips, self.knees), (self.knees, self.ankles), (self.shoulders, self.elbows))
                 for a, b in zip(x, y, strict=True)]  # fmt: skip
        pairs += list(zip(self.hips, self.shoulders, strict=True))
        return pairs, np.repeat([_THIGH, _SHANK, _UPPER_ARM, _TRUNK], 2)

    def tied(self, height_mm: float) -> Bones:
        """Bones between the ``limbs`` that keep their lengths: those of ``bones``, and the forearms."""
        pairs, parts = self.bones()
        pairs, parts = pairs + list(zip(self.elbows, self.wrists, strict=True)), np.append(parts, 2 * [_FOREARM])
        place = {joint: k for k, joint in enumerate(self.limbs)}
        kind = np.arange(len(pairs)) // 2
        alike = _STATURE**2 + _PROPORTION**2 * (kind[:, None] == kind) + _SIDES**2 * np.eye(len(pairs))
        sigma = np.where(kind == _TRUNK_KIND, _TRUNK_MM, _BONE_MM)
        return Bones(len(place), np.array([[place[a], place[b]] for a, b in pairs]), parts * height_mm, alike, sigma)


def height_of(joints: Array, body: Body) -> float:
    """The height, in the joints' unit, of the body of average proportions that fits best."""
    pairs, part = body.bones()
    lengths = bone_lengths(joints, pairs)
    good = np.isfinite(lengths)
    if not good.any():
        raise CalibrationError("no bone was located often enough to tell the scale; let the person walk in full view")
    # The legs and the trunk make the height; the arms count where nothing else was seen.
    long = good & (np.arange(len(part)) // 2 != 2)
    use = long if bool(np.any(long)) else good
    return float(lengths[use].sum() / part[use].sum())


def limb_lengths(joints: Array, body: Body) -> tuple[Array, Array]:
    """Median lengths (B,) of the long bones, thighs, shanks and upper arms, and their lengths as parts of the height.

    Args:
        joints: (F, J, 3) mm, NaN where not located.
        body: which joints are which.

    Returns:
        Lengths in the joints' unit, NaN for bones located in fewer than five frames; and parts.
    """
    pairs, part = body.bones()
    trunk = [set(pair) & set(body.hips) and set(pair) & set(body.shoulders) for pair in pairs]
    long = np.array([not part_of_trunk for part_of_trunk in trunk])
    return bone_lengths(joints, pairs)[long], part[long]


def bone_spread(joints: Array, body: Body) -> float:
    """By how much the length of the typical bone changes, as a part of it: 1.48 times the median deviation.

    Args:
        joints: (F, J, 3) mm, NaN where not located.
        body: which joints are which.
    """
    a, b = np.array(body.bones()[0]).T
    length = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    spreads = [
        1.48 * np.median(np.abs(seen - np.median(seen))) / np.median(seen)
        for seen in (column[np.isfinite(column)] for column in length.T)
        if len(seen) >= 5
    ]
    return float(np.median(spreads)) if spreads else float("nan")


def bone_lengths(joints: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Median lengths (B,) of bones in the joints' unit; NaN for those located in fewer than five frames.

    Args:
        joints: (F, J, 3), NaN where not located.
        pairs: joints of each bone.
    """
    a, b = np.array(pairs).T
    length = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    enough = np.isfinite(length).sum(0) >= 5
    return np.array([np.nanmedian(length[:, k]) if enough[k] else np.nan for k in range(len(pairs))])


def body_up(joints: Array, body: Body) -> Array:
    """The median direction from the ankles to the shoulders: against gravity, if the person mostly stood or walked.

    Who walks leans forwards, so what lies along the way of the feet is left out, as the floor is level along it: on
    walks of two to four seconds this leaves 1.3 degrees of 3.4.

    Args:
        joints: (F, J, 3) mm, NaN where not located.
        body: which joints are which.

    Returns:
        (3,) unit vector.

    Raises:
        CalibrationError: if shoulders and ankles were never located together, or the person mostly leaned or bent.
    """
    d = joints[:, list(body.shoulders)].mean(1) - joints[:, list(body.ankles)].mean(1)
    d = d[np.isfinite(d).all(1)]
    if not len(d):
        raise CalibrationError("shoulders and ankles were never located together; let the person walk in full view")
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    up = np.median(d, axis=0)
    up /= np.linalg.norm(up)
    along = way(joints[:, list(body.ankles)])
    if along is not None and abs(along @ up) < _STEEP:
        up, d = without(up, along), without(d, along)
    lean = float(np.median(np.degrees(np.arccos(np.clip(d @ up, -1, 1)))))
    if lean > _LEAN_DEGREES:
        raise CalibrationError(
            f"the person leans or bends by {lean:.0f} degrees on average, so up is not known; let them walk upright"
        )
    return up


def walk_up(joints: Array, body: Body) -> Vertical:
    """Up by all that a walk tells of it, and how well it is known: see ``calibration.solving.vertical``.

    Args:
        joints: (F, J, 3) mm, about ten moments a second; NaN where not located.
        body: which joints are which.

    Raises:
        CalibrationError: as ``body_up``, which it starts from.
    """
    first = body_up(joints, body)
    trunk = joints[:, list(body.shoulders)].mean(1) - joints[:, list(body.ankles)].mean(1)
    (hip_r, hip_l), (shoulder_r, shoulder_l) = body.hips, body.shoulders
    left = joints[:, hip_l] - joints[:, hip_r] + joints[:, shoulder_l] - joints[:, shoulder_r]
    return vertical(trunk, left, joints[:, list(body.ankles)], first)
