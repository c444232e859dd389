"""Synthetic scenes with known answers: captured people in front of calibrated cameras, seen by an imperfect detector.

The 2D is the issue's: ``n %`` noise is isotropic Gaussian of standard deviation n/200 of the diagonal of the tight box
of the projected joints, an axis; an outlier is displaced by a Gaussian of 12 % of that diagonal, with which plain
triangulation from two cameras has the error that the goals were written for (25 mm at 90 degrees). Scores tell nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_from_fov, world_to_image
from engines import skeleton as sk
from engines.lifter import MDNLifter, lifter_input
from engines.training.lifter import views
from engines.types import Detection, Mixture

UP = np.array([0.0, 0.0, 1.0])
SIZE = (1920, 1080)
COVERAGE = {"50": 2.366, "80": 4.642, "95": 7.815}
"""Chi-square quantiles with 3 degrees of freedom."""
LENS = (-0.12, 0.03, 0.0005, -0.0005, 0.0)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with the 2D."""

    noise: float = 1.0
    """Per cent of the person's size, as above."""
    outliers: float = 0.05
    """Share of the joints that lie far off."""
    far_off: float = 0.12
    """How far, in diagonals of the person's box: standard deviation of the displacement, an axis."""
    missing: tuple[int, int] = (0, 4)
    """How many of the eight elbows, wrists, knees and ankles a view does not see: least and most."""
    coco: bool = False
    """A detector that has neither spine, neck nor head."""
    uneven: float = 0.0
    """Standard deviation of the logarithm of a joint's noise, an axis; 0: the same everywhere."""
    told: bool = False
    """Whether the detector says how unsure each joint is: the covariance that its noise was drawn from."""


CLEAN = Faults(outliers=0.0, missing=(0, 0))


def on_the_floor(pose: Array) -> Array:
    """A pose (17, 3) mm in a level camera's axes as one that stands on the floor at the origin, z up."""
    upright = np.stack([pose[:, 0], pose[:, 2], -pose[:, 1]], -1)
    return upright - [*upright[:, :2].mean(0), upright[:, 2].min() - 80]


@dataclass(frozen=True, slots=True)
class Scene:
    """One person at one frame set."""

    cameras: tuple[Camera, ...]
    """V cameras, z up."""
    truth: Array
    """(17, 3) mm, world."""
    detections: tuple[Detection, ...]
    """One a camera."""
    mixtures: tuple[Mixture, ...]
    """One a camera."""
    subject: str
    """Who it is."""

    @property
    def views_of(self) -> Array:
        """(17,) by how many cameras each joint is really seen; the pelvis, the middle of the hips, as its hips are."""
        count = sum((d.score > 0) & ~d.derived for d in self.detections)
        count = np.asarray(count)
        count[sk.PELVIS] = min(count[sk.R_HIP], count[sk.L_HIP])
        return count


def camera_at(name: str, azimuth: float, distance: float, height: float, target: Array) -> Camera:
    """A level camera of 75 degrees around ``target`` (3,) mm; azimuth in radians, the rest in mm."""
    eye = target + np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), 0.0])
    eye[2] = height
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, UP) / np.linalg.norm(np.cross(z, UP))
    R = np.stack([x, np.cross(z, x), z])
    return Camera(name, SIZE, camera_from_fov(name, SIZE, 75).K, np.array(LENS), R, -R @ eye, UP)


def ring(azimuths: Sequence[float], rng: np.random.Generator) -> tuple[Camera, ...]:
    """Cameras at these azimuths (degrees, from a random one), 3 to 5 m away and 0.8 to 2.4 m high."""
    first = rng.uniform(0, 2 * np.pi)
    target = np.array([0.0, 0.0, 900.0])
    return tuple(
        camera_at(f"cam{k + 1:02d}", first + np.radians(a), rng.uniform(3000, 5000), rng.uniform(800, 2400), target)
        for k, a in enumerate(azimuths)
    )


def detect(truth: Array, cameras: Sequence[Camera], faults: Faults, rng: np.random.Generator) -> list[Detection]:
    """What the imperfect detector sees of a pose (17, 3) mm in every camera."""
    found = []
    for camera in cameras:
        exact = world_to_image(camera, truth)[None]
        xy = views.detector_faults(exact, rng, faults.outliers, swaps=0.0, far_off=faults.far_off)
        noise = rng.normal(size=xy.shape) * views.box_diagonal(exact) * faults.noise / 200
        cov = None
        if faults.uneven:
            stretch = _stretches(faults.uneven, rng)
            noise = (stretch @ noise[..., None])[..., 0]
            cov = stretch @ stretch.swapaxes(-1, -2) * np.square(views.box_diagonal(exact)[0] * faults.noise / 200)
        xy = xy + noise
        seen = views.hide_limbs(1, int(rng.integers(faults.missing[0], faults.missing[1] + 1)), rng)[0]
        if faults.coco:
            seen[[sk.SPINE, sk.NECK, sk.HEAD]] = False
        score = np.where(seen, rng.uniform(0.6, 1.0, 17), 0.0)
        xy, score, derived = sk.derive(xy[0], score)
        found.append(Detection(xy.astype(np.float32), score.astype(np.float32), derived, "synthetic",
                               cov=cov.astype(np.float32) if cov is not None and faults.told else None))  # fmt: skip
    return found


def _stretches(spread: float, rng: np.random.Generator) -> Array:
    """(17, 2, 2) by which the noise of each joint is stretched along two axes at random; 1 in the geometric mean."""
    angle = rng.uniform(0, np.pi, 17)
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    return turn * np.exp(spread * rng.normal(size=(17, 1, 2))) @ turn.swapaxes(-1, -2)


def stand(pose: Array, rng: np.random.Generator) -> Array:
    """The pose (17, 3) mm on the floor, turned and moved at random within 0.4 m of the middle."""
    a = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    out = (pose - pose.mean(0)) @ turn.T
    out[:, 2] += 80 - out[:, 2].min()
    return out + np.array([*rng.uniform(-400, 400, 2), 0.0])


def make(
    joints: Array, subjects: Sequence[str], azimuths: Sequence[float], faults: Faults, lifter: MDNLifter, seed: int
) -> list[Scene]:
    """One scene a pose.

    Args:
        joints: (N, 17, 3) mm, z up.
        subjects: (N,) whose poses they are.
        azimuths: degrees, one a camera.
        faults: of the 2D.
        lifter: lifts every view.
        seed: of cameras, places and faults.
    """
    rng = np.random.default_rng(seed)
    shown = []
    for pose in joints:
        cameras, truth = ring(azimuths, rng), stand(pose.astype(np.float64), rng)
        shown.append((cameras, truth, tuple(detect(truth, cameras, faults, rng))))
    lifts = lifter(
        [lifter_input(d, c, 0.1) for cameras, _, found in shown for c, d in zip(cameras, found, strict=True)]
    )
    n = len(azimuths)
    return [
        Scene(cameras, truth, found, tuple(lifts[k * n : (k + 1) * n]), str(subject))
        for k, ((cameras, truth, found), subject) in enumerate(zip(shown, subjects, strict=True))
    ]
