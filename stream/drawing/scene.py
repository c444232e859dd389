"""The scene of the 3D panel: its axes, what is remembered of it and from where one looks. Pure geometry, no drawing.

Everything is drawn in *stage* axes, millimetres: x right and y forward of the (first) camera, both level, z up. Up
is gravity where the calibration knows it; otherwise the image's up is taken for it and the floor is marked as assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_to_world
from calibration.geometry.upright import up_of
from stream.recordings.run_info import CameraInfo

YAW: Final = 30.0
PITCH: Final = 12.0
STEP: Final = 5.0
ZOOMS: Final = (0.4, 4.0)
_FORWARD, _RIGHT, _IMAGE_UP = np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), np.array([0.0, -1, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What is remembered of one person, so that they are drawn calmly and always in one colour."""

    t: float
    """Seconds, ``Estimate.t`` of the frame in which they were last seen."""
    slot: int
    """Which of ``primitives.PEOPLE`` they are drawn in."""
    root: Array
    """(3,) mm, stage axes: smoothed position of the pelvis; NaN before it is known."""
    floor: float
    """mm, stage z: slow causal minimum of their soles; NaN before it is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What is remembered from frame to frame so that the picture is calm. A drawing aid, never recorded."""

    t: float
    """Seconds, ``Estimate.t`` of the frame."""
    root: Array
    """(3,) mm, stage axes: smoothed middle of the people's pelvises; NaN before anybody was lifted."""
    floor: float
    """mm, stage z: slow causal minimum of the soles."""
    reach: float = 0.0
    """mm: smoothed level distance from the middle to the person farthest from it."""
    places: Mapping[int, Place] = field(default_factory=dict)
    """Of each person who was seen lately, by ``person_id``."""
    several: bool = False
    """Whether more than one person was ever seen: from then on each has a colour and a label of their own."""


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
    selected: int | None = None
    """``person_id`` of the person whose hypotheses are told of; None for the first."""
    camera: int | None = None
    """Whose 3D is shown where nothing is fused, an index into ``cameras``; None for the first that sees somebody."""
    close: bool = False
    """Whether the eye is near: at the selected person, or at all where nobody is selected."""
    mirror: bool = False
    """Whether left and right are exchanged, as in a mirror."""
    keys: bool = False
    """Whether the keys are shown over the picture."""
    ended: bool = False
    """Whether the picture is the last one of a run that is over."""

    def turned(self, yaw: float, pitch: float) -> "ViewState":
        """The view with the eye moved by these degrees: to the right of the picture, mirrored or not, and up."""
        yaw = -yaw if self.mirror else yaw
        return replace(self, yaw=(self.yaw + yaw + 180) % 360 - 180, pitch=min(max(self.pitch + pitch, -85), 85))

    def seen_from(self, yaw: float = YAW, pitch: float = PITCH, zoom: float = 1.0) -> "ViewState":
        """The view with the eye at these degrees to the right and up, all in it so large; within limits."""
        return replace(
            self, yaw=(yaw + 180) % 360 - 180, pitch=min(max(pitch, -85), 85), zoom=min(max(zoom, ZOOMS[0]), ZOOMS[1])
        )

    def zoomed(self, factor: float) -> "ViewState":
        """The view with all in it larger by a factor, within limits."""
        return replace(self, zoom=min(max(self.zoom * factor, ZOOMS[0]), ZOOMS[1]))

    @property
    def there(self) -> list[int]:
        """The ids of those who are there, in order."""
        places = self.stage.places if self.stage else {}
        latest = max((place.t for place in places.values()), default=0.0)
        return sorted(person_id for person_id, place in places.items() if place.t == latest)

    def numbered(self, digit: str) -> int | None:
        """The id of whom a digit means of several who are there: theirs, or the one that ends in it; else None."""
        if self.stage is None or not self.stage.several:
            return None
        there = self.there
        return int(digit) if int(digit) in there else next((i for i in there if str(i).endswith(digit)), None)

    def next_camera(self, first: int) -> "ViewState":
        """The view that shows the 3D of the next camera; if that is the first that sees somebody, of whichever it is.

        Args:
            first: number of the first camera that sees somebody.
        """
        following = ((first if self.camera is None else self.camera) + 1) % max(len(self.cameras), 1)
        return replace(self, camera=None if following == first else following)

    def next_person(self) -> "ViewState":
        """The view that tells of the next of those who are there, after the last of the first again."""
        there = self.there
        before = self.selected if self.selected in there else there[0] if there else None
        return replace(self, selected=next((i for i in there if before is not None and i > before), None))


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
    up, known = up_of(cameras)
    first = cameras[0]
    return stage_from(first.R[2], up, first.R[0]), known


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
    up = np.cross(r, d)
    distance = 2.4 * extent
    x, y, w, h = area
    focal = min(w, h) * distance / extent * view.zoom
    return Eye(target - d * distance, np.stack([-r if view.mirror else r, up, d]), focal, (x + w / 2, y + h / 2))
