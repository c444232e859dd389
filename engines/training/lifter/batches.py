"""Samples for the lifter: augmented poses, seen by random cameras, as the network gets and should answer them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines import lifter
from engines import skeleton as sk
from engines.training.data.mocap import Poses, balance, concatenate
from engines.training.lifter import augment, compose, detector_noise, views


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Inputs and targets of the network."""

    inputs: NDArray[np.float32]
    """(N, 54), see ``engines.lifter.encode``."""
    targets: NDArray[np.float32]
    """(N, 16, 3) root-relative joints without the root, mm, virtual camera axes."""
    rays: Array | None = None
    """(N, 17, 3) what is seen, virtual camera axes, z = 1; of an evaluation."""


def _assemble(xy: Array, seen: NDArray[np.bool_], local: Array, cameras: views.Cameras) -> Batch:
    xy, seen = views.derive(xy, seen)
    view = views.look(xy, seen, cameras)
    turned = np.einsum("nji,nkj->nki", view.R_virtual_to_camera, local)
    return Batch(lifter.encode(view.xy, seen, view.pitch), turned[:, 1:].astype(np.float32))


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What samples are made of beside the captured poses; shares of the samples."""

    composed: float = 0.1
    """Poses that nobody captured, see ``compose``."""
    bodies: float = 0.5
    """Measured bodies, see ``bodies``."""
    redefined: float = 0.2
    """Joints as a detector defines them, see ``augment.redefine``."""
    leaning: float = 0.1
    """Poses that lean."""
    detector: float = 0.3
    """2D with the errors of a real detector instead of Gaussian noise, see ``detector_noise``."""


NONE = Ingredients(0.0, 0.0, 0.0, 0.0, 0.0)
_COMPOSED_EACH = 3000


class TrainingSampler:
    """Draws augmented training samples without end.

    Args:
        poses: the captured poses.
        seed: of everything that is drawn.
        max_noise: per cent; 0 also leaves out what detectors get wrong beyond noise.
        missing: -1 = joints are hidden as it happens, else that many elbows, wrists, knees and ankles in each pose.
        exchange: whether poses get limbs of others.
        gravity: share of the cameras whose gravity is known.
        ingredients: what else there is.
    """

    def __init__(
        self, poses: Poses, seed: int, max_noise: float = 4.0, *,
        missing: int = -1, exchange: bool = True, gravity: float = views.TRAINING_CAMERAS.gravity,
        ingredients: Ingredients = NONE,
    ) -> None:  # fmt: skip
        self.rng = np.random.default_rng(seed)
        self._what, chance = ingredients, balance(poses)
        if ingredients.composed:
            # From a generator of its own: what is composed does not depend on what is drawn.
            more, _ = compose.compose(poses, chance, np.random.default_rng([seed, 1]), _COMPOSED_EACH)
            share = np.full(len(more), ingredients.composed / len(more))
            poses, chance = concatenate([poses, more]), np.concatenate([chance * (1 - ingredients.composed), share])
        self._joints = poses.joints - poses.joints[:, :1]
        self._usual = usual_lengths(poses) if ingredients.bodies else None
        self._chance = chance.cumsum()
        self._max_noise, self._missing = max_noise, missing
        self._how = augment.Augmentation(
            0.4 if exchange else 0.0, ingredients.bodies, ingredients.redefined, ingredients.leaning
        )
        self._cameras = replace(views.TRAINING_CAMERAS, gravity=gravity)

    def _draw(self, n: int) -> NDArray[np.intp]:
        index = np.searchsorted(self._chance, self.rng.random(n) * self._chance[-1])
        return np.minimum(index, len(self._joints) - 1)

    def draw(self, n: int) -> Batch:
        """N new samples."""
        rng, index = self.rng, self._draw(n)
        usual = None if self._usual is None else self._usual[index]
        joints = augment.augment(self._joints[index], self._joints[self._draw(n)], rng, self._how, usual)
        cameras = views.sample_cameras(n, rng, self._cameras)
        exact, local = views.project(joints, cameras)
        noise = np.where(rng.random(n) < 0.3, 0.0, rng.uniform(0, self._max_noise, n))
        xy = exact.copy()
        if self._max_noise:
            faulty = rng.random(n) < 0.5
            xy[faulty] = views.detector_faults(xy[faulty], rng)
        xy = views.add_noise(xy, noise, rng)
        seen = views.hide(n, self._missing, rng)
        if self._max_noise and self._what.detector:
            real = rng.random(n) < self._what.detector
            self._detect(exact, xy, seen, real, cameras.distance)
        return _assemble(xy, seen, local, cameras)

    def _detect(self, exact: Array, xy: Array, seen: NDArray[np.bool_], real: NDArray[np.bool_], far: Array) -> None:
        """Put the errors of a detector into the samples ``real``, in place."""
        factor = detector_noise.quality(far[real], self.rng)
        xy[real] = detector_noise.displace(exact[real], factor, self.rng)
        if self._missing < 0:
            found = seen[real] & ~detector_noise.missing(factor, self.rng)
            enough = found[:, sk.LIMBS].sum(1) >= views.LEAST_LIMBS
            seen[real] = np.where(enough[:, None], found, seen[real])


def usual_lengths(poses: Poses) -> NDArray[np.float32]:
    """(N, 17) mm: how long bones usually are as each pose's file defines the joints; the median of its people."""
    length = np.linalg.norm(augment.to_bones(poses.joints - poses.joints[:, :1]), axis=-1)
    out = np.empty_like(length)
    for file in np.unique(poses.file):
        inside = poses.file == file
        people = [np.median(length[inside & (poses.subject == who)], 0) for who in np.unique(poses.subject[inside])]
        out[inside] = np.median(people, 0)
    return out


def evaluation_batch(
    joints: Array, rng: np.random.Generator, noise: float, missing: int = 0, detector: float = 0.0
) -> tuple[Batch, views.Cameras]:
    """One random level view a pose, aimed at the mean joint, pitch given; nothing augmented. With its rays.

    Args:
        joints: (N, 17, 3) mm, z up.
        rng: source of randomness.
        noise: per cent, as ``views.add_noise`` defines it.
        missing: how many of the eight elbows, wrists, knees and ankles are hidden in each pose.
        detector: factor on a real detector's errors, see ``detector_noise``; 0 = none.
    """
    cameras = views.sample_cameras(len(joints), rng)
    xy, local = views.project(joints, cameras)
    seen = views.hide_limbs(len(joints), missing, rng)
    xy = views.add_noise(xy, noise, rng)
    if detector:
        xy = detector_noise.displace(xy, np.full(len(xy), detector), rng)
    batch = _assemble(xy, seen, local, cameras)
    R = views.look(*views.derive(xy, seen), cameras).R_virtual_to_camera
    rays = np.concatenate([xy, np.ones((*xy.shape[:2], 1))], -1) @ R
    return Batch(batch.inputs, batch.targets, rays / np.maximum(rays[..., 2:], 0.1)), cameras
