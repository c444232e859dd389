"""Captured motions as a camera sees them: at any rate, with gaps, standing or moving, with the errors of detectors.

What is drawn for a motion (body, definition of the joints, mirror image, camera, kind of noise) stays through it.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry import virtual
from engines import lifter
from engines import skeleton as sk
from engines.training.data.mocap import (
    PROXY_SUBJECTS,
    TEST_SUBJECTS,
    VALIDATION_SUBJECTS,
    Poses,
    balance,
    concatenate,
    load_poses,
)
from engines.training.lifter import augment, detector_noise, views
from engines.training.lifter.batches import usual_lengths

FILES: Final = ("sequences_30fps_train.npz", "sequences_30fps_cmu_all.npz")
FPS: Final = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Motions:
    """B motions of L frames, as the network gets and should answer them."""

    inputs: NDArray[np.float32]
    """(B, L, 54), see ``engines.lifter.encode``."""
    targets: NDArray[np.float32]
    """(B, L, 16, 3) root-relative joints without the root, mm, virtual camera axes."""
    R_virtual_to_camera: NDArray[np.float32]
    """(B, L, 3, 3)"""
    R_virtual_to_world: NDArray[np.float32]
    """(B, L, 3, 3)"""
    t: NDArray[np.float32]
    """(B, L) seconds from the first frame."""
    rays: NDArray[np.float32]
    """(B, L, 17, 3) what was seen, real camera's axes; z = 1."""

    def frames(self, keep: NDArray) -> "Motions":
        """Those frames where keep (L,) is true, or at these indices."""
        return Motions(*(getattr(self, f.name)[:, keep] for f in fields(Motions)))


@dataclass(frozen=True, slots=True)
class Ingredients:
    """Shares of the motions."""

    bodies: float = 0.4
    """Get measured bodies; the others are scaled bone by bone."""
    redefined: float = 0.15
    """Get joints where a detector would have them."""
    leaning: float = 0.03
    still: float = 0.08
    """People who do not move."""
    exact: float = 0.2
    """2D without errors."""
    detector: float = 0.4
    """2D with the errors of a real detector; the rest has Gaussian noise."""
    moving: float = 0.25
    """Cameras that move."""


def load(folder: Path, names: tuple[str, ...] = FILES) -> Poses:
    """The motions of several files, their joints known by how they are defined: CMU's and HDM05's.

    Raises:
        EngineError: if a file is missing or misshapen.
    """
    poses = concatenate([load_poses(folder / name) for name in names])
    cmu = np.char.startswith(poses.subject, "CMU")
    return replace(poses, file=np.where(cmu, "cmu17_bvh", "hdm05_17"))


def split(poses: Poses) -> tuple[Poses, Poses]:
    """What is trained on, and the validation subjects; test subjects and proxies are in neither."""
    validation = np.isin(poses.subject, VALIDATION_SUBJECTS)
    strangers = np.isin(poses.subject, TEST_SUBJECTS + PROXY_SUBJECTS)
    return poses.select(~validation & ~strangers), poses.select(validation)


class MotionSampler:
    """Draws augmented motions without end.

    Args:
        poses: unbroken motions at ``FPS``; those of one name of a person are one, in their order.
        seed: of everything that is drawn.
        frames: L.
        max_noise: per cent.
        ingredients: what is done to motions.
    """

    def __init__(
        self, poses: Poses, seed: int, frames: int, max_noise: float = 4.0, ingredients: Ingredients = Ingredients()
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self._frames, self._max_noise, self._what = frames, max_noise, ingredients
        name = np.char.add(np.char.add(poses.subject, " "), poses.sequence)
        starts = np.flatnonzero(np.r_[True, name[1:] != name[:-1]])
        lengths = np.diff(np.r_[starts, len(poses)])
        self._joints = poses.joints
        self._start, self._length = np.repeat(starts, lengths), np.repeat(lengths, lengths)
        self._chance = balance(poses).cumsum()
        self._usual = usual_lengths(poses)

    def draw(self, n: int) -> Motions:
        """N new motions."""
        rng, what = self.rng, self._what
        chosen = np.searchsorted(self._chance, rng.random(n) * self._chance[-1]).clip(max=len(self._joints) - 1)
        t = frame_times(n, self._frames, rng)
        speed = np.exp(rng.normal(0, 0.25, n)) * (rng.random(n) >= what.still)
        joints = self._motion(chosen, t * speed[:, None])
        joints = self._body(joints, self._usual[chosen])
        eye = see(joints, t, rng, what.moving)
        xy, seen = self._detect(eye.rays, eye.distance, t)
        return assemble(xy, seen, eye, t)

    def _motion(self, chosen: NDArray[np.intp], t: Array) -> Array:
        """(N, L, 17, 3) from each chosen frame on, between frames by Catmull and Rom's spline; back at an end."""
        first, length = self._start[chosen][:, None], self._length[chosen][:, None]
        place = np.abs((chosen[:, None] - first) + t * FPS)
        last = length - 1
        place = last - np.abs(place % (2 * last) - last)
        before = np.minimum(place.astype(int), last - 1)
        p = [self._joints[first + np.clip(before + k, 0, last)] for k in (-1, 0, 1, 2)]
        return _between(p[0], p[1], p[2], p[3], place - before)

    def _body(self, joints: Array, usual: Array) -> Array:
        """Other people's bodies, who go as much further as their legs are longer; and mirror images."""
        rng, what, (n, frames) = self.rng, self._what, joints.shape[:2]
        root = joints[:, :, :1]
        bones = augment.to_bones((joints - root).reshape(-1, 17, 3)).reshape(joints.shape)
        factor = augment.scale_bones(np.ones((n, 17, 3), np.float32), rng)
        own = np.linalg.norm(bones[:, 0], axis=-1)
        other = augment.exchange_bodies(bones[:, 0], usual, rng)
        measured = np.linalg.norm(other, axis=-1) / np.maximum(own, 1e-6)
        factor = np.where(rng.random((n, 1)) < what.bodies, measured, factor[..., 0])
        legs = [sk.R_KNEE, sk.R_ANKLE]
        longer = (own * factor)[:, legs].sum(1) / np.maximum(own[:, legs].sum(1), 1e-6)
        flat = (bones * factor[:, None, :, None]).reshape(-1, 17, 3)
        pose = augment.from_bones(flat)
        moved = np.repeat(rng.random(n) < what.redefined, frames)
        if moved.any():
            pose[moved] = augment.redefine(pose[moved], rng, frames)
        pose = pose.reshape(joints.shape)
        leaning = rng.random(n) < what.leaning
        if leaning.any():
            pose[leaning] = _lean(pose[leaning], rng)
        pose = pose + root * longer[:, None, None, None]
        flip = rng.random(n) < 0.5
        pose[flip] = sk.mirror(pose[flip])
        return pose

    def _detect(self, exact: Array, distance: Array, t: Array) -> tuple[Array, Bools]:
        """Rays (N, L, 17, 2) with errors, and which of the joints are seen."""
        rng, what, (n, frames) = self.rng, self._what, t.shape
        kind = rng.random(n)
        real, gaussian = kind < what.detector, kind >= what.detector + what.exact
        xy = exact.copy()
        # Errors stay for a while, as long as anything from a frame to half a second; or not at all.
        lasting = np.where(rng.random(n) < 0.5, np.exp(rng.uniform(np.log(0.02), np.log(0.5), n)), 1e-6)
        flat = exact.reshape(-1, 17, 2)
        if gaussian.any():
            percent = rng.uniform(0, self._max_noise, n)[:, None]
            size = views.box_diagonal(flat).reshape(n, frames) * percent / 200
            error = correlated(rng, t, lasting) * size[..., None, None]
            xy[gaussian] = (exact + error)[gaussian]
            faulty = gaussian & (rng.random(n) < 0.5)
            if faulty.any():
                wrong = views.detector_faults(xy[faulty].reshape(-1, 17, 2), rng)
                xy[faulty] = wrong.reshape(-1, frames, 17, 2)
        factor = detector_noise.quality(distance, rng)
        if real.any():
            error = detector_noise.lasting_errors(flat, np.repeat(factor, frames), rng, t, lasting)
            xy[real] = (exact + error)[real]
        seen = self._seen(n, frames)
        absent = detector_noise.missing(np.repeat(factor, frames), rng).reshape(seen.shape)
        found = seen & ~(absent & real[:, None, None])
        enough = found[..., sk.LIMBS].sum(-1) >= views.LEAST_LIMBS
        return xy, np.where(enough[..., None], found, seen)

    def _seen(self, n: int, frames: int) -> Bools:
        """Visible bits that last: a motion has one set of them, and at some frame passes to another."""
        rng = self.rng
        first, then = views.sample_seen(n, rng), views.sample_seen(n, rng)
        change = np.where(rng.random(n) < 0.3, rng.integers(1, frames, n), frames)
        # A detector does not change: it has spine, neck and head, or it has not.
        alike = then[:, sk.SPINE] == first[:, sk.SPINE]
        change = np.where(alike, change, frames)
        return np.where((np.arange(frames) < change[:, None])[..., None], first[:, None], then[:, None])


def _between(a: Array, b: Array, c: Array, d: Array, u: Array) -> Array:
    """Catmull and Rom's spline through four frames (..., 17, 3), at u (...) of the way from the second to the third."""
    u = u[..., None, None].astype(np.float32)
    return b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))


def resample(joints: Array, rate: float) -> Array:
    """A motion (F, 17, 3) at ``FPS`` at another rate."""
    if rate == FPS:
        return joints
    last = len(joints) - 1
    place = np.arange(0, last + 1e-9, FPS / rate)
    before = np.minimum(place.astype(int), last - 1)
    p = [joints[np.clip(before + k, 0, last)] for k in (-1, 0, 1, 2)]
    return _between(p[0], p[1], p[2], p[3], place - before)


def frame_times(n: int, frames: int, rng: np.random.Generator) -> Array:
    """(N, L) seconds: at 30 frames a second or any rate from 10 to 60, uneven, with frames and more missing."""
    rate = np.where(rng.random(n) < 0.4, FPS, np.exp(rng.uniform(np.log(10), np.log(60), n)))
    step = np.broadcast_to(1 / rate[:, None], (n, frames)).copy()
    uneven = rng.random((n, 1)) < 0.3
    step = step * np.where(uneven, np.exp(rng.normal(0, 0.2, (n, frames))), 1.0)
    dropping = np.where(rng.random((n, 1)) < 0.3, rng.uniform(0, 0.3, (n, 1)), 0.0)
    step = step * (1 + (rng.random((n, frames)) < dropping))
    gap = np.flatnonzero(rng.random(n) < 0.2)
    step[gap, rng.integers(1, frames, len(gap))] += rng.uniform(0.1, 0.4, len(gap))
    step[:, 0] = 0
    return step.cumsum(1)


def correlated(rng: np.random.Generator, t: Array, lasting: Array) -> Array:
    """(N, L, 17, 2) standard normal, each motion's frames correlated by exp(-dt / lasting): an Ornstein-Uhlenbeck."""
    out = rng.normal(size=(*t.shape, 17, 2))
    keep = np.exp(-np.diff(t, axis=1) / lasting[:, None])[..., None, None]
    for k in range(1, t.shape[1]):
        out[:, k] = keep[:, k - 1] * out[:, k - 1] + np.sqrt(1 - keep[:, k - 1] ** 2) * out[:, k]
    return out


def _lean(pose: Array, rng: np.random.Generator) -> Array:
    n = len(pose)
    around, angle = rng.uniform(0, 2 * np.pi, n), rng.normal(0, 25, n)
    axis = np.stack([np.cos(around), np.sin(around), np.zeros(n)], -1)
    return augment.rotate(pose, axis[:, None, None], angle[:, None, None])


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What cameras see of N motions of L frames."""

    rays: Array
    """(N, L, 17, 2) exact."""
    local: Array
    """(N, L, 17, 3) mm, root-relative, camera axes."""
    R: Array
    """(N, L, 3, 3) world to camera."""
    up: Array
    """(N, 3) unit vector against gravity in camera axes, as it is told: that of the first frame, or the image's."""
    known: Bools
    """(N,) whether gravity is known."""
    distance: Array
    """(N,) mm, to the middle of the way."""


def see(joints: Array, t: Array, rng: np.random.Generator, moving: float) -> Seen:
    """Motions (N, L, 17, 3) mm, z up, before cameras aimed at the middle of their way, far enough for nobody to reach.

    Cameras that move, a share ``moving``, are carried along, pan, and shake; their gravity is seldom known.
    """
    n = len(joints)
    one = views.sample_cameras(n, rng, views.TRAINING_CAMERAS)
    path = joints.mean(2)
    middle = (path.min(1) + path.max(1)) / 2
    distance = one.distance + np.linalg.norm(path - middle[:, None], axis=-1).max(1)
    carried = rng.random(n) < moving
    R = np.broadcast_to(one.R[:, None], (n, *t.shape[1:], 3, 3)).copy()
    shift = np.zeros((n, t.shape[1], 3))
    if carried.any():
        turn, drift = _carry(t[carried], rng)
        R[carried] = turn @ R[carried]
        shift[carried] = np.einsum("nji,nlj->nli", one.R[carried], drift)
    position = middle - one.R[:, 2] * distance[:, None]
    local = np.einsum("nlij,nlkj->nlki", R, joints - (position[:, None] + shift)[:, :, None])
    known = one.gravity & (~carried | (rng.random(n) < 0.3))
    up = np.where(known[:, None], R[:, 0, :, 2], [0.0, -1.0, 0.0])
    rays = local[..., :2] / np.maximum(local[..., 2:], 300.0)
    return Seen(rays, local - local[:, :, :1], R, up, known, distance)


def _carry(t: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rotations (N, L, 3, 3) and shifts (N, L, 3) mm of a camera in somebody's hand, in its own axes."""
    n = len(t)
    size, often, phase = (rng.uniform(*between, (n, 1, 3)) for between in ((0, 4), (0.2, 2), (0, 2 * np.pi)))
    angle = size * np.sin(2 * np.pi * often * t[..., None] + phase)
    angle[..., 1] += rng.normal(0, 8, (n, 1)) * t
    shift = rng.normal(0, 250, (n, 1, 3)) * t[..., None]
    length = np.linalg.norm(angle, axis=-1)
    axis = angle / np.maximum(length, 1e-9)[..., None]
    eye = np.broadcast_to(np.eye(3), (*t.shape, 3, 3))
    return np.swapaxes(augment.rotate(eye, axis[..., None, :], length[..., None]), -1, -2), shift


def assemble(xy: Array, seen: Bools, eye: Seen, t: Array) -> Motions:
    """What the lifter is given of rays (N, L, 17, 2), and the truth in the same axes."""
    xy, seen = views.derive(xy, seen)
    rays = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], -1)
    view = virtual.look(rays, seen, eye.up[:, None])
    pitch = np.where(eye.known[:, None], view.pitch, np.nan)
    R = view.R_virtual_to_camera
    targets = (eye.local @ R)[:, :, 1:]
    parts = (lifter.encode(view.xy, seen, pitch), targets, R, np.swapaxes(eye.R, -1, -2) @ R, t, rays)
    return Motions(*(part.astype(np.float32) for part in parts))
