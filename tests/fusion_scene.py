"""One synthetic person before a ring of cameras, with detections and mixtures of known errors."""

import numpy as np

from calibration.geometry.camera import Camera, camera_from_fov, world_to_image
from engines import skeleton as sk
from engines.types import Detection, Mixture

UP = np.array([0.0, 0.0, 1.0])
MEASURED = [j for j in range(17) if j not in (sk.PELVIS, sk.THORAX)]
KERNELS = 5


# Right joint, left joint, mm, direction of the right one from its parent, how far it strays from that.
_LEGS = ((1, 4, 95, (-1, 0, 0), 0.0), (2, 5, 410, (0, 0, -1), 0.4), (3, 6, 420, (0, 0.1, -1), 0.3))
_ARMS = ((14, 11, 190, (-1, 0, 0.1), 0.1), (15, 12, 280, (-0.3, 0, -1), 0.6), (16, 13, 260, (0, 0.3, -1), 0.7))


def ring(azimuths, distance=4000.0):
    cameras = []
    for k, degrees in enumerate(azimuths):
        a = np.radians(degrees)
        eye = np.array([distance * np.cos(a), distance * np.sin(a), 1500.0 + 100 * (k % 3)])
        z = (np.array([0, 0, 900.0]) - eye) / np.linalg.norm(np.array([0, 0, 900.0]) - eye)
        x = np.cross(z, UP) / np.linalg.norm(np.cross(z, UP))
        R = np.stack([x, np.cross(z, x), z])
        K = camera_from_fov("", (1920, 1080), 70).K
        cameras.append(Camera(f"cam{k}", (1920, 1080), K, np.array([-0.1, 0.02, 0, 0, 0]), R, -R @ eye, UP))
    return cameras


def person(rng):
    """A (17, 3) mm person of random limbs, right and left equally long, standing at the origin."""
    size = rng.uniform(0.92, 1.08)
    joints = np.zeros((17, 3))

    def put(joint, length, direction, bend):
        direction = np.asarray(direction, float) + rng.normal(0, bend, 3)
        joints[joint] = joints[sk.PARENTS[joint]] + size * length * direction / np.linalg.norm(direction)

    for right, left, length, direction, bend in _LEGS:
        put(right, length, direction, bend)
        put(left, length, np.array(direction) * [-1, 1, 1], bend)
    for joint, length in ((7, 230), (8, 260), (9, 120), (10, 120)):
        put(joint, length, (0, 0, 1), 0.1)
    for right, left, length, direction, bend in _ARMS:
        put(right, length, direction, bend)
        put(left, length, np.array(direction) * [-1, 1, 1], bend)
    return joints + [*rng.uniform(-300, 300, 2), 900.0]


def lift(camera, truth, rng, error=45.0, scale=1.0):
    """A realistic mixture: errors run along the limbs, mostly in depth; the sigma of the best kernel is honest."""
    local = (truth - truth[0]) @ camera.R.T
    mean = np.zeros((KERNELS, 17, 3))
    for k in range(KERNELS):
        wrong = np.zeros((17, 3))
        for j in range(1, 17):
            p = sk.PARENTS[j]
            wrong[j] = 0.5 * wrong[p] * (p > 0) + rng.normal(0, error * (0.87 if p > 0 else 1), 3) * [0.8, 0.8, 1.3]
        wrong[[sk.R_HIP, sk.L_HIP]] = np.array([[1.0], [-1.0]]) * rng.normal(0, 10, 3)
        mean[k] = local / scale + wrong + k * 0.5 * np.where(np.arange(17)[:, None] > 0, wrong, 0)
    sigma = np.full((KERNELS, 17), error)
    sigma[:, [1, 4]], sigma[:, 0] = 10.0, 0.0
    weight = np.array([0.4, 0.25, 0.15, 0.12, 0.08])
    order = rng.permutation(KERNELS)
    return Mixture(mean[order].astype(np.float32), sigma.astype(np.float32), weight[order])


def detect(camera, truth, rng, percent=1.0, hidden=()):
    xy = world_to_image(camera, truth)
    xy = xy + rng.normal(size=xy.shape) * np.linalg.norm(np.ptp(xy, axis=0)) * percent / 200
    score = np.full(17, 0.8)
    score[list(hidden)] = 0
    xy, score, derived = sk.derive(xy, score)
    return Detection(xy.astype(np.float32), score.astype(np.float32), derived, "test")


def scene(azimuths, seed=0, percent=1.0, hidden=((),), scale=1.0):
    rng = np.random.default_rng(seed)
    cameras, truth = ring(azimuths), person(rng)
    detections = [detect(c, truth, rng, percent, hidden[k % len(hidden)]) for k, c in enumerate(cameras)]
    return cameras, truth, detections, [lift(c, truth, rng, scale=scale) for c in cameras]


def errors(pose, truth):
    return np.linalg.norm(pose.joints - truth, axis=-1)
