"""One followed person in one camera: where to look next, and whether what was seen there is still them."""

import numpy as np

from calibration.arrays import Array
from engines import preprocess
from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.top_down.options import TopDownOptions
from engines.top_down.turning import quarter_of
from engines.types import Detection


class FollowedBox:
    """The square in which one person is looked for, from pose to pose. All of its state is here.

    Args:
        options: when a pose is believed.
    """

    def __init__(self, options: TopDownOptions = TopDownOptions()) -> None:
        self._options = options
        self.bounds: Array | None = None
        """(2, 2) top left and bottom right corner of the limbs that were last seen, pixels."""
        self.seen = self.checked = -np.inf
        """Seconds: when the person was last seen, and when it was last checked that somebody is in the box."""
        self.strength = 0.0
        """Mean score of the best eight limb joints of the last pose."""
        self.quarter = 0
        """Quarter turns after which the person is upright."""
        self._side = 0.0
        self._velocity = np.zeros(2)
        self._still: tuple[Array, float, float] | None = None
        """Middle and side of a box, pixels, and since when the boxes have been nearly that."""

    def predict(self, t: float) -> Box | None:
        """Where to look at t seconds; None before anybody was seen."""
        if self.bounds is None:
            return None
        # Half of what the last speed says: limbs that swing move the box too, and the whole of it adds jitter.
        ahead = np.clip(0.5 * self._velocity * (t - self.seen), -0.25 * self._side, 0.25 * self._side)
        centre = self.bounds.mean(0) + ahead
        # A box that follows every pixel makes the pose move, and that moves the box: a photograph would never be still.
        # Who moves is followed as before: a box that jumps makes the pose jump, too.
        if self._still is not None:
            before, side, since = self._still
            near = float(np.abs(centre - before).max()) < self._options.still * side
            if near and abs(self._side - side) < self._options.still_side * side and t >= since:
                held = t - since >= self._options.still_s
                return preprocess.square(before, side) if held else preprocess.square(centre, self._side)
        self._still = centre, self._side, t
        return preprocess.square(centre, self._side)

    def check_due(self, t: float) -> bool:
        """Whether it is time to check that somebody is in the box: more often where that is doubtful."""
        options = self._options
        return due(t, self.checked, options.doubt_s if self.strength < options.doubt else options.check_s)

    def accept(self, pose: Detection, least: float, t: float, *, same: bool) -> bool:
        """Whether the pose is a person (the same one), and if so follow it.

        Args:
            pose: what was seen in the box.
            least: mean score of the best eight limb joints for it to be a person.
            t: seconds.
            same: whether it is to be where the person was.
        """
        xy = pose.xy
        strength = self.strength_of(pose)
        if not np.isfinite(xy).all() or not np.isfinite(strength):
            return True  # whoever asked hears of it, and forgets this person
        bounds = limb_bounds(pose)
        if strength < least or bounds is None:
            return False
        if same and overlap(bounds, self.bounds) < 0.15:
            return False
        if same and self.bounds is not None and t > self.seen:
            self._velocity = (bounds.mean(0) - self.bounds.mean(0)) / (t - self.seen)
        # Grows at once, shrinks slowly: a few unseen joints must not collapse the box around the rest.
        self._side = max(self._options.pad * float(np.ptp(bounds, axis=0).max()), 0.95 * self._side, 16.0)
        self.bounds, self.seen, self.strength = bounds, t, strength
        self.quarter = quarter_of(pose, self.quarter) if self._options.turns else 0
        return True

    @staticmethod
    def strength_of(pose: Detection) -> float:
        """Mean score of the best eight limb joints."""
        return float(np.sort(pose.score[np.array(LIMBS)])[-8:].mean())

    def stop(self) -> None:
        """Know no more how large the person is and where they go, only where they were."""
        self._side, self._velocity, self._still = 0.0, np.zeros(2), None


def limb_bounds(pose: Detection) -> Array | None:
    """(2, 2) top left and bottom right corner of the limb joints that were seen, pixels; None of fewer than five."""
    limbs = np.array(LIMBS)
    seen = limbs[pose.score[limbs] >= 0.15]
    return np.stack([pose.xy[seen].min(0), pose.xy[seen].max(0)]) if len(seen) >= 5 else None


def due(t: float, last: float, interval: float) -> bool:
    """Whether ``interval`` seconds have passed since ``last``, or time went back."""
    return not 0 <= t - last < interval - 1e-6


def overlap(a: Array | None, b: Array | None) -> float:
    """Intersection over union of two boxes (2, 2); thin ones (a person from the side) are widened first."""
    if a is None or b is None:
        return 0.0
    a, b = (_widen(a), _widen(b))
    common = np.prod(np.maximum(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0))
    return float(common / max(np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - common, 1e-9))


def _widen(bounds: Array) -> Array:
    centre, size = bounds.mean(0), np.ptp(bounds, axis=0)
    half = np.maximum(size, 0.4 * size.max()) / 2
    return np.stack([centre - half, centre + half])
