"""What is kept of everybody, and what is said of one frame set. All frozen: a step makes a new state of the old."""

import math
from dataclasses import dataclass

from calibration.arrays import Array, Bools


@dataclass(frozen=True, slots=True)
class IdentityOptions:
    """When somebody is still the same. Times are in the frames' own."""

    remember_s: float = 2.0
    """Who was not seen for longer is somebody new when they return."""
    reach: float = 0.35
    """Somebody may be found again this far from where they were to be, in their own heights ..."""
    reach_a_second: float = 0.8
    """... and further with every second."""
    damping_s: float = 0.5
    """Who is not seen slows down within this time: people who vanish have often stopped or turned."""
    resized: float = 1.6
    """Somebody found again is at most so much larger or smaller in the image."""
    gap_mm: float = 40.0
    """Rays of one joint pass each other at this distance, one standard deviation."""
    depth: float = 0.12
    """How far a lifted body is away is unsure by this share of it."""
    pose_mm: float = 120.0
    """The nearest hypotheses of two views of one body differ by this, root mean square of the joints."""
    same: float = 1.8
    """Sightings of two cameras that differ by less (``pairs``) may be one person; 1 % of wrong pairs do ..."""
    same_known: float = 1.2
    """... and by less than this where both are people who are known already."""
    reprojection: float = 0.15
    """A sighting is somebody's whose joints are where it shows them within this share of its height ..."""
    held: float = 0.08
    """... and theirs rather than that of somebody whom only its own camera knows, within this."""
    reach_mm: float = 400.0
    """Somebody may be found again this far from where they were to be in the world ..."""
    reach_mm_a_second: float = 1200.0
    """... and further with every second."""
    one_place_mm: float = 150.0
    """Two whom no camera sees as two are one where the median of their limb joints is no further apart than this."""
    doubt_s: float = 0.5
    """Somebody whom one camera sees, and another that should see them does not, counts after this time."""
    alone_s: float = 1.0
    """A camera whose sightings are nobody's whom others see is not believed alone after this time ..."""
    estranged_s: float = 3.0
    """... and is named after this one."""


@dataclass(frozen=True, slots=True, eq=False)
class Spotted:
    """One person as a camera last saw them."""

    track: int
    """``Sighting.track``."""
    t: float
    """Seconds."""
    joints: Array
    """(12, 2) pixels, the limb joints; a hidden one is where it was last seen, carried along with the body."""
    known: Bools
    """(12,) which of them were ever seen."""
    seen: Bools
    """(12,) which of them are seen now."""
    height: float
    """Pixels, the longer side of the box of the limb joints; of one who is half hidden, as before that."""
    velocity: Array
    """(2,) pixels a second, of the joints' mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One person in the world, as they were last fused."""

    joints: Array
    """(12, 3) mm, the limb joints."""
    t: float
    """Seconds, of the frame set they are of."""
    velocity: Array
    """(3,) mm/s, of their mean."""
    shared: bool
    """Whether two cameras or more told; the place of somebody seen by one is as unsure as the size of the body."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One person."""

    person_id: int
    """Never used again."""
    views: tuple[Spotted | None, ...]
    """One a camera: as it last saw them, not longer ago than they are remembered."""
    born: float
    """Seconds, when they were first seen."""
    placed: Placed | None = None
    """Where they stand; None where nothing is calibrated, or nothing was fused yet."""
    shown: bool = True
    """Whether they count; somebody who may be a fault of one camera does not yet."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everybody who is remembered."""

    people: tuple[Known, ...] = ()
    """In the order of ``person_id``."""
    next_id: int = 0
    """Of the next new person."""
    alone: tuple[float | None, ...] = ()
    """One a camera: since when, seconds, what it sees is nobody's whom others see; None: it is not."""
    left_out: int = 0
    """People of the last frame set who are not followed because there are too many."""
    t: float = -math.inf
    """Seconds of the last frame set."""

    def estranged(self, t: float, options: IdentityOptions = IdentityOptions()) -> tuple[int, ...]:
        """Cameras whose sightings have been nobody's for so long that their calibration is to be doubted."""
        return tuple(k for k, since in enumerate(self.alone) if since is not None and t - since >= options.estranged_s)


@dataclass(frozen=True, slots=True)
class Belonging:
    """Which sightings are one person's."""

    person_id: int
    """The person."""
    views: tuple[int | None, ...]
    """One a camera: number of the sighting in ``Seen.people``; None = not seen by it."""
