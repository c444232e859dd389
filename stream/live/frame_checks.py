"""What an estimator is given, checked: an image of another kind or size would give a wrong answer without a word."""

from collections.abc import Sequence

import numpy as np

from calibration.geometry.camera import Camera
from stream.types import FrameSet, StreamError

_CURES = {
    "grey": "cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) makes one of a grey image",
    "alpha": "leave out its alpha: image[..., :3]",
    "dtype": "convert it, such as (255 * image).astype(np.uint8) where it is in 0..1",
}


def check_cameras(cameras: Sequence[Camera]) -> None:
    """Refuse an estimator of nothing.

    Raises:
        StreamError: without a camera.
    """
    if not cameras:
        raise StreamError("an estimator of no camera; give one at least")


def check_frames(frame_set: FrameSet, cameras: Sequence[Camera]) -> None:
    """Refuse what is no frame set of these cameras.

    Raises:
        StreamError: for another number of frames, for what is no image, or one of another size than its camera's.
    """
    if len(frame_set.frames) != len(cameras):
        raise StreamError(
            f"frame set {frame_set.index} has {len(frame_set.frames)} frames for {len(cameras)} cameras; "
            "give one a camera, None where there is none"
        )
    for frame, camera in zip(frame_set.frames, cameras, strict=True):
        if frame is None:
            continue
        check_image(frame.image, frame.camera)
        height, width = frame.image.shape[:2]
        if (width, height) != tuple(camera.size):
            raise StreamError(
                f"camera {frame.camera}: an image of {width}x{height}, but its lens is known for "
                f"{camera.size[0]}x{camera.size[1]}; resize the image, or the camera with scale_camera"
            )


def check_image(image: object, name: str) -> None:
    """Refuse what is no colour image.

    Raises:
        StreamError: for anything but (H, W, 3) uint8, with what to do about it.
    """
    if not isinstance(image, np.ndarray):
        raise StreamError(
            f"camera {name}: {type(image).__name__} is no image; give an array (H, W, 3) uint8 BGR, as cv2.imread does"
        )
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        if min(image.shape[:2]) < 1:
            raise StreamError(f"camera {name}: an image of {image.shape[1]}x{image.shape[0]} has no pixels")
        return
    grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    kind = "grey" if grey else "alpha" if image.ndim == 3 and image.shape[2] == 4 else "dtype"
    cure = f"; {_CURES[kind]}" if kind != "dtype" or (image.ndim == 3 and image.shape[2] == 3) else ""
    raise StreamError(
        f"camera {name}: an array {image.shape} of {image.dtype} is no colour image: (H, W, 3) uint8 BGR{cure}"
    )
