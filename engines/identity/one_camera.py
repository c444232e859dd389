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


def spots(sightings: Sequence[Sighting], t: float) -> list[Spotted]:
    """What is kept of sightings at t seconds of people who were not seen before."""
    if not sightings:
        return []
    xy = np.stack([one.detection.xy for one in sightings])[:, _LIMBS].astype(np.float64)
    seen = seen_limbs(np.stack([one.detection.score for one in sightings]))
    low, high = np.where(seen[..., None], xy, np.inf).min(1), np.where(seen[..., None], xy, -np.inf).max(1)
    height = np.where(seen.any(-1), (high - low).max(-1), 0.0)
    xy = np.where(seen[..., None], xy, 0)
    return [
        Spotted(one.track, t, xy[k], seen[k], seen[k], float(height[k]), np.zeros(2)) for k, one in enumerate(sightings)
    ]


def again(now: Sequence[Spotted], before: Sequence[Spotted | None], t: float) -> list[Spotted]:
    """What is kept of sightings (``spots``) at t seconds, each with the last one of its person in the same camera."""
    out = list(now)
    known = [(k, old) for k, old in enumerate(before) if old is not None and t > old.t]
    if not known:
        return out
    rows, olds = [k for k, _ in known], [old for _, old in known]
    dt = np.array([t - old.t for old in olds])[:, None]
    xy, seen = np.stack([now[k].joints for k in rows]), np.stack([now[k].seen for k in rows])
    joints, velocity = np.stack([old.joints for old in olds]), np.stack([old.velocity for old in olds])
    both = seen & np.stack([old.seen for old in olds])
    count = both.sum(-1)[:, None]
    speed = np.where(both[..., None], xy - joints, 0.0).sum(1) / np.maximum(count, 1) / dt
    velocity = np.where(count > 0, velocity + (1 - np.exp(-dt / _MOTION_S)) * (speed - velocity), velocity)
    joints = np.where(seen[..., None], xy, joints + (velocity * dt)[:, None])
    known_now = seen | np.stack([old.known for old in olds])
    for n, (k, old) in enumerate(known):
        # Half a body is no smaller body: the height shrinks slowly.
        height = max(now[k].height, old.height * float(np.exp(-(t - old.t) / _SHRINKS_S)))
        out[k] = Spotted(now[k].track, t, joints[n], known_now[n], seen[n], height, velocity[n])
    return out


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
    spotted = spots([seen[k] for k in new], t)
    cost = np.array([[away(before, s, t, options) for s in spotted] for _, before in lost])
    for k, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
        if cost[k, column] <= 1:
            found[new[column]], _ = lost[k]
    return found
