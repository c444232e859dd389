"""Samples for the lifter: augmented poses, seen by random cameras, as the network gets and should answer them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines import lifter
from engines.training.data.mocap import Poses, balance
from engines.training.lifter import augment, views


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Inputs and targets of the network."""

    inputs: NDArray[np.float32]
    """(N, 54), see ``engines.lifter.encode``."""
    targets: NDArray[np.float32]
    """(N, 16, 3) root-relative joints without the root, mm, virtual camera axes."""


def _assemble(xy: Array, seen: NDArray[np.bool_], local: Array, cameras: views.Cameras) -> Batch:
    xy, seen = views.derive(xy, seen)
    view = views.look(xy, seen, cameras)
    turned = np.einsum("nji,nkj->nki", view.R_virtual_to_camera, local)
    return Batch(lifter.encode(view.xy, seen, view.pitch), turned[:, 1:].astype(np.float32))


class TrainingSampler:
    """Draws augmented training samples without end.

    Args:
        poses: the captured poses.
        seed: of everything that is drawn.
        max_noise: per cent; 0 also leaves out what detectors get wrong beyond noise.
        missing: -1 = joints are hidden as it happens, else that many elbows, wrists, knees and ankles in each pose.
        exchange: whether poses get limbs of others.
        gravity: share of the cameras whose gravity is known.
    """

    def __init__(
        self, poses: Poses, seed: int, max_noise: float = 4.0, *,
        missing: int = -1, exchange: bool = True, gravity: float = views.TRAINING_CAMERAS.gravity,
    ) -> None:  # fmt: skip
        self._joints = poses.joints - poses.joints[:, :1]
        self._chance = balance(poses).cumsum()
        self._max_noise, self._missing, self._exchange = max_noise, missing, 0.4 if exchange else 0.0
        self._cameras = replace(views.TRAINING_CAMERAS, gravity=gravity)
        self.rng = np.random.default_rng(seed)

    def _draw(self, n: int) -> Array:
        index = np.searchsorted(self._chance, self.rng.random(n) * self._chance[-1])
        return self._joints[np.minimum(index, len(self._joints) - 1)]

    def draw(self, n: int) -> Batch:
        """N new samples."""
        joints = augment.augment(self._draw(n), self._draw(n), self.rng, exchange=self._exchange)
        cameras = views.sample_cameras(n, self.rng, self._cameras)
        xy, local = views.project(joints, cameras)
        noise = np.where(self.rng.random(n) < 0.3, 0.0, self.rng.uniform(0, self._max_noise, n))
        if self._max_noise:
            faulty = self.rng.random(n) < 0.5
            xy[faulty] = views.detector_faults(xy[faulty], self.rng)
        xy = views.add_noise(xy, noise, self.rng)
        return _assemble(xy, views.hide(n, self._missing, self.rng), local, cameras)


def evaluation_batch(
    joints: Array, rng: np.random.Generator, noise: float, missing: int = 0
) -> tuple[Batch, views.Cameras]:
    """One random level view a pose, aimed at the mean joint, pitch given; nothing augmented.

    Args:
        joints: (N, 17, 3) mm, z up.
        rng: source of randomness.
        noise: per cent, as ``views.add_noise`` defines it.
        missing: how many of the eight elbows, wrists, knees and ankles are hidden in each pose.
    """
    cameras = views.sample_cameras(len(joints), rng)
    xy, local = views.project(joints, cameras)
    seen = views.hide_limbs(len(joints), missing, rng)
    return _assemble(views.add_noise(xy, noise, rng), seen, local, cameras), cameras
