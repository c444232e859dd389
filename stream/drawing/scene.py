"""The scene of the 3D panel: where the person stands and from where one looks. Pure geometry, no drawing.

Everything is drawn in *stage* axes, millimetres: x right and y forward of the (first) camera, both level, z up. Up
is gravity where the calibration knows it; otherwise the image's up is taken for it and the floor is marked as assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_to_world
from engines.skeleton import L_ANKLE, R_ANKLE
from stream.recordings.run_info import CameraInfo
from stream.types import Estimate

YAW: Final = 30.0
PITCH: Final = 12.0
STEP: Final = 5.0
_SOLE: Final = 75.0  # mm from the middle of the ankle down to the floor
_FORWARD, _RIGHT, _IMAGE_UP = np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), np.array([0.0, -1, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What is remembered from frame to frame so that the picture is calm. A drawing aid, never recorded."""

    t: float
    """Seconds, ``Estimate.t`` of the frame."""
    root: Array
    """(3,) mm, stage axes: smoothed position of the pelvis."""
    floor: float
    """mm, stage z: slow causal minimum of the soles."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewState:
    """From where the user looks, at what size, and what was seen so far."""

    cameras: tuple[CameraInfo, ...] = ()
    """In the order of ``Estimate.frames``."""
    size: tuple[int, int] = (1280, 720)
    """Width and height of the composed picture, pixels."""
    yaw: float = YAW
    """Degrees the eye is turned around the person, to the right of the (first) camera."""
    pitch: float = PITCH
    """Degrees the eye looks down, -85..85."""
    zoom: float = 1.0
    """1 shows a whole person; 2 is twice as large."""
    paused: bool = False
    """Whether the picture is held."""
    stage: Stage | None = None
    """None before the first person."""

    def turned(self, yaw: float, pitch: float) -> "ViewState":
        """The view with the eye moved by these degrees."""
        return replace(self, yaw=(self.yaw + yaw + 180) % 360 - 180, pitch=min(max(self.pitch + pitch, -85), 85))


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A person to draw."""

    joints: Array
    """(17, 3) mm, stage axes: the answer. NaN where there is none."""
    probability: float
    """Of the answer; NaN for a fused pose."""
    ghosts: tuple[tuple[Array, float], ...] = ()
    """The other hypotheses, least probable first: (17, 3) mm in stage axes, and probability."""
    cov: Array | None = None
    """(17, 3, 3) mm2, stage axes; None where only the mixture is known."""
    camera: str = ""
    """Which camera's view it is; empty for a fused pose."""
    method: str = ""
    """How a fused pose was made."""
    used: tuple[str, ...] = ()
    """Names of the cameras that a fused pose was made of."""


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """A perspective camera looking at the stage. ``x = cx + f r.P / d.P``, ``y = cy - f u.P / d.P``, P = X - eye."""

    position: Array
    """(3,) mm, stage axes."""
    axes: Array
    """(3, 3) rows: right r, up u, forward d; unit vectors in stage axes."""
    focal: float
    """Pixels."""
    centre: tuple[float, float]
    """Pixels: where the point looked at appears."""

    def project(self, points: Array) -> tuple[Array, Array]:
        """Points (..., 3) mm to pixels (..., 2) and depth (...,) mm; NaN nearer than 200 mm."""
        local = (points - self.position) @ self.axes.T
        depth = np.where(local[..., 2] > 200, local[..., 2], np.nan)
        xy = local[..., :2] / depth[..., None] * [self.focal, -self.focal] + self.centre
        return xy, depth

    def scale(self, depth: float) -> float:
        """Pixels a millimetre at a depth in mm."""
        return self.focal / depth


def stage_from(forward: Array, up: Array, right: Array) -> Array:
    """(3, 3) rotation into stage axes of a frame in which a camera looks along ``forward``.

    Args:
        forward: (3,) the camera's optical axis.
        up: (3,) unit vector against gravity, or what is taken for it.
        right: (3,) the camera's x axis, used only where the camera looks straight up or down.

    Returns:
        Rotation whose rows are the stage's x, y and z.
    """
    x = np.cross(forward, up)
    if np.linalg.norm(x) < 0.05:
        x = right - (right @ up) * up
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])


def world_axes(cameras: Sequence[Camera]) -> tuple[Array, bool]:
    """(3, 3) rotation from the world of calibrated cameras to the stage, and whether gravity is known."""
    first = cameras[0]
    known = next((c.up for c in cameras if c.up is not None), None)
    if known is None:
        mean = -np.sum([c.R[1] for c in cameras], axis=0)
        known = mean / np.linalg.norm(mean) if np.linalg.norm(mean) > 0.1 else -first.R[1]
        return stage_from(first.R[2], known, first.R[0]), False
    return stage_from(first.R[2], known, first.R[0]), True


def calibrated(view: ViewState) -> list[Camera]:
    """The calibrated cameras of a run, in order."""
    return [c.calibration for c in view.cameras if c.calibration is not None]


def gravity_known(view: ViewState) -> bool:
    """Whether the panel's floor is level by calibration rather than by assumption."""
    cameras = calibrated(view)
    return bool(cameras) and world_axes(cameras)[1]


def camera_to_stage(view: ViewState, camera_index: int, points: Array) -> Array:
    """Points (..., 3) mm in a camera's axes to stage axes; without a calibration the image's up is taken for up."""
    run_info = view.cameras[camera_index] if camera_index < len(view.cameras) else None
    if run_info is None or run_info.calibration is None:
        return points @ stage_from(_FORWARD, _IMAGE_UP, _RIGHT).T
    return camera_to_world(run_info.calibration, points) @ world_axes(calibrated(view))[0].T


def figure(estimate: Estimate, view: ViewState) -> Figure | None:
    """The person of an estimate in stage axes: the fused pose where there is one, else the first camera's answer."""
    cameras, person = calibrated(view), estimate.person
    if person is None:
        return None
    if person.pose is not None and cameras:
        R, _ = world_axes(cameras)
        pose = person.pose
        return Figure(pose.joints @ R.T, np.nan, cov=R @ pose.cov @ R.T, method=pose.method, used=pose.cameras)
    for index, (frame, seen) in enumerate(zip(estimate.frames, person.views, strict=True)):
        if frame is None or seen is None or seen.answer is None:
            continue
        if seen.root is None or not np.isfinite(seen.root).all():
            continue
        tracks = sorted(seen.tracks, key=lambda track: track.probability)
        ghosts = tuple((camera_to_stage(view, index, t.pose + seen.root), t.probability) for t in tracks[:-1])
        answer = camera_to_stage(view, index, seen.answer + seen.root)
        return Figure(answer, tracks[-1].probability if tracks else np.nan, ghosts, camera=frame.camera)
    return None


def follow(view: ViewState, estimate: Estimate) -> ViewState:
    """The view after an estimate: the person's place low-passed, the floor as a slow minimum of the soles.

    Only for drawing: a single camera's depth is noisy by centimetres from frame to frame, which would make the person
    slide on the grid. The pose itself is left as it is.
    """
    person = figure(estimate, view)
    if person is None or not np.isfinite(person.joints[0]).all():
        return view
    root = person.joints[0]
    ankles = person.joints[[R_ANKLE, L_ANKLE], 2]
    lowest = float(np.nanmin(ankles)) if np.isfinite(ankles).any() else float(root[2]) - 850
    sole = lowest - _SOLE
    last = view.stage
    # A jump of more than 1.5 m, or of the clock, is another person or another take: begin again.
    if last is None or not 0 <= estimate.t - last.t < 2 or np.linalg.norm(root - last.root) > 1500:
        return replace(view, stage=Stage(estimate.t, root, sole))
    dt = estimate.t - last.t
    near = 1 - np.exp(-dt / 0.25)
    slow = 1 - np.exp(-dt / (0.15 if sole < last.floor else 4.0))
    return replace(
        view,
        stage=Stage(estimate.t, last.root + near * (root - last.root), last.floor + slow * (sole - last.floor)),
    )


def volume(cameras: Sequence[Camera], R: Array) -> tuple[Array, float]:
    """The middle (3,) mm, stage axes, of what the cameras look at, and the radius that holds them, mm."""
    centres, axes = np.array([R @ c.centre for c in cameras]), np.array([R @ c.R[2] for c in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = np.linalg.lstsq(across.sum(0), (across @ centres[:, :, None]).sum(0)[:, 0], rcond=1e-3)[0]
    return middle, float(np.linalg.norm((centres - middle)[:, :2], axis=1).max())


def eye(view: ViewState, area: tuple[int, int, int, int], target: Array, extent: float) -> Eye:
    """The eye that sees ``extent`` mm around a target (3,) in the smaller side of an area of the panel."""
    yaw, pitch = np.radians(view.yaw), np.radians(view.pitch)
    d = np.array([-np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
    r = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    distance = 2.4 * extent
    x, y, w, h = area
    focal = min(w, h) * distance / extent * view.zoom
    return Eye(target - d * distance, np.stack([r, np.cross(r, d), d]), focal, (x + w / 2, y + h / 2))
