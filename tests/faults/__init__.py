"""What goes wrong: every fault a row, what happens, and what must still be intact."""

import numpy as np

from calibration.geometry.camera import Camera
from calibration.types import Calibration


def lens(cameras: int = 2) -> Calibration:
    """A calibration of cameras beside each other."""
    K = np.array([[900.0, 0, 639.5], [0, 900.0, 359.5], [0, 0, 1]])
    dist = np.array([-0.1, 0.02, 0.0, 0.0, 0.0])
    return Calibration(
        tuple(
            Camera(f"cam{k}", (1280, 720), K, dist, np.eye(3), np.array([500.0 * k, 0, 2000]), np.array([0, -1.0, 0]))
            for k in range(cameras)
        )
    )
