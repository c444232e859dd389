"""Several captured people in one room in front of calibrated cameras, and a detector that sees what could be seen.

The people are the test subjects' 30 fps sequences, played there and back, each in a place of its own in a room of 5 x 5
m. A joint is hidden where another body, capsules along its bones, is in front of it. The 2D joints have the faults of
``benchmarks/scenes.py``. The noise of a person does not depend on who else is there, so that the same person can be
seen alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import scenes
from calibration.arrays import Array, Bools, Image
from calibration.geometry.camera import Camera, world_to_camera, world_to_image
from engines import skeleton as sk
from engines.preprocess import Box
from engines.top_down import Finder, FoundPerson, TopDownCrowd, TopDownOptions, TopDownSession
from engines.training.data.mocap import load_poses
from engines.types import Detection, empty_detection
from stream.types import Frame, FrameSet

FPS = 30.0
ROOM_MM = 5000.0
APART_MM = 450.0
"""Least distance between two people's pelvises."""
LEAST_SEEN = 6
"""Who shows fewer limb joints to a camera's detector is not to be found by it."""
LIMBS = np.array(sk.LIMBS)
_RADIUS = {(sk.PELVIS, sk.SPINE): 130.0, (sk.SPINE, sk.THORAX): 140.0, (sk.NECK, sk.HEAD): 95.0}
"""Of the capsules of the trunk and the head, mm; limbs are thinner."""
_LIMB_RADIUS = 55.0
_FAULTS = scenes.Faults()
_ANY_WAY_UP = TopDownOptions(turns=False)
"""This detector knows everybody any way up, and nobody in a turned picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """K people over T frames in front of V cameras."""

    cameras: tuple[Camera, ...]
    joints: Array
    """(T, K, 17, 3) mm, world, z up."""
    seen: Bools
    """(T, V, K, 17) joints that are in the picture and not hidden by anybody else."""
    detections: tuple[tuple[tuple[Detection, ...], ...], ...]
    """T x V x K of what a detector would see of each."""

    def there(self) -> Bools:
        """(T, V, K) who shows enough to each camera's detector to be found by it."""
        return np.array([[[bounds(d) is not None for d in row] for row in rows] for rows in self.detections])


def paths(file: Path, people: int, frames: int, rng: np.random.Generator, least: int = 45) -> Array:
    """(T, K, 17, 3) mm: so many people of the sequences of a file, each in a place of their own."""
    poses = load_poses(file)
    names, first, count = np.unique(poses.sequence, return_index=True, return_counts=True)
    long = np.flatnonzero(count >= least)
    for _ in range(1000):
        chosen = [_placed(poses.joints[first[k] : first[k] + count[k]], frames, rng) for k in rng.choice(long, people)]
        if all(path is not None for path in chosen):
            all_ = np.stack([path for path in chosen if path is not None], 1)
            roots = all_[:, :, 0, :2]
            apart = np.linalg.norm(roots[:, :, None] - roots[:, None], axis=-1) + 1e9 * np.eye(people)
            if apart.min() > APART_MM:
                return all_
    raise ValueError(f"{people} people do not fit")


def _placed(sequence: Array, frames: int, rng: np.random.Generator) -> Array | None:
    """A sequence (F, 17, 3) there and back, on the floor, turned and moved into the room; None where it is too wide."""
    path = np.concatenate([sequence, sequence[-2:0:-1]]).astype(np.float64)
    path = np.tile(path, (frames // len(path) + 2, 1, 1))[int(rng.integers(len(path))) :][:frames]
    a = rng.uniform(0, 2 * np.pi)
    path = path @ np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]).T
    path[..., 2] -= path[..., 2].min() - 40
    low, high = path[:, 0, :2].min(0), path[:, 0, :2].max(0)
    free = ROOM_MM - (high - low)
    if (free < 0).any():
        return None
    path[..., :2] += -ROOM_MM / 2 - low + rng.uniform(0, free)
    return path


def room(count: int, rng: np.random.Generator) -> tuple[Camera, ...]:
    """Cameras around the room, 4.5 to 5.5 m from its middle and 1.8 to 2.6 m high; two are 90 degrees apart."""
    first = rng.uniform(0, 2 * np.pi)
    step = np.pi / 2 if count == 2 else 2 * np.pi / count
    return tuple(
        scenes.camera_at(
            f"cam{k + 1:02d}",
            first + k * step,
            rng.uniform(4500, 5500),
            rng.uniform(1800, 2600),
            np.array([0, 0, 900.0]),
        )
        for k in range(count)
    )


def hidden(joints: Array, eye: Array) -> Bools:
    """(K, 17) which joints (K, 17, 3) mm lie behind a capsule of somebody else, from an eye (3,)."""
    radius = np.array([_RADIUS.get(edge, _LIMB_RADIUS) for edge in sk.EDGES])
    a, b = (joints[:, [edge[end] for edge in sk.EDGES]] for end in (0, 1))
    out = np.zeros(joints.shape[:2], bool)
    for me in range(len(joints)):
        for other in range(len(joints)):
            if me != other:
                out[me] |= (_distance(eye, joints[me], a[other], b[other]) < radius).any(1)
    return out


def _distance(eye: Array, ends: Array, a: Array, b: Array) -> Array:
    """(J, B) least distance between the sight lines from the eye to ends (J, 3) and bones a-b (B, 3), mm."""
    u, v = ends - eye, b - a
    w = eye - a
    uu, vv = (u**2).sum(-1)[:, None], np.maximum((v**2).sum(-1), 1e-6)[None]
    uv, uw, vw = u @ v.T, u @ w.T, (v * w).sum(-1)[None]
    den = np.maximum(uu * vv - uv**2, 1e-9)
    # The last tenth of the way does not count: somebody at the joint does not hide it.
    s = np.clip((uv * vw - vv * uw) / den, 0, 0.97)
    r = np.clip((vw + s * uv) / vv, 0, 1)
    s = np.clip((r * uv - uw) / uu, 0, 0.97)
    gap = w[None] + s[..., None] * u[:, None] - r[..., None] * v[None]
    return np.linalg.norm(gap, axis=-1)


def make(joints: Array, cameras: Sequence[Camera], seed: int, faults: scenes.Faults = _FAULTS, first: int = 0) -> Crowd:
    """What cameras see of people (T, K, 17, 3) mm, whose noise is that of the ``first`` person and those after."""
    frames, people = joints.shape[:2]
    seen = np.zeros((frames, len(cameras), people, 17), bool)
    detections = []
    for t in range(frames):
        row = []
        for v, camera in enumerate(cameras):
            xy = world_to_image(camera, joints[t])
            inside = ((xy >= 0) & (xy < camera.size)).all(-1) & (world_to_camera(camera, joints[t])[..., 2] > 100)
            seen[t, v] = inside & ~hidden(joints[t], camera.centre)
            row.append(
                tuple(
                    _detected(joints[t, k], camera, seen[t, v, k], (seed, first + k, t, v), faults)
                    for k in range(people)
                )
            )
        detections.append(tuple(row))
    return Crowd(tuple(cameras), joints, seen, tuple(detections))


def _detected(pose: Array, camera: Camera, seen: Bools, seed: tuple[int, ...], faults: scenes.Faults) -> Detection:
    """The imperfect detection of one person, without the joints that cannot be seen."""
    (found,) = scenes.detect(pose, (camera,), faults, np.random.default_rng(seed))
    score = np.where(seen, found.score, 0.0)
    xy, score, derived = sk.derive(found.xy, score)
    return replace(found, xy=xy.astype(np.float32), score=score.astype(np.float32), derived=derived)


def alone(crowd: Crowd, person: int, seed: int) -> Crowd:
    """The same person, with nobody to hide them, seen with the same noise."""
    return make(crowd.joints[:, [person]], crowd.cameras, seed, first=person)


def bounds(detection: Detection) -> Array | None:
    """(2, 2) box of the limb joints that are seen; None where there are too few."""
    xy = detection.xy[LIMBS][detection.score[LIMBS] > 0]
    return np.stack([xy.min(0), xy.max(0)]) if len(xy) >= LEAST_SEEN else None


class CrowdDetector:
    """Sees the people of a crowd in the box it is shown, as a top-down network: the one in the middle, no other.

    Sessions are opened in the order of the cameras.
    """

    name = "synthetic"

    def __init__(self, crowd: Crowd, missed: float = 0.05) -> None:
        self.scene, self.missed = crowd, missed
        self._opened = 0

    def next_camera(self) -> int:
        """The next camera."""
        self._opened += 1
        return self._opened - 1

    def session(self) -> TopDownSession:
        """A new session, one a camera."""
        eye = _Eye(self, self.next_camera())
        return TopDownSession(self.name, eye.see, eye, _ANY_WAY_UP)

    def image(self, t: int) -> Image:
        """What frame t shows: nothing, but every pixel says its number."""
        width, height = self.scene.cameras[0].size
        return np.broadcast_to(np.array([t % 256, t // 256, 0], np.uint8), (height, width, 3))

    def describe(self) -> Mapping[str, str]:
        """Nothing is behind it."""
        return {"model": "none", "sha256": "0" * 64, "runtime": "numpy"}


class CrowdOfDetector(CrowdDetector):
    """The same, following everybody."""

    def crowd(self, most: int, tracks: Iterator[int]) -> TopDownCrowd:
        """A new session, one a camera, that follows up to ``most`` people."""
        eye = _Eye(self, self.next_camera())
        return TopDownCrowd(self.name, eye.see, eye, most, tracks, _ANY_WAY_UP)


class _Eye(Finder):
    """One camera's view of the crowd; every pixel says the frame's number."""

    def __init__(self, owner: CrowdDetector, camera: int) -> None:
        self._owner, self._camera = owner, camera

    def _here(self, image: Image) -> list[tuple[Array, Detection]]:
        t = int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
        found = ((bounds(d), d) for d in self._owner.scene.detections[t][self._camera])
        return [(box, d) for box, d in found if box is not None]

    def everywhere(self, image: Image, long_side: int) -> list[FoundPerson]:
        t = int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
        rng = np.random.default_rng((t, self._camera, long_side))
        return [FoundPerson(box, 0.5) for box, _ in self._here(image) if rng.random() >= self._owner.missed]

    def around(self, image: Image, box: Box) -> list[FoundPerson]:
        return self.everywhere(image, box.width)

    def see(self, image: Image, box: Box) -> Detection:
        width, height = self._owner.scene.cameras[0].size
        if image.shape[:2] != (height, width):
            return empty_detection(self._owner.name)  # turned: nobody here stands on their hands
        middle = np.array([box.left + box.width / 2, box.top + box.height / 2])
        here = [(np.abs(b.mean(0) - middle).max(), d) for b, d in self._here(image)]
        here = [(away, d) for away, d in here if away < 0.4 * box.width]
        if not here:
            return empty_detection(self._owner.name)
        detection = min(here, key=lambda one: one[0])[1]
        xy, low = detection.xy, np.array([box.left, box.top])
        inside = ((xy > low) & (xy < low + (box.width, box.height))).all(-1)
        return replace(detection, score=np.where(inside, detection.score, detection.score / 20).astype(np.float32))


def frame_sets(crowd: Crowd, detector: CrowdDetector) -> Iterator[FrameSet]:
    """The crowd's frames, whose images only say their number."""
    for t in range(len(crowd.joints)):
        image = detector.image(t)
        frames = tuple(Frame(camera.name, t, t / FPS, image) for camera in crowd.cameras)
        yield FrameSet(t, t / FPS, frames, 0.0)
