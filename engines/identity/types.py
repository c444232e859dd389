"""What is kept of everybody, and what is said of one frame set. All frozen: a step makes a new state of the old."""

from dataclasses import dataclass

from calibration.arrays import Array
from engines.types import Pose


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


@dataclass(frozen=True, slots=True, eq=False)
class Spotted:
    """One person as a camera last saw them."""

    track: int
    """``Sighting.track``."""
    t: float
    """Seconds."""
    xy: Array
    """(17, 2) pixels."""
    score: Array
    """(17,)."""
    middle: Array
    """(2,) pixels, middle of the box of the seen limb joints."""
    height: float
    """Pixels, the longer side of that box."""
    velocity: Array
    """(2,) pixels a second, of the middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One person."""

    person_id: int
    """Never used again."""
    views: tuple[Spotted | None, ...]
    """One a camera: as it last saw them, not longer ago than they are remembered."""
    seen: float
    """Seconds, when any camera last saw them."""
    pose: Pose | None = None
    """The last fused pose."""
    pose_t: float = float("-inf")
    """Seconds, of which frame set it is."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everybody who is remembered."""

    people: tuple[Known, ...] = ()
    """In the order of ``person_id``."""
    next_id: int = 0
    """Of the next new person."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """Which sightings are one person's."""

    person_id: int
    """The person."""
    views: tuple[int | None, ...]
    """One a camera: number of the sighting in ``Seen.people``; None = not seen by it."""
