"""A synthetic person for tests of pictures: a walker facing the camera with the right arm raised. No networks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from calibration.geometry.camera import Camera, camera_from_fov, camera_to_image, world_to_camera
from engines.skeleton import HEAD, NECK, SPINE, derive
from engines.types import Detection, Mixture, Pose
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.types import Estimate, FrameReference, HypothesisTrack, Person, View

KERNELS = 5
WEIGHTS = np.array([0.62, 0.17, 0.11, 0.07, 0.03])
UP = np.array([0.0, 0.0, 1.0])


def walker(t: float) -> np.ndarray:
    """(17, 3) mm, z up, walking towards -y: the person's right is at -x. The right wrist is above the head."""
    swing = np.sin(2 * np.pi * 0.9 * t)
    hip, leg = 930.0, 430.0
    joints = np.zeros((17, 3))
    joints[0] = [0, 0, hip]
    for first, side, phase in ((1, -1, swing), (4, 1, -swing)):
        a, bend = 0.45 * phase, 0.35 + 0.3 * max(-phase, 0)
        joints[first] = [110 * side, 0, hip]
        joints[first + 1] = joints[first] + [10 * side, -leg * np.sin(a + 0.1), -leg * np.cos(a + 0.1)]
        joints[first + 2] = joints[first + 1] + [0, leg * np.sin(bend - a), -leg * np.cos(bend - a)]
    joints[7], joints[8], joints[9], joints[10] = [0, -10, 1160], [0, 0, 1400], [0, -45, 1530], [0, -20, 1680]
    joints[11], joints[14] = [185, 0, 1390], [-185, 0, 1390]
    joints[12] = joints[11] + [45, 110 * swing, -255]
    joints[13] = joints[12] + [15, 80 * swing - 90, -225]
    joints[15] = joints[14] + [-170, -60, 190]
    joints[16] = joints[15] + [60, -60, 240]
    joints[:, 2] -= joints[[3, 6], 2].min() - 80
    return joints


def looking_at(name: str, eye: np.ndarray, target: np.ndarray, size: tuple[int, int], up: np.ndarray | None) -> Camera:
    """A level camera of 55 degrees at ``eye`` (mm, z up) looking at ``target``."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, UP) / np.linalg.norm(np.cross(z, UP))
    R = np.stack([x, np.cross(z, x), z])
    return Camera(name, size, camera_from_fov(name, size, 55).K, np.zeros(5), R, -R @ eye, up)


def view_of(camera: Camera, world: np.ndarray) -> View:
    """What an ideal detector and a lifter unsure of depth would say: kernel k leans further towards the camera."""
    local = world_to_camera(camera, world)
    xy, score = camera_to_image(camera, local), np.full(17, 0.9)
    score[[SPINE, NECK, HEAD]] = 0
    score[[13, 6]] = 0.45, 0.25
    xy, score, derived = derive(xy, score)
    detection = Detection(xy.astype(np.float32), score.astype(np.float32), derived, "movenet-thunder")
    relative = local - local[0]
    lean = np.array([0.0, -0.55, 0.5, -1.0, 0.95])
    means = np.repeat(relative[None], KERNELS, 0)
    for k in range(KERNELS):
        shape = lean[k] * np.array([0, 0, 60, 120, 0, -60, -150, 20, 40, 60, 60, 40, -110, -230, 40, 170, 330])
        means[k, :, 2] += shape
        means[k, :, 0] += 0.12 * shape
    tracks = tuple(HypothesisTrack(k + 1, 0.0, means[k], float(WEIGHTS[k])) for k in range(KERNELS))
    mixture = Mixture(means, np.full((KERNELS, 17), 45.0), WEIGHTS)
    return View(
        detection=detection, mixture=mixture, tracks=tracks, answer_raw=means[0], answer=means[0], root=local[0]
    )


def frame_of(camera: str, size: tuple[int, int], index: int = 0, t: float = 0.0) -> FrameReference:
    """A frame that the detector looked at."""
    return FrameReference(camera, index, t, size, "movenet-thunder")


def alone(
    view: View | None, size: tuple[int, int] = (1280, 720), index: int = 0, t: float = 0.0, camera: str = "cam0"
) -> Estimate:
    """What one camera that nobody calibrated tells; nobody where there is no view."""
    people = () if view is None else (Person(person_id=0, views=(view,)),)
    return Estimate(index=index, t=t, frames=(frame_of(camera, size, index, t),), people=people)


def only_view(estimate: Estimate, camera_index: int = 0) -> View:
    """The view of the one person whom a camera sees."""
    (view,) = estimate.views_of(camera_index)
    return view


def only_pose(estimate: Estimate) -> Pose:
    """The fused pose of the one person there is."""
    (person,) = estimate.people
    assert person.pose is not None
    return person.pose


def with_person(estimate: Estimate, **what: Any) -> Estimate:
    """The estimate with other views, or another pose, of the one person there is."""
    (person,) = estimate.people
    return replace(estimate, people=(replace(person, **what),))


def photograph(size: tuple[int, int]) -> np.ndarray:
    """A room-like BGR background: a bright wall with windows over a darker floor."""
    w, h = size
    image = np.zeros((h, w, 3), np.uint8)
    image[: int(h * 0.72)] = (176, 186, 190)
    image[int(h * 0.72) :] = (96, 112, 128)
    image[int(h * 0.1) : int(h * 0.4), int(w * 0.06) : int(w * 0.25)] = (235, 235, 230)
    image[int(h * 0.1) : int(h * 0.4), int(w * 0.75) : int(w * 0.94)] = (90, 80, 70)
    shade = np.linspace(1.0, 0.8, h)[:, None, None]
    return (image * shade).astype(np.uint8)


def single(t: float = 0.1, size: tuple[int, int] = (1280, 720), index: int = 0):
    """One camera that nobody calibrated: estimate, images, header."""
    camera = looking_at("cam0", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), size, None)
    seen = view_of(camera, walker(t))
    run_info = RunInfo(
        (CameraInfo("cam0", "synthetic", "synthetic", size, None, 55.0),), KERNELS, datetime.now(UTC), 0.0
    )
    return alone(seen, size, index, t), {"cam0": photograph(size)}, run_info


def ring(count: int, size: tuple[int, int], up: np.ndarray | None = UP) -> list[Camera]:
    """Cameras around the origin."""
    cameras = []
    for k in range(count):
        a = 2 * np.pi * (k + 0.5) / count - np.pi / 2
        eye = np.array([3600 * np.cos(a), 3600 * np.sin(a), 1900.0])
        cameras.append(looking_at(f"cam{k + 1:02d}", eye, np.array([0, 0, 900.0]), size, up))
    return cameras


def multi(count: int, t: float = 0.1, size: tuple[int, int] = (1280, 720), absent: tuple[int, ...] = ()):
    """Calibrated cameras around one person, fused: estimate, images, header."""
    cameras, world = ring(count, size), walker(t)
    frames = tuple(None if k in absent else frame_of(c.name, size, 0, t) for k, c in enumerate(cameras))
    views = tuple(None if k in absent else view_of(c, world) for k, c in enumerate(cameras))
    cov = np.repeat(np.diag([900.0, 900.0, 400.0])[None], 17, 0)
    cov[16] *= 9
    pose = Pose(world, cov, tuple(c.name for k, c in enumerate(cameras) if k not in absent), "map")
    images = {c.name: None if k in absent else photograph(size) for k, c in enumerate(cameras)}
    headers = tuple(CameraInfo(c.name, "synthetic", "synthetic", size, c) for c in cameras)
    people = (Person(person_id=0, views=views, pose=pose),)
    estimate = Estimate(index=0, t=t, frames=frames, people=people, spread_s=0.004)
    return estimate, images, RunInfo(headers, KERNELS, datetime.now(UTC), 0.0)


SPOTS = np.array([[-700, 200], [900, -300], [250, 1500], [-1700, 1500], [1900, 1200], [-200, -1200]], float)
"""(6, 2) mm: where people of a crowd stand, none hidden behind another."""


def standing_at(k: int, t: float) -> np.ndarray:
    """(17, 3) mm: one of a crowd, each turned and striding in a way of their own."""
    a = 0.7 * k
    R = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return walker(t + 0.21 * k) @ R.T + [*SPOTS[k], 0]


def crowd(
    ids: Sequence[int], cameras: int = 1, t: float = 0.1, size: tuple[int, int] = (1280, 720), fused: bool = True
) -> tuple[Estimate, dict[str, np.ndarray], RunInfo]:
    """Several people: in one camera that nobody calibrated, or in calibrated ones; estimate, images, header."""
    if cameras > 1:
        views = ring(cameras, size)
        headers = tuple(CameraInfo(c.name, "synthetic", "synthetic", size, c) for c in views)
    else:
        views = [looking_at("cam0", np.array([0, -6500.0, 1700]), np.array([0, 0, 900.0]), size, None)]
        headers = (CameraInfo("cam0", "synthetic", "synthetic", size, None, 55.0),)
    frames = tuple(frame_of(c.name, size, 0, t) for c in views)
    people = []
    for k, person_id in enumerate(ids):
        world = standing_at(k, t)
        cov = np.repeat(np.diag([900.0, 900.0, 400.0])[None], 17, 0) * (1 + k)
        seen = [view_of(c, world) for c in views]
        tracks = tuple(replace(track, id=100 * person_id + track.id) for track in seen[0].tracks)
        shown = tuple(replace(view, tracks=tracks) for view in seen)
        pose = Pose(world, cov, tuple(c.name for c in views), "map") if cameras > 1 and fused else None
        people.append(Person(person_id=person_id, views=shown, pose=pose))
    estimate = Estimate(index=0, t=t, frames=frames, people=tuple(people), spread_s=0.004)
    images = {c.name: photograph(size) for c in views}
    return estimate, images, RunInfo(headers, KERNELS, datetime.now(UTC), 0.0)
