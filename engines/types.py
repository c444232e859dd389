"""What the stages of the pipeline hand to each other, and the protocols of what stands behind them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools, Image
from calibration.errors import UserError


class EngineError(UserError):
    """A detector, a runtime or a weights file that cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class ExtraJoints:
    """Further 2D joints of a detection, such as toes and eyes: detected, recorded and triangulated, never lifted."""

    names: tuple[str, ...]
    """(E,) as ``left_heel``; none of them one of the 17."""
    xy: Array
    """(E, 2) float32 pixels in the full image; 0 where not seen."""
    score: Array
    """(E,) float32 in 0..1; 0 = not seen."""
    cov: Array
    """(E, 2, 2) float32 px2, covariance of each joint; NaN where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class ExtraPoints:
    """Further joints of a pose: those of ``ExtraJoints`` that were triangulated."""

    names: tuple[str, ...]
    """(E,) as in ``ExtraJoints``."""
    joints: Array
    """(E, 3) mm, world axes."""
    cov: Array
    """(E, 3, 3) mm2, covariance of each joint."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One person's 2D joints in one image."""

    xy: Array
    """(17, 2) float32 pixels in the full image; 0 where not seen."""
    score: Array
    """(17,) float32 in 0..1; 0 = not seen, or a joint that the detector does not have."""
    derived: Bools
    """(17,) True for joints computed from others (pelvis from the hips, thorax from the shoulders)."""
    origin: str
    """Which detector answered."""
    cov: Array | None = field(default=None, kw_only=True)
    """(17, 2, 2) float32 px2, covariance of each joint, NaN where not seen; None where the detector does not tell."""
    extra: ExtraJoints | None = field(default=None, kw_only=True)
    """Further joints; None where the detector has none."""

    @property
    def person(self) -> bool:
        """Whether there is a person at all."""
        return bool((self.score > 0).any())


def empty_detection(origin: str) -> Detection:
    """The empty detection: the detector looked and there is no person."""
    return Detection(np.zeros((17, 2), np.float32), np.zeros(17, np.float32), np.zeros(17, bool), origin)


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One of the people whom one camera sees."""

    track: int
    """The same from frame to frame as long as this camera does not lose the person; never used again in a session."""
    detection: Detection
    """Their 2D joints."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Everybody whom a detector follows in one image."""

    origin: str
    """Which detector looked."""
    people: tuple[Sighting, ...]
    """Everybody, each once."""
    left_out: int = 0
    """How many more were found when it last looked for people, and are not followed because there are too many."""


@dataclass(frozen=True, slots=True, eq=False)
class LifterInput:
    """A 2D pose as the lifter's virtual camera sees it."""

    xy: Array
    """(17, 2) float32 in the virtual camera, centred on the mean of the seen joints and of unit spread."""
    seen: Bools
    """(17,) the visible bits; xy is 0 where False."""
    pitch: float
    """Radians the virtual camera looks down, NaN where gravity is not known."""
    R_virtual_to_camera: Array
    """(3, 3) rotation from the virtual camera's axes to the real camera's."""
    rays: Array | None = None
    """(17, 3) rays of the joints in the real camera's axes, z = 1, anything where not seen; hypotheses are drawn to
    them. None: they stay as the network says them."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Hypotheses of the 3D pose: a Gaussian mixture over root-relative joints (Li and Lee 2019, eq. 1)."""

    mean: Array
    """(M, 17, 3) mm, root-relative, in the real camera's axes."""
    sigma: Array
    """(M, 17) mm, one standard deviation an axis; the root's is 0 by definition."""
    weight: Array
    """(M,) mixing coefficients, summing to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person in the world, fused from the cameras."""

    joints: Array
    """(17, 3) mm, world axes."""
    cov: Array
    """(17, 3, 3) mm2, covariance of each joint."""
    cameras: tuple[str, ...]
    """Names of the cameras that were used: those whose views it does not contradict."""
    method: str
    """"hypotheses", "map", "triangulate", "single", or "disputed": views contradict each other, and nothing outvotes
    either."""
    extra: ExtraPoints | None = field(default=None, kw_only=True)
    """Further joints; None where none was triangulated."""
    state: NDArray | None = field(default=None, kw_only=True)
    """(17,) int8 of a refined pose: 0 measured, 1 filled in, 2 extrapolated; None of a live one."""


class DetectorSession(Protocol):
    """A detector looking at one camera: it follows one person from frame to frame."""

    def __call__(self, image: Image, t: float) -> Detection:
        """Detect the person in a BGR image (H, W, 3) taken at t seconds; times must increase."""
        ...

    def reset(self) -> None:
        """Forget the person followed so far."""
        ...


class CrowdSession(Protocol):
    """A detector looking at one camera: it follows everybody from frame to frame."""

    def __call__(self, image: Image, t: float) -> Seen:
        """Detect everybody in a BGR image (H, W, 3) taken at t seconds; times must increase."""
        ...

    def reset(self) -> None:
        """Forget everybody followed so far."""
        ...


@runtime_checkable
class TimedSession(Protocol):
    """A session that wants to know how long it took, because it has no clock of its own."""

    def report(self, seconds: float) -> None:
        """How long the last detection took."""
        ...


class Detector(Protocol):
    """A 2D joint detector. Loading is done in the constructor and raises EngineError."""

    name: str
    """The name a user asks for it by, and the origin of its detections."""

    def session(self) -> DetectorSession:
        """A new session, one a camera."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on: at least ``model`` (file name), ``sha256`` and ``runtime``."""
        ...


@runtime_checkable
class CrowdDetector(Detector, Protocol):
    """A detector that can follow several people."""

    def crowd(self, most: int, tracks: Iterator[int]) -> CrowdSession:
        """A new session, one a camera.

        Args:
            most: people who are followed at a time.
            tracks: numbers of its tracks, each used once.
        """
        ...


class Runtime(Protocol):
    """A compiled network: named arrays in, named arrays out."""

    def __call__(self, **arrays: NDArray) -> dict[str, NDArray]:
        """Run the network once; every array has the batch first."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What really bound: ``runtime``, ``device``, ``model`` and ``sha256``."""
        ...


class Lifter(Protocol):
    """Lifts 2D poses to mixtures of 3D poses."""

    def __call__(self, inputs: Sequence[LifterInput]) -> list[Mixture]:
        """One mixture an input, in one batch."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        ...
