"""Pictures turned by a quarter, a half or three quarters, and what becomes of their camera.

Degrees are clockwise, as the picture is seen: at 90 its left side becomes its top. The pixel (x, y) of a picture W wide
and H high goes to (H - 1 - y, x).
"""

from dataclasses import replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera

_QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
"""Takes camera axes to those of the picture turned by 90 degrees."""
_SEEN = 0.5
"""Of the unit vector up, what must lie in the picture's plane: the camera looks 30 degrees off straight up or down."""
_UPRIGHT = float(np.cos(np.radians(30)))
"""A turn must bring up this near to the picture's top."""


def turn_camera(camera: Camera, degrees: int) -> Camera:
    """The camera of the picture turned clockwise.

    Tangential and thin prism coefficients turn as vectors: the displacement is r2 q + 2 (q . x) x with q = (p2, p1).

    Args:
        camera: of the picture as it is.
        degrees: 0, 90, 180 or 270.

    Raises:
        CalibrationError: for a lens with a tilted sensor.
    """
    if degrees % 360 == 0:
        return camera
    if np.any(camera.dist[12:]):
        raise CalibrationError(
            f"camera {camera.name}: its lens model has a tilted sensor, which cannot be turned; calibrate it from "
            "pictures turned by --rotate"
        )
    for _ in range(degrees // 90 % 4):
        camera = _quarter(camera)
    return camera


def _quarter(camera: Camera) -> Camera:
    width, height = camera.size
    K, dist = np.zeros((3, 3)), np.array(camera.dist)
    K[0, 0], K[1, 1], K[2, 2] = camera.K[1, 1], camera.K[0, 0], 1
    K[0, 2], K[1, 2] = height - 1 - camera.K[1, 2], camera.K[0, 2]
    # Each pair (x, y) becomes (-y, x); p1 belongs to y and p2 to x. A fisheye has none.
    if not camera.fisheye:
        dist[2], dist[3] = camera.dist[3], -camera.dist[2]
    if dist.size >= 12:
        s1, s2, s3, s4 = camera.dist[8:12]
        dist[8:12] = -s3, -s4, s1, s2
    return replace(camera, size=(height, width), K=K, dist=dist, R=_QUARTER @ camera.R, t=_QUARTER @ camera.t)


def upright_turn(camera: Camera) -> int:
    """Degrees clockwise by which its picture is to be turned so that up is up; 0 where gravity is not known, where it
    looks nearly straight up or down, and where no turn is clearly better than none.
    """
    if camera.up is None:
        return 0
    x, y, _ = camera.R @ camera.up
    # How far up points to the top of the picture, unturned and at each turn.
    tops = {0: -y, 90: -x, 180: y, 270: x}
    best = max(tops, key=lambda degrees: tops[degrees])
    seen = float(np.hypot(x, y))
    return best if seen > _SEEN and tops[best] > _UPRIGHT * seen else 0
