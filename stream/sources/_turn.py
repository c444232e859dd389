"""Pictures of cameras that hang on their side or upside down, turned upright."""

import cv2
import numpy as np

from calibration.arrays import Image

_CLOCKWISE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned(image: Image, degrees: int | None) -> Image:
    """An image (H, W, 3) turned clockwise by 0, 90, 180 or 270 degrees; None is 0."""
    return np.asarray(cv2.rotate(image, _CLOCKWISE[degrees]), np.uint8) if degrees else image
