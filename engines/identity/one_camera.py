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


def spot(sighting: Sighting, before: Spotted | None, t: float) -> Spotted:
    """What is kept of a sighting at t seconds; ``before`` is the last one of the same person in the same camera."""
    detection = sighting.detection
    shown = seen_limbs(detection.score)
    limbs = detection.xy[_LIMBS][shown] if shown.any() else detection.xy[detection.score > 0]
    low, high = limbs.min(0), limbs.max(0)
    middle, velocity = (low + high) / 2, np.zeros(2)
    if before is not None and t > before.t:
        dt = t - before.t
        share = 1 - np.exp(-dt / _MOTION_S)
        velocity = before.velocity + share * ((middle - before.middle) / dt - before.velocity)
    return Spotted(
        sighting.track, t, detection.xy, detection.score, middle, float((high - low).max()), np.asarray(velocity)
    )


def expected(spotted: Spotted, t: float, options: IdentityOptions = IdentityOptions()) -> Array:
    """(2,) pixels: where the middle of somebody is to be at t seconds."""
    # The speed decays, so that nobody is expected to have walked through the wall.
    lasts = options.damping_s * (1 - np.exp(-(t - spotted.t) / options.damping_s))
    return spotted.middle + spotted.velocity * lasts


def away(spotted: Spotted, found: Spotted, t: float, options: IdentityOptions = IdentityOptions()) -> float:
    """How far a person is from where somebody was to be: 1 is as far as they may be; infinite for another size."""
    ratio = max(found.height, 1.0) / max(spotted.height, 1.0)
    if not 1 / options.resized <= ratio <= options.resized:
        return np.inf
    reach = (options.reach + options.reach_a_second * (t - spotted.t)) * spotted.height
    return float(np.linalg.norm(found.middle - expected(spotted, t, options)) / max(reach, 1.0))


def match(
    people: Sequence[Known], camera: int, seen: Sequence[Sighting], t: float, options: IdentityOptions
) -> Mapping[int, int]:
    """Who each sighting of one camera is: by its track, else the nearest of those whom this camera lost.

    Returns:
        Number of the sighting -> index of the person.
    """
    by_track = {known.track: row for row, person in enumerate(people) if (known := person.views[camera]) is not None}
    found = {k: by_track[sighting.track] for k, sighting in enumerate(seen) if sighting.track in by_track}
    lost = [row for row, person in enumerate(people) if row not in found.values() and person.views[camera] is not None]
    new = [k for k in range(len(seen)) if k not in found]
    if not lost or not new:
        return found
    spotted = [spot(seen[k], None, t) for k in new]
    cost = np.array([[away(people[row].views[camera], s, t, options) for s in spotted] for row in lost])  # type: ignore[arg-type]
    for row, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
        if cost[row, column] <= 1:
            found[new[column]] = lost[row]
    return found
