"""The one camera convention of this project.

A camera is OpenCV's: x right, y down, z forward, pixel (0, 0) at the *centre* of the top left pixel.
World points are millimetres and ``X_camera = R @ X_world + t``.
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry import fisheye

# Iterations of the fixed point that inverts the lens distortion. OpenCV's default of 5 leaves 0.1 px at
# the corner of a wide lens; 40 leaves < 1e-3 px and costs microseconds for 17 joints.
_UNDISTORT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole or fisheye camera with lens distortion and a place in the world.

    Raises:
        CalibrationError: if a value is not finite, has the wrong shape, or R is not a rotation.
    """

    name: str
    """Name the sources are bound to."""
    size: tuple[int, int]
    """Image width and height in pixels."""
    K: Array
    """(3, 3) intrinsic matrix, pixels."""
    dist: Array
    """(4,), (5,), (8,), (12,) or (14,) OpenCV distortion coefficients k1 k2 p1 p2 [k3 ...]; (4,) k1 k2 k3 k4 of a
    fisheye."""
    R: Array
    """(3, 3) rotation, world to camera."""
    t: Array
    """(3,) translation, world to camera, mm."""
    up: Array | None = None
    """(3,) unit vector against gravity in world axes, or None where gravity is not known."""
    fisheye: bool = False
    """Whether the lens is OpenCV's fisheye (``calibration.geometry.fisheye``)."""

    def __post_init__(self) -> None:
        """Check every value and freeze the arrays."""
        shapes = {"K": (3, 3), "R": (3, 3), "t": (3,)} | ({} if self.up is None else {"up": (3,)})
        for key in ("K", "dist", "R", "t", "up"):
            value = getattr(self, key)
            if value is None:
                continue
            value = np.array(value, np.float64)
            if key == "dist":
                value = value.reshape(-1)
                if self.fisheye and value.size not in (0, 4):
                    raise CalibrationError(f"camera {self.name!r}: dist has {value.size} coefficients; a fisheye has 4")
                if value.size not in (0, 4, 5, 8, 12, 14):
                    raise CalibrationError(
                        f"camera {self.name!r}: dist has {value.size} coefficients; OpenCV knows 4, 5, 8, 12 or 14"
                    )
                if value.size == 0:
                    value = np.zeros(4 if self.fisheye else 5)
            elif value.shape != shapes[key]:
                raise CalibrationError(f"camera {self.name!r}: {key} has shape {value.shape}, expected {shapes[key]}")
            if not np.isfinite(value).all():
                raise CalibrationError(f"camera {self.name!r}: {key} holds values that are not finite")
            value.flags.writeable = False
            object.__setattr__(self, key, value)
        for key, value, most in (("R", self.R, 1.01), ("up", self.up, 1.01), ("K", self.K, 1e9)):
            if value is not None and (largest := float(np.abs(value).max())) > most:
                raise CalibrationError(f"camera {self.name!r}: {key} holds {largest:.3g}; it can be {most:g} at most")
        if min(self.size) <= 0:
            raise CalibrationError(f"camera {self.name!r}: size {self.size} is not positive")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CalibrationError(f"camera {self.name!r}: the focal length in K is not positive")
        # OpenCV reads four numbers of K and passes over the others, a skew among them.
        if (
            np.abs(self.K[[1, 2, 2, 2], [0, 0, 1, 2]] - [0, 0, 0, 1]).max() > 1e-6
            or abs(self.K[0, 1]) > 1e-3 * self.K[0, 0]
        ):
            raise CalibrationError(f"camera {self.name!r}: K is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        if np.abs(self.R @ self.R.T - np.eye(3)).max() > 1e-4 or np.linalg.det(self.R) < 0:
            raise CalibrationError(f"camera {self.name!r}: R is not a rotation (R R^T = 1, det R = 1)")
        if self.up is not None and abs(np.linalg.norm(self.up) - 1) > 1e-3:
            raise CalibrationError(f"camera {self.name!r}: up is not a unit vector")

    @property
    def centre(self) -> Array:
        """(3,) position of the camera in the world, mm: ``-R^T t``."""
        return -self.R.T @ self.t

    @property
    def up_in_camera(self) -> Array | None:
        """(3,) unit vector against gravity in camera axes, or None where gravity is not known."""
        return None if self.up is None else self.R @ self.up


def camera_from_fov(name: str, size: tuple[int, int], fov_degrees: float) -> Camera:
    """A camera at the origin with an assumed field of view along the long side of the image.

    Args:
        name: the camera's name.
        size: image width and height, pixels.
        fov_degrees: full angle along the long side, 1..157 degrees.

    Returns:
        Camera with square pixels, centred principal point, no distortion, R = 1, t = 0 and unknown gravity.

    Raises:
        CalibrationError: if the angle is outside 1..157 degrees.
    """
    if not 1 <= fov_degrees <= 157:
        raise CalibrationError(f"field of view of {fov_degrees} degrees; give one between 1 and 157")
    f = max(size) / 2 / np.tan(np.radians(fov_degrees) / 2)
    K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(name, size, K, np.zeros(5), np.eye(3), np.zeros(3))


FOCAL: Final = (0.1, 100.0)
"""Least and largest focal length, in long sides of the image: 157 and half a degree of view."""
LARGEST: Final = 65_535
"""Pixels along a side of an image; JPEG and video have no more."""
FARTHEST_MM: Final = 1e6
"""From a camera to the origin of the world: 1 km."""
_STRETCH: Final = (0.05, 5.0)
"""How much nearer to the middle, or farther out, a lens shows a ray than a pinhole would."""


def check_plausible(camera: Camera) -> None:
    """Refuse a camera that is finite but none that there is. A recorded one is not judged: its take stays readable.

    Raises:
        CalibrationError: with the value that was found and the bounds.
    """
    who, (width, height) = f"camera {camera.name!r}", camera.size
    if max(width, height) > LARGEST:
        raise CalibrationError(f"{who}: size is {width}x{height}; a side has {LARGEST} pixels at most")
    long = max(width, height)
    for f in (camera.K[0, 0], camera.K[1, 1]):
        if not FOCAL[0] * long <= f <= FOCAL[1] * long:
            raise CalibrationError(
                f"{who}: the focal length is {f:.3g} pixels; for {width}x{height} it lies between "
                f"{FOCAL[0] * long:g} and {FOCAL[1] * long:g}: is it in pixels, and is the size right?"
            )
    off = float(np.abs(camera.K[:2, 2] - (np.array([width, height]) - 1) / 2).max())
    if off > 10 * long:
        raise CalibrationError(
            f"{who}: the principal point lies {off:.3g} pixels from the middle of the image of {width}x{height}; "
            f"at most {10 * long} are read"
        )
    with np.errstate(over="ignore"):
        far = float(np.linalg.norm(camera.t))
    if not far <= FARTHEST_MM:
        raise CalibrationError(
            f"{who}: it stands {far:.3g} mm from the origin, farther than {FARTHEST_MM:g} mm (1 km): is the unit right?"
        )
    if camera.fisheye:
        _check_fisheye(camera)
    elif camera.dist.any():
        _check_distortion(camera)


def _corner(camera: Camera) -> float:
    """How far the farthest corner is from the principal point, focal lengths."""
    low, high = np.array([-0.5, -0.5]) - camera.K[:2, 2], np.array(camera.size) - 0.5 - camera.K[:2, 2]
    return float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high)) / camera.K[[0, 1], [0, 1]]))


def _check_fisheye(camera: Camera) -> None:
    angle = fisheye.turns_back(camera.dist, _corner(camera), _STRETCH)
    if angle is not None:
        raise CalibrationError(
            f"camera {camera.name!r}: the distortion (largest coefficient {np.abs(camera.dist).max():.3g}) of the "
            f"fisheye turns back or is absurd {np.degrees(angle):.0f} degrees off its axis; it must grow outwards up "
            "to the corner: calibrate again, and are these coefficients of OpenCV's fisheye model?"
        )


def _check_distortion(camera: Camera) -> None:
    """A lens shows a ray that lies farther out at a pixel farther out, up to the corners, or it has no inverse."""
    who, dist = f"camera {camera.name!r}", np.zeros(14)
    dist[: camera.dist.size] = camera.dist
    k1, k2, p1, p2, k3, k4, k5, k6, *prism_and_tilt = dist
    if (sideways := max(abs(v) for v in (p1, p2, *prism_and_tilt))) > 1:
        raise CalibrationError(f"{who}: a tangential coefficient of dist is {sideways:.3g}; it lies between -1 and 1")
    corner = _corner(camera)
    # A pinhole shows the ray at radius r there, the lens at ``shown``; both in focal lengths from the axis.
    r = corner * np.concatenate([np.linspace(0, 1, 201)[1:], np.geomspace(1, 1 / _STRETCH[0], 200)[1:]])
    with np.errstate(all="ignore"):
        q = r * r
        stretch = (1 + q * (k1 + q * (k2 + q * k3))) / (1 + q * (k4 + q * (k5 + q * k6)))
        shown = np.nan_to_num(r * stretch, nan=-1.0)
    needed = np.concatenate([[True], np.maximum.accumulate(shown)[:-1] < corner * (1 - 1e-6)])
    back = needed & (np.diff(shown, prepend=0) <= 0)
    absurd = needed & ~((stretch >= _STRETCH[0]) & (stretch <= _STRETCH[1]))
    for bad, what in ((back, "turns back"), (absurd, "is absurd")):
        if bad.any():
            raise CalibrationError(
                f"{who}: the distortion (largest coefficient {np.abs(dist).max():.3g}) {what} "
                f"{r[bad.argmax()] * camera.K[0, 0]:.0f} pixels from its middle; it must grow outwards up to the "
                f"corner at {corner * camera.K[0, 0]:.0f}: calibrate again"
            )


def ray_stretch(camera: Camera, rays: Array) -> Array:
    """(..., 2, 2) what an error in the picture, in focal lengths, is on rays (..., 2) with z = 1.

    1 but for a fisheye; what little other distortion changes of it is left out.
    """
    if camera.fisheye:
        return fisheye.stretch(rays, camera.dist)
    return np.broadcast_to(np.eye(2), (*rays.shape[:-1], 2, 2))


def ray_scale(camera: Camera, rays: Array) -> Array:
    """(...,) the same as one factor, of which the square is that of areas; NaN of what is not seen."""
    A = ray_stretch(camera, rays)
    return np.sqrt(A[..., 0, 0] * A[..., 1, 1] - A[..., 0, 1] * A[..., 1, 0])


def resize_pixels(xy: Array, scale: float | tuple[float, float]) -> Array:
    """Carry pixel coordinates (..., 2) to an image resized by ``scale`` (x, y): the half-pixel rule, once.

    Pixel centres are at integers, so a resize keeps ``x + 0.5`` proportional: ``x' = (x + 0.5) s - 0.5``.
    """
    return (xy + 0.5) * np.asarray(scale) - 0.5


def scale_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """The same camera for images resized to ``size`` (width, height), pixels."""
    sx, sy = size[0] / camera.size[0], size[1] / camera.size[1]
    S = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
    return replace(camera, size=size, K=S @ camera.K)


def world_to_camera(camera: Camera, points: Array) -> Array:
    """World points (..., 3) mm to camera axes (..., 3) mm: ``R X + t``."""
    return points @ camera.R.T + camera.t


def camera_to_world(camera: Camera, points: Array) -> Array:
    """Camera points (..., 3) mm to world axes (..., 3) mm: ``R^T (X - t)``."""
    return (points - camera.t) @ camera.R


def camera_to_image(camera: Camera, points: Array) -> Array:
    """Camera points (..., 3) mm to distorted pixels (..., 2). Points behind the camera become NaN."""
    flat = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
    if not len(flat):
        return np.empty((*points.shape[:-1], 2))
    if camera.fisheye:
        return fisheye.project(flat, camera.K, camera.dist).reshape(*points.shape[:-1], 2)
    xy, _ = cv2.projectPoints(flat.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), camera.K, camera.dist)
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    xy[flat[:, 2] <= 0] = np.nan
    return xy.reshape(*points.shape[:-1], 2)


def world_to_image(camera: Camera, points: Array) -> Array:
    """World points (..., 3) mm to distorted pixels (..., 2). Points behind the camera become NaN."""
    return camera_to_image(camera, world_to_camera(camera, points))


def image_to_ray(camera: Camera, xy: Array) -> Array:
    """Pixels (..., 2) to undistorted rays (..., 3) in camera axes with z = 1. NaN stays NaN.

    What a fisheye shows beside or behind the camera has no such ray and becomes NaN.
    """
    if camera.fisheye:
        return fisheye.unproject(np.asarray(xy, np.float64), camera.K, camera.dist)
    flat = np.ascontiguousarray(xy, np.float64).reshape(-1, 1, 2)
    rays = np.ones((len(flat), 3))
    if len(flat):
        rays[:, :2] = cv2.undistortPoints(flat, camera.K, camera.dist, R=np.eye(3), P=np.eye(3), criteria=_UNDISTORT)[
            :, 0
        ]
    return rays.reshape(*xy.shape[:-1], 3)
