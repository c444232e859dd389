"""The one camera convention of this project.

A camera is OpenCV's: x right, y down, z forward, pixel (0, 0) at the *centre* of the top left pixel.
World points are millimetres and ``X_camera = R @ X_world + t``.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError

# Iterations of the fixed point that inverts the lens distortion. OpenCV's default of 5 leaves 0.1 px at
# the corner of a wide lens; 40 leaves < 1e-3 px and costs microseconds for 17 joints.
_UNDISTORT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera with lens distortion and a place in the world.

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
    """(4,), (5,), (8,), (12,) or (14,) OpenCV distortion coefficients k1 k2 p1 p2 [k3 ...]."""
    R: Array
    """(3, 3) rotation, world to camera."""
    t: Array
    """(3,) translation, world to camera, mm."""
    up: Array | None = None
    """(3,) unit vector against gravity in world axes, or None where gravity is not known."""

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
                if value.size not in (0, 4, 5, 8, 12, 14):
                    raise CalibrationError(
                        f"camera {self.name!r}: dist has {value.size} coefficients; OpenCV knows 4, 5, 8, 12 or 14"
                    )
                if value.size == 0:
                    value = np.zeros(5)
            elif value.shape != shapes[key]:
                raise CalibrationError(f"camera {self.name!r}: {key} has shape {value.shape}, expected {shapes[key]}")
            if not np.isfinite(value).all():
                raise CalibrationError(f"camera {self.name!r}: {key} holds values that are not finite")
            value.flags.writeable = False
            object.__setattr__(self, key, value)
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
        fov_degrees: full angle along the long side, 1..170 degrees.

    Returns:
        Camera with square pixels, centred principal point, no distortion, R = 1, t = 0 and unknown gravity.

    Raises:
        CalibrationError: if the angle is outside 1..170 degrees.
    """
    if not 1 <= fov_degrees <= 170:
        raise CalibrationError(f"field of view of {fov_degrees} degrees; give one between 1 and 170")
    f = max(size) / 2 / np.tan(np.radians(fov_degrees) / 2)
    K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(name, size, K, np.zeros(5), np.eye(3), np.zeros(3))


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
    xy, _ = cv2.projectPoints(flat.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), camera.K, camera.dist)
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    xy[flat[:, 2] <= 0] = np.nan
    return xy.reshape(*points.shape[:-1], 2)


def world_to_image(camera: Camera, points: Array) -> Array:
    """World points (..., 3) mm to distorted pixels (..., 2). Points behind the camera become NaN."""
    return camera_to_image(camera, world_to_camera(camera, points))


def image_to_ray(camera: Camera, xy: Array) -> Array:
    """Pixels (..., 2) to undistorted rays (..., 3) in camera axes with z = 1. NaN stays NaN."""
    flat = np.ascontiguousarray(xy, np.float64).reshape(-1, 1, 2)
    rays = np.ones((len(flat), 3))
    if len(flat):
        rays[:, :2] = cv2.undistortPoints(flat, camera.K, camera.dist, R=np.eye(3), P=np.eye(3), criteria=_UNDISTORT)[
            :, 0
        ]
    return rays.reshape(*xy.shape[:-1], 3)
