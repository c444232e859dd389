"""Who is who in one camera: by the track, and who was lost by where they were to be."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array
from engines.identity.types import IdentityOptions, Known, Spotted
from engines.oks import seen_limbs
from engines.skeleton import LIMBS
from engines.types import Sighting

_LIMBS: Final = np.array(LIMBS)
_MOTION_S: Final = 0.2
_SHRINKS_S: Final = 2.0


def spot(sighting: Sighting, before: Spotted | None, t: float) -> Spotted:
    """What is kept of a sighting at t seconds; ``before`` is the last one of the same person in the same camera."""
    detection = sighting.detection
    xy, seen = detection.xy[_LIMBS].astype(np.float64), seen_limbs(detection.score)
    shown = xy[seen]
    height = float((shown.max(0) - shown.min(0)).max()) if len(shown) else 0.0
    if before is None or t <= before.t:
        return Spotted(sighting.track, t, np.where(seen[:, None], xy, 0), seen, seen, height, np.zeros(2))
    dt, both = t - before.t, seen & before.seen
    velocity = before.velocity
    if both.any():
        speed = (xy - before.joints)[both].mean(0) / dt
        velocity = velocity + (1 - np.exp(-dt / _MOTION_S)) * (speed - velocity)
    joints = np.where(seen[:, None], xy, before.joints + velocity * dt)
    # Half a body is no smaller body: the height shrinks slowly.
    height = max(height, before.height * float(np.exp(-dt / _SHRINKS_S)))
    return Spotted(sighting.track, t, joints, seen | before.known, seen, height, velocity)


def expected(spotted: Spotted, t: float, options: IdentityOptions = IdentityOptions()) -> Array:
    """(12, 2) pixels: where the limb joints of somebody are to be at t seconds."""
    # The speed decays, so that nobody is expected to have walked through the wall.
    lasts = options.damping_s * (1 - np.exp(-(t - spotted.t) / options.damping_s))
    return spotted.joints + spotted.velocity * lasts


def away(spotted: Spotted, found: Spotted, t: float, options: IdentityOptions = IdentityOptions()) -> float:
    """How far a person is from where somebody was to be: 1 is as far as they may be; infinite for another size."""
    both = spotted.known & found.seen
    reach = (options.reach + options.reach_a_second * (t - spotted.t)) * max(spotted.height, found.height, 1.0)
    joints = expected(spotted, t, options)
    if both.sum() < 3:  # only other joints than before: their means tell as much as there is to tell
        off = found.joints[found.seen].mean(0) - joints[spotted.known].mean(0)
        return float(np.linalg.norm(off) / reach)
    ratio = _spread(found.joints[both]) / _spread(joints[both])
    if not 1 / options.resized <= ratio <= options.resized:
        return np.inf
    return float(np.median(np.linalg.norm(found.joints[both] - joints[both], axis=-1)) / reach)


def _spread(points: Array) -> float:
    """Root mean square distance of points (N, 2) from their mean, one pixel at least."""
    return max(float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean())), 1.0)


def match(
    people: Sequence[Known], camera: int, seen: Sequence[Sighting], t: float, options: IdentityOptions
) -> Mapping[int, int]:
    """Who each sighting of one camera is: by its track, else the nearest of those whom this camera lost.

    Returns:
        Number of the sighting -> index of the person.
    """
    by_track = {known.track: row for row, person in enumerate(people) if (known := person.views[camera]) is not None}
    found = {k: by_track[sighting.track] for k, sighting in enumerate(seen) if sighting.track in by_track}
    lost = [
        (row, before)
        for row, person in enumerate(people)
        if row not in found.values() and (before := person.views[camera]) is not None
    ]
    new = [k for k in range(len(seen)) if k not in found]
    if not lost or not new:
        return found
    spotted = [spot(seen[k], None, t) for k in new]
    cost = np.array([[away(before, s, t, options) for s in spotted] for _, before in lost])
    for k, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
        if cost[k, column] <= 1:
            found[new[column]], _ = lost[k]
    return found
