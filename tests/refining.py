"""A walking person before cameras, moment by moment, with everything known: for the tests of refinement."""

from collections.abc import Sequence

import numpy as np

from calibration.geometry.camera import Camera
from engines.fusion.views import Views, gather
from tests import fusion_scene
from tests.walker import walker

FPS = 30.0
UP = np.array([0.0, 0.0, 1.0])


def walk(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (T,) s and joints (T, 17, 3) mm of somebody who walks through the room and turns."""
    times = np.arange(count) / FPS
    joints = []
    for t in times:
        a = 0.6 * t
        turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        joints.append(walker(t) @ turn.T + [300 * np.sin(0.7 * t), 200 * np.cos(0.5 * t), 0])
    return times, np.stack(joints)


def look(
    cameras: Sequence[Camera], joints: np.ndarray, rng: np.random.Generator, percent: float = 1.0
) -> list[Views | None]:
    """What the cameras say of each moment: 2D joints with noise, and mixtures with the errors of a lifter."""
    found: list[Views | None] = []
    for pose in joints:
        detections = [fusion_scene.detect(camera, pose, rng, percent) for camera in cameras]
        mixtures = [fusion_scene.lift(camera, pose, rng) for camera in cameras]
        found.append(gather(detections, mixtures, cameras, 0.1))
    return found


def live(joints: np.ndarray, rng: np.random.Generator, error: float = 30.0) -> np.ndarray:
    """Live answers: the truth with an error of their own in every moment."""
    return joints + rng.normal(0, error, joints.shape)
